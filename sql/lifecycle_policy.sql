-- Policies: adding, removing, what they mean for each partition. Nothing here
-- is due, so no worker comes in between.
SET TimeZone = 'Asia/Tokyo';
CREATE SCHEMA lp;
SET search_path = lp;
CREATE TABLE m (ts timestamptz NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01 00:00+00') TO ('2020-02-01 00:00+00');
CREATE TABLE m_open PARTITION OF m FOR VALUES FROM ('2030-01-01 00:00+00') TO (MAXVALUE);
CREATE TABLE m_default PARTITION OF m DEFAULT;
CREATE TABLE d (day date NOT NULL, v int) PARTITION BY RANGE (day);
CREATE TABLE d_1 PARTITION OF d FOR VALUES FROM (MINVALUE) TO ('2020-02-01');
CREATE TABLE t (at timestamp NOT NULL, v int) PARTITION BY RANGE (at);
CREATE TABLE t_1 PARTITION OF t FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');

SELECT hone.add_tier_policy('m', warm_after => interval '9000 years');
SELECT hone.add_tier_policy('d', warm_after => interval '9000 years');
SELECT hone.add_tier_policy('t', warm_after => interval '9000 years 1 month 1 day');
SELECT hone.add_tier_policy('m', warm_after => interval '1 year', if_not_exists => true);
SELECT parent, warm_after FROM hone.tier_policies WHERE parent::text ~ '^[mdt]$' ORDER BY 1;

-- A bound is an instant; date and timestamp count as UTC in every session.
SELECT partition, range_start AT TIME ZONE 'UTC' AS range_start, range_end AT TIME ZONE 'UTC' AS range_end,
    next_tier, next_at AT TIME ZONE 'UTC' AS next_at
FROM hone.partitions WHERE parent IN ('m'::regclass, 'd'::regclass, 't'::regclass) ORDER BY partition::text;
SELECT partition, from_tier, to_tier, due FROM hone.tier_plan
WHERE parent IN ('m'::regclass, 'd'::regclass, 't'::regclass) ORDER BY partition::text;

-- What was read lately stays where it is, but for being dropped; what was read
-- earlier goes.
CREATE TABLE k (day date NOT NULL, v int) PARTITION BY RANGE (day);
CREATE TABLE k_1 PARTITION OF k FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE k_2 PARTITION OF k FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
CREATE TABLE k_3 PARTITION OF k FOR VALUES FROM ('2019-01-01') TO ('2019-02-01');
ALTER TABLE k_1 SET (autovacuum_enabled = off);
SELECT hone.add_tier_policy('k', warm_after => interval '9000 years', keep_while_read => interval '1 week');
INSERT INTO hone._tier_state (partition, last_read) VALUES ('k_1'::regclass, now() - interval '1 day'), ('k_2'::regclass, now() - interval '8 days'),
    ('k_3'::regclass, now()) ON CONFLICT (partition) DO UPDATE SET last_read = excluded.last_read;
SELECT partition, to_tier, due, kept_while_read FROM hone.tier_plan WHERE parent = 'k'::regclass ORDER BY 1;
BEGIN;
SELECT hone.alter_tier_policy('k', warm_after => interval '1 day');
SELECT partition, to_tier, due, kept_while_read FROM hone.tier_plan WHERE parent = 'k'::regclass ORDER BY 1;
SELECT partition::regclass, wanted FROM hone._tier_candidates WHERE parent = 'k'::regclass ORDER BY 1;
UPDATE hone._tier_policy SET drop_after = interval '2 days', allow_drop_without_archive = true WHERE parent = 'k'::regclass;
SELECT partition, to_tier, due, kept_while_read FROM hone.tier_plan WHERE parent = 'k'::regclass ORDER BY 1;
ROLLBACK;
DROP TABLE k;

-- Several levels: leaves age by the bounds of all levels over that column.
CREATE TABLE n (ts date NOT NULL, k int) PARTITION BY RANGE (ts);
CREATE TABLE n_2020 PARTITION OF n FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY LIST (k);
CREATE TABLE n_2020_a PARTITION OF n_2020 FOR VALUES IN (1);
CREATE TABLE n_2020_rest PARTITION OF n_2020 DEFAULT;
CREATE TABLE n_2021 PARTITION OF n FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY RANGE (ts);
CREATE TABLE n_2021_1 PARTITION OF n_2021 FOR VALUES FROM ('2021-01-01') TO ('2021-02-01');
CREATE TABLE n_2021_rest PARTITION OF n_2021 DEFAULT;
SELECT parent, partition, range_start AT TIME ZONE 'UTC' AS range_start, range_end AT TIME ZONE 'UTC' AS range_end
FROM hone.partitions WHERE parent = 'n'::regclass ORDER BY partition::text;

-- The nearest policy above a partition counts.
SELECT hone.add_tier_policy('n', warm_after => interval '9000 years');
SELECT hone.add_tier_policy('n_2021', warm_after => interval '8000 years');
SELECT parent, partition, next_at AT TIME ZONE 'UTC' AS next_at
FROM hone.partitions WHERE parent IN ('n'::regclass, 'n_2021'::regclass) ORDER BY partition::text;

-- A policy follows a renamed table, and ends with it.
ALTER TABLE t RENAME TO t_renamed;
SELECT parent FROM hone.tier_policies WHERE parent = 't_renamed'::regclass;
DROP TABLE t_renamed;
SELECT count(*) FROM hone.tier_policies WHERE parent::text ~ '^t|^[0-9]+$';

SELECT hone.remove_tier_policy('m');
SELECT hone.remove_tier_policy('m', if_exists => true);
SELECT next_tier, next_at FROM hone.partitions WHERE partition = 'm_1'::regclass;
SELECT hone.remove_tier_policy('d'), hone.remove_tier_policy('n'), hone.remove_tier_policy('n_2021');
SELECT count(*) FROM hone.tier_policies;

-- Policies are dumped by the table's name, those of dropped tables not at all.
SELECT array_length(extconfig, 1) >= 1 AS dumped,
    extcondition[array_position(extconfig, 'hone._tier_policy'::regclass)] ~ 'pg_class' AS without_dropped
FROM pg_extension WHERE extname = 'pg_hone';
SET client_min_messages = warning;
DROP SCHEMA lp CASCADE;
