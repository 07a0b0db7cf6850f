# For engines that lay inputs into a new directory for each action, beside the image's own files; the working directory is
# `build` in it. What is built must not depend on that, so inputs get the places that they have elsewhere: in a mount
# namespace of their own, over the image's files, which stay as they are; and with a network namespace of its own unless
# the action may use the network.
# usage: places.sh NETWORK 'PLACE...' COMMAND...
set -eu
root=${PWD%/build}
network=$1
places=$2
shift 2
export WHEELFARM_ROOT="$root" WHEELFARM_PLACES="$places"
enter='set -eu
new=$WHEELFARM_ROOT/.wheelfarm
mkdir "$new"
mount -t tmpfs tmpfs "$new"
mkdir "$new/upper" "$new/work" "$new/root"
top=
if mount -t overlay overlay -o "lowerdir=/,upperdir=$new/upper,workdir=$new/work" "$new/root" 2>/dev/null; then
    top=$new/root
    for place in dev proc sys; do
        mount --rbind "/$place" "$top/$place"
    done
fi
for place in $WHEELFARM_PLACES; do
    mkdir -p "$top/$place"
    mount --bind "$WHEELFARM_ROOT/$place" "$top/$place"
done
mount -t tmpfs -o mode=1777 tmpfs "$top/tmp"
unset WHEELFARM_ROOT WHEELFARM_PLACES
exec chroot "${top:-/}" /bin/sh -c "cd /build && exec \"\$@\"" enter "$@"'
if [ "$network" = no ]; then
    exec unshare --user --map-root-user --mount --pid --fork --kill-child --net -- /bin/sh -c "$enter" enter "$@"
fi
exec unshare --user --map-root-user --mount --pid --fork --kill-child -- /bin/sh -c "$enter" enter "$@"
