-- Fill the history with a year of 1,000 queries: days for a year, hours for 35
-- days, minutes for six hours. Figures and histograms are those of real
-- statements: run.sh has run pgbench just before, and written an interval each
-- second or so. Three intervals of a statement at a time are added up, so that
-- there are some thousand different ones.
SET client_min_messages = warning;
CREATE TABLE interval AS
SELECT h.*, row_number() OVER (PARTITION BY h.queryid ORDER BY h.since) AS number
FROM hone._history_minutes AS h WHERE h.calls >= 50 AND h.kind = 'query' AND h.total_ms > 0;
CREATE TABLE seed AS
SELECT a.*, dense_rank() OVER (ORDER BY a.queryid) - 1 AS statement, b.calls + c.calls AS more_calls, b.rows + c.rows AS more_rows, b.total_ms + c.total_ms AS more_ms,
       least(b.min_ms, c.min_ms) AS other_min, greatest(b.max_ms, c.max_ms) AS other_max, b.m2 + c.m2 AS more_m2,
       (SELECT hone._histogram_sum(h) FROM unnest(ARRAY[a.histogram, b.histogram, c.histogram]) AS h) AS whole,
       row_number() OVER (PARTITION BY a.queryid ORDER BY a.number, b.number, c.number) - 1 AS combination
FROM interval AS a JOIN interval AS b ON b.queryid = a.queryid AND b.number > a.number
JOIN interval AS c ON c.queryid = a.queryid AND c.number > b.number;
UPDATE seed SET calls = calls + more_calls, rows = rows + more_rows, total_ms = total_ms + more_ms, m2 = m2 + more_m2,
                min_ms = least(min_ms, other_min), max_ms = greatest(max_ms, other_max), histogram = whole;
SELECT count(DISTINCT statement) AS statements FROM seed \gset
SELECT min(n) AS combinations FROM (SELECT count(*) AS n FROM seed GROUP BY statement) AS s \gset
-- the figures of a query, by its number, in an interval
CREATE FUNCTION combination(q int, at timestamptz, combinations bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS
'SELECT abs(hashint8(q + 1000 * extract(epoch FROM at)::bigint / 60)::bigint) % combinations';
CREATE INDEX ON seed (statement, combination);
ANALYZE seed;

DO $$
DECLARE
    level record;
    at timestamptz;
    name text;
BEGIN
    FOR level IN SELECT * FROM (VALUES ('days', interval '91 days', interval '365 days'), ('hours', '7 days', '35 days'),
                                       ('minutes', '4 hours', '6 hours')) AS l(name, span, kept)
    LOOP
        FOR at IN SELECT date_bin(level.span, g, '2000-01-01 00:00+00')
                  FROM generate_series(now() - level.kept - level.span, now(), level.span) AS g
        LOOP
            name := format('_history_%s_%s', level.name, to_char(at AT TIME ZONE 'UTC', 'YYYYMMDD"t"HH24MI'));
            CONTINUE WHEN to_regclass('hone.' || name) IS NOT NULL;
            EXECUTE format('CREATE TABLE hone.%I (LIKE hone.history INCLUDING CONSTRAINTS) USING heap', name);
            EXECUTE format('ALTER EXTENSION pg_hone ADD TABLE hone.%I', name);
            EXECUTE format('ALTER TABLE hone._history_%s ATTACH PARTITION hone.%I FOR VALUES FROM (%L) TO (%L)',
                           level.name, name, at, at + level.span);
        END LOOP;
    END LOOP;
END $$;

SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS figures,
       string_agg('s.' || quote_ident(attname), ', ' ORDER BY attnum) AS figures_of_seed
FROM pg_attribute WHERE attrelid = 'hone.history'::regclass AND attnum > 5 \gset
INSERT INTO hone.history (rollup, since, until, kind, queryid, :figures)
SELECT 'days', g, g + interval '1 day', 'query', q, :figures_of_seed
FROM generate_series(date_trunc('day', now(), 'UTC') - interval '365 days', date_trunc('day', now(), 'UTC') - interval '1 day', '1 day') AS g
CROSS JOIN generate_series(1, 1000) AS q JOIN seed AS s ON s.statement = q % :statements AND s.combination = combination(q, g, :combinations);
INSERT INTO hone.history (rollup, since, until, kind, queryid, :figures)
SELECT 'hours', g, g + interval '1 hour', 'query', q, :figures_of_seed
FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '35 days', date_trunc('hour', now(), 'UTC') - interval '1 hour', '1 hour') AS g
CROSS JOIN generate_series(1, 1000) AS q JOIN seed AS s ON s.statement = q % :statements AND s.combination = combination(q, g, :combinations);
INSERT INTO hone.history (rollup, since, until, kind, queryid, :figures)
SELECT 'minutes', g, g + interval '1 minute', 'query', q, :figures_of_seed
FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '5 hours', now(), '1 minute') AS g
CROSS JOIN generate_series(1, 1000) AS q JOIN seed AS s ON s.statement = q % :statements AND s.combination = combination(q, g, :combinations);
UPDATE hone._history_state SET minutes_until = now(), hours_until = date_trunc('hour', now(), 'UTC'), days_until = date_trunc('day', now(), 'UTC');
