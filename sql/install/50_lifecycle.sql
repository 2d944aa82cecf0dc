-- Tier policies (src/lifecycle).

-- Written by the functions below and by the worker only. regclass is dumped as
-- the table's name, so policies survive pg_dump, pg_upgrade and renames; those
-- of dropped tables are left out of dumps and removed by the worker.
CREATE TABLE hone._tier_policy (
    parent regclass PRIMARY KEY,
    warm_after interval NOT NULL
        CHECK (warm_after > interval '0' AND warm_after <= interval '10000 years'),
    created_at timestamptz NOT NULL DEFAULT now()
) USING heap;
COMMENT ON TABLE hone._tier_policy IS 'Tier policies; see the view hone.tier_policies';
COMMENT ON COLUMN hone._tier_policy.warm_after IS 'Compress a partition this long after its upper bound';
SELECT pg_catalog.pg_extension_config_dump('hone._tier_policy',
    'WHERE parent::pg_catalog.oid IN (SELECT oid FROM pg_catalog.pg_class WHERE relnamespace <> ''hone''::pg_catalog.regnamespace)');

-- The history of statistics is kept small like any other table by time.
INSERT INTO hone._tier_policy (parent, warm_after) VALUES
    ('hone._history_minutes', '30 minutes'), ('hone._history_hours', '1 day'), ('hone._history_days', '1 day');

-- What is known of a partition beside the catalogs: failed moves and reads.
CREATE TABLE hone._tier_state (
    partition oid PRIMARY KEY,
    failures integer NOT NULL DEFAULT 0,
    last_error text,
    retry_at timestamptz,
    scans bigint,
    last_read timestamptz
) USING heap;
COMMENT ON TABLE hone._tier_state IS 'Failed moves, back-off and last reads of partitions; see the view hone.partitions';

CREATE TABLE hone._tier_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    started_at timestamptz NOT NULL,
    duration interval NOT NULL,
    partition regclass NOT NULL,
    partition_name text NOT NULL,
    to_tier text NOT NULL,
    by_worker boolean NOT NULL,
    rows bigint,
    bytes_before bigint,
    bytes_after bigint,
    sqlstate text,
    error text,
    note text
) USING heap;
COMMENT ON TABLE hone._tier_log IS 'The last 10000 moves; see the view hone.tier_log';

CREATE FUNCTION hone.add_tier_policy(parent regclass, warm_after interval DEFAULT NULL, order_by text DEFAULT NULL, if_not_exists boolean DEFAULT false)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_add_tier_policy';
COMMENT ON FUNCTION hone.add_tier_policy(regclass, interval, text, boolean) IS
    'From now on, compress each partition of this table once warm_after has passed since its upper bound, its rows in the order of order_by, which is remembered with the table';

CREATE FUNCTION hone.remove_tier_policy(parent regclass, if_exists boolean DEFAULT false)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_remove_tier_policy';
COMMENT ON FUNCTION hone.remove_tier_policy(regclass, boolean) IS
    'Move no more partitions of this table; those already moved stay as they are';

CREATE PROCEDURE hone.run_tier_policies()
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_run_tier_policies';
COMMENT ON PROCEDURE hone.run_tier_policies() IS
    'Move every partition of the caller''s tables that is due, now';

CREATE PROCEDURE hone.move_partition(partition regclass, tier text)
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_move_partition';
COMMENT ON PROCEDURE hone.move_partition(regclass, text) IS
    'Move one partition to tier ''warm'' (compressed) or back to ''hot'', now';

CREATE PROCEDURE hone._run_worker()
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_run_worker';
COMMENT ON PROCEDURE hone._run_worker() IS 'What the background worker does in this database, once';
REVOKE ALL ON PROCEDURE hone._run_worker() FROM PUBLIC;

CREATE FUNCTION hone._partition_range(leaf oid, below oid, OUT parent oid, OUT range_start timestamptz, OUT range_end timestamptz)
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_partition_time_range';
COMMENT ON FUNCTION hone._partition_range(oid, oid) IS
    'Time range of a leaf partition below the given ancestor, or below the topmost one partitioned by time';

CREATE FUNCTION hone._tier_due_at(range_end timestamptz, wait interval) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_tier_due_at';
COMMENT ON FUNCTION hone._tier_due_at(timestamptz, interval) IS
    'The instant when a wait after an upper bound is over, counted in UTC';

CREATE VIEW hone.tier_policies AS
SELECT p.parent, p.warm_after,
    (SELECT l.label::jsonb ->> 'order_by' FROM pg_catalog.pg_seclabel l
     WHERE l.provider = 'hone' AND l.classoid = 'pg_catalog.pg_class'::regclass AND l.objoid = p.parent AND l.objsubid = 0) AS order_by,
    p.created_at
FROM hone._tier_policy p
WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = p.parent AND c.relkind = 'p' AND c.relnamespace <> 'hone'::pg_catalog.regnamespace);
COMMENT ON VIEW hone.tier_policies IS 'Tables whose partitions are moved on their own, and when';

-- Leaf partitions by time, with the policy nearest above them. From the
-- catalogs only, so nobody's lock on a partition is waited for.
CREATE VIEW hone._tier_age AS
SELECT r.parent,
    c.oid AS partition,
    r.range_start,
    r.range_end,
    c.relam,
    c.reltuples,
    hone._tier_due_at(r.range_end, p.warm_after) AS due_at,
    t.retry_at,
    t.last_read,
    t.last_error,
    c.relnamespace = 'hone'::pg_catalog.regnamespace AND EXISTS (
        SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
            AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e') AS own
FROM pg_catalog.pg_class c
LEFT JOIN LATERAL (
    SELECT y.parent, y.warm_after
    FROM pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY a(relid, level)
    JOIN hone._tier_policy y ON y.parent = a.relid
    ORDER BY a.level
    LIMIT 1) p ON true
CROSS JOIN LATERAL hone._partition_range(c.oid, p.parent) r
LEFT JOIN hone._tier_state t ON t.partition = c.oid
WHERE c.relispartition AND c.relkind = 'r' AND c.relpersistence <> 't' AND r.parent IS NOT NULL;
COMMENT ON VIEW hone._tier_age IS 'Leaf partitions by time and when they are due; what the worker looks at';

-- Errors can quote data, so they are shown to those only who may read the
-- table.
CREATE VIEW hone._tier_leaf AS
SELECT a.parent,
    a.partition,
    a.range_start,
    a.range_end,
    CASE WHEN s.batches > 0 THEN 'warm' ELSE 'hot' END AS tier,
    CASE WHEN s.batches > 0 THEN s.compressed_rows + s.plain_rows
         WHEN a.reltuples >= 0 THEN a.reltuples::bigint END AS rows,
    CASE WHEN s.batches > 0 THEN s.plain_rows
         WHEN a.reltuples >= 0 THEN a.reltuples::bigint END AS plain_rows,
    s.compressed_rows,
    s.dead_rows,
    s.heap_bytes,
    a.due_at,
    a.retry_at,
    a.last_read,
    CASE WHEN a.last_error IS NULL
              OR pg_catalog.has_table_privilege(a.partition, 'SELECT')
              OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN a.last_error
         ELSE '<insufficient privilege>' END AS last_error,
    a.own
FROM hone._tier_age a
LEFT JOIN LATERAL (
    SELECT x.batches, x.compressed_rows, x.dead_rows, x.plain_rows, x.heap_bytes
    FROM hone.tiered_stats(CASE WHEN a.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'tiered')
                                THEN a.partition END) x) s ON true;
COMMENT ON VIEW hone._tier_leaf IS 'Leaf partitions by time with their tier; behind hone.partitions and hone.tier_plan';

CREATE VIEW hone.partitions AS
SELECT l.parent::regclass AS parent,
    l.partition::regclass AS partition,
    l.range_start,
    l.range_end,
    l.tier,
    l.rows,
    l.plain_rows,
    CASE WHEN l.tier = 'warm' THEN l.heap_bytes ELSE b.stored END AS heap_bytes,
    b.stored AS stored_bytes,
    CASE WHEN l.tier = 'warm' AND b.stored > 0 THEN pg_catalog.round(l.heap_bytes::numeric / b.stored, 2) END AS ratio,
    l.last_read,
    CASE WHEN l.tier = 'hot' AND l.due_at IS NOT NULL THEN 'warm' END AS next_tier,
    CASE WHEN l.tier = 'hot' THEN greatest(l.due_at, l.retry_at) END AS next_at,
    l.last_error
FROM hone._tier_leaf l
CROSS JOIN LATERAL (SELECT pg_catalog.pg_total_relation_size(l.partition) AS stored) b
WHERE NOT l.own;
COMMENT ON VIEW hone.partitions IS 'Every partition by time: its range, tier, size, compression, and what happens to it next';

-- Partitions that are compressed already are there again for rows that came
-- late, once there are enough to be worth a batch, and when many compressed
-- rows are dead.
CREATE VIEW hone._tier_due AS
SELECT l.parent::regclass AS parent,
    l.partition::regclass AS partition,
    l.tier AS from_tier,
    'warm'::text AS to_tier,
    l.due_at,
    l.retry_at,
    l.due_at <= pg_catalog.now() AS due,
    l.own
FROM hone._tier_leaf l
WHERE l.due_at IS NOT NULL
    -- it would not make a small partition of the history smaller
    AND (NOT l.own OR pg_catalog.pg_total_relation_size(l.partition) > 131072)
    AND (l.tier = 'hot' OR l.plain_rows >= 1000 OR l.dead_rows >= greatest(1000, l.compressed_rows / 10));
COMMENT ON VIEW hone._tier_due IS 'What the policies will move, also of pg_hone''s own tables';

CREATE VIEW hone.tier_plan AS
SELECT p.parent, p.partition, p.from_tier, p.to_tier, p.due_at, p.retry_at, p.due
FROM hone._tier_due p WHERE NOT p.own;
COMMENT ON VIEW hone.tier_plan IS 'What the policies will move, and when';

CREATE VIEW hone.tier_log AS
SELECT l.id, l.started_at, l.duration, l.partition, l.partition_name, l.to_tier, l.by_worker,
    l.rows, l.bytes_before, l.bytes_after, l.sqlstate,
    CASE WHEN l.error IS NULL
              OR pg_catalog.has_table_privilege(l.partition::oid, 'SELECT')
              OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN l.error
         ELSE '<insufficient privilege>' END AS error,
    CASE WHEN l.note IS NULL
              OR pg_catalog.has_table_privilege(l.partition::oid, 'SELECT')
              OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN l.note
         ELSE '<insufficient privilege>' END AS note
FROM hone._tier_log l;
COMMENT ON VIEW hone.tier_log IS 'Every move of a partition, done or failed, with its duration and the bytes before and after';

GRANT SELECT ON hone.tier_policies, hone.partitions, hone.tier_plan, hone.tier_log TO PUBLIC;
