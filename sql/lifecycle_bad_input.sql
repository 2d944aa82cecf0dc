-- Each refusal has its SQLSTATE and a hint, and changes nothing.
CREATE ROLE hone_lb_owner;
CREATE SCHEMA lb;
GRANT USAGE ON SCHEMA lb TO hone_lb_owner;
SET search_path = lb;
CREATE FUNCTION lb.try(command text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE m text; h text;
BEGIN
    EXECUTE command;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS m = MESSAGE_TEXT, h = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || m || CASE WHEN h = '' THEN ' (no hint)' ELSE '' END;
END $$;

CREATE TABLE m (ts timestamptz NOT NULL, k int) PARTITION BY RANGE (ts);
CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE m_default PARTITION OF m DEFAULT;
CREATE TABLE plain (ts timestamptz);
CREATE VIEW v AS SELECT * FROM m;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM m;
CREATE SEQUENCE seq;
CREATE FOREIGN DATA WRAPPER hone_lb_fdw;
CREATE SERVER hone_lb_server FOREIGN DATA WRAPPER hone_lb_fdw;
CREATE FOREIGN TABLE f (ts timestamptz) SERVER hone_lb_server;
CREATE FOREIGN TABLE m_foreign PARTITION OF m FOR VALUES FROM ('2021-01-01') TO ('2021-02-01') SERVER hone_lb_server;
CREATE TABLE l (ts timestamptz, k int) PARTITION BY LIST (k);
CREATE TABLE l_1 PARTITION OF l FOR VALUES IN (1);
CREATE TABLE h (ts timestamptz, k int) PARTITION BY HASH (k);
CREATE TABLE two (ts timestamptz, k int) PARTITION BY RANGE (ts, k);
CREATE TABLE expr (ts timestamptz, k int) PARTITION BY RANGE ((k + 1));
CREATE TABLE num (ts timestamptz, k int) PARTITION BY RANGE (k);
CREATE DOMAIN moment AS timestamptz;
CREATE TABLE dom (ts moment) PARTITION BY RANGE (ts);
CREATE TEMP TABLE tmp (ts timestamptz) PARTITION BY RANGE (ts);

SELECT p AS parent, lb.try(format('SELECT hone.add_tier_policy(%L, warm_after => interval ''1 day'')', p))
FROM unnest('{nosuch,plain,v,mv,seq,f,l,h,two,expr,num,dom,tmp,pg_class,m_1}'::text[]) WITH ORDINALITY u(p, n) ORDER BY n;
SELECT lb.try('SELECT hone.add_tier_policy(NULL, warm_after => interval ''1 day'')');
SELECT w AS warm_after, lb.try(format('SELECT hone.add_tier_policy(''m'', warm_after => %L)', w))
FROM unnest('{NULL,0,-1 day,1 month -1 day,20000 years}'::text[]) WITH ORDINALITY u(w, n) ORDER BY n;
SELECT lb.try('SELECT hone.add_tier_policy(''m'')');
SELECT lb.try('SELECT hone.add_tier_policy(''m'', warm_after => ''1 day'', order_by => ''nosuch'')');
SELECT lb.try('SELECT hone.remove_tier_policy(''m'')');
SELECT lb.try('SELECT hone.remove_tier_policy(NULL)');
SELECT hone.add_tier_policy('m', warm_after => interval '9000 years');
SELECT lb.try('SELECT hone.add_tier_policy(''m'', warm_after => interval ''1 day'')');

SET ROLE hone_lb_owner;
SELECT lb.try('SELECT hone.add_tier_policy(''m'', warm_after => interval ''1 day'')');
SELECT lb.try('SELECT hone.remove_tier_policy(''m'')');
SELECT lb.try('INSERT INTO hone._tier_policy VALUES (''lb.m'', ''1 day'')');
SELECT lb.try('DELETE FROM hone._tier_log');
SELECT lb.try('CALL hone._run_worker()');
CALL hone.move_partition('lb.m_1', 'warm');
RESET ROLE;

-- The procedures.
SELECT lb.try('CALL hone.move_partition(''m_1'', ''warm'')');
SELECT lb.try('CALL hone.run_tier_policies()');
BEGIN;
CALL hone.run_tier_policies();
ROLLBACK;
CALL hone.move_partition(NULL, 'warm');
CALL hone.move_partition('m_1', NULL);
CALL hone.move_partition('m_1', 'frozen');
CALL hone.move_partition('m', 'warm');
CALL hone.move_partition('m_default', 'warm');
CALL hone.move_partition('m_foreign', 'warm');
CALL hone.move_partition('plain', 'warm');
CALL hone.move_partition('v', 'warm');
CALL hone.move_partition('l_1', 'warm');
CALL hone.move_partition('pg_class', 'warm');

SELECT parent, warm_after FROM hone.tier_policies;
SELECT count(*) FROM hone.tier_log WHERE partition_name LIKE 'lb.%';
SELECT hone.remove_tier_policy('m');
DROP TABLE tmp;
SET client_min_messages = warning;
DROP SCHEMA lb CASCADE;
DROP FOREIGN DATA WRAPPER hone_lb_fdw CASCADE;
DROP ROLE hone_lb_owner;
