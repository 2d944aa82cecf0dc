-- Partitions that leave their table: into an archive, or away (src/lifecycle).

-- Written by moves only. Names, not OIDs, are what pg_dump keeps: the files
-- outlive the database.
CREATE TABLE hone._archive (
    name text PRIMARY KEY,
    policy regclass,
    parent regclass,
    parent_name text,
    partition_oid oid NOT NULL,
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
    expired_at timestamptz
) USING heap;
COMMENT ON TABLE hone._archive IS 'Archives of partitions; see the view hone.archives';
COMMENT ON COLUMN hone._archive.policy IS 'The table whose policy it was moved by';
COMMENT ON COLUMN hone._archive.heap_bytes IS 'What its rows took hot, with indexes';
COMMENT ON COLUMN hone._archive.dropped_at IS 'Since when the rows are in the archive only';
COMMENT ON COLUMN hone._archive.expired_at IS 'When drop_after had passed and the archive went';
SELECT pg_catalog.pg_extension_config_dump('hone._archive', '');

-- Partitions on their way out, so that a move which a crash ended goes on.
CREATE TABLE hone._tier_leaving (
    partition oid PRIMARY KEY,
    parent oid NOT NULL,
    to_tier text NOT NULL,
    archive text,
    lsn pg_lsn,
    files text,
    since timestamptz NOT NULL DEFAULT pg_catalog.now()
) USING heap;
COMMENT ON TABLE hone._tier_leaving IS 'Partitions that are being detached and dropped';
COMMENT ON COLUMN hone._tier_leaving.lsn IS 'Pages that were written later are not in the archive';
COMMENT ON COLUMN hone._tier_leaving.files IS 'Its files then: other ones have other rows';

CREATE VIEW hone.archives AS
SELECT a.name,
    coalesce(a.parent::text, a.parent_name) AS parent,
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

CREATE FUNCTION hone.restore_archive(name text) RETURNS regclass
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_restore_archive';
COMMENT ON FUNCTION hone.restore_archive(text) IS
    'Bring an archive back: its rows, verified, in a partition as it was, or a table of its own where the parent is gone; the policy leaves it where it is until it is moved by hand';
