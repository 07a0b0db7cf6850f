"""Says what a compiled Python lacks, and writes its release to /build/out/release.

usage: check_python.py VERSION PREFIX
"""

import importlib
import os
import sys
import sysconfig

# What wheels' build back ends and tests count on, and what configure leaves out without an error.
NEEDED = ["bz2", "ctypes", "curses", "decimal", "hashlib", "lzma", "readline", "sqlite3", "ssl", "uuid", "zlib"]
# Those of them whose libraries builders for musl do not have.
NOT_FOR_MUSL = ["curses", "readline", "sqlite3"]


def main(version, prefix):
    release = version.rstrip("t")
    problems = []
    if sys.prefix != prefix or "%d.%d" % sys.version_info[:2] != release:
        problems.append("it is %s in %s" % (sys.version.split()[0], sys.prefix))
    if bool(sysconfig.get_config_var("Py_GIL_DISABLED")) != version.endswith("t"):
        problems.append("it is the other build of %s" % release)
    if not os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h")):
        problems.append("it has no headers")
    directory = os.path.join(sysconfig.get_path("platstdlib"), "lib-dynload")
    compiled = {name.split(".")[0] for name in os.listdir(directory)}
    musl = sysconfig.get_config_var("SOABI").endswith("-musl")
    needed = [module for module in NEEDED if not (musl and module in NOT_FOR_MUSL)]
    for module in sorted(compiled) + needed:
        try:
            importlib.import_module(module)
        except Exception as error:
            problems.append("%s cannot be imported: %s" % (module, error))
    for problem in problems:
        print(problem)
    if not problems:
        with open("/build/out/release", "w") as file:
            file.write(sys.version.split()[0].rstrip("+"))
    return bool(problems)


sys.exit(main(*sys.argv[1:]))
