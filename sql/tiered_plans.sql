-- Plans over compressed rows: pruning, prepared statements, cursors, system
-- columns, triggers, row security.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TABLE pl (at timestamptz, id int, v text);
INSERT INTO pl SELECT timestamptz '2024-01-01 00:00Z' + i * interval '1 minute', i, 'v' || i % 100 FROM generate_series(1, 30000) i;
PREPARE before_compress(int) AS SELECT count(*), min(id), max(v) FROM pl WHERE id > $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE before_compress(29990);
CALL hone.compress('pl');
EXECUTE before_compress(29990);
INSERT INTO pl VALUES ('2025-01-01', 30001, 'plain'), (NULL, 30002, 'no time');
EXECUTE before_compress(29990);
CALL hone.compress('pl');
EXECUTE before_compress(29990);
INSERT INTO pl VALUES ('2025-06-01', 30003, 'plain');
RESET plan_cache_mode;

-- batches read and skipped; conditions of every form
CREATE FUNCTION pg_temp.batches(query text, OUT rows bigint, OUT read int, OUT skipped int) LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING off, SUMMARY off, FORMAT json) ' || query INTO plan;
    rows := (plan -> 0 -> 'Plan' ->> 'Actual Rows')::float8;
    read := plan -> 0 -> 'Plan' ->> 'Batches Read';
    skipped := plan -> 0 -> 'Plan' ->> 'Batches Skipped';
END $$;
SELECT * FROM pg_temp.batches('SELECT * FROM pl');
SELECT * FROM pg_temp.batches('SELECT * FROM pl WHERE at < ''2024-01-02''');
SELECT * FROM pg_temp.batches('SELECT * FROM pl WHERE at >= ''2024-01-02 00:00Z'' AND at < ''2024-01-03''::timestamptz');
SELECT * FROM pg_temp.batches('SELECT * FROM pl WHERE ''2024-01-02''::timestamptz > at');
SELECT * FROM pg_temp.batches('SELECT * FROM pl WHERE at = ''2030-01-01''');
SELECT * FROM pg_temp.batches('SELECT * FROM pl WHERE at > ''infinity''');
SELECT * FROM pg_temp.batches('SELECT * FROM pl WHERE at >= ''-infinity''');
SELECT * FROM pg_temp.batches('SELECT * FROM pl WHERE at < ''-infinity''');
SELECT rows FROM pg_temp.batches('SELECT * FROM pl WHERE at > NULL');
SELECT rows FROM pg_temp.batches('SELECT * FROM pl WHERE at IS NULL');
SELECT rows FROM pg_temp.batches('SELECT * FROM pl WHERE at < ''2024-01-02''::date');
SELECT rows FROM pg_temp.batches('SELECT * FROM pl WHERE at < ''2024-01-02''::timestamp');
SELECT rows FROM pg_temp.batches('SELECT * FROM pl WHERE at < now() - (now() - timestamptz ''2024-01-02'')');
SET timezone = 'Asia/Tokyo';
SELECT rows FROM pg_temp.batches('SELECT * FROM pl WHERE at < ''2024-01-02''::date');
SELECT rows FROM pg_temp.batches('SELECT * FROM pl WHERE at < ''2024-01-02''::timestamp');
SET timezone = 'UTC';

-- EXPLAIN in every format
CREATE FUNCTION pg_temp.explains(options text) RETURNS bool LANGUAGE plpgsql AS $$
DECLARE line text; lines text := '';
BEGIN
    FOR line IN EXECUTE format('EXPLAIN (%s) SELECT id FROM pl WHERE at < ''2024-01-02''', options) LOOP lines := lines || line || E'\n'; END LOOP;
    RETURN lines LIKE '%HoneTieredScan%' AND (options NOT LIKE '%ANALYZE%' OR lines ~ 'Batches.(Read|Skipped)');
END $$;
SELECT o, pg_temp.explains(o) FROM unnest(ARRAY['COSTS off', 'VERBOSE, FORMAT text', 'ANALYZE, FORMAT text', 'ANALYZE, BUFFERS, WAL, SETTINGS, FORMAT json', 'ANALYZE, FORMAT yaml', 'ANALYZE, FORMAT xml', 'GENERIC_PLAN']) o WHERE o <> 'GENERIC_PLAN';

-- rescans with parameters
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT d, (SELECT count(*) FROM pl WHERE at >= d AND at < d + interval '1 hour') FROM unnest(ARRAY['2024-01-01', '2024-01-10', NULL, '2025-01-01', '2024-01-20 20:00']::timestamptz[]) d;
SELECT d, x.* FROM unnest(ARRAY['2024-01-01', '2024-01-10', '2025-01-01', '2025-06-01']::timestamptz[]) d, LATERAL (SELECT id, v FROM pl WHERE at >= d ORDER BY at LIMIT 2) x;
SELECT count(*) FROM pl x WHERE x.id % 7000 = 0 AND EXISTS (SELECT FROM pl y WHERE y.at = x.at AND y.id = x.id);
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT id FROM pl WHERE at > '2024-01-21' LIMIT 3;
SELECT id FROM pl LIMIT 0;
SELECT count(*) FROM pl WHERE false;
SELECT count(*) FROM pl WHERE at < '2024-01-02' AND id = ANY (SELECT id FROM pl WHERE v = 'v5');
-- an expression that fails, behind one that is false for all rows
SELECT count(*) FROM pl x JOIN pl y USING (at) WHERE x.v = 'v1' AND y.v = 'v1';

-- system columns
SELECT ctid >= '(0,1)' AS ctid, tableoid::regclass, id FROM pl WHERE id = 7;
SELECT id FROM pl WHERE ctid = (SELECT ctid FROM pl WHERE id = 12345);
SELECT id FROM pl WHERE ctid = ANY (ARRAY(SELECT ctid FROM pl WHERE id IN (1, 30000, 30003))) ORDER BY 1;
SELECT count(DISTINCT ctid), count(*) FROM pl;
SELECT count(xmin) AS xmin, count(*) FILTER (WHERE xmax::text = '0') AS xmax, count(cmin) AS cmin FROM pl;
SELECT id, xmax FROM pl WHERE xmin IS NOT NULL AND id < 3;
SELECT pl FROM pl WHERE id = 9;
SELECT (pl).v, row_to_json(pl) FROM pl WHERE id = 9;
SELECT count(pl) FROM pl;

-- cursors
BEGIN;
DECLARE s SCROLL CURSOR FOR SELECT id FROM pl WHERE id % 1000 = 0 OR id > 30000;
FETCH 3 FROM s;
MOVE FORWARD ALL IN s;
FETCH BACKWARD 2 FROM s;
FETCH ABSOLUTE 5 FROM s;
FETCH RELATIVE -3 FROM s;
FETCH LAST FROM s;
FETCH NEXT FROM s;
FETCH PRIOR FROM s;
FETCH FIRST FROM s;
FETCH BACKWARD ALL FROM s;
DECLARE sys SCROLL CURSOR FOR SELECT id, xmin IS NOT NULL AS x FROM pl WHERE id IN (1, 2, 30000, 30003);
FETCH ALL FROM sys;
FETCH BACKWARD ALL FROM sys;
FETCH 3 FROM sys;
FETCH BACKWARD 1 FROM sys;
FETCH ABSOLUTE -1 FROM sys;
FETCH FORWARD 1 FROM sys;
FETCH BACKWARD 2 FROM sys;
DECLARE h CURSOR WITH HOLD FOR SELECT count(*) FROM pl;
SAVEPOINT a;
FETCH NEXT FROM s;
SELECT 1 / (id - 5) FROM pl WHERE id = 5;
ROLLBACK TO a;
SELECT count(*) FROM pl;
COMMIT;
FETCH h;
CLOSE h;

-- triggers, rules of inserting, generated and identity columns, RLS
CREATE TABLE pl_log (what text, n bigint);
CREATE FUNCTION pl_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pl_log SELECT tg_op || ' ' || tg_level, count(*) FROM pl; RETURN new; END $$;
CREATE FUNCTION pl_stmt() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO pl_log SELECT 'new rows', count(*) FROM new_rows; RETURN NULL; END $$;
CREATE TRIGGER a BEFORE INSERT ON pl FOR EACH ROW EXECUTE FUNCTION pl_row();
CREATE TRIGGER b AFTER INSERT ON pl FOR EACH ROW EXECUTE FUNCTION pl_row();
CREATE TRIGGER c AFTER INSERT ON pl REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION pl_stmt();
CREATE CONSTRAINT TRIGGER d AFTER INSERT ON pl DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pl_row();
INSERT INTO pl VALUES ('2025-07-01', 30004, 'by trigger'), ('2025-07-01', 30005, 'by trigger');
CALL hone.compress('pl');
TABLE pl_log;
ALTER TABLE pl ENABLE ROW LEVEL SECURITY;
CREATE POLICY pl_policy ON pl USING (id > 30000);
CREATE FUNCTION pl_leak(int) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN IF $1 <= 30000 THEN RAISE EXCEPTION 'leaked %', $1; END IF; RETURN true; END $$;
CREATE ROLE pl_role;
GRANT SELECT ON pl TO pl_role;
SET ROLE pl_role;
SELECT count(*) FROM pl WHERE pl_leak(id);
SELECT count(*) FROM pl WHERE at > '2024-01-01';
RESET ROLE;
DROP POLICY pl_policy ON pl;
DROP OWNED BY pl_role;
DROP ROLE pl_role;

-- parallel plans around it
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SELECT set_config(name, 'regress', false) AS forced FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT count(*), sum(id), max(v) FROM pl;
SELECT count(*) FROM pl x JOIN pl y USING (id);
SELECT set_config(name, 'off', false) AS forced FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
RESET min_parallel_table_scan_size;

DROP TABLE pl, pl_log;
DROP FUNCTION pl_row, pl_stmt, pl_leak;
