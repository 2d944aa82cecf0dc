#!/usr/bin/env bash
# PostgreSQL's own regression and isolation suites with pg_hone preloaded.
#
#   bash test/postgres/run.sh                 of PostgreSQL 15
#   bash test/postgres/run.sh 15 17 18        of several versions
#   bash test/postgres/run.sh 17 isolation    only what contains 'isolation'
#
# Each version is built from the source that Debian has of it, with assertions
# on, once (test/lib/debian.sh); a version that cannot be had is skipped with
# a plain word.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/debian.sh"
versions=() only=
for argument in "$@"; do
    if [[ $argument =~ ^[0-9]+$ ]]; then versions+=("$argument"); else only=$argument; fi
done
[ ${#versions[@]} -gt 0 ] || versions=(15)
hone_install_missing || exit 1

for version in "${versions[@]}"; do
    if hone_pg_build "$version" assert; then
        bash "$HONE_ROOT/test/postgres/suites.sh" "$HONE_PG_SOURCE" "$HONE_PG_BUILD" "$only" </dev/null ||
            HONE_FAILED=$((HONE_FAILED + 1))
    else
        skip "PostgreSQL $version: its own suites" "$HONE_WHY_NOT"
    fi
done
hone_done
