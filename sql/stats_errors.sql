-- Each error the client sees is counted once, with its query where there is one.
CREATE TABLE stats_e (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED);
CREATE VIEW stats_errors AS
    SELECT query, toplevel, sqlstate, errors FROM hone.errors WHERE datname = current_database();
SELECT hone.reset();
-- in the parser and in parse analysis: no statement
SELEC 1;
SELECT nothing FROM nowhere;
SELECT nothing FROM nowhere;
-- in the planner, the executor's start, its run and its end
SELECT 1 / 0 AS planned, true;
CREATE ROLE stats_nobody;
SET ROLE stats_nobody;
SELECT id AS forbidden FROM stats_e;
RESET ROLE;
DROP ROLE stats_nobody;
SELECT 1 / id AS executed FROM (VALUES (0)) AS v(id), generate_series(1, 1);
-- in a utility statement, once; also in one that is only a way to another
CREATE TABLE stats_e (id int);
EXECUTE nothing;
FETCH FROM nowhere;
-- at commit, without a statement
INSERT INTO stats_e VALUES (1), (1);
-- in an aborted transaction
BEGIN;
SELECT 1 / 0 AS planned, true;
SELECT 1;
ROLLBACK;
-- inside a function: the client's statement failed, once
DO $$ BEGIN EXECUTE 'SELEC'; END $$;
-- and handled there: nothing failed
DO $$ BEGIN EXECUTE 'SELEC'; EXCEPTION WHEN OTHERS THEN END $$;
DO $$ BEGIN PERFORM 1 / 0; EXCEPTION WHEN OTHERS THEN END $$;
SELECT * FROM stats_errors ORDER BY query COLLATE "C" NULLS FIRST, sqlstate COLLATE "C";
SELECT query, calls, errors FROM hone.queries
WHERE errors > 0 AND datname = current_database() ORDER BY query COLLATE "C";
-- inside statements too, those show as not the client's
SELECT hone.reset();
SET hone.track = 'all';
DO $$ BEGIN PERFORM 1 / 0; EXCEPTION WHEN OTHERS THEN END $$;
RESET hone.track;
SELECT * FROM stats_errors;
DROP VIEW stats_errors;
DROP TABLE stats_e;
SELECT hone.reset();
