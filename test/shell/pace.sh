#!/usr/bin/env bash
# When the worker moves partitions, and how fast: throughput, pausing, hours of
# the week, replicas that lag, workers at a time. Times are only ever compared
# with the least that they must be.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server pace || exit 1
primary_data=$HONE_DATA
sql "CREATE EXTENSION pg_hone" || exit 1

# set_to NAME VALUE...
set_to() {
    while [ $# -gt 0 ]; do
        sql "ALTER SYSTEM SET $1 = '$2'" || exit 1
        shift 2
    done
    sql "SELECT pg_reload_conf()" >/dev/null
}

# A table with one partition of 4 MB that is due once it has a policy.
make_due() {
    sql "CREATE TABLE $1 (at timestamptz NOT NULL, id bigint, note text) PARTITION BY RANGE (at);
         CREATE INDEX ON $1 (id);
         CREATE TABLE $1_1 PARTITION OF $1 FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
         INSERT INTO $1 SELECT timestamptz '2020-01-01 00:00Z' + i * interval '30 seconds', i, md5(i::text)
         FROM generate_series(1, 50000) i" || exit 1
}
policy() { sql "SELECT hone.add_tier_policy('$1', warm_after => interval '1 day')" >/dev/null || exit 1; }
is_warm() { wait_until 60 "SELECT tier = 'warm' AND plain_rows < 1000 FROM hone.partitions WHERE parent = '$1'::regclass"; }
no_mover() { wait_until 30 "SELECT count(*) = 0 FROM hone.tier_progress"; }
moving() { wait_until 60 "SELECT EXISTS (SELECT FROM hone.tier_progress WHERE parent = '$1'::regclass AND rows_done > 0)"; }

# The last log entry of a table's partition, once there is one.
logged() {
    wait_until 60 "SELECT EXISTS (SELECT FROM hone.tier_log WHERE partition = '$1_1'::regclass AND $2)"
}

# --- throughput ----------------------------------------------------------------

set_to hone.naptime 1s hone.tier_throughput 256kB
make_due a
wanted=$(rows_of a)
file=$(sql "SELECT pg_relation_filenode('a_1')")
policy a
succeeds "a move begins" moving a
like "it is shown" "$(sql "SELECT datname, parent, partition, from_tier, to_tier, rows_total > 0, percent BETWEEN 0 AND 100, bytes_done > 0, eta > started_at FROM hone.tier_progress")" \
    '^postgres\|a\|a_1\|(hot|warm)\|warm\|t\|t\|t\|t$'
is "also as a compression" "$(sql "SELECT count(*) FROM hone.compress_progress WHERE relation = 'a_1'::regclass")" 1

# Halted in its sleep: what it holds now, it holds as long as it sleeps.
mover=$(sql "SELECT pid FROM hone.tier_progress")
asleep=f
for _ in $(seq 300); do
    [ "$(sql "SELECT waiting = 'throttle' FROM hone.tier_progress WHERE pid = $mover")" = t ] || { sleep 0.05; continue; }
    halt "$mover" || break
    asleep=$(sql "SELECT waiting = 'throttle' FROM hone.tier_progress WHERE pid = $mover")
    [ "$asleep" != t ] || break
    kill -CONT "$mover"
done
is "it waits because of the throughput" "$asleep" t
is "asleep it has no lock on a table" "$(sql "SELECT string_agg(relation::regclass || ' ' || mode, ', ') FROM pg_locks WHERE pid = $mover AND locktype = 'relation'")" ""
is "and keeps no snapshot" "$(sql "SELECT backend_xmin IS NULL AND backend_xid IS NULL FROM pg_stat_activity WHERE pid = $mover")" t
is "others write meanwhile" "$(sql "SET lock_timeout = '20s'; UPDATE a SET note = 'changed' WHERE id IN (1, 49999); SELECT 'yes'")" yes
is "and lock the table" "$(sql "SET lock_timeout = '20s'; BEGIN; LOCK TABLE a_1 IN ACCESS EXCLUSIVE MODE; COMMIT; SELECT 'yes'")" yes
kill -CONT "$mover"
wanted=$(rows_of a)
succeeds "the move ends" logged a "rows > 0"
is "it took at least as long as its bytes at that throughput" "$(sql "
    SELECT extract(epoch FROM sum(duration)) >= (SELECT raw_bytes + compressed_bytes FROM hone.tiered_stats('a_1')) * 0.95 / (256 * 1024)
    FROM hone.tier_log WHERE partition = 'a_1'::regclass AND error IS NULL")" t
is "every row is there" "$(rows_of a)" "$wanted"
is "a table too large for the throughput is not written anew" "$(sql "SELECT pg_relation_filenode('a_1') = $file")" t

# --- a higher one counts at once, and a small table is written anew --------------

set_to hone.tier_throughput 1kB
make_due b
policy b
succeeds "a move that would take hours" moving b
is "is not done" "$(sql "SELECT count(*) FROM hone.tier_log WHERE partition = 'b_1'::regclass AND error IS NULL")" 0
make_due c
wanted=$(rows_of c)
succeeds "what a user calls is as fast as it can be" env PGOPTIONS='-c statement_timeout=100s' "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -d postgres -c "CALL hone.compress('c')"
is "every row is there" "$(rows_of c)" "$wanted"
set_to hone.tier_throughput 64MB
succeeds "goes on at once when it may go faster" is_warm b
make_due d
file=$(sql "SELECT pg_relation_filenode('d_1')")
policy d
succeeds "a small table moves" logged d "rows > 0"
is "the fast way" "$(sql "SELECT pg_relation_filenode('d_1') <> $file")" t

# --- pausing -------------------------------------------------------------------

set_to hone.tier_throughput 64kB hone.history_interval 1s
make_due p
wanted=$(rows_of p)
policy p
succeeds "a move begins" moving p
sql "SELECT hone.pause_worker()" >/dev/null
succeeds "it ends when the worker is paused" no_mover
succeeds "which is noted" logged p "note = 'paused: hone.pause_worker() was called' AND error IS NULL AND rows > 0"
is "and is no failure" "$(sql "SELECT tier, last_error IS NULL, plain_rows > 0 FROM hone.partitions WHERE parent = 'p'::regclass")" "warm|t|t"
is "every row is there" "$(rows_of p)" "$wanted"
is "hone.status says so" "$(sql "SELECT value LIKE 'paused since %', ok, hint FROM hone.status WHERE item = 'moves'")" "t|f|SELECT hone.resume_worker();"
noted=$(sql "SELECT count(*) FROM hone.tier_log")
since=$(sql "SELECT clock_timestamp()")
succeeds "the history is written meanwhile" wait_until 60 "SELECT minutes_until > '$since' FROM hone._history_state"
hone_stop "$HONE_DATA"
hone_start "$HONE_DATA" || exit 1
is "after a restart it is paused" "$(sql "SELECT count(*) FROM hone.status WHERE item = 'moves' AND NOT ok")" 1
sleep 3
is "nothing moves" "$(sql "SELECT count(*) FROM hone.tier_log")" "$noted"
set_to hone.tier_throughput 64MB
sql "SELECT hone.resume_worker()" >/dev/null
succeeds "it goes on when the worker is resumed" is_warm p
is "every row is there, each once" "$(rows_of p)" "$wanted"
is "all of it is compressed" "$(sql "SELECT plain_rows FROM hone.tiered_stats('p_1')")" 0

# --- the same of a move that only writes batches anew -----------------------------

set_to hone.tier_throughput 64kB
sql "SELECT hone.alter_tier_policy('p', cold_after => interval '2 days')" >/dev/null || exit 1
succeeds "a cold move begins" wait_until 60 "SELECT EXISTS (SELECT FROM hone.compress_progress WHERE relation = 'p_1'::regclass AND batches_done > 0)"
is "it is shown" "$(sql "SELECT parent, partition, from_tier, to_tier FROM hone.tier_progress")" "p|p_1|warm|cold"
sql "SELECT hone.pause_worker()" >/dev/null
succeeds "it ends when the worker is paused" no_mover
succeeds "which is noted" logged p "to_tier = 'cold' AND note = 'paused: hone.pause_worker() was called'"
is "it is not cold yet" "$(sql "SELECT tier, last_error IS NULL FROM hone.partitions WHERE parent = 'p'::regclass")" "warm|t"
is "every row is there" "$(rows_of p)" "$wanted"
set_to hone.tier_throughput 64MB
sql "SELECT hone.resume_worker()" >/dev/null
succeeds "it goes on when the worker is resumed" wait_until 60 "SELECT tier = 'cold' FROM hone.partitions WHERE parent = 'p'::regclass"
is "every row is there, each once" "$(rows_of p)" "$wanted"

# --- hours ---------------------------------------------------------------------

closed=$(sql "SELECT to_char(t + interval '6 hours', 'HH24:MI-') || to_char(t + interval '7 hours', 'HH24:MI')
              FROM (SELECT now() AT TIME ZONE current_setting('log_timezone')) x(t)")
set_to hone.tier_throughput 64kB
make_due w
wanted=$(rows_of w)
policy w
succeeds "a move begins" moving w
set_to hone.tier_window "$closed"
succeeds "it ends when its hours are over" no_mover
succeeds "which is noted" logged w "note = 'paused: hone.tier_window is over' AND error IS NULL AND rows > 0"
noted=$(sql "SELECT count(*) FROM hone.tier_log")
make_due x
policy x
sleep 3
is "outside of them nothing moves" "$(sql "SELECT count(*) FROM hone.tier_log")" "$noted"
is "every row is there" "$(rows_of w)" "$wanted"
set_to hone.tier_throughput 64MB hone.tier_window ''
succeeds "inside they do" is_warm x
succeeds "and what was begun goes on" is_warm w
is "every row is there, each once" "$(rows_of w)" "$wanted"

# --- workers at a time -----------------------------------------------------------

sql "CREATE DATABASE other"
HONE_DB=other sql "CREATE EXTENSION pg_hone" || exit 1
set_to hone.tier_throughput 64kB hone.max_workers 1
make_due e
HONE_DB=other make_due e
policy e
HONE_DB=other policy e
wait_until 60 "SELECT count(*) > 0 FROM hone.tier_progress"
most=0
for _ in $(seq 20); do
    now=$(sql "SELECT count(DISTINCT datname) FROM hone.tier_progress")
    [ "$now" -le "$most" ] || most=$now
    sleep 0.1
done
is "one worker at a time" "$most" 1
set_to hone.max_workers 3
succeeds "two databases at the same time" wait_until 60 "SELECT count(DISTINCT datname) = 2 FROM hone.tier_progress"
set_to hone.worker off
succeeds "hone.worker = off ends them" no_mover
set_to hone.tier_throughput 64MB
set_to hone.worker on
succeeds "on again, they go on" is_warm e
HONE_DB=other succeeds "in the other database too" is_warm e

# --- replicas that lag -----------------------------------------------------------

primary=$PGHOST
standby_data=$HONE_WORK/run/pace_standby/data
mkdir -p "$HONE_WORK/run/pace_standby"
chmod 755 "$HONE_WORK/run/pace_standby"
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$HONE_WORK/run/pace_standby"
hone_as "$HONE_BIN/pg_basebackup" -h "$primary" -p "$PGPORT" -U postgres -D "$standby_data" -R -c fast || exit 1
hone_as sed -i "s|^unix_socket_directories.*|unix_socket_directories = '$HONE_WORK/run/pace_standby'|" "$standby_data/postgresql.conf"
HONE_SERVERS+=("$standby_data")
hone_start "$standby_data" || exit 1
standby=$PGHOST
export PGHOST=$primary
on() { local PGHOST=$1; shift; export PGHOST; "$@"; }

wait_until 60 "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'" || echo "# no standby"
set_to hone.max_replica_lag 1s hone.tier_throughput 64kB
make_due r
wanted=$(rows_of r)
on "$standby" wait_until 60 "SELECT pg_last_wal_replay_lsn() >= '$(sql "SELECT pg_current_wal_lsn()")'"
policy r
succeeds "a move beside a standby that keeps up" moving r
on "$standby" sql "SELECT pg_wal_replay_pause()" >/dev/null
succeeds "waits when it does not" wait_until 60 "SELECT EXISTS (SELECT FROM hone.tier_progress WHERE phase = 'waiting for replicas' AND waiting = 'replicas')"
before=$(sql "SELECT rows_done FROM hone.tier_progress")
set_to hone.tier_throughput 64MB
sleep 2
is "with nothing moved meanwhile" "$(sql "SELECT rows_done FROM hone.tier_progress")" "$before"
sql "CREATE TABLE batched AS SELECT i AS id FROM generate_series(1, 2000) i" || exit 1
is "nor more than one batch" "$(sql "CALL hone.batch_delete('batched', 'true', 500, max_replica_lag => '100 ms', max_runtime => '1 s', job => 'lag')" 2>/dev/null)" "500"
on "$standby" sql "SELECT pg_wal_replay_resume()" >/dev/null
is "the other batches when it has caught up" "$(sql "CALL hone.batch_delete('batched', 'true', 500, max_replica_lag => '10 s', job => 'lag')")" "1500"
succeeds "and goes on when it has caught up" is_warm r
no_mover
is "every row is there" "$(rows_of r)" "$wanted"
on "$standby" wait_until 60 "SELECT pg_last_wal_replay_lsn() >= '$(sql "SELECT pg_current_wal_lsn()")'"
is "and on the standby" "$(on "$standby" rows_of r)" "$wanted"
is "no move has failed" "$(sql "SELECT count(*) FROM hone.tier_log WHERE error IS NOT NULL")" 0
is "no process had an error" "$(hone_background_errors "$primary_data.log")" ""
hone_done
