-- Indexes for what sorts, index scans and joins read in vain, and for rows with one constant; each fix is run, and its index used.
CREATE SCHEMA advise_reads;
SET search_path = advise_reads, public;
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE visit (id int PRIMARY KEY, customer int NOT NULL, kind int, score int, status text, at timestamptz, note text);
INSERT INTO visit SELECT g, g % 300, CASE WHEN g % 10 < 8 THEN 1 ELSE g % 10 END, (g::bigint * 7919 % 40009)::int, CASE WHEN g % 100 = 0 THEN 'o''pen' WHEN g % 3 = 0 THEN 'paid' ELSE 'done' END,
    '2024-01-01Z'::timestamptz + (g::bigint * 7907 % 40009) * interval '1 min', repeat('n', 40) FROM generate_series(1, 40000) g;
CREATE TABLE customer (id int PRIMARY KEY, city text, name text);
INSERT INTO customer SELECT g, 'city ' || g % 60, 'name ' || g FROM generate_series(0, 299) g;
VACUUM ANALYZE visit, customer;
CREATE FUNCTION again() RETURNS boolean LANGUAGE sql AS 'SELECT hone.reset_recommendations() >= 0';
CREATE FUNCTION shown() RETURNS TABLE (fix text, costs boolean, replaces text, rest text, summary text) LANGUAGE sql AS $$
    SELECT regexp_replace(fix, '^CREATE INDEX CONCURRENTLY ON advise_reads.', ''), (evidence->>'planner_cost_with_index')::float8 < 0.9 * (evidence->>'planner_cost')::float8,
        evidence->>'replaces', concat_ws(', ', 'sorted ' || (evidence->>'rows_sorted_per_execution'), 'removed ' || (evidence->>'rows_removed_per_execution'), 'kept ' || (evidence->>'rows_kept_per_execution')),
        regexp_replace(summary, ': no index.*', '')
    FROM hone.recommendations WHERE kind = 'missing_index' ORDER BY 1
$$;
-- What the plan is with the fix: which index, and whether it sorts.
CREATE FUNCTION plan_of(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP
        IF line ~ 'Scan|Sort|Index Cond|Filter' THEN RETURN NEXT ltrim(line, ' ->'); END IF;
    END LOOP;
END $$;

-- a sort under a LIMIT, without a filter
SELECT again();
\o /dev/null
SELECT * FROM visit ORDER BY at DESC LIMIT 10;
\o
SELECT * FROM shown();
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' \gexec
SELECT plan_of('SELECT * FROM visit ORDER BY at DESC LIMIT 10');
SELECT * FROM shown();
\o /dev/null
SELECT note FROM visit ORDER BY at DESC LIMIT 10;
\o
SELECT * FROM shown();
DROP INDEX visit_at_idx;

-- with a filter that leaves most rows the order alone; several columns with directions, the rows of a join, OFFSET
SELECT again();
\o /dev/null
SELECT * FROM visit WHERE kind = 1 ORDER BY score LIMIT 5;
\o
SELECT * FROM shown();
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' \gexec
SELECT plan_of('SELECT * FROM visit WHERE kind = 1 ORDER BY score LIMIT 5');
DROP INDEX visit_score_idx;
SELECT again();
\o /dev/null
SELECT v.id, c.name FROM visit v JOIN customer c ON c.id = v.customer WHERE v.score > 100 ORDER BY v.at, v.score DESC NULLS LAST LIMIT 5 OFFSET 5;
\o
SELECT * FROM shown();
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' \gexec
SELECT plan_of('SELECT v.id, c.name FROM visit v JOIN customer c ON c.id = v.customer WHERE v.score > 100 ORDER BY v.at, v.score DESC NULLS LAST LIMIT 5');
DROP INDEX visit_at_score_idx;

-- of what an index finds: the two together, since the first rows in order may be others; or behind a filter of the rows in order
CREATE INDEX by_kind ON visit (kind);
SELECT again();
\o /dev/null
SELECT * FROM visit WHERE kind = 8 ORDER BY at LIMIT 3;
\o
SELECT * FROM shown();
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' \gexec
SELECT plan_of('SELECT * FROM visit WHERE kind = 8 ORDER BY at LIMIT 3');
DROP INDEX visit_kind_at_idx, by_kind;
CREATE INDEX by_at ON visit (at);
SELECT again();
\o /dev/null
SELECT * FROM visit WHERE customer = 7 ORDER BY at LIMIT 10;
\o
SELECT * FROM shown();
DROP INDEX by_at;

-- none: no LIMIT, most rows kept, an expression, columns of two tables, a small table, rows of groups
SELECT again();
\o /dev/null
SELECT id FROM visit ORDER BY at;
SELECT id FROM visit ORDER BY at LIMIT 20000;
SELECT id FROM visit ORDER BY score + 1 LIMIT 5;
SELECT v.id FROM visit v JOIN customer c ON c.id = v.customer ORDER BY v.at, c.name LIMIT 5;
SELECT * FROM customer ORDER BY name LIMIT 5;
SELECT kind, count(*) FROM visit GROUP BY kind ORDER BY kind LIMIT 1;
SELECT * FROM visit ORDER BY id LIMIT 5;
\o
SELECT * FROM shown();

-- partitions: one index on the parent
SELECT again();
CREATE TABLE event (at date, kind int, payload text) PARTITION BY RANGE (at);
CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE event_2 (payload text, kind int, at date);
ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO event SELECT '2020-01-01'::date + g % 700, (g::bigint * 7919 % 40009)::int, 'p' FROM generate_series(1, 20000) g;
ANALYZE event;
\o /dev/null
SELECT * FROM event ORDER BY kind DESC LIMIT 5;
\o
SELECT fix, costs, rest FROM shown();
DROP TABLE event;

-- an index scan whose filter removes most rows: a wider index, which takes the place of the narrower one
CREATE INDEX by_customer ON visit (customer);
SELECT again();
SET hone.advise_filter_rows = 100;
\o /dev/null
SELECT * FROM visit WHERE customer = 7 AND score BETWEEN 100 AND 900;
\o
SELECT * FROM shown();
SELECT evidence->>'then' AS "then" FROM hone.recommendations WHERE kind = 'missing_index';
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' \gexec
SELECT plan_of('SELECT * FROM visit WHERE customer = 7 AND score BETWEEN 100 AND 900');
SELECT * FROM shown();
SELECT count(*) FROM hone.recommendations WHERE kind = 'redundant_index' AND relation = 'visit'::regclass AND fix LIKE '%by_customer%';
DROP INDEX visit_customer_score_idx;
-- two columns compared for equality: the old one's first, though the other is more selective
SELECT again();
\o /dev/null
SELECT note FROM visit WHERE customer = 7 AND score = 22160;
\o
SELECT fix, replaces FROM shown();
-- an index that is unique, has an order of its own or a predicate is not replaced
DROP INDEX by_customer;
CREATE INDEX by_customer ON visit (customer DESC);
SELECT fix, replaces FROM shown();
DROP INDEX by_customer;
-- none: it is there already, the filter removes little, an unique index finds the row, no column in the filter
SELECT again();
CREATE INDEX by_customer ON visit (customer);
CREATE INDEX by_both ON visit (score, customer);
\o /dev/null
SET enable_bitmapscan = off;
SELECT id FROM visit WHERE customer = 7 AND status <> 'lost';
SELECT id FROM visit WHERE customer = 7 AND kind = 1;
SELECT note FROM visit WHERE customer = 7 AND score = 22160;
SELECT id FROM visit WHERE id IN (SELECT 1) AND kind = 3;
SELECT id FROM visit WHERE customer = 7 AND score + 1 = 22161;
SELECT count(note) FROM visit WHERE id < 1000 AND score + kind < 0;
RESET enable_bitmapscan;
\o
SELECT * FROM shown();
DROP INDEX by_both;

-- the inner side of a nested loop: the join's key and the filter
SELECT again();
SET enable_hashjoin = off; SET enable_mergejoin = off;
\o /dev/null
SELECT c.name, v.* FROM customer c JOIN visit v ON v.customer = c.id WHERE c.id < 3 AND v.score < 2000;
\o
SELECT * FROM shown();
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' \gexec
SELECT plan_of('SELECT c.name, v.* FROM customer c JOIN visit v ON v.customer = c.id WHERE c.id < 3 AND v.score < 2000');
DROP INDEX visit_customer_score_idx, by_customer;
RESET hone.advise_filter_rows;
-- a table that is read for each row, and one that is hashed as a whole
SELECT again();
\o /dev/null
SELECT c.name, v.* FROM customer c JOIN visit v ON v.customer = c.id WHERE c.id = 12 OR c.id = 13;
\o
RESET enable_hashjoin; RESET enable_mergejoin;
SELECT * FROM shown();
SELECT again();
\o /dev/null
SELECT c.name, v.* FROM customer c JOIN visit v ON v.customer = c.id WHERE c.name = 'name 7';
\o
SELECT * FROM shown();
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' AND fix LIKE '%(customer)' \gexec
SELECT plan_of('SELECT c.name, v.* FROM customer c JOIN visit v ON v.customer = c.id WHERE c.name = ''name 7''');
DROP INDEX visit_customer_idx;
SELECT again();
\o /dev/null
SELECT c.name, v.at FROM customer c JOIN visit v ON v.customer = c.id AND v.score > 1000 WHERE c.name = 'name 7' AND v.kind = 1;
\o
SELECT * FROM shown();
-- none: most rows have a partner, or too many for an index to be better
SELECT again();
\o /dev/null
SELECT count(v.note) FROM customer c JOIN visit v ON v.customer = c.id WHERE c.id > 100;
SELECT c.name, v.* FROM customer c JOIN visit v ON v.customer = c.id WHERE c.city = 'city 7';
\o
SELECT * FROM shown();

-- rows with one constant, which is the same in all calls
SELECT again();
CREATE FUNCTION seen() RETURNS boolean LANGUAGE sql AS 'SELECT count(*) >= 0 FROM hone.query_samples';
CREATE FUNCTION sampled() RETURNS boolean LANGUAGE sql AS $$
    SELECT bool_and((SELECT count(*) >= 3 FROM hone.query_samples q WHERE q.queryid = r.queryid)) FROM hone.recommendations r WHERE kind = 'missing_index'
$$;
CREATE FUNCTION constants_tried() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(*) FROM hone.recommendations r, jsonb_array_elements(evidence->'tried') t WHERE kind = 'missing_index' AND t->>'kind' ~ 'constant'
$$;
\o /dev/null
SELECT count(*) >= 0 AS renewed FROM hone.query_samples; -- (a session takes few samples on its own account; reading them renews it)
SELECT * FROM visit WHERE status = 'o''pen' AND score > 30000;
SELECT seen();
SELECT * FROM visit WHERE status = 'o''pen' AND score > 31000;
SELECT seen();
\o
SELECT fix FROM shown();
\o /dev/null
SELECT * FROM visit WHERE status = 'o''pen' AND score > 32000;
SELECT seen();
\o
SELECT fix, costs, sampled(), constants_tried() FROM shown();
SELECT summary, evidence->>'note' AS note FROM hone.recommendations WHERE kind = 'missing_index';
-- who may not read the table does not see the constant, and nor does who is told by alerts
CREATE ROLE hone_test_reads;
GRANT USAGE ON SCHEMA advise_reads TO hone_test_reads;
SET ROLE hone_test_reads;
SELECT fix, costs FROM shown();
SELECT count(*) FROM hone.recommendations WHERE concat(summary, fix, evidence) ~ 'pen';
RESET ROLE;
DROP OWNED BY hone_test_reads;
DROP ROLE hone_test_reads;
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' \gexec
SELECT plan_of('SELECT * FROM visit WHERE status = ''o''''pen'' AND score > 30000');
SELECT * FROM shown();
DROP INDEX visit_score_idx;
-- none: another constant once, a bound value, one that many rows have, one of a column with many values
SELECT again();
\o /dev/null
SELECT count(*) >= 0 AS renewed FROM hone.query_samples;
SELECT id, note FROM visit WHERE status = 'o''pen' AND score > 30000;
SELECT seen();
SELECT id, note FROM visit WHERE status = 'o''pen' AND score > 30000;
SELECT seen();
SELECT id, note FROM visit WHERE status = 'lost' AND score > 30000;
SELECT seen();
SELECT count(*) >= 0 AS renewed FROM hone.query_samples;
PREPARE bound(text) AS SELECT id, at FROM visit WHERE status = $1 AND score < 100;
EXECUTE bound('o''pen');
SELECT seen();
EXECUTE bound('o''pen');
SELECT seen();
EXECUTE bound('o''pen');
SELECT seen();
DEALLOCATE bound;
\o
SELECT fix, sampled(), constants_tried() FROM shown();
SELECT again();
\o /dev/null
SELECT count(*) >= 0 AS renewed FROM hone.query_samples;
SELECT id, kind FROM visit WHERE status = 'done' AND score < 100;
SELECT seen();
SELECT id, kind FROM visit WHERE status = 'done' AND score < 100;
SELECT seen();
SELECT id, kind FROM visit WHERE status = 'done' AND score < 100;
SELECT seen();
SELECT count(*) >= 0 AS renewed FROM hone.query_samples;
SELECT id, kind FROM visit WHERE customer = 7 AND score < 3000;
SELECT seen();
SELECT id, kind FROM visit WHERE customer = 7 AND score < 3000;
SELECT seen();
SELECT id, kind FROM visit WHERE customer = 7 AND score < 3000;
SELECT seen();
\o
SELECT fix, sampled(), constants_tried() FROM shown();
-- an enumeration, the constant before the column, an order, a bound value beside it
SELECT again();
CREATE TYPE state AS ENUM ('new', 'done');
CREATE TABLE job AS SELECT g AS id, CASE WHEN g % 50 = 0 THEN 'new' ELSE 'done' END::state AS state, g % 7 AS queue, (g::bigint * 7919 % 20011)::int AS priority FROM generate_series(1, 20000) g;
ANALYZE job;
PREPARE job(int) AS SELECT * FROM job WHERE 'new' = state AND queue = $1 ORDER BY priority DESC LIMIT 3;
\o /dev/null
SELECT count(*) >= 0 AS renewed FROM hone.query_samples;
EXECUTE job(1);
SELECT seen();
EXECUTE job(2);
SELECT seen();
EXECUTE job(3);
SELECT seen();
\o
SELECT fix, costs FROM shown();
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' \gexec
SET plan_cache_mode = force_generic_plan;
SELECT plan_of('EXECUTE job(4)');
RESET plan_cache_mode;
DEALLOCATE job;

-- expressions are tried too
SELECT again();
\o /dev/null
SELECT id FROM customer WHERE lower(name) = 'name 7';
SELECT id FROM visit WHERE date_trunc('day', at AT TIME ZONE 'UTC') = '2024-01-05';
SELECT id FROM visit WHERE upper(status) = 'LOST';
CREATE TABLE doc AS SELECT g AS id, jsonb_build_object('k', g, 's', 'v' || g % 900, 'in', jsonb_build_object('n', g)) AS j FROM generate_series(1, 5000) g;
ANALYZE doc;
SELECT id FROM doc WHERE j->>'s' = 'v7';
SELECT id FROM doc WHERE (j->>'k')::int = 77;
SELECT id FROM doc WHERE lower(j #>> '{in,n}') = '77';
SELECT id FROM doc WHERE j->'k' = '77' AND id % 2 = 1;
\o
SELECT regexp_replace(fix, '.*advise_reads.', '') AS fix, evidence->>'planner_uses_index' AS used, (evidence->>'planner_cost_with_index')::float8 < (evidence->>'planner_cost')::float8 AS costs, (evidence->>'index_bytes')::int > 0 AS bytes
FROM hone.recommendations WHERE kind = 'function_on_column' ORDER BY 1;
SELECT fix FROM hone.recommendations WHERE kind = 'function_on_column' AND fix LIKE '%\_text(j%' OR fix LIKE '%->> ''s''%' \gexec
ANALYZE doc;
SELECT plan_of('SELECT id FROM doc WHERE j->>''s'' = ''v7''');

-- more columns in an order than are kept; an index that names a column twice; branches of a UNION ALL are no partitions
SELECT again();
CREATE TABLE wide AS SELECT g AS a, g % 7 AS b, g % 11 AS c, g % 13 AS d, g % 17 AS e, g % 19 AS f, g % 23 AS g, g % 29 AS h, g % 31 AS i, g % 37 AS j, g % 41 AS k FROM generate_series(1, 5000) g;
CREATE TABLE other AS SELECT * FROM wide;
CREATE INDEX ON wide (a, a);
ANALYZE wide, other;
\o /dev/null
SELECT * FROM wide ORDER BY b, c, d, e, f, g, h, i, j, k, a LIMIT 5;
SELECT * FROM wide WHERE b = 3 AND a + 0 > 0 AND c = 4;
SELECT * FROM wide WHERE a > 0 AND b = 3 AND c = 5 AND a = 38;
SELECT count(*) FROM (SELECT a, b FROM wide UNION ALL SELECT a, b FROM other) u JOIN customer c ON c.id = u.a WHERE c.id = 7;
SELECT * FROM (SELECT * FROM wide UNION ALL SELECT * FROM other) u ORDER BY k DESC LIMIT 3;
\o
SELECT count(*) >= 0 AS read FROM shown();
DROP SCHEMA advise_reads CASCADE;
SELECT hone.reset_recommendations() >= 0 AS reset;
