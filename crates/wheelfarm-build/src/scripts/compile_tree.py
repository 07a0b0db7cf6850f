"""Compiles the modules in /in/modules.tar to /build/out/bytecode.tar, for a tree that will lie at PREFIX.

usage: compile_tree.py PREFIX

No module is run. What does not compile is left out, as installers do: packages carry templates that are no Python.
"""

import importlib.util
import os
import py_compile
import sys
import tarfile

TREE = "/build/tree"


def main(prefix):
    with tarfile.open("/in/modules.tar") as modules, tarfile.open("/build/out/bytecode.tar", "w") as bytecode:
        for member in modules:
            source = os.path.join(TREE, member.name)
            os.makedirs(os.path.dirname(source), exist_ok=True)
            with open(source, "wb") as file:
                file.write(modules.extractfile(member).read())
            name = importlib.util.cache_from_source(member.name)
            compiled = os.path.join("/build", "compiled.pyc")
            try:
                py_compile.compile(
                    source,
                    compiled,
                    os.path.join(prefix, member.name),
                    doraise=True,
                    invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
                )
            except Exception as error:
                print("%s is left out: %s" % (member.name, str(error).splitlines()[-1:]))
                continue
            finally:
                os.remove(source)
            info = tarfile.TarInfo(name)
            info.size = os.path.getsize(compiled)
            with open(compiled, "rb") as file:
                bytecode.addfile(info, file)


main(*sys.argv[1:])
