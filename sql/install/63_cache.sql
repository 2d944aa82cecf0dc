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

CREATE FUNCTION hone.cached_query(query text, ttl interval, tags text[] DEFAULT '{}')
RETURNS SETOF jsonb
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_cached_query';
COMMENT ON FUNCTION hone.cached_query(text, interval, text[]) IS
    'The rows of a SELECT, at most ttl old: run once for all who ask at the same time, and kept in shared memory. SELECT r->>''n'' FROM hone.cached_query(''SELECT count(*) AS n FROM orders'', ''30 s'', ''{orders}'') r';

CREATE FUNCTION hone.invalidate_cache(tags text[] DEFAULT NULL)
RETURNS void
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_invalidate_cache';
COMMENT ON FUNCTION hone.invalidate_cache(text[]) IS
    'Cached results of this database with one of these tags, or without tags all, are out of date: now, and when the transaction commits. SELECT hone.invalidate_cache(''{orders}'')';
REVOKE ALL ON FUNCTION hone.invalidate_cache(text[]) FROM PUBLIC;

CREATE FUNCTION hone._cache_trigger()
RETURNS trigger
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_cache_trigger';
COMMENT ON FUNCTION hone._cache_trigger() IS
    'Of the triggers that hone.invalidate_cache_on makes: their arguments are tags';

CREATE FUNCTION hone.invalidate_cache_on(rel regclass, tags text[])
RETURNS integer
LANGUAGE c VOLATILE PARALLEL UNSAFE
AS 'MODULE_PATHNAME', 'hone_invalidate_cache_on';
COMMENT ON FUNCTION hone.invalidate_cache_on(regclass, text[]) IS
    'Each statement that writes to the table or a partition of it invalidates these tags, and none any more where there are none; for the owner. Returns the number of tables. SELECT hone.invalidate_cache_on(''orders'', ''{orders}'')';

CREATE FUNCTION hone._cache_stats(
    OUT hits bigint, OUT misses bigint, OUT waits bigint, OUT handed_over bigint,
    OUT bypassed bigint, OUT outdated bigint, OUT too_large bigint, OUT evictions bigint,
    OUT invalidations bigint, OUT failures bigint, OUT results bigint, OUT bytes bigint,
    OUT limit_bytes bigint, OUT rate_limits_forgotten bigint)
RETURNS record
LANGUAGE c VOLATILE PARALLEL RESTRICTED
AS 'MODULE_PATHNAME', 'hone_cache_stats';
COMMENT ON FUNCTION hone._cache_stats() IS 'Behind the view hone.cache_stats';

CREATE VIEW hone.cache_stats AS
SELECT hits, misses, waits, handed_over, bypassed, outdated, too_large, evictions,
    invalidations, failures, results, bytes, limit_bytes, rate_limits_forgotten
FROM hone._cache_stats();
COMMENT ON VIEW hone.cache_stats IS
    'What hone.cached_query of all databases did since the server started. SELECT hits, misses, waits, bytes FROM hone.cache_stats';
COMMENT ON COLUMN hone.cache_stats.hits IS 'Calls that found a result';
COMMENT ON COLUMN hone.cache_stats.misses IS 'Calls that ran the query, for all';
COMMENT ON COLUMN hone.cache_stats.waits IS 'Calls that waited for another one to run it';
COMMENT ON COLUMN hone.cache_stats.handed_over IS 'Those that then ran it themselves for all, since that one failed or was out of date';
COMMENT ON COLUMN hone.cache_stats.bypassed IS 'Calls that ran the query for themselves alone';
COMMENT ON COLUMN hone.cache_stats.outdated IS 'Results not kept since they were invalidated while they were made';
COMMENT ON COLUMN hone.cache_stats.too_large IS 'Results not kept since they were more than a quarter of the memory';
COMMENT ON COLUMN hone.cache_stats.evictions IS 'Results that others took the memory of';
COMMENT ON COLUMN hone.cache_stats.invalidations IS 'Tags invalidated';
COMMENT ON COLUMN hone.cache_stats.failures IS 'Calls for which the cache had no memory';
COMMENT ON COLUMN hone.cache_stats.results IS 'Results kept now';
COMMENT ON COLUMN hone.cache_stats.bytes IS 'What they take';
COMMENT ON COLUMN hone.cache_stats.limit_bytes IS 'hone.cache_memory';
COMMENT ON COLUMN hone.cache_stats.rate_limits_forgotten IS 'Rate limits whose key had to make room for others before its bucket was full';
GRANT SELECT ON hone.cache_stats TO PUBLIC;
