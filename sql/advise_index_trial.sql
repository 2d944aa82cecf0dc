-- Indexes for filters, as the planner would use them: each is planned with before it is shown.
CREATE SCHEMA advise_trial;
SET search_path = advise_trial, public;
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE product (id int PRIMARY KEY, category int, in_stock boolean, price numeric(10,2), name text, featured boolean, deleted_at timestamptz, created date, "odd Col" int);
INSERT INTO product SELECT g, g % 50, g % 3 <> 0, (g * 7919 % 100000) / 100.0, 'product ' || g, g % 500 = 0, CASE WHEN g % 20 <> 0 THEN timestamptz '2024-01-01Z' END, '2020-01-01'::date + g % 2000, g % 1000
FROM generate_series(1, 30000) g;
VACUUM ANALYZE product;
CREATE FUNCTION shown() RETURNS TABLE (fix text, costs boolean, calls boolean, tried text) LANGUAGE sql AS $$
    SELECT regexp_replace(fix, '^CREATE INDEX CONCURRENTLY ON advise_trial.', ''), (evidence->>'planner_cost_with_index')::float8 < (evidence->>'planner_cost')::float8
        AND saving_ms <= cost_ms AND (evidence->>'index_bytes')::int > 0, (evidence->>'calls_tried')::int > 0,
        (SELECT string_agg(concat(t->>'kind', CASE WHEN t->>'used' = 'false' THEN ' (not used)' END), ', ') FROM jsonb_array_elements(evidence->'tried') t)
    FROM hone.recommendations WHERE kind = 'missing_index' ORDER BY 1
$$;
CREATE FUNCTION again() RETURNS boolean LANGUAGE sql AS 'SELECT hone.reset_recommendations() >= 0';

-- the order under a LIMIT: with its directions, nulls and without what is equal anyway
SELECT again();
\o /dev/null
SELECT * FROM product WHERE category = 7 AND in_stock = true ORDER BY price DESC LIMIT 5;
\o
SELECT * FROM shown();
SELECT again();
\o /dev/null
SELECT * FROM product WHERE category = 7 ORDER BY category, deleted_at DESC NULLS LAST, id LIMIT 5;
\o
SELECT * FROM shown();
-- an order by an expression: none
SELECT again();
\o /dev/null
SELECT * FROM product WHERE category = 7 ORDER BY price + 1 LIMIT 5;
\o
SELECT * FROM shown();

-- flags and IS NULL leave rows out of the index
SELECT again();
\o /dev/null
SELECT name FROM product WHERE featured AND created > '2020-01-05' AND deleted_at IS NULL;
\o
SELECT * FROM shown();
SELECT again();
\o /dev/null
SELECT name FROM product WHERE NOT in_stock AND "odd Col" = 9;
\o
SELECT * FROM shown();

-- a flag alone
SELECT again();
\o /dev/null
SELECT * FROM product WHERE featured ORDER BY created DESC LIMIT 10;
\o
SELECT * FROM shown();
SELECT again();
\o /dev/null
SELECT max(name) FROM product WHERE featured;
\o
SELECT * FROM shown();

-- columns to read from the index alone
SELECT again();
\o /dev/null
SELECT sum(price) FROM product p WHERE category = 7 AND in_stock IS NOT NULL;
\o
SELECT * FROM shown();
-- of a join only what it reads
SELECT again();
\o /dev/null
SELECT sum(p.price) FROM product p JOIN pg_class c ON c.oid = p.id WHERE p.category = 7;
\o
SELECT * FROM shown();

-- what calls were called with: three of them; without a value for one, a guess
SELECT again();
-- (a session takes few samples on its own account; reading them renews it)
SELECT count(*) >= 0 AS renewed FROM hone.query_samples;
PREPARE pr(int, date) AS SELECT name FROM product WHERE "odd Col" = $1 AND created < $2;
\o /dev/null
EXECUTE pr(1, '2022-01-01');
EXECUTE pr(2, '2022-01-01');
EXECUTE pr(3, '2022-01-01');
EXECUTE pr(NULL, NULL);
\o
SELECT * FROM shown();
DEALLOCATE pr;

-- the planner would not use it: nothing to see
SELECT again();
\o /dev/null
SELECT count(*), max(name) FROM product WHERE price > 5 AND name <> 'x' AND price < 1000 AND created < '2020-08-01';
SELECT max(name) FROM product WHERE in_stock = false;
\o
SELECT * FROM shown();
-- nor what the planner has a better index for
SELECT again();
\o /dev/null
SELECT name FROM product WHERE category = 7;
\o
CREATE INDEX ON product (category) INCLUDE (name);
SELECT * FROM shown();
DROP INDEX product_category_name_idx;

-- one index for two: the wider one, which is in the fix of both
SELECT again();
\o /dev/null
SELECT * FROM product WHERE "odd Col" = 7;
SELECT * FROM product WHERE "odd Col" = 7 AND created < '2020-03-01' ORDER BY created LIMIT 5;
\o
SELECT regexp_replace(r.summary, '.*no index on ', '') AS wanted, r.fix, o.summary LIKE '%created)' AS of_the_other
FROM hone.recommendations r LEFT JOIN hone.recommendations o ON o.id = (r.evidence->>'index_of_recommendation')::bigint WHERE r.kind = 'missing_index' ORDER BY 1;

-- other kinds: documents, arrays, words, beginnings of a text; a summary where rows lie in the column's order
CREATE TABLE doc AS SELECT g AS id, jsonb_build_object('k', g % 5000, 'pad', repeat('x', 30)) AS j, ARRAY[g % 3000, g % 7] AS tags,
    to_tsvector('simple', 'w' || g % 4000) AS words, 'name ' || (g * 7919) % 60000 AS name, timestamptz '2024-01-01Z' + g * interval '1 min' AS at
FROM generate_series(1, 60000) g;
VACUUM ANALYZE doc;
SELECT again();
\o /dev/null
SELECT id FROM doc WHERE j @> '{"k": 7}';
SELECT id FROM doc WHERE tags @> '{77}';
SELECT id FROM doc WHERE words @@ 'w7'::tsquery;
SELECT id FROM doc WHERE name LIKE 'name 77%';
SELECT count(j) FROM doc WHERE at BETWEEN '2024-01-05Z' AND '2024-01-07Z';
\o
SELECT fix, costs, tried FROM shown();
SELECT again();
CREATE INDEX ON doc USING gin (j);
\o /dev/null
SELECT id FROM doc WHERE j @> '{"k": 7}';
SET enable_bitmapscan = off;
SELECT id FROM doc WHERE j @> '{"k": 8}';
RESET enable_bitmapscan;
\o
SELECT fix, costs FROM shown();
DROP TABLE doc;

-- a subquery, a view, an UPDATE, a join's side
SELECT again();
CREATE VIEW cheap AS SELECT * FROM product WHERE "odd Col" = 5;
\o /dev/null
SELECT name FROM cheap WHERE id > 0;
\o
SELECT * FROM shown();
SELECT again();
UPDATE product SET name = name WHERE "odd Col" = 6;
SELECT * FROM shown();
SELECT again();
\o /dev/null
SELECT (SELECT max(name) FROM product WHERE "odd Col" = 7), (SELECT max(i.name) FROM product i WHERE i.category = 7 AND i.price = 3.5);
\o
SELECT * FROM shown();

-- a table that was never analyzed, one that changed since, and partitions
SELECT again();
CREATE TABLE raw AS SELECT g AS id, g % 1000 AS n FROM generate_series(1, 20000) g;
ALTER TABLE raw SET (autovacuum_enabled = off);
\o /dev/null
SELECT * FROM raw WHERE n = 5;
\o
SELECT fix, evidence->>'not_tried' AS not_tried FROM hone.recommendations WHERE kind = 'missing_index';
ANALYZE raw;
SELECT * FROM shown();
ALTER TABLE raw RENAME n TO m;
SELECT fix, evidence->>'not_tried' AS not_tried FROM hone.recommendations WHERE kind = 'missing_index';
ALTER TABLE raw DROP COLUMN m;
SELECT * FROM shown();
SELECT again();
CREATE TABLE event (at date, kind int, payload text) PARTITION BY RANGE (at);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO event SELECT '2020-01-01'::date + g % 700, g % 500, 'p' FROM generate_series(1, 40000) g;
ANALYZE event;
\o /dev/null
SELECT * FROM event WHERE kind = 3 ORDER BY at DESC LIMIT 3;
\o
SELECT * FROM shown();

-- Functions: what is volatile is not run, what is stable runs as the role of the statement and restricted.
SELECT again();
CREATE ROLE hone_trial;
GRANT USAGE, CREATE ON SCHEMA advise_trial TO hone_trial;
SET ROLE hone_trial;
CREATE TABLE mine AS SELECT g AS id, g % 1000 AS n FROM generate_series(1, 20000) g;
ANALYZE mine;
-- (sequences: what is counted there stays counted)
CREATE SEQUENCE as_author;
CREATE SEQUENCE as_another;
CREATE SEQUENCE volatiles;
CREATE FUNCTION stable_one() RETURNS int STABLE LANGUAGE plpgsql AS $$
BEGIN
    IF current_user = 'hone_trial' THEN PERFORM nextval('advise_trial.as_author'); ELSE PERFORM nextval('advise_trial.as_another'); END IF;
    RETURN 5;
END $$;
CREATE FUNCTION volatile_one() RETURNS int VOLATILE LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('advise_trial.volatiles'); RETURN 5; END $$;
\o /dev/null
SELECT * FROM mine WHERE n = 7 AND id < stable_one() AND id <> (SELECT volatile_one());
\o
RESET ROLE;
SELECT is_called AS ran FROM volatiles;
ALTER SEQUENCE volatiles RESTART;
ALTER SEQUENCE as_author RESTART;
SELECT * FROM shown();
SELECT (SELECT is_called FROM as_author) AS as_author, (SELECT is_called FROM as_another) AS as_another, (SELECT is_called FROM volatiles) AS volatiles;
DROP SCHEMA advise_trial CASCADE;
DROP ROLE hone_trial;
SELECT hone.reset_recommendations() >= 0 AS reset;
