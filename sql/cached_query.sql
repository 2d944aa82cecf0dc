-- Results of queries, run once and kept: how long, for whom, and what is no
-- query to be kept. Changes without a trigger show what was kept.

CREATE TABLE cq (id int, v text);
INSERT INTO cq VALUES (1, 'one'), (2, NULL);
CREATE FUNCTION cq_ask(ttl interval DEFAULT '1 hour', tags text[] DEFAULT '{cq}') RETURNS text LANGUAGE sql AS
    $$SELECT string_agg(r->>'id', ' ') FROM hone.cached_query('SELECT id FROM cq ORDER BY id', ttl, tags) r$$;
CREATE FUNCTION cq_counted(OUT hits bigint, OUT misses bigint, OUT bypassed bigint, OUT kept bigint) LANGUAGE sql AS
    $$SELECT hits, misses, bypassed, results FROM hone.cache_stats$$;

-- rows, as to_jsonb() makes them
SELECT hone.cached_query('SELECT * FROM cq ORDER BY id', '1 hour');
SELECT hone.cached_query('SELECT * FROM cq ORDER BY id', '1 hour');
SELECT r FROM hone.cached_query('SELECT id, v AS "V x", ARRAY[1, 2] AS a, cq AS r, 1.50 AS n FROM cq WHERE id = 1', '1 hour') r;
SELECT count(*) FROM hone.cached_query('SELECT FROM cq WHERE id > 5', '1 hour');
SELECT count(*) FROM hone.cached_query('SELECT FROM cq WHERE id > 5', '1 hour');
SELECT hone.cached_query('VALUES (1, 2), (3, 4)', '1 hour');
SELECT hone.cached_query('TABLE cq;', '1 hour');
SELECT hone.cached_query('WITH x AS (SELECT 7 AS seven) SELECT * FROM x -- a comment', '1 hour');
SELECT length(r->>'long') FROM hone.cached_query('SELECT repeat(''x'', 100000) AS long', '1 hour') r;
SELECT length(r->>'long') FROM hone.cached_query('SELECT repeat(''x'', 100000) AS long', '1 hour') r;
SELECT sum((r->>'g')::int), count(*) FROM hone.cached_query('SELECT g FROM generate_series(1, 20000) g', '1 hour') r;
SELECT sum((r->>'g')::int), count(*) FROM hone.cached_query('SELECT g FROM generate_series(1, 20000) g', '1 hour') r;

-- for how long
SELECT cq_ask();
INSERT INTO cq VALUES (3, 'three');
SELECT cq_ask();
SELECT pg_sleep(0.01);
SELECT cq_ask('10 milliseconds');
SELECT cq_ask();

-- tags belong to what is asked for
INSERT INTO cq VALUES (4, 'four');
SELECT cq_ask(), cq_ask(tags => '{cq,other}');
SELECT hone.invalidate_cache('{other}');
SELECT cq_ask();
SELECT hone.invalidate_cache('{nothing,cq}');
SELECT cq_ask();
INSERT INTO cq VALUES (5, 'five');
SELECT hone.invalidate_cache('{}');
SELECT cq_ask();
SELECT hone.invalidate_cache();
SELECT cq_ask();

-- by a trigger
SELECT hone.invalidate_cache_on('cq', '{cq,"it''s"}');
SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'cq'::regclass;
DELETE FROM cq WHERE id > 2;
SELECT cq_ask();
INSERT INTO cq VALUES (3, 'three');
SELECT cq_ask();
UPDATE cq SET id = 30 WHERE id = 3;
SELECT cq_ask();
COPY cq FROM stdin;
31	x
\.
SELECT cq_ask();
TRUNCATE cq;
SELECT cq_ask();
INSERT INTO cq VALUES (1, 'one');
SELECT cq_ask();
-- a transaction that has written sees its own rows, and nobody else does
BEGIN;
INSERT INTO cq VALUES (2, 'two');
SELECT cq_ask();
SAVEPOINT s;
INSERT INTO cq VALUES (3, 'three');
SELECT cq_ask();
ROLLBACK TO s;
SELECT cq_ask();
ROLLBACK;
SELECT cq_ask();
-- one that has written elsewhere too
BEGIN;
CREATE TABLE cq_other ();
SELECT (cq_counted()).bypassed AS before \gset
SELECT cq_ask();
SELECT (cq_counted()).bypassed - :before AS alone;
ROLLBACK;
-- and so does one with a snapshot of its own
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT cq_ask();
SELECT (cq_counted()).bypassed - :before AS alone;
COMMIT;
-- other tags from now on, then none
SELECT hone.invalidate_cache_on('cq', '{other}');
INSERT INTO cq VALUES (2, 'two');
SELECT cq_ask(), cq_ask(tags => '{other}');
SELECT hone.invalidate_cache_on('cq', '{}');
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'cq'::regclass;
SELECT hone.invalidate_cache();
-- partitions
CREATE TABLE cq_p (id int) PARTITION BY RANGE (id);
CREATE TABLE cq_p1 PARTITION OF cq_p FOR VALUES FROM (1) TO (10);
CREATE TABLE cq_p2 PARTITION OF cq_p FOR VALUES FROM (10) TO (20);
SELECT hone.invalidate_cache_on('cq_p', '{p}');
SELECT hone.cached_query('SELECT count(*) FROM cq_p', '1 hour', '{p}');
INSERT INTO cq_p VALUES (1);
SELECT hone.cached_query('SELECT count(*) FROM cq_p', '1 hour', '{p}');
INSERT INTO cq_p2 VALUES (11);
SELECT hone.cached_query('SELECT count(*) FROM cq_p', '1 hour', '{p}');

-- whose: each role's, with its privileges of now
CREATE ROLE cq_reader;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO cq_reader;
SELECT cq_ask();
SET ROLE cq_reader;
SELECT cq_ask();
RESET ROLE;
GRANT SELECT (id) ON cq TO cq_reader;
SET ROLE cq_reader;
SELECT cq_ask();
SELECT hone.cached_query('SELECT v FROM cq', '1 hour');
RESET ROLE;
REVOKE SELECT (id) ON cq FROM cq_reader;
SET ROLE cq_reader;
SELECT cq_ask();
RESET ROLE;
-- of a view, its owner's
CREATE VIEW cq_view AS SELECT id FROM cq;
GRANT SELECT ON cq_view TO cq_reader;
SET ROLE cq_reader;
SELECT hone.cached_query('SELECT max(id) FROM cq_view', '1 hour');
RESET ROLE;
REVOKE SELECT ON cq_view FROM cq_reader;
SET ROLE cq_reader;
SELECT hone.cached_query('SELECT max(id) FROM cq_view', '1 hour');
RESET ROLE;
-- of functions
CREATE FUNCTION cq_one() RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN 1; END';
SET ROLE cq_reader;
SELECT hone.cached_query('SELECT cq_one()', '1 hour');
RESET ROLE;
REVOKE EXECUTE ON FUNCTION cq_one() FROM PUBLIC;
SET ROLE cq_reader;
SELECT hone.cached_query('SELECT cq_one()', '1 hour');
RESET ROLE;
-- rows that policies show: by role, and by a setting
CREATE TABLE cq_rls (tenant text, owner name);
INSERT INTO cq_rls VALUES ('a', 'cq_reader'), ('b', 'somebody');
ALTER TABLE cq_rls ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON cq_rls TO cq_reader;
CREATE POLICY p ON cq_rls USING (owner = current_user);
SELECT hone.cached_query('SELECT tenant FROM cq_rls', '1 hour');
SET ROLE cq_reader;
SELECT hone.cached_query('SELECT tenant FROM cq_rls', '1 hour');
RESET ROLE;
CREATE FUNCTION cq_tenant() RETURNS text STABLE LANGUAGE sql AS $$SELECT current_setting('cq.tenant', true)$$;
ALTER POLICY p ON cq_rls USING (tenant = cq_tenant());
SET ROLE cq_reader;
SELECT hone.cached_query('SELECT tenant FROM cq_rls', '1 hour');
SET cq.tenant = 'a';
SELECT hone.cached_query('SELECT tenant FROM cq_rls', '1 hour');
SET cq.tenant = 'b';
SELECT hone.cached_query('SELECT tenant FROM cq_rls', '1 hour');
SET row_security = off;
SELECT hone.cached_query('SELECT tenant FROM cq_rls', '1 hour');
RESET row_security;
RESET ROLE;

-- settings that make it another result
SELECT hone.cached_query($$SELECT timestamptz '2020-01-01 00:00Z' AS at$$, '1 hour');
SET TimeZone = 'Asia/Tokyo';
SELECT hone.cached_query($$SELECT timestamptz '2020-01-01 00:00Z' AS at$$, '1 hour');
RESET TimeZone;
SELECT hone.cached_query($$SELECT interval '1 day 2 hours' AS i$$, '1 hour');
SET IntervalStyle = 'iso_8601';
SELECT hone.cached_query($$SELECT interval '1 day 2 hours' AS i$$, '1 hour');
RESET IntervalStyle;
SELECT hone.cached_query($$SELECT 0.1::float8 + 0.2 AS f, '\x41'::bytea AS b$$, '1 hour');
SET extra_float_digits = 0;
SET bytea_output = 'escape';
SELECT hone.cached_query($$SELECT 0.1::float8 + 0.2 AS f, '\x41'::bytea AS b$$, '1 hour');
RESET extra_float_digits;
RESET bytea_output;
-- settings that do not
SELECT cq_ask();
SELECT (cq_counted()).hits AS before \gset
SET application_name = 'other';
SET statement_timeout = '1 h';
SELECT cq_ask();
SELECT (cq_counted()).hits - :before AS hits;
RESET application_name;
RESET statement_timeout;
-- unless the query may ask for them
ALTER POLICY p ON cq_rls USING (tenant = current_setting('application_name'));
SET ROLE cq_reader;
SET application_name = 'a';
SELECT hone.cached_query('SELECT tenant FROM cq_rls', '1 hour');
SET application_name = 'b';
SELECT hone.cached_query('SELECT tenant FROM cq_rls', '1 hour');
RESET ROLE;
CREATE FUNCTION cq_client() RETURNS text STABLE LANGUAGE sql AS $$SELECT current_setting('application_name')$$;
SELECT hone.cached_query('SELECT cq_client()', '1 hour');
SET application_name = 'a';
SELECT hone.cached_query('SELECT cq_client()', '1 hour');
RESET application_name;
-- names: what they mean now
CREATE SCHEMA cq_schema;
CREATE TABLE cq_schema.cq AS SELECT 99 AS id;
SET search_path = cq_schema, public;
SELECT cq_ask();
RESET search_path;
SELECT cq_ask();
CREATE TEMP TABLE cq AS SELECT 77 AS id;
SELECT cq_ask();
UPDATE pg_temp.cq SET id = 78;
SELECT cq_ask();
DROP TABLE pg_temp.cq;
SELECT cq_ask();
SELECT hone.cached_query('SELECT * FROM cq_view ORDER BY id', '1 hour');
CREATE OR REPLACE VIEW cq_view AS SELECT id FROM cq WHERE id = 1;
SELECT hone.cached_query('SELECT * FROM cq_view ORDER BY id', '1 hour');
ALTER TABLE cq ADD COLUMN more int DEFAULT 5;
SELECT hone.cached_query('TABLE cq;', '1 hour');
-- of a session alone
SELECT (r->>'pg_backend_pid')::int = pg_backend_pid() AS own FROM hone.cached_query('SELECT pg_backend_pid()', '1 hour') r;
SELECT (cq_counted()).kept AS before \gset
SELECT (r->>'pg_backend_pid')::int = pg_backend_pid() AS own FROM hone.cached_query('SELECT pg_backend_pid()', '1 hour') r;
SELECT (cq_counted()).kept - :before AS more;
SELECT hone.cached_query('SELECT name FROM pg_prepared_statements', '1 hour');
PREPARE cq_prepared AS SELECT 1;
SELECT hone.cached_query('SELECT name FROM pg_prepared_statements', '1 hour');
DEALLOCATE cq_prepared;
-- what a function has written is not there for others
CREATE TABLE cq_log (n int);
CREATE FUNCTION cq_write() RETURNS bigint LANGUAGE plpgsql AS $$BEGIN INSERT INTO cq_log VALUES (1); RETURN (SELECT count(*) FROM cq_log); END$$;
CREATE FUNCTION cq_hidden() RETURNS bigint STABLE LANGUAGE plpgsql AS $$BEGIN RETURN cq_write(); END$$;
BEGIN;
SELECT hone.cached_query('SELECT cq_hidden()', '1 hour');
SELECT count(*) FROM cq_log;
ROLLBACK;
SELECT hone.cached_query('SELECT cq_hidden()', '1 hour');
SELECT hone.cached_query('SELECT cq_hidden()', '1 hour');
-- times are no older than the rows may be
SELECT (cq_counted()).bypassed AS before \gset
BEGIN;
SELECT pg_sleep(0.02);
SELECT (r->>'now')::timestamptz = now() AS own FROM hone.cached_query('SELECT now()', '10 ms') r;
SELECT (r->>'current_timestamp')::timestamptz = now() AS own FROM hone.cached_query('SELECT current_timestamp', '10 ms') r;
SELECT count(*) FROM hone.cached_query('SELECT now()', '1 hour') r;
COMMIT;
SELECT (cq_counted()).bypassed - :before AS alone;

-- a query that fails leaves nothing behind, in its own or another transaction
SELECT hone.cached_query('SELECT 1 / count(*) AS n FROM cq WHERE id = 1000', '1 hour');
DO $$
BEGIN
    PERFORM hone.cached_query('SELECT 1 / count(*) AS n FROM cq WHERE id = 1000', '1 hour');
EXCEPTION WHEN division_by_zero THEN
    RAISE NOTICE 'caught';
END $$;
INSERT INTO cq VALUES (1000);
SELECT hone.cached_query('SELECT 1 / count(*) AS n FROM cq WHERE id = 1000', '1 hour');
-- a cached query within another one
CREATE FUNCTION cq_inner() RETURNS text STABLE LANGUAGE plpgsql AS $$BEGIN RETURN (SELECT hone.cached_query('SELECT cq_inner_most()', '1 hour')); END$$;
CREATE FUNCTION cq_inner_most() RETURNS text STABLE LANGUAGE plpgsql AS $$BEGIN RETURN (SELECT min(r->>'id') FROM hone.cached_query('SELECT id FROM cq', '1 hour') r); END$$;
SELECT hone.cached_query('SELECT cq_inner()', '1 hour');
SELECT hone.cached_query('SELECT cq_inner()', '1 hour');

-- what is no query to be kept
SELECT hone.cached_query('', '1 hour');
SELECT hone.cached_query('SELECT 1; SELECT 2', '1 hour');
SELECT hone.cached_query('SELECT FROM WHERE', '1 hour');
SELECT hone.cached_query('SELECT 1) x, (SELECT 2', '1 hour');
SELECT hone.cached_query('DELETE FROM cq', '1 hour');
SELECT hone.cached_query('EXPLAIN SELECT 1', '1 hour');
SELECT hone.cached_query('SELECT 1 INTO cq_into', '1 hour');
SELECT hone.cached_query('WITH d AS (DELETE FROM cq RETURNING *) SELECT * FROM d', '1 hour');
SELECT hone.cached_query('SELECT * FROM cq FOR UPDATE', '1 hour');
SELECT hone.cached_query('SELECT * FROM (SELECT * FROM cq FOR SHARE) x', '1 hour');
SELECT hone.cached_query('SELECT id FROM cq WHERE id > random()', '1 hour');
SELECT hone.cached_query('SELECT * FROM cq, generate_series(1, (SELECT pg_backend_pid() * random()::int)) g', '1 hour');
SELECT hone.cached_query('SELECT $1', '1 hour');
SELECT hone.cached_query(NULL, '1 hour');
SELECT hone.cached_query('SELECT 1', NULL);
SELECT hone.cached_query('SELECT 1', '1 hour', NULL);
SELECT hone.cached_query('SELECT 1', '1 hour', '{a,NULL}');
SELECT hone.cached_query('SELECT 1', '1 hour', '{a,b,c,d,e,f,g,h,i}');
SELECT hone.cached_query('SELECT 1', '0');
SELECT hone.cached_query('SELECT 1', '-1 day');
SELECT hone.invalidate_cache('{NULL}');
SELECT hone.invalidate_cache_on(NULL, '{a}');
SELECT hone.invalidate_cache_on('cq', NULL);
SELECT hone.invalidate_cache_on('cq_view', '{a}');
CREATE TEMP TABLE cq_temp ();
SELECT hone.invalidate_cache_on('cq_temp', '{a}');
SELECT hone._cache_trigger();
SELECT hone.invalidate_cache_on('cq', array_agg(i::text)) FROM generate_series(1, 1001) i;
-- a trigger that somebody makes for each row lets the rows pass
CREATE TRIGGER by_row BEFORE INSERT OR UPDATE OR DELETE ON cq_log FOR EACH ROW EXECUTE FUNCTION hone._cache_trigger('log');
INSERT INTO cq_log VALUES (7);
UPDATE cq_log SET n = 8 WHERE n = 7;
DELETE FROM cq_log WHERE n < 8;
SELECT * FROM cq_log;
-- who may
SET ROLE cq_reader;
SELECT hone.invalidate_cache('{a}');
SELECT hone.invalidate_cache_on('cq', '{a}');
RESET ROLE;

DROP OWNED BY cq_reader;
DROP ROLE cq_reader;
DROP SCHEMA cq_schema CASCADE;
DROP TABLE cq, cq_p, cq_rls, cq_log CASCADE;
DROP FUNCTION cq_ask, cq_client, cq_counted, cq_hidden, cq_write, cq_one, cq_tenant, cq_inner, cq_inner_most;
