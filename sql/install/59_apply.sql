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

-- What is still to be done for an index on a partitioned table, by what the
-- catalogs say now: for each table of it what lacks, in three commands. Indexes of
-- partitions have the prefix and their table's OID in their names, so a try knows
-- those of the one before; others are taken that are alike and nobody's part.
CREATE FUNCTION hone._index_steps(relation oid, index text, definition text, prefix text)
RETURNS TABLE (oid oid, parent oid, name text, leaf boolean, clear text, make text, attach text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE tree AS (
        SELECT relation AS oid, 0::oid AS parent, 0 AS level, true AS attached,
            (SELECT x.indexrelid FROM pg_catalog.pg_index x WHERE x.indexrelid = pg_catalog.to_regclass(index) AND x.indrelid = relation) AS index
        UNION ALL
        SELECT h.inhrelid, t.oid, t.level + 1, coalesce(o.attached, false), o.index
        FROM tree t
        JOIN pg_catalog.pg_inherits h ON h.inhparent = t.oid AND NOT h.inhdetachpending
        LEFT JOIN LATERAL (
            SELECT x.indexrelid AS index, i.inhparent IS NOT NULL AS attached
            FROM pg_catalog.pg_index x
            JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
            LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = x.indexrelid
            LEFT JOIN (pg_catalog.pg_index p JOIN pg_catalog.pg_class pc ON pc.oid = p.indexrelid) ON p.indexrelid = t.index
            WHERE x.indrelid = h.inhrelid
                AND CASE WHEN i.inhparent IS NOT NULL THEN i.inhparent = t.index
                    ELSE c.relname = prefix || h.inhrelid || '_idx'
                        OR x.indisvalid AND NOT x.indisunique AND NOT p.indisunique AND c.relam = pc.relam
                            AND x.indnatts = p.indnatts AND x.indnkeyatts = p.indnkeyatts AND x.indclass::oid[] = p.indclass::oid[]
                            AND x.indcollation::oid[] = p.indcollation::oid[] AND x.indoption::int2[] = p.indoption::int2[]
                            AND x.indexprs IS NULL AND p.indexprs IS NULL AND x.indpred IS NULL AND p.indpred IS NULL
                            AND (SELECT pg_catalog.array_agg(a.attname ORDER BY u.n) FROM pg_catalog.unnest(x.indkey::int2[]) WITH ORDINALITY u(attnum, n)
                                 JOIN pg_catalog.pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.attnum)
                                = (SELECT pg_catalog.array_agg(a.attname ORDER BY u.n) FROM pg_catalog.unnest(p.indkey::int2[]) WITH ORDINALITY u(attnum, n)
                                   JOIN pg_catalog.pg_attribute a ON a.attrelid = p.indrelid AND a.attnum = u.attnum) END
            ORDER BY i.inhparent IS NULL, c.relname = prefix || h.inhrelid || '_idx' DESC, x.indexrelid
            LIMIT 1) o ON true),
    member AS MATERIALIZED (
        SELECT t.*, c.relkind = 'r' AS leaf, x.indisvalid AS valid, hone._qualified_name(t.oid) AS name,
            CASE WHEN t.parent = 0 THEN (pg_catalog.parse_ident(_index_steps.index))[2] ELSE prefix || t.oid || '_idx' END AS new_name,
            CASE WHEN t.parent = 0 THEN _index_steps.index
                 ELSE coalesce(hone._qualified_name(t.index), pg_catalog.format('%I.%I', n.nspname, prefix || t.oid || '_idx')) END AS index_name,
            NOT EXISTS (SELECT FROM tree s WHERE s.parent = t.oid) AS empty
        FROM tree t
        JOIN pg_catalog.pg_class c ON c.oid = t.oid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN pg_catalog.pg_index x ON x.indexrelid = t.index
        WHERE c.relkind IN ('r', 'p')),
    lack AS (
        SELECT m.*, p.index_name AS parent_index, l.clear,
            CASE WHEN m.index IS NULL OR l.clear IS NOT NULL
                 THEN pg_catalog.format(CASE WHEN m.leaf THEN 'CREATE INDEX CONCURRENTLY %I ON %s %s' ELSE 'CREATE INDEX %I ON ONLY %s %s' END, m.new_name, m.name, definition)
                 WHEN m.leaf AND NOT m.valid THEN pg_catalog.format('REINDEX INDEX CONCURRENTLY %s', m.index_name) END AS make,
            -- nobody looks again whether all are there when the last one that was not goes
            NOT p.valid AND m.valid AND m.attached AND m.oid = (SELECT pg_catalog.min(s.oid) FROM member s WHERE s.parent = m.parent)
                AND NOT EXISTS (SELECT FROM member s WHERE s.parent = m.parent AND (s.valid AND s.attached) IS NOT TRUE) AS complete
        FROM member m
        LEFT JOIN member p ON p.oid = m.parent
        CROSS JOIN LATERAL (
            SELECT CASE WHEN m.index IS NULL OR m.valid THEN NULL
                        WHEN m.leaf AND NOT m.attached THEN pg_catalog.format('DROP INDEX CONCURRENTLY %s', m.index_name)
                        WHEN NOT m.leaf AND m.empty AND (m.parent = 0 OR NOT m.attached) THEN pg_catalog.format('DROP INDEX %s', m.index_name) END AS clear) l),
    step AS (
        SELECT k.*, CASE WHEN NOT k.attached OR k.make IS NOT NULL AND k.parent <> 0 OR k.complete
            THEN pg_catalog.format('ALTER INDEX %s ATTACH PARTITION %s', k.parent_index, k.index_name) END AS attach
        FROM lack k)
    SELECT s.oid, s.parent, s.name, s.leaf, s.clear, s.make, s.attach
    FROM (
        SELECT s.oid, s.parent, s.name, s.leaf, s.clear, s.make, s.attach, s.level
        FROM step s WHERE s.make IS NOT NULL OR s.attach IS NOT NULL
        UNION ALL
        -- what a try left on a table that is no partition any more
        SELECT x.indrelid, 0, hone._qualified_name(x.indrelid), false, pg_catalog.format('DROP INDEX CONCURRENTLY %s', hone._qualified_name(x.indexrelid)), NULL, NULL, 0
        FROM pg_catalog.pg_index x
        JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
        WHERE NOT x.indisvalid AND c.relkind = 'i' AND NOT c.relispartition AND c.relname = prefix || x.indrelid || '_idx'
            AND NOT EXISTS (SELECT FROM tree t WHERE t.oid = x.indrelid)) s
    ORDER BY s.leaf, s.level, s.oid;
END;
COMMENT ON FUNCTION hone._index_steps(oid, text, text, text) IS 'Internal: what is still to be done for an index on a partitioned table';

-- A foreign table can have no index. Tables' owners run what their indexes call: a
-- superuser does so for those only that are superusers as well.
CREATE FUNCTION hone._index_obstacle(relation oid, requested_by oid, OUT foreign_table text, OUT superusers text)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT pg_catalog.min(hone._qualified_name(c.oid)) FILTER (WHERE c.relkind = 'f'),
        pg_catalog.min(hone._qualified_name(c.oid)) FILTER (WHERE o.rolsuper AND NOT r.rolsuper
            AND NOT coalesce((SELECT q.rolsuper FROM pg_catalog.pg_roles q WHERE q.oid = requested_by), false))
    FROM hone._tree(relation) t
    JOIN pg_catalog.pg_class c ON c.oid = t
    JOIN pg_catalog.pg_roles o ON o.oid = c.relowner
    JOIN pg_catalog.pg_roles r ON r.oid = (SELECT p.relowner FROM pg_catalog.pg_class p WHERE p.oid = relation);
END;
COMMENT ON FUNCTION hone._index_obstacle(oid, oid) IS 'Internal: a partition that keeps an index on a partitioned table from being made';

CREATE FUNCTION hone.apply_recommendation(id bigint)
RETURNS void
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_apply_recommendation';
COMMENT ON FUNCTION hone.apply_recommendation(bigint) IS 'Queues the fix of a recommendation for the worker: indexes, without blocking writers. For the table''s owner; see hone.applied_recommendations';

CREATE PROCEDURE hone._run_applied()
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_run_applied';
COMMENT ON PROCEDURE hone._run_applied() IS 'Internal: applies what is queued and measures what was applied; called by a worker';
REVOKE ALL ON PROCEDURE hone._run_applied() FROM PUBLIC;
REVOKE ALL ON FUNCTION hone._measure_applied(), hone._latency_of(bigint[], timestamptz, timestamptz), hone._queryids_of(jsonb),
    hone._index_steps(oid, text, text, text), hone._index_obstacle(oid, oid) FROM PUBLIC;

CREATE VIEW hone.applied_recommendations AS
SELECT a.id, a.kind, a.relation,
    CASE WHEN a.finished_at IS NOT NULL AND a.error IS NOT NULL THEN 'failed'
         WHEN a.measured_at IS NOT NULL THEN CASE WHEN v.helped THEN 'helped' ELSE 'no help' END
         WHEN a.finished_at IS NOT NULL THEN 'done'
         WHEN a.started_at IS NULL THEN 'queued'
         WHEN a.running THEN 'running'
         ELSE 'waiting' END AS state,
    a.summary, CASE WHEN a.finished_at IS NOT NULL AND a.error IS NULL OR pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN a.fix END AS fix, a.undo, pg_catalog.pg_get_userbyid(a.requested_by) AS requested_by, a.requested_at, a.started_at, a.finished_at,
    a.attempts, CASE WHEN a.finished_at IS NULL THEN a.retry_at END AS retry_at, CASE WHEN pg_catalog.pg_has_role(c.relowner, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN a.error END AS last_error,
    CASE WHEN a.finished_at IS NULL OR a.error IS NOT NULL THEN nullif(pg_catalog.concat_ws(', ', CASE WHEN a.partitions IS NOT NULL THEN pg_catalog.format('%s of %s partitions', a.partitions_done, a.partitions) END,
        (SELECT p.phase || CASE WHEN p.blocks_total > 0 THEN pg_catalog.format(', %s of %s blocks', p.blocks_done, p.blocks_total) ELSE '' END
         FROM pg_catalog.pg_stat_progress_create_index p
         WHERE a.finished_at IS NULL AND p.datname = pg_catalog.current_database() AND p.relid IN (SELECT hone._tree(a.relation::oid)) ORDER BY p.pid LIMIT 1)), '') END AS progress,
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
COMMENT ON COLUMN hone.applied_recommendations.fix IS 'The command, with the name that the index got; of a partitioned table the first one. Until it is done for those who own the table or may read all statistics: it may hold a constant';
COMMENT ON COLUMN hone.applied_recommendations.undo IS 'The way back; NULL where there is none';
COMMENT ON COLUMN hone.applied_recommendations.requested_by IS 'Who asked for it';
COMMENT ON COLUMN hone.applied_recommendations.requested_at IS 'When';
COMMENT ON COLUMN hone.applied_recommendations.started_at IS 'When the last try began';
COMMENT ON COLUMN hone.applied_recommendations.finished_at IS 'When it was done, or given up';
COMMENT ON COLUMN hone.applied_recommendations.attempts IS 'Tries so far, at most ten, with pauses of 1, 2, 4 ... minutes; of a partitioned table those since a partition got its index';
COMMENT ON COLUMN hone.applied_recommendations.retry_at IS 'When it is tried again, also should the server crash now';
COMMENT ON COLUMN hone.applied_recommendations.last_error IS 'What the last try ended with; for those who own the table or may read all statistics';
COMMENT ON COLUMN hone.applied_recommendations.progress IS 'While an index is built: partitions that have it (also when it has failed), the phase, and blocks';
COMMENT ON COLUMN hone.applied_recommendations.before IS 'Calls, p50_ms and p95_ms of each of its queries in the day before';
COMMENT ON COLUMN hone.applied_recommendations.after IS 'The same since it was done, once they were called 20 times, or a day later';
GRANT SELECT ON hone.applied_recommendations TO PUBLIC;
