-- No password in any text, identifier or sample.
SET client_min_messages = error;
SELECT hone.reset();
CREATE ROLE stats_secret PASSWORD 'hunter2hunter2';
ALTER ROLE stats_secret PASSWORD 'hunter2hunter3';
ALTER USER stats_secret PASSWORD 'hunter2hunter4';
ALTER ROLE stats_secret SET application_name = 'hunter2hunter5';
CREATE FOREIGN DATA WRAPPER stats_fdw OPTIONS (secret 'hunter2hunter6');
CREATE SERVER stats_server FOREIGN DATA WRAPPER stats_fdw OPTIONS (password 'hunter2hunter7');
CREATE USER MAPPING FOR stats_secret SERVER stats_server OPTIONS (password 'hunter2hunter8');
ALTER USER MAPPING FOR stats_secret SERVER stats_server OPTIONS (SET password 'hunter2hunter9');
CREATE SUBSCRIPTION stats_subscription CONNECTION 'password=hunter2hunter10' PUBLICATION p WITH (connect = false);
ALTER SUBSCRIPTION stats_subscription CONNECTION 'password=hunter2hunter11';
SET hone.track = 'all';
DO $$ BEGIN EXECUTE 'ALTER ROLE stats_secret PASSWORD ''hunter2hunter12'''; END $$;
DO $$ BEGIN ALTER ROLE stats_secret PASSWORD 'hunter2hunter13'; END $$;
CREATE FUNCTION stats_secret_f() RETURNS void LANGUAGE sql AS $$ ALTER ROLE stats_secret PASSWORD 'hunter2hunter14' $$;
SELECT stats_secret_f();
RESET hone.track;
SET application_name = 'hunter2hunter15';
RESET application_name;
SELECT set_config('stats.secret', 'hunter2hunter16', false) IS NULL;
SELECT 1 AS first\; ALTER ROLE stats_secret PASSWORD 'hunter2hunter17'\; SELECT 2 AS last;
EXPLAIN (COSTS OFF) SELECT 'password=hunter2hunter18' AS explained;
ALTER SUBSCRIPTION stats_subscription SET (slot_name = NONE);
DROP SUBSCRIPTION stats_subscription;
SELECT 'a' -- as one constant
    'hunter2hunter19' AS continued;
SELECT N'hunter2hunter20' AS national;
SET application_name TO hunter2hunter21;
SET stats_test.secret TO "hunter2hunter22";
RESET stats_test.secret;
RESET application_name;
SELECT count(*) > 10 AS seen FROM hone.queries;
SELECT query FROM hone.queries WHERE query ~ 'hunter2';
SELECT query FROM hone.errors WHERE query ~ 'hunter2';
-- a sample keeps constants, but not beside the word password
SELECT count(*) FROM hone.queries WHERE hone._sample_text(queryid) ~ 'password.*hunter2';
-- they are counted all the same, without a text
SELECT count(*) > 0 AS counted FROM hone.queries WHERE query IS NULL;
DROP FUNCTION stats_secret_f();
DROP USER MAPPING FOR stats_secret SERVER stats_server;
DROP SERVER stats_server;
DROP FOREIGN DATA WRAPPER stats_fdw;
DROP ROLE stats_secret;
SELECT hone.reset();
