-- The same queries on a heap table and on its compressed twin: filters,
-- joins, aggregates and sorts made from a seed, results compared exactly.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TABLE tw_heap (id int, small int2, big int8, d date, ts timestamp, tsz timestamptz, f float8, n numeric, t text, u uuid, b bool, j jsonb, a int[]);
INSERT INTO tw_heap
SELECT CASE WHEN i % 97 > 0 THEN i END, i % 300 - 150, (i::bigint * 7919) % 100003 - 50000,
    CASE i % 1000 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' WHEN 2 THEN NULL ELSE date '2020-01-01' + i / 50 END,
    CASE i % 1000 WHEN 3 THEN 'infinity' WHEN 4 THEN '-infinity' ELSE timestamp '2020-01-01' + i * interval '17 minutes' END,
    CASE i % 1000 WHEN 5 THEN NULL ELSE timestamptz '2020-01-01 00:00Z' + i * interval '17 minutes' END,
    CASE i % 500 WHEN 0 THEN 'NaN' ELSE (i % 777) / 4.0 END, (i % 1234) / 100.0, CASE WHEN i % 13 > 0 THEN 'text ' || i % 211 END,
    md5((i % 5000)::text)::uuid, i % 3 = 0, jsonb_build_object('k', i % 17), ARRAY[i % 5, i % 7]
FROM generate_series(1, 14000) i;
-- a twin in two batches of different age and some plain rows, of each kind of order key
CREATE TABLE tw_ts (LIKE tw_heap);
CREATE TABLE tw_int (LIKE tw_heap);
CREATE TABLE tw_part (LIKE tw_heap) PARTITION BY RANGE (tsz);
CREATE TABLE tw_part_1 PARTITION OF tw_part FOR VALUES FROM (MINVALUE) TO ('2020-03-01 00:00Z');
CREATE TABLE tw_part_2 PARTITION OF tw_part FOR VALUES FROM ('2020-03-01 00:00Z') TO ('2020-05-01 00:00Z');
CREATE TABLE tw_part_3 PARTITION OF tw_part DEFAULT;
ALTER TABLE tw_int DROP COLUMN d, DROP COLUMN ts, DROP COLUMN tsz;
INSERT INTO tw_ts SELECT * FROM tw_heap WHERE tsz < '2020-03-15' OR tsz IS NULL;
INSERT INTO tw_part SELECT * FROM tw_heap WHERE big % 10 <> 0;
INSERT INTO tw_int SELECT id, small, big, f, n, t, u, b, j, a FROM tw_heap WHERE big < 20000;
CALL hone.compress('tw_ts');
CALL hone.compress('tw_part');
CALL hone.compress('tw_int');
INSERT INTO tw_ts SELECT * FROM tw_heap WHERE tsz >= '2020-03-15' AND tsz < '2020-05-10';
INSERT INTO tw_int SELECT id, small, big, f, n, t, u, b, j, a FROM tw_heap WHERE big >= 20000 AND big < 45000;
CALL hone.compress('tw_ts');
CALL hone.compress('tw_int');
ALTER TABLE tw_int ADD COLUMN d date, ADD COLUMN ts timestamp DEFAULT '2021-01-01', ADD COLUMN tsz timestamptz;
INSERT INTO tw_ts SELECT * FROM tw_heap WHERE tsz >= '2020-05-10';
INSERT INTO tw_part SELECT * FROM tw_heap WHERE big % 10 = 0;
INSERT INTO tw_int SELECT id, small, big, f, n, t, u, b, j, a FROM tw_heap WHERE big >= 45000;
CREATE INDEX ON tw_ts (id);
CREATE INDEX ON tw_ts (tsz);
CREATE INDEX ON tw_heap (id);
CREATE INDEX ON tw_heap (tsz);
CREATE INDEX ON tw_part (tsz);
ANALYZE tw_heap;
ANALYZE tw_ts;
ANALYZE tw_part;
ANALYZE tw_int;

CREATE TABLE tw_query (n serial, q text);
-- conditions, from a seed; ranges around the edges of batches and partitions
CREATE FUNCTION tw_condition(seed int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    ops text[] := '{<,<=,=,>=,>,<>}';
    op text := ops[1 + abs(hashint4(seed)) % 6];
    i int := abs(hashint4(seed + 1000)) % 16000 - 1000;
    ts text := CASE abs(hashint4(seed + 2000)) % 8 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' WHEN 2 THEN '2020-03-15' WHEN 3 THEN '2020-05-10'
        ELSE (timestamp '2020-01-01' + i * interval '17 minutes')::text END;
BEGIN
    RETURN CASE abs(hashint4(seed + 3000)) % 26
        WHEN 0 THEN format('id %s %s', op, i)
        WHEN 1 THEN format('id %s %s::int8', op, i)
        WHEN 2 THEN format('%s::int2 %s small', i % 200, op)
        WHEN 3 THEN format('small %s %s::int8', op, i % 200)
        WHEN 4 THEN format('big %s %s::int2', op, i % 30000)
        WHEN 5 THEN format('big BETWEEN %s AND %s', i, i + 5000)
        WHEN 6 THEN format('d %s %L::date', op, ts)
        WHEN 7 THEN format('d %s %L::timestamp', op, ts)
        WHEN 8 THEN format('d %s %L::timestamptz', op, ts)
        WHEN 9 THEN format('ts %s %L::timestamp', op, ts)
        WHEN 10 THEN format('ts %s %L::date', op, ts)
        WHEN 11 THEN format('tsz %s %L::timestamptz', op, ts)
        WHEN 12 THEN format('tsz %s %L::timestamp', op, ts)
        WHEN 13 THEN format('%L::date %s tsz', ts, op)
        WHEN 14 THEN format('tsz >= %L::timestamptz AND tsz < %L::timestamptz + interval ''3 days''', ts, ts)
        WHEN 15 THEN format('tsz = ANY (ARRAY[%L, ''2020-02-02 02:02''::timestamptz])', ts)
        WHEN 16 THEN format('(id %s %s OR b)', op, i)
        WHEN 17 THEN format('tsz %s (SELECT max(tsz) - interval ''1 day'' FROM tw_heap WHERE id < %s)', op, i)
        WHEN 18 THEN format('t LIKE ''text %s%%''', abs(i) % 30)
        WHEN 19 THEN format('f %s %s AND n > 3', op, i % 100)
        WHEN 20 THEN 'id IS NULL'
        WHEN 21 THEN 'd IS NOT NULL AND NOT b'
        WHEN 22 THEN format('id %s NULL::int', op)
        WHEN 23 THEN format('date_trunc(''month'', ts) = date_trunc(''month'', %L::timestamp)', ts)
        WHEN 24 THEN format('tsz %s localtimestamp - (now() - ''2020-06-01'')', op)
        ELSE format('a @> ARRAY[%s]', abs(i) % 7) END;
END $$;

INSERT INTO tw_query (q)
SELECT format(CASE s % 13
    WHEN 0 THEN 'SELECT count(*), count(id), sum(big), min(tsz), max(d), sum(n) FROM %s t WHERE %s'
    WHEN 1 THEN 'SELECT t FROM %s t WHERE %s'
    WHEN 2 THEN 'SELECT id, t, u FROM %s t WHERE %s ORDER BY id, u, t, big LIMIT 20'
    WHEN 3 THEN 'SELECT b, small %% 10 AS m, count(*), sum(big), avg(n) FROM %s t WHERE %s GROUP BY 1, 2'
    WHEN 4 THEN 'SELECT x.id, y.big FROM %1$s x JOIN %1$s y ON x.id = y.id + 1 WHERE x.id IN (SELECT t.id FROM %1$s t WHERE %2$s) AND y.small < 0'
    WHEN 5 THEN 'SELECT count(*) FROM tw_heap h WHERE h.id < 3000 AND EXISTS (SELECT FROM %s t WHERE t.id = h.id AND %s)'
    WHEN 6 THEN 'SELECT count(*) FROM tw_heap h WHERE h.id > 13000 AND h.id NOT IN (SELECT id FROM %s t WHERE id IS NOT NULL AND %s)'
    WHEN 7 THEN 'SELECT g, l.c, l.m FROM generate_series(100, 13000, 3000) g, LATERAL (SELECT count(*) c, max(big) m FROM %s t WHERE t.id BETWEEN g AND g + 100 AND %s) l'
    WHEN 8 THEN 'SELECT DISTINCT d, b FROM %s t WHERE %s'
    WHEN 9 THEN 'SELECT tsz, row_number() OVER (ORDER BY tsz, big, u) FROM %s t WHERE %s'
    WHEN 10 THEN 'SELECT count(*) FROM (SELECT id FROM %1$s t WHERE %2$s EXCEPT SELECT id FROM %1$s z WHERE b) x'
    WHEN 11 THEN 'SELECT max(id), min(small), bool_or(b), (SELECT count(*) FROM %1$s z WHERE z.small = max(t.small)) FROM %1$s t WHERE %2$s'
    ELSE 'SELECT h.hid, t.tsz FROM (VALUES (1), (5000), (12000), (13999)) h(hid) LEFT JOIN %s t ON t.id = h.hid AND %s' END,
    'TWIN', tw_condition(s) || CASE WHEN s % 3 = 0 THEN ' AND ' || tw_condition(s + 5000) ELSE '' END)
FROM generate_series(1, 70) s;

-- the result as one value, rows in any order
CREATE FUNCTION tw_result(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text;
BEGIN
    EXECUTE format('SELECT count(*) || '' '' || coalesce(sum(hashtextextended(r::text, 7)), 0) FROM (%s) r', query) INTO r;
    RETURN r;
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
CREATE FUNCTION tw_compare(twin text, columns text DEFAULT NULL) RETURNS TABLE (query text, heap text, tiered text) LANGUAGE plpgsql AS $$
DECLARE rec record;
BEGIN
    FOR rec IN SELECT q FROM tw_query ORDER BY n LOOP
        heap := tw_result(replace(rec.q, 'TWIN', CASE WHEN columns IS NULL THEN 'tw_heap' ELSE '(' || columns || ')' END));
        tiered := tw_result(replace(rec.q, 'TWIN', twin));
        query := rec.q;
        IF heap IS DISTINCT FROM tiered THEN RETURN NEXT; END IF;
    END LOOP;
END $$;
-- the queries are not all empty, nor failing
SELECT count(*) FILTER (WHERE r LIKE '0 %') < 30 AS most_find_rows, count(*) FILTER (WHERE length(r) = 5 AND r !~ ' ') AS failing
FROM (SELECT tw_result(replace(q, 'TWIN', 'tw_heap')) r FROM tw_query) x;

SELECT * FROM tw_compare('tw_ts');
SELECT * FROM tw_compare('tw_part');
-- its own columns, by name: dropped ones came back at the end
CREATE VIEW tw_int_view AS SELECT id, small, big, d, ts, tsz, f, n, t, u, b, j, a FROM tw_int;
SELECT * FROM tw_compare('tw_int_view', 'SELECT id, small, big, NULL::date AS d, timestamp ''2021-01-01'' AS ts, NULL::timestamptz AS tsz, f, n, t, u, b, j, a FROM tw_heap');

-- and under other plans
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_hashagg = off;
SET enable_material = off;
SET enable_memoize = off;
DELETE FROM tw_query WHERE n % 13 IN (4, 5, 6) OR n % 4 > 0;
SELECT * FROM tw_compare('tw_ts');
RESET ALL;
SET client_min_messages = warning;
SET timezone = 'UTC';
SET enable_seqscan = off;
SET enable_hashjoin = off;
SET enable_nestloop = off;
SELECT * FROM tw_compare('tw_ts');
SELECT * FROM tw_compare('tw_part');
RESET enable_seqscan;
RESET enable_hashjoin;
RESET enable_nestloop;
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT set_config(name, 'on', false) AS forced FROM pg_settings WHERE name IN ('force_parallel_mode', 'debug_parallel_query');
SELECT * FROM tw_compare('tw_part');
SELECT * FROM tw_compare('tw_ts');

DROP VIEW tw_int_view;
DROP TABLE tw_heap, tw_ts, tw_int, tw_part, tw_query;
DROP FUNCTION tw_condition, tw_result, tw_compare;
