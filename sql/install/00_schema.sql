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
