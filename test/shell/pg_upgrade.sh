#!/usr/bin/env bash
# pg_upgrade, here from a version to itself: it moves the files of tables as
# they are and makes the extension's objects from a dump.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
if [ ! -x "$HONE_BIN/pg_upgrade" ]; then
    skip "pg_upgrade" "PostgreSQL has no pg_upgrade here"
    hone_done
fi
hone_server old "-c hone.naptime=1s" || exit 1
old=$HONE_DATA
sql "CREATE ROLE app LOGIN; CREATE ROLE owner"
sql "CREATE DATABASE shop"
export HONE_DB=shop
sql "CREATE EXTENSION pg_hone" || exit 1
make_varied t 20000 || exit 1

# Types and collations of users: of these only the types keep their OIDs.
sql "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')"
sql "ALTER TYPE mood ADD VALUE 'soso' BEFORE 'ok'"
sql "CREATE DOMAIN price AS numeric CHECK (VALUE >= 0);
     CREATE TYPE pair AS (a int, b text);
     CREATE COLLATION mine (provider = libc, locale = 'C.UTF-8');
     CREATE TABLE user_types (m mood, p price, c pair, cs pair[], name text COLLATE mine, r int4range);
     INSERT INTO user_types SELECT (enum_range(NULL::mood))[1 + i % 4], i / 7.0, (i % 50, 'b' || i)::pair, ARRAY[(i, 'x')::pair], 'name ' || i % 999, int4range(i, i + 5)
         FROM generate_series(1, 15000) i;
     CREATE TABLE m (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at);
     CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
     CREATE INDEX ON m (n);
     CREATE TABLE n (LIKE m) PARTITION BY RANGE (at);
     CREATE TABLE n_1 PARTITION OF n FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     ALTER TABLE m OWNER TO owner; ALTER TABLE m_1 OWNER TO owner; ALTER TABLE m_2 OWNER TO owner;
     INSERT INTO m SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 minute', i FROM generate_series(0, 60000) i;
     CREATE TABLE item (id int PRIMARY KEY, note text);
     INSERT INTO item SELECT g, 'note ' || g FROM generate_series(1, 5000) g;
     ALTER DATABASE shop SET hone.track = 'all'; ALTER ROLE app IN DATABASE shop SET hone.lock_timeout = '3s'" || exit 1
for table in t user_types; do sql "CALL hone.compress('$table')" 2>/dev/null; done
# late rows, a column that batches lack, rows folded in a second go
sql "ALTER TABLE t ADD COLUMN later int DEFAULT 7; INSERT INTO t (id, note) VALUES (-1, 'late'); INSERT INTO user_types SELECT * FROM user_types LIMIT 10"
sql "CALL hone.compress('user_types')" 2>/dev/null
sql "SELECT hone.add_tier_policy('m', '1 year'); SELECT hone.add_tier_policy('n', '200 years')" >/dev/null
# and the moves are noted, which they are when they have ended
wait_until 60 "SELECT bool_and(tier = 'warm') AND count(*) <= (SELECT count(*) FROM hone.tier_log WHERE error IS NULL) FROM hone.partitions WHERE parent = 'm'::regclass" || exit 1
page() { sql "SELECT id FROM item ORDER BY id OFFSET 3000 LIMIT 10" >/dev/null; }
page
sql "SELECT hone.dismiss_recommendation(id, 'so be it') FROM hone.recommendations WHERE kind = 'offset_pagination'" >/dev/null

state() {
    rows_of t
    rows_of user_types
    rows_of m
    sql "SELECT parent, warm_after, created_at FROM hone.tier_policies ORDER BY 1"
    sql "SELECT partition, tier, rows, plain_rows, next_tier FROM hone.partitions ORDER BY 1"
    sql "SELECT id, partition, to_tier, by_worker, rows, error FROM hone.tier_log ORDER BY 1"
    sql "SELECT id, kind, reason, dismissed_at FROM hone.dismissed_recommendations"
    sql "SELECT batches, compressed_rows, plain_rows FROM hone.tiered_stats('t')"
    sql "SELECT name, m, (c).b FROM user_types WHERE name = 'name 77' AND m >= 'ok' AND p < 100 ORDER BY 3"
    PGUSER=app sql "SELECT current_setting('hone.track'), current_setting('hone.lock_timeout')"
}
wanted=$(state)
like "there is something to upgrade" "$wanted" '^m\|1 year'
hone_stop "$old"

new=$HONE_WORK/run/new/data
rm -rf "$HONE_WORK/run/new"
mkdir -p "$HONE_WORK/run/new"
chmod 755 "$HONE_WORK/run/new"
HONE_SERVERS+=("$new")
hone_initdb "$new" || exit 1
succeeds "pg_upgrade" hone_as bash -c "cd '$HONE_WORK/run/new' && '$HONE_BIN/pg_upgrade' -b '$HONE_BIN' -B '$HONE_BIN' \
    -d '$old' -D '$new' -U postgres -p 5532 -P 5532 -s '$HONE_WORK/run/new'"
HONE_DATA=$new
hone_start "$new" "-c hone.naptime=1s" || exit 1
is "rows, policies, moves, dismissals, settings" "$(state)" "$wanted"
page
is "what was dismissed stays so" "$(sql "SELECT kind, status FROM hone.recommendations WHERE kind = 'offset_pagination'")" "offset_pagination|dismissed"

sql "CREATE EXTENSION amcheck"
toasts="SELECT t.oid, t.reltoastrelid AS toast, i.indexrelid AS index FROM pg_class t JOIN pg_am a ON a.oid = t.relam AND amname = 'tiered'
    JOIN pg_index i ON i.indrelid = t.reltoastrelid"
is "the batches are in order" "$(sql "SELECT t.oid::regclass, v.* FROM ($toasts) t, verify_heapam(toast) v;
    SELECT bt_index_check(index, true) FROM ($toasts) t" 2>&1 | sort -u)" ""
is "that were four tables" "$(sql "SELECT count(*) FROM ($toasts) t")" 4
succeeds "VACUUM (FREEZE, ANALYZE)" sql "VACUUM (FREEZE, ANALYZE)"
is "the batches after it" "$(sql "SELECT t.oid::regclass, v.* FROM ($toasts) t, verify_heapam(toast) v;
    SELECT bt_index_check(index, true) FROM ($toasts) t" 2>&1 | sort -u)" ""
is "rows after it" "$(rows_of t; rows_of user_types; rows_of m)" "$(printf '%s\n' "$wanted" | head -3)"

# New batches beside the old ones, and all the way back.
sql "INSERT INTO t (id, note) SELECT -i, md5(i::text) FROM generate_series(2, 12000) i"
rows=$(rows_of t)
succeeds "compress again" sql "CALL hone.compress('t')"
is "rows of old and new batches" "$(rows_of t)" "$rows"
sql "INSERT INTO m SELECT timestamptz '2020-01-15 00:00Z', i FROM generate_series(1, 5000) i;
     UPDATE hone._tier_state SET retry_at = NULL, rest_until = NULL"
moved=$(rows_of m)
succeeds "the worker goes on" wait_until 60 "SELECT plain_rows = 0 FROM hone.partitions WHERE partition = 'm_1'::regclass"
is "rows that came late" "$(rows_of m)" "$moved"
succeeds "decompress_all" sql "CALL hone.decompress_all()"
is "every row as heap" "$(rows_of t; rows_of user_types; rows_of m)" "$rows
$(printf '%s\n' "$wanted" | sed -n 2p)
$moved"
succeeds "DROP EXTENSION" sql "DROP EXTENSION pg_hone"
is "no background process met an error" "$(hone_background_errors "$new.log" "$old.log")" ""
hone_done
