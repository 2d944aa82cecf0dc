-- TABLESAMPLE sees compressed rows as blocks behind the plain ones.
SET client_min_messages = warning;
CREATE TABLE ts (id int, t text);
INSERT INTO ts SELECT i, 'x' || i FROM generate_series(1, 20000) i;
CALL hone.compress('ts');
INSERT INTO ts SELECT i, 'x' || i FROM generate_series(20001, 30000) i;
DELETE FROM ts WHERE id % 10 = 0;

SELECT count(*), sum(id) FROM ts TABLESAMPLE system (100);
SELECT count(*), sum(id) FROM ts TABLESAMPLE bernoulli (100);
SELECT count(*) FROM ts TABLESAMPLE bernoulli (0);
SELECT count(*) BETWEEN 2000 AND 3500 AS about_a_tenth, count(*) = count(DISTINCT id) AS once,
    min(id) < 2000 AS compressed, max(id) > 28000 AS plain, count(*) FILTER (WHERE id % 10 = 0) AS dead
FROM ts TABLESAMPLE bernoulli (10) REPEATABLE (5);
SELECT count(*) BETWEEN 2000 AND 9000 AS about_a_fifth, count(*) = count(DISTINCT id) AS once,
    count(*) FILTER (WHERE id % 10 = 0) AS dead
FROM ts TABLESAMPLE system (20) REPEATABLE (5);
-- the same seed, the same rows; also when the scan begins anew
SELECT (SELECT sum(id) FROM ts TABLESAMPLE system (20) REPEATABLE (7)) = (SELECT sum(id) FROM ts TABLESAMPLE system (20) REPEATABLE (7)) AS same;
SELECT count(DISTINCT s.sum) FROM generate_series(1, 3) g, LATERAL (SELECT sum(id) + g - g AS sum FROM ts TABLESAMPLE bernoulli (5) REPEATABLE (9)) s;
EXPLAIN (COSTS off) SELECT * FROM ts TABLESAMPLE system (10);
DROP TABLE ts;
