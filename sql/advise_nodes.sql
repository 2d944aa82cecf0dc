-- Nodes that spill to disk, scans whose rows the planner did not expect.
CREATE SCHEMA advise_nodes;
SET search_path = advise_nodes, public;
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE big (id int PRIMARY KEY, a int, b int, c int, pad text) WITH (autovacuum_enabled = off);
INSERT INTO big SELECT g, g % 100, g % 100, g, md5(g::text) FROM generate_series(1, 20000) g;
ANALYZE big;
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE FUNCTION spills() RETURNS TABLE (node text, fix_mb int, spilled boolean) LANGUAGE sql AS $$
    SELECT evidence->>'node', substring(fix from '(\d+)MB')::int, (evidence->>'spilled_kb_per_execution')::int > 64
    FROM hone.recommendations WHERE kind = 'disk_spill' ORDER BY 1
$$;

-- none: enough memory; too little written
\o /dev/null
\set ECHO none
SELECT pad FROM big ORDER BY pad OFFSET 10;
SELECT pad, count(*) FROM big GROUP BY pad OFFSET 10;
SET work_mem = '64kB';
SELECT pad FROM big ORDER BY pad OFFSET 10;
\set ECHO all
\o
SELECT * FROM spills();

SET hone.advise_spill = '64kB';
SET hash_mem_multiplier = 1;
\o /dev/null
\set ECHO none
SELECT * FROM big ORDER BY pad;
SET enable_sort = off; SET enable_mergejoin = off; SET enable_nestloop = off;
SELECT pad, count(*) FROM big GROUP BY pad;
SELECT x.id FROM big x JOIN big y USING (pad);
RESET enable_sort; RESET enable_mergejoin; RESET enable_nestloop;
SET enable_hashjoin = off; SET enable_mergejoin = off;
SELECT count(y.pad) FROM big x LEFT JOIN big y ON y.pad > x.pad WHERE x.id <= 3;
RESET enable_hashjoin; RESET enable_mergejoin;
WITH w AS MATERIALIZED (SELECT * FROM big) SELECT count(*) FROM w x, (SELECT min(id) AS m FROM w) y WHERE x.id = y.m;
\set ECHO all
\o
SELECT node, fix_mb BETWEEN 1 AND 12 AS sensible, spilled FROM spills();
SELECT regexp_replace(summary, '\d+ ?(MB|kB)', 'N \1', 'g') AS summary, regexp_replace(evidence->>'for_role', '(ALTER ROLE ).*( IN DATABASE ).*( SET .*'').*MB', '\1...\2...\3...MB') AS for_role,
       saving_ms > 0 AND saving_ms <= cost_ms AS saves
FROM hone.recommendations WHERE kind = 'disk_spill' ORDER BY 1;

-- with what is recommended they do not spill
SELECT fix AS set_sort FROM hone.recommendations WHERE kind = 'disk_spill' AND evidence->>'node' = 'sort' \gset
SELECT fix AS set_hash FROM hone.recommendations WHERE kind = 'disk_spill' AND evidence->>'node' = 'hash join' \gset
SELECT fix AS set_agg FROM hone.recommendations WHERE kind = 'disk_spill' AND evidence->>'node' = 'hash aggregate' \gset
SELECT fix AS set_cte FROM hone.recommendations WHERE kind = 'disk_spill' AND evidence->>'node' = 'common table expression' \gset
SELECT fix AS set_store FROM hone.recommendations WHERE kind = 'disk_spill' AND evidence->>'node' = 'materialized subplan' \gset
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
:set_sort;
SELECT * FROM big ORDER BY pad;
SET enable_sort = off; SET enable_mergejoin = off; SET enable_nestloop = off;
:set_agg;
SELECT pad, count(*) FROM big GROUP BY pad;
:set_hash;
SELECT x.id FROM big x JOIN big y USING (pad);
RESET enable_sort; RESET enable_mergejoin; RESET enable_nestloop;
:set_store;
SET enable_hashjoin = off; SET enable_mergejoin = off;
SELECT count(y.pad) FROM big x LEFT JOIN big y ON y.pad > x.pad WHERE x.id <= 3;
RESET enable_hashjoin; RESET enable_mergejoin;
:set_cte;
WITH w AS MATERIALIZED (SELECT * FROM big) SELECT count(*) FROM w x, (SELECT min(id) AS m FROM w) y WHERE x.id = y.m;
\set ECHO all
\o
RESET work_mem; RESET hash_mem_multiplier; RESET hone.advise_spill;
SELECT * FROM spills();

-- rows that the planner did not expect
CREATE FUNCTION expected() RETURNS TABLE (relation regclass, fix text, columns text, expected numeric, actual numeric, summary text) LANGUAGE sql AS $$
    SELECT relation, fix, evidence->>'columns', (evidence->>'rows_expected')::numeric, (evidence->>'rows_p50')::numeric, summary
    FROM hone.recommendations WHERE kind = 'stale_statistics' ORDER BY 1::text, 2
$$;
CREATE TABLE grown (id int, kind int) WITH (autovacuum_enabled = off);
INSERT INTO grown SELECT g, 1 FROM generate_series(1, 100) g;
ANALYZE grown;
INSERT INTO grown SELECT g, 2 FROM generate_series(1, 5000) g;
SELECT pg_stat_force_next_flush();
-- none: as expected; stopped early; a parameter; a guess; few rows
\o /dev/null
\set ECHO none
SELECT * FROM big WHERE a = 1;
SELECT * FROM big WHERE id > 0 LIMIT 1;
SELECT count(*) FROM big WHERE abs(id) > 0;
SELECT count(*) FROM big WHERE pad LIKE '%a%';
SET plan_cache_mode = force_generic_plan;
PREPARE g(int) AS SELECT count(*) FROM grown WHERE kind = $1;
EXECUTE g(2);
DEALLOCATE g;
RESET plan_cache_mode;
\set ECHO all
\o
SELECT * FROM expected();
-- changed since it was analyzed; columns that depend on each other
\o /dev/null
\set ECHO none
SET hone.advise_misestimate = 50;
SELECT count(*) FROM grown WHERE kind = 2;
CREATE TABLE pair (a int, b int, c text) WITH (autovacuum_enabled = off);
INSERT INTO pair SELECT g % 200, g % 200, 'x' FROM generate_series(1, 300000) g;
SELECT pg_stat_force_next_flush();
ANALYZE pair;
SELECT count(*) FROM pair WHERE a = 5 AND b = 5;
SELECT count(*) FROM pair WHERE c = 'x' AND a = 7 AND b >= 100;
\set ECHO all
\o
SELECT relation, fix, columns, expected BETWEEN 1 AND 60 AS expected_few, actual FROM expected();
SELECT regexp_replace(summary, 'expected \d+', 'expected N') AS summary FROM expected();
-- mended
SELECT fix, evidence->>'then' AS "then" FROM hone.recommendations WHERE kind = 'stale_statistics' ORDER BY fix COLLATE "C" \gexec
SELECT count(*) FROM expected();
\o /dev/null
\set ECHO none
SELECT count(*) FROM grown WHERE kind = 2;
SELECT count(*) FROM pair WHERE a = 5 AND b = 5;
\set ECHO all
\o
SELECT count(*) FROM expected();
RESET hone.advise_misestimate;
SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_nodes CASCADE;
