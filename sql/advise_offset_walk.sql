-- Every page that a keyset fix gives is the page that OFFSET gives: orders of all
-- types, directions and places of nulls, with ties, walked from the first page to
-- the last.
CREATE SCHEMA advise_walk;
SET search_path = advise_walk, public;
SET client_min_messages = warning;
-- a nondeterministic collation and one that is not that of bytes, where the server has ICU
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_collation WHERE collprovider = 'i') THEN
        CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
        CREATE COLLATION words (provider = icu, locale = 'und');
    ELSE
        CREATE COLLATION ci FROM "C";
        CREATE COLLATION words FROM "C";
    END IF;
END
$$;
CREATE TABLE kind (id int PRIMARY KEY, name text);
INSERT INTO kind SELECT g, nullif('kind ' || g % 3, 'kind 2') FROM generate_series(1, 8) g;
CREATE TABLE item (
    id int PRIMARY KEY,
    day date NOT NULL,
    size int NOT NULL,
    n int,
    t text,
    c text COLLATE "C",
    ci text COLLATE ci,
    u uuid,
    m numeric,
    f float8,
    ts timestamptz,
    v varchar(10),
    b char(3),
    code text COLLATE words NOT NULL,
    kind int);
INSERT INTO item
SELECT g, '2020-01-01'::date + g % 5, g % 4, nullif(g % 7, 3),
    CASE g % 9 WHEN 0 THEN NULL ELSE (ARRAY['a', 'B', 'b', 'A', 'ä', 'z', 'Z ', ''])[g % 8 + 1] END,
    CASE g % 9 WHEN 1 THEN NULL ELSE (ARRAY['a', 'B', 'b', 'A', '_', 'z', 'Z'])[g % 7 + 1] END,
    CASE g % 9 WHEN 2 THEN NULL ELSE (ARRAY['a', 'B', 'b', 'A', 'ä', 'z', 'Z'])[g % 7 + 1] END,
    CASE g % 6 WHEN 0 THEN NULL ELSE md5((g % 13)::text)::uuid END,
    CASE g % 10 WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN 1.0 WHEN 3 THEN 1.00 ELSE g % 6 / 3.0 END,
    CASE g % 10 WHEN 0 THEN NULL WHEN 1 THEN 'NaN' WHEN 2 THEN '-Infinity' WHEN 3 THEN -0.0 ELSE g % 6 / 3.0 END,
    CASE g % 10 WHEN 4 THEN NULL WHEN 5 THEN 'infinity' ELSE '2020-01-01'::timestamptz + g % 4 * interval '1 hour' END,
    nullif('v' || g % 5, 'v4'), (ARRAY['x', 'x ', 'y', NULL])[g % 4 + 1],
    (ARRAY['a', 'B', 'b', 'A', '_', 'ä', 'Z'])[g % 7 + 1], nullif(g % 9, 0)
FROM generate_series(1, 75) g;
CREATE TABLE part (day date NOT NULL, u uuid NOT NULL, n int, PRIMARY KEY (u, day)) PARTITION BY RANGE (day);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (MINVALUE) TO ('2020-01-03');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2020-01-03') TO (MAXVALUE);
INSERT INTO part SELECT day, md5(id::text)::uuid, n FROM item;
CREATE TABLE named (name text COLLATE ci PRIMARY KEY, n int);
INSERT INTO named SELECT 'Name ' || g, g % 4 FROM generate_series(1, 60) g;
ANALYZE;

-- base: the query; columns: its order; tie: what makes that total
CREATE TABLE walk (n serial, base text, columns text, tie text);
CREATE VIEW directions AS
SELECT dir, tie FROM (VALUES ('', ''), (' DESC', ' DESC'), (' NULLS FIRST', ''), (' DESC NULLS LAST', ' DESC')) d (dir, tie);
INSERT INTO walk (base, columns, tie)
SELECT 'SELECT i.id FROM item i', col || dir, ', i.id' || tie
FROM unnest(ARRAY['i.day', 'i.n', 'i.t', 'i.c', 'i.ci', 'i.u', 'i.m', 'i.f', 'i.ts', 'i.v', 'i.b', 'lower(i.t)', 'i.n % 3',
                  'i.t COLLATE "C"', 'i.ci COLLATE "C"', 'i.t COLLATE ci', 'coalesce(i.ci, ''z'')', 'i.n IS NULL']) col, directions;
INSERT INTO walk (base, columns, tie)
SELECT 'SELECT i.id, i.n AS other FROM item i WHERE i.size <> 2 OR i.n IS NULL', a || d1.dir || ', ' || b || d2.dir, ', i.id' || d2.tie
FROM (VALUES ('i.n', 'i.t'), ('i.ci', 'i.ts'), ('i.m', 'i.u'), ('i.day', 'i.n'), ('i.day', 'i.size'), ('lower(i.c)', 'i.size')) p (a, b),
    directions d1, directions d2;
INSERT INTO walk (base, columns, tie)
SELECT 'SELECT i.id, k.name FROM item i ' || j || ' kind k ON k.id = i.kind', col || dir, ', i.id' || tie
FROM unnest(ARRAY['LEFT JOIN', 'JOIN']) j, unnest(ARRAY['k.name', 'i.day', 'k.id', 'k.name || i.v']) col, directions;
INSERT INTO walk (base, columns, tie)
SELECT 'SELECT i.id, k.id AS kid FROM kind k JOIN item i ON i.n = k.id % 4', col || dir, format(', k.id%s, i.id%1$s', tie)
FROM unnest(ARRAY['k.name', 'i.t']) col, directions;
INSERT INTO walk (base, columns, tie)
SELECT 'SELECT i.id FROM item i', a || ', ' || b || ', ' || c, tie FROM
    (VALUES ('i.day DESC', 'i.n DESC NULLS LAST', 'i.ci', ', i.id'), ('i.u', 'i.v DESC', 'i.id DESC', ''),
            ('i.id', 'i.n', 'i.t', ''), ('1 DESC', 'i.n', 'i.t', ''),
            ('i.size', 'i.code', 'i.day', ', i.id'), ('i.size', 'i.code USING ~<~', 'i.day', ', i.id'),
            ('i.code USING ~>~', 'i.size DESC', 'i.day DESC', ', i.id DESC')) v (a, b, c, tie);
INSERT INTO walk (base, columns, tie)
SELECT 'SELECT u, n FROM part', col || dir, format(', u%s, day%1$s', tie) FROM unnest(ARRAY['day', 'n']) col, directions;
INSERT INTO walk (base, columns, tie)
SELECT 'SELECT name, n FROM named', col || dir, ', name' || tie FROM unnest(ARRAY['n', 'name']) col, directions;

SELECT hone.reset_recommendations() >= 0 AS reset;
SET hone.advise_offset_rows = 10;
\o /dev/null
\set ECHO none
SELECT base || ' ORDER BY ' || columns || ' LIMIT 7 OFFSET 14' FROM walk ORDER BY n \gexec
\set ECHO all
\o
RESET hone.advise_offset_rows;
CREATE TABLE fixes AS
SELECT evidence->'sample'->>'query' AS query, fix, evidence FROM hone.recommendations WHERE kind = 'offset_pagination';

-- 'same', or the page at which they part
CREATE FUNCTION walk(w walk, fix text, evidence jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    keys text[] := (SELECT array_agg(regexp_replace(p.value, ' of the last row of the page before$', '') ORDER BY substr(p.key, 2)::int)
                    FROM jsonb_each_text(evidence->'parameters') p);
    statement text := evidence->>'first_page';
    expected jsonb[];
    page jsonb[];
    r record;
BEGIN
    EXECUTE 'PREPARE walk_page AS ' || fix;
    FOR k IN 0 .. 100 LOOP
        page := '{}';
        FOR r IN EXECUTE statement LOOP
            page := page || to_jsonb(r);
        END LOOP;
        expected := '{}';
        FOR r IN EXECUTE w.base || ' ORDER BY ' || w.columns || w.tie || ' LIMIT 7 OFFSET ' || 7 * k LOOP
            expected := expected || to_jsonb(r);
        END LOOP;
        IF cardinality(page) <> cardinality(expected) OR
           EXISTS (SELECT FROM unnest(page, expected) u (a, b) WHERE NOT a @> b) THEN
            DEALLOCATE walk_page;
            RETURN format('page %s of %s: %s, not %s', k + 1, w.columns, page, expected);
        END IF;
        EXIT WHEN page = '{}';
        statement := (SELECT format('EXECUTE walk_page(%s)', string_agg(quote_nullable(page[cardinality(page)]->>key), ', ' ORDER BY n))
                      FROM unnest(keys) WITH ORDINALITY u (key, n));
    END LOOP;
    DEALLOCATE walk_page;
    RETURN CASE WHEN page = '{}' THEN 'same' ELSE 'no end' END;
END
$$;
SELECT coalesce(f.evidence->>'form', f.evidence->>'no_fix', 'not found') AS form,
    CASE WHEN f.fix IS NOT NULL THEN walk(w, f.fix, f.evidence) END AS pages, count(*)
FROM walk w LEFT JOIN fixes f ON f.query = base || ' ORDER BY ' || columns || ' LIMIT 7 OFFSET 14'
GROUP BY 1, 2 ORDER BY 1, 2;
-- what was said of the order
SELECT evidence->>'order_total' AS total, evidence->>'order_appended' AS appended, count(*)
FROM fixes GROUP BY 1, 2 ORDER BY 1, 2;

-- who jumps gets a deferred join: it gives the pages of OFFSET too
SELECT hone.reset_recommendations() > 0 AS reset;
INSERT INTO walk (base, columns, tie) VALUES
    ('SELECT i.*, (SELECT k.name FROM kind k WHERE k.id = i.kind) AS kind_name FROM item i WHERE EXISTS (SELECT FROM kind k WHERE k.id = i.kind)', 'i.n', ', i.id'),
    ('SELECT page.* FROM item page WHERE page.kind IN (SELECT id FROM kind)', 'page.n DESC, upper(page.c)', ', page.id'),
    ('SELECT count FROM (VALUES (1)) v (count), item i', 'i.n', ', i.id');
SET hone.advise_offset_rows = 10;
\o /dev/null
\set ECHO none
SELECT base || ' ORDER BY ' || columns || ' LIMIT 7 OFFSET ' || o
FROM walk, unnest(ARRAY[14, 42, 21, 63, 28, 56, 35]) WITH ORDINALITY offsets (o, nr) WHERE base !~ 'JOIN' ORDER BY n, nr \gexec
\set ECHO all
\o
RESET hone.advise_offset_rows;
CREATE FUNCTION jump(w walk, fix text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    expected jsonb;
    page jsonb;
BEGIN
    FOR k IN 0 .. 11 LOOP
        EXECUTE 'SELECT jsonb_agg(to_jsonb(p)) FROM (' || regexp_replace(fix, 'OFFSET \d+', 'OFFSET ' || 7 * k) || ') p' INTO page;
        EXECUTE 'SELECT jsonb_agg(to_jsonb(p)) FROM (' || w.base || ' ORDER BY ' || w.columns || w.tie || ' LIMIT 7 OFFSET ' || 7 * k || ') p' INTO expected;
        IF page IS DISTINCT FROM expected THEN
            RETURN format('page %s of %s: %s, not %s', k + 1, w.columns, page, expected);
        END IF;
    END LOOP;
    RETURN 'same';
END
$$;
SELECT CASE WHEN r.fix IS NOT NULL THEN jump(w, r.fix) ELSE coalesce(r.evidence->>'no_fix', 'not found') END AS pages, count(*), count(r.evidence->'keyset') AS keysets
FROM walk w LEFT JOIN hone.recommendations r ON r.evidence->'sample'->>'query' = base || ' ORDER BY ' || columns || ' LIMIT 7 OFFSET 14'
WHERE base !~ 'JOIN' GROUP BY 1 ORDER BY 1;

SELECT hone.reset_recommendations() > 0 AS reset;
DROP SCHEMA advise_walk CASCADE;
