#!/usr/bin/env bash
# The suites of one version (run.sh calls this): against a server that has
# pg_hone preloaded and created in every database, the suite's own too, with
# every switch on and every sampling at its most. A difference is a bug of
# ours, unless it stands in differences/.
#
#   PG_CONFIG=... bash test/postgres/suites.sh SOURCE-TREE BUILD-TREE [PART]
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
cp "$build/src/test/regress/regress.so" "$("$PG_CONFIG" --pkglibdir)"/{autoinc,refint}.so "$work/lib/" || exit 1

everything="-c hone.enabled=on -c hone.detectors=on -c hone.worker=on -c hone.naptime=1s
    -c hone.flush_interval=1ms -c hone.capture_rusage_interval=0
    -c hone.advise_sample_every=1 -c hone.advise_offset_rows=1 -c hone.advise_filter_rows=1
    -c hone.advise_star_bytes=1 -c hone.advise_wide_column=1 -c hone.n_plus_one_threshold=2"
# as the suites' own temporary servers are set up
own="-c max_prepared_transactions=10 -c compute_query_id=regress"

# The differences of one run that are not known ones: a file of differences/
# is named MAJOR-SUITE-TEST or any-SUITE-TEST and holds the lines of a diff
# that are expected ('+...', '-...'), with the reason in lines that begin
# with '#'.
unknown_differences() {
    local suite=$1 diffs=$2 test line known
    awk '/^diff / { name = $NF; sub(/.*\//, "", name); sub(/\.out$/, "", name); next }
         /^(--- |\+\+\+ |@@ )/ { next }
         /^[-+]/ { print name "\t" $0 }' "$diffs" |
        while IFS=$'\t' read -r test line; do
            for known in "$HONE_ROOT/test/postgres/differences/$version-$suite-$test" \
                "$HONE_ROOT/test/postgres/differences/any-$suite-$test"; do
                if [ -e "$known" ] && grep -v '^#' "$known" | grep -qxF -- "$line"; then continue 2; fi
            done
            printf '%s: %s\n' "$test" "$line"
        done
}

# suite KIND MODE SETTINGS PROGRAM ARGS...: one run of a suite, and what it left.
suite() {
    local kind=$1 name="PostgreSQL $version, $1 suite, $2" settings=$3 program=$4 unknown total
    shift 4
    [[ $name == *"$only"* ]] || return 0
    # shellcheck disable=SC2086
    hone_server postgres $own $everything $settings || exit 1
    HONE_DB=template1 sql "CREATE EXTENSION pg_hone" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    mkdir -p "$HONE_WORK/run/postgres/out"
    [ "$(id -u)" != 0 ] || chown "$(hone_user)" "$HONE_WORK/run/postgres/out"
    hone_as env PATH="$PATH" PGHOST="$PGHOST" PGPORT="$PGPORT" PGUSER=postgres "$program" \
        --bindir="$HONE_BIN" --outputdir="$HONE_WORK/run/postgres/out" --user=postgres "$@" \
        >"$work/log" 2>&1
    # "test NAME ... ok" up to 15, TAP since 16
    total=$(grep -cE '\.\.\. (ok|FAILED|failed)|^(not )?ok [0-9]' "$work/log")
    if [ "$total" -lt 50 ]; then
        not_ok "$name" "only $total tests ran: $(tail -20 "$work/log")"
    elif [ ! -s "$HONE_WORK/run/postgres/out/regression.diffs" ]; then
        ok "$name: $total tests, no difference"
    else
        unknown=$(unknown_differences "$kind" "$HONE_WORK/run/postgres/out/regression.diffs")
        is "$name: $total tests, no difference but known ones" "$unknown" ""
        if [ -n "$unknown" ]; then head -400 "$HONE_WORK/run/postgres/out/regression.diffs" | sed 's/^/# /'; fi
    fi
    is "$name: no process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log")" ""
    is "$name: pg_hone had no trouble" "$(sql "SELECT item || ' ' || value FROM hone.status WHERE item = 'internal errors' AND NOT ok"
        grep -E '(WARNING|LOG|ERROR):  pg_hone' "$HONE_DATA.log")" ""
    is "$name: its statements were seen" "$(sql "SELECT sum(calls) > 1000 FROM hone.query_stats(false)")" t
    hone_stop "$HONE_DATA"
}

regress() {
    suite regress "$1" "$2" "$build/src/test/regress/pg_regress" --inputdir="$source/src/test/regress" \
        --dlpath="$work/lib" --max-concurrent-tests=20 --schedule="$source/src/test/regress/parallel_schedule"
}
regress "everything on" ""
regress "track = all" "-c hone.track=all"
suite isolation "track = all" "-c hone.track=all" "$build/src/test/isolation/pg_isolation_regress" \
    --inputdir="$source/src/test/isolation" --schedule="$source/src/test/isolation/isolation_schedule"
hone_done
