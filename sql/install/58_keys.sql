-- Keys that lack an index, and tables that lack a key
-- (src/advise/advice_catalog.c reads the views). See 57_indexes.sql.

-- What builds an index on each partition by itself, so that no writer waits for
-- it. definition is what stands behind the table's name, name that of the whole.
-- A foreign table can have none, and then the whole would never be valid: a
-- plain CREATE INDEX at the end takes what is there and leaves that table out.
CREATE FUNCTION hone._index_commands(relation oid, definition text, name text DEFAULT NULL, is_unique boolean DEFAULT false) RETURNS SETOF text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    WITH RECURSIVE tree AS (
        SELECT relation AS oid, NULL::oid AS parent, 0 AS level
        UNION ALL
        SELECT h.inhrelid, t.oid, t.level + 1 FROM tree t JOIN pg_catalog.pg_inherits h ON h.inhparent = t.oid AND NOT h.inhdetachpending),
    whole AS (
        SELECT pg_catalog.bool_or(c.relkind = 'f') AS is_foreign,
            CASE WHEN is_unique THEN 'CREATE UNIQUE INDEX' ELSE 'CREATE INDEX' END AS command,
            pg_catalog.btrim(pg_catalog.lower(pg_catalog.regexp_replace(definition, '^USING |\W+', '_', 'g')), '_') AS columns
        FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.oid),
    member AS (
        SELECT t.oid, t.parent, t.level, c.relkind, n.nspname, hone._qualified_name(t.oid) AS table,
            CASE WHEN t.parent IS NULL AND _index_commands.name IS NOT NULL THEN _index_commands.name
                 WHEN pg_catalog.octet_length(p.name) < 64 AND NOT EXISTS (
                     SELECT FROM pg_catalog.pg_class o WHERE o.relnamespace = c.relnamespace AND o.relname = p.name)
                 THEN p.name
                 ELSE 'idx_' || pg_catalog.left(pg_catalog.md5(t.oid || definition), 16) END AS index
        FROM tree t
        JOIN pg_catalog.pg_class c ON c.oid = t.oid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        CROSS JOIN whole w
        CROSS JOIN LATERAL (SELECT c.relname || '_' || w.columns || '_idx' AS name) p
        WHERE c.relkind IN ('r', 'p')),
    statement AS (
        SELECT 1 AS step, m.level, m.oid, pg_catalog.format(CASE m.relkind WHEN 'p' THEN '%s %I ON ONLY %s %s;' ELSE '%s CONCURRENTLY %I ON %s %s;' END,
            w.command, m.index, m.table, definition) AS sql
        FROM member m CROSS JOIN whole w
        WHERE m.relkind = 'r' OR NOT w.is_foreign
        UNION ALL
        -- the deepest first: an index is valid once it has all its partitions
        SELECT 2, -m.level, m.oid, pg_catalog.format('ALTER INDEX %I.%I ATTACH PARTITION %I.%I;', p.nspname, p.index, m.nspname, m.index)
        FROM member m JOIN member p ON p.oid = m.parent CROSS JOIN whole w
        WHERE NOT w.is_foreign
        UNION ALL
        SELECT 3, 0, m.oid, pg_catalog.format('%s %I ON %s %s;', w.command, m.index, m.table, definition)
        FROM member m CROSS JOIN whole w
        WHERE m.parent IS NULL AND w.is_foreign)
    SELECT s.sql FROM statement s ORDER BY s.step, s.level, s.oid;
END;
COMMENT ON FUNCTION hone._index_commands(oid, text, text, boolean) IS 'Internal: the statements that make an index on a partitioned table, one partition after the other';

CREATE FUNCTION hone._index_everywhere(relation oid, definition text, name text DEFAULT NULL, is_unique boolean DEFAULT false) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT CASE WHEN t.tables <= 100
        THEN (SELECT pg_catalog.string_agg(c.sql, E'\n' ORDER BY c.n) FROM hone._index_commands(relation, definition, name, is_unique) WITH ORDINALITY c(sql, n))
        ELSE pg_catalog.format(E'-- in psql, for %s tables\nSELECT hone._index_commands(%L::pg_catalog.regclass, %L, %L, %L) \\gexec', t.tables, hone._qualified_name(relation), definition, name, is_unique) END
    FROM (SELECT pg_catalog.count(*) AS tables FROM hone._tree(relation)) t;
END;
COMMENT ON FUNCTION hone._index_everywhere(oid, text, text, boolean) IS 'Internal: those statements as one text; of a table with many partitions what psql makes and runs them with';

-- NULL where its table is locked.
CREATE FUNCTION hone._index_undo(index oid) RETURNS text
LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
    SELECT CASE c.relkind
        WHEN 'I' THEN hone._index_everywhere(x.indrelid, pg_catalog.substr(d.sql,
            pg_catalog.length(pg_catalog.format('CREATE %sINDEX %I ON %s ', CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, c.relname, hone._qualified_name(x.indrelid))) + 1),
            c.relname, x.indisunique)
        ELSE pg_catalog.regexp_replace(d.sql, '^CREATE (UNIQUE )?INDEX ', 'CREATE \1INDEX CONCURRENTLY ') END
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
    CROSS JOIN LATERAL (SELECT hone._index_definition(x.indexrelid) AS sql) d
    WHERE x.indexrelid = index;
END;
COMMENT ON FUNCTION hone._index_undo(oid) IS 'Internal: what makes an index again that is dropped';

CREATE VIEW hone._foreign_key_without_index AS
WITH lone AS MATERIALIZED (
    SELECT f.oid, f.conname, f.conrelid, f.confrelid, f.conkey, f.confdeltype, c.relkind
    FROM pg_catalog.pg_constraint f
    JOIN pg_catalog.pg_class c ON c.oid = f.conrelid
    CROSS JOIN hone._counting k
    WHERE f.contype = 'f' AND f.conparentid = 0 AND c.relpersistence <> 't'
        AND (c.relkind = 'p' OR c.relpages * k.block >= k.worth)
        AND NOT EXISTS (SELECT FROM hone._foreign_key_index s WHERE s.foreign_key = f.oid)),
measured AS MATERIALIZED (
    SELECT DISTINCT ON (l.conrelid, l.conkey) l.*, k.since, k.seconds, s.*, d.*
    FROM lone l
    CROSS JOIN hone._counting k
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum(c.relpages) * k.block AS bytes, pg_catalog.sum(greatest(c.reltuples, 0))::bigint AS rows,
            pg_catalog.sum(pg_catalog.pg_stat_get_numscans(c.oid))::bigint AS scans
        FROM hone._tree(l.conrelid) t JOIN pg_catalog.pg_class c ON c.oid = t WHERE c.relkind = 'r') s
    CROSS JOIN LATERAL hone._changes(l.confrelid) d
    -- a hundred sequential scans, and one an hour: what reads it so often may be a join
    WHERE s.bytes >= k.worth AND (d.deleted > 0 OR d.updated > 0 OR s.scans >= 100 AND s.scans >= k.seconds / 3600)
    ORDER BY l.conrelid, l.conkey, d.deleted DESC, l.conname),
named AS (
    SELECT m.*, hone._qualified_name(m.conrelid) AS name, hone._qualified_name(m.confrelid) AS referenced,
        m.deleted > 0 AS certain, (m.deleted + m.updated) * m.bytes / greatest(m.seconds / 86400, 1) AS read_per_day, a.columns
    FROM measured m
    CROSS JOIN LATERAL (
        SELECT pg_catalog.array_agg(a.attname::text ORDER BY u.n) AS columns
        FROM pg_catalog.unnest(m.conkey) WITH ORDINALITY u(attnum, n)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = m.conrelid AND a.attnum = u.attnum) a
    WHERE hone._worth_advice(m.conrelid)),
listed AS (
    SELECT n.*, (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(u), ', ' ORDER BY o) FROM pg_catalog.unnest(n.columns) WITH ORDINALITY x(u, o)) AS list
    FROM named n)
SELECT 'foreign_key_without_index' AS kind, n.conrelid AS relation,
    n.conname::text AS identity,
    -- ten seconds of reading a day, from memory
    CASE WHEN n.certain THEN hone._severity_of(n.read_per_day::float8, 10737418240) ELSE 'low' END AS severity,
    CASE WHEN n.certain THEN n.deleted ELSE 0 END AS calls,
    n.since AS first_seen,
    pg_catalog.now() AS last_seen,
    pg_catalog.format(CASE WHEN n.certain THEN '%1$s(%2$s) references %3$s and has no index: each row deleted there reads all of it, %4$s; %5$s were'
            WHEN n.updated > 0 THEN 'potential: %1$s(%2$s) references %3$s and has no index: each key changed there reads all of it, %4$s'
            ELSE 'potential: %1$s(%2$s) references %3$s and has no index: joins of the two read all of it, %4$s; scanned %6$s times' END,
        n.name, n.list, n.referenced, pg_catalog.pg_size_pretty(n.bytes), n.deleted, n.scans) AS summary,
    CASE n.relkind WHEN 'p' THEN hone._index_everywhere(n.conrelid, '(' || n.list || ')')
        ELSE pg_catalog.format('CREATE INDEX CONCURRENTLY ON %s (%s)', n.name, n.list) END AS fix,
    NULL::text AS no_fix,
    pg_catalog.jsonb_build_object('foreign_key', n.conname, 'columns', n.columns, 'referenced', n.referenced,
        'reason', CASE WHEN n.certain THEN 'deletes' WHEN n.updated > 0 THEN 'updates that may change keys' ELSE 'sequential scans that may be joins' END,
        'on_delete', CASE n.confdeltype WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null' WHEN 'd' THEN 'set default' WHEN 'r' THEN 'restrict' ELSE 'no action' END,
        'rows_deleted', n.deleted, 'rows_updated_not_hot', n.updated, 'sequential_scans', n.scans, 'counted_since', n.since,
        'table_bytes', n.bytes, 'table_rows', n.rows, 'on_each_partition', CASE n.relkind WHEN 'p' THEN '(' || n.list || ')' END) AS evidence
FROM listed n
ORDER BY n.certain DESC, n.read_per_day DESC, n.bytes DESC, n.oid
LIMIT hone._advice_limit('foreign_key_without_index');
COMMENT ON VIEW hone._foreign_key_without_index IS 'Internal: recommendations of kind foreign_key_without_index';

-- ---- primary keys ----

CREATE VIEW hone._published_without_identity AS
SELECT c.oid AS relation, pg_catalog.array_agg(b.pubname::text ORDER BY b.pubname) AS publications
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_publication b ON (b.pubupdate OR b.pubdelete)
    AND (b.puballtables
         OR EXISTS (SELECT FROM pg_catalog.pg_publication_rel r WHERE r.prpubid = b.oid AND r.prrelid = c.oid)
         OR EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s WHERE s.pnpubid = b.oid AND s.pnnspid = c.relnamespace))
WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND NOT c.relispartition AND c.oid >= 16384 AND c.relreplident IN ('d', 'n')
GROUP BY c.oid;
COMMENT ON VIEW hone._published_without_identity IS 'Internal: tables whose changes are published, by their primary key if by anything';

CREATE VIEW hone._missing_primary_key AS
WITH keyless AS MATERIALIZED (
    SELECT c.oid AS relation, c.relname, c.relkind, c.relreplident, c.reloftype, s.bytes, s.rows, p.publications
    FROM pg_catalog.pg_class c
    CROSS JOIN hone._counting k
    LEFT JOIN hone._published_without_identity p ON p.relation = c.oid
    CROSS JOIN LATERAL (
        SELECT c.relpages * k.block AS bytes, greatest(c.reltuples, 0)::bigint AS rows WHERE c.relkind = 'r'
        UNION ALL
        SELECT pg_catalog.sum(l.relpages) * k.block, pg_catalog.sum(greatest(l.reltuples, 0))::bigint
        FROM hone._tree(c.oid) t JOIN pg_catalog.pg_class l ON l.oid = t AND l.relkind = 'r'
        WHERE c.relkind = 'p' HAVING pg_catalog.count(*) > 0) s
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence <> 't'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_index x WHERE x.indrelid = c.oid AND x.indisprimary)
        AND (s.bytes >= k.worth AND s.bytes > 0 OR p.relation IS NOT NULL)),
largest AS MATERIALIZED (
    SELECT b.*, hone._qualified_name(b.relation) AS name
    FROM keyless b
    WHERE hone._worth_advice(b.relation)
    ORDER BY b.publications IS NULL, b.bytes DESC, b.relation
    LIMIT hone._advice_limit('missing_primary_key')),
keyed AS (
    SELECT l.*, u.index, u.index_name, u.columns, u.constraint_name, u.referenced, f.name AS free
    FROM largest l
    -- A key in all but name: unique, of columns without nulls, in the order of a
    -- primary key. One that is no constraint serves as it is.
    LEFT JOIN LATERAL (
        SELECT x.indexrelid AS index, i.relname AS index_name, o.conname AS constraint_name, a.columns,
            EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.conindid = x.indexrelid AND f.contype = 'f') AS referenced
        FROM pg_catalog.pg_index x
        JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
        JOIN pg_catalog.pg_am m ON m.oid = i.relam AND m.amname = 'btree'
        LEFT JOIN pg_catalog.pg_constraint o ON o.conindid = x.indexrelid AND o.contype = 'u' AND o.conrelid = l.relation
        CROSS JOIN LATERAL (
            SELECT pg_catalog.string_agg(pg_catalog.quote_ident(c.attname), ', ' ORDER BY n.n) AS columns,
                pg_catalog.bool_and(c.attnotnull AND k.opcdefault AND c.attcollation = (x.indcollation::oid[])[n.n - 1]
                    AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint v WHERE v.conrelid = l.relation AND v.contype = 'n' AND NOT v.convalidated AND v.conkey[1] = c.attnum)) AS plain
            FROM pg_catalog.unnest((x.indkey::int2[])[0:x.indnkeyatts - 1]) WITH ORDINALITY n(attnum, n)
            JOIN pg_catalog.pg_attribute c ON c.attrelid = l.relation AND c.attnum = n.attnum
            JOIN pg_catalog.pg_opclass k ON k.oid = (x.indclass::oid[])[n.n - 1]) a
        WHERE x.indrelid = l.relation AND x.indisunique AND x.indimmediate AND x.indisvalid AND x.indisready AND x.indislive
            AND x.indpred IS NULL AND x.indexprs IS NULL AND NOT x.indnullsnotdistinct AND x.indnkeyatts = x.indnatts
            AND 0 = ALL (x.indoption::int2[]) AND a.plain
        ORDER BY o.conname IS NOT NULL, x.indnkeyatts, i.relname
        LIMIT 1) u ON true
    LEFT JOIN LATERAL (
        SELECT t.name
        FROM pg_catalog.unnest(ARRAY['id', 'row_id', 'table_row_id', 'pk_' || pg_catalog.left(pg_catalog.md5(l.name), 8)]) WITH ORDINALITY t(name, n)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = l.relation AND a.attname = t.name)
        ORDER BY t.n LIMIT 1) f ON true)
SELECT 'missing_primary_key' AS kind, k.relation,
    NULL::text AS identity,
    CASE WHEN k.publications IS NOT NULL THEN 'high' ELSE 'low' END AS severity,
    0::bigint AS calls,
    pg_catalog.now() AS first_seen,
    pg_catalog.now() AS last_seen,
    pg_catalog.format('give %s a primary key: %s%s', k.name,
        CASE WHEN k.publications IS NOT NULL THEN 'it is published, and without one each UPDATE and DELETE of it fails'
             ELSE 'logical replication and many tools tell rows by it' END,
        CASE WHEN k.index IS NOT NULL THEN '; (' || k.columns || ') is one in all but name' ELSE '' END) AS summary,
    CASE WHEN k.relkind = 'p' THEN CASE WHEN k.index IS NOT NULL THEN pg_catalog.format('ALTER TABLE %s ADD PRIMARY KEY (%s)', k.name, k.columns) END
         WHEN k.index IS NOT NULL AND k.constraint_name IS NULL THEN pg_catalog.format('ALTER TABLE %s ADD PRIMARY KEY USING INDEX %I', k.name, k.index_name)
         WHEN k.index IS NOT NULL AND NOT k.referenced
         THEN pg_catalog.format(E'CREATE UNIQUE INDEX CONCURRENTLY %2$I ON %1$s (%3$s);\nALTER TABLE %1$s DROP CONSTRAINT %4$I, ADD CONSTRAINT %4$I PRIMARY KEY USING INDEX %2$I;',
            k.name, 'pk_' || pg_catalog.left(pg_catalog.md5(k.name), 16), k.columns, k.constraint_name)
         WHEN k.index IS NULL AND k.reloftype = 0 THEN pg_catalog.format('ALTER TABLE %s ADD COLUMN %I bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY', k.name, k.free) END AS fix,
    CASE WHEN k.relkind = 'p' THEN 'its key must have the columns that it is partitioned by, and none of those without nulls is unique: ALTER TABLE ... ADD PRIMARY KEY, once there is one'
         WHEN k.referenced THEN pg_catalog.format('foreign keys refer to the unique constraint, which tells rows as well: ALTER TABLE %s REPLICA IDENTITY USING INDEX %I', k.name, k.index_name)
         ELSE 'a table of a type gets no column of its own' END AS no_fix,
    pg_catalog.jsonb_build_object('rows', k.rows, 'bytes', k.bytes, 'unique_index', CASE WHEN k.index IS NOT NULL THEN hone._qualified_name(k.index) END, 'columns', k.columns,
        'publications', k.publications,
        'replica_identity', CASE k.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'index' END,
        'lock', CASE WHEN k.relkind = 'p' THEN 'readers and writers wait while it builds an index on each partition'
                     WHEN k.index IS NULL AND k.reloftype = 0 THEN 'readers and writers wait while it writes the table anew'
                     ELSE 'readers and writers wait for a moment' END) AS evidence
FROM keyed k;
COMMENT ON VIEW hone._missing_primary_key IS 'Internal: recommendations of kind missing_primary_key';

GRANT SELECT ON hone._foreign_key_without_index, hone._missing_primary_key TO PUBLIC;
