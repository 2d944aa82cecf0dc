-- CPU time of parallel workers is their leader's statement's.
CREATE TABLE stats_work AS SELECT g AS id FROM generate_series(1, 8000) AS g;
ANALYZE stats_work;
CREATE FUNCTION stats_workers(statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) ' || statement LOOP
        IF line ~ 'Workers Launched' THEN
            RETURN NEXT trim(line);
        END IF;
    END LOOP;
END $$;
SET hone.capture_rusage_interval = 0;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
-- the leader only waits
SET parallel_leader_participation = off;
SELECT stats_workers('SELECT count(md5(repeat(id::text, 1000))) FROM stats_work');

-- the same work alone and by workers: CPU time, whatever else the machine does
CREATE VIEW stats_cpu AS
    SELECT sum(calls) AS calls, sum(cpu_user_ms + cpu_sys_ms) AS ms FROM hone.queries
    WHERE datname = current_database() AND query LIKE 'SELECT count(md5(repeat(%';
SET max_parallel_workers_per_gather = 0;
SELECT hone.reset();
SELECT count(md5(repeat(id::text, 1000))) FROM stats_work;
SELECT calls, ms AS alone FROM stats_cpu \gset
SET max_parallel_workers_per_gather = 2;
SELECT hone.reset();
SELECT count(md5(repeat(id::text, 1000))) FROM stats_work;
SELECT :calls AS calls_alone, calls, ms > :alone / 2 AS counted, ms < :alone * 4 AS once FROM stats_cpu;
-- a second call counts its own workers only
SELECT count(md5(repeat(id::text, 1000))) FROM stats_work;
SELECT calls, ms > :alone AS counted, ms < :alone * 8 AS once FROM stats_cpu;
-- nothing of it is left for the statement after it
SELECT count(id) AS idle FROM stats_work WHERE id < 0;
SELECT cpu_user_ms + cpu_sys_ms < :alone / 2 AS idle FROM hone.queries WHERE query LIKE '%AS idle FROM%';
-- a worker's failure half-way: its time until then, and the leader's error
SELECT hone.reset();
SELECT count(md5(repeat(id::text, 1000)) || 1 / (id - 4000)) AS failing FROM stats_work;
SELECT errors, cpu_user_ms + cpu_sys_ms > :alone / 20 AS counted FROM hone.queries WHERE query LIKE '%AS failing FROM%';
-- inside a utility statement it is that statement's
SELECT hone.reset();
CREATE TABLE stats_work_copy AS SELECT count(md5(repeat(id::text, 1000))) FROM stats_work;
SELECT cpu_user_ms + cpu_sys_ms > :alone / 2 AS counted FROM hone.queries WHERE query LIKE 'CREATE TABLE stats_work_copy%';
-- not measured: nothing
SET hone.capture_rusage_interval = -1;
SELECT hone.reset();
SELECT count(md5(repeat(id::text, 1000))) FROM stats_work;
SELECT calls, ms FROM stats_cpu;
DROP VIEW stats_cpu;
DROP FUNCTION stats_workers(text);
DROP TABLE stats_work, stats_work_copy;
RESET ALL;
SELECT hone.reset();
