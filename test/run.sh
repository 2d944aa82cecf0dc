#!/usr/bin/env bash
# Runs every test and closes with one line: N passed, N failed.
#
#   bash test/run.sh                all of it
#   bash test/run.sh shell crash    only scripts whose path contains one of
#                                   these; 'regress' names make installcheck
#
# Nothing has to be installed before, no server is touched but private ones.
set -u
. "$(dirname "$0")/lib/prepare.sh"
cd "$HONE_ROOT" || exit 1
only=("$@")
passed=0 failed=0 skipped=0

wanted() {
    local part
    [ ${#only[@]} -gt 0 ] || return 0
    for part in "${only[@]}"; do
        if [[ $1 == *"$part"* ]]; then return 0; fi
    done
    return 1
}

# Runs a script that prints the lines of lib/tap.sh, and counts them.
run_script() {
    local script=$1 log=$HONE_WORK/log.txt status bad
    wanted "$script" || return 0
    hone_say "$script"
    bash "$script" </dev/null 2>&1 | tee "$log" | sed -u 's/^/   /'
    status=${PIPESTATUS[0]}
    bad=$(grep -c '^not ok - ' "$log")
    skipped=$((skipped + $(grep -c '^ok - .*# skip' "$log")))
    passed=$((passed + $(grep -c '^ok - ' "$log") - $(grep -c '^ok - .*# skip' "$log")))
    failed=$((failed + bad))
    if [ "$bad" = 0 ] && { [ "$status" != 0 ] || ! grep -q '^ok - ' "$log"; }; then
        echo "   not ok - $script ended early (exit status $status)"
        failed=$((failed + 1))
    fi
}

# pg_regress prints "test NAME ... ok" up to PostgreSQL 15 and TAP since 16.
run_installcheck() {
    local log=$HONE_WORK/installcheck.txt good bad status
    wanted regress || return 0
    hone_say "make installcheck"
    hone_server regress || { failed=$((failed + 1)); return; }
    make -C "$HONE_SRC" installcheck 2>&1 | tee "$log" | grep --line-buffered -E '^(test|ok|not ok| +[a-z]|\#.*fail)' | sed -u 's/^/   /'
    status=${PIPESTATUS[0]}
    good=$(grep -cE '^(test +)?[^#]*\.\.\. ok |^ok [0-9]' "$log")
    bad=$(grep -cE '\.\.\. FAILED|^not ok [0-9]' "$log")
    passed=$((passed + good)) failed=$((failed + bad))
    if [ "$status" != 0 ] || [ $((good + bad)) = 0 ]; then
        [ "$bad" != 0 ] || { failed=$((failed + 1)); tail -20 "$log"; }
        find "$HONE_SRC" -name regression.diffs -exec head -300 {} \;
        echo "-- end of the server's log:"
        tail -40 "$HONE_DATA.log"
    fi
    if grep -qE 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log"; then
        echo "   not ok - a server process crashed"
        grep -E -B2 -A5 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log" | head -40
        failed=$((failed + 1))
    fi
    hone_stop "$HONE_DATA"
}

begin=$SECONDS
hone_prepare
for script in test/check/*.sh; do run_script "$script"; done
run_installcheck
for script in test/shell/*.sh test/crash/*.sh test/replica/*.sh; do
    [ ! -e "$script" ] || run_script "$script"
done
hone_say "$((SECONDS - begin)) seconds"
if [ $((passed + failed)) = 0 ]; then
    echo "nothing is called ${only[*]}" >&2
    failed=1
fi
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" = 0 ]
