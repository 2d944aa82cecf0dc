#!/usr/bin/env bash
# A server that does not preload the library: what needs preloading says so,
# the rest works.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
# What postgresql.conf still says of it is no trouble.
hone_server bare "-c shared_preload_libraries= -c hone.max_memory=32MB -c hone.max_recommendations=100 -c hone.naptime=10s" || exit 1

succeeds "CREATE EXTENSION" sql "CREATE EXTENSION pg_hone"
for object in "hone.queries" "hone.top" "hone.query_stats()" "hone.errors" "hone.recommendations" "hone.analyze_workload()" \
    "hone.rate_limit('a', 1, 1)" "hone.rate_limit_wait('a', 1, 1)" "hone.cached_query('SELECT 1', '1 s')" "hone.invalidate_cache()" \
    "hone.invalidate_cache_on('pg_class', '{a}')" "hone.cache_stats"; do
    refuses "$object says that preloading is missing" 55000 "shared_preload_libraries" "SELECT * FROM $object"
done
refuses "hone.reset says that preloading is missing" 55000 "shared_preload_libraries" "SELECT hone.reset()"
like "hone.status works, and names the line that mends it" "$(sql "SELECT s::text FROM hone.status s")" "shared_preload_libraries"

is "settings that a preloaded library would heed are met without a warning" \
    "$(sql "CREATE TABLE a (i int) USING tiered; SELECT count(*) FROM a; SHOW hone.max_memory; DROP TABLE a" 2>&1)" "0
32MB"

make_varied t 20000 || exit 1
wanted=$(rows_of t)
succeeds "compress" sql "CALL hone.compress('t')"
is "compress_progress is empty" "$(sql "SELECT count(*) FROM hone.compress_progress")" 0
is "rows in the session that loads the library to read them" "$(rows_of t)" "$wanted"
is "an index-supported query in a new session" \
    "$(sql "CREATE INDEX ON t (id)"; sql "SET enable_seqscan = off; SELECT count(*) FROM t WHERE id BETWEEN 100 AND 199")" 100
is "planning is the first thing that loads the library" "$(sql "SELECT count(*) FROM t x JOIN t y USING (id) WHERE x.id < 1000")" 999
sql "CREATE TABLE m (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at);
     CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     INSERT INTO m SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 minute', i FROM generate_series(0, 40000) i" || exit 1
succeeds "a policy can be set" sql "SELECT hone.add_tier_policy('m', warm_after => interval '1 year')"
succeeds "and run by hand" sql "CALL hone.run_tier_policies()"
is "it moved the partition" "$(sql "SELECT tier FROM hone.partitions WHERE partition = 'm_1'::regclass")" warm
is "rows of the moved partition" "$(sql "SELECT count(*), sum(n) FROM m")" "40001|800020000"
is "hypothetical indexes" "$(sql "CREATE TABLE plain AS SELECT g AS n FROM generate_series(1, 20000) g; ANALYZE plain;
    SELECT bool_or(l ~ 'hypothetical_plain_n') FROM hone.explain_with('SELECT * FROM plain WHERE n = 7', '{CREATE INDEX ON plain (n)}') l")" t
is "also of a session" "$(sql "SELECT hone.hypothetical_index('CREATE INDEX ON plain (n)'); EXPLAIN (COSTS OFF) SELECT * FROM plain WHERE n = 7" | grep -c hypothetical_plain_n)" 2
refuses "hone.apply_recommendation says that preloading is missing" 55000 "shared_preload_libraries" "SELECT hone.apply_recommendation(1)"
is "a trigger for the cache lets write" "$(sql "CREATE TABLE cached (); CREATE TRIGGER a AFTER INSERT ON cached EXECUTE FUNCTION hone._cache_trigger('a'); INSERT INTO cached DEFAULT VALUES; SELECT count(*) FROM cached; DROP TABLE cached")" 1
succeeds "batch_delete" sql "CALL hone.batch_delete('m_1', 'n < 0')"
succeeds "a job of it" sql "CALL hone.batch_delete('plain', 'n < 0', job => 'j')"
is "which shows" "$(sql "SELECT job, state FROM hone.batch_progress")" "j|done"
refuses "max_replica_lag says that preloading is missing" 55000 "shared_preload_libraries" "CALL hone.batch_delete('m_1', 'n < 0', max_replica_lag => '1 s')"
is "rows in one round trip" "$(sql "CREATE TABLE few (id int PRIMARY KEY); SELECT n, inserted FROM hone.insert_batch('few', '{\"id\": [1, 2]}');
    SELECT id FROM hone.fetch_batch(NULL::few, 'id', ARRAY[2, 3, 1]); SELECT rows FROM hone.page('SELECT id FROM few', 'id DESC')")" \
    $'1|t\n2|t\n2\n\n1\n[{"id": 2}, {"id": 1}]'

refuses "DROP EXTENSION is refused while tables are tiered" '[0-9A-Z]{5}' "decompress_all" "DROP EXTENSION pg_hone"
refuses "so is DROP EXTENSION CASCADE" '[0-9A-Z]{5}' "decompress_all" "DROP EXTENSION pg_hone CASCADE"
is "rows after the refusals" "$(rows_of t)" "$wanted"
succeeds "decompress_all" sql "CALL hone.decompress_all()"
is "rows after decompress_all" "$(rows_of t)" "$wanted"
succeeds "DROP EXTENSION then works" sql "DROP EXTENSION pg_hone"
is "the tables stay" "$(rows_of t)" "$wanted"
hone_done
