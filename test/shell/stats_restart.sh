#!/usr/bin/env bash
# The statistics over a restart: a clean one loses nothing, a crash what came
# after the last save, and a file that cannot be read never stops the server.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server restart "-c hone.history_interval=1h -c max_connections=30" || exit 1
sql "CREATE EXTENSION pg_hone; CREATE TABLE r (id int, v text)"
PGAPPNAME=filler

again() { hone_start "$HONE_DATA" "-c hone.history_interval=1h -c max_connections=30 ${1:-}"; }
file() { echo "$HONE_DATA/$1/pg_hone.stat"; }
# everything that is known of what was run here, but for what this reads
known() {
    sql "SELECT query, toplevel, calls, errors, rows, total_exec_ms, min_exec_ms, max_exec_ms, stddev_exec_ms, p50_ms, p999_ms, plans,
             shared_blks_hit, wal_bytes, first_seen, last_seen FROM hone.queries WHERE query ~ 'AS kept|INTO r' ORDER BY query COLLATE \"C\";
         SELECT query, sqlstate, errors, last_seen FROM hone.errors WHERE query IS NULL OR query ~ 'AS kept' ORDER BY 1, 2;
         SELECT hone._sample_text(queryid) FROM hone.queries WHERE query ~ 'AS kept' ORDER BY query COLLATE \"C\""
}
work() {
    local i
    for i in 1 2 3 4 5 6 7 8; do sql "SELECT pg_sleep(0.00$i) AS kept_sleep" >/dev/null; done
    sql "INSERT INTO r SELECT g, 'x' FROM generate_series(1, 500) AS g"
    sql "SELECT 1 / (id - id) AS kept_failing FROM r" >/dev/null 2>&1
    sql "SELEC" >/dev/null 2>&1
}

work
before=$(known) sessions=$(sql "SELECT connections_ended FROM hone.databases WHERE datname = 'postgres'")
since=$(sql "SELECT value FROM hone.status WHERE item = 'statistics since'")
hone_stop "$HONE_DATA" fast
succeeds "the postmaster has saved the statistics" test -s "$(file pg_stat)"
again || exit 1
is "a clean restart loses nothing" "$(known)" "$before"
is "nor when it began" "$(sql "SELECT value FROM hone.status WHERE item = 'statistics since'")" "$since"
is "nor the connections" "$(sql "SELECT connections_ended >= $sessions FROM hone.databases WHERE datname = 'postgres'")" t
is "the file is not where a base backup would take it" "$(test -e "$(file pg_stat)" && echo there)" ""
hone_stop "$HONE_DATA" fast
again || exit 1
is "nor does a second one" "$(known)" "$before"
sql "SELECT pg_sleep(0.001) AS kept_sleep" >/dev/null
is "and counting goes on" "$(sql "SELECT calls FROM hone.queries WHERE query LIKE '%kept_sleep'")" 9
sql "CALL hone._write_history()"
is "what the history has and what it has not, is not counted twice" \
    "$(sql "SELECT calls FROM hone.latency_between(now() - interval '1 hour') WHERE query LIKE '%kept_sleep'")" 9
hone_stop "$HONE_DATA" fast
again || exit 1
sql "CALL hone._write_history()"
is "nor after a restart" \
    "$(sql "SELECT calls FROM hone.latency_between(now() - interval '1 hour') WHERE query LIKE '%kept_sleep'")" 9

# A crash: what was saved at the last interval is there.
sql "ALTER SYSTEM SET hone.history_interval = '1s'"
sql "SELECT pg_reload_conf()" >/dev/null
sleep 2.5
before=$(known)
sql "ALTER SYSTEM SET hone.history_interval = '1h'"
sql "SELECT pg_reload_conf()" >/dev/null
sleep 0.5
sql "SELECT 'lost' AS kept_not" >/dev/null
hone_kill "$HONE_DATA"
again || exit 1
is "a crash loses what came after the last save, and no more" "$(known)" "$before"
sql "CALL hone._write_history()"
is "nor has the history any of it twice" \
    "$(sql "SELECT calls FROM hone.latency_between(now() - interval '1 hour') WHERE query LIKE '%kept_sleep'")" 9
# A backend that is killed makes the server start over with what was saved.
victim=
"$HONE_BIN/psql" -XAtq -d postgres -c "SELECT pg_sleep(60)" >/dev/null 2>&1 &
for _ in $(seq 50); do
    victim=$(sql "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'")
    [ -n "$victim" ] && break
    sleep 0.1
done
kill -9 "$victim"
wait
for _ in $(seq 100); do sql "SELECT 1" >/dev/null 2>&1 && break; sleep 0.1; done
is "so does a killed backend" "$(known)" "$before"

# The server was down for longer than some intervals: the worker goes on.
sql "ALTER SYSTEM SET hone.history_interval = '1s'"
hone_stop "$HONE_DATA" fast
sleep 3
hone_start "$HONE_DATA" "-c max_connections=30" || exit 1
wait_until 30 "SELECT max(until) > pg_postmaster_start_time() FROM hone.history"
is "the history goes on after a pause" "$(sql "SELECT calls FROM hone.latency_between(now() - interval '1 hour') WHERE query LIKE '%kept_sleep'")" 9
is "without a crash" "$(grep -c 'terminated by signal 11' "$HONE_DATA.log")" 0
sql "SELECT 'secret' AS kept_to_forget" >/dev/null
sleep 2
sql "SELECT hone.reset()" >/dev/null
sleep 1.5
hone_kill "$HONE_DATA"
hone_start "$HONE_DATA" "-c max_connections=30" || exit 1
is "a crash does not bring back what was forgotten" "$(sql "SELECT count(*) FROM hone.queries WHERE query LIKE '%kept_%' AND query NOT LIKE '%hone%'")" 0
sql "ALTER SYSTEM RESET hone.history_interval"
work
hone_stop "$HONE_DATA" immediate
is "an immediate shutdown saves nothing as if it were a clean one" "$(test -e "$(file pg_stat)" && echo there)" ""
again || exit 1
work

# Files that are not what they should be.
damaged() {
    local name=$1 where=$2
    again || exit 1
    is "$name: the server starts with empty statistics" "$(known)" ""
    like "$name: a warning says why" "$(tail -20 "$HONE_DATA.log")" "WARNING: .*pg_hone: the saved statistics in file .*$where/pg_hone.stat.* were not loaded"
    succeeds "$name: the file was set aside" test -s "$(file "$where").unreadable"
    rm -f "$(file "$where").unreadable"
    is "$name: statistics work" "$(sql "SELECT 'anew' AS kept_anew" >/dev/null; sql "SELECT calls FROM hone.queries WHERE query LIKE '%kept_anew'")" 1
    hone_stop "$HONE_DATA" fast
    rm -f "$(file pg_stat_tmp)"
}
hone_stop "$HONE_DATA" fast
whole=$HONE_WORK/whole.stat
cp "$(file pg_stat)" "$whole"
size=$(stat -c %s "$whole")
own() { chown --reference="$HONE_DATA" "$1"; }
rm -f "$(file pg_stat_tmp)"
printf '\125' | dd of="$(file pg_stat)" bs=1 seek=$((size / 2)) conv=notrunc 2>/dev/null
damaged "a changed byte" pg_stat
head -c $((size / 3)) "$whole" >"$(file pg_stat)"
damaged "a file cut short" pg_stat
head -c 10 "$whole" >"$(file pg_stat)"
damaged "a stub" pg_stat
head -c 20000 /dev/urandom >"$(file pg_stat_tmp)"
rm -f "$(file pg_stat)"
own "$(file pg_stat_tmp)"
damaged "noise, after a crash" pg_stat_tmp
: >"$(file pg_stat)"
again || exit 1
is "an empty file: the server starts" "$(sql "SELECT 1")" 1
hone_stop "$HONE_DATA" fast
rm -f "$(file pg_stat).unreadable"

# Less room than there was.
cp "$whole" "$(file pg_stat)"
own "$(file pg_stat)"
again "-c hone.max_memory=2MB" || exit 1
is "the saved statistics with less memory" "$(sql "SELECT count(*) > 0 FROM hone.queries WHERE query LIKE '%kept_sleep'")" t
hone_stop "$HONE_DATA" fast
# Nowhere to write: the server stops and starts all the same.
rm -f "$(file pg_stat)" "$(file pg_stat_tmp)"
mkdir -p "$(file pg_stat).tmp" "$(file pg_stat_tmp).tmp"
again || exit 1
sql "SELECT 'gone' AS kept_gone" >/dev/null
hone_stop "$HONE_DATA" fast
like "a file that cannot be written is a line in the log" "$(tail -20 "$HONE_DATA.log")" "could not write statistics to file"
rmdir "$(file pg_stat).tmp" "$(file pg_stat_tmp).tmp"
again || exit 1
is "and the server starts" "$(sql "SELECT count(*) FROM hone.queries WHERE query LIKE '%kept_gone'")" 0
is "nothing went wrong inside" "$(sql "SELECT value FROM hone.status WHERE item = 'internal errors'")" 0
hone_done
