-- Pages that throw away what they read.
CREATE SCHEMA advise_pages;
SET search_path = advise_pages, public;
SET client_min_messages = warning;
CREATE TABLE item (id int PRIMARY KEY, created date NOT NULL, score int, note text);
INSERT INTO item SELECT g, '2020-01-01'::date + g / 10, nullif(g % 50, 0), 'note ' || g FROM generate_series(1, 5000) g;
CREATE TABLE keyless (a int, b int);
INSERT INTO keyless SELECT g, g FROM generate_series(1, 5000) g;
ANALYZE item, keyless;
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE FUNCTION pages(rel regclass)
RETURNS TABLE (calls bigint, pages int, thrown int, thrown_max int, returned int, form text, ordered boolean, index_exists boolean, no_fix text)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT calls, (evidence->>'pages')::int, (evidence->>'rows_thrown_away')::int,
           (evidence->>'rows_thrown_away_max')::int, (evidence->>'rows_returned')::int,
           evidence->>'form', (evidence->>'ordered')::boolean,
           (evidence->>'index_exists')::boolean, evidence->>'no_fix'
    FROM hone.recommendations WHERE relation = rel AND kind = 'offset_pagination'
$$;

-- shallow pages cost nothing
\o /dev/null
\set ECHO none
SELECT id FROM item ORDER BY id LIMIT 10 OFFSET 0;
SELECT id FROM item ORDER BY id LIMIT 10 OFFSET 500;
\set ECHO all
\o
SELECT count(*) FROM pages('item');

-- not null, one direction: row comparison
\o /dev/null
\set ECHO none
SELECT id, note FROM item ORDER BY created DESC LIMIT 10 OFFSET 2000;
SELECT id, note FROM item ORDER BY created DESC LIMIT 10 OFFSET 4000;
\set ECHO all
\o
SELECT * FROM pages('item');
SELECT fix, evidence->>'index' AS index, evidence->'parameters' AS parameters
FROM hone.recommendations WHERE kind = 'offset_pagination';
-- it returns what the page returned
SELECT fix AS keyset FROM hone.recommendations WHERE kind = 'offset_pagination' \gset
SELECT id AS last_id, created AS last_created FROM item ORDER BY created DESC, id DESC LIMIT 1 OFFSET 3999 \gset
PREPARE page AS :keyset;
CREATE TEMP TABLE by_keyset AS EXECUTE page(:'last_created', :last_id);
SELECT count(*), count(*) FILTER (WHERE k.id = i.id) AS same
FROM (SELECT id, row_number() OVER (ORDER BY created DESC, id DESC) FROM by_keyset) k
JOIN (SELECT id, row_number() OVER () FROM
      (SELECT id FROM item ORDER BY created DESC, id DESC LIMIT 10 OFFSET 4000) x) i USING (row_number);
DEALLOCATE page;

-- nulls and mixed directions: spelled out
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT id, score FROM item WHERE note LIKE 'note%' ORDER BY score DESC, created LIMIT 10 OFFSET 3000;
\set ECHO all
\o
SELECT * FROM pages('item');
SELECT fix FROM hone.recommendations WHERE kind = 'offset_pagination';
SELECT fix AS keyset FROM hone.recommendations WHERE kind = 'offset_pagination' \gset
-- walk all pages from the start: every row once
CREATE TEMP TABLE walked (id int, score int, created date);
CREATE FUNCTION walk(keyset text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    s int; c date := '-infinity'; i int := 0; n int;
BEGIN
    FOR step IN 1 .. 600 LOOP
        EXECUTE 'INSERT INTO walked ' || keyset USING s, c, i;
        GET DIAGNOSTICS n = ROW_COUNT;
        EXIT WHEN n = 0;
        SELECT w.score, w.created, w.id INTO s, c, i FROM walked w
        ORDER BY w.score DESC, w.created, w.id OFFSET step * 10 - 1 LIMIT 1;
    END LOOP;
END
$$;
SELECT walk(:'keyset');
SELECT count(*), count(DISTINCT id) FROM walked;

-- no order at all; no key to make one total; grouped
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT * FROM item LIMIT 10 OFFSET 2000;
SELECT a FROM keyless ORDER BY a LIMIT 10 OFFSET 2000;
\set ECHO all
\o
SELECT * FROM pages('item');
SELECT * FROM pages('keyless');
SELECT fix IS NULL AS no_fix FROM hone.recommendations WHERE relation = 'keyless'::regclass AND kind = 'offset_pagination';
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT id, count(*) FROM item GROUP BY id ORDER BY id LIMIT 10 OFFSET 2000;
\set ECHO all
\o
SELECT * FROM pages('item');

-- offset and limit as parameters; beyond the end
SELECT hone.reset_recommendations() > 0 AS reset;
PREPARE p(int, int) AS SELECT i.id, k.b FROM item i LEFT JOIN item j ON j.id = i.score JOIN LATERAL (SELECT 1 AS b) k ON true ORDER BY i.id LIMIT $1 OFFSET $2;
PREPARE q(int, int) AS SELECT i.id, j.note FROM item i LEFT JOIN item j ON j.id = i.score ORDER BY i.created LIMIT $1 OFFSET $2;
\o /dev/null
\set ECHO none
EXECUTE p(10, 3000);
EXECUTE q(10, 6000);
\set ECHO all
\o
SELECT thrown, returned, form, no_fix FROM pages('item') ORDER BY thrown;
SELECT fix FROM hone.recommendations WHERE fix IS NOT NULL AND kind = 'offset_pagination';
DEALLOCATE ALL;

SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_pages CASCADE;
DROP TABLE by_keyset, walked;
