-- The sketch against sorted samples: the nearest-rank percentile of hostile
-- shapes, each within 1 % of the exact one.
CREATE FUNCTION pg_temp.worst_error(samples float8[]) RETURNS float8
LANGUAGE sql AS $$
    SELECT max(abs(hone._histogram_percentile(samples, f) - exact) / exact)
    FROM (SELECT array_agg(s ORDER BY s) AS sorted, count(*) AS n FROM unnest(samples) AS s) AS a,
         unnest(ARRAY[0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.999999, 1]) AS f,
         LATERAL (SELECT sorted[greatest(ceil(f * n)::int, 1)] AS exact) AS e
$$;

SELECT setseed(0.42);
-- constant
SELECT pg_temp.worst_error(array_fill(12.345::float8, ARRAY[1000])) < 1e-9 AS exact;
-- two humps, a factor of 10^5 apart
SELECT pg_temp.worst_error(array_agg(CASE WHEN g % 2 = 0 THEN 0.01 + random() * 0.001
                                          ELSE 1000 + random() * 10 END)) <= 0.01 AS within
FROM generate_series(1, 10000) AS g;
-- heavy tail, from 1 us to hours
SELECT pg_temp.worst_error(array_agg(0.001 / power(1 - random(), 2))) <= 0.01 AS within
FROM generate_series(1, 20000) AS g;
-- spread evenly over the whole range on a log scale, 1 us to 2 hours
SELECT pg_temp.worst_error(array_agg(round(exp(ln(0.001) + g * (ln(7200000) - ln(0.001)) / 50000)::numeric, 6)::float8)) <= 0.01 AS within
FROM generate_series(0, 50000) AS g;
-- one outlier in a million: it is the maximum, and nothing else
SELECT hone._histogram_percentile(samples, 1) = 60000 AS maximum,
       hone._histogram_percentile(samples, 0.999999) AS p999999
FROM (SELECT array_fill(1::float8, ARRAY[999999]) || 60000::float8 AS samples) AS a;
-- the extremes are exact
SELECT hone._histogram_percentile(ARRAY[0.001234, 5, 3599999.123456], 0) AS lowest,
       hone._histogram_percentile(ARRAY[0.001234, 5, 3599999.123456], 1) AS highest;
-- every bucket border: just below, on and just above powers of two
SELECT pg_temp.worst_error(array_agg((power(2, e)::numeric + d)::float8 / 1e6)) <= 0.01 AS within
FROM generate_series(10, 43) AS e, generate_series(-1, 1) AS d;

-- Merging is adding: the same figures whether counted together or apart.
SELECT bool_and(hone._histogram_percentile(a, b, f) = hone._histogram_percentile(a || b, f)) AS equal
FROM (SELECT array_agg(random() * 10) AS a, array_agg(power(10, random() * 6)) AS b
      FROM generate_series(1, 5000)) AS s,
     unnest(ARRAY[0, 0.5, 0.9, 0.99, 1]) AS f;
SELECT hone._histogram_percentile('{}'::float8[], 0.5) IS NULL AS nothing;

-- Real calls: figures are ordered and lie between the exact extremes.
SELECT hone.reset();
SET hone.track = 'all';
DO $$
BEGIN
    FOR i IN 1..50 LOOP
        PERFORM pg_sleep(CASE WHEN i = 50 THEN 0.05 ELSE 0.001 END);
    END LOOP;
END $$;
RESET hone.track;
SELECT calls, min_exec_ms <= p50_ms AND p50_ms <= p90_ms AND p90_ms <= p95_ms
       AND p95_ms <= p99_ms AND p99_ms <= p999_ms AND p999_ms <= max_exec_ms AS ordered,
       p50_ms >= 1 AND p50_ms < 50 AS half, max_exec_ms >= 50 AS slowest,
       p999_ms = max_exec_ms AS tail,
       abs(mean_exec_ms - total_exec_ms / calls) < 1e-6 AS mean,
       stddev_exec_ms > 0 AND stddev_exec_ms < max_exec_ms AS deviation
FROM hone.queries WHERE query LIKE '%pg_sleep(CASE%' AND NOT toplevel;

SELECT queryid AS sleeper FROM hone.queries WHERE query LIKE '%pg_sleep(CASE%' AND NOT toplevel \gset
SELECT hone.percentile(:sleeper, 0.5) = (SELECT p50_ms FROM hone.queries WHERE queryid = :sleeper) AS same;
SELECT array_length(hone.percentile(:sleeper, ARRAY[0, 0.5, NULL, 1]), 1) AS length,
       (hone.percentile(:sleeper, ARRAY[0, 0.5, NULL, 1]))[3] IS NULL AS null_stays,
       (hone.percentile(:sleeper, ARRAY[0, 0.5, NULL, 1]))[4] = hone.percentile(:sleeper, 1) AS same;
SELECT hone.percentile(:sleeper, '{}'::float8[]);
SELECT sum(calls) AS calls, bool_and(lower_ms < upper_ms) AS rising,
       bool_and(length(bar) <= 40 AND (length(bar) > 0) = (calls > 0)) AS bars,
       count(*) > 10 AS with_gaps
FROM hone.latency_histogram(:sleeper);

-- what is not there, and what cannot be
SELECT hone.percentile(42, 0.5) IS NULL AS unknown;
SELECT count(*) FROM hone.latency_histogram(42);
SELECT hone.percentile(:sleeper, 95);
SELECT hone.percentile(:sleeper, -0.1);
SELECT hone.percentile(:sleeper, 'NaN');
SELECT hone.percentile(:sleeper, ARRAY[0.5, 2]);
SELECT hone.percentile(:sleeper, ARRAY[[0.5], [0.9]]);
