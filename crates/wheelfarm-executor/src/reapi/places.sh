# For engines that lay inputs into a new directory for each action, beside the image's own files; the working directory is
# `build` in it. What is built must not depend on that, so inputs get the places that they have elsewhere: in a mount
# namespace of their own, beside the image's files, of which nothing is changed; and with a network namespace of its own unless
# the action may use the network.
# usage: places.sh NETWORK 'PLACE...' COMMAND...
set -eu
root=${PWD%/build}
network=$1
places=$2
shift 2
export WHEELFARM_ROOT="$root" WHEELFARM_PLACES="$places"
enter='set -eu
top=$WHEELFARM_ROOT/.wheelfarm
mkdir "$top"
mount -t tmpfs tmpfs "$top"
leads() {
    for place in $WHEELFARM_PLACES; do
        case $place/ in "$1"/*) return 0 ;; esac
    done
    return 1
}
show() {
    for entry in "/$1"*; do
        name=${entry#/}
        if [ -L "$entry" ]; then
            cp -P "$entry" "$top/$name"
        elif leads "$name"; then
            mkdir -p "$top/$name"
            show "$name/"
        elif [ -d "$entry" ]; then
            mkdir "$top/$name"
            mount --rbind "$entry" "$top/$name"
        elif [ -e "$entry" ]; then
            : >"$top/$name"
            mount --bind "$entry" "$top/$name"
        fi
    done
}
show ""
for place in $WHEELFARM_PLACES; do
    mkdir -p "$top/$place"
    mount --bind "$WHEELFARM_ROOT/$place" "$top/$place"
done
mount -t tmpfs -o mode=1777 tmpfs "$top/tmp"
exec chroot "$top" /bin/sh -c "unset WHEELFARM_ROOT WHEELFARM_PLACES; cd /build && exec \"\$@\"" enter "$@"'
if [ "$network" = no ]; then
    exec unshare --user --map-root-user --mount --pid --fork --kill-child --net -- /bin/sh -c "$enter" enter "$@"
fi
exec unshare --user --map-root-user --mount --pid --fork --kill-child -- /bin/sh -c "$enter" enter "$@"
