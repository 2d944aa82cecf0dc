#!/usr/bin/env bash
# Partitions become warm, cold and archived one after the other while clients
# write and read their table all the while: no statement fails, none waits long
# for a lock that pg_hone has or wants, nothing deadlocks, what is in use stays
# while others move, and every row is there once. An hour of a policy is a
# second here.
#
# Who waits is looked at about every 50 ms. One who is seen waiting behind
# pg_hone, in at least MANY_LOOKS of them and for longer than LONGEST_MS, waited
# too long: a machine that stands still looks as seldom as it works.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
MANY_LOOKS=8 LONGEST_MS=1000
archives=$HONE_WORK/locks_archives
rm -rf "$archives"
mkdir "$archives"
chmod 777 "$archives"
hone_server locks "-c hone.tier_throughput=32MB -c hone.naptime=1s -c hone.history_interval=1h -c log_lock_waits=on -c hone.archive_directory=$archives" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1

# --- who waits behind whom -----------------------------------------------------

# A line for each look, and for each client that waits behind one of pg_hone's
# processes: the wait (whose, since when), how long so far, for what, and what
# the other has or wants.
cat >"$HONE_WORK/looks.sql" <<'SQL'
SELECT 'look'
UNION ALL
SELECT format('wait %s/%s %s %s %s %s', w.pid, extract(epoch FROM w.waitstart),
    round(1000 * extract(epoch FROM clock_timestamp() - w.waitstart)),
    coalesce(w.relation::regclass::text, w.locktype), w.mode,
    (SELECT string_agg(format('%s:%s:%s', replace(b.backend_type, ' ', '_'), l.mode, CASE WHEN l.granted THEN 'held' ELSE 'wanted' END), ',')
     FROM pg_locks l WHERE l.pid = b.pid AND l.relation = w.relation))
FROM pg_locks w
JOIN pg_stat_activity c ON c.pid = w.pid AND c.backend_type = 'client backend'
JOIN pg_stat_activity b ON b.pid = ANY (pg_blocking_pids(w.pid)) AND b.backend_type LIKE 'pg_hone%'
WHERE NOT w.granted
\watch 0.05
SQL
chmod 644 "$HONE_WORK/looks.sql"
begin_looking() {
    "$HONE_BIN/psql" -XAtq -d postgres -f "$HONE_WORK/looks.sql" >"$HONE_WORK/looks" 2>&1 &
    watcher=$!
}
end_looking() {
    kill "$watcher"
    wait "$watcher" 2>/dev/null
}
waited_too_long() {
    awk -v many="$MANY_LOOKS" -v longest="$LONGEST_MS" '
        $1 == "wait" { if (++looks[$2] >= many && $3 > longest) found[$2] = $0 }
        END { for (wait in found) print found[wait] }' "$HONE_WORK/looks"
}

# --- a table, its twin, and clients ----------------------------------------------

# Partitions of two hours each, of the last 14 and the next 20, and one for what
# comes after. The twin is written in the same transactions; it
# never forgets what is archived.
sql "CREATE TABLE t0 AS SELECT date_trunc('second', now()) AS at;
     CREATE TABLE ev (at timestamptz NOT NULL, id bigint NOT NULL, v int, note text, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
     CREATE INDEX ON ev (id);
     CREATE TABLE twin (at timestamptz NOT NULL, id bigint PRIMARY KEY, v int, note text);
     CREATE SEQUENCE ids START 3001;
     DO \$\$
     DECLARE t timestamptz := (SELECT at FROM t0);
     BEGIN
         FOR i IN -7..9 LOOP
             EXECUTE format('CREATE TABLE ev_%s PARTITION OF ev FOR VALUES FROM (%L) TO (%L)', i + 7, t + i * interval '2 s', t + (i + 1) * interval '2 s');
         END LOOP;
         EXECUTE format('CREATE TABLE ev_rest PARTITION OF ev FOR VALUES FROM (%L) TO (MAXVALUE)', t + interval '20 s');
     END \$\$;
     INSERT INTO ev SELECT t0.at - i * interval '583 us', i, i % 100, 'row ' || md5(i::text) FROM generate_series(1, 24000) i, t0;
     INSERT INTO twin TABLE ev;
     ANALYZE ev, twin" || exit 1

# Rows of one client each: :base + :client_id, and every eighth from there.
cat >"$HONE_WORK/insert.sql" <<'SQL'
\set v random(1, 1000)
WITH i AS (INSERT INTO ev VALUES (clock_timestamp(), 8 * nextval('ids') + :base + :client_id, :v, 'new') RETURNING *)
INSERT INTO twin TABLE i;
SQL
pick='\set id 8 * random(0, 5999) + :base + :client_id
SELECT coalesce((SELECT at FROM twin WHERE id = :id), now()) AS at \gset'
cat >"$HONE_WORK/update.sql" <<SQL
$pick
WITH u AS (UPDATE ev SET v = v + 1, note = 'changed' WHERE at = :at AND id = :id RETURNING *)
UPDATE twin t SET v = u.v, note = u.note FROM u WHERE t.id = u.id;
SQL
cat >"$HONE_WORK/delete.sql" <<SQL
$pick
WITH d AS (DELETE FROM ev WHERE at = :at AND id = :id RETURNING id)
DELETE FROM twin t USING d WHERE t.id = d.id;
SQL
# into the partition of now; without the key of the partitions in its condition
cat >"$HONE_WORK/later.sql" <<SQL
$pick
WITH u AS (UPDATE ev SET at = clock_timestamp(), note = 'later' WHERE id = :id RETURNING *)
UPDATE twin t SET at = u.at, note = u.note FROM u WHERE t.id = u.id;
SQL
cat >"$HONE_WORK/read.sql" <<SQL
$pick
SELECT count(*), sum(v) FROM ev WHERE id = :id;
SELECT note FROM ev WHERE at = :at AND id = :id FOR UPDATE;
SELECT count(*), max(v) FROM ev WHERE at >= now() - interval '5 seconds';
SQL
cat >"$HONE_WORK/all.sql" <<'SQL'
SELECT count(*), count(DISTINCT id), sum(v) FROM ev;
SQL
# stays open for a while, having written and read old rows
cat >"$HONE_WORK/open.sql" <<SQL
$pick
BEGIN;
WITH u AS (UPDATE ev SET v = v + 1, note = 'open' WHERE at = :at AND id = :id RETURNING *)
UPDATE twin t SET v = u.v, note = u.note FROM u WHERE t.id = u.id;
SELECT count(*) FROM ev WHERE id = :id;
\\sleep 1500 ms
WITH i AS (INSERT INTO ev VALUES (clock_timestamp(), 8 * nextval('ids') + :base + :client_id, 0, 'open') RETURNING *)
INSERT INTO twin TABLE i;
COMMIT;
\\sleep 700 ms
SQL
chmod 644 "$HONE_WORK"/*.sql

# clients NAME SECONDS ARGS...: in the background; their number in $clients_pid
clients() {
    local name=$1 seconds=$2
    shift 2
    "$HONE_BIN/pgbench" -n -T "$seconds" "$@" -l --log-prefix="$HONE_WORK/latency.$name" postgres >"$HONE_WORK/clients.$name" 2>&1 &
    clients_pid=$!
}

# --- hours ---------------------------------------------------------------------

# One partition is read for long, from before its first move is due until its
# move was tried and others were moved.
long=ev_6
open_session
is "a lock for a reader to wait for" "$(ask "SELECT pg_advisory_lock(7), 'held';")" "|held"
"$HONE_BIN/psql" -XAtq -d postgres -c "SELECT n FROM (SELECT count(*) AS n FROM $long) x, LATERAL (SELECT pg_advisory_lock_shared(7 + n * 0)) s" >"$HONE_WORK/long" 2>&1 &
reader=$!
wait_until 20 "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = '$long'::regclass AND mode = 'AccessShareLock')"

sql "SELECT hone.add_tier_policy('ev', warm_after => interval '2 s', cold_after => interval '8 s', archive_after => interval '14 s')" >/dev/null || exit 1
begin_looking
weights=()
for script in insert@6 update@5 delete@1 later@1 read@3 all@1; do weights+=(-f "$HONE_WORK/${script/@/.sql@}"); done
clients short 21 -M prepared -c 4 -j 1 -R 400 -D base=0 "${weights[@]}"
short=$clients_pid
clients open 21 -M prepared -c 2 -j 1 -D base=4 -f "$HONE_WORK/open.sql"
open=$clients_pid

is "a partition is read for long, hot still" "$(sql "SELECT tier FROM hone.partitions WHERE partition = '$long'::regclass")" hot
since=$(sql "SELECT clock_timestamp()")
succeeds "its move does not come to its end" wait_until 60 "SELECT last_error IS NOT NULL FROM hone.partitions WHERE partition = '$long'::regclass"
succeeds "others are moved meanwhile" wait_until 60 "SELECT count(DISTINCT partition_name) >= 3 FROM hone.tier_log WHERE started_at > '$since' AND error IS NULL"
is "while it is read still" "$(kill -0 "$reader" 2>/dev/null && sql "SELECT tier FROM hone.partitions WHERE partition = '$long'::regclass")" hot
tell "SELECT pg_advisory_unlock_all();"
wait "$reader"
like "who read it had no error" "$(cat "$HONE_WORK/long")" '^[0-9]+$'
close_session

wait "$short"
is "no statement of the clients fails" "$? $(grep -ciE 'error|abort' "$HONE_WORK/clients.short")" "0 0"
wait "$open"
is "nor of those that stay open" "$? $(grep -ciE 'error|abort' "$HONE_WORK/clients.open")" "0 0"
succeeds "all moves come to their end" wait_until 60 "SELECT NOT EXISTS (SELECT FROM hone.tier_plan WHERE due) AND NOT EXISTS (SELECT FROM hone._tier_leaving)
    AND EXISTS (SELECT FROM hone.archives WHERE partition = 'public.$long')"
sql "SELECT hone.pause_worker()" >/dev/null
wait_until 30 "SELECT count(*) = 0 FROM hone.tier_progress"

is "moves of every kind were made" "$(sql "SELECT string_agg(DISTINCT to_tier, ' ' ORDER BY to_tier) FROM hone.tier_log WHERE error IS NULL AND partition_name LIKE 'public.ev%'")" "archive cold warm"
is "all that had rows are archived" "$(sql "SELECT count(*) FROM hone.archives WHERE parent = 'ev'") $(sql "SELECT count(*) FROM hone.partitions WHERE parent = 'ev'::regclass AND range_end <= (SELECT at FROM t0)")" "$(sql "SELECT count(DISTINCT partition) FROM hone.archives WHERE parent = 'ev'") 0"
is "moves fail of locks only" "$(sql "SELECT DISTINCT sqlstate, error FROM hone.tier_log WHERE error IS NOT NULL AND sqlstate <> '55P03'")" ""

# --- every row once --------------------------------------------------------------

is "rows in the table and in archives" "$(sql "SELECT (SELECT count(*) FROM ev) + (SELECT sum(rows) FROM hone.archives WHERE parent = 'ev')")" "$(sql "SELECT count(*) FROM twin")"
sql "SELECT hone.restore_archive(name) FROM hone.archives WHERE parent = 'ev' ORDER BY range_start" >/dev/null
is "every row once, as it was written last" "$(rows_of ev)" "$(rows_of twin)"

# --- with a default partition --------------------------------------------------

# CONCURRENTLY is not allowed there: a lock on the whole table is needed.
sql "CREATE TABLE d (at timestamptz NOT NULL, id bigint) PARTITION BY RANGE (at);
     CREATE TABLE d_1 PARTITION OF d FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     CREATE TABLE d_2 PARTITION OF d FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
     CREATE TABLE d_rest PARTITION OF d DEFAULT;
     INSERT INTO d SELECT timestamptz '2020-01-01 00:00Z' + i * interval '10 minutes', i FROM generate_series(1, 8000) i" || exit 1
wanted=$(rows_of d)
open_session

# detached NAME: d_1 is moved by hand while the session has a transaction open
detached() {
    "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -d postgres -c "CALL hone.move_partition('d_1', 'archive')" >"$HONE_WORK/move" 2>&1 &
    mover=$!
    succeeds "$1 delays a detach" wait_until 20 "SELECT EXISTS (SELECT FROM hone.compress_progress WHERE phase = 'detaching')"
    local queued=0
    for _ in $(seq 10); do
        queued=$((queued + $(sql "SELECT count(*) FROM pg_locks WHERE relation IN ('d'::regclass, 'd_1'::regclass, 'd_rest'::regclass) AND mode = 'AccessExclusiveLock'")))
        sql "INSERT INTO d VALUES (now(), -1); DELETE FROM d WHERE id = -1" || queued=error
    done
    is "which queues for nothing meanwhile" "$queued $(kill -0 "$mover" && echo moving)" "0 moving"
    tell "COMMIT;"
    wait "$mover"
    is "and comes to its end after it" "$? $(cat "$HONE_WORK/move") $(sql "SELECT to_regclass('d_1') IS NULL")" "0  t"
    sql "SELECT hone.restore_archive(name) FROM hone.archives WHERE partition = 'public.d_1' AND restored_at IS NULL" >/dev/null
    is "every row is there" "$(rows_of d)" "$wanted"
}
is "a session reads a partition" "$(ask "BEGIN; SELECT id FROM d_1 WHERE id = 7;")" 7
detached "who reads a partition"
is "a session writes to the table" "$(ask "BEGIN; UPDATE d SET id = id WHERE at >= '2020-02-20' AND id = 8000 RETURNING id;")" 8000
detached "who writes to another one"
close_session

# There is always somebody: one transaction after the other, and several.
cat >"$HONE_WORK/always.sql" <<'SQL'
BEGIN;
INSERT INTO d VALUES (now(), -1);
\sleep 250 ms
DELETE FROM d WHERE id = -1 AND at = now();
COMMIT;
SQL
chmod 644 "$HONE_WORK/always.sql"
clients always 5 -c 4 -j 1 -f "$HONE_WORK/always.sql"
always=$clients_pid
sql "UPDATE hone._tier_state SET held = false;
     SELECT hone.remove_tier_policy('ev'), hone.add_tier_policy('d', archive_after => interval '1 day')" >/dev/null
sql "SELECT hone.resume_worker()" >/dev/null
wait "$always"
is "no statement fails beside detaches that need the table for a moment" "$? $(grep -ciE 'error|abort' "$HONE_WORK/clients.always")" "0 0"
succeeds "which come to their end" wait_until 40 "SELECT to_regclass('d_1') IS NULL AND to_regclass('d_2') IS NULL"
sql "SELECT hone.restore_archive(name) FROM hone.archives WHERE parent = 'd' AND restored_at IS NULL" >/dev/null
is "every row is there" "$(rows_of d)" "$wanted"
end_looking

is "nobody waited long behind pg_hone" "$(waited_too_long)" ""
is "there were looks enough to see it" "$(($(grep -c '^look' "$HONE_WORK/looks") >= 100))" 1
is "nothing deadlocked" "$(grep -E 'deadlock detected' "$HONE_DATA.log")" ""
echo "# $(sql "SELECT string_agg(n || ' ' || to_tier, ', ') FROM (SELECT count(*) AS n, to_tier || CASE WHEN error IS NULL THEN '' ELSE ' in vain' END AS to_tier FROM hone.tier_log GROUP BY 2 ORDER BY 2) x");" \
    "$(grep -c '^look' "$HONE_WORK/looks") looks; longest wait behind pg_hone seen: $(sed -n 's/^wait //p' "$HONE_WORK/looks" | sort -k2,2n | tail -1)"
echo "# latency of the clients in ms (median, 99 %, longest):" \
    "$(cat "$HONE_WORK"/latency.short.* | awk '{ print $3 / 1000 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)], v[int(NR * 0.99)], v[NR] }')"
hone_done
