-- Fill the history with a year of 1,000 queries: days for a year, hours for 35
-- days, minutes for six hours, each row with figures and a histogram as real
-- statements gave them just before (test/bench/run.sh runs pgbench first).
SET client_min_messages = warning;
CREATE TABLE seed AS
SELECT row_number() OVER (ORDER BY calls DESC) - 1 AS n, h.* FROM hone._history_minutes AS h
WHERE calls >= 100 AND kind = 'query' ORDER BY calls DESC LIMIT 7;
SELECT count(*) AS seeds FROM seed \gset

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
FROM generate_series(date_trunc('day', now(), 'UTC') - interval '365 days', date_trunc('day', now(), 'UTC') - interval '1 day', '1 day') AS g,
     generate_series(1, 1000) AS q JOIN seed AS s ON s.n = q % :seeds;
INSERT INTO hone.history (rollup, since, until, kind, queryid, :figures)
SELECT 'hours', g, g + interval '1 hour', 'query', q, :figures_of_seed
FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '35 days', date_trunc('hour', now(), 'UTC') - interval '1 hour', '1 hour') AS g,
     generate_series(1, 1000) AS q JOIN seed AS s ON s.n = q % :seeds;
INSERT INTO hone.history (rollup, since, until, kind, queryid, :figures)
SELECT 'minutes', g, g + interval '1 minute', 'query', q, :figures_of_seed
FROM generate_series(date_trunc('hour', now(), 'UTC') - interval '5 hours', now(), '1 minute') AS g,
     generate_series(1, 1000) AS q JOIN seed AS s ON s.n = q % :seeds;
UPDATE hone._history_state SET minutes_until = now(), hours_until = date_trunc('hour', now(), 'UTC'), days_until = date_trunc('day', now(), 'UTC');
