#!/usr/bin/env bash
# The library exports what PostgreSQL looks up and names that begin with
# hone_, and nothing else.
set -u
. "$(dirname "$0")/../lib/tap.sh"

library=${HONE_SRC:-$(dirname "$0")/../..}/pg_hone.so
foreign=$(nm -D --defined-only "$library" | awk '{ print $NF }' |
    grep -vE '^(hone_.*|pg_finfo_hone_.*|Pg_magic_func|_PG_.*|_init|_fini|__bss_start|_edata|_end)$')
is "exported symbols" "$foreign" ""
hone_done
