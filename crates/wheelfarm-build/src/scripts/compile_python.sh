#!/bin/sh
# Compiles CPython in a container without network, from /in/source, and leaves /build/out/python.tar.gz: what belongs
# below the prefix, as official build images have it, without tests and static libraries.
# usage: compile_python.sh VERSION PREFIX JOBS, where a VERSION that ends with t is the free-threaded build
set -eu
umask 022
version=$1 prefix=$2 jobs=$3
release=${version%t}
mkdir /build/src /build/root
cd /build/src
tar -xf /in/source --strip-components=1 --no-same-owner
set --
if [ "$version" != "$release" ]; then set -- --disable-gil; fi
# In the variables that extension modules do not inherit. OPT they do: without debug information.
export OPT="-DNDEBUG -fwrapv -O3 -Wall" CFLAGS_NODIST="-ffile-prefix-map=/build/src=."
./configure --quiet --prefix="$prefix" --disable-shared --disable-test-modules --without-static-libpython \
    --without-ensurepip "$@"
make --silent -j"$jobs"
# The byte code is compiled below: instead of the compiler's work its help is asked for.
make --silent install DESTDIR=/build/root COMPILEALL_OPTS=--help >/build/install.log
cd "/build/root$prefix"
[ -e bin/python ] || ln -s python3 bin/python
find . -depth -type d \( -name test -o -name tests -o -name idle_test -o -name __pycache__ \) -exec rm -rf {} +
rm -rf share
find . -name '*.a' -delete
strip --strip-unneeded "$(readlink -f bin/python3)" lib/python*/lib-dynload/*.so
# Python 3.9 marks shared constants by how often they happen to be in use: its byte code would differ each time.
if [ "$release" != 3.9 ]; then
    PYTHONHOME=$PWD bin/python3 -B -m compileall -q -j "$jobs" --invalidation-mode unchecked-hash \
        -s /build/root lib/python"$release"* >/dev/null
fi
mkdir -p /build/out
tar -C "/build/root$prefix" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@"$SOURCE_DATE_EPOCH" -cf - . |
    gzip -n -6 >/build/out/python.tar.gz
