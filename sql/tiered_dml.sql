-- Writing to compressed rows: as to any row, with the same errors.
SET client_min_messages = warning;
\set VERBOSITY default
\set SHOW_CONTEXT never
CREATE TABLE dm (id int PRIMARY KEY, u text UNIQUE, v int, n numeric, g int GENERATED ALWAYS AS (v * 2) STORED);
CREATE TABLE dm_c (id int PRIMARY KEY, pid int REFERENCES dm ON DELETE CASCADE ON UPDATE CASCADE, x int);
CREATE INDEX ON dm_c (pid);
INSERT INTO dm SELECT i, 'u' || i, i % 10, i / 7.0 FROM generate_series(1, 25000) i;
INSERT INTO dm_c SELECT i, i, i FROM generate_series(1, 12000) i;
CALL hone.compress('dm');
CALL hone.compress('dm_c');
INSERT INTO dm VALUES (30000, 'plain', 1, 1);

-- UPDATE and DELETE leave the batches alone: a tombstone and a plain row each
UPDATE dm SET v = 100 WHERE id = 5 RETURNING *;
UPDATE dm SET v = v + 1 WHERE id = 5 RETURNING *;
DELETE FROM dm WHERE id BETWEEN 101 AND 103 RETURNING id;
SELECT batches, compressed_rows FROM hone.tiered_stats('dm');
SELECT count(*), sum(v), sum(g), count(DISTINCT id) FROM dm;
BEGIN;
UPDATE dm SET v = v + 1;
SELECT count(*), sum(v), sum(g) FROM dm;
SAVEPOINT a;
DELETE FROM dm WHERE id > 24500;
SELECT count(*) FROM dm;
ROLLBACK TO a;
SELECT count(*), sum(v), sum(g) FROM dm;
ROLLBACK;
SELECT count(*), sum(v), sum(g) FROM dm;
-- the same row twice in one command: the first time counts
UPDATE dm SET v = f.i FROM generate_series(50, 51) f (i) WHERE id = 200;
SELECT v IN (50, 51) FROM dm WHERE id = 200;

-- unique keys
INSERT INTO dm VALUES (6, 'a', 1, 1);
INSERT INTO dm VALUES (50000, 'u77', 1, 1);
UPDATE dm SET id = 10 WHERE id = 11;
UPDATE dm SET id = 11 WHERE id = 11;
DELETE FROM dm WHERE id = 12;
INSERT INTO dm VALUES (12, 'u12', 12);
INSERT INTO dm VALUES (12, 'u12b', 12);
BEGIN;
DELETE FROM dm WHERE id = 13;
SAVEPOINT a;
INSERT INTO dm VALUES (13, 'b');
ROLLBACK TO a;
INSERT INTO dm VALUES (13, 'c');
COMMIT;
SELECT id, u, v FROM dm WHERE id < 15 ORDER BY id;
COPY dm (id) FROM stdin;
50001
14
\.

-- ON CONFLICT
INSERT INTO dm VALUES (6, 'a', 1, 1), (60000, 'a', 2, 2) ON CONFLICT DO NOTHING RETURNING *;
INSERT INTO dm VALUES (7, 'a7', 1, 1) ON CONFLICT (id) DO UPDATE SET v = dm.v + 1000, u = excluded.u RETURNING *;
INSERT INTO dm VALUES (7, 'b7', 1, 1) ON CONFLICT (id) DO UPDATE SET v = dm.v + 1000, u = excluded.u RETURNING *;
INSERT INTO dm VALUES (8, 'q', 1, 1), (8, 'r', 1, 1) ON CONFLICT (id) DO UPDATE SET v = dm.v + 1;
INSERT INTO dm VALUES (9, 'u10') ON CONFLICT (id) DO NOTHING;
INSERT INTO dm VALUES (70001, 'u10') ON CONFLICT (id) DO NOTHING;
-- a re-import moves nothing
SELECT pg_relation_size('dm') AS size, pg_total_relation_size('dm') AS total \gset
INSERT INTO dm SELECT i, 'u' || i, i % 10, 1 FROM generate_series(1, 25000) i WHERE i NOT IN (101, 102, 103) ON CONFLICT DO NOTHING;
SELECT pg_relation_size('dm') = :size AS same_size, pg_total_relation_size('dm') = :total AS same_total;
MERGE INTO dm USING (VALUES (20, 'm20'), (70000, 'm70000')) m (id, u) ON dm.id = m.id
    WHEN MATCHED THEN UPDATE SET u = m.u WHEN NOT MATCHED THEN INSERT VALUES (m.id, m.u);
SELECT id, u FROM dm WHERE u LIKE 'm%' ORDER BY id;

-- foreign keys, both ways
INSERT INTO dm_c VALUES (30000, 8, 1);
INSERT INTO dm_c VALUES (30001, 800000, 1);
DELETE FROM dm WHERE id = 8;
SELECT * FROM dm_c WHERE pid = 8 OR id = 8;
UPDATE dm SET id = 900000 WHERE id = 9;
SELECT * FROM dm_c WHERE pid = 900000;
ALTER TABLE dm_c DROP CONSTRAINT dm_c_pid_fkey, ADD CONSTRAINT dm_c_fk FOREIGN KEY (pid) REFERENCES dm DEFERRABLE INITIALLY DEFERRED;
DELETE FROM dm WHERE id = 10;
BEGIN;
DELETE FROM dm WHERE id = 10;
INSERT INTO dm VALUES (10, 'again');
COMMIT;

-- row locks
BEGIN;
SELECT id FROM dm WHERE id IN (20, 21, 30000) ORDER BY id FOR UPDATE;
SELECT id FROM dm WHERE id = 22 FOR KEY SHARE;
UPDATE dm SET v = 1 WHERE id = 21;
DELETE FROM dm WHERE id = 22;
COMMIT;

-- row and statement triggers, transition tables
CREATE TABLE dm_log (what text);
CREATE FUNCTION dm_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO dm_log VALUES (format('%s %s %s -> %s', TG_WHEN, TG_OP, OLD.v, NEW.v));
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE FUNCTION dm_statement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO dm_log SELECT format('%s: %s -> %s', TG_OP, (SELECT sum(v) FROM old_rows), (SELECT sum(v) FROM new_rows));
    RETURN NULL;
END $$;
CREATE TRIGGER dm_before BEFORE UPDATE OR DELETE ON dm FOR EACH ROW EXECUTE FUNCTION dm_row();
CREATE TRIGGER dm_after AFTER UPDATE OR DELETE ON dm FOR EACH ROW EXECUTE FUNCTION dm_row();
CREATE TRIGGER dm_statement AFTER UPDATE ON dm REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION dm_statement();
UPDATE dm SET v = v + 7 WHERE id IN (20001, 20002);
DELETE FROM dm WHERE id = 20003;
TABLE dm_log;

-- compressing again: the late rows are folded, the tombstones go
SELECT count(*), sum(v), sum(g), count(DISTINCT id), count(DISTINCT u), sum(n) FROM dm;
CALL hone.compress('dm');
SELECT count(*), sum(v), sum(g), count(DISTINCT id), count(DISTINCT u), sum(n) FROM dm;
INSERT INTO dm VALUES (7, 'x');
CALL hone.decompress('dm');
SELECT count(*), sum(v), sum(g), count(DISTINCT id), count(DISTINCT u), sum(n) FROM dm;
DROP TABLE dm, dm_c, dm_log;
DROP FUNCTION dm_row, dm_statement;

-- keys of every kind: partial, of expressions, NULLS NOT DISTINCT, several columns, deferred
CREATE TABLE dk (a int, b text, c numeric, CONSTRAINT dk_a UNIQUE (a) DEFERRABLE INITIALLY DEFERRED);
CREATE UNIQUE INDEX dk_part ON dk (b) WHERE a > 500;
CREATE UNIQUE INDEX dk_expr ON dk (lower(b), (a / 2), a) INCLUDE (c);
CREATE UNIQUE INDEX dk_null ON dk (c) NULLS NOT DISTINCT;
INSERT INTO dk SELECT i, CASE WHEN i <= 500 THEN 'same' ELSE 'B' || i END, nullif(i, 7) FROM generate_series(1, 1000) i;
CALL hone.compress('dk');
INSERT INTO dk VALUES (1001, 'same', 1001);
INSERT INTO dk VALUES (1002, 'B600', 1002);
INSERT INTO dk VALUES (10, 'B600', 1002);
INSERT INTO dk VALUES (1002, 'x', 1000.00);
INSERT INTO dk VALUES (1002, 'x', NULL);
UPDATE dk SET c = NULL WHERE a = 8;
UPDATE dk SET a = a + 1;
BEGIN;
INSERT INTO dk VALUES (5, 'y', 2000);
SET CONSTRAINTS ALL IMMEDIATE;
ROLLBACK;
BEGIN;
INSERT INTO dk VALUES (5, 'y', 2000);
DELETE FROM dk WHERE a = 5 AND b = 'same';
COMMIT;
INSERT INTO dk VALUES (5, 'z', 2001);
SELECT count(*), count(DISTINCT a), sum(a) FROM dk;
CALL hone.compress('dk');
SELECT count(*), count(DISTINCT a), sum(a) FROM dk;
DROP TABLE dk;
