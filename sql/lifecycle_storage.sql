-- What tiers cost and save. Sizes differ between versions, so figures are
-- compared with each other. The worker is kept out.
ALTER SYSTEM SET hone.worker = off;
SELECT pg_reload_conf();
CREATE SCHEMA lt;
SET search_path = lt;
SET client_min_messages = warning;

-- Prices: those that pg_hone comes with, what may be written, what is dumped.
SELECT tier, usd_per_gb_month, currency, note <> '' AS note, is_default FROM hone.tier_prices ORDER BY usd_per_gb_month DESC, tier;
INSERT INTO hone.tier_prices VALUES ('lukewarm', 1);
INSERT INTO hone.tier_prices VALUES ('hot', -1);
INSERT INTO hone.tier_prices VALUES ('hot', 'NaN');
INSERT INTO hone.tier_prices (tier, usd_per_gb_month, currency) VALUES ('hot', 1, 'dollars');
BEGIN;
UPDATE hone.tier_prices SET usd_per_gb_month = 0.5 WHERE tier = 'hot';
INSERT INTO hone.tier_prices (tier, usd_per_gb_month, note) VALUES ('cold', 0.25, 'as a dump has it') RETURNING *;
SELECT tier, usd_per_gb_month, is_default FROM hone.tier_prices ORDER BY tier;
INSERT INTO hone.tier_prices (tier, usd_per_gb_month) VALUES ('cold', 0.3);
ROLLBACK;
SELECT extcondition[array_position(extconfig, 'hone.tier_prices'::regclass)] FROM pg_extension WHERE extname = 'pg_hone';

-- Ten partitions of 30 days each, the last one half over; about the same in each.
SELECT now() + interval '15 days' AS until \gset
CREATE TABLE m (ts timestamptz NOT NULL, v int, t text) PARTITION BY RANGE (ts);
\set ECHO none
\o /dev/null
SELECT format('CREATE TABLE m_%s PARTITION OF m FOR VALUES FROM (%L) TO (%L)', 10 - i,
    timestamptz :'until' - (i + 1) * interval '30 days', timestamptz :'until' - i * interval '30 days') FROM generate_series(0, 9) i \gexec
\o
\set ECHO all
INSERT INTO m SELECT :'until'::timestamptz - interval '15 days' - i * interval '10 minutes', i, 'some text that repeats'
FROM generate_series(1, 285 * 144) i;
ANALYZE m;
SELECT tier, partitions, rows, bytes = bytes_if_hot AS all_hot, cost_per_month = cost_if_hot AS full_price, saving_per_month, currency, reads_since_move, last_read
FROM hone.storage_report WHERE parent = 'm'::regclass;

-- Growth: 144 rows a day. Without a policy everything stays hot.
SELECT tier, growth_per_month / (bytes * 30.4375 / 285) BETWEEN 0.9 AND 1.1 AS growth,
    abs(bytes_in_year_if_hot - bytes - 12 * growth_per_month) < 100 AS year, bytes_in_year = bytes_in_year_if_hot AS same,
    cost_in_year >= cost_per_month AS cost, cost_in_year = cost_in_year_if_hot AS same_cost
FROM hone.storage_report WHERE parent = 'm'::regclass AND tier = 'all';
SELECT count(growth_per_month), count(bytes_in_year), count(cost_in_year) FROM hone.storage_report WHERE parent = 'm'::regclass AND tier <> 'all';

-- A gigabyte of nearly nothing: prices that show.
UPDATE hone.tier_prices SET usd_per_gb_month = usd_per_gb_month * 1000000;
SELECT hone.add_tier_policy('m', warm_after => '100 days', cold_after => '200 days');
CALL hone.run_tier_policies();
UPDATE hone._tier_state SET reads = 7, last_read = '2026-01-01' WHERE partition IN ('m_1'::regclass, 'm_4'::regclass);
CREATE TEMP VIEW r AS SELECT * FROM hone.storage_report WHERE parent = 'm'::regclass;
-- (how many rows are where depends on daylight saving)
SELECT tier, partitions, rows > 0 AS rows, bytes < bytes_if_hot AS smaller, cost_per_month < cost_if_hot AS cheaper, saving_per_month > 0 AS saves,
    abs(cost_if_hot - cost_per_month - saving_per_month) < 0.001 AS saving, reads_since_move, last_read FROM r;
-- the sum
SELECT a.partitions = s.partitions AND a.rows = s.rows AND a.bytes = s.bytes AND a.bytes_if_hot = s.bytes_if_hot
    AND abs(a.cost_per_month - s.cost) < 0.001 AND abs(a.saving_per_month - s.saving) < 0.001 AS sum
FROM r a, (SELECT sum(partitions) AS partitions, sum(rows) AS rows, sum(bytes) AS bytes, sum(bytes_if_hot) AS bytes_if_hot,
           sum(cost_per_month) AS cost, sum(saving_per_month) AS saving FROM r WHERE tier <> 'all') s
WHERE a.tier = 'all';
SELECT bytes = (SELECT sum(stored_bytes) FROM hone.partitions WHERE parent = 'm'::regclass) AS bytes,
    bytes_if_hot = (SELECT sum(heap_bytes) FROM hone.partitions WHERE parent = 'm'::regclass) AS if_hot FROM r WHERE tier = 'all';
-- cold rows beside the hot ones cost what warm ones do
SELECT tier, round(cost_per_month / bytes * 1073741824) AS price FROM r ORDER BY tier;
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE hone_lt_cold LOCATION '';
SELECT hone.alter_tier_policy('m', cold_tablespace => 'hone_lt_cold');
ALTER TABLE m_1 SET TABLESPACE hone_lt_cold;
ALTER TABLE m_2 SET TABLESPACE hone_lt_cold;
ALTER TABLE m_3 SET TABLESPACE hone_lt_cold;
SELECT tier, round(cost_per_month / bytes * 1073741824) AS price FROM r WHERE tier IN ('warm', 'cold');

-- In a year all of today's partitions are cold, and of the twelve months that
-- have come four are hot.
SELECT bytes_in_year BETWEEN growth_per_month * 4 AND growth_per_month * 9 AS hot_and_little_more,
    bytes_in_year_if_hot = (SELECT bytes_in_year_if_hot FROM r WHERE tier = 'all') AND bytes_in_year_if_hot > growth_per_month * 20 AS if_hot,
    cost_in_year < cost_in_year_if_hot / 3 AS cheaper
FROM r WHERE tier = 'all';
-- with an end, those older than 210 days are gone
BEGIN;
SELECT hone.alter_tier_policy('m', drop_after => '210 days', allow_drop_without_archive => true);
SELECT (SELECT bytes_in_year FROM r WHERE tier = 'all') < growth_per_month * 6 AS less FROM r WHERE tier = 'all';
ROLLBACK;

-- Archives count, and cost their own price; what expired is gone, what was
-- restored is only a file.
BEGIN;
INSERT INTO hone._archive (name, policy, parent, partition_name, range_start, range_end, rows, raw_bytes, bytes, heap_bytes, sha256, manifest_sha256, dropped_at)
VALUES ('a', 'm', 'm', 'lt.m_0', now() - interval '400 days', now() - interval '370 days', 1000, 1, 1048576, 10485760, '', '', now());
SELECT tier, partitions, rows, bytes, bytes_if_hot, cost_per_month, cost_if_hot, saving_per_month FROM r WHERE tier = 'archive';
SELECT partitions FROM r WHERE tier = 'all';
SELECT bytes_in_year AS before FROM r WHERE tier = 'all' \gset
SELECT hone.alter_tier_policy('m', drop_after => '700 days', allow_drop_without_archive => true);
SELECT :before - bytes_in_year AS gone_in_year FROM r WHERE tier = 'all';
UPDATE hone._archive SET restored_at = now() WHERE name = 'a';
SELECT tier, partitions, rows, bytes, bytes_if_hot, cost_per_month, cost_if_hot, saving_per_month FROM r WHERE tier = 'archive';
UPDATE hone._archive SET expired_at = now() WHERE name = 'a';
SELECT count(*) FROM r WHERE tier = 'archive';
ROLLBACK;

-- What is not known is not guessed: prices, currencies, growth of what ended long ago.
BEGIN;
UPDATE hone.tier_prices SET usd_per_gb_month = NULL WHERE tier = 'warm';
SELECT tier, cost_per_month IS NULL AS no_cost, cost_if_hot IS NULL AS no_hot, saving_per_month IS NULL AS no_saving, cost_in_year IS NULL AS no_year FROM r;
ROLLBACK;
BEGIN;
UPDATE hone.tier_prices SET currency = 'EUR' WHERE tier <> 'hot';
SELECT tier, cost_per_month IS NULL AS no_cost, cost_if_hot IS NULL AS no_hot, saving_per_month IS NULL AS no_saving, currency FROM r;
DELETE FROM hone.tier_prices;
SELECT tier, cost_per_month, cost_if_hot, saving_per_month, currency, bytes > 0 AS bytes FROM r;
ROLLBACK;
CREATE TABLE old (day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE old_1 PARTITION OF old FOR VALUES FROM ('2001-01-01') TO ('2001-02-01');
CREATE TABLE old_rest PARTITION OF old DEFAULT;
INSERT INTO old VALUES ('2001-01-01');
SELECT tier, partitions, growth_per_month, bytes_in_year, bytes_in_year_if_hot FROM hone.storage_report WHERE parent = 'old'::regclass;
-- a month in four leaves is one month
CREATE TABLE four (ts timestamptz NOT NULL, k int) PARTITION BY RANGE (ts);
SELECT format('CREATE TABLE four_1 PARTITION OF four FOR VALUES FROM (%L) TO (%L) PARTITION BY HASH (k)', now() - interval '30 days', now() - interval '10 days') AS ddl \gset
:ddl;
\set ECHO none
SELECT format('CREATE TABLE four_1_%s PARTITION OF four_1 FOR VALUES WITH (MODULUS 4, REMAINDER %s)', i, i) FROM generate_series(0, 3) i \gexec
\set ECHO all
INSERT INTO four SELECT now() - interval '15 days', i FROM generate_series(1, 10000) i;
SELECT partitions, growth_per_month / (bytes * 30.4375 / 20) BETWEEN 0.95 AND 1.05 AS growth FROM hone.storage_report WHERE parent = 'four'::regclass AND tier = 'all';

-- Everybody may read it, as hone.partitions; prices are the admin's.
CREATE ROLE hone_lt_reader;
GRANT USAGE ON SCHEMA lt TO hone_lt_reader;
SET ROLE hone_lt_reader;
SELECT tier, partitions, bytes > 0 AS bytes, cost_per_month > 0 AS cost FROM hone.storage_report WHERE parent = 'lt.m'::regclass;
SELECT count(*) FROM hone.tier_prices;
UPDATE hone.tier_prices SET usd_per_gb_month = 0;
RESET ROLE;
GRANT SELECT, INSERT, UPDATE, DELETE ON hone.tier_prices TO hone_lt_reader;
SET ROLE hone_lt_reader;
BEGIN;
UPDATE hone.tier_prices SET usd_per_gb_month = 1 WHERE tier = 'hot' RETURNING tier, usd_per_gb_month;
DELETE FROM hone.tier_prices WHERE tier = 'hot' RETURNING tier;
INSERT INTO hone.tier_prices VALUES ('hot', 2) RETURNING tier, usd_per_gb_month, currency, is_default;
ROLLBACK;
RESET ROLE;
REVOKE ALL ON hone.tier_prices FROM hone_lt_reader;

SELECT hone.remove_tier_policy('m');
DROP SCHEMA lt CASCADE;
DROP TABLESPACE hone_lt_cold;
DROP ROLE hone_lt_reader;
-- as they were
DELETE FROM hone.tier_prices;
INSERT INTO hone.tier_prices (tier, usd_per_gb_month) VALUES ('hot', 0.10), ('warm', 0.10), ('cold', 0.04), ('archive', 0.02);
ALTER SYSTEM RESET hone.worker;
SELECT pg_reload_conf();
