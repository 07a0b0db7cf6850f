# For engines that lay inputs into a new directory for each action, beside the image's own files; the working directory is
# `build` in it. What is built must not depend on that, so both get the places that they have elsewhere: in a
# mount namespace of their own, with a network namespace of its own unless the action may use the network.
# usage: places.sh NETWORK 'PLACE...' COMMAND...
set -eu
root=${PWD%/build}
network=$1
places=$2
shift 2
export WHEELFARM_ROOT="$root" WHEELFARM_PLACES="$places"
enter='set -eu
for place in $WHEELFARM_PLACES; do
    mkdir -p "/$place"
    mount --bind "$WHEELFARM_ROOT/$place" "/$place"
done
mount -t tmpfs -o mode=1777 tmpfs /tmp
unset WHEELFARM_ROOT WHEELFARM_PLACES
cd /build
exec "$@"'
if [ "$network" = no ]; then
    exec unshare --user --map-root-user --mount --pid --fork --kill-child --net -- /bin/sh -c "$enter" enter "$@"
fi
exec unshare --user --map-root-user --mount --pid --fork --kill-child -- /bin/sh -c "$enter" enter "$@"
