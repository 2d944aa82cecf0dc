-- Deleting in batches: exactly the rows that match, once each.
CREATE ROLE hone_bd;
CREATE SCHEMA bd;
SET search_path = bd;
CREATE TABLE t (id int, v int, pad text);
INSERT INTO t SELECT i, i % 10, repeat('x', 100) FROM generate_series(1, 20000) i;
CREATE INDEX ON t (v);
-- Each batch is a transaction: count them.
CREATE TABLE log (xid xid8, n bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log SELECT pg_current_xact_id(), count(*) FROM gone;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER DELETE ON t REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note();

CALL hone.batch_delete('t', 'v = 3', 500);
SELECT count(*), count(*) FILTER (WHERE v = 3) AS left_over FROM t;
SELECT count(*) AS batches, max(n) AS largest, sum(n), count(DISTINCT xid) = count(*) AS own_transactions FROM log;
CALL hone.batch_delete('t', 'v = 3', 500);
CALL hone.batch_delete('t', $$t.v = 4 -- the alias is the table's name$$);
CALL hone.batch_delete('t', 'id IN (SELECT i FROM generate_series(1, 100) i WHERE i % 10 = 5)', rows_deleted => 0);
CALL hone.batch_delete('t', 'NULL');
SELECT count(*) FROM t;

-- Rows that a trigger keeps are visited once and left alone.
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.id % 2 = 0 THEN RETURN NULL; END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER keep BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION keep();
CALL hone.batch_delete('t', 'true', 1000);
SELECT count(*) > 0 AS kept, bool_and(id % 2 = 0) AS even FROM t;
CALL hone.batch_delete('t', 'true', 1000);

-- Partitions: directly where that is the same, through the parent otherwise.
CREATE TABLE p (id int, k int) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (1000);
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM (1000) TO (2000) PARTITION BY HASH (k);
CREATE TABLE p_2a PARTITION OF p_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p_2b PARTITION OF p_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE "p Default" PARTITION OF p DEFAULT;
INSERT INTO p SELECT i, i FROM generate_series(0, 2999) i;
CALL hone.batch_delete('p', 'p.id % 3 = 0', 100);
SELECT count(*), count(*) FILTER (WHERE id % 3 = 0) AS left_over FROM p;
GRANT USAGE ON SCHEMA bd TO hone_bd;
GRANT SELECT, DELETE ON p TO hone_bd;
SET ROLE hone_bd;
CALL hone.batch_delete('bd.p', 'id % 3 = 1', 100);
CALL hone.batch_delete('bd.p_1', 'true');
RESET ROLE;
SELECT count(*), count(*) FILTER (WHERE id % 3 = 1) AS left_over FROM p;

-- Row security of the named table applies.
ALTER TABLE p ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON p TO hone_bd USING (k < 500);
SET ROLE hone_bd;
CALL hone.batch_delete('bd.p', 'true', 50);
RESET ROLE;
SELECT count(*) > 0 AS others_stay, count(*) FILTER (WHERE k < 500) AS left_over FROM p;
CALL hone.batch_delete('p', 'true');
SELECT count(*) FROM p;

-- Inheritance children belong to a table as they do in DELETE.
CREATE TABLE a (x int);
CREATE TABLE b (y int) INHERITS (a);
INSERT INTO a VALUES (1), (2);
INSERT INTO b VALUES (1, 1), (2, 2), (3, 3);
CALL hone.batch_delete('a', 'x <= 2');
SELECT tableoid::regclass, x FROM a;

-- From a procedure; and rows that come while it runs do not keep it running.
CREATE PROCEDURE purge(INOUT n bigint) LANGUAGE plpgsql AS $$
BEGIN
    CALL hone.batch_delete('bd.t', 'true', 10, n);
    INSERT INTO t VALUES (1), (2);
    COMMIT;
    CALL hone.batch_delete('bd.t', 'true', 10, n);
END $$;
CALL purge(0);

-- Rows that are compressed go like any.
CREATE TABLE c (id int, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE c_1 PARTITION OF c FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
INSERT INTO c SELECT i, '2020-01-01' FROM generate_series(1, 2000) i;
CALL hone.move_partition('c_1', 'warm');
INSERT INTO c VALUES (0, '2020-01-01');
CALL hone.batch_delete('c', 'id < 1500', batch_size => 400);
SELECT count(*), min(id) FROM c;
CALL hone.move_partition('c_1', 'hot');
SELECT count(*), min(id) FROM c;
CALL hone.batch_delete('c', 'id >= 0');

SET client_min_messages = warning;
DROP SCHEMA bd CASCADE;
DROP ROLE hone_bd;
