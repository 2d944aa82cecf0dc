-- The history: each call once, whether written yet, summed up, or neither.
-- the worker would write and sum up beside it
ALTER SYSTEM SET hone.worker = off;
SELECT pg_reload_conf();
CREATE VIEW hist_live AS
    SELECT query, calls, errors, rows, min_exec_ms, max_exec_ms, p50_ms, p99_ms FROM hone.queries
    WHERE query LIKE 'SELECT % AS hist\_%' AND datname = current_database();
CREATE VIEW hist_past AS
    SELECT query, calls, errors, rows, min_exec_ms, max_exec_ms, p50_ms, p99_ms FROM hone.latency_between(now() - interval '1 hour')
    WHERE query LIKE 'SELECT % AS hist\_%';
-- what both say of the same calls must be the same
CREATE VIEW hist_compare AS
    SELECT l.query, l.calls, p.calls = l.calls AS calls_equal, p.errors = l.errors AS errors_equal, p.rows = l.rows AS rows_equal,
           p.min_exec_ms = l.min_exec_ms AS min_equal, p.max_exec_ms = l.max_exec_ms AS max_equal,
           p.p50_ms = l.p50_ms AND p.p99_ms = l.p99_ms AS percentiles_equal
    FROM hist_live AS l LEFT JOIN hist_past AS p USING (query);
SELECT hone.reset();

-- counted, not written yet
SELECT 1 AS hist_one;
SELECT 2 AS hist_one;
SELECT id / (id - 3) AS hist_two FROM generate_series(1, 5) AS id;
SELECT pg_sleep(0.02) AS hist_slow;
SELECT * FROM hist_compare ORDER BY query COLLATE "C";
-- written
CALL hone._write_history();
SELECT * FROM hist_compare ORDER BY query COLLATE "C";
-- both
SELECT 3 AS hist_one;
SELECT id / (id - 30) AS hist_two FROM generate_series(1, 5) AS id;
SELECT * FROM hist_compare ORDER BY query COLLATE "C";
CALL hone._write_history();
CALL hone._write_history();
SELECT * FROM hist_compare ORDER BY query COLLATE "C";

-- what a transaction took and did not commit is still counted, and written later
SELECT 4 AS hist_one;
CREATE FUNCTION hist_refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'raise_exception'; END $$;
CREATE TRIGGER hist_refuse BEFORE UPDATE ON hone._history_state EXECUTE FUNCTION hist_refuse();
CALL hone._write_history();
SELECT * FROM hist_compare ORDER BY query COLLATE "C";
DROP TRIGGER hist_refuse ON hone._history_state;
DROP FUNCTION hist_refuse;
CALL hone._write_history();
SELECT * FROM hist_compare ORDER BY query COLLATE "C";

-- not for everybody, and not by hand
SELECT * FROM hone._history_take();
CREATE ROLE hist_role;
SET ROLE hist_role;
SELECT 5 AS hist_of_role;
SELECT query, calls FROM hist_past;
SELECT query, calls FROM hone.latency_between(now() - interval '1 hour') WHERE query LIKE '%AS hist%';
SELECT count(*) FROM hone.history;
SELECT * FROM hone._history_live();
CALL hone._write_history();
SELECT count(*) >= 0 AS allowed FROM hone.regressions;
RESET ROLE;

-- windows that make no sense
SELECT * FROM hone.latency_between(now(), now() - interval '1 hour');
SELECT count(*) FROM hone.latency_between('-infinity', '2020-01-01');
SELECT count(*) > 0 AS all_of_it FROM hone.latency_between('-infinity', 'infinity');
SELECT count(*) FROM hone.latency_between(now() + interval '1 hour', now() + interval '2 hours');

-- Hours and days: minutes of the last three days, of two made-up queries, one
-- of them with two roles. Nothing else is summed up here.
CREATE FUNCTION hist_partition(level text, span interval, at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    since timestamptz := date_bin(span, at, '2000-01-01 00:00+00');
    name text := format('_history_%s_%s', level, to_char(since AT TIME ZONE 'UTC', 'YYYYMMDD"t"HH24MI'));
BEGIN
    IF to_regclass('hone.' || name) IS NOT NULL THEN RETURN; END IF;
    EXECUTE format('CREATE TABLE hone.%I (LIKE hone.history INCLUDING CONSTRAINTS) USING heap', name);
    EXECUTE format('ALTER EXTENSION pg_hone ADD TABLE hone.%I', name);
    EXECUTE format('ALTER TABLE hone._history_%s ATTACH PARTITION hone.%I FOR VALUES FROM (%L) TO (%L)', level, name, since, since + span);
END $$;
SELECT count(*) >= 18 AS enough FROM (SELECT hist_partition('minutes', '4 hours', g)
    FROM generate_series(date_trunc('day', now() - interval '3 days', 'UTC'), now(), '4 hours') AS g) AS s;
-- one call of i ms per minute: histogram of one bucket
CREATE FUNCTION hist_bytes(ms float8) RETURNS bytea LANGUAGE sql AS $$
    -- bucket as in histogram.h, then LEB128
    SELECT set_byte(set_byte('\x000001'::bytea, 0, (b & 127) | 128), 1, b >> 7)
    FROM (SELECT (e - 6 + 1) * 64 + (floor(ns / 2 ^ (e - 6))::bigint & 63)::int AS b
          FROM (SELECT ms * 1e6 AS ns, floor(log(2::numeric, (ms * 1e6)::numeric))::int AS e) AS x) AS y
$$;
CREATE FUNCTION hist_add(id bigint, role oid, at timestamptz, ms float8, failed int DEFAULT 0) RETURNS bigint LANGUAGE sql AS $$
    INSERT INTO hone.history (rollup, since, until, kind, queryid, userid, toplevel, calls, errors, rows, total_ms, min_ms, max_ms, m2,
        plans, plan_ms, reads, writes, shared_blks_hit, shared_blks_read, shared_blks_dirtied, shared_blks_written,
        temp_blks_read, temp_blks_written, blk_read_ms, blk_write_ms, wal_bytes, waits, histogram)
    VALUES ('minutes', at, at + interval '1 minute', 'query', id, role, true, 1, failed, 2, ms, ms, ms, 0,
        0, 0, 1, 0, 3, 0, 0, 0, 0, 0, 0, 0, 7, '{1,0,0,0,0}', hist_bytes(ms))
    RETURNING queryid
$$;
UPDATE hone._history_state SET hours_until = date_trunc('day', now() - interval '3 days', 'UTC'), days_until = date_trunc('day', now() - interval '3 days', 'UTC');
SELECT count(hist_add(1001, 10, g, 1 + extract(epoch FROM g - date_trunc('day', now() - interval '3 days', 'UTC')) / 6000)) > 300 AS some
FROM generate_series(date_trunc('day', now() - interval '3 days', 'UTC'), now() - interval '2 hours', '10 minutes') AS g;
SELECT count(hist_add(1002, role, g, 5, 1)) > 50 AS some
FROM generate_series(date_trunc('day', now() - interval '3 days', 'UTC') + interval '7 minutes', now() - interval '2 hours', '100 minutes') AS g, unnest('{10,11}'::oid[]) AS role;
-- for regressions, below: slower, with enough calls
SELECT count(hist_add(2001, 10, now() - interval '30 hours' + i * interval '10 minutes', 10 + i % 7)) FROM generate_series(1, 100) AS i;
SELECT count(hist_add(2001, 10, now() - interval '50 minutes', 40 + i % 7)) FROM generate_series(1, 60) AS i;
-- the same, with five calls of late
SELECT count(hist_add(2002, 10, now() - interval '30 hours' + i * interval '10 minutes', 10 + i % 7)) FROM generate_series(1, 100) AS i;
SELECT count(hist_add(2002, 10, now() - interval '50 minutes', 40 + i % 7)) FROM generate_series(1, 5) AS i;
-- slower at times before, too: 1 in 10 takes 50 ms, then 1 in 8 does
SELECT count(hist_add(2003, 10, now() - interval '30 hours' + i * interval '10 minutes', CASE WHEN i % 10 = 0 THEN 50 ELSE 10 END)) FROM generate_series(1, 100) AS i;
SELECT count(hist_add(2003, 10, now() - interval '50 minutes', CASE WHEN i % 8 = 0 THEN 50 ELSE 10 END)) FROM generate_series(1, 60) AS i;
-- twice as fast
SELECT count(hist_add(2004, 10, now() - interval '30 hours' + i * interval '10 minutes', 20)) FROM generate_series(1, 100) AS i;
SELECT count(hist_add(2004, 10, now() - interval '50 minutes', 10)) FROM generate_series(1, 60) AS i;
-- several windows, with borders in the middle of days and hours
CREATE TABLE hist_windows AS
SELECT n, s AS since, u AS until FROM (VALUES
    (1, now() - interval '1 day 20 hours 20 minutes', now() - interval '5 hours 50 minutes'),
    (2, now() - interval '26 hours', now() - interval '25 hours 30 minutes'),
    (3, date_trunc('day', now(), 'UTC') - interval '2 days', date_trunc('day', now(), 'UTC') - interval '1 day'),
    (4, date_trunc('day', now(), 'UTC') - interval '3 days', now()),
    (5, date_trunc('day', now(), 'UTC') - interval '12 hours', date_trunc('day', now(), 'UTC') - interval '3 hours'),
    (6, date_trunc('hour', now(), 'UTC') - interval '30 hours 30 minutes', date_trunc('hour', now(), 'UTC') - interval '29 hours 40 minutes')) AS w(n, s, u);
CREATE VIEW hist_windowed AS
SELECT w.n, l.queryid, l.calls, l.errors, l.rows, round(l.total_exec_ms::numeric, 3) AS total_ms, l.min_exec_ms, l.max_exec_ms,
       round(l.stddev_exec_ms::numeric, 6) AS stddev, l.p50_ms, l.p95_ms
FROM hist_windows AS w, LATERAL hone.latency_between(w.since, w.until) AS l WHERE l.queryid IN (1001, 1002);
CREATE TABLE hist_fine AS SELECT * FROM hist_windowed;
SELECT n, count(*) AS some FROM hist_fine WHERE queryid = 1001 GROUP BY n ORDER BY n;
-- the sum is what was put in
SELECT l.calls = f.calls AND l.rows = 2 * f.calls AND abs(l.total_exec_ms - f.total) < 0.001 AND l.max_exec_ms = f.longest
       AND abs(l.stddev_exec_ms - f.deviation) < 0.0001 AND abs(l.p50_ms - f.half) / f.half < 0.01 AS right
FROM (SELECT count(*) AS calls, sum(total_ms) AS total, max(max_ms) AS longest, stddev_pop(total_ms) AS deviation,
             percentile_disc(0.5) WITHIN GROUP (ORDER BY total_ms) AS half
      FROM hone.history WHERE queryid = 1001) AS f,
     hone.latency_between(now() - interval '5 days') AS l WHERE l.queryid = 1001;
SELECT count(*) > 0 AS older FROM hone._history_minutes WHERE since < now() - interval '2 days 5 hours';
CALL hone._write_history();
SELECT rollup, count(*) > 0 AS some, sum(calls) FILTER (WHERE queryid = 1001) > 100 AS calls
FROM hone.history WHERE queryid IN (1001, 1002) GROUP BY rollup ORDER BY rollup;
SELECT hours_until = date_trunc('hour', minutes_until, 'UTC') AND days_until = date_trunc('day', minutes_until, 'UTC') AS all_summed_up
FROM hone._history_state;
-- again: nothing is summed up twice
CALL hone._write_history();
(SELECT 'lost' AS change, * FROM hist_fine EXCEPT SELECT 'lost', * FROM hist_windowed)
UNION ALL (SELECT 'new', * FROM hist_windowed EXCEPT SELECT 'new', * FROM hist_fine) ORDER BY 2, 3, 1;
-- sums of sums: the whole day from the days equals its hours
SELECT h.rollup, sum(h.calls) AS calls, sum(h.wal_bytes) AS wal, sum(h.waits[1]) AS waits, bool_and(h.until - h.since = CASE h.rollup WHEN 'days' THEN interval '1 day' ELSE interval '1 hour' END) AS spans
FROM hone.history AS h, hist_windows AS w WHERE w.n = 3 AND h.queryid = 1001 AND h.since >= w.since AND h.since < w.until AND h.rollup <> 'minutes'
GROUP BY 1 ORDER BY 1;

-- What is over goes: minutes after two days, once they are summed up; a window
-- there grows to whole hours.
SELECT count(*) = 0 AS gone FROM hone._history_minutes WHERE since < now() - interval '2 days 5 hours';
SELECT count(*) BETWEEN 12 AND 15 AS as_many_as_two_days_take FROM pg_inherits WHERE inhparent = 'hone._history_minutes'::regclass;
SELECT l.calls, l.data_until - l.data_since AS covers FROM hone.latency_between(date_trunc('hour', now() - interval '2 days 20 hours', 'UTC') + interval '20 minutes',
    date_trunc('hour', now() - interval '2 days 20 hours', 'UTC') + interval '30 minutes') AS l WHERE queryid = 1001;
-- its own partitions are the extension's, and under its own policy
SELECT count(*) AS strangers FROM pg_inherits AS i WHERE inhparent IN ('hone._history_minutes'::regclass, 'hone._history_hours'::regclass, 'hone._history_days'::regclass)
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = i.inhrelid AND d.deptype = 'e');
SELECT parent, warm_after FROM hone._tier_policy WHERE parent::text LIKE 'hone.\_history%' ORDER BY parent::text COLLATE "C";
-- which compresses what is over, and leaves the figures as they were
CREATE TABLE hist_before AS SELECT queryid, calls, errors, p50_ms, stddev_exec_ms FROM hone.latency_between(now() - interval '30 hours', now() - interval '8 hours') WHERE queryid IN (1001, 1002, 2001);
SET client_min_messages = warning;
DO $$ DECLARE p regclass; BEGIN
    FOR p IN SELECT partition FROM hone._tier_age WHERE own AND due_at < now() LOOP CALL hone.compress(p); END LOOP;
END $$;
RESET client_min_messages;
SELECT count(*) >= 10 AS compressed FROM hone._tier_leaf WHERE own AND tier = 'warm';
SELECT b.queryid, b = ROW(l.queryid, l.calls, l.errors, l.p50_ms, l.stddev_exec_ms)::hist_before AS same
FROM hist_before AS b LEFT JOIN hone.latency_between(now() - interval '30 hours', now() - interval '8 hours') AS l USING (queryid) ORDER BY 1;
SELECT count(*) AS shown FROM hone.partitions WHERE parent::text LIKE 'hone.%';

-- Regressions: as many calls as it takes, not fewer.
SELECT queryid, recent_calls, baseline_calls, recent_p95_ms BETWEEN 45 AND 47 AS recent, baseline_p95_ms BETWEEN 15.5 AND 16.5 AS baseline,
       slower_by BETWEEN 2.5 AND 3.1 AS slower, lost_ms BETWEEN 1700 AND 1900 AS lost
FROM hone.regressions WHERE queryid BETWEEN 2001 AND 2004;
SELECT queryid FROM hone.find_regressions(factor => 4) WHERE queryid BETWEEN 2001 AND 2004;
SELECT queryid FROM hone.find_regressions(recent => '10 minutes') WHERE queryid BETWEEN 2001 AND 2004;

-- Targets.
INSERT INTO hone.slo (name, queryid, target_ms, percentile, max_error_pct, period) VALUES
    ('met', 2004, 50, 0.95, 1, '3 days'), ('slow', 2001, 20, 0.9, NULL, '1 day'), ('failing', 1002, NULL, 0.95, 0.1, '3 days'),
    ('no calls', 42, 10, 0.95, NULL, '1 day');
INSERT INTO hone.slo (name, role, target_ms) VALUES ('nobody', 'hist_role', 1000);
SELECT name, calls > 0 AS calls, met, over_target, latency_budget_used_pct > 100 AS over_latency, errors > 0 AS errors, error_pct
FROM hone.slo_report ORDER BY name COLLATE "C";
INSERT INTO hone.slo (name) VALUES ('nothing');
INSERT INTO hone.slo (name, target_ms, percentile) VALUES ('95', 1, 95);
DELETE FROM hone.slo;

-- a limit met exactly, and what makes no sense
INSERT INTO hone.slo (name, queryid, target_ms, percentile, period) VALUES ('exactly', 2003, 40, 0.888, '1 day');
SELECT calls, over_target, latency_budget_used_pct, met FROM (
    SELECT calls, over_target, latency_budget_used_pct, met FROM hone.slo_report WHERE name = 'exactly') AS s;
SET ROLE hist_role;
SELECT name, calls, met FROM hone.slo_report;
RESET ROLE;
INSERT INTO hone.slo (name, target_ms) VALUES ('nan', 'NaN');
INSERT INTO hone.slo (name, target_ms, period) VALUES ('long', 1, '300000 years');
DELETE FROM hone.slo;
-- damaged bytes
SELECT hone._histogram_values('\xff', '{0.5}', 0, 1);
SELECT hone._histogram_values('\xffffffffffffffffffff01', '{0.5}', 0, 1);
SELECT hone._histogram_above('\x0001000100', 1);
SELECT hone._histogram_values('\xe20a', '{0.5}', 0, 1);
SELECT hone._histogram_values('', '{0.5}', 0, 1) IS NULL AS empty;
SELECT hone._histogram_sum(h) FROM (VALUES ('\xe20a01'::bytea), ('\xe20a02'), (NULL), ('\xe30a01')) AS v(h);

DELETE FROM hone.history WHERE queryid BETWEEN 1001 AND 2004;
DO $$ DECLARE p regclass; BEGIN
    FOR p IN SELECT partition FROM hone._tier_age WHERE own AND range_end < now() - interval '4 hours' LOOP
        EXECUTE format('ALTER EXTENSION pg_hone DROP TABLE %s', p);
        EXECUTE format('DROP TABLE %s', p);
    END LOOP;
END $$;
DROP TABLE hist_fine, hist_windows, hist_before CASCADE;
DROP VIEW hist_compare, hist_live, hist_past;
DROP FUNCTION hist_add, hist_bytes, hist_partition;
DROP ROLE hist_role;
SELECT hone.reset();
ALTER SYSTEM RESET hone.worker;
SELECT pg_reload_conf();
