-- Query statistics (src/stats, src/capture).

CREATE FUNCTION hone.query_stats(
    show_text boolean DEFAULT true,
    OUT queryid bigint,
    OUT query text,
    OUT dbid oid,
    OUT userid oid,
    OUT toplevel boolean,
    OUT calls bigint,
    OUT errors bigint,
    OUT rows bigint,
    OUT total_exec_ms double precision,
    OUT mean_exec_ms double precision,
    OUT min_exec_ms double precision,
    OUT max_exec_ms double precision,
    OUT stddev_exec_ms double precision,
    OUT p50_ms double precision,
    OUT p90_ms double precision,
    OUT p95_ms double precision,
    OUT p99_ms double precision,
    OUT p999_ms double precision,
    OUT plans bigint,
    OUT total_plan_ms double precision,
    OUT shared_blks_hit bigint,
    OUT shared_blks_read bigint,
    OUT shared_blks_dirtied bigint,
    OUT shared_blks_written bigint,
    OUT temp_blks_read bigint,
    OUT temp_blks_written bigint,
    OUT blk_read_ms double precision,
    OUT blk_write_ms double precision,
    OUT wal_bytes bigint,
    OUT cpu_user_ms double precision,
    OUT cpu_sys_ms double precision,
    OUT bound_by text,
    OUT first_seen timestamptz,
    OUT last_seen timestamptz
) RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_query_stats';
COMMENT ON FUNCTION hone.query_stats(boolean) IS
'execution statistics per database, role, query and level; show_text => false reads no query texts';

CREATE VIEW hone.queries AS
SELECT s.queryid, s.query, d.datname, r.rolname, s.toplevel,
       s.calls, s.errors, s.rows,
       s.total_exec_ms, s.mean_exec_ms, s.min_exec_ms, s.max_exec_ms, s.stddev_exec_ms,
       s.p50_ms, s.p90_ms, s.p95_ms, s.p99_ms, s.p999_ms,
       s.plans, s.total_plan_ms,
       s.shared_blks_hit, s.shared_blks_read, s.shared_blks_dirtied, s.shared_blks_written,
       s.temp_blks_read, s.temp_blks_written, s.blk_read_ms, s.blk_write_ms,
       s.wal_bytes, s.cpu_user_ms, s.cpu_sys_ms, s.bound_by,
       s.first_seen, s.last_seen
FROM hone.query_stats(true) AS s
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.dbid
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid;
COMMENT ON VIEW hone.queries IS
'execution statistics with latency percentiles: one row per database, role, query and level; times in ms';
COMMENT ON COLUMN hone.queries.queryid IS 'as in pg_stat_activity and pg_stat_statements; 0 = <other>';
COMMENT ON COLUMN hone.queries.toplevel IS 'sent by the client, not run by a function or another statement';
COMMENT ON COLUMN hone.queries.calls IS 'finished and failed executions';
COMMENT ON COLUMN hone.queries.errors IS 'failed executions: errors, cancellations, timeouts';
COMMENT ON COLUMN hone.queries.total_exec_ms IS 'execution time, without parsing and planning';
COMMENT ON COLUMN hone.queries.cpu_user_ms IS 'extrapolated from sampled executions; NULL when none was sampled';
COMMENT ON COLUMN hone.queries.cpu_sys_ms IS 'extrapolated from sampled executions; NULL when none was sampled';
COMMENT ON COLUMN hone.queries.bound_by IS
'what most of the time goes to: cpu, io, lock, client (it takes its time to fetch), temp (files) or wait (anything else), from samples of running statements, else from CPU and I/O time (inferred from blocks without track_io_timing); NULL while there are too few samples';

CREATE VIEW hone.top AS
SELECT round((100 * s.total_exec_ms / nullif(sum(s.total_exec_ms) OVER (), 0))::numeric, 1) AS share_pct,
       round(s.total_exec_ms::numeric, 1) AS total_exec_ms,
       s.calls,
       round((s.calls / greatest(extract(epoch FROM s.last_seen - s.first_seen), 1))::numeric, 1) AS calls_per_s,
       round(s.mean_exec_ms::numeric, 3) AS mean_ms,
       round(s.p95_ms::numeric, 3) AS p95_ms,
       round(s.p99_ms::numeric, 3) AS p99_ms,
       s.errors, s.bound_by, s.datname,
       CASE WHEN length(q.line) > 60 THEN left(q.line, 57) || '...' ELSE q.line END AS query,
       s.queryid
FROM hone.queries AS s
CROSS JOIN LATERAL (SELECT regexp_replace(s.query, '\s+', ' ', 'g')) AS q(line)
WHERE s.toplevel AND (s.datname IS NOT NULL OR s.queryid = 0)
ORDER BY s.total_exec_ms DESC
LIMIT 20;
COMMENT ON VIEW hone.top IS
'the twenty statements on which clients spent most time, with their share of it';

CREATE FUNCTION hone._error_stats(
    OUT queryid bigint, OUT query text, OUT dbid oid, OUT userid oid,
    OUT toplevel boolean, OUT sqlstate text, OUT errors bigint,
    OUT last_seen timestamptz
) RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_error_stats';
COMMENT ON FUNCTION hone._error_stats() IS 'behind the view hone.errors';

CREATE VIEW hone.errors AS
SELECT e.queryid, e.query, d.datname, r.rolname, e.toplevel, e.sqlstate, e.errors, e.last_seen
FROM hone._error_stats() AS e
LEFT JOIN pg_catalog.pg_database AS d ON d.oid = e.dbid
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = e.userid;
COMMENT ON VIEW hone.errors IS
'failed statements by query and SQLSTATE; queryid is NULL for parse, bind and commit errors, which have no statement';
COMMENT ON COLUMN hone.errors.toplevel IS
'true: the client saw it; false: a statement inside another one failed, which may have handled it';

CREATE FUNCTION hone._query_samples(
    OUT queryid bigint, OUT userid oid, OUT toplevel boolean,
    OUT sampled_at timestamptz, OUT exec_ms double precision, OUT slow boolean,
    OUT parameters text[], OUT parameter_types regtype[], OUT left_out integer[],
    OUT query text, OUT truncated boolean
) RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_query_samples';
COMMENT ON FUNCTION hone._query_samples() IS 'behind the view hone.query_samples';

CREATE VIEW hone.query_samples AS
SELECT s.queryid, s.sampled_at, r.rolname, s.toplevel, s.exec_ms, s.slow,
       s.parameters, s.parameter_types, s.left_out, s.query, s.truncated
FROM hone._query_samples() AS s
LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.userid;
COMMENT ON VIEW hone.query_samples IS
'calls of this database''s queries with what they were called with: of each query the slowest three and the last three sampled; one''s own, or all for members of pg_read_all_data and pg_read_all_stats';
COMMENT ON COLUMN hone.query_samples.sampled_at IS 'when the call ended';
COMMENT ON COLUMN hone.query_samples.slow IS 'kept as one of the slowest calls, not as one of the last';
COMMENT ON COLUMN hone.query_samples.parameters IS
'bound parameters as text, at most 32; NULL for NULL and for those in left_out';
COMMENT ON COLUMN hone.query_samples.left_out IS
'numbers of the parameters whose values were not kept: longer than 128 bytes, or of a type that is not built in';
COMMENT ON COLUMN hone.query_samples.query IS
'the statement with its constants; NULL when it has none, only parameters';
COMMENT ON COLUMN hone.query_samples.truncated IS
'the statement was cut at 1 kB or hone.stats_text_size, or there were more than 32 parameters';

CREATE FUNCTION hone.percentile(queryid bigint, fraction double precision)
RETURNS double precision
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_percentile';
COMMENT ON FUNCTION hone.percentile(bigint, double precision) IS
'latency in ms below which this fraction of a query''s calls in this database stayed, within 1 %';

CREATE FUNCTION hone.percentile(queryid bigint, fractions double precision[])
RETURNS double precision[]
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_percentiles';
COMMENT ON FUNCTION hone.percentile(bigint, double precision[]) IS
'several latency percentiles of a query in this database at once, in ms';

CREATE FUNCTION hone.latency_histogram(
    queryid bigint,
    OUT lower_ms double precision,
    OUT upper_ms double precision,
    OUT calls bigint,
    OUT bar text
) RETURNS SETOF record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_latency_histogram';
COMMENT ON FUNCTION hone.latency_histogram(bigint) IS
'how a query''s latencies in this database are distributed, four rows for each doubling';

CREATE FUNCTION hone.reset(queryid bigint DEFAULT NULL)
RETURNS void
LANGUAGE C VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_reset';
COMMENT ON FUNCTION hone.reset(bigint) IS
'forget the statistics of one query, or of all queries in all databases';

CREATE FUNCTION hone._shared_status(
    OUT preloaded boolean, OUT computes_queryid boolean,
    OUT used_bytes bigint, OUT limit_bytes bigint,
    OUT entries bigint, OUT texts bigint,
    OUT evictions bigint, OUT dropped bigint, OUT other_calls bigint,
    OUT unbucketed bigint, OUT texts_dropped bigint,
    OUT internal_errors bigint, OUT last_flush timestamptz,
    OUT last_save timestamptz, OUT since timestamptz, OUT wait_samples bigint, OUT collects boolean
) RETURNS record
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_shared_status';
COMMENT ON FUNCTION hone._shared_status() IS 'behind the view hone.status';

CREATE FUNCTION hone._evict() RETURNS bigint
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_evict';
COMMENT ON FUNCTION hone._evict() IS
'make room in the statistics if they are nearly full, as the collector does';

CREATE FUNCTION hone._sample_text(queryid bigint) RETURNS text
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_sample_text';
COMMENT ON FUNCTION hone._sample_text(bigint) IS
'one original text of a query of this database, with its constants';

CREATE FUNCTION hone._query_text(queryid bigint) RETURNS text
LANGUAGE C STRICT VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_query_text';
COMMENT ON FUNCTION hone._query_text(bigint) IS
'the text of a query of this database, with its constants replaced';

CREATE FUNCTION hone._histogram_percentile(samples_ms double precision[], fraction double precision)
RETURNS double precision
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_sketch_percentile';
COMMENT ON FUNCTION hone._histogram_percentile(double precision[], double precision) IS
'percentile of samples as the statistics would report it';

CREATE FUNCTION hone._histogram_percentile(a_ms double precision[], b_ms double precision[], fraction double precision)
RETURNS double precision
LANGUAGE C STRICT IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_sketch_merged';
COMMENT ON FUNCTION hone._histogram_percentile(double precision[], double precision[], double precision) IS
'percentile of two histograms merged, as the statistics would report it';

REVOKE ALL ON FUNCTION hone.reset(bigint) FROM PUBLIC;
REVOKE ALL ON FUNCTION hone._evict() FROM PUBLIC;
REVOKE ALL ON FUNCTION hone._sample_text(bigint), hone._query_text(bigint) FROM PUBLIC;
GRANT SELECT ON hone.queries, hone.query_samples, hone.top, hone.errors TO PUBLIC, pg_monitor;
