-- Filters that throw away most of a large scan.
CREATE SCHEMA advise_index;
SET search_path = advise_index, public;
SET client_min_messages = warning;
CREATE TABLE orders (id int PRIMARY KEY, customer int, status text, placed date, note text);
INSERT INTO orders SELECT g, g % 1000, CASE g % 10 WHEN 0 THEN 'open' ELSE 'done' END, '2020-01-01'::date + g % 700, repeat('x', 600)
FROM generate_series(1, 10000) g;
CREATE TABLE few (id int, a int);
INSERT INTO few SELECT g, g FROM generate_series(1, 500) g;
ANALYZE orders, few;
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE FUNCTION missing()
RETURNS TABLE (relation regclass, sampled int, removed int, kept int, equality int, range int, fix text)
LANGUAGE sql AS $$
    SELECT relation, (evidence->>'sampled_executions')::int,
           (evidence->>'rows_removed_per_execution')::int, (evidence->>'rows_kept_per_execution')::int,
           (evidence->>'equality_columns')::int, (evidence->>'range_columns')::int, fix
    FROM hone.recommendations WHERE kind = 'missing_index' ORDER BY fix, 3
$$;

-- none: an index is there, the table is small, most rows stay, no column to index
\o /dev/null
\set ECHO none
SELECT count(*) FROM orders WHERE id = 7;
SELECT count(*) FROM few WHERE a = 7;
SELECT count(*) FROM orders WHERE status = 'done';
SELECT count(*) FROM orders WHERE customer + 1 = 7;
SELECT count(*) FROM orders WHERE customer % 500 = 7;
SELECT count(*) FROM orders WHERE note = 'y';
SELECT count(*) FROM orders WHERE customer::float8 = random() * 0 - 1;
\set ECHO all
\o
SELECT * FROM missing();

-- one column, twice; equality before range whatever the order in the text
\o /dev/null
\set ECHO none
SELECT id FROM orders WHERE customer = 7;
SELECT id FROM orders WHERE customer = 8;
SELECT id FROM orders WHERE placed >= '2021-11-01' AND 'open' = status AND customer = 5;
SELECT id FROM orders WHERE placed BETWEEN '2020-02-01' AND '2020-02-02';
SELECT id FROM orders WHERE customer IN (1, 2) AND placed > now() - interval '100 years';
\set ECHO all
\o
SELECT * FROM missing();
SELECT severity, calls, cost_ms > 0 AND saving_ms > 0 AND saving_ms <= cost_ms AS costs, jsonb_array_length(evidence->'queryids') AS queries,
       evidence->'sample'->>'query' AS sample, summary
FROM hone.recommendations WHERE kind = 'missing_index' AND summary LIKE '%(customer)';

-- with the index it is gone
CREATE INDEX ON orders (customer, placed);
SELECT fix FROM missing();

-- UPDATE and DELETE scan too; bound values; the inner side of a join
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE TABLE item (id int, order_id int, product int);
INSERT INTO item SELECT g, g / 2, g % 997 FROM generate_series(1, 5000) g;
ANALYZE item;
PREPARE u(int) AS UPDATE item SET product = product WHERE product = $1;
EXECUTE u(5);
EXECUTE u(6);
DEALLOCATE u;
SELECT * FROM missing();

-- partitions: one index, on the parent; a leaf by name
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE TABLE event (dropped int, at date, kind int, payload text) PARTITION BY RANGE (at);
ALTER TABLE event DROP COLUMN dropped;
CREATE TABLE event_1 (payload text, kind int, at date);
ALTER TABLE event ATTACH PARTITION event_1 FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO event SELECT '2020-01-01'::date + g % 700, g % 500, 'p' FROM generate_series(1, 6000) g;
ANALYZE event;
\o /dev/null
\set ECHO none
SELECT count(*) FROM event WHERE kind = 3;
\set ECHO all
\o
SELECT * FROM missing();
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT count(*) FROM event_1 WHERE kind = 3;
\set ECHO all
\o
SELECT fix FROM missing();

-- parallel workers' rows count too
SELECT hone.reset_recommendations() > 0 AS reset;
SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0;
\o /dev/null
\set ECHO none
SELECT count(*) FROM orders WHERE status = 'lost';
\set ECHO all
\o
RESET min_parallel_table_scan_size; RESET parallel_setup_cost; RESET parallel_tuple_cost;
SELECT removed, kept, fix FROM missing();

-- a temporary table, and one that is gone
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE TEMP TABLE tmp AS SELECT * FROM item;
\o /dev/null
\set ECHO none
SELECT count(*) FROM tmp WHERE product = 3;
SELECT count(*) FROM item WHERE product = 3;
\set ECHO all
\o
SELECT fix FROM missing();
DROP TABLE item, tmp;
SELECT fix FROM missing();

-- only samples: one execution in hone.advise_sample_every after the first three
SELECT hone.reset_recommendations() >= 0 AS reset;
SET hone.advise_sample_every = 10;
\o /dev/null
\set ECHO none
SELECT 'SELECT count(*) FROM orders WHERE status = ''lost'' AND id IS NOT NULL' FROM generate_series(1, 33) \gexec
\set ECHO all
\o
RESET hone.advise_sample_every;
SELECT calls, evidence->>'sampled_executions' AS sampled FROM hone.recommendations WHERE kind = 'missing_index';
SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_index CASCADE;
