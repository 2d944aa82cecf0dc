#!/usr/bin/env bash
# kill -9 of the whole server while the worker archives the partitions of a
# policy: each row is in the table or in an archive that counts, once. After the
# last restart the worker ends the moves by itself, and what comes back from the
# archives are the rows that were there.
#
#   HONE_KILLS=N   rounds (5)
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
archives=$HONE_WORK/run/archives
mkdir -p "$archives"
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$archives"
options="-c hone.naptime=1s -c hone.archive_directory=$archives"
hone_server crash_archive "$options" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
sql "CREATE TABLE m (at timestamptz NOT NULL, id bigint, kind text, note text) PARTITION BY RANGE (at)" || exit 1
sql "SELECT format('CREATE TABLE m_%s PARTITION OF m FOR VALUES FROM (%L) TO (%L)', i, d, d + interval '1 day')
     FROM generate_series(1, 24) i, LATERAL (SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 day') x(d)" | while read -r command; do sql "$command"; done
sql "INSERT INTO m SELECT timestamptz '2020-01-02 00:00Z' + i * interval '10 seconds', i, 'kind ' || i % 9, md5(i::text) FROM generate_series(0, 207359) i;
     CREATE TABLE kept AS SELECT * FROM m" || exit 1
total=207360
sql "SELECT hone.add_tier_policy('m', archive_after => interval '1 year')" >/dev/null || exit 1

# rows in the table, in tables that are detached already, in archives that count
counted() {
    local detached
    detached=$(sql "SELECT coalesce(string_agg(format('(SELECT count(*) FROM %s)', partition::regclass), ' + '), '0')
                    FROM hone._tier_leaving l JOIN pg_class c ON c.oid = l.partition LEFT JOIN pg_inherits i ON i.inhrelid = l.partition
                    WHERE NOT c.relispartition OR i.inhdetachpending")
    sql "SELECT (SELECT count(*) FROM m) + $detached + (SELECT coalesce(sum(rows), 0) FROM hone.archives)"
}
for round in $(seq "${HONE_KILLS:-5}"); do
    sleep "$(awk "BEGIN { srand($RANDOM); print 0.2 + 1.3 * rand() }")"
    hone_kill "$HONE_DATA"
    hone_start "$HONE_DATA" "$options" || exit 1
    # the worker must not move one between the counts
    sql "ALTER SYSTEM SET hone.worker = off" >/dev/null; sql "SELECT pg_reload_conf()" >/dev/null
    wait_until 20 "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'pg_hone worker' OR backend_type = 'pg_hone command'"
    is "kill $round: every row is in the table or in one archive" "$(counted)" "$total"
    sql "ALTER SYSTEM SET hone.worker = on" >/dev/null; sql "SELECT pg_reload_conf()" >/dev/null
done
if wait_until 90 "SELECT count(*) = 24 FROM hone.archives"; then
    ok "the worker ends the moves after the restart"
else
    not_ok "the worker ends the moves after the restart" "$(sql "SELECT * FROM hone.tier_plan; SELECT partition_name, error FROM hone.tier_log WHERE error IS NOT NULL")"
fi
is "nothing is left in the table, nothing half-way" "$(sql "SELECT (SELECT count(*) FROM m), (SELECT count(*) FROM hone._tier_leaving)")" "0|0"
is "no archive is there that nobody knows" "$(cd "$archives" && find . -name '*.zst*' ! -name '*.json' | wc -l)" 24
sql "SELECT count(hone.restore_archive(name)) FROM hone.archives" >/dev/null
is "restored they are the rows that were there" "$(sql "SELECT count(*) FROM m"; sql "SELECT count(*) FROM ((TABLE kept EXCEPT ALL TABLE m) UNION ALL (TABLE m EXCEPT ALL TABLE kept)) x")" "$total
0"
hone_done
