#!/bin/sh
# Makes a database cluster if PGDATA has none, and runs the server. POSTGRES_PASSWORD, POSTGRES_USER and POSTGRES_DB mean
# what they mean for the official image.
set -eu

if [ "${1:-}" != postgres ]; then
    exec "$@"
fi

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "error: there is no database yet, and POSTGRES_PASSWORD is not set" >&2
        exit 1
    fi
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    password=$(mktemp)
    printf '%s\n' "$POSTGRES_PASSWORD" >"$password"
    initdb --pgdata "$PGDATA" --username "$user" --pwfile "$password" --encoding UTF8 --locale C.UTF-8 \
        --auth-local trust --auth-host scram-sha-256
    rm "$password"
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    if [ "$database" != postgres ]; then
        # Quotes in a quoted name are doubled.
        quoted=$(printf '%s' "$database" | sed 's/"/""/g')
        echo "CREATE DATABASE \"$quoted\"" | postgres --single -D "$PGDATA" postgres >/dev/null
    fi
fi

# The server takes SIGTERM for "when all clients have gone"; who stops a container means now.
shift
postgres -c 'listen_addresses=*' "$@" &
server=$!
trap 'kill -INT $server' TERM INT
while kill -0 $server 2>/dev/null; do
    code=0
    wait $server || code=$?
done
exit $code
