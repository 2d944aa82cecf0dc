-- What tiers cost and save (src/lifecycle), and what is recommended of them
-- (src/advise/advice_storage.c reads the views at the end).

CREATE TABLE hone.tier_prices (
    tier text PRIMARY KEY CHECK (tier IN ('hot', 'warm', 'cold', 'archive')),
    usd_per_gb_month numeric CHECK (usd_per_gb_month >= 0 AND usd_per_gb_month < 1e9),
    currency text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    note text,
    is_default boolean NOT NULL DEFAULT false
) USING heap;
COMMENT ON TABLE hone.tier_prices IS 'What a gigabyte costs in a month, by tier; for admins to change. An INSERT takes the place of a default row';
COMMENT ON COLUMN hone.tier_prices.tier IS 'hot, warm, cold or archive';
COMMENT ON COLUMN hone.tier_prices.usd_per_gb_month IS 'Price of 2^30 bytes for a month, in units of currency; NULL: not known, then costs are NULL too';
COMMENT ON COLUMN hone.tier_prices.currency IS 'What the price is counted in, three letters; prices in several currencies are never added';
COMMENT ON COLUMN hone.tier_prices.note IS 'Where the price comes from';
COMMENT ON COLUMN hone.tier_prices.is_default IS 'As pg_hone came, so not dumped; false once changed';
INSERT INTO hone.tier_prices (tier, usd_per_gb_month, note, is_default) VALUES
    ('hot', 0.10, 'block storage on SSD, list prices of large clouds: 0.08 to 0.17', true),
    ('warm', 0.10, 'the same disk as hot: the rows stay in their tablespace', true),
    ('cold', 0.04, 'block storage on magnetic disks, list prices of large clouds: 0.02 to 0.05', true),
    ('archive', 0.02, 'object storage, list prices of large clouds: 0.01 to 0.03', true);

-- A dump has only rows that somebody changed; restored, they meet the defaults
-- that CREATE EXTENSION has just made.
CREATE FUNCTION hone._tier_prices_changed() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        DELETE FROM hone.tier_prices WHERE tier = NEW.tier AND is_default;
    END IF;
    NEW.is_default := false;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION hone._tier_prices_changed() IS 'Internal: a changed price is no default any more, and an inserted one takes the place of the default';
CREATE TRIGGER changed BEFORE INSERT OR UPDATE ON hone.tier_prices
    FOR EACH ROW EXECUTE FUNCTION hone._tier_prices_changed();
COMMENT ON TRIGGER changed ON hone.tier_prices IS 'Tells what is changed from the defaults, which dumps leave out';
SELECT pg_catalog.pg_extension_config_dump('hone.tier_prices', 'WHERE NOT is_default');

-- The file of a restored archive is still there, its rows are counted where
-- they are now.
CREATE VIEW hone._archive_bytes AS
SELECT t.parent, r.rows, a.bytes, r.heap_bytes, r.range_start, r.range_end,
    hone._tier_due_at(r.range_end, p.drop_after) AS drop_at
FROM hone._archive a
CROSS JOIN LATERAL (SELECT coalesce(a.policy, a.parent)::oid AS parent) t
JOIN pg_catalog.pg_class c ON c.oid = t.parent
LEFT JOIN hone._tier_policy p ON p.parent = t.parent
CROSS JOIN LATERAL (
    SELECT CASE WHEN a.restored_at IS NULL THEN a.rows ELSE 0 END AS rows,
        CASE WHEN a.restored_at IS NULL THEN a.heap_bytes ELSE 0 END AS heap_bytes,
        CASE WHEN a.restored_at IS NULL THEN a.range_start END AS range_start,
        a.range_end) r
WHERE a.dropped_at IS NOT NULL AND a.expired_at IS NULL;
COMMENT ON VIEW hone._archive_bytes IS 'Archived partitions of tables that are there: rows, size of the file, and size that they had hot';

-- The price that a partition has now, and would have hot. Cold rows that lie
-- beside the hot ones cost what warm ones do.
CREATE VIEW hone._tier_cost AS
SELECT l.parent, l.partition, l.tier, l.rows, l.range_start, l.range_end,
    l.warm_at, l.cold_at, l.archive_at, l.drop_at, l.reads, l.last_read,
    b.bytes,
    CASE WHEN l.tier <> 'hot' THEN l.heap_bytes ELSE b.bytes END AS hot_bytes,
    CASE WHEN l.tier = 'cold' AND c.reltablespace = p.reltablespace THEN 'warm' ELSE l.tier END AS price_tier
FROM hone._tier_leaf l
JOIN pg_catalog.pg_class c ON c.oid = l.partition
JOIN pg_catalog.pg_class p ON p.oid = l.parent
CROSS JOIN LATERAL (SELECT pg_catalog.pg_total_relation_size(l.partition) AS bytes) b
WHERE NOT l.own AND b.bytes IS NOT NULL
UNION ALL
SELECT a.parent, NULL, 'archive', a.rows, a.range_start, a.range_end, NULL, NULL, NULL, a.drop_at, NULL, NULL, a.bytes, a.heap_bytes, 'archive'
FROM hone._archive_bytes a;
COMMENT ON VIEW hone._tier_cost IS 'Partitions and archives with their size, what it would be hot, and the tier whose price counts';

CREATE VIEW hone.storage_report AS
WITH piece AS MATERIALIZED (SELECT c.* FROM hone._tier_cost c),
-- What a hot byte becomes. A tier that is not there yet is taken to be as
-- dense as the next one.
density AS (
    SELECT d.parent, coalesce(d.warm, d.cold) AS warm, coalesce(d.cold, d.warm) AS cold, coalesce(d.archive, d.cold, d.warm) AS archive
    FROM (
        SELECT i.parent,
            pg_catalog.sum(i.bytes) FILTER (WHERE i.tier = 'warm') / nullif(pg_catalog.sum(i.hot_bytes) FILTER (WHERE i.tier = 'warm'), 0) AS warm,
            pg_catalog.sum(i.bytes) FILTER (WHERE i.tier = 'cold') / nullif(pg_catalog.sum(i.hot_bytes) FILTER (WHERE i.tier = 'cold'), 0) AS cold,
            pg_catalog.sum(i.bytes) FILTER (WHERE i.tier = 'archive') / nullif(pg_catalog.sum(i.hot_bytes) FILTER (WHERE i.tier = 'archive'), 0) AS archive
        FROM piece i
        GROUP BY i.parent) d),
-- Hot bytes that come in a month: those of the partitions that the last half
-- year touches, by the time that these have been open. Where several leaves
-- share a range, or ranges overlap, the time counts once.
growth AS (
    SELECT g.parent, g.hot_bytes * 30.4375 / g.days AS bytes
    FROM (
        SELECT f.parent, pg_catalog.sum(f.hot_bytes) AS hot_bytes,
            (SELECT pg_catalog.sum(extract(epoch FROM pg_catalog.upper(u) - pg_catalog.lower(u))) / 86400
             FROM pg_catalog.unnest(pg_catalog.range_agg(pg_catalog.tstzrange(f.range_start, f.until))) u) AS days
        FROM (
            SELECT i.parent, i.hot_bytes, i.range_start, least(i.range_end, pg_catalog.now()) AS until
            FROM piece i
            WHERE pg_catalog.isfinite(i.range_start) AND i.range_start < pg_catalog.now()
                AND i.range_end > pg_catalog.now() - interval '6 months' AND i.range_start < i.range_end) f
        GROUP BY f.parent) g
    -- of less than a week nothing can be said
    WHERE g.days >= 7),
-- In a year: what is there is older, and twelve months have come.
aged AS (
    SELECT i.parent, i.hot_bytes, i.bytes, i.price_tier,
        CASE i.tier WHEN 'hot' THEN 0 WHEN 'warm' THEN 1 WHEN 'cold' THEN 2 ELSE 3 END AS reached,
        i.warm_at, i.cold_at, i.archive_at, i.drop_at
    FROM piece i
    UNION ALL
    SELECT g.parent, g.bytes, g.bytes, 'hot', 0,
        hone._tier_due_at(e.range_end, p.warm_after), hone._tier_due_at(e.range_end, p.cold_after),
        hone._tier_due_at(e.range_end, p.archive_after), hone._tier_due_at(e.range_end, p.drop_after)
    FROM growth g
    LEFT JOIN hone._tier_policy p ON p.parent = g.parent
    CROSS JOIN pg_catalog.generate_series(1, 12) m
    CROSS JOIN LATERAL (SELECT hone._tier_due_at(pg_catalog.now(), m * interval '1 month') AS range_end) e),
moved AS (
    SELECT a.parent, a.hot_bytes,
        CASE w.wanted WHEN a.reached THEN a.bytes WHEN 1 THEN a.hot_bytes * d.warm WHEN 2 THEN a.hot_bytes * d.cold
            WHEN 3 THEN a.hot_bytes * d.archive ELSE 0 END AS bytes,
        CASE w.wanted WHEN a.reached THEN a.price_tier WHEN 1 THEN 'warm'
            WHEN 2 THEN CASE WHEN p.cold_tablespace IS NULL THEN 'warm' ELSE 'cold' END ELSE 'archive' END AS price_tier
    FROM aged a
    JOIN density d USING (parent)
    LEFT JOIN hone._tier_policy p ON p.parent = a.parent
    CROSS JOIN (SELECT hone._tier_due_at(pg_catalog.now(), interval '1 year') AS at) y
    CROSS JOIN LATERAL (
        SELECT greatest(a.reached,
            CASE WHEN a.drop_at <= y.at THEN 4
                 WHEN a.archive_at <= y.at THEN 3
                 WHEN a.cold_at <= y.at THEN 2
                 WHEN a.warm_at <= y.at THEN 1 ELSE 0 END) AS wanted) w),
forecast AS (
    SELECT g.parent, g.bytes AS growth,
        CASE WHEN pg_catalog.bool_and(m.bytes IS NOT NULL) THEN pg_catalog.sum(m.bytes) END AS bytes,
        CASE WHEN pg_catalog.bool_and(m.hot_bytes IS NOT NULL) THEN pg_catalog.sum(m.hot_bytes) END AS hot_bytes,
        CASE WHEN pg_catalog.bool_and(m.bytes IS NOT NULL AND t.usd_per_gb_month IS NOT NULL)
                  AND pg_catalog.min(t.currency) = pg_catalog.max(t.currency)
             THEN pg_catalog.sum(m.bytes * t.usd_per_gb_month) / 1073741824 END AS cost
    FROM growth g
    JOIN moved m ON m.parent = g.parent
    LEFT JOIN hone.tier_prices t ON t.tier = m.price_tier
    GROUP BY g.parent, g.bytes),
report AS (
    SELECT i.parent,
        CASE WHEN grouping(i.tier) = 1 THEN 'all' ELSE i.tier END AS tier,
        pg_catalog.count(*) AS partitions,
        pg_catalog.sum(i.rows)::bigint AS rows,
        pg_catalog.sum(i.bytes)::bigint AS bytes,
        CASE WHEN pg_catalog.bool_and(i.hot_bytes IS NOT NULL) THEN pg_catalog.sum(i.hot_bytes)::bigint END AS hot_bytes,
        CASE WHEN pg_catalog.bool_and(t.usd_per_gb_month IS NOT NULL) AND pg_catalog.min(t.currency) = pg_catalog.max(t.currency)
             THEN pg_catalog.sum(i.bytes * t.usd_per_gb_month) / 1073741824 END AS cost,
        CASE WHEN pg_catalog.min(t.currency) = pg_catalog.max(t.currency) THEN pg_catalog.min(t.currency) END AS currency,
        pg_catalog.sum(i.reads)::bigint AS reads,
        pg_catalog.max(i.last_read) AS last_read
    FROM piece i
    LEFT JOIN hone.tier_prices t ON t.tier = i.price_tier
    GROUP BY GROUPING SETS ((i.parent, i.tier), (i.parent)))
SELECT r.parent::regclass AS parent,
    r.tier,
    r.partitions,
    r.rows,
    r.bytes,
    r.hot_bytes AS bytes_if_hot,
    pg_catalog.round(r.cost, 4) AS cost_per_month,
    pg_catalog.round(h.price * r.hot_bytes, 4) AS cost_if_hot,
    CASE WHEN r.currency = h.currency THEN pg_catalog.round(h.price * r.hot_bytes - r.cost, 4) END AS saving_per_month,
    r.currency,
    r.reads AS reads_since_move,
    r.last_read,
    pg_catalog.round(f.growth)::bigint AS growth_per_month,
    pg_catalog.round(f.bytes)::bigint AS bytes_in_year,
    pg_catalog.round(f.hot_bytes)::bigint AS bytes_in_year_if_hot,
    pg_catalog.round(f.cost, 4) AS cost_in_year,
    pg_catalog.round(h.price * f.hot_bytes, 4) AS cost_in_year_if_hot
FROM report r
LEFT JOIN (SELECT t.usd_per_gb_month / 1073741824 AS price, t.currency FROM hone.tier_prices t WHERE t.tier = 'hot') h ON true
LEFT JOIN forecast f ON r.tier = 'all' AND f.parent = r.parent
ORDER BY r.parent::regclass::text, pg_catalog.array_position(ARRAY['hot', 'warm', 'cold', 'archive', 'all'], r.tier);
COMMENT ON VIEW hone.storage_report IS 'What each table by time takes and costs in each tier, what it would cost if all of it were hot, and what it will in a year; tier ''all'' is the sum';
COMMENT ON COLUMN hone.storage_report.bytes_if_hot IS 'What the same rows took before they were compressed';
COMMENT ON COLUMN hone.storage_report.cost_per_month IS 'By the prices in hone.tier_prices; cold partitions in the tablespace of their parent cost what warm ones do';
COMMENT ON COLUMN hone.storage_report.currency IS 'Of the costs; NULL where tiers have several, whose costs are not added';
COMMENT ON COLUMN hone.storage_report.reads_since_move IS 'Scans since the partitions came to their tier, of tables under a policy, as far as the worker has seen them';
COMMENT ON COLUMN hone.storage_report.growth_per_month IS 'Bytes, as if hot, that come in a month; from the partitions of the last half year';
COMMENT ON COLUMN hone.storage_report.bytes_in_year IS 'With the policy as it is and growth as it was; NULL where that cannot be known';
COMMENT ON COLUMN hone.storage_report.bytes_in_year_if_hot IS 'If from the beginning nothing had been compressed, archived or dropped';

-- ---- what is recommended of tiers ----
--
-- Read by whoever reads hone.recommendations, so each view leaves out tables
-- that the reader may not see. From the catalogs only: nothing is opened and no
-- lock waited for, so sizes are those of the last VACUUM or ANALYZE.

CREATE VIEW hone._known_size AS
SELECT c.oid AS relation,
    (c.relpages + coalesce(t.relpages, 0) + coalesce(i.pages, 0)) * pg_catalog.current_setting('block_size')::bigint AS bytes
FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_class t ON t.oid = c.reltoastrelid
LEFT JOIN (SELECT x.indrelid, pg_catalog.sum(k.relpages)::bigint AS pages
           FROM pg_catalog.pg_index x JOIN pg_catalog.pg_class k ON k.oid = x.indexrelid GROUP BY x.indrelid) i ON i.indrelid = c.oid
WHERE c.relkind = 'r';
COMMENT ON VIEW hone._known_size IS 'Internal: size of tables with their indexes and TOAST, as the catalogs have it; takes no lock';

CREATE FUNCTION hone._qualified_name(relation oid) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation
$$;
COMMENT ON FUNCTION hone._qualified_name(oid) IS 'Internal: name of a relation as it may stand in SQL, whatever the search_path';

CREATE FUNCTION hone._reader_may_see(relation oid) RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT has_table_privilege(relation, 'SELECT') OR has_any_column_privilege(relation, 'SELECT')
        OR pg_has_role('pg_read_all_stats', 'USAGE')
$$;
COMMENT ON FUNCTION hone._reader_may_see(oid) IS 'Internal: may the current user read the table, or all statistics';

-- Ten times what is worth mention is worth an alert; of dollars, a hundred.
CREATE FUNCTION hone._severity_of(amount double precision, mention double precision) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE WHEN amount >= 100 * mention THEN 'high' WHEN amount >= 10 * mention THEN 'medium' ELSE 'low' END $$;
COMMENT ON FUNCTION hone._severity_of(double precision, double precision) IS 'Internal: high from a hundred times what is worth mention, medium from ten times';

-- Compressed partitions that are read often, where the policy put them. A
-- partition is read until it is one length older than it is now, so the wait
-- reaches there. Warm rows lie on the same disk and scans of them are cheap:
-- they may be read ten times as often.
CREATE VIEW hone._cold_but_read AS
WITH leaf AS (
    SELECT a.parent, a.partition, b.bytes, a.moved_to AS tier, a.reads, a.last_read, a.moved_at, p.warm_after, p.cold_after,
        p.keep_while_read, least(p.archive_after, p.drop_after) AS end_after,
        extract(epoch FROM pg_catalog.now() - a.range_end)::float8 / 86400 AS age_days,
        CASE WHEN pg_catalog.isfinite(a.range_start) THEN extract(epoch FROM a.range_end - a.range_start)::float8 / 86400 ELSE 0 END AS length_days,
        a.reads / greatest(extract(epoch FROM pg_catalog.now() - a.moved_at)::float8 / 86400, 1) AS reads_per_day,
        pg_catalog.current_setting('hone.advise_cold_reads')::float8 * CASE a.moved_to WHEN 'warm' THEN 10 ELSE 1 END AS bar
    FROM hone._tier_age a
    JOIN hone._tier_policy p ON p.parent = a.parent
    JOIN hone._known_size b ON b.relation = a.partition
    WHERE a.reads > 0 AND a.moved_to IN ('warm', 'cold') AND NOT a.own
        AND a.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'tiered')
        AND CASE a.moved_to WHEN 'warm' THEN a.warm_at ELSE a.cold_at END <= pg_catalog.now()
        AND hone._reader_may_see(a.parent)),
parent AS (
    SELECT l.parent, l.warm_after, l.cold_after, l.keep_while_read, l.end_after,
        pg_catalog.count(*) AS partitions,
        pg_catalog.sum(l.reads)::bigint AS reads,
        pg_catalog.max(l.reads_per_day) AS reads_per_day,
        pg_catalog.max(l.reads_per_day / l.bar) AS above,
        pg_catalog.min(l.moved_at) AS first_seen,
        pg_catalog.max(l.last_read) AS last_seen,
        pg_catalog.string_agg(DISTINCT l.tier, ' and ' ORDER BY l.tier) AS tiers,
        pg_catalog.ceil(pg_catalog.max(l.age_days + l.length_days) FILTER (WHERE l.tier = 'warm'))::int AS warm_days,
        pg_catalog.ceil(pg_catalog.max(l.age_days + l.length_days) FILTER (WHERE l.tier = 'cold'))::int AS cold_days,
        pg_catalog.jsonb_agg(pg_catalog.jsonb_build_object('partition', hone._qualified_name(l.partition), 'tier', l.tier,
            'reads_per_day', pg_catalog.round(l.reads_per_day::numeric, 1), 'reads', l.reads, 'last_read', l.last_read, 'moved_at', l.moved_at,
            'age_days', pg_catalog.round(l.age_days::numeric, 1), 'bytes', l.bytes)
            ORDER BY l.reads_per_day / l.bar DESC, l.partition) AS list,
        pg_catalog.jsonb_agg(pg_catalog.format('CALL hone.move_partition(%L, ''hot'')', hone._qualified_name(l.partition))
            ORDER BY l.reads_per_day / l.bar DESC, l.partition) AS back
    FROM leaf l
    WHERE l.reads_per_day >= l.bar
    GROUP BY l.parent, l.warm_after, l.cold_after, l.keep_while_read, l.end_after),
wait AS (
    SELECT p.*, hone._qualified_name(p.parent) AS name,
        -- each wait stays below the next
        coalesce(p.warm_days * interval '1 day' >= least(coalesce(p.cold_days * interval '1 day', p.cold_after), p.end_after), false)
            OR coalesce(p.cold_days * interval '1 day' >= p.end_after, false) AS too_long
    FROM parent p)
SELECT w.parent AS relation,
    hone._severity_of(w.above, 1) AS severity,
    w.reads AS calls,
    w.first_seen,
    w.last_seen,
    pg_catalog.format('the policy of %s moves partitions that are still read: %s %s read up to %s times a day',
        w.name, w.partitions, CASE WHEN w.partitions = 1 THEN w.tiers || ' one is' ELSE w.tiers || ' ones are' END,
        pg_catalog.round(w.reads_per_day::numeric)) AS summary,
    CASE WHEN w.too_long THEN k.fix ELSE pg_catalog.format('SELECT hone.alter_tier_policy(%L%s%s)', w.name,
        ', warm_after => interval ''' || w.warm_days || ' days''',
        ', cold_after => interval ''' || w.cold_days || ' days''') END AS fix,
    NULL::text AS no_fix,
    pg_catalog.jsonb_build_object('partitions', w.list, 'warm_after', w.warm_after, 'cold_after', w.cold_after,
        'keep_while_read', CASE WHEN NOT w.too_long THEN k.fix END, 'move_back', w.back) AS evidence
FROM wait w
CROSS JOIN LATERAL (
    SELECT pg_catalog.format('SELECT hone.alter_tier_policy(%L, keep_while_read => interval ''%s days'')', w.name,
        greatest(7, pg_catalog.ceil(extract(epoch FROM 2 * w.keep_while_read) / 86400))) AS fix) k;
COMMENT ON VIEW hone._cold_but_read IS 'Internal: recommendations of kind cold_but_read';

-- Hot partitions that nobody has read for hone.advise_hot_idle, older than any
-- that was read. When that was: what the worker noticed, under a policy; else
-- the server's own time of the last scan (from PostgreSQL 16 on), and for
-- partitions never scanned the time since which scans are counted.
CREATE VIEW hone._hot_but_idle AS
WITH leaf AS (
    SELECT a.parent, a.partition, b.bytes, a.wanted, a.held,
        extract(epoch FROM pg_catalog.now() - a.range_end)::float8 / 86400 AS age_days,
        a.range_end,
        CASE WHEN p.parent IS NOT NULL AND s.scans IS NOT NULL THEN coalesce(a.last_read, p.created_at)
             WHEN r.scans = 0 THEN coalesce(d.counted_since, '-infinity')
             -- columns that PostgreSQL 15 does not have
             ELSE (SELECT greatest((x.j ->> 'last_seq_scan')::timestamptz, (x.j ->> 'last_idx_scan')::timestamptz)
                   FROM (SELECT pg_catalog.to_jsonb(t) AS j FROM pg_catalog.pg_stat_all_tables t WHERE t.relid = a.partition) x) END AS read_at
    FROM hone._tier_age a
    JOIN hone._known_size b ON b.relation = a.partition
    LEFT JOIN hone._tier_policy p ON p.parent = a.parent
    LEFT JOIN hone._tier_state s ON s.partition = a.partition
    CROSS JOIN LATERAL (
        SELECT pg_catalog.pg_stat_get_numscans(a.partition)
            + coalesce((SELECT pg_catalog.sum(pg_catalog.pg_stat_get_numscans(i.indexrelid)) FROM pg_catalog.pg_index i WHERE i.indrelid = a.partition), 0) AS scans) r
    CROSS JOIN (
        -- a crash begins the second anew, as all counts
        SELECT greatest((SELECT d.stats_reset FROM pg_catalog.pg_stat_database d WHERE d.datname = pg_catalog.current_database()),
                        (SELECT g.stats_reset FROM pg_catalog.pg_stat_bgwriter g)) AS counted_since) d
    WHERE NOT a.own AND a.range_end <= pg_catalog.now() AND b.bytes > 0
        AND a.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'heap')
        AND hone._reader_may_see(a.parent)),
judged AS (
    SELECT l.*, i.idle_since, i.idle, pg_catalog.max(l.age_days) FILTER (WHERE NOT i.idle AND l.wanted = 0) OVER (PARTITION BY l.parent) AS read_age_days
    FROM leaf l
    CROSS JOIN LATERAL (
        SELECT greatest(l.range_end, l.read_at) AS idle_since,
            coalesce(greatest(l.range_end, l.read_at) < pg_catalog.now() - pg_catalog.current_setting('hone.advise_hot_idle')::interval
                     AND l.read_at IS NOT NULL, false) AS idle) i),
parent AS (
    SELECT j.parent,
        pg_catalog.count(*) AS partitions,
        pg_catalog.sum(j.bytes)::bigint AS bytes,
        pg_catalog.floor(pg_catalog.min(j.age_days))::int AS warm_days,
        pg_catalog.max(j.idle_since) AS idle_since,
        pg_catalog.jsonb_agg(hone._qualified_name(j.partition) ORDER BY j.age_days DESC, j.partition) AS list
    FROM judged j
    WHERE j.idle AND j.wanted = 0 AND NOT j.held AND j.age_days >= 1 AND j.age_days > coalesce(j.read_age_days, 0)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint x WHERE x.conrelid = j.partition AND x.contype = 'x')
        -- one policy cannot be made both longer and shorter
        AND NOT EXISTS (SELECT FROM hone._cold_but_read c WHERE c.relation = j.parent)
    GROUP BY j.parent
    HAVING pg_catalog.sum(j.bytes) >= pg_catalog.pg_size_bytes(pg_catalog.current_setting('hone.advise_hot_size'))),
priced AS (
    SELECT p.*, hone._qualified_name(p.parent) AS name, coalesce(m.ratio, 3) AS ratio, m.ratio IS NOT NULL AS measured,
        s.bytes AS saving, h.currency,
        CASE WHEN h.currency = w.currency
             THEN (p.bytes * h.usd_per_gb_month - (p.bytes - s.bytes) * w.usd_per_gb_month) / 1073741824 END AS usd,
        y.parent IS NOT NULL AS policy
    FROM parent p
    LEFT JOIN hone._tier_policy y ON y.parent = p.parent
    LEFT JOIN hone.tier_prices h ON h.tier = 'hot'
    LEFT JOIN hone.tier_prices w ON w.tier = 'warm'
    CROSS JOIN LATERAL (
        -- the first move of each: later ones began with compressed rows
        SELECT pg_catalog.sum(f.bytes_before)::float8 / pg_catalog.sum(f.bytes_after)::float8 AS ratio
        FROM (SELECT DISTINCT ON (g.partition) g.bytes_before, g.bytes_after
              FROM hone._tier_log g
              WHERE g.to_tier = 'warm' AND g.error IS NULL AND g.bytes_after > 0
                  AND g.partition IN (SELECT t.relid FROM pg_catalog.pg_partition_tree(p.parent) t)
              ORDER BY g.partition, g.id) f
        WHERE f.bytes_before > f.bytes_after) m
    CROSS JOIN LATERAL (SELECT (p.bytes * (1 - 1 / coalesce(m.ratio, 3)))::bigint AS bytes) s)
SELECT i.parent AS relation,
    CASE WHEN i.usd IS NULL THEN hone._severity_of(i.saving, 10737418240) ELSE hone._severity_of(i.usd::float8, 1) END AS severity,
    0::bigint AS calls,
    i.idle_since AS first_seen,
    pg_catalog.now() AS last_seen,
    pg_catalog.format('compress what nobody reads of %s: %s hot %s, %s, not read for %s days; about %s less%s', i.name, i.partitions,
        CASE WHEN i.partitions = 1 THEN 'partition' ELSE 'partitions' END, pg_catalog.pg_size_pretty(i.bytes),
        pg_catalog.floor(extract(epoch FROM pg_catalog.now() - i.idle_since) / 86400), pg_catalog.pg_size_pretty(i.saving),
        coalesce(', ' || pg_catalog.round(i.usd, 2) || ' ' || i.currency || ' a month', '') || CASE WHEN i.measured THEN '' ELSE ' (an estimate)' END) AS summary,
    pg_catalog.format('SELECT hone.%s_tier_policy(%L, warm_after => interval ''%s days'')',
        CASE WHEN i.policy THEN 'alter' ELSE 'add' END, i.name, i.warm_days) AS fix,
    NULL::text AS no_fix,
    pg_catalog.jsonb_build_object('partitions', i.list, 'bytes', i.bytes, 'idle_since', i.idle_since,
        'saving_bytes', i.saving, 'saving_per_month', pg_catalog.round(i.usd, 2), 'currency', i.currency,
        'ratio', pg_catalog.round(i.ratio::numeric, 2), 'ratio_measured', i.measured) AS evidence
FROM priced i;
COMMENT ON VIEW hone._hot_but_idle IS 'Internal: recommendations of kind hot_but_idle';

-- Large tables that grow at the end, in the order of a time column.
CREATE VIEW hone._partition_candidate_column AS
WITH large AS MATERIALIZED (
    SELECT c.oid, b.bytes, c.reltuples, t.inserted, t.changed
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN hone._known_size b ON b.relation = c.oid
    CROSS JOIN LATERAL (SELECT pg_catalog.pg_stat_get_tuples_inserted(c.oid) AS inserted,
        pg_catalog.pg_stat_get_tuples_updated(c.oid) + pg_catalog.pg_stat_get_tuples_deleted(c.oid) AS changed) t
    WHERE c.relkind = 'r' AND NOT c.relispartition AND c.relpersistence = 'p' AND NOT c.relhassubclass
        AND c.relam = (SELECT m.oid FROM pg_catalog.pg_am m WHERE m.amname = 'heap')
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits h WHERE h.inhrelid = c.oid)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
        AND t.inserted > 0 AND t.changed <= 0.1 * t.inserted
        AND b.bytes >= pg_catalog.pg_size_bytes(pg_catalog.current_setting('hone.advise_partition_size'))
        AND hone._reader_may_see(c.oid))
SELECT DISTINCT ON (l.oid) l.*, a.attname, a.attnum, a.atttypid, v.correlation,
    greatest(extract(epoch FROM v.latest - v.earliest)::float8 / 86400, 1) AS days,
    u.without AS unique_without
FROM large l
JOIN pg_catalog.pg_attribute a ON a.attrelid = l.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
    AND a.atttypid IN ('pg_catalog.date'::regtype, 'pg_catalog.timestamp'::regtype, 'pg_catalog.timestamptz'::regtype)
-- not pg_stats: of a column that the reader may not see, the order of its rows is all that shows
JOIN pg_catalog.pg_statistic s ON s.starelid = l.oid AND s.staattnum = a.attnum AND NOT s.stainherit AND s.stanullfrac = 0
CROSS JOIN LATERAL (
    SELECT pg_catalog.max(k.numbers[1]) FILTER (WHERE k.kind = 3) AS correlation,
        pg_catalog.min(e.earliest) AS earliest, pg_catalog.max(e.latest) AS latest
    FROM (VALUES (s.stakind1, s.stanumbers1, s.stavalues1::text), (s.stakind2, s.stanumbers2, s.stavalues2::text), (s.stakind3, s.stanumbers3, s.stavalues3::text),
                 (s.stakind4, s.stanumbers4, s.stavalues4::text), (s.stakind5, s.stanumbers5, s.stavalues5::text)) AS k(kind, numbers, list)
    -- most common values, histogram
    LEFT JOIN LATERAL (SELECT pg_catalog.min(x) AS earliest, pg_catalog.max(x) AS latest
                       FROM pg_catalog.unnest(CASE WHEN a.atttypid IS NOT NULL AND k.kind IN (1, 2) THEN k.list::timestamptz[] END) x
                       WHERE pg_catalog.isfinite(x)) e ON true) v
CROSS JOIN LATERAL (
    SELECT pg_catalog.string_agg(x.indexrelid::regclass::text, ', ' ORDER BY x.indexrelid) AS without
    FROM pg_catalog.pg_index x
    WHERE x.indrelid = l.oid AND x.indisunique AND a.attnum <> ALL ((x.indkey::int2[])[0:x.indnkeyatts - 1])) u
-- a time to come is no time of insertion
WHERE v.correlation > 0.9 AND v.latest < pg_catalog.now() + interval '1 day'
ORDER BY l.oid, u.without IS NOT NULL, a.attnotnull DESC, v.correlation DESC, a.attnum;
COMMENT ON VIEW hone._partition_candidate_column IS 'Internal: large tables that are not partitioned, mostly inserted into, with the time column that their rows lie in the order of';

-- What a copy made with LIKE lacks, or what goes on pointing at the old table
-- when it is renamed: then there is no fix.
CREATE FUNCTION hone._partition_obstacles(relation oid, OUT obstacles text)
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT pg_catalog.string_agg(o.what, '; ' ORDER BY o.rank)
    FROM (
        SELECT 1 AS rank, 'these would go on with the old table, make them again after it: ' || pg_catalog.string_agg(d.name, ', ' ORDER BY d.name) AS what
        FROM (SELECT DISTINCT pg_catalog.pg_describe_object(d.classid, d.objid, 0) AS name
              FROM pg_catalog.pg_class c
              JOIN pg_catalog.pg_depend d ON d.deptype = 'n' AND (
                  d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid OR d.refclassid = 'pg_catalog.pg_type'::regclass AND d.refobjid = c.reltype)
              WHERE c.oid = relation
                  AND NOT (d.classid = 'pg_catalog.pg_constraint'::regclass
                           AND EXISTS (SELECT FROM pg_catalog.pg_constraint x WHERE x.oid = d.objid AND (x.conrelid = relation OR x.contype = 'f')))
                  AND NOT (d.classid = 'pg_catalog.pg_attrdef'::regclass
                           AND EXISTS (SELECT FROM pg_catalog.pg_attrdef x WHERE x.oid = d.objid AND x.adrelid = relation))) d
        UNION ALL
        SELECT 0, 'foreign keys that reference it would have to be dropped: ' || pg_catalog.string_agg(pg_catalog.format('%I of %s', f.conname, f.conrelid::regclass), ', ' ORDER BY f.oid)
        FROM pg_catalog.pg_constraint f WHERE f.confrelid = relation AND f.contype = 'f'
        UNION ALL
        SELECT 2, 'it has triggers: ' || pg_catalog.string_agg(pg_catalog.quote_ident(t.tgname), ', ' ORDER BY t.tgname)
        FROM pg_catalog.pg_trigger t WHERE t.tgrelid = relation AND NOT t.tgisinternal
        UNION ALL
        SELECT 3, 'these constraints cannot be had on a partitioned table as they are: ' || pg_catalog.string_agg(pg_catalog.quote_ident(x.conname), ', ' ORDER BY x.conname)
        FROM pg_catalog.pg_constraint x
        WHERE x.conrelid = relation AND (NOT x.convalidated OR x.contype = 'x' OR x.contype <> 'f' AND x.connoinherit AND x.contype NOT IN ('p', 'u'))
        UNION ALL
        SELECT 4, 'publications name it: ' || pg_catalog.string_agg(pg_catalog.quote_ident(b.pubname), ', ' ORDER BY b.pubname)
        FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication b ON b.oid = r.prpubid WHERE r.prrelid = relation
        UNION ALL
        SELECT 5, CASE WHEN c.relrowsecurity OR EXISTS (SELECT FROM pg_catalog.pg_policy y WHERE y.polrelid = c.oid) THEN 'it has row security'
                       WHEN c.relhasrules AND EXISTS (SELECT FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid) THEN 'it has rules'
                       WHEN c.relreplident <> 'd' THEN 'it has a replica identity of its own'
                       WHEN c.reloftype <> 0 THEN 'it is a table of a type' END
        FROM pg_catalog.pg_class c WHERE c.oid = relation) o
    WHERE o.what IS NOT NULL
$$;
COMMENT ON FUNCTION hone._partition_obstacles(oid) IS 'Internal: why a table cannot be made a partition in place';

-- The old table becomes the partition of the past; it is read once, to
-- validate the constraint that says so, beside readers and writers.
CREATE VIEW hone._partition_candidate AS
WITH part AS (
    SELECT k.*, n.nspname, c.relname, c.relowner, c.relacl, c.reloptions, c.reltablespace,
        hone._qualified_name(k.oid) AS name, s.step,
        CASE WHEN pg_catalog.octet_length(c.relname) <= 45 THEN c.relname::text ELSE pg_catalog.left(c.relname::text, 11) END AS base,
        CASE s.step
            WHEN 'month' THEN pg_catalog.date_trunc('month', pg_catalog.now() AT TIME ZONE 'UTC') + interval '2 months'
            WHEN 'week' THEN pg_catalog.date_trunc('week', pg_catalog.now() AT TIME ZONE 'UTC') + interval '2 weeks'
            ELSE pg_catalog.date_trunc('day', pg_catalog.now() AT TIME ZONE 'UTC') + interval '8 days' END AS bound,
        ('1 ' || s.step)::interval AS length
    FROM hone._partition_candidate_column k
    JOIN pg_catalog.pg_class c ON c.oid = k.oid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    -- the longest whose partitions are not larger than what one move takes minutes for
    CROSS JOIN LATERAL (SELECT CASE WHEN k.bytes / k.days * 30 <= 32 * 1073741824::float8 THEN 'month'
                                    WHEN k.bytes / k.days * 7 <= 32 * 1073741824::float8 THEN 'week' ELSE 'day' END AS step) s),
named AS (
    SELECT p.*, pg_catalog.format('%I.%I', p.nspname, o.past) AS past_name, pg_catalog.quote_ident(o.past) AS past,
        pg_catalog.format('%I.%I', p.nspname, o.new) AS new_name, o.until,
        (SELECT pg_catalog.array_agg(pg_catalog.quote_literal(pg_catalog.to_char(p.bound + g * p.length, 'YYYY-MM-DD')
             || CASE WHEN p.atttypid = 'pg_catalog.timestamptz'::regtype THEN ' 00:00:00+00' ELSE '' END) ORDER BY g)
         FROM pg_catalog.generate_series(0, 3) g) AS bounds
    FROM part p
    CROSS JOIN LATERAL (
        -- names that are free
        SELECT p.base || '_past' || f.n AS past, p.base || '_new' || f.n AS new, pg_catalog.quote_ident(p.base || '_until' || f.n) AS until
        FROM (VALUES (0, ''), (1, '1'), (2, '2'), (3, '3')) f(i, n)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_class x WHERE x.relnamespace = p.nspname::regnamespace AND x.relname IN (p.base || '_past' || f.n, p.base || '_new' || f.n))
            AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint x WHERE x.conrelid = p.oid AND x.conname = p.base || '_until' || f.n)
        ORDER BY f.i LIMIT 1) o),
steps AS (
    SELECT p.*, hone._partition_obstacles(p.oid) AS obstacles,
        pg_catalog.concat_ws(E'\n',
            '-- 1. The new table, with everything that the old one has',
            pg_catalog.format('CREATE TABLE %s (LIKE %s INCLUDING ALL) PARTITION BY RANGE (%I)%s;', p.new_name, p.name, p.attname,
                (SELECT pg_catalog.format(' TABLESPACE %I', t.spcname) FROM pg_catalog.pg_tablespace t WHERE t.oid = p.reltablespace)),
            pg_catalog.format('ALTER TABLE %s OWNER TO %I;', p.new_name, pg_catalog.pg_get_userbyid(p.relowner)),
            (SELECT pg_catalog.format('COMMENT ON TABLE %s IS %L;', p.new_name, d) FROM pg_catalog.obj_description(p.oid, 'pg_class') d WHERE d IS NOT NULL),
            (SELECT pg_catalog.string_agg(pg_catalog.format('GRANT %s%s ON %s TO %s%s;', g.privilege_type, g.of, p.new_name,
                        CASE WHEN g.grantee = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END,
                        CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), E'\n' ORDER BY g.grantee, g.of, g.privilege_type)
             FROM (SELECT x.grantee, x.privilege_type, x.is_grantable, '' AS of FROM pg_catalog.aclexplode(p.relacl) x
                   UNION ALL
                   SELECT x.grantee, x.privilege_type, x.is_grantable, pg_catalog.format(' (%I)', a.attname)
                   FROM pg_catalog.pg_attribute a CROSS JOIN LATERAL pg_catalog.aclexplode(a.attacl) x WHERE a.attrelid = p.oid AND a.attnum > 0) g
             WHERE g.grantee <> p.relowner),
            (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s;', p.new_name, f.conname, pg_catalog.pg_get_constraintdef(f.oid)), E'\n' ORDER BY f.conname)
             FROM pg_catalog.pg_constraint f WHERE f.conrelid = p.oid AND f.contype = 'f' AND f.conparentid = 0),
            (SELECT pg_catalog.string_agg(pg_catalog.format('CREATE TABLE %I.%I PARTITION OF %s FOR VALUES FROM (%s) TO (%s)%s;', p.nspname,
                        p.base || '_p' || pg_catalog.to_char(p.bound + (g - 1) * p.length, 'YYYYMMDD'), p.new_name, p.bounds[g], p.bounds[g + 1],
                        ' WITH (' || pg_catalog.array_to_string(p.reloptions, ', ') || ')'), E'\n' ORDER BY g)
             FROM pg_catalog.generate_series(1, 3) g),
            '-- 2. The old table will be the partition of the past; this reads it, while others read and write it',
            pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %s CHECK (%I IS NOT NULL AND %I < %s) NOT VALID;', p.name, p.until, p.attname, p.attname, p.bounds[1]),
            -- no name in a comment: it may hold the end of its line
            '-- If this fails, drop the constraint again',
            pg_catalog.format('ALTER TABLE %s VALIDATE CONSTRAINT %s;', p.name, p.until),
            '-- 3. The change; again where it does not get its lock',
            'BEGIN;',
            'SET LOCAL lock_timeout = ''2s'';',
            pg_catalog.format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE;', p.name),
            (SELECT pg_catalog.string_agg(pg_catalog.format(E'SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence(%L, %L), pg_catalog.nextval(pg_catalog.pg_get_serial_sequence(%L, %L)));\nALTER TABLE %s ALTER COLUMN %I DROP IDENTITY;',
                        p.new_name, a.attname, p.name, a.attname, p.name, a.attname), E'\n' ORDER BY a.attnum)
             FROM pg_catalog.pg_attribute a WHERE a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity <> ''),
            pg_catalog.format('ALTER TABLE %s RENAME TO %s;', p.name, p.past),
            pg_catalog.format('ALTER TABLE %s RENAME TO %I;', p.new_name, p.relname),
            pg_catalog.format('ALTER TABLE %s ATTACH PARTITION %s FOR VALUES FROM (MINVALUE) TO (%s);', p.name, p.past_name, p.bounds[1]),
            pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %s;', p.past_name, p.until),
            (SELECT pg_catalog.string_agg(pg_catalog.format('ALTER SEQUENCE %s OWNED BY %s.%I;', hone._qualified_name(d.objid), p.name, a.attname), E'\n' ORDER BY a.attnum)
             FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             JOIN pg_catalog.pg_class q ON q.oid = d.objid AND q.relkind = 'S'
             WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = p.oid AND d.deptype = 'a'),
            'COMMIT;',
            '-- 4. From now on',
            pg_catalog.format('SELECT hone.add_tier_policy(%L, warm_after => interval ''90 days'', premake => 3, partition_interval => interval %L);', p.name, '1 ' || p.step)) AS sql
    FROM named p)
SELECT s.oid AS relation,
    hone._severity_of(s.bytes, 10737418240) AS severity,
    0::bigint AS calls,
    pg_catalog.now() AS first_seen,
    pg_catalog.now() AS last_seen,
    pg_catalog.format('partition %s by %s: %s in the order of that column, hardly ever changed, so that what is old can be compressed and dropped', s.name,
        pg_catalog.quote_ident(s.attname), pg_catalog.pg_size_pretty(s.bytes)) AS summary,
    CASE WHEN s.obstacles IS NULL AND s.unique_without IS NULL THEN s.sql END AS fix,
    nullif(pg_catalog.concat_ws('; ', 'each unique key of a partitioned table has the time column, these do not: ' || s.unique_without, s.obstacles), '') AS no_fix,
    pg_catalog.jsonb_build_object('column', s.attname, 'correlation', pg_catalog.round(s.correlation::numeric, 3), 'bytes', s.bytes,
        'rows', s.reltuples::bigint, 'inserted', s.inserted, 'updated_or_deleted', s.changed,
        'bytes_per_month', pg_catalog.round((s.bytes / s.days * 30.4375)::numeric), 'partition_interval', '1 ' || s.step,
        'key_change', k.sql) AS evidence
FROM steps s
LEFT JOIN LATERAL (
    SELECT pg_catalog.format(E'CREATE UNIQUE INDEX CONCURRENTLY %I ON %s (%s, %I);\nALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I PRIMARY KEY USING INDEX %I;',
        s.base || '_pkey_new', s.name,
        (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ' ORDER BY i.n)
         FROM pg_catalog.unnest(x.conkey) WITH ORDINALITY i(attnum, n) JOIN pg_catalog.pg_attribute a ON a.attrelid = s.oid AND a.attnum = i.attnum),
        s.attname, s.name, x.conname, x.conname, s.base || '_pkey_new') AS sql
    FROM pg_catalog.pg_constraint x
    WHERE x.conrelid = s.oid AND x.contype = 'p' AND s.attnum <> ALL (x.conkey)
        AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint f WHERE f.confrelid = s.oid AND f.contype = 'f')) k ON true;
COMMENT ON VIEW hone._partition_candidate IS 'Internal: recommendations of kind partition_candidate';

GRANT SELECT ON hone.tier_prices, hone.storage_report, hone._cold_but_read, hone._hot_but_idle, hone._partition_candidate TO PUBLIC;
