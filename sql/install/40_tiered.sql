-- The tiered access method (src/tiered).

-- Codec: what the test suite calls.

CREATE FUNCTION hone._codec_roundtrip(
    "values" anyarray,
    level int,
    OUT "rows" int,
    OUT raw_bytes bigint,
    OUT blob_bytes bigint,
    OUT equal bool)
AS 'MODULE_PATHNAME', 'hone_codec_roundtrip' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION hone._codec_roundtrip(anyarray, int) IS
    'test: encodes the elements as a column of a batch, at that zstd level, and compares what comes back';
REVOKE ALL ON FUNCTION hone._codec_roundtrip(anyarray, int) FROM PUBLIC;

CREATE FUNCTION hone._codec_fuzz(seed int, rounds int) RETURNS bigint
AS 'MODULE_PATHNAME', 'hone_codec_fuzz' LANGUAGE C STRICT VOLATILE;
COMMENT ON FUNCTION hone._codec_fuzz(int, int) IS
    'test: decodes that many damaged batches with valid checksums; returns how many were found damaged';
REVOKE ALL ON FUNCTION hone._codec_fuzz(int, int) FROM PUBLIC;


-- The access method.

CREATE FUNCTION hone._tiered_handler(internal) RETURNS table_am_handler
AS 'MODULE_PATHNAME', 'hone_tiered_handler' LANGUAGE C STRICT;
COMMENT ON FUNCTION hone._tiered_handler(internal) IS 'handler of access method tiered';

CREATE ACCESS METHOD tiered TYPE TABLE HANDLER hone._tiered_handler;
COMMENT ON ACCESS METHOD tiered IS
    'heap tables whose old rows are folded into compressed batches by hone.compress()';

-- The procedures commit as they go, so they have no SET clause and are not
-- SECURITY DEFINER.

CREATE PROCEDURE hone.compress(relation regclass, order_by text DEFAULT NULL)
LANGUAGE C AS 'MODULE_PATHNAME', 'hone_compress';
COMMENT ON PROCEDURE hone.compress(regclass, text) IS
    'folds the rows of a table, or of every leaf partition of a partitioned table, into compressed batches, and compresses batches with dead rows again; order_by is remembered with the table, an empty one forgets it';

CREATE PROCEDURE hone.decompress(relation regclass)
LANGUAGE C AS 'MODULE_PATHNAME', 'hone_decompress';
COMMENT ON PROCEDURE hone.decompress(regclass) IS
    'turns a tiered table, or every leaf partition of a partitioned table, back into an ordinary one';

CREATE PROCEDURE hone.decompress_all()
LANGUAGE C AS 'MODULE_PATHNAME', 'hone_decompress_all';
COMMENT ON PROCEDURE hone.decompress_all() IS
    'turns every tiered table of this database back into an ordinary one';

CREATE FUNCTION hone.tiered_stats(
    relation regclass,
    OUT batches bigint,
    OUT compressed_rows bigint,
    OUT dead_rows bigint,
    OUT plain_rows bigint,
    OUT raw_bytes bigint,
    OUT compressed_bytes bigint,
    OUT heap_bytes bigint)
LANGUAGE C STRICT STABLE AS 'MODULE_PATHNAME', 'hone_tiered_stats';
COMMENT ON FUNCTION hone.tiered_stats(regclass) IS
    'batches, rows and bytes of a tiered table; dead_rows are compressed ones that were deleted or updated, an estimate where there are many batches; plain_rows is an estimate, heap_bytes the total size with indexes before it was first compressed; NULLs for a table that is not tiered';

CREATE FUNCTION hone._compress_progress(
    OUT pid int,
    OUT datid oid,
    OUT relid oid,
    OUT phase text,
    OUT rows_total bigint,
    OUT rows_done bigint,
    OUT batches_done bigint,
    OUT bytes_before bigint,
    OUT bytes_written bigint,
    OUT lock_waits bigint,
    OUT started_at timestamptz,
    OUT parent oid,
    OUT from_tier text,
    OUT to_tier text,
    OUT move_started_at timestamptz,
    OUT bytes_done bigint,
    OUT waiting text,
    OUT is_run bool,
    OUT is_move bool)
RETURNS SETOF record
LANGUAGE C STRICT VOLATILE AS 'MODULE_PATHNAME', 'hone_compress_progress';
COMMENT ON FUNCTION hone._compress_progress() IS 'behind the views hone.compress_progress and hone.tier_progress';

CREATE VIEW hone.compress_progress AS
SELECT p.pid, d.datname, p.relid::regclass AS relation, p.phase, p.rows_total, p.rows_done, p.batches_done,
    p.bytes_before, p.bytes_written, p.lock_waits, p.started_at
FROM hone._compress_progress() p
JOIN pg_catalog.pg_database d ON d.oid = p.datid
WHERE p.is_run;
COMMENT ON VIEW hone.compress_progress IS
    'the compressions and decompressions in hand, of all databases; empty where pg_hone is not preloaded';
GRANT SELECT ON hone.compress_progress TO PUBLIC;

-- Nobody loses data to an uninstall.

CREATE FUNCTION hone._guard_drop() RETURNS event_trigger
LANGUAGE C AS 'MODULE_PATHNAME', 'hone_guard_drop';
COMMENT ON FUNCTION hone._guard_drop() IS
    'refuses DROP EXTENSION pg_hone while tables are tiered';

CREATE EVENT TRIGGER pg_hone_guard ON ddl_command_start
    WHEN TAG IN ('DROP EXTENSION', 'DROP OWNED')
    EXECUTE FUNCTION hone._guard_drop();
ALTER EVENT TRIGGER pg_hone_guard ENABLE ALWAYS;
COMMENT ON EVENT TRIGGER pg_hone_guard IS
    'refuses DROP EXTENSION pg_hone while tables are tiered';
