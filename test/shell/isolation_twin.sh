#!/usr/bin/env bash
# A tiered table isolates as its heap twin does: every spec of specs/twin runs
# on a heap, and on tables whose rows are compressed, plain beside batches,
# both, or folded a second time. What the sessions print, and who waits for
# whom, must be the same.
#
#   isolation_twin.sh             all specs
#   isolation_twin.sh pairs rr    only those whose name contains one of these
#   HONE_ISOLATION_WAYS=LIST      beside the heap, only these of the ways to keep
#                                 rows: compressed plain mixed folded
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
specs=$HONE_ROOT/test/specs/twin
tester=$(dirname "$("$PG_CONFIG" --pgxs)")/../test/isolation/isolationtester
if [ ! -x "$tester" ]; then
    skip "isolation twins" "this PostgreSQL has no isolationtester"
    hone_done
fi
hone_server twin "-c hone.worker=off -c autovacuum=off -c max_prepared_transactions=20" || exit 1
work=$HONE_WORK/run/twin/out
mkdir -p "$work"

# ------------------------------------------------------------------------
# Databases, one for each way to keep rows
# ------------------------------------------------------------------------

# A spec calls twin.arrange(TABLE) once its rows are there. twin.again(t, what)
# makes plain rows of those with WHAT, as if they had come after compressing.
sql "CREATE EXTENSION pg_hone;
     CREATE SCHEMA twin;
     CREATE PROCEDURE twin.again(t regclass, what text) LANGUAGE plpgsql AS \$\$
     DECLARE
         key text := (SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = t AND attnum = 1);
     BEGIN
         what := replace(what, 'KEY', key);
         -- no foreign key's action, no trigger
         PERFORM set_config('session_replication_role', 'replica', false);
         EXECUTE format('CREATE TEMP TABLE again AS SELECT * FROM %s WHERE %s', t, what);
         EXECUTE format('DELETE FROM %s WHERE %s', t, what);
         COMMIT;
         EXECUTE format('INSERT INTO %s SELECT * FROM again', t);
         DROP TABLE again;
         PERFORM set_config('session_replication_role', 'origin', false);
     END \$\$;
     -- a permutation's own rows, where a spec makes its tables once: number n is k(n)
     CREATE TABLE twin.base (n int);
     INSERT INTO twin.base VALUES (0);
     CREATE PROCEDURE twin.next() LANGUAGE sql AS 'UPDATE twin.base SET n = n + 10';
     CREATE FUNCTION twin.k(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT n + i FROM twin.base';
     CREATE PROCEDURE twin.expect(t regclass, compressed bool, plain bool) LANGUAGE plpgsql AS \$\$
     DECLARE
         n_compressed int; n_plain int;
     BEGIN
         EXECUTE format('SELECT count(*) FILTER (WHERE b >= 2147483648), count(*) FILTER (WHERE b < 2147483648)
                         FROM (SELECT (ctid::text::point)[0] AS b FROM %s) s', t) INTO n_compressed, n_plain;
         ASSERT (n_compressed > 0) = compressed AND (n_plain > 0) = plain,
             format('%s has %s compressed rows and %s plain ones', t, n_compressed, n_plain);
     END \$\$;" || exit 1
# database NAME BODY
database() {
    sql "CREATE DATABASE $1 TEMPLATE postgres" && sql "ALTER DATABASE $1 SET search_path = spec, twin" &&
        HONE_DB=$1 sql "CREATE PROCEDURE twin.arrange(t regclass) LANGUAGE plpgsql AS \$\$ BEGIN $2 END \$\$" || exit 1
}
database heap ""
database compressed "CALL hone.compress(t); CALL twin.expect(t, true, false);"
database plain "CALL hone.compress(t); CALL twin.again(t, 'true'); CALL twin.expect(t, false, true);"
database mixed "CALL hone.compress(t); CALL twin.again(t, 'KEY % 2 = 1'); CALL twin.expect(t, true, true);"
database folded "CALL hone.compress(t); CALL twin.again(t, 'KEY % 2 = 1'); CALL hone.compress(t); CALL twin.expect(t, true, false);"
variants=${HONE_ISOLATION_WAYS:-compressed plain mixed folded}

# ------------------------------------------------------------------------
# Specs
# ------------------------------------------------------------------------

wanted() {
    local name=$1 part
    shift
    [ $# -gt 0 ] || return 0
    for part in "$@"; do
        if [[ $name == *"$part"* ]]; then return 0; fi
    done
    return 1
}

names=()
for file in "$specs"/*.spec "$specs"/*.gen.sh; do
    name=$(basename "$file")
    if [[ $name == *.spec ]]; then
        wanted "$name" "$@" || continue
        names+=("${name%.spec}")
        cp "$file" "$work/$name"
        continue
    fi
    for choice in $(bash "$file"); do
        wanted "${name%.gen.sh}-$choice" "$@" || continue
        names+=("${name%.gen.sh}-$choice")
        bash "$file" "$choice" >"$work/${name%.gen.sh}-$choice.spec"
        bash "$file" "$choice" tables >"$work/${name%.gen.sh}-$choice.sql"
    done
done

# run_all DATABASE: every spec, one after the other
run_all() {
    local name
    for name in "${names[@]}"; do
        HONE_DB=$1 sql "SET client_min_messages = error; DROP SCHEMA IF EXISTS spec CASCADE; CREATE SCHEMA spec; UPDATE twin.base SET n = 0"
        [ ! -e "$work/$name.sql" ] ||
            PGOPTIONS="-c client_min_messages=warning" "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d "$1" -f "$work/$name.sql"
        # names of prepared transactions are the whole server's
        sed "s/'held'/'held in $1'/g" "$work/$name.spec" |
            PGISOLATIONTIMEOUT=10 timeout 300 "$tester" "dbname=$1" 2>"$work/$name.$1.err" |
            sed "s/'held in $1'/'held'/g" >"$work/$name.$1"
    done >"$work/$1.log" 2>&1
}

begin=$SECONDS
pids=()
for database in heap $variants; do
    run_all "$database" &
    pids+=($!)
done
wait "${pids[@]}"
echo "# $((SECONDS - begin)) seconds"
is "every table is arranged" "$(cat "$work"/*.log)" ""

# ------------------------------------------------------------------------
# Comparison
# ------------------------------------------------------------------------

for name in "${names[@]}"; do
    count=$(grep -c '^starting permutation' "$work/$name.heap")
    trouble=$(cat "$work/$name.heap.err" "$work/$name.heap" |
        grep -E 'isolationtester:|^setup|^teardown|timed out|failed|syntax error|does not exist')
    if [ "$count" = 0 ] || [ -n "$trouble" ]; then
        not_ok "$name on heap" "$count permutations; $trouble"
        continue
    fi
    for database in $variants; do
        if cmp -s "$work/$name.heap" "$work/$name.$database"; then
            ok "$name: $count permutations, $database as heap"
        else
            not_ok "$name: $database as heap" "$(grep -v '^unused step' "$work/$name.$database.err" | head -5
                diff -U8 -F '^starting permutation' "$work/$name.heap" "$work/$name.$database" | tail -n +3 | head -60)"
        fi
    done
done
is "no process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log")" ""
hone_done
