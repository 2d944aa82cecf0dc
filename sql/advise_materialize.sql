-- Dear aggregates that run again and again over tables that hardly change.
CREATE SCHEMA advise_mat;
SET search_path = advise_mat, public;
SET client_min_messages = warning;
-- no timing: what repeats counts, however fast it is
SET hone.advise_aggregate_time = 0;
SET hone.advise_aggregate_calls = 5;
CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text);
INSERT INTO customers SELECT g, 'customer ' || g, CASE WHEN g % 5 > 0 THEN 'country ' || g % 5 END FROM generate_series(1, 50) g;
CREATE TABLE orders (id int PRIMARY KEY, customer_id int NOT NULL, status varchar(20), at timestamptz NOT NULL, total numeric(10,2));
INSERT INTO orders SELECT g, 1 + g % 50, CASE WHEN g % 4 > 0 THEN 'status ' || g % 4 END, '2024-01-01 12:00+00'::timestamptz + g % 10 * interval '1 day', g % 1000
FROM generate_series(1, 12000) g;
CREATE TABLE busy (LIKE orders);
INSERT INTO busy SELECT * FROM orders;
CREATE TABLE secured (LIKE orders);
INSERT INTO secured SELECT * FROM orders;
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
CREATE TABLE parted (day int NOT NULL, v int) PARTITION BY RANGE (day);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (5);
CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (5) TO (10);
INSERT INTO parted SELECT g % 10, g FROM generate_series(1, 5000) g;
CREATE TABLE small (a int);
INSERT INTO small SELECT g FROM generate_series(1, 500) g;
CREATE TEMPORARY TABLE mine AS SELECT * FROM orders;
CREATE VIEW paid AS SELECT * FROM orders WHERE status = 'status 1';
CREATE VIEW chance AS SELECT status, total FROM orders WHERE random() < 2;
ANALYZE customers, orders, busy, secured, parted, small;
CREATE FUNCTION found() RETURNS TABLE (fix text, read text, refresh text, selected_by text, no_fix text)
LANGUAGE sql AS $$
    SELECT fix, evidence->>'read', evidence->>'refresh', evidence->>'selected_by', evidence->>'no_fix'
    FROM hone.recommendations WHERE kind = 'materialize' ORDER BY regexp_replace(fix, '_[0-9a-f]{4}\M', '', 'g'), 5
$$;
-- rows of a statement, in any order
CREATE FUNCTION rows_of(statement text) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
    r record;
    rows text[];
BEGIN
    FOR r IN EXECUTE statement LOOP
        rows := rows || r::text;
    END LOOP;
    RETURN (SELECT array_agg(q ORDER BY q) FROM unnest(rows) q);
END
$$;
-- names end with digits of a hash
CREATE FUNCTION named(text) RETURNS text LANGUAGE sql AS $$
    SELECT regexp_replace($1, '(\m(orders|parted)_\w+)_[0-9a-f]{4}\M', '\1_HASH', 'g')
$$;
CREATE FUNCTION again(query text, times int) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT query FROM generate_series(1, times)
$$;
SELECT pg_stat_force_next_flush();
SELECT hone.reset_recommendations() >= 0 AS reset;

-- a report: not before it was counted, nor before it has repeated
\set report 'SELECT status, count(*), sum(total) AS revenue FROM orders WHERE at >= \'2024-01-02 00:00-08\' GROUP BY status ORDER BY revenue DESC'
\o /dev/null
\set ECHO none
SELECT * FROM again(:'report', 20) \gexec
\set ECHO all
\o
SELECT named(fix) AS fix, named(read) AS read, named(refresh) AS refresh, selected_by, no_fix FROM found();
\o /dev/null
\set ECHO none
SELECT * FROM again(:'report', 4) \gexec
\set ECHO all
\o
SELECT named(fix) AS fix, named(read) AS read, named(refresh) AS refresh, selected_by, no_fix FROM found();
\o /dev/null
\set ECHO none
SELECT * FROM again(:'report', 1) \gexec
\set ECHO all
\o
SELECT named(fix) AS fix, named(read) AS read, named(refresh) AS refresh, selected_by, no_fix FROM found();
SELECT summary, relation, calls, evidence->'calls' AS calls, evidence->'rows_returned' AS returned, evidence->'rows_read' AS read,
       evidence->'tables' AS tables, evidence->'table_rows' AS table_rows, evidence->'rows_changed' AS changed,
       evidence->'refresh_every' AS every, evidence->'rows_missed' AS missed, evidence->'view_rows' AS view_rows,
       evidence->>'staleness' ~ '^answers are as old as the last REFRESH: with one every 1 min, of about' AS staleness,
       saving_ms > 0 AND saving_ms < cost_ms AS saves
FROM hone.recommendations WHERE kind = 'materialize';
-- what it says is done, and is right
SELECT fix, evidence->>'view' AS view, evidence->>'read' AS read, evidence->>'refresh' AS refresh FROM hone.recommendations WHERE kind = 'materialize' \gset
:fix
SELECT rows_of(:'report') = rows_of(:'read') AS same;
:read;
UPDATE orders SET total = total + 1 WHERE id <= 4;
INSERT INTO orders VALUES (12001, 1, 'new', '2024-03-01', 5);
SELECT rows_of(:'report') = rows_of(:'read') AS same;
:refresh;
SELECT rows_of(:'report') = rows_of(:'read') AS same;
DELETE FROM orders WHERE id > 12000;
UPDATE orders SET total = total - 1 WHERE id <= 4;
SELECT pg_stat_force_next_flush();
-- the view is there: select from it
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
:report;
SELECT count(*) FROM hone.recommendations;
SELECT * FROM again(:'report', 5) \gexec
\set ECHO all
\o
SELECT named(fix) AS fix, evidence->>'view_exists' AS exists, summary FROM hone.recommendations WHERE kind = 'materialize';
DROP MATERIALIZED VIEW :view;

-- silent: not dear, once, fast-changing tables, what is new each time, row locks, no aggregates, few rows, temporary tables, catalogs, what keeps its rows
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE FUNCTION silent() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT unnest(ARRAY[
        'SELECT status, avg(total) FROM busy GROUP BY status',
        'SELECT status, avg(total + random()) FROM orders GROUP BY status',
        'SELECT count(*) FROM chance',
        'SELECT count(*) FROM orders TABLESAMPLE bernoulli (50)',
        'SELECT sum(total) FROM (SELECT total FROM orders WHERE customer_id < 40 FOR UPDATE) s',
        'SELECT status FROM orders WHERE total > 500 LIMIT 3',
        'SELECT DISTINCT status FROM orders',
        'SELECT count(*) FROM small',
        'SELECT id, count(*) FROM orders GROUP BY id',
        'SELECT status, max(total) FROM mine GROUP BY status',
        'SELECT max(mine.total) FROM mine, orders WHERE mine.id = orders.id',
        'SELECT count(*) FROM pg_attribute a, generate_series(1, 10)',
        'EXPLAIN ANALYZE SELECT status, sum(id) FROM orders GROUP BY status',
        'CREATE TEMPORARY TABLE made AS SELECT status, sum(id) + 1 FROM orders GROUP BY status',
        'DROP TABLE made',
        'UPDATE busy SET total = total + 1 WHERE id % 10 = 0',
        'SELECT pg_stat_force_next_flush()'])
$$;
\o /dev/null
\set ECHO none
SELECT * FROM silent() \gexec
SELECT status, min(total) FROM orders GROUP BY status;
SET hone.advise_aggregate_time = '1h';
SELECT * FROM again('SELECT status, stddev(total) FROM orders GROUP BY status', 10) \gexec
SET hone.advise_aggregate_time = 0;
SELECT count(*) FROM hone.recommendations;
SELECT * FROM again('SELECT 1', 10), silent() \gexec
\set ECHO all
\o
SELECT named(fix) AS fix, named(read) AS read, named(refresh) AS refresh, selected_by, no_fix FROM found();
-- how much may change is a setting
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
:report;
SELECT count(*) FROM hone.recommendations;
UPDATE orders SET total = total WHERE id = 1;
SELECT * FROM again(:'report', 5) \gexec
SELECT pg_stat_force_next_flush();
\set ECHO all
\o
SELECT evidence->'rows_changed' AS changed FROM hone.recommendations WHERE kind = 'materialize';
SET hone.advise_aggregate_changes = 0;
SELECT evidence->'rows_changed' AS changed FROM hone.recommendations WHERE kind = 'materialize';
RESET hone.advise_aggregate_changes;

-- no view: why
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE FUNCTION without_view() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT unnest(ARRAY[
        'SELECT status, count(*) FROM secured GROUP BY status',
        'SELECT status, count(*) FROM orders WHERE at < now() GROUP BY status',
        'SELECT status, count(*) FROM orders WHERE status <> current_user GROUP BY status',
        'SELECT status, count(*) FROM orders, pg_class WHERE pg_class.oid = ''orders''::regclass GROUP BY status'])
$$;
\o /dev/null
\set ECHO none
SELECT * FROM without_view() \gexec
SELECT count(*) FROM hone.recommendations;
SELECT q FROM generate_series(1, 5) g, without_view() q \gexec
SELECT format('SELECT status, count(*) FROM orders WHERE total > %s GROUP BY status', g) FROM generate_series(1, 6) g \gexec
SELECT count(*) FROM hone.recommendations;
SELECT format('SELECT status, count(*) FROM orders WHERE total > %s GROUP BY status', g) FROM generate_series(1, 6) g \gexec
\set ECHO all
\o
SELECT named(fix) AS fix, named(read) AS read, named(refresh) AS refresh, selected_by, no_fix FROM found();

-- values that differ
SELECT hone.reset_recommendations() > 0 AS reset;
PREPARE of_customer(int) AS SELECT status, count(*), sum(total) FROM orders WHERE customer_id = $1 AND at > '2024-01-02 00:00-08' GROUP BY status;
PREPARE sum_of(int, text) AS SELECT count(*), round(coalesce(sum(total), 0), 1) AS total, max(total) FROM orders WHERE $1 = customer_id AND status = $2;
CREATE FUNCTION with_values(g int) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT unnest(ARRAY[
        format('EXECUTE of_customer(%s)', g),
        format('EXECUTE sum_of(%s, %L)', g, 'status ' || g % 4),
        format('SELECT c.name, count(*) AS n FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.country = %L AND o.status = ''status 1'' GROUP BY c.id ORDER BY count(*) DESC, c.id LIMIT 3', 'country ' || g % 5),
        format('SELECT customer_id, sum(total) FROM orders GROUP BY customer_id ORDER BY 2 DESC, 1 LIMIT %s', g)])
$$;
SET plan_cache_mode = force_generic_plan;
\o /dev/null
\set ECHO none
SELECT q FROM generate_series(1, 4) g, with_values(g) q \gexec
SELECT count(*) FROM hone.recommendations;
SELECT q FROM generate_series(5, 10) g, with_values(g) q \gexec
\set ECHO all
\o
RESET plan_cache_mode;
SELECT named(fix) AS fix, named(read) AS read, named(refresh) AS refresh, selected_by, no_fix FROM found();
\set ECHO none
SELECT fix FROM found() \gexec
SELECT read AS by_country FROM found() WHERE read ~ 'country' \gset
SELECT read AS by_sum FROM found() WHERE read ~ 'limit|LIMIT' AND read !~ 'country' \gset
SELECT format('PREPARE read_%s AS %s', CASE WHEN read ~ 'COALESCE' THEN 'sum' ELSE 'customer' END, read)
FROM found() WHERE read ~ '\$2|\$1' AND read !~ 'LIMIT' \gexec
\set ECHO all
SELECT bool_and(rows_of(format('EXECUTE of_customer(%s)', g)) IS NOT DISTINCT FROM rows_of(format('EXECUTE read_customer(%s)', g))) AS same
FROM generate_series(0, 51, 5) g;
SELECT bool_and(rows_of(format('EXECUTE sum_of(%s, %L)', g, 'status ' || s)) = rows_of(format('EXECUTE read_sum(%s, %L)', g, 'status ' || s))) AS same
FROM generate_series(0, 51, 10) g, generate_series(0, 3) s;
EXECUTE sum_of(70, NULL);
EXECUTE read_sum(70, NULL);
DEALLOCATE ALL;
:by_country;
SELECT c.name, count(*) AS n FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.country = 'country 1' AND o.status = 'status 1' GROUP BY c.id ORDER BY count(*) DESC, c.id LIMIT 3;
:by_sum;
\set ECHO none
SELECT refresh FROM found() \gexec
\set ECHO all
SELECT named(relname) AS view FROM pg_class WHERE relkind = 'm' AND relnamespace = 'advise_mat'::regnamespace ORDER BY 1;

-- partitions, views, CTEs, subqueries, sets, one row, functions, time zones; what returns some of many groups
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE FUNCTION in_function(c int) RETURNS numeric LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT sum(total) FROM orders WHERE customer_id = c);
END
$$;
CREATE FUNCTION various(g int) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT unnest(ARRAY[
        'SELECT day, sum(v), count(*), count(v) FROM parted GROUP BY 1 ORDER BY sum(v % 7), day',
        'SELECT customer_id / 10 AS tens, min(at) FROM paid GROUP BY customer_id / 10',
        'WITH t AS (SELECT customer_id, sum(total) AS s FROM orders GROUP BY 1) SELECT count(*) AS n, ''a"b'' AS "odd ""name" FROM t WHERE s > 100',
        'SELECT s.* FROM (SELECT status, count(*) FROM orders GROUP BY status) s WHERE s.count > 2999',
        'SELECT status, customer_id / 25 AS half, count(*) FROM orders GROUP BY ROLLUP (status, customer_id / 25)',
        'SELECT count(*) FROM orders WHERE total > 3 UNION ALL SELECT count(*) FROM parted',
        'SELECT max(total), (SELECT count(*) FROM customers) FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country IS NULL)',
        'SELECT date_trunc(''day'', at) AS day, count(*) FILTER (WHERE status IS NULL) FROM orders GROUP BY 1',
        'SELECT status, rank() OVER (ORDER BY count(*)) FROM orders GROUP BY status HAVING count(*) > 10',
        'SELECT (SELECT max(id) FROM customers WHERE id < count(o.id)) FROM orders o WHERE customer_id = ' || g,
        'SELECT customer_id + sum(1) AS s FROM orders WHERE customer_id = ' || g || ' GROUP BY customer_id HAVING count(*) > 1',
        'SELECT id % 6000 AS k, count(*) FROM orders GROUP BY 1 ORDER BY 1 LIMIT ' || g,
        format('SELECT in_function(%s)', g)])
$$;
SET hone.track = 'all';
\o /dev/null
\set ECHO none
SELECT * FROM various(1) \gexec
SELECT count(*) FROM hone.recommendations;
SELECT q FROM generate_series(2, 6) g, various(g) q \gexec
\set ECHO all
\o
RESET hone.track;
CREATE TABLE seen AS SELECT * FROM found();
SELECT named(fix) AS fix, named(read) AS read, named(refresh) AS refresh, no_fix FROM seen;
SELECT evidence->>'time_zone' AS time_zone FROM hone.recommendations WHERE evidence ? 'time_zone';
\set ECHO none
SELECT fix FROM seen WHERE fix IS NOT NULL \gexec
SELECT refresh FROM seen WHERE fix IS NOT NULL \gexec
\set ECHO all
-- each returns what one of the statements does
SELECT count(*) AS reads, count(q) AS same
FROM seen LEFT JOIN various(3) q ON q !~ 'in_function|LIMIT|customer_id =' AND rows_of(q) = rows_of(read) WHERE read IS NOT NULL AND read !~ 'customer_id = ';
DROP TABLE seen;

-- who sees what
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE FUNCTION look() RETURNS TABLE (fix text, read text, no_fix text, names boolean, secrets boolean) LANGUAGE sql AS $$
    SELECT advise_mat.named(fix), advise_mat.named(evidence->>'read'), evidence->>'no_fix', evidence ? 'view', concat(summary, fix, evidence) ~ '7771777'
    FROM hone.recommendations WHERE kind = 'materialize' ORDER BY 1, 3
$$;
CREATE ROLE hone_test_mat;
CREATE ROLE hone_test_mat_own;
GRANT USAGE ON SCHEMA advise_mat TO hone_test_mat, hone_test_mat_own;
GRANT SELECT ON orders TO hone_test_mat_own;
\set secret 'SELECT status, count(*) FROM orders WHERE total <> 777177717 GROUP BY status'
SET ROLE hone_test_mat_own;
\o /dev/null
\set ECHO none
:secret;
SELECT count(*) FROM orders WHERE customer_id = 777177717;
SELECT count(*) FROM orders WHERE customer_id = 777177718;
SELECT count(*) FROM hone.recommendations;
SELECT format('SELECT count(*) FROM orders WHERE customer_id = %s', g) FROM generate_series(777177717, 777177721) g \gexec
SELECT 'SELECT status, count(*) FROM orders WHERE total <> 777177717 GROUP BY status' FROM generate_series(1, 5) \gexec
\set ECHO all
\o
SELECT * FROM look();
RESET ROLE;
REVOKE SELECT ON orders FROM hone_test_mat_own;
SET ROLE hone_test_mat_own;
SELECT * FROM look();
SET ROLE hone_test_mat;
SELECT fix, evidence->>'read' AS read, evidence->>'no_fix' AS no_fix, evidence ? 'view' AS names, concat(summary, evidence) ~ '7771777' AS secrets
FROM hone.recommendations WHERE kind = 'materialize';
RESET ROLE;

-- a table that is gone
SELECT count(*) FROM hone.recommendations WHERE kind = 'materialize';
DROP TABLE orders CASCADE;
SELECT count(*) FROM hone.recommendations WHERE kind = 'materialize';
SELECT hone.reset_recommendations() > 0 AS reset;
-- literals of times mean what the session that reads them makes of them; a cursor that outlives its transaction
CREATE TABLE times AS SELECT 's' || g % 4 AS status, '2024-01-01 12:00+00'::timestamptz + g % 10 * interval '1 day' AS at FROM generate_series(1, 12000) g;
ANALYZE times;
-- or its rows would be changes that come later
SELECT pg_stat_force_next_flush();
SELECT hone.reset_recommendations() >= 0 AS again;
CREATE VIEW literals AS SELECT unnest(ARRAY[$$>= 'today'$$, $$> timestamptz 'yesterday'$$, $$<= '2024-01-09'$$, $$< '2024-01-09 00:00+00'$$, $$<> '2024-01-02T00:00Z'$$]) AS literal;
\o /dev/null
\set ECHO none
SELECT a.* FROM literals, LATERAL again(format('SELECT status, count(*) FROM advise_mat.times WHERE at %s GROUP BY status', literal), 12) a \gexec
\set ECHO all
\o
SELECT count(*) >= 0 AS read FROM hone.recommendations;
\o /dev/null
\set ECHO none
SELECT a.* FROM literals, LATERAL again(format('SELECT status, count(*) FROM advise_mat.times WHERE at %s GROUP BY status', literal), 12) a \gexec
\set ECHO all
\o
SELECT fix IS NOT NULL AS fix, no_fix, count(*) FROM found() GROUP BY 1, 2 ORDER BY 1, 2;
BEGIN;
DECLARE held CURSOR WITH HOLD FOR SELECT status, count(*) FROM times GROUP BY status ORDER BY 1;
COMMIT;
FETCH ALL FROM held;
CLOSE held;
DROP SCHEMA advise_mat CASCADE;
DROP ROLE hone_test_mat;
DROP ROLE hone_test_mat_own;
