#!/usr/bin/env bash
# A partition moves to another tablespace and back while others read and write
# it: no change is lost, nobody waits longer than for a lock's timeout, a
# reader that stays delays the move and nobody else, DDL of others comes in
# between, and a move that fails leaves no files.
#
#   HONE_MOVE_SECONDS=N   how long others read and write meanwhile (12)
#
# Runs alone: so that nobody waits for want of a processor.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
hone_server tablespace -c allow_in_place_tablespaces=on -c hone.worker=off -c log_lock_waits=on \
    -c deadlock_timeout=300ms -c autovacuum_naptime=1s || exit 1
sql "CREATE EXTENSION pg_hone; CREATE EXTENSION amcheck" || exit 1
sql "CREATE TABLESPACE cold LOCATION ''" || exit 1
rows=100000
folder=$HONE_DATA/$(sql "SELECT 'pg_tblspc/' || oid FROM pg_tablespace WHERE spcname = 'cold'")

# a leaf of heap and one with batches, equal but for that
sql "CREATE TABLE p (id int, n int NOT NULL DEFAULT 0, kind text, pad text, at int DEFAULT 0) PARTITION BY LIST (kind);
     CREATE TABLE p_heap PARTITION OF p FOR VALUES IN ('heap') WITH (autovacuum_vacuum_scale_factor = 0.001);
     CREATE TABLE p_tiered PARTITION OF p FOR VALUES IN ('tiered');
     CREATE UNIQUE INDEX ON p (kind, id);
     CREATE INDEX ON p (n);
     CREATE INDEX ON p (at);
     CREATE INDEX ON p USING gin ((ARRAY[n % 100]));
     INSERT INTO p (id, kind, pad) SELECT i, k, rpad(md5(i::text), 200) FROM generate_series(1, $rows) i, unnest('{heap,tiered}'::text[]) k;
     CREATE TABLE log (kind text, id int, n int);" || exit 1
sql "CALL hone.compress('p_tiered')" 2>/dev/null || exit 1

move_log=$HONE_WORK/move.log
begin_move() {
    PGAPPNAME=move PGOPTIONS="-c client_min_messages=debug1 ${3:-}" "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d postgres \
        -c "CALL hone._set_tablespace('$1', '$2')" >"$move_log" 2>&1 &
    move_pid=$!
}

# what a table must hold, from what was committed
expected="SELECT kind, id, count(*) AS n FROM log GROUP BY 1, 2"
check_all() {
    is "$1: every change is there, once" "$(sql "SELECT count(*) FROM
        (SELECT kind, id, n FROM p WHERE n <> 0 AND id <= $rows EXCEPT ALL ($expected)) a")|$(sql "SELECT count(*) FROM
        (($expected) EXCEPT ALL SELECT kind, id, n FROM p WHERE n <> 0) a")" "0|0"
    is "$1: every row" "$(sql "SELECT kind, count(*), count(DISTINCT id), sum(length(pad)) FROM p WHERE id <= $rows GROUP BY kind ORDER BY kind")" \
        "heap|$rows|$rows|$((rows * 200))
tiered|$rows|$rows|$((rows * 200))"
    is "$1: rows that came and went" "$(sql "SELECT count(*) FROM p WHERE id > $rows")" 0
    is "$1: by index as by scan" "$(sql "SET enable_seqscan = off; SELECT count(*), sum(n) FROM p WHERE n > 0 AND id <= $rows")" \
        "$(sql "SET enable_indexscan = off; SET enable_bitmapscan = off; SELECT count(*), sum(n) FROM p WHERE n > 0 AND id <= $rows")"
}
check_structure() {
    succeeds "$1: indexes agree with the heap" sql "SELECT bt_index_check(indexrelid, indrelid = 'p_heap'::regclass OR indrelid NOT IN ('p_tiered'::regclass))
        FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_am a ON a.oid = relam
        WHERE amname = 'btree' AND indrelid IN (SELECT oid FROM pg_class WHERE relname LIKE 'p\_%' UNION SELECT reltoastrelid FROM pg_class WHERE relname LIKE 'p\_%')"
    is "$1: heaps are sound" "$(sql "SELECT v.* FROM pg_class c, verify_heapam(c.oid, check_toast => true) v
        WHERE c.oid = 'p_heap'::regclass OR c.oid IN (SELECT reltoastrelid FROM pg_class WHERE relname LIKE 'p\_%')")" ""
    # a bit of the map for a page that is not all-visible would hide changes
    is "$1: index-only scans see what is there" "$(sql "SET enable_seqscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM p_heap WHERE n > 0")" \
        "$(sql "SET enable_indexscan = off; SET enable_indexonlyscan = off; SET enable_bitmapscan = off; SELECT count(*) FROM p_heap WHERE n > 0")"
}

# --- writers and readers all the while ------------------------------------------

scripts=$HONE_WORK/run/scripts
mkdir -p "$scripts"
for kind in heap tiered; do
    cat >"$scripts/$kind.sql" <<SQL
\\set id random(1, $rows)
\\set new random($rows + 1, $rows * 10)
BEGIN;
UPDATE p SET n = n + 1, at = :new WHERE kind = '$kind' AND id = :id;
INSERT INTO log VALUES ('$kind', :id);
COMMIT;
INSERT INTO p (id, kind, pad) VALUES (:new, '$kind', 'passing') ON CONFLICT DO NOTHING;
DELETE FROM p WHERE kind = '$kind' AND id = :new;
SQL
    cat >"$scripts/read_$kind.sql" <<SQL
\\set id random(1, $rows - 10)
SELECT 1 / (count(*) = 11)::int FROM p WHERE kind = '$kind' AND id BETWEEN :id AND :id + 10;
\\sleep 5 ms
SQL
done
chmod -R a+rX "$scripts"
"$HONE_BIN/pgbench" -n -c 4 -j 2 -T ${HONE_MOVE_SECONDS:-12} -l --log-prefix="$HONE_WORK/latency" -f "$scripts/heap.sql" -f "$scripts/tiered.sql" \
    -f "$scripts/read_heap.sql" -f "$scripts/read_tiered.sql" postgres >"$HONE_WORK/pgbench.log" 2>&1 &
load=$!
moves=0 gave_up=0
to=cold
while kill -0 "$load" 2>/dev/null; do
    for leaf in p_heap p_tiered; do
        begin_move "$leaf" $to
        if wait "$move_pid"; then moves=$((moves + 1)); else
            grep -q "ERROR:  55P03" "$move_log" || not_ok "a move only gives up for a lock" "$(cat "$move_log")"
            gave_up=$((gave_up + 1))
        fi
        sed -n 's/^DEBUG: .*pg_hone: copied the last/last pages:/p' "$move_log" >>"$HONE_WORK/held.log"
    done
    if [ $to = cold ]; then to=pg_default; else to=cold; fi
done
wait "$load"
is "readers and writers had no error" "$? $(grep -c 'ERROR\|aborted' "$HONE_WORK/pgbench.log")" "0 0"
isnt "partitions moved beside them" "$moves" 0
echo "# $moves moves, $gave_up gave up; longest $(sort -t, -k2 -n "$HONE_WORK/held.log" | sed -E 's/.* in ([0-9.]+) ms.*/\1/' | sort -n | tail -1) ms with the table locked"
echo "# statements in ms (median, 99 %, longest): $(cat "$HONE_WORK"/latency.* | awk '{ print $3 / 1000 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)], v[int(NR * 0.99)], v[NR] }')"
is "nobody waited for a lock for 300 ms" "$(grep -c 'still waiting for .* on relation' "$HONE_DATA.log")" 0
check_all "after moves beside writers"
check_structure "after moves beside writers"

# --- a reader stays -------------------------------------------------------------

place() { sql "SELECT coalesce((SELECT spcname FROM pg_tablespace WHERE oid = reltablespace), 'pg_default') FROM pg_class WHERE relname = '$1'"; }
files_of() { find "$folder" -type f -size +0 2>/dev/null | wc -l; }
sql "CALL hone._set_tablespace('p_heap', 'pg_default')" || exit 1
sql "CALL hone._set_tablespace('p_tiered', 'pg_default')" || exit 1
sql CHECKPOINT
is "nothing is left behind" "$(files_of)" 0

open_session
is "a reader stays" "$(ask "BEGIN; SELECT count(*) FROM p WHERE id = 7;")" 2
begin_move p_heap cold
succeeds "the copy is made" wait_until 30 "SELECT count(*) > 4 FROM pg_ls_dir((SELECT 'pg_tblspc/' || t.oid || '/' || pg_ls_dir('pg_tblspc/' || t.oid) || '/' || d.oid
    FROM pg_tablespace t, pg_database d WHERE spcname = 'cold' AND datname = current_database()))"
waited=0
for _ in $(seq 1 15); do
    waited=$((waited + $(sql "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.application_name = 'move'")))
    sql "SET lock_timeout = '150ms'; UPDATE p SET n = n + 1 WHERE kind = 'heap' AND id = 8; INSERT INTO log VALUES ('heap', 8)" || not_ok "a writer goes on"
    kill -0 "$move_pid" 2>/dev/null || break
done
is "the move never queues" "$waited" 0
is "it has not moved" "$(place p_heap)" pg_default
tell "COMMIT;"
wait "$move_pid"
is "then it moves" "$? $(place p_heap)" "0 cold"
check_all "after a reader"

ask "BEGIN; SELECT count(*) FROM p WHERE id = 7;" >/dev/null
begin_move p_heap pg_default "-c hone.lock_timeout=10ms"
wait "$move_pid"
like "one that stays for long: 55P03" "$(cat "$move_log")" "ERROR:  55P03: could not lock table public.p_heap: other sessions are using it"
is "it is where it was" "$(place p_heap)" cold
begin_move p_tiered cold "-c hone.lock_timeout=1s"
wait_until 10 "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'move'"
is "one that is ended" "$(sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'move'")" t
wait "$move_pid"
tell "COMMIT;"
sql "CALL hone._set_tablespace('p_heap', 'pg_default')" || exit 1
sql CHECKPOINT
is "moves that failed, or were ended, leave no files" "$(files_of)" 0
is "nor transactions" "$(sql "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'move'")" 0

# --- DDL of others meanwhile ----------------------------------------------------

sql "CREATE TABLE big (id int, pad text) WITH (autovacuum_enabled = off);
     INSERT INTO big SELECT i, repeat('x', 900) FROM generate_series(1, 200000) i;
     CREATE INDEX big_id ON big (id);
     CREATE INDEX big_other ON big ((id + 1))" || exit 1
# A reader keeps the move from its end until the statement is there. (Halting
# the move by a signal could leave it with a lock that every process needs.)
meet() {
    ask "BEGIN; LOCK TABLE big IN ACCESS SHARE MODE; SELECT 'reads';" >/dev/null
    begin_move big $to "-c hone.lock_timeout=1s"
    wait_until 30 "SELECT count(*) > 0 FROM pg_locks l JOIN pg_stat_activity a USING (pid)
        WHERE a.application_name = 'move' AND l.relation = 'big'::regclass AND l.mode = 'ShareUpdateExclusiveLock'" || echo "# no move is seen"
    PGAPPNAME=ddl PGOPTIONS="-c lock_timeout=20s" sql "$1" >"$HONE_WORK/ddl.log" 2>&1 &
    ddl_pid=$!
    wait_until 10 "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted AND a.application_name = 'ddl')
        OR (SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'ddl')" || echo "# it does not wait"
    tell "COMMIT;"
    wait "$ddl_pid"
    ddl="$? $(cat "$HONE_WORK/ddl.log")"
}
# beside NAME SQL ROWS: in the midst of a move, which ends well
to=cold
beside() {
    meet "$2"
    is "$1 comes in between" "$ddl" "0 "
    wait "$move_pid"
    is "$1: the move ends well" "$? $(place big)" "0 $to"
    is "$1: and its indexes came along" "$(sql "SELECT count(*) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid JOIN pg_class t ON t.oid = indrelid WHERE indrelid = 'big'::regclass AND c.reltablespace <> t.reltablespace")" 0
    is "$1: rows" "$(sql "SELECT count(*), count(DISTINCT id), sum(length(pad)) FROM big WHERE id > 0")" "$(sql "SET enable_seqscan = off; SELECT count(*), count(DISTINCT id), sum(length(pad)) FROM big WHERE id > 0")"
    is "$1: as many" "$(sql "SELECT count(*) FROM big")" "$3"
    succeeds "$1: indexes agree" sql "SELECT bt_index_check(indexrelid, true) FROM pg_index WHERE indrelid = 'big'::regclass"
    if [ $to = cold ]; then to=pg_default; else to=cold; fi
}
beside "ALTER TABLE" "ALTER TABLE big ADD COLUMN more int DEFAULT 7" 200000
beside "CREATE INDEX" "CREATE INDEX big_new ON big (id, more)" 200000
beside "DROP INDEX" "DROP INDEX big_new" 200000
beside "REINDEX" "REINDEX INDEX big_id" 200000
beside "ANALYZE" "ANALYZE big" 200000
sql "DELETE FROM big WHERE id > 150000"
beside "VACUUM, which makes it shorter," "VACUUM big" 150000
beside "VACUUM FULL" "VACUUM FULL big" 150000
beside "TRUNCATE" "TRUNCATE big" 0
sql "INSERT INTO big SELECT i, repeat('y', 900) FROM generate_series(1, 200000) i"
meet "DROP TABLE big"
is "DROP TABLE comes in between" "$ddl" "0 "
wait "$move_pid"
like "there is nothing to move then" "$(cat "$move_log")" "ERROR:  42P01: the table was dropped meanwhile"
close_session
sql "CHECKPOINT"
is "and no file" "$(files_of)" 0
is "no server process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log")" ""
hone_done
