-- The rows of many keys, in the order of the keys.
CREATE ROLE hone_fb;
CREATE SCHEMA fb;
GRANT USAGE ON SCHEMA fb TO hone_fb;
SET search_path = fb;
CREATE TABLE t (id int PRIMARY KEY, gone int, v text, code varchar(8) UNIQUE, u uuid UNIQUE, d date UNIQUE, maybe int);
ALTER TABLE t DROP COLUMN gone;
INSERT INTO t SELECT i, 'v' || i, 'c' || i, md5(i::text)::uuid, date '2020-01-01' + i, i FROM generate_series(1, 1000) i;

SELECT * FROM hone.fetch_batch(NULL::t, 'id', ARRAY[7, 3, NULL, 7, -1]);
-- What a driver sends that does not know the type.
SELECT id FROM hone.fetch_batch(NULL::t, 'id', '{7,3,NULL,7,-1}');
PREPARE untyped AS SELECT id, v FROM hone.fetch_batch(NULL::t, 'u', $1);
EXECUTE untyped('{c81e728d-9d4c-2f63-6f06-7f89cc14862c,00000000-0000-0000-0000-000000000000}');
SELECT (hone.fetch_batch(NULL::t, 'id', ARRAY[2, 0])).v;
-- Types that compare, and that are cast.
SELECT id FROM hone.fetch_batch(NULL::t, 'id', ARRAY[3, 5000000000, 1]);
SELECT id FROM hone.fetch_batch(NULL::t, 'id', ARRAY[3, 1]::smallint[]);
SELECT id FROM hone.fetch_batch(NULL::t, 'code', ARRAY['c3', 'c1']);
SELECT id FROM hone.fetch_batch(NULL::t, 'code', ARRAY['c3', 'much too long for it']::name[]);
SELECT id FROM hone.fetch_batch(NULL::t, 'd', ARRAY[timestamp '2020-01-04']);
SELECT id FROM hone.fetch_batch(NULL::t, 'id', '[5:6]={3,4}'::int[]);
SELECT count(*) FROM hone.fetch_batch(NULL::t, 'id', '{}'::int[]);
SELECT count(*) FROM hone.fetch_batch(NULL::t, 'id', NULL::int[]);
-- Against the same as a join.
WITH k AS (SELECT array_agg((i * 7919) % 1500 ORDER BY i) AS keys FROM generate_series(1, 10000) i),
     f AS (SELECT f.* FROM k, hone.fetch_batch(NULL::t, 'id', k.keys) WITH ORDINALITY f(id, v, code, u, d, maybe, place))
SELECT count(*), count(f.id), bool_and(f.id IS NOT DISTINCT FROM t.id AND f.v IS NOT DISTINCT FROM t.v)
FROM k, unnest(k.keys) WITH ORDINALITY u(key, place) JOIN f USING (place) LEFT JOIN t ON t.id = u.key;

-- Keys of several columns: arrays of arrays, and of rows.
CREATE TABLE s (shop int, item text, n int, PRIMARY KEY (item, shop));
INSERT INTO s SELECT i % 10, 'i' || i / 10, i FROM generate_series(0, 999) i;
SELECT * FROM hone.fetch_batch(NULL::s, '{shop,item}'::name[], '{{1,i2},{NULL,i2},{3,none},{9,i99}}'::text[]);
SELECT * FROM hone.fetch_batch(NULL::s, ARRAY['item', 'shop'], ARRAY[['i2', '1'], ['i7', '7']]);
CREATE TYPE sk AS (shop int, item text);
SELECT * FROM hone.fetch_batch(NULL::s, '{shop,item}'::name[], ARRAY[ROW(1, 'i2'), NULL, ROW(3, NULL)]::sk[]);
SELECT v FROM hone.fetch_batch(NULL::t, '{id}'::name[], ARRAY[4]);

-- Never a sequential scan: also where the table was tiny when it was planned.
CREATE TABLE tiny (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
INSERT INTO tiny VALUES (1);
SELECT id FROM hone.fetch_batch(NULL::tiny, 'id', ARRAY[1]);
SELECT pg_stat_force_next_flush();
SELECT seq_scan AS seq_scans_before FROM pg_stat_user_tables WHERE relname = 'tiny' \gset
SELECT count(id) FROM hone.fetch_batch(NULL::tiny, 'id', ARRAY(SELECT 1 FROM generate_series(1, 100)));
SELECT pg_stat_force_next_flush();
SELECT seq_scan - :seq_scans_before AS seq_scans, idx_scan >= 100 AS by_index FROM pg_stat_user_tables WHERE relname = 'tiny';
-- Nor a scan of the whole index, where statistics say that it has one row.
CREATE TABLE one (id int PRIMARY KEY, v text) WITH (autovacuum_enabled = off);
INSERT INTO one VALUES (1, 'a');
VACUUM ANALYZE one;
SELECT id FROM hone.fetch_batch(NULL::one, 'id', ARRAY[1]);
INSERT INTO one SELECT i, 'b' FROM generate_series(2, 1000) i;
SELECT count(id) FROM hone.fetch_batch(NULL::one, 'id', ARRAY(SELECT i FROM generate_series(1, 100) i));
SELECT pg_stat_force_next_flush();
SELECT idx_scan >= 100 AS by_key FROM pg_stat_user_tables WHERE relname = 'one';

-- Partitions, compressed rows, generated columns, collations, a table that changes.
CREATE TABLE p (id int, at int, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (10) TO (20);
INSERT INTO p SELECT i, i % 20 FROM generate_series(1, 5000) i;
SET client_min_messages = warning;
CALL hone.compress('p_1');
RESET client_min_messages;
SELECT * FROM hone.fetch_batch(NULL::p, '{id,at}'::name[], ARRAY[[15, 15], [3, 3], [3, 4], [4005, 5]]);
SELECT EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') AS icu \gset
SET client_min_messages = warning;
\if :icu
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
\else
CREATE COLLATION nocase FROM "C";
\endif
RESET client_min_messages;
CREATE TABLE c (name text COLLATE nocase PRIMARY KEY, twice text GENERATED ALWAYS AS (name || name) STORED);
INSERT INTO c VALUES ('Ann'), ('bob');
SELECT count(name) = CASE WHEN :'icu' THEN 2 ELSE 0 END AS nocase FROM hone.fetch_batch(NULL::c, 'name', ARRAY['ANN', 'Bob', 'x']);
SELECT * FROM hone.fetch_batch(NULL::c, 'name', ARRAY['Ann', 'x']);
-- The column's collation and type, not those of the keys, say what is equal.
CREATE DOMAIN anyhow AS text COLLATE nocase;
CREATE TABLE exact (name text PRIMARY KEY, cut name UNIQUE);
INSERT INTO exact VALUES ('ann', repeat('x', 63)), ('Ann', 'y');
SELECT name FROM hone.fetch_batch(NULL::exact, 'name', ARRAY['Ann', 'ann', 'ANN']::anyhow[]);
SELECT name FROM hone.fetch_batch(NULL::exact, 'cut', ARRAY[repeat('x', 64), 'y']::varchar[]);
ALTER TABLE c ADD COLUMN more int DEFAULT 5;
SELECT * FROM hone.fetch_batch(NULL::c, 'name', ARRAY['Ann']);

-- Inside a transaction it sees what the statement sees.
BEGIN;
UPDATE t SET v = 'new' WHERE id = 1;
SELECT v FROM hone.fetch_batch(NULL::t, 'id', ARRAY[1]);
ROLLBACK;

-- Privileges and row security are the caller's.
SET ROLE hone_fb;
SELECT * FROM hone.fetch_batch(NULL::t, 'id', ARRAY[1]);
RESET ROLE;
GRANT SELECT ON t TO hone_fb;
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON t USING (id < 3);
SET ROLE hone_fb;
SELECT id FROM hone.fetch_batch(NULL::t, 'id', ARRAY[1, 2, 3, 4]);
RESET ROLE;
SELECT id FROM hone.fetch_batch(NULL::t, 'id', ARRAY[1, 2, 3, 4]);

-- Refusals.
\set VERBOSITY default
CREATE VIEW vw AS SELECT * FROM t;
CREATE UNIQUE INDEX ON t (maybe) WHERE maybe > 5;
CREATE TABLE late (id int UNIQUE DEFERRABLE, j json, a int[] UNIQUE);
SELECT * FROM hone.fetch_batch(NULL::t, 'id', '{7,x}');
SELECT * FROM hone.fetch_batch(NULL::t, 'id', ARRAY[1.5]);
SELECT * FROM hone.fetch_batch(NULL::t, 'id', ARRAY[true]);
SELECT * FROM hone.fetch_batch(NULL::t, 'code', ARRAY[1]);
SELECT * FROM hone.fetch_batch(NULL::t, 'id', ARRAY[[1, 2]]);
SELECT * FROM hone.fetch_batch(NULL::t, 'v', ARRAY['a']);
SELECT * FROM hone.fetch_batch(NULL::t, 'maybe', ARRAY[6]);
SELECT * FROM hone.fetch_batch(NULL::t, 'gone', ARRAY[6]);
SELECT * FROM hone.fetch_batch(NULL::t, NULL::name, ARRAY[6]);
SELECT * FROM hone.fetch_batch(NULL::late, 'id', ARRAY[6]);
SELECT * FROM hone.fetch_batch(NULL::late, 'j', ARRAY['6']);
SELECT * FROM hone.fetch_batch(NULL::late, 'a', '{1,2}'::int[]);
SELECT * FROM hone.fetch_batch(NULL::late, 'a', '{"{1,2}"}'::text[]);
SELECT * FROM hone.fetch_batch(NULL::s, '{shop,item}'::name[], ARRAY[1, 2]);
SELECT * FROM hone.fetch_batch(NULL::s, '{shop,item}'::name[], ARRAY[[1, 2, 3]]);
SELECT * FROM hone.fetch_batch(NULL::s, '{}'::name[], ARRAY[1]);
SELECT * FROM hone.fetch_batch(NULL::s, '{shop,shop}'::name[], ARRAY[[1, 1]]);
CREATE TABLE heir () INHERITS (s);
SELECT * FROM hone.fetch_batch(NULL::s, '{shop,item}'::name[], ARRAY[[1, 2]]);
SELECT * FROM hone.fetch_batch(NULL::p, '{id}'::name[], ARRAY[1]);
SELECT * FROM hone.fetch_batch(NULL::vw, 'id', ARRAY[1]);
SELECT * FROM hone.fetch_batch(NULL::sk, 'shop', ARRAY[1]);
SELECT * FROM hone.fetch_batch(NULL::int, 'id', ARRAY[1]);
SELECT * FROM hone.fetch_batch(NULL::record, 'id', ARRAY[1]) AS (id int);

-- A million keys: to disk, and it can be cancelled.
SET work_mem = '1MB';
SELECT count(id), count(*) FROM hone.fetch_batch(NULL::t, 'id', ARRAY(SELECT i % 2000 FROM generate_series(1, 200000) i));
BEGIN;
SET LOCAL statement_timeout = '20ms';
\set VERBOSITY sqlstate
SELECT count(id), count(*) FROM hone.fetch_batch(NULL::t, 'id', ARRAY(SELECT i % 2000 FROM generate_series(1, 1000000) i));
ROLLBACK;
\set VERBOSITY terse
SELECT id FROM hone.fetch_batch(NULL::t, 'id', ARRAY[7]);

SET client_min_messages = error;
DROP SCHEMA fb CASCADE;
DROP ROLE hone_fb;
