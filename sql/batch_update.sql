-- Updating in batches: each row that matches exactly once.
CREATE ROLE hone_bu;
CREATE SCHEMA bu;
SET search_path = bu;
CREATE TABLE t (id int PRIMARY KEY, k int, v int NOT NULL DEFAULT 0, pad text);
INSERT INTO t SELECT i, i % 10, 0, repeat('x', 50) FROM generate_series(1, 20000) i;
ANALYZE t;
-- Each batch is a transaction: count them.
CREATE TABLE log (xid xid8, n bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log SELECT pg_current_xact_id(), count(*) FROM new;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON t REFERENCING NEW TABLE AS new FOR EACH STATEMENT EXECUTE FUNCTION note();
CALL hone.batch_update('t', 'v = v + 1', 'k = 3', 500);
SELECT v, count(*), bool_and((k = 3) = (v = 1)) AS those FROM t GROUP BY v ORDER BY v;
SELECT count(*) AS batches, max(n) AS largest, sum(n), count(DISTINCT xid) = count(*) AS own_transactions FROM log;
CALL hone.batch_update('t', $$(v, pad) = (t.v + 1, DEFAULT) -- the alias is the table's name$$, 'v = 1', 'auto');
SELECT v, count(*), count(pad) AS padded FROM t GROUP BY v ORDER BY v;
CALL hone.batch_update('t', 'v = 0', 'NULL');
DROP TRIGGER note ON t;

-- Where each row that it writes matches again, and goes behind the others.
CALL hone.batch_update('t', 'v = 1000', 'true', 3000);
CALL hone.batch_update('t', 'v = v + 1', 'v >= 1000', 3000);
SELECT min(v), max(v) FROM t;
-- Rows that come while it runs, behind the last one, are not for it.
CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO t (id) VALUES (NEW.id + 100000) ON CONFLICT DO NOTHING;
    RETURN NEW;
END $$;
CREATE TRIGGER again BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION again();
CALL hone.batch_update('t', 'v = 5', 'id % 20 = 0', 300);
SELECT count(*) FILTER (WHERE id > 100000) AS came, count(*) FILTER (WHERE v = 5) AS updated FROM t;
DROP TRIGGER again ON t;
DELETE FROM t WHERE id > 100000;

-- Without a key, or where the key itself changes: by the places of rows.
CREATE TABLE nokey AS SELECT i AS id, 0 AS v FROM generate_series(1, 20000) i;
CALL hone.batch_update('nokey', 'v = v + 1', 'true', 3000);
SELECT min(v), max(v), count(*) FROM nokey;
CALL hone.batch_update('t', 'id = id + 20000, v = id', 'id > 100', 3000);
SELECT count(*), count(*) FILTER (WHERE id > 20000 AND v = id - 20000) AS once FROM t;
CREATE TABLE other (a int UNIQUE, b int NOT NULL UNIQUE, c int);
INSERT INTO other SELECT i, 3000 - i, 0 FROM generate_series(1, 2500) i;
CALL hone.batch_update('other', 'a = a + 10000, c = c + 1', 'true', 300);
SELECT min(a), max(a), min(c), max(c) FROM other;

-- Keys of several columns, of all kinds of types.
SET datestyle = 'SQL, DMY';
CREATE TABLE wide (a text COLLATE "C", b timestamptz, c numeric, d "char", v int DEFAULT 0, PRIMARY KEY (b, a, d, c));
INSERT INTO wide SELECT chr(65 + i % 50), timestamptz '2024-01-02 00:00Z' + i % 7 * interval '1 day', i / 3.0, 'x' FROM generate_series(1, 5000) i;
CALL hone.batch_update('wide', 'v = v + 1', 'true', 250, job => 'wide', max_runtime => '0');
CALL hone.batch_update('wide', 'v = v + 1', 'true', 250, job => 'wide');
SELECT min(v), max(v) FROM wide;
SELECT last_key FROM hone.batch_progress WHERE job = 'wide';
RESET datestyle;

-- Partitions, a compressed one too.
CREATE TABLE p (id int, day date NOT NULL, k int, v int DEFAULT 0, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY HASH (id);
CREATE TABLE p_2a PARTITION OF p_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p_2b PARTITION OF p_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE "p Default" PARTITION OF p DEFAULT;
INSERT INTO p SELECT i, date '2020-06-01' + i % 3 * 365, i FROM generate_series(1, 6000) i;
SET client_min_messages = warning;
CALL hone.compress('p_1');
RESET client_min_messages;
INSERT INTO p SELECT 6000 + i, '2020-06-01' FROM generate_series(1, 100) i;
CALL hone.batch_update('p', 'v = v + 1', 'id % 2 = 0', 300);
CALL hone.batch_update('p', 'v = v + 1', 'true', 300, job => 'parts');
SELECT tableoid::regclass, count(*), bool_and(v = 2 - id % 2) AS once FROM p GROUP BY 1 ORDER BY 1;
-- rows that go to another partition are not met there again
CALL hone.batch_update('p', 'day = day + 365, v = 0', 'true', 300);
CALL hone.batch_update('p', 'day = day + 365', 'true', job => 'moving');
SELECT tableoid::regclass, count(*), min(v), max(v), min(day), max(day) FROM p GROUP BY 1 ORDER BY 1;
SET client_min_messages = warning;
CALL hone.compress('p_2');
RESET client_min_messages;
CALL hone.batch_update('p_2', 'v = v + 1', 'p_2.id < 1000', 300, skip_locked => true);
SELECT count(*) FILTER (WHERE v = 1 AND id < 1000) AS those, sum(v) FROM p_2;

-- Inheritance: a key of columns that the named table lacks, where it is named.
CREATE TABLE parent (id int, v int DEFAULT 0);
CREATE TABLE son (own int PRIMARY KEY) INHERITS (parent);
INSERT INTO son SELECT i, 0, i FROM generate_series(1, 1000) i;
ALTER TABLE son ENABLE ROW LEVEL SECURITY;
GRANT USAGE ON SCHEMA bu TO hone_bu;
GRANT SELECT, UPDATE ON parent TO hone_bu;
SET ROLE hone_bu;
CALL hone.batch_update('bu.parent', 'v = v + 1', 'true', 300);
RESET ROLE;
CALL hone.batch_update('parent', 'v = v + 1', 'true', 300);
SELECT min(v), max(v) FROM parent;

-- By places what a foreign key changes would be taken for done.
CREATE TABLE tree (id int PRIMARY KEY, up int REFERENCES tree ON UPDATE CASCADE, v int DEFAULT 0);
INSERT INTO tree VALUES (1, NULL), (2, 1), (3, 2);
CALL hone.batch_update('tree', 'id = id + 10', 'true', 1);
CALL hone.batch_update('tree', 'id = id + 10', 'true', dry_run => true);
CALL hone.batch_update('tree', 'v = 1', 'true', 1);
SELECT * FROM tree;

-- Keys out of line, which are read between two batches.
CREATE TABLE long (id text PRIMARY KEY, v int DEFAULT 0, pad text);
ALTER TABLE long ALTER id SET STORAGE EXTERNAL, ALTER pad SET STORAGE PLAIN;
INSERT INTO long SELECT to_char(i, 'FM0000') || repeat('x', 2300), 0, repeat('y', 1900) FROM generate_series(1, 50) i;
CALL hone.batch_update('long', 'v = v + 1', 'true', 7);
SELECT v, count(*) FROM long GROUP BY v;

-- Privileges, row security and triggers are those of an UPDATE.
GRANT USAGE ON SCHEMA bu TO hone_bu;
SET ROLE hone_bu;
CALL hone.batch_update('bu.p', 'k = 0', 'true');
RESET ROLE;
GRANT SELECT, UPDATE (k) ON p TO hone_bu;
ALTER TABLE p ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON p TO hone_bu USING (id <= 500);
SET ROLE hone_bu;
CALL hone.batch_update('bu.p', 'k = -1', 'true', 50);
\set VERBOSITY terse
CALL hone.batch_update('bu.p', 'v = -1', 'true', 50);
\set VERBOSITY default
CALL hone.batch_update('bu.p_1', 'k = -1', 'true', 50);
RESET ROLE;
SELECT count(*), max(id), max(v) FROM p WHERE k = -1;

-- The SET clause is assignments and nothing else.
CREATE TABLE safe (x int);
CALL hone.batch_update('t', NULL, 'true');
CALL hone.batch_update('t', '', 'true');
CALL hone.batch_update('t', 'v = 1 WHERE true', 'false');
CALL hone.batch_update('t', 'v = 1 FROM safe', 'false');
CALL hone.batch_update('t', 'v = 1 RETURNING id', 'false');
CALL hone.batch_update('t', 'v = 1;', 'false');
CALL hone.batch_update('t', 'v = 1; DROP TABLE safe', 'false');
CALL hone.batch_update('t', 'v = 1 /*', 'false');
CALL hone.batch_update('t', 'v = (1', 'true)');
CALL hone.batch_update('t', 'v = $1', 'false');
CALL hone.batch_update('t', 'v', 'false');
CALL hone.batch_update('t', 'v = 1', '');
CALL hone.batch_update('t', 'v = 1', NULL);
CALL hone.batch_update(NULL, 'v = 1', 'true');
\set VERBOSITY sqlstate
CALL hone.batch_update('t', 'nosuch = 1', 'true');
CALL hone.batch_update('t', 'id = 1', 'true');
CALL hone.batch_update('pg_class', 'relname = ''x''', 'true');
\set VERBOSITY default
BEGIN;
CALL hone.batch_update('t', 'v = 1', 'true');
ROLLBACK;
CALL hone.batch_update('nokey', 'v = 1', 'true', job => 'nokey');
CALL hone.batch_update('t', 'id = -id', 'true', job => 'ids');
CREATE RULE none AS ON UPDATE TO nokey DO INSTEAD NOTHING;
CALL hone.batch_update('nokey', 'v = 1', 'true');
SELECT count(*) FROM safe;

SELECT count(hone.forget_batch_job(job)) FROM hone.batch_progress WHERE job IS NOT NULL;
SET client_min_messages = warning;
DROP SCHEMA bu CASCADE;
DROP ROLE hone_bu;
