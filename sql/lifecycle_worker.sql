-- The launcher and the workers, left alone.
SELECT count(*) AS launchers FROM pg_stat_activity WHERE backend_type = 'pg_hone launcher';
SELECT datname FROM pg_stat_activity WHERE backend_type = 'pg_hone launcher';
CREATE SCHEMA lw;
SET search_path = lw;
CREATE TABLE m (ts timestamptz NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
CREATE TABLE m_3 PARTITION OF m FOR VALUES FROM ('2020-03-01') TO ('2020-04-01');
CREATE TABLE m_new PARTITION OF m FOR VALUES FROM ('2020-04-01') TO (MAXVALUE);
INSERT INTO m SELECT timestamptz '2020-01-01' + i * interval '10 minutes', i FROM generate_series(0, 13200) i;
ALTER TABLE m_2 ADD CONSTRAINT m_2_exclude EXCLUDE USING gist (tstzrange(ts, ts, '[]') WITH &&);

-- Waits until the condition holds; at most 30 seconds.
CREATE PROCEDURE wait_for(condition text) LANGUAGE plpgsql AS $$
DECLARE ok boolean;
BEGIN
    FOR i IN 1..300 LOOP
        EXECUTE 'SELECT ' || condition INTO ok;
        EXIT WHEN ok;
        COMMIT;
        PERFORM pg_sleep(0.1);
    END LOOP;
    RAISE NOTICE '%: %', condition, ok;
END $$;

SELECT hone.add_tier_policy('m', warm_after => interval '1 day');
ALTER SYSTEM SET hone.naptime = '1s';
SELECT pg_reload_conf();
CALL wait_for($$(SELECT count(*) = 2 FROM hone.partitions WHERE parent = 'lw.m'::regclass AND tier = 'warm')$$);
CALL wait_for($$(SELECT count(*) = 2 FROM hone.tier_log WHERE partition_name ~ '^lw.m_[13]' AND rows > 0)$$);
CALL wait_for($$(SELECT last_error IS NOT NULL FROM hone.partitions WHERE partition = 'lw.m_2'::regclass)$$);
SELECT partition, tier, rows > 0 AS rows, last_error IS NOT NULL AS failed
FROM hone.partitions WHERE parent = 'm'::regclass AND partition <> 'm_new'::regclass ORDER BY partition::text;
SELECT partition, to_tier, by_worker, bool_or(rows > 0) AS moved, bool_and(error IS NULL) AS well
FROM hone.tier_log WHERE partition_name LIKE 'lw.%' GROUP BY 1, 2, 3 ORDER BY partition::text;
SELECT count(*), sum(v) FROM m;

-- Once the cause is gone the partition moves on its own.
ALTER TABLE m_2 DROP CONSTRAINT m_2_exclude;
CALL wait_for($$(SELECT tier = 'warm' AND last_error IS NULL FROM hone.partitions WHERE partition = 'lw.m_2'::regclass)$$);
SELECT tier, last_error FROM hone.partitions WHERE partition = 'm_2'::regclass;

-- Reads of a partition are noticed.
CALL wait_for($$(SELECT scans IS NOT NULL FROM hone._tier_state WHERE partition = 'lw.m_new'::regclass)$$);
SELECT count(*) FROM m_new;
SELECT pg_stat_force_next_flush();
CALL wait_for($$(SELECT last_read > now() - interval '1 minute' FROM hone.partitions WHERE partition = 'lw.m_new'::regclass)$$);

-- The kill switch.
ALTER SYSTEM SET hone.worker = off;
SELECT pg_reload_conf();
CALL wait_for($$NOT EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'pg_hone worker')$$);
INSERT INTO m SELECT timestamptz '2020-01-01' + i * interval '10 minutes', i FROM generate_series(0, 10) i;
CREATE TABLE m_0 PARTITION OF m FOR VALUES FROM ('2019-12-01') TO ('2020-01-01');
INSERT INTO m VALUES ('2019-12-02', 1);
SELECT pg_sleep(1.2);
SELECT tier, next_at < now() AS overdue FROM hone.partitions WHERE partition = 'm_0'::regclass;
ALTER SYSTEM RESET hone.worker;
SELECT pg_reload_conf();
CALL wait_for($$(SELECT tier = 'warm' FROM hone.partitions WHERE partition = 'lw.m_0'::regclass)$$);

-- Databases come and go with the worker about.
CREATE DATABASE hone_lw_other;
SELECT pg_sleep(1.2);
CREATE DATABASE hone_lw_copy TEMPLATE hone_lw_other;
DROP DATABASE hone_lw_copy;
DROP DATABASE hone_lw_other;

-- What is known of dropped tables goes.
DROP TABLE m;
CALL wait_for($$NOT EXISTS (SELECT FROM hone.tier_policies) AND NOT EXISTS (SELECT FROM hone._tier_state s WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = s.partition))$$);
ALTER SYSTEM RESET hone.naptime;
SELECT pg_reload_conf();
SET client_min_messages = warning;
DROP SCHEMA lw CASCADE;
