-- Settings, dismissing, what is new, forgetting.
CREATE SCHEMA advise_switch;
SET search_path = advise_switch, public;
SET client_min_messages = warning;
CREATE TABLE t (id int PRIMARY KEY, a int);
INSERT INTO t SELECT g, g FROM generate_series(1, 3000) g;
ANALYZE t;
SELECT hone.reset_recommendations() >= 0 AS reset;
SELECT string_agg(name, ' ' ORDER BY name) AS settings, bool_and(short_desc <> '') AS described
FROM pg_settings WHERE name ~ '^hone\.(advise|detectors|n_plus_one|row_by_row|alert|recommendation_ttl|max_recommendations)';
SELECT column_name, data_type FROM information_schema.columns
WHERE table_schema = 'hone' AND table_name = 'recommendations' ORDER BY ordinal_position;

\o /dev/null
\set ECHO none
-- off
SET hone.detectors = off;
SELECT * FROM t WHERE a = 5;
SELECT id FROM t ORDER BY id OFFSET 2000;
RESET hone.detectors;
SET hone.enabled = off;
SELECT * FROM t WHERE a = 5;
SELECT id FROM t ORDER BY id OFFSET 2000;
RESET hone.enabled;
-- higher bars
SET hone.advise_filter_rows = 100000;
SET hone.advise_offset_rows = 100000;
SET hone.n_plus_one_threshold = 100;
SELECT * FROM t WHERE a = 5;
SELECT id FROM t ORDER BY id OFFSET 2000;
BEGIN;
SELECT id FROM t ORDER BY id LIMIT 20;
SELECT format('SELECT a FROM t WHERE id = %s', g) FROM generate_series(1, 20) g \gexec
COMMIT;
\set ECHO all
\o
SELECT count(*) FROM hone.recommendations;
RESET hone.advise_filter_rows;
RESET hone.advise_offset_rows;
RESET hone.n_plus_one_threshold;
SET hone.n_plus_one_threshold = 1;

-- rolled back work was done all the same; failed statements are let pass
\o /dev/null
\set ECHO none
BEGIN;
SELECT id FROM t ORDER BY id LIMIT 20;
SAVEPOINT s;
SELECT format('SELECT a FROM t WHERE id = %s', g) FROM generate_series(1, 20) g \gexec
ROLLBACK TO s;
\set VERBOSITY sqlstate
SELECT 1 / (a - a) FROM t WHERE a = 5;
\set VERBOSITY default
ROLLBACK;
\set ECHO all
\o
SELECT kind, calls FROM hone.recommendations ORDER BY kind;

-- told once, told again when there is more
SELECT kind FROM hone.analyze_workload();
SELECT kind FROM hone.analyze_workload();
\o /dev/null
\set ECHO none
SELECT id FROM t ORDER BY id OFFSET 2000;
\set ECHO all
\o
SELECT kind FROM hone.analyze_workload();
SELECT kind FROM hone.analyze_workload();

-- dismissed, and so it stays
SELECT hone.dismiss_recommendation(id, 'a report, once a year') FROM hone.recommendations WHERE kind = 'offset_pagination';
\o /dev/null
\set ECHO none
SELECT id FROM t ORDER BY id OFFSET 2000;
\set ECHO all
\o
SELECT kind, status, reason FROM hone.recommendations LEFT JOIN hone.dismissed_recommendations d USING (id, kind) ORDER BY kind;
SELECT hone.reset_recommendations() > 0 AS reset;
SELECT count(*) FROM hone.recommendations;
\o /dev/null
\set ECHO none
SELECT id FROM t ORDER BY id OFFSET 2000;
\set ECHO all
\o
SELECT kind, calls, status FROM hone.recommendations;
SELECT hone.dismiss_recommendation(-1);
SELECT hone.dismiss_recommendation(NULL);

-- layout, comments and values do not matter; other types and columns are other
-- statements, of which the first stay together
\o /dev/null
\set ECHO none
/* one */ SELECT id FROM t WHERE id > 1 ORDER BY id OFFSET 2000;
select  id from t where id>2.5 order by id offset 2000 -- two
;
SELECT id FROM t WHERE id < 5000 ORDER BY id OFFSET 2000;
\set ECHO all
\o
SELECT hone.dismiss_recommendation(id, 'two at once') FROM hone.recommendations WHERE fix LIKE '%id > 1%';
SELECT count(*), count(DISTINCT id) AS ids, status FROM hone.recommendations GROUP BY status ORDER BY status;
-- seen again with another text of the same query
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT id FROM advise_switch.t WHERE (id) > 3 ORDER BY id OFFSET 2000;
\set ECHO all
\o
SELECT status FROM hone.recommendations;
-- dismissed in a database that was dumped: the id is another one
UPDATE hone.dismissed_recommendations SET id = id + 1;
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT id FROM t WHERE id > 7 ORDER BY id OFFSET 2000;
\set ECHO all
\o
SELECT status FROM hone.recommendations;
-- a list of constants of whatever length
\o /dev/null
\set ECHO none
SELECT id FROM t WHERE id NOT IN (1, 2) ORDER BY id OFFSET 2000;
\set ECHO all
\o
SELECT hone.dismiss_recommendation(id) FROM hone.recommendations WHERE status = 'open';
SELECT hone.reset_recommendations() > 0 AS reset;
\o /dev/null
\set ECHO none
SELECT id FROM t WHERE id NOT IN (3, 4, 5, 6) ORDER BY id OFFSET 2000;
\set ECHO all
\o
SELECT status FROM hone.recommendations;
SELECT held > 0 AS held, room, dropped FROM hone._findings();

SELECT hone.reset_recommendations() > 0 AS reset;
TRUNCATE hone.dismissed_recommendations;
DROP SCHEMA advise_switch CASCADE;
