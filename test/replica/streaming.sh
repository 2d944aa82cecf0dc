#!/usr/bin/env bash
# A streaming standby returns the rows of the primary before and after
# compressing, and goes on doing so when it is promoted.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
hone_server primary || exit 1
primary=$PGHOST
sql "CREATE EXTENSION pg_hone" || exit 1
make_varied t 60000 || exit 1
wanted=$(rows_of t)

standby_data=$HONE_WORK/run/standby/data
mkdir -p "$HONE_WORK/run/standby"
chmod 755 "$HONE_WORK/run/standby"
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$HONE_WORK/run/standby"
hone_as "$HONE_BIN/pg_basebackup" -h "$primary" -p "$PGPORT" -U postgres -D "$standby_data" -R -c fast || exit 1
hone_as sed -i "s|^unix_socket_directories.*|unix_socket_directories = '$HONE_WORK/run/standby'|" "$standby_data/postgresql.conf"
hone_as sed -i "\$a max_standby_streaming_delay = 1s" "$standby_data/postgresql.conf"
HONE_SERVERS+=("$standby_data")
hone_start "$standby_data" || exit 1
standby=$PGHOST

# on SERVER CMD...
on() { local PGHOST=$1; shift; export PGHOST; "$@"; }

caught_up() {
    local lsn
    lsn=$(on "$primary" sql "SELECT pg_current_wal_lsn()")
    on "$standby" wait_until 60 "SELECT pg_last_wal_replay_lsn() >= '$lsn'" || echo "# the standby lags"
}

caught_up
is "standby, heap" "$(on "$standby" rows_of t)" "$wanted"

# a snapshot of the standby's that the primary does not know of, older than rows
on "$primary" sql "CREATE TABLE young (id int, long text); INSERT INTO young SELECT generate_series(1, 100)" || exit 1
caught_up
on "$standby" open_session -v VERBOSITY=sqlstate
ask "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) > 0 FROM t; SELECT pg_sleep(0);" >/dev/null
on "$primary" sql "INSERT INTO young SELECT generate_series(101, 200)" || exit 1
file=$(on "$primary" sql "SELECT pg_relation_filenode('young')")

# one of the primary's is older than the last row, which stays as it is
on "$primary" "$HONE_BIN/psql" -Xq -d postgres -c "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 'older', pg_sleep(60)" >/dev/null 2>&1 &
on "$primary" wait_until 20 "SELECT count(*) = 1 FROM pg_stat_activity WHERE query LIKE '%older%' AND pid <> pg_backend_pid() AND wait_event = 'PgSleep'"
on "$primary" sql "INSERT INTO young SELECT 201, string_agg(md5(i::text), '') FROM generate_series(1, 200) i" || exit 1
on "$primary" sql "CALL hone.compress('young')" || exit 1
is "the primary has rewritten it" "$(on "$primary" sql "SELECT pg_relation_filenode('young') <> $file")" t
caught_up
tell "SELECT count(*) FROM young; ROLLBACK; SELECT 'end';"
answer=$(while read -r line <&"$session_says" && [ "$line" != end ]; do [ -z "$line" ] || echo "$line"; done)
like "an older snapshot of the standby ends, or reads what it saw" "$answer" "40001|57P01|25P02|server closed|^100$"
is "a new one reads all" "$(on "$standby" sql "SELECT count(*), max(length(long)) FROM young")" "201|6400"
on "$primary" sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%older%' AND pid <> pg_backend_pid()" >/dev/null
on "$primary" sql "CALL hone.compress('t')" || exit 1
caught_up
is "the primary stores it compressed" "$(on "$primary" sql "SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = 't'::regclass")" tiered
is "primary, compressed" "$(on "$primary" rows_of t)" "$wanted"
is "standby, compressed" "$(on "$standby" rows_of t)" "$wanted"
is "statistics can be read on the standby" "$(on "$standby" sql "SELECT count(*) >= 0 FROM hone.queries")" t
# what a standby reads with an index is counted there alone
on "$primary" sql "CREATE TABLE indexed AS SELECT i AS a, i AS b FROM generate_series(1, 100) i;
    CREATE INDEX a ON indexed (a); CREATE INDEX a1 ON indexed (a); CREATE INDEX b ON indexed (b)" || exit 1
caught_up
advice() {
    on "$1" sql "SET hone.advise_index_size = 0; SET hone.advise_index_idle = 0; SET hone.advise_index_writes = 1e9;
        SELECT kind, evidence->>'index', summary ~ 'standbys may use it' FROM hone.recommendations WHERE relation = 'indexed'::regclass AND kind ~ '_index' ORDER BY 1" | paste -sd' '
}
is "the primary says that standbys may use an index" "$(advice "$primary")" "duplicate_index|public.a1|f unused_index|public.b|t"
is "a standby calls none unused" "$(advice "$standby")" "duplicate_index|public.a1|f"
news() { on "$1" sql "SET hone.advise_index_size = 0; SELECT kind FROM hone.analyze_workload() WHERE relation = 'indexed'::regclass AND kind = 'duplicate_index'"; }
is "analyze_workload on a standby tells what is made there, and remembers nothing" "$(news "$standby") $(news "$standby")" "duplicate_index duplicate_index"
is "told by the primary" "$(news "$primary") $(news "$primary")" "duplicate_index "
caught_up
is "it is told on the standby" "$(news "$standby")" ""
on "$primary" sql "INSERT INTO t (id, kind) VALUES (-1, 'late')" || exit 1
caught_up
is "a late row reaches the standby" "$(on "$standby" sql "SELECT count(*) FROM t WHERE id = -1")" 1
on "$primary" sql "DELETE FROM t WHERE id = -1" >/dev/null 2>&1
on "$primary" sql "VACUUM t"
caught_up
after=$(on "$primary" rows_of t)
is "standby, vacuumed" "$(on "$standby" rows_of t)" "$after"
hone_as "$HONE_BIN/pg_ctl" -D "$standby_data" -w promote >/dev/null || exit 1
is "promoted" "$(on "$standby" rows_of t)" "$after"
succeeds "decompress on the promoted server" on "$standby" sql "CALL hone.decompress('t')"
is "promoted, decompressed" "$(on "$standby" rows_of t)" "$after"
hone_done
