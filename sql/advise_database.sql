-- What the statistics say of a database as a whole: short connections, reads from outside shared buffers.
SET client_min_messages = warning;
SELECT current_database() AS home \gset
CREATE DATABASE hone_advise_database;
-- how fast the connections below are is this machine's affair
ALTER DATABASE hone_advise_database SET hone.advise_connection_rate = 100000;
\c hone_advise_database
SET client_min_messages = warning;
CREATE EXTENSION pg_hone;
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
\c -
SELECT count(*) FROM hone.recommendations;

-- many connections, all of them short, once those that ended are counted
DO $$
BEGIN
    FOR i IN 1..100 LOOP
        EXIT WHEN (SELECT sum(connections_ended) FROM hone.databases WHERE datname = current_database()) >= 22;
        PERFORM pg_sleep(0.1);
    END LOOP;
END
$$;
SELECT count(*) FROM hone.recommendations;
SET hone.advise_connection_rate = 0.0001;
SELECT kind, relation, queryid, calls >= 22 AS calls, cost_ms > 0 AS cost, fix, evidence->'no_fix' AS no_fix,
       regexp_replace(summary, '[0-9.]+', 'N', 'g') AS summary,
       evidence ?& '{connections_per_s,length_p50_ms,length_mean_ms}' AS evidence, status
FROM hone.recommendations;
-- dismissed like the others; told once, whatever its figures are then, until it is gone
SELECT hone.dismiss_recommendation(id, 'a test') FROM hone.recommendations;
SELECT kind, status FROM hone.recommendations;
SELECT kind, status FROM hone.analyze_workload();
SELECT count(*) FROM hone.analyze_workload();
RESET hone.advise_connection_rate;
SELECT count(*) FROM hone.recommendations;
SELECT count(*) FROM hone.analyze_workload();
SET hone.advise_connection_rate = 0.0001;
SELECT kind, status FROM hone.analyze_workload();
RESET hone.advise_connection_rate;

-- so is what is made from the catalogs; a transaction that is read-only remembers nothing
CREATE TABLE twins (a int PRIMARY KEY);
CREATE INDEX twins_again ON twins (a);
CREATE TABLE keyless (a int);
SET hone.advise_index_size = 0;
CREATE VIEW news AS SELECT kind, severity, relation FROM hone.analyze_workload() ORDER BY kind;
BEGIN READ ONLY;
SELECT * FROM news;
SELECT count(*) FROM news;
COMMIT;
-- nor one that is rolled back
BEGIN;
SELECT count(*) FROM news;
SELECT count(*) FROM news;
ROLLBACK;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT count(*) FROM news;
SELECT count(*) FROM news;
COMMIT;
SELECT count(*) FROM news;
-- who sees less does not know what is gone
SET hone.detectors = off;
SELECT count(*) FROM news;
RESET hone.detectors;
SELECT count(*) FROM news;
CREATE ROLE hone_test_reader;
GRANT EXECUTE ON FUNCTION hone.analyze_workload(), hone._new_recommendations(), hone._tell(bigint[], bigint[], boolean) TO hone_test_reader;
SET ROLE hone_test_reader;
SELECT count(*) FROM hone.analyze_workload();
RESET ROLE;
SELECT count(*) FROM news;
-- another severity is news, what comes back is new, and nothing is kept of what is gone
SET client_min_messages = error;
CREATE PUBLICATION hone_test_publication FOR TABLE keyless;
SELECT * FROM news;
SELECT count(*) FROM news;
DROP PUBLICATION hone_test_publication;
DROP INDEX twins_again;
SELECT * FROM news;
CREATE INDEX twins_again ON twins (a);
SELECT * FROM news;
DROP VIEW news;
DROP TABLE twins, keyless;
SELECT count(*) FROM hone.analyze_workload();
SELECT count(*) FROM hone._told;
RESET client_min_messages;
RESET hone.advise_index_size;
DROP OWNED BY hone_test_reader;
DROP ROLE hone_test_reader;

-- a table whose blocks are not in shared buffers
CREATE TABLE cold (id int, pad text);
INSERT INTO cold SELECT g, repeat('x', 500) FROM generate_series(1, 2000) g;
CREATE TABLE warm AS SELECT * FROM cold;
\o /dev/null
\set ECHO none
SELECT v.s FROM generate_series(1, 12) AS g, LATERAL (VALUES (1, 'VACUUM FULL cold'), (2, 'SELECT count(*) FROM cold'), (3, 'SELECT count(*) FROM warm')) AS v(n, s) ORDER BY g, n \gexec
\set ECHO all
\o
SELECT count(*) FROM hone.recommendations WHERE kind <> 'repeated_query';
SET hone.advise_cache_read = '2MB';
SELECT kind, relation, calls, fix, evidence->'no_fix' AS no_fix, evidence->'query' AS query, evidence->'read_time_measured' AS measured,
       (evidence->>'read_mb')::float8 > 10 AS read, regexp_replace(summary, '[0-9]+ (%|MB)', 'N \1', 'g') AS summary
FROM hone.recommendations WHERE kind <> 'repeated_query';
-- whoever may not see which queries others run sees nothing of them
CREATE ROLE hone_test_reader;
SET ROLE hone_test_reader;
SELECT kind, evidence ? 'query' AS query FROM hone.recommendations WHERE kind <> 'repeated_query';
RESET ROLE;
DROP ROLE hone_test_reader;
\c :home
DROP DATABASE hone_advise_database;
