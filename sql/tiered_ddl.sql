-- DDL and utility commands on tables that hold compressed rows.
SET client_min_messages = warning;

CREATE TABLE td (id int, junk text, v text);
INSERT INTO td SELECT i, 'junk', 'v' || i FROM generate_series(1, 3000) i;
CREATE FUNCTION pg_temp.sums(OUT n bigint, OUT ids bigint, OUT hash bigint) LANGUAGE sql AS
    'SELECT count(*), sum(id), sum(hashtext(v)::bigint) FROM td';
SELECT * FROM pg_temp.sums();

-- columns dropped and added, before and after compressing, twice
ALTER TABLE td DROP COLUMN junk;
ALTER TABLE td ADD COLUMN before_default int DEFAULT 11;
ALTER TABLE td ADD COLUMN before_null text;
CALL hone.compress('td');
ALTER TABLE td ADD COLUMN after_default text DEFAULT 'after';
ALTER TABLE td ADD COLUMN after_null int;
ALTER TABLE td ADD COLUMN doomed int DEFAULT 5;
SELECT count(*), min(before_default), max(before_null), min(after_default), max(after_null), sum(doomed) FROM td;
INSERT INTO td (id, v, after_null) VALUES (3001, 'late', 1);
CALL hone.compress('td');
ALTER TABLE td ALTER COLUMN after_default SET DEFAULT 'changed';
ALTER TABLE td ADD COLUMN more numeric DEFAULT 1.5;
ALTER TABLE td DROP COLUMN doomed;
INSERT INTO td (id, v) VALUES (3002, 'later');
CALL hone.compress('td');
SELECT batches FROM hone.tiered_stats('td');
SELECT * FROM td WHERE id IN (1, 3001, 3002) ORDER BY id;
SELECT td FROM td WHERE id IN (1, 3001, 3002) ORDER BY id;
SELECT * FROM pg_temp.sums();

-- rewrites, and changes of type without a rewrite
ALTER TABLE td ALTER COLUMN v TYPE varchar;
SELECT * FROM pg_temp.sums();
SELECT batches > 0 AS still_batches FROM hone.tiered_stats('td');
ALTER TABLE td ALTER COLUMN v TYPE varchar(30);
ALTER TABLE td ALTER COLUMN v TYPE text;
SELECT * FROM pg_temp.sums();
ALTER TABLE td ALTER COLUMN id TYPE bigint, ADD COLUMN computed bigint GENERATED ALWAYS AS (id * 2) STORED;
SELECT * FROM pg_temp.sums();
SELECT sum(computed) = 2 * sum(id) AS generated FROM td;
CALL hone.compress('td');
SELECT sum(computed) = 2 * sum(id) AS generated FROM td;
ALTER TABLE td ALTER COLUMN id TYPE int USING id::int;
ALTER TABLE td ADD COLUMN r float8 DEFAULT random();
SELECT count(DISTINCT r) > 1000 AS volatile_default FROM td;
CALL hone.compress('td');
SELECT * FROM pg_temp.sums();

-- constraints are checked over compressed rows
ALTER TABLE td ADD CONSTRAINT big CHECK (id > 5);
ALTER TABLE td ADD CONSTRAINT positive CHECK (id > 0) NOT VALID;
ALTER TABLE td VALIDATE CONSTRAINT positive;
ALTER TABLE td ALTER COLUMN after_null SET NOT NULL;
ALTER TABLE td ALTER COLUMN v SET NOT NULL;
CREATE TABLE td_ref (id int PRIMARY KEY);
INSERT INTO td_ref SELECT generate_series(1, 3001);
ALTER TABLE td ADD FOREIGN KEY (id) REFERENCES td_ref;
INSERT INTO td_ref VALUES (3002);
ALTER TABLE td ADD FOREIGN KEY (id) REFERENCES td_ref;
DELETE FROM td_ref WHERE id = 5;
DROP TABLE td_ref CASCADE;
CREATE DOMAIN td_dom AS int;
CREATE TABLE td_d (d td_dom);
INSERT INTO td_d VALUES (1), (-1);
CALL hone.compress('td_d');
ALTER DOMAIN td_dom ADD CHECK (VALUE > 0);
DROP TABLE td_d;
DROP DOMAIN td_dom;

-- unique indexes are checked over both kinds of rows; all hold plain rows only
\set VERBOSITY terse
CREATE UNIQUE INDEX ON td ((id % 1000));
CREATE UNIQUE INDEX CONCURRENTLY td_u ON td ((id % 1000));
\set VERBOSITY default
DROP INDEX td_u;
CREATE UNIQUE INDEX CONCURRENTLY td_u ON td (id);
ALTER TABLE td ADD PRIMARY KEY USING INDEX td_u;
ALTER TABLE td DROP CONSTRAINT td_u;
CREATE INDEX td_id ON td (id);
CREATE INDEX td_expr ON td (upper(v)) WHERE id > 10;
SET enable_seqscan = off;
SELECT id, v FROM td WHERE id = 17;
SELECT count(*) FROM td WHERE id BETWEEN 10 AND 20;
SELECT id FROM td WHERE upper(v) = 'V100' AND id > 10;
SELECT min(id), max(id) FROM td;
RESET enable_seqscan;
REINDEX TABLE td;
REINDEX TABLE CONCURRENTLY td;
SELECT * FROM pg_temp.sums();

-- the rest of ALTER TABLE
COMMENT ON TABLE td IS 'a comment';
ALTER TABLE td RENAME TO td2;
ALTER TABLE td2 RENAME COLUMN v TO w;
SELECT count(w) FROM td2;
ALTER TABLE td2 RENAME COLUMN w TO v;
ALTER TABLE td2 RENAME TO td;
ALTER TABLE td SET (fillfactor = 70, autovacuum_enabled = off);
ALTER TABLE td ALTER COLUMN v SET STORAGE external, ALTER COLUMN v SET STATISTICS 50;
SELECT * FROM pg_temp.sums();
CREATE TABLE td_like (LIKE td INCLUDING ALL);
SELECT count(*) FROM td_like;
DROP TABLE td_like;
ALTER TABLE td SET UNLOGGED;
SELECT * FROM pg_temp.sums();
CALL hone.compress('td');
ALTER TABLE td SET LOGGED;
SELECT * FROM pg_temp.sums();
CALL hone.compress('td');
ALTER TABLE td SET ACCESS METHOD heap;
SELECT * FROM pg_temp.sums();
ALTER TABLE td SET ACCESS METHOD tiered;
CALL hone.compress('td');
SELECT batches FROM hone.tiered_stats('td');
ALTER TABLE td SET ACCESS METHOD tiered;
SELECT * FROM pg_temp.sums();

-- TRUNCATE, DROP, ROLLBACK, savepoints
BEGIN;
TRUNCATE td;
SELECT count(*) FROM td;
INSERT INTO td (id, v) VALUES (1, 'new');
SAVEPOINT s;
TRUNCATE td;
SELECT count(*) FROM td;
ROLLBACK TO s;
SELECT count(*) FROM td;
ROLLBACK;
SELECT * FROM pg_temp.sums();
BEGIN;
DROP TABLE td;
ROLLBACK;
SELECT * FROM pg_temp.sums();
BEGIN;
ALTER TABLE td SET ACCESS METHOD heap;
SELECT * FROM pg_temp.sums();
ROLLBACK;
SELECT * FROM pg_temp.sums();
BEGIN;
ALTER TABLE td ADD COLUMN gone int DEFAULT 3;
SELECT sum(gone) FROM td;
ROLLBACK;
SELECT * FROM pg_temp.sums();
VACUUM td;
VACUUM (FREEZE, ANALYZE) td;
SELECT * FROM pg_temp.sums();
SELECT pg_table_size('td') > pg_relation_size('td') AS batches_count FROM td LIMIT 1;
TRUNCATE td;
SELECT count(*) FROM td;
INSERT INTO td (id, v) VALUES (1, 'new');
CALL hone.compress('td');
SELECT id, v FROM td;

-- COPY out and in
COPY td (id, v) TO STDOUT;
COPY td (id, v) FROM STDIN;
2	copied
\.
CALL hone.compress('td');
COPY td (id, v) TO STDOUT;
COPY (SELECT id FROM td ORDER BY 1) TO STDOUT;
DROP TABLE td;

-- tables made tiered from the start
CREATE TABLE td_as USING tiered AS SELECT i FROM generate_series(1, 100) i;
SET default_table_access_method = tiered;
CREATE TABLE td_default (i int);
CREATE TEMP TABLE td_temp (i int);
CREATE MATERIALIZED VIEW td_mat AS SELECT sum(i) FROM td_as;
RESET default_table_access_method;
INSERT INTO td_default VALUES (1);
INSERT INTO td_temp VALUES (1);
CALL hone.compress('td_as');
CALL hone.compress('td_default');
REFRESH MATERIALIZED VIEW td_mat;
SELECT * FROM td_mat, td_default, td_temp, (SELECT sum(i) FROM td_as) x;
-- nothing of them to unfold, but the view and the tables are heaps again
CALL hone.decompress_all();
SELECT relname, amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam
WHERE relname IN ('td_as', 'td_default', 'td_mat', 'td_temp') ORDER BY 1;
DROP MATERIALIZED VIEW td_mat;
DROP TABLE td_as, td_default, td_temp;

-- partitions of different shape, attached and detached
CREATE TABLE tp (k int, a text, b int) PARTITION BY RANGE (k);
CREATE TABLE tp_1 (b int, x int, k int, a text);
ALTER TABLE tp_1 DROP COLUMN x;
CREATE TABLE tp_2 PARTITION OF tp FOR VALUES FROM (1000) TO (2000);
ALTER TABLE tp ADD COLUMN c int DEFAULT 4;
ALTER TABLE tp_1 ADD COLUMN c int DEFAULT 9;
INSERT INTO tp_1 SELECT -i, i, 'one ' || i, i FROM generate_series(1, 999) i;
CALL hone.compress('tp_1');
ALTER TABLE tp ATTACH PARTITION tp_1 FOR VALUES FROM (0) TO (999);
ALTER TABLE tp ATTACH PARTITION tp_1 FOR VALUES FROM (0) TO (1000);
INSERT INTO tp SELECT i, 'two ' || i, -i FROM generate_series(1000, 1999) i;
CALL hone.compress('tp');
INSERT INTO tp VALUES (5, 'late', 0), (1005, 'late', 0);
ALTER TABLE tp ADD COLUMN d text DEFAULT 'd';
SELECT tableoid::regclass, count(*), sum(k), sum(b), sum(c), min(d), max(a) FROM tp GROUP BY 1 ORDER BY 1;
SELECT * FROM tp WHERE k IN (5, 1005) ORDER BY k, a;
CREATE TABLE tp_def PARTITION OF tp DEFAULT;
INSERT INTO tp VALUES (5000, 'default', 1);
CALL hone.compress('tp_def');
CREATE TABLE tp_3 PARTITION OF tp FOR VALUES FROM (5000) TO (6000);
UPDATE tp SET k = k + 1000 WHERE k = 5 AND a = 'late';
UPDATE tp SET k = 2500 WHERE a = 'two 1500';
SELECT tableoid::regclass, k FROM tp WHERE a = 'late' ORDER BY 2;
ALTER TABLE tp DETACH PARTITION tp_1;
SELECT count(*), sum(k), sum(c) FROM tp_1;
SELECT count(*) FROM tp;
DROP TABLE tp, tp_1;

-- inheritance
CREATE TABLE ti (a int);
CREATE TABLE ti_1 (b int) INHERITS (ti);
INSERT INTO ti VALUES (1);
INSERT INTO ti_1 VALUES (2, 2);
CALL hone.compress('ti');
CALL hone.compress('ti_1');
SELECT tableoid::regclass, * FROM ti ORDER BY 2;
SELECT * FROM ONLY ti;
ALTER TABLE ti ADD COLUMN c int DEFAULT 8;
SELECT * FROM ti ORDER BY 1;
DROP TABLE ti CASCADE;

-- an index built while its table's cache entry is invalidated
SET client_min_messages = warning;
CREATE TABLE tsw (id int, v text);
INSERT INTO tsw SELECT i, 'v' || i FROM generate_series(1, 100) i;
CALL hone.compress('tsw');
INSERT INTO tsw VALUES (101, 'a'), (102, 'b'), (103, 'c');
CREATE FUNCTION tsw_grant() RETURNS int LANGUAGE plpgsql VOLATILE AS
    $$ BEGIN GRANT SELECT ON tsw TO PUBLIC; RETURN 1; END $$;
CREATE FUNCTION tsw_key(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS
    $$ BEGIN RETURN $1 + public.tsw_grant(); END $$;
ALTER FUNCTION tsw_grant() SET search_path = public;
CREATE INDEX tsw_key ON tsw (tsw_key(id));
SELECT count(*), sum(id) FROM tsw;
DROP TABLE tsw;
DROP FUNCTION tsw_key(int), tsw_grant();
RESET client_min_messages;
