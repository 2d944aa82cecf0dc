-- Conditions that no plain index serves: functions and casts over a column, values of another type, leading wildcards.
CREATE SCHEMA advise_conditions;
SET search_path = advise_conditions, public;
SET client_min_messages = warning;
SET TimeZone = 'UTC';
CREATE TABLE person (id bigint PRIMARY KEY, email varchar(100), name text, created timestamp NOT NULL, seen timestamptz, code char(8), rank int);
INSERT INTO person SELECT g, 'User' || g || '@example.com', 'name ' || md5(g::text), '2024-01-01'::timestamp + g * interval '1 hour',
    '2024-01-01'::timestamptz + g * interval '1 hour', 'c' || g, g % 10 FROM generate_series(1, 5000) g;
CREATE INDEX ON person (email);
CREATE INDEX ON person (seen);
CREATE INDEX ON person (code);
CREATE TABLE few (id int PRIMARY KEY, email text);
INSERT INTO few SELECT g, 'User' || g FROM generate_series(1, 150) g;
ANALYZE person, few;
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE FUNCTION found() RETURNS TABLE (kind text, fix text, no_fix text, rest jsonb) LANGUAGE sql AS $$
    SELECT kind, regexp_replace(fix, '\s+', ' ', 'g'), evidence->>'no_fix',
           jsonb_strip_nulls(jsonb_build_object('index', evidence->'index', 'instead', evidence->'instead', 'needs', evidence->'needs', 'value', evidence->'value_type'))
    FROM hone.recommendations WHERE kind IN ('function_on_column', 'type_mismatch', 'leading_wildcard') ORDER BY kind, fix, evidence->'sample'->>'query'
$$;

-- none: an index serves it, the table is small, most rows stay, no equality or order, random, arithmetic, a trailing wildcard, too few letters
\o /dev/null
\set ECHO none
SELECT count(*) FROM person WHERE email = 'User7@example.com';
SELECT count(*) FROM few WHERE lower(email) = 'user7';
SELECT count(*) FROM person WHERE length(email) > 3;
SELECT count(*) FROM person WHERE lower(email) <> 'user7@example.com' AND id < 3;
SELECT count(*) FROM person WHERE lower(email) ~ '^user77@';
SELECT count(*) FROM person WHERE rank + 1 = 700;
SELECT count(*) FROM person WHERE id = 7::int;
SELECT count(*) FROM person WHERE rank = 70.0;
SELECT count(*) FROM person WHERE name LIKE 'name c4%';
SELECT count(*) FROM person WHERE name LIKE '%zz%';
SELECT count(*) FROM person WHERE name LIKE '%n%a%m%q%';
SELECT count(*) FROM person WHERE name NOT LIKE '%name%';
SELECT count(*) FROM person WHERE name LIKE '%name%';
SELECT count(*) FROM person WHERE email::text = 'User7@example.com';
\set ECHO all
\o
SELECT * FROM found();

-- functions and casts
\o /dev/null
\set ECHO none
SELECT id FROM person WHERE lower(email) = 'user7@example.com';
SELECT id FROM person WHERE 'name C4' = upper(name) AND rank = 3;
SELECT id FROM person WHERE created::date = '2024-02-01';
SELECT id FROM person WHERE date(seen) BETWEEN '2024-02-01' AND '2024-02-02';
SELECT id FROM person WHERE extract(year FROM seen) = 2030;
SELECT id FROM person WHERE id::text = '5';
UPDATE person SET rank = rank WHERE lower(name) = 'nobody';
PREPARE q(text, date) AS SELECT p.id FROM person p JOIN few f ON f.id = p.rank WHERE lower(p.email) = ANY (ARRAY[$1, 'x']) AND created::date < $2;
EXECUTE q('user7@example.com', '2023-01-01');
DEALLOCATE q;
\set ECHO all
\o
SELECT * FROM found();
SELECT summary FROM hone.recommendations WHERE kind = 'function_on_column' AND (fix LIKE '%lower%email%' OR fix LIKE '%upper%') ORDER BY 1;
SELECT evidence->'rows_removed_p50' AS removed, evidence->'only_condition' AS only_condition, saving_ms > 0 AND saving_ms <= cost_ms AS saves, severity
FROM hone.recommendations WHERE kind = 'function_on_column' AND fix LIKE '%lower%email%' AND evidence->'sample'->>'query' LIKE '%user7%' AND calls = 1 AND summary NOT LIKE 'potential%';

-- a range of the column gives the same rows
SELECT fix AS range FROM hone.recommendations WHERE kind = 'function_on_column' AND fix LIKE '%created >=%' \gset
SELECT (SELECT array_agg(id) FROM (:range) r) = (SELECT array_agg(id) FROM person WHERE created::date = '2024-02-01') AS same;
-- and an index on the expression ends it
CREATE INDEX ON person (lower(email));
SELECT count(*) FROM hone.recommendations WHERE kind = 'function_on_column' AND fix LIKE '%lower%email%' AND summary NOT LIKE 'potential%';
SELECT hone.reset_recommendations() > 0 AS reset;

-- values of another type
\o /dev/null
\set ECHO none
SELECT name FROM person WHERE id = 7.0;
SELECT code FROM person WHERE id = 7.5;
SELECT code, name FROM person WHERE id = 9007199254740993::float8;
SELECT name FROM person WHERE 8::float8 = id;
SELECT name FROM person WHERE code = 'c7'::text;
SELECT name, id FROM person WHERE code = 'c7 '::text;
SELECT name, code FROM person WHERE id = 1::numeric AND seen IN (SELECT seen FROM person);
PREPARE t(float8, numeric) AS SELECT name FROM person WHERE id = $1 AND rank <> 11;
PREPARE u(numeric) AS SELECT $1 AS n, name FROM person WHERE id = $1;
EXECUTE t(7, 1);
EXECUTE u(7);
DEALLOCATE t;
DEALLOCATE u;
SELECT id FROM person WHERE rank = 70::numeric;
\set ECHO all
\o
SELECT * FROM found();
SELECT summary FROM hone.recommendations WHERE kind = 'type_mismatch' AND summary NOT LIKE 'potential%' AND fix LIKE '%code%' ORDER BY summary COLLATE "C";
SELECT fix FROM hone.recommendations WHERE kind = 'type_mismatch' AND fix LIKE '%id = ''7''::bigint' \gexec
SELECT hone.reset_recommendations() > 0 AS reset;

-- leading wildcards: constants, bound values, in a function; the actual value counts
\o /dev/null
\set ECHO none
SELECT id FROM person WHERE name LIKE '%e4da3b%';
SELECT id FROM person WHERE email ILIKE '%R77@EXA%' AND rank < 20;
SELECT id FROM person WHERE upper(name) LIKE upper('%e4da3b%');
SET plan_cache_mode = force_generic_plan;
PREPARE w(text) AS SELECT rank FROM person WHERE name LIKE $1;
EXECUTE w('name x%');
SELECT count(*) AS too_early FROM found() WHERE fix IS NULL;
EXECUTE w('%e4da3b');
DEALLOCATE w;
RESET plan_cache_mode;
\set ECHO all
\o
SELECT * FROM found();
SELECT summary, evidence->'sample'->>'query' AS query FROM hone.recommendations WHERE kind = 'leading_wildcard' ORDER BY 1, 2;
SELECT count(*) FROM pg_extension WHERE extname = 'pg_trgm';
SELECT hone.reset_recommendations() > 0 AS reset;

-- with an index of trigrams it is gone
SELECT 1 FROM person WHERE name LIKE '%e4da3b%';
SELECT count(*) FROM found();
CREATE EXTENSION pg_trgm SCHEMA advise_conditions;
SELECT fix FROM found() \gexec
SELECT count(*) FROM found();
DROP EXTENSION pg_trgm CASCADE;
SELECT hone.reset_recommendations() > 0 AS reset;

-- who sees what: the role that may not read all of the table, another one, one that may
CREATE ROLE hone_test_columns;
CREATE ROLE hone_test_other;
GRANT USAGE ON SCHEMA advise_conditions TO hone_test_columns, hone_test_other;
GRANT SELECT (id, email, created, name) ON person TO hone_test_columns;
SET ROLE hone_test_columns;
\o /dev/null
\set ECHO none
SELECT id FROM person WHERE replace(email, 'secret', '') = 'secret';
SELECT id FROM person WHERE created::date = '1999-09-09';
SELECT id FROM person WHERE id = 19990909.0;
SELECT id FROM person WHERE name LIKE '%secret%';
\set ECHO all
\o
SELECT kind, fix, no_fix FROM found();
SELECT count(*) FROM hone.recommendations WHERE concat(summary, fix, evidence) ~ '(secret|1999-09|199909|09-1999)';
SET ROLE hone_test_other;
SELECT kind, fix, no_fix FROM found();
SELECT count(*) FROM hone.recommendations WHERE concat(summary, fix, evidence) ~ '(secret|1999-09|199909|09-1999|SELECT)';
RESET ROLE;
SELECT kind, count(*) FROM hone.recommendations WHERE concat(summary, fix, evidence) ~ '(secret|1999-09|199909|09-1999)' GROUP BY kind ORDER BY kind;
DROP OWNED BY hone_test_columns, hone_test_other;
DROP ROLE hone_test_columns, hone_test_other;
SELECT hone.reset_recommendations() > 0 AS reset;

-- a table that is gone, one partitioned, one temporary
CREATE TABLE log (at date, who text, payload text) PARTITION BY RANGE (at);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE log_2 (payload text, who text, at date);
ALTER TABLE log ATTACH PARTITION log_2 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO log SELECT '2020-01-01'::date + g % 700, 'Who ' || g, 'p' FROM generate_series(1, 4000) g;
CREATE TEMP TABLE tmp AS SELECT * FROM person;
ANALYZE log;
\o /dev/null
\set ECHO none
SELECT count(*) FROM log WHERE lower(who) = 'who 7';
SELECT count(*) FROM log WHERE who LIKE '%Who 7';
SELECT count(*) FROM tmp WHERE lower(email) = 'user7';
\set ECHO all
\o
SELECT * FROM found();
DROP TABLE log, tmp;
SELECT * FROM found();
SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_conditions CASCADE;
