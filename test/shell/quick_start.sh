#!/usr/bin/env bash
# The quick start of README.md, word for word, on an empty cluster.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
hone_server quick_start || exit 1

script=$HONE_WORK/run/quick_start/script.sql
sed -n '/^## Quick start/,/^## Reference/p' "$HONE_SRC/README.md" | sed -n '/^```sql$/,/^```$/p' | sed '/^```/d' >"$script"
lines=$(grep -c . "$script")
is "it has at most ten lines" "$([ "$lines" -gt 0 ] && [ "$lines" -le 10 ] && echo yes)" yes
if out=$("$HONE_BIN/psql" -X -v ON_ERROR_STOP=1 -d postgres -f "$script" 2>&1); then
    ok "every line works"
else
    not_ok "every line works" "$out"
fi
like "the old partition is warm and smaller" "$out" 'readings_2024 +\| warm +\| +500001 +\| +[0-9]+ +\| +[0-9]+ +\| +[1-9]'
like "the queries have percentiles" "$out" 'SELECT avg\(value\) FROM readings WHERE sensor = .* +\| +1 +\| +[0-9.]+ +\| +[0-9.]+ +\| +[0-9.]+'
is "the rows are all there" "$(sql "SELECT count(*), round(sum(value)) FROM readings")" "500001|24975000"
hone_done
