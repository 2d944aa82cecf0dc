-- Recommendations (src/advise).

CREATE TABLE hone.dismissed_recommendations (
    id bigint PRIMARY KEY,
    fingerprint bigint NOT NULL,
    kind text NOT NULL,
    summary text NOT NULL,
    reason text,
    dismissed_by name NOT NULL DEFAULT session_user,
    dismissed_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) USING heap;
COMMENT ON TABLE hone.dismissed_recommendations IS 'Recommendations that somebody decided against, and why; see hone.dismiss_recommendation';
COMMENT ON COLUMN hone.dismissed_recommendations.id IS 'As in hone.recommendations';
COMMENT ON COLUMN hone.dismissed_recommendations.fingerprint IS 'By what it is known in a restored dump, where ids are others: a hash of the kind, the table''s name, and the statement''s text without constants or the columns'' names';
COMMENT ON COLUMN hone.dismissed_recommendations.kind IS 'As in hone.recommendations';
COMMENT ON COLUMN hone.dismissed_recommendations.summary IS 'As it was when somebody dismissed it first';
COMMENT ON COLUMN hone.dismissed_recommendations.reason IS 'What was given as the reason, or NULL';
COMMENT ON COLUMN hone.dismissed_recommendations.dismissed_by IS 'Role that dismissed it last';
COMMENT ON COLUMN hone.dismissed_recommendations.dismissed_at IS 'When it was dismissed last';
SELECT pg_catalog.pg_extension_config_dump('hone.dismissed_recommendations', '');

CREATE TABLE hone._applied (
    id bigint PRIMARY KEY,
    kind text NOT NULL,
    relation regclass NOT NULL,
    summary text NOT NULL,
    queryids bigint[] NOT NULL,
    fix text NOT NULL,
    index text NOT NULL,
    index_oid oid,
    undo text,
    definition text,
    partitions bigint,
    partitions_done bigint,
    requested_by oid NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    attempts integer NOT NULL DEFAULT 0,
    running boolean NOT NULL DEFAULT false,
    started_at timestamptz,
    retry_at timestamptz,
    finished_at timestamptz,
    error text,
    sqlstate text,
    before jsonb,
    after jsonb,
    measured_at timestamptz
) USING heap;
COMMENT ON TABLE hone._applied IS 'Internal: what hone.apply_recommendation has queued, and what became of it';

-- What was done is open again where it is seen a minute later.
CREATE VIEW hone._decided AS
SELECT d.id, d.fingerprint, 'dismissed' AS status, timestamptz 'infinity' AS until
FROM hone.dismissed_recommendations AS d
UNION ALL
SELECT a.id, NULL, 'applied', CASE WHEN a.finished_at IS NULL THEN 'infinity' ELSE a.finished_at + interval '1 minute' END
FROM hone._applied AS a WHERE a.finished_at IS NULL OR a.error IS NULL;
COMMENT ON VIEW hone._decided IS 'Internal: recommendations that somebody decided about, for those that were seen until then';
GRANT SELECT ON hone._decided TO PUBLIC;

CREATE FUNCTION hone._status_of(id bigint, fingerprint bigint, last_seen timestamptz)
RETURNS text
LANGUAGE sql STABLE
RETURN coalesce((SELECT pg_catalog.max(d.status) FROM hone._decided AS d
                 WHERE (d.id = _status_of.id OR d.fingerprint = _status_of.fingerprint) AND _status_of.last_seen < d.until), 'open');
COMMENT ON FUNCTION hone._status_of(bigint, bigint, timestamptz) IS 'Internal: open, dismissed or applied; of the last two the former';

CREATE FUNCTION hone._findings(OUT held integer, OUT room integer, OUT dropped bigint)
RETURNS record
AS 'MODULE_PATHNAME', 'hone_finding_usage_row'
LANGUAGE C STRICT VOLATILE PARALLEL SAFE;
COMMENT ON FUNCTION hone._findings() IS 'Internal: findings held in shared memory, room for findings (hone.max_recommendations), findings dropped for want of room';

CREATE FUNCTION hone._all_recommendations()
RETURNS TABLE (
    id bigint, kind text, severity text, relation regclass, queryid bigint,
    calls bigint, cost_ms double precision, saving_ms double precision,
    summary text, fix text, evidence jsonb, first_seen timestamptz,
    last_seen timestamptz, fingerprint bigint)
AS 'MODULE_PATHNAME', 'hone_all_recommendations'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hone._all_recommendations() IS 'Internal: the rows behind hone.recommendations, as the caller may see them';

CREATE FUNCTION hone._new_recommendations()
RETURNS TABLE (
    id bigint, kind text, severity text, relation regclass, queryid bigint,
    calls bigint, cost_ms double precision, saving_ms double precision,
    summary text, fix text, evidence jsonb, first_seen timestamptz,
    last_seen timestamptz, fingerprint bigint)
AS 'MODULE_PATHNAME', 'hone_new_recommendations'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hone._new_recommendations() IS 'Internal: like _all_recommendations(), but of the findings, and only what changed since the last call, which is then told';

CREATE FUNCTION hone._made_recommendations()
RETURNS TABLE (
    id bigint, kind text, severity text, relation regclass, queryid bigint,
    calls bigint, cost_ms double precision, saving_ms double precision,
    summary text, fix text, evidence jsonb, first_seen timestamptz,
    last_seen timestamptz, fingerprint bigint)
AS 'MODULE_PATHNAME', 'hone_made_recommendations'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hone._made_recommendations() IS 'Internal: like _all_recommendations(), but only what is no finding: made from the statistics and catalogs for whoever reads it';

CREATE VIEW hone.recommendations AS
SELECT r.id, r.kind, r.severity, r.relation, r.queryid, r.calls, r.cost_ms,
       r.saving_ms, r.summary, r.fix, r.evidence,
       hone._status_of(r.id, r.fingerprint, r.last_seen) AS status,
       r.first_seen, r.last_seen
FROM hone._all_recommendations() AS r
ORDER BY r.saving_ms DESC, r.id;
COMMENT ON VIEW hone.recommendations IS 'What wastes time in this database, what saves most first: evidence measured on this server, and the SQL that mends it';
COMMENT ON COLUMN hone.recommendations.id IS 'Stays the same as long as the query and the table do';
COMMENT ON COLUMN hone.recommendations.kind IS 'n_plus_one, repeated_query, row_by_row_write, offset_pagination, select_star, unbounded_result, missing_index, function_on_column, type_mismatch, leading_wildcard, not_in_subquery, large_in_list, disk_spill, stale_statistics or materialize; of the database as a whole connection_churn, idle_in_transaction or low_cache_hit; of how tables are stored cold_but_read, hot_but_idle or partition_candidate; of indexes and keys unused_index, write_only_index, duplicate_index, redundant_index, invalid_index, bloated_index, foreign_key_without_index or missing_primary_key';
COMMENT ON COLUMN hone.recommendations.relation IS 'The table it is about, or the first one of the statement; NULL for those of the database as a whole';
COMMENT ON COLUMN hone.recommendations.severity IS 'high from 10 s that the fix may save, medium from 1 s, else low; of how tables are stored and indexed by reads, writes, dollars a month or bytes, see src/advise/DETECTORS.md';
COMMENT ON COLUMN hone.recommendations.calls IS 'Executions it stands for since first_seen';
COMMENT ON COLUMN hone.recommendations.cost_ms IS 'Milliseconds that these executions took (for n_plus_one with the gaps between them)';
COMMENT ON COLUMN hone.recommendations.saving_ms IS 'Part of cost_ms that the fix may save, an estimate';
COMMENT ON COLUMN hone.recommendations.fix IS 'SQL to paste: a query that PREPAREs, DDL, or a setting; NULL where evidence says why (no_fix)';
COMMENT ON COLUMN hone.recommendations.evidence IS 'What was measured. Constants are shown to those who may SELECT from the tables or are in pg_read_all_stats';
COMMENT ON COLUMN hone.recommendations.status IS 'open, dismissed, or applied: hone.applied_recommendations has it';

-- Findings know themselves whether they were told. What is made from the
-- statistics and catalogs is made anew each time: this remembers it.
CREATE TABLE hone._told (
    id bigint PRIMARY KEY,
    content bigint NOT NULL
) USING heap;
COMMENT ON TABLE hone._told IS 'Internal: recommendations that are no findings, as hone.analyze_workload told them last';

-- Figures change with every reading, which is no news: what they come to is the severity.
CREATE FUNCTION hone._content_of(severity text, summary text, fix text)
RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN pg_catalog.hashtextextended(pg_catalog.concat_ws(' ', severity, summary OPERATOR(pg_catalog.^@) 'potential:',
                                                        pg_catalog.regexp_replace(fix, '[0-9]+', '', 'g')), 0);
COMMENT ON FUNCTION hone._content_of(text, text, text) IS 'Internal: a hash of what makes a recommendation another one: its severity, whether it is potential, and its fix but for the numbers';

-- The rights of pg_hone's owner are for hone._told alone. Nobody waits long for
-- another call whose transaction goes on: then it is told twice.
CREATE FUNCTION hone._tell(ids bigint[], contents bigint[], complete boolean)
RETURNS bigint[]
LANGUAGE plpgsql STRICT VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET lock_timeout = '2s'
AS $$
DECLARE
    news bigint[] := ARRAY(SELECT n.id FROM unnest(ids, contents) AS n(id, content)
                           WHERE NOT EXISTS (SELECT FROM hone._told AS t WHERE t.id = n.id AND t.content = n.content));
BEGIN
    IF current_setting('transaction_read_only')::boolean THEN
        RETURN news;
    END IF;
    BEGIN
        INSERT INTO hone._told AS t (id, content)
        SELECT DISTINCT ON (n.id) n.id, n.content FROM unnest(ids, contents) AS n(id, content)
        WHERE n.id = ANY (news) AND n.content IS NOT NULL
        ORDER BY n.id
        ON CONFLICT ON CONSTRAINT _told_pkey DO UPDATE SET content = EXCLUDED.content;
        IF complete THEN
            DELETE FROM hone._told AS t WHERE t.id <> ALL (ids);
        END IF;
    EXCEPTION WHEN lock_not_available OR serialization_failure OR deadlock_detected THEN
        NULL;
    END;
    RETURN news;
END
$$;
COMMENT ON FUNCTION hone._tell(bigint[], bigint[], boolean) IS 'Internal: which of these recommendations were not told like this before, which they are then, but for read-only transactions; complete: what is not among them is forgotten';

-- What is made comes first: an error there loses no finding's news. Whoever does
-- not see everything does not know what is gone.
CREATE FUNCTION hone.analyze_workload()
RETURNS SETOF hone.recommendations
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
    WITH made AS MATERIALIZED (
        SELECT m.* FROM hone._made_recommendations() AS m
    ), news AS MATERIALIZED (
        SELECT hone._tell(coalesce(array_agg(m.id), '{}'),
                          coalesce(array_agg(hone._content_of(m.severity, m.summary, m.fix)), '{}'),
                          current_setting('hone.detectors')::boolean AND pg_has_role('pg_read_all_stats', 'USAGE')) AS ids
        FROM made AS m
    )
    SELECT r.id, r.kind, r.severity, r.relation, r.queryid, r.calls, r.cost_ms,
           r.saving_ms, r.summary, r.fix, r.evidence,
           hone._status_of(r.id, r.fingerprint, r.last_seen),
           r.first_seen, r.last_seen
    FROM (SELECT m.* FROM news AS n, made AS m WHERE m.id = ANY (n.ids)
          UNION ALL
          SELECT f.* FROM hone._new_recommendations() AS f) AS r
    ORDER BY r.saving_ms DESC, r.id
$$;
COMMENT ON FUNCTION hone.analyze_workload() IS 'The recommendations of this database that are new or have changed since the last call (by anybody): findings with new evidence, others with another severity or fix. A read-only transaction, as on a standby, remembers of the latter nothing';

CREATE FUNCTION hone.dismiss_recommendation(id bigint, reason text DEFAULT NULL)
RETURNS void
LANGUAGE plpgsql VOLATILE
SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_variable
BEGIN
    INSERT INTO hone.dismissed_recommendations AS d (id, fingerprint, kind, summary, reason)
    SELECT r.id, r.fingerprint, r.kind, r.summary, reason
    FROM hone._all_recommendations() AS r
    WHERE r.id = dismiss_recommendation.id
    ON CONFLICT ON CONSTRAINT dismissed_recommendations_pkey
    DO UPDATE SET reason = EXCLUDED.reason, dismissed_by = EXCLUDED.dismissed_by,
                  dismissed_at = EXCLUDED.dismissed_at;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'recommendation % does not exist', id
            USING ERRCODE = 'undefined_object',
                  HINT = 'SELECT id, summary FROM hone.recommendations lists them.';
    END IF;
END
$$;
COMMENT ON FUNCTION hone.dismiss_recommendation(bigint, text) IS 'Marks a recommendation as dismissed; it stays so when it is seen again';

CREATE FUNCTION hone.reset_recommendations()
RETURNS integer
AS 'MODULE_PATHNAME', 'hone_reset_recommendations'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hone.reset_recommendations() IS 'Forgets the findings of this database; returns how many there were';

-- Alerts: what a monitor polls, or listens to.

CREATE TABLE hone._alert (
    id bigint PRIMARY KEY,
    severity text NOT NULL,
    raised_at timestamptz NOT NULL DEFAULT pg_catalog.now()
) USING heap;
COMMENT ON TABLE hone._alert IS 'Internal: recommendations that hone._raise_alerts has told, with the severity they had';

CREATE VIEW hone.alerts AS
SELECT r.id, r.kind, a.severity, r.relation, r.queryid, r.saving_ms, r.summary, a.raised_at
FROM hone._alert AS a JOIN hone.recommendations AS r USING (id)
WHERE r.status = 'open'
ORDER BY a.raised_at DESC, a.id;
COMMENT ON VIEW hone.alerts IS 'Open recommendations of hone.alert_severity or more, the latest first; each is also a notification on channel hone_alerts';
COMMENT ON COLUMN hone.alerts.id IS 'As in hone.recommendations';
COMMENT ON COLUMN hone.alerts.severity IS 'That it had when the alert was raised; raised again when it becomes higher';
COMMENT ON COLUMN hone.alerts.raised_at IS 'When it reached this severity: what a monitor has not seen yet is later than what it saw last';

CREATE FUNCTION hone._severity_rank(severity text)
RETURNS integer
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT pg_catalog.array_position('{low,medium,high,off}'::pg_catalog.text[], severity) $$;
COMMENT ON FUNCTION hone._severity_rank(text) IS 'Internal: 1 for low, 2 for medium, 3 for high, 4 for off';

CREATE PROCEDURE hone._raise_alerts()
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    least_rank integer := hone._severity_rank(current_setting('hone.alert_severity'));
    told bigint;
BEGIN
    IF pg_is_in_recovery() THEN
        RETURN;
    END IF;
    WITH open AS MATERIALIZED (
        SELECT r.id, r.kind, r.severity, r.relation, r.saving_ms, r.summary
        FROM hone.recommendations AS r
        WHERE r.status = 'open' AND hone._severity_rank(r.severity) >= least_rank
    ), gone AS (
        DELETE FROM hone._alert AS a
        WHERE NOT EXISTS (SELECT FROM open AS o WHERE o.id = a.id)
    ), raised AS (
        INSERT INTO hone._alert AS a (id, severity)
        SELECT o.id, o.severity FROM open AS o
        ON CONFLICT ON CONSTRAINT _alert_pkey
        DO UPDATE SET severity = EXCLUDED.severity, raised_at = EXCLUDED.raised_at
        WHERE hone._severity_rank(EXCLUDED.severity) > hone._severity_rank(a.severity)
        RETURNING a.id
    )
    SELECT count(pg_notify('hone_alerts', json_build_object('id', o.id, 'kind', o.kind, 'severity', o.severity,
                      'relation', o.relation, 'saving_ms', round(o.saving_ms), 'summary', left(o.summary, 1000))::text))
    INTO told
    FROM open AS o JOIN raised AS r USING (id);
    CALL hone._note_index_use();
END
$$;
COMMENT ON PROCEDURE hone._raise_alerts() IS 'Internal: writes hone._alert anew and notifies channel hone_alerts; called by a worker every hone.alert_interval';

GRANT SELECT ON hone.recommendations, hone.dismissed_recommendations, hone.alerts TO PUBLIC;
REVOKE ALL ON PROCEDURE hone._raise_alerts() FROM PUBLIC;
REVOKE ALL ON FUNCTION hone._new_recommendations() FROM PUBLIC;
REVOKE ALL ON FUNCTION hone._tell(bigint[], bigint[], boolean) FROM PUBLIC;
REVOKE ALL ON FUNCTION hone.analyze_workload() FROM PUBLIC;
REVOKE ALL ON FUNCTION hone.dismiss_recommendation(bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION hone.reset_recommendations() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION hone._new_recommendations() TO pg_monitor;
GRANT EXECUTE ON FUNCTION hone._tell(bigint[], bigint[], boolean) TO pg_monitor;
GRANT EXECUTE ON FUNCTION hone.analyze_workload() TO pg_monitor;
GRANT EXECUTE ON FUNCTION hone.dismiss_recommendation(bigint, text) TO pg_monitor;
