#!/usr/bin/env bash
# kill -9 of the whole server at random moments of a move to another
# tablespace, beside writers: every committed change is there once, with
# checksums, and with wal_level = minimal.
#
#   HONE_KILLS=N    how often (4)
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
rounds=${HONE_KILLS:-4}
rows=60000

make_tables() {
    sql "CREATE EXTENSION pg_hone; CREATE EXTENSION amcheck" || exit 1
    sql "CREATE TABLESPACE cold LOCATION ''" || exit 1
    sql "CREATE TABLE t (id int PRIMARY KEY, n int NOT NULL DEFAULT 0, pad text, long text) WITH (autovacuum_vacuum_scale_factor = 0.01);
         INSERT INTO t (id, pad, long) SELECT i, rpad(md5(i::text), 300),
             CASE WHEN i % 50 = 0 THEN (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 100) j) END FROM generate_series(1, $rows) i;
         CREATE INDEX ON t (n);
         CREATE TABLE log (id int)" || exit 1
    # half of it in batches
    sql "CREATE TABLE c (LIKE t INCLUDING ALL); INSERT INTO c TABLE t" || exit 1
    sql "CALL hone.compress('c')" 2>/dev/null || exit 1
    wanted=$(sql "SELECT count(*), count(DISTINCT id), sum(length(pad)), sum(length(long)), md5(string_agg(md5(long), '' ORDER BY id)) FROM t")
}
script=$HONE_WORK/run/kill.sql
mkdir -p "$HONE_WORK/run"
cat >"$script" <<SQL
\\set id random(1, $rows)
BEGIN;
UPDATE t SET n = n + 1 WHERE id = :id;
UPDATE c SET n = n + 1 WHERE id = :id;
INSERT INTO log VALUES (:id);
COMMIT;
SQL
chmod -R a+rX "$HONE_WORK/run"

check() {
    local table
    for table in t c; do
        is "$1: $table has every row once" "$(sql "SELECT count(*), count(DISTINCT id), sum(length(pad)), sum(length(long)), md5(string_agg(md5(long), '' ORDER BY id)) FROM $table")" "$wanted"
        is "$1: $table has what was committed" "$(sql "SELECT count(*) FROM $table FULL JOIN (SELECT id, count(*) AS n FROM log GROUP BY 1) l USING (id) WHERE $table.n <> coalesce(l.n, 0)")" 0
        is "$1: $table by index" "$(sql "SET enable_seqscan = off; SELECT count(*), sum(n) FROM $table WHERE n > 0")" \
            "$(sql "SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(n) FROM $table WHERE n > 0")"
    done
    succeeds "$1: indexes" sql "SELECT bt_index_check(indexrelid, indrelid <> 'c'::regclass) FROM pg_index WHERE indrelid IN ('t'::regclass, 'c'::regclass)
        OR indrelid IN (SELECT reltoastrelid FROM pg_class WHERE relname IN ('t', 'c'))"
    is "$1: heap" "$(sql "SELECT * FROM verify_heapam('t', check_toast => true)")" ""
}

# run_rounds NAME N [server options]
run_rounds() {
    local name=$1 n=$2 round client load to table met=0 moved=0
    shift 2
    to=cold
    for round in $(seq 1 "$n"); do
        if [ $((round % 2)) = 1 ]; then table=t; else table=c; fi
        "$HONE_BIN/pgbench" -n -c 2 -T 30 -f "$script" postgres >/dev/null 2>&1 &
        load=$!
        # there and back, until it is killed
        (while sql "CALL hone._set_tablespace('$table', '$to')"; do
            if [ $to = cold ]; then to=pg_default; else to=cold; fi
        done) >/dev/null 2>&1 &
        client=$!
        sleep "$(awk "BEGIN { print 0.3 + $((RANDOM % 1500)) / 1000 }")"
        [ "$(sql "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL hone._set%'")" = 0 ] || met=$((met + 1))
        hone_kill "$HONE_DATA"
        wait "$client" "$load" 2>/dev/null
        hone_start "$HONE_DATA" "$@" || exit 1
        [ "$(sql "SELECT count(*) FROM pg_class WHERE reltablespace <> 0 AND relname IN ('t', 'c')")" = 0 ] || moved=$((moved + 1))
        check "$name, kill $round"
    done
    isnt "$name: kills that met a move" "$met" 0
    echo "# they were $met of $n; after $moved of them a table was in the other tablespace"
    sql "CALL hone._set_tablespace('t', 'cold')" || not_ok "$name: t moves after the last kill"
    sql "CALL hone._set_tablespace('c', 'cold')" || not_ok "$name: c moves after the last kill"
    check "$name, moved after all"
    is "$name: no damage was seen" "$(grep -E 'invalid page|checksum|PANIC:|TRAP:' "$HONE_DATA.log")" ""
}

hone_server sums -c hone.worker=off -c autovacuum_naptime=1s || exit 1
hone_stop "$HONE_DATA"
# from 18 on initdb has done so
hone_as "$HONE_BIN/pg_checksums" --enable -D "$HONE_DATA" >/dev/null 2>&1 ||
    hone_as "$HONE_BIN/pg_checksums" --check -D "$HONE_DATA" >/dev/null || exit 1
options="-c allow_in_place_tablespaces=on -c hone.worker=off -c autovacuum_naptime=1s"
hone_start "$HONE_DATA" "$options -c checkpoint_timeout=30s -c max_wal_size=64MB" || exit 1
make_tables
run_rounds "checksums" "$rounds" "$options -c checkpoint_timeout=30s -c max_wal_size=64MB"
hone_stop "$HONE_DATA"
succeeds "every page has its checksum" hone_as "$HONE_BIN/pg_checksums" --check -D "$HONE_DATA"

hone_server minimal "$options -c wal_level=minimal -c max_wal_senders=0" || exit 1
make_tables
run_rounds "wal_level = minimal" $((rounds / 2)) "$options -c wal_level=minimal -c max_wal_senders=0"
hone_done
