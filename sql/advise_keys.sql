-- Foreign keys that no index serves, and tables without a primary key.
CREATE SCHEMA "ak ""x";
SET search_path = "ak ""x";
SET client_min_messages = warning;
SET hone.track = none;
CREATE VIEW r AS
SELECT kind, relation, severity, status, calls, saving_ms, summary, fix, evidence, id FROM hone.recommendations
WHERE kind IN ('foreign_key_without_index', 'missing_primary_key') AND relation IN (SELECT oid FROM pg_class WHERE relnamespace = '"ak ""x"'::regnamespace);
CREATE VIEW f AS
SELECT kind, severity, calls, regexp_replace(summary, '\d+ kB|scanned \d+', 'N', 'g') AS summary, fix, evidence->>'reason' AS reason FROM r WHERE kind = 'foreign_key_without_index' ORDER BY summary;

-- foreign_key_without_index
CREATE TABLE one (id int PRIMARY KEY, n int);
CREATE TABLE "two ""2" (a int, b int, PRIMARY KEY (a, b));
INSERT INTO one SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO "two ""2" SELECT i, i FROM generate_series(1, 100) i;
CREATE TABLE m (id int PRIMARY KEY, "o ""ne" int REFERENCES one ON DELETE CASCADE, a int, b int, CONSTRAINT "t ""wo" FOREIGN KEY (b, a) REFERENCES "two ""2" (b, a));
INSERT INTO m SELECT i, i % 90 + 1, i % 90 + 1, i % 90 + 1 FROM generate_series(1, 5000) i;
ANALYZE m;
SELECT pg_stat_force_next_flush();
SELECT count(*) FROM r;
SET hone.advise_index_size = 0;
-- nobody deletes or changes keys
SELECT count(*) FROM f;
-- read so often that it may be joined
DO $$ BEGIN FOR i IN 1..100 LOOP PERFORM sum(a) FROM m; END LOOP; END $$;
SELECT pg_stat_force_next_flush();
SELECT * FROM f;
-- keys may have changed
UPDATE one SET id = 1000 WHERE id = 100;
SELECT pg_stat_force_next_flush();
SELECT * FROM f;
DELETE FROM one WHERE id = 1000;
DELETE FROM "two ""2" WHERE a = 100;
SELECT pg_stat_force_next_flush();
SELECT * FROM f;
SELECT evidence - '{table_bytes,counted_since,sequential_scans}'::text[] AS evidence, evidence ?& '{table_bytes,counted_since,sequential_scans}' AS more FROM r WHERE kind = 'foreign_key_without_index' ORDER BY summary;
SET hone.advise_index_size = '1MB';
SELECT count(*) FROM f;
SET hone.advise_index_size = 0;
-- dismissed by name of the constraint
SELECT hone.dismiss_recommendation(id, 'a test') FROM r WHERE evidence->>'foreign_key' = 't "wo';
SELECT evidence->>'foreign_key' AS foreign_key, status FROM r WHERE kind = 'foreign_key_without_index' ORDER BY 1;
DELETE FROM hone.dismissed_recommendations WHERE reason = 'a test';
-- indexes that do not find them, and one that does, whatever the order of its columns
CREATE INDEX m1 ON m (a, id, b);
CREATE INDEX m2 ON m (a, b) WHERE a > 0;
CREATE INDEX m3 ON m (a);
SELECT count(*) FROM f;
BEGIN;
CREATE INDEX m4 ON m (a, b, id);
SELECT count(*) FROM f;
ROLLBACK;
-- who may not see the table
CREATE ROLE hone_akeys;
GRANT USAGE ON SCHEMA "ak ""x" TO hone_akeys;
SET ROLE hone_akeys;
SELECT count(*) FROM hone.recommendations WHERE kind ~ 'key' AND relation = 'm'::regclass;
RESET ROLE;
GRANT SELECT ON m TO hone_akeys;
SET ROLE hone_akeys;
SELECT count(*) FROM hone.recommendations WHERE kind ~ 'key' AND relation = 'm'::regclass;
RESET ROLE;
DROP OWNED BY hone_akeys;
DROP ROLE hone_akeys;
\set ECHO none
SELECT fix FROM r WHERE kind = 'foreign_key_without_index' \gexec
\set ECHO all
SELECT count(*) FROM f;
SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'm'::regclass ORDER BY 1;

-- of a partitioned table, on each partition
CREATE TABLE p (a int, "o ""ne" int REFERENCES one) PARTITION BY RANGE (a);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 PARTITION OF p FOR VALUES FROM (10) TO (20) PARTITION BY LIST (a);
CREATE TABLE "p ""21" PARTITION OF p2 DEFAULT;
CREATE TABLE p1_o_ne_idx ();
INSERT INTO p SELECT i % 20, i % 90 + 1 FROM generate_series(1, 5000) i;
ANALYZE p;
SELECT regexp_replace(summary, '\d+ kB', 'N kB') AS summary, regexp_replace(fix, 'idx_[0-9a-f]+', 'idx', 'g') AS fix FROM r WHERE kind = 'foreign_key_without_index';
\set ECHO none
SELECT unnest(string_to_array(fix, E'\n')) FROM r WHERE kind = 'foreign_key_without_index' \gexec
\set ECHO all
SELECT count(*) FROM f;
SELECT indrelid::regclass, indisvalid FROM pg_index WHERE indrelid IN ('p'::regclass, 'p1'::regclass, 'p2'::regclass, '"p ""21"'::regclass) ORDER BY indrelid;
-- the rows that refer to a partitioned table
CREATE TABLE pk (a int PRIMARY KEY) PARTITION BY RANGE (a);
CREATE TABLE pk1 PARTITION OF pk DEFAULT;
INSERT INTO pk SELECT generate_series(1, 100);
CREATE TABLE refers (id int PRIMARY KEY, a int REFERENCES pk);
INSERT INTO refers SELECT i, i FROM generate_series(1, 90) i;
ANALYZE refers;
DELETE FROM pk WHERE a > 90;
SELECT pg_stat_force_next_flush();
SELECT calls, summary, fix FROM f;
DROP TABLE refers;
-- a unique index on some of the columns is enough
CREATE TABLE refers (a int UNIQUE, b int, FOREIGN KEY (b, a) REFERENCES "two ""2" (b, a));
INSERT INTO refers SELECT i, i FROM generate_series(1, 90) i;
ANALYZE refers;
SELECT count(*) FROM f;
DROP TABLE refers;

-- missing_primary_key
DROP TABLE p, pk, p1_o_ne_idx;
SELECT count(*) FROM r;
CREATE TABLE "n ""one" (id int, a int);
CREATE TABLE by_index (a int NOT NULL, "b ""x" int NOT NULL, c int);
CREATE UNIQUE INDEX by_index_c ON by_index (c);
CREATE UNIQUE INDEX by_index_desc ON by_index (a DESC, "b ""x");
CREATE UNIQUE INDEX by_index_part ON by_index (a, "b ""x") WHERE c > 0;
CREATE UNIQUE INDEX by_index_expression ON by_index (a, ("b ""x" + 0));
CREATE UNIQUE INDEX "by ""index" ON by_index ("b ""x", a);
CREATE TABLE by_constraint (a int NOT NULL CONSTRAINT "u ""q" UNIQUE, b int);
CREATE TABLE referred (a int NOT NULL UNIQUE);
CREATE TABLE refers (id int PRIMARY KEY, a int REFERENCES referred (a));
CREATE TYPE t AS (a int);
CREATE TABLE typed OF t;
CREATE TABLE parted (a int NOT NULL, b int NOT NULL) PARTITION BY RANGE (a);
CREATE TABLE parted1 PARTITION OF parted DEFAULT;
CREATE TABLE parted_key (a int NOT NULL, b int NOT NULL, UNIQUE (b, a)) PARTITION BY RANGE (a);
CREATE TABLE parted_key1 PARTITION OF parted_key DEFAULT;
CREATE TABLE empty (a int);
CREATE UNLOGGED TABLE unlogged (a int);
CREATE TEMP TABLE temporary AS SELECT 1;
INSERT INTO "n ""one" SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO by_index SELECT i, i, i FROM generate_series(1, 100) i;
INSERT INTO by_constraint SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO referred SELECT generate_series(1, 100);
INSERT INTO typed SELECT generate_series(1, 100);
INSERT INTO parted SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO parted_key SELECT i, i FROM generate_series(1, 100) i;
INSERT INTO unlogged VALUES (1);
ANALYZE "n ""one", by_index, by_constraint, referred, typed, parted, parted_key, unlogged, empty;
SELECT relation, severity, summary, fix, evidence->>'no_fix' AS no_fix FROM r WHERE kind = 'missing_primary_key' ORDER BY relation::text COLLATE "C";
SELECT evidence - '{bytes}'::text[] AS evidence FROM r WHERE relation IN ('by_index'::regclass, '"n ""one"'::regclass) ORDER BY relation::text COLLATE "C";
SET hone.advise_index_size = '1GB';
SELECT count(*) FROM r;
-- published: changes fail, whatever the size
SET client_min_messages = error;
CREATE PUBLICATION hone_akeys FOR TABLE "n ""one", by_index, empty;
CREATE PUBLICATION hone_akeys1 FOR TABLE by_constraint WITH (publish = 'insert');
SET client_min_messages = warning;
ALTER TABLE by_index REPLICA IDENTITY FULL;
SELECT relation, severity, summary, evidence->'publications' AS publications FROM r ORDER BY relation::text COLLATE "C";
DROP PUBLICATION hone_akeys, hone_akeys1;
SET hone.advise_index_size = 0;
\set ECHO none
SELECT unnest(string_to_array(fix, E'\n')) FROM r WHERE fix IS NOT NULL AND relation <> 'unlogged'::regclass \gexec
\set ECHO all
SELECT relation FROM r ORDER BY relation::text COLLATE "C";
SELECT conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND connamespace = '"ak ""x"'::regnamespace AND conrelid::regclass::text ~ 'by|n ""one|parted' ORDER BY 1;
SELECT count(*), min(row_id), max(row_id) FROM "n ""one";
DROP TABLE temporary;
SET client_min_messages = error;
DROP SCHEMA "ak ""x" CASCADE;
