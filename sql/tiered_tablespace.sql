-- To another tablespace and back: everything as it was, also the indexes, with
-- each kind of row. (What others do meanwhile: test/shell/tablespace.sh.)
SET client_min_messages = warning;
SET allow_in_place_tablespaces = true;
CREATE TABLESPACE ts_cold LOCATION '';
CREATE SCHEMA ts;
SET search_path = ts;

-- where it is, with its TOAST table and all indexes
CREATE FUNCTION place(t regclass) RETURNS TABLE (kind "char", tablespace name, n bigint) LANGUAGE sql AS $$
    WITH heaps AS (SELECT oid FROM pg_class WHERE oid = t OR oid = (SELECT reltoastrelid FROM pg_class WHERE oid = t)),
        parts AS (TABLE heaps UNION SELECT indexrelid FROM pg_index JOIN heaps ON indrelid = oid)
    SELECT relkind, coalesce(spcname, 'default'), count(*)
    FROM parts JOIN pg_class c USING (oid) LEFT JOIN pg_tablespace s ON s.oid = reltablespace GROUP BY 1, 2 ORDER BY 1, 2 $$;
-- that its files are there, and nowhere else
CREATE FUNCTION files(t regclass) RETURNS text LANGUAGE sql AS $$
    SELECT split_part(pg_relation_filepath(t), '/', 1) || ' ' || (pg_stat_file(pg_relation_filepath(t))).size / pg_relation_size(t) $$;

CREATE TABLE h (gone text, id int PRIMARY KEY, at timestamptz, n int, long text, tags int[], late int);
INSERT INTO h SELECT 'x', i, timestamptz '2024-01-01 00:00Z' + i * interval '1 minute', i % 100,
    CASE WHEN i % 50 = 0 THEN (SELECT string_agg(md5((i * j)::text), '') FROM generate_series(1, 100) j) END, ARRAY[i % 7, i % 11]
FROM generate_series(1, 6000) i;
ALTER TABLE h DROP COLUMN gone;
ALTER TABLE h ADD COLUMN added int DEFAULT 42;
CREATE INDEX h_tags ON h USING gin (tags);
CREATE INDEX h_brin ON h USING brin (at) WITH (pages_per_range = 4);
CREATE INDEX h_hash ON h USING hash (n);
CREATE INDEX h_gist ON h USING gist (tstzrange(at, at, '[]'));
CREATE INDEX h_spgist ON h USING spgist (long) WHERE long IS NOT NULL;
CREATE TABLE p (gone text, id int NOT NULL, at timestamptz NOT NULL, n int, long text, tags int[], late int) PARTITION BY RANGE (at);
ALTER TABLE p DROP COLUMN gone;
ALTER TABLE p ADD COLUMN added int DEFAULT 42;
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM ('2023-12-31') TO ('2024-12-31');
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM ('2024-12-31') TO ('2025-12-31');
CREATE UNIQUE INDEX ON p (id, at);
CREATE INDEX ON p (n);
CREATE INDEX ON p USING gin (tags);
INSERT INTO p SELECT * FROM h;

-- p1 has batches, tombstones, locked rows, plain rows and dead plain rows
CALL hone.compress('p1');
UPDATE p SET n = -1, long = repeat('changed', 3000) WHERE id % 500 = 3;
DELETE FROM p WHERE id % 700 = 4;
INSERT INTO p SELECT i, timestamptz '2024-06-01 00:00Z', i, 'plain', '{1}', NULL, 43 FROM generate_series(10001, 10300) i;
DELETE FROM p WHERE id > 10200;
SELECT count(*) FROM (SELECT FROM p WHERE id = 77 FOR SHARE) x;
UPDATE h SET n = n + 1 WHERE id % 10 = 1;
DELETE FROM h WHERE id % 100 = 99;
VACUUM (FREEZE) h;
DELETE FROM h WHERE id BETWEEN 1000 AND 1050;
CREATE TABLE h_before AS SELECT * FROM h;
CREATE TABLE p_before AS SELECT * FROM p;
CREATE VIEW h_differs AS (TABLE h EXCEPT ALL TABLE h_before) UNION ALL (TABLE h_before EXCEPT ALL TABLE h);
CREATE VIEW p_differs AS (TABLE p EXCEPT ALL TABLE p_before) UNION ALL (TABLE p_before EXCEPT ALL TABLE p);
CREATE TABLE stats_before AS SELECT * FROM hone.tiered_stats('p1');

-- each index, forced
CREATE FUNCTION by_index(OUT kind text, OUT equal bool) RETURNS SETOF record LANGUAGE plpgsql
SET enable_seqscan = off SET max_parallel_workers_per_gather = 0 AS $$
DECLARE
    c record;
    plan text;
    line text;
    n1 bigint;
    n2 bigint;
BEGIN
    FOR c IN VALUES ('btree', 'h_pkey', 'id BETWEEN 100 AND 3000'), ('gin', 'h_tags', 'tags @> ''{3}'''),
        ('brin', 'h_brin', 'at < ''2024-01-02'''), ('hash', 'h_hash', 'n = 17'),
        ('gist', 'h_gist', 'tstzrange(at, at, ''[]'') && ''[2024-01-02, 2024-01-03)'''),
        ('spgist', 'h_spgist', 'long ^@ ''1''')
    LOOP
        plan := '';
        FOR line IN EXECUTE 'EXPLAIN (COSTS off) SELECT count(*) FROM ts.h WHERE ' || c.column3
        LOOP plan := plan || line; END LOOP;
        EXECUTE 'SELECT count(*) FROM ts.h WHERE ' || c.column3 INTO n1;
        EXECUTE 'SELECT count(*) FROM ts.h_before WHERE ' || c.column3 INTO n2;
        kind := c.column1 || CASE WHEN plan LIKE '%' || c.column2 || '%' THEN '' ELSE ' is not used: ' || plan END;
        equal := n1 = n2 AND n1 > 0;
        RETURN NEXT;
    END LOOP;
END $$;
CREATE FUNCTION heap_fetches() RETURNS int LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
    line text;
BEGIN
    FOR line IN EXPLAIN (COSTS off, ANALYZE, TIMING off) SELECT id FROM ts.h WHERE id < 3000 LOOP
        IF line LIKE '%Heap Fetches%' THEN RETURN substring(line FROM '\d+'); END IF;
    END LOOP;
    RETURN -1;
END $$;
SELECT * FROM by_index();

SELECT heap_fetches() AS fetches \gset
SELECT relfilenode AS old_file FROM pg_class WHERE oid = 'h'::regclass \gset
CALL hone._set_tablespace('h', 'ts_cold');
SELECT * FROM place('h');
SELECT files('h'), files('h_pkey'), files('h_brin');
SELECT relfilenode <> :old_file AS moved, pg_relation_filenode('h') = relfilenode AS here FROM pg_class WHERE oid = 'h'::regclass;
TABLE h_differs;
SELECT * FROM by_index();
-- the visibility map came along
SELECT heap_fetches() = :fetches AS all_visible;
SELECT pg_relation_size('h', 'vm') > 0 AS vm, pg_relation_size('h', 'fsm') > 0 AS fsm;

CALL hone._set_tablespace('p1', 'ts_cold');
SELECT * FROM place('p1');
SELECT * FROM place('p2');
TABLE p_differs;
(SELECT * FROM hone.tiered_stats('p1')) EXCEPT TABLE stats_before;
SELECT count(*), min(id), max(id) FROM p WHERE id BETWEEN 1000 AND 1010;
SET enable_seqscan = off;
SELECT count(*), sum(length(long)) FROM p WHERE n = -1;
SELECT count(*) FROM p WHERE tags @> '{1}' AND added = 43;
RESET enable_seqscan;

-- there it lives on
INSERT INTO p SELECT i, timestamptz '2024-07-01 00:00Z', i, 'later', '{1}', NULL, 44 FROM generate_series(20001, 20100) i;
INSERT INTO p_before SELECT i, timestamptz '2024-07-01 00:00Z', i, 'later', '{1}', NULL, 44 FROM generate_series(20001, 20100) i;
INSERT INTO p SELECT id, at FROM p WHERE id = 1000;
UPDATE p SET n = -2 WHERE id BETWEEN 30 AND 40;
UPDATE p_before SET n = -2 WHERE id BETWEEN 30 AND 40;
DELETE FROM p WHERE id BETWEEN 50 AND 60;
DELETE FROM p_before WHERE id BETWEEN 50 AND 60;
CALL hone.compress('p1');
TABLE p_differs;
SELECT * FROM place('p1');
VACUUM p1, h;
TABLE p_differs;
TABLE h_differs;

-- nothing to do; only an index is elsewhere; back, to the database's own
CALL hone._set_tablespace('p1', 'ts_cold');
ALTER INDEX h_hash SET TABLESPACE pg_default;
SELECT * FROM place('h');
CALL hone._set_tablespace('h', 'ts_cold');
SELECT * FROM place('h');
CALL hone._set_tablespace('h', 'pg_default');
CALL hone._set_tablespace('p1', 'pg_default');
SELECT * FROM place('h');
SELECT * FROM place('p1');
TABLE h_differs;
TABLE p_differs;
SELECT * FROM by_index();
CALL hone.decompress('p1');
TABLE p_differs;

-- a session that has it open as a prepared statement, and an empty table
PREPARE q AS SELECT count(*) FROM h WHERE id < 1000;
EXECUTE q;
CALL hone._set_tablespace('h', 'ts_cold');
EXECUTE q;
CREATE TABLE empty (a int, b text);
CALL hone._set_tablespace('empty', 'ts_cold');
SELECT * FROM place('empty');
INSERT INTO empty VALUES (1, repeat('b', 100000));
SELECT a, length(b) FROM empty;

-- an unlogged table goes the plain way
CREATE UNLOGGED TABLE u (id int PRIMARY KEY, long text);
INSERT INTO u SELECT i, repeat(md5(i::text), 200) FROM generate_series(1, 500) i;
CREATE TABLE u_before AS SELECT * FROM u;
CALL hone._set_tablespace('u', 'ts_cold');
SELECT * FROM place('u');
(TABLE u EXCEPT ALL TABLE u_before) UNION ALL (TABLE u_before EXCEPT ALL TABLE u);
SELECT pg_relation_size('u', 'init') = 0 AS init;

-- what is refused, by name of the error
\set VERBOSITY sqlstate
CALL hone._set_tablespace('h', 'no_such_tablespace');
CALL hone._set_tablespace('h', 'pg_global');
CALL hone._set_tablespace('h', NULL);
CALL hone._set_tablespace(NULL, 'ts_cold');
CALL hone._set_tablespace(1::regclass, 'ts_cold');
\set VERBOSITY default
CALL hone._set_tablespace('pg_catalog.pg_statistic', 'ts_cold');
CALL hone._set_tablespace('pg_catalog.pg_class', 'ts_cold');
CALL hone._set_tablespace('p', 'ts_cold');
CALL hone._set_tablespace('h_differs', 'ts_cold');
CALL hone._set_tablespace('h_pkey', 'ts_cold');
CREATE TEMP TABLE passing (a int);
CALL hone._set_tablespace('passing', 'ts_cold');
CREATE FOREIGN DATA WRAPPER ts_wrapper;
CREATE SERVER ts_server FOREIGN DATA WRAPPER ts_wrapper;
CREATE FOREIGN TABLE abroad (a int) SERVER ts_server;
CALL hone._set_tablespace('abroad', 'ts_cold');
BEGIN;
CALL hone._set_tablespace('h', 'pg_default');
ROLLBACK;
SET default_transaction_read_only = on;
CALL hone._set_tablespace('h', 'pg_default');
RESET default_transaction_read_only;
CREATE ROLE ts_role;
GRANT USAGE, CREATE ON SCHEMA ts TO ts_role;
SET ROLE ts_role;
CREATE TABLE mine (a int PRIMARY KEY);
CALL hone._set_tablespace('mine', 'ts_cold');
RESET ROLE;
GRANT EXECUTE ON PROCEDURE hone._set_tablespace TO ts_role;
SET ROLE ts_role;
CALL hone._set_tablespace('mine', 'ts_cold');
CALL hone._set_tablespace('h', 'pg_default');
RESET ROLE;
GRANT CREATE ON TABLESPACE ts_cold TO ts_role;
SET ROLE ts_role;
CALL hone._set_tablespace('mine', 'ts_cold');
SELECT * FROM place('mine');
-- to the database's own as anybody may
CALL hone._set_tablespace('mine', 'pg_default');
SELECT * FROM place('mine');
RESET ROLE;

REVOKE EXECUTE ON PROCEDURE hone._set_tablespace FROM ts_role;
REVOKE CREATE ON TABLESPACE ts_cold FROM ts_role;
DROP SERVER ts_server CASCADE;
DROP FOREIGN DATA WRAPPER ts_wrapper;
DROP SCHEMA ts CASCADE;
DROP TABLESPACE ts_cold;
DROP ROLE ts_role;
