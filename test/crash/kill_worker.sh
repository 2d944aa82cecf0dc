#!/usr/bin/env bash
# kill -9 of the whole server while the worker moves partitions of a policy:
# every row is there exactly once, and after the restart the worker ends the
# move by itself.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server crash_worker "-c hone.naptime=1s" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1

sql "CREATE TABLE m (at timestamptz NOT NULL, id bigint, kind text, note text) PARTITION BY RANGE (at);
     CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
     CREATE TABLE m_3 PARTITION OF m FOR VALUES FROM ('2020-03-01') TO ('2020-04-01');
     INSERT INTO m SELECT timestamptz '2020-01-01 00:00Z' + i * interval '15 seconds', i, 'kind ' || i % 9, md5(i::text)
     FROM generate_series(0, 500000) i;" || exit 1
wanted=$(rows_of m)
sql "SELECT hone.add_tier_policy('m', warm_after => interval '1 year')" >/dev/null || exit 1

for round in 1 2 3 4; do
    sleep "$(awk "BEGIN { srand($RANDOM); print 0.3 + 2 * rand() }")"
    hone_kill "$HONE_DATA"
    hone_start "$HONE_DATA" "-c hone.naptime=1s" || exit 1
    is "kill $round: every row exactly once" "$(rows_of m)" "$wanted"
done

if wait_until 90 "SELECT count(*) = 3 AND bool_and(tier = 'warm') FROM hone.partitions WHERE parent = 'm'::regclass"; then
    ok "the worker ends the moves after the restart"
else
    not_ok "the worker ends the moves after the restart" "$(sql "SELECT partition, tier, next_tier, last_error FROM hone.partitions")"
fi
is "all partitions warm: every row exactly once" "$(rows_of m)" "$wanted"
is "no id twice, none lost" "$(sql "SELECT count(DISTINCT id), min(id), max(id) FROM m")" "500001|0|500000"
hone_done
