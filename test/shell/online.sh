#!/usr/bin/env bash
# Compressing while others work: it gives way to a transaction that is open on
# the table, never queues for a lock, loses no change of a concurrent writer,
# and shows its progress. Latencies are printed, not judged.
#
# Runs alone: so that the latencies mean something.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
hone_server online || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1

# The compression in hand, begun by this script; and its outcome in $log.
log=$HONE_WORK/compress.log
begin_compress() {
    PGAPPNAME=compress "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d postgres \
        -c "$1" >"$log" 2>&1 &
    compress_pid=$!
}

# Waits for locks that anybody was seen to wait in until the compression ended.
watch_queue() {
    local seen=0
    while kill -0 "$compress_pid" 2>/dev/null; do
        seen=$((seen + $(sql "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
            WHERE NOT l.granted AND a.application_name = 'compress'")))
    done
    echo "$seen"
}

make_varied t 60000 || exit 1
sql "CREATE INDEX ON t (id)"
sql "CALL hone.compress('t')" 2>/dev/null || exit 1
sql "INSERT INTO t SELECT * FROM t WHERE id <= 3000" || exit 1
sql "DELETE FROM t WHERE id > 59000"
wanted=$(rows_of t)

# --- a transaction stays open on the table -------------------------------------

open_session
is "a session writes and stays open" "$(ask "BEGIN; UPDATE t SET n = n WHERE id = 1; SELECT 'ready';")" ready
begin_compress "CALL hone.compress('t')"
succeeds "the compression is seen to wait" wait_until 20 \
    "SELECT EXISTS (SELECT FROM hone.compress_progress WHERE relation = 't'::regclass AND datname = current_database() AND lock_waits > 0)"
is "meanwhile others write" "$(sql "SET lock_timeout = '20s'; INSERT INTO t (id) VALUES (-1); DELETE FROM t WHERE id = -1; SELECT 'yes'")" yes
is "and read" "$(sql "SELECT count(*) > 0 FROM t")" t
is "it never queues" "$(watch_queue)" 0
wait "$compress_pid"
like "it gives up with 55P03" "$(cat "$log")" "ERROR:  55P03: could not lock table \"t\""
is "and is not shown any more" "$(sql "SELECT count(*) FROM hone.compress_progress")" 0
tell "ROLLBACK;"
is "every row is there" "$(rows_of t)" "$wanted"

# --- it goes on when the transaction ends --------------------------------------

is "a session locks a compressed row" "$(ask "BEGIN; SELECT 'row ' || id FROM t WHERE id = 20000 FOR UPDATE;")" "row 20000"
begin_compress "CALL hone.compress('t')"
wait_until 20 "SELECT EXISTS (SELECT FROM hone.compress_progress WHERE lock_waits > 0)"
tell "COMMIT;"
wait "$compress_pid"
is "it ends well" "$?" 0
is "every row is there, each once" "$(rows_of t)" "$wanted"
is "nothing is plain or dead" "$(sql "SELECT plain_rows, dead_rows FROM hone.tiered_stats('t')")" "0|0"
close_session

# --- a compression that is ended from outside ----------------------------------

open_session
tell "BEGIN; INSERT INTO t (id) VALUES (-2);"
is "rows to compress" "$(ask "SELECT 'ready';")" ready
sql "UPDATE t SET n = n WHERE id < 100"
begin_compress "CALL hone.compress('t')"
wait_until 20 "SELECT EXISTS (SELECT FROM hone.compress_progress)"
sql "SELECT pg_terminate_backend(pid) FROM hone.compress_progress" >/dev/null
wait "$compress_pid" 2>/dev/null
succeeds "a session that is ended leaves no progress behind" wait_until 20 "SELECT count(*) = 0 FROM hone.compress_progress"
tell "ROLLBACK;"
close_session

# --- the fast way gives way ----------------------------------------------------

make_varied g 250000 || exit 1
sql "ALTER TABLE g ADD PRIMARY KEY (id)"
# The rewrite is stopped for a moment, so that it cannot be done before the
# writer waits. Where it was too far by then, once more from the start.
rewriting="SELECT EXISTS (SELECT FROM hone.compress_progress WHERE relation = 'g'::regclass AND phase = 'rewriting' AND rows_done BETWEEN 1 AND 150000)"
for ((tries = 0; tries < 5; tries++)); do
    PGOPTIONS="-c client_min_messages=debug1" begin_compress "CALL hone.compress('g')"
    while kill -0 "$compress_pid" 2>/dev/null && [ "$(sql "$rewriting")" != t ]; do sleep 0.02; done
    worker=$(sql "SELECT pid FROM hone.compress_progress")
    [ -n "$worker" ] && halt "$worker" && [ "$(sql "$rewriting")" = t ] && break
    [ -z "$worker" ] || kill -CONT "$worker" 2>/dev/null
    wait "$compress_pid"
    sql "CALL hone.decompress('g')" 2>/dev/null
done
is "a table that nobody uses is rewritten" "$(sql "$rewriting")" t
is "others read meanwhile" "$(sql "SELECT count(*) FROM g WHERE id <= 1000")" 1000
sql "SET lock_timeout = '60s'; UPDATE g SET n = -7 WHERE id = 5; SELECT 'changed'" >"$HONE_WORK/writer.log" 2>&1 &
writer=$!
wait_until 20 "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'g'::regclass AND NOT granted)"
kill -CONT "$worker"
wait "$writer"
is "who writes does so while it is compressed" "$(cat "$HONE_WORK/writer.log") $(sql "SELECT count(*) FROM hone.compress_progress")" "changed 1"
wanted=$(rows_of g)
wait "$compress_pid"
is "the slow way ends well" "$?" 0
like "what was written anew was thrown away" "$(cat "$log")" "others wait for table \"g\", which is rewritten"
is "every row is there" "$(rows_of g)" "$wanted"
is "and the change" "$(sql "SELECT n FROM g WHERE id = 5")" -7
is "nothing is left of the other table" "$(sql "SELECT count(*) FROM pg_class WHERE relname LIKE 'pg_temp_%' OR relrewrite <> 0")" 0
is "all of it is compressed" "$(sql "SELECT compressed_rows, plain_rows FROM hone.tiered_stats('g')")" "250000|0"
sql "DROP TABLE g"

# --- writers all the while -----------------------------------------------------

sql "CREATE TABLE w (id int PRIMARY KEY, n int, at timestamptz DEFAULT '2024-01-01');
     INSERT INTO w SELECT i, 0 FROM generate_series(1, 60000) i"
cat >"$HONE_WORK/write.sql" <<'SQL'
\set id random(1, 60000)
UPDATE w SET n = n + 1 WHERE id = :id;
SQL
chmod 644 "$HONE_WORK/write.sql"
"$HONE_BIN/pgbench" -n -c 2 -j 1 -T 12 -l --log-prefix="$HONE_WORK/latency" -f "$HONE_WORK/write.sql" postgres \
    >"$HONE_WORK/pgbench.log" 2>&1 &
writers=$!
runs=0
while kill -0 "$writers" 2>/dev/null; do
    begin_compress "CALL hone.compress('w')"
    wait "$compress_pid" || { like "a compression only gives way" "$(cat "$log")" "ERROR:  55P03"; }
    runs=$((runs + 1))
done
wait "$writers"
is "the writers had no error" "$?" 0
done_updates=$(sed -nE 's/^number of transactions actually processed: ([0-9]+).*/\1/p' "$HONE_WORK/pgbench.log")
is "every update counts once" "$(sql "SELECT sum(n), count(*), count(DISTINCT id) FROM w")" "$done_updates|60000|60000"
sql "CALL hone.compress('w')" 2>/dev/null
is "and after the last compression" "$(sql "SELECT sum(n), count(*), count(DISTINCT id) FROM w")" "$done_updates|60000|60000"
echo "# $runs compressions beside $done_updates updates; latency of an update in ms (median, 99 %, longest):" \
    "$(cat "$HONE_WORK"/latency.* | awk '{ print $3 / 1000 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)], v[int(NR * 0.99)], v[NR] }')"
hone_done
