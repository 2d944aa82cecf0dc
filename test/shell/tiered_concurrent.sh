#!/usr/bin/env bash
# Sessions at READ COMMITTED, REPEATABLE READ and SERIALIZABLE change compressed
# tables while another one compresses them again and again. What holds for every
# committed state, and is checked by readers all along and at the end:
#
#   accounts   the sum of balances; each balance is what its entries say
#   pairs      rows come and go two at a time
#   counters   an upsert counts up a unique key, as does the heap table ledger
#   children   every one has its parent
#   jobs       each is taken once (SKIP LOCKED)
#   flags      of two, one is on (write skew, under SERIALIZABLE)
#
# At READ COMMITTED no statement may fail: rows are locked in the order of their
# keys. The other levels retry after 40001 and 40P01.
#
#   HONE_CONCURRENT_SECONDS=N   how long (25)
#   HONE_CONCURRENT_HEAP=1      do not compress: tests the test
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
hone_server concurrent || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
seconds=${HONE_CONCURRENT_SECONDS:-25}
tables="accounts entries pairs counters parents children jobs flags"
dir=$HONE_WORK/run/concurrent/scripts
mkdir -p "$dir"

sql "
CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL, note text);
INSERT INTO accounts SELECT i, 100, 'account ' || i FROM generate_series(1, 5000) i;
CREATE TABLE entries (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL REFERENCES accounts,
    other int NOT NULL REFERENCES accounts, amount bigint NOT NULL);
INSERT INTO entries (account, other, amount) SELECT i, i + 1, 0 FROM generate_series(1, 3000) i;
CREATE TABLE pairs (k int, side int, v text, PRIMARY KEY (k, side));
INSERT INTO pairs SELECT i, s, 'pair' FROM generate_series(1, 30000, 3) i, generate_series(0, 1) s WHERE i % 1000 < 300;
CREATE TABLE counters (k int UNIQUE, n bigint NOT NULL);
INSERT INTO counters SELECT i, 1 FROM generate_series(1, 400, 2) i;
CREATE TABLE ledger (k int, n bigint);
INSERT INTO ledger SELECT * FROM counters;
CREATE TABLE parents (id int PRIMARY KEY, v text);
INSERT INTO parents SELECT i, 'parent ' || i FROM generate_series(1, 300) i;
CREATE TABLE children (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, parent int NOT NULL REFERENCES parents);
INSERT INTO children (parent) SELECT 1 + i % 300 FROM generate_series(1, 2000) i WHERE i % 300 > 100;
CREATE INDEX ON children (parent);
CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, state text NOT NULL DEFAULT 'new', taken int NOT NULL DEFAULT 0);
INSERT INTO jobs (state) SELECT 'new' FROM generate_series(1, 2000);
CREATE TABLE takings (job bigint, pid int);
CREATE TABLE flags (pair int, which int, is_on bool NOT NULL, PRIMARY KEY (pair, which));
INSERT INTO flags SELECT p, w, true FROM generate_series(1, 20) p, generate_series(0, 1) w;

CREATE FUNCTION must(holds bool, what text) RETURNS text LANGUAGE plpgsql AS \$\$
BEGIN
    IF holds IS NOT TRUE THEN RAISE EXCEPTION 'broken: %', what; END IF;
    RETURN NULL;
END \$\$;
CREATE FUNCTION add_child(p int) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    INSERT INTO children (parent) VALUES (p);
EXCEPTION WHEN foreign_key_violation THEN NULL;
END \$\$;
-- one at a time for each parent; a child that comes in between saves it
CREATE FUNCTION drop_parent(p int) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM FROM parents WHERE id = p FOR UPDATE;
    DELETE FROM children WHERE parent = p AND id % 2 = p % 2;
    DELETE FROM parents WHERE id = p;
EXCEPTION WHEN foreign_key_violation THEN NULL;
END \$\$;
CREATE FUNCTION flip(p int, w int) RETURNS void LANGUAGE plpgsql AS \$\$
DECLARE n int;
BEGIN
    SELECT count(*) INTO n FROM flags WHERE pair = p AND is_on;
    PERFORM pg_sleep(0.002);
    UPDATE flags SET is_on = (n < 2) WHERE pair = p AND which = w;
END \$\$;" || exit 1
[ -n "${HONE_CONCURRENT_HEAP:-}" ] || for table in $tables; do sql "CALL hone.compress('$table')" 2>/dev/null || exit 1; done

cat >"$dir/transfer" <<'SQL'
\set a random(1, 59)
\set b random(:a + 1, 60)
\set n random(1, 50)
BEGIN;
UPDATE accounts SET balance = balance - :n WHERE id = :a;
UPDATE accounts SET balance = balance + :n WHERE id = :b;
INSERT INTO entries (account, other, amount) VALUES (:a, :b, :n);
COMMIT;
\sleep 1 ms
SQL
cat >"$dir/locked_transfer" <<'SQL'
\set a random(1, 59)
\set b random(:a + 1, 60)
BEGIN;
SELECT must(count(*) = 2, 'two accounts are locked') FROM (SELECT FROM accounts WHERE id IN (:a, :b) ORDER BY id FOR UPDATE) x;
UPDATE accounts SET balance = balance + CASE id WHEN :a THEN -1 ELSE 1 END WHERE id IN (:a, :b);
INSERT INTO entries (account, other, amount) VALUES (:a, :b, 1);
COMMIT;
\sleep 1 ms
SQL
cat >"$dir/shared" <<'SQL'
\set a random(1, 4998)
\set b random(:a + 1, 4999)
BEGIN;
SELECT note FROM accounts WHERE id = :a FOR SHARE;
\sleep 1 ms
UPDATE accounts SET note = 'seen ' || :a WHERE id = :b;
COMMIT;
\sleep 1 ms
SQL
cat >"$dir/pair" <<'SQL'
\set k :base + :client_id * 1000 + random(1, 300)
WITH d AS (DELETE FROM pairs WHERE k = :k RETURNING 1) INSERT INTO pairs SELECT :k, s, 'again' FROM generate_series(0, 1) s WHERE NOT EXISTS (SELECT FROM d);
\sleep 1 ms
SQL
cat >"$dir/upsert" <<'SQL'
\set k random(1, 80)
BEGIN;
INSERT INTO counters VALUES (:k, 1) ON CONFLICT (k) DO UPDATE SET n = counters.n + 1;
INSERT INTO ledger VALUES (:k, 1);
COMMIT;
\sleep 1 ms
SQL
cat >"$dir/uncount" <<'SQL'
\set k random(1, 80)
WITH d AS (DELETE FROM counters WHERE k = :k RETURNING k, n) INSERT INTO ledger SELECT k, -n FROM d;
\sleep 1 ms
SQL
cat >"$dir/family" <<'SQL'
\set p random(1, 300)
\set q random(1, 300)
\set r random(1, 300)
SELECT add_child(:p);
SELECT drop_parent(:q);
INSERT INTO parents VALUES (:r, 'again') ON CONFLICT DO NOTHING;
\sleep 1 ms
SQL
cat >"$dir/job" <<'SQL'
WITH j AS (SELECT id FROM jobs WHERE state = 'new' LIMIT 1 FOR UPDATE SKIP LOCKED),
    u AS (UPDATE jobs SET state = 'done', taken = taken + 1 FROM j WHERE jobs.id = j.id RETURNING jobs.id)
INSERT INTO takings SELECT id, pg_backend_pid() FROM u;
\sleep 1 ms
SQL
cat >"$dir/new_jobs" <<'SQL'
INSERT INTO jobs (state) SELECT 'new' FROM generate_series(1, 3);
\sleep 1 ms
SQL
cat >"$dir/flip" <<'SQL'
\set p random(1, 20)
\set w random(0, 1)
SELECT flip(:p, :w);
SQL
# Each statement alone; at the two higher levels all see the same snapshot.
cat >"$dir/read" <<'SQL'
BEGIN;
SELECT must(sum(balance) = 500000 AND count(*) = 5000 AND count(DISTINCT id) = 5000, 'sum of balances') FROM accounts;
SELECT must(count(*) = 0, 'pairs') FROM (SELECT k FROM pairs GROUP BY k HAVING count(*) <> 2 OR sum(side) <> 1) x;
SELECT must(NOT EXISTS (SELECT FROM counters c FULL JOIN (SELECT k, sum(n) AS n FROM ledger GROUP BY k) l USING (k) WHERE coalesce(c.n, 0) <> coalesce(l.n, 0)), 'counters');
SELECT must(count(*) = count(DISTINCT k), 'unique counters') FROM counters;
SELECT must(NOT EXISTS (SELECT FROM children c WHERE NOT EXISTS (SELECT FROM parents p WHERE p.id = c.parent)), 'a child without parent');
SELECT must(max(taken) <= 1 AND count(*) FILTER (WHERE taken = 1) = (SELECT count(*) FROM takings), 'jobs') FROM jobs;
SELECT must(count(*) = 20, 'one of two flags is on') FROM (SELECT pair FROM flags GROUP BY pair HAVING bool_or(is_on)) x;
SELECT must(NOT EXISTS (SELECT FROM accounts a LEFT JOIN (SELECT id, sum(n) AS n FROM (SELECT account AS id, -amount AS n FROM entries UNION ALL SELECT other, amount FROM entries) e GROUP BY id) x USING (id)
    WHERE a.balance <> 100 + coalesce(x.n, 0)), 'balances and entries');
COMMIT;
\sleep 20 ms
SQL
cat >"$dir/points" <<'SQL'
\set a random(1, 5000)
\set k random(1, 80)
SELECT must(count(*) = 1, 'one account') FROM accounts WHERE id = :a;
SELECT must(count(*) < 2, 'one counter at most') FROM counters WHERE k = :k;
SQL

# drive LEVEL BASE TRIES MORE...: three clients for the time of the test
drive() {
    local level=$1 base=$2 tries=$3 script
    shift 3
    local scripts=()
    for script in transfer@5 locked_transfer@3 shared@2 pair@4 upsert@5 uncount@1 family@4 job@5 new_jobs@1 read@1 points@3 "$@"; do scripts+=(-f "$dir/$script"); done
    PGOPTIONS="-c default_transaction_isolation=${level// /\\ }" "$HONE_BIN/pgbench" -n -c 3 -j 1 -T "$seconds" -D base="$base" \
        --max-tries="$tries" --verbose-errors --random-seed="$base" "${scripts[@]}" postgres >"$dir/$base.log" 2>&1
    echo "exit status $?" >>"$dir/$base.log"
}

drive "read committed" 1000 1 &
drivers=($!)
drive "repeatable read" 11000 0 &
drivers+=($!)
drive "serializable" 21000 0 flip@6 &
drivers+=($!)

# The folds themselves may find no gap between the writers: that is an error of
# its own, and no other is allowed.
compressing=0 refused=0 strange=
end=$((SECONDS + seconds - 1))
while [ -z "${HONE_CONCURRENT_HEAP:-}" ] && [ "$SECONDS" -lt "$end" ]; do
    for table in $tables; do
        if said=$("$HONE_BIN/psql" -XAtq -v VERBOSITY=verbose -d postgres -c "SET hone.lock_timeout = '20ms'" -c "CALL hone.compress('$table')" 2>&1) && ! grep -q ERROR <<<"$said"; then
            compressing=$((compressing + 1))
        elif grep -q '55P03' <<<"$said"; then
            refused=$((refused + 1))
        else
            strange=$said
        fi
        [ "$SECONDS" -lt "$end" ] || break
    done
    sleep 0.1
done
for driver in "${drivers[@]}"; do wait "$driver"; done
[ -n "${HONE_CONCURRENT_HEAP:-}" ] || echo "# compressed $compressing times, found no gap $refused times"

# what LOG: errors of a driver, short
errors_of() { grep -vE "^(pgbench: setting random seed|total number|transaction type|scaling|query mode|number of|maximum|duration|latency|initial|tps|SQL script|pgbench \\(|exit status 0| - )" "$1" | cut -c1-400 | head -"${2:-12}"; }
is "READ COMMITTED: no error" "$(errors_of "$dir/1000.log")$(grep -E 'number of failed transactions: [1-9]' "$dir/1000.log")" ""
for base in 11000 21000; do
    is "$([ $base = 11000 ] && echo REPEATABLE READ || echo SERIALIZABLE): nothing but what is tried again" \
        "$(errors_of "$dir/$base.log" 1000 | grep -vE 'could not serialize|deadlock detected|tuple to be locked was already moved|^(DETAIL|HINT|CONTEXT|SQL statement|PL/pgSQL|pgbench: client .* (repeats|ends))|Process [0-9]+ waits' | head -12)" ""
done
for base in 1000 11000 21000; do
    echo "# $(grep -E 'number of transactions actually' "$dir/$base.log"), $(grep -E '^number of transactions retried' "$dir/$base.log")"
done
if [ -z "${HONE_CONCURRENT_HEAP:-}" ]; then
    is "compressing met no other error" "$strange" ""
    isnt "something was compressed meanwhile" "$compressing" 0
fi

# The final state, in every way that it can be read.
final() {
    like "$1: invariants" "$("$HONE_BIN/psql" -Xq -d postgres -f <(grep -v '^\\' "$dir/read") 2>&1; echo done)" '^done'
    is "$1: no broken invariant" "$("$HONE_BIN/psql" -Xq -d postgres -f <(grep -v '^\\' "$dir/read") 2>&1 | grep ERROR)" ""
    local pair table key
    for pair in accounts:id entries:id pairs:k,side counters:k parents:id children:id jobs:id flags:pair,which; do
        table=${pair%%:*} key=${pair#*:}
        is "$1: $table, sorted, through its index and by its rows" \
            "$(sql "SET enable_seqscan = off; SELECT count(*), sum(hashtextextended(t::text, 0)) FROM (SELECT * FROM $table ORDER BY $key) t;
                    SELECT count(*) FROM (SELECT DISTINCT $key FROM $table) t")" \
            "$(sql "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;
                    SELECT count(*), sum(hashtextextended(t::text, 0)) FROM $table t; SELECT count(*) FROM $table")"
    done
    is "$1: no job was taken twice" "$(sql "SELECT count(*), count(DISTINCT job) FROM takings" | awk -F'|' '{ print $1 - $2 }')" 0
}
final "after all"
if [ -z "${HONE_CONCURRENT_HEAP:-}" ]; then
    for table in $tables; do sql "CALL hone.compress('$table')" 2>/dev/null || not_ok "compress $table at the end"; done
    final "compressed"
    for table in $tables; do sql "CALL hone.decompress('$table')" 2>/dev/null || not_ok "decompress $table"; done
    final "decompressed"
fi
is "no server process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log" | head -5)" ""
hone_done
