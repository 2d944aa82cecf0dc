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
SELECT summary FROM hone.recommendations WHERE relation = 'item'::regclass AND kind = 'offset_pagination';
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

-- which pages are asked for: cheap ones count too, and who walks gets a keyset
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT format('SELECT id, note FROM item ORDER BY created LIMIT 100 OFFSET %s', g * 100) FROM generate_series(0, 30) g \gexec
\set ECHO all
\o
SELECT summary, evidence->'pages_asked_for' AS pages, evidence->>'share_beyond_page_10' AS deep, evidence->>'steps_to_next_or_previous' AS steps,
    evidence->>'jumps' AS jumps, evidence->>'rows_thrown_away_p50' AS p50, evidence->>'rows_thrown_away_max' AS max,
    evidence->>'form' AS form, evidence->'instead' AS instead
FROM hone.recommendations WHERE kind = 'offset_pagination';
-- who jumps gets a deferred join, with the keyset beside it
SELECT hone.reset_recommendations() > 0 AS reset;
PREPARE jump(int, int) AS SELECT note, score FROM item WHERE score > $1 ORDER BY score DESC LIMIT 20 OFFSET $2;
\o /dev/null
\set ECHO none
SELECT format('EXECUTE jump(5, %s)', g) FROM unnest(ARRAY[3000, 20, 2000, 0, 4000, 1000, 0, 2500, 3500]) g \gexec
\set ECHO all
\o
DEALLOCATE jump;
SELECT evidence->'pages_asked_for' AS pages, evidence->>'steps_to_next_or_previous' AS steps, evidence->>'jumps' AS jumps, evidence->'instead' AS instead
FROM hone.recommendations WHERE kind = 'offset_pagination';
SELECT fix, evidence->>'keyset' AS keyset FROM hone.recommendations WHERE kind = 'offset_pagination';
SELECT fix AS deferred FROM hone.recommendations WHERE kind = 'offset_pagination' \gset
PREPARE deferred AS :deferred;
CREATE TEMP TABLE by_keys AS EXECUTE deferred(5, 2010);
SELECT (SELECT array_agg(note ORDER BY ctid) FROM by_keys) =
       ARRAY(SELECT note FROM item WHERE score > 5 ORDER BY score DESC, id DESC LIMIT 20 OFFSET 2010) AS same_page;
DEALLOCATE deferred;
-- jumps over a join: said, without a rewritten query
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT format('SELECT i.id, j.note FROM item i JOIN item j ON j.id = i.score ORDER BY j.note LIMIT 20 OFFSET %s', g) FROM unnest(ARRAY[3000, 20, 2000, 0, 4000, 1000, 0, 2500]) g \gexec
\set ECHO all
\o
SELECT fix, evidence->>'no_fix' AS no_fix, evidence ? 'instead' AS instead, evidence ? 'keyset' AS keyset FROM hone.recommendations WHERE kind = 'offset_pagination';

-- when the order is total, and when it is not
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE TABLE tenant_item (tenant int, id int, note text NOT NULL, tag text UNIQUE, owner int, PRIMARY KEY (tenant, id));
INSERT INTO tenant_item SELECT g % 2, g, 'note ' || g, 'tag ' || g, g % 10 FROM generate_series(1, 5000) g;
CREATE UNIQUE INDEX ON tenant_item (note COLLATE "C");
CREATE TABLE parent (id int PRIMARY KEY, a int);
CREATE TABLE heir () INHERITS (parent);
INSERT INTO parent SELECT g, g FROM generate_series(1, 3000) g;
INSERT INTO heir SELECT g, g FROM generate_series(1, 10) g;
\o /dev/null
\set ECHO none
SELECT note FROM tenant_item WHERE tenant = 1 ORDER BY id LIMIT 10 OFFSET 1001;
SELECT t.note FROM tenant_item t JOIN item i ON i.id = t.owner WHERE 1 = t.tenant ORDER BY t.id LIMIT 10 OFFSET 1002;
SELECT t.note FROM item i LEFT JOIN tenant_item t ON t.id = i.score AND t.tenant = 0 ORDER BY i.id LIMIT 10 OFFSET 1003;
SELECT t.note FROM item i LEFT JOIN tenant_item t ON t.id = i.score ORDER BY i.id LIMIT 10 OFFSET 1004;
SELECT t.note FROM tenant_item t LEFT JOIN item i ON t.tenant = 0 AND i.id < 3 ORDER BY t.id LIMIT 10 OFFSET 1005;
SELECT id FROM tenant_item ORDER BY note LIMIT 10 OFFSET 1006;
SELECT id FROM tenant_item WHERE tenant > 0 ORDER BY id LIMIT 10 OFFSET 1007;
SELECT id FROM parent ORDER BY id LIMIT 10 OFFSET 1008;
SELECT id FROM tenant_item ORDER BY owner, tag LIMIT 10 OFFSET 1009;
SELECT i.id FROM item i JOIN tenant_item t ON t.note = i.note ORDER BY i.id LIMIT 10 OFFSET 1018;
SELECT i.id FROM item i, item j WHERE j.created > '2020-01-01' AND j.id = i.id % 10 + 20 ORDER BY i.id LIMIT 10 OFFSET 1010;
SELECT i.id FROM item i LEFT JOIN item j ON j.id = i.score LEFT JOIN item k ON k.id = j.score + 1 ORDER BY i.id LIMIT 10 OFFSET 1016;
SELECT i.id FROM item j LEFT JOIN item i ON j.score = i.id ORDER BY i.id LIMIT 10 OFFSET 1017;
SELECT id FROM item ORDER BY random() LIMIT 10 OFFSET 1011;
SELECT id FROM item ORDER BY id FETCH FIRST 10 ROWS WITH TIES OFFSET 1012;
SELECT id, row_number() OVER (ORDER BY created) FROM item ORDER BY 2 LIMIT 10 OFFSET 1013;
SELECT score, count(*) FROM item GROUP BY score, created ORDER BY count(*) LIMIT 10 OFFSET 1014;
SELECT i.id FROM (SELECT id FROM item ORDER BY id LIMIT 10 OFFSET 1015) i;
\set ECHO all
\o
SELECT evidence->>'rows_thrown_away' AS n, evidence->>'order_total' AS total, evidence->>'order_appended' AS appended, evidence->>'no_fix' AS no_fix, evidence->>'instead' AS instead
FROM hone.recommendations WHERE kind = 'offset_pagination' ORDER BY 1;
SELECT summary FROM hone.recommendations WHERE kind = 'offset_pagination' AND evidence->>'rows_thrown_away' IN ('1001', '1007') ORDER BY evidence->>'rows_thrown_away';

-- no key: an index that finds different what the column's collation finds equal
SELECT hone.reset_recommendations() > 0 AS reset;
SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS icu \gset
\if :icu
CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
\else
CREATE COLLATION loose FROM "C";
\endif
CREATE TABLE loose_key (note text COLLATE loose NOT NULL, a int);
INSERT INTO loose_key SELECT 'note ' || g, g FROM generate_series(1, 3000) g;
CREATE UNIQUE INDEX ON loose_key (note COLLATE "POSIX");
\o /dev/null
\set ECHO none
SELECT a FROM loose_key ORDER BY note LIMIT 10 OFFSET 1001;
\set ECHO all
\o
SELECT count(*), bool_and(fix IS NULL) OR NOT :'icu' AS no_key FROM hone.recommendations WHERE kind = 'offset_pagination';

-- an index serves an order forwards or backwards, in its directions
SELECT hone.reset_recommendations() > 0 AS reset;
CREATE INDEX ON item (created, score DESC);
CREATE INDEX ON item (score, created, id DESC NULLS LAST);
\o /dev/null
\set ECHO none
SELECT id FROM item WHERE note > 'a' ORDER BY created, score DESC, id DESC LIMIT 10 OFFSET 1001;
SELECT id FROM item ORDER BY score DESC, created DESC, id NULLS FIRST LIMIT 10 OFFSET 1002;
SELECT id FROM item ORDER BY score, created, id LIMIT 10 OFFSET 1003;
SELECT id FROM item ORDER BY created, score, id LIMIT 10 OFFSET 1004;
SELECT id FROM item ORDER BY id DESC LIMIT 10 OFFSET 1005;
SELECT id FROM item ORDER BY score NULLS FIRST, created, id DESC LIMIT 10 OFFSET 1006;
\set ECHO all
\o
SELECT evidence->>'rows_thrown_away' AS n, evidence->>'index' AS index, evidence->>'index_exists' AS exists
FROM hone.recommendations WHERE kind = 'offset_pagination' ORDER BY 1;

SELECT hone.reset_recommendations() > 0 AS reset;
-- an output column that is called as the column ordered by; a place that moves with time; records; a name twice
CREATE TABLE event (id int PRIMARY KEY, created date NOT NULL, kind int);
INSERT INTO event SELECT g, date '2024-01-01' + (g * 37 % 400), g % 5 FROM generate_series(1, 3000) g;
\o /dev/null
\set ECHO none
SELECT id, to_char(created, 'DD.MM.YYYY') AS created FROM event ORDER BY event.created LIMIT 5 OFFSET 2000;
SELECT id FROM event ORDER BY now() - created LIMIT 5 OFFSET 2000;
SELECT id FROM event ORDER BY (kind, id) LIMIT 5 OFFSET 2000;
SELECT a.*, b.* FROM event a JOIN event b USING (kind) ORDER BY b.id, a.id LIMIT 5 OFFSET 2000;
\set ECHO all
\o
SELECT fix, evidence->>'no_fix' AS no_fix, evidence->'parameters' AS parameters FROM hone.recommendations
WHERE kind = 'offset_pagination' AND relation = 'event'::regclass ORDER BY fix, evidence->'sample'->>'query';
SELECT 'PREPARE after AS ' || fix AS after FROM hone.recommendations WHERE kind = 'offset_pagination' AND fix LIKE '%to_char%' \gset
:after;
SELECT id AS last_id, created AS last_created FROM event ORDER BY created, id OFFSET 1999 LIMIT 1 \gset
EXECUTE after(:'last_created', :last_id);
SELECT id, to_char(created, 'DD.MM.YYYY') AS created FROM event ORDER BY event.created, id LIMIT 5 OFFSET 2000;
DEALLOCATE after;

SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_pages CASCADE;
DROP TABLE by_keyset, walked, by_keys;
