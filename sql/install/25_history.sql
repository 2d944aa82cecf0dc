-- History of the statistics (src/stats).

-- Figures of intervals: of each query, role and level that ran in it, and of
-- the sessions that ended in it. Written by the worker at every
-- hone.history_interval ('minutes'), summed up to 'hours' and 'days'.
CREATE TABLE hone.history (
    rollup text NOT NULL CHECK (rollup IN ('minutes', 'hours', 'days')),
    since timestamptz NOT NULL,
    until timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('query', 'session')),
    queryid bigint NOT NULL,
    userid oid NOT NULL,
    toplevel boolean NOT NULL,
    calls bigint NOT NULL,
    errors bigint NOT NULL,
    rows bigint NOT NULL,
    total_ms double precision NOT NULL,
    min_ms double precision,
    max_ms double precision,
    m2 double precision NOT NULL,
    plans bigint NOT NULL,
    plan_ms double precision NOT NULL,
    reads bigint NOT NULL,
    writes bigint NOT NULL,
    shared_blks_hit bigint NOT NULL,
    shared_blks_read bigint NOT NULL,
    shared_blks_dirtied bigint NOT NULL,
    shared_blks_written bigint NOT NULL,
    temp_blks_read bigint NOT NULL,
    temp_blks_written bigint NOT NULL,
    blk_read_ms double precision NOT NULL,
    blk_write_ms double precision NOT NULL,
    wal_bytes bigint NOT NULL,
    cpu_user_ms double precision,
    cpu_sys_ms double precision,
    waits integer[] NOT NULL,
    histogram bytea NOT NULL
) PARTITION BY LIST (rollup);
COMMENT ON TABLE hone.history IS
'statistics of past intervals; hone.latency_between() reads it';
COMMENT ON COLUMN hone.history.since IS 'begin of the interval';
COMMENT ON COLUMN hone.history.until IS 'its end';
COMMENT ON COLUMN hone.history.kind IS 'query, or session: connections that ended, calls is their number and the times are how long they lasted';
COMMENT ON COLUMN hone.history.userid IS 'role; 0 for what was put together';
COMMENT ON COLUMN hone.history.toplevel IS 'sent by the client, not run by a function or another statement';
COMMENT ON COLUMN hone.history.calls IS 'finished and failed executions';
COMMENT ON COLUMN hone.history.errors IS 'failed executions';
COMMENT ON COLUMN hone.history.rows IS 'rows returned or changed';
COMMENT ON COLUMN hone.history.total_ms IS 'execution time';
COMMENT ON COLUMN hone.history.min_ms IS 'shortest execution';
COMMENT ON COLUMN hone.history.max_ms IS 'longest execution';
COMMENT ON COLUMN hone.history.plans IS 'times planned';
COMMENT ON COLUMN hone.history.plan_ms IS 'planning time';
COMMENT ON COLUMN hone.history.reads IS 'calls of SELECT';
COMMENT ON COLUMN hone.history.writes IS 'calls of INSERT, UPDATE, DELETE, MERGE';
COMMENT ON COLUMN hone.history.shared_blks_hit IS 'blocks found in shared buffers';
COMMENT ON COLUMN hone.history.shared_blks_read IS 'blocks read into shared buffers';
COMMENT ON COLUMN hone.history.shared_blks_dirtied IS 'blocks dirtied';
COMMENT ON COLUMN hone.history.shared_blks_written IS 'blocks written by the statement itself';
COMMENT ON COLUMN hone.history.temp_blks_read IS 'blocks of temporary files read';
COMMENT ON COLUMN hone.history.temp_blks_written IS 'blocks of temporary files written';
COMMENT ON COLUMN hone.history.blk_read_ms IS 'time to read blocks, with track_io_timing';
COMMENT ON COLUMN hone.history.blk_write_ms IS 'time to write blocks, with track_io_timing';
COMMENT ON COLUMN hone.history.wal_bytes IS 'WAL written';
COMMENT ON COLUMN hone.history.cpu_user_ms IS 'CPU time, extrapolated from sampled calls; NULL: none sampled';
COMMENT ON COLUMN hone.history.cpu_sys_ms IS 'CPU time in the kernel, extrapolated from sampled calls; NULL: none sampled';
COMMENT ON COLUMN hone.history.rollup IS
'minutes: as written at every hone.history_interval; hours, days (in UTC): summed up';
COMMENT ON COLUMN hone.history.queryid IS '0: calls that found no room, and those of evicted queries';
COMMENT ON COLUMN hone.history.m2 IS 'sum of squared deviations from the mean, in ms^2';
COMMENT ON COLUMN hone.history.waits IS
'samples of running statements: on a processor, waiting for I/O, a lock, the client, something else';
COMMENT ON COLUMN hone.history.histogram IS
'latencies; see hone._histogram_sum() and hone._histogram_values()';

CREATE TABLE hone._history_minutes PARTITION OF hone.history FOR VALUES IN ('minutes') PARTITION BY RANGE (since);
COMMENT ON TABLE hone._history_minutes IS 'as written; partitions of 4 hours, kept for hone.history_keep_minutes';
CREATE TABLE hone._history_hours PARTITION OF hone.history FOR VALUES IN ('hours') PARTITION BY RANGE (since);
COMMENT ON TABLE hone._history_hours IS 'summed up by hour; partitions of a week, kept for hone.history_keep_hours';
CREATE TABLE hone._history_days PARTITION OF hone.history FOR VALUES IN ('days') PARTITION BY RANGE (since);
COMMENT ON TABLE hone._history_days IS 'summed up by day; partitions of 13 weeks, kept for hone.history_keep_days';

-- Normalised texts of the queries in the history.
CREATE TABLE hone._history_text (
    queryid bigint PRIMARY KEY,
    query text NOT NULL,
    last_used timestamptz NOT NULL
) USING heap;
COMMENT ON TABLE hone._history_text IS 'texts of the queries in hone.history';

-- How far the history has got. One row.
CREATE TABLE hone._history_state (
    minutes_until timestamptz NOT NULL,
    hours_until timestamptz NOT NULL,
    days_until timestamptz NOT NULL
) USING heap;
COMMENT ON TABLE hone._history_state IS 'until when hone.history is complete, per level';
INSERT INTO hone._history_state
SELECT pg_catalog.now(), pg_catalog.date_trunc('hour', pg_catalog.now(), 'UTC'), pg_catalog.date_trunc('day', pg_catalog.now(), 'UTC');

CREATE FUNCTION hone._history_begin() RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_history_begin';
COMMENT ON FUNCTION hone._history_begin() IS
'what this database has counted so far is not of its history; for the install script';
SELECT hone._history_begin();

-- A row of hone.history without its time, and since when it was counted.
CREATE TYPE hone._history_figures AS (
    kind text, queryid bigint, userid oid, toplevel boolean,
    calls bigint, errors bigint, rows bigint,
    total_ms double precision, min_ms double precision, max_ms double precision, m2 double precision,
    plans bigint, plan_ms double precision, reads bigint, writes bigint,
    shared_blks_hit bigint, shared_blks_read bigint, shared_blks_dirtied bigint, shared_blks_written bigint,
    temp_blks_read bigint, temp_blks_written bigint,
    blk_read_ms double precision, blk_write_ms double precision, wal_bytes bigint,
    cpu_user_ms double precision, cpu_sys_ms double precision,
    waits integer[], histogram bytea, first_seen timestamptz
);
COMMENT ON TYPE hone._history_figures IS 'what of a query, role and level goes into a row of hone.history';

CREATE FUNCTION hone._history_take() RETURNS SETOF hone._history_figures
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_history_take';
COMMENT ON FUNCTION hone._history_take() IS
'what this database has counted since the last time; only for hone._write_history()';

CREATE FUNCTION hone._history_live() RETURNS SETOF hone._history_figures
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_history_live';
COMMENT ON FUNCTION hone._history_live() IS
'what this database has counted and the history does not have yet';

CREATE PROCEDURE hone._write_history()
LANGUAGE C
AS 'MODULE_PATHNAME', 'hone_write_history';
COMMENT ON PROCEDURE hone._write_history() IS
'what the worker does for the history of this database, once: writes an interval, sums hours and days up, drops what is old';

CREATE FUNCTION hone._histogram_accumulate(state internal, histogram bytea) RETURNS internal
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_histogram_accumulate';
COMMENT ON FUNCTION hone._histogram_accumulate(internal, bytea) IS 'behind the aggregate hone._histogram_sum()';
CREATE FUNCTION hone._histogram_result(state internal) RETURNS bytea
LANGUAGE C IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_histogram_result';
COMMENT ON FUNCTION hone._histogram_result(internal) IS 'behind the aggregate hone._histogram_sum()';
CREATE AGGREGATE hone._histogram_sum(histogram bytea) (
    SFUNC = hone._histogram_accumulate, STYPE = internal, SSPACE = 2000, FINALFUNC = hone._histogram_result, PARALLEL = SAFE);
COMMENT ON AGGREGATE hone._histogram_sum(bytea) IS 'histograms of hone.history merged, without loss';

CREATE FUNCTION hone._histogram_values(histogram bytea, fractions double precision[], min_ms double precision, max_ms double precision)
RETURNS double precision[]
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_histogram_values';
COMMENT ON FUNCTION hone._histogram_values(bytea, double precision[], double precision, double precision) IS
'percentiles of a histogram of hone.history, in ms';

CREATE FUNCTION hone._histogram_above(histogram bytea, limit_ms double precision)
RETURNS bigint
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_histogram_above';
COMMENT ON FUNCTION hone._histogram_above(bytea, double precision) IS
'how many values of a histogram of hone.history are above a limit';

CREATE FUNCTION hone._history_window(
    since timestamptz, until timestamptz,
    OUT queryid bigint, OUT query text, OUT userid oid, OUT toplevel boolean,
    OUT data_since timestamptz, OUT data_until timestamptz,
    OUT calls bigint, OUT errors bigint, OUT rows bigint, OUT total_ms double precision,
    OUT min_ms double precision, OUT max_ms double precision, OUT m2 double precision, OUT histogram bytea
) RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_history_window';
COMMENT ON FUNCTION hone._history_window(timestamptz, timestamptz) IS
'sums over a window of the history, with what it does not have yet: per query, role and level, as far as the caller may see them';

CREATE FUNCTION hone.latency_between(
    since timestamptz, until timestamptz DEFAULT pg_catalog.clock_timestamp(),
    OUT queryid bigint, OUT query text,
    OUT calls bigint, OUT errors bigint, OUT rows bigint,
    OUT calls_per_s double precision, OUT total_exec_ms double precision, OUT mean_exec_ms double precision,
    OUT min_exec_ms double precision, OUT max_exec_ms double precision, OUT stddev_exec_ms double precision,
    OUT p50_ms double precision, OUT p90_ms double precision, OUT p95_ms double precision,
    OUT p99_ms double precision, OUT p999_ms double precision,
    OUT data_since timestamptz, OUT data_until timestamptz
) RETURNS SETOF record
LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT s.queryid, s.query, s.calls, s.errors, s.rows,
       s.calls / greatest(extract(epoch FROM greatest(max(s.data_until) OVER (), least(until, clock_timestamp()))
                                   - min(s.data_since) OVER ())::float8, 1e-3),
       s.total_ms, s.total_ms / s.calls, s.min_ms, s.max_ms,
       sqrt(greatest(s.m2 - s.total_ms * s.total_ms / s.calls, 0) / s.calls),
       v.ms[1], v.ms[2], v.ms[3], v.ms[4], v.ms[5], s.data_since, s.data_until
FROM (
    SELECT w.queryid, min(w.query) AS query, sum(w.calls)::bigint AS calls, sum(w.errors)::bigint AS errors,
           sum(w.rows)::bigint AS rows, sum(w.total_ms) AS total_ms, min(w.min_ms) AS min_ms, max(w.max_ms) AS max_ms,
           sum(w.m2 + w.total_ms * w.total_ms / w.calls) AS m2, hone._histogram_sum(w.histogram) AS histogram,
           min(w.data_since) AS data_since, max(w.data_until) AS data_until
    FROM hone._history_window(since, until) AS w
    WHERE w.calls > 0
    GROUP BY w.queryid) AS s
CROSS JOIN LATERAL (SELECT hone._histogram_values(s.histogram, '{0.5,0.9,0.95,0.99,0.999}', s.min_ms, s.max_ms)) AS v(ms)
ORDER BY s.total_ms DESC
$$;
COMMENT ON FUNCTION hone.latency_between(timestamptz, timestamptz) IS
'calls, errors, throughput and latency percentiles per query in a past window, merged over the roles that one may see; data_since and data_until say what the history has for it';

CREATE VIEW hone.status AS
SELECT i.item, i.value, i.ok, CASE WHEN NOT i.ok THEN i.hint END AS hint
FROM hone._shared_status() AS s
CROSS JOIN LATERAL (
    SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                   WHERE backend_type = 'pg_hone launcher') AS launcher,
           -- others' processes are not shown to everybody
           pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') AS all_shown,
           (SELECT clock_timestamp() - h.minutes_until FROM hone._history_state AS h) AS history_age,
           coalesce(pg_catalog.current_setting('hone.history_interval', true), '1min')::interval AS history_interval,
           coalesce(pg_catalog.current_setting('hone.enabled', true), 'off') AS enabled,
           coalesce(pg_catalog.current_setting('hone.track', true), 'none') AS track,
           coalesce(pg_catalog.current_setting('hone.worker', true), 'off') AS worker,
           (SELECT p.paused_at FROM hone._worker_state AS p) AS paused_at,
           'Set shared_preload_libraries = ''pg_hone'' in postgresql.conf and restart the server.' AS preload
) AS w
CROSS JOIN LATERAL (VALUES
    (1, 'preloaded', CASE WHEN s.preloaded THEN 'yes' ELSE 'no' END, s.preloaded, w.preload),
    (2, 'enabled', w.enabled, w.enabled = 'on',
     'ALTER SYSTEM SET hone.enabled = on; SELECT pg_reload_conf();'),
    (3, 'track', w.track, w.track <> 'none',
     'ALTER SYSTEM SET hone.track = ''top''; SELECT pg_reload_conf();'),
    (4, 'queryid', CASE WHEN s.computes_queryid THEN 'computed' ELSE 'not computed' END, s.computes_queryid,
     CASE WHEN s.preloaded THEN 'ALTER SYSTEM SET compute_query_id = ''auto''; SELECT pg_reload_conf();' ELSE w.preload END),
    (5, 'worker', CASE WHEN w.launcher THEN 'running' WHEN w.worker = 'off' THEN 'switched off' WHEN w.all_shown THEN 'not running' END,
     w.launcher OR (s.preloaded AND w.worker = 'on' AND NOT w.all_shown),
     CASE WHEN NOT s.preloaded THEN w.preload
          WHEN w.worker = 'off' THEN 'ALTER SYSTEM SET hone.worker = on; SELECT pg_reload_conf();'
          ELSE 'Look for its last error in the server log; raise max_worker_processes if it cannot start.' END),
    (5.2, 'moves', CASE WHEN w.paused_at IS NOT NULL THEN 'paused since ' || date_trunc('seconds', w.paused_at) ELSE 'not paused' END,
     w.paused_at IS NULL, 'SELECT hone.resume_worker();'),
    (5.5, 'collector', CASE WHEN s.collects THEN 'running' WHEN s.preloaded THEN 'not running' END, coalesce(s.collects, false),
     CASE WHEN NOT s.preloaded THEN w.preload
          ELSE 'Look for its last error in the server log; raise max_worker_processes if it cannot start.' END),
    (6, 'memory', pg_catalog.pg_size_pretty(s.used_bytes) || ' of ' || pg_catalog.pg_size_pretty(s.limit_bytes),
     coalesce(s.used_bytes < s.limit_bytes * 0.95, true),
     'Raise hone.max_memory in postgresql.conf and restart the server.'),
    (7, 'entries', s.entries::text, true, NULL),
    (8, 'texts', s.texts::text, true, NULL),
    (9, 'flush lag', CASE WHEN s.last_flush IS NULL THEN NULL
                          ELSE date_trunc('milliseconds', clock_timestamp() - s.last_flush)::text END, true, NULL),
    (10, 'evictions', s.evictions::text, true, NULL),
    (10.2, 'statistics since', date_trunc('seconds', s.since)::text, true, NULL),
    (10.4, 'saved', CASE WHEN s.last_save IS NOT NULL THEN date_trunc('seconds', clock_timestamp() - s.last_save)::text || ' ago' END, true, NULL),
    (10.5, 'history', CASE WHEN s.preloaded THEN date_trunc('seconds', w.history_age)::text || ' ago' END,
     NOT s.preloaded OR w.worker = 'off' OR w.history_age BETWEEN - greatest(w.history_interval, interval '1 minute') AND greatest(10 * w.history_interval, interval '10 minutes'),
     'Look for errors of the worker in the server log; without free background workers raise max_worker_processes.'),
    (10.6, 'wait samples', s.wait_samples::text, true, NULL),
    (11, 'calls counted under <other>', s.other_calls::text, coalesce(s.other_calls, 0) = 0,
     'Raise hone.max_memory in postgresql.conf and restart the server; SELECT hone.reset() clears the counter.'),
    (12, 'texts not kept', s.texts_dropped::text, coalesce(s.texts_dropped, 0) = 0,
     'Raise hone.max_memory in postgresql.conf and restart the server; SELECT hone.reset() clears the counter.'),
    (13, 'dropped records', (s.dropped + s.unbucketed)::text,
     coalesce(s.dropped + s.unbucketed, 0) = 0,
     'If the memory is full, raise hone.max_memory in postgresql.conf and restart the server; SELECT hone.reset() clears the counter.'),
    (14, 'internal errors', s.internal_errors::text, coalesce(s.internal_errors, 0) = 0,
     'Look for messages of pg_hone in the server log and report them.')
) AS i(place, item, value, ok, hint)
ORDER BY i.place;
COMMENT ON VIEW hone.status IS
'is pg_hone working: one row per item, and for what is not ok the line that mends it';


-- A percentile of few calls says little. Its confidence limits are percentiles
-- as well: of the ranks n * f -+ z * sqrt(n * f * (1 - f)), since the number of
-- calls below the true one is binomial (Conover, Practical Nonparametric
-- Statistics, 3.2); z = 2.58 leaves 1 in 100 outside.
CREATE FUNCTION hone._percentile_limits(histogram bytea, fraction double precision, calls bigint,
    min_ms double precision, max_ms double precision)
RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT hone._histogram_values(histogram,
    ARRAY[fraction - 2.58 * sqrt(fraction * (1 - fraction) / calls), fraction,
          fraction + 2.58 * sqrt(fraction * (1 - fraction) / calls)], min_ms, max_ms)
$$;
COMMENT ON FUNCTION hone._percentile_limits(bytea, double precision, bigint, double precision, double precision) IS
'a percentile between its 99 % confidence limits, in ms';

CREATE FUNCTION hone.find_regressions(
    recent interval DEFAULT '1 hour', baseline interval DEFAULT '7 days', factor double precision DEFAULT 1.5,
    OUT queryid bigint, OUT query text,
    OUT recent_calls bigint, OUT baseline_calls bigint,
    OUT recent_p50_ms double precision, OUT baseline_p50_ms double precision,
    OUT recent_p95_ms double precision, OUT baseline_p95_ms double precision,
    OUT slower_by double precision, OUT lost_ms double precision,
    OUT baseline_since timestamptz, OUT recent_since timestamptz
) RETURNS SETOF record
LANGUAGE sql STRICT VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
WITH side AS MATERIALIZED (
    SELECT p.is_recent, w.queryid, min(w.query) AS query, sum(w.calls)::bigint AS calls, sum(w.total_ms) AS total_ms,
           min(w.min_ms) AS min_ms, max(w.max_ms) AS max_ms, hone._histogram_sum(w.histogram) AS histogram,
           min(w.data_since) AS data_since
    FROM (VALUES (true, now() - recent, clock_timestamp()),
                 (false, now() - recent - baseline, now() - recent)) AS p(is_recent, since, until)
    CROSS JOIN LATERAL hone._history_window(p.since, p.until) AS w
    WHERE w.calls > 0 AND w.queryid <> 0
    GROUP BY p.is_recent, w.queryid)
SELECT r.queryid, coalesce(r.query, b.query), r.calls, b.calls,
       rv.p50[2], bv.p50[2], rv.p95[2], bv.p95[2], rv.p95[2] / nullif(bv.p95[2], 0),
       r.total_ms - r.calls * (b.total_ms / b.calls), b.data_since, r.data_since
FROM side AS r
JOIN side AS b ON b.queryid = r.queryid AND NOT b.is_recent
CROSS JOIN LATERAL (SELECT hone._percentile_limits(r.histogram, 0.5, r.calls, r.min_ms, r.max_ms),
                           hone._percentile_limits(r.histogram, 0.95, r.calls, r.min_ms, r.max_ms)) AS rv(p50, p95)
CROSS JOIN LATERAL (SELECT hone._percentile_limits(b.histogram, 0.5, b.calls, b.min_ms, b.max_ms),
                           hone._percentile_limits(b.histogram, 0.95, b.calls, b.min_ms, b.max_ms)) AS bv(p50, p95)
WHERE r.is_recent AND r.calls >= 20 AND b.calls >= 50
  AND rv.p95[1] > factor * bv.p95[3]
ORDER BY 10 DESC
$$;
COMMENT ON FUNCTION hone.find_regressions(interval, interval, double precision) IS
'queries whose p95 of the recent time is worse than in the time before it by the factor, beyond what so few calls can show by chance';

CREATE VIEW hone.regressions AS
SELECT r.queryid, r.query, r.recent_calls, r.baseline_calls, r.recent_p50_ms, r.baseline_p50_ms,
       r.recent_p95_ms, r.baseline_p95_ms, r.slower_by, r.lost_ms, r.baseline_since, r.recent_since
FROM hone.find_regressions() AS r;
COMMENT ON VIEW hone.regressions IS
'queries whose p95 of the last hour is at least 1.5 times that of the 7 days before it; hone.find_regressions() takes other periods';
COMMENT ON COLUMN hone.regressions.slower_by IS 'recent p95 by baseline p95';
COMMENT ON COLUMN hone.regressions.lost_ms IS 'time that the recent calls took longer than as many of the baseline''s';

-- Targets. NULL role and query: all statements of clients in this database.
CREATE TABLE hone.slo (
    name text PRIMARY KEY,
    role name,
    queryid bigint,
    percentile double precision NOT NULL DEFAULT 0.95 CHECK (percentile > 0 AND percentile < 1),
    target_ms double precision CHECK (target_ms > 0 AND target_ms < 1e9),
    max_error_pct double precision CHECK (max_error_pct >= 0 AND max_error_pct < 100),
    period interval NOT NULL DEFAULT '1 day' CHECK (period > interval '0' AND period <= interval '10 years'),
    CHECK (target_ms IS NOT NULL OR max_error_pct IS NOT NULL)
) USING heap;
COMMENT ON TABLE hone.slo IS
'targets for latency and errors of this database, of a role or of a query; hone.slo_report says how they are met';
COMMENT ON COLUMN hone.slo.name IS 'of the target, as hone.slo_report shows it';
COMMENT ON COLUMN hone.slo.role IS 'only statements of this role; NULL: of all';
COMMENT ON COLUMN hone.slo.queryid IS 'only this query; NULL: all';
COMMENT ON COLUMN hone.slo.target_ms IS 'longest time for the percentile of the calls; NULL: only errors count';
COMMENT ON COLUMN hone.slo.percentile IS 'this fraction of the calls is to be within target_ms';
COMMENT ON COLUMN hone.slo.max_error_pct IS 'at most this part of the calls may fail, in per cent';
COMMENT ON COLUMN hone.slo.period IS 'the time that counts, until now';
SELECT pg_catalog.pg_extension_config_dump('hone.slo', '');

CREATE FUNCTION hone._slo_figures(
    since timestamptz, role name, queryid bigint, fraction double precision, target_ms double precision,
    OUT calls bigint, OUT errors bigint, OUT percentile_ms double precision, OUT over_target bigint
) RETURNS record
LANGUAGE sql VOLATILE PARALLEL UNSAFE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(s.calls, 0), coalesce(s.errors, 0),
       (hone._histogram_values(s.histogram, ARRAY[fraction], s.min_ms, s.max_ms))[1],
       hone._histogram_above(s.histogram, target_ms)
FROM (
    SELECT sum(w.calls)::bigint AS calls, sum(w.errors)::bigint AS errors, hone._histogram_sum(w.histogram) AS histogram,
           min(w.min_ms) AS min_ms, max(w.max_ms) AS max_ms
    FROM hone._history_window(since, clock_timestamp()) AS w
    WHERE (w.toplevel OR _slo_figures.queryid IS NOT NULL) AND w.calls > 0
      AND (_slo_figures.queryid IS NULL OR w.queryid = _slo_figures.queryid)
      AND (role IS NULL OR w.userid = (SELECT r.oid FROM pg_roles AS r WHERE r.rolname = role))) AS s
$$;
COMMENT ON FUNCTION hone._slo_figures(timestamptz, name, bigint, double precision, double precision) IS
'behind the view hone.slo_report';

CREATE VIEW hone.slo_report AS
SELECT s.name, s.role, s.queryid, s.period, f.calls,
       s.percentile, s.target_ms, f.percentile_ms,
       f.over_target,
       round(100 * f.over_target / (nullif(f.calls, 0) * (1 - s.percentile::numeric)), 1) AS latency_budget_used_pct,
       s.max_error_pct, f.errors,
       round((100.0 * f.errors / nullif(f.calls, 0))::numeric, 4) AS error_pct,
       round((100 * (100.0 * f.errors / nullif(f.calls, 0)) / nullif(s.max_error_pct, 0)::numeric)::numeric, 1) AS error_budget_used_pct,
       CASE WHEN f.calls > 0 THEN
           (s.target_ms IS NULL OR f.over_target <= f.calls * (1 - s.percentile::numeric))
           AND (s.max_error_pct IS NULL OR 100.0 * f.errors <= f.calls * s.max_error_pct::numeric) END AS met
FROM hone.slo AS s
-- who may not see others' figures would take his own for all
LEFT JOIN LATERAL hone._slo_figures(now() - s.period, s.role, s.queryid, s.percentile, s.target_ms) AS f
    ON pg_has_role('pg_read_all_stats', 'USAGE') OR s.role = current_user;
COMMENT ON VIEW hone.slo_report IS 'how the targets in hone.slo are met: met is NULL without calls; figures of other roles only for members of pg_read_all_stats';
COMMENT ON COLUMN hone.slo_report.over_target IS 'calls that took longer than target_ms';
COMMENT ON COLUMN hone.slo_report.latency_budget_used_pct IS
'calls over the target, in per cent of those that the percentile allows; above 100 the target is missed';

-- Aggregates per database, now.
CREATE FUNCTION hone._database_stats(
    OUT dbid oid, OUT since timestamptz,
    OUT calls bigint, OUT errors bigint, OUT reads bigint, OUT writes bigint, OUT rows bigint,
    OUT total_exec_ms double precision,
    OUT p50_ms double precision, OUT p95_ms double precision, OUT p99_ms double precision,
    OUT shared_blks_hit bigint, OUT shared_blks_read bigint, OUT wal_bytes bigint,
    OUT sessions bigint, OUT session_p50_ms double precision, OUT session_p95_ms double precision,
    OUT session_mean_ms double precision, OUT session_max_ms double precision
) RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_database_stats';
COMMENT ON FUNCTION hone._database_stats() IS 'behind the view hone.databases; the row without dbid is the total';

CREATE VIEW hone.databases AS
SELECT CASE WHEN s.dbid IS NULL THEN '(all)' ELSE d.datname END AS datname,
       s.calls, round((s.calls / e.seconds)::numeric, 1) AS calls_per_s,
       s.errors, round(100.0 * s.reads / nullif(s.calls, 0), 1) AS read_pct,
       round(100.0 * s.writes / nullif(s.calls, 0), 1) AS write_pct,
       s.rows, s.total_exec_ms, s.p50_ms, s.p95_ms, s.p99_ms,
       round(100.0 * s.shared_blks_hit / nullif(s.shared_blks_hit + s.shared_blks_read, 0), 2) AS hit_pct,
       s.wal_bytes,
       CASE WHEN s.dbid IS NULL THEN (SELECT sum(a.numbackends) FROM pg_catalog.pg_stat_database AS a WHERE a.datid <> 0)
            ELSE (SELECT a.numbackends FROM pg_catalog.pg_stat_database AS a WHERE a.datid = s.dbid) END AS connections_now,
       s.sessions AS connections_ended, round((s.sessions / e.seconds)::numeric, 2) AS connections_per_s,
       s.session_mean_ms / 1000 AS connection_mean_s, s.session_p50_ms / 1000 AS connection_p50_s,
       s.session_p95_ms / 1000 AS connection_p95_s, s.session_max_ms / 1000 AS connection_max_s,
       s.since
FROM hone._database_stats() AS s
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
CROSS JOIN LATERAL (SELECT greatest(extract(epoch FROM clock_timestamp() - s.since)::float8, 1e-3)) AS e(seconds)
WHERE s.dbid IS NULL OR d.oid IS NOT NULL
ORDER BY s.dbid IS NOT NULL, s.total_exec_ms DESC;
COMMENT ON VIEW hone.databases IS
'what clients'' statements and connections came to, per database and in total, since the statistics began or were reset';
COMMENT ON COLUMN hone.databases.read_pct IS 'SELECT, of all statements that clients sent';
COMMENT ON COLUMN hone.databases.write_pct IS 'INSERT, UPDATE, DELETE, MERGE; the rest are utility statements';
COMMENT ON COLUMN hone.databases.hit_pct IS 'blocks found in shared buffers';
COMMENT ON COLUMN hone.databases.connections_per_s IS 'connections that ended, also those that sent nothing';

GRANT SELECT ON hone.status, hone.regressions, hone.slo, hone.slo_report, hone.databases TO PUBLIC, pg_monitor;

REVOKE ALL ON FUNCTION hone._history_begin(), hone._history_take(), hone._history_live() FROM PUBLIC;
REVOKE ALL ON PROCEDURE hone._write_history() FROM PUBLIC;
GRANT SELECT ON hone.history TO pg_read_all_stats;
