#!/usr/bin/env bash
# Clients that share one server process through PgBouncer's transaction mode:
# their statements take turns there, and are no loop; a loop inside a
# transaction is one.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/debian.sh"
. "$HONE_ROOT/test/orm/lib/install.sh"
. "$HONE_ROOT/test/orm/lib/checks.sh"
hone_prepare
SECONDS_OF_TRAFFIC=4
python=/usr/bin/python3
PATH=$PATH:/usr/sbin
have_pooler() { command -v pgbouncer && $python -c 'import psycopg2'; }

if ! orm_debian have_pooler pgbouncer python3-psycopg2; then
    orm_missing pooler
    hone_done
fi
orm_server pooler || exit 1

# ------------------------------------------------------------------------
# PgBouncer, on a Unix socket beside the server's
# ------------------------------------------------------------------------

place=$HONE_WORK/run/pooler
pooled_port=6432

pooler_start() {
    cat >"$place/pgbouncer.ini" <<CONF
[databases]
* = host=$PGHOST port=$PGPORT
[pgbouncer]
listen_addr =
listen_port = $pooled_port
unix_socket_dir = $place
auth_type = trust
auth_file = $place/users.txt
pool_mode = transaction
default_pool_size = 1
logfile = $place/pgbouncer.log
pidfile = $place/pgbouncer.pid
CONF
    echo '"postgres" ""' >"$place/users.txt"
    hone_as "$(command -v pgbouncer)" -d -q "$place/pgbouncer.ini" || return 1
    PGPORT=$pooled_port wait_until 10 "SELECT true"
}

pooler_stop() {
    local pid
    pid=$(cat "$place/pgbouncer.pid" 2>/dev/null) || return
    kill "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
}

trap 'pooler_stop; hone_cleanup' EXIT
if ! pooler_start; then
    not_ok "PgBouncer starts" "$(cat "$place/pgbouncer.log")"
    hone_done
fi

# pooled CMD...: as one of the clients of an application
pooled() { PGPORT=$pooled_port PGDATABASE=$HONE_DB PGAPPNAME=shop_$ORM "$@"; }

# ------------------------------------------------------------------------
# Traffic: one lists now and then, the others fetch single rows
# ------------------------------------------------------------------------

cat >"$place/list.pgbench" <<'SQL'
SELECT id, name, country FROM author ORDER BY id LIMIT 20;
\sleep 30 ms
SQL
cat >"$place/fetch.pgbench" <<'SQL'
\set book random(1, 5000)
\set author random(1, 200)
SELECT id, title, year FROM book WHERE id = :book;
SELECT id, name FROM author WHERE id = :author;
SQL

# traffic CLIENTS PROTOCOL
traffic() {
    local list status
    pooled "$HONE_BIN/pgbench" -n -c 1 -M "$2" -T $SECONDS_OF_TRAFFIC -f "$place/list.pgbench" &
    list=$!
    pooled "$HONE_BIN/pgbench" -n -c "$1" -M "$2" -T $SECONDS_OF_TRAFFIC -f "$place/fetch.pgbench"
    status=$?
    wait "$list" && return $status
}

servers() { sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'shop_$ORM'"; }

# The server's process lives on, and has handed on what it has by then.
for protocol in simple extended; do
    orm_begin "pooler_$protocol" || exit 1
    ORM_SCENARIO=traffic
    succeeds "$ORM: clients that take turns" traffic 8 "$protocol"
    is "$ORM: they shared one process" "$(servers)" 1
    orm_silent n_plus_one
done

# ------------------------------------------------------------------------
# A loop in a transaction, among others' statements
# ------------------------------------------------------------------------
orm_begin pooler_loop || exit 1
ORM_SCENARIO=loop
traffic 2 simple >/dev/null 2>&1 &
noise=$!
for round in 1 2 3; do
    succeeds "$ORM: loop $round in a transaction" pooled $python "$HONE_SRC/test/orm/python/loop.py"
done
wait "$noise"
is "$ORM: they shared one process" "$(servers)" 1
orm_found n_plus_one book && orm_loop author id
is "$ORM: nothing else is taken for a loop" "$(sql "SELECT evidence->'child'->>'query' FROM hone.recommendations
    WHERE kind = 'n_plus_one' AND NOT $ORM_FOUND OR evidence->'child'->>'query' !~ 'author_id ='")" ""
hone_done
