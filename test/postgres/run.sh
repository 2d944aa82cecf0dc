#!/usr/bin/env bash
# PostgreSQL's own regression and isolation suites with pg_hone preloaded.
#
#   bash test/postgres/run.sh                 of PostgreSQL 15
#   bash test/postgres/run.sh 15 17 18        of several versions
#   bash test/postgres/run.sh 17 isolation    only what contains 'isolation'
#
# Each version is built from the source that Debian has of it, with assertions
# on, once (test/lib/debian.sh). Where the mirror lacks a version's source, the
# suites of another version run on Debian's packages of it, without and with
# pg_hone (suites.sh). A version that cannot be had is skipped with a plain
# word.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/debian.sh"
versions=() only=
for argument in "$@"; do
    if [[ $argument =~ ^[0-9]+$ ]]; then versions+=("$argument"); else only=$argument; fi
done
[ ${#versions[@]} -gt 0 ] || versions=(15)
hone_install_missing || exit 1

# suites COMMAND...: an end without a count of its own is a failure too.
suites() { "$@" </dev/null || HONE_FAILED=$((HONE_FAILED + 1)); }

borrow() {
    local version=$1 lender config why=$HONE_WHY_NOT
    for lender in $((version - 1)) $((version - 2)) $((version + 1)); do
        hone_pg_source "$lender" || continue
        hone_say "PostgreSQL $version: $why; borrowing the suites of $lender"
        if config=$(hone_pg_config_of "$version"); then
            suites env PG_CONFIG="$config" bash "$HONE_ROOT/test/postgres/suites.sh" "$HONE_PG_SOURCE" - "$only"
        elif hone_folder "$version"; then
            suites hone_in_folder bash "$HONE_INSIDE/main/test/postgres/suites.sh" \
                "$HONE_INSIDE/cache${HONE_PG_SOURCE#"$HONE_CACHE"}" - "$only"
        else
            break
        fi
        return
    done
    skip "PostgreSQL $version: its own suites" "$why"
}

for version in "${versions[@]}"; do
    if hone_pg_build "$version" assert; then
        suites bash "$HONE_ROOT/test/postgres/suites.sh" "$HONE_PG_SOURCE" "$HONE_PG_BUILD" "$only"
    else
        borrow "$version"
    fi
done
hone_done
