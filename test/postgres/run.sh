#!/usr/bin/env bash
# PostgreSQL's own regression and isolation suites, against a server that
# preloads pg_hone with every switch on and every sampling at its most. A
# difference is a bug of ours, unless it stands in differences/.
#
#   bash test/postgres/run.sh              all of it
#   bash test/postgres/run.sh regress      only what contains 'regress'
#
# For the server that PG_CONFIG names; other versions by way of the matrix:
#
#   bash test/matrix/run.sh 17 18 -- test/postgres/run.sh
#
# The tests come with PostgreSQL's source, which is fetched from the Debian
# mirror and kept (test/lib/debian.sh), or lies where HONE_PG_SOURCE says.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/debian.sh"
. "$HONE_ROOT/test/lib/rows.sh"
only=${1:-}
hone_prepare

version=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9.]+).*/\1/')
if ! hone_pg_source "${version%%.*}" "${version#*.}"; then
    skip "PostgreSQL's own suites" "$HONE_WHY_NOT"
    hone_done
fi
pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/../..
work=$HONE_WORK/postgres
mkdir -p "$work/lib"
chmod 755 "$work"

# What the SQL of the suite loads: its own C functions, and two of contrib.
cc_flags="-O1 -fPIC -shared -w $("$PG_CONFIG" --cppflags)"
# shellcheck disable=SC2086
${CC:-gcc} $cc_flags -I"$("$PG_CONFIG" --includedir-server)" "$HONE_PG_SOURCE/src/test/regress/regress.c" \
    -o "$work/lib/regress.so" || exit 1
cp "$("$PG_CONFIG" --pkglibdir)"/{autoinc,refint}.so "$work/lib/" || exit 1

# Everything on and never sampled thinly, for both suites.
everything="-c hone.enabled=on -c hone.detectors=on -c hone.worker=on -c hone.naptime=1s
    -c hone.flush_interval=1ms -c hone.capture_rusage_interval=0
    -c hone.advise_sample_every=1 -c hone.advise_offset_rows=1 -c hone.advise_filter_rows=1
    -c hone.advise_star_bytes=1 -c hone.advise_wide_column=1 -c hone.n_plus_one_threshold=2"
# As the suites' own temporary servers are set up.
own="-c max_prepared_transactions=10 -c compute_query_id=regress"

# The differences of one run that are not known ones: a file in differences/
# holds lines of a diff, each preceded by a word on its reason ('# ...'), and
# is named MAJOR-SUITE-TEST or any-SUITE-TEST.
unknown_differences() {
    local suite=$1 diffs=$2 test known
    awk '/^diff / { name = $NF; sub(/.*\//, "", name); sub(/\.out$/, "", name) } { print name "\t" $0 }' "$diffs" |
        grep -vP '^[^\t]*\t(diff |--- |\+\+\+ |@@ )' | grep -P '^[^\t]*\t[-+]' |
        while IFS=$'\t' read -r test line; do
            for known in "$HONE_ROOT/test/postgres/differences/${version%%.*}-$suite-$test" \
                "$HONE_ROOT/test/postgres/differences/any-$suite-$test"; do
                if [ -e "$known" ] && grep -v '^#' "$known" | grep -qxF -- "$line"; then continue 2; fi
            done
            printf '%s: %s\n' "$test" "$line"
        done
}

# suite NAME SETTINGS PROGRAM ARGS...: one run of a suite, and what it left.
suite() {
    local name=$1 settings=$2 program=$3 kind unknown total
    shift 3
    kind=${program##*/pg_}
    [[ $name == *"$only"* ]] || return 0
    # shellcheck disable=SC2086
    hone_server postgres $own $everything $settings || exit 1
    # in every database, the suite's own too
    HONE_DB=template1 sql "CREATE EXTENSION pg_hone" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    mkdir -p "$HONE_WORK/run/postgres/out"
    [ "$(id -u)" != 0 ] || chown "$(hone_user)" "$HONE_WORK/run/postgres/out"
    hone_as env PATH="$PATH" PGHOST="$PGHOST" PGPORT="$PGPORT" PGUSER=postgres "$program" \
        --bindir="$HONE_BIN" --outputdir="$HONE_WORK/run/postgres/out" --user=postgres "$@" \
        >"$work/log" 2>&1
    total=$(grep -cE '^(test +)?[^#]*\.\.\. (ok|FAILED|failed)|^(not )?ok [0-9]|^ +[a-z0-9_.-]+ +\.\.\. (ok|FAILED)' "$work/log")
    if [ "$total" -lt 50 ]; then
        not_ok "$name" "only $total tests ran: $(tail -20 "$work/log")"
    elif [ ! -e "$HONE_WORK/run/postgres/out/regression.diffs" ]; then
        ok "$name: $total tests, no difference"
    else
        unknown=$(unknown_differences "$kind" "$HONE_WORK/run/postgres/out/regression.diffs")
        is "$name: $total tests, no difference but known ones" "$unknown" ""
        if [ -n "$unknown" ]; then head -400 "$HONE_WORK/run/postgres/out/regression.diffs" | sed 's/^/# /'; fi
    fi
    is "$name: no process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log")" ""
    is "$name: pg_hone had no trouble" "$(sql "SELECT item || ' ' || value FROM hone.status WHERE item = 'internal errors' AND NOT ok"
        grep -E '(WARNING|LOG|ERROR):  pg_hone' "$HONE_DATA.log")" ""
    is "$name: statements were seen" "$(sql "SELECT sum(calls) > 1000 FROM hone.query_stats(false)")" t
    hone_stop "$HONE_DATA"
}

regress() {
    suite "$1" "$2" "$pgxs/src/test/regress/pg_regress" --inputdir="$HONE_PG_SOURCE/src/test/regress" \
        --dlpath="$work/lib" --max-concurrent-tests=20 --schedule="$HONE_PG_SOURCE/src/test/regress/parallel_schedule"
}
regress "regress, clients' statements" ""
regress "regress, track = all" "-c hone.track=all"
suite "isolation, track = all" "-c hone.track=all" "$pgxs/src/test/isolation/pg_isolation_regress" \
    --inputdir="$HONE_PG_SOURCE/src/test/isolation" --schedule="$HONE_PG_SOURCE/src/test/isolation/isolation_schedule"
hone_done
