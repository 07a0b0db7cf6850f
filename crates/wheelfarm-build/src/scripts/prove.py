"""Installs wheels, imports every module they bring, each in a process of its own, and writes what happened.

Runs in a bare runtime: with the standard library, without pip or any other installer.
"""

import glob
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile

SITE = "/build/site"

# What the dynamic linker says through an ImportError when a library or symbol is not there.
LINKER = ("cannot open shared object file", "undefined symbol", "not found (required by", "wrong ELF class",
          "invalid ELF header", "cannot enable executable stack", "cannot allocate memory in static TLS block")

ENVIRONMENT = dict(os.environ, LD_BIND_NOW="1", PYTHONPATH=SITE, PYTHONDONTWRITEBYTECODE="1")


def install():
    """Unpacks all wheels as an installer would: what is for site-packages, to one directory."""
    for wheel in sorted(glob.glob("/in/wheels/*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(SITE)
    for part in ("purelib", "platlib"):
        for directory in glob.glob(os.path.join(SITE, "*.data", part)):
            shutil.copytree(directory, SITE, dirs_exist_ok=True)


def run(command):
    """The command's last line of output if it failed, and whether a killed process or the linker is to blame."""
    try:
        done = subprocess.run(command, env=ENVIRONMENT, cwd="/tmp", timeout=120, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    except subprocess.TimeoutExpired:
        return "no end after 120 s", True
    if done.returncode == 0:
        return None, False
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "no output"
    if done.returncode < 0:
        return "killed by signal %d: %s" % (-done.returncode, last), True
    return last, any(sign in done.stdout for sign in LINKER)


def prove(wheel):
    imported, noted, failed = [], {}, {}
    for module in wheel["modules"]:
        error, fatal = run([sys.executable, "-c", "import importlib; importlib.import_module(%r)" % module])
        if error is None:
            imported.append(module)
        elif fatal:
            failed[module] = error
        else:
            noted[module] = error
    if wheel["modules"] and not imported and not failed:
        failed = noted
    if wheel["test"]:
        # "python" in a recipe's test is this interpreter.
        words = [sys.executable if word == "python" else word for word in shlex.split(wheel["test"])]
        error, _ = run(words)
        if error is not None:
            failed[wheel["test"]] = error
    print("%s: imported %s" % (wheel["project"], ", ".join(imported) or "nothing"))
    for what, error in sorted(failed.items()):
        print("%s: %s failed: %s" % (wheel["project"], what, error))
    return {"imported": imported, "noted": noted, "failed": failed}


def main():
    with open("/in/prove.json") as file:
        wheels = json.load(file)
    install()
    with open("/build/out/proof.json", "w") as file:
        json.dump({wheel["project"]: prove(wheel) for wheel in wheels}, file)


main()
