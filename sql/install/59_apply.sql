-- Recommendations that are applied (src/advise/apply.c).

CREATE FUNCTION hone._queryids_of(ids jsonb)
RETURNS bigint[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT coalesce(array_agg(DISTINCT e::bigint), '{}') FROM jsonb_array_elements_text(ids) e
$$;
COMMENT ON FUNCTION hone._queryids_of(jsonb) IS 'Internal: the queries of a recommendation';

CREATE FUNCTION hone._latency_of(queryids bigint[], since timestamptz, until timestamptz)
RETURNS jsonb
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
SELECT jsonb_agg(jsonb_build_object('queryid', l.queryid, 'calls', l.calls, 'p50_ms', round(l.p50_ms::numeric, 3), 'p95_ms', round(l.p95_ms::numeric, 3)) ORDER BY l.queryid)
FROM hone.latency_between(since, until) l
WHERE l.queryid = ANY (queryids)
$$;
COMMENT ON FUNCTION hone._latency_of(bigint[], timestamptz, timestamptz) IS 'Internal: calls and percentiles of these queries in a window; NULL where there is none';

-- Once they have been called often enough to say something, or a day later. The
-- history's interval in which it was done has calls of both kinds, and is left out.
CREATE FUNCTION hone._measure_applied()
RETURNS void
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DELETE FROM hone._applied a WHERE a.finished_at < now() - interval '1 year' OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = a.relation::oid);
UPDATE hone._applied a SET after = m.after, measured_at = now()
FROM (SELECT id, hone._latency_of(queryids, finished_at + 2 * current_setting('hone.history_interval')::interval, clock_timestamp()) AS after FROM hone._applied
      WHERE finished_at IS NOT NULL AND error IS NULL AND measured_at IS NULL AND queryids <> '{}'
          AND finished_at + 2 * current_setting('hone.history_interval')::interval < now() AND finished_at > now() - interval '8 days') m
WHERE a.id = m.id AND m.after IS NOT NULL
    AND ((SELECT sum((q->>'calls')::bigint) FROM jsonb_array_elements(m.after) q) >= 20 OR a.finished_at < now() - interval '1 day')
$$;
COMMENT ON FUNCTION hone._measure_applied() IS 'Internal: measures the queries of what was applied';

CREATE FUNCTION hone.apply_recommendation(id bigint)
RETURNS void
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_apply_recommendation';
COMMENT ON FUNCTION hone.apply_recommendation(bigint) IS 'Queues the fix of a recommendation for the worker: indexes, CONCURRENTLY. For the table''s owner; see hone.applied_recommendations';

CREATE PROCEDURE hone._run_applied()
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_run_applied';
COMMENT ON PROCEDURE hone._run_applied() IS 'Internal: applies what is queued and measures what was applied; called by a worker';
REVOKE ALL ON PROCEDURE hone._run_applied() FROM PUBLIC;
REVOKE ALL ON FUNCTION hone._measure_applied(), hone._latency_of(bigint[], timestamptz, timestamptz), hone._queryids_of(jsonb) FROM PUBLIC;

CREATE VIEW hone.applied_recommendations AS
SELECT a.id, a.kind, a.relation,
    CASE WHEN a.finished_at IS NOT NULL AND a.error IS NOT NULL THEN 'failed'
         WHEN a.measured_at IS NOT NULL THEN CASE WHEN v.helped THEN 'helped' ELSE 'no help' END
         WHEN a.finished_at IS NOT NULL THEN 'done'
         WHEN a.started_at IS NULL THEN 'queued'
         WHEN a.running THEN 'running'
         ELSE 'waiting' END AS state,
    a.summary, a.fix, a.undo, pg_catalog.pg_get_userbyid(a.requested_by) AS requested_by, a.requested_at, a.started_at, a.finished_at,
    a.attempts, CASE WHEN a.finished_at IS NULL THEN a.retry_at END AS retry_at, CASE WHEN pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN a.error END AS last_error,
    CASE WHEN a.finished_at IS NULL THEN
        (SELECT p.phase || CASE WHEN p.blocks_total > 0 THEN pg_catalog.format(', %s of %s blocks', p.blocks_done, p.blocks_total) ELSE '' END
         FROM pg_catalog.pg_stat_progress_create_index p
         WHERE p.datname = pg_catalog.current_database() AND p.relid = a.relation::oid ORDER BY p.pid LIMIT 1) END AS progress,
    a.before, a.after
FROM hone._applied a JOIN pg_catalog.pg_class c ON c.oid = a.relation::oid,
    LATERAL (SELECT pg_catalog.sum((y->>'p95_ms')::float8 * (y->>'calls')::float8) <= 0.8 * pg_catalog.sum((x->>'p95_ms')::float8 * (y->>'calls')::float8) AS helped
             FROM pg_catalog.jsonb_array_elements(a.before) x, pg_catalog.jsonb_array_elements(a.after) y WHERE x->>'queryid' = y->>'queryid') v
WHERE hone._reader_may_see(a.relation::oid)
ORDER BY a.requested_at DESC, a.id;
COMMENT ON VIEW hone.applied_recommendations IS 'What hone.apply_recommendation was called for, the latest first: how far it is, and whether it helped';
COMMENT ON COLUMN hone.applied_recommendations.id IS 'As in hone.recommendations';
COMMENT ON COLUMN hone.applied_recommendations.kind IS 'As in hone.recommendations';
COMMENT ON COLUMN hone.applied_recommendations.relation IS 'The table';
COMMENT ON COLUMN hone.applied_recommendations.state IS 'queued, running, waiting (for the next try), failed, done, and once its queries were measured again helped (p95 down by a fifth or more) or no help';
COMMENT ON COLUMN hone.applied_recommendations.summary IS 'As it was in hone.recommendations';
COMMENT ON COLUMN hone.applied_recommendations.fix IS 'The command, with the name that the index got';
COMMENT ON COLUMN hone.applied_recommendations.undo IS 'The way back; NULL where there is none';
COMMENT ON COLUMN hone.applied_recommendations.requested_by IS 'Who asked for it';
COMMENT ON COLUMN hone.applied_recommendations.requested_at IS 'When';
COMMENT ON COLUMN hone.applied_recommendations.started_at IS 'When the last try began';
COMMENT ON COLUMN hone.applied_recommendations.finished_at IS 'When it was done, or given up';
COMMENT ON COLUMN hone.applied_recommendations.attempts IS 'Tries so far, at most ten, with pauses of 1, 2, 4 ... minutes';
COMMENT ON COLUMN hone.applied_recommendations.retry_at IS 'When it is tried again, also should the server crash now';
COMMENT ON COLUMN hone.applied_recommendations.last_error IS 'What the last try ended with; for those who own the table or may read all statistics';
COMMENT ON COLUMN hone.applied_recommendations.progress IS 'While an index is built: the phase, and blocks';
COMMENT ON COLUMN hone.applied_recommendations.before IS 'Calls, p50_ms and p95_ms of each of its queries in the day before';
COMMENT ON COLUMN hone.applied_recommendations.after IS 'The same since it was done, once they were called 20 times, or a day later';
GRANT SELECT ON hone.applied_recommendations TO PUBLIC;
