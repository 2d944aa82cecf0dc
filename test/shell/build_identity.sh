#!/usr/bin/env bash
# Library and install script carry the same identity, also when a fragment of
# the script changed and only make was run, and in a build in another
# directory.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
tree=$HONE_WORK/identity
rm -rf "$tree"
mkdir -p "$tree/src" "$tree/build"
cp -rp "$HONE_SRC/." "$tree/src"
version=$(sed -nE "s/^default_version = '(.*)'/\1/p" "$tree/src/pg_hone.control")

in_library() { grep -aoE "SELECT '$version-[0-9]+'::text" "$1" | sort -u; }
in_script() { grep -oE "SELECT '$version-[0-9]+'::text" "$1/pg_hone--$version.sql"; }

before=$(in_library "$tree/src/pg_hone.so")
like "the library has an identity" "$before" .
is "the script has the same" "$(in_script "$tree/src")" "$before"

echo '-- changed' >>"$tree/src/sql/install/60_batch.sql"
succeeds "make after a change of the script" make -s -C "$tree/src"
isnt "the library's identity is another one" "$(in_library "$tree/src/pg_hone.so")" "$before"
is "and the script's the same" "$(in_script "$tree/src")" "$(in_library "$tree/src/pg_hone.so")"

make -s -C "$tree/src" clean
succeeds "make in another directory" make -s -C "$tree/build" -f "$tree/src/Makefile" src/common/script.o "pg_hone--$version.sql"
is "with one identity" "$(in_script "$tree/build")" "$(in_library "$tree/build/src/common/script.o")"
is "which leaves the sources alone" "$(find "$tree/src" -name '*.o' -o -name 'pg_hone--*')" ""
rm -rf "$tree"
hone_done
