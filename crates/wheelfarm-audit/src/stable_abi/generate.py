"""Writes symbols.txt: `python3 generate.py > symbols.txt` where abi3info is installed."""

import importlib.metadata

import abi3info

# Not on Linux, or only in interpreters made for debugging, which no wheel's tag asks for.
ABSENT = {"MS_WINDOWS", "USE_STACKCHECK", "Py_REF_DEBUG", "Py_TRACE_REFS"}

versions = {}
for item in [*abi3info.FUNCTIONS.values(), *abi3info.DATAS.values()]:
    if item.ifdef is None or item.ifdef.name not in ABSENT:
        version = (item.added.major, item.added.minor)
        versions.setdefault(version, set()).add(item.symbol.name)
print(f"# From abi3info {importlib.metadata.version('abi3info')} by generate.py; see README.md.")
for (major, minor), names in sorted(versions.items()):
    print(f"{major}.{minor}", *sorted(names))
