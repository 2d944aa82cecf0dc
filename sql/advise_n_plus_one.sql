-- A query repeated with other keys after a query that returned as many rows.
CREATE SCHEMA advise_loop;
SET search_path = advise_loop, public;
SET client_min_messages = warning;
CREATE TABLE author (id bigint PRIMARY KEY, name text);
CREATE TABLE book (id bigint PRIMARY KEY, author_id bigint, title varchar(40));
CREATE INDEX ON book (author_id);
INSERT INTO author SELECT g, 'author ' || g FROM generate_series(1, 200) g;
INSERT INTO book SELECT g, g % 200 + 1, 'title ' || g FROM generate_series(1, 2000) g;
ANALYZE author, book;
SELECT hone.reset_recommendations() >= 0 AS reset;

-- what is seen of one table
CREATE FUNCTION seen(rel regclass)
RETURNS TABLE (kind text, calls bigint, parent_rows int, bursts int, per_burst_max int)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT kind, calls, (evidence->>'parent_rows')::int, (evidence->>'bursts')::int,
           (evidence->>'calls_per_burst_max')::int
    FROM hone.recommendations WHERE relation = rel AND kind = 'n_plus_one'
$$;

-- constants, in a transaction block
SET application_name = 'advise test';
BEGIN;
\o /dev/null
\set ECHO none
SELECT author_id, title FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT name FROM author WHERE id = %s /*controller=''authors'',action=''list''*/', g)
FROM generate_series(101, 130) g \gexec
\set ECHO all
\o
COMMIT;
RESET application_name;
SELECT * FROM seen('author');
SELECT evidence->'parent'->>'query' AS parent, evidence->'child'->>'query' LIKE 'SELECT name FROM author WHERE id = 1%' AS child,
       evidence->'child'->>'application_name' AS application, evidence->'child'->'tags' AS tags,
       evidence->>'confirmed' AS confirmed,
       cost_ms > 0 AND saving_ms > 0 AND saving_ms <= cost_ms AS costs,
       abs((evidence->>'child_ms')::float8 + (evidence->>'gap_ms')::float8 - cost_ms) < 0.01 AS sums,
       status, severity, summary
FROM hone.recommendations WHERE relation = 'author'::regclass;
SELECT fix FROM hone.recommendations WHERE relation = 'author'::regclass;

-- the same again is the same recommendation, with more evidence
SELECT id FROM hone.recommendations WHERE relation = 'author'::regclass \gset before_
BEGIN;
\o /dev/null
\set ECHO none
SELECT author_id, title FROM book ORDER BY id LIMIT 40;
SELECT format('SELECT name FROM author WHERE id = %s', g) FROM generate_series(1, 40) g \gexec
\set ECHO all
\o
COMMIT;
SELECT * FROM seen('author');
SELECT count(*), bool_and(id = :before_id) AS same_id FROM hone.recommendations WHERE relation = 'author'::regclass;

-- bound values; a child that aggregates
SELECT hone.reset_recommendations() > 0 AS reset;
PREPARE titles(bigint) AS SELECT count(*), max(title) FROM book WHERE author_id = $1;
SET plan_cache_mode = force_generic_plan;
BEGIN;
\o /dev/null
\set ECHO none
SELECT id FROM author ORDER BY id LIMIT 20;
SELECT format('EXECUTE titles(%s)', g) FROM generate_series(1, 20) g \gexec
\set ECHO all
\o
COMMIT;
RESET plan_cache_mode;
DEALLOCATE titles;
SELECT * FROM seen('book');
SELECT fix FROM hone.recommendations WHERE relation = 'book'::regclass;

-- text keys, a tenant that stays the same, the key on the left
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE TABLE tenant_book (tenant int NOT NULL, isbn varchar(20) NOT NULL, title text, PRIMARY KEY (tenant, isbn));
INSERT INTO tenant_book SELECT 7, 'isbn-' || g, 'title ' || g FROM generate_series(1, 100) g;
BEGIN;
\o /dev/null
\set ECHO none
SELECT id FROM author ORDER BY id LIMIT 20;
SELECT format('SELECT t.title FROM tenant_book AS t WHERE t.tenant = 7 AND %L = t.isbn', 'isbn-' || g)
FROM generate_series(1, 20) g \gexec
\set ECHO all
\o
COMMIT;
SELECT * FROM seen('tenant_book');
SELECT fix FROM hone.recommendations WHERE relation = 'tenant_book'::regclass;

-- a loop inside a function, seen with hone.track = all
SELECT hone.reset_recommendations() > 0 AS reset;
SET hone.track = 'all';
DO $$
DECLARE
    b record;
    n text;
BEGIN
    FOR b IN SELECT author_id FROM book ORDER BY id LIMIT 25 LOOP
        SELECT name INTO n FROM author WHERE id = b.author_id;
    END LOOP;
END
$$;
RESET hone.track;
SELECT * FROM seen('author');
SELECT fix FROM hone.recommendations WHERE relation = 'author'::regclass;

SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_loop CASCADE;
