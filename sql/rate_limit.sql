-- Token buckets in shared memory: what may go ahead, when the others may, and
-- what is no rate, burst, cost or key. Rates are so low that no time of a test
-- adds a token, or so high that it adds all.

-- the burst, then nothing for a day
SELECT allowed, retry_after = interval '0' AS at_once, retry_after > interval '23 hours' AND retry_after <= interval '24 hours' AS in_a_day
FROM generate_series(1, 4) i, LATERAL hone.rate_limit('three' || left(i::text, 0), 1 / 86400.0, 3);
-- a refused call takes nothing
SELECT retry_after <= interval '24 hours' AS in_a_day FROM hone.rate_limit('three', 1 / 86400.0, 3);

-- cost; what is too dear now leaves the rest to others
SELECT allowed FROM hone.rate_limit('cost', 0.001, 10, 7);
SELECT allowed, round(extract(epoch FROM retry_after) / 1000) FROM hone.rate_limit('cost', 0.001, 10, 7);
SELECT allowed FROM hone.rate_limit('cost', 0.001, 10, 3);
SELECT allowed FROM hone.rate_limit('cost', 0.001, 10, 0.5);
SELECT allowed FROM hone.rate_limit(key => 'named', rate => 0.001, burst => 1.5, cost => 1.5);

-- keys are apart, also the empty one, long ones, and those alike but for case
SELECT allowed FROM unnest(ARRAY['', repeat('x', 100000), repeat('x', 100001), 'a', 'A', 'a ', 'a']) WITH ORDINALITY k(key, n),
    LATERAL hone.rate_limit(key, 0.001, 1) ORDER BY n;

-- a bucket fills again, but to its burst only
SELECT allowed FROM hone.rate_limit('fills', 1e9, 10, 10);
SELECT pg_sleep(0.001);
SELECT allowed FROM hone.rate_limit('fills', 1e9, 10, 10);
SELECT pg_sleep(0.001);
SELECT allowed FROM hone.rate_limit('fills', 1e9, 10, 1e-6);
SELECT count(*) FILTER (WHERE allowed) FROM generate_series(1, 5) i, LATERAL hone.rate_limit('fills' || left(i::text, 0), 1e-9, 10, 6);
-- the rate and the burst are those of the call
SELECT allowed FROM hone.rate_limit('changed', 0.001, 100, 50);
SELECT allowed FROM hone.rate_limit('changed', 0.001, 10, 10);
SELECT allowed FROM hone.rate_limit('changed', 0.001, 100, 10);

-- what was taken stays taken after a rollback
BEGIN;
SELECT allowed FROM hone.rate_limit('rolled back', 0.001, 1);
ROLLBACK;
SELECT allowed FROM hone.rate_limit('rolled back', 0.001, 1);
-- nothing of it is written
BEGIN READ ONLY;
SELECT allowed FROM hone.rate_limit('read only', 0.001, 1);
COMMIT;

-- waiting: not where there are tokens, else until they are there
SELECT hone.rate_limit_wait('wait', 2, 2);
SELECT hone.rate_limit_wait('wait', 2, 2) = interval '0' AS at_once;
SELECT hone.rate_limit_wait('wait', 2, 2) BETWEEN interval '1 millisecond' AND interval '10 seconds' AS waited;
SELECT sum(hone.rate_limit_wait('debt', 20, 1)) >= interval '50 milliseconds' AS waited FROM generate_series(1, 3);
-- not longer than that: says so at once, and takes nothing
SELECT hone.rate_limit_wait('patience', 0.001, 5, 5);
SELECT hone.rate_limit_wait('patience', 0.001, 5, 1, timeout => '1 minute') IS NULL AS refused;
SELECT hone.rate_limit_wait('patience', 0.001, 5, 1, timeout => '0') IS NULL AS refused;
SELECT round(extract(epoch FROM retry_after) / 1000) FROM hone.rate_limit('patience', 0.001, 5, 1);
SELECT hone.rate_limit_wait('patience 0', 0.001, 5, 1, timeout => '0');
-- a sleep that is cancelled gives its tokens back
BEGIN;
SET LOCAL statement_timeout = '50ms';
SELECT hone.rate_limit_wait('patience', 0.001, 5, 4);
ROLLBACK;
SELECT round(extract(epoch FROM retry_after) / 1000) FROM hone.rate_limit('patience', 0.001, 5, 1);
-- also in a function that goes on
SET statement_timeout = '50ms';
DO $$
BEGIN
    PERFORM hone.rate_limit_wait('patience', 0.001, 5, 4);
EXCEPTION WHEN query_canceled THEN
    RAISE NOTICE 'cancelled';
END $$;
RESET statement_timeout;
SELECT round(extract(epoch FROM retry_after) / 1000) FROM hone.rate_limit('patience', 0.001, 5, 1);

-- what makes no sense
\set VERBOSITY terse
SELECT hone.rate_limit(NULL, 1, 1);
SELECT hone.rate_limit('bad', NULL, 1);
SELECT hone.rate_limit('bad', 1, NULL);
SELECT hone.rate_limit('bad', 1, 1, NULL);
SELECT hone.rate_limit('bad', 0, 1);
SELECT hone.rate_limit('bad', -1, 1);
SELECT hone.rate_limit('bad', 'NaN', 1);
SELECT hone.rate_limit('bad', 'Infinity', 1);
SELECT hone.rate_limit('bad', 1, 0);
SELECT hone.rate_limit('bad', 1, 'Infinity');
SELECT hone.rate_limit('bad', 1, 1, 0);
SELECT hone.rate_limit('bad', 1, 1, -1);
SELECT hone.rate_limit('bad', 1, 1, 'NaN');
SELECT hone.rate_limit_wait('bad', 1, 1, 1, '-1 second');
\set VERBOSITY default
SELECT hone.rate_limit('bad', 1, 2, 3);
SELECT hone.rate_limit_wait('bad', 1, 2, 3);
-- as far as numbers go
SELECT allowed FROM hone.rate_limit('extreme', 1e-300, 1e300, 1e300);
SELECT allowed, retry_after > interval '1000 years' FROM hone.rate_limit('extreme', 1e-300, 1e300, 1e300);
SELECT allowed FROM hone.rate_limit('extreme', 1e300, 1e-300, 1e-300);
