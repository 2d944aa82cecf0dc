-- Keys that are no dates: integers, UUIDs and texts with an epoch.
SET client_min_messages = warning;
-- The worker is to leave them alone.
SELECT hone.pause_worker();
CREATE SCHEMA le;
SET search_path = le;
SET TimeZone = 'America/St_Johns';
CREATE TABLE s (t int NOT NULL, v text) PARTITION BY RANGE (t);
CREATE TABLE s_1 PARTITION OF s FOR VALUES FROM (1577836800) TO (1580515200);
CREATE TABLE s_2 PARTITION OF s FOR VALUES FROM (1580515200) TO (MAXVALUE);
CREATE TABLE ms (t bigint NOT NULL, v text) PARTITION BY RANGE (t);
CREATE TABLE ms_1 PARTITION OF ms FOR VALUES FROM (MINVALUE) TO (1580515200000);
CREATE TABLE ms_2 PARTITION OF ms FOR VALUES FROM (1580515200000) TO (9223372036854775807);
CREATE TABLE ms_3 PARTITION OF ms DEFAULT;
CREATE TABLE us (t bigint NOT NULL) PARTITION BY RANGE (t);
CREATE TABLE us_1 PARTITION OF us FOR VALUES FROM (-9223372036854775808) TO (1580515200000001);
CREATE TABLE ns (t bigint NOT NULL) PARTITION BY RANGE (t);
CREATE TABLE ns_1 PARTITION OF ns FOR VALUES FROM (1577836800000000000) TO (1580515200000000999);
CREATE TABLE u (id uuid NOT NULL, v text) PARTITION BY RANGE (id);
CREATE TABLE u_1 PARTITION OF u FOR VALUES FROM ('016f5e66-e800-0000-0000-000000000000') TO ('016ffe0c-4c00-0000-0000-000000000000');
CREATE TABLE u_2 PARTITION OF u FOR VALUES FROM ('016ffe0c-4c00-7000-8000-000000000000') TO ('ffffffff-ffff-7fff-bfff-ffffffffffff');
CREATE TABLE l (id text COLLATE "C" NOT NULL, v text) PARTITION BY RANGE (id);
CREATE TABLE l_1 PARTITION OF l FOR VALUES FROM ('01DXF6DT00') TO ('01DZZ0RK00ABCDEFGHJKMNPQRS');
CREATE TABLE l_2 PARTITION OF l FOR VALUES FROM ('01dzz0rk01') TO ('7ZZZZZZZZZZZZZZZZZZZZZZZZZ');
SELECT hone.add_tier_policy('s', '1 day', epoch => 's');
SELECT hone.add_tier_policy('ms', '1 day', epoch => 'ms');
SELECT hone.add_tier_policy('us', '1 day', epoch => 'us');
SELECT hone.add_tier_policy('ns', '1 day', epoch => 'ns');
SELECT hone.add_tier_policy('u', '1 day', epoch => 'uuidv7');
SELECT hone.add_tier_policy('l', '1 day', epoch => 'ulid');
SELECT partition, range_start AT TIME ZONE 'UTC' AS range_start, range_end AT TIME ZONE 'UTC' AS range_end, next_tier, next_at AT TIME ZONE 'UTC' AS next_at
FROM hone.partitions WHERE parent::text ~ '^(s|ms|us|ns|u|l)$' ORDER BY partition::text COLLATE "C";
SELECT partition::regclass, range_start AT TIME ZONE 'UTC' AS range_start, range_end AT TIME ZONE 'UTC' AS range_end
FROM hone._tier_leaves((SELECT array_agg(parent::oid ORDER BY parent) FROM hone._tier_policy), (SELECT array_agg(epoch ORDER BY parent) FROM hone._tier_policy))
WHERE policy::regclass::text ~ '^(s|ms|us|ns|u|l)$' ORDER BY partition::regclass::text COLLATE "C";

-- They move.
INSERT INTO s SELECT 1577836800 + g * 60, 'row ' || g FROM generate_series(1, 3000) g;
CALL hone.run_tier_policies();
SELECT partition, tier FROM hone.partitions WHERE parent = 's'::regclass ORDER BY 1;
SELECT count(*), min(t), max(t) FROM s;

-- None without, none that does not fit; one that says two things.
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN sqlstate || ' ' || sqlerrm;
END $$;
CREATE TABLE x (t int NOT NULL, b numeric) PARTITION BY RANGE (t);
CREATE TABLE y (t numeric NOT NULL) PARTITION BY RANGE (t);
CREATE TABLE z (t date NOT NULL) PARTITION BY RANGE (t);
CREATE TABLE w (t varchar(26) COLLATE "C" NOT NULL) PARTITION BY RANGE (t);
SELECT s, try(format('SELECT hone.add_tier_policy(%L, ''1 day'', epoch => %L)', split_part(s, ' ', 1), nullif(split_part(s, ' ', 2), '')))
FROM unnest(ARRAY['x ', 'x minutes', 'x uuidv7', 'y s', 'z s', 'w ms', 'w uuidv7', 'x S', 'x s']) WITH ORDINALITY q(s, n) ORDER BY n;
SELECT try('SELECT hone.alter_tier_policy(''x'', reset => ''{epoch}'')');
DROP SCHEMA le CASCADE;
SELECT hone.resume_worker();
