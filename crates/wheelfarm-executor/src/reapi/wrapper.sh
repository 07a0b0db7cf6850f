# Runs the command with all it prints on stderr, in the order in which it is printed, and says how it ended: without
# that, the sandbox did not start, or everything in it was killed.
umask 022
mkdir -p out
exec 1>&2
"$@"
code=$?
echo "$code" >status
exit "$code"
