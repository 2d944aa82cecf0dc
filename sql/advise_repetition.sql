-- Row-by-row writes, and the same query again and again.
CREATE SCHEMA advise_again;
SET search_path = advise_again, public;
SET client_min_messages = warning;
CREATE TABLE item (id serial PRIMARY KEY, name varchar(20) NOT NULL, price numeric, at timestamptz DEFAULT now());
CREATE TABLE audit (id serial PRIMARY KEY, what text);
CREATE FUNCTION again() RETURNS TABLE (kind text, relation text, calls int, bursts int, longest int, each boolean)
LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
    SELECT kind, replace(relation::text, 'advise_again.', ''), (evidence->>'calls_per_burst')::int, (evidence->>'bursts')::int,
           (evidence->>'calls_per_burst_max')::int, (evidence->>'transaction_each')::boolean
    FROM hone.recommendations WHERE kind IN ('repeated_query', 'row_by_row_write') AND relation::text LIKE 'advise_again.%' ORDER BY 1, 2, 3
$$;
SELECT hone.reset_recommendations() >= 0 AS reset;

-- inserts in one transaction
\o /dev/null
\set ECHO none
BEGIN;
SELECT format('INSERT INTO item (name, price) VALUES (lower(''Item %s''), %s)', g, g * 1.25) FROM generate_series(1, 30) g \gexec
COMMIT;
DISCARD PLANS;
DISCARD ALL;
SET search_path = advise_again, public;
SET client_min_messages = warning;
\set ECHO all
\o
SELECT * FROM again();
SELECT summary, fix, evidence->'sample'->>'query' AS sample, cost_ms > 0 AND saving_ms > 0 AND saving_ms <= cost_ms AS costs
FROM hone.recommendations WHERE kind = 'row_by_row_write';
-- the fix writes the same rows
SELECT 'PREPARE many AS ' || fix AS many FROM hone.recommendations WHERE kind = 'row_by_row_write' \gset
:many;
CREATE TABLE kept AS SELECT name, price FROM item;
TRUNCATE item;
SELECT array_agg('Item ' || g) AS names, array_agg(g * 1.25) AS prices FROM generate_series(1, 30) g \gset
EXECUTE many(:'names', :'prices');
(SELECT name, price FROM item EXCEPT ALL TABLE kept) UNION ALL (TABLE kept EXCEPT ALL SELECT name, price FROM item);
DEALLOCATE many;
SELECT hone.reset_recommendations() > 0 AS reset;

-- a transaction for each, a look before each, DEFAULT and RETURNING, bound values
SET hone.n_plus_one_gap = '1h';
PREPARE save(varchar, numeric) AS INSERT INTO item (id, name, price) VALUES (DEFAULT, $1, $2) RETURNING id;
\o /dev/null
\set ECHO none
SELECT x FROM generate_series(1, 30) g, LATERAL (VALUES (1, format('SELECT 1 FROM item WHERE name = ''row %s''', g)), (2, 'BEGIN'),
    (3, format('EXECUTE save(''row %s'', %s)', g, g)), (4, 'COMMIT')) AS v(o, x) ORDER BY g, o \gexec
DISCARD ALL;
SET search_path = advise_again, public;
SET client_min_messages = warning;
\set ECHO all
\o
SELECT * FROM again();
SELECT summary, fix FROM hone.recommendations WHERE kind = 'row_by_row_write';
SELECT hone.reset_recommendations() > 0 AS reset;

-- updates and deletes
\o /dev/null
\set ECHO none
BEGIN;
SELECT format('UPDATE item SET price = %s WHERE id = %s', g * 2, g + 30) FROM generate_series(1, 25) g \gexec
SELECT format('DELETE FROM item WHERE id = %s', g + 30) FROM generate_series(1, 25) g \gexec
COMMIT;
DISCARD ALL;
SET search_path = advise_again, public;
SET client_min_messages = warning;
\set ECHO all
\o
SELECT fix FROM hone.recommendations WHERE kind = 'row_by_row_write' ORDER BY fix;
SELECT hone.reset_recommendations() > 0 AS reset;

-- NULL and boolean values are values too; what stands behind AT TIME ZONE is; a progress bar is no row-by-row write
CREATE TABLE job (id int PRIMARY KEY, note text, done boolean, at timestamp, progress int);
\o /dev/null
\set ECHO none
BEGIN;
SELECT format('INSERT INTO job VALUES (%s, %s, %s, ''2024-01-%s''::timestamptz AT TIME ZONE ''utc'')', g, CASE WHEN g = 19 THEN 'NULL' ELSE '''n''' END,
    CASE WHEN g = 19 THEN 'false' ELSE 'true' END, g) FROM generate_series(1, 25) g \gexec
SELECT format('UPDATE job SET progress = %s WHERE id = 7', g) FROM generate_series(1, 25) g \gexec
SELECT format('INSERT INTO job (id) VALUES (%s) ON CONFLICT (id) DO UPDATE SET note = ''x''', g) FROM generate_series(1, 25) g \gexec
COMMIT;
DISCARD ALL;
SET search_path = advise_again, public;
SET client_min_messages = warning;
\set ECHO all
\o
SELECT fix, evidence->>'no_fix' AS no_fix FROM hone.recommendations WHERE kind = 'row_by_row_write' ORDER BY fix;
SELECT hone.reset_recommendations() > 0 AS reset;

-- no fix, but the reason
\o /dev/null
\set ECHO none
BEGIN;
SELECT format('UPDATE item SET price = audit.id FROM audit WHERE item.id = %s AND audit.id = item.id', g) FROM generate_series(1, 25) g \gexec
COMMIT;
DISCARD ALL;
SET search_path = advise_again, public;
SET client_min_messages = warning;
\set ECHO all
\o
SELECT fix, evidence->>'no_fix' AS no_fix FROM hone.recommendations WHERE kind = 'row_by_row_write' ORDER BY fix;
SELECT hone.reset_recommendations() > 0 AS reset;

-- nothing: many rows at once; too few; two tables in turns; the same row again; a function
\o /dev/null
\set ECHO none
SELECT format('INSERT INTO item (name) SELECT ''bulk '' || i FROM generate_series(1, 5) i WHERE i > %s - %s', g, g) FROM generate_series(1, 30) g \gexec
SELECT format('INSERT INTO item (name) VALUES (''a%s''), (''b%s'')', g, g) FROM generate_series(1, 30) g \gexec
DISCARD ALL;
SET search_path = advise_again, public;
SELECT format('INSERT INTO item (name) VALUES (''few %s'')', g) FROM generate_series(1, 10) g \gexec
DISCARD ALL;
SET search_path = advise_again, public;
SELECT x FROM generate_series(1, 30) g, LATERAL (VALUES (1, 'BEGIN'), (2, format('UPDATE item SET price = 1 WHERE name = ''a%s''', g)),
    (3, format('INSERT INTO audit (what) VALUES (''changed %s'')', g)), (4, 'COMMIT')) AS v(o, x) ORDER BY g, o \gexec
DISCARD ALL;
SET search_path = advise_again, public;
SELECT format('UPDATE audit SET what = what || ''x'' WHERE id = 1') FROM generate_series(1, 30) g \gexec
SET hone.track = 'all';
DO $$ BEGIN FOR i IN 1..30 LOOP INSERT INTO advise_again.item (name) VALUES ('loop ' || i); END LOOP; END $$;
DISCARD ALL;
SET search_path = advise_again, public;
SET client_min_messages = warning;
\set ECHO all
\o
SELECT * FROM again();

-- the same query with the same values, in a transaction
\o /dev/null
\set ECHO none
BEGIN;
SELECT 'SELECT price FROM item WHERE name = ''few 3''' FROM generate_series(1, 12) g \gexec
COMMIT;
DISCARD ALL;
SET search_path = advise_again, public;
SET client_min_messages = warning;
\set ECHO all
\o
SELECT * FROM again();
SELECT summary, fix, evidence->>'no_fix' AS instead FROM hone.recommendations WHERE kind = 'repeated_query';
SELECT hone.reset_recommendations() > 0 AS reset;

-- not when it locks, when a value differs among many, or when the table is written meanwhile
\o /dev/null
\set ECHO none
BEGIN;
SELECT 'SELECT price FROM item WHERE name = ''few 3'' FOR UPDATE SKIP LOCKED' FROM generate_series(1, 12) g \gexec
SELECT format('SELECT price FROM item WHERE id IN (1, 2, 3, 4, 5, %s)', g) FROM generate_series(10, 21) g \gexec
SELECT x FROM generate_series(1, 12) g, LATERAL (VALUES (1, 'SELECT count(*) FROM audit'), (2, 'UPDATE audit SET what = ''y'' WHERE id = 2')) AS v(o, x) ORDER BY g, o \gexec
COMMIT;
DISCARD ALL;
SET search_path = advise_again, public;
SET client_min_messages = warning;
\set ECHO all
\o
SELECT * FROM again();

SELECT hone.reset_recommendations() >= 0 AS reset;
SET client_min_messages = warning;
DROP SCHEMA advise_again CASCADE;
