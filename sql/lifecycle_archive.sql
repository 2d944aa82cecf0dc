-- Partitions that leave: into an archive and back, or away. Needs a server with
-- hone.archive_directory; without one the expected output is the other file.
SET client_min_messages = warning;
SELECT current_setting('hone.archive_directory') <> '' AS archived \gset
\if :archived
CREATE SCHEMA la;
SET search_path = la, public;
SET TimeZone = 'Asia/Tokyo';
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;
-- The worker is to leave them to this session.
SELECT hone.pause_worker();
CREATE TABLE m (ts timestamptz NOT NULL, k int, v text, twice int GENERATED ALWAYS AS (k * 2) STORED, PRIMARY KEY (ts, k)) PARTITION BY RANGE (ts);
SELECT format('CREATE TABLE m_%s PARTITION OF m FOR VALUES FROM (%L) TO (%L)', i, d, d + interval '1 month')
FROM generate_series(1, 5) i, LATERAL (SELECT '2020-01-01 00:00+00'::timestamptz + i * interval '1 month') x(d) \gexec
INSERT INTO m SELECT '2020-02-01 00:00+00'::timestamptz + g * interval '30 minutes', g, 'row ' || g FROM generate_series(1, 6000) g;
CREATE TABLE kept AS SELECT * FROM m;
CREATE FUNCTION differ() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM ((TABLE kept EXCEPT ALL TABLE m) UNION ALL (TABLE m EXCEPT ALL TABLE kept)) x';

-- What a policy may say.
SELECT s AS arguments, try('SELECT hone.add_tier_policy(''m'', ' || s || ')') FROM unnest(ARRAY[
    'drop_after => ''1 year''',
    'warm_after => ''1 year'', cold_after => ''1 month''',
    'cold_after => ''1 year'', archive_after => ''1 year''',
    'warm_after => ''1 day'', warm_level => 12',
    'cold_after => ''1 day'', cold_level => 3',
    'warm_after => ''1 day'', cold_tablespace => ''pg_default''',
    'cold_after => ''1 day'', cold_tablespace => ''nosuch''',
    'cold_after => ''1 day'', cold_tablespace => ''pg_global''',
    'warm_after => ''1 day'', premake => -1',
    'warm_after => ''1 day'', keep_while_read => ''-1 day''',
    'warm_after => ''1 day'', epoch => ''ms''']) WITH ORDINALITY u(s, n) ORDER BY n;
SELECT count(*) FROM hone.tier_policies WHERE parent = 'm'::regclass;
SELECT hone.add_tier_policy('m', warm_after => '9000 years', cold_after => '9001 years', archive_after => '9002 years', drop_after => '9003 years', order_by => 'k', keep_while_read => '1 week');
SELECT hone.alter_tier_policy('m', cold_after => '9000 years 1 day', cold_level => 19, reset => '{keep_while_read, archive_after, drop_after}');
SELECT warm_after, cold_after, archive_after, drop_after, order_by, warm_level, cold_level, keep_while_read FROM hone.tier_policies WHERE parent = 'm'::regclass;
SELECT s AS arguments, try('SELECT hone.alter_tier_policy(''m'', ' || s || ')') FROM unnest(ARRAY[
    'reset => ''{nosuch}''',
    'reset => ''{warm_after, cold_after}''',
    'cold_after => ''1 day''',
    'drop_after => ''9999 years''']) WITH ORDINALITY u(s, n) ORDER BY n;
SELECT partition, tier, next_tier, next_at AT TIME ZONE 'UTC' AS next_at FROM hone.partitions WHERE parent = 'm'::regclass ORDER BY 1;

-- The furthest step that is due is taken at once.
SELECT hone.alter_tier_policy('m', warm_after => '1 day', cold_after => '2 days', archive_after => '9000 years');
SELECT partition, from_tier, to_tier, due FROM hone.tier_plan WHERE parent = 'm'::regclass ORDER BY 1;
CALL hone.run_tier_policies();
SELECT partition, tier, next_tier FROM hone.partitions WHERE parent = 'm'::regclass ORDER BY 1;
SELECT differ();
SELECT hone.alter_tier_policy('m', archive_after => '1 year');
CALL hone.move_partition('m_5', 'hot');
CALL hone.run_tier_policies();
SELECT partition_name, to_tier, rows, bytes_after < bytes_before AS smaller, error FROM hone.tier_log WHERE partition_name LIKE 'la.m!_%' ESCAPE '!' AND to_tier = 'archive' ORDER BY id;
SELECT count(*) FROM m;
SELECT parent, partition, range_start AT TIME ZONE 'UTC' AS range_start, range_end AT TIME ZONE 'UTC' AS range_end, rows, restored_at FROM hone.archives WHERE parent = 'm' ORDER BY partition;
SELECT count(*) FROM hone.partitions WHERE parent = 'm'::regclass;

-- Back: the same rows, in a partition that the policy leaves alone.
SELECT hone.restore_archive(name) FROM hone.archives WHERE parent = 'm' AND partition IN ('la.m_1', 'la.m_5') ORDER BY partition;
SELECT partition, tier, next_tier FROM hone.partitions WHERE parent = 'm'::regclass ORDER BY 1;
\d m_1
ALTER TABLE m ADD extra text DEFAULT 'extra', ALTER v SET DEFAULT 'v';
SELECT hone.restore_archive(name) FROM hone.archives WHERE parent = 'm' AND partition = 'la.m_2';
SELECT extra, count(*) FROM m GROUP BY extra ORDER BY extra;
ALTER TABLE m DROP extra;
ALTER TABLE m RENAME k TO key;
SELECT try(format('SELECT hone.restore_archive(%L)', name)) FROM hone.archives WHERE parent = 'm' AND partition = 'la.m_3';
ALTER TABLE m RENAME key TO k;
SELECT hone.restore_archive(name) FROM hone.archives WHERE parent = 'm' AND restored_at IS NULL ORDER BY partition;
SELECT differ();
CALL hone.run_tier_policies();
SELECT differ();
SELECT regexp_replace(try(format('SELECT hone.restore_archive(%L)', name)), '".*', '') FROM hone.archives WHERE parent = 'm' AND partition = 'la.m_3';
SELECT try('SELECT hone.restore_archive(''nosuch'')'), try('SELECT hone.restore_archive(NULL)');

-- By hand it is the policy's again; a name that is taken.
CALL hone.move_partition('m_2', 'archive');
SELECT next_tier IS NULL AS held FROM hone.partitions WHERE partition = 'm_1'::regclass;
CREATE TABLE m_2 (a int);
SELECT try(format('SELECT hone.restore_archive(%L)', name)) FROM hone.archives WHERE partition = 'la.m_2' AND restored_at IS NULL;
DROP TABLE m_2;
SELECT hone.restore_archive(name) FROM hone.archives WHERE partition = 'la.m_2' AND restored_at IS NULL;
SELECT differ();

-- Rows that others refer to stay; so does what a view shows, detached, until it is gone.
CREATE TABLE refers (ts timestamptz, k int, FOREIGN KEY (ts, k) REFERENCES m);
INSERT INTO refers SELECT ts, k FROM m_3 LIMIT 1;
\set VERBOSITY sqlstate
CALL hone.move_partition('m_3', 'archive');
\set VERBOSITY default
SELECT regexp_replace(last_error, 'fkey.*', 'fkey') AS last_error FROM hone.partitions WHERE partition = 'm_3'::regclass;
SELECT differ();
DELETE FROM refers;
CREATE VIEW shows AS SELECT count(*) FROM m_3;
CALL hone.move_partition('m_3', 'archive');
SELECT parent, partition, from_tier, to_tier, due FROM hone.tier_plan WHERE partition = 'm_3'::regclass;
SELECT relispartition, (SELECT count(*) FROM m_3) FROM pg_class WHERE oid = 'm_3'::regclass;
SELECT count(*) FROM hone.archives WHERE partition = 'la.m_3' AND restored_at IS NULL;
INSERT INTO m_3 SELECT '2020-04-01 01:00+00', -1, 'came late';
DROP VIEW shows;
UPDATE hone._tier_state SET retry_at = NULL WHERE partition = 'm_3'::regclass;
CALL hone.run_tier_policies();
SELECT to_regclass('m_3'), rows = (SELECT count(*) + 1 FROM kept WHERE ts >= '2020-04-01 00:00+00' AND ts < '2020-05-01 00:00+00') AS with_the_late_one
FROM hone.archives WHERE partition = 'la.m_3' AND restored_at IS NULL;
SELECT hone.restore_archive(name) FROM hone.archives WHERE partition = 'la.m_3' AND restored_at IS NULL;
DELETE FROM m WHERE k = -1;
SELECT differ();
DROP TABLE refers;
-- Rows that are deleted while it waits, detached, are in no archive, even where VACUUM took their pages away.
CREATE TABLE v (ts timestamptz NOT NULL, k int, pad text) PARTITION BY RANGE (ts);
CREATE TABLE v_1 PARTITION OF v FOR VALUES FROM ('2020-01-01') TO ('2020-02-01') WITH (autovacuum_enabled = off);
INSERT INTO v SELECT '2020-01-02', g, repeat('x', 700) FROM generate_series(1, 3000) g;
CREATE VIEW shows AS SELECT count(*) FROM v_1;
SELECT hone.add_tier_policy('v', archive_after => '1 day');
CALL hone.run_tier_policies();
DELETE FROM v_1 WHERE k > 100;
VACUUM v_1;
SELECT relispartition, pg_relation_size('v_1') < 200000 AS shorter FROM pg_class WHERE oid = 'v_1'::regclass;
DROP VIEW shows;
UPDATE hone._tier_state SET retry_at = NULL WHERE partition = 'v_1'::regclass;
CALL hone.run_tier_policies();
SELECT to_regclass('v_1'), rows FROM hone.archives WHERE partition = 'la.v_1' AND restored_at IS NULL;
SELECT hone.restore_archive(name) FROM hone.archives WHERE partition = 'la.v_1' AND restored_at IS NULL;
SELECT count(*), max(k) FROM v;
DROP TABLE v;

-- A default partition: detached under the lock timeout. Several levels: the leaf goes.
CREATE TABLE d (day date NOT NULL, k int, v text) PARTITION BY RANGE (day);
CREATE TABLE d_1 PARTITION OF d FOR VALUES FROM ('2020-01-01') TO ('2020-02-01') PARTITION BY LIST (k);
CREATE TABLE d_1_a PARTITION OF d_1 FOR VALUES IN (1);
CREATE TABLE d_1_b PARTITION OF d_1 FOR VALUES IN (2);
CREATE TABLE d_rest PARTITION OF d DEFAULT;
INSERT INTO d SELECT '2020-01-01', 1 + g % 2, 'x' FROM generate_series(1, 100) g;
SELECT hone.add_tier_policy('d', archive_after => '1 day', drop_after => '1000 years');
CALL hone.run_tier_policies();
SELECT parent, partition, rows FROM hone.archives WHERE parent ~ '^d' ORDER BY partition;
SELECT hone.restore_archive(name) FROM hone.archives WHERE parent ~ '^d' ORDER BY partition;
SELECT tableoid::regclass, count(*) FROM d GROUP BY 1 ORDER BY 1;
-- Its range is that of the policy's key, also where its own parent has another.
CREATE TABLE o (day date NOT NULL, k int) PARTITION BY RANGE (day);
CREATE TABLE o_1 PARTITION OF o FOR VALUES FROM ('2020-01-01') TO ('2020-02-01') PARTITION BY RANGE (k);
CREATE TABLE o_1_a PARTITION OF o_1 FOR VALUES FROM (0) TO (10);
SELECT hone.add_tier_policy('o', archive_after => '1 day');
CALL hone.run_tier_policies();
SELECT parent, partition, range_start AT TIME ZONE 'UTC' AS range_start, range_end AT TIME ZONE 'UTC' AS range_end FROM hone.archives WHERE partition = 'la.o_1_a';
DROP TABLE o;
-- Archives go when drop_after has passed.
CALL hone.move_partition('d_1_a', 'archive');
SELECT hone.alter_tier_policy('d', drop_after => '2 days');
SELECT hone.resume_worker();
CALL hone._run_worker();
SELECT hone.pause_worker();
SELECT partition, expired_at IS NOT NULL AS expired, restored_at IS NOT NULL AS restored FROM hone.archives WHERE parent ~ '^d' ORDER BY partition, name;
SELECT DISTINCT regexp_replace(try(format('SELECT hone.restore_archive(%L)', name)), '(".*"|at .*)', '', 'g') FROM hone.archives WHERE partition = 'la.d_1_a' AND restored_at IS NULL;

-- Away without an archive.
CREATE TABLE w (day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE w_1 PARTITION OF w FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE w_2 PARTITION OF w FOR VALUES FROM ('2020-02-01') TO (MAXVALUE);
INSERT INTO w VALUES ('2020-01-01'), ('2020-03-01');
SELECT hone.add_tier_policy('w', drop_after => '1 day', allow_drop_without_archive => true);
SELECT partition, to_tier, due FROM hone.tier_plan WHERE parent = 'w'::regclass ORDER BY 1;
CALL hone.run_tier_policies();
SELECT to_regclass('w_1'), count(*) FROM w;
SELECT partition_name, to_tier, error FROM hone.tier_log WHERE partition_name LIKE 'la.w%';

-- One that the list has lost: a superuser may, while its table is there.
CALL hone.move_partition('m_4', 'archive');
SELECT name AS lost FROM hone.archives WHERE partition = 'la.m_4' AND restored_at IS NULL \gset
DELETE FROM hone._archive WHERE name = :'lost';
SELECT hone.restore_archive(:'lost');
SELECT differ();
SELECT hone._archive_remove(:'lost');
-- Read into shared buffers, where the extension for that is there.
CALL hone.move_partition('m_4', 'archive');
SELECT try(format('SELECT hone.restore_archive(%L, prewarm => true)', name)) FROM hone.archives WHERE partition = 'la.m_4' AND restored_at IS NULL;
CREATE EXTENSION pg_prewarm;
SELECT hone.restore_archive(name, prewarm => true) FROM hone.archives WHERE partition = 'la.m_4' AND restored_at IS NULL;
DROP EXTENSION pg_prewarm;
SELECT differ();
-- The parent is gone: a table of its own.
DROP TABLE w, d, m;
SELECT hone.restore_archive(name) FROM hone.archives WHERE partition = 'la.m_2' AND restored_at IS NULL;
CREATE TABLE g (day date NOT NULL, e int) PARTITION BY RANGE (day);
CREATE TABLE g_1 PARTITION OF g FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
INSERT INTO g VALUES ('2020-01-05', 5);
CALL hone.move_partition('g_1', 'archive');
DROP TABLE g;
SELECT parent, partition, rows FROM hone.archives WHERE partition = 'la.g_1';
SELECT hone.restore_archive(name) FROM hone.archives WHERE partition = 'la.g_1';
TABLE g_1;

-- Who may.
CREATE ROLE hone_la_owner;
CREATE ROLE hone_la_other;
GRANT ALL ON SCHEMA la TO hone_la_owner, hone_la_other;
SET ROLE hone_la_owner;
CREATE TABLE o (day date NOT NULL) PARTITION BY RANGE (day);
CREATE TABLE o_1 PARTITION OF o FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
INSERT INTO o VALUES ('2020-01-05');
SELECT try('SELECT hone.add_tier_policy(''o'', archive_after => ''1 day'')');
CALL hone.move_partition('o_1', 'archive');
RESET ROLE;
GRANT pg_write_server_files TO hone_la_owner;
SET ROLE hone_la_owner;
SELECT hone.add_tier_policy('o', archive_after => '1 day');
CALL hone.run_tier_policies();
SELECT parent, rows, file FROM hone.archives WHERE parent = 'o';
SET ROLE hone_la_other;
SELECT try(format('SELECT hone.restore_archive(%L)', name)) FROM hone.archives WHERE parent = 'o';
SELECT try('SELECT hone.alter_tier_policy(''o'', archive_after => ''2 days'')');
SET ROLE hone_la_owner;
SELECT hone.restore_archive(name) FROM hone.archives WHERE parent = 'o';
SELECT o.*, (SELECT relowner::regrole FROM pg_class WHERE oid = 'o_1'::regclass) FROM o;
RESET ROLE;
SELECT hone.resume_worker();
SELECT count(hone._archive_remove(name)) FROM hone._archive WHERE partition_name LIKE 'la.%';
DELETE FROM hone._archive WHERE partition_name LIKE 'la.%';
DROP SCHEMA la CASCADE;
DROP OWNED BY hone_la_owner, hone_la_other;
DROP ROLE hone_la_owner, hone_la_other;
\endif
