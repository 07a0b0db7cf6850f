# Makes a compiled Python that was unpacked to /usr/local at home there, and gives it the pip that CPython comes with.
set -eu
cd /usr/local
for script in bin/*; do
    # Scripts begin with the interpreter's path where it was compiled for.
    if [ -f "$script" ] && [ ! -L "$script" ] && [ "$(head -c 2 "$script")" = '#!' ]; then
        sed -i '1s,^#!/opt/python/[^/]*/bin/,#!/usr/local/bin/,' "$script"
    fi
done
export SOURCE_DATE_EPOCH=315532800 PYTHONHASHSEED=0
bin/python3 -m ensurepip --default-pip
find lib/python3*/site-packages -name __pycache__ -prune -exec rm -r {} +
bin/python3 -m compileall -q --invalidation-mode unchecked-hash lib/python3*/site-packages
