# Makes a root that has musl and nothing of glibc, in which busybox is every command. $1: the root, with musl and
# busybox-static unpacked.
set -eu
root=$1
# What apt left goes with this. Authorities' certificates are data, but their package needs much that is for glibc.
mkdir -p "$root"/certificates "$root"/etc/ssl/certs
cd "$root"/certificates
APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q download ca-certificates
dpkg-deb -x ca-certificates_*.deb .
find usr/share/ca-certificates -name '*.crt' | LC_ALL=C sort | xargs sed -e '$a\' >"$root"/etc/ssl/certs/ca-certificates.crt
ln -s certs/ca-certificates.crt "$root"/etc/ssl/cert.pem
cd /
rm -rf "$root"/certificates "$root"/etc/apt "$root"/etc/dpkg "$root"/etc/fstab "$root"/etc/hostname "$root"/etc/resolv.conf \
    "$root"/tmp "$root"/var

# Where musl looks when nobody says otherwise, as on Alpine.
rm -r "$root"/etc/ld-musl-* "$root"/usr/bin/ld-musl-config "$root"/usr/share
mv "$root/lib/$(uname -m)-linux-musl/libc.so" "$root/lib/ld-musl-$(uname -m).so.1"
rmdir "$root/lib/$(uname -m)-linux-musl"

mkdir -p "$root"/dev "$root"/proc "$root"/sys "$root"/run "$root"/opt "$root"/home "$root"/sbin "$root"/usr/sbin \
    "$root"/usr/local "$root"/var/log
mkdir -p -m 700 "$root"/root
mkdir -p -m 1777 "$root"/tmp "$root"/var/tmp
chroot "$root" /bin/busybox --install -s
cat >"$root"/etc/passwd <<END
root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/nonexistent:/bin/false
END
cat >"$root"/etc/group <<END
root:x:0:
nogroup:x:65534:
END
cat >"$root"/etc/shadow <<END
root:*:0::::::
nobody:*:0::::::
END
chmod 640 "$root"/etc/shadow
cat >"$root"/etc/os-release <<END
ID=wheelfarm-musl
ID_LIKE=debian
NAME="musl and busybox of Debian"
PRETTY_NAME="musl and busybox of Debian"
END
