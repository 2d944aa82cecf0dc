#!/usr/bin/env bash
# kill -9 of the whole server at random moments of CALL hone.compress and
# hone.decompress: every row is there exactly once, and the work goes on.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server crash || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
rounds=${HONE_KILLS:-8}

make_varied t 300000 || exit 1
sql "CREATE INDEX ON t (at); CHECKPOINT"
wanted=$(rows_of t)

# The time a whole run takes, so that the kills spread over all of it.
sql "CREATE TABLE trial AS SELECT * FROM t"
begin=$(date +%s%N)
sql "CALL hone.compress('trial')" || exit 1
span=$((($(date +%s%N) - begin) / 1000000))
sql "DROP TABLE trial"
echo "# a run takes $span ms"

# kill_during SQL ROUND: begin it, kill the server, start it again.
met=0
kill_during() {
    sql "$1" >/dev/null 2>&1 &
    local client=$!
    # from the first tenth of a run to somewhat past its end
    local ms=$((span * (10 + (100 * $2 + RANDOM % 100) / rounds) / 100))
    sleep "$(awk "BEGIN { print $ms / 1000 }")"
    hone_kill "$HONE_DATA"
    wait "$client" 2>/dev/null || met=$((met + 1))
    hone_start "$HONE_DATA" || exit 1
    killed_at=$ms
}

# Every row once: by sequential scan and by way of the index.
check() {
    is "$1: every row exactly once" "$(rows_of t)" "$wanted"
    is "$1: no id twice, none lost" "$(sql "SELECT count(DISTINCT id), min(id), max(id) FROM t")" "300000|1|300000"
    is "$1: a range of the indexed column" \
        "$(sql "SET enable_seqscan = off; SELECT count(*) FROM t WHERE at >= '2024-01-10' AND at < '2024-01-11'")" \
        "$(sql "SELECT count(*) FROM generate_series(1, 300000) i WHERE timestamptz '2024-01-01 00:00Z' + i * interval '7 seconds' >= '2024-01-10' AND timestamptz '2024-01-01 00:00Z' + i * interval '7 seconds' < '2024-01-11'")"
}

for round in $(seq 0 $((rounds - 1))); do
    if [ $((round % 4)) = 3 ]; then
        sql "CALL hone.compress('t')" || exit 1
        kill_during "CALL hone.decompress('t')" "$round"
        check "killed ${killed_at} ms into decompress"
    else
        # every other time the half-done work of the kill before goes on
        [ $((round % 4)) = 1 ] || sql "CALL hone.decompress('t')" || exit 1
        # at once, or step by step
        options=
        [ $((round % 4)) != 2 ] || options="-c hone.compress_rewrite=off"
        PGOPTIONS=$options kill_during "CALL hone.compress('t')" "$round"
        check "killed ${killed_at} ms into compress"
    fi
done

isnt "kills that met a run in hand" "$met" 0
echo "# they were $met of $rounds"
succeeds "compress goes on after the last kill" sql "CALL hone.compress('t')"
check "compressed to the end"
succeeds "VACUUM" sql "VACUUM t"
check "vacuumed"
succeeds "decompress after all" sql "CALL hone.decompress('t')"
check "decompressed"
hone_done
