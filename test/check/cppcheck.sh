#!/usr/bin/env bash
# cppcheck over all of src/, once for the oldest and once for the newest
# PostgreSQL: without a version the #error of compat.h would end every file
# unseen. It reads cppcheck.h instead of PostgreSQL's headers; findings that
# are false stand in cppcheck.suppress.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
cd "$HONE_ROOT" || exit 1

# Versions of cppcheck that were seen to have no false finding.
verified=' 2.10 2.22.0 '

if ! reason=$(hone_install_tool cppcheck cppcheck); then
    if [ "${CI:-}" = true ]; then not_ok "cppcheck" "$reason"; else skip "cppcheck" "$reason"; fi
    hone_done
fi
version=$(cppcheck --version | awk '{ print $2 }')
for target in 150000 180000; do
    name="cppcheck for PostgreSQL ${target%0000}"
    found=$(cppcheck -j"$(nproc)" --quiet --std=c99 --enable=warning,performance,portability,information \
        --template='{file}:{line}: {severity}: {message} [{id}]' \
        --suppressions-list=test/check/cppcheck.suppress --include=test/check/cppcheck.h \
        -DPG_VERSION_NUM=$target -Isrc src 2>&1)
    status=$?
    # what newer versions say about themselves
    found=$(grep -vE '\[(normalCheckLevelMaxBranches|checkersReport)\]$' <<<"$found")
    if [ $status = 0 ] && [ -z "$found" ]; then
        ok "$name"
    elif [[ $verified == *" $version "* ]]; then
        not_ok "$name" "$found"
    else
        printf '%s\n' "$found" | sed 's/^/#   /'
        skip "$name" "findings of cppcheck $version, which may be false"
    fi
done
hone_done
