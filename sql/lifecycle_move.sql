-- Moves by hand: there, back, what is due, what fails. The worker is kept out.
ALTER SYSTEM SET hone.worker = off;
SELECT pg_reload_conf();
SET TimeZone = 'UTC';
CREATE SCHEMA lm;
SET search_path = lm;
CREATE TABLE m (ts timestamptz NOT NULL, v int, t text) PARTITION BY RANGE (ts);
CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
CREATE TABLE m_3 PARTITION OF m FOR VALUES FROM ('2020-03-01') TO ('2020-04-01');
CREATE TABLE m_empty PARTITION OF m FOR VALUES FROM ('2020-04-01') TO ('2020-05-01');
CREATE TABLE m_new PARTITION OF m FOR VALUES FROM ('2020-05-01') TO (MAXVALUE);
CREATE TABLE m_default PARTITION OF m DEFAULT;
INSERT INTO m SELECT timestamptz '2020-01-01' + i * interval '6 minutes', i % 100, 'some text that repeats'
FROM generate_series(0, 21000) i;
INSERT INTO m VALUES ('2019-01-01', 1, 'in the default partition');
CREATE INDEX ON m (v);
CREATE TABLE before AS SELECT count(*) AS n, sum(v) AS s, min(ts) AS lo, max(ts) AS hi FROM m;
ANALYZE m;

CALL hone.move_partition('m_1', 'warm');
SELECT partition, tier, rows >= 6960 AS rows, plain_rows IS NOT NULL AS plain, heap_bytes > stored_bytes AS smaller, ratio > 2 AS ratio, next_tier
FROM hone.partitions WHERE parent = 'm'::regclass AND partition IN ('m_1'::regclass, 'm_2'::regclass) ORDER BY 1;
SELECT count(*) AS n, sum(v) AS s, min(ts) AS lo, max(ts) AS hi FROM m EXCEPT TABLE before;

CALL hone.move_partition('m_1', 'hot');
SELECT partition, tier, ratio FROM hone.partitions WHERE partition = 'm_1'::regclass;
SELECT count(*) AS n, sum(v) AS s, min(ts) AS lo, max(ts) AS hi FROM m EXCEPT TABLE before;
SELECT partition, to_tier, by_worker, rows, bytes_before > 0 AS before, bytes_after > 0 AS after,
    duration > interval '0' AS timed, sqlstate, error
FROM hone.tier_log WHERE partition_name LIKE 'lm.%' ORDER BY id;

-- What is due, one failure among it: the others move all the same; an empty
-- partition is looked at again a day later.
ALTER TABLE m_2 ADD CONSTRAINT m_2_exclude EXCLUDE USING gist (tstzrange(ts, ts, '[]') WITH &&);
SELECT hone.add_tier_policy('m', warm_after => interval '1 day');
SET client_min_messages = error;
CALL hone.run_tier_policies();
RESET client_min_messages;
SELECT partition, tier, next_tier, last_error IS NOT NULL AS failed, next_at > now() AS rests
FROM hone.partitions WHERE parent = 'm'::regclass ORDER BY partition::text;
SELECT partition, to_tier, rows > 0 AS rows, sqlstate, error IS NOT NULL AS error
FROM hone.tier_log WHERE partition_name LIKE 'lm.%' ORDER BY id OFFSET 2;
SELECT count(*) AS n, sum(v) AS s, min(ts) AS lo, max(ts) AS hi FROM m EXCEPT TABLE before;

-- Each failure in a row doubles the rest; success ends it.
SET client_min_messages = error;
CALL hone.run_tier_policies();
CALL hone.run_tier_policies();
RESET client_min_messages;
SELECT s.failures, s.retry_at - l.started_at > 3 * current_setting('hone.naptime')::interval AS rests_longer
FROM hone._tier_state s
JOIN (SELECT max(started_at) AS started_at FROM hone._tier_log WHERE partition = 'm_2'::regclass) l ON true
WHERE s.partition = 'm_2'::regclass;
ALTER TABLE m_2 DROP CONSTRAINT m_2_exclude;
CALL hone.run_tier_policies();
SELECT partition, tier, last_error FROM hone.partitions WHERE partition = 'm_2'::regclass;
CALL hone.run_tier_policies();

-- From another procedure it works as well, and leaves the caller going.
DO $$
BEGIN
    CALL hone.move_partition('m_2', 'hot');
    RAISE NOTICE '% rows are hot again', (SELECT count(*) FROM m_2);
END $$;

-- But not where its commits would break a block with an exception handler.
DO $$
BEGIN
    CALL hone.move_partition('m_2', 'warm');
EXCEPTION WHEN OTHERS THEN
    RAISE NOTICE 'refused: %', SQLSTATE;
END $$;

SELECT hone.remove_tier_policy('m');
SET client_min_messages = warning;
DROP SCHEMA lm CASCADE;
ALTER SYSTEM RESET hone.worker;
SELECT pg_reload_conf();
