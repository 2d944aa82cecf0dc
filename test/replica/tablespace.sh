#!/usr/bin/env bash
# A streaming standby follows moves to another tablespace that are made beside
# writers: it has the primary's rows, and no files of moves that failed.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
options="-c allow_in_place_tablespaces=on -c hone.worker=off"
hone_server primary "$options" || exit 1
primary=$PGHOST
sql "CREATE EXTENSION pg_hone; CREATE EXTENSION amcheck" || exit 1
make_varied h 50000 || exit 1
sql "CREATE UNIQUE INDEX ON h (id); CREATE INDEX ON h (n); CREATE INDEX ON h USING gin (doc); CREATE INDEX ON h USING brin (at)"
make_varied c 50000 || exit 1
sql "CREATE UNIQUE INDEX ON c (id); CREATE INDEX ON c (n)"
sql "CALL hone.compress('c')" 2>/dev/null || exit 1
sql "VACUUM (FREEZE) h" || exit 1

standby_data=$HONE_WORK/run/standby/data
mkdir -p "$HONE_WORK/run/standby"
chmod 755 "$HONE_WORK/run/standby"
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$HONE_WORK/run/standby"
# with a slot, lest a slow standby miss some of so much WAL
hone_as "$HONE_BIN/pg_basebackup" -h "$primary" -p "$PGPORT" -U postgres -D "$standby_data" -R -c fast \
    -C -S standby || exit 1
hone_as sed -i "s|^unix_socket_directories.*|unix_socket_directories = '$HONE_WORK/run/standby'|" "$standby_data/postgresql.conf"
hone_as sed -i "\$a max_standby_streaming_delay = 1s" "$standby_data/postgresql.conf"
HONE_SERVERS+=("$standby_data")
hone_start "$standby_data" "$options" || exit 1
standby=$PGHOST

# on SERVER CMD...
on() { local PGHOST=$1; shift; export PGHOST; "$@"; }
caught_up() {
    local lsn
    lsn=$(on "$primary" sql "SELECT pg_current_wal_lsn()")
    on "$standby" wait_until 60 "SELECT pg_last_wal_replay_lsn() >= '$lsn'" || echo "# the standby lags"
}
export PGHOST=$primary
sql "CREATE TABLESPACE cold LOCATION ''" || exit 1

script=$HONE_WORK/run/replica.sql
cat >"$script" <<'SQL'
\set id random(1, 50000)
UPDATE h SET n = -:id WHERE id = :id;
UPDATE c SET n = -:id WHERE id = :id;
INSERT INTO h (id, kind) VALUES (-:id, 'new') ON CONFLICT DO NOTHING;
SQL
chmod a+r "$script"
same() {
    caught_up
    local table
    for table in h c; do
        is "$1: rows of $table" "$(on "$standby" rows_of $table)" "$(on "$primary" rows_of $table)"
        is "$1: $table by index" "$(on "$standby" sql "SET enable_seqscan = off; SELECT count(*), sum(n) FROM $table WHERE n < 0")" \
            "$(on "$primary" sql "SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(n) FROM $table WHERE n < 0")"
    done
    succeeds "$1: indexes on the standby" on "$standby" sql "SELECT bt_index_check(indexrelid, indrelid <> 'c'::regclass) FROM pg_index JOIN pg_class i ON i.oid = indexrelid
        WHERE i.relam = 403 AND (indrelid IN ('h'::regclass, 'c'::regclass) OR indrelid IN (SELECT reltoastrelid FROM pg_class WHERE relname IN ('h', 'c')))"
    is "$1: heap on the standby" "$(on "$standby" sql "SELECT * FROM verify_heapam('h', check_toast => true)")" ""
    is "$1: index-only scan on the standby" "$(on "$standby" sql "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(n) FROM h WHERE n < 0")" \
        "$(on "$standby" sql "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(n) FROM h WHERE n < 0")"
}

"$HONE_BIN/pgbench" -n -c 2 -T 12 -f "$script" postgres >"$HONE_WORK/pgbench.log" 2>&1 &
load=$!
moves=0
to=cold
while kill -0 "$load" 2>/dev/null; do
    for table in h c; do
        if sql "CALL hone._set_tablespace('$table', '$to')" >/dev/null; then moves=$((moves + 1)); fi
    done
    if [ $to = cold ]; then to=pg_default; else to=cold; fi
done
wait "$load"
is "writers had no error" "$? $(grep -c 'ERROR\|aborted' "$HONE_WORK/pgbench.log")" "0 0"
isnt "tables moved" $moves 0
echo "# $moves moves"
same "after moves"
sql "CALL hone._set_tablespace('h', 'cold')" >/dev/null || exit 1
sql "CALL hone._set_tablespace('c', 'cold')" >/dev/null || exit 1
same "moved for good"
sql "CALL hone._set_tablespace('h', 'pg_default')" || exit 1
sql "CALL hone._set_tablespace('c', 'pg_default')" || exit 1

# --- moves that fail, are cancelled, or whose session is ended --------------------

files_of() { find "$1/pg_tblspc/" -type f -size +0 | wc -l; }
drain() {
    on "$primary" sql CHECKPOINT
    caught_up
    on "$standby" sql CHECKPOINT
}
drain
is "nothing is in the other tablespace" "$(files_of "$HONE_WORK/run/primary/data") $(files_of "$standby_data")" "0 0"
open_session
ask "BEGIN; SELECT count(*) > 0 FROM h WHERE id = 5;" >/dev/null
PGOPTIONS="-c hone.lock_timeout=5ms" sql "CALL hone._set_tablespace('h', 'cold')" >"$HONE_WORK/fail.log" 2>&1
like "a move fails" "$(cat "$HONE_WORK/fail.log")" "could not lock table"
# what is there next is the next move's
drain
for how in pg_cancel_backend pg_terminate_backend; do
    PGAPPNAME=move sql "CALL hone._set_tablespace('h', 'cold')" >"$HONE_WORK/fail.log" 2>&1 &
    mover=$!
    for _ in $(seq 100); do
        [ "$(files_of "$standby_data")" = 0 ] || break
        sleep 0.1
    done
    isnt "a copy is made on the standby too" "$(files_of "$standby_data")" 0
    is "a move holds back no row's removal" "$(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'move' AND (backend_xid IS NOT NULL OR backend_xmin IS NOT NULL)")" 0
    sql "SELECT $how(pid) FROM pg_stat_activity WHERE application_name = 'move'" >/dev/null
    wait "$mover"
    like "$how ends a move" "$(cat "$HONE_WORK/fail.log")" "canceling|terminating"
    drain
    is "$how: no file is left, on the standby neither" "$(files_of "$HONE_WORK/run/primary/data") $(files_of "$standby_data")" "0 0"
done
close_session
same "after moves that failed"
sql "CALL hone._set_tablespace('c', 'cold')" || exit 1
caught_up
wanted=$(rows_of c)
hone_as "$HONE_BIN/pg_ctl" -D "$standby_data" -w promote >/dev/null || exit 1
is "promoted" "$(on "$standby" rows_of c)" "$wanted"
succeeds "back again on the promoted server" on "$standby" sql "CALL hone._set_tablespace('c', 'pg_default')"
is "promoted, moved" "$(on "$standby" rows_of c)" "$wanted"
hone_done
