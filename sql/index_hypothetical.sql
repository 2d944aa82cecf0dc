-- Indexes that do not exist: what the planner makes of them, and that no plan with one ever runs.
SET client_min_messages = warning;
CREATE SCHEMA ih;
SET search_path = ih, public;
SET max_parallel_workers_per_gather = 0;
SET TimeZone = 'UTC';
CREATE FUNCTION plan(query text, VARIADIC ddl text[]) RETURNS SETOF text LANGUAGE sql AS $$
SELECT regexp_replace(l, ' *\((cost|returns).*', '') FROM hone.explain_with(query, ddl) l $$;
CREATE TABLE t (id int PRIMARY KEY, a int, b text, c timestamptz, d jsonb, gone int);
ALTER TABLE t DROP COLUMN gone;
INSERT INTO t SELECT i, i % 1000, 'name ' || i, timestamptz '2024-01-01Z' + i * interval '1 min', jsonb_build_object('k', i % 50) FROM generate_series(1, 50000) i;
VACUUM ANALYZE t;

-- One statement with them, nothing left afterwards.
SELECT bool_or(l ~ 'Seq Scan') AS without FROM hone.explain_with('SELECT * FROM t WHERE a = 7', '{}') l;
SELECT * FROM plan('SELECT * FROM t WHERE a = 7 ORDER BY c DESC LIMIT 5', 'CREATE INDEX ON t (a, c DESC)');
SELECT * FROM plan('SELECT a, c FROM t WHERE a = 7', 'CREATE INDEX ON t (a) INCLUDE (c)');
SELECT * FROM plan('SELECT 1 FROM t WHERE lower(b) = ''x''', 'CREATE INDEX "Odd ""name""" ON t (lower(b))');
SELECT * FROM plan('SELECT 1 FROM t WHERE d @> ''{"k": 3}''', 'CREATE INDEX ON t USING gin (d)');
SELECT * FROM plan('SELECT * FROM t WHERE a = 7 AND id < 0', 'CREATE INDEX ON t (a) WHERE id < 0', 'CREATE INDEX ON t (a)');
SELECT * FROM plan('DELETE FROM t WHERE a = 7', 'CREATE INDEX ON t USING hash (a)');
SELECT * FROM plan('UPDATE t x SET b = '''' FROM t y WHERE x.a = y.id AND y.b = ''name 3''', 'CREATE INDEX ON t (a)', 'CREATE INDEX ON t (b text_pattern_ops)');
SELECT * FROM plan('SELECT max(c) FROM t', 'CREATE INDEX ON t (c)');
SELECT * FROM plan('SELECT (SELECT count(*) FROM t i WHERE i.a = o.id) FROM t o WHERE id = 1 UNION ALL SELECT count(*) FROM t WHERE a = 3', 'CREATE INDEX ON t (a)');
SELECT * FROM plan('SELECT 1 FROM t WHERE c BETWEEN ''2024-01-05Z'' AND ''2024-01-06Z''', 'CREATE INDEX ON t USING brin (c)');
SELECT count(*) FROM hone.hypothetical_indexes;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = 7;

-- A session's.
SELECT hone.hypothetical_index('CREATE INDEX ON t (a)');
SELECT hone.hypothetical_index('create index concurrently named on t (b, c) where a > 5;');
SELECT name, relation, definition, round(rows::numeric, -4) AS rows, bytes > 0 AS bytes FROM hone.hypothetical_indexes;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = 7;
EXPLAIN (COSTS OFF) CREATE TABLE made AS SELECT * FROM t WHERE a = 7;
EXPLAIN (COSTS OFF) DECLARE c CURSOR FOR SELECT * FROM t WHERE a = 7;
-- what runs does not see it
SELECT count(*) FROM t WHERE a = 7;
CREATE FUNCTION uses(statement text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE line text; found boolean := false;
BEGIN
    FOR line IN EXECUTE statement LOOP found := found OR line ~ 'hypothetical'; END LOOP;
    RETURN found;
END $$;
SELECT uses('EXPLAIN ANALYZE SELECT * FROM t WHERE a = 7'), uses('EXPLAIN (FORMAT json) SELECT * FROM t WHERE a = 7'), uses('EXPLAIN SELECT * FROM t WHERE a = 7');
PREPARE p AS SELECT count(*) FROM t WHERE a = 7;
EXPLAIN (COSTS OFF) EXECUTE p;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE p;
EXECUTE p;
RESET plan_cache_mode;
EXPLAIN (COSTS OFF) CREATE TABLE made AS EXECUTE p;
DEALLOCATE p;
-- nor what runs while another plan is made
CREATE FUNCTION looks(x int) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE n bigint;
BEGIN
    SELECT count(*) INTO n FROM t WHERE a = x;
    RAISE WARNING '% rows', n;
    RETURN n;
END $$;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = looks(7);
SELECT * FROM plan('SELECT * FROM t WHERE a = looks(7)', 'CREATE INDEX ON t (b)');
-- forgotten while a plan is made: that one has them, the next does not
CREATE FUNCTION forgets(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM hone.drop_hypothetical_indexes(); RETURN x; END $$;
SELECT count(hone.hypothetical_index('CREATE INDEX ON t (a, b)')) FROM generate_series(1, 40);
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = forgets(7);
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = 7;
SELECT hone.hypothetical_index('CREATE INDEX ON t (a)'), hone.hypothetical_index('CREATE INDEX named ON t (b, c) WITH (fillfactor = ''70'')');
-- gone with an error, and with ROLLBACK nothing changes
BEGIN;
SELECT hone.hypothetical_index('CREATE INDEX ON t (nosuch)');
ROLLBACK;
\set VERBOSITY sqlstate
SELECT hone.explain_with('SELECT 1 / 0 FROM t WHERE a = nosuch', '{CREATE INDEX ON t (c)}');
\set VERBOSITY default
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = 7;
EXPLAIN (COSTS OFF) SELECT * FROM t ORDER BY c LIMIT 1;
-- the table changes
ALTER TABLE t ALTER a TYPE bigint;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = 7;
ALTER TABLE t ALTER a TYPE int;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE a = 7;
ALTER TABLE t DROP COLUMN a;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE b = 'name 7';
SELECT hone.drop_hypothetical_indexes(), hone.drop_hypothetical_indexes();
ALTER TABLE t ADD COLUMN a int;
UPDATE t SET a = id % 1000;
ANALYZE t;

-- Partitions: one for each leaf, whatever the order of its columns; the default too, foreign ones not.
CREATE TABLE p (ts timestamptz NOT NULL, v int, w text) PARTITION BY RANGE (ts);
CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2024-01-01Z') TO ('2024-02-01Z');
CREATE TABLE p_2 (w text, junk int, v int, ts timestamptz NOT NULL);
ALTER TABLE p_2 DROP COLUMN junk;
ALTER TABLE p ATTACH PARTITION p_2 FOR VALUES FROM ('2024-02-01Z') TO ('2024-03-01Z');
CREATE TABLE p_d PARTITION OF p DEFAULT PARTITION BY LIST (v);
CREATE TABLE p_d_1 PARTITION OF p_d FOR VALUES IN (1, 2, 3);
INSERT INTO p SELECT timestamptz '2024-01-01Z' + i * interval '1 min', i, md5(i::text) FROM generate_series(1, 80000) i;
ANALYZE p;
SELECT hone.hypothetical_index('CREATE INDEX ON p (lower(w), v) WHERE v <> 0');
SELECT name, relation FROM hone.hypothetical_indexes;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE lower(w) = 'x' AND v = 7;
SELECT hone.drop_hypothetical_indexes();
-- compressed ones give no order and no index-only scan
CALL hone.compress('p_1');
SELECT * FROM plan('SELECT v FROM p_1 ORDER BY v LIMIT 1', 'CREATE INDEX ON p_1 (v)');

-- What is none.
CREATE FUNCTION try(ddl text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN hone.hypothetical_index(ddl);
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;
CREATE VIEW v AS SELECT * FROM t;
SELECT s, try(s) FROM unnest(ARRAY['', 'CREATE INDEX', 'SELECT 1', 'CREATE INDEX ON t (a); CREATE INDEX ON t (b)', 'CREATE TABLE x (a int)',
    'CREATE INDEX ON nosuch (a)', 'CREATE INDEX ON v (a)', 'CREATE INDEX ON pg_class (relname)', 'CREATE INDEX ON t (nosuch)', 'CREATE INDEX ON t ((random()))',
    'CREATE INDEX ON t (a) WHERE c > now()', 'CREATE INDEX ON t (ctid)', 'CREATE INDEX ON t (d) WHERE (SELECT true)', 'CREATE INDEX ON t ((count(*)))',
    'CREATE UNIQUE INDEX ON t USING gin (d)', 'CREATE INDEX ON t USING hash (a, b)', 'CREATE INDEX ON t USING gin (d DESC)', 'CREATE INDEX ON t USING nosuch (a)',
    'CREATE INDEX ON t (a COLLATE "C")', 'CREATE INDEX ON t (b nosuch_ops)', 'CREATE INDEX ON t (a text_pattern_ops)', 'CREATE INDEX ON t USING gin (a)',
    'CREATE INDEX ON t (a) INCLUDE (lower(b))', 'CREATE INDEX ON t USING gin (d) INCLUDE (a)', 'CREATE INDEX ON t (a) WITH (fillfactor = 5)', 'CREATE INDEX ON t (a) WITH (nosuch = 5)',
    'CREATE INDEX ON t (looks(a))']) WITH ORDINALITY u(s, n) ORDER BY n;
SELECT hone.drop_hypothetical_indexes();
SELECT hone.explain_with('ANALYZE SELECT 1', '{}');
SELECT hone.explain_with('(ANALYZE) DELETE FROM t', '{}');
SELECT hone.explain_with('SELECT 1; DELETE FROM t', '{}');
SELECT hone.explain_with('EXPLAIN SELECT 1', '{}');
SELECT hone.explain_with('SELECT 1', '{NULL}');
SELECT hone.explain_with('SELECT 1', '{SELECT 1}');
-- nor where it would show what row security hides
CREATE TABLE hidden AS SELECT g AS id, g * 111 AS salary FROM generate_series(1, 3) g;
ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
ANALYZE hidden;
CREATE TABLE hidden_parent (id int, salary int) PARTITION BY LIST (id);
CREATE TABLE hidden_leaf PARTITION OF hidden_parent DEFAULT;
ALTER TABLE hidden_leaf ENABLE ROW LEVEL SECURITY;
CREATE ROLE hone_ih_mallory;
GRANT USAGE, CREATE ON SCHEMA ih TO hone_ih_mallory;
GRANT SELECT ON hidden, hidden_parent TO hone_ih_mallory;
SET ROLE hone_ih_mallory;
CREATE FUNCTION tells(a int, b int) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN RAISE WARNING 'saw %', a; RETURN a < b; END $$;
CREATE OPERATOR <<< (LEFTARG = int, RIGHTARG = int, FUNCTION = tells, RESTRICT = scalarltsel);
SELECT hone.hypothetical_index('CREATE INDEX ON hidden (id) WHERE salary <<< 5');
SELECT hone.explain_with('SELECT 1', '{CREATE INDEX ON hidden (id) WHERE salary <<< 5}');
SELECT hone.hypothetical_index('CREATE INDEX ON hidden_parent (id)');
DROP OPERATOR <<< (int, int);
DROP FUNCTION tells;
RESET ROLE;
REVOKE ALL ON SCHEMA ih FROM hone_ih_mallory;
REVOKE ALL ON hidden, hidden_parent FROM hone_ih_mallory;
DROP ROLE hone_ih_mallory;
-- neither of tables that one may not read
CREATE ROLE hone_ih;
GRANT USAGE ON SCHEMA ih TO hone_ih;
SET ROLE hone_ih;
SELECT hone.hypothetical_index('CREATE INDEX ON t (a)');
SELECT hone.explain_with('SELECT 1', '{CREATE INDEX ON ih.p (v)}');
RESET ROLE;
GRANT SELECT (a) ON t TO hone_ih;
SET ROLE hone_ih;
SELECT hone.hypothetical_index('CREATE INDEX ON t (a)');
RESET ROLE;
SELECT count(*) FROM t;
DROP SCHEMA ih CASCADE;
SELECT name, relation FROM hone.hypothetical_indexes;
SELECT hone.drop_hypothetical_indexes();
DROP ROLE hone_ih;
