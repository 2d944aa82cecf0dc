-- Repetition that is no N+1 loop: nothing is reported.
CREATE SCHEMA advise_calm;
SET search_path = advise_calm, public;
SET client_min_messages = warning;
CREATE TABLE author (id bigint PRIMARY KEY, name text UNIQUE);
CREATE TABLE book (id bigint PRIMARY KEY, author_id bigint REFERENCES author);
INSERT INTO author SELECT g, 'author ' || g FROM generate_series(1, 200) g;
INSERT INTO book SELECT g, g % 200 + 1 FROM generate_series(1, 2000) g;
ANALYZE author, book;
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE FUNCTION loops() RETURNS bigint LANGUAGE sql SET search_path = pg_catalog, pg_temp AS
$$ SELECT count(*) FROM hone.recommendations WHERE kind = 'n_plus_one' $$;

\o /dev/null
\set ECHO none
-- the same key over and over
BEGIN;
SELECT author_id FROM book ORDER BY id LIMIT 30;
SELECT 'SELECT name FROM author WHERE id = 7' FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT loops() AS same_key;

\o /dev/null
\set ECHO none
-- no query before it that returned rows to loop over
BEGIN;
SELECT format('SELECT name FROM author WHERE id = %s', g) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT loops() AS no_parent;

\o /dev/null
\set ECHO none
-- a look before each insert
BEGIN;
SELECT author_id FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT 1 FROM author WHERE id = %s', g), format('INSERT INTO author VALUES (%s, %L)', g, 'new ' || g)
FROM generate_series(1001, 1030) g \gexec
COMMIT;
\set ECHO all
\o
SELECT loops() AS look_before_insert;

\o /dev/null
\set ECHO none
-- inserts with foreign keys to check
BEGIN;
SELECT author_id FROM book ORDER BY id LIMIT 30;
SET LOCAL hone.track = 'all';
SELECT format('INSERT INTO book VALUES (%s, %s)', g, g - 4900) FROM generate_series(5001, 5030) g \gexec
COMMIT;
\set ECHO all
\o
SELECT loops() AS foreign_key_checks;

\o /dev/null
\set ECHO none
-- eager loading
BEGIN;
SELECT author_id FROM book ORDER BY id LIMIT 30;
SELECT name FROM author WHERE id = ANY (ARRAY(SELECT author_id FROM book ORDER BY id LIMIT 30));
SELECT name FROM author WHERE id IN (1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
SELECT a.name FROM book JOIN author a ON a.id = author_id LIMIT 30;
COMMIT;
\set ECHO all
\o
SELECT loops() AS eager;

\o /dev/null
\set ECHO none
-- a few of many rows looked at, as a person does
BEGIN;
SELECT author_id FROM book ORDER BY id;
SELECT format('SELECT name FROM author WHERE id = %s', g) FROM generate_series(1, 8) g \gexec
COMMIT;
\set ECHO all
\o
SELECT loops() AS drill_down;

\o /dev/null
\set ECHO none
-- the catalogs
BEGIN;
SELECT oid FROM pg_class ORDER BY oid LIMIT 30;
SELECT format('SELECT relname FROM pg_class WHERE oid = %s', oid) FROM pg_class ORDER BY oid LIMIT 30 \gexec
COMMIT;
\set ECHO all
\o
SELECT loops() AS catalogs;

\o /dev/null
\set ECHO none
-- keyset pages: the value that changes is no key
BEGIN;
SELECT author_id FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT id FROM author WHERE id > %s ORDER BY id LIMIT 1', g) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT loops() AS keyset;

\o /dev/null
\set ECHO none
-- a new transaction, another role, DISCARD: not one loop
BEGIN;
SELECT author_id FROM book ORDER BY id LIMIT 8;
COMMIT;
SELECT format('BEGIN; SELECT name FROM author WHERE id = %s; COMMIT', g) FROM generate_series(1, 8) g \gexec
SELECT author_id FROM book ORDER BY id LIMIT 8;
DISCARD PLANS;
SELECT format('SELECT name FROM author WHERE id = %s', g) FROM generate_series(1, 8) g \gexec
\set ECHO all
\o
SELECT loops() AS boundaries;

DROP SCHEMA advise_calm CASCADE;
