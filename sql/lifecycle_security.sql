-- What owners put into their tables runs as them, whoever moves the table.
ALTER SYSTEM SET hone.worker = off;
SELECT pg_reload_conf();
CREATE ROLE hone_ls_owner;
CREATE ROLE hone_ls_other;
CREATE SCHEMA ls AUTHORIZATION hone_ls_owner;
SET search_path = ls;
SET ROLE hone_ls_owner;
GRANT USAGE ON SCHEMA ls TO hone_ls_other;
CREATE TABLE seen (who text, path text);
-- Called by every index build: notes who runs it, and tries to get away.
CREATE FUNCTION note() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ls.seen VALUES (current_user, current_setting('search_path'));
    BEGIN
        EXECUTE 'RESET ROLE';
        INSERT INTO ls.seen VALUES ('escaped as ' || current_user, NULL);
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
END $$;
CREATE FUNCTION spy(v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    PERFORM ls.note();
    RETURN v;
END $$;
-- Found before pg_catalog's if the caller's search_path were used.
CREATE FUNCTION "+"(timestamptz, interval) RETURNS timestamptz LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO ls.seen VALUES ('hijacked as ' || current_user, NULL);
    RETURN $1;
END $$;
CREATE TABLE m (ts timestamptz NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE INDEX ON m_1 (spy(v));
INSERT INTO m SELECT timestamptz '2020-01-01' + i * interval '1 minute', i FROM generate_series(1, 100) i;
SELECT hone.add_tier_policy('m', warm_after => interval '1 day');
TRUNCATE seen;
RESET ROLE;

SET search_path = ls, pg_catalog;
CALL hone.run_tier_policies();
CALL hone.move_partition('m_1', 'hot');
SELECT count(*) > 0 AS ran, bool_and(who = 'hone_ls_owner') AS as_owner,
    bool_and(path = 'pg_catalog, pg_temp') AS pinned
FROM seen;
SELECT DISTINCT who FROM seen WHERE who <> 'hone_ls_owner';

-- The role and the path are the caller's again.
SELECT current_user = session_user AS myself, current_setting('search_path') AS path;

-- Another role's policies are not run by those who do not own the table; and
-- errors are hidden from those who may not read it.
SET ROLE hone_ls_other;
CALL hone.run_tier_policies();
CALL hone.move_partition('ls.m_1', 'warm');
RESET ROLE;
SET search_path = ls;
ALTER TABLE m_1 ADD CONSTRAINT m_1_exclude EXCLUDE USING gist (tstzrange(ts, ts, '[]') WITH &&);
SET client_min_messages = error;
CALL hone.run_tier_policies();
RESET client_min_messages;
SET ROLE hone_ls_other;
SELECT DISTINCT last_error FROM hone.partitions WHERE last_error IS NOT NULL;
SELECT DISTINCT error FROM hone.tier_log WHERE partition_name = 'ls.m_1' AND error IS NOT NULL;
RESET ROLE;

SELECT hone.remove_tier_policy('m');

-- Who may execute hone.may_administer() may move what is not his; a role of some
-- name is nobody.
SET client_min_messages = warning;
CREATE ROLE hone_admin_test;
GRANT USAGE ON SCHEMA ls TO hone_admin_test;
SET ROLE hone_admin_test;
SELECT hone.add_tier_policy('ls.m', '1 day', order_by => 'ts');
SELECT hone.may_administer();
RESET ROLE;
GRANT EXECUTE ON FUNCTION hone.may_administer() TO hone_admin_test;
ALTER TABLE m_1 DROP CONSTRAINT m_1_exclude;
TRUNCATE seen;
SET ROLE hone_admin_test;
SELECT hone.add_tier_policy('ls.m', '1 day', order_by => 'ts');
CALL hone.move_partition('ls.m_1', 'cold');
CALL hone.run_tier_policies();
SELECT hone.remove_tier_policy('ls.m');
SELECT count(*) FROM ls.m;
RESET ROLE;
SELECT tier FROM hone.partitions WHERE partition = 'm_1'::regclass;
SELECT DISTINCT who FROM seen;
REVOKE ALL ON FUNCTION hone.may_administer() FROM hone_admin_test;
REVOKE ALL ON SCHEMA ls FROM hone_admin_test;
DROP ROLE hone_admin_test;
DROP SCHEMA ls CASCADE;
DROP ROLE hone_ls_owner, hone_ls_other;
ALTER SYSTEM RESET hone.worker;
SELECT pg_reload_conf();
