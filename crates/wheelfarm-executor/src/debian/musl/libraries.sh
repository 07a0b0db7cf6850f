#!/bin/sh
# Makes a Debian root a builder for musl. Runs inside it, as root, in the directory of Debian's source packages of the
# libraries, which it compiles: each becomes a package of this root, so that it is known what which library came from.
set -eu
umask 022
triplet=$(dpkg-architecture -qDEB_HOST_MULTIARCH | sed s/gnu/musl/)
include=/usr/include/$triplet
lib=/usr/lib/$triplet

# The kernel's headers belong to no C library.
for directory in linux asm-generic mtd; do ln -sfn "../$directory" "$include/$directory"; done
ln -sfn "../$(dpkg-architecture -qDEB_HOST_MULTIARCH)/asm" "$include/asm"

# Compilers and pkg-config under the names that builds call. What they make is for musl, and they say so.
cat >/usr/local/bin/musl-gcc <<END
#!/bin/sh
case " \$* " in
*" -print-multiarch "* | *" --print-multiarch "* | " -dumpmachine ") echo $triplet ;;
*) REALGCC=/usr/bin/$(uname -m)-linux-gnu-gcc exec /usr/bin/musl-gcc "\$@" ;;
esac
END
cat >/usr/local/bin/musl-g++ <<END
#!/bin/sh
echo "error: this builder has no C++ library for musl" >&2
exit 1
END
cat >/usr/local/bin/pkg-config <<END
#!/bin/sh
export PKG_CONFIG_LIBDIR=$lib/pkgconfig
exec /usr/bin/pkg-config "\$@"
END
chmod 755 /usr/local/bin/*
for name in cc gcc; do ln -s musl-gcc /usr/local/bin/$name; done
for name in c++ g++; do ln -s musl-g++ /usr/local/bin/$name; done
for name in gcc g++; do ln -s musl-$name "/usr/local/bin/$(uname -m)-linux-gnu-$name"; done

configured() {
    ./configure --quiet --build="$triplet" --prefix=/usr --libdir="$lib" --includedir="$include" --disable-static "$@"
    make --silent
    make --silent install DESTDIR="$root"
}

compile() {
    case $1 in
    zlib)
        ./configure --libdir="$lib" --sharedlibdir="$lib" --includedir="$include" --prefix=/usr
        make --silent
        make --silent install DESTDIR="$root"
        ;;
    bzip2)
        make --silent -f Makefile-libbz2_so CC="$CC"
        mkdir -p "$root$lib" "$root$include"
        cp libbz2.so.1.0.8 "$root$lib"
        for name in libbz2.so libbz2.so.1 libbz2.so.1.0; do ln -s libbz2.so.1.0.8 "$root$lib/$name"; done
        cp bzlib.h "$root$include"
        ;;
    # Trampolines that need memory of their own kind are not for musl, says Alpine.
    libffi) configured --disable-docs --disable-multi-os-directory --disable-exec-static-tramp ;;
    xz-utils) configured --disable-nls --disable-doc --disable-scripts --disable-xz --disable-xzdec --disable-lzmadec \
        --disable-lzmainfo --disable-lzma-links ;;
    openssl)
        # One library with all algorithms: no modules that would have to be found where it is used.
        ./Configure "linux-$(uname -m)" no-tests no-module no-afalgeng \
            --prefix=/usr --libdir="lib/$triplet" --openssldir=/etc/ssl
        # Static ones would be compiled a second time.
        make --silent build_libs LIBS=
        make --silent install_dev LIBS= INSTALL_LIBS= DESTDIR="$root"
        # Its headers are always below the prefix.
        mkdir -p "$root/usr/include/$triplet"
        mv "$root/usr/include/openssl" "$root/usr/include/$triplet"
        ;;
    *)
        echo "it is not known how to compile $1" >&2
        return 1
        ;;
    esac
}

export CC=musl-gcc MAKEFLAGS="-j$(nproc)"
for description in *.dsc; do
    source=$(sed -n 's/^Source: //p' "$description")
    version=$(sed -n 's/^Version: //p' "$description")
    echo "compiling $source $version for musl" >&2
    root=$PWD/root-$source
    # apt has checked it.
    dpkg-source --no-check -x "$description" "$source" >/dev/null
    (cd "$source" && compile "$source" >/dev/null)
    # Only what programs are compiled and run with.
    rm -rf "$root/usr/share" "$root/usr/bin"
    find "$root" \( -name '*.a' -o -name '*.la' \) -delete
    strip --strip-unneeded "$root$lib"/*.so.*
    mkdir -p "$root/DEBIAN" "$root/usr/share/doc/$source-musl"
    cp "$source/debian/copyright" "$root/usr/share/doc/$source-musl"
    cat >"$root/DEBIAN/control" <<END
Package: $source-musl
Source: $source
Version: $version
Architecture: $(dpkg --print-architecture)
Maintainer: wheelfarm
Description: $source, compiled for musl
END
    dpkg-deb --root-owner-group -b "$root" "$source.deb" >/dev/null
    dpkg -i "$source.deb" >/dev/null
done
