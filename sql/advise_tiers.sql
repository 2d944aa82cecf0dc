-- What is recommended of tiers: policies that are wrong, tables that want one.
ALTER SYSTEM SET hone.worker = off;
SELECT pg_reload_conf();
CREATE SCHEMA atier;
SET search_path = atier;
SET TimeZone = 'UTC';
SET client_min_messages = warning;
SET hone.track = none;
CREATE VIEW r AS
SELECT kind, relation, severity, status, calls, cost_ms, saving_ms, summary, fix, evidence, id FROM hone.recommendations
WHERE kind IN ('cold_but_read', 'hot_but_idle', 'partition_candidate') AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = 'atier'::regnamespace);

-- Partitions of ten days, 0.5, 10.5, 20.5, 30.5 and 40.5 days old.
SELECT now() + interval '9 days 12 hours' AS until \gset
CREATE TABLE m (ts timestamptz NOT NULL, v int, t text) PARTITION BY RANGE (ts);
\set ECHO none
SELECT format('CREATE TABLE m_%s PARTITION OF m FOR VALUES FROM (%L) TO (%L)', i,
    timestamptz :'until' - (i + 1) * interval '10 days', timestamptz :'until' - i * interval '10 days') FROM generate_series(0, 5) i \gexec
\set ECHO all
INSERT INTO m SELECT :'until'::timestamptz - interval '10 days' - i * interval '2 minutes', i, 'some text that repeats' FROM generate_series(1, 49 * 720) i;
VACUUM ANALYZE m;

-- hot_but_idle: without a policy, nobody knows of a long time yet
SELECT count(*) FROM r;
SET hone.advise_hot_size = '1MB';
SELECT count(*) FROM r;
SET hone.advise_hot_idle = 0;
SELECT kind, relation, severity, calls, cost_ms, saving_ms, regexp_replace(summary, '[0-9.]+ (kB|MB|USD)', 'N \1', 'g') AS summary, fix FROM r;
SELECT evidence->'partitions' AS partitions, (evidence->>'bytes')::bigint > 1000000 AS bytes, evidence->'ratio' AS ratio, evidence->'ratio_measured' AS measured,
    abs((evidence->>'saving_bytes')::float8 / (evidence->>'bytes')::float8 - 2.0 / 3) < 0.01 AS saving, evidence->'saving_per_month' AS usd, evidence->'currency' AS currency FROM r;
-- the settings, the switch, dismissing
SET hone.advise_hot_size = '1GB';
SELECT count(*) FROM r;
SET hone.advise_hot_size = '1MB';
SET hone.detectors = off;
SELECT count(*) FROM r;
RESET hone.detectors;
SELECT hone.dismiss_recommendation(id, 'a test') FROM r;
SELECT kind, status FROM r;
DELETE FROM hone.dismissed_recommendations;
-- severity by what it saves in a month
BEGIN;
UPDATE hone.tier_prices SET usd_per_gb_month = 20000 WHERE tier IN ('hot', 'warm');
SELECT severity, (evidence->>'saving_per_month')::numeric BETWEEN 10 AND 99 AS saves FROM r;
UPDATE hone.tier_prices SET usd_per_gb_month = 2000000 WHERE tier IN ('hot', 'warm');
SELECT severity FROM r;
UPDATE hone.tier_prices SET usd_per_gb_month = NULL WHERE tier = 'warm';
SELECT severity, regexp_replace(summary, '.*; ', '') ~ '^about [0-9]+ [kM]B less \(an estimate\)$' AS summary, evidence->'saving_per_month' AS usd FROM r;
ROLLBACK;
-- the fix, run, covers what it names
SELECT fix FROM r \gset
:fix;
SELECT parent, warm_after FROM hone.tier_policies WHERE parent = 'm'::regclass;
SELECT partition, due FROM hone.tier_plan WHERE parent = 'm'::regclass AND due ORDER BY 1;
SELECT count(*) FROM r;

-- under a policy the worker's own notes count
SELECT hone.alter_tier_policy('m', warm_after => '45 days');
SET hone.advise_hot_idle = '15d';
SELECT count(*) FROM r;
UPDATE hone._tier_policy SET created_at = now() - interval '60 days' WHERE parent = 'm'::regclass;
INSERT INTO hone._tier_state (partition, scans) SELECT c.oid, 0 FROM pg_class c WHERE c.oid::regclass::text ~ '^m_[0-9]$'
ON CONFLICT (partition) DO UPDATE SET scans = 0;
SELECT fix, evidence->'partitions' AS partitions FROM r;
-- what is younger than one that was read stays hot
UPDATE hone._tier_state SET last_read = now() - interval '1 day' WHERE partition = 'm_2'::regclass;
SELECT fix, evidence->'partitions' AS partitions FROM r;
UPDATE hone._tier_state SET last_read = now() - interval '1 day' WHERE partition = 'm_4'::regclass;
SELECT count(*) FROM r;
UPDATE hone._tier_state SET last_read = NULL;
-- measured on the partitions that are warm
SELECT hone.alter_tier_policy('m', warm_after => '35 days');
SET hone.advise_hot_size = 0;
CALL hone.run_tier_policies();
SELECT fix, evidence->'partitions' AS partitions, evidence->'ratio_measured' AS measured, (evidence->>'ratio')::numeric > 3 AS ratio, summary ~ 'estimate' AS estimate FROM r;
RESET hone.advise_hot_size;
RESET hone.advise_hot_idle;

-- cold_but_read
SELECT hone.alter_tier_policy('m', warm_after => '9 days', cold_after => '25 days');
CALL hone.run_tier_policies();
SELECT partition, tier FROM hone.partitions WHERE parent = 'm'::regclass ORDER BY 1;
SELECT count(*) FROM r;
UPDATE hone._tier_state SET moved_at = now() - interval '10 days', reads = 239, last_read = now() WHERE tier IS NOT NULL;
SELECT count(*) FROM r;
UPDATE hone._tier_state SET reads = 300 WHERE partition = 'm_4'::regclass;
SELECT kind, relation, severity, calls, summary, fix FROM r;
SELECT evidence - 'partitions' AS evidence, (evidence->'partitions'->0) - '{bytes,last_read,moved_at}'::text[] AS partition,
    evidence->'partitions'->0 ?& '{bytes,last_read,moved_at}' AS more FROM r;
SET hone.advise_cold_reads = 31;
SELECT count(*) FROM r;
RESET hone.advise_cold_reads;
-- warm ones may be read ten times as often
UPDATE hone._tier_state SET reads = 2399 WHERE partition = 'm_2'::regclass;
SELECT fix FROM r;
UPDATE hone._tier_state SET reads = 250 * 1000 WHERE partition = 'm_2'::regclass;
SELECT severity, calls, summary, fix FROM r;
-- the fix, run, leaves what is read where it is
BEGIN;
SELECT fix FROM r \gset
:fix;
SELECT warm_after, cold_after FROM hone.tier_policies WHERE parent = 'm'::regclass;
SELECT count(*) FROM r;
ROLLBACK;
-- nothing shorter is recommended meanwhile
SET hone.advise_hot_size = 0;
SET hone.advise_hot_idle = 0;
SELECT kind FROM r;
RESET hone.advise_hot_size;
RESET hone.advise_hot_idle;
-- where no wait is left before the next step
UPDATE hone._tier_state SET reads = 0 WHERE partition = 'm_4'::regclass;
SELECT fix, evidence->'keep_while_read' AS otherwise FROM r;
UPDATE hone._tier_state SET reads = 250 * 1000 WHERE partition = 'm_3'::regclass;
SELECT fix, evidence->'keep_while_read' AS otherwise FROM r;
SELECT fix FROM r \gset
:fix;
SELECT keep_while_read FROM hone.tier_policies WHERE parent = 'm'::regclass;
-- what somebody moved by hand before its time is his decision
SELECT hone.alter_tier_policy('m', warm_after => '100 days', cold_after => '200 days');
SELECT count(*) FROM r;
SELECT hone.remove_tier_policy('m');

-- partition_candidate: a table with all that a table may have
CREATE ROLE hone_atier_owner;
CREATE ROLE hone_atier_app;
GRANT USAGE, CREATE ON SCHEMA atier TO hone_atier_owner;
CREATE TABLE device (id int PRIMARY KEY);
INSERT INTO device SELECT generate_series(0, 99);
CREATE TABLE "Events" (id bigint GENERATED ALWAYS AS IDENTITY, device int NOT NULL REFERENCES device, "At" timestamptz NOT NULL DEFAULT now(),
    n serial, v numeric CHECK (v >= 0), w numeric GENERATED ALWAYS AS (v * 2) STORED, seen date, PRIMARY KEY (id)) WITH (fillfactor = 90);
CREATE INDEX ON "Events" (device, "At");
COMMENT ON TABLE "Events" IS 'what''s up';
ALTER TABLE "Events" OWNER TO hone_atier_owner;
GRANT SELECT, INSERT ON "Events" TO hone_atier_app;
GRANT UPDATE (v) ON "Events" TO hone_atier_app WITH GRANT OPTION;
INSERT INTO "Events" (device, "At", v) SELECT i % 100, now() - (30000 - i) * interval '10 minutes', i FROM generate_series(1, 30000) i;
-- others that are none
CREATE TABLE updated AS SELECT "At", v FROM "Events";
CREATE TABLE shuffled AS SELECT "At", v FROM "Events" ORDER BY md5(v::text);
CREATE TABLE future AS SELECT "At" + interval '100 days' AS at, v FROM "Events";
CREATE TABLE sometimes AS SELECT CASE WHEN v % 10 > 0 THEN "At" END AS at, v FROM "Events";
CREATE TABLE by_number AS SELECT id, v, md5(v::text) FROM "Events";
CREATE UNLOGGED TABLE unlogged AS SELECT "At", v FROM "Events";
UPDATE updated SET v = v WHERE v % 5 = 0;
ANALYZE;
VACUUM "Events";
SELECT pg_stat_force_next_flush();
SELECT count(*) FROM r;
SET hone.advise_partition_size = '1MB';
SELECT kind, relation, severity, calls, regexp_replace(summary, '[0-9]+ kB', 'N kB') AS summary, fix, evidence->>'no_fix' AS no_fix, evidence->>'key_change' AS key_change FROM r;
SELECT evidence->'column' AS "column", evidence->'correlation' AS correlation, evidence->'rows' AS rows, evidence->'inserted' AS inserted, evidence->'updated_or_deleted' AS changed,
    evidence->'partition_interval' AS "interval", (evidence->>'bytes')::bigint > 1000000 AS bytes, (evidence->>'bytes_per_month')::bigint BETWEEN 100000 AND 1000000 AS month FROM r;
-- who may not see the table, and who may
SET ROLE hone_atier_app;
SELECT count(*) FROM hone.recommendations WHERE kind = 'partition_candidate';
RESET ROLE;
REVOKE ALL ON "Events" FROM hone_atier_app;
SET ROLE hone_atier_app;
SELECT count(*) FROM hone.recommendations WHERE kind = 'partition_candidate';
RESET ROLE;
GRANT pg_read_all_stats TO hone_atier_app;
SET ROLE hone_atier_app;
SELECT count(*) FROM hone.recommendations WHERE kind = 'partition_candidate';
RESET ROLE;
REVOKE pg_read_all_stats FROM hone_atier_app;
GRANT SELECT, INSERT ON "Events" TO hone_atier_app;
GRANT UPDATE (v) ON "Events" TO hone_atier_app WITH GRANT OPTION;
-- the key first
\set ECHO none
SELECT unnest(string_to_array(evidence->>'key_change', E'\n')) FROM r \gexec
\set ECHO all
-- whatever would go on with the old table, or has no like on the new one
CREATE VIEW reads_it AS SELECT * FROM "Events";
CREATE FUNCTION returns_it() RETURNS SETOF "Events" LANGUAGE sql AS 'SELECT NULL::atier."Events"';
CREATE TABLE refers (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES "Events");
CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER t BEFORE INSERT ON "Events" FOR EACH ROW EXECUTE FUNCTION nothing();
ALTER TABLE "Events" ADD CONSTRAINT c CHECK (v > -1) NO INHERIT, ENABLE ROW LEVEL SECURITY;
SET client_min_messages = error;
CREATE PUBLICATION hone_atier FOR TABLE "Events";
SET client_min_messages = warning;
SELECT fix, regexp_split_to_table(evidence->>'no_fix', '; ') AS no_fix FROM r;
DROP VIEW reads_it;
DROP FUNCTION returns_it();
DROP TABLE refers;
DROP TRIGGER t ON "Events";
ALTER TABLE "Events" DROP CONSTRAINT c, DISABLE ROW LEVEL SECURITY;
DROP PUBLICATION hone_atier;
-- the fix, run; the old names are taken
CREATE TABLE "Events_past" ();
CREATE TABLE before AS TABLE "Events";
SELECT regexp_replace(regexp_replace(fix, '\d{4}-\d\d-\d\d', 'DATE', 'g'), '_p\d{8}', '_pDATE', 'g') AS fix FROM r \gx
\set ECHO none
\o /dev/null
SELECT fix FROM r WHERE kind = 'partition_candidate' \gexec
\o
\set ECHO all
SELECT * FROM before EXCEPT SELECT * FROM "Events";
SELECT count(*), (SELECT count(*) FROM before) AS before FROM "Events";
SELECT relkind, relispartition, pg_get_userbyid(relowner) AS owner, obj_description(oid, 'pg_class') AS comment FROM pg_class WHERE oid IN ('"Events"'::regclass, '"Events_past1"'::regclass) ORDER BY 1;
SELECT (SELECT string_agg(privilege_type, ' ' ORDER BY privilege_type) FROM aclexplode(relacl) WHERE grantee = 'hone_atier_app'::regrole) AS app,
    (SELECT attacl FROM pg_attribute WHERE attrelid = c.oid AND attname = 'v') AS v FROM pg_class c WHERE oid = '"Events"'::regclass;
SELECT count(*) AS partitions, count(*) FILTER (WHERE c.reloptions = '{fillfactor=90}') AS options FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid WHERE inhparent = '"Events"'::regclass;
SELECT contype, count(*) FROM pg_constraint WHERE conrelid = '"Events"'::regclass AND contype <> 'n' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM pg_constraint WHERE conname ~ '_until' AND contype = 'c';
-- nothing was built anew
SELECT count(*) AS indexes, count(*) FILTER (WHERE i.relispartition) AS attached FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = '"Events_past1"'::regclass;
INSERT INTO "Events" (device, v) VALUES (1, 1) RETURNING tableoid::regclass, id, n, w;
INSERT INTO "Events" (device, "At", v) VALUES (2, now() + interval '100 days', 1) RETURNING tableoid::regclass <> '"Events_past1"'::regclass AS new, id, n;
\set VERBOSITY terse
INSERT INTO "Events" (device, v) VALUES (100, 1);
INSERT INTO "Events" (device, v) VALUES (1, -1);
\set VERBOSITY default
SELECT parent, warm_after, premake, partition_interval FROM hone.tier_policies;
SELECT count(*) FROM r WHERE kind = 'partition_candidate';
-- dropping what is old leaves the sequences
DROP TABLE "Events_past1";
INSERT INTO "Events" (device, "At", v) VALUES (2, now() + interval '100 days', 1) RETURNING id, n;

-- a date without NOT NULL, and many rows a day
CREATE TABLE log (day date, t text);
INSERT INTO log SELECT current_date - 100 + i / 300, repeat('x', 100) FROM generate_series(1, 30000) i;
ANALYZE log;
SELECT pg_stat_force_next_flush();
SELECT evidence->'partition_interval' AS "interval", evidence->>'no_fix' AS no_fix FROM r WHERE relation = 'log'::regclass;
CREATE TABLE before_log AS TABLE log;
\set ECHO none
\o /dev/null
SELECT fix FROM r WHERE relation = 'log'::regclass \gexec
\o
\set ECHO all
SELECT count(*), (SELECT count(*) FROM before_log) AS before FROM log;
SELECT count(*) AS partitions FROM pg_inherits WHERE inhparent = 'log'::regclass;

SELECT hone.remove_tier_policy('log'), hone.remove_tier_policy('"Events"');
DROP SCHEMA atier CASCADE;
DROP ROLE hone_atier_owner, hone_atier_app;
ALTER SYSTEM RESET hone.worker;
SELECT pg_reload_conf();
