-- Very many rows for the client at once.
CREATE SCHEMA advise_result;
SET search_path = advise_result, public;
SET client_min_messages = warning;
CREATE TABLE big (id int PRIMARY KEY, day date, v text NOT NULL);
INSERT INTO big SELECT g, '2020-01-01'::date + g % 50, 'v' || g % 10 FROM generate_series(1, 12000) g;
CREATE TABLE keyless (a int);
INSERT INTO keyless SELECT g FROM generate_series(1, 12000) g;
CREATE TABLE copied (LIKE big);
ANALYZE big, keyless;
CREATE FUNCTION results()
RETURNS TABLE (relation regclass, calls bigint, rows int, p50 int, max int, form text, no_fix text, instead boolean)
LANGUAGE sql AS $$
    SELECT relation, calls, (evidence->>'rows')::int, (evidence->>'rows_p50')::int, (evidence->>'rows_max')::int,
           evidence->>'form', evidence->>'no_fix', evidence ? 'instead'
    FROM hone.recommendations WHERE kind = 'unbounded_result' ORDER BY 1, 3
$$;
SELECT hone.reset_recommendations() >= 0 AS reset;

-- silent: fewer rows, a LIMIT, no table, what goes nowhere or elsewhere, cursors, functions
CREATE FUNCTION nested() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r record;
    n bigint := 0;
BEGIN
    FOR r IN SELECT * FROM big LOOP
        n := n + 1;
    END LOOP;
    RETURN n;
END
$$;
PREPARE all_big AS SELECT id FROM big WHERE id > 0;
SHOW hone.advise_result_rows;
\o /dev/null
\set ECHO none
SELECT id FROM big WHERE id <= 9999;
SELECT id FROM big LIMIT 11000;
SELECT count(*), sum(id) FROM big;
SELECT g FROM generate_series(1, 20000) g;
SELECT a.attname FROM pg_catalog.pg_attribute a, generate_series(1, 10);
INSERT INTO copied SELECT * FROM big;
CREATE TABLE made AS SELECT * FROM big;
CREATE TABLE made_too AS EXECUTE all_big;
CREATE MATERIALIZED VIEW kept AS SELECT * FROM big;
SELECT id INTO into_table FROM big;
EXPLAIN ANALYZE SELECT * FROM big;
EXPLAIN ANALYZE EXECUTE all_big;
COPY big TO STDOUT;
COPY (SELECT * FROM big ORDER BY id) TO STDOUT;
SELECT nested();
SET hone.track = 'all';
SELECT nested();
RESET hone.track;
UPDATE copied SET v = '' RETURNING *;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM big;
FETCH ALL FROM c;
DECLARE h CURSOR WITH HOLD FOR SELECT id FROM big;
COMMIT;
FETCH ALL FROM h;
CLOSE h;
\set ECHO all
\o
SELECT * FROM results();

-- a key to go on from; the order of the query; through EXECUTE
\o /dev/null
\set ECHO none
SELECT id, v FROM big;
SELECT id, v FROM big;
SELECT v FROM big WHERE v <> 'v3' ORDER BY day DESC;
EXECUTE all_big;
\set ECHO all
\o
SELECT * FROM results();
SELECT summary, fix, evidence->'parameters' AS parameters, evidence->>'first_page' AS first_page, saving_ms < cost_ms AS saves_part
FROM hone.recommendations WHERE kind = 'unbounded_result' AND calls = 2;
SELECT fix FROM hone.recommendations WHERE kind = 'unbounded_result' AND fix ~ 'DESC';
-- rows of all pages
SELECT fix AS next, evidence->>'first_page' AS first FROM hone.recommendations WHERE kind = 'unbounded_result' AND calls = 2 \gset
PREPARE next AS :next;
CREATE FUNCTION walk(first text) RETURNS SETOF int LANGUAGE plpgsql AS $$
DECLARE
    statement text := first;
    r record;
    n int;
BEGIN
    LOOP
        n := 0;
        FOR r IN EXECUTE statement LOOP
            n := n + 1;
            RETURN NEXT r.id;
        END LOOP;
        EXIT WHEN n = 0;
        statement := format('EXECUTE next(%s)', r.id);
    END LOOP;
END
$$;
SELECT count(*), count(DISTINCT id), max(id) FROM walk(:'first') AS id;
DEALLOCATE ALL;

-- none: a cursor is left
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT a FROM keyless;
SELECT id, count(*) FROM big GROUP BY id;
\set ECHO all
\o
SELECT * FROM results();
SELECT DISTINCT evidence->>'instead' AS instead FROM hone.recommendations WHERE kind = 'unbounded_result';
-- what counts as many is a setting
SELECT hone.reset_recommendations() > 0 AS reset;
SET hone.advise_result_rows = 500;
\o /dev/null
\set ECHO none
SELECT id FROM big WHERE id <= 500;
\set ECHO all
\o
RESET hone.advise_result_rows;
SELECT * FROM results();

SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_result CASCADE;
