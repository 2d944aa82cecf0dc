-- Each refusal has its SQLSTATE, and a hint where it is ours; nothing is deleted.
\set VERBOSITY default
CREATE ROLE hone_bb;
CREATE SCHEMA bb;
GRANT USAGE ON SCHEMA bb TO hone_bb;
SET search_path = bb;
CREATE TABLE t (id int, v int);
INSERT INTO t SELECT i, i FROM generate_series(1, 10) i;
CREATE TABLE safe (x int);
CREATE VIEW v AS SELECT * FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT * FROM t;
CREATE SEQUENCE seq;
CREATE INDEX t_id ON t (id);
CREATE FOREIGN DATA WRAPPER hone_bb_fdw;
CREATE SERVER hone_bb_server FOREIGN DATA WRAPPER hone_bb_fdw;
CREATE FOREIGN TABLE f (id int) SERVER hone_bb_server;
CREATE TABLE p (id int) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE FOREIGN TABLE p_f PARTITION OF p FOR VALUES FROM (10) TO (20) SERVER hone_bb_server;

CALL hone.batch_delete('nosuch', 'true');
CALL hone.batch_delete(NULL, 'true');
CALL hone.batch_delete('v', 'true');
CALL hone.batch_delete('mv', 'true');
CALL hone.batch_delete('seq', 'true');
CALL hone.batch_delete('t_id', 'true');
CALL hone.batch_delete('f', 'true');
CALL hone.batch_delete('p', 'true');
CALL hone.batch_delete('pg_class', 'true');

CALL hone.batch_delete('t', NULL);
CALL hone.batch_delete('t', '');
CALL hone.batch_delete('t', E' \n\t');
CALL hone.batch_delete('t', 'true', 0);
CALL hone.batch_delete('t', 'true', -1);
CALL hone.batch_delete('t', 'true', NULL);
CALL hone.batch_delete('t', 'true', 1000001);

-- One expression, and nothing else.
CALL hone.batch_delete('t', 'false; DROP TABLE safe');
CALL hone.batch_delete('t', 'false) OR (true');
CALL hone.batch_delete('t', 'false) --');
CALL hone.batch_delete('t', 'false /*');
CALL hone.batch_delete('t', 'false FROM safe');
CALL hone.batch_delete('t', 'false WHERE true');
CALL hone.batch_delete('t', 'false ORDER BY 1');
CALL hone.batch_delete('t', 'false LIMIT 1');
CALL hone.batch_delete('t', 'false FOR UPDATE');
CALL hone.batch_delete('t', 'false UNION SELECT true');
CALL hone.batch_delete('t', 'false AS x');
CALL hone.batch_delete('t', 'false, true');
CALL hone.batch_delete('t', 'id = $1');
CALL hone.batch_delete('t', 'id IN (SELECT $1)');

-- Not a condition over this table.
\set VERBOSITY sqlstate
CALL hone.batch_delete('t', 'id');
CALL hone.batch_delete('t', 'nosuch = 1');
CALL hone.batch_delete('t', '*');
CALL hone.batch_delete('t', 'count(*) > 1');
\set VERBOSITY default

-- A rule that replaces DELETE.
CREATE TABLE ruled AS SELECT 1 AS i;
CREATE RULE none AS ON DELETE TO ruled DO INSTEAD NOTHING;
CALL hone.batch_delete('ruled', 'true');

-- Transactions and privileges.
BEGIN;
CALL hone.batch_delete('t', 'true');
ROLLBACK;
DO $$
DECLARE n bigint;
BEGIN
    CALL hone.batch_delete('bb.t', 'true', 10, n);
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE '%', SQLSTATE;
END $$;
SET ROLE hone_bb;
CALL hone.batch_delete('bb.t', 'true');
RESET ROLE;
GRANT SELECT ON t TO hone_bb;
SET ROLE hone_bb;
CALL hone.batch_delete('bb.t', 'true');
RESET ROLE;

SELECT count(*) AS untouched FROM t;
SELECT count(*) FROM safe;
SET client_min_messages = warning;
DROP SCHEMA bb CASCADE;
DROP FOREIGN DATA WRAPPER hone_bb_fdw CASCADE;
DROP ROLE hone_bb;
