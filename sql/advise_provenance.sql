-- Keys of a loop looked up in the rows of the query before it.
CREATE SCHEMA advise_origin;
SET search_path = advise_origin, public;
SET client_min_messages = warning;
CREATE TYPE colour AS ENUM ('red', 'green', 'blue', 'white', 'black', 'grey', 'pink');
CREATE DOMAIN code AS text CHECK (VALUE <> '');
CREATE TABLE author (id bigint PRIMARY KEY, name text, country int, born date, uid uuid, at timestamptz, weight numeric, likes colour, code code, real float8);
INSERT INTO author SELECT g * 7919, 'author o''' || g, g % 10 * 101 + 5000, date '2000-01-01' + g * 3, md5(g::text)::uuid,
    timestamptz '2020-01-01 00:00Z' + g * interval '7 s', g * 1.5, (enum_range(NULL::colour))[1 + g % 7], 'c-' || g, g * 0.25
FROM generate_series(1, 60) g;
CREATE TABLE book (id bigint PRIMARY KEY, author_id bigint, line int, title text);
INSERT INTO book SELECT g, (g * 31 % 60 + 1) * 7919, g * 17, 'title ' || g FROM generate_series(1, 300) g;
CREATE INDEX ON book (author_id);
CREATE TABLE country (id int PRIMARY KEY, name text);
INSERT INTO country SELECT g * 101 + 5000, 'country ' || g FROM generate_series(0, 9) g;
ANALYZE author, book, country;

CREATE FUNCTION origins() RETURNS TABLE (relation text, confirmed text, parent text, columns text, bursts int, confirmed_bursts int, calls int)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT replace(relation::text, 'advise_origin.', ''), evidence->>'confirmed',
           substring(evidence->'parent'->>'query' FROM 'FROM (\w+)'),
           (SELECT string_agg(k->>'parent_column', ', ') FROM jsonb_array_elements(evidence->'keys') AS k),
           (evidence->>'bursts')::int, (evidence->>'bursts_confirmed')::int, (evidence->>'calls_per_burst')::int
    FROM hone.recommendations WHERE kind = 'n_plus_one' ORDER BY 1, 2, 3, 4
$$;
SELECT hone.reset_recommendations() >= 0 AS reset;

-- constants: suspected the first time, confirmed the second
\set parent 'SELECT id, author_id, title FROM book ORDER BY id LIMIT 30;'
\o /dev/null
\set ECHO none
BEGIN;
:parent
SELECT format('SELECT name FROM author WHERE id = %s', (g * 31 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
\o /dev/null
\set ECHO none
BEGIN;
:parent
SELECT format('SELECT name FROM author WHERE id = %s', (g * 31 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT summary, fix, evidence->>'join' AS join FROM hone.recommendations WHERE kind = 'n_plus_one';
SELECT (evidence->>'lost_ms_per_burst')::float8 > 0 AND (evidence->>'lost_ms_per_hour')::float8 >= (evidence->>'lost_ms_per_burst')::float8 AS lost
FROM hone.recommendations WHERE kind = 'n_plus_one';
-- both give what the loop gave
CREATE TABLE looped AS SELECT b.id, a.name FROM (SELECT id, author_id, title FROM book ORDER BY id LIMIT 30) b JOIN author a ON a.id = b.author_id;
SELECT 'PREPARE any_fix AS ' || fix AS any_fix, 'PREPARE join_fix AS SELECT id, name FROM (' || (evidence->>'join') || ') AS j' AS join_fix
FROM hone.recommendations WHERE kind = 'n_plus_one' \gset
:any_fix;
:join_fix;
CREATE TEMP TABLE joined AS EXECUTE join_fix;
(TABLE joined EXCEPT ALL TABLE looped) UNION ALL (TABLE looped EXCEPT ALL TABLE joined);
SELECT array_agg(author_id) AS ids FROM (SELECT author_id FROM book ORDER BY id LIMIT 30) b \gset
CREATE TEMP TABLE anyed AS EXECUTE any_fix(:'ids');
SELECT count(*) AS wrong FROM looped l WHERE NOT EXISTS (SELECT FROM anyed WHERE anyed.name = l.name);
DEALLOCATE any_fix;
DEALLOCATE join_fix;
SELECT hone.reset_recommendations() > 0 AS reset;

-- bound values of many types, of other types than the parent's
PREPARE by_id(int) AS SELECT 1 FROM author WHERE id = $1;
PREPARE by_name(varchar) AS SELECT 1 FROM author WHERE name = $1;
PREPARE by_born(date) AS SELECT 1 FROM author WHERE born = $1;
PREPARE by_uid(uuid) AS SELECT 1 FROM author WHERE uid = $1;
PREPARE by_at(timestamptz) AS SELECT 1 FROM author WHERE at = $1;
PREPARE by_weight(numeric) AS SELECT 1 FROM author WHERE weight = $1;
PREPARE by_code(code) AS SELECT 1 FROM author WHERE code = $1;
PREPARE by_real(float8) AS SELECT 1 FROM author WHERE "real" = $1;
CREATE TABLE kept AS SELECT row_number() OVER (ORDER BY id) AS n, * FROM author ORDER BY id LIMIT 12;
SELECT hone.reset_recommendations() >= 0 AS reset;
\o /dev/null
\set ECHO none
\set wide 'SELECT id, name, born, uid, at, weight, code, real FROM author ORDER BY id LIMIT 12;'
BEGIN;
:wide
SELECT format('EXECUTE by_id(%s)', n * 7919) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('EXECUTE by_id(%s)', n * 7919) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('EXECUTE by_name(''author o''''%s'')', n) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('EXECUTE by_born(date ''2000-01-01'' + %s)', n * 3) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('EXECUTE by_uid(%L)', md5(n::text)) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('EXECUTE by_at(timestamptz ''2020-01-01 00:00Z'' + %s * interval ''7 s'')', n) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('EXECUTE by_weight(%s)', n * 1.5) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('EXECUTE by_code(''c-%s'')', n) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('EXECUTE by_real(%s)', n * 0.25) FROM generate_series(1, 12) n \gexec
COMMIT;
\set ECHO all
\o
SELECT confirmed, columns FROM origins() ORDER BY columns COLLATE "C";
DEALLOCATE ALL;
SELECT hone.reset_recommendations() > 0 AS reset;

-- constants of several types
\o /dev/null
\set ECHO none
BEGIN;
:wide
SELECT format('SELECT 2 FROM author WHERE name = %L', 'author o''' || n) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('SELECT 2 FROM author WHERE name = %L', 'author o''' || n) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('SELECT 2 FROM author WHERE uid = ''%s''', md5(n::text)::uuid) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('SELECT 2 FROM author WHERE id = ''%s''', n * 7919) FROM generate_series(1, 12) n \gexec
COMMIT;
BEGIN;
:wide
SELECT format('SELECT 2 FROM author WHERE weight = %s', n * 1.50) FROM generate_series(1, 12) n \gexec
COMMIT;
\set ECHO all
\o
SELECT confirmed, columns FROM origins() ORDER BY columns COLLATE "C";
SELECT hone.reset_recommendations() > 0 AS reset;

-- composite keys, each column of which repeats
CREATE TABLE stock (shop int, item text, n int, PRIMARY KEY (shop, item));
INSERT INTO stock SELECT 100 * s, 'item ' || i, s + i FROM generate_series(1, 6) s, generate_series(1, 6) i;
\o /dev/null
\set ECHO none
BEGIN;
SELECT shop, item FROM stock ORDER BY shop, item;
SELECT format('SELECT n FROM stock WHERE shop = %s AND item = ''item %s''', 100 * s, i) FROM generate_series(1, 6) s, generate_series(1, 6) i \gexec
COMMIT;
BEGIN;
SELECT shop, item FROM stock ORDER BY shop, item;
SELECT format('SELECT n FROM stock WHERE shop = %s AND item = ''item %s''', 100 * s, i) FROM generate_series(1, 6) s, generate_series(1, 6) i \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT fix, evidence->>'join' AS join FROM hone.recommendations WHERE kind = 'n_plus_one';
SELECT hone.reset_recommendations() > 0 AS reset;

-- the same key several times, as without an identity map: found once confirmed
\o /dev/null
\set ECHO none
BEGIN;
SELECT name, country FROM author ORDER BY id LIMIT 40;
SELECT format('SELECT name FROM country WHERE id = %s', g % 10 * 101 + 5000) FROM generate_series(1, 40) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
\o /dev/null
\set ECHO none
BEGIN;
SELECT name, country FROM author ORDER BY id LIMIT 40;
SELECT format('SELECT name FROM country WHERE id = %s', g % 10 * 101 + 5000) FROM generate_series(1, 40) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT hone.reset_recommendations() > 0 AS reset;

-- one finding per edge of a chain
CREATE FUNCTION chain(n int) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT x FROM generate_series(1, n) g, LATERAL (VALUES (1, format('SELECT id, country FROM author WHERE id = %s', (g * 31 % 60 + 1) * 7919)),
        (2, format('SELECT name FROM country WHERE id = %s', (g * 31 % 60 + 1) % 10 * 101 + 5000))) AS v(o, x) ORDER BY g, o
$$;
\o /dev/null
\set ECHO none
BEGIN;
SELECT id, author_id FROM book ORDER BY id LIMIT 30;
SELECT chain(30) \gexec
COMMIT;
BEGIN;
SELECT id, author_id FROM book ORDER BY id LIMIT 30;
SELECT chain(30) \gexec
COMMIT;
BEGIN;
SELECT id, author_id FROM book ORDER BY id LIMIT 30;
SELECT chain(30) \gexec
COMMIT;
\set ECHO all
\o
SELECT relation, confirmed, parent, columns FROM origins();
SELECT hone.reset_recommendations() > 0 AS reset;

-- keys from elsewhere: no more than suspected, then not at all
\o /dev/null
\set ECHO none
BEGIN;
SELECT line, title FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT name FROM author WHERE id = %s', g * 7919) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
\o /dev/null
\set ECHO none
BEGIN;
SELECT line, title FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT name FROM author WHERE id = %s', g * 7919) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT hone.reset_recommendations() > 0 AS reset;

-- small integers coincide by chance: in no order they confirm nothing
\o /dev/null
\set ECHO none
BEGIN;
SELECT id FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT name FROM author WHERE id = %s', g * 7 % 30 + 1) FROM generate_series(1, 30) g \gexec
COMMIT;
BEGIN;
SELECT id FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT name FROM author WHERE id = %s', g * 7 % 30 + 1) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT hone.reset_recommendations() > 0 AS reset;

-- a cursor fetched in parts, its rows looped over between the fetches
CREATE FUNCTION fetched() RETURNS SETOF text LANGUAGE sql AS $$
    SELECT x FROM generate_series(0, 29) g, LATERAL (VALUES (1, CASE WHEN g % 5 = 0 THEN 'FETCH 5 FROM c' ELSE 'SHOW port' END),
        (2, format('SELECT name FROM author WHERE id = %s', ((g + 1) * 31 % 60 + 1) * 7919))) AS v(o, x) ORDER BY g, o
$$;
\o /dev/null
\set ECHO none
BEGIN;
DECLARE c CURSOR FOR SELECT author_id, title FROM book ORDER BY id LIMIT 30;
SELECT fetched() \gexec
CLOSE c;
COMMIT;
BEGIN;
DECLARE c CURSOR FOR SELECT author_id, title FROM book ORDER BY id LIMIT 30;
SELECT fetched() \gexec
CLOSE c;
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT hone.reset_recommendations() > 0 AS reset;

-- a loop of a function is told with its line
CREATE FUNCTION report() RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    b record;
    n text;
    i int := 0;
BEGIN
    FOR b IN SELECT author_id FROM book ORDER BY id LIMIT 25 LOOP
        SELECT name INTO n FROM author WHERE id = b.author_id;
        i := i + 1;
    END LOOP;
    RETURN i;
END
$$;
SET hone.track = 'all';
SELECT report();
SELECT report();
RESET hone.track;
SELECT relation, confirmed, columns, calls FROM origins();
SELECT evidence->>'function' AS function, fix FROM hone.recommendations WHERE kind = 'n_plus_one';
SELECT hone.reset_recommendations() > 0 AS reset;

-- outside a transaction block: only what is confirmed, in the rows' order
SET hone.n_plus_one_gap = '1h';
\o /dev/null
\set ECHO none
:parent
SELECT format('SELECT name FROM author WHERE id = %s', (g * 31 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
DISCARD PLANS;
DISCARD ALL;
SET search_path = advise_origin, public;
SET hone.n_plus_one_gap = '1h';
\set ECHO all
\o
SELECT * FROM origins();
\o /dev/null
\set ECHO none
:parent
SELECT format('SELECT name FROM author WHERE id = %s', (g * 37 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
DISCARD ALL;
SET search_path = advise_origin, public;
SET hone.n_plus_one_gap = '1h';
\set ECHO all
\o
SELECT * FROM origins();
\o /dev/null
\set ECHO none
:parent
SELECT format('SELECT name FROM author WHERE id = %s', (g * 31 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
DISCARD ALL;
SET search_path = advise_origin, public;
\set ECHO all
\o
SELECT * FROM origins();

SELECT hone.reset_recommendations() > 0 AS reset;

-- a cursor of the client that a function fetches from, within a running parent
CREATE FUNCTION fetching(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE r record;
BEGIN
    EXECUTE format('MOVE FORWARD 3 FROM c%s', n % 5 + 1);
    FOR r IN EXECUTE format('FETCH 2 FROM c%s', n % 5 + 1) LOOP NULL; END LOOP;
    RETURN n;
END $$;
CREATE TABLE many (id int PRIMARY KEY, a int, b int, c int, d int, e int);
INSERT INTO many SELECT g, g * 1009, g * 1013, g * 1019, g * 1021, g * 1031 FROM generate_series(1, 40) g;
\o /dev/null
\set ECHO none
SELECT x FROM (VALUES ('a', 1009), ('b', 1013), ('c', 1019), ('d', 1021), ('e', 1031), ('id', 1)) AS v(c, k),
    LATERAL (SELECT 0 AS o, 'BEGIN' AS x UNION ALL SELECT 1, format('SELECT %s FROM many ORDER BY id', c) UNION ALL
             SELECT g + 1, format('SELECT name FROM author WHERE id = %s', g * k) FROM generate_series(1, 40) g UNION ALL SELECT 99, 'COMMIT') AS w
ORDER BY c, o \gexec
BEGIN;
DECLARE c1 SCROLL CURSOR FOR SELECT a FROM many ORDER BY id;
DECLARE c2 SCROLL CURSOR FOR SELECT b FROM many ORDER BY id;
DECLARE c3 SCROLL CURSOR FOR SELECT c FROM many ORDER BY id;
DECLARE c4 SCROLL CURSOR FOR SELECT d FROM many ORDER BY id;
DECLARE c5 SCROLL CURSOR FOR SELECT e FROM many ORDER BY id;
SELECT id, fetching(id) FROM many ORDER BY id;
SELECT format('SELECT name FROM author WHERE id = %s', g) FROM generate_series(1, 40) g \gexec
COMMIT;
\set ECHO all
\o
BEGIN;
DECLARE c1 SCROLL CURSOR FOR SELECT a FROM many ORDER BY id;
DECLARE c2 SCROLL CURSOR FOR SELECT b FROM many ORDER BY id;
DECLARE c3 SCROLL CURSOR FOR SELECT c FROM many ORDER BY id;
DECLARE c4 SCROLL CURSOR FOR SELECT d FROM many ORDER BY id;
DECLARE c5 SCROLL CURSOR FOR SELECT e FROM many ORDER BY id;
\o /dev/null
SELECT id, fetching(id) FROM many ORDER BY id;
\o
\echo rows: :ROW_COUNT
FETCH 1 FROM c1;
COMMIT;
SELECT hone.reset_recommendations() > 0 AS reset;

-- keys that cannot be found for what they are, refute nothing
CREATE TABLE tagged (id uuid PRIMARY KEY, tags int[], day date);
INSERT INTO tagged SELECT md5(g::text)::uuid, ARRAY[g * 7919], date '2000-01-01' + g * 3 FROM generate_series(1, 40) g;
\o /dev/null
\set ECHO none
BEGIN;
SELECT id, tags FROM tagged ORDER BY day;
SELECT format('SELECT name FROM author WHERE id = %s', g * 7919) FROM generate_series(1, 40) g \gexec
COMMIT;
BEGIN;
SELECT id, tags FROM tagged ORDER BY day;
SELECT format('SELECT name FROM author WHERE id = %s', g * 7919) FROM generate_series(1, 40) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
BEGIN;
SELECT day FROM tagged ORDER BY day;
SELECT format('SELECT name FROM author WHERE born = ''%s''', date '2000-01-01' + g * 3) FROM generate_series(1, 40) g \gexec
COMMIT;
BEGIN;
SELECT day FROM tagged ORDER BY day;
SELECT format('SELECT name FROM author WHERE born = ''%s''', date '2000-01-01' + g * 3) FROM generate_series(1, 40) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT hone.reset_recommendations() > 0 AS reset;

-- numbers that are no integers, in no order: by chance
CREATE TABLE item (id uuid, qty numeric);
INSERT INTO item SELECT md5(g::text)::uuid, g FROM generate_series(0, 14) g;
\o /dev/null
\set ECHO none
BEGIN;
SELECT qty FROM item ORDER BY id;
SELECT format('SELECT name FROM author WHERE id = %s', g * 5 % 13) FROM generate_series(1, 12) g \gexec
COMMIT;
BEGIN;
SELECT qty FROM item ORDER BY id;
SELECT format('SELECT name FROM author WHERE id = %s', g * 5 % 13) FROM generate_series(1, 12) g \gexec
COMMIT;
\set ECHO all
\o
SELECT * FROM origins();
SELECT hone.reset_recommendations() > 0 AS reset;

-- what others may see of a confirmed loop
\o /dev/null
\set ECHO none
BEGIN;
SELECT author_id + 0 AS "secret alias" FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT overlay(name placing ''secret token'' from 2) FROM author WHERE id = %s', (g * 31 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
COMMIT;
BEGIN;
SELECT author_id + 0 AS "secret alias" FROM book ORDER BY id LIMIT 30;
SELECT format('SELECT overlay(name placing ''secret token'' from 2) FROM author WHERE id = %s', (g * 31 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT confirmed, columns FROM origins();
CREATE ROLE hone_test_stranger;
SET ROLE hone_test_stranger;
SELECT kind, evidence->>'confirmed' AS confirmed, concat(summary, fix, evidence) ~ 'secret' AS secrets, fix IS NULL AND NOT evidence ? 'join' AS no_sql
FROM hone.recommendations WHERE kind = 'n_plus_one';
RESET ROLE;
DROP ROLE hone_test_stranger;
SELECT hone.reset_recommendations() > 0 AS reset;

-- names that come twice: no join, but the fix; bursts in autocommit, each begun by the parent
\o /dev/null
\set ECHO none
BEGIN;
SELECT b.id, a.id FROM book b JOIN author a ON a.id = b.author_id ORDER BY b.id LIMIT 30;
SELECT format('SELECT name FROM author WHERE id = %s AND born < ''2030-01-01''', (g * 31 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
COMMIT;
BEGIN;
SELECT b.id, a.id FROM book b JOIN author a ON a.id = b.author_id ORDER BY b.id LIMIT 30;
SELECT format('SELECT name FROM author WHERE id = %s AND born < ''2030-01-01''', (g * 31 % 60 + 1) * 7919) FROM generate_series(1, 30) g \gexec
COMMIT;
\set ECHO all
\o
SELECT evidence->'keys' AS keys, fix IS NOT NULL AS fix, evidence ? 'join' AS joined FROM hone.recommendations WHERE kind = 'n_plus_one';
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
BEGIN;
SELECT id FROM author ORDER BY id;
SELECT format('SELECT title FROM book WHERE author_id = %s', g * 7919) FROM generate_series(1, 60) g \gexec
COMMIT;
SELECT x FROM generate_series(1, 30) r, LATERAL (SELECT 0 AS o, 'SELECT id FROM author ORDER BY id' AS x UNION ALL
    SELECT g, format('SELECT title FROM book WHERE author_id = %s', g * 7919) FROM generate_series(1, 60) g) AS v ORDER BY r, o \gexec
SET search_path = advise_origin, public;
\set ECHO all
\o
SELECT relation, confirmed, bursts >= 30 AS all_seen, confirmed_bursts >= 29 AS all_confirmed, calls FROM origins();

SELECT hone.reset_recommendations() > 0 AS reset;
SET client_min_messages = warning;
DROP SCHEMA advise_origin CASCADE;
