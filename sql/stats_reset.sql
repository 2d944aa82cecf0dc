-- reset() of one query and of all
SELECT hone.reset();
SELECT 1 AS kept;
SELECT 'a' AS forgotten;
SELECT 'b' AS forgotten;
SELECT queryid AS forgotten FROM hone.queries WHERE query LIKE '%AS forgotten' \gset
SELECT hone.reset(:forgotten);
SELECT query, calls FROM hone.queries WHERE query ~ 'AS (kept|forgotten)$' ORDER BY 1;
SELECT hone.percentile(:forgotten, 0.5) IS NULL AS gone;
-- it counts anew, with its text
SELECT 'c' AS forgotten;
SELECT query, calls FROM hone.queries WHERE queryid = :forgotten;
-- errors go as well
SELECT 1 / 0 AS failing;
SELECT count(*) FROM hone.errors;
SELECT hone.reset();
SELECT count(*) FROM hone.errors;
SELECT count(*) FROM hone.queries WHERE query ~ 'AS (kept|forgotten)$';
-- of a query that is not there
SELECT hone.reset(42);
