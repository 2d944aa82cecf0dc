#!/usr/bin/env bash
# What goes wrong around the worker while it moves partitions: archives that
# cannot be written or are gone, full disks, rights that were taken away, a
# tablespace that is missing, commands that fail or hang, locks and prepared
# transactions, others who detach, alter and write in the midst of a move. Each
# time the error is shown, other partitions go on, no row is lost, and after
# mending the move comes to its end by itself.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
run=$HONE_WORK/run/trouble
mounted=()
take_away() {
    local data place
    for data in "${HONE_SERVERS[@]}"; do hone_stop "$data" immediate; done
    for place in "${mounted[@]}"; do umount "$place"; done
    hone_cleanup
}
trap take_away EXIT
mkdir -p "$run/archives" "$run/cold" "$run/gone" "$run/small" "$run/smallcold"
own() { [ "$(id -u)" != 0 ] || chown "$(hone_user)" "$@"; }
own "$run/archives" "$run/cold" "$run/gone" "$run/small" "$run/smallcold"
# small_disk PLACE: a tmpfs of 1 MB
small_disk() {
    mount -t tmpfs -o size=1m tmpfs "$1" 2>/dev/null || return 1
    mounted+=("$1")
    own "$1"
    chmod 700 "$1"
}
# a wait without end is a failure
export PGOPTIONS="-c statement_timeout=60s"
options="-c hone.naptime=1s -c hone.archive_directory=$run/archives -c max_prepared_transactions=5"
hone_server lifecycle_trouble "$options" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1

# make TABLE PARTITIONS [ROLE]: a day each, 1000 rows each
make_table() {
    local i
    { [ -z "${3:-}" ] || echo "SET ROLE $3;"
      echo "CREATE TABLE $1 (at timestamptz NOT NULL, id bigint, note text) PARTITION BY RANGE (at);"
      for i in $(seq "$2"); do
          echo "CREATE TABLE $1_$i PARTITION OF $1 FOR VALUES FROM ('2020-01-01 00:00Z'::timestamptz + $i * interval '1 day') TO ('2020-01-02 00:00Z'::timestamptz + $i * interval '1 day');"
      done
      echo "INSERT INTO $1 SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 day' + g * interval '1 minute', i * 10000 + g, md5((i * 10000 + g)::text) FROM generate_series(1, $2) i, generate_series(0, 999) g;
            CREATE TABLE kept_$1 AS SELECT * FROM $1;"
    } | "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -d postgres || exit 1
}
policy() { sql "SELECT hone.add_tier_policy('$1', $2)" >/dev/null || exit 1; }
# An error that is shown, of a try from now on, soon.
shown() {
    local name=$1 partition=$2 state=$3 pattern=$4 since
    since=$(sql "UPDATE hone._tier_state SET retry_at = NULL WHERE partition = '$partition'::regclass; SELECT coalesce(max(id), 0) FROM hone._tier_log")
    if ! wait_until "${5:-15}" "SELECT count(*) > 0 FROM hone.tier_log WHERE id > $since AND partition = '$partition'::regclass AND sqlstate = '$state'"; then
        not_ok "$name" "$(sql "SELECT id, partition_name, to_tier, sqlstate, error FROM hone._tier_log WHERE id > $since ORDER BY id DESC LIMIT 5")"
        return
    fi
    like "$name" "$(sql "SELECT last_error FROM hone._tier_state WHERE partition = '$partition'::regclass")" "$pattern"
}
# At once, but for the one whose pauses are looked at.
retry() { sql "UPDATE hone._tier_state SET retry_at = NULL WHERE retry_at IS NOT NULL AND partition IS DISTINCT FROM to_regclass('missing_1')" >/dev/null; }
# All of a table is in archives, and is what it was.
archived() {
    retry
    if ! wait_until "${3:-20}" "SELECT (SELECT count(*) = 0 FROM $2) AND (SELECT count(*) = 0 FROM hone._tier_leaving WHERE parent = '$2'::regclass)
            AND NOT EXISTS (SELECT FROM hone.tier_plan WHERE parent = '$2'::regclass AND due)"; then
        not_ok "$1" "$(sql "SELECT partition, to_tier, retry_at FROM hone.tier_plan WHERE parent = '$2'::regclass; SELECT partition, last_error FROM hone._tier_state WHERE last_error IS NOT NULL")"
        return
    fi
    sql "SELECT hone.restore_archive(name) FROM hone.archives WHERE parent = '$2' AND restored_at IS NULL" >/dev/null
    is "$1" "$(sql "SELECT count(*) FROM ((TABLE kept_$2 EXCEPT ALL TABLE $2) UNION ALL (TABLE $2 EXCEPT ALL TABLE kept_$2)) x")" 0
}
is_quick() { if awk "BEGIN { exit !($2 < ${3:-5}) }"; then ok "$1"; else not_ok "$1" "$2 s"; fi; }

# A tablespace that is missing: it fails with ever longer pauses, and nothing else waits for it.
sql "CREATE ROLE keeper" && sql "CREATE ROLE heir" && sql "GRANT CREATE, USAGE ON SCHEMA public TO keeper, heir" || exit 1
sql "CREATE TABLESPACE trouble_gone LOCATION '$run/gone'" && sql "CREATE TABLESPACE trouble_cold LOCATION '$run/cold'" || exit 1
sql "GRANT CREATE ON TABLESPACE trouble_gone, trouble_cold TO keeper; GRANT pg_write_server_files TO keeper" || exit 1
make_table missing 1 keeper
sql "SELECT hone.pause_worker()" >/dev/null
policy missing "cold_after => '1 year', cold_tablespace => 'trouble_gone'"
sql "DROP TABLESPACE trouble_gone"
sql "SELECT hone.resume_worker()" >/dev/null

# The archive directory.
make_table dir 1
mv "$run/archives" "$run/archives.away"
policy dir "archive_after => '1 year'"
shown "no directory" dir_1 58P01 "could not create directory"
touch "$run/archives"
shown "a file instead of the directory" dir_1 42809 "[Nn]ot a directory"
rm "$run/archives"
mkdir "$run/archives"
shown "a directory that is not the server's" dir_1 42501 "Permission denied" 
rmdir "$run/archives"
mv "$run/archives.away" "$run/archives"
archived "with the directory back its rows are archived" dir

# Rights.
make_table rights 1 keeper
sql "SELECT hone.pause_worker()" >/dev/null
policy rights "archive_after => '1 year'"
sql "REVOKE pg_write_server_files FROM keeper"
sql "SELECT hone.resume_worker()" >/dev/null
shown "the owner may not write files any more" rights_1 42501 "archives are files of the server"
sql "GRANT pg_write_server_files TO keeper"
archived "when the owner may again they are archived" rights
make_table place 1 keeper
sql "SELECT hone.pause_worker()" >/dev/null
policy place "cold_after => '1 year', cold_tablespace => 'trouble_cold'"
sql "REVOKE CREATE ON TABLESPACE trouble_cold FROM keeper"
sql "SELECT hone.resume_worker()" >/dev/null
shown "the owner may not create in the tablespace any more" place_1 42501 "permission denied for tablespace"
sql "GRANT CREATE ON TABLESPACE trouble_cold TO keeper"
retry
if wait_until 15 "SELECT tier = 'cold' FROM hone.partitions WHERE partition = 'place_1'::regclass"; then ok "when the owner may again it goes there"; else not_ok "when the owner may again it goes there" "$(sql "SELECT * FROM hone.partitions WHERE partition = 'place_1'::regclass")"; fi

# Between the archive and the drop. A view keeps the detached partition from being dropped.
held() {
    make_table "$1" 1 "${2:-}"
    sql "CREATE VIEW shows_$1 AS SELECT count(*) FROM $1_1"
    policy "$1" "archive_after => '1 year'"
    if ! wait_until 15 "SELECT sqlstate = '2BP01' FROM hone._tier_log WHERE partition = '$1_1'::regclass ORDER BY id DESC LIMIT 1"; then not_ok "$1: waits detached" "$(sql "SELECT error FROM hone._tier_log WHERE partition = '$1_1'::regclass")"; fi
}
archive_of() { sql "SELECT archive FROM hone._tier_leaving WHERE partition = '$1'::regclass"; }
held lost
rm "$run/archives/$(archive_of lost_1)"
sql "DROP VIEW shows_lost"
archived "an archive that is gone is written anew before the rows go" lost
held damaged
file=$run/archives/$(archive_of damaged_1)
truncate -s 100 "$file"
sql "DROP VIEW shows_damaged"
archived "so is one that is damaged" damaged
held altered keeper
sql "INSERT INTO altered_1 VALUES ('2020-01-02 01:00Z', -1, 'written directly'); DELETE FROM altered_1 WHERE id = 10005;
     INSERT INTO kept_altered VALUES ('2020-01-02 01:00Z', -1, 'written directly'); DELETE FROM kept_altered WHERE id = 10005;
     ALTER TABLE altered_1 ADD COLUMN more int DEFAULT 5; ALTER TABLE altered ADD COLUMN more int DEFAULT 5; ALTER TABLE kept_altered ADD COLUMN more int DEFAULT 5;
     CREATE SCHEMA elsewhere AUTHORIZATION heir; GRANT CREATE, USAGE ON SCHEMA elsewhere TO keeper;
     ALTER TABLE altered_1 RENAME TO renamed; ALTER TABLE renamed SET SCHEMA elsewhere; ALTER TABLE elsewhere.renamed OWNER TO heir;
     DROP VIEW shows_altered"
archived "one that was renamed, moved, altered, written to and given away is archived as it is" altered
held returned
sql "DROP VIEW shows_returned; ALTER TABLE returned ATTACH PARTITION returned_1 FOR VALUES FROM ('2020-01-02 00:00Z') TO ('2020-01-03 00:00Z')" 2>/dev/null
archived "one that was attached again leaves once more" returned
held unwanted
sql "DROP TABLE unwanted_1 CASCADE" 2>/dev/null
if wait_until 10 "SELECT count(*) = 0 FROM hone._tier_leaving WHERE parent = 'unwanted'::regclass" &&
    wait_until 10 "SELECT count(*) = 0 FROM hone._archive WHERE partition_name = 'public.unwanted_1'"; then
    is "of one that was dropped meanwhile no file is left" "$(find "$run/archives" -name '*unwanted*')" ""
else
    not_ok "of one that was dropped meanwhile no file is left" "$(sql "TABLE hone._tier_leaving")"
fi

# Without an archive only while the policy says so.
make_table consent 1
sql "CREATE VIEW shows_consent AS SELECT count(*) FROM consent_1"
policy consent "drop_after => '1 year', allow_drop_without_archive => true"
wait_until 15 "SELECT sqlstate = '2BP01' FROM hone._tier_log WHERE partition = 'consent_1'::regclass ORDER BY id DESC LIMIT 1" || true
sql "SELECT hone.remove_tier_policy('consent'); DROP VIEW shows_consent" >/dev/null
shown "it is not dropped when its policy was removed" consent_1 55000 "does not say so any more"
is "its rows are there" "$(sql "SELECT count(*) FROM consent_1")" 1000
policy consent "drop_after => '1 year', allow_drop_without_archive => true"
retry
if wait_until 10 "SELECT to_regclass('consent_1') IS NULL"; then ok "with the policy again it is"; else not_ok "with the policy again it is"; fi

# Somebody else detaches what could not be.
make_table referred 1
sql "ALTER TABLE referred ADD PRIMARY KEY (at, id); CREATE TABLE refers (at timestamptz, id bigint, FOREIGN KEY (at, id) REFERENCES referred);
     INSERT INTO refers SELECT at, id FROM referred LIMIT 1"
policy referred "archive_after => '1 year'"
shown "rows that others refer to stay" referred_1 23503 "foreign key"
sql "DROP TABLE refers; ALTER TABLE referred DETACH PARTITION referred_1"
retry
sleep 2.5
is "a partition that somebody else detached is left alone" "$(sql "SELECT count(*), (SELECT count(*) FROM hone.archives WHERE partition = 'public.referred_1') FROM referred_1")" "1000|0"

# A detach of somebody else that is half-way: of the others none can be detached.
make_table pending 3
mkfifo "$run/hold"
"$HONE_BIN/psql" -XAtq -d postgres <"$run/hold" >/dev/null 2>&1 &
exec 9>"$run/hold"
echo "BEGIN; SELECT count(*) FROM pending;" >&9
wait_until 5 "SELECT count(*) > 0 FROM pg_locks WHERE relation = 'pending'::regclass" || true
PGOPTIONS="-c lock_timeout=300ms" sql "ALTER TABLE pending DETACH PARTITION pending_2 CONCURRENTLY" >/dev/null 2>&1
echo "COMMIT; \\q" >&9
exec 9>&-
wait
is "(it is pending)" "$(sql "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 'pending_2'::regclass")" t
sql "DELETE FROM kept_pending WHERE id / 10000 = 2"
policy pending "archive_after => '1 year'"
shown "a half-way detach of somebody else keeps the others" pending_1 55000 "already pending detach"
sql "ALTER TABLE pending DETACH PARTITION pending_2 FINALIZE"
archived "when it is ended the others go" pending
is "and its rows are left alone" "$(sql "SELECT count(*) FROM pending_2")" 1000

# Prepared transactions, and what goes on meanwhile.
make_table prepared 1
make_table others 2
sql "BEGIN; INSERT INTO prepared VALUES ('2020-01-02 02:00Z', -2, 'prepared'); PREPARE TRANSACTION 'trouble'"
policy prepared "archive_after => '1 year'"
policy others "warm_after => '1 year'"
if wait_until 20 "SELECT count(*) = 2 FROM hone.partitions WHERE parent = 'others'::regclass AND tier = 'warm'"; then ok "other partitions move beside it"; else not_ok "other partitions move beside it"; fi
shown "a prepared transaction that has written keeps a partition" prepared_1 55P03 "does not end" 30
start=$EPOCHREALTIME
hone_stop "$HONE_DATA" fast
is_quick "while a move waits for it the server stops at once" "$(awk "BEGIN { print $EPOCHREALTIME - $start }")"
hone_start "$HONE_DATA" "$options" || exit 1
is "its rows are there still" "$(sql "SELECT count(*) FROM prepared")" 1000
sql "COMMIT PREPARED 'trouble'" && sql "INSERT INTO kept_prepared VALUES ('2020-01-02 02:00Z', -2, 'prepared')"
archived "when it is committed they go with what it wrote" prepared 30

# Since the beginning.
like "pauses between tries double" "$(sql "SELECT string_agg((pause >= 0.9 * 2 ^ (n - 1))::text, ' ' ORDER BY n) FROM (SELECT row_number() OVER (ORDER BY id) AS n,
    extract(epoch FROM lead(started_at) OVER (ORDER BY id) - started_at) AS pause FROM hone._tier_log WHERE partition = 'missing_1'::regclass) x WHERE pause IS NOT NULL AND n <= 3")" "^true true true"
is "a tablespace that is missing is said" "$(sql "SELECT DISTINCT sqlstate FROM hone._tier_log WHERE partition = 'missing_1'::regclass"; sql "SELECT last_error FROM hone.partitions WHERE partition = 'missing_1'::regclass")" '42704
tablespace "trouble_gone" does not exist'
rm -rf "$run/gone"; mkdir "$run/gone"; own "$run/gone"
sql "CREATE TABLESPACE trouble_gone LOCATION '$run/gone'" && sql "GRANT CREATE ON TABLESPACE trouble_gone TO keeper"
sql "UPDATE hone._tier_state SET retry_at = NULL" >/dev/null
if wait_until 15 "SELECT tier = 'cold' FROM hone.partitions WHERE partition = 'missing_1'::regclass"; then ok "when it is there its rows go to it"; else not_ok "when it is there its rows go to it" "$(sql "SELECT last_error FROM hone.partitions WHERE partition = 'missing_1'::regclass")"; fi

# Full disks.
if small_disk "$run/small" && small_disk "$run/smallcold"; then
    sql "ALTER SYSTEM SET hone.archive_directory = '$run/small'" && hone_stop "$HONE_DATA" && hone_start "$HONE_DATA" "${options/archive_directory=*archives/archive_directory=$run\/small}" || exit 1
    sql "CREATE TABLESPACE trouble_small LOCATION '$run/smallcold'" || exit 1
    make_table packed 2; make_table packedcold 1
    for table in packed packedcold; do
        sql "INSERT INTO $table SELECT timestamptz '2020-01-02 00:00Z' + g * interval '1 second', -g, (SELECT string_agg(md5(random()::text || x || g), '') FROM generate_series(1, 30) x) FROM generate_series(1, 4000) g;
             TRUNCATE kept_$table; INSERT INTO kept_$table SELECT * FROM $table"
    done
    policy packed "archive_after => '1 year'"
    policy packedcold "cold_after => '1 year', cold_tablespace => 'trouble_small'"
    shown "an archive disk that is full" packed_1 53100 "No space left on device"
    shown "a tablespace that is full" packedcold_1 53100 "No space left on device"
    succeeds "small partitions go beside it" wait_until 30 "SELECT count(*) = 1 FROM hone.archives WHERE partition = 'public.packed_2'"
    is "no part of the archive is left" "$(find "$run/small" -name '*packed_1*')" ""
    is "all rows are there" "$(sql "SELECT count(*) FROM ((SELECT * FROM kept_packed WHERE id < 20000 EXCEPT ALL TABLE packed) UNION ALL (TABLE kept_packedcold EXCEPT ALL TABLE packedcold)) x" 2>&1 | tail -1)" 0
    mount -o remount,size=64m "$run/small"; mount -o remount,size=64m "$run/smallcold"
    archived "with more space the rows are archived" packed 30
    if wait_until 20 "SELECT tier = 'cold' FROM hone.partitions WHERE partition = 'packedcold_1'::regclass"; then ok "and the others go to the tablespace"; else not_ok "and the others go to the tablespace" "$(sql "SELECT last_error FROM hone.partitions WHERE partition = 'packedcold_1'::regclass")"; fi
    is "all of them" "$(sql "SELECT count(*) FROM (TABLE kept_packedcold EXCEPT ALL TABLE packedcold) x")" 0
else
    skip "full disks" "no file system can be mounted here"
fi
is "no process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log" | head -5)" ""
is "no error of a worker but the moves' own" "$(hone_background_errors "$HONE_DATA.log" | head -5)" ""
hone_stop "$HONE_DATA"

# Commands: one that hangs, one that fails, one that brings nothing back.
commands() { echo "-c hone.naptime=1s -c hone.archive_command='$1' -c hone.restore_command='$2'"; }
own "$run"
hone_server lifecycle_commands "$(commands 'sleep 1000; : %p' 'cp /archives/%f %p')" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
make_table hangs 1
policy hangs "archive_after => '1 year'"
hanging() { wait_until 20 "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'pg_hone worker' AND query LIKE '%hangs_1%'"; pgrep -fx "sleep 1000" >/dev/null; }
if hanging; then ok "(a command hangs)"; else not_ok "(a command hangs)"; fi
sql "ALTER SYSTEM SET hone.worker = off" && sql "SELECT pg_reload_conf()" >/dev/null
start=$EPOCHREALTIME
wait_until 10 "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_hone worker'"
is_quick "hone.worker = off ends it" "$(awk "BEGIN { print $EPOCHREALTIME - $start }")"
sql "ALTER SYSTEM RESET hone.worker" && sql "SELECT pg_reload_conf()" >/dev/null
if hanging; then ok "(it hangs again)"; else not_ok "(it hangs again)"; fi
start=$EPOCHREALTIME
hone_stop "$HONE_DATA" fast
is_quick "a fast shutdown ends it" "$(awk "BEGIN { print $EPOCHREALTIME - $start }")"
hone_start "$HONE_DATA" "$(commands 'exit 7; : %p' 'cp /archives/%f %p')" || exit 1
shown "a command that fails" hangs_1 38000 "failed with exit code 7"
hone_stop "$HONE_DATA"
hone_start "$HONE_DATA" "$(commands "cp -n %p $run/archives/%f" 'exit 8; : %p')" || exit 1
shown "a restore command that fails" hangs_1 38000 "failed with exit code 8"
is "all rows are there" "$(sql "SELECT count(*) FROM (TABLE kept_hangs EXCEPT ALL TABLE hangs) x")" 0
hone_stop "$HONE_DATA"
hone_start "$HONE_DATA" "$(commands "cp -n %p $run/archives/%f" "cp $run/archives/%f %p")" || exit 1
archived "with good ones the rows are archived" hangs
# the extension goes in the midst of a move
hone_stop "$HONE_DATA"
hone_start "$HONE_DATA" "$(commands 'sleep 1000; : %p' 'cp /archives/%f %p')" || exit 1
make_table orphan 1
policy orphan "archive_after => '1 year'"
wait_until 10 "SELECT count(*) > 0 FROM pg_stat_activity WHERE backend_type = 'pg_hone worker' AND query LIKE '%orphan_1%'" || true
sleep 1
succeeds "the extension can be dropped while a move hangs" sql "DROP EXTENSION pg_hone"
is "all rows are there then" "$(sql "SELECT count(*) FROM (TABLE kept_orphan EXCEPT ALL TABLE orphan) x")" 0
hone_stop "$HONE_DATA"
is "no process crashed with it" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log" | grep -v 'command was' | head -5)" ""
hone_done
