-- Partitions ahead of now, seen from a fixed time: hone._premake does what the
-- policy's premake does.
CREATE SCHEMA lpm;
SET search_path = lpm;
CREATE FUNCTION show(parent regclass) RETURNS TABLE (partition text, bound text) LANGUAGE sql SET TimeZone = 'UTC' AS $$
    SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = parent ORDER BY c.relpartbound::text LIKE '%is\_default true%', hone._partition_range(c.oid, parent), c.relname;
$$;
CREATE VIEW ranges AS SELECT c.oid::regclass AS partition, i.inhparent::regclass AS parent, pg_get_expr(c.relpartbound, c.oid) AS bound
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relkind IN ('r', 'p');
CREATE FUNCTION granted(acl aclitem[], owner oid) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(a.grantee) END || ' ' || a.privilege_type, ', ' ORDER BY 1)
    FROM aclexplode(acl) a WHERE a.grantee <> owner;
$$;

-- Months: the one of now, and so many beyond; what is there already counts.
SET TimeZone = 'UTC';
CREATE TABLE m (ts timestamptz NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE TABLE m_2001_03 PARTITION OF m FOR VALUES FROM ('2001-03-01') TO ('2001-04-01');
SELECT * FROM hone._premake_plan('m', 3, at => '2001-03-15');
CALL hone._premake('m', 3, at => '2001-03-15');
CALL hone._premake('m', 3, at => '2001-03-31 23:59:59.999999');
SELECT * FROM hone._premake_plan('m', 3, at => '2001-04-01');
CALL hone._premake('m', 3, at => '2001-04-01');
SELECT partition, bound FROM ranges WHERE parent = 'm'::regclass ORDER BY partition::text;

-- Gaps from the current one on are filled, earlier ones are not; after a long
-- pause it goes on from where now is.
DROP TABLE m_2001_04, m_2001_06;
CALL hone._premake('m', 1, at => '2001-05-15');
DROP TABLE m_2001_03;
CALL hone._premake('m', 0, at => '2003-02-02');
SELECT partition, bound FROM ranges WHERE parent = 'm'::regclass ORDER BY partition::text;
-- A partition far ahead is not reached by a thousand others.
CREATE TABLE m_far PARTITION OF m FOR VALUES FROM ('2900-01-01') TO (MAXVALUE);
SELECT * FROM hone._premake_plan('m', 2, at => '2003-02-02');

-- Days 31: short months in between do not move it.
CREATE TABLE late (at timestamp NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE late_20001231 PARTITION OF late FOR VALUES FROM ('2000-12-31') TO ('2001-01-31');
CALL hone._premake('late', 4, at => '2001-01-05 00:00+00');
SELECT * FROM show('late');
DROP TABLE late_20001231, late_20010131, late_20010331, late_20010430;
CALL hone._premake('late', 3, '1 month', at => '2001-03-01 00:00+00');
SELECT * FROM show('late');
DROP TABLE late_20010228;

-- Whatever the session's time zone, boundaries are counted in UTC.
CREATE TABLE z (ts timestamptz NOT NULL) PARTITION BY RANGE (ts);
SET TimeZone = 'America/New_York';
SET DateStyle = 'SQL, DMY';
CALL hone._premake('z', 2, '1 day', at => '2024-03-10 01:30:00-05');
SET TimeZone = 'Pacific/Apia';
CALL hone._premake('z', 4, '1 day', at => '2024-03-10 06:30:00+00');
SET TimeZone = 'Europe/Berlin';
CALL hone._premake('z', 5, at => '2024-03-10 06:30:00+00');
SELECT * FROM show('z');
-- Partitions that begin at midnight elsewhere are called as there.
CREATE TABLE berlin (ts timestamptz NOT NULL) PARTITION BY RANGE (ts);
CREATE TABLE berlin_2024_01 PARTITION OF berlin FOR VALUES FROM ('2024-01-01 Europe/Berlin') TO ('2024-02-01 Europe/Berlin');
CREATE TABLE berlin_2024_02 PARTITION OF berlin FOR VALUES FROM ('2024-02-01 Europe/Berlin') TO ('2024-03-01 Europe/Berlin');
CALL hone._premake('berlin', 2, at => '2024-02-10 06:30:00+00');
SELECT * FROM show('berlin');
RESET DateStyle;
SET TimeZone = 'UTC';

-- No partition yet: as date_trunc would begin them.
CREATE TABLE n_week (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE n_year (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE n_quarter (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE n_hours (d timestamp NOT NULL) PARTITION BY RANGE (d);
CALL hone._premake('n_week', 1, '7 days', at => '2024-05-15');
CALL hone._premake('n_year', 1, '1 year', at => '2024-05-15');
CALL hone._premake('n_quarter', 1, '3 months', at => '1999-05-15');
CALL hone._premake('n_hours', 1, '6 hours', at => '1999-05-15 13:00');
SELECT parent, s.* FROM unnest('{n_week,n_year,n_quarter,n_hours}'::regclass[]) parent, show(parent) s;
-- Only one to come: backwards from there.
CREATE TABLE back (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE back_20240610 PARTITION OF back FOR VALUES FROM ('2024-06-10') TO ('2024-06-20');
CALL hone._premake('back', 0, at => '2024-05-15');
SELECT * FROM show('back');
-- Beyond what there is: MAXVALUE, MINVALUE.
CREATE TABLE open (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE open_old PARTITION OF open FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
SELECT * FROM hone._premake_plan('open', 3, '1 month', at => '2023-12-03');
CREATE TABLE open_new PARTITION OF open FOR VALUES FROM ('2024-01-16') TO (MAXVALUE);
SELECT * FROM hone._premake_plan('open', 3, '1 month', at => '2023-12-03');
SELECT * FROM hone._premake_plan('open', 3, '1 month', at => '2024-12-03');
SELECT * FROM hone._premake_plan('open', 3, '1 month', at => 'infinity');

-- The commonest length of the latest; months are recognised, weeks as well.
CREATE TABLE mixed (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE mixed_1 PARTITION OF mixed FOR VALUES FROM ('2000-01-01') TO ('2021-02-01');
SELECT range_start, range_end FROM hone._premake_plan('mixed', 1, at => '2021-01-20');
CREATE TABLE mixed_2 PARTITION OF mixed FOR VALUES FROM ('2021-02-01') TO ('2021-03-01');
SELECT * FROM hone._premake_plan('mixed', 1, at => '2021-02-20');
CREATE TABLE mixed_3 PARTITION OF mixed FOR VALUES FROM ('2021-03-01') TO ('2021-03-29');
SELECT range_start, range_end FROM hone._premake_plan('mixed', 1, at => '2021-03-20');

-- Keys with an epoch.
CREATE TABLE e_s (k int NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_ms (k bigint NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_us (k bigint NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_ns (k bigint NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_uuid (k uuid NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_text (k text COLLATE "C" NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_ulid (k varchar(26) COLLATE "C" NOT NULL) PARTITION BY RANGE (k);
CALL hone._premake('e_s', 1, '1 month', 's', '2024-05-15');
CALL hone._premake('e_ms', 1, '1 month', 'ms', '2024-05-15');
CALL hone._premake('e_us', 1, '1 month', 'us', '1969-05-15');
CALL hone._premake('e_ns', 1, '1 month', 'ns', '2024-05-15');
CALL hone._premake('e_uuid', 1, '1 month', 'uuidv7', '2024-05-15');
CALL hone._premake('e_text', 1, '1 month', 'uuidv7', '2024-05-15');
CALL hone._premake('e_ulid', 1, '1 month', 'ulid', '2024-05-15');
SELECT parent, s.* FROM unnest('{e_s,e_ms,e_us,e_ns,e_uuid,e_text,e_ulid}'::regclass[]) parent, show(parent) s;
-- They are the instants that the rest of pg_hone sees in them.
SELECT v.parent, array_agg(r.range_start ORDER BY r.range_start) AS starts, max(r.range_end) AS range_end
FROM (VALUES ('e_s'::regclass, 's'), ('e_ms', 'ms'), ('e_us', 'us'), ('e_ns', 'ns'), ('e_uuid', 'uuidv7'), ('e_text', 'uuidv7'), ('e_ulid', 'ulid')) v(parent, epoch),
    pg_inherits i, hone._partition_range(i.inhrelid, v.parent, v.epoch) r
WHERE i.inhparent = v.parent GROUP BY v.parent, v.epoch ORDER BY v.parent::text;
INSERT INTO e_uuid VALUES ('018f7b1a-0000-7abc-8def-0123456789ab');
INSERT INTO e_ulid VALUES ('01HXXHM0000123456789ABCDEF');
-- Bounds follow on those that are there to the last bit, in their spelling.
CREATE TABLE e_style (k text COLLATE "C" NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_style_1 PARTITION OF e_style FOR VALUES FROM ('01htcc1c00') TO ('01hwskj000');
CALL hone._premake('e_style', 1, '30 days', 'ulid', '2024-04-15');
SELECT * FROM show('e_style');
CREATE TABLE e_v7 (k uuid NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_v7_1 PARTITION OF e_v7 FOR VALUES FROM ('018e9700-0000-7000-8000-000000000000') TO ('018f3180-0000-7000-8000-000000000000');
CALL hone._premake('e_v7', 1, '30 days', 'uuidv7', '2024-04-15');
SELECT * FROM show('e_v7');
CREATE TABLE e_name (k bigint NOT NULL) PARTITION BY RANGE (k);
CREATE TABLE e_name_1704067200_x PARTITION OF e_name FOR VALUES FROM (1704067200) TO (1704153600);
CALL hone._premake('e_name', 1, NULL, 's', '2024-01-01');
SELECT * FROM show('e_name');
-- The end of a type.
SELECT * FROM hone._premake_plan('e_s', 3, '1 month', 's', '2038-01-01');
CALL hone._premake('e_s', 3, '1 month', 's', '2037-12-31');
SELECT * FROM hone._premake_plan('e_ulid', 1, '1 month', 'ulid', '1960-01-01');

-- Names.
CREATE PROCEDURE name_of(name text, step text) LANGUAGE plpgsql AS $$
DECLARE planned text;
BEGIN
    CREATE TABLE named (ts timestamp NOT NULL) PARTITION BY RANGE (ts);
    EXECUTE format('CREATE TABLE %I PARTITION OF named FOR VALUES FROM (%L) TO (%L)', name, timestamp '2024-01-01', timestamp '2024-01-01' + step::interval);
    SELECT string_agg(partition, ' ') INTO planned FROM hone._premake_plan('named', 2, at => '2024-01-01');
    RAISE NOTICE '% -> %', name, planned;
    DROP TABLE named;
END $$;
DO $$
DECLARE r record;
BEGIN
    FOR r IN SELECT * FROM (VALUES ('m_2024_01', '1 month'), ('m-2024-01', '1 month'), ('m202401', '1 month'), ('y2024m01', '1 month'),
        ('m_p20240101', '1 month'), ('m_p20240101', '1 day'), ('a_2024_01_01_b', '1 day'), ('2024-01-01', '1 day'), ('y2024m01d01', '1 day'),
        ('w_2024w01', '7 days'), ('w_2024_W01', '7 days'), ('q_2024_q1', '3 months'), ('q2024Q1', '3 months'), ('y2024', '1 year'), ('y_2024_v2', '1 year'),
        ('h_2024010100', '1 hour'), ('h_20240101_00', '6 hours'), ('h_20240101_0000', '30 minutes'), ('h_20240101T000000', '15 minutes'),
        ('sales2024_2024_01', '1 month'), ('part_1', '1 month'), ('y2024', '1 month'), ('m_2024_01', '1 day'), ('x20240101234', '1 day'), ('part_1', '1 hour')) v(name, step)
    LOOP
        CALL lpm.name_of(r.name, r.step);
    END LOOP;
END $$;
-- One that is taken, by a table or a type; one that is too long.
CREATE TABLE taken (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE taken_2024_01 PARTITION OF taken FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE taken_2024_02 (a int);
CREATE TYPE taken_2024_03 AS ENUM ();
CREATE TABLE taken_p20240301 (a int);
CALL hone._premake('taken', 2, at => '2024-01-15');
SELECT * FROM show('taken');
CREATE TABLE "Überlang_012345678901234567890123456789012345678901234567890123" (d date NOT NULL) PARTITION BY RANGE (d);
CALL hone._premake('"Überlang_012345678901234567890123456789012345678901234567890123"', 1, '1 day', at => '2024-01-15');
SELECT * FROM show('"Überlang_012345678901234567890123456789012345678901234567890123"');

-- What the new partition is: as the parent, and the latest of the others.
CREATE ROLE hone_lpm_reader;
CREATE ROLE hone_lpm_writer;
CREATE TABLE customers (id int PRIMARY KEY);
INSERT INTO customers VALUES (1);
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := 'noted'; RETURN NEW; END $$;
CREATE TABLE o (
    id bigint GENERATED ALWAYS AS IDENTITY,
    dropped int,
    at timestamptz NOT NULL DEFAULT '2024-02-02',
    customer int REFERENCES customers,
    price numeric(10, 2) DEFAULT 1.5 CHECK (price > 0),
    twice numeric GENERATED ALWAYS AS (price * 2) STORED,
    note text COMPRESSION pglz,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
ALTER TABLE o DROP COLUMN dropped;
ALTER TABLE o ALTER note SET STORAGE EXTERNAL;
COMMENT ON COLUMN o.note IS 'not for partitions';
CREATE INDEX o_note ON o (lower(note)) WITH (fillfactor = 60);
CREATE UNIQUE INDEX o_ident ON o (at, id);
CREATE STATISTICS o_stat ON customer, price FROM o;
CREATE TRIGGER noting BEFORE INSERT ON o FOR EACH ROW EXECUTE FUNCTION noted();
CREATE TABLE o_2024_01 PARTITION OF o FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')
    WITH (fillfactor = 80, autovacuum_enabled = false, toast.autovacuum_enabled = false);
CREATE TABLE lines (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES o ON DELETE CASCADE);
GRANT SELECT ON o_2024_01 TO hone_lpm_reader;
GRANT INSERT (note), UPDATE (note) ON o_2024_01 TO hone_lpm_writer WITH GRANT OPTION;
GRANT DELETE ON o TO PUBLIC;
ALTER TABLE o_2024_01 REPLICA IDENTITY USING INDEX o_2024_01_at_id_idx;
ALTER TABLE o_2024_01 ENABLE ROW LEVEL SECURITY;
ALTER TABLE o_2024_01 ALTER note SET STATISTICS 500;
ALTER TABLE o_2024_01 ALTER customer SET (n_distinct = -0.5);
ALTER DEFAULT PRIVILEGES IN SCHEMA lpm GRANT TRUNCATE ON TABLES TO PUBLIC;
CALL hone._premake('o', 1, at => '2024-01-15');
ALTER DEFAULT PRIVILEGES IN SCHEMA lpm REVOKE TRUNCATE ON TABLES FROM PUBLIC;
SELECT c.relname, c.reloptions, t.reloptions AS toast, granted(c.relacl, c.relowner), c.relreplident, c.relrowsecurity, m.amname
FROM pg_class c JOIN pg_am m ON m.oid = c.relam LEFT JOIN pg_class t ON t.oid = c.reltoastrelid WHERE c.relname ~ '^o_2024_0[12]$' ORDER BY 1;
SELECT a.attrelid::regclass, a.attname, a.attnotnull, a.attgenerated, a.attstorage, a.attcompression, nullif(a.attstattarget, -1) AS target, substring(a.attoptions::text FROM 'n_distinct[^,}]*') AS options, a.attacl, col_description(a.attrelid, a.attnum)
FROM pg_attribute a WHERE a.attrelid IN ('o_2024_01'::regclass, 'o_2024_02'::regclass) AND a.attnum > 0 AND NOT attisdropped ORDER BY a.attrelid::regclass::text, a.attname;
SELECT indrelid::regclass, replace(pg_get_indexdef(indexrelid), indrelid::regclass::text, 'X'), indisreplident, inhparent::regclass
FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid WHERE indrelid IN ('o_2024_01'::regclass, 'o_2024_02'::regclass) ORDER BY 1, inhparent::regclass::text;
SELECT conrelid::regclass, confrelid::regclass, contype, convalidated, pg_get_constraintdef(oid) FROM pg_constraint
WHERE (conrelid = 'o_2024_02'::regclass OR confrelid = 'o_2024_02'::regclass) AND contype <> 'n' ORDER BY conrelid::regclass::text, contype::text;
SELECT stxname, stxrelid::regclass, stxkeys FROM pg_statistic_ext WHERE stxrelid = 'o_2024_02'::regclass;
SELECT tgrelid::regclass, tgname, tgparentid <> 0 AS cloned FROM pg_trigger WHERE tgname = 'noting' ORDER BY 1;
INSERT INTO o (customer, at) VALUES (1, '2024-02-03') RETURNING id, tableoid::regclass, price, twice, note;
INSERT INTO o (customer, at) VALUES (2, '2024-02-03');
INSERT INTO o (customer, price, at) VALUES (1, -1, '2024-02-03');
INSERT INTO lines VALUES (1, '2024-02-03');
DELETE FROM o;
SELECT count(*) FROM lines;
-- Without others: as the parent.
DROP TABLE lines;
DROP TABLE o_2024_01, o_2024_02;
CALL hone._premake('o', 0, '1 month', at => '2024-01-15');
SELECT relname, granted(relacl, relowner), reloptions FROM pg_class WHERE relname = 'o_p20240101';
-- A compressed neighbour: new partitions are hot ones. An unlogged one.
CREATE TABLE warm (d date NOT NULL) PARTITION BY RANGE (d);
CREATE UNLOGGED TABLE warm_2024_01 PARTITION OF warm FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CALL hone._premake('warm', 1, at => '2024-01-15');
SELECT relpersistence FROM pg_class WHERE relname = 'warm_2024_02';
DROP TABLE warm_2024_01, warm_2024_02;
CREATE TABLE warm_2024_01 PARTITION OF warm FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') USING tiered;
SET default_table_access_method = tiered;
CALL hone._premake('warm', 1, at => '2024-01-15');
RESET default_table_access_method;
SELECT amname FROM pg_class c JOIN pg_am m ON m.oid = c.relam WHERE relname = 'warm_2024_02';

-- Levels below are made again.
CREATE TABLE s (d date NOT NULL, region text, k int) PARTITION BY RANGE (d);
CREATE INDEX ON s (k);
CREATE TABLE s_2024_01 PARTITION OF s FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') PARTITION BY LIST (lower(region));
CREATE TABLE s_2024_01_eu PARTITION OF s_2024_01 FOR VALUES IN ('eu', 'uk') PARTITION BY HASH (k);
CREATE TABLE s_2024_01_eu_0 PARTITION OF s_2024_01_eu FOR VALUES WITH (MODULUS 2, REMAINDER 0) WITH (fillfactor = 50);
CREATE TABLE anything PARTITION OF s_2024_01_eu FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE s_2024_01_rest PARTITION OF s_2024_01 DEFAULT;
GRANT SELECT ON s_2024_01_rest, s_2024_01 TO hone_lpm_reader;
ALTER TABLE anything REPLICA IDENTITY FULL;
CALL hone._premake('s', 1, at => '2024-01-15');
SELECT c.relname, i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid), pg_get_partkeydef(c.oid), granted(c.relacl, c.relowner), c.reloptions, c.relreplident
FROM pg_partition_tree('s_2024_02') t JOIN pg_class c ON c.oid = t.relid JOIN pg_inherits i ON i.inhrelid = c.oid ORDER BY 1;
INSERT INTO s VALUES ('2024-02-03', 'EU', 1), ('2024-02-03', 'US', 1);
-- But not those by the same time, nor anything of it.
CREATE TABLE y (d date NOT NULL, k int) PARTITION BY RANGE (d);
CREATE TABLE y2024 PARTITION OF y FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY RANGE (d);
CREATE TABLE y2024_12 PARTITION OF y2024 FOR VALUES FROM ('2024-11-01') TO ('2024-12-01');
CALL hone._premake('y', 1, at => '2024-01-15');
SELECT count(*) FROM pg_class WHERE relname ~ '^y202[56]';
-- A lower level ends where the upper one sends it no more rows.
SELECT * FROM hone._premake_plan('y2024', 5, at => '2024-11-15');
SELECT * FROM hone._premake_plan('y2024', 5, at => '2025-11-15');
SELECT * FROM hone._premake_plan('y2024', 1, '1 month', at => '2023-11-15');

-- A default partition: empty, with other rows, with rows of the range.
CREATE TABLE f (d date NOT NULL, v int) PARTITION BY RANGE (d);
CREATE TABLE f_2024_01 PARTITION OF f FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE f_default PARTITION OF f DEFAULT;
CALL hone._premake('f', 1, at => '2024-01-15');
INSERT INTO f VALUES ('2030-01-01', 1);
CALL hone._premake('f', 2, at => '2024-01-15');
INSERT INTO f VALUES ('2024-04-10', 2);
CALL hone._premake('f', 4, at => '2024-01-15');
SELECT * FROM show('f');
SELECT sqlstate, error, partition FROM hone.tier_log WHERE partition = 'f'::regclass ORDER BY id;
SELECT failures, last_error FROM hone._tier_state WHERE partition = 'f'::regclass;
DELETE FROM f WHERE v = 2;
CALL hone._premake('f', 4, at => '2024-01-15');
SELECT * FROM show('f');
SELECT failures, last_error FROM hone._tier_state WHERE partition = 'f'::regclass;
-- A large one is not scanned under the lock: nothing of that remains.
INSERT INTO f SELECT '2030-01-01', i FROM generate_series(1, 300000) i;
CALL hone._premake('f', 5, at => '2024-01-15');
INSERT INTO f VALUES ('2024-07-10', 3);
CALL hone._premake('f', 6, at => '2024-01-15');
DELETE FROM f WHERE v = 3;
CALL hone._premake('f', 6, at => '2024-01-15');
SELECT conname FROM pg_constraint WHERE conrelid = 'f_default'::regclass AND contype = 'c';
-- What a try that was broken off has left goes.
ALTER TABLE f_default ADD CONSTRAINT pg_hone_premake CHECK (v > 0) NOT VALID;
CALL hone._premake('f', 6, at => '2024-01-15');
SELECT conname FROM pg_constraint WHERE conrelid = 'f_default'::regclass AND contype = 'c';
SELECT * FROM show('f');

-- Policies: refused when it cannot work; what is planned; gaps.
CREATE TABLE p (d date NOT NULL) PARTITION BY RANGE (d);
SELECT hone.add_tier_policy('p', premake => 2);
SELECT hone.add_tier_policy('p', premake => 2, partition_interval => '36 hours');
SELECT hone.add_tier_policy('p', premake => 2, partition_interval => '1 month 3 days');
SELECT hone.add_tier_policy('p', premake => -1, partition_interval => '1 month');
SELECT hone.add_tier_policy('n_hours', premake => 2, partition_interval => '90 seconds');
DROP TABLE mixed_3;
SELECT hone.add_tier_policy('mixed', premake => 2);
SELECT hone.add_tier_policy('e_s', premake => 2, epoch => 's', partition_interval => '1 second');
CALL hone.premake_partitions('p');
CALL hone.premake_partitions('customers');
CALL hone.premake_partitions(NULL);
BEGIN;
CALL hone._premake('p', 2, '1 month');
ROLLBACK;
BEGIN;
SELECT hone.add_tier_policy('p', premake => 2, partition_interval => '1 month');
SELECT parent, partition ~ '^lpm.p_p[0-9]{6}01$' AS name, range_start - date_trunc('month', now()) < interval '65 days' AS soon,
    range_end = range_start + interval '1 month' AS month, reason, retry_at, last_error
FROM hone.premake_plan ORDER BY range_start;
-- what failed is forgotten when the policy is another
INSERT INTO hone._tier_state (partition, failures, retry_at, last_error) VALUES ('p'::regclass, 3, now() + interval '1 day', 'it failed');
SELECT DISTINCT retry_at > now() AS rests, last_error FROM hone.premake_plan WHERE parent = 'p'::regclass;
SELECT hone.alter_tier_policy('p', premake => 3);
SELECT DISTINCT retry_at, last_error FROM hone.premake_plan WHERE parent = 'p'::regclass;
ROLLBACK;
-- A table that is itself a partition has no gaps outside its own bounds.
BEGIN;
CREATE TABLE own (d date NOT NULL) PARTITION BY RANGE (d);
CREATE TABLE own_9000 PARTITION OF own FOR VALUES FROM ('9000-01-01') TO ('9001-01-01') PARTITION BY RANGE (d);
CREATE TABLE own_9000_03 PARTITION OF own_9000 FOR VALUES FROM ('9000-03-01') TO ('9000-04-01');
CREATE TABLE own_9000_06 PARTITION OF own_9000 FOR VALUES FROM ('9000-06-01') TO ('9000-07-01');
SELECT hone.add_tier_policy('own_9000', warm_after => '9000 years');
SELECT parent, range_start AT TIME ZONE 'UTC' AS range_start, range_end AT TIME ZONE 'UTC' AS range_end, reason FROM hone.tier_gaps ORDER BY range_start;
ROLLBACK;
BEGIN;
CREATE TABLE p_next PARTITION OF p FOR VALUES FROM ('9000-02-01') TO ('9000-03-01');
CREATE TABLE p_later PARTITION OF p FOR VALUES FROM ('9000-04-01') TO ('9000-05-01');
CREATE TABLE p_rest PARTITION OF p DEFAULT;
INSERT INTO p SELECT '2000-01-01' FROM generate_series(1, 10);
ANALYZE p_rest;
SELECT hone.add_tier_policy('p', warm_after => '9000 years');
SELECT parent, range_start BETWEEN now() - interval '1 minute' AND now() AS from_now, range_end, reason, rows FROM hone.tier_gaps ORDER BY range_start;
ROLLBACK;

-- Only the owner's; and as the owner, whatever he put into his table.
CREATE ROLE hone_lpm_owner;
GRANT ALL ON SCHEMA lpm TO hone_lpm_owner;
GRANT USAGE ON SCHEMA lpm TO hone_lpm_reader;
SET ROLE hone_lpm_owner;
CREATE TABLE seen (who text, what text);
GRANT ALL ON seen TO PUBLIC;
CREATE FUNCTION note(what text) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION spy(what text) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM lpm.note(what); RETURN 1; END $$;
CREATE FUNCTION spied_ge(date, date) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM lpm.note('operator'); RETURN false; END $$;
CREATE OPERATOR >= (LEFTARG = date, RIGHTARG = date, FUNCTION = spied_ge);
CREATE TABLE h (d date NOT NULL, v int DEFAULT spy('default') CHECK (v >= spy('check')), g int GENERATED ALWAYS AS (spy('generated')) STORED) PARTITION BY RANGE (d);
CREATE INDEX ON h ((v + spy('index')));
CREATE TABLE h_2024_01 PARTITION OF h FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') PARTITION BY LIST ((v + spy('key')));
CREATE TABLE h_2024_01_1 PARTITION OF h_2024_01 FOR VALUES IN (1);
CREATE TABLE h_default PARTITION OF h DEFAULT;
INSERT INTO h (d) VALUES ('2030-01-01');
ALTER TABLE h_default ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY spying ON h_default USING (spy('policy') > 0);
RESET ROLE;
-- Volatile underneath, so that it can write down who runs it.
CREATE OR REPLACE FUNCTION note(what text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO lpm.seen VALUES (current_user, what);
    BEGIN
        EXECUTE 'RESET ROLE';
        INSERT INTO lpm.seen VALUES ('escaped as ' || current_user, what);
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END;
END $$;
SET search_path = lpm, pg_catalog;
SET ROLE hone_lpm_reader;
CALL hone._premake('lpm.h', 1, at => '2024-01-15');
RESET ROLE;
CALL hone._premake('h', 1, at => '2024-01-15');
SET search_path = lpm;
SELECT DISTINCT who, what FROM seen ORDER BY 1, 2;
SELECT relname, pg_get_userbyid(relowner) AS owner FROM pg_class WHERE relname ~ '^h_2024_02' AND relkind IN ('r', 'p') ORDER BY 1;
SELECT current_user = session_user AS myself, current_setting('search_path') AS path;
-- An owner that may make no tables there.
REVOKE CREATE ON SCHEMA lpm FROM hone_lpm_owner;
\set VERBOSITY terse
CALL hone._premake('h', 2, at => '2024-01-15');
\set VERBOSITY default

SET client_min_messages = warning;
DROP SCHEMA lpm CASCADE;
DROP OWNED BY hone_lpm_reader, hone_lpm_writer, hone_lpm_owner;
DROP ROLE hone_lpm_reader, hone_lpm_writer, hone_lpm_owner;
