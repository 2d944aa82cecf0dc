#!/usr/bin/env bash
# The column codec alone under the address and undefined-behaviour sanitizers.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
name="damaged batches under sanitizers"
echo 'int main(void) { return 0; }' >"$HONE_WORK/empty.c"
if ! ${CC:-gcc} -fsanitize=address,undefined "$HONE_WORK/empty.c" -o "$HONE_WORK/empty" 2>/dev/null; then
    skip "$name" "the compiler has no sanitizers here"
elif [ ! -e "$("$PG_CONFIG" --pkglibdir)/libpgport.a" ] && [ ! -e "$("$PG_CONFIG" --libdir)/libpgport.a" ]; then
    skip "$name" "libpgport.a is not installed"
elif out=$(bash "$HONE_SRC/test/fuzz/codec.sh" 1 50000 2>&1); then
    like "$name" "$out" '^[0-9]{5} of 50000 damaged blobs were rejected$'
else
    not_ok "$name" "$(printf '%s\n' "$out" | tail -40)"
fi
hone_done
