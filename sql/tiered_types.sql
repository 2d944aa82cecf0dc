-- Every type comes back as it went in: a heap table and its compressed twin.
SET client_min_messages = warning;
SET timezone = 'UTC';

CREATE TYPE tt_enum AS ENUM ('a', 'b', 'c');
CREATE DOMAIN tt_domain AS int CHECK (VALUE >= 0);
CREATE DOMAIN tt_text AS text;
CREATE TYPE tt_pair AS (x int, y text, z numeric);
CREATE TYPE tt_range AS RANGE (subtype = float8);

CREATE FUNCTION tt_r(n bigint, k int) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT
    AS 'SELECT hashint8extended(n * 131 + k, 42)';

CREATE TABLE tt_heap (
    id int, b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, n numeric, n2 numeric(12, 3), m money,
    t text, v varchar(40), c char(7), c1 "char", nm name, cc text COLLATE "C", ba bytea,
    d date, ti time, tz timetz, ts timestamp, tsz timestamptz, iv interval,
    u uuid, j json, jb jsonb, ip inet, cd cidr, mac macaddr, mac8 macaddr8, bt bit(11), vb bit varying,
    tv tsvector, tq tsquery, o oid, rc regclass, x xid, x8 xid8, ci cid, tid_ tid, lsn pg_lsn, snap pg_snapshot,
    pt point, ls lseg, bx box, pa path, po polygon, ci_ circle, li line,
    ir int4range, nr numrange, tr tstzrange, mr int4multirange, fr tt_range,
    e tt_enum, dm tt_domain, dt tt_text, p tt_pair, pp tt_pair[], ia int[], ta text[], ia2 int[][], ea tt_enum[], iva interval[],
    allnull int, allnull_t text, const text, longt text);

INSERT INTO tt_heap
SELECT i,
    r % 3 = 0, (r % 32768)::int2, (r % 2147483648)::int4, r, (r % 100000)::float4 / 8, CASE WHEN i % 100 = 0 THEN 'NaN' WHEN i % 100 = 1 THEN 'Infinity' WHEN i % 100 = 2 THEN '-Infinity' WHEN i % 100 = 3 THEN '-0' WHEN i % 2 = 0 THEN (r % 10000) / 100.0 ELSE r::float8 / 7 END,
    CASE WHEN i % 100 = 0 THEN 'NaN' WHEN i % 100 = 1 THEN 'Infinity' WHEN i % 100 = 2 THEN '-Infinity' WHEN i % 100 = 3 THEN 0.000 WHEN i % 100 = 4 THEN 1e300 ELSE r::numeric / (i % 50 + 1) END, (r % 100000000) / 1000.0, ((r % 100000) / 100.0)::numeric::money,
    repeat(chr(97 + (i % 26)), (r2 % 40)::int), left(md5(i::text), (r2 % 41)::int), left(md5(i::text), (r2 % 7)::int), chr(1 + i % 126)::"char", md5(i::text)::name, left(md5((i % 9)::text), 6), decode(repeat(md5(i::text), (r2 % 5)::int), 'hex'),
    CASE i % 500 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' WHEN 2 THEN '4713-01-01 BC' ELSE date '2000-01-01' + (r % 100000)::int END,
    time '00:00' + (r2 % 86400000) * interval '1 millisecond', (time '00:00' + (r2 % 86400) * interval '1 second')::timetz,
    CASE i % 500 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE timestamp '2024-01-01' + i * interval '1 second' END,
    CASE i % 500 WHEN 0 THEN 'infinity' WHEN 1 THEN '-infinity' ELSE timestamptz '2024-01-01 00:00Z' + r2 % 100000000 * interval '1 microsecond' END,
    make_interval(months => (r % 100)::int, days => (r2 % 100)::int, secs => i / 3.0),
    md5(i::text)::uuid, json_build_object('k', i, 'v', r), CASE i % 4 WHEN 0 THEN 'null' WHEN 1 THEN to_jsonb(r) WHEN 2 THEN jsonb_build_array(i, md5(i::text), null) ELSE jsonb_build_object('a', i % 10, 'b', jsonb_build_object('c', r)) END,
    CASE WHEN i % 2 = 0 THEN inet '10.0.0.0' + i ELSE inet '2001:db8::/64' + i END, CASE WHEN i % 2 = 0 THEN '10.1.0.0/16' ELSE '2001:db8::/32' END::cidr, '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05', (i % 2048)::bit(11), left((r % 65536)::int::bit(16)::text, (r2 % 17)::int)::varbit,
    to_tsvector('simple', 'w' || i || ' common w' || i % 10), to_tsquery('simple', 'w' || i % 10 || ' & !x'), i, CASE WHEN i % 2 = 0 THEN 'pg_class' ELSE 'pg_type' END::regclass, i::text::xid, i::text::xid8, (i % 1000)::text::cid, format('(%s,%s)', i, i % 200 + 1)::tid, ('0/' || to_hex(i + 1))::pg_lsn, '10:20:10,14,15',
    point(i, r2 % 100), lseg(point(0, i), point(i, 0)), box(point(0, 0), point(i, i)), '((0,0),(1,1),(2,0))'::path, polygon(box(point(0, 0), point(i, 1))), circle(point(i, i), 2), line(point(0, 0), point(1, i)),
    CASE i % 3 WHEN 0 THEN 'empty' WHEN 1 THEN int4range(NULL, i) ELSE int4range(i, i + 5) END, numrange(i, i + 0.5, '[]'), tstzrange(timestamptz '2024-01-01 00:00Z', timestamptz '2024-01-02 00:00Z' + i * interval '1 s'), int4multirange(int4range(i, i + 1), int4range(i + 5, i + 9)), tt_range(i, i + 1),
    (ARRAY['a', 'b', 'c'])[i % 3 + 1]::tt_enum, i, 'dom' || i % 5, CASE WHEN i % 7 > 0 THEN ROW(i, CASE WHEN i % 5 > 0 THEN md5(i::text) END, r / 3.0)::tt_pair END, ARRAY[ROW(1, 'q', i), NULL]::tt_pair[], CASE i % 3 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY[i, NULL, 7] ELSE '[5:6]={1,2}' END::int[], ARRAY['x' || i, NULL, ''], ARRAY[[i, 1], [2, 3]], '{a,NULL,c}', ARRAY[interval '1 day', make_interval(secs => i)],
    NULL, NULL, 'the same everywhere', CASE WHEN i % 300 = 0 THEN (SELECT string_agg(md5((i * k)::text), '') FROM generate_series(1, 400) k) WHEN i % 300 = 1 THEN repeat('compressible ', 5000) END
FROM generate_series(1, 700) i, LATERAL (SELECT tt_r(i, 1) r, abs(tt_r(i, 2) % 1000000000) r2) x;

-- NULLs scattered through every column
DO $$
DECLARE col name; k int := 0;
BEGIN
    FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = 'tt_heap'::regclass AND attnum > 1 LOOP
        k := k + 1;
        EXECUTE format('UPDATE tt_heap SET %I = NULL WHERE abs(tt_r(id, %s) %% 11) = 0', col, k + 10);
    END LOOP;
END $$;
-- and stretches of NULLs
UPDATE tt_heap SET t = NULL, n = NULL, tsz = NULL, jb = NULL, ia = NULL WHERE id BETWEEN 200 AND 600;

CREATE TABLE tt_tiered AS TABLE tt_heap;
CREATE TABLE tt_cold USING tiered AS TABLE tt_heap ORDER BY id DESC;
CALL hone.compress('tt_tiered');
CALL hone.compress('tt_cold');
SELECT batches > 0 AS has_batches, compressed_rows FROM hone.tiered_stats('tt_tiered');

-- row by row as text and by binary image; and each column alone
CREATE FUNCTION pg_temp.compare(other regclass) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE col name; differ bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM tt_heap hh FULL JOIN %s oo USING (id) WHERE hh::text IS DISTINCT FROM oo::text', other) INTO differ;
    IF differ > 0 THEN RETURN NEXT format('%s rows differ', differ); END IF;
    FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = 'tt_heap'::regclass AND attnum > 0 LOOP
        EXECUTE format('SELECT count(*) FROM (SELECT id, %1$I::text FROM tt_heap EXCEPT ALL SELECT id, %1$I::text FROM %2$s) x', col, other) INTO differ;
        IF differ > 0 THEN RETURN NEXT format('%s: %s rows differ', col, differ); END IF;
        EXECUTE format('SELECT count(*) FROM (SELECT %1$I::text FROM %2$s EXCEPT ALL SELECT %1$I::text FROM tt_heap) x', col, other) INTO differ;
        IF differ > 0 THEN RETURN NEXT format('%s alone: %s rows differ', col, differ); END IF;
        EXECUTE format('SELECT count(*) FROM tt_heap hh JOIN %2$s oo USING (id) WHERE NOT record_image_eq(ROW(hh.%1$I), ROW(oo.%1$I))', col, other) INTO differ;
        IF differ > 0 THEN RETURN NEXT format('%s: %s images differ', col, differ); END IF;
    END LOOP;
END $$;
SELECT pg_temp.compare('tt_tiered');
SELECT pg_temp.compare('tt_cold');

-- late rows, folded again
INSERT INTO tt_tiered SELECT * FROM tt_heap WHERE id <= 50;
INSERT INTO tt_heap SELECT * FROM tt_heap WHERE id <= 50;
UPDATE tt_heap SET id = id + 10000 WHERE ctid = ANY (ARRAY(SELECT max(ctid) FROM tt_heap GROUP BY id HAVING count(*) > 1));
UPDATE tt_tiered SET id = id + 10000 WHERE ctid < '(100000,1)';
SELECT pg_temp.compare('tt_tiered');
CALL hone.compress('tt_tiered');
SELECT batches FROM hone.tiered_stats('tt_tiered');
SELECT pg_temp.compare('tt_tiered');

-- and back, both ways
CALL hone.decompress('tt_tiered');
SELECT pg_temp.compare('tt_tiered');
INSERT INTO tt_cold SELECT * FROM tt_heap WHERE id > 10000;
ALTER TABLE tt_cold SET ACCESS METHOD heap;
ANALYZE tt_cold;
SELECT pg_temp.compare('tt_cold');
SELECT a.amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE relname IN ('tt_cold', 'tt_tiered');

DROP TABLE tt_heap, tt_tiered, tt_cold;
DROP FUNCTION tt_r;

-- large values, each kind of storage
CREATE TABLE tt_big (id int, plain text, ext text, main text, lz text);
ALTER TABLE tt_big ALTER ext SET STORAGE external, ALTER main SET STORAGE main;
ALTER TABLE tt_big ALTER lz SET COMPRESSION pglz;
INSERT INTO tt_big
SELECT i, repeat(md5(i::text), 100000), (SELECT string_agg(md5((i * k)::text), '') FROM generate_series(1, 60000) k), repeat('m', 3000), repeat('pglz ', 100000 * i)
FROM generate_series(1, 3) i;
CREATE TABLE tt_sum AS SELECT id, md5(plain) a, md5(ext) b, md5(main) c, md5(lz) d FROM tt_big;
CALL hone.compress('tt_big');
SELECT count(*) FROM (SELECT id, md5(plain), md5(ext), md5(main), md5(lz) FROM tt_big EXCEPT TABLE tt_sum) x;
SELECT id, length(substr(ext, 1000000, 10)), length(lz) FROM tt_big ORDER BY id;
CREATE TABLE tt_copy AS TABLE tt_big;
CALL hone.decompress('tt_big');
SELECT count(*) FROM (SELECT id, md5(plain), md5(ext), md5(main), md5(lz) FROM tt_big EXCEPT TABLE tt_sum) x;
SELECT count(*) FROM (SELECT id, md5(plain), md5(ext), md5(main), md5(lz) FROM tt_copy EXCEPT TABLE tt_sum) x;
DROP TABLE tt_big, tt_sum, tt_copy;

-- no columns, a thousand columns, no rows, one row
CREATE TABLE tt_none ();
INSERT INTO tt_none SELECT FROM generate_series(1, 5);
CALL hone.compress('tt_none');
SELECT count(*) FROM tt_none;
SELECT * FROM tt_none;
CALL hone.decompress('tt_none');
SELECT count(*) FROM tt_none;
DROP TABLE tt_none;

DO $$
BEGIN
    EXECUTE (SELECT format('CREATE TABLE tt_wide (%s)', string_agg(format('c%s int', i), ', ')) FROM generate_series(1, 1000) i);
    EXECUTE (SELECT format('INSERT INTO tt_wide SELECT %s FROM generate_series(1, 30) i', string_agg(format('CASE WHEN (i + %s) %% 13 > 0 THEN i * %s END', i, i), ', ')) FROM generate_series(1, 1000) i);
END $$;
CREATE TABLE tt_wide_heap AS TABLE tt_wide;
CALL hone.compress('tt_wide');
SELECT count(*) FROM (SELECT x::text FROM tt_wide x EXCEPT ALL SELECT y::text FROM tt_wide_heap y) z;
SELECT sum(c1), sum(c500), sum(c1000) FROM tt_wide;
CALL hone.decompress('tt_wide');
SELECT count(*) FROM (SELECT x::text FROM tt_wide x EXCEPT ALL SELECT y::text FROM tt_wide_heap y) z;
DROP TABLE tt_wide, tt_wide_heap;

CREATE TABLE tt_few (a int, b text);
CALL hone.compress('tt_few');
SELECT * FROM tt_few;
INSERT INTO tt_few VALUES (1, 'one');
CALL hone.compress('tt_few');
SELECT * FROM tt_few;
CALL hone.compress('tt_few');
SELECT batches, compressed_rows FROM hone.tiered_stats('tt_few');
CALL hone.decompress('tt_few');
CALL hone.decompress('tt_few');
SELECT * FROM tt_few;
DROP TABLE tt_few;
DROP TYPE tt_enum, tt_pair, tt_range CASCADE;
DROP DOMAIN tt_domain, tt_text;
