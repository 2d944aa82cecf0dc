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
-- the defaults of younger columns would be lost
ALTER TABLE vf ADD COLUMN d int DEFAULT 5;
VACUUM FULL vf;
ALTER TABLE vf ADD COLUMN n int;
SELECT sum(d), count(n) FROM vf;
CALL hone.decompress('vf');
VACUUM FULL vf;
SELECT sum(d), count(n) FROM vf;
DROP TABLE vf CASCADE;
