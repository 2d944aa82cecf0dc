-- Rate limits and cached queries (src/cache).

CREATE FUNCTION hone.rate_limit(key text, rate float8, burst float8, cost float8 DEFAULT 1,
    OUT allowed boolean, OUT retry_after interval)
RETURNS record
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_rate_limit';
COMMENT ON FUNCTION hone.rate_limit(text, float8, float8, float8) IS
    'Take cost tokens from the bucket of this key, which gets rate tokens a second and holds burst: may the call go ahead, and else after how long? SELECT allowed FROM hone.rate_limit(''login '' || ''alice'', rate => 0.1, burst => 5)';

CREATE FUNCTION hone.rate_limit_wait(key text, rate float8, burst float8, cost float8 DEFAULT 1, timeout interval DEFAULT NULL)
RETURNS interval
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_rate_limit_wait';
COMMENT ON FUNCTION hone.rate_limit_wait(text, float8, float8, float8, interval) IS
    'Take cost tokens and sleep until they are there, in the order of the calls; returns the time waited, at once NULL where it would be longer than timeout. SELECT hone.rate_limit_wait(''mail'', rate => 10, burst => 20, timeout => ''5 s'')';
