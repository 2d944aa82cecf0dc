-- What is counted as a call.
CREATE TABLE stats_t (id int PRIMARY KEY, v text);
CREATE VIEW stats_calls AS
    SELECT query, toplevel, calls, errors, rows
    FROM hone.queries
    WHERE datname = current_database() AND query !~ 'hone\.|stats_calls';
INSERT INTO stats_t SELECT g, 'v' || g FROM generate_series(1, 100) AS g;
ANALYZE stats_t;
SELECT hone.reset();

-- constants make no difference, comments neither
SELECT id AS simple FROM stats_t WHERE id = 1;
SELECT id AS simple FROM stats_t WHERE id = 2;
SELECT id AS simple FROM stats_t /* hello */ WHERE id = 3 -- and more
;
-- a prepared statement, with custom and generic plans
PREPARE p (int) AS SELECT id AS prepared FROM stats_t WHERE id = $1;
EXECUTE p(1);
EXECUTE p(2);
SET plan_cache_mode = force_generic_plan;
EXECUTE p(3);
EXECUTE p(4);
RESET plan_cache_mode;
DEALLOCATE p;
-- a cursor is one call, the sum of its runs
BEGIN;
DECLARE c1 CURSOR FOR SELECT id AS cursored FROM stats_t ORDER BY id;
FETCH 2 FROM c1;
FETCH 3 FROM c1;
MOVE 1 IN c1;
CLOSE c1;
COMMIT;
-- one that a rollback drops is a call as well; one never fetched from is not
BEGIN;
DECLARE c2 CURSOR FOR SELECT id AS abandoned FROM stats_t ORDER BY id DESC;
FETCH 4 FROM c2;
DECLARE c3 CURSOR FOR SELECT id AS unfetched FROM stats_t ORDER BY v;
ROLLBACK;
-- writes, with rows
INSERT INTO stats_t SELECT g, 'w' FROM generate_series(101, 110) AS g;
UPDATE stats_t SET v = 'x' WHERE id > 105;
DELETE FROM stats_t WHERE id > 100;
WITH gone AS (DELETE FROM stats_t WHERE id = 100 RETURNING *) SELECT id FROM gone;
-- utility statements, COPY with rows
CREATE TABLE stats_u AS SELECT id FROM stats_t LIMIT 7;
COPY stats_u FROM stdin;
1
2
\.
COPY stats_u TO stdout;
DROP TABLE stats_u;
SELECT * FROM stats_calls ORDER BY query COLLATE "C";

-- names and values that are made up anew each time are one statement
SELECT hone.reset();
BEGIN;
SAVEPOINT s1;
RELEASE s1;
SAVEPOINT s2;
ROLLBACK TO SAVEPOINT s2;
SET LOCAL application_name = 'job 17';
SET LOCAL application_name = 'job 18';
SET LOCAL application_name TO job_19;
SET LOCAL search_path TO tenant_1, public;
SET LOCAL search_path TO tenant_2, public;
NOTIFY stats_channel, 'one';
NOTIFY stats_channel, 'two';
COMMIT;
-- nor do comments: an application's request id makes no new statement
BEGIN /*traceparent='00-1'*/;
COMMIT /* one */;
BEGIN /*traceparent='00-2'*/;
/* two */ COMMIT;
SELECT * FROM stats_calls ORDER BY query COLLATE "C";

-- lists of constants or parameters: since 18 one statement whatever their
-- length, and parameters are numbered as in the text where there is no list
SELECT hone.reset();
SELECT count(*) AS listed FROM stats_t WHERE id IN (1, 2, 3);
SELECT count(*) AS listed FROM stats_t WHERE id IN (4, 5);
PREPARE two(int, int) AS SELECT count(*) AS bound FROM stats_t WHERE id > $2 AND id < 50 AND id > $1;
EXECUTE two(1, 2);
PREPARE listed(int, int, int) AS SELECT count(*) AS bound_list FROM stats_t WHERE v IS NOT NULL AND id IN ($1, $2, $3);
EXECUTE listed(1, 2, 3);
DEALLOCATE two;
DEALLOCATE listed;
SELECT count(*) = CASE WHEN current_setting('server_version_num')::int >= 180000 THEN 1 ELSE 2 END AS list_is_one,
       sum(calls) AS calls
FROM hone.queries WHERE query LIKE '%AS listed%';
SELECT regexp_replace(query, '\$1, \$2, \$3|\$1 /\*, ... \*/', '<list>') AS query, calls
FROM hone.queries WHERE query LIKE '%AS bound%' ORDER BY query COLLATE "C";

-- failures are calls: in the executor, in the planner, by a constraint,
-- cancelled by a timeout
SELECT hone.reset();
SELECT 10 / (id - 1) AS failing FROM stats_t WHERE id < 3;
SELECT 1 / 0 AS constant;
INSERT INTO stats_t VALUES (1, 'again');
BEGIN;
SET LOCAL statement_timeout = '50ms';
SELECT pg_sleep(10) AS slow;
ROLLBACK;
SELECT * FROM stats_calls WHERE errors > 0 ORDER BY query COLLATE "C";
SELECT max_exec_ms BETWEEN 45 AND 9000 AS until_cancelled FROM hone.queries WHERE query LIKE '%AS slow%';

-- statements inside others: only with hone.track = all, never the triggers
-- that keep foreign keys
CREATE TABLE stats_child (id int REFERENCES stats_t ON DELETE CASCADE);
CREATE FUNCTION stats_f(n int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    r record;
    total bigint := 0;
BEGIN
    FOR r IN SELECT id AS in_loop FROM stats_t WHERE id <= n LOOP
        SELECT total + count(*) INTO total FROM stats_t AS inner_one WHERE id = r.in_loop;
    END LOOP;
    BEGIN
        PERFORM 1 / (n - n);
    EXCEPTION WHEN division_by_zero THEN
        total := total + 1000;
    END;
    RETURN total;
END $$;
SELECT hone.reset();
SELECT stats_f(3);
INSERT INTO stats_child VALUES (1);
SELECT * FROM stats_calls ORDER BY query COLLATE "C";
SELECT hone.reset();
SET hone.track = 'all';
SELECT stats_f(3);
INSERT INTO stats_child VALUES (2);
DELETE FROM stats_t WHERE id = 2;
RESET hone.track;
SELECT * FROM stats_calls WHERE query !~ '^RESET' ORDER BY query COLLATE "C", toplevel;
-- the handled error was nobody's to see
SELECT toplevel, sqlstate, errors FROM hone.errors;

-- deferred triggers at commit and functions that choose partitions are inside
CREATE TABLE stats_late (id int) PARTITION BY LIST (id);
CREATE TABLE stats_late_1 PARTITION OF stats_late FOR VALUES IN (1);
CREATE TABLE stats_late_2 PARTITION OF stats_late FOR VALUES IN (2);
CREATE FUNCTION stats_deferred() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM count(*) FROM stats_u2;
    RETURN NULL;
END $$;
CREATE FUNCTION stats_one_of() RETURNS int STABLE LANGUAGE plpgsql AS $$
BEGIN
    PERFORM max(id) FROM stats_u2;
    RETURN 1;
END $$;
CREATE TABLE stats_u2 (id int);
CREATE CONSTRAINT TRIGGER stats_deferred AFTER INSERT ON stats_u2
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stats_deferred();
SELECT hone.reset();
INSERT INTO stats_u2 VALUES (1);
SELECT count(*) FROM stats_late WHERE id = stats_one_of();
SELECT * FROM stats_calls ORDER BY query COLLATE "C";
SELECT hone.reset();
SET hone.track = 'all';
INSERT INTO stats_u2 VALUES (1);
SELECT count(*) FROM stats_late WHERE id = stats_one_of();
RESET hone.track;
SELECT query, toplevel, calls > 0 AS called FROM stats_calls WHERE query !~ '^RESET' ORDER BY query COLLATE "C", toplevel;
DROP TABLE stats_u2, stats_late;
DROP FUNCTION stats_deferred, stats_one_of;

-- procedures and blocks that commit in between
CREATE PROCEDURE stats_p(n int) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1..n LOOP
        INSERT INTO stats_child VALUES (3);
        COMMIT;
        INSERT INTO stats_child VALUES (4);
        ROLLBACK;
    END LOOP;
END $$;
SELECT hone.reset();
SET hone.track = 'all';
CALL stats_p(3);
CALL stats_p(2);
DO $$ BEGIN INSERT INTO stats_child VALUES (5); COMMIT; END $$;
RESET hone.track;
SELECT * FROM stats_calls WHERE query !~ '^RESET' ORDER BY query COLLATE "C", toplevel;

-- subtransactions rolled back and errors in them
SELECT hone.reset();
BEGIN;
SAVEPOINT a;
SELECT 10 / (id - 1) AS failing FROM stats_t WHERE id < 3;
ROLLBACK TO a;
SELECT count(v) AS going_on FROM stats_t;
COMMIT;
SELECT * FROM stats_calls ORDER BY query COLLATE "C";

-- several statements in one message, and SQLCommenter's keys
SELECT hone.reset();
SELECT true AS first_one, 1 AS one\; SELECT 'a' AS second_one /*controller='users',action='show'*/ ;
SELECT * FROM stats_calls ORDER BY query COLLATE "C";

-- parallel workers count to their leader
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT hone.reset();
SELECT sum(id) AS in_parallel FROM stats_t;
RESET ALL;
SELECT * FROM stats_calls WHERE query LIKE '%in_parallel%';

-- plans are counted apart
SELECT hone.reset();
PREPARE q AS SELECT max(v) AS planned_once FROM stats_t;
EXECUTE q;
EXECUTE q;
EXECUTE q;
DEALLOCATE q;
SELECT calls, plans, total_plan_ms > 0 AS timed, shared_blks_hit > 0 AS blocks,
       first_seen <= last_seen AS in_order
FROM hone.queries WHERE query LIKE '%planned\_once%' AND query !~ 'hone';

DROP PROCEDURE stats_p;
DROP FUNCTION stats_f;
DROP VIEW stats_calls;
DROP TABLE stats_child, stats_t;
SELECT hone.reset();
