#!/bin/sh
# The container's main program. With arguments it runs that command of market-photos once. Without, it syncs now and
# every 24 hours until the container is stopped. A stop reaches the sync, which ends within 10 seconds.
set -u

if [ "$#" -gt 0 ]; then
    exec market-photos "$@"
fi

child=
night=
stop() {
    trap - TERM INT
    [ -n "$night" ] && kill "$night" 2>/dev/null
    [ -n "$child" ] && kill -TERM "$child" 2>/dev/null && wait "$child"
    exit 143
}
trap stop TERM INT

while :; do
    sleep "${NIGHTLY_SECONDS:-86400}" &
    night=$!
    market-photos sync --log-format json &
    child=$!
    wait "$child"
    child=
    wait "$night"
done
