-- Who sees what of other people's statements.
CREATE SCHEMA advise_private;
GRANT USAGE ON SCHEMA advise_private TO PUBLIC;
SET client_min_messages = warning;
SET hone.advise_result_rows = 1000;
CREATE ROLE hone_test_reader;
CREATE ROLE hone_test_monitor IN ROLE pg_monitor;
CREATE ROLE hone_test_selector;
CREATE TABLE advise_private.secret (id int PRIMARY KEY, owner text, pin text);
INSERT INTO advise_private.secret SELECT g, 'owner ' || g, md5(g::text) FROM generate_series(1, 3000) g;
CREATE TABLE advise_private.open_list (id int PRIMARY KEY);
INSERT INTO advise_private.open_list SELECT g FROM generate_series(1, 100) g;
GRANT SELECT ON ALL TABLES IN SCHEMA advise_private TO hone_test_selector;
ANALYZE advise_private.secret;
SELECT hone.reset_recommendations() >= 0 AS reset;

-- statements full of secrets
SET application_name = 'secret application';
\o /dev/null
\set ECHO none
BEGIN;
SELECT id FROM advise_private.open_list ORDER BY id LIMIT 10;
SELECT format('SELECT id FROM advise_private.secret WHERE pin = %L AND owner = ''topsecret'' /*route=''hidden''*/', md5(g::text)) FROM generate_series(1, 10) g \gexec
COMMIT;
SELECT id FROM advise_private.secret WHERE owner <> 'topsecret' ORDER BY id OFFSET 2000;
SELECT id FROM advise_private.secret WHERE owner <> 'topsecret' OR pin = 'topsecret' ORDER BY owner;
\set ECHO all
\o
RESET application_name;

CREATE FUNCTION public.look(OUT kind text, OUT has_fix boolean, OUT secrets boolean, OUT texts text)
RETURNS SETOF record LANGUAGE sql AS $$
    SELECT kind, fix IS NOT NULL,
           concat(fix, evidence, summary) ~ '(topsecret|c4ca4238|d3d94468|secret application|hidden|''[0-9a-f]{32})',
           coalesce(evidence->'sample', evidence->'child')->>'query'
    FROM hone.recommendations WHERE relation::text LIKE '%secret' ORDER BY kind
$$;
SELECT kind, has_fix, secrets FROM look();

SET ROLE hone_test_monitor;
SELECT kind, has_fix, secrets FROM look();
SET ROLE hone_test_selector;
SELECT kind, has_fix, secrets FROM look();
SET ROLE hone_test_reader;
SELECT * FROM look();
RESET ROLE;

-- one's own statements on a table one may no longer read: the shape, not the constants
SELECT hone.reset_recommendations() > 0 AS reset;
GRANT SELECT ON ALL TABLES IN SCHEMA advise_private TO hone_test_reader;
SET ROLE hone_test_reader;
\o /dev/null
\set ECHO none
BEGIN;
SELECT id FROM advise_private.open_list ORDER BY id LIMIT 10;
SELECT format('SELECT id FROM advise_private.secret WHERE pin = %L AND owner = ''topsecret''', md5(g::text)) FROM generate_series(1, 10) g \gexec
COMMIT;
SELECT format('SELECT id FROM advise_private.secret WHERE owner <> ''topsecret'' ORDER BY id LIMIT 10 OFFSET %s', g) FROM unnest(ARRAY[2000, 20, 2500, 40, 2200, 90, 2300]) g \gexec
SELECT id FROM advise_private.secret WHERE owner <> 'topsecret' OR pin = 'topsecret' ORDER BY owner;
\set ECHO all
\o
SELECT kind, has_fix, secrets FROM look();
RESET ROLE;
REVOKE SELECT ON advise_private.secret FROM hone_test_reader;
SET ROLE hone_test_reader;
SELECT * FROM look();
SELECT kind, fix, evidence->>'keyset' AS keyset, evidence->>'first_page' AS first_page FROM hone.recommendations WHERE relation::text LIKE '%secret' AND kind <> 'missing_index' ORDER BY kind;

-- what only some may call
SELECT hone.reset_recommendations();
SELECT hone.analyze_workload();
SELECT hone.dismiss_recommendation(1);
SET hone.detectors = off;
RESET ROLE;
SET ROLE hone_test_monitor;
SELECT count(*) >= 0 AS told FROM hone.analyze_workload();
RESET ROLE;
SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_private CASCADE;
DROP FUNCTION public.look();
DROP ROLE hone_test_reader;
DROP ROLE hone_test_monitor;
DROP ROLE hone_test_selector;
