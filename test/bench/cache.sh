# Sourced by run.sh: cached queries and rate limits.

# cache_bench FILE OPTIONS...: transactions per second
cache_bench() {
    local file=$1; shift
    "$HONE_BIN/pgbench" -n -j 2 -f "$file" "$@" postgres 2>/dev/null | sed -nE 's/^tps = ([0-9.]+).*/\1/p'
}
# milliseconds FROM TO, of date +%s%N
milliseconds() { echo $((($2 - $1) / 1000000)); }

cache() {
    local clients=${HONE_CACHE_CLIENTS:-200} query begin once many cached before counted hit plain limit select
    query="SELECT v % 1000 AS k, count(*), sum(v), avg(v) FROM numbers GROUP BY 1 ORDER BY 2 DESC LIMIT 10"
    hone_server bench_cache "-c max_connections=$((clients + 20)) -c shared_buffers=512MB" || exit 1
    hone_say "an aggregate, once and by $clients clients"
    sql "CREATE EXTENSION pg_hone; CREATE TABLE numbers AS SELECT g AS v FROM generate_series(1, 1000000) g" || exit 1
    sql "VACUUM ANALYZE numbers" || exit 1
    echo "$query;" >"$HONE_WORK/plain.sql"
    echo "SELECT * FROM hone.cached_query('$query', '1 hour', '{numbers}');" >"$HONE_WORK/cached.sql"
    echo "SELECT hone.rate_limit(:client_id::text, 1000, 1000);" >"$HONE_WORK/limit.sql"
    echo "SELECT hone.rate_limit('all', 1000, 1000);" >"$HONE_WORK/limit_one.sql"
    echo "SELECT 1;" >"$HONE_WORK/select.sql"
    sql "$query" >/dev/null
    once=$(for _ in 1 2 3; do begin=$(date +%s%N); sql "$query" >/dev/null; milliseconds "$begin" "$(date +%s%N)"; done | median)
    begin=$(date +%s%N); cache_bench "$HONE_WORK/select.sql" -c "$clients" -t 1 >/dev/null; before=$(milliseconds "$begin" "$(date +%s%N)")
    begin=$(date +%s%N); cache_bench "$HONE_WORK/plain.sql" -c "$clients" -t 1 >/dev/null; many=$(milliseconds "$begin" "$(date +%s%N)")
    begin=$(date +%s%N); cache_bench "$HONE_WORK/cached.sql" -c "$clients" -t 1 >/dev/null; cached=$(milliseconds "$begin" "$(date +%s%N)")
    counted=$(sql "SELECT misses || ' misses, ' || hits || ' hits, ' || waits || ' waits' FROM hone.cache_stats")
    hone_say "calls per second"
    hit=$(cache_bench "$HONE_WORK/cached.sql" -c 4 -T "$seconds")
    select=$(cache_bench "$HONE_WORK/select.sql" -c 4 -T "$seconds")
    plain=$(cache_bench "$HONE_WORK/limit.sql" -c 4 -T "$seconds")
    limit=$(cache_bench "$HONE_WORK/limit_one.sql" -c 4 -T "$seconds")
    cat >>"$report" <<MD

## Cached queries

An aggregate of a million rows, asked for by $clients clients at the same time, each once, connecting included. Afterwards: $counted.

| | ms | ÷ connecting and one execution |
|---|---|---|
| one execution | $once | |
| $clients clients, \`SELECT 1\` | $before | |
| $clients clients, \`hone.cached_query\` | $cached | $(ratio "$cached" $((before + once)) 1) |
| $clients clients, without | $many | $(ratio "$many" $((before + once)) 1) |

Calls per second of 4 clients, $seconds s each:

| | calls/s | ÷ SELECT 1 |
|---|---|---|
| \`SELECT 1\` | ${select%.*} | 1.00 |
| \`hone.cached_query\`, the result is there | ${hit%.*} | $(ratio "$hit" "$select") |
| \`hone.rate_limit\`, a key for each client | ${plain%.*} | $(ratio "$plain" "$select") |
| \`hone.rate_limit\`, one key | ${limit%.*} | $(ratio "$limit" "$select") |
MD
}
