#!/usr/bin/env bash
# The clang static analyzer over the sources that changed; it takes seconds a
# file. Skipped where clang is not installed: it is too large to install for
# this.
#
#   HONE_CHANGED_SINCE=REV   changed since then; without it since the merge
#                            base with origin/main, and on main itself in the
#                            last 3 commits; uncommitted changes count
#   HONE_ANALYZE_ALL=1       all of src/, as with CI=true
set -u
. "$(dirname "$0")/../lib/prepare.sh"
cd "$HONE_ROOT" || exit 1
name="clang's static analyzer finds nothing"

leave() { skip "$name" "$1"; hone_done; }
in_git() { git -c safe.directory="$HONE_ROOT" "$@" 2>/dev/null; }

command -v clang >/dev/null || leave "clang is not installed"
PG_CONFIG=$(hone_find_pg_config) || leave "PostgreSQL's headers are not installed"

if [ "${HONE_ANALYZE_ALL:-${CI:+1}}" = 1 ]; then
    files=$(find src -name '*.c')
else
    if [ -n "${HONE_CHANGED_SINCE:-}" ]; then
        if ! base=$(in_git rev-parse --verify --quiet "$HONE_CHANGED_SINCE^{commit}"); then
            not_ok "$name" "HONE_CHANGED_SINCE: there is no revision $HONE_CHANGED_SINCE"
            hone_done
        fi
    else
        base=$(in_git merge-base HEAD origin/main)
        if [ -z "$base" ] || [ "$base" = "$(in_git rev-parse HEAD)" ]; then
            base=$(in_git rev-parse --verify --quiet 'HEAD~3^{commit}') || leave "no history to compare with"
        fi
    fi
    # Of an untracked file everything is new.
    files=$(in_git diff --name-only --diff-filter=d "$base" -- 'src/*.c'
        in_git ls-files --others --exclude-standard -- 'src/*.c')
    [ -n "$files" ] || leave "no source changed"
fi

# Assertions tell the analyzer what cannot be. What the Makefile defines for
# single files may be anything here.
flags="-DHONE_VERSION=\"0\" -DHONE_SCRIPT_SUM=\"0\" -Isrc -I$("$PG_CONFIG" --includedir-server) $("$PG_CONFIG" --cppflags) $(pkg-config --cflags libzstd 2>/dev/null) -DUSE_ASSERT_CHECKING=1"
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
export flags out
printf '%s\n' $files | xargs -P "$(nproc)" -n 1 sh -c '
    log=$out/$(echo "$1" | tr / _)
    clang --analyze -Xclang -analyzer-output=text -w $flags "$1" >"$log" 2>&1 || echo "$1: clang failed" >>"$log"' sh
found=$(cat "$out"/*)
count=$(printf '%s\n' $files | wc -l)
if [ "$(ls "$out" | wc -l)" = "$count" ] && [ -z "$found" ]; then
    ok "$name ($count files)"
else
    not_ok "$name" "$found"
fi
hone_done
