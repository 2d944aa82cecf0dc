-- One keyset page of any SELECT.
CREATE ROLE hone_pg;
CREATE SCHEMA pg;
GRANT USAGE ON SCHEMA pg TO hone_pg;
SET search_path = pg;
SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS icu \gset
SET client_min_messages = warning;
\if :icu
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
\else
CREATE COLLATION nocase FROM "C";
\endif
RESET client_min_messages;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TABLE maker (id int PRIMARY KEY, name text NOT NULL);
INSERT INTO maker SELECT i, 'maker ' || i % 5 FROM generate_series(1, 20) i;
CREATE TABLE item (id int PRIMARY KEY, maker int REFERENCES maker, a int, b text, c int NOT NULL, at timestamptz, f float8, m mood, ic text COLLATE nocase, l int[]);
INSERT INTO item SELECT i, NULLIF(i % 21, 0), CASE WHEN i % 7 = 0 THEN NULL ELSE i % 20 END, CASE WHEN i % 5 = 0 THEN NULL ELSE chr(97 + i % 9) || chr(65 + i % 4) END, i % 3,
    CASE WHEN i % 11 > 0 THEN timestamptz '2024-01-01 00:00Z' + i % 40 * interval '1.000001 second' END,
    CASE i % 13 WHEN 0 THEN 'NaN' WHEN 1 THEN 'Infinity' WHEN 2 THEN NULL WHEN 3 THEN 0.1 ELSE (i % 10) / 3.0 END,
    (ARRAY['sad', 'ok', 'happy', NULL])[1 + i % 4]::mood, (ARRAY['a', 'A', 'b', 'B', NULL])[1 + i % 5], ARRAY[i % 3, NULL, i % 2]
FROM generate_series(1, 300) i;

SELECT rows, has_next, has_previous, total_order, added FROM hone.page('SELECT id, a FROM item', 'a DESC NULLS LAST', size => 2);
SELECT next AS cursor FROM hone.page('SELECT id, a FROM item', 'a DESC NULLS LAST', size => 2) \gset
SELECT rows, has_next, has_previous FROM hone.page('SELECT id, a FROM item', 'a DESC NULLS LAST', :'cursor', 2);
SELECT previous AS back FROM hone.page('SELECT id, a FROM item', 'a DESC NULLS LAST', :'cursor', 2) \gset
SELECT rows, has_next, has_previous FROM hone.page('SELECT id, a FROM item', 'a DESC NULLS LAST', size => 2, before => :'back');
SELECT rows, has_next, has_previous FROM hone.page('SELECT id, a FROM item', 'a DESC NULLS LAST', size => 2, before => '');

-- Every page, forward and backward, is the whole result in its order.
CREATE FUNCTION walk(query text, order_by text, size int, backward bool, params jsonb DEFAULT NULL) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    page record;
    rows jsonb = '[]';
    cursor text = CASE WHEN backward THEN '' END;
BEGIN
    FOR i IN 1 .. 1000 LOOP
        IF backward THEN
            SELECT * INTO page FROM hone.page(query, order_by, NULL, size, cursor, params);
            rows = page.rows || rows;
            EXIT WHEN NOT page.has_previous;
            cursor = page.previous;
        ELSE
            SELECT * INTO page FROM hone.page(query, order_by, cursor, size, NULL, params);
            rows = rows || page.rows;
            EXIT WHEN NOT page.has_next;
            cursor = page.next;
        END IF;
    END LOOP;
    RETURN rows;
END $$;
CREATE FUNCTION whole(query text, total text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE rows jsonb;
BEGIN
    EXECUTE format('SELECT jsonb_agg(to_jsonb(q)) FROM (SELECT * FROM (%s) w ORDER BY %s) q', query, total) INTO rows;
    RETURN rows;
END $$;
CREATE FUNCTION check_walk(query text, order_by text, size int, OUT total_order text, OUT added text[], OUT forward bool, OUT backward bool) LANGUAGE plpgsql AS $$
DECLARE expected jsonb;
BEGIN
    SELECT p.total_order, p.added INTO total_order, added FROM hone.page(query, order_by, size => 1) p;
    expected = whole(query, total_order);
    forward = walk(query, order_by, size, false) = expected;
    backward = walk(query, order_by, size, true) = expected;
END $$;
SELECT c.* FROM unnest(ARRAY['id', 'id DESC', 'a', 'a DESC, b', 'b NULLS FIRST, a DESC NULLS LAST', 'a NULLS FIRST, b NULLS FIRST', 'a DESC, b DESC',
    'c, a DESC', 'c DESC, id DESC', 'c, id', 'at DESC', 'f, m DESC NULLS LAST', 'm, f DESC NULLS LAST', 'ic, b', 'l DESC, at NULLS FIRST', 'ic DESC, m, f, a, b, at DESC', ''])
    WITH ORDINALITY o(text, n), check_walk('SELECT * FROM item', o.text, 11 + o.n::int) c;
SELECT c.* FROM (VALUES
    ('SELECT i.id, i.a, k.name FROM item i JOIN maker k ON k.id = i.maker', 'name, a'),
    ('SELECT i.id, i.b, k.id AS k, k.name FROM item i LEFT JOIN maker k ON k.name = ''maker '' || i.a', 'b, name DESC'),
    ('SELECT i.id, k.id AS k FROM item i, maker k WHERE i.c = k.id', 'k DESC'),
    ('SELECT a, count(*) AS n, max(b) AS b FROM item GROUP BY a', 'n DESC'),
    ('SELECT a, c, count(*) AS n FROM item GROUP BY ROLLUP (a, c)', 'n'),
    ('SELECT DISTINCT c, a FROM item', 'a'),
    ('SELECT a FROM item UNION SELECT id FROM maker', 'a DESC'),
    ('SELECT id, row_number() OVER (ORDER BY a, id) AS n FROM item WHERE c > 0', 'n DESC'),
    ('SELECT id, a FROM item ORDER BY b, id LIMIT 50', 'a'),
    ('WITH w AS (SELECT id, a FROM item WHERE a > 5) SELECT * FROM w', 'a'),
    ('SELECT id, generate_series(1, 3) AS n FROM maker', 'n'),
    ('VALUES (1, ''x''), (2, NULL), (NULL, ''y'')', 'column2'),
    ('SELECT g FROM generate_series(1, 30) g', 'g'),
    ('SELECT sum(a) AS s FROM item', 's'),
    ('TABLE maker', 'name')) q(query, o), check_walk(query, o, 7) c;
-- A key that is not in the output orders, and is not in the rows.
SELECT rows, total_order, added FROM hone.page('SELECT i.b FROM item AS i', 'b', size => 2);
SELECT jsonb_array_length(walk('SELECT b FROM item', 'b', 17, false)), walk('SELECT b FROM item', 'b', 17, false) = whole('SELECT b FROM item', 'b') AS same;
SELECT rows, total_order, added FROM hone.page('SELECT count(*) AS n FROM item GROUP BY c', 'n', size => 2);
-- Also where its name is taken, or a join hides its table's.
SELECT rows FROM hone.page('SELECT b, c AS hone_key_1 FROM item', 'b DESC', size => 2);
SELECT rows, total_order FROM hone.page('SELECT l.w FROM ((item i LEFT JOIN maker k ON k.id = i.a) AS j CROSS JOIN maker m) AS l(x, y, z, w)', 'w', size => 2);
-- A name stands for what it stands for now.
CREATE TEMP TABLE before_it (n int);
SELECT rows FROM hone.page('SELECT name FROM maker', 'name', size => 1);
CREATE TEMP TABLE maker (id int PRIMARY KEY, name text);
INSERT INTO maker VALUES (1, 'temporary');
SELECT rows FROM hone.page('SELECT name FROM maker', 'name', size => 1);
DROP TABLE pg_temp.maker;
SELECT rows FROM hone.page('SELECT name FROM maker', 'name', size => 1);
-- Parameters, names that must be quoted, a comment at the end.
SELECT rows FROM hone.page('SELECT id AS "Id ""x""", a FROM item WHERE a = $1 AND b = ANY ($2) -- last;', 'a, "Id ""x""" DESC', size => 2, params => '[3, ["dD", "fD", null]]');
SELECT jsonb_array_length(walk('SELECT id FROM item WHERE c = $1;', 'id', 9, true, '[1]'));
SELECT rows FROM hone.page('SELECT $1 AS x, $2::jsonb AS y', 'x', params => '["7", {"a": 1}]');
-- Settings of the session do not matter to a cursor.
SELECT next AS cursor FROM hone.page('SELECT id, at, f FROM item WHERE at IS NOT NULL', 'at, f DESC', size => 5) \gset
SET datestyle = 'German';
SET timezone = 'Asia/Tokyo';
SET extra_float_digits = -10;
SELECT p.next = :'cursor' AS same, q.rows = jsonb_path_query_array(r.rows, '$[5 to 9]') AS goes_on
FROM hone.page('SELECT id, at, f FROM item WHERE at IS NOT NULL', 'at, f DESC', size => 5) p,
    hone.page('SELECT id, at, f FROM item WHERE at IS NOT NULL', 'at, f DESC', :'cursor', 5) q, hone.page('SELECT id, at, f FROM item WHERE at IS NOT NULL', 'at, f DESC', size => 10) r;
RESET datestyle;
RESET timezone;
RESET extra_float_digits;

-- Rows that come and go meanwhile: none that stays is lost or repeated.
SELECT next AS cursor FROM hone.page('SELECT id FROM maker', 'id', size => 10) \gset
INSERT INTO maker VALUES (-1, 'before'), (100, 'behind');
UPDATE item SET maker = 9 WHERE maker = 10;
DELETE FROM maker WHERE id = 10;
SELECT rows FROM hone.page('SELECT id FROM maker', 'id', :'cursor');
SELECT next AS cursor FROM hone.page('SELECT id FROM maker', 'id', before => '') \gset
SELECT rows, next = :'cursor' AS to_go_on, has_next, has_previous FROM hone.page('SELECT id FROM maker', 'id', :'cursor');
INSERT INTO maker VALUES (101, 'new');
SELECT rows FROM hone.page('SELECT id FROM maker', 'id', :'cursor');
SELECT * FROM hone.page('SELECT id FROM maker WHERE id < -5', 'id');

-- Any depth for the same cost: an index bounds each statement.
CREATE TABLE deep (id int PRIMARY KEY, a int, b int NOT NULL);
INSERT INTO deep SELECT i, NULLIF(i / 100, 250), i % 2 FROM generate_series(1, 50000) i;
CREATE INDEX ON deep (a, id);
CREATE INDEX ON deep (b, a DESC, id);
VACUUM ANALYZE deep;
CREATE FUNCTION blocks(query text, order_by text, cursor text, size int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE before bigint; after bigint;
BEGIN
    PERFORM * FROM hone.page(query, order_by, cursor, size);
    SELECT pg_stat_get_xact_blocks_fetched('pg.deep'::regclass) + sum(pg_stat_get_xact_blocks_fetched(indexrelid)) INTO before FROM pg_index WHERE indrelid = 'pg.deep'::regclass;
    PERFORM * FROM hone.page(query, order_by, cursor, size);
    SELECT pg_stat_get_xact_blocks_fetched('pg.deep'::regclass) + sum(pg_stat_get_xact_blocks_fetched(indexrelid)) INTO after FROM pg_index WHERE indrelid = 'pg.deep'::regclass;
    RETURN after - before;
END $$;
SELECT o, blocks('SELECT * FROM deep', o, d.previous, 10) < 60 AS few
FROM unnest(ARRAY['a', 'b, a DESC NULLS FIRST, id', 'id', 'id DESC', 'a DESC', 'b DESC, a NULLS LAST, id DESC']) o,
    LATERAL hone.page('SELECT * FROM deep', o, size => 9000) d1, LATERAL hone.page('SELECT * FROM deep', o, d1.next, 2000) d;

-- The caller's privileges and row security.
SET ROLE hone_pg;
SELECT * FROM hone.page('SELECT * FROM maker', 'id');
SELECT * FROM hone._page_secret;
RESET ROLE;
GRANT SELECT ON maker TO hone_pg;
ALTER TABLE maker ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON maker USING (id BETWEEN 1 AND 3);
SET ROLE hone_pg;
SELECT rows, has_next FROM hone.page('SELECT id FROM maker', 'id');
RESET ROLE;

-- Nothing is written, and the transaction can go on writing.
CREATE TABLE effects (n int);
CREATE SEQUENCE seq;
CREATE FUNCTION writes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pg.effects VALUES (1); RETURN 1; END $$;
CREATE FUNCTION escapes() RETURNS int LANGUAGE plpgsql AS $$ BEGIN SET TRANSACTION READ WRITE; INSERT INTO pg.effects VALUES (1); RETURN 1; END $$;
\set VERBOSITY terse
SELECT * FROM hone.page('SELECT id, writes() FROM item', 'id');
SELECT * FROM hone.page('SELECT id, escapes() FROM item', 'id');
SELECT * FROM hone.page('SELECT id, nextval(''seq'') FROM item', 'id');
CREATE FUNCTION checks(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pg.effects VALUES ($1); RETURN true; END $$;
CREATE DOMAIN checked AS int CHECK (checks(VALUE));
SELECT rows FROM hone.page('SELECT id FROM item WHERE id = $1::checked', 'id', params => '[7]');
BEGIN;
SELECT has_next FROM hone.page('SELECT id FROM item', 'id');
SHOW transaction_read_only;
INSERT INTO effects VALUES (2);
SAVEPOINT s;
SELECT * FROM hone.page('SELECT id, writes() FROM item', 'id');
ROLLBACK TO s;
INSERT INTO effects VALUES (3);
COMMIT;
BEGIN READ ONLY;
SELECT has_next FROM hone.page('SELECT id FROM item', 'id');
COMMIT;
SELECT * FROM effects;

-- One SELECT that changes nothing, and an order of its columns.
\set VERBOSITY default
SELECT * FROM hone.page('', 'id');
SELECT * FROM hone.page('SELECT 1; DROP TABLE effects', 'id');
SELECT * FROM hone.page('SELECT FROM WHERE', 'id');
SELECT * FROM hone.page('SELECT nosuch FROM item', 'id');
SELECT * FROM hone.page('DELETE FROM effects RETURNING n', 'n');
SELECT * FROM hone.page('WITH d AS (DELETE FROM effects RETURNING n) SELECT * FROM d', 'n');
SELECT * FROM hone.page('SELECT * FROM (WITH d AS (DELETE FROM effects RETURNING n) SELECT * FROM d) x', 'n');
SELECT * FROM hone.page('SELECT * INTO other FROM effects', 'n');
SELECT * FROM hone.page('SELECT * FROM effects FOR UPDATE', 'n');
SELECT * FROM hone.page('SELECT * FROM (SELECT * FROM effects FOR SHARE) x', 'n');
SELECT * FROM hone.page('SELECT id FROM item ORDER BY id', 'id');
SELECT * FROM hone.page('EXPLAIN SELECT 1', 'id');
SELECT * FROM hone.page('SELECT 1) AS x; DROP TABLE effects; --', 'id');
SELECT * FROM hone.page('SELECT id FROM item', 'nosuch');
SELECT * FROM hone.page('SELECT id, id FROM item', 'id');
SELECT * FROM hone.page('SELECT id FROM item', 'id; DROP TABLE effects');
SELECT * FROM hone.page('SELECT id FROM item', 'id LIMIT 1');
SELECT * FROM hone.page('SELECT id FROM item', 'id,');
SELECT * FROM hone.page('SELECT id FROM item', '1');
SELECT * FROM hone.page('SELECT id FROM item', 'id + 1');
SELECT * FROM hone.page('SELECT id FROM item', 'item.id');
SELECT * FROM hone.page('SELECT id FROM item', '(SELECT writes())');
SELECT * FROM hone.page('SELECT id FROM item', 'id USING <');
SELECT * FROM hone.page('SELECT id, ''{}''::json AS j FROM item', 'j');
SELECT * FROM hone.page('SELECT ROW(id) AS r FROM item', 'r');
SELECT * FROM hone.page('SELECT n FROM (VALUES (1), (1), (2)) v(n)', 'n', size => 1);
SELECT rows FROM hone.page('SELECT n FROM (VALUES (1), (1), (2)) v(n)', 'n', size => 2);
SELECT * FROM hone.page(NULL, 'id');
SELECT rows FROM hone.page('SELECT id FROM item WHERE id < 3', NULL);
SELECT * FROM hone.page('SELECT id FROM item', 'id', size => 0);
SELECT * FROM hone.page('SELECT id FROM item', 'id', size => 10001);
SELECT * FROM hone.page('SELECT id FROM item WHERE a = $2', 'id', params => '[1]');
SELECT * FROM hone.page('SELECT id FROM item WHERE a = $1', 'id', params => '["x"]');
SELECT * FROM hone.page('SELECT id FROM item WHERE a = $1', 'id', params => '7');
-- Cursors: of other lists, and changed ones.
SELECT next AS cursor FROM hone.page('SELECT id FROM item WHERE a > $1', 'id', size => 5, params => '[1]') \gset
SELECT * FROM hone.page('SELECT id FROM item WHERE a > $1', 'id', :'cursor', before => :'cursor', params => '[1]');
SELECT * FROM hone.page('SELECT id FROM item WHERE a >= $1', 'id', :'cursor', params => '[1]');
SELECT * FROM hone.page('SELECT id FROM item WHERE a > $1', 'id DESC', :'cursor', params => '[1]');
SELECT * FROM hone.page('SELECT id FROM item WHERE a > $1', 'id', :'cursor', params => '[2]');
SELECT * FROM hone.page('SELECT id FROM item', 'id', 'nonsense');
SELECT * FROM hone.page('SELECT id FROM item', 'id', '');
\set VERBOSITY sqlstate
CREATE FUNCTION accepted(cursor text) RETURNS bool LANGUAGE plpgsql AS $$
BEGIN
    PERFORM * FROM hone.page('SELECT id FROM item WHERE a > $1', 'id', cursor, params => '[1]');
    RETURN true;
EXCEPTION WHEN invalid_parameter_value THEN RETURN false;
END $$;
SELECT accepted(:'cursor'), accepted(:'cursor' || 'A'), accepted(:'cursor' || '='), accepted(upper(:'cursor')), accepted('A' || :'cursor');
SELECT count(*) FILTER (WHERE accepted(left(:'cursor', i))) AS cut, count(*) FILTER (WHERE accepted(overlay(:'cursor' PLACING translate(substr(:'cursor', i, 1), 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_', 'BCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_A') FROM i))) AS changed
FROM generate_series(1, length(:'cursor') - 1) i;
-- Another secret.
BEGIN;
UPDATE hone._page_secret SET secret = DEFAULT;
SELECT accepted(:'cursor');
DELETE FROM hone._page_secret;
SELECT * FROM hone.page('SELECT id FROM item', 'id');
ROLLBACK;
SELECT accepted(:'cursor');
-- Cancelled.
BEGIN;
SET LOCAL statement_timeout = '50ms';
SELECT * FROM hone.page('SELECT id, pg_sleep(1) IS NULL AS s FROM item', 'id');
ROLLBACK;

SET client_min_messages = error;
DROP SCHEMA pg CASCADE;
DROP ROLE hone_pg;
