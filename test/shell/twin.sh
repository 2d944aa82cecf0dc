#!/usr/bin/env bash
# Random statements on heap tables and on compressed twins of them: rows, row
# counts, errors and, from time to time, whole tables must be equal. Made from
# a seed by test/twin/twin.pl; the first difference ends it, and is printed
# with the seed and the command that repeats it.
#
#   HONE_TWIN_SEED=N        begin with this seed (41); a run is made of rounds
#                           with tables of their own, each round the next seed
#   HONE_TWIN_STATEMENTS=N  statements in all (2400); 0: no end
#   HONE_TWIN_ROUND=N       statements of a round (1200)
#   HONE_TWIN_SIZE=N        rows of a middling table (700)
#   HONE_TWIN_BIG=BYTES     the largest value, nearly (300000); 100000000 takes
#                           minutes, best with HONE_TWIN_TABLES=big
#   HONE_TWIN_WITHOUT=LIST  leave out kinds of statements (merge, cursor, ...)
#   HONE_TWIN_TABLES=LIST   change and query these tables only (parent, ...)
#   HONE_TWIN_SAVE=FILE     on a difference, all statements so far, for psql
#   HONE_TWIN_VERBOSE=1     every statement
#   HONE_TWIN_HEAP=1        heap against heap whose rows have another order:
#                           tests the test
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
hone_server twin || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
: "${HONE_TWIN_SEED:=41}"
export HONE_TWIN_SEED

if ! command -v perl >/dev/null; then
    skip "heap and tiered agree" "perl is not installed"
    hone_done
fi
perl "$HONE_ROOT/test/twin/twin.pl" || HONE_FAILED=1
is "no server process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log" | head -5)" ""
# a parallel worker says what its leader says to the client
is "no error in the background" "$(hone_background_errors "$HONE_DATA.log" | grep -vE "could not create unique index|dynamic shared memory|parallel worker" | sort | uniq -c | sort -rn | head -5)" ""
hone_done
