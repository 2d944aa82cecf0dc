#!/usr/bin/env bash
# What a database holds besides its tables goes through pg_dump, pg_dumpall and
# a parallel restore: policies, dismissed recommendations and settings; also
# into a server that does not preload the library.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare

hone_server target "-c hone.worker=off" || exit 1
target=$PGHOST
hone_server placeholders "-c shared_preload_libraries=" || exit 1
placeholders=$PGHOST
hone_server source "-c hone.worker=off" || exit 1
source=$PGHOST
on() { local PGHOST=$1; shift; export PGHOST; "$@"; }
work=$HONE_WORK/run/source

sql "CREATE ROLE app LOGIN; CREATE ROLE guest LOGIN"
sql "CREATE DATABASE shop"
export HONE_DB=shop
sql "CREATE EXTENSION pg_hone" || exit 1
make_varied t 12000 || exit 1
sql "CREATE SCHEMA \"Odd Schema\";
     CREATE TABLE orders (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at);
     CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
     INSERT INTO orders SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 minute', i FROM generate_series(0, 60000) i;
     CREATE TABLE gone (at date NOT NULL) PARTITION BY RANGE (at);
     CREATE TABLE kept (at date NOT NULL) PARTITION BY RANGE (at);
     SELECT hone.add_tier_policy('orders', '1 year');
     SELECT hone.add_tier_policy('gone', '2 years');
     SELECT hone.add_tier_policy('kept', '3 years 2 mons 1 day', order_by => 'at DESC');
     DROP TABLE gone;
     ALTER TABLE orders RENAME TO \"Old Orders\";
     ALTER TABLE \"Old Orders\" SET SCHEMA \"Odd Schema\"" >/dev/null || exit 1
sql "CALL hone.compress('t')" 2>/dev/null
sql "CALL hone.move_partition('orders_1', 'warm')" 2>/dev/null

sql "CREATE TABLE item (id int PRIMARY KEY, note text);
     INSERT INTO item SELECT g, 'note ' || g FROM generate_series(1, 5000) g"
page() { sql "SELECT id FROM item ORDER BY id OFFSET 3000 LIMIT 10" >/dev/null; }
page
sql "SELECT hone.dismiss_recommendation(id, 'a report, once a year') FROM hone.recommendations" >/dev/null

sql "ALTER DATABASE shop SET hone.track = 'all';
     ALTER ROLE app SET hone.lock_timeout = '3s';
     ALTER ROLE app IN DATABASE shop SET hone.n_plus_one_threshold = 9;
     ALTER ROLE app IN DATABASE shop SET hone.track = 'none';
     CREATE FUNCTION patience() RETURNS text LANGUAGE sql SET hone.lock_timeout = '7s'
         AS \$\$SELECT current_setting('hone.lock_timeout')\$\$"

settings="SELECT current_setting('hone.track'), current_setting('hone.lock_timeout', true), current_setting('hone.n_plus_one_threshold', true), patience()"
policies="SELECT parent, warm_after, order_by, created_at FROM hone.tier_policies ORDER BY 1"
state() {
    rows_of t
    rows_of '"Odd Schema"."Old Orders"'
    sql "$policies; SELECT count(*) FROM hone._tier_policy WHERE parent::oid IN (SELECT oid FROM pg_class)"
    sql "SELECT kind, summary, reason, dismissed_by, dismissed_at FROM hone.dismissed_recommendations"
    sql "SELECT relname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE amname = 'tiered' ORDER BY 1"
    PGUSER=guest sql "$settings"
    PGUSER=app sql "$settings"
}
# the row of a dropped table is not dumped
wanted=$(state | sed 's/^3$/2/')
like "what is to survive: policies" "$wanted" '"Odd Schema"."Old Orders"\|1 year'
like "a policy of a table that keeps its name" "$wanted" 'kept\|3 years 2 mons 1 day\|at DESC'
like "a dismissed recommendation" "$wanted" '^offset_pagination\|.*\|a report, once a year\|postgres\|'
like "settings of the database" "$wanted" '^all\|100ms\|5\|7s$'
like "settings of the role" "$wanted" '^none\|3s\|9\|7s$'

like "the order of a table is in the dump of the table alone" "$("$HONE_BIN/pg_dump" -d shop -t kept)" \
    "^SECURITY LABEL FOR hone ON TABLE public.kept IS '.*at DESC"

"$HONE_BIN/pg_dump" -C -d shop -f "$work/plain.sql" || exit 1
"$HONE_BIN/pg_dump" -Fc -d shop -f "$work/custom" || exit 1
"$HONE_BIN/pg_dump" -Fd -j 2 -d shop -f "$work/folder" || exit 1
"$HONE_BIN/pg_dumpall" -f "$work/all.sql" || exit 1
chmod -R a+rX "$work"

# restored NAME CMD...: into a server without the database; no message
restored() {
    local name=$1 out
    shift
    out=$("$@" 2>&1 >/dev/null)
    is "$name: restores without a message" "$out" ""
    is "$name: rows, policies, dismissals and settings" "$(state)" "$wanted"
}
psql() { "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d postgres "$@"; }

export PGHOST=$target
HONE_DB=postgres sql "CREATE ROLE app LOGIN; CREATE ROLE guest LOGIN; ALTER ROLE app SET hone.lock_timeout = '3s'"
restored "pg_dump -C" psql -f "$work/plain.sql"
page
is "pg_dump -C: what was dismissed stays so when it is seen again" \
    "$(sql "SELECT kind, status FROM hone.recommendations")" "offset_pagination|dismissed"
succeeds "pg_dump -C: the policies can be run" sql "CALL hone.run_tier_policies()"
is "pg_dump -C: rows after that" "$(rows_of '"Odd Schema"."Old Orders"')" "$(on "$source" rows_of '"Odd Schema"."Old Orders"')"
restored "pg_dump -Fc, and pg_restore --clean over tiered tables" "$HONE_BIN/pg_restore" -e --clean --if-exists -d shop "$work/custom"
HONE_DB=postgres sql "DROP DATABASE shop"
restored "pg_restore --jobs" "$HONE_BIN/pg_restore" -e -C -j 3 -d postgres "$work/folder"
HONE_DB=postgres sql "DROP DATABASE shop"
HONE_DB=postgres sql "DROP ROLE app; DROP ROLE guest"
restored "pg_dumpall" eval 'grep -v "^CREATE ROLE postgres;" "$work/all.sql" | psql'

# What nobody has set is not there before the library is.
export PGHOST=$placeholders
wanted=$(printf '%s\n' "$wanted" | sed 's/^all|100ms|5|/all|||/')
restored "pg_dumpall, not preloaded" eval 'grep -v "^CREATE ROLE postgres;" "$work/all.sql" | psql'
is "a session that loads the library has them too" \
    "$(PGUSER=app sql "SELECT count(*) FROM hone.tier_policies WHERE hone._tier_due_at(now(), warm_after) > now(); $settings")" "2
none|3s|9|7s"
is "and can lose the database again" "$(HONE_DB=postgres sql "DROP DATABASE shop" 2>&1)" ""
hone_done
