#!/usr/bin/env bash
# Two databases of one server with the extension, and one without: each has its
# own policies, tiered tables and dismissals; the statistics are the server's.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server databases "-c hone.naptime=1s" || exit 1
sql "CREATE ROLE clerk LOGIN"
in_db() { HONE_DB=$1 sql "$2"; }

# The same names in both, and other rows.
for db in one two bare; do
    sql "CREATE DATABASE $db"
    [ $db = bare ] || in_db $db "CREATE EXTENSION pg_hone" || exit 1
    in_db $db "CREATE TABLE only_in_$db (id int PRIMARY KEY, note text);
        INSERT INTO only_in_$db SELECT g, '$db ' || g FROM generate_series(1, 5000) g;
        GRANT ALL ON only_in_$db TO clerk;
        CREATE TABLE m (at timestamptz NOT NULL, n text) PARTITION BY RANGE (at);
        CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
        CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
        INSERT INTO m SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 minute', '$db ' || i FROM generate_series(0, 60000) i" || exit 1
done
one=$(HONE_DB=one rows_of m) two=$(HONE_DB=two rows_of m)
isnt "the rows differ" "$one" "$two"

# Statistics: the same statement has the same queryid everywhere.
for i in 1 2 3; do in_db one "SELECT 'a statement of both'" >/dev/null; done
for i in 1 2 3 4 5; do in_db two "SELECT 'a statement of both'" >/dev/null; done
for db in one two bare; do in_db $db "SELECT id FROM only_in_$db ORDER BY id OFFSET 3000 LIMIT 10" >/dev/null; done
queryid=$(in_db one "SELECT queryid FROM hone.queries WHERE datname = 'one' AND calls = 3 AND query = 'SELECT \$1'")
like "a statement that both ran" "$queryid" '^-?[0-9]+$'
for db in one two; do
    is "$db: hone.queries counts it for each database" \
        "$(in_db $db "SELECT datname, calls FROM hone.queries WHERE queryid = $queryid AND datname IN ('one', 'two', 'bare') ORDER BY 1")" "one|3
two|5"
    is "$db: hone.queries shows the whole server, each statement under its own database" \
        "$(in_db $db "SELECT DISTINCT datname, (regexp_match(query, 'only_in_(\w+) ORDER'))[1] FROM hone.queries
            WHERE query LIKE '%FROM only\\_in%ORDER BY%' ORDER BY 1")" "bare|bare
one|one
two|two"
    is "$db: sampled calls are the database's own" \
        "$(in_db $db "SELECT DISTINCT query FROM hone.query_samples WHERE query ~ '^SELECT id FROM only_in'")" \
        "SELECT id FROM only_in_$db ORDER BY id OFFSET 3000 LIMIT 10"
    is "$db: recommendations are the database's own" \
        "$(in_db $db "SELECT DISTINCT relation FROM hone.recommendations WHERE kind = 'offset_pagination'")" "only_in_$db"
done
is "percentiles are the database's own" \
    "$(for db in one two; do in_db $db "SELECT sum(calls) FROM hone.latency_histogram($queryid)"; done)" "3
5"
PGUSER=clerk in_db two "SELECT * FROM only_in_two WHERE id = 7" >/dev/null
is "another role's texts stay hidden from the other database too" \
    "$(PGUSER=clerk in_db one "SELECT count(*) FROM hone.queries WHERE rolname <> 'clerk' AND query NOT LIKE '<%';
        SELECT count(*) FROM hone.queries WHERE rolname = 'clerk' AND datname = 'two' AND query LIKE '%only_in_two%'")" "0
1"

# Dismissals and findings.
in_db one "SELECT hone.dismiss_recommendation(id, 'so be it') FROM hone.recommendations WHERE kind = 'offset_pagination'" >/dev/null
is "a dismissal is the database's own" \
    "$(for db in one two; do in_db $db "SELECT status FROM hone.recommendations WHERE kind = 'offset_pagination'"; done)" "dismissed
open"
in_db two "SELECT hone.reset_recommendations()" >/dev/null
is "so are the findings forgotten" \
    "$(for db in one two; do in_db $db "SELECT count(*) FROM hone.recommendations WHERE kind = 'offset_pagination'"; done)" "1
0"

# Policies and the worker.
tiers() { in_db "$1" "SELECT string_agg(tier, ' ' ORDER BY partition::text) FROM hone.partitions"; }
all_warm() { HONE_DB=$1 wait_until 60 "SELECT bool_and(tier = 'warm') FROM hone.partitions"; }
in_db one "SELECT hone.add_tier_policy('m', '1 year')" >/dev/null
is "a policy is the database's own" "$(in_db two "SELECT count(*) FROM hone.tier_policies")" 0
succeeds "the worker moves in one" all_warm one
in_db two "SELECT hone.add_tier_policy('m', '2 years')" >/dev/null
succeeds "and in two" all_warm two
is "rows of one" "$(HONE_DB=one rows_of m)" "$one"
is "rows of two" "$(HONE_DB=two rows_of m)" "$two"
# a move is noted when it has ended, a moment after the partition's tier
for db in one two; do HONE_DB=$db wait_until 10 "SELECT count(*) >= 2 FROM hone.tier_log WHERE by_worker AND error IS NULL"; done
is "each has its own log" "$(for db in one two; do in_db $db "SELECT count(*) FROM hone.tier_log WHERE by_worker AND error IS NULL"; done)" "2
2"

# Gone from one database, at work in the other.
HONE_DB=two refuses "DROP EXTENSION asks for this database's tables" 2BP01 "2 tables are tiered" "DROP EXTENSION pg_hone"
in_db two "SELECT hone.remove_tier_policy('m')" >/dev/null
in_db two "CALL hone.decompress_all()" 2>/dev/null
succeeds "DROP EXTENSION in two" in_db two "DROP EXTENSION pg_hone"
is "rows of two as heap" "$(HONE_DB=two rows_of m)" "$two"
is "one keeps its policy, tables and dismissals" \
    "$(in_db one "SELECT parent, warm_after FROM hone.tier_policies; SELECT count(*) FROM hone.dismissed_recommendations"; tiers one)" "m|1 year
1
warm warm"
is "rows of one after it" "$(HONE_DB=one rows_of m)" "$one"
in_db one "CREATE TABLE m_3 PARTITION OF m FOR VALUES FROM ('2020-03-01') TO ('2020-04-01');
    INSERT INTO m SELECT timestamptz '2020-03-01 00:00Z' + i * interval '1 minute', i FROM generate_series(0, 9999) i"
succeeds "and its worker" all_warm one
is "statements of two are counted still" "$(in_db two "SELECT max(note) FROM only_in_two" >/dev/null
    in_db one "SELECT calls FROM hone.queries WHERE datname = 'two' AND query LIKE 'SELECT max(note)%'")" 1

# A copy of a database works on its own.
succeeds "CREATE DATABASE ... TEMPLATE one" sql "CREATE DATABASE copy TEMPLATE one"
is "rows of the copy" "$(HONE_DB=copy rows_of m)" "$(HONE_DB=one rows_of m)"
in_db copy "CALL hone.decompress('m')" 2>/dev/null
is "the copy made ordinary, one as it was" "$(HONE_DB=copy rows_of m) $(tiers one)" "$(HONE_DB=one rows_of m) warm warm warm"
succeeds "DROP DATABASE of the copy" sql "DROP DATABASE copy WITH (FORCE)"

is "nothing was said about the database without the extension" "$(grep -i 'bare' "$HONE_DATA.log")" ""
# a worker gives way to CREATE and DROP DATABASE
is "no background process met an error" \
    "$(hone_background_errors "$HONE_DATA.log")" ""
hone_done
