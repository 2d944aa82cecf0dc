-- What other roles see.
CREATE ROLE stats_one;
CREATE ROLE stats_two;
CREATE ROLE stats_reader;
GRANT pg_read_all_stats TO stats_reader;
SELECT hone.reset();
SET ROLE stats_one;
SELECT 'x' AS of_one;
RESET ROLE;
SELECT queryid AS of_one FROM hone.queries WHERE query LIKE '%AS of_one' \gset
SET ROLE stats_two;
SELECT 'x' AS of_two, 'y' AS more;
-- one's own with text, others' numbers without
SELECT rolname, queryid IS NOT NULL AS queryid, query, calls
FROM hone.queries WHERE rolname IN ('stats_one', 'stats_two') AND query !~ 'queries|ROLE' ORDER BY rolname, query;
SELECT hone.percentile(:of_one, 0.5) IS NULL AS not_shown;
SELECT count(*) FROM hone.latency_histogram(:of_one);
SELECT count(*) > 0 AS allowed FROM hone.top;
SELECT count(*) > 0 AS allowed FROM hone.status;
SELECT count(*) AS allowed FROM hone.errors;
-- processes that one may not see are not reported as missing
SELECT value IS DISTINCT FROM 'not running' AS fair FROM hone.status WHERE item = 'worker';
-- not for everybody
SELECT hone.reset();
SELECT hone._evict();
SELECT hone._sample_text(:of_one);
RESET ROLE;
SET ROLE stats_reader;
SELECT rolname, query, calls FROM hone.queries WHERE query LIKE '%AS of\_%' ORDER BY rolname;
SELECT hone.percentile(:of_one, 0.5) IS NOT NULL AS shown;
RESET ROLE;
-- without texts, none is read
SELECT count(*) > 0 AS rows, count(query) AS texts FROM hone.query_stats(false);
SELECT hone._sample_text(:of_one);
DROP ROLE stats_one, stats_two, stats_reader;
SELECT hone.reset();
