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
from concurrent.futures import ThreadPoolExecutor

PREFIX = "/build/env"
PYTHON = os.path.join(PREFIX, "bin", "python")

# What the dynamic linker says through an ImportError when a library or symbol is not there.
LINKER = ("cannot open shared object file", "undefined symbol", "not found (required by", "wrong ELF class",
          "invalid ELF header", "cannot enable executable stack", "cannot allocate memory in static TLS block")

ENVIRONMENT = dict(os.environ, LD_BIND_NOW="1", PYTHONDONTWRITEBYTECODE="1",
                   PATH=os.path.join(PREFIX, "bin") + os.pathsep + os.environ.get("PATH", os.defpath))


def install():
    """Makes a virtual environment and unpacks all wheels into it, as an installer would."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", PREFIX], check=True)
    site = subprocess.run([PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"], check=True,
                          stdout=subprocess.PIPE, universal_newlines=True).stdout.strip()
    for wheel in sorted(glob.glob("/in/wheels/*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    for part, place in (("purelib", site), ("platlib", site), ("data", PREFIX)):
        for directory in glob.glob(os.path.join(site, "*.data", part)):
            shutil.copytree(directory, place, dirs_exist_ok=True)
    for script in glob.glob(os.path.join(site, "*.data", "scripts", "*")):
        install_script(script)
    # Zip files hold modes, which this module does not restore.
    for program in glob.glob(os.path.join(site, "*.scripts", "*")):
        os.chmod(program, 0o755)


def install_script(path):
    """A script that begins with `#!python` gets this environment's, as the specification of wheels has it."""
    with open(path, "rb") as file:
        first, rest = file.readline(), file.read()
    if first.startswith(b"#!python"):
        first = b"#!" + PYTHON.encode() + b"\n"
    place = os.path.join(PREFIX, "bin", os.path.basename(path))
    with open(place, "wb") as file:
        file.write(first + rest)
    os.chmod(place, 0o755)


def run(command, absent):
    """The command's last line of output if it failed, and whether a killed process or the linker is to blame.

    A library that is absent on purpose, since no package here has it, is nobody's fault."""
    try:
        done = subprocess.run(command, env=ENVIRONMENT, cwd="/tmp", timeout=120, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    except subprocess.TimeoutExpired:
        return "no end after 120 s", True
    except OSError as error:
        return str(error), False
    if done.returncode == 0:
        return None, False
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else "no output"
    if done.returncode < 0:
        return "killed by signal %d: %s" % (-done.returncode, last), True
    if any("%s: cannot open shared object file" % name in done.stdout for name in absent):
        return last, False
    return last, any(sign in done.stdout for sign in LINKER)


def prove(wheel):
    imported, noted, failed = [], {}, {}
    for module in wheel["modules"]:
        error, fatal = run([PYTHON, "-c", "import importlib; importlib.import_module(%r)" % module], wheel["absent"])
        if error is None:
            imported.append(module)
        elif fatal:
            failed[module] = error
        else:
            noted[module] = error
    if wheel["modules"] and not imported and not failed and not wheel["test"] and not wheel["absent"]:
        failed = noted
    if wheel["test"]:
        # "python" in a recipe's test is the environment's.
        error, fatal = run(shlex.split(wheel["test"]), wheel["absent"])
        if error is not None:
            (failed if fatal or not wheel["absent"] else noted)[wheel["test"]] = error
    lines = ["%s: imported %s" % (wheel["project"], ", ".join(imported) or "nothing")]
    lines += ["%s: %s failed: %s" % (wheel["project"], what, error) for what, error in sorted(failed.items())]
    # In one piece: others print at the same time.
    sys.stdout.write("".join(line + "\n" for line in lines))
    return {"imported": imported, "noted": noted, "failed": failed}


def main():
    with open("/in/prove.json") as file:
        wheels = json.load(file)
    install()
    # The threads wait for the processes that they start.
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        proofs = list(pool.map(prove, wheels))
    with open("/build/out/proof.json", "w") as file:
        json.dump({wheel["project"]: proof for wheel, proof in zip(wheels, proofs)}, file)


main()
