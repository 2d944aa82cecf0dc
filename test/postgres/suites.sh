#!/usr/bin/env bash
# PostgreSQL's own suites on one version (run.sh calls this): against a server
# that has pg_hone preloaded and created in every database, the suite's own
# too, with every switch on and every sampling at its most.
#
#   PG_CONFIG=... bash test/postgres/suites.sh SOURCE BUILD [PART]
#   PG_CONFIG=... bash test/postgres/suites.sh SOURCE - [PART]
#
# With a BUILD tree of that SOURCE the suites are the version's own, and a
# difference from what PostgreSQL ships is a bug of ours, unless it stands in
# differences/. Without one they are another version's: many of their tests
# fail for want of what they test, so they run three times, twice without
# pg_hone, and what is the same in the first two must be so in the third.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
source=$1 build=$2 only=${3:-}
hone_prepare

version=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')
work=$HONE_WORK/postgres
mkdir -p "$work/lib"
chmod 755 "$work"
# what the SQL of the suite loads: its own C functions, and two of contrib
cp "$("$PG_CONFIG" --pkglibdir)"/{autoinc,refint}.so "$work/lib/" || exit 1
if [ "$build" = - ]; then
    build=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
    borrowed=$(sed -n "s/^PACKAGE_VERSION='\(.*\)'/\1/p" "$source/configure")
    # written for that version's headers: two things that changed in others
    ${CC:-gcc} -O1 -fPIC -shared -w -I"$("$PG_CONFIG" --includedir-server)" -include postgres.h -include utils/array.h \
        '-DPG_MODULE_MAGIC_EXT(...)=PG_MODULE_MAGIC' "$source/src/test/regress/regress.c" -o "$work/lib/regress.so" || exit 1
else
    borrowed=
    cp "$build/src/test/regress/regress.so" "$work/lib/" || exit 1
fi

everything="-c hone.enabled=on -c hone.detectors=on -c hone.worker=on -c hone.naptime=1s
    -c hone.flush_interval=1ms -c hone.capture_rusage_interval=0
    -c hone.advise_sample_every=1 -c hone.advise_offset_rows=1 -c hone.advise_filter_rows=1
    -c hone.advise_star_bytes=1 -c hone.advise_wide_column=1 -c hone.n_plus_one_threshold=3"
# as the suites' own temporary servers are set up
own="-c max_prepared_transactions=10 -c compute_query_id=regress"

# run_program OUT SETTINGS KIND: a suite on a new server, which goes on
# running; its results in OUT. Where SETTINGS are "plain", without pg_hone.
run_program() {
    local out=$1 settings=$2 kind=$3 program schedule args extension=()
    if [ "$settings" = plain ]; then
        settings="-c shared_preload_libraries="
    else
        settings="$everything $settings"
    fi
    # shellcheck disable=SC2086
    hone_server postgres $own $settings || exit 1
    if [[ $settings != *shared_preload_libraries=* ]]; then
        sql "CREATE EXTENSION pg_hone" || exit 1
        extension=(--load-extension=pg_hone)
    fi
    rm -rf "$out"
    mkdir -p "$out"
    [ "$(id -u)" != 0 ] || chown "$(hone_user)" "$out"
    if [ "$kind" = regress ]; then
        program=$build/src/test/regress/pg_regress
        schedule=parallel_schedule
        args=(--dlpath="$work/lib" --max-concurrent-tests=20)
    else
        program=$build/src/test/isolation/pg_isolation_regress
        schedule=isolation_schedule
        args=()
    fi
    # 15 has a command in it that later programs do not know
    sed '/^ignore:/d' "$source/src/test/$kind/$schedule" >"$work/schedule"
    hone_as env PATH="$PATH" PGHOST="$PGHOST" PGPORT="$PGPORT" PGUSER=postgres "$program" --user=postgres \
        --bindir="$HONE_BIN" --inputdir="$source/src/test/$kind" --outputdir="$out" --schedule="$work/schedule" "${args[@]}" "${extension[@]}" >"$work/log" 2>&1
}

# What the server that run_program left says of itself; stops it.
check_server() {
    local name=$1
    is "$name: no process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log")" ""
    is "$name: pg_hone had no trouble" "$(sql "SELECT item || ' ' || value FROM hone.status WHERE item = 'internal errors' AND NOT ok"
        grep -E '(WARNING|LOG|ERROR):  pg_hone' "$HONE_DATA.log")" ""
    # of tables that are still there
    local HONE_DB=regression
    [[ $name != *isolation* ]] || HONE_DB=isolation_regression
    is "$name: no loop was found" "$(sql "SELECT evidence->'parent'->>'query', evidence->'child'->>'query' FROM hone.recommendations WHERE kind = 'n_plus_one'" 2>&1)" ""
    HONE_DB=
    is "$name: its statements were seen" "$(sql "SELECT sum(calls) > 1000 FROM hone.query_stats(false)")" t
    hone_stop "$HONE_DATA"
}

# The differences of one run that are not known ones: a file of differences/
# is named SUITE-TEST and holds the lines of a diff that are expected ('+...',
# '-...'; OID for a user object's), with the reason in lines that begin with '#'.
unknown_differences() {
    local known=$HONE_ROOT/test/postgres/differences/$1 diffs=$2 test line
    sed -E '/^[-+] /s/\b[1-9][0-9]{4}\b/OID/' "$diffs" | awk '/^diff / { name = $NF; sub(/.*\//, "", name); sub(/\.out$/, "", name); next }
         /^(--- |\+\+\+ |@@ )/ { next }
         /^[-+]/ { print name "\t" $0 }' |
        while IFS=$'\t' read -r test line; do
            if [ -e "$known-$test" ] && grep -v '^#' "$known-$test" | grep -qxF -- "$line"; then continue; fi
            printf '%s: %s\n' "$test" "$line"
        done
}

# suite KIND MODE SETTINGS: the version's own suite, against what it ships.
suite() {
    local kind=$1 name="PostgreSQL $version, $1 suite, $2" out=$HONE_WORK/run/postgres/out unknown total wanted
    [[ $name == *"$only"* ]] || return 0
    run_program "$out" "$3" "$kind"
    # "test NAME ... ok" up to 15, TAP since 16
    total=$(grep -cE '\.\.\. (ok|FAILED|failed)|^(not )?ok [0-9]' "$work/log")
    wanted=$(sed -n 's/^test: *//p' "$work/schedule" | wc -w)
    if [ "$total" -lt 50 ] || [ "$total" != "$wanted" ]; then
        not_ok "$name" "$total of $wanted tests ran: $(tail -20 "$work/log")"
    elif [ ! -s "$out/regression.diffs" ]; then
        ok "$name: $total tests, no difference"
    else
        unknown=$(unknown_differences "$kind" "$out/regression.diffs")
        is "$name: $total tests, no difference but known ones" "$unknown" ""
        if [ -n "$unknown" ]; then head -400 "$out/regression.diffs" | sed 's/^/# /'; fi
    fi
    check_server "$name"
}

# borrowed_suite KIND MODE SETTINGS: another version's, with and without us.
borrowed_suite() {
    local kind=$1 name="PostgreSQL $version, $1 suite of $borrowed, $2" out=$work/$1 run result diffs=$work/diffs unsteady=0 same=0
    [[ $name == *"$only"* ]] || return 0
    for run in 1 2; do
        [ ! -d "$out.$run/results" ] || continue
        run_program "$HONE_WORK/run/postgres/out" plain "$kind"
        hone_stop "$HONE_DATA"
        mv "$HONE_WORK/run/postgres/out" "$out.$run"
    done
    run_program "$HONE_WORK/run/postgres/out" "$3" "$kind"
    : >"$diffs"
    for result in "$out.1/results"/*.out; do
        if ! cmp -s "$result" "$out.2/results/${result##*/}"; then
            unsteady=$((unsteady + 1))
        elif cmp -s "$result" "$HONE_WORK/run/postgres/out/results/${result##*/}"; then
            same=$((same + 1))
        else
            { echo "diff $result"; diff -U2 "$result" "$HONE_WORK/run/postgres/out/results/${result##*/}"; } >>"$diffs"
        fi
    done
    is "$name: $same tests the same without and with pg_hone, $(grep -c '^diff ' "$diffs") but for known differences, $unsteady differ by themselves" \
        "$(unknown_differences "$kind" "$diffs")" ""
    if [ $((unsteady * 5)) -gt "$same" ] || [ "$same" -lt 100 ] || grep -q 'Bail out' "$work/log"; then
        not_ok "$name: enough tests can be compared" "$same are the same, $unsteady differ by themselves: $(tail -5 "$work/log")"
    fi
    check_server "$name"
}

run=${borrowed:+borrowed_}suite
$run regress "everything on" ""
$run regress "track = all" "-c hone.track=all"
$run isolation "track = all" "-c hone.track=all"
hone_done
