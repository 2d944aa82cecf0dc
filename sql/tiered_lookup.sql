-- Lookups: which batches they read, and that they find what heap finds.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE DOMAIN lk_number AS int;
CREATE DOMAIN lk_word AS text CHECK (length(value) < 100);
CREATE TABLE lk_heap (id int8, i2 int2, i4 int4, d date, ts timestamp, tsz timestamptz, u uuid, t text, vc varchar(20), bp char(12),
    n numeric, f4 float4, f8 float8, b bytea, nm name, dn lk_number, dw lk_word, ip inet, iv interval, tm time, flag bool, gone int, c text COLLATE "C");
INSERT INTO lk_heap
SELECT i, i % 7000, (i * 7919::int8) % 1000003 - 500000, date '2020-01-01' + i % 6000, timestamp '2020-01-01' + i % 8000 * interval '1 hour',
    timestamptz '2020-01-01' + i * interval '1 minute', md5((i % 9000)::text)::uuid, CASE WHEN i % 50 > 0 THEN 'word ' || i % 8000 END, 'v' || i, 'b' || i % 9000,
    i / 7.0, i / 4.0, CASE i % 9000 WHEN 0 THEN 'NaN' WHEN 1 THEN '-0' WHEN 2 THEN '0' ELSE i / 3.0 END, decode(md5(i::text), 'hex'), 'name' || i, (i * 31::int8) % 2000003, 'w' || i % 7000,
    ('10.' || i % 200 || '.' || i % 250 || '.1')::inet, i % 9000 * interval '1 hour', time '00:00' + i * interval '3 seconds', i % 2 = 0, 1, 'c' || i
FROM generate_series(1, 24000) i;
-- batches of rows that lie apart: no column but id tells them from each other by its ends
CREATE TABLE lk (LIKE lk_heap) WITH (autovacuum_enabled = off);
ALTER TABLE lk ADD PRIMARY KEY (id);
DO $$
DECLARE col text;
BEGIN
    FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = 'lk_heap'::regclass AND attnum > 1 AND attname <> 'flag' LOOP
        EXECUTE format('CREATE INDEX ON lk_heap (%I)', col);
        EXECUTE format('CREATE INDEX ON lk (%I)', col);
    END LOOP;
END $$;
CREATE INDEX ON lk_heap (id);
ALTER TABLE lk_heap DROP COLUMN gone;
ALTER TABLE lk DROP COLUMN gone;
INSERT INTO lk SELECT * FROM lk_heap WHERE id <= 20000 ORDER BY hashint8(id % 10), hashint8(id);
CALL hone.compress('lk');
INSERT INTO lk SELECT * FROM lk_heap WHERE id > 20000;
DELETE FROM lk WHERE id % 997 = 0;
DELETE FROM lk_heap WHERE id % 997 = 0;
UPDATE lk SET t = 'changed', f4 = -1 WHERE id % 1009 = 0;
UPDATE lk_heap SET t = 'changed', f4 = -1 WHERE id % 1009 = 0;
ANALYZE lk;
ANALYZE lk_heap;

-- the result and what was read, of the one scan in a plan
CREATE FUNCTION pg_temp.batches(query text, OUT rows bigint, OUT read int, OUT skipped int, OUT child text) LANGUAGE plpgsql AS $$
DECLARE plan json;
BEGIN
    EXECUTE 'EXPLAIN (ANALYZE, TIMING off, SUMMARY off, FORMAT json) ' || query INTO plan;
    plan := plan -> 0 -> 'Plan';
    WHILE plan IS NOT NULL AND plan ->> 'Custom Plan Provider' IS NULL LOOP plan := plan -> 'Plans' -> 0; END LOOP;
    rows := (plan ->> 'Actual Rows')::float8;
    read := plan -> 'Batches Read';
    skipped := plan -> 'Batches Skipped';
    child := plan -> 'Plans' -> 0 ->> 'Node Type';
END $$;
-- a lookup of a compressed row by primary key reads one batch
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = 777');
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = 19999::int2');
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE 777::int4 = id');
SELECT read, skipped FROM pg_temp.batches('SELECT * FROM lk WHERE id = (SELECT 777)');
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = 23000');
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = 99999');
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = NULL');
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id IN (777, 23000)');
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = ANY (''{777, NULL, 99999}''::int8[])');
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = ANY (''{NULL}''::int8[])');
SELECT rows, read, skipped FROM pg_temp.batches('SELECT * FROM lk WHERE id = ANY (''{}''::int8[])');
SELECT * FROM pg_temp.batches('UPDATE lk SET flag = flag WHERE id = 778');
-- and so does one by other columns of indexes
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE vc = 'v777'$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE vc = 'v777'::text$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE b = decode(md5('777'), 'hex')$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE nm = 'name777'$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE n = 777 / 7.0$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE dn = 777 * 31$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE u = md5('nothing')::uuid$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE bp = 'nothing'$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE dw = 'nothing'$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE c = ANY ('{nothing, c777}')$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE c = 'nothing' COLLATE "POSIX"$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE iv = '1 year 5 seconds'$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE ip = '11.0.0.1'$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE u IS NULL$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE t IS NULL$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE u IS NOT NULL$q$);
-- what cannot tell: another collation's equality, another operator, a volatile expression, a column
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE c LIKE 'nothing'$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE id <> ALL ('{1,2}')$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE id = (random() * 0)::int8 - 5$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE id = i4 + 10000000$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE d = timestamp '2050-01-01'$q$);

-- with a cache of no size, and of little
SET hone.batch_cache = 0;
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = 777');
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE vc = 'v777'$q$);
SET hone.batch_cache = '20kB';
SELECT * FROM pg_temp.batches('SELECT * FROM lk WHERE id = 777');
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE vc = 'v777'$q$);
SELECT read, skipped FROM pg_temp.batches($q$SELECT * FROM lk WHERE c = 'c777'$q$);
RESET hone.batch_cache;

-- every column, values that are there and that are not, of its own and other types: found as in the heap table
CREATE FUNCTION pg_temp.differences(modulus int) RETURNS TABLE (col text, other text, tried bigint, differing bigint) LANGUAGE plpgsql AS $$
DECLARE
    v text;
    heap bigint;
    tiered bigint;
    found bigint;
BEGIN
    FOR col, other IN VALUES ('id', 'int8'), ('id', 'int2'), ('id', 'numeric'), ('i2', 'int8'), ('i2', 'int2'), ('i4', 'int4'), ('i4', 'int8'), ('d', 'date'),
        ('d', 'timestamp'), ('d', 'timestamptz'), ('ts', 'timestamp'), ('ts', 'date'), ('tsz', 'timestamptz'), ('tsz', 'timestamp'), ('u', 'uuid'), ('t', 'text'), ('vc', 'text'),
        ('vc', 'varchar'), ('vc', 'char(12)'), ('bp', 'char(20)'), ('bp', 'text'), ('n', 'numeric'), ('n', 'float8'), ('f4', 'float4'), ('f4', 'float8'), ('f8', 'float8'),
        ('f8', 'float4'), ('b', 'bytea'), ('nm', 'name'), ('nm', 'text'), ('dn', 'int8'), ('dn', 'lk_number'), ('dw', 'text'), ('dw', 'lk_word'), ('ip', 'inet'), ('iv', 'interval'),
        ('tm', 'time'), ('flag', 'bool'), ('c', 'text') LOOP
        tried := 0;
        differing := 0;
        FOR v IN EXECUTE format('(SELECT %1$I::text FROM lk_heap WHERE id %% $1 = 3 AND %1$I IS NOT NULL ORDER BY id LIMIT 10)
                UNION (SELECT (SELECT h.%1$I FROM lk_heap h WHERE h.id = 24000 - g * 3)::text FROM generate_series(1, 5) g)', col) USING modulus LOOP
            BEGIN
                EXECUTE format('SELECT count(*), min(id) FROM lk_heap WHERE %I = %L::%s', col, v, other) INTO heap;
                EXECUTE format('SELECT count(*), min(id) FROM lk WHERE %I = %L::%s', col, v, other) INTO tiered;
                EXECUTE format('SELECT count(*), min(id) FROM lk WHERE %I = ANY (ARRAY[NULL, %L]::%s[])', col, v, other) INTO found;
                tried := tried + 1;
                IF heap <> tiered OR heap <> found THEN differing := differing + 1; END IF;
            EXCEPTION WHEN numeric_value_out_of_range OR invalid_text_representation THEN NULL;
            END;
        END LOOP;
        RETURN NEXT;
    END LOOP;
END $$;
SELECT count(*) AS pairs, sum(differing) AS differing, min(tried) > 1 AS all_tried FROM pg_temp.differences(911);
SET enable_bitmapscan = off;
SELECT count(*) AS pairs, sum(differing) AS differing FROM pg_temp.differences(1201);
SET enable_bitmapscan = on;
SET enable_indexscan = off;
SELECT count(*) AS pairs, sum(differing) AS differing FROM pg_temp.differences(1601);
RESET enable_bitmapscan;
RESET enable_indexscan;

-- joins, each with a compressed table inside a nested loop, on a value of the outer row
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_seqscan = off;
CREATE FUNCTION pg_temp.same(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE heap text; tiered text; plan json; r json;
BEGIN
    EXECUTE format('SELECT count(*) || '' '' || sum(hashtextextended(r::text, 7)) FROM (%s) r', replace(query, 'TABLE', 'lk_heap')) INTO heap;
    EXECUTE format('SELECT count(*) || '' '' || sum(hashtextextended(r::text, 7)) FROM (%s) r', replace(query, 'TABLE', 'lk')) INTO tiered;
    EXECUTE format('EXPLAIN (FORMAT json) %s', replace(query, 'TABLE', 'lk')) INTO plan;
    RETURN format('%s%s, %s rows', CASE WHEN heap = tiered THEN 'same' ELSE 'DIFFERENT' END,
        CASE WHEN plan::text LIKE '%Index Cond%' THEN ', by index' ELSE '' END, split_part(tiered, ' ', 1));
END $$;
SELECT pg_temp.same('SELECT g, y.* FROM generate_series(1, 24100, 239) g JOIN TABLE y ON y.id = g');
SELECT pg_temp.same('SELECT g, y.* FROM generate_series(1, 24100, 239) g LEFT JOIN TABLE y ON y.vc = ''v'' || g AND y.flag');
SELECT pg_temp.same('SELECT x.id, y.id AS other FROM TABLE x JOIN TABLE y ON y.u = x.u WHERE x.id % 401 = 7');
SELECT pg_temp.same('SELECT x.id, y.id AS other FROM TABLE x JOIN TABLE y ON y.t = x.t AND y.id > x.id WHERE x.id % 401 = 7');
SELECT pg_temp.same('SELECT g FROM generate_series(1, 24100, 239) g WHERE EXISTS (SELECT FROM TABLE y WHERE y.i4 = g)');
SELECT pg_temp.same('SELECT g, (SELECT count(*) FROM TABLE y WHERE y.ts = timestamp ''2020-01-01'' + g * interval ''1 hour'') FROM generate_series(1, 9000, 239) g');
SELECT pg_temp.same('SELECT g, l.* FROM generate_series(1, 24100, 2390) g, LATERAL (SELECT id, t FROM TABLE y WHERE y.tsz >= timestamptz ''2020-01-01'' + g * interval ''1 minute'' ORDER BY y.tsz, id LIMIT 3) l');
SELECT pg_temp.same('SELECT g, y.id FROM generate_series(1, 24100, 2390) g JOIN TABLE y ON y.id BETWEEN g AND g + 2 AND y.d = ANY (ARRAY[date ''2020-01-01'' + g % 6000, date ''2020-01-02'' + g % 6000])');
SELECT pg_temp.same('SELECT g, y.id FROM generate_series(1, 24100, 239) g LEFT JOIN TABLE y ON y.id = g OR y.c = ''c'' || g + 1');
SELECT pg_temp.same('SELECT id FROM TABLE WHERE id = ANY (ARRAY(SELECT id FROM TABLE WHERE i2 = 77 OR i2 = 78))');
SELECT pg_temp.same('SELECT x.id FROM (VALUES (NULL), (5), (20100)) g(g) JOIN TABLE x ON x.id = g');
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_seqscan;

-- generic plans; an order that the index has is not the scan's; backwards
PREPARE one(int8) AS SELECT id, vc FROM lk WHERE id = $1;
PREPARE several(int8[]) AS SELECT id, vc FROM lk WHERE id = ANY ($1) ORDER BY id;
SET plan_cache_mode = force_generic_plan;
EXECUTE one(7);
EXECUTE one(20007);
EXECUTE one(NULL);
EXECUTE several('{20007,7,NULL,-5}');
EXPLAIN (COSTS off) EXECUTE one(7);
RESET plan_cache_mode;
SELECT id FROM lk WHERE id IN (3, 20100, 4, 20099, 23999) ORDER BY id DESC;
SELECT max(id), min(id) FROM lk;
SELECT id FROM lk WHERE id >= 19998 ORDER BY id LIMIT 4;
BEGIN;
SET LOCAL enable_bitmapscan = off;
DECLARE s SCROLL CURSOR FOR SELECT id FROM lk WHERE id IN (3, 20100, 4, 23998);
FETCH ALL FROM s;
FETCH BACKWARD ALL FROM s;
FETCH 3 FROM s;
FETCH BACKWARD 2 FROM s;
UPDATE lk SET t = 'current' WHERE CURRENT OF s RETURNING id, t;
FETCH LAST FROM s;
DELETE FROM lk WHERE CURRENT OF s RETURNING id, t;
ROLLBACK;

-- conditions are evaluated once, and no clause ahead of one that hides rows
CREATE SEQUENCE lk_calls;
SELECT count(*) FROM lk WHERE id IN (5, 20005) AND nextval('lk_calls') > 0;
SELECT last_value FROM lk_calls;
ALTER TABLE lk ENABLE ROW LEVEL SECURITY;
CREATE POLICY lk_policy ON lk USING (flag);
CREATE FUNCTION lk_leak(int8) RETURNS bool LANGUAGE plpgsql COST 0.0001 AS $$ BEGIN IF $1 % 2 = 1 THEN RAISE EXCEPTION 'leaked %', $1; END IF; RETURN true; END $$;
CREATE ROLE lk_role;
GRANT SELECT ON lk TO lk_role;
SET ROLE lk_role;
SELECT count(*) FROM lk WHERE id BETWEEN 19990 AND 20010 AND lk_leak(id);
SELECT id FROM lk WHERE id IN (5, 6, 20005, 20006) AND lk_leak(id) ORDER BY 1;
RESET ROLE;
ALTER TABLE lk DISABLE ROW LEVEL SECURITY;
DROP OWNED BY lk_role;
DROP ROLE lk_role;

-- columns that changed since: other type, younger, renamed
ALTER TABLE lk ADD COLUMN later int DEFAULT 7, ADD COLUMN never int;
ALTER TABLE lk ALTER COLUMN vc TYPE text;
CREATE INDEX ON lk (later);
SELECT count(*), sum(later) FROM lk WHERE later = 7;
SELECT count(*) FROM lk WHERE later = 8 OR later IS NULL;
SELECT count(*) FROM lk WHERE later = 8;
SELECT count(*) > 23000 AS all FROM lk WHERE never IS NULL;
SELECT count(*) FROM lk WHERE never IS NOT NULL;
SELECT id FROM lk WHERE vc IN ('v777', 'v23001') ORDER BY id;

-- another transaction's rows, and truncation: nothing kept is mistaken for what is there
BEGIN;
TRUNCATE lk;
SELECT count(*) FROM lk WHERE id = 777;
ROLLBACK;
SELECT count(*) FROM lk WHERE id = 777;
TRUNCATE lk;
INSERT INTO lk (id, vc, c) SELECT i, 'again' || i, 'again' || i FROM generate_series(1, 20000) i;
CALL hone.compress('lk');
SELECT id, vc FROM lk WHERE id = 777;
SELECT id, vc FROM lk WHERE vc = 'again777';
SELECT id, vc FROM lk WHERE vc = 'v777';

-- partitions of both kinds, each parameterised by the outer row
CREATE TABLE lk_part (d date, id int, v text) PARTITION BY RANGE (d);
CREATE TABLE lk_part_1 PARTITION OF lk_part FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE lk_part_2 PARTITION OF lk_part FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE lk_part_3 PARTITION OF lk_part FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
CREATE INDEX ON lk_part (id);
INSERT INTO lk_part SELECT date '2024-01-01' + i % 91, i, 'v' || i FROM generate_series(1, 30000) i;
CALL hone.compress('lk_part_1');
CALL hone.compress('lk_part_2');
ANALYZE lk_part;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT g, p.d, p.v FROM generate_series(100, 104) g JOIN lk_part p ON p.id = g ORDER BY g;
SELECT g, p.d, p.v FROM generate_series(100, 104) g LEFT JOIN lk_part p ON p.id = g AND p.d > date '2024-01-15' ORDER BY g;
SET enable_partitionwise_join = on;
SELECT count(*) FROM lk_part x JOIN lk_part y ON y.d = x.d AND y.id = x.id WHERE x.id < 50;
RESET enable_partitionwise_join;
RESET enable_hashjoin;
RESET enable_mergejoin;

DROP TABLE lk, lk_heap, lk_part;
DROP SEQUENCE lk_calls;
DROP FUNCTION lk_leak;
DROP DOMAIN lk_number, lk_word;
