-- Rows by their TID: WHERE CURRENT OF over plain and compressed rows, ctid in
-- conditions.
SET client_min_messages = warning;
CREATE TABLE cu (id int, v text);
INSERT INTO cu SELECT i, 'v' || i FROM generate_series(1, 12000) i;
CALL hone.compress('cu');
INSERT INTO cu SELECT i, 'plain' FROM generate_series(12001, 12005) i;

-- one row after the other, both kinds
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM cu WHERE id IN (5, 11500, 12002);
FETCH c;
UPDATE cu SET v = 'current' WHERE CURRENT OF c;
FETCH c;
UPDATE cu SET v = 'current' WHERE CURRENT OF c RETURNING id, v;
FETCH c;
DELETE FROM cu WHERE CURRENT OF c RETURNING id, v;
FETCH c;
SAVEPOINT a;
UPDATE cu SET v = 'none' WHERE CURRENT OF c;
ROLLBACK TO a;
COMMIT;
SELECT * FROM cu WHERE v NOT LIKE 'v%' OR id IN (5, 11500) ORDER BY id;

-- twice the same row; then deleted; then gone
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM cu WHERE id IN (6, 12003);
FETCH c;
UPDATE cu SET v = v || ' once' WHERE CURRENT OF c;
UPDATE cu SET v = v || ' twice' WHERE CURRENT OF c RETURNING *;
FETCH c;
UPDATE cu SET v = v || ' once' WHERE CURRENT OF c;
UPDATE cu SET v = v || ' twice' WHERE CURRENT OF c RETURNING *;
DELETE FROM cu WHERE CURRENT OF c RETURNING *;
DELETE FROM cu WHERE CURRENT OF c RETURNING *;
UPDATE cu SET v = v || ' thrice' WHERE CURRENT OF c RETURNING *;
ROLLBACK;

-- the row moved out after the cursor saw it, by another statement of this transaction
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM cu WHERE id = 7;
FETCH c;
UPDATE cu SET v = 'moved' WHERE id = 7;
SELECT ctid < '(1000000,0)' AS plain FROM cu WHERE id = 7;
UPDATE cu SET v = v || ' again' WHERE CURRENT OF c RETURNING *;
FETCH c;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM cu WHERE id = 7;
FETCH c;
SAVEPOINT a;
UPDATE cu SET v = 'moved' WHERE CURRENT OF c;
ROLLBACK TO a;
UPDATE cu SET v = v || ' anew' WHERE CURRENT OF c RETURNING *;
DELETE FROM cu WHERE id = 7;
UPDATE cu SET v = 'gone' WHERE CURRENT OF c RETURNING *;
ROLLBACK;

-- scrollable; FOR UPDATE; FOR SHARE
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM cu WHERE id IN (8, 9, 12004);
FETCH ALL FROM c;
FETCH PRIOR FROM c;
FETCH PRIOR FROM c;
UPDATE cu SET v = 'scrolled' WHERE CURRENT OF c RETURNING *;
FETCH FIRST FROM c;
DELETE FROM cu WHERE CURRENT OF c RETURNING *;
FETCH LAST FROM c;
UPDATE cu SET v = 'scrolled' WHERE CURRENT OF c RETURNING *;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM cu WHERE id IN (8, 9, 12004) FOR UPDATE;
FETCH c;
UPDATE cu SET v = 'locked' WHERE CURRENT OF c RETURNING *;
FETCH c;
DELETE FROM cu WHERE CURRENT OF c RETURNING *;
FETCH c;
UPDATE cu SET v = 'locked' WHERE CURRENT OF c;
UPDATE cu SET v = v || ' twice' WHERE CURRENT OF c RETURNING *;
ROLLBACK;
BEGIN;
DECLARE c CURSOR FOR SELECT x.id, y.v FROM cu x JOIN cu y USING (id) WHERE id IN (9, 12004) ORDER BY id FOR SHARE OF x;
FETCH c;
UPDATE cu SET v = 'joined' WHERE CURRENT OF c RETURNING *;
FETCH c;
DELETE FROM cu WHERE CURRENT OF c RETURNING *;
ROLLBACK;

-- cursors that read other system columns; cursors that are no row of the table
BEGIN;
DECLARE c CURSOR FOR SELECT id, xmin IS NOT NULL AS x FROM cu WHERE id IN (10, 12005);
FETCH c;
UPDATE cu SET v = 'system' WHERE CURRENT OF c RETURNING id, v, ctid < '(1000000,0)' AS plain;
MOVE c;
UPDATE cu SET v = 'system' WHERE CURRENT OF c RETURNING id, v, xmin IS NOT NULL AS x;
DECLARE agg CURSOR FOR SELECT count(*) FROM cu;
FETCH agg;
UPDATE cu SET v = 'no row of the table' WHERE CURRENT OF agg;
ROLLBACK;

-- in a function, over partitions
CREATE TABLE cu_part (d date, id int, v text) PARTITION BY RANGE (d);
CREATE TABLE cu_part_1 PARTITION OF cu_part FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE cu_part_2 PARTITION OF cu_part FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE cu_part_3 PARTITION OF cu_part FOR VALUES FROM ('2024-03-01') TO ('2024-04-01');
INSERT INTO cu_part SELECT date '2024-01-01' + i % 91, i, 'v' || i FROM generate_series(1, 3000) i;
CALL hone.compress('cu_part_1');
CALL hone.compress('cu_part_2');
INSERT INTO cu_part SELECT date '2024-01-01' + i % 91, i, 'v' || i FROM generate_series(3001, 3100) i;
DO $$
DECLARE
    c CURSOR FOR SELECT * FROM cu_part WHERE id % 100 = 7 FOR UPDATE;
    n int := 0;
BEGIN
    FOR r IN c LOOP
        n := n + 1;
        IF n % 5 = 0 THEN DELETE FROM cu_part WHERE CURRENT OF c;
        ELSIF n % 5 = 1 THEN UPDATE cu_part SET d = date '2024-04-01' - (d - date '2024-01-01') - 1, v = 'other' WHERE CURRENT OF c;
        ELSE UPDATE cu_part SET v = 'current' WHERE CURRENT OF c; END IF;
    END LOOP;
    RAISE WARNING '% rows', n;
END $$;
SELECT v, count(*), count(DISTINCT id) FROM cu_part WHERE id % 100 = 7 GROUP BY v ORDER BY v;
SELECT count(*) FROM cu_part;

-- ctid in conditions
EXPLAIN (COSTS off) DELETE FROM cu WHERE ctid IN (SELECT ctid FROM cu WHERE id <= 20 LIMIT 5);
DELETE FROM cu WHERE ctid IN (SELECT ctid FROM cu WHERE id <= 20 LIMIT 5);
DELETE FROM cu WHERE ctid = ANY (ARRAY(SELECT ctid FROM cu WHERE id <= 20 OR id = 12004 LIMIT 8));
SELECT count(*), min(id), max(id) FROM cu;
EXPLAIN (COSTS off) SELECT id FROM cu WHERE ctid = '(0,1)' OR ctid = '(1,1)';
SELECT x.id, y.v FROM cu x JOIN cu y ON y.ctid = x.ctid WHERE x.id IN (25, 5, 12005) ORDER BY 1;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SELECT x.id, y.v FROM cu x JOIN cu y ON y.ctid = x.ctid WHERE x.id IN (25, 5, 12005) ORDER BY 1;
RESET enable_hashjoin;
RESET enable_mergejoin;
SELECT id, v, xmin IS NOT NULL AS x FROM cu WHERE ctid = (SELECT ctid FROM cu WHERE id = 30);
UPDATE cu SET v = 'by ctid' WHERE ctid = (SELECT ctid FROM cu WHERE id = 30) RETURNING *;
SELECT count(*) FROM cu WHERE ctid IN ('(0,0)', '(4294967295,1)', '(2147483648,0)', '(2147483648,20000)', '(2147483999,1)', NULL);
-- a range of TIDs reads both kinds
EXPLAIN (COSTS off) SELECT count(*) FROM cu WHERE ctid < '(2147483648,101)';
SELECT count(*) = (SELECT count(*) FROM (SELECT ctid AS t FROM cu OFFSET 0) x WHERE t < '(2147483648,101)') AS same FROM cu WHERE ctid < '(2147483648,101)';
DROP TABLE cu, cu_part;

-- ranges of ctid: both kinds of rows
CREATE TABLE tid_range (id int);
INSERT INTO tid_range SELECT generate_series(1, 12000);
CALL hone.compress('tid_range');
INSERT INTO tid_range SELECT generate_series(12001, 13000);
DELETE FROM tid_range WHERE id IN (1, 12001);
ANALYZE tid_range;
EXPLAIN (COSTS off) SELECT * FROM tid_range WHERE ctid < '(1,0)';
SELECT count(*), min(id), max(id) FROM tid_range WHERE ctid < '(1,0)';
SELECT count(*), min(id), max(id) FROM tid_range WHERE ctid >= '(1,0)';
SELECT count(*), min(id), max(id) FROM tid_range WHERE ctid >= '(2147483648,0)';
SELECT count(*), min(id), max(id) FROM tid_range WHERE ctid > '(2147483648,9998)' AND ctid <= '(2147483649,2)';
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM tid_range WHERE ctid > '(2147483648,9998)' AND ctid <= '(2147483649,2)';
FETCH ALL c;
FETCH BACKWARD ALL c;
ROLLBACK;
DROP TABLE tid_range;
