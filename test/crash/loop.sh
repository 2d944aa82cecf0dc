#!/usr/bin/env bash
# kill -9 of the whole server at random moments of changes to a compressed
# table, of compressing and compressing again, of decompressing. Every change is
# made to a heap table in the same transaction: after recovery both hold the
# same rows. Index scans and full scans agree, amcheck finds nothing, and a
# standby that runs through it all returns the same rows.
#
#   HONE_KILLS=N        rounds (12)
#   HONE_CRASH_SEED=N   moments and changes (random); how the sessions meet is
#                       not repeated by it
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server crashloop || exit 1
primary_data=$HONE_DATA primary=$PGHOST
rounds=${HONE_KILLS:-12}
seed=${HONE_CRASH_SEED:-$RANDOM}
RANDOM=$seed
echo "# seed $seed"
dir=$HONE_WORK/run/crashloop/scripts
mkdir -p "$dir"
sql "CREATE EXTENSION pg_hone; CREATE EXTENSION amcheck;
     CREATE TABLE t (id int PRIMARY KEY, n bigint, v text, at timestamptz, code int UNIQUE);
     INSERT INTO t SELECT i, i % 100, 'value ' || i % 700, timestamptz '2024-01-01 00:00Z' + i * interval '1 minute', CASE WHEN i % 3 = 0 THEN i END
     FROM generate_series(1, 40000, 2) i;
     CREATE INDEX ON t (at);
     CREATE TABLE h (LIKE t INCLUDING ALL);
     INSERT INTO h SELECT * FROM t;
     CREATE TABLE kids (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, tid int NOT NULL REFERENCES t ON DELETE CASCADE, v text);
     INSERT INTO kids (tid, v) SELECT id, repeat('kid ', 1 + id % 9) FROM t WHERE id % 4 = 1;
     CREATE INDEX ON kids (tid);" || exit 1
sql "CALL hone.compress('t')" 2>/dev/null && sql "CALL hone.compress('kids')" 2>/dev/null || exit 1

# -- the standby
standby_data=$HONE_WORK/run/crashstandby/data
mkdir -p "$HONE_WORK/run/crashstandby"
chmod 755 "$HONE_WORK/run/crashstandby"
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$HONE_WORK/run/crashstandby"
# with a slot, lest it miss WAL that the primary needs no more after a crash
hone_as "$HONE_BIN/pg_basebackup" -h "$primary" -p "$PGPORT" -U postgres -D "$standby_data" -R -c fast \
    -C -S standby || exit 1
hone_as sed -i "s|^unix_socket_directories.*|unix_socket_directories = '$HONE_WORK/run/crashstandby'|" "$standby_data/postgresql.conf"
hone_as sh -c "echo 'wal_retrieve_retry_interval = 200ms' >>'$standby_data/postgresql.conf'"
HONE_SERVERS+=("$standby_data")
hone_start "$standby_data" || exit 1
standby=$PGHOST
export PGHOST=$primary
on() { local PGHOST=$1; shift; export PGHOST; "$@"; }
caught_up() {
    local lsn
    lsn=$(sql "SELECT pg_current_wal_lsn()")
    on "$standby" wait_until 60 "SELECT pg_last_wal_replay_lsn() >= '$lsn'" || tail -3 "$standby_data.log" | sed 's/^/# the standby lags: /'
}

# -- changes, each to t and to h in one statement or one transaction
cat >"$dir/update" <<'SQL'
\set id random(1, 40000)
WITH u AS (UPDATE t SET n = n + 1, v = md5(v) WHERE id = :id RETURNING *) UPDATE h SET n = u.n, v = u.v FROM u WHERE h.id = u.id;
\sleep 2 ms
SQL
cat >"$dir/update_hot" <<'SQL'
\set id random(1, 40)
WITH u AS (UPDATE t SET n = n + 1, at = at + interval '1 second' WHERE id = :id RETURNING *) UPDATE h SET n = u.n, at = u.at FROM u WHERE h.id = u.id;
\sleep 2 ms
SQL
cat >"$dir/update_range" <<'SQL'
\set id random(1, 40000)
WITH u AS (UPDATE t SET n = -n WHERE id BETWEEN :id AND :id + 60 RETURNING *) UPDATE h SET n = u.n FROM u WHERE h.id = u.id;
\sleep 5 ms
SQL
cat >"$dir/key" <<'SQL'
\set id random(1, 40000)
\set to random(1, 40000)
WITH u AS (UPDATE t SET code = CASE WHEN code IS NULL THEN 1000000 + id END WHERE id = :id RETURNING *) UPDATE h SET code = u.code FROM u WHERE h.id = u.id;
\sleep 2 ms
SQL
cat >"$dir/delete" <<'SQL'
\set id random(1, 40000)
WITH d AS (DELETE FROM t WHERE id = :id RETURNING id) DELETE FROM h USING d WHERE h.id = d.id;
\sleep 2 ms
SQL
cat >"$dir/insert" <<'SQL'
\set id random(1, 40000)
WITH i AS (INSERT INTO t VALUES (:id, 1, repeat(md5(:id::text), 1 + :id % 90), now(), NULL) ON CONFLICT DO NOTHING RETURNING *) INSERT INTO h SELECT * FROM i;
\sleep 2 ms
SQL
cat >"$dir/upsert" <<'SQL'
\set id random(1, 40000)
WITH i AS (INSERT INTO t VALUES (:id, 1, 'upserted', now(), NULL) ON CONFLICT (id) DO UPDATE SET n = t.n + 1, v = 'upserted' RETURNING *)
INSERT INTO h SELECT * FROM i ON CONFLICT (id) DO UPDATE SET n = excluded.n, v = excluded.v;
\sleep 2 ms
SQL
cat >"$dir/mixed" <<'SQL'
\set id random(1, 39000)
BEGIN;
WITH u AS (UPDATE t SET n = n + 1 WHERE id = :id RETURNING *) UPDATE h SET n = u.n FROM u WHERE h.id = u.id;
SAVEPOINT a;
DELETE FROM t WHERE id BETWEEN :id + 1 AND :id + 20;
ROLLBACK TO a;
SELECT v FROM t WHERE id = :id + 21 FOR UPDATE;
WITH d AS (DELETE FROM t WHERE id = :id + 22 RETURNING id) DELETE FROM h USING d WHERE h.id = d.id;
COMMIT;
\sleep 2 ms
SQL
cat >"$dir/rollback" <<'SQL'
\set id random(1, 39000)
BEGIN;
UPDATE t SET v = 'never' WHERE id BETWEEN :id AND :id + 30;
DELETE FROM kids WHERE tid BETWEEN :id AND :id + 30;
ROLLBACK;
\sleep 5 ms
SQL
cat >"$dir/kid" <<'SQL'
\set id random(1, 40000)
INSERT INTO kids (tid, v) SELECT id, 'new' FROM t WHERE id = :id FOR KEY SHARE;
UPDATE kids SET v = v || '.' WHERE tid = :id;
\sleep 2 ms
SQL

# keep_compressing ROUND: until the server is gone
keep_compressing() {
    while [ ! -e "$dir/stop" ]; do
        PGOPTIONS="-c hone.lock_timeout=20ms" sql "CALL hone.compress('t')" >>"$dir/compress.log" 2>&1 && echo done >>"$dir/compressed"
        [ $((RANDOM % 4)) != 0 ] || PGOPTIONS="-c hone.lock_timeout=20ms" sql "CALL hone.compress('kids')" >>"$dir/compress.log" 2>&1
        [ $(($1 % 5)) != 4 ] || PGOPTIONS="-c hone.lock_timeout=20ms" sql "CALL hone.decompress('t')" >>"$dir/compress.log" 2>&1
        sleep 0.05
    done
}

# One line each, none when all is well.
check() {
    sql "
        SELECT 'a row twice: ' || string_agg(id::text, ' ') FROM (SELECT id FROM t GROUP BY id HAVING count(*) > 1 LIMIT 10) x HAVING count(*) > 0;
        SELECT 'not as in the heap table: ' || string_agg(x::text, ' ') FROM (SELECT coalesce(t.id, h.id) AS x FROM t FULL JOIN h ON t.id = h.id AND t::text = h::text WHERE t.id IS NULL OR h.id IS NULL LIMIT 10) x HAVING count(*) > 0;
        SELECT 'a kid without parent: ' || string_agg(tid::text, ' ') FROM (SELECT tid FROM kids WHERE tid NOT IN (SELECT id FROM t) LIMIT 10) x HAVING count(*) > 0;
        SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off;
        SELECT 'not found by its key: ' || string_agg(id::text, ' ') FROM (SELECT id FROM h WHERE abs(hashint4(id)) % 60 = $1 % 60) s WHERE NOT EXISTS (SELECT FROM t WHERE t.id = s.id) HAVING count(*) > 0;
        SELECT 'not found by a range: ' || a || ' ' || b FROM (SELECT (SELECT count(*) FROM t WHERE at BETWEEN '2024-01-05' AND '2024-01-09') a, (SELECT count(*) FROM h WHERE at BETWEEN '2024-01-05' AND '2024-01-09') b) x WHERE a <> b;" 2>&1
    sql "SELECT 'index ' || i.indexrelid::regclass || ': ' || coalesce(bt_index_check(i.indexrelid, true)::text, '') FROM pg_index i, pg_class c
         WHERE i.indrelid IN (c.oid, c.reltoastrelid) AND c.relname IN ('t', 'kids', 'h') AND c.relnamespace = 'public'::regnamespace" 2>&1 | grep -v '^index [^ ]*: $'
    # verify_heapam asks for tables whose access method is heap: theirs is one
    sql "BEGIN;
         UPDATE pg_class SET relam = (SELECT oid FROM pg_am WHERE amname = 'heap') WHERE oid IN ('t'::regclass, 'kids'::regclass);
         SELECT c.oid::regclass, v.* FROM pg_class c, LATERAL verify_heapam(c.oid) v WHERE c.oid IN ('t'::regclass, 'kids'::regclass)
             OR c.oid IN (SELECT reltoastrelid FROM pg_class WHERE oid IN ('t'::regclass, 'kids'::regclass)) LIMIT 10;
         ROLLBACK" 2>&1
}

begin=$SECONDS
for round in $(seq 1 "$rounds"); do
    rm -f "$dir/stop"
    scripts=()
    for script in update@6 update_hot@3 update_range@2 key@2 delete@4 insert@4 upsert@4 mixed@3 rollback@2 kid@3; do scripts+=(-f "$dir/$script"); done
    "$HONE_BIN/pgbench" -n -c 3 -j 1 -T 600 --max-tries=0 --random-seed="$((seed + round))" "${scripts[@]}" postgres >"$dir/pgbench.log" 2>&1 &
    bench=$!
    keep_compressing "$round" &
    compressor=$!
    sleep "$((RANDOM % 3)).$(printf %03d $((RANDOM % 900 + 100)))"
    early=$(kill -0 "$bench" 2>/dev/null || grep -vE '^(pgbench: setting|transaction type)' "$dir/pgbench.log" | head -5)
    hone_kill "$primary_data"
    touch "$dir/stop"
    wait "$bench" "$compressor" 2>/dev/null
    is "round $round: no session failed before the kill" "$early" ""
    hone_start "$primary_data" || { not_ok "round $round: the server starts again"; break; }
    is "round $round: as the heap table, by every way" "$(check "$round")" ""
    if [ $((round % 4)) = 0 ] || [ "$round" = "$rounds" ]; then
        wanted="$(rows_of t) $(rows_of kids)"
        caught_up
        is "round $round: the standby" "$(on "$standby" rows_of t) $(on "$standby" rows_of kids)" "$wanted"
    fi
    [ "$HONE_FAILED" = 0 ] || { echo "# seed $seed"; break; }
done
echo "# $((SECONDS - begin)) seconds; compressed $(wc -l 2>/dev/null <"$dir/compressed") times; $(sql "SELECT compressed_rows || ' compressed and ' || plain_rows || ' plain rows' FROM hone.tiered_stats('t')")"
isnt "compressing came to an end at times" "$(wc -l 2>/dev/null <"$dir/compressed" | tr -d ' ')" ""
is "compressing: no error but a lock that is not there, and a server that is gone" \
    "$(grep -E 'ERROR|FATAL|PANIC' "$dir/compress.log" | grep -vE 'could not (get|obtain)|lock|terminating connection|starting up|shutting down|recovery|in use|not accept' | sort | uniq -c | head -5)" ""
succeeds "compress to the end" sql "CALL hone.compress('t')"
is "compressed to the end" "$(check 1)" ""
succeeds "VACUUM" sql "VACUUM t"
succeeds "decompress" sql "CALL hone.decompress('t')"
is "decompressed" "$(check 2)" ""
wanted=$(rows_of t)
caught_up
is "the standby after decompressing" "$(on "$standby" rows_of t)" "$wanted"
is "no crash but ours" "$(grep -hE 'terminated by signal|PANIC:|TRAP:' "$primary_data.log" "$standby_data.log" | head -5)" ""
hone_done
