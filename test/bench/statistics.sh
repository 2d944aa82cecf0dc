# Sourced by run.sh: benches of the statistics under ever new statements, with
# readers, and over a long history.

# Ten constants, each of one of four types: over a million queryids, counted
# by :from and the client.
stream_script() {
    local position list=()
    echo '\set from :from + 4'
    for position in $(seq 0 9); do
        echo "\\set type (:from + :client_id) >> $((2 * position)) & 3"
        echo "\\set c$position CASE WHEN :type = 0 THEN 1 WHEN :type = 1 THEN true WHEN :type = 2 THEN 1.5 ELSE NULL END"
        list+=(":c$position")
    done
    (IFS=,; echo "SELECT ${list[*]};")
}

# User and system time of a server, in clock ticks: its postmaster's, that of
# processes that have ended, and of those that have not.
server_ticks() {
    local postmaster
    postmaster=$(head -1 "$1/postmaster.pid")
    # PID (NAME) STATE PARENT ...; the name may hold anything
    sed 's/.*) //' /proc/[0-9]*/stat 2>/dev/null | awk -v postmaster="$postmaster" '$2 == postmaster { sum += $12 + $13 } END { print sum + 0 }'
    sed 's/.*) //' "/proc/$postmaster/stat" | awk '{ print $12 + $13 + $14 + $15 }'
}

# cpu_of DATA: the sum of both, in microseconds.
cpu_of() { server_ticks "$1" | awk -v hz="$(getconf CLK_TCK)" '{ sum += $1 } END { printf "%d", sum / hz * 1e6 }'; }

# latencies LOG...: pgbench's; "median p99 p99.9 max above", the latter how many
# took more than ten times the median. Not the first ten of each session, which
# fills its caches.
latencies() {
    awk '$2 > 10 { print $3 }' "$@" | sort -n | awk '
        { v[NR] = $1 }
        END {
            median = v[int((NR + 1) / 2)]
            for (i = NR; i > 0 && v[i] > 10 * median; i--) above++
            print median, v[int(NR * 0.99)], v[int(NR * 0.999)], v[NR], above + 0
        }'
}

# --- stream --------------------------------------------------------------

# Statements from..from+many of the stream on one server, and what its memory
# was meanwhile.
stream_slice() {
    local name=$1 from=$2 many=$3 watcher='' before began
    export PGHOST=${host[$name]}
    if [ "$name" = pg_hone ]; then
        "$HONE_BIN/psql" -XAtq -d postgres -f <(echo 'SELECT used_bytes FROM hone._shared_status() \watch 0.1') 2>/dev/null >>"$HONE_WORK/used" &
        watcher=$!
    fi
    before=$(cpu_of "${data[$name]}") began=$(date +%s%N)
    (cd "$HONE_WORK" && "$HONE_BIN/pgbench" -n -f "$HONE_WORK/stream.sql" -D from="$from" -c 4 -j 2 -t $((many / 4)) \
        -l --log-prefix="stream.$name.$from" postgres >/dev/null 2>&1) || exit 1
    echo $(($(date +%s%N) - began)) >>"$HONE_WORK/took.$name"
    echo $(($(cpu_of "${data[$name]}") - before)) >>"$HONE_WORK/cpu.$name"
    [ -z "$watcher" ] || { kill "$watcher"; wait "$watcher" 2>/dev/null; }
}

sum() { awk '{ sum += $1 } END { printf "%.0f", sum }' "$1"; }

stream_row() {
    local name=$1 median p99 p999 max above took
    took=$(sum "$HONE_WORK/took.$name")
    [ -n "$none" ] || none=$took
    read -r median p99 p999 max above <<<"$(latencies "$HONE_WORK/stream.$name".*)"
    echo "| ${name/none/no extension} | $(ratio "$statements" "$took.e-9" 0) | $(ratio "$none" "$took" 3) | $(ratio "$(sum "$HONE_WORK/cpu.$name")" "$statements" 1) | $median | $(ratio "$p999" "$median" 1) | $(ratio "$max" "$median" 1) | $above |" >>"$report"
}

stream() {
    local name from slices=10 statements=${HONE_STREAM:-300000} slice none='' shared
    slice=$((statements / slices / 4 * 4)) statements=$((statements / slices / 4 * 4 * slices))
    declare -A host data
    stream_script >"$HONE_WORK/stream.sql"
    for name in none pg_stat_statements pg_hone; do
        hone_say "cluster with $name"
        hone_server "stream_$name" "-c shared_preload_libraries=${name#none}" || exit 1
        host[$name]=$PGHOST data[$name]=$HONE_DATA
        [ "$name" = none ] || sql "CREATE EXTENSION $name" || exit 1
    done
    for from in $(seq 0 "$slice" $((statements - 1))); do
        for name in none pg_stat_statements pg_hone; do
            hone_say "statements from $from of $statements, $name"
            stream_slice "$name" "$from" "$slice"
        done
    done
    cat >>"$report" <<MD

## Ever new statements

$statements statements, each with a queryid of its own, by 4 clients, in $slices slices, interleaved over the three servers. CPU time is user and system time of all the server's processes. Statements are slowed by the operating system as well, on all three servers alike; those of pg_hone beyond that may be slowed by eviction.

| server | statements/s | of no extension | CPU time per statement, µs | median, µs | 99.9 % ÷ median | slowest ÷ median | above 10 medians |
|---|---|---|---|---|---|---|---|
MD
    for name in none pg_stat_statements pg_hone; do stream_row "$name"; done
    shared=$(sql "SELECT format('%s entries, %s texts; %s evicted, %s calls counted under <other>, %s dropped, %s texts or samples not kept', entries, texts, evictions, other_calls, dropped, texts_dropped) FROM hone._shared_status()")
    cat >>"$report" <<MD

Memory of pg_hone's statistics, $(sql "SHOW hone.max_memory"), from when it was 85 % full: $(stream_memory "$(sql "SELECT limit_bytes FROM hone._shared_status()")"). At the end: $shared.
MD
}

# What is between in the watcher's output is the time of day.
stream_memory() {
    awk -v limit="$1" '
        /^[0-9]+$/ && ($1 > limit * 0.85 || n) {
            if (!n++) { least = most = $1 }
            if ($1 < least) least = $1
            if ($1 > most) most = $1
        }
        END {
            if (n) printf "%.1f to %.1f %% of it, in %d looks", 100 * least / limit, 100 * most / limit, n
            else printf "never"
        }' "$HONE_WORK/used"
}

# --- readers -------------------------------------------------------------

# readers_beside KIND VIEW: something to do beside the load, over and over. Of
# a view all columns are made, and nothing is left to do for the client.
readers_beside() {
    local statement="SELECT sum(hashint8(i)) FROM generate_series(1, 100000) AS i;"
    [ "$1" = busy ] || statement="SELECT sum(length(v::text)) FROM $2 AS v;"
    while echo "$statement"; do :; done 2>/dev/null | "$HONE_BIN/psql" -Xq -d postgres >/dev/null 2>&1
}

# How often the sessions of the load wait for a lock of the server in a while: a
# process that does makes a system call of this name. Where perf can tell.
readers_waits() {
    sleep 1
    perf stat -x, -e syscalls:sys_enter_futex -p "$(sql "SELECT string_agg(pid::text, ',') FROM pg_stat_activity WHERE application_name = 'pgbench'")" \
        -- sleep $((seconds - 2)) 2>&1 | sed -nE 's/^([0-9]+),.*/\1/p' >>"$HONE_WORK/readers_waits.$1.$2"
}

# Some seconds of load on one server, alone or beside another session.
readers_round() {
    local name=$1 kind=$2 round=$3 beside='' waits
    export PGHOST=${host[$name]}
    if [ "$kind" != alone ]; then
        readers_beside "$kind" "${view[$name]}" &
        beside=$!
        sleep 0.5
    fi
    readers_waits "$name" "$kind" &
    waits=$!
    (cd "$HONE_WORK" && "$HONE_BIN/pgbench" -S -n -M prepared -c 2 -j 2 -T "$seconds" -l --log-prefix="readers.$name.$kind.$round" postgres 2>/dev/null) |
        sed -nE 's/^tps = ([0-9.]+).*/\1/p' >>"$HONE_WORK/readers_tps.$name.$kind"
    wait "$waits"
    [ -z "$beside" ] || { end_beside; wait "$beside"; }
}

# Ends the session beside the load: its psql ends, and who writes to it.
end_beside() { sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()" >/dev/null; }

readers_row() {
    local name=$1 kind=$2 label=$3 tps alone median p99 p999 max above
    tps=$(median <"$HONE_WORK/readers_tps.$name.$kind") alone=$(median <"$HONE_WORK/readers_tps.$name.alone")
    read -r median p99 p999 max above <<<"$(latencies "$HONE_WORK/readers.$name.$kind".*)"
    echo "| $name | $label | ${tps%.*} | $(ratio "$tps" "$alone") | $median | $p99 | $p999 | $max | $above | $([ -s "$HONE_WORK/readers_waits.$name.$kind" ] && sum "$HONE_WORK/readers_waits.$name.$kind") |" >>"$report"
}

readers() {
    local name kind round found='' readers_rounds=$(((rounds + 1) / 2))
    declare -A host
    declare -A view=([pg_stat_statements]=pg_stat_statements [pg_hone]=hone.queries)
    stream_script >"$HONE_WORK/stream.sql"
    for name in pg_stat_statements pg_hone; do
        hone_say "10,000 entries in $name"
        hone_server "readers_$name" "-c shared_preload_libraries=$name -c shared_buffers=512MB -c autovacuum=off $([ "$name" = pg_hone ] || echo "-c pg_stat_statements.max=10000")" || exit 1
        host[$name]=$PGHOST
        "$HONE_BIN/pgbench" -i -q -s 10 postgres >/dev/null 2>&1 && sql "CREATE EXTENSION $name" || exit 1
        sql "SELECT $([ "$name" = pg_hone ] && echo hone.reset || echo pg_stat_statements_reset)()" >/dev/null
        # a few of the 10,000 are for what else runs here
        "$HONE_BIN/pgbench" -n -f "$HONE_WORK/stream.sql" -D from=0 -c 4 -j 2 -t 2490 postgres >/dev/null 2>&1 || exit 1
        sql "SELECT 1" >/dev/null
        found+="${found:+, }$(sql "SELECT count(*) FROM ${view[$name]}") in ${view[$name]}, whose count(*) takes $(time_of "SELECT count(*) FROM ${view[$name]}") ms"
    done
    for round in $(seq "$readers_rounds"); do
        for name in pg_stat_statements pg_hone; do
            hone_say "readers, round $round of $readers_rounds, $name"
            for kind in alone busy view; do readers_round "$name" "$kind" "$round"; done
        done
    done
    cat >>"$report" <<MD

## Readers

\`pgbench -S -M prepared -c 2 -j 2\`, scale 10, alone and beside a session that reads all statistics over and over: $found. A third session takes processor time whatever it does, so beside one that reads no statistics as well. $readers_rounds interleaved rounds of $seconds s; rate: median of the rounds, latencies: of all rounds. Waits for locks: futex system calls of the two sessions, by perf where it can be had, for all but two seconds of each round; whoever waits for a lock of the server, or wakes one who does, makes one.

| server | beside | transactions/s | of alone | median, µs | 99 %, µs | 99.9 %, µs | slowest, µs | above 10 medians | waits for locks |
|---|---|---|---|---|---|---|---|---|---|
MD
    for name in pg_stat_statements pg_hone; do
        readers_row "$name" alone nothing
        readers_row "$name" busy "a session that computes"
        readers_row "$name" view "a reader of ${view[$name]}"
    done
}

# --- history -------------------------------------------------------------

history_sizes() {
    sql "SELECT sum(pg_total_relation_size(i.relid)) FROM pg_partition_tree('hone.history') AS i WHERE i.isleaf $1"
}

history_times() {
    local window
    for window in day week year; do
        hone_say "history: a $window, $1"
        time_of "SELECT count(*), sum(p99_ms) FROM hone.latency_between(now() - interval '1 $window', now())" >"$HONE_WORK/history.$1.$window"
    done
}

history() {
    local n window partition due heap heap_due tiered tiered_due rows
    hone_server history "-c shared_buffers=512MB -c max_wal_size=8GB -c hone.worker=off" || exit 1
    sql "CREATE EXTENSION pg_hone" && "$HONE_BIN/pgbench" -i -q -s 10 postgres >/dev/null 2>&1 || exit 1
    hone_say "history: a year of 1,000 queries"
    for n in $(seq 20); do
        "$HONE_BIN/pgbench" -n -c 2 -j 2 -T 1 postgres >/dev/null 2>&1 && sql "CALL hone._write_history()" || exit 1
    done
    "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -d postgres -f "$HONE_ROOT/test/bench/history.sql" >/dev/null || exit 1
    sql "VACUUM ANALYZE"
    due="AND i.relid IN (SELECT a.partition FROM hone._tier_age AS a WHERE a.own AND a.due_at < now())"
    rows=$(sql "SELECT count(*) FROM hone.history") heap=$(history_sizes "") heap_due=$(history_sizes "$due")
    history_times heap
    hone_say "history: compressing what is due"
    for partition in $(sql "SELECT a.partition::regclass FROM hone._tier_age AS a WHERE a.own AND a.due_at < now() ORDER BY a.range_start"); do
        sql "CALL hone.compress('$partition')" || exit 1
    done
    sql "VACUUM ANALYZE"
    tiered=$(history_sizes "") tiered_due=$(history_sizes "$due")
    history_times tiered
    cat >>"$report" <<MD

## History

A year of 1,000 queries, $rows rows of hone.history: days for a year, hours for 35 days, minutes for five hours; first all of it as heap, then with the partitions compressed that are due. Times: \`hone.latency_between\` up to now, medians of five warm executions.

| | heap | older partitions compressed | heap ÷ compressed |
|---|---|---|---|
| partitions that are due, bytes | $heap_due | $tiered_due | $(ratio "$heap_due" "$tiered_due" 1) |
| all partitions, bytes | $heap | $tiered | $(ratio "$heap" "$tiered" 1) |
MD
    for window in day week year; do
        heap=$(cat "$HONE_WORK/history.heap.$window") tiered=$(cat "$HONE_WORK/history.tiered.$window")
        echo "| a $window, ms | $heap | $tiered | $(ratio "$heap" "$tiered") |" >>"$report"
    done
}
