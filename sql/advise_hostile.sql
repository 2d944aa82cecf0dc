-- What others may have put in the reader's way, and fixes that would not mean the same.
CREATE SCHEMA advise_hostile;
GRANT USAGE, CREATE ON SCHEMA advise_hostile TO PUBLIC;
SET client_min_messages = warning;
SET search_path = advise_hostile;
CREATE ROLE hone_test_owner;
SELECT hone.reset_recommendations() >= 0 AS reset;

-- the checks of a type's owner do not run as the reader
CREATE SEQUENCE ran_as_reader;
CREATE SEQUENCE ran_as_owner;
GRANT ALL ON SEQUENCE ran_as_reader, ran_as_owner TO PUBLIC;
SET ROLE hone_test_owner;
CREATE FUNCTION spy(i int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval(CASE WHEN current_user = 'hone_test_owner' THEN 'advise_hostile.ran_as_owner'
                    ELSE 'advise_hostile.ran_as_reader' END);
    RETURN true;
END $$;
CREATE DOMAIN spying AS int CHECK (advise_hostile.spy(VALUE));
CREATE TYPE spying_row AS (x spying);
CREATE TABLE bait (id int PRIMARY KEY, c spying_row);
INSERT INTO bait SELECT g, row(g)::spying_row FROM generate_series(1, 3000) g;
\o /dev/null
SELECT id FROM bait WHERE c <> '(99999)'::spying_row ORDER BY id OFFSET 2000 LIMIT 5;
\o
RESET ROLE;
SELECT setval('ran_as_owner', 1, false), setval('ran_as_reader', 1, false);
SELECT fix FROM hone.recommendations WHERE relation = 'bait'::regclass AND kind = 'offset_pagination';
SELECT (SELECT is_called FROM ran_as_owner) AS as_owner, (SELECT is_called FROM ran_as_reader) AS as_reader;

-- a name does not get out of the comment it is in
CREATE TABLE named (id int PRIMARY KEY, "x
; DROP TABLE named; --" text);
INSERT INTO named SELECT g, repeat('y', 1000) FROM generate_series(1, 3000) g;
ANALYZE named;
\o /dev/null
SELECT * FROM named;
\o
SELECT fix FROM hone.recommendations WHERE relation = 'named'::regclass AND kind = 'select_star';

-- requests of two queries each, one after the other: no loop
CREATE TABLE session (id int PRIMARY KEY, member int);
CREATE TABLE member (id int PRIMARY KEY, key int, session int);
INSERT INTO session SELECT g, g FROM generate_series(1, 100) g;
INSERT INTO member SELECT g, 1, g FROM generate_series(1, 100) g;
ANALYZE session, member;
\o /dev/null
\set ECHO none
SELECT unnest(ARRAY[format('SELECT member FROM session WHERE id = %s', g), format('SELECT * FROM member WHERE id = %s', g)])
FROM generate_series(1, 30) g \gexec
\set ECHO all
\o
DISCARD PLANS;
SELECT count(*) FROM hone.recommendations WHERE kind = 'n_plus_one';

-- two values change in step: not one array of keys
\o /dev/null
\set ECHO none
BEGIN;
SELECT id FROM session LIMIT 10;
SELECT format('SELECT * FROM member WHERE session = %s AND id = %s', g, g) FROM generate_series(1, 10) g \gexec
COMMIT;
\set ECHO all
\o
SELECT fix, evidence->>'no_fix' AS no_fix FROM hone.recommendations WHERE relation = 'member'::regclass AND kind = 'n_plus_one';
SELECT hone.reset_recommendations() > 0 AS reset;

-- variables of a function: only a single one is surely the key
SET hone.track = 'all';
DO $$
DECLARE v int := 1; s record; m record;
BEGIN
    FOR s IN SELECT id FROM session LIMIT 10 LOOP
        SELECT * INTO m FROM member WHERE key = v AND id = s.id;
    END LOOP;
    FOR s IN SELECT member FROM session LIMIT 10 LOOP
        EXECUTE 'SELECT id FROM member WHERE key = 1 AND session = $1' INTO m USING s.member;
    END LOOP;
END $$;
RESET hone.track;
SELECT fix, evidence->>'no_fix' AS no_fix FROM hone.recommendations WHERE kind = 'n_plus_one' ORDER BY fix;
SELECT hone.reset_recommendations() > 0 AS reset;

-- a table that is called as the keys are; names of aliases
\o /dev/null
\set ECHO none
BEGIN;
SELECT id FROM session LIMIT 10;
SELECT format('SELECT count(*) FROM member keys WHERE id = %s', g) FROM generate_series(1, 10) g \gexec
SELECT format('SELECT member FROM session WHERE id = %s FOR SHARE OF session', g) FROM generate_series(1, 10) g \gexec
COMMIT;
\set ECHO all
\o
SELECT fix FROM hone.recommendations WHERE kind = 'n_plus_one' ORDER BY fix;
SELECT hone.reset_recommendations() > 0 AS reset;

-- two tables of one name
CREATE SCHEMA advise_hostile2;
CREATE TABLE advise_hostile2.bait (id int PRIMARY KEY);
INSERT INTO advise_hostile2.bait SELECT id FROM bait;
\o /dev/null
SELECT b.id, bait.id FROM advise_hostile2.bait b JOIN bait ON bait.id = b.id ORDER BY 1, 2 OFFSET 2000 LIMIT 2;
\o
SELECT fix, evidence->>'no_fix' AS no_fix FROM hone.recommendations WHERE kind = 'offset_pagination';
SELECT hone.reset_recommendations() > 0 AS reset;

-- names mean what they meant to the session, not what they mean to the reader
CREATE VIEW advise_hostile.looked AS SELECT id FROM advise_hostile.session;
CREATE VIEW advise_hostile2.looked AS SELECT id FROM advise_hostile2.bait;
\o /dev/null
\set ECHO none
BEGIN;
SELECT id FROM session LIMIT 10;
SELECT format('SELECT id FROM looked WHERE id = %s', g) FROM generate_series(1, 10) g \gexec
COMMIT;
\set ECHO all
\o
SET search_path = advise_hostile2;
SELECT fix FROM hone.recommendations WHERE kind = 'n_plus_one';
SELECT current_setting('search_path') AS search_path;
SET search_path = advise_hostile;
SELECT hone.reset_recommendations() > 0 AS reset;

-- no index pays on a dozen rows, however often they are read
CREATE TABLE dozen (code int, name text);
INSERT INTO dozen SELECT g, g FROM generate_series(1, 12) g;
ANALYZE dozen;
SELECT count(n) FROM (SELECT (SELECT name FROM dozen WHERE code = bait.id % 12) AS n FROM bait OFFSET 0) AS s;
SELECT count(*) FROM hone.recommendations WHERE relation = 'dozen'::regclass;

-- many partitions hide no table behind them
CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
SELECT format('CREATE TABLE parted_%s PARTITION OF parted FOR VALUES FROM (%s) TO (%s)', g, g * 1000, (g + 1) * 1000)
FROM generate_series(0, 9) g \gexec
INSERT INTO parted SELECT generate_series(1, 9999);
CREATE TABLE hidden (pin text, x int);
INSERT INTO hidden VALUES ('topsecret', 1);
GRANT SELECT ON ALL TABLES IN SCHEMA advise_hostile TO hone_test_owner;
REVOKE ALL ON hidden FROM hone_test_owner;
\o /dev/null
SELECT id FROM parted WHERE id <> (SELECT max(x) FROM hidden WHERE pin = 'topsecret') ORDER BY id OFFSET 3000 LIMIT 2;
\o
SET ROLE hone_test_owner;
SELECT fix IS NOT NULL AS has_fix, concat(fix, evidence, summary) ~ 'topsecret' AS secrets
FROM hone.recommendations WHERE relation = 'parted'::regclass AND kind = 'offset_pagination';
RESET ROLE;

SELECT hone.reset_recommendations() > 0 AS reset;
RESET search_path;
DROP SCHEMA advise_hostile, advise_hostile2 CASCADE;
DROP ROLE hone_test_owner;
