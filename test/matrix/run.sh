#!/usr/bin/env bash
# The whole suite on several versions of PostgreSQL.
#
#   bash test/matrix/run.sh                   15, 17 and 18
#   bash test/matrix/run.sh 17 18             these
#   bash test/matrix/run.sh 18 -- test/run.sh regress crash
#                                             another command, from the checkout
#
# A version that this machine has (its pg_config is the one PG_CONFIG names,
# or lies in /usr/lib/postgresql/VERSION/bin) runs here; any other in a Debian
# that has it, made in a folder once (test/lib/debian.sh). One that cannot be
# had is skipped with a plain word. Closes with one line: N passed, N failed.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/debian.sh"

versions=() command=(test/run.sh)
while [ $# -gt 0 ]; do
    if [ "$1" = -- ]; then shift; command=("$@"); break; fi
    versions+=("$1")
    shift
done
[ ${#versions[@]} -gt 0 ] || versions=(15 17 18)
[ ${#command[@]} -gt 0 ] || { echo "no command after --" >&2; exit 1; }

passed=0 failed=0 skipped=0 summary=
log=$(mktemp)
trap 'rm -f "$log"' EXIT

for version in "${versions[@]}"; do
    hone_say "PostgreSQL $version"
    begin=$SECONDS
    if config=$(hone_pg_config_of "$version"); then
        where="of this machine"
        (cd "$HONE_ROOT" && PG_CONFIG=$config bash "${command[@]}") 2>&1 </dev/null | tee "$log"
        status=${PIPESTATUS[0]}
    elif hone_folder "$version"; then
        where="Debian $(sed -n 's/^VERSION_CODENAME=//p' "$HONE_FOLDER/etc/os-release")"
        hone_in_folder bash -c 'cd "$0/main" && exec bash "$@"' "$HONE_INSIDE" "${command[@]}" 2>&1 </dev/null | tee "$log"
        status=${PIPESTATUS[0]}
    else
        echo "PostgreSQL $version is not tested: $HONE_WHY_NOT"
        summary+="PostgreSQL $version: skipped, $HONE_WHY_NOT"$'\n'
        skipped=$((skipped + 1))
        continue
    fi
    counts=$(grep -E '^[0-9]+ passed, [0-9]+ failed' "$log" | tail -1)
    # a script of its own prints the lines of lib/tap.sh only
    [ -n "$counts" ] || counts=$(hone_tap_counts "$log")
    read -r good _ bad _ <<<"$counts"
    if [ "$status" != 0 ] && [ "$bad" = 0 ]; then bad=1; fi
    if [[ $counts =~ ([0-9]+)\ skipped ]]; then skipped=$((skipped + BASH_REMATCH[1])); fi
    passed=$((passed + good)) failed=$((failed + bad))
    summary+="PostgreSQL $version ($where): $counts, $((SECONDS - begin)) seconds"$'\n'
done

hone_say "matrix"
printf '%s' "$summary"
if [ "$skipped" -gt 0 ]; then
    echo "$passed passed, $failed failed, $skipped skipped"
else
    echo "$passed passed, $failed failed"
fi
[ "$failed" = 0 ]
