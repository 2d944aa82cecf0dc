#!/usr/bin/env bash
# kill -9 of the whole server, and cancels, in the middle of named jobs: gone on
# with, each row is changed exactly once. What an unnamed call did stays, and
# its row in the progress view goes.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server crash_batch "-c autovacuum=off" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1

rows=60000
sql "CREATE TABLE u (id int PRIMARY KEY, v int NOT NULL DEFAULT 0, note text DEFAULT repeat('x', 60));
     INSERT INTO u (id) SELECT i FROM generate_series(1, $rows) i;
     CREATE TABLE p (id int, day int, v int NOT NULL DEFAULT 0, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
     CREATE TABLE p_1 PARTITION OF p FOR VALUES IN (1);
     CREATE TABLE p_2 PARTITION OF p FOR VALUES IN (2) USING tiered;
     INSERT INTO p SELECT i, 1 + i % 2 FROM generate_series(1, $rows) i;
     CREATE TABLE m (id int, note text);
     INSERT INTO m SELECT i, 'note ' || i FROM generate_series(1, $rows) i;
     CREATE TABLE m_to (note text, id int PRIMARY KEY);
     CREATE TABLE d AS SELECT i AS id FROM generate_series(1, $rows) i;
     ANALYZE" || exit 1
sql "CALL hone.compress('p_2')" 2>/dev/null || exit 1

# killed in between; a pause, so that none is done before that: 120 batches take
# more than six seconds, and they are killed after about four of each
begin() { sql "$1" >>"$HONE_WORK/calls.log" 2>&1 & }
update="CALL hone.batch_update('u', 'v = v + 1', 'true', 500, pause => '50 ms', job => 'update')"
parts="CALL hone.batch_update('p', 'v = v + 1', 'true', 500, pause => '50 ms', job => 'parts')"
move="CALL hone.batch_move('m', 'm_to', 'true', 500, pause => '50 ms', job => 'move')"
purge="CALL hone.batch_delete('d', 'id > 100', 500, pause => '50 ms', job => 'purge')"

# how many rows of each the jobs say they have changed, and how many they have
said() { sql "SELECT job, rows_done FROM hone.batch_progress WHERE job IS NOT NULL ORDER BY job"; }
seen() {
    sql "SELECT 'move', count(*) FROM m_to UNION ALL SELECT 'parts', sum(v) FROM p
         UNION ALL SELECT 'purge', $rows - count(*) FROM d UNION ALL SELECT 'update', sum(v) FROM u ORDER BY 1"
}

for round in 1 2; do
    begin "$update"
    begin "$parts"
    begin "$move"
    begin "$purge"
    before=$(sql "SELECT coalesce(sum(rows_done), 0) FROM hone.batch_progress")
    wait_until 20 "SELECT sum(rows_done) > $before + 6000 AND min(rows_done) > 0 FROM hone.batch_progress" || not_ok "jobs run, round $round"
    hone_kill "$HONE_DATA"
    wait
    hone_start "$HONE_DATA" "-c autovacuum=off" || exit 1
    is "kill $round: what jobs say is what they did" "$(said)" "$(seen)"
    is "kill $round: no row was changed twice, none is in two tables" "$(sql "SELECT (SELECT max(v) FROM u), (SELECT max(v) FROM p),
        (SELECT count(*) + (SELECT count(*) FROM m_to) FROM m), (SELECT count(*) FROM m JOIN m_to USING (id))")" "1|1|$rows|0"
done
is "they are stopped now" "$(sql "SELECT count(*), min(state), max(state), count(pid) FROM hone.batch_progress")" "4|stopped|stopped|0"

# cancelled in the middle
begin "$update"
wait_until 20 "SELECT state = 'running' AND updated_at > now() - interval '1 s' FROM hone.batch_progress WHERE job = 'update'" || not_ok "the job goes on"
sql "SELECT pg_cancel_backend(pid) FROM hone.batch_progress WHERE job = 'update'" >/dev/null
wait
like "a cancel says so" "$(tail -5 "$HONE_WORK/calls.log")" "canceling statement due to user request"
is "what it did until then stays" "$(sql "SELECT rows_done = (SELECT sum(v) FROM u) AND rows_done < $rows, state FROM hone.batch_progress WHERE job = 'update'")" "t|stopped"

for call in "$update" "$parts" "$move" "$purge"; do
    succeeds "gone on with: ${call:10:20}" sql "${call/pause => \'50 ms\', /}"
done
is "each row is changed exactly once" "$(sql "SELECT (SELECT count(*) FROM u WHERE v = 1), (SELECT count(*) FROM p WHERE v = 1),
    (SELECT count(*) FROM m_to WHERE note = 'note ' || id), (SELECT count(*) FROM m), (SELECT count(*) FROM d)")" "$rows|$rows|$rows|0|100"
is "and the jobs are done" "$(sql "SELECT job, state, rows_done FROM hone.batch_progress ORDER BY job")" "move|done|$rows
parts|done|$rows
purge|done|$((rows - 100))
update|done|$rows"
is "also when asked again" "$(sql "$update" 2>/dev/null) $(sql "SELECT max(v) FROM u")" "0 1"

# without a name
begin "CALL hone.batch_update('u', 'v = 5', 'true', 500, pause => '50 ms')"
wait_until 20 "SELECT rows_done > 1000 FROM hone.batch_progress WHERE job IS NULL" || not_ok "an unnamed call shows"
PGOPTIONS="-c hone.batch_notice_interval=20ms" begin "CALL hone.batch_delete('m_to', 'true', 500, pause => '50 ms')"
wait_until 20 "SELECT count(*) = 2 FROM hone.batch_progress WHERE job IS NULL AND rows_done > 1000" || not_ok "two unnamed calls show"
hone_kill "$HONE_DATA"
wait
hone_start "$HONE_DATA" "-c autovacuum=off" || exit 1
like "notices say how far it is" "$(cat "$HONE_WORK/calls.log")" "hone.batch_delete: [0-9]+ of about [0-9]+ rows, [0-9]+ rows/s, 0:00:[0-9]+ left, block [0-9]+, 0 errors"
is "a crashed call without a name is gone from the view" "$(sql "SELECT count(*) FROM hone.batch_progress WHERE job IS NULL")" "0"
is "what it did stays" "$(sql "SELECT count(*) FILTER (WHERE v = 5) > 1000, count(*) FROM u")" "t|$rows"
sql "CALL hone.batch_delete('d', 'false')" >/dev/null
is "and so does its row with the next call" "$(sql "SELECT count(*) FROM hone._batch_job WHERE name IS NULL")" "0"
hone_done
