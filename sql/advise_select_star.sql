-- SELECT *: only a star that fetches wide columns is reported.
CREATE SCHEMA advise_star;
SET search_path = advise_star, public;
SET client_min_messages = warning;
CREATE TABLE doc (id int PRIMARY KEY, title text, body text, meta text);
ALTER TABLE doc ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO doc SELECT g, 'title ' || g, repeat(md5(g::text), 300), repeat('m', 400) FROM generate_series(1, 200) g;
CREATE TABLE narrow (id int PRIMARY KEY, a int, b text);
INSERT INTO narrow SELECT g, g, 'b' FROM generate_series(1, 5000) g;
ANALYZE doc, narrow;
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE FUNCTION stars()
RETURNS TABLE (relation regclass, calls bigint, rows int, mb numeric, wide text, fix_columns text)
LANGUAGE sql AS $$
    SELECT relation, calls, (evidence->>'rows')::int,
           round((evidence->>'wide_bytes_fetched')::numeric / 1000000),
           (SELECT string_agg(c->>'column' || CASE WHEN (c->>'out_of_line')::bool THEN ' out of line' ELSE '' END, ', ')
            FROM jsonb_array_elements(evidence->'columns') c WHERE (c->>'bytes')::int >= 256),
           substring(regexp_replace(fix, '\s+', ' ', 'g') from 'SELECT (.*) FROM')
    FROM hone.recommendations WHERE kind = 'select_star' ORDER BY relation::text, 6
$$;

-- no star, stars inside, counts, narrow rows, few rows
\o /dev/null
\set ECHO none
SELECT id, title, body FROM doc;
SELECT id, title, body, meta || '' FROM doc;
SELECT count(*) FROM doc;
SELECT id FROM doc WHERE EXISTS (SELECT * FROM narrow n WHERE n.id = doc.id);
SELECT 2 * id FROM (SELECT * FROM doc) d;
SELECT * FROM narrow;
SELECT narrow.* FROM narrow JOIN doc USING (id);
SELECT * FROM doc WHERE id = 7;
\set ECHO all
\o
SELECT * FROM stars();

-- a star that costs
\o /dev/null
\set ECHO none
SELECT * FROM doc ORDER BY title;
SELECT d.*, n.a FROM narrow n JOIN doc d ON d.id = n.id;
\set ECHO all
\o
SELECT * FROM stars();
SELECT evidence->>'wide_share' > '0.9' AS mostly_wide, saving_ms > 0 AND saving_ms <= cost_ms AS saves, fix, evidence->'sample'->>'query' AS query
FROM hone.recommendations WHERE kind = 'select_star' AND fix LIKE '%ORDER BY%';

-- the more it is called the more it counts; a parameter, and a star behind it
PREPARE one(int) AS SELECT * FROM doc WHERE id <> $1 LIMIT 150;
\o /dev/null
\set ECHO none
EXECUTE one(1);
EXECUTE one(2);
\set ECHO all
\o
SELECT calls, rows, fix_columns FROM stars() WHERE rows = 300;
SELECT fix FROM hone.recommendations WHERE kind = 'select_star' AND fix LIKE '%<>%';
DEALLOCATE one;

-- nothing, or not all, can be left out; set operations are not looked at
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE TABLE wide (body text, meta text);
ALTER TABLE wide ALTER COLUMN body SET STORAGE EXTERNAL;
INSERT INTO wide SELECT body, meta FROM doc;
ANALYZE wide;
\o /dev/null
\set ECHO none
SELECT DISTINCT * FROM doc;
SELECT * FROM doc ORDER BY meta;
SELECT * FROM wide ORDER BY meta, body;
SELECT * FROM wide;
SELECT * FROM doc UNION ALL SELECT * FROM doc;
SELECT * FROM (SELECT * FROM doc UNION ALL SELECT * FROM doc) d;
\set ECHO all
\o
SELECT evidence->'sample'->>'query' AS query, evidence->>'no_fix' AS no_fix,
    regexp_replace(regexp_replace(fix, '\s+', ' ', 'g'), '\d+ bytes', 'N bytes', 'g') AS fix
FROM hone.recommendations WHERE kind = 'select_star' ORDER BY 1;

-- through a view or a subquery; every column by name, in any order
CREATE VIEW doc_view AS SELECT id, title AS head, body AS content, meta FROM doc;
CREATE VIEW doc_twice AS SELECT v.*, n.a FROM doc_view v JOIN narrow n USING (id);
CREATE VIEW doc_narrow AS SELECT id, title FROM doc;
CREATE INDEX doc_list ON doc (title, id);
ALTER TABLE doc ADD dropped int;
ALTER TABLE doc DROP dropped;
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT * FROM doc_view WHERE id > 0;
SELECT * FROM doc_twice;
SELECT * FROM doc_narrow;
SELECT * FROM (SELECT * FROM doc OFFSET 0) d;
SELECT d.meta AS "Meta0_", d.body AS body0_, d.id AS id0_, d.title AS title0_ FROM doc d WHERE d.title > 'title 1';
SELECT d.meta, d.body, d.id, d.title, d.id FROM doc d JOIN narrow n ON n.id = d.id ORDER BY d.id;
SELECT head, content, meta, id FROM doc_view LIMIT 199;
-- not every column, or not as it is
SELECT d.meta, d.body, d.id FROM doc d LIMIT 198;
SELECT d.meta, d.body, d.id, upper(d.title) FROM doc d;
SELECT d.meta, n.b, n.a, d.title, d.body FROM doc d JOIN narrow n ON n.id = d.id;
SELECT id, a, b FROM narrow;
\set ECHO all
\o
SELECT relation, evidence->>'star' AS star, evidence->>'rows' AS rows, evidence->>'index_only_scan' AS index_only, (evidence->>'out_of_line_fetches')::int > 199 * 4 AS fetches,
    regexp_replace(regexp_replace(fix, '\s+', ' ', 'g'), '\d+ bytes', 'N bytes', 'g') AS fix
FROM hone.recommendations WHERE kind = 'select_star' ORDER BY 2, 6;
SELECT DISTINCT regexp_replace(summary, '\d+', 'N', 'g') AS summary FROM hone.recommendations WHERE kind = 'select_star' ORDER BY 1;

-- weighed on the rows themselves: no statistics, values compressed or not, in
-- the row or out of it, some missing; a cursor, a function, a call that failed
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE TABLE weights (id int, packed text, plain text, rare text, name name, words text[]);
ALTER TABLE weights ALTER plain SET STORAGE EXTERNAL, ALTER rare SET STORAGE EXTERNAL, SET (autovacuum_enabled = off);
INSERT INTO weights SELECT g, repeat('p', 3000), (SELECT string_agg(md5(i::text || g), '') FROM generate_series(1, 200) i),
    CASE WHEN g % 10 = 0 THEN repeat('r', 10000) END, 'name', array_fill('word'::text, ARRAY[100]) FROM generate_series(1, 300) g;
CREATE FUNCTION walk_weights() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r record;
    bytes bigint := 0;
BEGIN
    FOR r IN SELECT * FROM weights w WHERE w.id > 0 LOOP
        bytes := bytes + length(r.plain);
    END LOOP;
    RETURN bytes;
END $$;
\o /dev/null
\set ECHO none
SET hone.track = 'all';
SELECT * FROM weights ORDER BY id;
SELECT *, walk_weights() FROM weights WHERE id < 2;
SELECT walk_weights();
BEGIN;
DECLARE part CURSOR FOR SELECT * FROM weights x;
FETCH 100 FROM part;
FETCH 100 FROM part;
FETCH 50 FROM part;
COMMIT;
RESET hone.track;
\set ECHO all
\o
SELECT *, 1 / (id - 200) FROM weights;
SELECT evidence->'sample'->>'query' AS query, evidence->'rows' AS rows, evidence->'rows_weighed' AS weighed, evidence->'out_of_line_fetches' AS fetches
FROM hone.recommendations WHERE kind = 'select_star' ORDER BY 1;
SELECT c->>'column' AS column, c->'bytes' AS bytes, c->'out_of_line' AS out_of_line, c->'fetches' AS fetches
FROM hone.recommendations, jsonb_array_elements(evidence->'columns') c WHERE kind = 'select_star' AND evidence->'sample'->>'query' LIKE '%ORDER BY id';

-- after a call that failed, in a function that itself walks another star; a column that is gone since
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE TABLE inner_star (id int, pad text);
INSERT INTO inner_star SELECT g, repeat('i', 3000) FROM generate_series(1, 500) g;
CREATE FUNCTION walk_both() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    r record;
    s record;
BEGIN
    FOR r IN SELECT * FROM weights b WHERE b.id <= 280 LOOP
        SELECT * INTO s FROM inner_star i WHERE i.id = r.id;
    END LOOP;
END $$;
SET hone.track = 'all';
SELECT walk_both();
SELECT evidence->'sample'->>'query' AS query, evidence->'rows' AS rows, evidence->'columns'->0->>'column' AS heaviest
FROM hone.recommendations WHERE kind = 'select_star' AND evidence->'sample'->>'query' LIKE '%b.id%';
RESET hone.track;
ALTER TABLE weights DROP plain;
SELECT evidence->'columns'->0 AS heaviest FROM hone.recommendations WHERE kind = 'select_star' AND evidence->'sample'->>'query' LIKE '%b.id%';

-- what lists every column and turns out narrow takes no place
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE TABLE short (a text, b text, c text, d text);
INSERT INTO short SELECT 'a', 'b', 'c', 'd' FROM generate_series(1, 1000);
SELECT held AS before FROM hone._findings() \gset
\o /dev/null
\set ECHO none
SELECT a, b, c, d FROM short;
SELECT * FROM short;
\set ECHO all
\o
SELECT held - :before AS more FROM hone._findings();
-- until it is not; more columns than are kept
UPDATE short SET c = repeat('c', 2000);
SELECT format('CREATE TABLE many (%s)', string_agg(format('c%s text', i), ', ')) AS ddl FROM generate_series(1, 40) i \gset
:ddl;
SELECT format('INSERT INTO many SELECT %s FROM generate_series(1, 200)', string_agg(format('repeat(%L, %s)', chr(64 + i), 20 * i), ', ')) AS dml FROM generate_series(1, 40) i \gset
:dml;
SELECT pg_sleep(1.1);
\o /dev/null
\set ECHO none
SELECT a, b, c, d FROM short;
SELECT * FROM short;
SELECT * FROM many;
\set ECHO all
\o
SELECT held - :before AS more FROM hone._findings();
SELECT calls, rows, wide, fix_columns FROM stars() WHERE relation = 'short'::regclass;
SELECT evidence->'columns'->0 AS heaviest, evidence->'columns'->15 AS last_kept, evidence->'columns'->39->>'column' AS lightest
FROM hone.recommendations WHERE kind = 'select_star' AND relation = 'many'::regclass;

-- what counts as wide is a setting
SET hone.advise_wide_column = '1MB';
SELECT count(*) FROM stars();
RESET hone.advise_wide_column;
SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_star CASCADE;
