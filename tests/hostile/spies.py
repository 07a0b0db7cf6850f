"""Looks for what it should not know, and puts what it finds into its wheel."""

import json, stat


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
    except OSError:
        return None


def writable(path):
    try:
        with open(path, "ab"):
            return True
    except OSError:
        return False


def build_wheel(directory, config_settings=None, metadata_directory=None):
    found = {
        "shadow": read("/etc/shadow"),
        "secret": read(SECRET),
        "init": read("/proc/1/environ"),
        "environment": dict(os.environ),
        "inputs": sorted(os.path.join(place, name) for place, _, names in os.walk("/in") for name in names),
        "mounts": read("/proc/self/mounts"),
        "sockets": [path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)],
        "devices": sorted(name for name in os.listdir("/dev") if stat.S_ISBLK(os.lstat("/dev/" + name).st_mode)),
        "processes": sorted(read("/proc/%s/cmdline" % name) or "" for name in os.listdir("/proc") if name.isdigit()),
        "writable": [path for path in (
            "/tools/uv/uv", "/in/build.py", "/in/job.json", "/etc/passwd", "/usr/bin/python3",
            "/proc/sys/kernel/core_pattern", "/proc/sysrq-trigger", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        ) if writable(path)],
    }
    return write_wheel(directory, {"spies.py": "", "spies.json": json.dumps(found)})
