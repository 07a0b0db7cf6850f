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
libraries=
if command -v musl-gcc >/dev/null; then
    # A builder for musl: a Debian whose own Python would be for glibc. Its triplet is in the names of extension modules.
    triplet=$(musl-gcc -print-multiarch)
    set -- --build="$triplet" "$@"
    export CC=musl-gcc
    # Systems with musl have none of the libraries: they go with the modules, which find them from where they lie.
    libraries=/usr/lib/$triplet
    export LD_RUN_PATH=\$ORIGIN/../..
fi
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
if [ -n "$libraries" ]; then
    # Each under the name that modules ask for, and with those that it needs itself.
    needed() { readelf -d "$@" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p' | sort -u; }
    for name in $(needed lib/python*/lib-dynload/*.so); do
        for name in "$name" $(needed "$libraries/$name"); do
            if [ "$name" != libc.so ]; then cp -L "$libraries/$name" lib; fi
        done
    done
fi
strip --strip-unneeded "$(readlink -f bin/python3)" lib/python*/lib-dynload/*.so
# Python 3.9 marks shared constants by how often they happen to be in use: its byte code would differ each time.
if [ "$release" != 3.9 ]; then
    PYTHONHOME=$PWD bin/python3 -B -m compileall -q -j "$jobs" --invalidation-mode unchecked-hash \
        -s /build/root lib/python"$release"* >/dev/null
fi
mkdir -p /build/out
tar -C "/build/root$prefix" --sort=name --owner=0 --group=0 --numeric-owner --mtime=@"$SOURCE_DATE_EPOCH" -cf - . |
    gzip -n -6 >/build/out/python.tar.gz
