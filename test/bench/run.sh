#!/usr/bin/env bash
# Benches, on private servers. Prints a report in Markdown and writes it to
# test/bench/RESULTS.md; every ratio comes from figures of this one run.
# Asserts nothing about times.
#
#   bash test/bench/run.sh                     all of it, about half an hour
#   bash test/bench/run.sh PART                a part, printed only:
#       overhead instructions stream readers history   statistics
#       storage writing compressing                    compressed tables
#       lifecycle, or: moving archiving foreground idle
#                                                      policies
#       advisor                                        advised indexes
#       analyze                                        analyze_workload
#       batch                                          a big DELETE in batches
#       rows, or: fetch insert page                    batches of rows
#       cache                                          cached queries, rate limits
#
# HONE_ROUNDS (5) rounds of HONE_SECONDS (10) each for the overhead, half as
# many for the readers; HONE_STREAM (300000) statements, a million at most;
# HONE_MOVE_ROUNDS (3) rounds of moves, HONE_PARTITIONS (10000) partitions;
# HONE_SHOP_ROWS (1000000) rows of the shop's tables; HONE_TABLES (200) tables
# of HONE_TABLE_ROWS (20000) rows to analyse the workload of;
# HONE_BATCH_ROWS (10000000) rows of which every second one is deleted;
# HONE_ROWS (1000000) rows that fetch_batch and page read;
# HONE_CACHE_CLIENTS (200) clients with one query.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$(dirname "$0")/../lib/session.sh"
part=${1:-all}
rounds=${HONE_ROUNDS:-5} seconds=${HONE_SECONDS:-10}
bench=${HONE_BENCH:-$HONE_ROOT/../shared/bench}
hone_prepare
report=$HONE_WORK/report.md

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
ratio() { awk "BEGIN { printf \"%.${3:-2}f\", $1 / $2 }"; }

. "$(dirname "$0")/statistics.sh"
. "$(dirname "$0")/lifecycle.sh"
. "$(dirname "$0")/advisor.sh"
. "$(dirname "$0")/analyze.sh"
. "$(dirname "$0")/batch.sh"
. "$(dirname "$0")/rows.sh"
. "$(dirname "$0")/cache.sh"

# --- overhead ------------------------------------------------------------

# Rounds of one number of clients, interleaved over the three servers.
overhead_of() {
    local clients=$1 name round tps
    for round in $(seq "$rounds"); do
        for name in none pg_stat_statements pg_hone; do
            tps=$(PGHOST=${host[$name]} "$HONE_BIN/pgbench" -S -n -M prepared -c "$clients" -j 2 -T "$seconds" postgres 2>/dev/null |
                sed -nE 's/^tps = ([0-9.]+).*/\1/p')
            echo "$tps" >>"$HONE_WORK/tps.$name.$clients"
            hone_say "$clients clients, round $round of $rounds, $name: $tps transactions/s"
        done
    done
    local none statements hone
    none=$(median <"$HONE_WORK/tps.none.$clients") statements=$(median <"$HONE_WORK/tps.pg_stat_statements.$clients") hone=$(median <"$HONE_WORK/tps.pg_hone.$clients")
    cat >>"$report" <<MD
| $clients | no extension | ${none%.*} | 1.000 | $(spread none "$clients") |
| $clients | pg_stat_statements | ${statements%.*} | $(ratio "$statements" "$none" 3) | $(spread pg_stat_statements "$clients") |
| $clients | pg_hone | ${hone%.*} | $(ratio "$hone" "$none" 3) | $(spread pg_hone "$clients") |
MD
}

spread() { sort -n "$HONE_WORK/tps.$1.$2" | awk '{ v[NR] = int($1) } END { print v[1] " to " v[NR] }'; }

overhead() {
    local name library clients
    declare -A host
    for name in none pg_stat_statements pg_hone; do
        hone_say "cluster with $name"
        library=${name#none}
        hone_server "bench_$name" "-c shared_preload_libraries=$library -c shared_buffers=512MB -c autovacuum=off" || exit 1
        host[$name]=$PGHOST
        "$HONE_BIN/pgbench" -i -q -s 10 postgres >/dev/null 2>&1 || exit 1
        [ "$name" = none ] || sql "CREATE EXTENSION $name" || exit 1
        PGHOST=${host[$name]} "$HONE_BIN/pgbench" -S -n -M prepared -c 2 -j 2 -T 3 postgres >/dev/null 2>&1
    done
    cat >>"$report" <<MD

## Overhead

\`pgbench -S -M prepared -j 2\`, scale 10, everything in memory; $rounds interleaved rounds of $seconds s for each number of clients, median.

| clients | server | transactions/s | of no extension | lowest and highest round |
|---|---|---|---|---|
MD
    for clients in 1 8 64; do overhead_of "$clients"; done
    printf '\nA difference smaller than the spread of the rounds is noise.\n' >>"$report"
}

# --- instructions --------------------------------------------------------

# watch MANY LIBRARY OPTIONS COMMAND...: the last cluster's server, run by a
# command that watches it, while two sessions execute 1,000 and MANY
# statements. few and many are then their process numbers.
watch() {
    local statements=$1 library=$2 options=$3
    shift 3
    : >"$HONE_DATA.log"
    # shellcheck disable=SC2086
    hone_as "$@" "$HONE_BIN/postgres" -D "$HONE_DATA" -p "$PGPORT" -c shared_preload_libraries="$library" \
        -c log_connections=on -c autovacuum=off $options >>"$HONE_DATA.log" 2>&1 &
    for _ in $(seq 600); do
        "$HONE_BIN/pg_isready" -q -d postgres && break
        sleep 0.1
    done
    few=$(watched_session 1000) many=$(watched_session "$statements")
    hone_stop "$HONE_DATA"
    wait
}

watched_session() {
    PGAPPNAME=run_$1 "$HONE_BIN/pgbench" -S -n -M prepared -c 1 -t "$1" postgres >/dev/null 2>&1
    sed -nE "s/.*\[([0-9]+)\].*application_name=run_$1\b.*/\1/p" "$HONE_DATA.log" | tail -1
}

# Without what reading from the client took: how often the server has to wait
# for it is chance.
instructions_of() {
    callgrind_annotate --inclusive=yes --threshold=100 "$watched/$1.out" 2>/dev/null | tr -d , | awk '
        /PROGRAM TOTALS/ { total = $1 }
        /:secure_read / && !read { read = $1 }
        END { print total - read }'
}

# calls_of PID: lines "name number".
calls_of() { sed -nE 's/^([a-z_0-9]+)\(.*/\1/p' "$watched/calls.$1" | sort | uniq -c | awk '{ print $2, $1 }'; }

# Calls for each statement, and which: "2.00 (recvfrom 1.00, sendto 1.00)".
calls_each() {
    { calls_of "$few" | sed 's/^/few /'; calls_of "$many" | sed 's/^/many /'; } | awk '
        { each[$2] += ($1 == "many" ? $3 : -$3) / 10000 }
        END {
            for (call in each)
                if (each[call] >= 0.005) { sum += each[call]; print each[call], call }
            print sum
        }' | sort -rn | awk '
        NF == 1 { total = sprintf("%.2f", $1) }
        NF == 2 { list = list (list ? ", " : "") sprintf("%s %.2f", $2, $1) }
        END { print total " (" list ")" }'
}

# A server under callgrind goes at about a fiftieth of its pace. What is done
# once in so many milliseconds would be shared out among a fiftieth of the
# statements, so the intervals are as much longer.
paced="-c hone.flush_interval=50s -c hone.capture_rusage_interval=500ms"

instructions() {
    local name library few many each none='' watched=$HONE_WORK/run/watched calls=''
    if ! command -v valgrind >/dev/null; then
        echo "(valgrind is not installed: no instruction counts)" >>"$report"
        return
    fi
    cat >>"$report" <<MD

## Instructions

Instructions of the server process for each statement of \`pgbench -S -M prepared\` under callgrind: the difference of sessions of 1,000 and 3,000 statements, divided by 2,000; without reading from the client, for which it waits now and then. Unlike times, hardly touched by what else the machine does. Intervals of pg_hone's settings are 50 times as long as by default, since callgrind is about that much slower.

| server | instructions per statement | of no extension | added |
|---|---|---|---|
MD
    for name in none pg_stat_statements pg_hone; do
        hone_say "callgrind with $name"
        library=${name#none}
        hone_server "callgrind_$name" "-c shared_preload_libraries=$library" || exit 1
        "$HONE_BIN/pgbench" -i -q -s 1 postgres >/dev/null 2>&1 || exit 1
        [ "$name" = none ] || sql "CREATE EXTENSION $name"
        sql "VACUUM FREEZE ANALYZE"
        hone_stop "$HONE_DATA"
        rm -rf "$watched"
        mkdir -m 777 "$watched"
        watch 3000 "$library" "$([ "$name" != pg_hone ] || echo "$paced")" \
            valgrind --tool=callgrind --trace-children=yes --log-file=/dev/null --callgrind-out-file="$watched/%p.out"
        each=$((($(instructions_of "$many") - $(instructions_of "$few")) / 2000))
        [ -n "$none" ] || none=$each
        echo "| ${name/none/no extension} | $each | $(ratio "$each" "$none" 3) | $((each - none)) |" >>"$report"
        if command -v strace >/dev/null; then
            hone_say "strace with $name"
            watch 11000 "$library" "" strace -ff -qq -o "$watched/calls"
            calls+="| ${name/none/no extension} | $(calls_each) |"$'\n'
        fi
    done
    if [ -z "$calls" ]; then
        printf '\n(strace is not installed: no counts of system calls)\n' >>"$report"
        return
    fi
    cat >>"$report" <<MD

System calls for each statement, which callgrind does not see: by strace, the difference of sessions of 1,000 and 11,000 statements, settings as by default. How often a session waits for its client (epoll_wait, and a recvfrom in vain) is chance. getrusage is for the one statement in 10 ms whose CPU time is measured.

| server | system calls per statement |
|---|---|
$calls
MD
}

# --- storage -------------------------------------------------------------

# Median of five warm executions, in milliseconds.
time_of() {
    local n
    { echo '\timing on'; for n in 1 2 3 4 5 6; do echo "$1;"; done; } |
        "$HONE_BIN/psql" -Xq -d postgres | sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' | tail -5 | median
}

# compare TITLE TABLE LABEL=SQL... : the table as heap, then compressed.
compare() {
    local title=$1 table=$2 item label query heap_ms=() i=0 heap heap_all stored stored_all began took
    shift 2
    hone_say "$title, heap"
    sql "VACUUM ANALYZE $table"
    heap=$(sql "SELECT pg_table_size('$table')") heap_all=$(sql "SELECT pg_total_relation_size('$table')")
    for item in "$@"; do heap_ms+=("$(time_of "${item#*=}")"); done
    hone_say "$title, compressing"
    began=$(date +%s%N)
    sql "CALL hone.compress('$table')" || exit 1
    took=$((($(date +%s%N) - began) / 1000000))
    sql "VACUUM ANALYZE $table"
    stored=$(sql "SELECT pg_table_size('$table')") stored_all=$(sql "SELECT pg_total_relation_size('$table')")
    cat >>"$report" <<MD

### $title

$(sql "SELECT count(*) FROM $table") rows; compressed in $took ms.

| | heap | tiered | heap ÷ tiered |
|---|---|---|---|
| table, bytes | $heap | $stored | $(ratio "$heap" "$stored" 1) |
| with indexes, bytes | $heap_all | $stored_all | $(ratio "$heap_all" "$stored_all" 1) |
MD
    for item in "$@"; do
        label=${item%%=*} query=${item#*=}
        local ms
        ms=$(time_of "$query")
        echo "| $label, ms | ${heap_ms[$i]} | $ms | $(ratio "${heap_ms[$i]}" "$ms" 2) |" >>"$report"
        i=$((i + 1))
    done
}

storage() {
    local file
    hone_server bench_storage "-c shared_buffers=1GB -c max_wal_size=8GB -c work_mem=64MB" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    cat >>"$report" <<MD

## Storage

Sizes of a table as heap (vacuumed) and after \`CALL hone.compress\`; times are medians of five warm executions over a local socket, default parallelism. A ratio above 1 is in favour of \`tiered\`.
MD
    if file=$(hone_flights); then
        sql "CREATE TABLE flights (departed_at timestamp NOT NULL, delay_min int, distance_mi int, origin text, destination text)"
        zstd -dc "$file" | "$HONE_BIN/psql" -Xq -d postgres -c "COPY flights FROM STDIN (FORMAT csv, HEADER)"
        sql "DELETE FROM flights WHERE departed_at >= '2001-02-01'; CREATE INDEX ON flights (origin, departed_at)"
        sql "VACUUM FULL flights"
        compare "Flights of January 2001" flights \
            "count(*)=SELECT count(*) FROM flights" \
            "sum of a column=SELECT sum(delay_min) FROM flights" \
            "filter on one airport=SELECT count(*), avg(delay_min) FROM flights WHERE origin = 'SFO'" \
            "one day=SELECT count(*), avg(delay_min) FROM flights WHERE departed_at >= '2001-01-15' AND departed_at < '2001-01-16'" \
            "group by airport=SELECT origin, count(*), avg(delay_min) FROM flights GROUP BY 1" \
            "all columns=SELECT sum(hashtextextended(f::text, 0)) FROM flights f"
    else
        echo "(no real flights beside the checkout)" >>"$report"
    fi
    if [ -r "$bench/gen_metrics.sql" ]; then
        hone_say "generating metrics and events"
        "$HONE_BIN/psql" -Xq -d postgres -v devices=100 -v steps=10000 -f "$bench/gen_metrics.sql" >/dev/null || exit 1
        "$HONE_BIN/psql" -Xq -d postgres -v rows=300000 -f "$bench/gen_events.sql" >/dev/null || exit 1
        compare "Metrics of devices (generated, devices=100 steps=10000)" metrics \
            "count(*)=SELECT count(*) FROM metrics" \
            "avg, whole table=SELECT avg(cpu) FROM metrics" \
            "group by device=SELECT device_id, avg(cpu), max(mem) FROM metrics GROUP BY device_id" \
            "1 % time range=SELECT sum(cpu) FROM metrics WHERE ts >= '2025-01-01 14:00:00+00' AND ts < '2025-01-01 14:16:40+00'" \
            "one device, all time=SELECT avg(cpu) FROM metrics WHERE device_id = 42"
        compare "Web log (generated, rows=300000)" events \
            "count(*)=SELECT count(*) FROM events" \
            "status 500 by url=SELECT url, count(*) FROM events WHERE status = 500 GROUP BY url ORDER BY count(*) DESC, url LIMIT 10" \
            "jsonb field filter=SELECT count(*) FROM events WHERE payload->>'k' = 'v7'" \
            "one day avg bytes=SELECT avg(bytes) FROM events WHERE ts >= '2025-01-04 00:00:00+00' AND ts < '2025-01-05 00:00:00+00'" \
            "one user, all columns=SELECT sum(length(e::text)) FROM events e WHERE user_id = 31337"
    fi
}

# --- writing -------------------------------------------------------------

# Median of five executions, each rolled back, in milliseconds.
time_of_undone() {
    local n
    for n in 1 2 3 4 5 6; do printf 'BEGIN;\n\\timing on\n%s;\n\\timing off\nROLLBACK;\n' "$1"; done |
        "$HONE_BIN/psql" -Xq -d postgres | sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p' | tail -5 | median
}

writing() {
    local item label statement heap_ms tiered_ms
    hone_server bench_writing "-c shared_buffers=1GB -c max_wal_size=8GB -c autovacuum=off" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    hone_say "writing: one table as heap, one compressed"
    for item in h t; do
        sql "CREATE TABLE $item (id bigint PRIMARY KEY, u uuid UNIQUE, at timestamptz, v int, note text);
             INSERT INTO $item SELECT i, md5(i::text)::uuid, timestamptz '2024-01-01' + i * interval '1 s', i % 100, 'note ' || i % 1000 FROM generate_series(1, 1000000) i;
             CREATE TABLE ${item}_c (id bigint REFERENCES $item)" || exit 1
    done
    sql "CALL hone.compress('t')" && sql "VACUUM ANALYZE" || exit 1
    cat >>"$report" <<MD

## Writing

A million rows with a primary key, a unique uuid and a referencing table, as heap and compressed; the same statements, in transactions that are rolled back, medians of five. A ratio above 1 is in favour of \`tiered\`.

| | heap, ms | tiered, ms | heap ÷ tiered |
|---|---|---|---|
MD
    while IFS='|' read -r label statement; do
        heap_ms=$(time_of_undone "${statement//@/h}") tiered_ms=$(time_of_undone "${statement//@/t}")
        echo "| $label | $heap_ms | $tiered_ms | $(ratio "$heap_ms" "$tiered_ms" 2) |" >>"$report"
    done <<'SQL'
one row by primary key|SELECT * FROM @ WHERE id = 700000
one row by uuid|SELECT * FROM @ WHERE u = md5('700000')::uuid
UPDATE of one row|UPDATE @ SET v = v + 1 WHERE id = 700000
DELETE of one row|DELETE FROM @ WHERE id = 700001
SELECT FOR UPDATE of one row|SELECT * FROM @ WHERE id = 700002 FOR UPDATE
INSERT of one row|INSERT INTO @ VALUES (2000000, md5('x')::uuid, now(), 1, 'x')
foreign key check|INSERT INTO @_c VALUES (700003)
UPDATE of 10,000 rows|UPDATE @ SET v = v + 1 WHERE id BETWEEN 300001 AND 310000
DELETE of 10,000 rows|DELETE FROM @ WHERE id BETWEEN 300001 AND 310000
INSERT of 10,000 rows|INSERT INTO @ SELECT i, md5(i::text)::uuid, now(), 1, 'x' FROM generate_series(2000001, 2010000) i
10,000 rows again, ON CONFLICT DO NOTHING|INSERT INTO @ SELECT i, md5(i::text)::uuid, now(), 1, 'x' FROM generate_series(300001, 310000) i ON CONFLICT DO NOTHING
SQL
}

# --- compressing -----------------------------------------------------------

# compress_as LABEL SETTINGS STATEMENT: on a copy of the table made before.
compress_as() {
    local before wal begin took
    before=$(sql "SELECT pg_current_wal_lsn()")
    begin=$(date +%s%N)
    PGOPTIONS=$2 sql "$3" >/dev/null 2>&1 || exit 1
    took=$((($(date +%s%N) - begin) / 1000000))
    wal=$(sql "SELECT pg_current_wal_lsn() - '$before'")
    [ -n "${heap_took:-}" ] || heap_took=$took heap_wal=$wal
    echo "| $1 | $took | $(ratio "$heap_took" "$took") | $((wal / 1048576)) | $(ratio "$heap_wal" "$wal") |" >>"$report"
}

compressing() {
    local item heap_took='' heap_wal=
    hone_server bench_compressing "-c shared_buffers=1GB -c max_wal_size=8GB -c autovacuum=off" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    hone_say "compressing: three copies of one table"
    for item in f a s; do
        sql "CREATE TABLE $item (id bigint PRIMARY KEY, at timestamptz, device int, v float8, note text);
             INSERT INTO $item SELECT i, timestamptz '2024-01-01' + i * interval '1 s', i % 1000, (hashint8(i) % 10000) / 10.0, 'note ' || i % 1000 FROM generate_series(1, 3000000) i;
             ANALYZE $item" || exit 1
    done
    sql "VACUUM" && sql "CHECKPOINT" || exit 1
    cat >>"$report" <<MD

## Compressing

Three million rows with a primary key, nobody else on the server: the whole call, with VACUUM and indexes. Ratios above 1: less than VACUUM FULL of the same heap.

| | ms | ÷ | WAL, MB | ÷ |
|---|---|---|---|---|
MD
    compress_as "VACUUM FULL, heap" "" "VACUUM FULL f"
    compress_as "compress, by writing anew" "" "CALL hone.compress('a')"
    compress_as "compress, step by step" "-c hone.compress_rewrite=off" "CALL hone.compress('s')"
}

cat >"$report" <<MD
# Bench results

Made by \`bash test/bench/run.sh\` on $("$PG_CONFIG" --version), $(nproc) cores, $(awk '/MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo), $(date -u +%F), load average $(cut -d' ' -f1 /proc/loadavg) at the start$(awk '$1 > 1 { printf " (other work ran beside it: times of this run are rough)" }' /proc/loadavg). Absolute figures are of that machine; the ratios are what to compare.
MD
case $part in
    all) overhead; instructions; stream; readers; history; storage; writing; compressing; lifecycle; advisor; analyze; batch; fetch; insert; page; cache; cp "$report" "$HONE_ROOT/test/bench/RESULTS.md" ;;
    overhead) overhead ;;
    instructions) instructions ;;
    stream) stream ;;
    readers) readers ;;
    history) history ;;
    storage) storage ;;
    writing) writing ;;
    compressing) compressing ;;
    lifecycle) lifecycle ;;
    moving) moving ;;
    archiving) archiving ;;
    foreground) foreground ;;
    idle) idle ;;
    advisor) advisor ;;
    analyze) analyze ;;
    batch) batch ;;
    rows) fetch; insert; page ;;
    fetch) fetch ;;
    insert) insert ;;
    page) page ;;
    cache) cache ;;
    *) sed -n '2,28s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
cat "$report"
