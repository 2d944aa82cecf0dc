# Sourced by every test script. A script prints one line for each thing it
# checked, and run.sh counts them:
#
#   ok - NAME
#   ok - NAME # skip REASON
#   not ok - NAME
#
# Lines that begin with '#' explain. A script ends with `hone_done`, which
# makes its exit status; one that ends without it has failed.

HONE_FAILED=0

ok() { echo "ok - $1"; }

skip() { echo "ok - $1 # skip $2"; }

# not_ok NAME [EXPLANATION]
not_ok() {
    HONE_FAILED=$((HONE_FAILED + 1))
    echo "not ok - $1"
    [ -z "${2:-}" ] || printf '%s\n' "$2" | sed 's/^/#   /'
}

# is NAME GOT WANTED
is() {
    if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1" "got:    $2
wanted: $3"; fi
}

# isnt NAME GOT UNWANTED
isnt() {
    if [ "$2" != "$3" ]; then ok "$1"; else not_ok "$1" "got: $2"; fi
}

# like NAME TEXT REGEX
like() {
    if printf '%s\n' "$2" | grep -Eq -- "$3"; then ok "$1"; else not_ok "$1" "text: $2
lacks: $3"; fi
}

# succeeds NAME CMD...
succeeds() {
    local name=$1 out
    shift
    if out=$("$@" 2>&1); then ok "$name"; else not_ok "$name" "$out"; fi
}

# One value or a few rows, unaligned; errors stop it and go to stderr.
sql() { "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -d "${HONE_DB:-postgres}" -c "$1"; }

# refuses NAME SQLSTATE REGEX SQL: the statement fails with this SQLSTATE and
# its message or hint matches.
refuses() {
    local name=$1 state=$2 pattern=$3 out
    if out=$("$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose \
        -d "${HONE_DB:-postgres}" -c "$4" 2>&1); then
        not_ok "$name" "succeeded: $4"
    elif ! printf '%s\n' "$out" | grep -Eq "ERROR:  $state:"; then
        not_ok "$name" "SQLSTATE is not $state: $out"
    else
        like "$name" "$out" "$pattern"
    fi
}

# hone_tap_counts LOG: N passed, N failed[, N skipped]
hone_tap_counts() {
    local skipped
    skipped=$(grep -c '^ *ok - .*# skip' "$1")
    printf '%s passed, %s failed' $(($(grep -c '^ *ok - ' "$1") - skipped)) "$(grep -c '^ *not ok - ' "$1")"
    if [ "$skipped" -gt 0 ]; then printf ', %s skipped' "$skipped"; fi
    echo
}

hone_done() { [ "$HONE_FAILED" = 0 ]; exit $?; }
