-- When the worker moves partitions, how fast, and how far it is
-- (src/lifecycle/pace.c). Pausing it: 10_pause.sql.

CREATE FUNCTION hone._in_tier_window(tier_window text, at timestamptz, zone text) RETURNS boolean
LANGUAGE c STABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_in_tier_window';
COMMENT ON FUNCTION hone._in_tier_window(text, timestamptz, text) IS
    'test: whether an instant lies in the hours of a hone.tier_window, by the clocks of a time zone';

-- rows_total is an estimate. A move to hot has not counted what it is to do
-- before its first step, nor has one that is about to begin.
CREATE VIEW hone.tier_progress AS
SELECT p.pid, d.datname,
    p.parent::regclass AS parent,
    p.relid::regclass AS partition,
    p.from_tier, p.to_tier,
    CASE WHEN p.waiting = 'replicas' THEN 'waiting for replicas' ELSE p.phase END AS phase,
    coalesce(p.waiting, CASE WHEN p.phase = 'waiting for lock' THEN 'lock' END) AS waiting,
    p.rows_total, p.rows_done,
    pg_catalog.round(100 * e.done::numeric, 1) AS percent,
    p.bytes_done,
    CASE WHEN e.seconds > 0 THEN (p.bytes_done / e.seconds)::bigint END AS bytes_per_s,
    p.move_started_at AS started_at,
    CASE WHEN e.done > 0 THEN p.move_started_at + pg_catalog.make_interval(secs => e.seconds / e.done) END AS eta
FROM hone._compress_progress() p
JOIN pg_catalog.pg_database d ON d.oid = p.datid
CROSS JOIN LATERAL (
    SELECT least(p.rows_done::float8 / nullif(p.rows_total, 0), 1) AS done,
        extract(epoch FROM pg_catalog.clock_timestamp() - p.move_started_at)::float8 AS seconds) e
WHERE p.is_move;
COMMENT ON VIEW hone.tier_progress IS
    'the moves of partitions in hand, of all databases: how far, how fast, and what they wait for; empty where pg_hone is not preloaded';
GRANT SELECT ON hone.tier_progress TO PUBLIC;
