#!/usr/bin/env bash
# make installcheck: the regression and isolation tests, each in a line of
# lib/tap.sh.
set -u
. "$(dirname "$0")/lib/prepare.sh"
hone_prepare
# it leaves its results there, and others read the built copy
tree=$HONE_WORK/installcheck log=$HONE_WORK/installcheck.txt
cp -a "$HONE_SRC" "$tree" || exit 1
archives=$HONE_WORK/archives
mkdir "$archives" || exit 1
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$archives"
# nothing comes between the steps of a test by itself
hone_server regress -c "hone.archive_directory=$archives" -c autovacuum_naptime=1d -c hone.alert_interval=1h || exit 1

# pg_regress says "test NAME ... ok" up to PostgreSQL 15, and TAP since 16.
make -C "$tree" installcheck 2>&1 | tee "$log" | sed -nuE '
    s/^(test)? +([^ ]+) +\.\.\. ok +(.*)$/ok - \2 (\3)/p
    s/^(test)? +([^ ]+) +\.\.\. (FAILED.*)$/not ok - \2: \3/p
    s/^((not )?ok) [0-9]+ +[-+] ([^ ]+) +(.*)$/\1 - \3 (\4)/p'
status=${PIPESTATUS[0]}
if [ "$status" != 0 ]; then
    grep -q '^test .*FAILED\|^not ok' "$log" || not_ok "make installcheck" "$(tail -20 "$log")"
    find "$tree" -name regression.diffs -exec head -300 {} \; | sed 's/^/#   /'
    echo "# end of the server's log:"
    tail -40 "$HONE_DATA.log" | sed 's/^/#   /'
fi
is "no server process crashed" "$(grep -E -B2 -A5 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log" | head -40)" ""
[ "$status" = 0 ] || HONE_FAILED=1
hone_done
