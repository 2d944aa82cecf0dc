\echo Use "CREATE EXTENSION pg_hone" to load this file. \quit

-- pg_hone's objects live in a schema of their own, made here and owned by the
-- extension. An existing schema is never taken over: somebody else may own it
-- or have put objects into it.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = 'hone') THEN
        RAISE EXCEPTION 'schema "hone" exists already'
            USING ERRCODE = 'duplicate_schema',
                  HINT = 'pg_hone makes this schema itself. Rename or drop the existing one: ALTER SCHEMA hone RENAME TO ...';
    END IF;
END
$$;

CREATE SCHEMA hone;
COMMENT ON SCHEMA hone IS 'pg_hone: query statistics, recommendations, tiered storage';
GRANT USAGE ON SCHEMA hone TO PUBLIC;

-- The library and this script are made together and carry the same identity
-- (src/common/script.c). A server may still run an older library than the
-- files beside this one: then it ends here.
CREATE FUNCTION hone._require_library(script text) RETURNS void
LANGUAGE c STRICT VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_require_library';
COMMENT ON FUNCTION hone._require_library(text) IS
    'Raises an error unless the loaded library was built with the install script of this identity';
SELECT hone._require_library('@SCRIPT@');

CREATE FUNCTION hone._script() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$SELECT '@SCRIPT@'::text$$;
COMMENT ON FUNCTION hone._script() IS
    'Identity of the install script that made the objects of pg_hone in this database: the version and a checksum';
