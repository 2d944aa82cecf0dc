#!/usr/bin/env bash
# The main job from end to end, on a private server, in under three minutes:
# real flights in weekly partitions, an application with bad habits, the worker
# that compresses what is old, and what pg_hone then has to say about it all.
#
#   bash test/demo.sh           runs it and takes everything away again
#   bash test/demo.sh --keep    leaves the server running to look around
#
# Exit status 1 when an answer over all flights changed by the tiering, when
# nothing was tiered, or when a habit of the application was not found.
set -u
. "$(dirname "$0")/lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
keep=
case ${1:-} in
    --keep) keep=yes ;;
    '') ;;
    *) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
begin=$SECONDS

die() { echo "demo: $*" >&2; [ -z "${HONE_DATA:-}" ] || tail -20 "$HONE_DATA.log" >&2; exit 1; }

# What a user would type, and what he gets.
show() {
    echo; printf '%s;\n' "$1" | sed '1s/^/demo=# /; 2,$s/^/demo-# /'
    "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -P pager=off -P null=- -d demo -c "$1" || die "the query failed"
}

hone_prepare
HONE_DB=demo
hone_say "private server"
hone_server demo "-c hone.naptime=1s -c shared_buffers=256MB -c max_wal_size=4GB -c track_io_timing=on" || die "no server"
"$HONE_BIN/psql" -Xq -d postgres -c "CREATE DATABASE demo" || die "no database"
sql "CREATE EXTENSION pg_hone" || die "no extension"

# --- flights -------------------------------------------------------------

hone_say "flights, partitioned by week of departure"
sql "CREATE TABLE flights (departed_at timestamp NOT NULL, delay_min int, distance_mi int, origin text, destination text)
         PARTITION BY RANGE (departed_at);
     DO \$\$
     DECLARE week date;
     BEGIN
         FOR week IN SELECT generate_series(date '2001-01-01', date '2001-03-26', interval '7 days') LOOP
             EXECUTE format('CREATE TABLE flights_%s PARTITION OF flights FOR VALUES FROM (%L) TO (%L)',
                 to_char(week, 'YYYY_MM_DD'), week, week + 7);
         END LOOP;
     END \$\$" || die "no partitions"
if file=$(hone_flights); then
    hone_say "loading the real flights of January to March 2001"
    zstd -dc "$file" | "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d demo -c "COPY flights FROM STDIN (FORMAT csv, HEADER)" || die "loading failed"
else
    [ "${CI:-}" != true ] || die "the flights file has to be there in CI"
    hone_say "no ../shared/data/flights_2001q1.csv.zst: GENERATED flights of the same shape"
    sql "INSERT INTO flights
         SELECT timestamp '2001-01-01 00:00' + (i * 5.255) * interval '1 second', (abs(hashint8(i) % 97) * abs(hashint8(i + 1) % 97)) / 150 - 12,
             100 + 17 * abs(hashint8(i / 3) % 150),
             chr(65 + abs(hashint8(i) % 26)) || chr(65 + abs(hashint8(i) % 9)) || 'X',
             chr(65 + abs(hashint8(-i) % 26)) || chr(65 + abs(hashint8(-i) % 9)) || 'Y'
         FROM generate_series(1, 1477911) i" || die "generating failed"
fi
sql "CREATE INDEX ON flights (origin, departed_at)" && sql "VACUUM ANALYZE flights" || die "no index"
hone_say "$(sql "SELECT count(*) FROM flights") flights"
answers="SELECT count(*) AS flights, sum(delay_min) AS delay_min, sum(distance_mi) AS distance_mi,
    count(DISTINCT origin) AS airports, max(departed_at) AS last, sum(hashtextextended(f::text, 0)::numeric) AS checksum FROM flights f"
before=$(sql "$answers") || die "no answer"

# --- the application -----------------------------------------------------

hone_say "the application's own tables"
sql "CREATE TABLE customers (id int PRIMARY KEY, name text, country text);
     INSERT INTO customers SELECT i, 'customer ' || i, 'country ' || i % 25 FROM generate_series(1, 5000) i;
     CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, invoice_no int NOT NULL, placed_at timestamptz, total numeric(10,2));
     INSERT INTO orders SELECT i, 1 + i % 5000, 1000000 - i, timestamptz '2025-01-01' + i * interval '1 minute', i % 977 FROM generate_series(1, 300000) i;
     CREATE INDEX ON orders (customer_id);
     CREATE TABLE products (id int PRIMARY KEY, category int, name text, price numeric(10,2), description text);
     INSERT INTO products SELECT i, i % 20, 'product ' || i, i % 89,
         (SELECT string_agg(md5((i * 1000 + j)::text), ' ') FROM generate_series(1, 150) j) FROM generate_series(1, 2000) i;
     ANALYZE customers, orders, products" || die "no tables"
sql "SELECT hone.reset()" >/dev/null || die "hone.reset() failed"

load=$HONE_WORK/run/demo
{
    # One query for the list, then one for each row of it.
    echo "BEGIN;"
    echo "SELECT id, name FROM customers WHERE country = :country ORDER BY id;"
    for id in $(seq 7 25 4999); do
        echo "\\set id $id"
        echo "SELECT id, placed_at, total FROM orders WHERE customer_id = :id;"
    done
    echo "COMMIT;"
} >"$load/n_plus_one.sql"
for page in $(seq 2800 2840); do
    echo "\\set skip $((page * 50))"
    echo "SELECT id, placed_at, total FROM orders ORDER BY id LIMIT 50 OFFSET :skip;"
done >"$load/offset.sql"
cat >"$load/star.sql" <<'SQL'
\set category random(0, 19)
SELECT * FROM products WHERE category = :category;
SQL
cat >"$load/filter.sql" <<'SQL'
\set no random(700000, 999999)
SELECT id, customer_id, total FROM orders WHERE invoice_no = :no;
SQL
cat >"$load/point.sql" <<'SQL'
\set id random(1, 300000)
SELECT id, placed_at, total FROM orders WHERE id = :id;
SQL
cat >"$load/report.sql" <<'SQL'
\set day random(0, 80)
SELECT origin, count(*), avg(delay_min) FROM flights
WHERE departed_at >= timestamp '2001-01-01' + :day * interval '1 day' AND departed_at < timestamp '2001-01-08' + :day * interval '1 day' GROUP BY 1;
SQL

# application FILE TRANSACTIONS [pgbench options]: through a real connection,
# with bound parameters.
application() {
    local file=$1 count=$2
    shift 2
    PGAPPNAME=shop "$HONE_BIN/pgbench" -n -M prepared -f "$load/$file.sql" -t "$count" "$@" demo >"$load/$file.log" 2>&1 ||
        { cat "$load/$file.log" >&2; die "the workload failed"; }
}
hone_say "workload: a list with one query per row, deep pages, SELECT *, a filter without an index, point reads, a report"
application point 2000 -c 2
application n_plus_one 3 -D "country=country 7"
application offset 2
application star 60
application filter 60 -c 2
application report 12

# --- tiering -------------------------------------------------------------

hone_say "a policy: weeks that ended before 5 March 2001 are old; the worker sees to it"
sql "SELECT hone.add_tier_policy('flights', warm_after => now()::timestamp - timestamp '2001-03-05')" >/dev/null || die "no policy"
old="parent = 'flights'::regclass AND range_end::timestamp <= timestamp '2001-03-05'"
for _ in $(seq 120); do
    state=$(sql "SELECT (SELECT count(*) FROM hone.tier_log WHERE error IS NULL) || ' of ' || count(*) FROM hone.partitions WHERE $old") || die "no hone.partitions"
    [ "$state" = "${last:-}" ] || hone_say "   $state old partitions are compressed"
    last=$state
    [ "${state% of *}" != "${state#* of }" ] || break
    sleep 1
done
[ "$state" = "9 of 9" ] || { show "SELECT * FROM hone.tier_log"; die "the worker did not tier what is old"; }
# --- what a user sees ----------------------------------------------------

hone_say "what pg_hone has to say"
show "SELECT share_pct, calls, round(mean_ms::numeric, 2) AS mean_ms, round(p95_ms::numeric, 2) AS p95_ms,
       round(p99_ms::numeric, 2) AS p99_ms, errors, bound_by, query FROM hone.top LIMIT 8"
show "SELECT calls, round(p50_ms::numeric, 2) AS p50_ms, round(p95_ms::numeric, 2) AS p95_ms, round(p99_ms::numeric, 2) AS p99_ms,
       round(total_exec_ms::numeric) AS total_ms, left(regexp_replace(query, '\\s+', ' ', 'g'), 70) AS query
FROM hone.queries WHERE datname = 'demo' ORDER BY total_exec_ms DESC LIMIT 8"
show "SELECT kind, severity, relation, calls, round(cost_ms::numeric) AS cost_ms, summary FROM hone.recommendations ORDER BY cost_ms DESC NULLS LAST"
show "SELECT kind, fix FROM hone.recommendations ORDER BY cost_ms DESC NULLS LAST"
show "SELECT partition, tier, rows, pg_size_pretty(heap_bytes) AS heap, pg_size_pretty(stored_bytes) AS stored, round(ratio::numeric, 1) AS ratio, next_tier
FROM hone.partitions WHERE parent = 'flights'::regclass ORDER BY range_start"

after=$(sql "$answers") || die "no answer"
printf '\nThe same aggregate over all flights\n  before: %s\n  after:  %s\n' "$before" "$after"
status=0
if [ "$before" = "$after" ]; then
    echo "  equal"
else
    echo "  DIFFERENT"
    status=1
fi
for kind in n_plus_one offset_pagination select_star missing_index; do
    [ "$(sql "SELECT count(*) > 0 FROM hone.recommendations WHERE kind = '$kind'")" = t ] ||
        { echo "demo: the application's $kind was not found" >&2; status=1; }
done
hone_say "$((SECONDS - begin)) seconds"

if [ -n "$keep" ]; then
    cat >"$HONE_WORK/stop" <<STOP
#!/usr/bin/env bash
. "$HONE_ROOT/test/lib/server.sh"
HONE_BIN=$HONE_BIN
hone_stop "$HONE_DATA"
rm -rf "$HONE_WORK"
STOP
    HONE_SERVERS=() HONE_OWNS_WORK=
    printf '\nThe server is still running. Look around:\n  %s -h %s -p %s -U postgres demo\nand stop it, which takes everything away:\n  bash %s\n' \
        "$HONE_BIN/psql" "$PGHOST" "$PGPORT" "$HONE_WORK/stop"
fi
exit $status
