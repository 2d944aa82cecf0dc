#!/usr/bin/env bash
# The library exports what PostgreSQL looks up and names that begin with
# hone_, and nothing else. No object has another global name either: from
# PostgreSQL 16 on the library hides it, but it is still a name of all files.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare

# names OPTIONS FILES: global names that are defined there.
names() { nm -P --defined-only "$@" | awk 'NF > 1 { print $1 }'; [ "${PIPESTATUS[0]}" = 0 ] || echo "nm failed"; }
foreign() { grep -vE '^(hone_.*|pg_finfo_hone_.*|Pg_magic_func|_PG_init|_init|_fini|__bss_start|_edata|_end)$' <<<"$1"; }

exported=$(names -D "$HONE_SRC/pg_hone.so")
is "exported symbols" "$(foreign "$exported")" ""
wanted=$(printf '%s\n' Pg_magic_func _PG_init hone_tiered_handler pg_finfo_hone_tiered_handler)
is "the library exports what PostgreSQL looks up" "$(grep -xF "$wanted" <<<"$exported" | LC_ALL=C sort)" "$wanted"
is "global names of the objects" "$(foreign "$(names -g $(find "$HONE_SRC/src" -name '*.o'))")" ""
hone_done
