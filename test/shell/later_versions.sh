#!/usr/bin/env bash
# What PostgreSQL 17 and 18 added and pg_hone meets.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
version=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
if [ "$version" -lt 17 ]; then
    skip "what PostgreSQL 17 and 18 added" "this is PostgreSQL $version"
    hone_done
fi
hone_server later "-c hone.naptime=1s" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1

# 17: a partitioned table has an access method, for partitions to come.
access_methods() { sql "SELECT string_agg(relname || ' ' || coalesce(amname, 'default'), ', ' ORDER BY relname) FROM pg_class c LEFT JOIN pg_am a ON a.oid = c.relam WHERE relnamespace = 'public'::regnamespace AND relname LIKE '$1%'"; }
sql "CREATE TABLE p (at date NOT NULL, v int) PARTITION BY RANGE (at) USING tiered;
     CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM ('2020-01-01') TO ('2021-01-01') PARTITION BY RANGE (at);
     CREATE TABLE p_1a PARTITION OF p_1 FOR VALUES FROM ('2020-01-01') TO ('2020-07-01');
     CREATE TABLE p_2 PARTITION OF p FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') USING heap;
     INSERT INTO p SELECT date '2020-01-01' + i % 180, i FROM generate_series(1, 5000) i;
     INSERT INTO p SELECT date '2021-01-01' + i % 300, i FROM generate_series(1, 5000) i;" || exit 1
wanted=$(rows_of p)
is "partitions have the access method of their parent" "$(access_methods p)" "p tiered, p_1 tiered, p_1a tiered, p_2 heap"
succeeds "a partitioned table of this access method is compressed" sql "CALL hone.compress('p')"
is "its rows" "$(rows_of p)" "$wanted"
sql "CREATE TABLE p_3 PARTITION OF p FOR VALUES FROM ('2022-01-01') TO ('2023-01-01')"
succeeds "decompress the whole of it" sql "CALL hone.decompress('p')"
is "its rows after that" "$(rows_of p)" "$wanted"
is "it and its partitions are ordinary again" "$(access_methods p)" "p default, p_1 default, p_1a heap, p_2 heap, p_3 heap"

sql "ALTER TABLE p SET ACCESS METHOD tiered" || exit 1
sql "CALL hone.compress('p_1a')" || exit 1
refuses "DROP EXTENSION with a partitioned table of this access method" 2BP01 "decompress_all" "DROP EXTENSION pg_hone"
succeeds "decompress_all" sql "CALL hone.decompress_all()"
is "all are ordinary" "$(access_methods p)" "p default, p_1 default, p_1a heap, p_2 heap, p_3 heap"
is "its rows after decompress_all" "$(rows_of p)" "$wanted"
succeeds "DROP EXTENSION then works" sql "DROP EXTENSION pg_hone"
is "its rows without pg_hone" "$(rows_of p)" "$wanted"
sql "CREATE EXTENSION pg_hone" || exit 1
sql "ALTER TABLE p SET ACCESS METHOD tiered; CREATE ROLE stranger LOGIN" || exit 1
PGUSER=stranger refuses "a stranger's decompress" 42501 "must be owner" "CALL hone.decompress('p')"

# 17: a transaction timeout of the database does not end the worker's moves.
sql "CREATE TABLE m (at timestamptz NOT NULL, n int, note text) PARTITION BY RANGE (at);
     CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     INSERT INTO m SELECT timestamptz '2020-01-01 00:00Z' + i * interval '5 seconds', i, md5(i::text) FROM generate_series(0, 500000) i;" || exit 1
wanted=$(rows_of m)
sql "ALTER DATABASE postgres SET transaction_timeout = '200ms'" || exit 1
PGOPTIONS="-c transaction_timeout=0" sql "SELECT hone.add_tier_policy('m', warm_after => interval '1 year')" >/dev/null || exit 1
export PGOPTIONS="-c transaction_timeout=0"
if wait_until 60 "SELECT tier = 'warm' FROM hone.partitions WHERE partition = 'm_1'::regclass"; then
    ok "the worker moves in spite of transaction_timeout"
else
    not_ok "the worker moves in spite of transaction_timeout" "$(sql "SELECT * FROM hone.tier_log"; tail -5 "$HONE_DATA.log")"
fi
is "no move failed" "$(sql "SELECT error FROM hone.tier_log WHERE error IS NOT NULL")" ""
is "the rows of the moved partition" "$(rows_of m)" "$wanted"

if [ "$version" -lt 18 ]; then
    skip "virtual generated columns" "this is PostgreSQL $version"
    hone_done
fi
sql "CREATE TABLE g (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL, c int GENERATED ALWAYS AS (a * 3) STORED, t text);
     INSERT INTO g (a, t) SELECT i, md5(i::text) FROM generate_series(1, 20000) i;
     CREATE TABLE h AS SELECT * FROM g;" || exit 1
succeeds "a table with a virtual column is compressed" sql "CALL hone.compress('g')"
is "its rows" "$(rows_of g)" "$(rows_of h)"
is "filtered by the virtual column" "$(sql "SELECT count(*), sum(c) FROM g WHERE b BETWEEN 100 AND 5000")" \
    "$(sql "SELECT count(*), sum(c) FROM h WHERE b BETWEEN 100 AND 5000")"
sql "INSERT INTO g (a, t) VALUES (20001, 'late'); INSERT INTO h VALUES (20001, 40002, 60003, 'late')" || exit 1
succeeds "late rows are compressed too" sql "CALL hone.compress('g')"
succeeds "it is analysed" sql "ANALYZE g"
is "its rows, with the late one" "$(rows_of g)" "$(rows_of h)"
sql "ALTER TABLE g ALTER COLUMN b SET EXPRESSION AS (a * 5); UPDATE h SET b = a * 5" || exit 1
is "a new expression holds for compressed rows" "$(rows_of g)" "$(rows_of h)"
succeeds "decompress" sql "CALL hone.decompress('g')"
is "its rows as heap" "$(rows_of g)" "$(rows_of h)"
hone_done
