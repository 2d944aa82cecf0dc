#!/usr/bin/env bash
# Runs every test and closes with one line: N passed, N failed.
#
#   bash test/run.sh                all of it
#   bash test/run.sh shell crash    only scripts whose path contains one of
#                                   these; 'regress' is make installcheck
#   HONE_JOBS=1 bash test/run.sh    one script after the other, not two at a time
#   HONE_SCRIPT_SECONDS=N           a script that takes longer has failed (420)
#
# Nothing has to be installed before, no server is touched but private ones.
set -u
. "$(dirname "$0")/lib/prepare.sh"
cd "$HONE_ROOT" || exit 1
only=("$@")
jobs=${HONE_JOBS:-$(($(nproc) < 2 ? 1 : 2))}
[[ $jobs =~ ^[1-9][0-9]?$ ]] || { echo "HONE_JOBS is not a number of scripts: $jobs" >&2; exit 1; }
limit=${HONE_SCRIPT_SECONDS:-900}
passed=0 failed=0 skipped=0
# scripts whose output is printed, and lines of the one after them
shown=0 lines=0
workers=()

# The longest ones begin first, so that no core is left with one at the end.
long="test/regress.sh test/shell/isolation_twin.sh test/shell/twin.sh test/crash/kill_compress.sh test/crash/loop.sh"

wanted() {
    local part
    [ ${#only[@]} -gt 0 ] || return 0
    for part in "${only[@]}"; do
        if [[ $1 == *"$part"* ]]; then return 0; fi
    done
    return 1
}

# In the order in which they begin, and in which their output is printed. A
# script with a line "# Runs alone: REASON" runs when all others have ended.
choose() {
    local script
    scripts=() alone=()
    for script in test/check/*.sh $long test/shell/*.sh test/crash/*.sh test/replica/*.sh test/orm/*.sh; do
        wanted "$script" || continue
        [[ " ${scripts[*]} ${alone[*]} " != *" $script "* ]] || continue
        if grep -q '^# Runs alone: ' "$script"; then alone+=("$script"); else scripts+=("$script"); fi
    done
    beside=${#scripts[@]}
    scripts+=("${alone[@]}")
}

# ------------------------------------------------------------------------
# Running: script number N writes $queue/N.log, and $queue/N.status at its end
# ------------------------------------------------------------------------

# run_one N PLACE: with a temporary directory that is its own and then goes
run_one() {
    local begin=$SECONDS status
    mkdir "$2/work"
    chmod 755 "$2/work"
    HONE_WORK=$2/work timeout -k 30 "$limit" bash "${scripts[$1]}" </dev/null >"$queue/$1.log" 2>&1 &
    running=$!
    wait "$running"
    status=$?
    # a signal, which the script gets too, ends only the wait
    while kill -0 "$running" 2>/dev/null; do wait "$running"; status=$?; done
    running=
    if [ "$status" = 124 ]; then echo "not ok - ${scripts[$1]} has not ended after $limit seconds" >>"$queue/$1.log"; fi
    echo "$status $((SECONDS - begin))" >"$queue/$1.status.new"
    rm -rf "$2/work"
    mv "$queue/$1.status.new" "$queue/$1.status"
}

# work NUMBER FIRST END: one of the workers, with a PostgreSQL of its own, since
# a script may change what is installed there. It takes what none has taken.
work() {
    local place=$HONE_WORK/$1 n stopped= running=
    trap 'stopped=yes; [ -z "$running" ] || kill -TERM "$running"' TERM
    if [ ! -e "$place" ]; then
        mkdir "$place"
        chmod 755 "$place"
        cp -a "$HONE_WORK/pg" "$place/pg"
    fi
    HONE_BIN=$place/pg${HONE_BIN#"$HONE_WORK/pg"}
    PG_CONFIG=$HONE_BIN/pg_config
    for ((n = $2; n < $3; n++)); do
        [ -z "$stopped" ] || return
        if mkdir "$queue/$n.taken" 2>/dev/null; then run_one "$n" "$place"; fi
    done
}

# start JOBS FIRST END: each in a process group of its own, to be ended with it
start() {
    local number
    set -m
    for ((number = 1; number <= $1; number++)); do
        work "$number" "$2" "$3" &
        workers+=($!)
    done
    set +m
}

# However this ends, no server outlives it, and nothing unprinted is lost.
finish() {
    local worker
    for worker in "${workers[@]}"; do kill -TERM -- "-$worker" 2>/dev/null; done
    [ ${#workers[@]} = 0 ] || wait "${workers[@]}" 2>/dev/null
    for ((; shown < ${#scripts[@]}; shown++)); do
        if [ -s "$queue/$shown.log" ]; then
            hone_say "${scripts[$shown]}, so far"
            tail -n "+$((lines + 1))" "$queue/$shown.log" | sed 's/^/   /'
        fi
        lines=0
    done
    hone_cleanup
}

# ------------------------------------------------------------------------
# Printing and counting the lines of lib/tap.sh
# ------------------------------------------------------------------------

# follow N: its lines as they come, until it has ended
follow() {
    local line rest='' ended=''
    while [ -z "$ended" ]; do
        sleep 0.1
        # before the last lines are looked for
        [ ! -e "$queue/$1.status" ] || ended=yes
        while IFS= read -r line; do
            printf '   %s\n' "$rest$line"
            rest='' lines=$((lines + 1))
        done
        rest+=$line
    done <"$queue/$1.log"
    [ -z "$rest" ] || printf '   %s\n' "$rest"
}

show() {
    local log=$queue/$1.log status seconds bad skips
    hone_say "${scripts[$1]}"
    follow "$1"
    read -r status seconds <"$queue/$1.status"
    bad=$(grep -c '^not ok - ' "$log")
    skips=$(grep -c '^ok - .*# skip' "$log")
    skipped=$((skipped + skips))
    passed=$((passed + $(grep -c '^ok - ' "$log") - skips))
    failed=$((failed + bad))
    if [ "$bad" = 0 ] && { [ "$status" != 0 ] || ! grep -q '^ok - ' "$log"; }; then
        echo "   not ok - ${scripts[$1]} ended early (exit status $status)"
        failed=$((failed + 1))
    fi
    echo "   # $seconds seconds in all"
}

# run JOBS FIRST END
run() {
    start "$@"
    while [ "$shown" -lt "$3" ]; do
        show "$shown"
        shown=$((shown + 1)) lines=0
    done
    wait "${workers[@]}"
    workers=()
}

begin=$SECONDS
choose
if [ ${#scripts[@]} = 0 ]; then
    echo "nothing is called ${only[*]}" >&2
    echo "0 passed, 1 failed"
    exit 1
fi
hone_prepare
queue=$HONE_WORK/queue
mkdir "$queue" "$HONE_WORK/template"
chmod 755 "$HONE_WORK/template"
trap finish EXIT
hone_bare_initdb "$HONE_WORK/template/data" || exit 1
export HONE_TEMPLATE=$HONE_WORK/template/data
for ((n = 0; n < ${#scripts[@]}; n++)); do : >"$queue/$n.log"; done
run "$jobs" 0 "$beside"
run 1 "$beside" ${#scripts[@]}
hone_say "$((SECONDS - begin)) seconds"
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" = 0 ]
