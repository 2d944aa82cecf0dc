-- VACUUM FULL and CLUSTER keep batches, tombstones and locks.
SET client_min_messages = warning;
CREATE TABLE vf (id int PRIMARY KEY, v int, big text);
INSERT INTO vf SELECT i, i % 10, repeat(md5(i::text), 1 + i % 100) FROM generate_series(1, 30000) i;
CALL hone.compress('vf');
INSERT INTO vf SELECT i, i % 10, (SELECT string_agg(md5((i * k)::text), '') FROM generate_series(1, 200) k)
FROM generate_series(30001, 30100) i;
DELETE FROM vf WHERE id % 7 = 0;
UPDATE vf SET v = v + 100 WHERE id % 11 = 0;
CREATE VIEW vf_sums AS SELECT count(*), sum(id) AS sum_id, sum(v) AS sum_v, sum(hashtext(big)::bigint) AS sum_big FROM vf;
TABLE vf_sums;
VACUUM FULL vf;
TABLE vf_sums;
SELECT batches, compressed_rows FROM hone.tiered_stats('vf');
INSERT INTO vf VALUES (1);
INSERT INTO vf VALUES (7, 7, 'x');
SELECT id FROM vf WHERE id = 1 FOR UPDATE;
CLUSTER vf USING vf_pkey;
TABLE vf_sums;
UPDATE vf SET v = 0 WHERE id IN (1, 2);
VACUUM (FULL, FREEZE) vf;
SELECT id, v FROM vf WHERE id < 10 ORDER BY id;
SELECT relfrozenxid = (SELECT relfrozenxid FROM pg_class WHERE oid = c.reltoastrelid) AS same FROM pg_class c WHERE relname = 'vf';
CALL hone.compress('vf');
TABLE vf_sums;
DROP TABLE vf CASCADE;
-- the defaults of younger columns, which PostgreSQL forgets, are kept
CREATE TABLE vd (id int PRIMARY KEY);
INSERT INTO vd SELECT generate_series(1, 2000);
CALL hone.compress('vd');
ALTER TABLE vd ADD COLUMN d int DEFAULT 5, ADD COLUMN long text DEFAULT repeat('a long default ', 600),
    ADD COLUMN price numeric DEFAULT 12.50, ADD COLUMN none int, ADD COLUMN words text[] DEFAULT '{x,NULL,y}';
CREATE VIEW vd_young AS
    SELECT count(*), sum(d) AS d, sum(length(long)) AS long, count(DISTINCT long) AS longs, sum(price) AS price,
        count(none) AS none, min(words) AS min, max(words) AS max FROM vd;
TABLE vd_young;
VACUUM FULL vd;
SELECT count(*) FROM pg_attribute WHERE attrelid = 'vd'::regclass AND atthasmissing;
TABLE vd_young;
SELECT id, d, length(long), price FROM vd WHERE id = 2000;
SELECT count(*) FROM vd WHERE d = 5;
SELECT count(*) FROM vd WHERE d IS NULL OR none IS NOT NULL;
UPDATE vd SET d = d + 1 WHERE id = 2000 RETURNING d, price, words;
DROP VIEW vd_young;
ALTER TABLE vd ADD COLUMN later date DEFAULT '2024-02-29', DROP COLUMN price;
CLUSTER vd USING vd_pkey;
SELECT count(*), sum(d), count(DISTINCT long), min(later), max(later), count(none) FROM vd;
ALTER TABLE vd ALTER COLUMN d SET DEFAULT 6;
ALTER TABLE vd ALTER COLUMN long TYPE varchar;
VACUUM FULL vd;
SELECT count(*), sum(d), sum(length(long)), min(later) FROM vd;
ALTER TABLE vd ALTER COLUMN d TYPE bigint;
SELECT count(*), sum(d), sum(length(long)), min(later) FROM vd;
CALL hone.compress('vd');
SELECT count(*), sum(d), sum(length(long)), min(later) FROM vd;
CALL hone.decompress('vd');
SELECT count(*), sum(d), sum(length(long)), min(later) FROM vd;
DROP TABLE vd;
-- compressing leaves an index alone that is not valid
CREATE TABLE vi (id int);
INSERT INTO vi SELECT generate_series(1, 2000) UNION ALL SELECT 7;
CREATE UNIQUE INDEX CONCURRENTLY vi_id ON vi (id);
CALL hone.compress('vi');
SELECT indisvalid, (SELECT compressed_rows FROM hone.tiered_stats('vi')) FROM pg_index WHERE indexrelid = 'vi_id'::regclass;
SELECT count(*), count(DISTINCT id) FROM vi;
DROP TABLE vi;
