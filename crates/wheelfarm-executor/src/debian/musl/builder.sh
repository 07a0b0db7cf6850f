# Makes a Debian root a builder for musl. $1: the root; the rest: source packages of the libraries to compile in it.
# Runs where mmdebstrap does, since that has apt's configuration and the network; what it gets is compiled in the root.
set -eu
root=$1
scripts=$(dirname "$0")
shift
mkdir "$root"/build
cp "$scripts"/libraries.sh "$root"/build
cp "$root"/etc/apt/sources.list "$root"/build/packages.list
sed -i 's/^deb /deb-src /' "$root"/etc/apt/sources.list
cd "$root"/build
export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
apt-get -q update

# The newest version that can be had: a mirror that is being updated may list one that it does not have.
get() {
    for version in $(apt-cache showsrc --only-source "$1" | sed -n 's/^Version: //p' | sort -ruV); do
        if apt-get source -q --download-only --only-source "$1=$version"; then return; fi
        rm -f -- "$1"_*
    done
    echo "the source of $1 could not be had" >&2
    return 1
}
for package; do get "$package"; done
mv packages.list "$root"/etc/apt/sources.list

chroot "$root" /bin/sh -c 'cd /build && exec /bin/sh libraries.sh'
cd /
rm -r "$root"/build
