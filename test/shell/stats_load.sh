#!/usr/bin/env bash
# Statistics under load: what readers see while sessions count, flush, end and
# are evicted. Each call once, never more, never fewer; memory within its
# limit; what was waited for; nobody's burst lost.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
hone_server load "-c hone.max_memory=2MB -c max_connections=40 -c hone.flush_interval=100ms -c hone.history_interval=1h" || exit 1
sql "CREATE EXTENSION pg_hone; CREATE TABLE l (id int PRIMARY KEY, v text); INSERT INTO l SELECT g, 'x' FROM generate_series(1, 1000) AS g"
bench() { "$HONE_BIN/pgbench" -n "$@" postgres >"$HONE_WORK/pgbench.log" 2>&1 || cat "$HONE_WORK/pgbench.log"; }
status() { sql "SELECT value FROM hone.status WHERE item = '$1'"; }

# A reader never sees fewer calls than before, nor more than were made.
cat >"$HONE_WORK/counted.sql" <<SQL
\set id random(1, 1000)
SELECT v AS counted FROM l WHERE id = :id;
UPDATE l SET v = 'y' WHERE id = :id;
SQL
cat >"$HONE_WORK/watch.sql" <<SQL
DO \$\$
DECLARE
    before bigint := 0;
    calls bigint;
    reads int := 0;
BEGIN
    LOOP
        SELECT sum(q.calls) INTO calls FROM hone.queries AS q WHERE q.query LIKE 'SELECT v AS counted%';
        IF calls < before THEN RAISE EXCEPTION '% calls after %', calls, before USING ERRCODE = 'data_exception'; END IF;
        EXIT WHEN calls >= 16000 OR reads > 100000;
        before := coalesce(calls, 0);
        reads := reads + 1;
    END LOOP;
    RAISE NOTICE 'read % times', reads;
END \$\$;
SQL
sql "SELECT hone.reset()" >/dev/null
"$HONE_BIN/psql" -Xq -d postgres -f "$HONE_WORK/watch.sql" >"$HONE_WORK/watch.log" 2>&1 &
watcher=$!
bench -c 8 -j 2 -t 2000 -M prepared -f "$HONE_WORK/counted.sql"
wait $watcher
like "counts only grow under a reader's eyes" "$(cat "$HONE_WORK/watch.log")" "NOTICE:  read [0-9]{2,} times"
is "each call once, by 8 sessions that have ended" \
    "$(sql "SELECT regexp_replace(query, ' .*', ''), sum(calls), sum(rows) FROM hone.queries WHERE query ~ '^SELECT v AS counted|^UPDATE l' GROUP BY 1 ORDER BY 1")" "SELECT|16000|16000
UPDATE|16000|16000"
wait_until 10 "SELECT connections_ended >= 8 FROM hone.databases WHERE datname = 'postgres'"
is "the database's sum has them, by kind" \
    "$(sql "SELECT calls >= 32000, round(read_pct), round(write_pct), connections_ended >= 8, connection_p95_s > 0 FROM hone.databases WHERE datname = 'postgres'")" "t|50|50|t|t"

# More different statements than there is room for.
mkdir -p "$HONE_WORK/many"
# queries differ by the types of their constants
awk -v dir="$HONE_WORK/many" 'BEGIN { for (n = 0; n < 12000; n++) {
    line = "SELECT 1 AS of_many"
    for (bit = 1; bit < 16384; bit *= 2) line = line ", " (int(n / bit) % 2 ? "1" : "true")
    print line ";" > (dir "/" n % 4 ".sql") } }'
sql "SELECT hone.reset()" >/dev/null
for file in 0 1 2 3; do
    "$HONE_BIN/psql" -XAtq -d postgres -f "$HONE_WORK/many/$file.sql" >/dev/null 2>&1 &
done
wait
isnt "the collector evicts at once, without a nap" "$(status evictions)" 0
is "the memory is kept" "$(sql "SELECT used_bytes <= limit_bytes FROM hone._shared_status()")" t
is "no call is lost by it: what is gone counts under <other>" \
    "$(sql "SELECT sum(calls) BETWEEN 12000 AND 12020 FROM hone.queries WHERE datname = 'postgres'")" t
# what else is counted of a statement than its own figures may find none
is "nor by those who found no room" "$(sql "SELECT $(status "dropped records") <= 20")" t
is "the view for everybody" "$(sql "SELECT count(*) FROM hone.queries WHERE query = '<other>'")" 1
is "the sum of the database has all of them" "$(sql "SELECT calls >= 12000 FROM hone.databases WHERE datname = 'postgres'")" t
sql "CALL hone._write_history()"
is "the history has them too" "$(sql "SELECT sum(calls) BETWEEN 12000 AND 12030 FROM hone.latency_between(now() - interval '1 hour')")" t
# of those that found no room a text may be left for a while
is "texts go with their queries" "$(sql "SELECT entries * 1.01 + 20 >= texts FROM hone._shared_status()")" t

# What the collector samples.
"$HONE_BIN/psql" -XAtq -d postgres -c "BEGIN; UPDATE l SET v = 'held' WHERE id = 1; SELECT pg_sleep(3); COMMIT" >/dev/null &
"$HONE_BIN/psql" -XAtq -d postgres -c "COPY (SELECT repeat('x', 10000) FROM generate_series(1, 3000)) TO STDOUT" | (sleep 2.5; cat >/dev/null) &
wait_until 10 "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'l'::regclass AND mode = 'RowExclusiveLock' AND granted"
sql "UPDATE l SET v = 'waits_for_lock' WHERE id = 1 AND 'waits_for_lock' <> ''" >/dev/null
# On a busy machine it may get too little of a processor to be bound by it.
for _ in $(seq 20); do
    sql "SELECT hone.reset(queryid) FROM hone.queries WHERE query ~ '^SELECT sum.*burns'" >/dev/null
    sql "SELECT sum(a.g * b.g) AS burns FROM generate_series(1, 3000) AS a(g), generate_series(1, 4000) AS b(g)" >/dev/null
    if wait_until 3 "SELECT bound_by = 'cpu' FROM hone.queries WHERE query ~ '^SELECT sum.*burns'"; then break; fi
done
wait
wait_until 10 "SELECT count(*) = 3 FROM hone.queries WHERE query ~ '^(UPDATE l.*<>|COPY|SELECT sum.*burns)' AND bound_by IN ('lock', 'client', 'cpu')"
is "what it was bound by" "$(sql "SELECT substring(query FROM '^\w+'), bound_by FROM hone.queries
    WHERE query ~ '^(UPDATE l.*<>|COPY|SELECT sum.*burns)' ORDER BY 1")" "COPY|client
SELECT|cpu
UPDATE|lock"

# A burst of a session that then does nothing is in the table, and so in what is
# saved and in the history.
mkfifo "$HONE_WORK/idle"
"$HONE_BIN/psql" -XAtq -d postgres <"$HONE_WORK/idle" >/dev/null &
idler=$!
exec 9>"$HONE_WORK/idle"
echo "SET hone.flush_interval = '1h'; SELECT 1 AS of_idler \\; SELECT 2 AS of_idler \\; SELECT 3 AS of_idler;" >&9
wait_until 10 "SELECT sum(calls) = 3 FROM hone.queries WHERE query LIKE '%of\\_idler'"
sleep 2.5
sql "CALL hone._write_history()"
is "a burst of an idle session reaches the history" \
    "$(sql "SELECT sum(h.calls) FROM hone.history AS h JOIN hone._history_text AS t USING (queryid) WHERE t.query LIKE '%of\\_idler'")" 3
echo "SELECT 4 AS of_idler;" >&9
wait_until 10 "SELECT sum(calls) = 4 FROM hone.queries WHERE query LIKE '%of\\_idler'"
is "and it goes on counting" "$(sql "SELECT calls FROM hone.latency_between(now() - interval '1 hour') WHERE query LIKE '%of\\_idler'")" 4
exec 9>&-
wait $idler
is "each once when it has ended" "$(sql "SELECT calls FROM hone.queries WHERE query LIKE '%of\\_idler'")" 4
# each is counted when its process ends, which is after its client has
open_session
alone() { for _ in $(seq 100); do [ "$(ask "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend';")" != 1 ] || break; sleep 0.1; done; }
ended="SELECT connections_ended FROM hone.databases WHERE datname = 'postgres';"
alone
before=$(ask "$ended")
for _ in 1 2 3; do "$HONE_BIN/psql" -XAtq -d postgres -c "" >/dev/null; done
alone
is "connections that say nothing count" "$(($(ask "$ended") - before))" 3
close_session
is "nothing went wrong inside" "$(status "internal errors")" 0
hone_done
