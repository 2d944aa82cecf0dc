# Sourced by the test and demo scripts: a private PostgreSQL, never the
# system's. PostgreSQL is copied (its programs find their files relative to
# themselves), so that installing pg_hone into it touches nothing else; the
# server runs as an unprivileged user, on a free port, in a temporary
# directory, and only processes started here are ever ended.
#
#   hone_private_pg DIR     copy of the PostgreSQL that PG_CONFIG names -> DIR;
#                           sets HONE_BIN and PG_CONFIG
#   hone_initdb DATA        new cluster
#   hone_start DATA [opts]  start it; sets PGHOST PGPORT PGUSER
#   hone_stop DATA          stop it
#   hone_as CMD...          run as the unprivileged user

hone_user() {
    if [ "$(id -u)" != 0 ]; then id -un; return; fi
    if getent passwd postgres >/dev/null; then echo postgres; else echo nobody; fi
}

hone_as() {
    if [ "$(id -u)" != 0 ]; then "$@"; return; fi
    setpriv --reuid="$(hone_user)" --regid="$(id -g "$(hone_user)")" --clear-groups \
        env HOME=/tmp "$@"
}

hone_private_pg() {
    local dir=$1 config=${PG_CONFIG:-pg_config} bin share lib inc base
    bin=$("$config" --bindir) share=$("$config" --sharedir)
    lib=$("$config" --pkglibdir) inc=$("$config" --includedir-server)
    base=$bin
    while [ "${share#"$base"/}" = "$share" ] || [ "${lib#"$base"/}" = "$lib" ] \
        || [ "${inc#"$base"/}" = "$inc" ]; do
        base=$(dirname "$base")
    done
    if [ ! -e "$dir/.complete" ]; then
        mkdir -p "$dir${bin#"$base"}" "$dir${share#"$base"}" "$dir${lib#"$base"}"
        cp -a "$bin/." "$dir${bin#"$base"}/"
        cp -aL "$share/." "$dir${share#"$base"}/" 2>/dev/null || cp -a "$share/." "$dir${share#"$base"}/"
        cp -a "$lib/." "$dir${lib#"$base"}/"
        mkdir -p "$dir$(dirname "${inc#"$base"}")"
        ln -sfn "$inc" "$dir${inc#"$base"}"
        ln -sfn "$("$config" --includedir)/internal" "$dir$(dirname "${inc#"$base"}")/internal" 2>/dev/null || true
        chmod -R a+rX "$dir"
        touch "$dir/.complete"
    fi
    HONE_BIN=$dir${bin#"$base"}
    PG_CONFIG=$HONE_BIN/pg_config
    export PG_CONFIG HONE_BIN
}

hone_free_port() {
    local port
    for _ in $(seq 100); do
        port=$((20000 + RANDOM % 20000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then echo "$port"; return; fi
    done
    return 1
}

hone_initdb() {
    mkdir -p "$1"
    [ "$(id -u)" != 0 ] || chown "$(hone_user)" "$1" "$(dirname "$1")"
    hone_as "$HONE_BIN/initdb" -D "$1" -U postgres -A trust -N --locale=C.UTF-8 -E UTF8 >"$1.initdb.log" 2>&1 \
        || { cat "$1.initdb.log" >&2; return 1; }
    cat >>"$1/postgresql.conf" <<CONF
listen_addresses = ''
unix_socket_directories = '$(dirname "$1")'
shared_preload_libraries = 'pg_hone'
fsync = off
max_worker_processes = 16
logging_collector = off
CONF
}

hone_start() {
    local data=$1; shift
    PGPORT=${HONE_PORT:-$(hone_free_port)}
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
