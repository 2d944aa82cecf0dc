#!/usr/bin/env bash
# The life of a recommendation: over a clean restart and a crash, a file that
# cannot be read, its end when the pattern is gone, and alerts.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
options="-c hone.history_interval=1s -c hone.alert_interval=1s"
hone_server life "$options" || exit 1
sql "CREATE EXTENSION pg_hone; CREATE TABLE page (id int PRIMARY KEY); INSERT INTO page SELECT generate_series(1, 5000);
     CREATE TABLE author (id int PRIMARY KEY, name text); INSERT INTO author SELECT g * 1009, 'a' || g FROM generate_series(1, 40) AS g"

again() { hone_start "$HONE_DATA" "$options"; }
file=$HONE_DATA/pg_stat_tmp/pg_hone.findings
deep() { sql "SELECT id FROM page ORDER BY id LIMIT 10 OFFSET $1" >/dev/null; }
loop() {
    { echo "BEGIN; SELECT id FROM author ORDER BY id;"
      for i in $(seq 40); do echo "SELECT name FROM author WHERE id = $((i * 1009));"; done
      echo "COMMIT;"; } | PGAPPNAME=looper "$HONE_BIN/psql" -XAtq -d postgres >/dev/null
    # what is left of the loop is told when the process ends
    wait_until 10 "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'looper'"
}
known() {
    sql "SELECT id, kind, relation, queryid, calls, cost_ms, summary, fix, evidence, status, first_seen, last_seen
         FROM hone.recommendations WHERE kind IN ('offset_pagination', 'n_plus_one') ORDER BY id"
}

deep 2000; deep 3000
loop; loop
wait_until 10 "SELECT count(*) = 2 FROM hone.recommendations WHERE kind IN ('offset_pagination', 'n_plus_one')"
sql "SELECT hone.dismiss_recommendation(id, 'a report') FROM hone.recommendations WHERE kind = 'offset_pagination'" >/dev/null
before=$(known)
is "there are two" "$(sql "SELECT count(*) FROM hone.recommendations WHERE kind IN ('offset_pagination', 'n_plus_one')")" 2
is "one of them confirmed" "$(sql "SELECT evidence->>'confirmed' FROM hone.recommendations WHERE kind = 'n_plus_one'")" true
hone_stop "$HONE_DATA" fast
again || exit 1
is "a clean restart loses nothing" "$(known)" "$before"
is "nor that one was dismissed" "$(sql "SELECT status FROM hone.recommendations WHERE kind = 'offset_pagination'")" dismissed
deep 2500
wait_until 10 "SELECT calls = 3 FROM hone.recommendations WHERE kind = 'offset_pagination'"
is "the same again adds to it" "$(sql "SELECT calls FROM hone.recommendations WHERE kind = 'offset_pagination'")" 3
sql "SELECT hone.reset_recommendations()" >/dev/null
loop
is "who was a parent is known after a restart" "$(sql "SELECT count(*) FROM hone.recommendations WHERE kind = 'n_plus_one'")" 1
loop
wait_until 10 "SELECT evidence->>'confirmed' = 'true' FROM hone.recommendations WHERE kind = 'n_plus_one'"
before=$(known)
sleep 2.5
hone_kill "$HONE_DATA"
again || exit 1
is "a crash loses what came after the last save, and no more" "$(known)" "$before"
is "it was confirmed" "$(sql "SELECT evidence->>'confirmed' FROM hone.recommendations WHERE kind = 'n_plus_one'")" true

# Files that are not what they should be.
damaged() {
    again || exit 1
    is "$1: the server starts without recommendations" "$(known)" ""
    like "$1: a warning says why" "$(tail -20 "$HONE_DATA.log")" "WARNING: .*the saved recommendations in file .*pg_hone.findings.* were not loaded: $2"
    succeeds "$1: the file was set aside" test -s "$file.unreadable"
    rm -f "$file.unreadable"
    hone_stop "$HONE_DATA" fast
}
hone_stop "$HONE_DATA" fast
cp "$file" "$HONE_WORK/whole"
put() { cat >"$file"; chown --reference="$HONE_DATA" "$file"; }
half=$(($(stat -c %s "$HONE_WORK/whole") / 2))
head -c "$half" "$HONE_WORK/whole" | put
damaged "half a file" "its checksum is wrong"
{ head -c 200 "$HONE_WORK/whole"; printf 'XXXX'; tail -c +205 "$HONE_WORK/whole"; } | put
damaged "other bytes" "its checksum is wrong"
printf 'x' | put
damaged "one byte" "it is too short"
head -c 8192 /dev/urandom | put
damaged "noise" "its checksum is wrong"

# Alerts: told once, again when they become graver, gone with their cause.
again || exit 1
sql "ALTER SYSTEM SET hone.alert_severity = 'low'"
sql "SELECT pg_reload_conf()" >/dev/null
# until_there NAME: until that file is in $HONE_WORK, or for 20 seconds
until_there() { for _ in $(seq 200); do [ ! -e "$HONE_WORK/$1" ] || break; sleep 0.1; done; }
{ echo "LISTEN hone_alerts;"; for _ in $(seq 200); do [ ! -e "$HONE_WORK/heard_it" ] || break; echo "SELECT pg_sleep(0.1);"; sleep 0.1; done; } |
    "$HONE_BIN/psql" -XAtq -d postgres >"$HONE_WORK/heard" 2>&1 &
listener=$!
wait_until 10 "SELECT count(*) > 0 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(0.1)%'"
deep 2000
loop
wait_until 10 "SELECT count(*) >= 1 FROM hone.alerts WHERE kind = 'n_plus_one'"
is "what is open is an alert, what is dismissed is not" "$(sql "SELECT string_agg(DISTINCT kind, ' ' ORDER BY kind) FROM hone.alerts WHERE kind IN ('n_plus_one', 'offset_pagination')")" n_plus_one
for _ in $(seq 100); do ! grep -q n_plus_one "$HONE_WORK/heard" || break; sleep 0.1; done
sleep 1.5
touch "$HONE_WORK/heard_it"
wait "$listener"
like "who listens is told" "$(cat "$HONE_WORK/heard")" "hone_alerts.*\"kind\" : \"n_plus_one\".*author"
is "once" "$(grep -c n_plus_one "$HONE_WORK/heard")" 1
sql "SELECT hone.dismiss_recommendation(id) FROM hone.recommendations WHERE kind = 'n_plus_one'" >/dev/null
is "dismissed it is no alert" "$(sql "SELECT count(*) FROM hone.alerts WHERE kind = 'n_plus_one'")" 0
wait_until 10 "SELECT count(*) = 0 FROM hone._alert AS a JOIN hone.recommendations AS r USING (id) WHERE r.status = 'dismissed'"
is "and forgotten" "$(sql "SELECT count(*) FROM hone._alert AS a JOIN hone.recommendations AS r USING (id) WHERE r.status = 'dismissed'")" 0

# A session that is idle in a transaction, of a role that is gone.
sql "CREATE ROLE ghost LOGIN"
{ echo "BEGIN; SELECT 1;"; until_there ghost_goes; } | "$HONE_BIN/psql" -XAtq -U ghost -d postgres >/dev/null &
ghost=$!
wait_until 10 "SELECT count(*) = 1 FROM pg_stat_activity WHERE usename = 'ghost' AND state = 'idle in transaction'"
sql "DROP ROLE ghost"
sleep 1.2
is "an idle transaction of a role that is gone is told without a name" "$(sql "SET hone.advise_idle_in_transaction = '1s'; SELECT calls, evidence ? 'for_role' FROM hone.recommendations WHERE kind = 'idle_in_transaction'")" "1|f"
touch "$HONE_WORK/ghost_goes"
wait "$ghost"

# Nothing confirms it any more.
sql "ALTER SYSTEM SET hone.recommendation_ttl = '1s'"
sql "SELECT pg_reload_conf()" >/dev/null
sleep 2
is "what is not seen again closes" "$(known)" ""
is "nothing went wrong" "$(grep -cE 'PANIC|terminated by signal 11|ERROR' "$HONE_DATA.log")" 0
hone_stop "$HONE_DATA" fast
hone_done
