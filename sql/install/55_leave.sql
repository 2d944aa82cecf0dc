-- Partitions that leave their table: into an archive, or away (src/lifecycle).

CREATE VIEW hone.archives AS
SELECT a.name,
    CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = a.parent) THEN a.parent::text
         ELSE a.parent_name END AS parent,
    a.partition_name AS partition,
    a.range_start,
    a.range_end,
    CASE WHEN pg_catalog.pg_has_role('pg_read_all_settings', 'USAGE') AND pg_catalog.current_setting('hone.archive_directory') <> ''
         THEN pg_catalog.current_setting('hone.archive_directory') || '/' || a.name END AS file,
    a.rows,
    a.raw_bytes,
    a.bytes,
    a.heap_bytes,
    a.sha256,
    a.archived_at,
    a.restored_at,
    a.expired_at
FROM hone._archive a
WHERE a.dropped_at IS NOT NULL;
COMMENT ON VIEW hone.archives IS 'Partitions whose rows are in a file now: hone.restore_archive(name) brings one back';
GRANT SELECT ON hone.archives TO PUBLIC;

CREATE FUNCTION hone.restore_archive(name text, prewarm boolean DEFAULT false) RETURNS regclass
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_restore_archive';
COMMENT ON FUNCTION hone.restore_archive(text, boolean) IS
    'Bring an archive back: its rows, verified, in a partition as it was, or a table of its own where the parent is gone; the policy leaves it where it is until it is moved by hand; prewarm: read it and its indexes into shared buffers, by the extension pg_prewarm';
