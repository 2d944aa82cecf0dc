-- Moving in batches: each row is in exactly one of the tables.
CREATE ROLE hone_bm;
CREATE SCHEMA bm;
SET search_path = bm;
CREATE TABLE s (gone int, id int PRIMARY KEY, day date NOT NULL, note text, twice int GENERATED ALWAYS AS (id * 2) STORED);
ALTER TABLE s DROP COLUMN gone;
INSERT INTO s SELECT i, date '2024-01-01' + i % 90, 'note ' || i FROM generate_series(1, 9000) i;
-- Another order of columns, an identity, generated and further ones.
CREATE TABLE p (extra int DEFAULT 7, "Twice" int, note text, twice int GENERATED ALWAYS AS (id * 2) STORED,
    id bigint GENERATED ALWAYS AS IDENTITY, day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') USING tiered;
CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM ('2024-02-01') TO ('2024-03-01');
CREATE TABLE p_3 PARTITION OF p FOR VALUES FROM ('2024-03-01') TO ('2024-03-15');

-- Each batch moves what it moves at once.
CREATE TABLE log (xid xid8 DEFAULT pg_current_xact_id(), went bigint, came bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO log (went, came) SELECT CASE WHEN TG_OP = 'DELETE' THEN count(*) END, CASE WHEN TG_OP = 'INSERT' THEN count(*) END FROM moved;
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER DELETE ON s REFERENCING OLD TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT ON p REFERENCING NEW TABLE AS moved FOR EACH STATEMENT EXECUTE FUNCTION note();
CALL hone.batch_move('s', 'p', $$s.day < '2024-03-15' AND id % 2 = 0$$, 700);
SELECT tableoid::regclass, count(*), min(id), max(id), bool_and(twice = 2 * id AND note = 'note ' || id AND extra = 7) AS same FROM p GROUP BY 1 ORDER BY 1;
SELECT count(*), count(*) FILTER (WHERE id % 2 = 0 AND day < '2024-03-15') AS left_over FROM s;
SELECT count(*) AS batches, bool_and(went = came) AS whole, max(went) AS largest, sum(went) FROM (SELECT sum(went) AS went, sum(came) AS came FROM log GROUP BY xid) x;
-- A row that finds no place there stays here, with its batch.
CALL hone.batch_move('s', 'p', 'true', 700, on_error => 'skip', job => 'all');
SELECT job, relation, sqlstate, error FROM hone.batch_errors ORDER BY at LIMIT 1;
SELECT errors > 0 AS has_errors, rows_done + (SELECT count(*) FROM s) AS rows, state FROM hone.batch_progress WHERE job = 'all';
SELECT hone.forget_batch_job('all');
SELECT count(*) FROM hone.batch_errors;
SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM s UNION ALL SELECT id FROM p) AS tables;

-- And back, of compressed rows too.
SET client_min_messages = warning;
CALL hone.compress('p');
RESET client_min_messages;
CREATE TABLE back (id bigint, day date, note text, extra int, "Twice" int, twice int);
CALL hone.batch_move('p', 'back', 'true', 'auto');
SELECT (SELECT count(*) FROM p), (SELECT count(*) FROM s) + count(*) AS total, bool_and(twice = 2 * id) AS generated FROM back;

-- A target that takes only some rows would lose the others.
CREATE TABLE picky (id int, day date, note text, twice int);
CREATE FUNCTION pick() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.id % 2 = 0 THEN RETURN NULL; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER pick BEFORE INSERT ON picky FOR EACH ROW EXECUTE FUNCTION pick();
\set VERBOSITY terse
CALL hone.batch_move('s', 'picky', 'true', 10000);
\set VERBOSITY default
SELECT count(*) FROM picky;
CALL hone.batch_move('s', 'picky', 'id % 2 = 1');
SELECT count(*) FROM picky;

-- Refused before anything is moved.
CREATE TABLE few (id int, note varchar(3), twice int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE narrow (id smallint, day text, note text, twice int);
CREATE TABLE counted (id int GENERATED ALWAYS AS (twice / 2) STORED, day date, note text, twice int);
CREATE TABLE clipped (id numeric, day timestamp, note varchar(10), twice bigint);
CREATE VIEW v AS SELECT * FROM s;
CALL hone.batch_move('s', 'few', 'true');
CALL hone.batch_move('s', 'narrow', 'true');
CALL hone.batch_move('s', 'counted', 'true');
CALL hone.batch_move('s', 'clipped', 'true');
CALL hone.batch_move('s', 's', 'true');
CALL hone.batch_move('p_2', 'p', 'true');
CALL hone.batch_move('p', 'p_2', 'true');
CALL hone.batch_move('s', 'v', 'true');
CALL hone.batch_move('v', 's', 'true');
CALL hone.batch_move(NULL, 's', 'true');
CALL hone.batch_move('s', NULL, 'true');
CALL hone.batch_move('s', 'back', NULL);
CALL hone.batch_move('s', 'back', 'true; DROP TABLE s');
CREATE TABLE child (id int REFERENCES s ON DELETE CASCADE);
CALL hone.batch_move('s', 'back', 'true');
DROP TABLE child;
-- a key to a part, and a child's own column
ALTER TABLE p_3 ADD UNIQUE (id, day);
CREATE TABLE child (id bigint, day date, FOREIGN KEY (id, day) REFERENCES p_3 (id, day) ON DELETE CASCADE);
CALL hone.batch_move('p', 'back', 'true');
DROP TABLE child;
CREATE TABLE parent (id int);
CREATE TABLE son (id int, own int);
ALTER TABLE son INHERIT parent;
CREATE TABLE elsewhere (id int);
CALL hone.batch_move('parent', 'elsewhere', 'true');
-- the same behind a domain, in an array; a name becomes a number
CREATE DOMAIN cents AS numeric(10, 2);
CREATE DOMAIN real_numbers AS float8;
CREATE TABLE exact (a numeric, b numeric[], c int, d int, e int[], f numeric(10, 2));
CREATE TABLE inexact (a cents, b float8[], c oid, d real_numbers, e bigint[], f cents);
CALL hone.batch_move('exact', 'inexact', 'true');
BEGIN;
CALL hone.batch_move('s', 'back', 'true');
ROLLBACK;

-- With the privileges of the caller on both.
GRANT USAGE ON SCHEMA bm TO hone_bm;
GRANT SELECT, DELETE ON s TO hone_bm;
SET ROLE hone_bm;
\set VERBOSITY terse
CALL hone.batch_move('bm.s', 'bm.back', 'id < 100');
\set VERBOSITY default
RESET ROLE;
GRANT INSERT ON back, log TO hone_bm;
ALTER TABLE s ENABLE ROW LEVEL SECURITY;
CREATE POLICY few ON s TO hone_bm USING (id < 1000);
SELECT count(*) AS few FROM s WHERE id < 1000 \gset
SET ROLE hone_bm;
\set VERBOSITY terse
CALL hone.batch_move('bm.s', 'bm.back', 'true', 50, dry_run => true, rows_moved => 0) \gset
\set VERBOSITY default
SELECT :rows_moved = :few AS only_those;
CALL hone.batch_move('bm.s', 'bm.back', 'true', 50) \gset
SELECT :rows_moved = :few AS only_those;
CALL hone.batch_move('bm.s', 'bm.back', 'true', skip_locked => true);
RESET ROLE;
SELECT min(id) >= 1000 AS others_stay FROM s;

SET client_min_messages = warning;
DROP SCHEMA bm CASCADE;
DROP ROLE hone_bm;
