#!/usr/bin/env bash
# Cached queries and rate limits between sessions: who waits gets the rows of
# the one who runs it, or runs it when that one is cancelled or ended; memory
# is bounded; prepared transactions; what a restart, a crash and no memory do.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
options="-c hone.rate_limit_keys=100 -c deadlock_timeout=100s -c max_prepared_transactions=5 -c hone.worker=off"
hone_server cache "$options -c hone.cache_memory=1MB" || exit 1
sql "CREATE EXTENSION pg_hone;
     CREATE TABLE t AS SELECT 1 AS v;
     CREATE FUNCTION gate() RETURNS text STABLE LANGUAGE plpgsql AS \$\$BEGIN PERFORM pg_advisory_xact_lock_shared(78); RETURN 'open'; END\$\$;
     CREATE FUNCTION ask() RETURNS text LANGUAGE sql AS \$\$SELECT r->>'sum' FROM hone.cached_query('SELECT gate(), sum(v) FROM t', '1 hour', '{t}') r\$\$;
     SELECT hone.invalidate_cache_on('t', '{t}')" >/dev/null || exit 1

# counted COLUMNS: since the last time that this was called with 'begin'
counted() {
    local columns=$1
    if [ "$columns" = begin ]; then sql "DROP TABLE IF EXISTS was; CREATE TABLE was AS SELECT * FROM hone.cache_stats" 2>/dev/null; return; fi
    sql "SELECT $(sed -E 's/(\w+)/n.\1 - was.\1/g' <<<"$columns") FROM hone.cache_stats n, was"
}
# One asks and stands before the closed gate, three more wait for it.
gather() {
    local who
    counted begin
    sql "SELECT hone.invalidate_cache()" >/dev/null
    open_session
    ask "SELECT 'closed' FROM pg_advisory_lock(78);" >/dev/null
    answers=()
    sql "SELECT ask()" >"$HONE_WORK/leader" 2>&1 &
    leader=$!
    wait_until 20 "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
    for who in 1 2 3; do sql "SELECT ask()" >"$HONE_WORK/waiter.$who" 2>&1 & answers+=($!); done
    wait_until 20 "SELECT n.waits - was.waits = 3 FROM hone.cache_stats n, was"
}
# All go on; what those that waited got: $got
scatter() {
    tell "SELECT FROM pg_advisory_unlock(78);"
    wait "$leader" "${answers[@]}" 2>/dev/null
    close_session
    got=$(cat "$HONE_WORK"/waiter.? | grep -xE '[0-9]+' | paste -sd' ')
}
# end_leader FUNCTION: pg_cancel_backend or pg_terminate_backend; another one
# then stands before the gate
end_leader() {
    local pid
    pid=$(sql "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    sql "SELECT $1($pid)" >/dev/null
    wait_until 20 "SELECT bool_and(pid <> $pid) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
}

gather
scatter
is "who waits gets the rows of the one who runs it" "$got" "1 1 1"
is "one has run it for all" "$(counted "misses, waits, handed_over, bypassed")" "1|3|0|0"
gather
end_leader pg_cancel_backend
scatter
is "when that one is cancelled another one runs it" "$got" "1 1 1"
like "which says so" "$(cat "$HONE_WORK/leader")" "canceling statement"
is "for all" "$(counted "misses, waits, handed_over, bypassed")" "1|3|1|0"
gather
end_leader pg_terminate_backend
scatter
is "when it is ended another one runs it" "$got" "1 1 1"
is "for all again" "$(counted "misses, waits, handed_over, bypassed")" "1|3|1|0"
gather
end_leader pg_terminate_backend
end_leader pg_cancel_backend
end_leader pg_terminate_backend
scatter
is "so does the last one, after three that ended" "$got $(counted "handed_over")" "1 3"
gather
sql "INSERT INTO t VALUES (10)"
scatter
is "what was committed while they waited they see" "$got" "11 11 11"
is "the leader does not" "$(cat "$HONE_WORK/leader")" 1
is "and one has run it anew" "$(counted "misses, waits, handed_over, outdated")" "1|3|1|1"

counted begin
sql "SELECT hone.invalidate_cache()" >/dev/null
"$HONE_BIN/pgbench" -n -c 50 -t 1 -f <(echo "SELECT count(*) FROM hone.cached_query('SELECT count(*) FROM generate_series(1, 300000)', '1 hour', '{burst}');") postgres >/dev/null 2>&1
is "of fifty clients at once one runs the query" "$(counted "misses, bypassed, failures") $(counted "hits + waits" | sed 's/ //g')" "1|0|0 49"

# --- prepared transactions -------------------------------------------------------

sql "SELECT ask()" >/dev/null
sql "BEGIN; INSERT INTO t VALUES (100); PREPARE TRANSACTION 'p'"
is "a prepared transaction is not seen" "$(sql "SELECT ask()")" 11
is "committed, it is" "$(sql "COMMIT PREPARED 'p'"; sql "SELECT ask()")" 111

# --- locks -------------------------------------------------------------------------

sql "CREATE TABLE p (i int) PARTITION BY RANGE (i); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)"
open_session
ask "BEGIN; LOCK TABLE ONLY p IN ROW EXCLUSIVE MODE; SET statement_timeout = '5 s'; SELECT 'locked';" >/dev/null
sql "SELECT hone.invalidate_cache_on('p', '{p}')" >"$HONE_WORK/trigger" 2>&1 &
trigger=$!
wait_until 20 "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'p'::regclass)"
is "who writes to a table goes on while it gets its trigger" "$(ask "INSERT INTO p1 VALUES (1) RETURNING i;")" 1
tell "COMMIT;"
wait "$trigger"
close_session
is "which it then has, with its partition" "$(cat "$HONE_WORK/trigger")" 2

# --- memory ----------------------------------------------------------------------

counted begin
sql "SELECT count(*) FROM generate_series(1, 400) i, LATERAL hone.cached_query(format('SELECT %s AS i, repeat(''x'', 10000) AS x', i), '1 hour')" >/dev/null
is "the memory is bounded" "$(sql "SELECT bytes <= limit_bytes AND bytes > limit_bytes / 2, limit_bytes, results BETWEEN 50 AND 110 FROM hone.cache_stats")" "t|1048576|t"
is "what is new takes the place of what is old" "$(counted "misses, failures"; sql "SELECT n.evictions - was.evictions BETWEEN 280 AND 350 FROM hone.cache_stats n, was")" "400|0
t"
counted begin
sql "SELECT count(*) FROM generate_series(400, 401 - 20, -1) i, LATERAL hone.cached_query(format('SELECT %s AS i, repeat(''x'', 10000) AS x', i), '1 hour')" >/dev/null
is "the latest are there" "$(counted "hits, misses")" "20|0"
counted begin
sql "SELECT count(*) FROM generate_series(500, 700) i, LATERAL (SELECT hone.cached_query(format('SELECT %s AS i, repeat(''x'', 10000) AS x', i), '1 hour'), hone.cached_query('SELECT 400 AS i, repeat(''x'', 10000) AS x', '1 hour')) x" >/dev/null
is "what is used stays" "$(counted "hits, misses")" "201|201"
counted begin
for _ in 1 2 3; do sql "SELECT length(r->>'x') FROM hone.cached_query('SELECT repeat(''x'', 300000) AS x', '1 hour') r"; done | uniq -c | grep -q '3 300000'
is "a large result is right, and not kept" "$? $(counted "misses, too_large, bypassed")" "0 1|1|2"
is "many small ones" "$(counted begin; sql "SELECT count(*) FROM generate_series(1, 600) i, LATERAL hone.cached_query(format('SELECT %s AS i', i), '1 hour')"; counted "misses, failures")" "600
600|0"
is "results whose time is over go" "$(sql "SELECT hone.invalidate_cache()" >/dev/null
    sql "SELECT count(*) FROM generate_series(1, 100) i, LATERAL hone.cached_query(format('SELECT %s AS short', i), '1 ms')"
    sql "SELECT count(*) FROM generate_series(1, 400) i, LATERAL hone.cached_query(format('SELECT %s AS long', i), '1 hour')"
    sql "SELECT results BETWEEN 100 AND 256 FROM hone.cache_stats")" "100
400
t"

# --- rate limits -------------------------------------------------------------------

is "a limit is all sessions'" "$(for _ in 1 2 3; do sql "SELECT allowed FROM hone.rate_limit('shared', 0.001, 2)"; done | paste -sd' ')" "t t f"
sql "CREATE DATABASE other"
HONE_DB=other sql "CREATE EXTENSION pg_hone"
is "but of one database" "$(HONE_DB=other sql "SELECT allowed FROM hone.rate_limit('shared', 0.001, 2)")" t
is "of twenty at once ten may go ahead" "$("$HONE_BIN/pgbench" -n -c 20 -t 1 -f <(echo "SELECT 1 / allowed::int FROM hone.rate_limit('twenty', 0.001, 10);") postgres 2>&1 | grep -c "division by zero")" 10
sql "SELECT hone.rate_limit_wait('ended', 0.01, 5, 5)" >/dev/null
sql "SELECT hone.rate_limit_wait('ended', 0.01, 5, 5)" >/dev/null 2>&1 &
sleeper=$!
wait_until 20 "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%rate_limit_wait%' AND wait_event_type = 'Extension')"
like "others wait behind one who sleeps" "$(sql "SELECT retry_after FROM hone.rate_limit('ended', 0.01, 5, 5)")" "^00:1[56]:"
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%rate_limit_wait%' AND wait_event_type = 'Extension'" >/dev/null
wait "$sleeper"
like "which gives back what it took when it is ended" "$(sql "SELECT retry_after FROM hone.rate_limit('ended', 0.01, 5, 5)")" "^00:0[78]:"
is "more keys than there is room for" "$(sql "SELECT count(*) FILTER (WHERE (hone.rate_limit('key ' || i, 0.01, 1)).allowed) FROM generate_series(1, 4000) i")" 4000
is "the least is forgiven" "$(sql "SELECT rate_limits_forgotten > 3500 FROM hone.cache_stats; SELECT retry_after > interval '7 minutes' FROM hone.rate_limit('ended', 0.01, 5, 5)")" "t
t"

# --- a crash, a restart, no memory ---------------------------------------------------

gather
hone_kill "$HONE_DATA"
wait "$leader" "${answers[@]}" 2>/dev/null
close_session 2>/dev/null
hone_start "$HONE_DATA" "$options -c hone.cache_memory=1MB" || exit 1
is "after a crash it begins anew" "$(sql "SELECT ask(); SELECT ask(); SELECT hits, misses, results FROM hone.cache_stats")" "111
111
1|1|1"
is "and so do limits" "$(sql "SELECT allowed FROM hone.rate_limit('shared', 0.001, 2)")" t
sql "SELECT ask() FROM generate_series(1, 9)" >/dev/null
victim=$(sql "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'")
kill -9 "$victim"
succeeds "also where the server restarts by itself" wait_until 30 "SELECT ask() = '111' AND hits < 9 FROM hone.cache_stats"
hone_stop "$HONE_DATA"
hone_start "$HONE_DATA" "$options -c hone.cache_memory=0" || exit 1
is "without memory each runs it" "$(sql "SELECT ask(); SELECT ask(); SELECT hits, misses, bypassed, limit_bytes FROM hone.cache_stats")" "111
111
0|0|2|0"
succeeds "and tags may be invalidated" sql "SELECT hone.invalidate_cache('{t}'); INSERT INTO t VALUES (1000)"
like "no process has crashed by itself" "$(grep -cE 'PANIC:|TRAP:|signal 11|signal 6' "$HONE_DATA.log")" '^0$'
hone_done
