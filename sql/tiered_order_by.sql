-- The order in which rows are compressed: given, remembered, or chosen.
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE TYPE ob_shade AS ENUM ('dark', 'light');
CREATE TABLE ob (device_id int, at timestamptz, "Odd ""Name" text, shade ob_shade, doc json, p point, gone int);
ALTER TABLE ob DROP COLUMN gone;
INSERT INTO ob SELECT i % 40, timestamptz '2024-01-01 00:00Z' + i * interval '1 second',
    CASE WHEN i % 5 > 0 THEN 'odd ' || i % 7 END, CASE i % 3 WHEN 0 THEN 'light' WHEN 1 THEN 'dark' END::ob_shade, '{}', point(i, i)
FROM generate_series(1, 24000) i;
CREATE TABLE ob_heap AS SELECT * FROM ob;
CREATE FUNCTION ob_state(OUT batches bigint, OUT rows bigint, OUT label text, OUT lost bigint) LANGUAGE sql AS $$
    SELECT s.batches, s.compressed_rows, (SELECT label FROM pg_seclabels WHERE objoid = 'ob'::regclass AND provider = 'hone'),
        (SELECT count(*) FROM (SELECT ob::text FROM ob EXCEPT ALL SELECT ob_heap::text FROM ob_heap) d)
        + (SELECT count(*) FROM ob_heap) - (SELECT count(*) FROM ob)
    FROM hone.tiered_stats('ob') s $$;
-- rows as they lie in the batches: compressed rows are scanned in that order
CREATE FUNCTION ob_first(n int, OUT batch int, OUT device_id int, OUT at timestamptz, OUT odd text, OUT shade ob_shade)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT row_number() OVER ()::int, device_id, at, "Odd ""Name", shade FROM (SELECT * FROM ob LIMIT n) x $$;

-- bad ones
\set VERBOSITY default
CALL hone.compress('ob', order_by => 'nosuch');
CALL hone.compress('ob', order_by => 'gone');
CALL hone.compress('ob', order_by => 'device_id,');
CALL hone.compress('ob', order_by => ', device_id');
CALL hone.compress('ob', order_by => 'device_id up');
CALL hone.compress('ob', order_by => 'device_id nulls');
CALL hone.compress('ob', order_by => 'device_id + 1');
CALL hone.compress('ob', order_by => 'device_id; DROP TABLE ob');
CALL hone.compress('ob', order_by => '"Odd');
CALL hone.compress('ob', order_by => '""');
CALL hone.compress('ob', order_by => 'Odd');
CALL hone.compress('ob', order_by => 'doc');
CALL hone.compress('ob', order_by => 'device_id, p');
CALL hone.compress('ob', order_by => 'ctid, device_id');
CALL hone.compress('ob', order_by => 'tableoid');
SELECT relam = (SELECT oid FROM pg_am WHERE amname = 'heap') AS untouched FROM pg_class WHERE oid = 'ob'::regclass;

-- given
CALL hone.compress('ob', order_by => 'device_id, at DESC NULLS LAST');
SELECT * FROM ob_state();
SELECT * FROM ob_first(3);
SELECT bool_and((device_id, -extract(epoch FROM at)) > (d, a)) AS sorted
FROM (SELECT device_id, at, lag(device_id) OVER () AS d, -extract(epoch FROM lag(at) OVER ()) AS a FROM ob) x WHERE d IS NOT NULL;
-- remembered: also for rows that come late
INSERT INTO ob SELECT 41 - i % 2, '2025-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 6000) i;
INSERT INTO ob_heap SELECT 41 - i % 2, '2025-01-01'::timestamptz + i * interval '1 second' FROM generate_series(1, 6000) i;
CALL hone.compress('ob');
SELECT * FROM ob_state();
SELECT bool_and((device_id, -extract(epoch FROM at)) > (d, a)) AS sorted
FROM (SELECT device_id, at, lag(device_id) OVER () AS d, -extract(epoch FROM lag(at) OVER ()) AS a FROM ob) x WHERE d IS NOT NULL;

-- names that need quotes, text, enums, nulls first
CALL hone.decompress('ob');
CALL hone.compress('ob', order_by => ' "Odd ""Name"  asc nulls First ,SHADE desc, device_id');
SELECT * FROM ob_state();
SELECT DISTINCT odd, shade FROM ob_first(4800) ORDER BY 1, 2;
SELECT odd FROM ob_first(12000) OFFSET 11999;
-- a column renamed: a warning, and the order is chosen anew
SET client_min_messages = notice;
CALL hone.decompress('ob');
ALTER TABLE ob RENAME "Odd ""Name" TO odd;
\set VERBOSITY terse
CALL hone.compress('ob');
\set VERBOSITY default
SET client_min_messages = warning;
SELECT * FROM ob_state();
-- forgotten
CALL hone.compress('ob', order_by => '');
SELECT * FROM ob_state();
-- of the main fork, whatever statistics say
CALL hone.decompress('ob');
TRUNCATE ob;
INSERT INTO ob SELECT * FROM ob_heap;
ANALYZE ob;
CALL hone.compress('ob', order_by => ' ctid ');
SELECT * FROM ob_state();
SELECT device_id, at, odd FROM (SELECT * FROM ob LIMIT 3) x;

-- labels: what a dump writes
SECURITY LABEL FOR hone ON TABLE ob IS '{"order_by": "device_id, at"}';
SECURITY LABEL FOR hone ON TABLE ob IS '{"order_by": "later_column desc"}';
SECURITY LABEL FOR hone ON TABLE ob IS '{}';
SECURITY LABEL FOR hone ON TABLE ob IS NULL;
SECURITY LABEL FOR hone ON TABLE ob IS 'device_id';
SECURITY LABEL FOR hone ON TABLE ob IS '[1]';
SECURITY LABEL FOR hone ON TABLE ob IS '{"order_by": 1}';
SECURITY LABEL FOR hone ON TABLE ob IS '{"order_by": "a b c"}';
SECURITY LABEL FOR hone ON COLUMN ob.device_id IS '{}';
SECURITY LABEL FOR hone ON SCHEMA hone IS '{}';

-- chosen: rows of some sources, scattered over the table
CREATE TABLE ob_chosen (id bigint, device_id int, at timestamptz, value float8) WITH (autovacuum_enabled = off);
INSERT INTO ob_chosen SELECT i, hashint4(i) % 10, timestamptz '2024-01-01 00:00Z' + i * interval '1 second', i / 10.0 FROM generate_series(1, 20000) i;
CREATE FUNCTION ob_runs(t regclass) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE n bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM (SELECT device_id, lag(device_id) OVER () AS d FROM %s) x WHERE device_id IS DISTINCT FROM d', t) INTO n;
    RETURN n;
END $$;
-- without statistics none
CALL hone.compress('ob_chosen');
SELECT ob_runs('ob_chosen') > 1000 AS scattered;
CALL hone.decompress('ob_chosen');
ANALYZE ob_chosen;
CALL hone.compress('ob_chosen');
SELECT ob_runs('ob_chosen') < 50 AS by_device;
-- too many sources for so few rows: none
CREATE TABLE ob_many AS SELECT i % 5000 AS device_id, timestamptz '2024-01-01 00:00Z' + i * interval '1 second' AS at FROM generate_series(1, 20000) i;
ANALYZE ob_many;
CALL hone.compress('ob_many');
SELECT ob_runs('ob_many') > 1000 AS as_it_was;

-- partitions follow the table above them, by hand and by policy
CREATE TABLE ob_p (device_id int, at timestamptz NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE ob_p1 PARTITION OF ob_p FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE ob_p2 PARTITION OF ob_p FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
INSERT INTO ob_p SELECT i % 3, timestamptz '2020-01-01 12:00Z' + i * interval '10 minutes' FROM generate_series(1, 8000) i;
CALL hone.compress('ob_p1', order_by => 'at');
CALL hone.decompress('ob_p1');
CALL hone.compress('ob_p', order_by => 'device_id, at');
SELECT objname, label FROM pg_seclabels WHERE provider = 'hone' ORDER BY 1;
SELECT ob_runs('ob_p1'), ob_runs('ob_p2');
CALL hone.decompress('ob_p');
SELECT hone.add_tier_policy('ob_p', interval '1 month', order_by => 'device_id DESC');
SELECT parent, warm_after, order_by FROM hone.tier_policies WHERE parent = 'ob_p'::regclass;
CALL hone.move_partition('ob_p1', 'warm');
SELECT ob_runs('ob_p1');
SELECT hone.remove_tier_policy('ob_p');
SELECT hone.add_tier_policy('ob_p', interval '1 month', order_by => 'devices');
SELECT count(*) FROM hone.tier_policies WHERE parent = 'ob_p'::regclass;

-- somebody else's table
CREATE ROLE ob_other;
GRANT SELECT ON ob TO ob_other;
SET ROLE ob_other;
CALL hone.compress('ob', order_by => 'device_id');
RESET ROLE;
REVOKE ALL ON ob FROM ob_other;
DROP ROLE ob_other;

DROP TABLE ob, ob_heap, ob_chosen, ob_many, ob_p;
DROP FUNCTION ob_state, ob_first, ob_runs;
DROP TYPE ob_shade;

-- Numbers and times are sorted in another way than the rest; in the same order,
-- with nulls and values at the ends. As many are out of order as the list shows: none.
CREATE SCHEMA obn;
CREATE TABLE obn.source AS
SELECT (i % 5 - 2)::int2 AS a, (ARRAY[-2147483648, 0, 2147483647, NULL, -1, 7])[1 + i % 6] AS b,
    (ARRAY[-9223372036854775808, 9223372036854775807, 0, NULL, -5])[1 + i % 5] AS c,
    (ARRAY['-infinity', '4713-01-01 BC', '2000-01-01', NULL, '2024-02-29', 'infinity'])[1 + i % 6]::date AS d,
    (ARRAY['-infinity', '1999-12-31 23:59:59.999999', '2000-01-01', NULL, 'infinity'])[1 + i % 5]::timestamp AS e,
    (ARRAY['-infinity', '1999-12-31 23:59:59.999999Z', '2000-01-01Z', NULL, 'infinity'])[1 + i % 5]::timestamptz AS f,
    (ARRAY['x', 'y', NULL])[1 + i % 3] AS g, hashint4(i) AS id
FROM generate_series(1, 3000) i;
CREATE TABLE obn.result (keys text, differs bigint);
\set ECHO none
SELECT 'CREATE TABLE obn.t AS TABLE obn.source', format('CALL hone.compress(''obn.t'', order_by => %L)', keys),
    format('INSERT INTO obn.result SELECT %1$L, count(*) FROM (SELECT row_number() OVER () AS n, * FROM obn.t) x
        JOIN (SELECT row_number() OVER (ORDER BY %1$s) AS n, * FROM obn.source) y USING (n) WHERE x.%2$s IS DISTINCT FROM y.%2$s OR x.%3$s IS DISTINCT FROM y.%3$s',
        keys, one, coalesce(other, one)),
    'DROP TABLE obn.t'
FROM unnest('{a,b,c,d,e,f,g}'::text[]) one, unnest('{"", " DESC", " NULLS FIRST", " DESC NULLS LAST"}'::text[]) how, unnest('{NULL,b,e,g}'::text[]) other,
    concat(one, how, ', ' || other || ' DESC') keys
WHERE one IS DISTINCT FROM other \gexec
\set ECHO all
SELECT count(*), sum(differs) FROM obn.result;
SELECT * FROM obn.result WHERE differs > 0;
DROP SCHEMA obn CASCADE;
