#!/bin/sh
# Formats the C sources in PostgreSQL's style with pg_bsd_indent (Debian
# package pg-bsd-indent). Running it twice changes nothing the second time.
#
#   sh test/indent.sh            all of src/
#   sh test/indent.sh --check    changes nothing; exit status 1 where it would
set -eu
cd "$(dirname "$0")/.."
command -v pg_bsd_indent >/dev/null || {
    echo "pg_bsd_indent not found (Debian: pg-bsd-indent)" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Type names: what the sources define, and what they use of PostgreSQL's and
# zstd's, which is every capitalised word in front of a declared name.
{
    cat src/*.c src/*/*.[ch] | perl -0777 -ne '
        print "$1\n" while /\}\s*(\w+)\s*;/g;
        print "$1\n" while /typedef\s+[^;{}()]*?(\w+)\s*;/g;
        print "$1\n" while /typedef\s+[^;{}]*?\(\s*\*\s*(\w+)\s*\)\s*\(/g;
        print "$1\n" while /\b([A-Z]\w*[a-z]\w*)\s+\*+\s*\w+\s*[;,=)\[(]/g;
        print "$1\n" while /\b([A-Z]\w*[a-z]\w*)\s+\w+\s*[;,=)\[]/g;
        print "$1\n" while /\(\s*([A-Z]\w*[a-z]\w*)\s*\**\s*\)/g;'
    printf '%s\n' bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 bits8 float4 float8 \
        bytea varlena regproc slock_t pg_time_t dsa_pointer dsa_area dshash_table \
        dsa_handle dshash_table_handle dshash_seq_status instr_time rb_node slist_head slist_node \
        dlist_head dlist_node dlist_iter dlist_mutable_iter shmem_request_hook_type \
        ZSTD_CCtx ZSTD_DCtx ZSTD_CDict ZSTD_DDict FILE HTAB LOCKTAG PGPROC va_list off_t time_t ssize_t size_t
} | sort -u | grep -vxE 'return|else|case|if|while|switch|goto' >"$work/typedefs"

status=0
for file in src/*.c src/*/*.[ch]; do
    # "text" is a type in some files and a variable in others.
    sed '/^text$/d' "$work/typedefs" >"$work/types"
    grep -qE '(\*|->|\.)text\b|\btext(\[|\+\+| [-+=!]|\))' "$file" || echo text >>"$work/types"
    pg_bsd_indent -bad -bap -bbb -bc -bl -cli1 -cp33 -cdb -nce -d0 -di12 -nfc1 -i4 -l79 -lp -lpl -nip -npro -sac -tpg -ts4 \
        -U"$work/types" "$file" "$work/out" >"$work/messages" 2>&1 || { echo "$file:" >&2; cat "$work/messages" >&2; exit 1; }
    # A pointer that a function returns stands beside its type's name.
    perl -pi -e 's/^([A-Za-z_][\w ]*?)[ \t]+(\*+)$/$1 $2/' "$work/out"
    if cmp -s "$work/out" "$file"; then continue; fi
    if [ "${1:-}" = --check ]; then
        echo "$file"
        status=1
    else
        cat "$work/out" >"$file"
    fi
done
exit $status
