-- When the worker moves partitions: settings, hours of the week, pausing.
SELECT name, setting, unit, context FROM pg_settings
WHERE name IN ('hone.tier_throughput', 'hone.tier_window', 'hone.max_replica_lag', 'hone.max_workers') ORDER BY name;

-- What cannot be set.
\set VERBOSITY sqlstate
ALTER SYSTEM SET hone.tier_throughput = '-1MB';
ALTER SYSTEM SET hone.max_replica_lag = '-1s';
ALTER SYSTEM SET hone.max_workers = 0;
ALTER SYSTEM SET hone.max_workers = 17;
\set VERBOSITY default
ALTER SYSTEM SET hone.tier_window = 'night';
ALTER SYSTEM SET hone.tier_window = 'mon-fri';
ALTER SYSTEM SET hone.tier_window = 'mon-fr 10:00-12:00';
ALTER SYSTEM SET hone.tier_window = 'monday 10:00-12:00';
ALTER SYSTEM SET hone.tier_window = '22:00';
ALTER SYSTEM SET hone.tier_window = '22-06';
ALTER SYSTEM SET hone.tier_window = '22:00-06:60';
ALTER SYSTEM SET hone.tier_window = '22:00-24:01';
ALTER SYSTEM SET hone.tier_window = '10:00-10:00';
ALTER SYSTEM SET hone.tier_window = '24:00-10:00';
ALTER SYSTEM SET hone.tier_window = '22:00-06:00 10:00-12:00';
ALTER SYSTEM SET hone.tier_window = '22:00-06:00 mon';
ALTER SYSTEM SET hone.tier_window = ',';
ALTER SYSTEM SET hone.tier_window = ';';
ALTER SYSTEM SET hone.tier_window = '22:00-06:00,';
SET hone.tier_window = '22:00-06:00';

-- What can.
ALTER SYSTEM SET hone.tier_window = 'sat,sun 00:00-24:00; mon-fri 22:00-06:00';
ALTER SYSTEM SET hone.tier_window = ' Sat , SUN 0:00 - 24:00 ; mon - fri 22:00-6:00 , 12:00-13:00 ; ';
ALTER SYSTEM RESET hone.tier_window;

-- 2024-01-01 is a Monday.
CREATE FUNCTION pg_temp.hours(tier_window text, zone text DEFAULT 'UTC') RETURNS TABLE (opens text, closes text) LANGUAGE sql AS $$
    WITH minute AS (
        SELECT at, hone._in_tier_window($1, at, $2) AS inside
        FROM generate_series(timestamptz '2024-01-01 00:00Z', '2024-01-07 23:59Z', '1 minute') at),
    edge AS (
        SELECT at, inside, lag(inside) OVER (ORDER BY at) AS before, lead(inside) OVER (ORDER BY at) AS after FROM minute)
    SELECT to_char(at AT TIME ZONE $2, 'Dy HH24:MI'),
        (SELECT to_char((min(e.at) + interval '1 minute') AT TIME ZONE $2, 'Dy HH24:MI') FROM edge e
         WHERE e.at >= edge.at AND e.inside AND e.after IS NOT TRUE)
    FROM edge WHERE inside AND before IS NOT TRUE ORDER BY at $$;
SELECT * FROM pg_temp.hours('');
SELECT * FROM pg_temp.hours('10:15-11:45');
SELECT * FROM pg_temp.hours('sat,sun 00:00-24:00; mon-fri 22:00-06:00');
SELECT * FROM pg_temp.hours('sun-mon 22:00-02:00, 12:00-12:01');
SELECT * FROM pg_temp.hours('fri-mon 23:00-24:00');
SELECT * FROM pg_temp.hours('22:00-00:00');
SELECT * FROM pg_temp.hours('tue 22:00-06:00', 'America/New_York');

-- By the clock on the wall: in Berlin on 2024-03-31 there was no 02:30, on
-- 2024-10-27 there were two.
SELECT at AT TIME ZONE 'Europe/Berlin' AS clock, hone._in_tier_window('sun 02:00-03:00', at, 'Europe/Berlin') AS inside
FROM generate_series(timestamptz '2024-03-31 00:30Z', '2024-03-31 01:30Z', '30 minutes') at
UNION ALL
SELECT at AT TIME ZONE 'Europe/Berlin', hone._in_tier_window('sun 02:00-03:00', at, 'Europe/Berlin')
FROM generate_series(timestamptz '2024-10-26 23:45Z', '2024-10-27 02:15Z', '30 minutes') at;
SELECT hone._in_tier_window('2', now(), 'UTC');
SELECT hone._in_tier_window('', now(), 'Nowhere/Nothing');

-- Pausing: who may, and what shows it.
CREATE ROLE hone_lp_operator;
CREATE ROLE hone_lp_other;
GRANT EXECUTE ON FUNCTION hone.pause_worker(), hone.resume_worker() TO hone_lp_operator;
SELECT item, value, ok, hint FROM hone.status WHERE item = 'moves';
SET ROLE hone_lp_other;
SELECT hone.pause_worker();
SELECT hone.resume_worker();
SELECT paused FROM hone._worker_state;
SET ROLE hone_lp_operator;
SELECT hone.pause_worker();
SELECT hone.pause_worker();
SELECT paused FROM hone._worker_state;
SET ROLE hone_lp_other;
SELECT item, value LIKE 'paused since %' AS paused, ok, hint FROM hone.status WHERE item = 'moves';
RESET ROLE;
SELECT paused_by, paused_at <= now() AS before FROM hone._worker_state;
BEGIN;
SELECT hone.resume_worker();
ROLLBACK;
SELECT count(*) AS rows FROM hone._worker_state;
BEGIN READ ONLY;
SELECT hone.resume_worker();
ROLLBACK;
SET ROLE hone_lp_operator;
SELECT hone.resume_worker();
SELECT hone.resume_worker();
RESET ROLE;
SELECT count(*) AS rows FROM hone._worker_state;
SELECT item, value, ok, hint FROM hone.status WHERE item = 'moves';
REVOKE ALL ON FUNCTION hone.pause_worker(), hone.resume_worker() FROM hone_lp_operator;
DROP ROLE hone_lp_operator, hone_lp_other;

-- What a user calls does not mind a pause, nor the throughput.
CREATE SCHEMA lp;
SET search_path = lp;
CREATE TABLE m (ts timestamptz NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
INSERT INTO m SELECT timestamptz '2020-01-01' + i * interval '1 minute', i FROM generate_series(1, 1000) i;
SELECT hone.pause_worker();
SELECT hone.add_tier_policy('m', warm_after => interval '1 day');
SET client_min_messages = warning;
CALL hone.run_tier_policies();
SELECT tier, rows FROM hone.partitions WHERE parent = 'm'::regclass;
CALL hone.move_partition('m_1', 'hot');
CALL hone.move_partition('m_1', 'warm');
SELECT to_tier, rows, by_worker, note FROM hone.tier_log WHERE partition = 'm_1'::regclass ORDER BY id;
SELECT * FROM hone.tier_progress WHERE pid = pg_backend_pid();
SELECT hone.remove_tier_policy('m');
SELECT hone.resume_worker();
DROP SCHEMA lp CASCADE;
