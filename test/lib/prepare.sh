# Sourced first by every script in test/: whatever is missing is installed,
# the checkout is copied and built in a temporary directory, and everything is
# taken away again at the end.
#
#   hone_prepare            sets HONE_ROOT (checkout), HONE_WORK (temporary),
#                           HONE_SRC (the built copy), HONE_BIN and PG_CONFIG
#   hone_server NAME [opts] new private cluster, started; sets HONE_DATA
#   hone_say TEXT           a line of progress
#
# A script that run.sh started finds everything prepared and makes only its
# own servers.

HONE_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
. "$HONE_ROOT/test/lib/server.sh"
. "$HONE_ROOT/test/lib/install.sh"
. "$HONE_ROOT/test/lib/tap.sh"

HONE_SERVERS=()
HONE_OWNS_WORK=

hone_say() { printf '== %s\n' "$*"; }

hone_cleanup() {
    local data
    for data in "${HONE_SERVERS[@]}"; do hone_stop "$data" immediate; done
    if [ -n "$HONE_OWNS_WORK" ]; then rm -rf "$HONE_WORK"; fi
}

hone_prepare() {
    trap hone_cleanup EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    # Settings of the caller must not decide which server is used.
    unset PGDATABASE PGSERVICE PGPASSWORD PGOPTIONS PGHOSTADDR PGSSLMODE PGDATA PGTZ PGCLIENTENCODING
    export LC_ALL=C.UTF-8 PGTZ=UTC
    [ -z "${HONE_PREPARED:-}" ] || return 0
    hone_install_missing || exit 1
    HONE_WORK=$(mktemp -d "${HONE_TMPDIR:-/tmp}/pg_hone.XXXXXX")
    HONE_OWNS_WORK=yes
    chmod 755 "$HONE_WORK"
    hone_say "private copy of $("$PG_CONFIG" --version)"
    hone_private_pg "$HONE_WORK/pg"
    hone_build || exit 1
    HONE_PREPARED=yes
    export HONE_PREPARED HONE_WORK HONE_SRC
}

# The checkout may lie where the server's user cannot read, and may hold
# objects built for another server.
hone_build() {
    hone_say "building with -Wall -Wextra -Werror"
    HONE_SRC=$HONE_WORK/src
    mkdir "$HONE_SRC"
    (cd "$HONE_ROOT" && tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude='*.bc' \
        --exclude='./pg_hone--*.sql' --exclude=./results .) | tar -xf - --no-same-owner -C "$HONE_SRC"
    chmod -R a+rX "$HONE_SRC"
    if ! { make -s -C "$HONE_SRC" -j"$(nproc)" && make -s -C "$HONE_SRC" install; } >"$HONE_WORK/build.log" 2>&1; then
        cat "$HONE_WORK/build.log" >&2
        echo "the build failed" >&2
        return 1
    fi
}

hone_server() {
    local name=$1; shift
    HONE_DATA=$HONE_WORK/run/$name/data
    rm -rf "$HONE_WORK/run/$name"
    mkdir -p "$HONE_WORK/run/$name"
    chmod 755 "$HONE_WORK/run" "$HONE_WORK/run/$name"
    HONE_SERVERS+=("$HONE_DATA")
    hone_initdb "$HONE_DATA" || return 1
    hone_start "$HONE_DATA" "$@"
}

# Path of the flights file, or nothing. In CI it has to be there.
hone_flights() {
    local file=${HONE_FLIGHTS:-$HONE_ROOT/../shared/data/flights_2001q1.csv.zst}
    if [ -r "$file" ]; then echo "$file"; return 0; fi
    [ "${CI:-}" != true ] || echo "CI=true, but $file is not there" >&2
    return 1
}
