-- Statistics of tables that hold compressed rows.
SET client_min_messages = warning;

CREATE TABLE an (a int, b text, at timestamptz);
INSERT INTO an SELECT i % 1000, CASE WHEN i % 4 > 0 THEN 'x' || i % 50 END,
    timestamptz '2024-01-01 00:00Z' + i * interval '1 minute'
FROM generate_series(1, 20000) i;
ANALYZE an;
CREATE TABLE an_before AS SELECT attname, n_distinct, null_frac FROM pg_stats WHERE tablename = 'an';
CALL hone.compress('an');

CREATE VIEW an_rows AS SELECT reltuples FROM pg_class WHERE oid = 'an'::regclass;
-- hone.compress analyses by itself
TABLE an_rows;
SELECT count(*) AS differ FROM pg_stats s JOIN an_before b USING (attname)
WHERE s.tablename = 'an' AND (abs(s.n_distinct - b.n_distinct) > 0.01 * abs(b.n_distinct)
    OR abs(s.null_frac - b.null_frac) > 0.01);
SELECT attname, n_distinct FROM pg_stats WHERE tablename = 'an' AND attname IN ('a', 'b') ORDER BY 1;

VACUUM an;
TABLE an_rows;
VACUUM an;
TABLE an_rows;
INSERT INTO an SELECT 1, 'late', now() FROM generate_series(1, 500);
VACUUM an;
TABLE an_rows;
VACUUM ANALYZE an;
TABLE an_rows;
VACUUM (FREEZE) an;
TABLE an_rows;
CREATE INDEX an_a ON an (a);
TABLE an_rows;
REINDEX TABLE an;
TABLE an_rows;
CREATE INDEX CONCURRENTLY an_at ON an (at);
TABLE an_rows;
SET max_parallel_maintenance_workers = 2;
SET min_parallel_table_scan_size = 0;
ALTER TABLE an SET (parallel_workers = 2);
CREATE INDEX an_b ON an (b);
TABLE an_rows;
RESET max_parallel_maintenance_workers;
RESET min_parallel_table_scan_size;
DELETE FROM an WHERE b = 'late' AND at > '2025-01-01' AND ctid < '(100000,1)';
VACUUM ANALYZE an;
TABLE an_rows;

-- estimates follow
CREATE FUNCTION pg_temp.estimate(query text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO plan;
    RETURN plan -> 0 -> 'Plan' ->> 'Plan Rows';
END $$;
SELECT pg_temp.estimate('SELECT * FROM an') BETWEEN 19000 AND 22000 AS total,
    pg_temp.estimate('SELECT * FROM an WHERE a = 5') BETWEEN 10 AND 40 AS equal,
    pg_temp.estimate('SELECT * FROM an WHERE b IS NULL') BETWEEN 4000 AND 6000 AS nulls;
DROP TABLE an CASCADE;
DROP TABLE an_before;

-- a partitioned parent, and a plain inheritance parent
CREATE TABLE anp (id int, v int) PARTITION BY RANGE (id);
CREATE TABLE anp_1 PARTITION OF anp FOR VALUES FROM (0) TO (10000);
CREATE TABLE anp_2 PARTITION OF anp FOR VALUES FROM (10000) TO (20000) PARTITION BY RANGE (id);
CREATE TABLE anp_2a PARTITION OF anp_2 FOR VALUES FROM (10000) TO (20000);
INSERT INTO anp SELECT i, i % 100 FROM generate_series(0, 19999) i;
CALL hone.compress('anp');
ANALYZE anp;
SELECT tablename, inherited, n_distinct FROM pg_stats WHERE tablename LIKE 'anp%' AND attname = 'v' ORDER BY 1;
SELECT relname, reltuples FROM pg_class WHERE relname LIKE 'anp%' ORDER BY 1;
DROP TABLE anp;

CREATE TABLE ani (id int, v int);
CREATE TABLE ani_child () INHERITS (ani);
INSERT INTO ani_child SELECT i, i % 100 FROM generate_series(1, 5000) i;
CALL hone.compress('ani_child');
ANALYZE ani;
SELECT tablename, inherited, n_distinct FROM pg_stats WHERE tablename LIKE 'ani%' AND attname = 'v' ORDER BY 1, 2;
DROP TABLE ani CASCADE;

-- no rows, one row, extended statistics, expression statistics
CREATE TABLE ane (a int, b int);
CALL hone.compress('ane');
ANALYZE ane;
SELECT reltuples FROM pg_class WHERE relname = 'ane';
INSERT INTO ane VALUES (1, 1);
CALL hone.compress('ane');
ANALYZE ane;
SELECT reltuples FROM pg_class WHERE relname = 'ane';
INSERT INTO ane SELECT i % 20, i % 20 FROM generate_series(1, 4000) i;
CALL hone.compress('ane');
CREATE STATISTICS ane_s (ndistinct, dependencies) ON a, b FROM ane;
ANALYZE ane;
SELECT n_distinct, dependencies FROM pg_stats_ext WHERE statistics_name = 'ane_s';
DROP TABLE ane;

-- a function that plans its query in a parallel worker
CREATE TABLE anw (a int);
INSERT INTO anw SELECT generate_series(1, 3000);
CALL hone.compress('anw');
CREATE FUNCTION anw_count(int) RETURNS bigint LANGUAGE plpgsql PARALLEL SAFE AS
    $$ BEGIN RETURN (SELECT count(*) FROM anw WHERE a > $1); END $$;
SELECT set_config(name, 'on', false) AS forced FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT anw_count(1000);
SELECT set_config(name, 'off', false) AS forced FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
DROP FUNCTION anw_count(int);
DROP TABLE anw;

-- an index expression that scans the table that is being analyzed
CREATE TABLE anx (a int, b int);
INSERT INTO anx SELECT i, i % 10 FROM generate_series(1, 3000) i;
CREATE FUNCTION anx_rows(int) RETURNS bigint LANGUAGE sql IMMUTABLE AS
    'SELECT count(*) FROM public.anx';
CALL hone.compress('anx');
INSERT INTO anx VALUES (3001, 1);
CREATE INDEX ON anx (anx_rows(b)) WHERE a > 3000;
ANALYZE anx;
SELECT reltuples FROM pg_class WHERE relname = 'anx';
DROP TABLE anx CASCADE;
DROP FUNCTION anx_rows(int);
