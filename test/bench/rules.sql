-- Rules by which other open advisors choose indexes, as their documents have
-- them, over the statements of a table that the caller fills. Costs are the
-- planner's with hypothetical indexes, as theirs are. None of them looks at
-- conditions for a partial index, at directions, or at other kinds of index.
CREATE SCHEMA rules;
CREATE TABLE rules.statement (kind text PRIMARY KEY, query text NOT NULL, predicates text[] NOT NULL);
COMMENT ON COLUMN rules.statement.query IS 'With the values of one call, as from a log';
COMMENT ON COLUMN rules.statement.predicates IS 'table.column of each that an operator of a btree compares; a bare boolean column is none';

CREATE FUNCTION rules.ddl(relation text, columns text[]) RETURNS text LANGUAGE sql
RETURN format('CREATE INDEX ON %s (%s)', relation, array_to_string(columns, ', '));

CREATE FUNCTION rules.cost(query text, ddl text[]) RETURNS float8 LANGUAGE sql
RETURN (SELECT substring(l FROM '\.\.([0-9.]+) ')::float8 FROM hone.explain_with(query, ddl) WITH ORDINALITY e(l, n) WHERE n = 1);

-- Which of them the plan reads.
CREATE FUNCTION rules.used(query text, ddl text[]) RETURNS text[] LANGUAGE sql AS $$
WITH plan AS MATERIALIZED (SELECT string_agg(l, E'\n') AS text FROM hone.explain_with(query, ddl) l)
SELECT coalesce(array_agg(d ORDER BY d), '{}') FROM unnest(ddl) d, plan
WHERE plan.text ~ ('\mhypothetical_' || replace(replace(regexp_replace(d, '^CREATE INDEX ON (\w+) \((.*)\)$', '\1_\2'), ', ', '_'), '.', '_') || '\M')
$$;

-- Columns on which no index stands alone.
CREATE VIEW rules.free_column AS
SELECT c.relname AS relation, a.attname AS name
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped
    AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indkey::text = a.attnum::text);

-- One column, as index_advisor 0.2: plan each statement with an index on each
-- column of each table at once; what its plan reads is recommended.
CREATE FUNCTION rules.one_column() RETURNS SETOF text LANGUAGE sql AS $$
WITH all_columns AS MATERIALIZED (SELECT array_agg(rules.ddl(relation, ARRAY[name])) AS ddl FROM rules.free_column)
SELECT DISTINCT unnest(rules.used(s.query, a.ddl)) FROM rules.statement s, all_columns a
$$;

-- Two columns, as Dexter: every column that the statements name, then every
-- ordered pair of them as well. Kept where the cost halves; pairs only where it
-- was above 100 and halves again.
CREATE FUNCTION rules.two_columns() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    names text[] := ARRAY(SELECT DISTINCT c.attname FROM rules.statement s, pg_attribute c
                          WHERE rules.cost(s.query, '{}') >= 100 AND c.attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')
                              AND c.attnum > 0 AND s.query ~ ('\m' || c.attname || '\M'));
    one text[];
    pairwise text[];
    found text[];
    chosen text[] := '{}';
    cost0 float8;
    cost1 float8;
    cost2 float8;
    pairs boolean;
    query text;
BEGIN
    one := ARRAY(SELECT rules.ddl(relation, ARRAY[name]) FROM rules.free_column WHERE name = ANY (names));
    pairwise := one || ARRAY(SELECT rules.ddl(c.relname, ARRAY[a.attname, b.attname])
                         FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_attribute b ON b.attrelid = c.oid
                         WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND a.attnum > 0 AND b.attnum > 0 AND a.attnum <> b.attnum
                             AND a.attname = ANY (names) AND b.attname = ANY (names));
    FOR query IN SELECT s.query FROM rules.statement s ORDER BY s.kind LOOP
        cost0 := rules.cost(query, '{}');
        CONTINUE WHEN cost0 < 100;
        cost1 := rules.cost(query, one);
        cost2 := rules.cost(query, pairwise);
        pairs := cost1 > 100 AND cost2 < cost1 * 0.5;
        found := rules.used(query, CASE WHEN pairs THEN pairwise ELSE one END);
        IF pairs AND cardinality(found) > 1 THEN
            found := rules.used(query, one);
            pairs := false;
        END IF;
        IF (pairs OR cost1 < cost0 * 0.5) AND cardinality(found) <= 2 THEN
            chosen := chosen || found;
        END IF;
    END LOOP;
    -- an index on the first column of a chosen pair is not needed
    RETURN QUERY SELECT DISTINCT c FROM unnest(chosen) c
        WHERE NOT EXISTS (SELECT FROM unnest(chosen) o WHERE o LIKE regexp_replace(c, '\)$', ', %'));
END
$$;

-- Predicates, as advisors over collected predicates (EDB Query Advisor): indexes
-- on one or two columns that one statement compares; of these, one after the
-- other, what takes most from the cost of all statements, until nothing takes 1 %.
CREATE FUNCTION rules.predicates() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    candidates text[] := ARRAY(
        SELECT DISTINCT rules.ddl(split_part(a, '.', 1), CASE WHEN a = b THEN ARRAY[split_part(a, '.', 2)] ELSE ARRAY[split_part(a, '.', 2), split_part(b, '.', 2)] END)
        FROM rules.statement s, unnest(s.predicates) a, unnest(s.predicates) b
        WHERE split_part(a, '.', 1) = split_part(b, '.', 1)
            AND (a <> b OR EXISTS (SELECT FROM rules.free_column f WHERE f.relation || '.' || f.name = a)));
    chosen text[] := '{}';
    now_cost float8 := (SELECT sum(rules.cost(s.query, '{}')) FROM rules.statement s);
    best text;
    best_cost float8;
BEGIN
    LOOP
        SELECT c, sum(rules.cost(s.query, chosen || c)) AS cost INTO best, best_cost
        FROM unnest(candidates) c, rules.statement s WHERE c <> ALL (chosen)
        GROUP BY c ORDER BY cost, length(c), c LIMIT 1;
        EXIT WHEN best IS NULL OR best_cost > now_cost * 0.99;
        chosen := chosen || best;
        now_cost := best_cost;
    END LOOP;
    RETURN QUERY SELECT unnest(chosen);
END
$$;

-- Bytes they would take, estimated.
CREATE FUNCTION rules.bytes(ddl text[]) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    sum bigint;
BEGIN
    PERFORM hone.hypothetical_index(d) FROM unnest(ddl) d;
    SELECT coalesce(pg_catalog.sum(bytes), 0) INTO sum FROM hone.hypothetical_indexes;
    PERFORM hone.drop_hypothetical_indexes();
    RETURN sum;
END
$$;
