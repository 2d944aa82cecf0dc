-- Long lists of constants, NOT IN (subquery).
CREATE SCHEMA advise_lists;
SET search_path = advise_lists, public;
SET client_min_messages = warning;
CREATE TABLE item (id int PRIMARY KEY, kind int NOT NULL, tag text);
INSERT INTO item SELECT g, g % 100, 'tag ' || g FROM generate_series(1, 3000) g;
CREATE TABLE sold (item_id int, no int NOT NULL);
INSERT INTO sold SELECT g, g FROM generate_series(3001, 8000) g;
ANALYZE item, sold;
SELECT hone.reset_recommendations() >= 0 AS reset;
CREATE FUNCTION found(what text) RETURNS TABLE (fix text, no_fix text, elements_p50 int, elements_max int, query text) LANGUAGE sql AS $$
    SELECT regexp_replace(fix, '\s+', ' ', 'g'), evidence->>'no_fix', (evidence->>'elements_p50')::int,
           (evidence->>'elements_max')::int, evidence->'sample'->>'query'
    FROM hone.recommendations WHERE kind = what ORDER BY fix, evidence->'sample'->>'query'
$$;

-- none: a short list, an array that was bound or written as one
\o /dev/null
\set ECHO none
SELECT format('SELECT tag FROM item WHERE id IN (%s)', string_agg(g::text, ', ')) FROM generate_series(1, 900) g \gexec
PREPARE a(int[]) AS SELECT tag FROM item WHERE id = ANY ($1);
SELECT format('EXECUTE a(%L)', array_agg(g)) FROM generate_series(1, 1500) g \gexec
DEALLOCATE a;
SELECT format('SELECT tag FROM item WHERE id = ANY (%L)', array_agg(g)) FROM generate_series(1, 1500) g \gexec
\set ECHO all
\o
SELECT * FROM found('large_in_list');

-- lists of numbers, of strings, of parameters, with NOT, beside other conditions
\o /dev/null
\set ECHO none
SELECT format('SELECT tag FROM item WHERE kind < 1000 AND id IN (%s) AND tag <> ''(1, 2''', string_agg(g::text, ', ')) FROM generate_series(1, 1000) g \gexec
SELECT format('SELECT tag FROM item WHERE kind < 1000 AND id IN (%s) AND tag <> ''(1, 2''', string_agg(g::text, ', ')) FROM generate_series(1, 2000) g \gexec
SELECT format('SELECT tag FROM item WHERE kind < 1000 AND id IN (%s) AND tag <> ''(1, 2''', string_agg(g::text, ', ')) FROM generate_series(1, 3000) g \gexec
SELECT format('SELECT id FROM item WHERE tag NOT IN (%s)', string_agg(quote_literal('tag ' || g), ',')) FROM generate_series(1, 2500) g \gexec
SELECT format('SELECT kind FROM item i WHERE kind = ANY (ARRAY[%s]) AND id IN (1, 2, 3)', string_agg((-g)::text, ',')) FROM generate_series(1, 1100) g \gexec
SELECT format('DELETE FROM item WHERE kind IN (%s)', string_agg((-g)::text, ',')) FROM generate_series(1, 1100) g \gexec
SELECT format('SELECT i.id, no FROM item i JOIN sold ON no = kind WHERE no IN (%s)', string_agg(g::text, ',')) FROM generate_series(1, 12000) g \gexec
\set ECHO all
\o
SELECT * FROM found('large_in_list');
SELECT summary, evidence->'instead' AS instead FROM hone.recommendations WHERE kind = 'large_in_list' ORDER BY 1;
SELECT fix AS list FROM hone.recommendations WHERE kind = 'large_in_list' AND fix LIKE '%tag <> ALL%' \gset
PREPARE list AS :list;
\set ECHO none
SELECT format('EXECUTE list(%L)', array_agg('tag ' || g)) FROM generate_series(1, 2999) g \gexec
\set ECHO all
DEALLOCATE list;
-- the threshold
SELECT hone.reset_recommendations() > 0 AS reset;
SET hone.advise_in_list = 100;
\o /dev/null
\set ECHO none
SELECT format('SELECT tag FROM item WHERE id IN (%s)', string_agg(g::text, ', ')) FROM generate_series(1, 900) g \gexec
SELECT format('SELECT kind FROM item WHERE id IN (%s)', string_agg(format('$%s', g), ', ')) AS q FROM generate_series(1, 300) g \gset
PREPARE p AS :q;
SELECT format('EXECUTE p(%s)', string_agg(g::text, ', ')) FROM generate_series(1, 300) g \gexec
DEALLOCATE p;
\set ECHO all
\o
RESET hone.advise_in_list;
SELECT * FROM found('large_in_list');
SELECT hone.reset_recommendations() > 0 AS reset;

-- NOT IN: silent where it is a list, where it is cheap, where it is IN
SET work_mem = '64kB';
\o /dev/null
\set ECHO none
SELECT count(*) FROM item WHERE id NOT IN (1, 2, 3);
SELECT count(*) FROM item WHERE id NOT IN (SELECT no FROM sold WHERE no < 3100);
SELECT count(*) FROM item WHERE id IN (SELECT no FROM sold);
SELECT count(*) FROM item WHERE NOT EXISTS (SELECT FROM sold WHERE no = id);
\set ECHO all
\o
SELECT * FROM found('not_in_subquery');
\o /dev/null
\set ECHO none
SELECT id FROM item WHERE kind = 7 AND id NOT IN (SELECT no FROM sold WHERE no > 0);
SELECT tag FROM item WHERE kind = 7 AND id NOT IN (SELECT item_id FROM sold);
SELECT tag FROM item i WHERE kind = 7 AND NOT (id, kind) IN (SELECT no, no + 1 FROM sold s WHERE s.no > i.kind);
SELECT tag, kind FROM item WHERE kind = 7 AND id NOT IN (SELECT max(no) FROM sold GROUP BY item_id);
SELECT tag FROM item WHERE kind = 7 AND id NOT IN (SELECT no FROM sold) AND kind NOT IN (SELECT no FROM sold);
\set ECHO all
\o
RESET work_mem;
SELECT fix, no_fix FROM found('not_in_subquery');
SELECT evidence->'nullable' AS nullable, evidence->'nulls' AS nulls, evidence->'hashed' AS hashed, evidence->'subquery_rows_p50' AS rows, summary
FROM hone.recommendations WHERE kind = 'not_in_subquery' AND fix IS NOT NULL ORDER BY fix;
-- hashed, and very many rows
SELECT hone.reset_recommendations() > 0 AS reset;
SET hone.advise_not_in_rows = 4000;
SELECT count(*) FROM item WHERE id NOT IN (SELECT no FROM sold);
RESET hone.advise_not_in_rows;
SELECT summary, evidence->'hashed' AS hashed FROM hone.recommendations WHERE kind = 'not_in_subquery';
SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_lists CASCADE;
