-- Indexes that are not worth what they cost, and keys that lack one
-- (src/advise/advice_catalog.c reads the views at the end).
--
-- As in 56_storage.sql: read by whoever reads hone.recommendations, so each
-- view leaves out tables that the reader may not see; from the catalogs and
-- counters only, so no lock is waited for and sizes are those of the last
-- VACUUM or ANALYZE. No name of a user's object stands in a comment of a fix:
-- a name may have lines.

CREATE FUNCTION hone._index_definition(index oid) RETURNS text
AS 'MODULE_PATHNAME', 'hone_index_definition'
LANGUAGE C STRICT VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION hone._index_definition(oid) IS 'Internal: the statement that makes the index, NULL if its table is locked';

CREATE FUNCTION hone._last_scan(relation oid) RETURNS timestamptz
AS 'MODULE_PATHNAME', 'hone_last_scan'
LANGUAGE C STRICT STABLE PARALLEL SAFE;
COMMENT ON FUNCTION hone._last_scan(oid) IS 'Internal: when the table or index was scanned last, since counting began; always NULL before PostgreSQL 16';

-- Partitions are those of tables and of indexes; heirs are none.
CREATE FUNCTION hone._tree(root oid) RETURNS SETOF oid
LANGUAGE sql STABLE PARALLEL SAFE ROWS 10
BEGIN ATOMIC
    WITH RECURSIVE tree(oid) AS (
        SELECT root
        UNION ALL
        SELECT h.inhrelid FROM tree t
        JOIN pg_catalog.pg_class c ON c.oid = t.oid AND c.relkind IN ('p', 'I')
        JOIN pg_catalog.pg_inherits h ON h.inhparent = c.oid)
    SELECT t.oid FROM tree t;
END;
COMMENT ON FUNCTION hone._tree(oid) IS 'Internal: a table or index with all its partitions; takes no lock';

CREATE FUNCTION hone._worth_advice(relation oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN hone._reader_may_see(relation)
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                    WHERE c.oid = relation AND (n.nspname IN ('hone', 'information_schema') OR n.nspname ~ '^pg_'))
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                    WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = relation AND d.deptype = 'e');
COMMENT ON FUNCTION hone._worth_advice(oid) IS 'Internal: a table that the current user may see, of nobody''s extension';

CREATE FUNCTION hone._rough_time(length interval) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN length >= interval '2 days' THEN pg_catalog.floor(extract(epoch FROM length) / 86400) || ' days'
            WHEN length >= interval '2 hours' THEN pg_catalog.floor(extract(epoch FROM length) / 3600) || ' hours'
            ELSE pg_catalog.floor(extract(epoch FROM length) / 60) || ' minutes' END;
COMMENT ON FUNCTION hone._rough_time(interval) IS 'Internal: in days, hours or minutes';

-- An index of a partitioned table cannot be dropped CONCURRENTLY, and takes
-- the locks of all partitions.
CREATE FUNCTION hone._drop_index(index oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.format(CASE c.relkind WHEN 'I' THEN E'BEGIN;\nSET LOCAL lock_timeout = ''2s'';\nDROP INDEX %s;\nCOMMIT;'
            ELSE 'DROP INDEX CONCURRENTLY %s' END, hone._qualified_name(c.oid))
    FROM pg_catalog.pg_class c WHERE c.oid = index;
END;
COMMENT ON FUNCTION hone._drop_index(oid) IS 'Internal: the fix that drops an index';

CREATE FUNCTION hone._advice_limit(kind text) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT 100 + pg_catalog.count(*) FROM hone.dismissed_recommendations d WHERE d.kind = _advice_limit.kind;
END;
COMMENT ON FUNCTION hone._advice_limit(text) IS 'Internal: of one kind only so many, the largest, are recommended at a time, beside the dismissed ones';

CREATE VIEW hone._counting AS
SELECT k.since, greatest(extract(epoch FROM pg_catalog.now() - k.since)::float8, 1) AS seconds,
    pg_catalog.pg_size_bytes(pg_catalog.current_setting('hone.advise_index_size')) AS worth,
    pg_catalog.current_setting('block_size')::bigint AS block
FROM (
    -- a crash begins the second anew, as all counts
    SELECT coalesce(greatest(pg_catalog.pg_stat_get_db_stat_reset_time(d.oid), pg_catalog.pg_stat_get_bgwriter_stat_reset_time()), pg_catalog.now()) AS since
    FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database()) k;
COMMENT ON VIEW hone._counting IS 'Internal: since when scans and rows are counted, and the size from which something is worth mention';

-- Counts of standbys stay with them. A slot is of one that may come back.
CREATE FUNCTION hone._standbys() RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT greatest(
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_get_replication_slots() s WHERE s.slot_type = 'physical'),
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_get_wal_senders() w
         WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_get_replication_slots() s WHERE s.slot_type = 'logical' AND s.active_pid = w.pid)));
END;
COMMENT ON FUNCTION hone._standbys() IS 'Internal: standbys that are connected or have a slot, whose scans are not counted here';

CREATE FUNCTION hone._changes(relation oid, OUT deleted bigint, OUT updated bigint)
LANGUAGE sql STABLE PARALLEL SAFE
BEGIN ATOMIC
    SELECT pg_catalog.sum(pg_catalog.pg_stat_get_tuples_deleted(t))::bigint,
        -- an update of an indexed column is never HOT
        pg_catalog.sum(pg_catalog.pg_stat_get_tuples_updated(t) - pg_catalog.pg_stat_get_tuples_hot_updated(t))::bigint
    FROM hone._tree(relation) t;
END;
COMMENT ON FUNCTION hone._changes(oid) IS 'Internal: rows of a table with its partitions deleted, and updated such that a key may have changed, since counting began';

CREATE VIEW hone._foreign_key_index AS
SELECT f.oid AS foreign_key, f.conrelid AS relation, f.confrelid AS referenced, x.indexrelid AS index
FROM pg_catalog.pg_constraint f
JOIN pg_catalog.pg_index x ON x.indrelid = f.conrelid
JOIN pg_catalog.pg_class i ON i.oid = x.indexrelid
JOIN pg_catalog.pg_am m ON m.oid = i.relam AND m.amname IN ('btree', 'hash')
WHERE f.contype = 'f' AND x.indisvalid AND x.indisready AND x.indislive AND x.indpred IS NULL
    AND (x.indnkeyatts >= pg_catalog.cardinality(f.conkey) AND (x.indkey::int2[])[0:pg_catalog.cardinality(f.conkey) - 1] @> f.conkey
         -- finds one row at most
         OR x.indisunique AND (x.indkey::int2[])[0:x.indnkeyatts - 1] <@ f.conkey);
COMMENT ON VIEW hone._foreign_key_index IS 'Internal: foreign keys with the indexes that find referencing rows';

-- ---- duplicate and redundant indexes ----

-- Index a serves nothing that b does not: b begins with its columns, each with
-- the same operator class, collation and direction, and holds the same rows.
-- Expressions are compared as they are stored, but for their place in the text.
CREATE VIEW hone._covered_index AS
WITH index AS MATERIALIZED (
    SELECT x.indexrelid, x.indrelid, c.relname, c.relam, c.relkind, c.reloptions, m.amname = 'btree' AS btree, x.indisunique, x.indnkeyatts, x.indnatts,
        x.indimmediate, x.indnullsnotdistinct,
        (x.indkey::int2[])[0:x.indnkeyatts - 1] AS keys,
        (x.indkey::int2[])[x.indnkeyatts:x.indnatts - 1] AS included,
        x.indclass::oid[] AS classes, x.indcollation::oid[] AS collations, x.indoption::int2[] AS options,
        pg_catalog.regexp_replace(x.indexprs::text, ':location -?\d+', '', 'g') AS expressions,
        pg_catalog.regexp_replace(x.indpred::text, ':location -?\d+', '', 'g') AS predicate,
        NOT c.relispartition AND NOT x.indisexclusion AND NOT x.indisreplident AND NOT x.indisclustered
            AND (NOT x.indisunique OR NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conindid = x.indexrelid)) AS droppable
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    JOIN pg_catalog.pg_am m ON m.oid = c.relam
    WHERE x.indrelid >= 16384 AND t.relkind IN ('r', 'p', 'm') AND t.relpersistence <> 't'
        AND x.indisvalid AND x.indisready AND x.indislive),
pair AS (
    SELECT DISTINCT ON (a.indexrelid) a.indexrelid AS index, b.indexrelid AS kept, a.indrelid AS relation, p.same, a.relkind, a.indexprs AS expressions
    FROM (SELECT i.*, i.expressions IS NOT NULL AS indexprs FROM index i WHERE i.droppable) a
    JOIN index b ON b.indrelid = a.indrelid AND b.keys[1] = a.keys[1] AND b.relam = a.relam AND b.indexrelid <> a.indexrelid
    CROSS JOIN LATERAL (
        SELECT a.indnkeyatts = b.indnkeyatts AND a.included <@ b.included AND b.included <@ a.included AS same) p
    WHERE a.indnkeyatts <= b.indnkeyatts AND a.relkind = b.relkind
        AND a.keys = b.keys[1:a.indnkeyatts]
        -- vectors begin with 0
        AND a.classes[0:a.indnkeyatts - 1] = b.classes[0:a.indnkeyatts - 1]
        AND a.collations[0:a.indnkeyatts - 1] = b.collations[0:a.indnkeyatts - 1]
        AND a.options[0:a.indnkeyatts - 1] = b.options[0:a.indnkeyatts - 1]
        AND a.included <@ (b.keys || b.included)
        AND a.predicate IS NOT DISTINCT FROM b.predicate
        AND (a.expressions IS NOT DISTINCT FROM b.expressions
             -- the first ones in a list that goes on, or of which none are left
             OR a.indnkeyatts < b.indnkeyatts
                AND (a.expressions IS NULL OR pg_catalog.starts_with(b.expressions, pg_catalog.left(a.expressions, -1) || ' ')))
        AND (NOT a.indisunique
             OR b.indisunique AND b.indimmediate AND a.indnkeyatts = b.indnkeyatts AND a.indnullsnotdistinct = b.indnullsnotdistinct)
        AND CASE WHEN p.same
                -- of two that are alike the first by name stays
                THEN (a.btree OR a.reloptions IS NOT DISTINCT FROM b.reloptions)
                    AND (NOT b.droppable OR b.indisunique AND NOT a.indisunique OR b.indisunique = a.indisunique AND b.relname < a.relname)
                ELSE a.btree END
        AND NOT EXISTS (
            SELECT FROM pg_catalog.pg_attribute o JOIN pg_catalog.pg_attribute q ON q.attrelid = b.indexrelid AND q.attnum = o.attnum
            WHERE o.attrelid = a.indexrelid AND o.attoptions IS DISTINCT FROM q.attoptions)
    ORDER BY a.indexrelid, p.same DESC, b.droppable, b.indnatts DESC, b.relname),
whole AS (
    SELECT p.*, s.bytes, s.scans, k.bytes AS kept_bytes, k.scans AS kept_scans
    FROM pair p
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum(c.relpages) * pg_catalog.current_setting('block_size')::bigint AS bytes,
            pg_catalog.sum(pg_catalog.pg_stat_get_numscans(c.oid))::bigint AS scans,
            pg_catalog.bool_or(x.indisreplident OR x.indisclustered) AS marked
        FROM hone._tree(p.index) t JOIN pg_catalog.pg_class c ON c.oid = t JOIN pg_catalog.pg_index x ON x.indexrelid = t) s
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum(c.relpages) * pg_catalog.current_setting('block_size')::bigint AS bytes,
            pg_catalog.sum(pg_catalog.pg_stat_get_numscans(c.oid))::bigint AS scans
        FROM hone._tree(p.kept) t JOIN pg_catalog.pg_class c ON c.oid = t) k
    WHERE NOT s.marked)
SELECT w.*, hone._qualified_name(w.relation) AS name, hone._qualified_name(w.index) AS index_name, hone._qualified_name(w.kept) AS kept_name
FROM whole w;
COMMENT ON VIEW hone._covered_index IS 'Internal: indexes all of whose work another index of the table does';

CREATE VIEW hone._covered_advice AS
SELECT v.kind, v.relation, v.index_name AS identity,
    hone._severity_of(v.bytes::float8, 1073741824) AS severity,
    v.scans AS calls,
    pg_catalog.now() AS first_seen,
    pg_catalog.now() AS last_seen,
    pg_catalog.format(CASE WHEN v.same THEN 'drop index %s of %s: the same as %s; %s less'
            WHEN v.scans > 0 AND v.kept_bytes > 3 * v.bytes THEN 'potential: drop index %s of %s: %s begins with its columns, but is much larger; %s less'
            ELSE 'drop index %s of %s: %s begins with its columns; %s less' END,
        v.index_name, v.name, v.kept_name, pg_catalog.pg_size_pretty(v.bytes)) AS summary,
    hone._drop_index(v.index) AS fix,
    NULL::text AS no_fix,
    pg_catalog.jsonb_build_object('index', v.index_name, 'kept', v.kept_name, 'bytes', v.bytes, 'saving_bytes', v.bytes, 'kept_bytes', v.kept_bytes,
        'scans', v.scans, 'kept_scans', v.kept_scans, 'definition', hone._index_definition(v.index), 'kept_definition', hone._index_definition(v.kept),
        'caution', CASE WHEN NOT v.same THEN 'scans of the longer index read more pages for as many rows: where they are many and it is much larger, both may be wanted' END) AS evidence
FROM (
    SELECT c.*, k.kind, pg_catalog.row_number() OVER (PARTITION BY c.same ORDER BY c.bytes DESC, c.index_name) AS place
    FROM hone._covered_index c
    CROSS JOIN LATERAL (SELECT CASE WHEN c.same THEN 'duplicate_index' ELSE 'redundant_index' END AS kind) k
    WHERE hone._worth_advice(c.relation)) v
WHERE v.place <= hone._advice_limit(v.kind);
COMMENT ON VIEW hone._covered_advice IS 'Internal: recommendations of kinds duplicate_index and redundant_index';

-- ---- indexes that nobody reads ----

-- How old an index is stands nowhere, nor before PostgreSQL 16 when it was
-- scanned last.
CREATE TABLE hone._index_use (
    index oid PRIMARY KEY,
    scans bigint NOT NULL,
    since timestamptz NOT NULL
) USING heap;
COMMENT ON TABLE hone._index_use IS 'Internal: scans of indexes as a worker saw them, and since when it is not known that there were more; index 0: when it looked';

-- A row a day for each table, of yesterday and today: the older one says how
-- much was written since.
CREATE TABLE hone._table_writes (
    relation oid NOT NULL,
    day date NOT NULL,
    noted_at timestamptz NOT NULL,
    inserted bigint NOT NULL,
    updated bigint NOT NULL,
    hot_updated bigint NOT NULL,
    deleted bigint NOT NULL,
    PRIMARY KEY (relation, day)
) USING heap;
COMMENT ON TABLE hone._table_writes IS 'Internal: rows written to tables as a worker saw them first on a day';

CREATE FUNCTION hone._write_rate(relation oid, OUT seconds float8, OUT inserted bigint, OUT updated bigint, OUT hot_updated bigint, OUT indexes bigint)
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH t AS (
        SELECT t.oid, coalesce(w.inserted, 0) AS inserted, coalesce(w.updated, 0) AS updated, coalesce(w.hot_updated, 0) AS hot_updated, w.noted_at
        FROM hone._tree(relation) AS t(oid)
        -- one that was not there then has been written since
        LEFT JOIN LATERAL (SELECT w.* FROM hone._table_writes w WHERE w.relation = t.oid ORDER BY w.day LIMIT 1) w ON true)
    SELECT extract(epoch FROM pg_catalog.now() - pg_catalog.min(t.noted_at))::float8,
        pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(t.oid) - t.inserted)::bigint,
        pg_catalog.sum(pg_catalog.pg_stat_get_tuples_updated(t.oid) - t.updated)::bigint,
        pg_catalog.sum(pg_catalog.pg_stat_get_tuples_hot_updated(t.oid) - t.hot_updated)::bigint,
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_index x WHERE x.indrelid = relation)
    FROM t;
END;
COMMENT ON FUNCTION hone._write_rate(oid) IS 'Internal: rows written to a table with its partitions in the last seconds, a day or two; NULL seconds: not known yet';

CREATE VIEW hone._droppable_index AS
SELECT x.indexrelid AS index, x.indrelid AS relation, c.relkind, c.relpages::bigint AS pages,
    pg_catalog.pg_stat_get_numscans(x.indexrelid) AS scans, hone._last_scan(x.indexrelid) AS last_scan
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
WHERE x.indrelid >= 16384 AND c.relkind = 'i' AND NOT c.relispartition AND t.relkind IN ('r', 'm') AND t.relpersistence <> 't'
    AND NOT x.indisunique AND NOT x.indisexclusion AND NOT x.indisreplident AND NOT x.indisclustered
    AND x.indisvalid AND x.indisready AND x.indislive
UNION ALL
SELECT x.indexrelid, x.indrelid, c.relkind, s.pages, s.scans, s.last_scan
FROM pg_catalog.pg_index x
JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
CROSS JOIN LATERAL (
    SELECT pg_catalog.sum(i.relpages) AS pages, pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.oid))::bigint AS scans,
        pg_catalog.max(hone._last_scan(i.oid)) AS last_scan, pg_catalog.bool_or(l.indisreplident OR l.indisclustered) AS marked
    FROM hone._tree(x.indexrelid) t JOIN pg_catalog.pg_class i ON i.oid = t JOIN pg_catalog.pg_index l ON l.indexrelid = t) s
WHERE x.indrelid >= 16384 AND c.relkind = 'I' AND NOT c.relispartition
    AND NOT x.indisunique AND NOT x.indisexclusion AND x.indisvalid AND NOT s.marked;
COMMENT ON VIEW hone._droppable_index IS 'Internal: indexes that are there to be read only, those of partitioned tables as a whole, and how they were';

CREATE PROCEDURE hone._note_index_use()
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pg_is_in_recovery() OR EXISTS (SELECT FROM hone._index_use u WHERE u.index = 0 AND u.since BETWEEN now() - interval '1 hour' AND now()) THEN
        RETURN;
    END IF;
    DELETE FROM hone._index_use u WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = u.index);
    INSERT INTO hone._index_use AS u (index, scans, since)
    SELECT d.index, d.scans, now() FROM hone._droppable_index d
    UNION ALL
    SELECT 0, 0, now()
    ON CONFLICT ON CONSTRAINT _index_use_pkey
    -- where counting began anew, hone._counting says since when
    DO UPDATE SET scans = EXCLUDED.scans, since = CASE WHEN EXCLUDED.scans > 0 THEN EXCLUDED.since ELSE u.since END
    WHERE u.scans <> EXCLUDED.scans;

    -- nor for how long the counts of a table were counted
    DELETE FROM hone._table_writes w WHERE w.day < current_date - 1 OR NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = w.relation)
        OR pg_stat_get_tuples_inserted(w.relation) < w.inserted OR pg_stat_get_tuples_updated(w.relation) < w.updated
        OR pg_stat_get_tuples_deleted(w.relation) < w.deleted OR w.day > current_date;
    INSERT INTO hone._table_writes (relation, day, noted_at, inserted, updated, hot_updated, deleted)
    SELECT c.oid, current_date, now(), pg_stat_get_tuples_inserted(c.oid), pg_stat_get_tuples_updated(c.oid), pg_stat_get_tuples_hot_updated(c.oid), pg_stat_get_tuples_deleted(c.oid)
    FROM pg_class c WHERE c.relkind IN ('r', 'm') AND c.oid >= 16384 AND c.relpersistence <> 't'
    ON CONFLICT DO NOTHING;
END
$$;
COMMENT ON PROCEDURE hone._note_index_use() IS 'Internal: brings hone._index_use and hone._table_writes up to date, once an hour; called with hone._raise_alerts()';

CREATE VIEW hone._idle_index AS
WITH idle AS MATERIALIZED (
    SELECT d.*, s.since, k.since AS counted_since, k.seconds, d.pages * k.block AS bytes, k.worth
    FROM hone._droppable_index d
    CROSS JOIN hone._counting k
    LEFT JOIN hone._index_use u ON u.index = d.index
    CROSS JOIN LATERAL (
        SELECT CASE WHEN d.last_scan IS NOT NULL THEN d.last_scan
                    -- of an age that nobody knows, or scanned since
                    WHEN u.index IS NULL OR d.scans > 0 AND d.scans <> u.scans THEN pg_catalog.now()
                    ELSE greatest(k.since, u.since) END AS since) s
    -- a standby counts no writes, and its primary's scans are not its own
    WHERE NOT pg_catalog.pg_is_in_recovery()
        AND s.since <= pg_catalog.now() - pg_catalog.current_setting('hone.advise_index_idle')::interval),
written AS MATERIALIZED (
    SELECT i.*, w.*, (w.inserted + w.updated - w.hot_updated) / i.seconds AS writes_per_s
    FROM idle i
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum(pg_catalog.pg_stat_get_tuples_inserted(x.indrelid))::bigint AS inserted,
            pg_catalog.sum(pg_catalog.pg_stat_get_tuples_updated(x.indrelid))::bigint AS updated,
            pg_catalog.sum(pg_catalog.pg_stat_get_tuples_hot_updated(x.indrelid))::bigint AS hot_updated,
            pg_catalog.count(*) - 1 AS partitions,
            pg_catalog.bool_or(c.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'tiered')) AS tiered
        FROM hone._tree(i.index) t
        JOIN pg_catalog.pg_index x ON x.indexrelid = t
        JOIN pg_catalog.pg_class c ON c.oid = x.indrelid) w),
judged AS MATERIALIZED (
    SELECT w.*, w.scans = 0 AND w.writes_per_s >= pg_catalog.current_setting('hone.advise_index_writes')::float8 AS hot
    FROM written w
    -- compressed rows are found by filters of the indexed columns, without a scan of the index
    WHERE w.tiered IS NOT TRUE
        AND (w.bytes >= w.worth OR w.scans = 0 AND w.writes_per_s >= pg_catalog.current_setting('hone.advise_index_writes')::float8))
SELECT j.*, hone._qualified_name(j.relation) AS name, hone._qualified_name(j.index) AS index_name, hone._standbys() AS standbys,
    x.indexprs IS NOT NULL AS expressions, x.indkey
FROM judged j
JOIN pg_catalog.pg_index x ON x.indexrelid = j.index
WHERE hone._worth_advice(j.relation)
    -- one that will be used once the other is gone, or is recommended to go already
    AND NOT EXISTS (SELECT FROM hone._covered_index c WHERE c.kept = j.index OR c.index = j.index)
    -- the only one that finds what references a row that goes
    AND NOT EXISTS (
        SELECT FROM hone._tree(j.index) t
        JOIN hone._foreign_key_index s ON s.index = t
        CROSS JOIN LATERAL hone._changes(s.referenced) d
        WHERE (d.deleted > 0 OR d.updated > 0)
            AND NOT EXISTS (SELECT FROM hone._foreign_key_index o WHERE o.foreign_key = s.foreign_key AND o.index <> s.index));
COMMENT ON VIEW hone._idle_index IS 'Internal: indexes not scanned for hone.advise_index_idle, large ones, and those of tables much written to';

CREATE VIEW hone._idle_advice AS
SELECT v.kind, v.relation, v.index_name AS identity,
    CASE WHEN v.hot THEN hone._severity_of(v.writes_per_s, pg_catalog.current_setting('hone.advise_index_writes')::float8)
         ELSE hone._severity_of(v.bytes::float8, 1073741824) END AS severity,
    CASE WHEN v.hot THEN v.inserted + v.updated - v.hot_updated ELSE v.scans END AS calls,
    v.since AS first_seen,
    pg_catalog.now() AS last_seen,
    pg_catalog.format(CASE WHEN v.hot THEN 'drop index %s of %s: never used here for %s, while %s rows a second are written; %s less%s'
            ELSE 'drop index %1$s of %2$s: not used here for %3$s; %5$s less%6$s' END, v.index_name, v.name,
        hone._rough_time(pg_catalog.now() - v.since), pg_catalog.round(v.writes_per_s::numeric, 1),
        pg_catalog.pg_size_pretty(v.bytes), CASE WHEN v.standbys > 0 THEN '; standbys may use it, look there first' ELSE '' END) AS summary,
    hone._drop_index(v.index) AS fix,
    NULL::text AS no_fix,
    pg_catalog.jsonb_build_object('index', v.index_name, 'bytes', v.bytes, 'saving_bytes', v.bytes, 'scans', v.scans,
        'unused_since', v.since, 'unused_days', pg_catalog.round((extract(epoch FROM pg_catalog.now() - v.since) / 86400)::numeric, 1),
        'counted_since', v.counted_since, 'last_scan', v.last_scan, 'partitions', v.partitions,
        'standbys', v.standbys, 'replicas', 'scans on standbys are not counted here: see pg_stat_user_indexes of each',
        'statistics', CASE WHEN v.expressions THEN 'ANALYZE keeps statistics of its expressions, which the planner uses also where it does not scan it: CREATE STATISTICS keeps them without an index' END,
        'definition', hone._index_definition(v.index),
        'rows_inserted', v.inserted, 'rows_updated', v.updated, 'rows_updated_hot', v.hot_updated,
        'writes_per_s', pg_catalog.round(v.writes_per_s::numeric, 2),
        -- a change of these cannot be HOT because of this index alone
        'not_hot_because_of', (
            SELECT pg_catalog.jsonb_agg(a.attname ORDER BY a.attnum)
            FROM pg_catalog.pg_attribute a
            WHERE a.attrelid = v.relation AND a.attnum = ANY (v.indkey::int2[])
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_index o WHERE o.indrelid = v.relation AND o.indexrelid <> v.index AND a.attnum = ANY (o.indkey::int2[])))) AS evidence
FROM (
    SELECT i.*, k.kind, pg_catalog.row_number() OVER (PARTITION BY i.hot ORDER BY CASE WHEN i.hot THEN i.writes_per_s END DESC, i.bytes DESC, i.index) AS place
    FROM hone._idle_index i
    CROSS JOIN LATERAL (SELECT CASE WHEN i.hot THEN 'write_only_index' ELSE 'unused_index' END AS kind) k) v
WHERE v.place <= hone._advice_limit(v.kind);
COMMENT ON VIEW hone._idle_advice IS 'Internal: recommendations of kinds unused_index and write_only_index';

-- ---- indexes that do not work, or are too large ----

-- Left behind by a CREATE, REINDEX or DROP INDEX CONCURRENTLY that failed. What
-- is still at work is in the view of progress, where others see only that it is
-- there, or holds a lock on the index.
CREATE VIEW hone._invalid_index AS
WITH broken AS MATERIALIZED (
    SELECT x.indexrelid AS index, x.indrelid, coalesce(o.oid, x.indrelid) AS relation, c.relname, c.relkind, c.relpages, x.indisunique, x.indisexclusion,
        x.indisready, x.indislive, c.relname ~ '_cc(new|old)\d*$' AS leftover
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid AND t.relpersistence <> 't'
    LEFT JOIN pg_catalog.pg_class o ON t.relkind = 't' AND o.reltoastrelid = t.oid
    WHERE NOT (x.indisvalid AND x.indisready AND x.indislive) AND coalesce(o.oid, x.indrelid) >= 16384),
idle AS (
    SELECT b.*, hone._qualified_name(b.relation) AS name, hone._qualified_name(b.index) AS index_name,
        b.relpages * pg_catalog.current_setting('block_size')::bigint AS bytes
    FROM broken b
    WHERE hone._worth_advice(b.relation)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_get_progress_info('CREATE INDEX') p
                        WHERE p.datid = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
                            AND (p.relid = b.indrelid OR p.relid IS NULL))
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_locks l
                        WHERE l.locktype = 'relation' AND l.relation = b.index
                            AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
                            AND l.mode IN ('ShareUpdateExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock'))),
-- Of a partitioned index: partitions that have none.
lacking AS (
    SELECT i.index, pg_catalog.count(*) AS partitions,
        CASE WHEN pg_catalog.bool_and(c.relkind = 'r') AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conindid = i.index)
             THEN pg_catalog.string_agg(pg_catalog.format(E'CREATE %sINDEX CONCURRENTLY %I ON %s %s;\nALTER INDEX %s ATTACH PARTITION %I.%I;',
                CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, p.name, hone._qualified_name(c.oid),
                pg_catalog.substr(d.sql, pg_catalog.length(pg_catalog.format('CREATE %sINDEX %I ON %s ', CASE WHEN i.indisunique THEN 'UNIQUE ' ELSE '' END, i.relname, i.name)) + 1),
                i.index_name, n.nspname, p.name), E'\n' ORDER BY c.oid) END AS fix
    FROM idle i
    CROSS JOIN LATERAL (SELECT hone._index_definition(i.index) AS sql) d
    JOIN pg_catalog.pg_inherits h ON h.inhparent = i.indrelid
    JOIN pg_catalog.pg_class c ON c.oid = h.inhrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL (SELECT 'idx_' || pg_catalog.left(pg_catalog.md5(c.oid || ' ' || i.index), 16) AS name) p
    WHERE i.relkind = 'I' AND NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits s JOIN pg_catalog.pg_index y ON y.indexrelid = s.inhrelid
        WHERE s.inhparent = i.index AND y.indrelid = c.oid)
    GROUP BY i.index)
SELECT 'invalid_index' AS kind, i.relation, i.index_name AS identity,
    CASE i.relkind WHEN 'I' THEN 'low' ELSE 'medium' END AS severity,
    0::bigint AS calls,
    pg_catalog.now() AS first_seen,
    pg_catalog.now() AS last_seen,
    CASE WHEN i.relkind = 'I' THEN pg_catalog.format('complete index %s of %s: not all partitions have it', i.index_name, i.name)
         ELSE pg_catalog.format('%s index %s of %s: it is invalid, no query uses it%s', CASE WHEN i.leftover OR NOT i.indislive THEN 'drop' ELSE 'rebuild or drop' END,
            i.index_name, i.name, CASE WHEN i.indisready THEN ', and each write pays for it' ELSE '' END) END AS summary,
    CASE WHEN i.relkind = 'I' THEN l.fix
         WHEN i.leftover OR NOT i.indislive THEN pg_catalog.format('DROP INDEX CONCURRENTLY %s', i.index_name)
         -- a unique one may be invalid because rows are not unique
         ELSE pg_catalog.format('REINDEX INDEX %s%s', CASE WHEN i.indisexclusion THEN '' ELSE 'CONCURRENTLY ' END, i.index_name) END AS fix,
    CASE WHEN i.relkind = 'I' THEN CASE WHEN l.partitions IS NULL THEN 'its partitions'' indexes are invalid: first those'
        ELSE 'a partition is partitioned or a foreign table, or a constraint needs the index: make it there, then ALTER INDEX ... ATTACH PARTITION' END END AS no_fix,
    pg_catalog.jsonb_build_object('index', i.index_name, 'bytes', i.bytes, 'ready', i.indisready, 'live', i.indislive, 'unique', i.indisunique,
        'leftover_of_reindex', i.leftover, 'partitions_without', l.partitions,
        'otherwise', CASE WHEN i.relkind = 'i' AND i.indislive AND NOT i.leftover THEN pg_catalog.format('DROP INDEX CONCURRENTLY %s', i.index_name) END,
        'definition', hone._index_definition(i.index)) AS evidence
FROM idle i
LEFT JOIN lacking l ON l.index = i.index
ORDER BY i.relpages DESC, i.index
LIMIT hone._advice_limit('invalid_index');
COMMENT ON VIEW hone._invalid_index IS 'Internal: recommendations of kind invalid_index';

-- What a btree of so many entries of such a width would take, built anew. Its
-- pages have 24 bytes of header and 16 at the end; an entry has 8 bytes, 12 with
-- nulls, and a pointer of 4. Entries that are alike are stored once, which is
-- not reckoned with: so it is rather too large, and a bloated index is missed.
CREATE VIEW hone._bloated_index AS
WITH large AS MATERIALIZED (
    SELECT x.indexrelid AS index, x.indrelid AS relation, x.indkey, c.relpages, c.reltuples, k.block, k.worth,
        coalesce((SELECT o.option_value::int FROM pg_catalog.pg_options_to_table(c.reloptions) o WHERE o.option_name = 'fillfactor'), 90) AS fill
    FROM pg_catalog.pg_index x
    JOIN pg_catalog.pg_class c ON c.oid = x.indexrelid
    JOIN pg_catalog.pg_class t ON t.oid = x.indrelid
    CROSS JOIN hone._counting k
    WHERE x.indrelid >= 16384 AND c.relkind = 'i' AND c.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'btree')
        AND c.relpages * k.block >= k.worth AND c.reltuples >= 0
        AND t.relkind IN ('r', 'm') AND t.relpersistence <> 't' AND x.indisvalid AND x.indisready),
entry AS (
    SELECT l.*, w.data, 4 + 8 * pg_catalog.ceil(CASE WHEN w.nulls THEN 12 ELSE 8 END / 8.0) + 8 * pg_catalog.ceil(w.data / 8.0) AS width
    FROM large l
    CROSS JOIN LATERAL (
        SELECT pg_catalog.sum((1 - coalesce(s.stanullfrac, 0)) * CASE WHEN a.attlen > 0 THEN a.attlen ELSE s.stawidth END)::numeric AS data,
            pg_catalog.bool_or(coalesce(s.stanullfrac, 0) > 0) AS nulls,
            pg_catalog.bool_and(a.attlen > 0 OR a.attlen = -1 AND s.stawidth IS NOT NULL) AS known
        FROM pg_catalog.pg_attribute a
        LEFT JOIN pg_catalog.pg_statistic s ON NOT s.stainherit
            AND s.starelid = CASE (l.indkey::int2[])[a.attnum - 1] WHEN 0 THEN l.index ELSE l.relation END
            AND s.staattnum = CASE (l.indkey::int2[])[a.attnum - 1] WHEN 0 THEN a.attnum ELSE (l.indkey::int2[])[a.attnum - 1] END
        WHERE a.attrelid = l.index AND a.attnum > 0) w
    WHERE w.known),
estimate AS (
    SELECT e.*, 1 + f.leaves + pg_catalog.ceil(f.leaves / pg_catalog.floor((e.block - 40) * 0.7 / e.width)) AS pages
    FROM entry e
    CROSS JOIN LATERAL (
        SELECT pg_catalog.ceil(e.reltuples::numeric / greatest(pg_catalog.floor((e.block - 40) * e.fill / 100.0 / e.width), 1)) AS leaves) f
    WHERE e.width < e.block / 3),
bloated AS MATERIALIZED (
    SELECT e.*, e.relpages * e.block AS bytes, (e.pages * e.block)::bigint AS wanted, ((e.relpages - e.pages) * e.block)::bigint AS saving
    FROM estimate e
    WHERE e.relpages >= e.pages * pg_catalog.current_setting('hone.advise_index_bloat')::numeric
        AND (e.relpages - e.pages) * e.block >= e.worth AND hone._worth_advice(e.relation))
SELECT 'bloated_index' AS kind, b.relation, n.index_name AS identity,
    hone._severity_of(b.saving::float8, 1073741824) AS severity,
    0::bigint AS calls,
    pg_catalog.now() AS first_seen,
    pg_catalog.now() AS last_seen,
    pg_catalog.format('rebuild index %s of %s: %s where about %s would do (an estimate)', n.index_name, hone._qualified_name(b.relation),
        pg_catalog.pg_size_pretty(b.bytes), pg_catalog.pg_size_pretty(b.wanted)) AS summary,
    pg_catalog.format('REINDEX INDEX CONCURRENTLY %s', n.index_name) AS fix,
    NULL::text AS no_fix,
    pg_catalog.jsonb_build_object('index', n.index_name, 'bytes', b.bytes, 'estimated_bytes', b.wanted, 'saving_bytes', b.saving,
        'estimated_factor', pg_catalog.round(b.relpages / b.pages, 1), 'entries', b.reltuples::bigint, 'bytes_per_entry', pg_catalog.round(b.width, 1), 'fillfactor', b.fill,
        'estimate', 'entries, by the last VACUUM or ANALYZE, times the width of their columns by ANALYZE with what an entry and a page have around it, filled to fillfactor; equal entries counted one by one') AS evidence
FROM bloated b
CROSS JOIN LATERAL (SELECT hone._qualified_name(b.index) AS index_name) n
ORDER BY b.saving DESC, b.index
LIMIT hone._advice_limit('bloated_index');
COMMENT ON VIEW hone._bloated_index IS 'Internal: recommendations of kind bloated_index';

REVOKE ALL ON PROCEDURE hone._note_index_use() FROM PUBLIC;
REVOKE ALL ON FUNCTION hone._write_rate(oid) FROM PUBLIC;
GRANT SELECT ON hone._covered_advice, hone._idle_advice, hone._invalid_index, hone._bloated_index TO PUBLIC;
