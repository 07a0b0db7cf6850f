import os, platform, subprocess, sys

# The loader that this Python was started by knows where it looks.
interpreter = os.path.realpath(sys.executable)
loader = None
with open("/proc/self/maps") as maps:
    for line in maps:
        name = line.split()[-1]
        # The file itself, which up to glibc 2.33 has a name of its own.
        if os.path.basename(name).startswith(("ld-linux", "ld-musl", "ld-2.")):
            loader = name
if loader is None:
    sys.exit("no loader")
objects = []
for top in ("/opt", "/app", "/usr/local", os.path.dirname(os.__file__)):
    for directory, _, files in os.walk(top):
        for name in files:
            if name.endswith(".so") or ".so." in name:
                objects.append(os.path.join(directory, name))
if not objects:
    sys.exit("no shared object at all")
for path in sorted(set(objects)):
    done = subprocess.run([loader, "--list", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    for line in done.stdout.splitlines():
        # musl's loader names the symbols of Python itself, which an extension module gets from who loads it.
        if "not found" in line and "symbol" not in line and "Py" not in line or "Error loading shared library" in line:
            print(path, line.strip())
