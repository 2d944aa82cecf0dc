-- The size that is expected of an index, beside the size it has once it is built.
SET client_min_messages = warning;
CREATE SCHEMA isz;
SET search_path = isz;
CREATE TABLE t AS
SELECT i AS id, abs(hashint4(i)) % 100 AS few, i % 50 AS region, (i * 7919) % 200000 AS spread, CASE WHEN i % 10 = 0 THEN i END AS mostly_null, i % 3 = 0 AS flag, (i % 5)::int2 AS small,
    timestamptz '2024-01-01Z' + i * interval '1 s' AS at, (i % 20000)::numeric / 7 AS amount, md5(i::text)::uuid AS u,
    'city ' || i % 500 AS city, repeat('x', i % 60) || i AS name, md5(i::text) || md5((i + 1)::text) AS long,
    CASE WHEN i % 100 < 90 THEN 'done' ELSE 'open ' || i END AS state,
    jsonb_build_object('a', i % 1000, 'b', md5(i::text)) AS doc, ARRAY[i % 100, i % 7, i] AS tags
FROM generate_series(1, 200000) i;
-- a city has one region
CREATE STATISTICS of_city (ndistinct) ON city, region FROM t;
ANALYZE t;
CREATE TABLE found (ddl text, expected bigint, real bigint);
\set ECHO none
\o /dev/null
SELECT format('SELECT hone.hypothetical_index(%L)', ddl),
    format('INSERT INTO found SELECT %L, sum(bytes) FROM hone.hypothetical_indexes', ddl), 'SELECT hone.drop_hypothetical_indexes()', ddl,
    format('UPDATE found SET real = pg_relation_size(''x'') WHERE ddl = %L', ddl), 'DROP INDEX x'
FROM unnest(ARRAY['(id)', '(few)', '(spread)', '(mostly_null)', '(flag)', '(small)', '(at)', '(amount)', '(u)', '(city)', '(name)', '(long)', '(state)',
    '(id, at)', '(few, id)', '(city, name)', '(name, city, at)', '(city, few)', '(flag, state, name)', '(city, at DESC) INCLUDE (amount)', '(small, flag)',
    '(id) WHERE flag', '(city) WHERE few = 7', '(name) WHERE state <> ''done''', '(lower(name))', '(lower(city), id)', '((few % 10))', '(name text_pattern_ops)',
    '(id) WITH (fillfactor = 50)', '(mostly_null, city)', '(city, region)']) i, concat('CREATE INDEX x ON t ', i) ddl \gexec
\o
\set ECHO all
SELECT count(*), count(*) FILTER (WHERE expected BETWEEN real * 0.7 AND real * 1.3) AS within_30_percent FROM found;
SELECT ddl, round(expected::numeric / real, 2) AS ratio FROM found WHERE NOT coalesce(expected BETWEEN real * 0.7 AND real * 1.3, false);
DROP SCHEMA isz CASCADE;
