#!/usr/bin/env bash
# The scripts parse; where shellcheck is installed, it finds no error in them.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
cd "$HONE_ROOT" || exit 1

scripts=$(find test -name '*.sh' | sort)
is "every script parses" "$(for script in $scripts; do bash -n "$script" 2>&1; done)" ""
is "every perl script parses" "$(for script in $(find test -name '*.pl'); do perl -c "$script" 2>&1; done | grep -v 'syntax OK$')" ""
if command -v shellcheck >/dev/null; then
    succeeds "shellcheck finds no error" shellcheck --shell=bash --severity=error $scripts
else
    skip "shellcheck finds no error" "shellcheck is not installed"
fi
hone_done
