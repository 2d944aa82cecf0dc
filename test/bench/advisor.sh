# Sourced by run.sh: what the indexes are worth that hone.recommendations finds
# for a web shop, from its traffic alone.

# Pages of a category, the search, what is featured, and a customer's orders.
shop_scripts() {
    cat >"$HONE_WORK/browse.sql" <<'SQL'
\set c random(0, 200)
SELECT id, name, price FROM products WHERE category = :c AND in_stock ORDER BY price LIMIT 20;
SQL
    cat >"$HONE_WORK/search.sql" <<'SQL'
\set c random(1, 1000000)
SELECT id, name FROM products WHERE name ILIKE '%' || substr(md5(:c::text), 5, 8) || '%' LIMIT 10;
SQL
    cat >"$HONE_WORK/featured.sql" <<'SQL'
SELECT id, name, price FROM products WHERE featured ORDER BY created_at DESC LIMIT 10;
SQL
    cat >"$HONE_WORK/orders.sql" <<'SQL'
\set c random(1, 20000)
SELECT o.id, o.placed, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = :c ORDER BY o.placed DESC LIMIT 10;
SQL
    chmod 644 "$HONE_WORK"/*.sql
}

# traffic NAME SECONDS: and the p95 of each kind, by the first word after SELECT
traffic() {
    sql "SELECT hone.reset()" >/dev/null
    "$HONE_BIN/pgbench" -n -c 2 -T "$2" -f "$HONE_WORK/browse.sql" -f "$HONE_WORK/search.sql" -f "$HONE_WORK/featured.sql" -f "$HONE_WORK/orders.sql" postgres >"$HONE_WORK/traffic.$1" 2>&1 || exit 1
    sql "SELECT CASE WHEN query ~ 'category' THEN 'browse' WHEN query ~ 'ILIKE' THEN 'search' WHEN query ~ 'featured' THEN 'featured' ELSE 'orders' END, calls, round(p95_ms::numeric, 3)
         FROM hone.queries WHERE query ~ '^SELECT (id|o.id)' ORDER BY 1" >"$HONE_WORK/p95.$1"
    hone_say "$1: $(tr '\n' ' ' <"$HONE_WORK/p95.$1")"
}

advisor() {
    local rows=${HONE_SHOP_ROWS:-1000000} kind calls p95 name
    hone_server bench_advisor "-c shared_buffers=1GB -c max_wal_size=8GB -c hone.history_interval=1h" || exit 1
    hone_say "a shop with $rows products"
    sql "CREATE EXTENSION pg_hone; CREATE EXTENSION pg_trgm;
         CREATE TABLE products (id int PRIMARY KEY, category int NOT NULL, in_stock boolean NOT NULL, price numeric(10,2) NOT NULL, name text NOT NULL, featured boolean NOT NULL, created_at timestamptz NOT NULL);
         INSERT INTO products SELECT g, (random() * 200)::int, random() < 0.8, (random() * 1000)::numeric(10,2), md5(g::text) || ' ' || (ARRAY['red', 'blue', 'green', 'small', 'large'])[1 + g % 5] || ' thing', random() < 0.001, now() - random() * interval '1000 days' FROM generate_series(1, $rows) g;
         CREATE TABLE customers (id int PRIMARY KEY, name text);
         INSERT INTO customers SELECT g, 'customer ' || g FROM generate_series(1, 20000) g;
         CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, product_id int, placed timestamptz NOT NULL, total numeric);
         INSERT INTO orders SELECT g, 1 + (random() * 19999)::int, 1 + (random() * ($rows - 1))::int, now() - random() * interval '500 days', random() * 100 FROM generate_series(1, $rows) g" || exit 1
    sql "VACUUM ANALYZE" || exit 1
    shop_scripts
    traffic before 30
    sql "SELECT hone.apply_recommendation(id) FROM hone.recommendations WHERE kind IN ('missing_index', 'leading_wildcard') AND fix LIKE 'CREATE INDEX CONCURRENTLY%'" >/dev/null || exit 1
    for _ in $(seq 600); do
        [ "$(sql "SELECT count(*) FROM hone.applied_recommendations WHERE finished_at IS NULL")" != 0 ] || break
        sleep 0.5
    done
    sql "VACUUM ANALYZE" || exit 1
    traffic after 15
    cat >>"$report" <<MD

## Advised indexes

A shop of $rows products, as many orders and 20,000 customers; \`pgbench -c 2\` with four statements in equal parts for 30 s. Then everything that \`hone.recommendations\` says of indexes is done by \`hone.apply_recommendation\`, and the traffic goes on for 15 s. p95 of \`hone.queries\`.

| | p95 before, ms | after | ÷ |
|---|---|---|---|
MD
    while IFS='|' read -r kind calls p95; do
        name=$(sed -n "s/^$kind|[0-9]*|//p" "$HONE_WORK/p95.after")
        echo "| $kind | $p95 | $name | $(ratio "$p95" "$name" 0) |" >>"$report"
    done <"$HONE_WORK/p95.before"
    printf '\nThe indexes, none of which anybody named:\n\n' >>"$report"
    sql "SELECT format('    %s  -- %s', fix, pg_size_pretty(pg_relation_size(hone_index))) FROM (SELECT fix, to_regclass(substring(undo FROM 'CONCURRENTLY (.*)')) AS hone_index FROM hone.applied_recommendations) x WHERE hone_index IS NOT NULL ORDER BY 1" >>"$report"
}
