-- Every fix of a query PREPAREs as it stands, every fix of a table executes.
CREATE SCHEMA "Advise Fixes";
SET search_path = "Advise Fixes", public;
SET client_min_messages = warning;
CREATE TYPE mood AS ENUM ('sad', 'happy');
CREATE DOMAIN code AS varchar(10);
CREATE TABLE "Parent ""Table" ("Key" uuid PRIMARY KEY, n int NOT NULL, "order" numeric(10,2), stamp timestamptz, day date, mood mood, code code, big text);
INSERT INTO "Parent ""Table" SELECT md5(g::text)::uuid, g, g / 7.0, '2020-01-01'::timestamptz + g * interval '1 min', '2020-01-01'::date + g % 100,
    CASE g % 2 WHEN 0 THEN 'sad' ELSE 'happy' END::mood, 'c' || g % 50, repeat('x', 700) FROM generate_series(1, 3000) g;
CREATE TABLE child (id bigint PRIMARY KEY, n int, day date, mood mood, "key" uuid, code code, amount numeric, tags text[]);
INSERT INTO child SELECT g, g, '2020-01-01'::date + g, CASE g % 2 WHEN 0 THEN 'sad' ELSE 'happy' END::mood, md5(g::text)::uuid, 'c' || g, g, ARRAY['t' || g]
FROM generate_series(1, 3000) g;
CREATE TABLE plain (id int PRIMARY KEY, v text);
INSERT INTO plain SELECT g, 'v' FROM generate_series(1, 100) g;
ANALYZE "Parent ""Table", child, plain;
SELECT hone.reset_recommendations() >= 0 AS reset;

\o /dev/null
\set ECHO none
SET hone.advise_star_bytes = 0;
-- loops of all kinds of children
BEGIN;
SELECT id FROM plain ORDER BY id LIMIT 10;
SELECT format('SELECT * FROM child WHERE "key" = %L', md5(g::text)) FROM generate_series(1, 10) g \gexec
SELECT format('SELECT id, mood FROM child WHERE day = date %L', '2020-01-01'::date + g) FROM generate_series(1, 10) g \gexec
SELECT format('SELECT count(*) FROM child WHERE code = %L', 'c' || g) FROM generate_series(1, 10) g \gexec
SELECT format('SELECT id FROM child WHERE amount = %s ORDER BY id LIMIT 1', g) FROM generate_series(1, 10) g \gexec
SELECT format('SELECT DISTINCT n FROM child c JOIN plain p USING (id) WHERE c.id = %s AND p.v LIKE ''v%%''', g) FROM generate_series(1, 10) g \gexec
SELECT format('WITH w AS (SELECT 1) SELECT n + 1 AS "N+1" FROM child WHERE child.id = CAST(%L AS bigint) FOR UPDATE', g) FROM generate_series(1, 10) g \gexec
SELECT format('SELECT id FROM child WHERE id = -%s AND tags[1] = ''$1''', g) FROM generate_series(1, 10) g \gexec
COMMIT;
-- pages of all kinds of orders
SELECT * FROM "Parent ""Table" ORDER BY "order" DESC NULLS LAST, day OFFSET 2000 LIMIT 5;
SELECT n FROM "Parent ""Table" p ORDER BY mood, code DESC, lower(big) FETCH FIRST 5 ROWS ONLY OFFSET 2500;
SELECT * FROM "Parent ""Table" p LEFT JOIN child c ON c.id = p.n WHERE p.stamp > '2019-01-01' ORDER BY 5, c.mood OFFSET 2000;
SELECT n, count(*) OVER () FROM "Parent ""Table" ORDER BY n OFFSET 2000;
SELECT "Key" FROM "Parent ""Table" OFFSET 2000;
-- stars
SELECT * FROM "Parent ""Table" WHERE stamp >= timestamptz '2020-01-01' AND code = 'c7';
SELECT DISTINCT * FROM "Parent ""Table" WHERE n < 100;
SELECT * FROM "Parent ""Table" UNION ALL SELECT * FROM "Parent ""Table" WHERE false;
SELECT p.*, 'it''s' AS t FROM "Parent ""Table" p, plain WHERE plain.id = p.n ORDER BY big;
-- filters
SELECT n FROM "Parent ""Table" WHERE mood = 'sad' AND code = 'c8' AND "order" BETWEEN 1 AND 2;
SELECT n FROM "Parent ""Table" WHERE day IN ('2020-01-05', '2020-01-06') AND stamp::date = '2020-01-05';
SELECT count(*) FROM child WHERE "key" = 'c4ca4238-a0b9-2382-0dcc-509a6f75849b' OR n = 5;
SELECT count(*) FROM child WHERE n > 2990 AND 2995 > n;
\set ECHO all
\o

SELECT kind, count(*) >= 4 AS several, count(fix) >= 2 AS fixes, bool_and(fix IS NOT NULL OR evidence->>'no_fix' <> '') AS fix_or_reason
FROM hone.recommendations WHERE kind IN ('missing_index', 'n_plus_one', 'offset_pagination', 'select_star') GROUP BY kind ORDER BY kind;
SELECT DISTINCT evidence->>'no_fix' AS why_not FROM hone.recommendations WHERE fix IS NULL ORDER BY 1;

-- whatever the reader's search_path is
RESET search_path;
DO $$
DECLARE
    r record;
BEGIN
    FOR r IN SELECT kind, fix FROM hone.recommendations WHERE fix ~ '^ *(SELECT|WITH)' LOOP
        BEGIN
            EXECUTE 'PREPARE advise_fix AS ' || r.fix;
            DEALLOCATE advise_fix;
        EXCEPTION WHEN OTHERS THEN
            RAISE WARNING '% does not PREPARE: % (%)', r.kind, r.fix, SQLERRM;
        END;
    END LOOP;
END
$$;
SELECT fix FROM hone.recommendations WHERE kind = 'missing_index' ORDER BY fix \gexec
SELECT count(*) AS still_missing FROM hone.recommendations WHERE kind = 'missing_index';

-- the rewritten loop returns what the loop returned
SELECT fix AS joined FROM hone.recommendations WHERE kind = 'n_plus_one' AND fix LIKE '%count(%' \gset
PREPARE joined AS :joined;
EXECUTE joined(ARRAY['c1', 'c2', 'nope']);
DEALLOCATE joined;

-- altered and dropped underneath: no error
ALTER TABLE "Advise Fixes".child RENAME COLUMN day TO date;
ALTER TABLE "Advise Fixes"."Parent ""Table" DROP COLUMN code;
DROP TABLE "Advise Fixes".plain;
SELECT count(*) > 5 AS some_remain, count(*) FILTER (WHERE fix IS NULL) > 0 AS some_without_fix FROM hone.recommendations;
BEGIN READ ONLY;
SELECT count(*) > 5 AS read_only FROM hone.recommendations;
COMMIT;

SELECT hone.reset_recommendations() > 0 AS reset;
RESET hone.advise_star_bytes;
DROP SCHEMA "Advise Fixes" CASCADE;
