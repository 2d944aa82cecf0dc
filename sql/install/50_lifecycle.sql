-- Tier policies (src/lifecycle).

-- Written by the functions below and by the worker only. regclass is dumped as
-- the table's name, so policies survive pg_dump, pg_upgrade and renames; those
-- of dropped tables are left out of dumps and removed by the worker.
CREATE TABLE hone._tier_policy (
    parent regclass PRIMARY KEY,
    warm_after interval,
    cold_after interval,
    archive_after interval,
    drop_after interval,
    warm_level integer NOT NULL DEFAULT 3,
    cold_level integer NOT NULL DEFAULT 12,
    cold_tablespace name,
    premake integer NOT NULL DEFAULT 0,
    partition_interval interval,
    keep_while_read interval,
    epoch text,
    allow_drop_without_archive boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
) USING heap;
COMMENT ON TABLE hone._tier_policy IS 'Tier policies; see the view hone.tier_policies';
COMMENT ON COLUMN hone._tier_policy.warm_after IS 'Compress a partition this long after its upper bound; as the others NULL: never';
COMMENT ON COLUMN hone._tier_policy.keep_while_read IS 'Move no partition that was read within this time, but for drop_after';
COMMENT ON COLUMN hone._tier_policy.epoch IS 'What an integer, uuid or text key says of time';
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
    tier text,
    rest_until timestamptz,
    rest_for integer,
    held boolean NOT NULL DEFAULT false,
    scans bigint,
    reads bigint NOT NULL DEFAULT 0,
    last_read timestamptz,
    moved_at timestamptz
) USING heap;
COMMENT ON TABLE hone._tier_state IS 'Failed moves, back-off, tier and reads of partitions; see the view hone.partitions';
COMMENT ON COLUMN hone._tier_state.tier IS 'warm or cold: where a move last brought it';
COMMENT ON COLUMN hone._tier_state.rest_until IS 'After a move: look again for rows that came late from then on';
COMMENT ON COLUMN hone._tier_state.rest_for IS 'The tier that was wanted then, as in hone._tier_age: one beyond it does not wait';
COMMENT ON COLUMN hone._tier_state.held IS 'Restored from an archive: the policy leaves it where it is';
COMMENT ON COLUMN hone._tier_state.reads IS 'Scans since the last move';

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

-- Written by moves only. Names, not OIDs, are what pg_dump keeps: the files
-- outlive the database.
CREATE TABLE hone._archive (
    name text PRIMARY KEY,
    policy regclass,
    parent regclass,
    parent_name text,
    partition_name text NOT NULL,
    bound text,
    range_start timestamptz,
    range_end timestamptz,
    rows bigint NOT NULL,
    raw_bytes bigint NOT NULL,
    bytes bigint NOT NULL,
    heap_bytes bigint,
    sha256 text NOT NULL,
    manifest_sha256 text NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    dropped_at timestamptz,
    restored_at timestamptz,
    expired_at timestamptz,
    removed_at timestamptz,
    owner text
) USING heap;
COMMENT ON TABLE hone._archive IS 'Archives of partitions; see the view hone.archives';
COMMENT ON COLUMN hone._archive.policy IS 'The table whose policy it was moved by';
COMMENT ON COLUMN hone._archive.heap_bytes IS 'What its rows took hot, with indexes';
COMMENT ON COLUMN hone._archive.dropped_at IS 'Since when the rows are in the archive only';
COMMENT ON COLUMN hone._archive.expired_at IS 'When drop_after had passed';
COMMENT ON COLUMN hone._archive.removed_at IS 'When the file of one that expired was gone';
COMMENT ON COLUMN hone._archive.owner IS 'Role that owned the partition';
SELECT pg_catalog.pg_extension_config_dump('hone._archive', '');

-- Partitions on their way out, so that a move which a crash ended goes on.
CREATE TABLE hone._tier_leaving (
    partition oid PRIMARY KEY,
    parent oid NOT NULL,
    policy oid,
    to_tier text NOT NULL,
    detaching boolean NOT NULL DEFAULT false,
    bound text,
    range_start timestamptz,
    range_end timestamptz,
    archive text,
    lsn pg_lsn,
    files text,
    since timestamptz NOT NULL DEFAULT pg_catalog.now()
) USING heap;
COMMENT ON TABLE hone._tier_leaving IS 'Partitions that are being detached and dropped';
COMMENT ON COLUMN hone._tier_leaving.detaching IS 'It was attached when this move began to detach it; one that somebody else detached is left alone';
COMMENT ON COLUMN hone._tier_leaving.archive IS 'Name of the file, from before it is written; complete if hone._archive has it';
COMMENT ON COLUMN hone._tier_leaving.lsn IS 'Pages that were written later are not in the archive';
COMMENT ON COLUMN hone._tier_leaving.files IS 'Its files then: other ones have other rows';

CREATE FUNCTION hone.may_administer() RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN true;
COMMENT ON FUNCTION hone.may_administer() IS
    'Who may execute it may set policies on everybody''s tables, move, archive and restore their partitions: GRANT EXECUTE ON FUNCTION hone.may_administer() TO hone_admin';
REVOKE ALL ON FUNCTION hone.may_administer() FROM PUBLIC;

CREATE FUNCTION hone.add_tier_policy(
    parent regclass,
    warm_after interval DEFAULT NULL,
    cold_after interval DEFAULT NULL,
    archive_after interval DEFAULT NULL,
    drop_after interval DEFAULT NULL,
    order_by text DEFAULT NULL,
    cold_tablespace name DEFAULT NULL,
    premake integer DEFAULT NULL,
    partition_interval interval DEFAULT NULL,
    warm_level integer DEFAULT NULL,
    cold_level integer DEFAULT NULL,
    keep_while_read interval DEFAULT NULL,
    epoch text DEFAULT NULL,
    allow_drop_without_archive boolean DEFAULT NULL,
    if_not_exists boolean DEFAULT false)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_add_tier_policy';
COMMENT ON FUNCTION hone.add_tier_policy(regclass, interval, interval, interval, interval, text, name, integer, interval, integer, integer, interval, text, boolean, boolean) IS
    'From now on, move each partition of this table once so much time has passed since its upper bound: to the warm tier (compressed), the cold one, into an archive file, away; and make premake partitions ahead';

CREATE FUNCTION hone.alter_tier_policy(
    parent regclass,
    warm_after interval DEFAULT NULL,
    cold_after interval DEFAULT NULL,
    archive_after interval DEFAULT NULL,
    drop_after interval DEFAULT NULL,
    order_by text DEFAULT NULL,
    cold_tablespace name DEFAULT NULL,
    premake integer DEFAULT NULL,
    partition_interval interval DEFAULT NULL,
    warm_level integer DEFAULT NULL,
    cold_level integer DEFAULT NULL,
    keep_while_read interval DEFAULT NULL,
    epoch text DEFAULT NULL,
    allow_drop_without_archive boolean DEFAULT NULL,
    reset text[] DEFAULT NULL)
RETURNS void LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_alter_tier_policy';
COMMENT ON FUNCTION hone.alter_tier_policy(regclass, interval, interval, interval, interval, text, name, integer, interval, integer, integer, interval, text, boolean, text[]) IS
    'Change what is given of a tier policy; reset names what is to be as if it had never been given';

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

CREATE FUNCTION hone._partition_range(leaf oid, below oid, epoch text DEFAULT NULL, OUT parent oid, OUT range_start timestamptz, OUT range_end timestamptz)
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_partition_time_range';
COMMENT ON FUNCTION hone._partition_range(oid, oid, text) IS
    'Time range of a leaf partition below the given ancestor, whose key may be one with an epoch, or below the topmost one partitioned by time';

CREATE FUNCTION hone._tier_leaves(policies oid[], epochs text[],
    OUT policy oid, OUT partition oid, OUT range_start timestamptz, OUT range_end timestamptz)
RETURNS SETOF record LANGUAGE c STABLE PARALLEL SAFE ROWS 1000
AS 'MODULE_PATHNAME', 'hone_tier_leaves';
COMMENT ON FUNCTION hone._tier_leaves(oid[], text[]) IS
    'Leaf partitions below tables with a policy, all at once';

CREATE FUNCTION hone._tier_due_at(range_end timestamptz, wait interval) RETURNS timestamptz
LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_tier_due_at';
COMMENT ON FUNCTION hone._tier_due_at(timestamptz, interval) IS
    'The instant when a wait after an upper bound is over, counted in UTC';

CREATE VIEW hone.tier_policies AS
SELECT p.parent, p.warm_after, p.cold_after, p.archive_after, p.drop_after,
    (SELECT l.label::jsonb ->> 'order_by' FROM pg_catalog.pg_seclabel l
     WHERE l.provider = 'hone' AND l.classoid = 'pg_catalog.pg_class'::regclass AND l.objoid = p.parent AND l.objsubid = 0) AS order_by,
    p.warm_level, p.cold_level, p.cold_tablespace, p.premake, p.partition_interval, p.keep_while_read, p.epoch,
    p.allow_drop_without_archive, p.created_at
FROM hone._tier_policy p
WHERE EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = p.parent AND c.relkind = 'p' AND c.relnamespace <> 'hone'::pg_catalog.regnamespace);
COMMENT ON VIEW hone.tier_policies IS 'Tables whose partitions are moved on their own, and when';

-- Errors can quote data.
CREATE FUNCTION hone._for_readers(message text, relation oid)
RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN message IS NULL OR pg_catalog.has_table_privilege(relation, 'SELECT')
                 OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE') THEN message
            ELSE '<insufficient privilege>' END;
COMMENT ON FUNCTION hone._for_readers(text, oid) IS 'Internal: a message about a table, for those only who may read it, or all statistics';

CREATE FUNCTION hone._tier_wanted(warm_at timestamptz, cold_at timestamptz, archive_at timestamptz, drop_at timestamptz, allow_drop boolean)
RETURNS integer LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE WHEN allow_drop AND drop_at <= pg_catalog.now() THEN 4
            WHEN archive_at IS NOT NULL AND least(archive_at, drop_at) <= pg_catalog.now() THEN 3
            WHEN cold_at <= pg_catalog.now() THEN 2
            WHEN warm_at <= pg_catalog.now() THEN 1
            ELSE 0 END;
COMMENT ON FUNCTION hone._tier_wanted(timestamptz, timestamptz, timestamptz, timestamptz, boolean) IS
    'The tier that a partition is to have by now: 0 hot, 1 warm, 2 cold, 3 archive, 4 away';

-- Leaf partitions by time, with the policy nearest above them, and the tier
-- that it wants them to have by now.
-- From the catalogs only, so nobody's lock on a partition is waited for.
CREATE VIEW hone._tier_age AS
SELECT r.parent,
    c.oid AS partition,
    r.range_start,
    r.range_end,
    c.relam,
    c.reltuples,
    w.warm_at, w.cold_at, w.archive_at, w.drop_at,
    least(w.warm_at, w.cold_at, w.archive_at, w.drop_at) AS due_at,
    hone._tier_wanted(w.warm_at, w.cold_at, w.archive_at, w.drop_at, p.allow_drop_without_archive) AS wanted,
    t.tier AS moved_to,
    t.rest_until,
    t.rest_for,
    t.retry_at,
    t.reads,
    t.last_read,
    t.moved_at,
    coalesce(t.held, false) AS held,
    coalesce(t.last_read > pg_catalog.now() - p.keep_while_read, false) AS kept,
    t.last_error,
    c.relnamespace = 'hone'::pg_catalog.regnamespace AND EXISTS (
        SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
            AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.deptype = 'e') AS own
FROM pg_catalog.pg_class c
LEFT JOIN LATERAL (
    SELECT y.*
    FROM pg_catalog.pg_partition_ancestors(c.oid) WITH ORDINALITY a(relid, level)
    JOIN hone._tier_policy y ON y.parent = a.relid
    ORDER BY a.level
    LIMIT 1) p ON true
CROSS JOIN LATERAL hone._partition_range(c.oid, p.parent, p.epoch) r
CROSS JOIN LATERAL (
    SELECT hone._tier_due_at(r.range_end, p.warm_after) AS warm_at,
        hone._tier_due_at(r.range_end, p.cold_after) AS cold_at,
        hone._tier_due_at(r.range_end, p.archive_after) AS archive_at,
        hone._tier_due_at(r.range_end, p.drop_after) AS drop_at) w
LEFT JOIN hone._tier_state t ON t.partition = c.oid
WHERE c.relispartition AND c.relkind = 'r' AND c.relpersistence <> 't' AND r.parent IS NOT NULL;
COMMENT ON VIEW hone._tier_age IS 'Leaf partitions by time and when they are due';

CREATE VIEW hone._policy_leaf AS
SELECT l.policy, l.partition, l.range_start, l.range_end
FROM hone._tier_leaves(
    (SELECT pg_catalog.array_agg(y.parent::oid ORDER BY y.parent) FROM hone._tier_policy y),
    (SELECT pg_catalog.array_agg(y.epoch ORDER BY y.parent) FROM hone._tier_policy y)) l;
COMMENT ON VIEW hone._policy_leaf IS 'Leaf partitions under policies, all at once';

-- Partitions that have reached their tier are there again after a rest, for
-- rows that came late.
CREATE VIEW hone._tier_candidates AS
SELECT a.policy AS parent, a.partition, w.wanted, a.range_end,
    t.retry_at <= pg_catalog.now() IS NOT FALSE AS may_retry
FROM hone._tier_policy p
JOIN hone._policy_leaf a ON a.policy = p.parent
LEFT JOIN hone._tier_state t ON t.partition = a.partition
CROSS JOIN LATERAL (
    SELECT hone._tier_wanted(hone._tier_due_at(a.range_end, p.warm_after), hone._tier_due_at(a.range_end, p.cold_after),
                             hone._tier_due_at(a.range_end, p.archive_after), hone._tier_due_at(a.range_end, p.drop_after),
                             p.allow_drop_without_archive) AS wanted) w
WHERE a.range_end <= pg_catalog.now() AND t.held IS NOT TRUE AND w.wanted > 0
    AND (w.wanted > t.rest_for AND (t.last_read > pg_catalog.now() - p.keep_while_read IS NOT TRUE OR w.wanted = 4)
         OR t.rest_until <= pg_catalog.now() IS NOT FALSE);
COMMENT ON VIEW hone._tier_candidates IS 'Partitions that may have to be moved now, from the catalogs only; what the worker looks at';

CREATE VIEW hone._tier_leaf AS
SELECT a.parent,
    a.partition,
    a.range_start,
    a.range_end,
    CASE WHEN s.batches > 0 AND a.moved_to = 'cold' THEN 'cold'
         WHEN s.batches > 0 THEN 'warm'
         ELSE 'hot' END AS tier,
    CASE WHEN s.batches > 0 THEN s.compressed_rows + s.plain_rows
         WHEN a.reltuples >= 0 THEN a.reltuples::bigint END AS rows,
    CASE WHEN s.batches > 0 THEN s.plain_rows
         WHEN a.reltuples >= 0 THEN a.reltuples::bigint END AS plain_rows,
    s.compressed_rows,
    s.dead_rows,
    s.heap_bytes,
    a.warm_at, a.cold_at, a.archive_at, a.drop_at,
    a.due_at,
    a.wanted,
    a.retry_at,
    CASE WHEN a.wanted <= a.rest_for THEN a.rest_until END AS rest_until,
    a.reads,
    a.last_read,
    a.moved_at,
    a.held,
    a.kept,
    hone._for_readers(a.last_error, a.partition) AS last_error,
    a.own
FROM hone._tier_age a
LEFT JOIN LATERAL (
    SELECT x.batches, x.compressed_rows, x.dead_rows, x.plain_rows, x.heap_bytes
    FROM hone.tiered_stats(CASE WHEN a.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'tiered')
                                THEN a.partition END) x) s ON true;
COMMENT ON VIEW hone._tier_leaf IS 'Leaf partitions by time with their tier; behind hone.partitions and hone.tier_plan';

-- The next step of each: the furthest that is due, else the nearest to come.
CREATE VIEW hone._tier_step AS
SELECT l.*,
    n.to_tier,
    CASE n.to_tier WHEN 'warm' THEN l.warm_at WHEN 'cold' THEN l.cold_at
         WHEN 'archive' THEN least(l.archive_at, l.drop_at) WHEN 'drop' THEN l.drop_at END AS step_at
FROM hone._tier_leaf l
CROSS JOIN LATERAL (
    SELECT CASE l.tier WHEN 'hot' THEN 0 WHEN 'warm' THEN 1 ELSE 2 END AS reached) r
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN l.held THEN NULL
        WHEN l.wanted > r.reached THEN (ARRAY['warm', 'cold', 'archive', 'drop'])[l.wanted]
        WHEN r.reached < 1 AND l.warm_at IS NOT NULL AND l.warm_at <= least(l.cold_at, l.archive_at, l.drop_at) IS NOT FALSE THEN 'warm'
        WHEN r.reached < 2 AND l.cold_at IS NOT NULL AND l.cold_at <= least(l.archive_at, l.drop_at) IS NOT FALSE THEN 'cold'
        WHEN l.archive_at IS NOT NULL THEN 'archive'
        WHEN l.drop_at IS NOT NULL THEN 'drop' END AS to_tier) n;
COMMENT ON VIEW hone._tier_step IS 'Leaf partitions by time with the step that is next';

CREATE VIEW hone.partitions AS
SELECT l.parent::regclass AS parent,
    l.partition::regclass AS partition,
    l.range_start,
    l.range_end,
    l.tier,
    l.rows,
    l.plain_rows,
    CASE WHEN l.tier <> 'hot' THEN l.heap_bytes ELSE b.stored END AS heap_bytes,
    b.stored AS stored_bytes,
    CASE WHEN l.tier <> 'hot' AND b.stored > 0 THEN pg_catalog.round(l.heap_bytes::numeric / b.stored, 2) END AS ratio,
    l.last_read,
    l.to_tier AS next_tier,
    greatest(l.step_at, l.retry_at, CASE WHEN l.step_at <= pg_catalog.now() THEN l.rest_until END) AS next_at,
    l.last_error
FROM hone._tier_step l
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
    CASE WHEN f.refold THEN l.tier ELSE l.to_tier END AS to_tier,
    CASE WHEN f.refold THEN l.due_at ELSE l.step_at END AS due_at,
    l.retry_at,
    f.refold OR l.step_at <= pg_catalog.now() AND (NOT l.kept OR l.to_tier = 'drop') AS due,
    l.kept,
    l.own
FROM hone._tier_step l
CROSS JOIN LATERAL (
    SELECT NOT l.held AND l.tier <> 'hot' AND l.wanted > 0 AND l.step_at <= pg_catalog.now() IS NOT TRUE
        AND (l.plain_rows >= 1000 OR l.dead_rows >= greatest(1000, l.compressed_rows / 10)) AS refold) f
WHERE (l.to_tier IS NOT NULL OR f.refold)
    -- it would not make a small partition of the history smaller
    AND (NOT l.own OR pg_catalog.pg_total_relation_size(l.partition) > 131072);
COMMENT ON VIEW hone._tier_due IS 'What the policies will move, also of pg_hone''s own tables';

-- Detached, or half-way, by a move that has to drop them still.
CREATE VIEW hone._tier_detached AS
SELECT l.partition, l.parent, l.to_tier, l.since, t.retry_at
FROM hone._tier_leaving l
JOIN pg_catalog.pg_class c ON c.oid = l.partition
LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid = l.partition
LEFT JOIN hone._tier_state t ON t.partition = l.partition
WHERE l.detaching AND (NOT c.relispartition OR i.inhdetachpending);
COMMENT ON VIEW hone._tier_detached IS 'Partitions that are on their way out, and attached no more';

CREATE VIEW hone.tier_plan AS
SELECT p.parent, p.partition, p.from_tier, p.to_tier, p.due_at, p.retry_at, p.due,
    p.kept AS kept_while_read,
    pg_catalog.pg_total_relation_size(p.partition) AS bytes
FROM hone._tier_due p WHERE NOT p.own
UNION ALL
SELECT d.parent::regclass, d.partition::regclass, 'detached', d.to_tier, d.since, d.retry_at, true, false,
    pg_catalog.pg_total_relation_size(d.partition)
FROM hone._tier_detached d;
COMMENT ON VIEW hone.tier_plan IS 'What the policies will move, when, and how many bytes that are; detached ones have to be dropped still';

CREATE VIEW hone.tier_log AS
SELECT l.id, l.started_at, l.duration, l.partition, l.partition_name, l.to_tier, l.by_worker,
    l.rows, l.bytes_before, l.bytes_after, l.sqlstate,
    hone._for_readers(l.error, l.partition::oid) AS error,
    hone._for_readers(l.note, l.partition::oid) AS note
FROM hone._tier_log l;
COMMENT ON VIEW hone.tier_log IS 'Every move of a partition, done or failed, with its duration and the bytes before and after';

GRANT SELECT ON hone.tier_policies, hone.partitions, hone.tier_plan, hone.tier_log TO PUBLIC;
