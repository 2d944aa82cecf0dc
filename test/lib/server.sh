# Sourced by the test, demo and bench scripts: a private PostgreSQL, never the
# system's. PostgreSQL is copied (its programs find their files relative to
# themselves), so that installing pg_hone into it touches nothing else; the
# server runs as an unprivileged user and listens on a Unix socket in a
# temporary directory; only processes started here are ever ended.
#
#   hone_private_pg DIR     copy of the PostgreSQL that PG_CONFIG names -> DIR;
#                           sets HONE_BIN and PG_CONFIG
#   hone_initdb DATA        new cluster: a copy of the one in HONE_TEMPLATE where
#                           that is set, as by run.sh
#   hone_bare_initdb DATA   what initdb makes, with none of our settings
#   hone_start DATA [opts]  start it; sets PGHOST PGPORT PGUSER
#   hone_stop DATA [mode]   stop it
#   hone_kill DATA          kill -9 the server and every process of it
#   hone_background_errors LOG...
#                           errors of processes that are no client's, but for
#                           workers that were told to end, or whose database
#                           was dropped while they started
#   hone_as CMD...          run as the unprivileged user

hone_user() {
    if [ "$(id -u)" != 0 ]; then id -un; return; fi
    if getent passwd postgres >/dev/null; then echo postgres; else echo nobody; fi
}

# Runs in / because the unprivileged user may not be able to enter the
# caller's directory.
hone_as() {
    if [ "$(id -u)" != 0 ]; then "$@"; return; fi
    (
        cd /
        exec setpriv --reuid="$(hone_user)" --regid="$(id -g "$(hone_user)")" --clear-groups \
            env HOME=/tmp "$@"
    )
}

# The directories of an installation are kept in the same places relative to
# each other. bindir may be one that PostgreSQL shares with the whole system,
# so programs are copied by name; the other directories are PostgreSQL's own.
hone_private_pg() {
    local dir=$1 config=${PG_CONFIG:-pg_config} bin share lib inc base program
    bin=$("$config" --bindir) share=$("$config" --sharedir)
    lib=$("$config" --pkglibdir) inc=$("$config" --includedir-server)
    base=$bin
    while [ "$base" != / ] && { [ "${share#"$base"/}" = "$share" ] \
        || [ "${lib#"$base"/}" = "$lib" ] || [ "${inc#"$base"/}" = "$inc" ]; }; do
        base=$(dirname "$base")
    done
    [ "$base" != / ] || base=
    if [ ! -e "$dir/.complete" ]; then
        mkdir -p "$dir${bin#"$base"}" "$dir${share#"$base"}" "$dir${lib#"$base"}" \
            "$dir$(dirname "${inc#"$base"}")"
        for program in postgres initdb pg_ctl psql pg_config pgbench pg_dump pg_dumpall \
            pg_restore pg_basebackup pg_controldata pg_checksums pg_isready pg_amcheck \
            pg_waldump pg_resetwal pg_upgrade vacuumdb createdb dropdb; do
            [ ! -e "$bin/$program" ] || cp -L "$bin/$program" "$dir${bin#"$base"}/"
        done
        cp -aL "$share/." "$dir${share#"$base"}/" 2>/dev/null || cp -a "$share/." "$dir${share#"$base"}/"
        cp -a "$lib/." "$dir${lib#"$base"}/"
        ln -sfn "$inc" "$dir${inc#"$base"}"
        if [ -d "$(dirname "$inc")/internal" ]; then
            ln -sfn "$(dirname "$inc")/internal" "$dir$(dirname "${inc#"$base"}")/internal"
        elif [ -d "$("$config" --includedir)/internal" ]; then
            ln -sfn "$("$config" --includedir)/internal" "$dir$(dirname "${inc#"$base"}")/internal"
        fi
        chmod -R a+rX "$dir"
        touch "$dir/.complete"
    fi
    HONE_BIN=$dir${bin#"$base"}
    PG_CONFIG=$HONE_BIN/pg_config
    export PG_CONFIG HONE_BIN
}

hone_bare_initdb() {
    mkdir -p "$1"
    [ "$(id -u)" != 0 ] || chown "$(hone_user)" "$1" "$(dirname "$1")"
    hone_as "$HONE_BIN/initdb" -D "$1" -U postgres -A trust -N --locale=C.UTF-8 -E UTF8 >"$1.initdb.log" 2>&1 \
        || { cat "$1.initdb.log" >&2; return 1; }
}

# Copies have one system identifier; no test tells servers apart by it.
hone_initdb() {
    if [ -n "${HONE_TEMPLATE:-}" ]; then
        mkdir -p "$1"
        [ "$(id -u)" != 0 ] || chown "$(hone_user)" "$(dirname "$1")"
        cp -a "$HONE_TEMPLATE/." "$1/" || return 1
    else
        hone_bare_initdb "$1" || return 1
    fi
    cat >>"$1/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$(dirname "$1")'
shared_preload_libraries = 'pg_hone'
fsync = off
max_worker_processes = 16
logging_collector = off
log_line_prefix = '%m [%p] %q%a '
CONF
}

# Only the name of the socket depends on the port: the server has no TCP
# address, and the socket's directory is its own.
hone_start() {
    local data=$1; shift
    PGPORT=${HONE_PORT:-5432}
    PGHOST=$(dirname "$data") PGUSER=postgres
    export PGPORT PGHOST PGUSER
    hone_as "$HONE_BIN/pg_ctl" -D "$data" -l "$data.log" -w -t 60 -o "-p $PGPORT $*" start >/dev/null \
        || { tail -30 "$data.log" >&2; return 1; }
}

hone_stop() {
    if [ -f "$1/postmaster.pid" ]; then
        hone_as "$HONE_BIN/pg_ctl" -D "$1" -m "${2:-fast}" -w stop >/dev/null 2>&1 || true
    fi
}

# The server is halted first, so that no process of it can be born between
# the listing and the kill.
hone_kill() {
    local postmaster stat line parent
    postmaster=$(head -1 "$1/postmaster.pid") || return 1
    kill -STOP "$postmaster"
    for stat in /proc/[0-9]*/stat; do
        # PID (NAME) STATE PARENT ...; the name may hold anything
        read -r line 2>/dev/null <"$stat" || continue
        read -r _ parent _ <<<"${line##*) }"
        if [ "$parent" = "$postmaster" ]; then kill -9 "${line%% *}" 2>/dev/null || true; fi
    done
    kill -9 "$postmaster"
    while kill -0 "$postmaster" 2>/dev/null; do sleep 0.02; done
}

hone_background_errors() {
    # the prefix of a client's lines ends with its application's name
    grep -hE '^[^]]*\] (ERROR|FATAL|PANIC):' "$@" | grep -vE 'terminating background worker .* due to administrator command|database .* does not exist'
}
