#!/usr/bin/env bash
# Damaged batches: an error that names them, never a crash, never wrong rows.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server damage || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
make_varied t 30000 || exit 1
wanted=$(rows_of t)
sql "CALL hone.compress('t'); CHECKPOINT" 2>/dev/null || { sql "CALL hone.compress('t')" && sql CHECKPOINT; } || exit 1

toast=$(sql "SELECT reltoastrelid::regclass FROM pg_class WHERE oid = 't'::regclass")
file=$HONE_DATA/$(sql "SELECT pg_relation_filepath('$toast')")
index=$HONE_DATA/$(sql "SELECT pg_relation_filepath(indexrelid) FROM pg_index WHERE indrelid = '$toast'::regclass")
blocks=$(sql "SELECT pg_relation_size('$toast') / 8192")
hone_stop "$HONE_DATA"
cp -p "$file" "$HONE_WORK/toast.whole"
cp -p "$index" "$HONE_WORK/toast_index.whole"

# The index too: a scan marks entries of rows that are gone.
restore() {
    hone_stop "$HONE_DATA"
    cp -p "$HONE_WORK/toast.whole" "$file"
    cp -p "$HONE_WORK/toast_index.whole" "$index"
}

# right_or_refused NAME: all rows, or an error that says what is damaged.
right_or_refused() {
    local out
    if out=$("$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d postgres -c "SELECT md5(string_agg(x::text, ',' ORDER BY id)) FROM t x" 2>&1); then
        # the flipped bytes were not of a row
        is "$1: rows are right" "$(rows_of t)" "$wanted"
    elif printf '%s\n' "$out" | grep -Eq 'ERROR:  XX00[0-2]:'; then
        refusals=$((refusals + 1))
        ok "$1: refused"
    else
        not_ok "$1" "$out"
    fi
}

# Bytes overwritten in the middle of pages, where rows are.
RANDOM=42 refusals=0
for round in 1 2 3 4 5 6 7 8 9 10 11 12; do
    for hit in 1 2 3; do
        offset=$((8192 * (RANDOM % blocks) + 200 + RANDOM % 7900))
        printf "\\x$(printf %02x $((RANDOM % 256)))\\x$(printf %02x $((RANDOM % 256)))" |
            dd of="$file" bs=1 seek="$offset" conv=notrunc 2>/dev/null
    done
    hone_start "$HONE_DATA" || exit 1
    right_or_refused "bytes overwritten, round $round"
    restore
done
if [ "$refusals" -gt 0 ]; then ok "damage was noticed"; else not_ok "damage was noticed"; fi
hone_start "$HONE_DATA" || exit 1
is "rows of the whole file" "$(rows_of t)" "$wanted"

# Rows of the TOAST table that are gone: the meta row, a directory row, chunks.
if [ -e "$("$PG_CONFIG" --sharedir)/extension/pg_surgery.control" ] && sql "CREATE EXTENSION pg_surgery"; then
    for which in "chunk_id = 1" "chunk_id = 2" "chunk_id = 2 AND chunk_seq = 1" "chunk_id >= 16 AND chunk_seq = 3" "chunk_id >= 16"; do
        restore
        hone_start "$HONE_DATA" || exit 1
        rows=$(sql "SELECT array_agg(ctid) FROM $toast WHERE $which")
        sql "SELECT heap_force_kill('$toast', '$rows')" >/dev/null || exit 1
        refuses "rows gone: $which" XX001 "damaged" "SELECT count(*), sum(hashtext(t::text)) FROM t"
    done
else
    skip "rows gone" "pg_surgery is not installed"
fi
hone_done
