# Sourced by run.sh: what the indexes are worth that hone.recommendations finds
# for a web shop, from its traffic alone, and beside them those that the rules
# of other open advisors choose (rules.sql).

# Pages of a category, the search, what is featured, a customer's orders, sales
# of some hours, and changes of prices: one of each, one after the other.
shop_script() {
    cat >"$HONE_WORK/shop.sql" <<'SQL'
\set category random(0, 200)
\set word random(1, 1000000)
\set customer random(1, 20000)
\set hours random(24, 10000)
\set product random(1, :products)
\set price random(1, 1000)
SELECT id, name, price FROM products WHERE category = :category AND in_stock ORDER BY price LIMIT 20;
SELECT id, name FROM products WHERE name ILIKE '%' || substr(md5(:word::text), 5, 8) || '%' LIMIT 10;
SELECT id, name, price FROM products WHERE featured ORDER BY created_at DESC LIMIT 10;
SELECT o.id, o.placed, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = :customer ORDER BY o.placed DESC LIMIT 10;
SELECT p.category, count(*), sum(o.total) FROM orders o JOIN products p ON p.id = o.product_id WHERE o.placed >= timestamptz '2025-01-01' - :hours * interval '1 hour' AND o.placed < timestamptz '2025-01-01' - (:hours - 6) * interval '1 hour' GROUP BY p.category;
UPDATE products SET price = :price, in_stock = :price % 5 <> 0 WHERE id = :product;
SQL
    chmod 644 "$HONE_WORK/shop.sql"
}

shop_statements() {
    sql "INSERT INTO rules.statement VALUES
        ('browse', 'SELECT id, name, price FROM products WHERE category = 117 AND in_stock ORDER BY price LIMIT 20', '{products.category}'),
        ('search', 'SELECT id, name FROM products WHERE name ILIKE ''%'' || substr(md5(''4711''), 5, 8) || ''%'' LIMIT 10', '{}'),
        ('featured', 'SELECT id, name, price FROM products WHERE featured ORDER BY created_at DESC LIMIT 10', '{}'),
        ('orders', 'SELECT o.id, o.placed, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.id = 4711 ORDER BY o.placed DESC LIMIT 10', '{orders.customer_id,customers.id}'),
        ('sales', 'SELECT p.category, count(*), sum(o.total) FROM orders o JOIN products p ON p.id = o.product_id WHERE o.placed >= timestamptz ''2025-01-01'' - 4711 * interval ''1 hour'' AND o.placed < timestamptz ''2025-01-01'' - 4705 * interval ''1 hour'' GROUP BY p.category', '{orders.placed,orders.product_id,products.id}'),
        ('update', 'UPDATE products SET price = 471, in_stock = true WHERE id = 4711', '{products.id}')"
}

# traffic NAME SECONDS: lines "kind|calls|p95|mean", and a line of the indexes
traffic() {
    "$HONE_BIN/psql" -Xq -d postgres -c "VACUUM ANALYZE" >/dev/null || exit 1
    shop_run -T 3
    sql "SELECT hone.reset()" >/dev/null
    shop_run -T "$2"
    sql "SELECT CASE WHEN query ~ '^UPDATE' THEN 'update' WHEN query ~ 'p.category' THEN 'sales' WHEN query ~ 'category' THEN 'browse' WHEN query ~ 'ILIKE' THEN 'search' WHEN query ~ 'featured' THEN 'featured' ELSE 'orders' END, calls, round(p95_ms::numeric, 3), round(mean_exec_ms::numeric, 3)
         FROM hone.queries WHERE query ~ '^(SELECT (id|o.id|p.category)|UPDATE products)' ORDER BY 1" >"$HONE_WORK/traffic.$1"
    sql "SELECT count(*), coalesce(sum(pg_relation_size(indexrelid)), 0) FROM pg_index WHERE NOT indisprimary AND indrelid IN ('products'::regclass, 'customers'::regclass, 'orders'::regclass)" >"$HONE_WORK/indexes.$1"
    hone_say "$1: $(tr '\n' ' ' <"$HONE_WORK/traffic.$1")"
}

shop_run() { "$HONE_BIN/pgbench" -n -c 2 -D products="$rows" -f "$HONE_WORK/shop.sql" "$@" postgres >"$HONE_WORK/pgbench.out" 2>&1 || { cat "$HONE_WORK/pgbench.out"; exit 1; }; }

drop_indexes() {
    sql "SELECT format('DROP INDEX %s;', indexrelid::regclass) FROM pg_index WHERE NOT indisprimary AND indrelid IN ('products'::regclass, 'customers'::regclass, 'orders'::regclass) $1" >"$HONE_WORK/drop.sql"
    "$HONE_BIN/psql" -Xq -d postgres -f "$HONE_WORK/drop.sql" || exit 1
}

# What was chosen under a name, built and measured.
built() {
    drop_indexes ""
    hone_say "$1: $(tr '\n' ' ' <"$HONE_WORK/ddl.$1")"
    "$HONE_BIN/psql" -Xq -d postgres -f "$HONE_WORK/ddl.$1" || exit 1
    traffic "$1" 15
}

# A row of the comparison: every kind's mean, their sum, and that of those that
# a btree can serve.
compared() {
    awk -F'|' -v label="$2" -v none="$HONE_WORK/traffic.none" -v indexes="$(cat "$HONE_WORK/indexes.$1")" '
        FILENAME == none { all0 += $4; if ($1 != "search") some0 += $4 }
        FILENAME != none { cells = cells " " $4 " |"; all += $4; if ($1 != "search") some += $4 }
        END {
            split(indexes, i, "|")
            printf "| %s | %d | %.0f |%s %.2f | %.3f | %.2f | %.3f |\n", label, i[1], i[2] / 1048576, cells, all, all / all0, some, some / some0
        }' "$HONE_WORK/traffic.none" <(cat "$HONE_WORK/traffic.$1") >>"$report"
}

# beside ONE OTHER: the ratios of their times and of their bytes
beside() {
    awk -F'|' -v name="${2/_/ }" -v one="$HONE_WORK/traffic.$1" -v bytes="$(cat "$HONE_WORK/indexes.$1")|$(cat "$HONE_WORK/indexes.$2")" '
        $1 != "search" { if (FILENAME == one) mine += $4; else theirs += $4 }
        END { split(bytes, b, "|"); printf "%s: time %.2f, bytes %.2f\n", name, mine / theirs, b[2] / b[4] }' "$HONE_WORK/traffic.$1" "$HONE_WORK/traffic.$2"
}

advisor() {
    local rows=${HONE_SHOP_ROWS:-1000000} kind calls p95 mean after rule room
    hone_server bench_advisor "-c shared_buffers=1GB -c max_wal_size=8GB -c hone.history_interval=1h" || exit 1
    hone_say "a shop with $rows products"
    sql "CREATE EXTENSION pg_hone; CREATE EXTENSION pg_trgm;
         CREATE TABLE products (id int PRIMARY KEY, category int NOT NULL, in_stock boolean NOT NULL, price numeric(10,2) NOT NULL, name text NOT NULL, featured boolean NOT NULL, created_at timestamptz NOT NULL);
         INSERT INTO products SELECT g, (random() * 200)::int, random() < 0.8, (random() * 1000)::numeric(10,2), md5(g::text) || ' ' || (ARRAY['red', 'blue', 'green', 'small', 'large'])[1 + g % 5] || ' thing', random() < 0.001, now() - random() * interval '1000 days' FROM generate_series(1, $rows) g;
         CREATE TABLE customers (id int PRIMARY KEY, name text);
         INSERT INTO customers SELECT g, 'customer ' || g FROM generate_series(1, 20000) g;
         CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, product_id int NOT NULL, placed timestamptz NOT NULL, total numeric);
         INSERT INTO orders SELECT g, 1 + (random() * 19999)::int, 1 + (random() * ($rows - 1))::int, timestamptz '2025-01-01' - random() * interval '500 days', random() * 100 FROM generate_series(1, $rows) g" || exit 1
    "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d postgres -f "$HONE_ROOT/test/bench/rules.sql" || exit 1
    shop_statements || exit 1
    shop_script
    traffic none 30
    for rule in one_column two_columns predicates; do
        sql "SELECT ddl || ';' FROM rules.$rule() ddl ORDER BY 1" >"$HONE_WORK/ddl.$rule" || exit 1
    done
    # what pg_hone would choose if it had no more room than the best rule
    room=$(sql "SELECT rules.bytes(ARRAY(SELECT ddl FROM rules.two_columns() ddl)) / 1024")
    sql "SET hone.index_budget = '${room}kB'; SELECT DISTINCT replace(fix, ' CONCURRENTLY', '') || ';' FROM hone.recommendations WHERE kind = 'missing_index' AND fix LIKE 'CREATE INDEX CONCURRENTLY%' ORDER BY 1" >"$HONE_WORK/ddl.budget" || exit 1
    sql "SELECT hone.apply_recommendation(id) FROM hone.recommendations WHERE kind IN ('missing_index', 'leading_wildcard') AND fix LIKE 'CREATE INDEX CONCURRENTLY%'" >/dev/null || exit 1
    for _ in $(seq 600); do
        [ "$(sql "SELECT count(*) FROM hone.applied_recommendations WHERE finished_at IS NULL")" != 0 ] || break
        sleep 0.5
    done
    sql "SELECT format('    %s  -- %s', fix, pg_size_pretty(pg_relation_size(hone_index))) FROM (SELECT fix, to_regclass(substring(undo FROM 'CONCURRENTLY (.*)')) AS hone_index FROM hone.applied_recommendations) x WHERE hone_index IS NOT NULL ORDER BY 1" >"$HONE_WORK/advised"
    traffic pg_hone 15
    drop_indexes "AND (SELECT relam FROM pg_class WHERE oid = indexrelid) <> (SELECT oid FROM pg_am WHERE amname = 'btree')"
    traffic btrees 15
    for rule in one_column two_columns predicates budget; do built "$rule"; done
    cat >>"$report" <<MD

## Advised indexes

A shop of $rows products, as many orders and 20,000 customers; \`pgbench -c 2\` with six statements, one of each after the other, for 30 s. Then everything that \`hone.recommendations\` says of indexes is done by \`hone.apply_recommendation\`, and the traffic goes on for 15 s. p95 of \`hone.queries\`.

| | p95 before, ms | after | ÷ |
|---|---|---|---|
MD
    while IFS='|' read -r kind calls p95 mean; do
        after=$(sed -n "s/^$kind|[0-9]*|\([0-9.]*\)|.*/\1/p" "$HONE_WORK/traffic.pg_hone")
        echo "| $kind | $p95 | $after | $(ratio "$p95" "$after" "$([ "$kind" = update ] && echo 2 || echo 0)") |" >>"$report"
    done <"$HONE_WORK/traffic.none"
    printf '\nThe indexes, none of which anybody named:\n\n' >>"$report"
    cat "$HONE_WORK/advised" >>"$report"
    cat >>"$report" <<MD

### Beside other advisors' rules

The same traffic with the indexes that rules of other open advisors choose for its statements, with costs of hypothetical indexes (\`test/bench/rules.sql\`): *one column* as index_advisor 0.2 (an index on each column at once; what the plan reads stays), *two columns* as Dexter (every column named, then every pair; kept where the cost halves), *predicates* as advisors over collected predicates (one or two compared columns, chosen greedily). pg_hone also with no more room than *two columns* takes (\`hone.index_budget = ${room}kB\`). Mean ms of each kind, their sum, and its part of no index's; then the same without the search, which no btree serves.

| | indexes | MB | $(cut -d'|' -f1 "$HONE_WORK/traffic.none" | paste -sd'|' | sed 's/|/ | /g') | sum | of none | without search | of none |
|---|---|---|$(sed 's/.*/---|/' "$HONE_WORK/traffic.none" | tr -d '\n')---|---|---|---|
MD
    compared none "none"
    compared one_column "one column"
    compared two_columns "two columns"
    compared predicates "predicates"
    compared budget "pg_hone, \`hone.index_budget\` of two columns"
    compared btrees "pg_hone, without trigrams"
    compared pg_hone "pg_hone"
    for rule in one_column two_columns predicates; do beside budget "$rule"; done >"$HONE_WORK/beside"
    printf '\npg_hone with that budget ÷ a rule, without the search: %s.\n\nWhat they chose:\n\n' "$(paste -sd';' "$HONE_WORK/beside" | sed 's/;/; /g')" >>"$report"
    for rule in one_column two_columns predicates budget; do sed "s/\$/  -- $rule/; s/^/    /" "$HONE_WORK/ddl.$rule" >>"$report"; done
}
