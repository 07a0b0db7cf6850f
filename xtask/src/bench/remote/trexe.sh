# usage: trexe.sh ADDRESS PROPERTIES INPUTS NUMBER SCRIPT WANTED
# Runs trexe once, and prints what it took in seconds: wall, user, system. Its metadata must have WANTED in it.
address=$1 properties=$2 inputs=$3 number=$4 script=$5 wanted=$6
rm -rf /tmp/bench/out
TIMEFORMAT='%3R %3U %3S'
if ! { time trexe --remote="$address" --platform-properties="$properties" --env=PATH=/usr/bin:/bin \
    --env=NUMBER="$number" --input-path="$inputs:in" --output-path=out --output-path=status --d=/tmp/bench/out \
    --result-metadata-file=/tmp/bench/metadata -- /bin/sh -euc "mkdir out; $script; echo 0 >status" \
    >/tmp/bench/log 2>&1; } 2>&1 || [ ! -s /tmp/bench/out/status ] || ! grep -q "$wanted" /tmp/bench/metadata; then
    cat /tmp/bench/log /tmp/bench/metadata >&2
    exit 1
fi
