-- What queries were called with: bound parameters and constants.
SET hone.flush_interval = '1h';
SET TimeZone = 'UTC';
SET DateStyle = 'ISO, YMD';
SET IntervalStyle = 'postgres';
SET bytea_output = 'hex';
CREATE TYPE stats_mood AS ENUM ('calm', 'cross');
CREATE TABLE stats_sampled (id int, v text);
INSERT INTO stats_sampled VALUES (1, repeat('x', 3000));
CREATE FUNCTION stats_queryid(pattern text) RETURNS bigint LANGUAGE sql AS
    $$ SELECT DISTINCT queryid FROM hone.queries WHERE query LIKE pattern AND datname = current_database() $$;
CREATE VIEW stats_seen AS
    SELECT slow, parameters, parameter_types, left_out, query, truncated, toplevel, rolname = current_user AS mine
    FROM hone.query_samples WHERE query IS NULL OR query !~ 'hone|stats_seen' ORDER BY sampled_at;
SELECT hone.reset();

-- values of several types
PREPARE many (smallint, int, bigint, bool, float8, numeric, text, varchar, "char", name, uuid) AS
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11;
EXECUTE many (-1, 42, 9000000000, true, 0.5, 12345.6789, 'a "quoted", text', 'v', 'c', 'a_name', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11');
PREPARE more (date, timestamp, timestamptz, time, timetz, interval, int[], text[], jsonb, bytea, inet, int4range, bit(3), point, macaddr, regclass) AS
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16;
EXECUTE more ('2024-02-29', '2024-02-29 12:00', '2024-02-29 12:00+02', '12:34:56', '12:34:56+01', '1 day 2 hours', '{1,NULL,3}', '{a,"b c",NULL}', '{"k": [1, null]}', '\x00ff', '10.0.0.0/8', '[1,5)', B'101', '(1,2)', '08:00:2b:01:02:03', 'pg_class');
SELECT parameters, parameter_types, left_out, query, truncated FROM stats_seen;

-- NULL is told from what was left out: too long, or not of a built-in type
SELECT hone.reset();
PREPARE holes (int, text, text, text, stats_mood, int) AS SELECT $1, length($2), length($3), $4, $5, $6;
EXECUTE holes (NULL, repeat('x', 128), repeat('x', 129), 'short', 'cross', 6);
SELECT array_replace(parameters, repeat('x', 128), '128 of them') AS parameters, parameter_types, left_out, query, truncated FROM stats_seen;
-- nor is a compressed value looked into
SET hone.track = 'all';
SELECT hone.reset();
DO $$
DECLARE r record;
BEGIN
    FOR r IN SELECT v FROM stats_sampled LOOP
        EXECUTE 'SELECT length($1) + $2' USING r.v, 7;
    END LOOP;
END $$;
RESET hone.track;
SELECT parameters, left_out, toplevel FROM stats_seen WHERE parameters IS NOT NULL;

-- no more than 32 parameters
SELECT hone.reset();
\o /dev/null
\set ECHO none
SELECT format('PREPARE wide (%s) AS SELECT %s', string_agg('int', ','), string_agg('$' || g, ',')) FROM generate_series(1, 40) AS g \gexec
SELECT format('EXECUTE wide (%s)', string_agg(g::text, ',')) FROM generate_series(1, 40) AS g \gexec
\o
\set ECHO all
SELECT cardinality(parameters), parameters[1], parameters[32], cardinality(parameter_types), left_out, truncated FROM stats_seen WHERE parameters IS NOT NULL;

-- the first call since the last flush and the slowest, among many fast ones
SELECT hone.reset();
PREPARE one (float8, int) AS SELECT $2 AS sampled FROM pg_sleep($1);
EXECUTE one (0, 1);
EXECUTE one (0, 2);
EXECUTE one (0, 3);
EXECUTE one (0.5, 42);
EXECUTE one (0, 4);
EXECUTE one (0, 5);
SELECT slow, parameters, mine FROM stats_seen WHERE parameters IS NOT NULL;
SELECT exec_ms >= 500 AS slow_ms, sampled_at BETWEEN now() - interval '1 hour' AND clock_timestamp() AS just_now
FROM hone.query_samples WHERE parameters[2] = '42';
-- it stays, and there are never more than three slow and three recent ones
SET hone.flush_interval = 0;
EXECUTE one (0, 6);
EXECUTE one (0, 7);
EXECUTE one (0, 8);
EXECUTE one (0, 9);
EXECUTE one (0, 10);
EXECUTE one (0, 11);
EXECUTE one (0, 12);
EXECUTE one (0, 13);
EXECUTE one (0, 14);
EXECUTE one (0, 15);
SELECT count(*), count(*) FILTER (WHERE slow) AS slow, bool_or(slow AND parameters = '{0.5,42}') AS slowest_kept,
       count(DISTINCT parameters[2]) AS different
FROM stats_seen WHERE parameters IS NOT NULL;
SET hone.flush_interval = '1h';
-- a session takes samples of a few queries only until it hands them on
SELECT hone.reset();
\o /dev/null
\set ECHO none
SELECT format('SELECT %s', string_agg(g::text, ',' ORDER BY g)) FROM generate_series(1, 40) AS n, generate_series(1, n) AS g GROUP BY n ORDER BY n \gexec
\o
\set ECHO all
SELECT count(*) BETWEEN 1 AND 16 AS some FROM stats_seen WHERE query ~ '^SELECT [0-9,]+$';
DEALLOCATE ALL;

-- constants: the text, alone and without comments
SELECT hone.reset();
SELECT 1 AS neighbour\; /* gone */ SELECT 'it''s' AS constant, 2 /* gone as well */ + 3\; SELECT 1 AS neighbour_2;
PREPARE with_both (int) AS SELECT $1 AS bound, 'constant';
EXECUTE with_both (5);
DECLARE c CURSOR WITH HOLD FOR SELECT 'cursored' AS constant;
FETCH c;
CLOSE c;
SELECT parameters, query FROM stats_seen WHERE query ~ 'constant';
-- cut
SET hone.stats_text_size = 64;
SELECT 'a text that is longer' AS constant, 'than what is kept of it: cut here, not there';
SELECT query || '|' AS query, length(query), truncated FROM stats_seen WHERE query ~ 'longer';
RESET hone.stats_text_size;
\set ECHO none
SELECT format('SELECT length(%L) AS very_long', repeat('y', 2000)) \gexec
\set ECHO all
SELECT length(query), truncated FROM stats_seen WHERE query ~ 'yyy';
-- nothing to sample, and what is none's business
SELECT hone.reset();
SELECT count(*) AS constantless FROM stats_sampled;
SELECT 'hunter2' AS password;
PREPARE secret (text) AS SELECT $1 AS "The_Password";
EXECUTE secret ('hunter2');
SELECT 'hunter2' AS unknown INTO TEMP stats_temp;
SET application_name = 'hunter2';
RESET application_name;
SELECT 1 / (length('hunter2') - 7);
SELECT count(*) FROM hone.query_samples WHERE query ~ 'hunter2|constantless' OR 'hunter2' = ANY (parameters);
DROP TABLE stats_temp;

-- variables of PL/pgSQL may have changed when the call ends, arguments of SQL
-- functions may be gone: not sampled; dynamic SQL is
SET hone.track = 'all';
SELECT hone.reset();
CREATE FUNCTION stats_plpgsql(x int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count(id) FROM stats_sampled WHERE id = x;
    EXECUTE 'SELECT max(id) FROM stats_sampled WHERE id = $1' USING x + 1;
    RETURN x;
END $$;
CREATE FUNCTION stats_sql(x int) RETURNS SETOF text LANGUAGE sql AS $$ SELECT min(v) FROM stats_sampled WHERE id > x GROUP BY v $$;
SELECT stats_plpgsql(100);
SELECT stats_sql(200);
RESET hone.track;
SELECT count(*) FILTER (WHERE query LIKE 'SELECT count(id)%') AS plpgsql, count(*) FILTER (WHERE query LIKE 'SELECT min(v)%') AS sql,
       count(*) FILTER (WHERE query LIKE 'SELECT max(id)%') AS dynamic
FROM hone.queries WHERE NOT toplevel;
SELECT parameters, query FROM stats_seen WHERE NOT toplevel AND parameters IS NOT NULL;
DROP FUNCTION stats_plpgsql(int), stats_sql(int);

-- who sees whose
CREATE ROLE stats_one;
CREATE ROLE stats_two;
CREATE ROLE stats_data IN ROLE pg_read_all_data;
CREATE ROLE stats_stats IN ROLE pg_read_all_stats;
CREATE ROLE stats_both IN ROLE pg_read_all_data, pg_read_all_stats;
SELECT hone.reset();
SET ROLE stats_one;
SELECT 'one' AS private;
SET ROLE stats_two;
SELECT 'two' AS private, 'more';
RESET ROLE;
SET ROLE stats_one;
SELECT rolname, query FROM hone.query_samples WHERE query ~ 'AS private' AND query !~ 'samples' ORDER BY 1;
SET ROLE stats_two;
SELECT rolname, query FROM hone.query_samples WHERE query ~ 'AS private' AND query !~ 'samples' ORDER BY 1;
SET ROLE stats_data;
SELECT rolname, query FROM hone.query_samples WHERE query ~ 'AS private' AND query !~ 'samples' ORDER BY 1;
SET ROLE stats_stats;
SELECT rolname, query FROM hone.query_samples WHERE query ~ 'AS private' AND query !~ 'samples' ORDER BY 1;
SET ROLE stats_both;
SELECT rolname, query FROM hone.query_samples WHERE query ~ 'AS private' AND query !~ 'samples' ORDER BY 1;
RESET ROLE;
SELECT rolname, query FROM hone.query_samples WHERE query ~ 'AS private' AND query !~ 'samples' ORDER BY 1;
DROP ROLE stats_one, stats_two, stats_data, stats_stats, stats_both;

-- reset() of one query and of all leaves nothing behind
SELECT hone.reset();
SELECT used_bytes FROM hone._shared_status() \gset before_
SELECT 'kept' AS sample;
SELECT 'forgotten' AS sample, 1;
SELECT hone.reset(stats_queryid('SELECT $1 AS sample, $2'));
SELECT query FROM stats_seen WHERE query ~ 'sample';
SELECT 'again' AS sample, 2;
SELECT query FROM stats_seen WHERE query ~ 'sample' ORDER BY query;
SELECT hone.reset();
SELECT used_bytes FROM hone._shared_status() \gset after_
SELECT :before_used_bytes = :after_used_bytes AS all_free;
SELECT query FROM stats_seen WHERE query ~ 'AS sample';
DROP VIEW stats_seen;
DROP FUNCTION stats_queryid(text);
DROP TABLE stats_sampled;
DROP TYPE stats_mood;
RESET ALL;
SELECT hone.reset();
