#!/bin/sh
# Installs wheels into a bare runtime and imports what is in them.
# usage: prove.sh PYTHON
set -eu
export UV_CACHE_DIR=/build/.uv UV_OFFLINE=1 UV_NO_CONFIG=1 UV_PYTHON_DOWNLOADS=never
/tools/uv/uv pip install --quiet --python "$1" --no-index --no-deps --target /build/site /in/wheels/*.whl
exec "$1" -B /in/prove.py
