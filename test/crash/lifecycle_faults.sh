#!/usr/bin/env bash
# Faults at each step of moves to warm, cold in a tablespace, archive and drop:
# the process that moves, or all of the server, gets kill -9, or an error is
# raised, at the n-th statement, command, dropped object, or before or after the
# n-th commit (test/modules/faults). After each fault every row is there exactly
# once; rows are written to what is half-way; and the worker goes on by itself.
# Then the same while archives are restored.
#
#   HONE_FAULTS=N   faults of the first part (32; 315: each kind at each place)
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
archives=$HONE_WORK/run/fault_archives cold=$HONE_WORK/run/fault_cold
mkdir -p "$archives" "$cold"
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$archives" "$cold"
# a copy: others read the built tree
cp -r "$HONE_SRC/test/modules/faults" "$HONE_WORK/faults"
succeeds "the module that injects faults is built" make -s -C "$HONE_WORK/faults" PG_CONFIG="$PG_CONFIG" install
options="-c shared_preload_libraries=faults,pg_hone -c hone.naptime=1s -c hone.history_interval=1h -c hone.archive_directory=$archives"
hone_server lifecycle_faults "$options" || exit 1
# a wait without end is a failure
export PGOPTIONS="-c statement_timeout=60s"
armed=$HONE_DATA/faults.armed done=$HONE_DATA/faults.done

faults=${HONE_FAULTS:-32}
days=$faults
sql "CREATE EXTENSION pg_hone" && sql "CREATE TABLESPACE fault_cold LOCATION '$cold'" || exit 1
# a, b: archived, b with a default partition; w: warm; c: cold; d: dropped
for table in a b w c d; do
    sql "CREATE TABLE $table (at timestamptz NOT NULL, id bigint, note text) PARTITION BY RANGE (at);
         CREATE INDEX ON $table (id);
         CREATE TABLE kept_$table (LIKE $table)"
    "$HONE_BIN/psql" -XAtq -d postgres <<SQL
SELECT format('CREATE TABLE ${table}_%s PARTITION OF $table FOR VALUES FROM (%L) TO (%L)', i, d, d + interval '1 day')
FROM generate_series(1, $days) i, LATERAL (SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 day') x(d) \gexec
SQL
done
sql "CREATE TABLE b_rest PARTITION OF b DEFAULT"
rows=500
for table in a b w c d; do
    sql "INSERT INTO $table SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 day' + g * interval '1 minute', i * 10000 + g, md5(g::text)
         FROM generate_series(1, $days) i, generate_series(0, $rows - 1) g;
         INSERT INTO kept_$table SELECT * FROM $table"
done
wanted_w=$(rows_of w) wanted_c=$(rows_of c)

# The tables of _tier_leaving that are not in their parent, of parent $1.
detached_of() {
    sql "SELECT partition::regclass FROM hone._tier_leaving l JOIN pg_class c ON c.oid = l.partition LEFT JOIN pg_inherits i ON i.inhrelid = l.partition
         WHERE (NOT c.relispartition OR i.inhdetachpending) AND l.parent = '$1'::regclass"
}
# All in one statement: with the workers waiting nothing moves.
where_rows_are() {
    local table query="" name
    for table in a b; do
        query+="SELECT '$table', (SELECT count(*) FROM $table)"
        for name in $(detached_of $table); do query+=" + (SELECT count(*) FROM $name)"; done
        query+=" + (SELECT coalesce(sum(rows), 0) FROM hone.archives WHERE restored_at IS NULL AND parent = '$table') - (SELECT count(*) FROM kept_$table); "
    done
    query+="SELECT 'd', count(*) FROM (SELECT count(*) AS n FROM d GROUP BY tableoid"
    for name in $(detached_of d); do query+=" UNION ALL SELECT count(*) FROM $name"; done
    query+=") x WHERE n <> $rows"
    sql "$query"
}
# Rows that come late: to what is attached still, and to what hangs nowhere.
late=0
write_late() {
    local table name
    for table in a b; do
        late=$((late + 1))
        PGOPTIONS="$PGOPTIONS -c lock_timeout=1s" sql "WITH p AS (SELECT at FROM $table ORDER BY at LIMIT 1), n AS (INSERT INTO $table SELECT at, -$late, 'late' FROM p RETURNING *)
             INSERT INTO kept_$table SELECT * FROM n" 2>/dev/null
        for name in $(detached_of $table); do
            late=$((late + 1))
            PGOPTIONS="$PGOPTIONS -c lock_timeout=1s" sql "WITH p AS (SELECT at FROM $name ORDER BY at LIMIT 1), n AS (INSERT INTO $name SELECT at, -$late, 'late' FROM p RETURNING *)
                 INSERT INTO kept_$table SELECT * FROM n" 2>/dev/null
        done
    done
}
is_up() { [ "$(sql "SELECT 1" 2>/dev/null)" = 1 ]; }
wait_up() {
    local try
    for try in $(seq 300); do if is_up; then return 0; fi; sleep 0.05; done
    return 1
}
# arm N KIND [TEXT]
arm() { echo "$1 $2 ${3:-}" >"$armed.new"; chmod a+r "$armed.new"; mv "$armed.new" "$armed"; rm -f "$done"; }
# until the fault came; false where the worker has nothing left to do, and did
# that once more
wait_done() {
    local try idle=0
    for try in $(seq 400); do
        if [ -e "$done" ]; then return 0; fi
        if [ $((try % 10)) = 0 ]; then
            [ "$(sql "SELECT count(*) FROM hone.tier_plan WHERE due AND (retry_at <= now()) IS NOT FALSE" 2>/dev/null)" != 0 ] || idle=$((idle + 1))
            [ "$idle" -lt 4 ] || return 1
        fi
        sleep 0.05
    done
    return 1
}

touch "$done"; chmod a+r "$done"
sql "SELECT hone.add_tier_policy('a', archive_after => '1 year'), hone.add_tier_policy('b', archive_after => '1 year', drop_after => '900 years'),
            hone.add_tier_policy('w', warm_after => '1 year'), hone.add_tier_policy('c', cold_after => '1 year', cold_tablespace => 'fault_cold'),
            hone.add_tier_policy('d', drop_after => '1 year', allow_drop_without_archive => true)" >/dev/null || exit 1
# the worker gets one of each table at a time
sql "INSERT INTO hone._tier_state (partition, retry_at) SELECT oid, 'infinity' FROM pg_class WHERE relname ~ '^[abcdw]_[0-9]+\$' AND relkind = 'r'
     ON CONFLICT (partition) DO UPDATE SET retry_at = 'infinity'" || exit 1
# Where in a move: the how-manieth, of which events. Commits and statements are
# those of the worker as well as of the process that detaches.
targets=("1 DETACH" "2 DETACH" "1 DROP TABLE" "2 DROP TABLE" "1 drop of an object" "4 drop of an object" "1 _tier_leaving (" "2 _tier_leaving ("
    "3 _tier_leaving (" "1 INTO hone._archive" "1 UPDATE hone._archive" "1 FROM hone._tier_leaving WHERE" "1 INTO hone._tier_log" "1 INTO hone._tier_state AS"
    "1 UPDATE hone._tier_state" "1 FROM hone._archive a WHERE a.dropped_at" "1 DELETE FROM hone._archive")
named=${#targets[@]}
for number in $(seq 3 22); do targets+=("$number before commit" "$number after commit"); done
for number in 20 30 40 50 60 70; do targets+=("$number"); done
kinds=(kill error kill fatal server)
wrong="" hit="" count=0
for round in $(seq 0 $((faults - 1))); do
    # first what has a name; then in steps that have no divisor in common with the
    # number of the rest
    turn=$((round % ${#targets[@]}))
    [ "$turn" -lt "$named" ] || turn=$((named + turn * 9 % (${#targets[@]} - named)))
    target=${targets[turn]}
    sql "UPDATE hone._tier_state SET retry_at = NULL WHERE retry_at < 'infinity' OR partition IN (SELECT oid FROM pg_class WHERE relname ~ '^[abcdw]_$((round + 1))\$')" >/dev/null
    arm "${target%% *}" "${kinds[(round + round / ${#targets[@]}) % ${#kinds[@]}]}" "$([ "${target#* }" = "$target" ] || echo "${target#* }")"
    wait_done || continue
    count=$((count + 1))
    fault=$(head -1 "$done")
    hit+="$fault"$'\n'
    case $fault in
        server*) hone_kill "$HONE_DATA"; hone_start "$HONE_DATA" "$options" || exit 1 ;;
        kill*) sleep 0.1; wait_up || { not_ok "the server is up again after: $fault" "$(tail -20 "$HONE_DATA.log")"; exit 1; } ;;
    esac
    found=$(where_rows_are 2>&1)
    [ "$found" = $'a|0\nb|0\nd|0' ] || wrong+="$fault: $found"$'\n'
    [ "$(rows_of w) $(rows_of c)" = "$wanted_w $wanted_c" ] || wrong+="$fault: w or c"$'\n'
    [ $((round % 3)) != 0 ] || write_late
done
rm -f "$armed" "$done"
is "after each fault every row is there once ($count faults)" "$wrong" ""
echo "# where: $(sed -E 's/^[a-z]+ //; s/^((before|after) (commit|ALTER TABLE [^ ]+ DETACH|DROP TABLE|[A-Z]+)|drop of an object|statement [A-Z]+( INTO hone\.[a-z_]+)?).*/\1/; s/ (ALTER TABLE) [^ ]+ / \1 /' <<<"$hit" | sort | uniq -c | sort -rn | sed 's/^ *//' | paste -sd, | sed 's/,/, /g')"
for step in "commit" "DETACH" "DROP TABLE" "drop of an object"; do
    like "some faults were at: $step" "$hit" "$step"
done

# by itself, from wherever it was
sql "UPDATE hone._tier_state SET retry_at = NULL" >/dev/null
if wait_until 60 "SELECT count(*) = 0 FROM hone.tier_plan WHERE due" && wait_until 20 "SELECT count(*) = 0 FROM hone._tier_leaving"; then
    ok "the worker ends all moves"
else
    not_ok "the worker ends all moves" "$(sql "SELECT * FROM hone.tier_plan; TABLE hone._tier_leaving; SELECT DISTINCT error FROM hone.tier_log WHERE error IS NOT NULL")"
fi
is "what is to be there is there" "$(where_rows_are; sql "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM d),
    (SELECT count(*) FROM hone.archives), (SELECT count(*) FROM hone.partitions WHERE tier = 'warm' AND parent = 'w'::regclass),
    (SELECT count(*) FROM hone.partitions WHERE tier = 'cold' AND parent = 'c'::regclass)")" "a|0
b|0
d|0
0|0|0|$((2 * days))|$days|$days"
is "all of c is in its tablespace" "$(sql "SELECT count(*) FROM pg_class c LEFT JOIN pg_tablespace t ON t.oid = reltablespace WHERE relname ~ '^c_[0-9]' AND spcname IS DISTINCT FROM 'fault_cold'")" 0
wait_until 20 "SELECT count(*) = 0 FROM hone._archive WHERE dropped_at IS NULL" || true
is "no file is there that nobody knows" "$(cd "$archives" && find . -type f ! -name '*.json' | wc -l) $(sql "SELECT count(*) FROM hone._archive")" "$((2 * days)) $((2 * days))"
is "no policy was forgotten: what expires is known" "$(sql "SELECT count(*) FROM hone._archive WHERE policy IS NULL OR range_end IS NULL OR bound IS NULL")" 0

# restores
wrong="" count=0
for number in $(seq 1 60); do
    name=$(sql "SELECT name FROM hone.archives WHERE parent = 'a' AND restored_at IS NULL ORDER BY name LIMIT 1")
    arm "$number" kill
    PGOPTIONS="$PGOPTIONS -c faults.session=on" sql "SELECT hone.restore_archive('$name')" >/dev/null 2>&1 && break
    count=$((count + 1))
    wait_up || exit 1
    [ -e "$done" ] || wrong+="$number: no fault"$'\n'
    fault=$(head -1 "$done")
    rm -f "$done"
    case $fault in
        *"after commit"*) ;;
        *) [ "$(sql "SELECT restored_at IS NULL, (SELECT count(*) FROM pg_class WHERE relkind = 'r' AND oid::regclass::text = partition) FROM hone.archives WHERE name = '$name'")" = "t|0" ] || wrong+="$fault"$'\n' ;;
    esac
    [ "$(where_rows_are 2>&1)" = $'a|0\nb|0\nd|0' ] || wrong+="$fault: $(where_rows_are)"$'\n'
done
rm -f "$armed" "$done"
is "a restore that is ended leaves the archive as it was ($count faults)" "$wrong" ""
sql "SELECT count(hone.restore_archive(name)) FROM hone.archives WHERE restored_at IS NULL" >/dev/null
for table in a b; do
    is "$table: restored they are the rows that were there" "$(sql "SELECT count(*) FROM ((TABLE kept_$table EXCEPT ALL TABLE $table) UNION ALL (TABLE $table EXCEPT ALL TABLE kept_$table)) x")" 0
done
is "nothing else went wrong" "$(hone_background_errors "$HONE_DATA.log" | grep -vE 'injected: |could not (detach|lock)' | head)" ""
hone_done
