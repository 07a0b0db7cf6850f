"""Picks the files of a distroless Python out of the root that this runs in: `pick.py DIRECTORY PACKAGE...`."""

import compileall
import os
import py_compile
import re
import shutil
import subprocess
import sys
from pathlib import Path

# What no service loads, or what needs a program that is not there.
LEFT_OUT = re.compile(
    r"""
      /etc/(dpkg|issue|issue\.net|profile\.d|skel|update-motd\.d|ca-certificates|python3?.*)(/.*)?
    | /usr/(s?bin|games|include|src|local)(/.*)?
    | /usr/lib/(binfmt\.d|valgrind|ssl/misc)(/.*)?
    | /usr/lib/python3/.*
    | /usr/lib/x86_64-linux-gnu/(audit|libc_malloc_debug|libmemusage|libpcprofile|libthread_db)(\.so.*|/.*)?
    | /usr/lib/x86_64-linux-gnu/lib(form|menu|tic|history)w?\.so.*
    | /usr/lib/python3\.11/(ensurepip|idlelib|lib2to3|msilib|pydoc_data|test|tkinter|turtledemo|venv|config-.*)(/.*)?
    | /usr/lib/python3\.11/(sitecustomize|_pydecimal|pydoc|turtle)\.py
    # Modules that test the interpreter; NIS, whose libraries bring Kerberos with them, and which Python 3.13 has dropped;
    # Berkeley DB, without which `dbm` takes another.
    | /usr/lib/python3\.11/lib-dynload/(_test.*|_ctypes_test.*|_xxtestfuzz.*|xxlimited.*|nis|ossaudiodev|_dbm)\.cpython.*
    | .*/__pycache__(/.*)?
    | /usr/share/doc/.*/(FAQ|examples|.*\.gz)(/.*)?
    | /usr/share/(base-files|bash-completion|bug|binfmts|ca-certificates|dict|info|lintian|locale|man|menu|misc|pixmaps|python3.*)(/.*)?
    | /usr/share/(applications|games|perl5|readline)(/.*)?
    | /usr/share/zoneinfo/(posix|right)(/.*)?
    | /(boot|dev|media|mnt|opt|proc|srv|sys)
    | /var/(backups|cache|mail|opt|spool|local|lib/misc)(/.*)?
    """,
    re.VERBOSE,
)
PYTHON = "usr/bin/python3.11"
# Conversions between encodings that C libraries may ask for: the few that glibc counts as its own, not the extra ones.
GCONV = "usr/lib/x86_64-linux-gnu/gconv"
PASSWD = """\
root:x:0:0:root:/root:/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin
nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin
"""
GROUP = "root:x:0:\nnobody:x:65534:\ntty:x:5:\nstaff:x:50:\nnonroot:x:65532:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"


def main():
    target = Path(sys.argv[1])
    target.mkdir(mode=0o755)
    for link in ("bin", "lib", "lib64", "sbin"):
        (target / link).symlink_to(f"usr/{link}")
        (target / "usr" / link).mkdir(parents=True, exist_ok=True)
    for package in sys.argv[2:]:
        for path in files(package):
            copy(path, target)
        describe(package, target)
    copy("/" + PYTHON, target)
    for name in ("python3", "python"):
        (target / "usr/bin" / name).symlink_to("python3.11")
    leave_out_extra_encodings(target / GCONV)
    write(target / "etc/passwd", PASSWD)
    write(target / "etc/group", GROUP)
    write(target / "etc/nsswitch.conf", NSSWITCH)
    copy("/etc/ld.so.conf", target)
    copy("/etc/ssl/certs/ca-certificates.crt", target)
    directory(target / "run", 0o755)
    directory(target / "tmp", 0o1777)
    directory(target / "var/tmp", 0o1777)
    directory(target / "root", 0o700)
    directory(target / "home/nonroot", 0o700)
    os.chown(target / "home/nonroot", 65532, 65532)
    compile_modules(target)
    subprocess.run(["ldconfig", "-r", target, "-X"], check=True)
    shutil.rmtree(target / "var/cache", ignore_errors=True)


def files(package):
    """Paths of a package that are kept, directories first; those of merged directories below /usr."""
    listed = subprocess.run(["dpkg", "-L", package], check=True, capture_output=True, text=True)
    paths = {re.sub(r"^/(bin|lib|lib64|sbin)/", r"/usr/\1/", path) for path in listed.stdout.splitlines()}
    return [path for path in sorted(paths) if not LEFT_OUT.fullmatch(path)]


def copy(path, target):
    """Copies a file or link, or makes the directory, if it is there: dpkg was told to leave some out."""
    source = Path(path)
    copied = target / path.lstrip("/")
    if not os.path.lexists(source) or os.path.lexists(copied):
        return
    if source.is_dir() and not source.is_symlink():
        # It is made with the first file in it.
        return
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, copied, follow_symlinks=False)


def describe(package, target):
    """What dpkg knows of it, where scanners look in images without dpkg."""
    known = subprocess.run(["dpkg", "--status", package], check=True, capture_output=True, text=True).stdout
    known = re.sub(r"^(Status|Conffiles):.*\n( .*\n)*", "", known, flags=re.MULTILINE)
    write(target / "var/lib/dpkg/status.d" / package, known)


def leave_out_extra_encodings(gconv):
    lines = (gconv / "gconv-modules").read_text().splitlines()
    own = {line.split()[3] + ".so" for line in lines if line.startswith("module")}
    for path in gconv.glob("*.so"):
        if path.name not in own:
            path.unlink()
    shutil.rmtree(gconv / "gconv-modules.d")
    # It names those that are gone.
    (gconv / "gconv-modules.cache").unlink()


def compile_modules(target):
    """Byte code that Python believes without a look at the source: nobody can write to either."""
    compiled = compileall.compile_dir(
        target / "usr/lib/python3.11",
        stripdir=target,
        prependdir="/",
        quiet=1,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit("a module could not be compiled")


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def directory(path, mode):
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)


main()
