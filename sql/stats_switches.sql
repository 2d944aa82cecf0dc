-- the kill switch and hone.track, from one statement to the next
SELECT hone.reset();
SET hone.enabled = off;
SELECT 1 AS unseen;
SELECT 1 / 0 AS unseen_failure;
SELEC;
RESET hone.enabled;
SET hone.track = 'none';
SELECT 2 AS unseen;
SELEC;
RESET hone.track;
SELECT 3 AS seen;
SELECT query, calls FROM hone.queries WHERE query ~ 'AS (un)?seen' ORDER BY 1;
SELECT count(*) FROM hone.errors;
SELECT item, ok, hint FROM hone.status WHERE item IN ('preloaded', 'enabled', 'track', 'queryid') ORDER BY item;
SET hone.enabled = off;
SET hone.track = 'none';
SELECT item, value, ok, hint FROM hone.status WHERE item IN ('enabled', 'track') ORDER BY item;
RESET hone.enabled;
RESET hone.track;
-- switched off and on in the middle of a statement
SELECT set_config('hone.enabled', 'off', false) AS off_inside;
SELECT set_config('hone.enabled', 'on', false) AS on_inside;
RESET hone.enabled;
SELECT 4 AS seen;
SELECT calls FROM hone.queries WHERE query LIKE '%AS seen';
-- they are the superuser's
CREATE ROLE stats_nobody;
SET ROLE stats_nobody;
SET hone.enabled = off;
SET hone.track = 'none';
RESET ROLE;
DROP ROLE stats_nobody;
-- what is reported while the queryid is not computed
SET compute_query_id = off;
SELECT ok, hint FROM hone.status WHERE item = 'queryid';
RESET compute_query_id;
SELECT hone.reset();
