# Sourced by run.sh: how long hone.analyze_workload() takes over many queries,
# and what memory, on a schema that is made for it.

# Five statements for a table, each with other columns in its conditions.
# analyze_script NUMBER NEXT
analyze_script() {
    cat <<SQL
\set a random(1, 5000)
\set k random(0, 49)
\set s random(0, 3)
\set d random(0, 900)
\set w random(1, 1000000)
SELECT id, amount FROM t$1 WHERE account = :a;
SELECT id, at, amount FROM t$1 WHERE kind = :k AND state = :s ORDER BY at DESC LIMIT 10;
SELECT count(*), sum(amount) FROM t$1 WHERE at >= timestamptz '2024-01-01' + :d * interval '1 hour' AND at < timestamptz '2024-01-01' + (:d + 6) * interval '1 hour' AND kind = :k;
SELECT id, name FROM t$1 WHERE name LIKE substr(md5(:w::text), 1, 4) || '%';
SELECT p.id, q.name FROM t$1 p JOIN t$2 q ON q.id = p.other WHERE p.amount = :a AND p.state = 2;
SQL
}

# memory PID: the most private memory of a process, in kB, once it has ended
memory() {
    local kb most=0
    while kb=$(sed -nE 's/^RssAnon:\s+([0-9]+) kB/\1/p' "/proc/$1/status" 2>/dev/null) && [ -n "$kb" ]; do
        if [ "$kb" -gt "$most" ]; then most=$kb; fi
        sleep 0.02
    done
    echo "$most"
}

# cpu PID: clock ticks that it has run for
cpu() { sed 's/.*) //' "/proc/$1/stat" | awk '{ print $12 + $13 }'; }

# called LABEL SOURCE: a row of the table, from a session of its own. HONE_PERF: a
# file to which perf writes where the time goes, with the label behind its name.
called() {
    local pid began took ticks before most rows watch
    open_session
    pid=$(ask "SELECT pg_backend_pid();")
    ticks=$(cpu "$pid") before=$(sed -nE 's/^RssAnon:\s+([0-9]+) kB/\1/p' "/proc/$pid/status")
    memory "$pid" >"$HONE_WORK/memory" &
    watch=$!
    [ -z "${HONE_PERF:-}" ] || perf record -q --call-graph dwarf,16384 -o "$HONE_PERF.${1//[^a-z]/}" -p "$pid" 2>/dev/null &
    began=$(date +%s%N)
    rows=$(ask "SELECT count(*), count(*) FILTER (WHERE kind = 'missing_index'), count(*) FILTER (WHERE evidence ? 'tried'), count(*) FILTER (WHERE evidence ? 'not_tried') FROM $2;")
    took=$((($(date +%s%N) - began) / 1000000)) ticks=$((($(cpu "$pid") - ticks) * 1000 / $(getconf CLK_TCK)))
    close_session
    wait "$watch"
    most=$(cat "$HONE_WORK/memory")
    hone_say "$1: $took ms, of them CPU $ticks ms; $rows; $most kB, before $before kB"
    echo "| $1 | ${rows//|/ | } | $(ratio "$took" 1000 1) | $(ratio "$ticks" 1000 1) | $(ratio $((most - before)) 1024 0) |" >>"$report"
}

analyze() {
    local tables=${HONE_TABLES:-200} table rows=${HONE_TABLE_ROWS:-20000} calls=${HONE_TABLE_CALLS:-6}
    hone_server bench_analyze "-c shared_buffers=1GB -c max_wal_size=8GB -c autovacuum=off -c hone.max_recommendations=5000 -c hone.advise_sample_every=1 -c hone.advise_index_size=0 -c hone.history_interval=1h" || exit 1
    hone_say "$tables tables of $rows rows"
    sql "CREATE EXTENSION pg_hone" || exit 1
    for table in $(seq "$tables"); do
        echo "CREATE TABLE t$table (id int PRIMARY KEY, account int NOT NULL, kind int NOT NULL, state int NOT NULL, other int NOT NULL, amount int, at timestamptz NOT NULL, name text);
              INSERT INTO t$table SELECT g, hashint4(g) & 4095, (hashint4(g + 1) & 1023) % 50, g % 4, 1 + (hashint4(g + 2) & 16383), hashint4(g + 3) & 8191, timestamptz '2024-01-01' + g * interval '3 min', md5(g::text) FROM generate_series(1, $rows) g;
              CREATE INDEX ON t$table (id);"
    done >"$HONE_WORK/tables.sql"
    "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d postgres -f "$HONE_WORK/tables.sql" && sql "VACUUM ANALYZE" || exit 1
    hone_say "traffic: $((5 * tables)) queries, $calls calls each"
    # three sessions for each: of one session not many queries a second have their values kept
    for table in $(seq "$tables"); do
        analyze_script "$table" $((table % tables + 1)) >"$HONE_WORK/analyze.sql"
        for _ in 1 2 3; do
            "$HONE_BIN/pgbench" -n -M extended -t $((calls / 3)) -f "$HONE_WORK/analyze.sql" postgres >"$HONE_WORK/pgbench.out" 2>&1 || { cat "$HONE_WORK/pgbench.out"; exit 1; }
        done
    done
    hone_say "queries: $(sql "SELECT count(*), sum(calls) FROM hone.queries WHERE query ~ '^SELECT .* FROM t[0-9]'"); findings: $(sql "SELECT * FROM hone._findings()"); with values: $(sql "SELECT count(DISTINCT queryid) FROM hone.query_samples WHERE cardinality(parameters) > 0")"
    cat >>"$report" <<MD

## Analysing a workload

$tables tables of $rows rows with a primary key and one index that is its twin, $((5 * tables)) queries (by one column; by two with an order and LIMIT; by one and a range; by the beginning of a text; a join with a filter), each called $calls times by \`pgbench -M extended\` with every execution sampled (\`hone.advise_sample_every = 1\`) and room for the findings (\`hone.max_recommendations = 5000\`); indexes of any size are looked at (\`hone.advise_index_size = 0\`). Each line is one statement in a new session, in this order; memory is the backend's private memory at its most, less what it had before. The goal is 30 s.

| | rows | missing_index | planned with indexes | not tried | s | CPU, s | MB |
|---|---|---|---|---|---|---|---|
MD
    called "hone.analyze_workload()" "hone.analyze_workload()"
    called "again: nothing is new" "hone.analyze_workload()"
    called "hone.recommendations" "hone.recommendations"
}
