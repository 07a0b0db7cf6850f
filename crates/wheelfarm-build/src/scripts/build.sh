#!/bin/sh
# Builds one wheel in a container without network. /in/job.json says what; see build.py for the rest.
# usage: build.sh PYTHON SDIST
set -eu
umask 022
export UV_CACHE_DIR=/build/.uv UV_OFFLINE=1 UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never
# Fixed paths, not uv's random ones: compilers write paths into what they make.
/tools/uv/uv venv --quiet --python "$1" /build/env
if [ -s /in/wheels/requirements.txt ]; then
    /tools/uv/uv pip install --quiet --python /build/env/bin/python --no-index --find-links /in/wheels \
        --no-deps --require-hashes --requirements /in/wheels/requirements.txt
fi
mkdir /build/src
case "$2" in
*.zip) /build/env/bin/python -m zipfile -e "$2" /build/src ;;
*) tar -xzf "$2" -C /build/src --no-same-owner ;;
esac
# Compilers that look into a cache first: not part of any key.
export VIRTUAL_ENV=/build/env PATH="${WHEELFARM_COMPILERS:+$WHEELFARM_COMPILERS:}/build/env/bin:$PATH"
exec python -B /in/build.py
