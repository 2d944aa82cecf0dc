-- Fixes keep the meaning of the query: what they must not be given for, and analysis that is disturbed.
CREATE SCHEMA advise_meaning;
SET search_path = advise_meaning, public;
SET client_min_messages = warning;
SET TimeZone = 'America/Havana';
CREATE TABLE event (id bigint PRIMARY KEY, at timestamptz, day date, clock time, zoned timetz, price numeric, name text, rank int NOT NULL);
INSERT INTO event SELECT g, '2024-01-01'::timestamptz + g * interval '1 hour', '2024-01-01'::date + g, '00:00'::time + g * interval '1 minute',
    '00:00+00'::timetz + g * interval '1 minute', g / 10.0, 'name ' || g, g % 10 FROM generate_series(1, 5000) g;
CREATE INDEX ON event (at);
CREATE INDEX ON event (clock);
CREATE INDEX ON event (price);
CREATE INDEX ON event (lower(name)) WHERE rank < 3;
CREATE TABLE other (id int NOT NULL);
INSERT INTO other SELECT g FROM generate_series(4000, 9000) g;
ANALYZE event, other;
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE FUNCTION found() RETURNS TABLE (kind text, fix text, no_fix text, note text) LANGUAGE sql AS $$
    SELECT kind, regexp_replace(fix, '\s+', ' ', 'g'), evidence->>'no_fix', evidence->>'note'
    FROM hone.recommendations WHERE kind IN ('function_on_column', 'type_mismatch', 'not_in_subquery') ORDER BY kind, evidence->'sample'->>'query'
$$;

-- days of a time zone, days without end, an index of some rows only, a condition that the output has too
\o /dev/null
\set ECHO none
SELECT id FROM event WHERE at::date = '2024-02-01';
SELECT id FROM event WHERE at::date >= 'infinity';
SELECT id FROM event WHERE lower(name) = 'name 0';
SELECT id, 'name 1' = upper(name) AS is_one FROM event WHERE 'name 1' = upper(name);
\set ECHO all
\o
SELECT * FROM found();
SELECT hone.reset_recommendations() > 0 AS reset;

-- constants that are another one, or several, in the column's type
\o /dev/null
\set ECHO none
SELECT id FROM event WHERE price = 0.123456789::float8;
SELECT id FROM event WHERE price < 0.05::float4;
SELECT id FROM event WHERE clock = '09:59:59+00'::timetz;
SELECT id FROM event WHERE clock = '23:59:58+00'::timetz;
\set ECHO all
\o
SELECT * FROM found();
SELECT hone.reset_recommendations() > 0 AS reset;

-- NOT IN of what is not the same each time
\o /dev/null
\set ECHO none
SET work_mem = '64kB';
SELECT id FROM event WHERE id NOT IN (SELECT id FROM other WHERE random() > -1 OR id > 0) AND rank = 3;
RESET work_mem;
\set ECHO all
\o
SELECT * FROM found();
SELECT hone.reset_recommendations() >= 0 AS reset;

-- rows that are wider than the planner knows: never less memory than there was
CREATE TABLE grown (id int, pad text) WITH (autovacuum_enabled = off);
INSERT INTO grown SELECT g, 'p' FROM generate_series(1, 20000) g;
ANALYZE grown;
UPDATE grown SET pad = repeat('p', 600);
SET work_mem = '8MB';
SET hone.advise_spill = '64kB';
\o /dev/null
\set ECHO none
WITH w AS MATERIALIZED (SELECT * FROM grown) SELECT count(*) FROM w x, (SELECT min(id) AS m FROM w) y WHERE x.id = y.m;
\set ECHO all
\o
RESET work_mem;
RESET hone.advise_spill;
SELECT evidence->>'node' AS node, substring(fix from '(\d+)MB')::int >= 16 AS more FROM hone.recommendations WHERE kind = 'disk_spill';
SELECT hone.reset_recommendations() >= 0 AS reset;

-- code of a type's owner that runs in the analysis and says that it was cancelled, or that does not come back
CREATE ROLE hone_test_owner;
CREATE ROLE hone_test_user;
GRANT USAGE, CREATE ON SCHEMA advise_meaning TO hone_test_owner;
GRANT USAGE ON SCHEMA advise_meaning TO hone_test_user;
SET ROLE hone_test_owner;
CREATE FUNCTION checked(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RETURN true; END $$;
CREATE DOMAIN small AS int CHECK (checked(VALUE));
CREATE TYPE pair AS (a small, b int);
CREATE TABLE paired (id int, p pair, name text);
INSERT INTO paired SELECT g, (g, g)::pair, 'name ' || g FROM generate_series(1, 3000) g;
GRANT SELECT ON paired TO hone_test_user;
CREATE TABLE seen AS SELECT current_user AS who, 0 AS n LIMIT 0;
RESET ROLE;
ANALYZE paired;
GRANT SELECT ON other TO hone_test_owner;
\o /dev/null
\set ECHO none
SELECT p.id FROM paired p WHERE lower(p.name) = 'name 7' AND p.p <> '(1,2)'::pair;
SELECT p.id FROM other o JOIN paired p ON p.id = o.id WHERE lower(p.name) = 'name 8' AND p.p <> '(1,2)'::pair;
\set ECHO all
\o
SELECT count(*) FROM hone.recommendations WHERE kind = 'function_on_column' AND fix IS NOT NULL;
SET ROLE hone_test_owner;
CREATE OR REPLACE FUNCTION checked(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'canceling statement' USING ERRCODE = 'query_canceled'; END $$;
RESET ROLE;
SELECT kind, fix, evidence->>'no_fix' AS no_fix FROM hone.recommendations WHERE kind = 'function_on_column' ORDER BY evidence->'sample'->>'query';
SET ROLE hone_test_owner;
CREATE OR REPLACE FUNCTION checked(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'as %', current_user; END $$;
RESET ROLE;
SELECT kind, fix, evidence->>'no_fix' AS no_fix FROM hone.recommendations WHERE kind = 'function_on_column' ORDER BY evidence->'sample'->>'query';
SET ROLE hone_test_owner;
CREATE OR REPLACE FUNCTION checked(int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN true; END $$;
RESET ROLE;
SET statement_timeout = '300ms';
SELECT kind, fix, evidence->>'no_fix' AS no_fix FROM hone.recommendations WHERE kind = 'function_on_column';
RESET statement_timeout;
SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_meaning CASCADE;
DROP ROLE hone_test_owner, hone_test_user;
