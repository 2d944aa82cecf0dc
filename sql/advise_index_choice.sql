-- Indexes for the whole workload: one for several statements, within a budget, less what writing costs.
CREATE SCHEMA advise_choice;
SET search_path = advise_choice, public;
SET client_min_messages = warning;
SET max_parallel_workers_per_gather = 0;
CREATE TABLE item (id int PRIMARY KEY, a int, b int, c int, d int, e int, note text) WITH (autovacuum_enabled = off);
INSERT INTO item SELECT g, g % 10000, g * 7 % 1009, g * 11 % 1013, g * 13 % 503, g * 17 % 509, 'item ' || g FROM generate_series(1, 30000) g;
VACUUM ANALYZE item;
-- counts are written when they are a second old
SELECT pg_stat_force_next_flush();
CREATE FUNCTION again() RETURNS boolean LANGUAGE sql AS 'SELECT hone.reset_recommendations() >= 0';
CREATE VIEW shown AS
SELECT r.id, regexp_replace(r.summary, '.*no index on ', '') AS wanted, regexp_replace(r.fix, '^CREATE INDEX CONCURRENTLY ON advise_choice.', '') AS fix,
    regexp_replace(r.evidence->>'no_fix', '[0-9]+', 'N', 'g') AS no_fix, regexp_replace(o.summary, '.*no index on ', '') AS index_of, r.evidence, r.saving_ms
FROM hone.recommendations r LEFT JOIN hone.recommendations o ON o.id = (r.evidence->>'index_of_recommendation')::bigint WHERE r.kind = 'missing_index';

-- one index serves both nearly as well as each its own: what is behind the column that finds three rows matters little
SELECT again();
\o /dev/null
SELECT note FROM item WHERE a = 7 AND b = 7;
SELECT note FROM item WHERE a = 8 AND c = 8;
\o
SELECT count(*) AS statements, count(DISTINCT fix) AS indexes, count(index_of) AS of_the_other, count(evidence->'why_not_its_own') AS explained FROM shown;
-- it says whom it serves, and what of
SELECT bool_and(jsonb_array_length(evidence->'serves') = 2) AS both, bool_and((evidence->>'saves_ms_per_hour')::float8 > 0) AS saves,
    bool_and((s->>'cost_with_index')::float8 < (s->>'cost')::float8 / 2 AND (s->>'ms_expected')::float8 < (s->>'ms')::float8 / 2 AND (s->>'calls')::int = 1) AS cheaper,
    count(DISTINCT s->>'queryid') AS queries, bool_and(evidence->>'writes' = 'not counted for an hour yet') AS writes
FROM shown, jsonb_array_elements(evidence->'serves') s;
-- and the two have their own where that makes a difference
SELECT again();
\o /dev/null
SELECT note FROM item WHERE d = 7 AND b = 7;
SELECT note FROM item WHERE e = 8 AND c = 8;
\o
SELECT wanted, fix, index_of FROM shown ORDER BY wanted;

-- a budget is for the index that saves most of the time; less than any needs is for none
SELECT again();
\o /dev/null
SELECT note FROM item WHERE d = 7;
\set ECHO none
SELECT format('SELECT note FROM item WHERE e = %s', g % 500) FROM generate_series(1, 60) g \gexec
\set ECHO all
\o
SELECT wanted, fix FROM shown ORDER BY wanted;
SELECT setting, unit, context FROM pg_settings WHERE name = 'hone.index_budget';
SET hone.index_budget = '400kB';
SELECT wanted, fix, no_fix, saving_ms > 0 AS saves FROM shown ORDER BY wanted;
SET hone.index_budget = '16kB';
SELECT wanted, fix, no_fix, saving_ms > 0 AS saves FROM shown ORDER BY wanted;
-- what is smaller than the best one comes in its place
SELECT again();
\o /dev/null
SELECT sum(d) FROM item WHERE b BETWEEN 7 AND 60 AND e > 0;
\o
SET hone.index_budget = 0;
SELECT wanted, fix, index_of FROM shown;
SET hone.index_budget = '900kB';
SELECT wanted, fix, no_fix, evidence->>'why_not_its_own' AS why, evidence->'index_of_recommendation' AS of FROM shown;
RESET hone.index_budget;
SELECT t->>'index' AS index, t->>'why_not' AS why_not FROM shown, jsonb_array_elements(evidence->'tried') t;

-- what is written to the table, as a worker saw it two hours ago
SELECT again();
\o /dev/null
SELECT note FROM item WHERE d = 7;
\o
CREATE FUNCTION written(inserted bigint, updated bigint, hot bigint) RETURNS void LANGUAGE sql AS $$
    INSERT INTO hone._table_writes VALUES ('item'::regclass, current_date, now() - interval '2 hours', pg_stat_get_tuples_inserted('item'::regclass) - inserted,
        pg_stat_get_tuples_updated('item'::regclass) - updated, pg_stat_get_tuples_hot_updated('item'::regclass) - hot, 0)
    ON CONFLICT (relation, day) DO UPDATE SET noted_at = EXCLUDED.noted_at, inserted = EXCLUDED.inserted, updated = EXCLUDED.updated, hot_updated = EXCLUDED.hot_updated
$$;
CREATE VIEW writes AS SELECT wanted, fix, no_fix, saving_ms > 0 AS saves, round((evidence->>'index_entries_per_hour')::numeric / 1e6) AS mio_entries, round((evidence->>'hot_updates_lost_per_hour')::numeric / 1e6) AS mio_hot_lost,
    (evidence->>'write_ms_per_hour')::float8 > 0 AS cost, evidence->>'writes' AS counted FROM shown;
SELECT written(20, 0, 0);
SELECT * FROM writes;
SELECT written(2000000000, 0, 0);
SELECT * FROM writes;
SELECT written(0, 2000000000, 0);
SELECT * FROM writes;
-- HOT updates put nothing into an index, if none of its columns is set
SELECT written(0, 2000000000, 2000000000);
SELECT * FROM writes;
SELECT hone.reset() IS NOT NULL AS reset;
UPDATE item SET note = 'x' WHERE id = 1;
UPDATE advise_choice.item SET note = 'x' WHERE id BETWEEN 2 AND 4;
SELECT * FROM writes;
-- a third of the rows are of statements that set one
SELECT again();
\o /dev/null
SELECT id FROM item WHERE d = 7;
\o
WITH changed AS (UPDATE item i SET e = i.e + 1, d = i.d + 1 WHERE id = 5 RETURNING 1) SELECT count(*) FROM changed;
INSERT INTO item VALUES (6) ON CONFLICT (id) DO UPDATE SET d = 1;
SELECT pg_stat_force_next_flush();
SELECT written(0, 240, 240);
SELECT wanted, fix IS NOT NULL AS fix, round((evidence->>'index_entries_per_hour')::numeric, -1) AS entries, round((evidence->>'hot_updates_lost_per_hour')::numeric, -1) AS hot_lost FROM shown;
-- another table's of that name, by its schema
UPDATE item SET note = 'x' WHERE id = 7;
DO $$ BEGIN EXECUTE 'CREATE SCHEMA elsewhere'; EXECUTE 'CREATE TABLE elsewhere.item (d int)'; EXECUTE 'INSERT INTO elsewhere.item SELECT 1 FROM generate_series(1, 100)'; EXECUTE 'UPDATE elsewhere.item SET d = 2'; END $$;
SELECT wanted, fix IS NOT NULL AS fix, round((evidence->>'hot_updates_lost_per_hour')::numeric, -1) AS hot_lost FROM shown;
-- counts that were set back say nothing
SELECT pg_stat_force_next_flush();
UPDATE hone._index_use SET since = now() - interval '2 hours' WHERE index = 0;
UPDATE hone._table_writes SET inserted = 1000000000 WHERE relation = 'item'::regclass;
CALL hone._note_index_use();
SELECT inserted < 100000 AS anew, noted_at > now() - interval '1 min' AS now FROM hone._table_writes WHERE relation = 'item'::regclass;
SELECT * FROM writes;
-- notes: of yesterday and today
UPDATE hone._table_writes SET day = current_date - 1, noted_at = now() - interval '20 hours' WHERE relation = 'item'::regclass;
INSERT INTO hone._table_writes VALUES ('item'::regclass, current_date - 2, now() - interval '60 hours', 0, 0, 0, 0);
UPDATE hone._index_use SET since = now() - interval '2 hours' WHERE index = 0;
CALL hone._note_index_use();
SELECT current_date - day AS days FROM hone._table_writes WHERE relation = 'item'::regclass ORDER BY day;
SELECT round(seconds / 3600) AS hours FROM hone._write_rate('item'::regclass);

-- who may not see pg_hone's tables sees what writing costs
CREATE ROLE hone_choice_reader;
GRANT USAGE ON SCHEMA advise_choice TO hone_choice_reader;
GRANT SELECT ON item, shown, writes TO hone_choice_reader;
SET ROLE hone_choice_reader;
SELECT wanted, fix, evidence ? 'write_ms_per_hour' AS counted FROM shown;
SELECT * FROM hone._write_rate('item'::regclass);
RESET ROLE;


-- indexes that other kinds recommend share the budget
SELECT again();
\o /dev/null
SELECT id FROM item WHERE lower(note) = 'item 5';
\o
SELECT fix, evidence->>'planner_uses_index' AS used FROM hone.recommendations WHERE kind = 'function_on_column';
SET hone.index_budget = '16kB';
SELECT fix, regexp_replace(evidence->>'no_fix', '[0-9]+', 'N') AS no_fix FROM hone.recommendations WHERE kind = 'function_on_column';
RESET hone.index_budget;

-- one that takes the place of another is written to no more than that: room and writes count only as far as they are more
CREATE INDEX item_b ON item (b);
ANALYZE item;
SET hone.advise_filter_rows = 20;
SELECT again();
\o /dev/null
SELECT note FROM item WHERE b = 7 AND d = 7;
SELECT note FROM item WHERE b = 7 AND d = 8;
\o
SELECT written(2000000000, 0, 0);
SELECT wanted, fix, evidence->>'replaces' AS replaces, evidence->>'index_entries_per_hour' AS entries FROM shown;
DROP INDEX item_b;

DROP SCHEMA advise_choice, elsewhere CASCADE;
DROP ROLE hone_choice_reader;
