"""Asks the build back end what else it needs, then lets uv build the wheel. Runs in the build container."""

import functools
import importlib
import json
import os
import subprocess
import sys

UV = "/tools/uv/uv"
OFFLINE = ["--offline", "--no-index", "--find-links", "/in/wheels", "--python", "/build/env/bin/python"]


def source_directory():
    """The one directory at the top of the source distribution."""
    entries = [os.path.join("/build/src", name) for name in os.listdir("/build/src")]
    directories = [entry for entry in entries if os.path.isdir(entry)]
    if len(directories) != 1:
        sys.exit("error: the source distribution must hold one directory, it holds %d" % len(directories))
    return directories[0]


def dynamic_requirements(system, settings):
    """PEP 517, get_requires_for_build_wheel: printed to a file, since hooks print to stdout as they like."""
    module, _, attributes = system["backend"].partition(":")
    sys.path[:0] = [os.path.abspath(path) for path in system["backend-path"]]
    backend = importlib.import_module(module)
    backend = functools.reduce(getattr, attributes.split(".") if attributes else [], backend)
    hook = getattr(backend, "get_requires_for_build_wheel", None)
    return list(hook(settings) or []) if hook else []


def apply_patches(patches, source):
    """In their order; every line of context has to be there, though it may stand elsewhere in the file."""
    for patch in patches:
        print("applying the patch " + patch["name"], flush=True)
        command = ["patch", "-p1", "-N", "-f", "-F0", "--no-backup-if-mismatch", "-i", "/in/" + patch["input"]]
        if subprocess.run(command, cwd=source, stdin=subprocess.DEVNULL).returncode:
            with open("/build/out/patch-failed", "w") as file:
                file.write(patch["name"])
            sys.exit("error: the patch %s does not apply" % patch["name"])


def main():
    with open("/in/job.json") as file:
        job = json.load(file)
    top = source_directory()
    source = os.path.join(top, job.get("subdirectory") or "")
    os.chdir(source)
    if sys.argv[1:] == ["requires"]:
        requires = dynamic_requirements(job["build-system"], job["config-settings"])
        with open("/build/requires.json", "w") as file:
            json.dump(requires, file)
        return
    apply_patches(job["patches"], top)
    # In a process of its own: the back end must not see what the hook left behind.
    asked = subprocess.run([sys.executable, "-B", __file__, "requires"])
    if asked.returncode:
        sys.exit(asked.returncode)
    with open("/build/requires.json") as file:
        requires = json.load(file)
    if requires:
        satisfied = subprocess.run([UV, "pip", "install", "--quiet", *OFFLINE, "--", *requires], stderr=subprocess.DEVNULL)
        if satisfied.returncode:
            # The coordinator resolves and fetches these, and starts again with them.
            print("the build back end also requires: " + ", ".join(requires))
            os.replace("/build/requires.json", "/build/out/requires.json")
            return
    settings = []
    for name, value in job["config-settings"].items():
        for item in value if isinstance(value, list) else [value]:
            settings += ["--config-setting", "%s=%s" % (name, item)]
    build = [UV, "build", "--wheel", *OFFLINE, "--no-build-isolation", "--out-dir", "/build/out", *settings, source]
    sys.exit(subprocess.run(build).returncode)


main()
