-- Compressing again: late rows are folded, dead rows leave their batches,
-- small batches that lie next to each other become one.
SET client_min_messages = warning;
CREATE TABLE re (id int, at timestamptz, v text);
INSERT INTO re SELECT i, timestamptz '2024-01-01 00:00Z' + i * interval '1 second', 'v' || i % 50 FROM generate_series(1, 25000) i;
CREATE INDEX re_at ON re (at);
-- what the table must hold: the same changes on an ordinary one
CREATE TABLE re_heap AS SELECT * FROM re;
CREATE VIEW re_batches AS SELECT batches, compressed_rows, dead_rows, plain_rows FROM hone.tiered_stats('re');
CREATE VIEW re_differs AS
    (SELECT * FROM re EXCEPT ALL SELECT * FROM re_heap) UNION ALL (SELECT * FROM re_heap EXCEPT ALL SELECT * FROM re);
CALL hone.compress('re');
TABLE re_batches;
TABLE re_differs;

-- nothing to do
CALL hone.compress('re');
TABLE re_batches;

-- late rows: folded into a batch of their own; a second one joins the first
INSERT INTO re SELECT i, timestamptz '2024-02-01 00:00Z' + i * interval '1 second', 'late' FROM generate_series(1, 300) i;
INSERT INTO re_heap SELECT i, timestamptz '2024-02-01 00:00Z' + i * interval '1 second', 'late' FROM generate_series(1, 300) i;
CALL hone.compress('re');
TABLE re_batches;
INSERT INTO re SELECT i, timestamptz '2024-03-01 00:00Z' + i * interval '1 second', 'later' FROM generate_series(1, 300) i;
INSERT INTO re_heap SELECT i, timestamptz '2024-03-01 00:00Z' + i * interval '1 second', 'later' FROM generate_series(1, 300) i;
CALL hone.compress('re');
TABLE re_batches;
TABLE re_differs;

-- dead rows: the batches concerned are written anew without them
DELETE FROM re WHERE id % 7 = 0 AND at < '2024-01-01 01:00Z';
DELETE FROM re_heap WHERE id % 7 = 0 AND at < '2024-01-01 01:00Z';
UPDATE re SET v = 'updated' WHERE id BETWEEN 24000 AND 24099;
UPDATE re_heap SET v = 'updated' WHERE id BETWEEN 24000 AND 24099;
SELECT id, v FROM re WHERE id = 100 ORDER BY at FOR UPDATE;
TABLE re_batches;
CALL hone.compress('re');
TABLE re_batches;
TABLE re_differs;
SELECT count(*) FROM re WHERE v = 'updated';

-- a batch without a row that is alive goes; the last one too
DELETE FROM re WHERE at < '2024-01-01 02:00Z';
DELETE FROM re_heap WHERE at < '2024-01-01 02:00Z';
CALL hone.compress('re');
TABLE re_batches;
TABLE re_differs;
DELETE FROM re;
TABLE re_batches;
CALL hone.compress('re');
TABLE re_batches;
SELECT count(*) FROM re;
TRUNCATE re_heap;
INSERT INTO re SELECT i, '2024-01-01', 'again' FROM generate_series(1, 100) i;
INSERT INTO re_heap SELECT i, '2024-01-01', 'again' FROM generate_series(1, 100) i;
CALL hone.compress('re');
TABLE re_batches;
TABLE re_differs;

-- rows that were updated and deleted over and over
UPDATE re SET id = id + 1;
UPDATE re SET id = id + 1 WHERE id < 50;
CALL hone.compress('re');
DELETE FROM re WHERE id % 2 = 0;
UPDATE re SET v = v || '!' WHERE id > 20;
CALL hone.compress('re');
TABLE re_batches;
SELECT count(*), sum(id), count(*) FILTER (WHERE v = 'again!') FROM re;

-- columns that came and went
DROP VIEW re_differs;
ALTER TABLE re ADD COLUMN n int DEFAULT 7, DROP COLUMN v;
DELETE FROM re WHERE id < 30;
CALL hone.compress('re');
SELECT count(*), sum(id), sum(n) FROM re;
TABLE re_batches;

-- room is given back: the table is not larger than one compressed at once
CREATE TABLE re_room (id int, at timestamptz, v text);
INSERT INTO re_room SELECT i, timestamptz '2024-01-01 00:00Z' + i * interval '1 second', md5(i::text) FROM generate_series(1, 30000) i;
CREATE TABLE re_room_once (LIKE re_room);
INSERT INTO re_room_once SELECT * FROM re_room;
CREATE INDEX ON re_room (id);
CREATE INDEX ON re_room_once (id);
CALL hone.compress('re_room');
CALL hone.compress('re_room_once');
UPDATE re_room SET v = md5(v);
UPDATE re_room SET v = md5(v) WHERE id % 3 = 0;
CALL hone.compress('re_room');
SELECT pg_total_relation_size('re_room') < 1.3 * pg_total_relation_size('re_room_once') AS room_is_back;
SELECT batches BETWEEN 3 AND 6 AS few_batches, compressed_rows, dead_rows FROM hone.tiered_stats('re_room');

-- dead rows are not counted as rows
DELETE FROM re_room WHERE id <= 15000;
VACUUM re_room;
SELECT reltuples BETWEEN 14000 AND 16000 AS counted FROM pg_class WHERE relname = 're_room';
ANALYZE re_room;
SELECT reltuples BETWEEN 14000 AND 16000 AS counted FROM pg_class WHERE relname = 're_room';
CREATE FUNCTION pg_temp.estimate(query text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE j json;
BEGIN
    EXECUTE 'EXPLAIN (FORMAT json) ' || query INTO j;
    RETURN j->0->'Plan'->>'Plan Rows';
END $$;
SELECT pg_temp.estimate('SELECT * FROM re_room') BETWEEN 12000 AND 50000 AS estimated;

-- unique keys hold after it
CREATE TABLE re_key (id int PRIMARY KEY, v text);
INSERT INTO re_key SELECT i, 'v' FROM generate_series(1, 12000) i;
CALL hone.compress('re_key');
UPDATE re_key SET v = 'w' WHERE id % 10 = 0;
DELETE FROM re_key WHERE id % 10 = 1;
CALL hone.compress('re_key');
INSERT INTO re_key VALUES (10, 'x');
INSERT INTO re_key VALUES (11, 'x');
INSERT INTO re_key VALUES (12, 'x') ON CONFLICT (id) DO UPDATE SET v = 'conflict';
SELECT count(*), sum(id), count(*) FILTER (WHERE v = 'w'), max(v) FROM re_key;
CALL hone.compress('re_key');
SELECT count(*), sum(id), count(*) FILTER (WHERE v = 'w'), count(*) FILTER (WHERE v = 'conflict') FROM re_key;
SELECT batches, compressed_rows, dead_rows, plain_rows FROM hone.tiered_stats('re_key');
CALL hone.decompress('re_key');
SELECT count(*), sum(id) FROM re_key;

DROP VIEW re_batches;
DROP TABLE re, re_heap, re_room, re_room_once, re_key;
