#!/usr/bin/env bash
# Recommendations that are applied: an index is built beside readers and
# writers, is measured, and what fails leaves nothing behind.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
hone_server apply -c hone.history_interval=1s -c hone.advise_index_size=0 || exit 1
sql "CREATE EXTENSION pg_hone;
     CREATE ROLE owner; CREATE ROLE other; GRANT CREATE ON SCHEMA public TO owner;
     CREATE TABLE \"big Table\" AS SELECT g AS id, g % 5000 AS n, repeat('x', 100) AS pad FROM generate_series(1, 200000) g;
     CREATE TABLE small AS SELECT g AS id, g % 5000 AS n FROM generate_series(1, 50000) g;
     ALTER TABLE \"big Table\" OWNER TO owner; ALTER TABLE small OWNER TO owner; GRANT SELECT ON \"big Table\" TO other; ANALYZE" || exit 1
scan() { for i in 1 2 3; do sql "SELECT * FROM $1 WHERE n = $i" >/dev/null; done; }
id_of() { sql "SELECT id FROM hone.recommendations WHERE kind = 'missing_index' AND relation = '$1'::regclass AND summary ~ '\\(n'"; }
state() { sql "SELECT state FROM hone.applied_recommendations WHERE relation = '$1'::regclass"; }
scan '"big Table"'
wait_until 20 "SELECT count(*) = 1 FROM hone.recommendations WHERE kind = 'missing_index'"
id=$(id_of '"big Table"')

refuses "one that is not there" 42704 "recommendations lists them" "SELECT hone.apply_recommendation(7)"
refuses "of somebody else's table" 42501 "owner" "SET ROLE other; SELECT hone.apply_recommendation($id)"
for i in 2000 3000; do sql "SELECT id FROM small ORDER BY id LIMIT 10 OFFSET $i" >/dev/null; done
wait_until 20 "SELECT count(*) = 1 FROM hone.recommendations WHERE kind = 'offset_pagination'"
refuses "one that is no index" 0A000 "cannot be applied for you" "SELECT hone.apply_recommendation(id) FROM hone.recommendations WHERE kind = 'offset_pagination'"
is "nothing is queued" "$(sql "SELECT count(*) FROM hone.applied_recommendations")" 0
refuses "nor after ROLLBACK" 22012 "division" "BEGIN; SELECT hone.apply_recommendation($id); SELECT 1 / 0"
is "nobody else sees it" "$(sql "SET ROLE other; SELECT count(*) FROM hone.applied_recommendations")" 0
is "nothing is queued then" "$(sql "SELECT count(*) FROM hone.applied_recommendations")" 0

# A transaction that writes keeps the build waiting, and nobody else.
open_session
ask "BEGIN; INSERT INTO \"big Table\" VALUES (0, 0, ''); SELECT 'wrote';" >/dev/null
sql "SET ROLE owner; SELECT hone.apply_recommendation($id)" >/dev/null
succeeds "the worker begins at once" wait_until 20 "SELECT progress LIKE 'waiting for%' FROM hone.applied_recommendations WHERE id = $id"
is "it is running" "$(sql "SELECT state, requested_by FROM hone.applied_recommendations"; sql "SELECT status FROM hone.recommendations WHERE id = $id")" "running|owner
applied"
refuses "twice at once" 55006 "applied_recommendations" "SELECT hone.apply_recommendation($id)"
is "others write meanwhile" "$(sql "SET lock_timeout = '10s'; UPDATE \"big Table\" SET pad = 'y' WHERE id = 5; SELECT 'yes'")" yes
# it is ended in the midst: the leftover goes, and it is tried again
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND backend_type = 'pg_hone command'" >/dev/null
tell "COMMIT;"
succeeds "what fails is to be tried again" wait_until 20 "SELECT state = 'waiting' AND last_error IS NOT NULL AND retry_at > now() FROM hone.applied_recommendations WHERE id = $id"
is "without what it left" "$(sql "SELECT count(*) FROM pg_index WHERE indrelid = '\"big Table\"'::regclass")" 0
is "another transaction keeps it waiting" "$(ask "BEGIN; UPDATE \"big Table\" SET pad = 'z' WHERE id = 6; SELECT 'wrote';")" wrote
sql "UPDATE hone._applied SET retry_at = NULL"
sql "CALL hone._run_applied()" &
run=$!
succeeds "when it is tried again" wait_until 20 "SELECT progress LIKE 'waiting for%' FROM hone.applied_recommendations WHERE id = $id"
released=$(sql "SELECT clock_timestamp()")
tell "COMMIT;"
wait "$run"
wait_until 20 "SELECT state = 'done' FROM hone.applied_recommendations WHERE id = $id"
is "it was finished when the index was" "$(sql "SELECT finished_at > '$released' FROM hone.applied_recommendations WHERE id = $id")" t
is "it is done" "$(state '"big Table"') $(sql "SELECT attempts, last_error IS NULL, finished_at IS NOT NULL FROM hone.applied_recommendations")" "done 2|t|t"
like "the index is there, the owner's, and valid" "$(sql "SELECT indexrelid::regclass, indisvalid, pg_get_userbyid(relowner) FROM pg_index JOIN pg_class ON oid = indexrelid WHERE indrelid = '\"big Table\"'::regclass")" '^"big Table_hone_[0-9a-f]{6}_idx"\|t\|owner$'
is "the recommendation is gone" "$(sql "SELECT count(*) FROM hone.recommendations WHERE id = $id")" 0

# Measured again, before and after.
sleep 2.5
for i in $(seq 25); do echo "SELECT * FROM \"big Table\" WHERE n = $i;"; done | "$HONE_BIN/psql" -XAtq -d postgres >/dev/null
measured() { sql "CALL hone._run_applied()"; [ "$(state '"big Table"')" != done ]; }
for _ in $(seq 30); do measured && break; sleep 0.5; done
is "it helped, by its own queries' latency" "$(sql "SELECT state, (before->0->>'p95_ms')::float8 > (after->0->>'p95_ms')::float8, (after->0->>'calls')::int >= 20 FROM hone.applied_recommendations")" "helped|t|t"
undo=$(sql "SELECT undo FROM hone.applied_recommendations")
succeeds "the way back" sql "$undo"
is "is one" "$(sql "SELECT count(*) FROM pg_index WHERE indrelid = '\"big Table\"'::regclass")" 0

# An index that is there twice: one goes, and the way back makes it again.
sql "CREATE INDEX one ON \"big Table\" (n, id); CREATE INDEX two ON \"big Table\" (n, id); SELECT id FROM \"big Table\" WHERE n = 5 AND id = 5" >/dev/null
wait_until 20 "SELECT count(*) = 1 FROM hone.recommendations WHERE kind = 'duplicate_index'"
sql "SELECT hone.apply_recommendation(id) FROM hone.recommendations WHERE kind = 'duplicate_index'" >/dev/null
succeeds "one of two goes" wait_until 20 "SELECT state = 'done' FROM hone.applied_recommendations WHERE kind = 'duplicate_index'"
is "the other one stays" "$(sql "SELECT count(*) FROM pg_index WHERE indrelid = '\"big Table\"'::regclass")" 1
succeeds "its way back" sql "$(sql "SELECT undo FROM hone.applied_recommendations WHERE kind = 'duplicate_index'")"
is "makes it again" "$(sql "SELECT count(*), count(DISTINCT indkey::text) FROM pg_index WHERE indrelid = '\"big Table\"'::regclass")" "2|1"


# Between the request and the try others swap indexes: the one of that name is another now.
wait_until 20 "SELECT count(*) = 1 FROM hone.recommendations WHERE kind = 'duplicate_index' AND status = 'open'"
sql "ALTER SYSTEM SET hone.worker = off" && sql "SELECT pg_reload_conf()" >/dev/null
wait_until 20 "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_hone worker'"
again=$(sql "SELECT id FROM hone.recommendations WHERE kind = 'duplicate_index'")
sql "SELECT hone.apply_recommendation($again)" >/dev/null
dropped=$(sql "SELECT substring(fix FROM 'public[.](.*)') FROM hone.applied_recommendations WHERE id = $again")
sql "ALTER INDEX $dropped RENAME TO swapped; CREATE UNIQUE INDEX $dropped ON small (id)" || exit 1
sql "CALL hone._run_applied()"
like "an index of the same name stays" "$(sql "SELECT state, last_error, to_regclass('$dropped') IS NOT NULL FROM hone.applied_recommendations WHERE id = $again")" "^failed\|the index is not the one that was meant\|t$"
sql "DROP INDEX $dropped; ALTER INDEX swapped RENAME TO $dropped; SELECT hone.apply_recommendation($again)" >/dev/null
# and its twin goes before: it is no duplicate any more
sql "DO \$\$ DECLARE i regclass; BEGIN FOR i IN SELECT indexrelid FROM pg_index WHERE indrelid = '\"big Table\"'::regclass AND indexrelid <> to_regclass('$dropped') LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END \$\$"
sql "CALL hone._run_applied()"
is "one that is no duplicate any more stays" "$(sql "SELECT state, last_error, to_regclass('$dropped') IS NOT NULL FROM hone.applied_recommendations WHERE id = $again")" "failed|it is not recommended any more|t"

# REINDEX that fails leaves nothing, and what is dismissed is not tried again.
sql "INSERT INTO hone._applied (id, kind, relation, summary, queryids, fix, index, index_oid, requested_by)
     SELECT 5, 'bloated_index', '\"big Table\"', 's', '{}', 'REINDEX INDEX CONCURRENTLY public.$dropped', 'public.$dropped', to_regclass('$dropped'), 10"
ask "BEGIN; INSERT INTO \"big Table\" VALUES (0, 0, ''); SELECT 'wrote';" >/dev/null
sql "CALL hone._run_applied()" &
rebuild=$!
wait_until 20 "SELECT count(*) > 0 FROM pg_class WHERE relname = '${dropped}_ccnew'"
tell "COMMIT;"
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'pg_hone command' AND query LIKE 'REINDEX%'" >/dev/null
wait "$rebuild"
is "REINDEX leaves nothing" "$(sql "SELECT count(*) FROM pg_class WHERE relname ~ '_cc(new|old)'")" 0
sql "UPDATE hone._applied SET finished_at = NULL, error = NULL, running = false, retry_at = NULL WHERE id = 5; INSERT INTO hone.dismissed_recommendations (id, fingerprint, kind, summary) VALUES (5, 5, 'bloated_index', 's')"
sql "CALL hone._run_applied()"
is "dismissed" "$(sql "SELECT state, last_error FROM hone.applied_recommendations WHERE id = 5")" "failed|the recommendation was dismissed"
sql "UPDATE hone._applied SET finished_at = NULL, error = NULL, running = true, attempts = 3, retry_at = now() WHERE id = 5"
sql "CALL hone._run_applied()"
like "three crashes are enough" "$(sql "SELECT state, last_error FROM hone.applied_recommendations WHERE id = 5")" "^failed.the server or its worker ended"

# What cannot be done is not tried again.
scan small
wait_until 20 "SELECT count(*) = 1 FROM hone.recommendations WHERE kind = 'missing_index' AND relation = 'small'::regclass AND summary ~ '\\(n'"
sql "ALTER SYSTEM SET hone.worker = off" && sql "SELECT pg_reload_conf()" >/dev/null
sql "SELECT hone.apply_recommendation($(id_of small))" >/dev/null
is "without a worker it is queued" "$(state small)" queued
sql "ALTER TABLE small RENAME n TO m"
sql "CALL hone._run_applied()"
is "a column that is gone" "$(sql "SELECT state, retry_at IS NULL, last_error FROM hone.applied_recommendations WHERE relation = 'small'::regclass")" 'failed|t|column "n" does not exist'
sql "ALTER TABLE small RENAME m TO n"
sql "SELECT hone.apply_recommendation($(id_of small))" >/dev/null
sql "CALL hone._run_applied()"
is "asked again it is done" "$(state small)" "done"
sql "DROP TABLE small"
sql "CALL hone._run_applied()"
is "a dropped table is forgotten" "$(sql "SELECT count(*) FROM hone.applied_recommendations WHERE kind = 'missing_index' AND relation::oid NOT IN (SELECT oid FROM pg_class)")" 0
close_session
succeeds "DROP EXTENSION" sql "DROP EXTENSION pg_hone"
is "no server process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log")" ""
hone_done
