#!/usr/bin/env bash
# A subscription whose table is compressed, at either end: changes to
# compressed rows are published and applied like any; none is dropped.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server subscription "-c wal_level=logical" || exit 1
version=$(sql "SELECT current_setting('server_version_num')::int / 10000")

sql "CREATE DATABASE publisher" && sql "CREATE DATABASE subscriber" || exit 1
# k: with a primary key; f: REPLICA IDENTITY FULL, no index
for HONE_DB in publisher subscriber; do
    sql "CREATE EXTENSION pg_hone;
         CREATE TABLE k (id int PRIMARY KEY, v text, big text);
         CREATE TABLE f (id int, v text); ALTER TABLE f REPLICA IDENTITY FULL;
         INSERT INTO k SELECT i, 'v' || i, CASE WHEN i % 10 = 9 THEN (SELECT string_agg(md5((i * g)::text), '') FROM generate_series(1, 300) g)
             ELSE repeat(md5(i::text), 100) END FROM generate_series(1, 5000) i;
         INSERT INTO f SELECT i, nullif('v' || i, 'v88') FROM generate_series(1, 5000) i" || exit 1
done
HONE_DB=publisher sql "CREATE PUBLICATION p FOR TABLE k, f" || exit 1
HONE_DB=publisher sql "SELECT pg_create_logical_replication_slot('p', 'pgoutput')" >/dev/null || exit 1
HONE_DB=subscriber
sql "CREATE SUBSCRIPTION s CONNECTION 'host=$PGHOST port=$PGPORT user=postgres dbname=publisher' PUBLICATION p WITH (create_slot = false, slot_name = 'p', copy_data = false)" || exit 1

# same NAME: within half a minute both databases have the same rows
same() {
    local wanted_k wanted_f
    wanted_k=$(HONE_DB=publisher rows_of k)
    wanted_f=$(HONE_DB=publisher rows_of f)
    for _ in $(seq 150); do
        [ "$(HONE_DB=subscriber rows_of k)" = "$wanted_k" ] && [ "$(HONE_DB=subscriber rows_of f)" = "$wanted_f" ] && break
        sleep 0.2
    done
    is "$1: primary key" "$(HONE_DB=subscriber rows_of k)" "$wanted_k"
    is "$1: full identity" "$(HONE_DB=subscriber rows_of f)" "$wanted_f"
}

# changes BASE: to rows from BASE on, in transactions of several kinds
changes() {
    HONE_DB=publisher sql "
        UPDATE k SET v = 'new' WHERE id = $1 + 7;
        UPDATE k SET id = id + 100000, v = 'moved' WHERE id = $1 + 8;
        UPDATE k SET big = 'short' WHERE id = $1 + 9;
        DELETE FROM k WHERE id BETWEEN $1 + 10 AND $1 + 19;
        INSERT INTO k VALUES ($1 + 10, 'again'), ($1 + 20, 'x') ON CONFLICT (id) DO UPDATE SET v = 'upserted';
        UPDATE f SET v = 'new' WHERE id IN ($1 + 77, $1 + 88);
        DELETE FROM f WHERE id = $1 + 78;" || exit 1
    HONE_DB=publisher sql "
        BEGIN;
        UPDATE k SET v = v || '+' WHERE id BETWEEN $1 + 30 AND $1 + 40;
        UPDATE k SET v = v || '+' WHERE id BETWEEN $1 + 35 AND $1 + 45;
        SAVEPOINT a;
        DELETE FROM k WHERE id BETWEEN $1 + 30 AND $1 + 45;
        UPDATE f SET v = 'never' WHERE id = $1 + 90;
        ROLLBACK TO a;
        DELETE FROM k WHERE id = $1 + 31;
        COMMIT" || exit 1
}

changes 0
same "plain at both ends"
HONE_DB=subscriber sql "CALL hone.compress('k')" && HONE_DB=subscriber sql "CALL hone.compress('f')" || exit 1
changes 1000
same "compressed at the subscriber"
HONE_DB=publisher sql "CALL hone.compress('k')" && HONE_DB=publisher sql "CALL hone.compress('f')" || exit 1
same "compressing publishes nothing"
changes 2000
same "compressed at both ends"
for HONE_DB in publisher subscriber; do sql "CALL hone.compress('k')" && sql "CALL hone.compress('f')" || exit 1; done
changes 2000
changes 3000
same "compressed again"
HONE_DB=subscriber sql "CALL hone.decompress('k')" && HONE_DB=subscriber sql "CALL hone.decompress('f')" || exit 1
changes 4000
same "compressed at the publisher"
is "no change was dropped or refused" "$(grep -cE 'did not find row|ERROR' "$HONE_DATA.log")" 0

# from 16 on it may look for the row through any index: one that is not unique
# does not find compressed rows
if [ "$version" -ge 16 ]; then
    HONE_DB=subscriber
    sql "CREATE INDEX f_id ON f (id)" && sql "CALL hone.compress('f')" || exit 1
    HONE_DB=publisher sql "UPDATE f SET v = 'through an index' WHERE id = 500" || exit 1
    for _ in $(seq 300); do
        if grep -q 'cannot look for rows of compressed table "f" through index "f_id"' "$HONE_DATA.log"; then break; fi
        sleep 0.1
    done
    succeeds "a search through another index is refused" grep -q 'cannot look for rows of compressed table "f"' "$HONE_DATA.log"
    sql "DROP INDEX f_id" || exit 1
    same "and goes on without it"
fi
HONE_DB=subscriber
succeeds "the subscription can be dropped" sql "DROP SUBSCRIPTION s"
hone_done
