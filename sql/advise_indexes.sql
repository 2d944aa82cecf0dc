-- Indexes that are not worth what they cost: idle, covered by others, invalid, bloated.
ALTER SYSTEM SET hone.worker = off;
SELECT pg_reload_conf();
CREATE SCHEMA "ai ""x";
SET search_path = "ai ""x";
SET client_min_messages = warning;
SET hone.track = none;
CREATE VIEW r AS
SELECT kind, relation, severity, status, calls, saving_ms, summary, fix, evidence, id FROM hone.recommendations
WHERE kind IN ('unused_index', 'write_only_index', 'duplicate_index', 'redundant_index', 'invalid_index', 'bloated_index')
    AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = '"ai ""x"'::regnamespace);

-- duplicate_index and redundant_index
CREATE TABLE d (a int, b int, c text COLLATE "C", d int, e int NOT NULL, UNIQUE (a, e));
INSERT INTO d SELECT i, i % 10, i, i, i FROM generate_series(1, 100) i;
CREATE INDEX "dup ""1" ON d (b, lower(c)) WHERE d > 0;
CREATE INDEX "dup ""2" ON d (  b ,lower(c)   )  WHERE (d>0);
CREATE INDEX part_1 ON d (b) WHERE d > 0;
CREATE INDEX part_2 ON d (b) WHERE d > 1;
CREATE INDEX short ON d (a);
CREATE INDEX covering ON d (c) INCLUDE (a, b);
CREATE INDEX covering_less ON d (c) INCLUDE (b);
CREATE INDEX covering_more ON d (c) INCLUDE (e, b, a);
CREATE INDEX hash_1 ON d USING hash (d);
CREATE INDEX hash_2 ON d USING hash (d);
-- each of these is something else
CREATE INDEX pattern ON d (c text_pattern_ops);
CREATE INDEX collated ON d (c COLLATE "POSIX");
CREATE INDEX descending ON d (a DESC);
CREATE INDEX other_expression ON d (b, upper(c)) WHERE d > 0;
CREATE INDEX fill ON d USING gist (int4range(least(a, b), greatest(a, b))) WITH (fillfactor = 50);
CREATE INDEX fill_1 ON d USING gist (int4range(least(a, b), greatest(a, b))) WITH (fillfactor = 60);
-- unique ones
CREATE UNIQUE INDEX u1 ON d (d);
CREATE UNIQUE INDEX u2 ON d (d);
CREATE UNIQUE INDEX u3 ON d (d) NULLS NOT DISTINCT;
CREATE INDEX u4 ON d (d);
CREATE INDEX u5 ON d (d, e);
CREATE TABLE refers (d int REFERENCES d (d));
-- kept for other reasons
CREATE TABLE k (a int, b int NOT NULL);
CREATE INDEX k_clustered ON k (a);
CREATE INDEX k_long ON k (a, b);
CREATE UNIQUE INDEX k_identity ON k (b);
CREATE UNIQUE INDEX k_identity1 ON k (b);
ALTER TABLE k CLUSTER ON k_clustered, REPLICA IDENTITY USING INDEX k_identity1;
SELECT kind, severity, saving_ms, summary, fix FROM r WHERE kind ~ 'duplicate|redundant' ORDER BY kind, summary;
SELECT kind, evidence - '{bytes,saving_bytes,kept_bytes,caution}'::text[] AS evidence, (evidence->>'bytes')::bigint > 0 AS bytes, evidence->>'caution' IS NOT NULL AS caution
FROM r WHERE kind ~ 'duplicate|redundant' AND summary ~ 'dup|short' ORDER BY kind, summary;
-- a longer one that is much larger may not do as well for scans that there are
CREATE TABLE much (a int, t text);
INSERT INTO much SELECT i, repeat(md5(i::text), 4) FROM generate_series(1, 2000) i;
CREATE INDEX much_a ON much (a);
CREATE INDEX much_at ON much (a, t);
VACUUM ANALYZE much;
SELECT summary ~ 'potential' AS potential FROM r WHERE relation = 'much'::regclass;
SELECT count(*) FROM much WHERE a < 500;
SELECT pg_stat_force_next_flush();
SELECT kind, calls > 0 AS calls, summary FROM r WHERE relation = 'much'::regclass;
DROP TABLE much;
-- dismissing one leaves the others; its id and fingerprint stay
SELECT hone.dismiss_recommendation(id, 'a test') FROM r WHERE evidence->>'index' ~ 'hash_2';
SELECT status, count(*) FROM r WHERE kind ~ 'duplicate|redundant' GROUP BY 1 ORDER BY 1;
UPDATE hone.dismissed_recommendations SET id = 1 WHERE reason = 'a test';
SELECT evidence->>'index' AS index, status FROM r WHERE status <> 'open';
DELETE FROM hone.dismissed_recommendations WHERE reason = 'a test';
-- the fixes, run; and nothing is left to be said
\set ECHO none
SELECT fix FROM r WHERE kind ~ 'duplicate|redundant' \gexec
\set ECHO all
SELECT count(*) FROM r WHERE kind ~ 'duplicate|redundant';
SELECT indexrelid::regclass FROM pg_index WHERE indrelid IN ('d'::regclass, 'k'::regclass) ORDER BY indexrelid::regclass::text COLLATE "C";

-- unused_index: not of an age that nobody knows, whatever the setting
DELETE FROM hone._index_use;
SET hone.advise_index_size = 0;
-- on a server that has just started, a few rows are many in a second
SET hone.advise_index_writes = 1e9;
SELECT count(*) FROM r WHERE kind = 'unused_index';
SET hone.advise_index_idle = 2;
SELECT count(*) FROM r WHERE kind = 'unused_index';
CREATE TABLE "un ""used" (id int PRIMARY KEY, a int UNIQUE, b int, c int, t text);
INSERT INTO "un ""used" SELECT i, i, i, i, repeat('x', i % 10) FROM generate_series(1, 1000) i;
CREATE INDEX "i ""b" ON "un ""used" (b);
CREATE INDEX i_c ON "un ""used" (c);
CREATE INDEX i_t ON "un ""used" (length(t));
CREATE UNIQUE INDEX i_u ON "un ""used" (t, b);
VACUUM ANALYZE "un ""used";
-- a worker does this once an hour
DELETE FROM hone._index_use;
CALL hone._note_index_use();
UPDATE hone._index_use SET since = now() - interval '3 days';
SELECT pg_sleep(greatest(0, 2.1 - extract(epoch FROM now() - greatest(pg_postmaster_start_time(), (SELECT stats_reset FROM pg_stat_database WHERE datname = current_database())))));
SELECT severity, status, calls, regexp_replace(summary, '\d+ (days|hours|minutes); \d+ kB', 'N') AS summary, fix FROM r WHERE kind = 'unused_index' AND relation = '"un ""used"'::regclass ORDER BY summary;
SELECT evidence->>'scans' AS scans, evidence ?& '{unused_since,unused_days,counted_since,replicas,standbys,bytes,partitions}' AS more, evidence->>'replicas' AS replicas,
    evidence->>'statistics' IS NOT NULL AS statistics, evidence->>'definition' AS definition
FROM r WHERE kind = 'unused_index' AND relation = '"un ""used"'::regclass ORDER BY summary;
-- standbys have counts of their own
SELECT count(*) FROM pg_create_physical_replication_slot('hone_aindex');
SELECT regexp_replace(summary, '.*; ', '') AS summary, (evidence->>'standbys')::int > 0 AS standbys FROM r WHERE kind = 'unused_index' AND evidence->>'index' ~ 'i_c';
SELECT pg_drop_replication_slot('hone_aindex');
-- used, and noted
SELECT clock_timestamp() AS before \gset
SET enable_seqscan = off;
SELECT count(*) FROM "un ""used" WHERE b = 5;
RESET enable_seqscan;
SELECT pg_stat_force_next_flush();
SELECT evidence->>'index' AS index FROM r WHERE kind = 'unused_index' AND relation = '"un ""used"'::regclass AND (evidence->>'unused_since')::timestamptz < :'before' ORDER BY 1;
CALL hone._note_index_use();
SELECT index::regclass, scans, since > now() - interval '1 minute' AS now FROM hone._index_use WHERE index::regclass::text ~ 'i_c|i ""b' ORDER BY 1;
UPDATE hone._index_use SET since = now() - interval '2 hours' WHERE index = 0;
CALL hone._note_index_use();
SELECT index::regclass, scans, since > now() - interval '1 minute' AS now FROM hone._index_use WHERE index::regclass::text ~ 'i_c|i ""b' ORDER BY 1;
-- the only index that finds referencing rows
SET hone.advise_index_idle = 0;
CREATE TABLE referenced (id int PRIMARY KEY);
INSERT INTO referenced SELECT generate_series(1, 1000);
ALTER TABLE "un ""used" ADD FOREIGN KEY (c) REFERENCES referenced;
SELECT count(*) FROM r WHERE kind = 'unused_index' AND evidence->>'index' ~ 'i_c';
INSERT INTO referenced VALUES (0);
DELETE FROM referenced WHERE id = 0;
SELECT pg_stat_force_next_flush();
SELECT count(*) FROM r WHERE kind = 'unused_index' AND evidence->>'index' ~ 'i_c';
ALTER TABLE "un ""used" DROP CONSTRAINT "un ""used_c_fkey";
SELECT count(*) FROM r WHERE kind = 'unused_index' AND evidence->>'index' ~ 'i_c';
-- compressed rows are found without a scan
CREATE TABLE compressed USING tiered AS SELECT i AS a FROM generate_series(1, 100) i;
CREATE INDEX ON compressed (a);
SELECT count(*) FROM r WHERE relation = 'compressed'::regclass;
DROP TABLE compressed;
-- the settings
SET hone.advise_index_size = '1GB';
SELECT count(*) FROM r WHERE kind = 'unused_index';
SET hone.advise_index_size = 0;
SET hone.advise_index_idle = '7d';
SELECT count(*) FROM r WHERE kind = 'unused_index';
SET hone.advise_index_idle = 0;
SET hone.detectors = off;
SELECT count(*) FROM r;
RESET hone.detectors;

-- who may not see the table, and who may
CREATE ROLE hone_aindex;
GRANT USAGE ON SCHEMA "ai ""x" TO hone_aindex;
SET ROLE hone_aindex;
SELECT count(*) FROM hone.recommendations WHERE relation = '"un ""used"'::regclass;
RESET ROLE;
GRANT SELECT (a) ON "un ""used" TO hone_aindex;
SET ROLE hone_aindex;
SELECT DISTINCT kind FROM hone.recommendations WHERE relation = '"un ""used"'::regclass;
RESET ROLE;
REVOKE SELECT (a) ON "un ""used" FROM hone_aindex;
GRANT pg_read_all_stats TO hone_aindex;
SET ROLE hone_aindex;
SELECT DISTINCT kind FROM hone.recommendations WHERE relation = '"un ""used"'::regclass;
RESET ROLE;
DROP OWNED BY hone_aindex;
DROP ROLE hone_aindex;

-- write_only_index takes the place of the other
SET hone.advise_index_writes = 0.000001;
SET hone.advise_index_size = '1GB';
SELECT kind, severity, calls, regexp_replace(summary, '\d+ minutes|[\d.]+ rows|\d+ kB', 'N', 'g') AS summary, evidence->'not_hot_because_of' AS not_hot, evidence->'rows_inserted' AS inserted
FROM r WHERE kind ~ 'unused|write' AND relation = '"un ""used"'::regclass ORDER BY summary;
SET hone.advise_index_writes = 1e9;
SELECT count(*) FROM r WHERE kind ~ 'unused|write';
SET hone.advise_index_size = 0;

-- the tree of a partitioned table is one
CREATE TABLE p (a int, b int, c int) PARTITION BY RANGE (a);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (b);
CREATE TABLE p21 PARTITION OF p2 FOR VALUES FROM (0) TO (10);
INSERT INTO p SELECT i % 20, i % 10, i FROM generate_series(1, 1000) i;
CREATE INDEX p_c ON p (c);
CREATE INDEX p_c1 ON p (c);
CREATE INDEX p_cb ON p (c, b);
CREATE INDEX p_b ON p (b);
CREATE INDEX leaf ON p1 (b);
ANALYZE p;
SELECT kind, relation, regexp_replace(summary, '\d+ (kB|minutes)', 'N', 'g') AS summary, fix, evidence->'partitions' AS partitions, evidence->'definition' AS definition
FROM r WHERE relation::text ~ '^p' ORDER BY summary;
-- a scan of one partition's is one of all
DELETE FROM hone._index_use;
CALL hone._note_index_use();
UPDATE hone._index_use SET since = now() - interval '3 days';
SET hone.advise_index_idle = 2;
SELECT evidence->>'index' AS index FROM r WHERE relation::text ~ '^p' AND kind = 'unused_index';
SELECT clock_timestamp() AS before \gset
SET enable_seqscan = off;
SELECT count(*) FROM p21 WHERE b = 5;
RESET enable_seqscan;
SELECT pg_stat_force_next_flush();
SELECT evidence->>'index' AS index FROM r WHERE relation::text ~ '^p' AND kind = 'unused_index' AND (evidence->>'unused_since')::timestamptz < :'before';
SET hone.advise_index_idle = 0;
\set ECHO none
SELECT fix FROM r WHERE relation::text ~ '^p' AND kind ~ 'duplicate|redundant' \gexec
\set ECHO all
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = 'p'::regclass ORDER BY 1;

-- idle ones, dropped
\set ECHO none
SELECT fix FROM r WHERE kind = 'unused_index' \gexec
\set ECHO all
SELECT count(*) FROM r WHERE kind = 'unused_index' AND relation = '"un ""used"'::regclass;
SELECT indexrelid::regclass FROM pg_index WHERE indrelid = '"un ""used"'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";

-- invalid_index
SET hone.advise_index_size = '1GB';
CREATE TABLE v (a int, t text);
INSERT INTO v VALUES (1, repeat('x', 10)), (1, 'y');
\set VERBOSITY terse
CREATE UNIQUE INDEX CONCURRENTLY "v ""a" ON v (a);
CREATE INDEX v_t ON v (t);
CREATE INDEX v_t_ccnew ON v (t, a);
UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'v_t_ccnew'::regclass;
-- of the table's TOAST table too
UPDATE pg_index SET indisvalid = false WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'v'::regclass);
SELECT kind, relation, regexp_replace(summary, '\d+', 'N') AS summary, regexp_replace(fix, '\d+', 'N') AS fix FROM r WHERE kind = 'invalid_index' AND summary ~ 'pg_toast';
UPDATE pg_index SET indisvalid = true WHERE indrelid = (SELECT reltoastrelid FROM pg_class WHERE oid = 'v'::regclass);
CREATE INDEX v_whole ON ONLY p (a);
CREATE UNIQUE INDEX v_unique ON ONLY p (a, b, c);
SELECT kind, relation, severity, summary, fix, evidence - '{bytes,index}'::text[] AS evidence FROM r WHERE kind = 'invalid_index' AND relation = 'v'::regclass ORDER BY summary;
SELECT relation, severity, summary, regexp_replace(fix, 'idx_[0-9a-f]+', 'idx', 'g') AS fix, evidence - '{bytes,index}'::text[] AS evidence FROM r WHERE kind = 'invalid_index' AND relation = 'p'::regclass ORDER BY summary;
\set ECHO none
SELECT fix FROM r WHERE kind = 'invalid_index' AND relation = 'v'::regclass AND summary ~ 'ccnew' \gexec
DELETE FROM v WHERE t = 'y';
SELECT fix FROM r WHERE kind = 'invalid_index' AND relation = 'v'::regclass \gexec
\set ECHO all
SELECT count(*) FROM r WHERE relation = 'v'::regclass AND kind = 'invalid_index';
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'v'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
-- whole where no partition has partitions
DROP TABLE p2;
\set ECHO none
SELECT unnest(string_to_array(fix, E'\n')) FROM r WHERE kind = 'invalid_index' AND relation = 'p'::regclass \gexec
\set ECHO all
SELECT count(*) FROM r WHERE relation = 'p'::regclass AND kind = 'invalid_index';
SELECT indexrelid::regclass, indisvalid FROM pg_index WHERE indrelid = 'p'::regclass ORDER BY indexrelid::regclass::text COLLATE "C";
\set VERBOSITY default

-- bloated_index: of fresh ones the estimate is what they are
SET hone.advise_index_size = 0;
SET hone.advise_index_idle = '7d';
CREATE TABLE b (a int, b bigint, t text, n int, m name) WITH (autovacuum_enabled = off);
INSERT INTO b SELECT i, i, md5(i::text), CASE WHEN i % 2 = 0 THEN i END, i::text FROM generate_series(1, 30000) i;
CREATE INDEX b_a ON b (a);
CREATE INDEX "b ""t" ON b (t);
CREATE INDEX b_ab ON b (b, a);
CREATE INDEX b_n ON b (n, a);
CREATE INDEX b_x ON b ((t || a)) WITH (fillfactor = 70);
CREATE INDEX b_m ON b (m);
VACUUM ANALYZE b;
SET hone.advise_index_bloat = 1;
SELECT evidence->>'index' AS index FROM r WHERE kind = 'bloated_index' AND relation = 'b'::regclass AND (evidence->>'estimated_factor')::numeric > 1.1;
RESET hone.advise_index_bloat;
SELECT count(*) FROM r WHERE kind = 'bloated_index' AND relation = 'b'::regclass;
-- as if VACUUM had found a tenth of the entries
UPDATE pg_class SET reltuples = reltuples / 10 WHERE oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = 'b'::regclass);
SELECT severity, regexp_replace(summary, '\d+ (kB|MB)', 'N', 'g') AS summary, fix, evidence->'entries' AS entries, evidence->'fillfactor' AS fillfactor,
    (evidence->>'estimated_factor')::numeric BETWEEN 7 AND 11 AS factor, (evidence->>'saving_bytes')::bigint > 300000 AS saving
FROM r WHERE kind = 'bloated_index' AND relation = 'b'::regclass ORDER BY summary;
SET hone.advise_index_bloat = 20;
SELECT count(*) FROM r WHERE kind = 'bloated_index' AND relation = 'b'::regclass;
RESET hone.advise_index_bloat;
\set ECHO none
SELECT fix FROM r WHERE kind = 'bloated_index' AND relation = 'b'::regclass \gexec
\set ECHO all
SELECT count(*) FROM r WHERE kind = 'bloated_index' AND relation = 'b'::regclass;

SET client_min_messages = error;
DROP SCHEMA "ai ""x" CASCADE;
ALTER SYSTEM RESET hone.worker;
SELECT pg_reload_conf();
