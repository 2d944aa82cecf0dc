#!/usr/bin/env bash
# The whole suite on a PostgreSQL 15 that checks itself: built from source
# with assertions and with the address and undefined-behaviour sanitizers, and
# pg_hone with it.
#
#   bash test/sanitize/run.sh               all of it, 20 minutes on 2 cores
#   bash test/sanitize/run.sh regress       parts of it, as test/run.sh takes them
#   HONE_SANITIZE_VERSION=17 bash test/sanitize/run.sh
#
# A process that a sanitizer stops leaves a report, which is printed and fails
# the run, also where no test noticed. Memory that a process still holds when
# it ends is not looked for: a backend leaves that to the system.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/debian.sh"
hone_install_missing || exit 1
if ! hone_pg_build "${HONE_SANITIZE_VERSION:-15}" sanitize; then
    skip "the suite under sanitizers" "$HONE_WHY_NOT"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
fi

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
chmod 1777 "$reports"
# As PostgreSQL's own continuous integration. Its stack-depth check cannot
# know of stack frames that the sanitizer keeps elsewhere.
export ASAN_OPTIONS="abort_on_error=1:disable_coredump=1:detect_leaks=0:detect_stack_use_after_return=0:print_stacktrace=1:log_path=$reports/address"
export UBSAN_OPTIONS="abort_on_error=1:disable_coredump=1:print_stacktrace=1:log_path=$reports/undefined"

# one script at a time: as slow as it is, some wait for as long as they do
HONE_JOBS=${HONE_JOBS:-1} bash "$HONE_ROOT/test/run.sh" "$@" 2>&1 </dev/null | tee "$reports/.log" | sed -u '/^[0-9]* passed, [0-9]* failed/d'
counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$reports/.log" | tail -1)
read -r passed _ failed _ <<<"${counts:-0 passed, 1 failed}"
skipped=$(sed -nE 's/.*failed, ([0-9]+ skipped)/, \1/p' <<<"$counts")
found=$(find "$reports" -type f ! -name .log)
if [ -z "$found" ]; then
    ok "no report of a sanitizer"
    passed=$((passed + 1))
else
    for file in $(head -5 <<<"$found"); do
        echo "-- ${file##*/}"
        head -60 "$file"
    done
    not_ok "no report of a sanitizer" "$(wc -l <<<"$found") processes were stopped"
    failed=$((failed + 1))
fi
echo "$passed passed, $failed failed$skipped"
[ "$failed" = 0 ]
