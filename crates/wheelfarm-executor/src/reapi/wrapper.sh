# Runs the command with all it prints on stderr, in the order in which it is printed, and says how it ended: without
# that, the sandbox did not start, or everything in it was killed. First the inputs are compared with their digests:
# storage may hand out less than it was given. What cannot be compared is not right either: the program that compares comes
# from the same storage.
# usage: wrapper.sh LIST SHA256-OF-LIST COMMAND...
umask 022
mkdir -p out
exec 1>&2
list=$1
digest=$2
shift 2
if command -v sha256sum >/dev/null; then
    # An empty list is an error for some.
    if ! compared=$(
        echo "$digest  $list" | sha256sum -c - 2>&1 &&
            { [ ! -s "$list" ] || sha256sum -c "$list" 2>&1; }
    ); then
        echo "$compared" | grep -v ': OK$'
        echo damaged >status
        exit 1
    fi
fi
"$@"
code=$?
echo "$code" >status
exit "$code"
