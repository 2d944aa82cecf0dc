-- What compressed rows do not take yet, and bad input: one clear error each,
-- and nothing is changed.
SET client_min_messages = warning;
\set VERBOSITY default
CREATE TABLE rf (id int, v text);
INSERT INTO rf SELECT i, 'v' || i FROM generate_series(1, 1000) i;
CALL hone.compress('rf');
INSERT INTO rf VALUES (2001, 'plain'), (2002, 'plain');
CREATE VIEW rf_sum AS SELECT count(*), sum(id), min(v), max(v) FROM rf;
TABLE rf_sum;

-- compressed rows
TABLE rf_sum;

ALTER TABLE rf ADD EXCLUDE USING btree (id WITH =);
DELETE FROM rf WHERE id > 2000;
TABLE rf_sum;
CALL hone.compress('rf');
TABLE rf_sum;

-- transaction blocks and functions
BEGIN;
CALL hone.compress('rf');
ROLLBACK;
CREATE FUNCTION rf_f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CALL hone.decompress('rf'); END $$;
SELECT rf_f();
DROP FUNCTION rf_f();
BEGIN;
CALL hone.decompress_all();
ROLLBACK;
DO $$ BEGIN CALL hone.decompress('rf'); EXCEPTION WHEN division_by_zero THEN NULL; END $$;
-- a DO block by itself may
DO $$ BEGIN CALL hone.decompress('rf'); CALL hone.compress('rf'); END $$;
TABLE rf_sum;
SET default_transaction_read_only = on;
CALL hone.compress('rf');
RESET default_transaction_read_only;
SET default_transaction_isolation = 'serializable';
CALL hone.decompress('rf');
CALL hone.compress('rf');
RESET default_transaction_isolation;
TABLE rf_sum;
CALL hone.decompress('rf');
DROP VIEW rf_sum;
DROP TABLE rf;

-- what cannot be compressed
CALL hone.compress('no_such_table');
CALL hone.compress(NULL);
CALL hone.compress(12345678::oid::regclass);
CALL hone.decompress(NULL);
CALL hone.compress('pg_class');
CALL hone.compress('information_schema.sql_features');
CREATE VIEW rf_view AS SELECT 1;
CALL hone.compress('rf_view');
CALL hone.decompress('rf_view');
CREATE MATERIALIZED VIEW rf_mat AS SELECT 1 AS a;
CALL hone.compress('rf_mat');
CREATE SEQUENCE rf_seq;
CALL hone.compress('rf_seq');
CREATE TABLE rf_key (id int PRIMARY KEY);
INSERT INTO rf_key VALUES (1);
CALL hone.compress('rf_key_pkey');
CREATE TABLE rf_ex (r int4range, EXCLUDE USING gist (r WITH &&));
CALL hone.compress('rf_ex');
CREATE TEMP TABLE rf_temp (a int);
CALL hone.compress('rf_temp');
CREATE FOREIGN DATA WRAPPER rf_fdw;
CREATE SERVER rf_server FOREIGN DATA WRAPPER rf_fdw;
CREATE FOREIGN TABLE rf_foreign (a int) SERVER rf_server;
CALL hone.compress('rf_foreign');
CREATE TYPE rf_type AS (a int);
CALL hone.compress('rf_type');
CREATE TABLE rf_toast (a text);
\set VERBOSITY sqlstate
SELECT reltoastrelid::regclass AS toast FROM pg_class WHERE relname = 'rf_toast' \gset
CALL hone.compress(:'toast');
\set VERBOSITY default
CREATE TABLE rf_part (a int) PARTITION BY LIST (a);
CALL hone.compress('rf_part');
CREATE TABLE rf_part_1 PARTITION OF rf_part FOR VALUES IN (1);
CREATE TABLE rf_part_2 PARTITION OF rf_part FOR VALUES IN (2);
ALTER TABLE rf_part_2 ADD EXCLUDE USING btree (a WITH =);
CALL hone.compress('rf_part');
CREATE ROLE rf_role;
GRANT ALL ON rf_part_1 TO rf_role;
SET ROLE rf_role;
CALL hone.compress('rf_part_1');
CALL hone.decompress('rf_part_1');
RESET ROLE;
SELECT relname, amname FROM pg_class c JOIN pg_am a ON a.oid = relam WHERE relname LIKE 'rf%' AND relkind IN ('r', 'm') AND amname <> 'heap';
DROP OWNED BY rf_role;
DROP ROLE rf_role;
DROP TABLE rf_part, rf_toast, rf_temp, rf_ex, rf_key;
DROP FOREIGN TABLE rf_foreign;
DROP FOREIGN DATA WRAPPER rf_fdw CASCADE;
DROP VIEW rf_view;
DROP MATERIALIZED VIEW rf_mat;
DROP SEQUENCE rf_seq;
DROP TYPE rf_type;

-- nobody loses rows to an uninstall
CREATE TABLE rf_un (a int);
INSERT INTO rf_un VALUES (1);
CALL hone.compress('rf_un');
DROP EXTENSION pg_hone;
DROP EXTENSION pg_hone CASCADE;
DROP EXTENSION IF EXISTS pg_hone CASCADE;
DROP ACCESS METHOD tiered CASCADE;
DROP SCHEMA hone CASCADE;
DROP FUNCTION hone._tiered_handler(internal) CASCADE;
DROP OWNED BY CURRENT_USER CASCADE;
DROP EVENT TRIGGER pg_hone_guard;
TABLE rf_un;
DROP TABLE rf_un;
