-- Partitions ahead of now (src/lifecycle/premake.h).

CREATE PROCEDURE hone.premake_partitions(parent regclass)
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_premake_partitions';
COMMENT ON PROCEDURE hone.premake_partitions(regclass) IS
    'Make the partitions ahead that the policy of this table asks for, now';

CREATE PROCEDURE hone._premake(parent regclass, premake integer, partition_interval interval DEFAULT NULL, epoch text DEFAULT NULL, at timestamptz DEFAULT NULL)
LANGUAGE c
AS 'MODULE_PATHNAME', 'hone_premake_run';
COMMENT ON PROCEDURE hone._premake(regclass, integer, interval, text, timestamptz) IS
    'Make partitions ahead of that time, as a policy with these values would';

CREATE FUNCTION hone._premake_plan(parent regclass, premake integer, partition_interval interval DEFAULT NULL, epoch text DEFAULT NULL, at timestamptz DEFAULT NULL,
    OUT partition text, OUT range_start timestamptz, OUT range_end timestamptz, OUT reason text)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_premake_show_plan';
COMMENT ON FUNCTION hone._premake_plan(regclass, integer, interval, text, timestamptz) IS
    'What hone._premake would make; in a row without a name why it cannot';

CREATE FUNCTION hone._premake_gaps(parent regclass, epoch text DEFAULT NULL, at timestamptz DEFAULT NULL,
    OUT range_start timestamptz, OUT range_end timestamptz, OUT reason text, OUT default_partition regclass)
RETURNS SETOF record
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'hone_premake_show_gaps';
COMMENT ON FUNCTION hone._premake_gaps(regclass, text, timestamptz) IS
    'Ranges from that time on that no partition covers; in a row without a range the default partition';

CREATE VIEW hone.premake_plan AS
SELECT p.parent, r.partition, r.range_start, r.range_end, r.reason, s.retry_at,
    hone._for_readers(s.last_error, p.parent::oid) AS last_error
FROM hone.tier_policies p
CROSS JOIN LATERAL hone._premake_plan(p.parent, p.premake, p.partition_interval, p.epoch) r
LEFT JOIN hone._tier_state s ON s.partition = p.parent
WHERE p.premake > 0;
COMMENT ON VIEW hone.premake_plan IS 'Partitions that the policies will make ahead, and why they have not yet';

-- Rows of a default partition as of the last ANALYZE: nothing is scanned.
CREATE VIEW hone.tier_gaps AS
SELECT p.parent, g.range_start, g.range_end,
    coalesce(g.reason, 'default partition ' || g.default_partition::text || ' holds rows') AS reason,
    d.rows
FROM hone.tier_policies p
CROSS JOIN LATERAL hone._premake_gaps(p.parent, p.epoch) g
LEFT JOIN LATERAL (
    SELECT greatest(c.reltuples, 0)::bigint AS rows FROM pg_catalog.pg_class c WHERE c.oid = g.default_partition) d ON true
WHERE g.default_partition IS NULL OR d.rows > 0;
COMMENT ON VIEW hone.tier_gaps IS 'Ranges ahead of now that no partition covers, and default partitions that have rows, by estimate';

GRANT SELECT ON hone.premake_plan, hone.tier_gaps TO PUBLIC;
