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
COMMENT ON COLUMN hone.history.rollup IS
'minutes: as written at every hone.history_interval; hours, days (in UTC): summed up';
COMMENT ON COLUMN hone.history.queryid IS '0: calls that found no room, and those of evicted queries';
COMMENT ON COLUMN hone.history.m2 IS 'sum of squared deviations from the mean, in ms^2';
COMMENT ON COLUMN hone.history.waits IS
'samples of running statements: on a processor, waiting for I/O, a lock, the client, something else';
COMMENT ON COLUMN hone.history.histogram IS
'latencies; see hone._histogram_sum() and hone._histogram_values()';

CREATE TABLE hone.history_minutes PARTITION OF hone.history FOR VALUES IN ('minutes') PARTITION BY RANGE (since);
COMMENT ON TABLE hone.history_minutes IS 'as written; partitions of 4 hours, kept for hone.history_keep_minutes';
CREATE TABLE hone.history_hours PARTITION OF hone.history FOR VALUES IN ('hours') PARTITION BY RANGE (since);
COMMENT ON TABLE hone.history_hours IS 'summed up by hour; partitions of a week, kept for hone.history_keep_hours';
CREATE TABLE hone.history_days PARTITION OF hone.history FOR VALUES IN ('days') PARTITION BY RANGE (since);
COMMENT ON TABLE hone.history_days IS 'summed up by day; partitions of 13 weeks, kept for hone.history_keep_days';

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

CREATE FUNCTION hone._history_take(
    OUT kind text, OUT queryid bigint, OUT userid oid, OUT toplevel boolean,
    OUT calls bigint, OUT errors bigint, OUT rows bigint,
    OUT total_ms double precision, OUT min_ms double precision, OUT max_ms double precision, OUT m2 double precision,
    OUT plans bigint, OUT plan_ms double precision, OUT reads bigint, OUT writes bigint,
    OUT shared_blks_hit bigint, OUT shared_blks_read bigint, OUT shared_blks_dirtied bigint, OUT shared_blks_written bigint,
    OUT temp_blks_read bigint, OUT temp_blks_written bigint,
    OUT blk_read_ms double precision, OUT blk_write_ms double precision, OUT wal_bytes bigint,
    OUT cpu_user_ms double precision, OUT cpu_sys_ms double precision,
    OUT waits integer[], OUT histogram bytea, OUT first_seen timestamptz
) RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_history_take';
COMMENT ON FUNCTION hone._history_take() IS
'what this database has counted since the last time; only for hone._write_history()';

CREATE FUNCTION hone._history_live(
    OUT kind text, OUT queryid bigint, OUT userid oid, OUT toplevel boolean,
    OUT calls bigint, OUT errors bigint, OUT rows bigint,
    OUT total_ms double precision, OUT min_ms double precision, OUT max_ms double precision, OUT m2 double precision,
    OUT plans bigint, OUT plan_ms double precision, OUT reads bigint, OUT writes bigint,
    OUT shared_blks_hit bigint, OUT shared_blks_read bigint, OUT shared_blks_dirtied bigint, OUT shared_blks_written bigint,
    OUT temp_blks_read bigint, OUT temp_blks_written bigint,
    OUT blk_read_ms double precision, OUT blk_write_ms double precision, OUT wal_bytes bigint,
    OUT cpu_user_ms double precision, OUT cpu_sys_ms double precision,
    OUT waits integer[], OUT histogram bytea, OUT first_seen timestamptz
) RETURNS SETOF record
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
    SFUNC = hone._histogram_accumulate, STYPE = internal, SSPACE = 40000, FINALFUNC = hone._histogram_result);
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
       s.calls / greatest(extract(epoch FROM s.data_until - s.data_since)::float8, 1e-3),
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

REVOKE ALL ON FUNCTION hone._history_take(), hone._history_live() FROM PUBLIC;
REVOKE ALL ON PROCEDURE hone._write_history() FROM PUBLIC;
GRANT SELECT ON hone.history TO pg_read_all_stats;
