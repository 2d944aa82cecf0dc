-- Archive files (src/lifecycle/archive_file.h). Internal: they read and write
-- below the archive directory as the server, for any table.

CREATE FUNCTION hone._archive_write(relation regclass, level integer DEFAULT 3,
    OUT file text, OUT rows bigint, OUT raw_bytes bigint, OUT bytes bigint, OUT sha256 text, OUT manifest_sha256 text)
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_archive_write_table';
COMMENT ON FUNCTION hone._archive_write(regclass, integer) IS
    'Write the rows of one table to an archive, and verify it; the table stays';
REVOKE ALL ON FUNCTION hone._archive_write(regclass, integer) FROM PUBLIC;

CREATE FUNCTION hone._archive_verify(archive text,
    OUT file text, OUT rows bigint, OUT raw_bytes bigint, OUT bytes bigint, OUT sha256 text, OUT manifest_sha256 text)
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_archive_verify_file';
COMMENT ON FUNCTION hone._archive_verify(text) IS
    'Read an archive, compare it with its manifest, and show what that says';
REVOKE ALL ON FUNCTION hone._archive_verify(text) FROM PUBLIC;

CREATE FUNCTION hone._archive_load(archive text, relation regclass) RETURNS bigint
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_archive_load_file';
COMMENT ON FUNCTION hone._archive_load(text, regclass) IS
    'Load the rows of an archive into a table with its columns; returns how many';
REVOKE ALL ON FUNCTION hone._archive_load(text, regclass) FROM PUBLIC;

CREATE FUNCTION hone._archive_columns(archive text) RETURNS text
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_archive_columns_of';
COMMENT ON FUNCTION hone._archive_columns(text) IS
    'The columns of an archive, as CREATE TABLE takes them';
REVOKE ALL ON FUNCTION hone._archive_columns(text) FROM PUBLIC;

CREATE FUNCTION hone._archive_remove(archive text) RETURNS void
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_archive_remove_file';
COMMENT ON FUNCTION hone._archive_remove(text) IS
    'Remove an archive from hone.archive_directory, as far as it is there';
REVOKE ALL ON FUNCTION hone._archive_remove(text) FROM PUBLIC;
