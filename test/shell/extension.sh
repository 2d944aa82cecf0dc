#!/usr/bin/env bash
# CREATE and DROP EXTENSION on a preloaded server.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server extension "-c hone.naptime=1s" || exit 1

sql "CREATE SCHEMA hone; CREATE TABLE hone.mine (a int)"
refuses "a schema hone that exists already" 42P06 "makes this schema itself" "CREATE EXTENSION pg_hone"
refuses "also with IF NOT EXISTS" 42P06 "makes this schema itself" "CREATE EXTENSION IF NOT EXISTS pg_hone"
is "what was in it is untouched" "$(sql "SELECT count(*) FROM hone.mine; SELECT count(*) FROM pg_proc WHERE pronamespace = 'hone'::regnamespace")" "0
0"
sql "DROP SCHEMA hone CASCADE" 2>/dev/null

objects() {
    sql "SELECT (SELECT count(*) FROM pg_class WHERE relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
                     AND relname NOT LIKE 'pg\\_toast%'), (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_type),
                (SELECT count(*) FROM pg_am), (SELECT count(*) FROM pg_event_trigger), (SELECT count(*) FROM pg_namespace WHERE nspname NOT LIKE 'pg\\_%')"
}
before=$(objects)
for round in 1 2 3; do
    succeeds "round $round: CREATE EXTENSION" sql "CREATE EXTENSION pg_hone"
    succeeds "round $round: it works" sql "SELECT count(*) FROM hone.queries"
    succeeds "round $round: DROP EXTENSION" sql "DROP EXTENSION pg_hone"
    is "round $round: nothing is left behind" "$(objects)" "$before"
done

sql "CREATE EXTENSION pg_hone"
make_varied t 20000 || exit 1
wanted=$(rows_of t)
sql "CALL hone.compress('t')" || exit 1
refuses "DROP EXTENSION while a table is tiered" '[0-9A-Z]{5}' "decompress_all" "DROP EXTENSION pg_hone"
refuses "DROP EXTENSION CASCADE while a table is tiered" '[0-9A-Z]{5}' "decompress_all" "DROP EXTENSION pg_hone CASCADE"
refuses "DROP SCHEMA CASCADE" '[0-9A-Z]{5}' "." "DROP SCHEMA hone CASCADE"
refuses "DROP ACCESS METHOD CASCADE" '[0-9A-Z]{5}' "." "DROP ACCESS METHOD tiered CASCADE"
is "every row is still there" "$(rows_of t)" "$wanted"
succeeds "decompress_all" sql "CALL hone.decompress_all()"
succeeds "DROP EXTENSION after it" sql "DROP EXTENSION pg_hone"
is "every row as heap" "$(rows_of t)" "$wanted"

# Whatever new tables are made of, pg_hone's own are heaps: CREATE EXTENSION
# makes the access method, DROP EXTENSION counts the tables that have it.
sql "CREATE DATABASE defaulted"
sql "ALTER DATABASE defaulted SET default_table_access_method = tiered"
export HONE_DB=defaulted
succeeds "CREATE EXTENSION where new tables are to be tiered" sql "CREATE EXTENSION pg_hone"
succeeds "a new table is" sql "CREATE TABLE t AS SELECT i, repeat('x', 3000) AS wide FROM generate_series(1, 500) i"
is "its access method" "$(sql "SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = 't'::regclass")" tiered
is "its rows" "$(sql "SELECT count(*), sum(i), sum(length(wide)) FROM t")" "500|125250|1500000"
succeeds "decompress_all there" sql "CALL hone.decompress_all()"
succeeds "DROP EXTENSION there" sql "DROP EXTENSION pg_hone"
is "its rows as heap" "$(sql "SELECT count(*), sum(i), sum(length(wide)) FROM t")" "500|125250|1500000"
unset HONE_DB

# The worker of a database is never in the way of dropping it.
sql "CREATE DATABASE other"
HONE_DB=other sql "CREATE EXTENSION pg_hone"
sleep 2.5
succeeds "DROP DATABASE with the extension in it" sql "DROP DATABASE other"
sql "CREATE EXTENSION pg_hone"
sleep 1.5
succeeds "CREATE DATABASE from a template that has the extension" sql "CREATE DATABASE copy TEMPLATE postgres" 
hone_done
