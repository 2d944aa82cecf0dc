#!/usr/bin/env bash
# What the detectors are given that they cannot make anything of: huge texts,
# thousands of parameters, deep nesting, values that do not hash, comments that
# are no tags, statements that fail or are cancelled. Never an error, and never
# more memory than hone.advise_memory.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server input "-c hone.track=all -c max_stack_depth=2MB" || exit 1
sql "CREATE EXTENSION pg_hone;
     CREATE TABLE parent (id int PRIMARY KEY, doc jsonb, body text);
     INSERT INTO parent SELECT g * 1013, jsonb_build_object('a', g), repeat(md5(g::text), 100) FROM generate_series(1, 1500) AS g;
     CREATE TABLE child (id int, doc jsonb, body text, tags text[]);
     INSERT INTO child SELECT id, doc, body, ARRAY[id::text] FROM parent;
     CREATE INDEX ON child (id);
     ANALYZE parent, child;
     CREATE FUNCTION deep(n int) RETURNS int LANGUAGE plpgsql AS \$\$
     BEGIN IF n = 0 THEN RETURN (SELECT count(*) FROM child WHERE id = n); END IF; RETURN deep(n - 1) + (SELECT count(*) FROM child WHERE id = n); END \$\$"

# run NAME: statements on standard input, one session; prints what went wrong,
# and the bytes that the detectors have in the end
run() {
    { cat; echo "SELECT 'bytes ' || COALESCE(sum(total_bytes), 0) FROM pg_backend_memory_contexts
        WHERE name IN ('hone burst samples', 'hone captured rows', 'hone write samples');"; } >"$HONE_WORK/$1.sql"
    "$HONE_BIN/psql" -XAtq -d postgres -v ON_ERROR_STOP=0 -f "$HONE_WORK/$1.sql" >"$HONE_WORK/$1.out" 2>"$HONE_WORK/$1.err"
    is "$1: no error" "$(head -c 300 "$HONE_WORK/$1.err")" "${2:-}"
    bounded "$1" "$(sed -n 's/^bytes //p' "$HONE_WORK/$1.out")"
}
# 256 kB, of which 144 kB are fixed, and what an allocator rounds up
bounded() {
    if [ "${2:-999999999}" -le $((192 * 1024)) ]; then ok "$1: memory is bounded"; else not_ok "$1: memory is bounded" "$2 bytes"; fi
}
repeat() { local i; for i in $(seq "$1"); do printf '%s\n' "${2//%/$i}"; done; }
times() { printf "%$1s" "" | sed "s/ /$2/g"; }

{ echo "SELECT count(*) FROM child /* $(times 10000000 x) */ WHERE id = 1;"
  echo "SELECT count(*) FROM child WHERE body = '$(times 10000000 y)';"; } | run "texts of 10 MB"

{ echo "BEGIN; SELECT id FROM parent ORDER BY id LIMIT 20;"
  repeat 20 "SELECT count(*) FROM child WHERE id IN ($(seq -s, 10000)) AND id <> %;"
  echo "COMMIT;"; } | run "10,000 constants"

params=$(seq -s, 10000 | sed -E 's/[0-9]+/$&/g') types=$(times 10000 "int,") values=$(seq -s, 10000)
{ echo "PREPARE many(${types%,}) AS SELECT count(*) FROM child WHERE id IN ($params);"
  echo "BEGIN; SELECT id FROM parent ORDER BY id LIMIT 20;"
  repeat 20 "EXECUTE many(${values%10000}%);"
  echo "COMMIT;"; } | run "10,000 parameters"

{ repeat 6 "SELECT deep(100 + %);"; } | run "functions in functions"

{ echo "PREPARE odd(jsonb, text, text[], bytea, int4range, point) AS SELECT 1 FROM child WHERE doc = \$1 AND body = \$2 AND tags = \$3
        AND \$4 IS NOT NULL AND \$5 IS NOT NULL AND \$6 IS NOT NULL;"
  echo "BEGIN; SELECT doc, body FROM parent ORDER BY id LIMIT 20;"
  repeat 20 "EXECUTE odd('{\"a\": %}', repeat('x', 100000 + %), ARRAY['%'], repeat('z', 5000 + %)::bytea, '[1,%)'::int4range + '[1,9)', point(1,%));"
  repeat 20 "EXECUTE odd(NULL, NULL, NULL, NULL, NULL, NULL);"
  echo "COMMIT;"; } | run "values that do not hash"

{ echo "SELECT 1 FROM child WHERE id = 1 /*a='b*/;"
  echo "SELECT 1 FROM child WHERE id = 1 /*='',=*/ /*a='b'c='d'*/ /**/ /*a=''*/ -- /*x='y'"
  echo ";"
  echo "SELECT 1 FROM child WHERE id = 1 /*$(times 5000 "a")='b'*/;"
  printf "SELECT 1 FROM child WHERE id = 1 /*a='\\001\\002%%00',b='%s'*/;\n" "$(times 3000 q)"; } | run "comments that are no tags"

# suspects first, so that their rows pass the receiver when they fail
list="SELECT id, 1 / (id - 1013 * 700) AS fails FROM parent ORDER BY id"
{ for _ in 1 2 3; do
    echo "BEGIN; SELECT id FROM parent ORDER BY id LIMIT 30;"
    repeat 30 "SELECT body FROM child WHERE id = 1013 * 0 + %013;"
    echo "COMMIT;"
  done
  repeat 5 "$list;"
  echo "BEGIN; SAVEPOINT s; SELECT id FROM parent ORDER BY id LIMIT 30; $list; ROLLBACK TO s;"
  repeat 30 "SELECT body FROM child WHERE id = %013;"
  echo "COMMIT; SET statement_timeout = '20ms'; SELECT id, pg_sleep(0.001) FROM parent ORDER BY id; RESET statement_timeout;"
  echo "SELECT id FROM parent ORDER BY id LIMIT 30;"
} >"$HONE_WORK/failing.sql"
"$HONE_BIN/psql" -XAtq -d postgres -f "$HONE_WORK/failing.sql" >/dev/null 2>"$HONE_WORK/failing.err"
is "statements that fail: they fail as they would" "$(grep -vcE 'division by zero|statement timeout' "$HONE_WORK/failing.err")" 0

# rows of more than are kept, twice, so that they are a suspect's
{ for _ in 1 2 3; do
    echo "BEGIN; SELECT id, doc, body, id, id, id, id, id, id, id FROM parent ORDER BY id;"
    repeat 300 "SELECT body FROM child WHERE id = %;"
    echo "COMMIT;"
  done; } | run "a long list"

# nothing left for it
{ echo "SET hone.advise_memory = 160;"
  for _ in 1 2 3; do
    echo "BEGIN; SELECT id, id, id, id, id, id, id, id FROM parent ORDER BY id;"
    repeat 100 "SELECT body /* $(times 900 w) */ FROM child WHERE id = %;"
    repeat 60 "SELECT body AS c% /* $(times 900 w) */ FROM child WHERE id = 5;"
    echo "COMMIT;"
  done; } | run "little memory"

is "recommendations can be read" "$(sql "SELECT count(*) >= 0 FROM hone.recommendations")" t
is "no fault inside" "$(sql "SELECT value FROM hone.status WHERE item = 'internal errors'")" 0
is "no crash" "$(grep -cE 'PANIC|terminated by signal' "$HONE_DATA.log")" 0
hone_done
