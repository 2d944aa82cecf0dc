#!/usr/bin/env bash
# Sampled calls when the memory for statistics is full: those of queries that
# were evicted go with them.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
hone_server samples "-c hone.max_memory=2MB" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1

# Statements without numbers of their own, and all with samples.
orphans() { sql "SELECT count(*) FROM (SELECT DISTINCT queryid FROM hone.query_samples EXCEPT SELECT queryid FROM hone.queries) AS o"; }

# 4096 statements that differ in their operators. A session looks at few of
# them before somebody reads the samples, hence the reading in between.
{
    echo '\o /dev/null'
    for ((n = 0; n < 4096; n++)); do
        statement="SELECT 1000"
        for ((bit = 0; bit < 12; bit++)); do
            if ((n >> bit & 1)); then statement+=" + $bit"; else statement+=" - $bit"; fi
        done
        echo "$statement;"
        ((n % 10)) || echo "SELECT count(*) FROM hone.query_samples;"
    done
} >"$HONE_WORK/run/samples/statements.sql"
succeeds "4096 different statements" "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d postgres -f "$HONE_WORK/run/samples/statements.sql"
kept=$(sql "SELECT count(DISTINCT queryid) FROM hone.query_samples")
like "some of them have samples" "$kept" '^[0-9]{3,}$'
is "the memory stays below its limit" "$(sql "SELECT used_bytes <= limit_bytes FROM hone._shared_status()")" t
like "queries are evicted" "$(sql "SELECT value FROM hone.status WHERE item = 'evictions'")" '^[1-9]'
is "no sample outlives its query's numbers" "$(orphans)" 0
is "some went, others stay" "$((kept > 0 && kept < 4096))" 1
sql "SELECT 'once more' AS sampled" >/dev/null
is "there is room again" "$(sql "SELECT query FROM hone.query_samples WHERE query ~ 'AS sampled$'")" "SELECT 'once more' AS sampled"

# All of it comes back: what is left is the reader's.
sql "SELECT hone.reset()" >/dev/null
is "reset() frees it" "$(sql "SELECT used_bytes < 500 * 1024 FROM hone._shared_status()")" t
is "no server process crashed" "$(grep -cE 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log")" 0
hone_done
