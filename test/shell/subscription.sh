#!/usr/bin/env bash
# A subscription whose table is compressed: its changes are applied or it
# stops with an error that says so; none is dropped.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server subscription "-c wal_level=logical" || exit 1
version=$(sql "SELECT current_setting('server_version_num')::int / 10000")

sql "CREATE DATABASE publisher" && sql "CREATE DATABASE subscriber" || exit 1
for HONE_DB in publisher subscriber; do
    sql "CREATE TABLE r (k int, v text); ALTER TABLE r REPLICA IDENTITY FULL; CREATE INDEX ON r (k)" || exit 1
    sql "INSERT INTO r SELECT i, 'v' || i FROM generate_series(1, 5000) i" || exit 1
done
HONE_DB=publisher sql "CREATE PUBLICATION r FOR TABLE r" || exit 1
HONE_DB=publisher sql "SELECT pg_create_logical_replication_slot('r', 'pgoutput')" >/dev/null || exit 1
HONE_DB=subscriber
sql "CREATE EXTENSION pg_hone" && sql "CALL hone.compress('r')" || exit 1
sql "CREATE SUBSCRIPTION r CONNECTION 'host=$PGHOST port=$PGPORT user=postgres dbname=publisher' PUBLICATION r WITH (create_slot = false, slot_name = 'r', copy_data = false)" || exit 1
HONE_DB=publisher sql "INSERT INTO r VALUES (5001, 'inserted')" || exit 1
succeeds "an inserted row arrives" wait_until 30 "SELECT count(*) = 1 FROM r WHERE k = 5001"
HONE_DB=publisher sql "UPDATE r SET v = 'new' WHERE k = 77" || exit 1
# logged REGEX: within half a minute
logged() {
    local tenth
    for tenth in $(seq 300); do
        if grep -q "$1" "$HONE_DATA.log"; then return 0; fi
        sleep 0.1
    done
    return 1
}
# from 16 on it may look for the row through any index, which knows nothing of
# compressed rows
if [ "$version" -ge 16 ]; then
    succeeds "a change stops a subscription that would use an index" \
        logged 'a subscription cannot look for rows of compressed table "r" through an index'
fi
sql "DROP INDEX r_k_idx" || exit 1
succeeds "a change to a compressed row stops the subscription" logged 'ERROR:  cannot lock compressed rows of table "r"'
succeeds "decompress lets it go on" sql "CALL hone.decompress('r')"
succeeds "the change arrives" wait_until 30 "SELECT v = 'new' FROM r WHERE k = 77"
HONE_DB=publisher sql "UPDATE r SET v = 'newer' WHERE k = 5001; DELETE FROM r WHERE k = 78" || exit 1
succeeds "later changes arrive" wait_until 30 "SELECT count(*) = 5000 AND count(*) FILTER (WHERE v = 'newer') = 1 FROM r"

sql "CALL hone.compress('r')" || exit 1
HONE_DB=publisher sql "INSERT INTO r VALUES (5002, 'plain')" || exit 1
HONE_DB=publisher sql "UPDATE r SET v = 'changed' WHERE k = 5002" || exit 1
succeeds "a change to a plain row of a compressed table arrives" wait_until 30 "SELECT v = 'changed' FROM r WHERE k = 5002"
succeeds "the subscription can be dropped" sql "DROP SUBSCRIPTION r"
hone_done
