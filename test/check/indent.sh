#!/usr/bin/env bash
# The C sources are formatted as `make indent` would format them.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
cd "$HONE_ROOT" || exit 1

# Versions of pg_bsd_indent format differently; this is the one that counts.
verified='pg_bsd_indent 2.1.1'

name="the sources are formatted"
if ! reason=$(hone_install_tool pg_bsd_indent pg-bsd-indent); then
    skip "$name" "$reason"
    hone_done
fi
version=$(pg_bsd_indent --version 2>&1)
if [ "${version%% (*}" != "$verified" ]; then
    skip "$name" "this is ${version%% (*} and not $verified"
else
    succeeds "$name" sh test/indent.sh --check
fi
hone_done
