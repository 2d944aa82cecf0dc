#!/usr/bin/env bash
# Recommendations that are applied to partitioned tables: nobody waits, what a
# try has done stays, also when the server is killed, and partitions that come,
# go or belong to others are no trouble.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/session.sh"
hone_prepare
options=(-c hone.history_interval=1s -c hone.advise_index_size=0)
hone_server apply_partitions "${options[@]}" || exit 1
sql "ALTER SYSTEM SET hone.worker = off"
sql "SELECT pg_reload_conf(); CREATE EXTENSION pg_hone;
     CREATE ROLE owner; CREATE ROLE other; GRANT CREATE ON SCHEMA public TO owner, other;
     CREATE TABLE \"the Table\" (at int, n int, pad text) PARTITION BY RANGE (at);
     CREATE TABLE t_1 PARTITION OF \"the Table\" FOR VALUES FROM (0) TO (10);
     CREATE TABLE t_2 PARTITION OF \"the Table\" FOR VALUES FROM (10) TO (20);
     CREATE TABLE t_3 PARTITION OF \"the Table\" FOR VALUES FROM (20) TO (40) PARTITION BY RANGE (at);
     CREATE TABLE t_31 PARTITION OF t_3 FOR VALUES FROM (20) TO (30);
     CREATE TABLE t_32 (pad text, n int, at int);
     ALTER TABLE t_3 ATTACH PARTITION t_32 FOR VALUES FROM (30) TO (40);
     INSERT INTO \"the Table\" SELECT g % 40, g % 5000, repeat('x', 100) FROM generate_series(1, 80000) g;
     ALTER TABLE \"the Table\" OWNER TO owner; ALTER TABLE t_1 OWNER TO owner; ALTER TABLE t_3 OWNER TO owner; ALTER TABLE t_31 OWNER TO owner; ALTER TABLE t_32 OWNER TO other;
     ANALYZE" >/dev/null || exit 1
wait_until 20 "SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'pg_hone worker'"
scan() { for i in 1 2 3; do sql "SELECT * FROM \"the Table\" WHERE n = $i" >/dev/null; done; wait_until 20 "SELECT count(*) = 1 FROM hone.recommendations WHERE kind = 'missing_index'"; }
due() { sql "UPDATE hone._applied SET retry_at = NULL" && sql "CALL hone._run_applied()"; }
indexes() { sql "SELECT string_agg(format('%s %s %s', t::regclass, indisvalid, i.relispartition), ', ' ORDER BY t::regclass::text) FROM hone._tree('\"the Table\"'::regclass) t JOIN pg_index ON indrelid = t JOIN pg_class i ON i.oid = indexrelid"; }
leaf_index() { sql "SELECT indexrelid FROM pg_index WHERE indrelid = '$1'::regclass"; }
whole() { sql "SELECT bool_and(indisvalid AND (relispartition OR relkind = 'I')), count(*) FROM hone._tree('\"the Table\"'::regclass) t JOIN pg_index ON indrelid = t JOIN pg_class i ON i.oid = indexrelid"; }
run_text() { "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -d postgres -f - <<<"$1"; }
scan
id=$(sql "SELECT id FROM hone.recommendations WHERE kind = 'missing_index'")
is "the fix is one for each partition" "$(sql "SELECT fix FROM hone.recommendations WHERE id = $id")" 'CREATE INDEX "the Table_n_idx" ON ONLY public."the Table" (n);
CREATE INDEX CONCURRENTLY t_1_n_idx ON public.t_1 (n);
CREATE INDEX CONCURRENTLY t_2_n_idx ON public.t_2 (n);
CREATE INDEX t_3_n_idx ON ONLY public.t_3 (n);
CREATE INDEX CONCURRENTLY t_31_n_idx ON public.t_31 (n);
CREATE INDEX CONCURRENTLY t_32_n_idx ON public.t_32 (n);
ALTER INDEX public.t_3_n_idx ATTACH PARTITION public.t_31_n_idx;
ALTER INDEX public.t_3_n_idx ATTACH PARTITION public.t_32_n_idx;
ALTER INDEX public."the Table_n_idx" ATTACH PARTITION public.t_1_n_idx;
ALTER INDEX public."the Table_n_idx" ATTACH PARTITION public.t_2_n_idx;
ALTER INDEX public."the Table_n_idx" ATTACH PARTITION public.t_3_n_idx;'

# What cannot be done is refused before anything is done.
refuses "a superuser's partition of somebody else's table" 42501 "belongs to a superuser" "SET ROLE owner; SELECT hone.apply_recommendation($id)"
sql "ALTER TABLE t_2 OWNER TO owner; CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w;
     CREATE FOREIGN TABLE t_f PARTITION OF \"the Table\" FOR VALUES FROM (40) TO (50) SERVER s" || exit 1
refuses "a foreign table" 0A000 "run it yourself" "SELECT hone.apply_recommendation($id)"
like "the fix leaves it out" "$(sql "SELECT fix FROM hone.recommendations WHERE id = $id" | tail -1)" '^CREATE INDEX "the Table_n_idx" ON public."the Table" [(]n[)];$'
succeeds "and does what it says" run_text "$(sql "SELECT fix FROM hone.recommendations WHERE id = $id")"
is "everywhere" "$(whole)" "t|6"
sql "DROP INDEX \"the Table_n_idx\"; DROP FOREIGN TABLE t_f; CREATE INDEX mine ON t_31 (n)" || exit 1
is "nothing is queued" "$(sql "SELECT count(*) FROM hone.applied_recommendations")" 0

# The server is killed while a writer keeps the second partition's build waiting.
open_session
ask "BEGIN; INSERT INTO t_2 VALUES (10, 0, ''); SELECT 'wrote';" >/dev/null
sql "SET ROLE owner; SELECT hone.apply_recommendation($id)" >/dev/null
sql "CALL hone._run_applied()" 2>/dev/null &
run=$!
succeeds "it is seen how far it is" wait_until 20 "SELECT progress ~ '^1 of 4 partitions, waiting for' FROM hone.applied_recommendations"
is "others write meanwhile" "$(sql "SET lock_timeout = '10s'; INSERT INTO \"the Table\" SELECT g, 0, '' FROM generate_series(0, 39) g; SELECT 'yes'")" yes
first=$(leaf_index t_1)
hone_kill "$HONE_DATA"
wait "$run"
close_session
hone_start "$HONE_DATA" "${options[@]}" || exit 1
is "the rest of it is there" "$(indexes)" '"the Table" f f, t_1 t t, t_2 f f, t_3 f t, t_31 t f'
is "it is tried again within the hour" "$(sql "SELECT state, retry_at <= now() + interval '1 hour' FROM hone.applied_recommendations")" "running|t"
sql "SET ROLE owner; CREATE TABLE t_4 PARTITION OF \"the Table\" FOR VALUES FROM (40) TO (50)" || exit 1
left=$(leaf_index t_2)
due
is "it goes on" "$(whole) $(sql "SELECT state, last_error IS NULL, progress IS NULL FROM hone.applied_recommendations")" "t|7 done|t|t"
is "what was built stays" "$(leaf_index t_1)" "$first"
isnt "what was not is built anew" "$(leaf_index t_2)" "$left"
is "each is its table's owner's" "$(sql "SELECT count(*) FILTER (WHERE t.relowner = i.relowner), count(*) FILTER (WHERE i.relowner = 'other'::regrole) FROM hone._tree('\"the Table\"'::regclass) o JOIN pg_class t ON t.oid = o JOIN pg_index ON indrelid = o JOIN pg_class i ON i.oid = indexrelid")" "7|1"
is "one that was there is taken" "$(sql "SELECT relispartition FROM pg_class WHERE relname = 'mine'")" t
like "it is used" "$(sql "EXPLAIN SELECT * FROM \"the Table\" WHERE n = 7")" "hone_[0-9a-f]{6}_[0-9]+_idx"
is "the recommendation is gone" "$(sql "SELECT count(*) FROM hone.recommendations WHERE kind = 'missing_index'")" 0
succeeds "the way back" run_text "$(sql "SELECT undo FROM hone.applied_recommendations")"
is "is one" "$(whole)" "|0"

# A build that is ended is begun anew, and a partition that cannot have one does
# not hold up the others.
sql "DELETE FROM hone._applied; REVOKE CREATE ON SCHEMA public FROM other" && scan
id=$(sql "SELECT id FROM hone.recommendations WHERE kind = 'missing_index'")
sql "SELECT hone.apply_recommendation($id)" >/dev/null
open_session
ask "BEGIN; INSERT INTO t_2 VALUES (10, 0, ''); SELECT 'wrote';" >/dev/null
sql "CALL hone._run_applied()" &
run=$!
wait_until 20 "SELECT phase LIKE 'waiting%' FROM pg_stat_progress_create_index WHERE relid = 't_2'::regclass"
left=$(leaf_index t_2)
sql "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index WHERE relid = 't_2'::regclass" >/dev/null
succeeds "the rest of it is dropped" wait_until 20 "SELECT count(*) = 1 FROM pg_stat_activity WHERE query = 'DROP INDEX CONCURRENTLY ' || ${left}::regclass::text OR query = 'DROP INDEX CONCURRENTLY public.' || ${left}::regclass::text"
tell "COMMIT;"
wait "$run"
is "all others have it" "$(indexes)" '"the Table" f f, t_1 t t, t_2 t t, t_3 f t, t_31 t t, t_4 t t'
is "it is said who has not" "$(sql "SELECT state, progress, last_error FROM hone.applied_recommendations")" "failed|4 of 5 partitions|public.t_32: permission denied for schema public"
first=$(leaf_index '"the Table"')
sql "GRANT CREATE ON SCHEMA public TO other; SELECT hone.apply_recommendation($id)" >/dev/null
# the only one without goes, so that no ATTACH is left that could make it valid
sql "ALTER TABLE t_3 DETACH PARTITION t_32"
due
is "asked again it goes on, and is whole" "$(whole) $(sql "SELECT state, last_error IS NULL FROM hone.applied_recommendations") $(leaf_index '"the Table"')" "t|6 done|t $first"
# a name of ours on a table that is none of its partitions
prefix=$(sql "SELECT substring(fix FROM 'hone_[0-9a-f]{6}_') FROM hone.applied_recommendations")
sql "CREATE UNIQUE INDEX CONCURRENTLY ${prefix}$(sql "SELECT 't_32'::regclass::oid")_idx ON t_32 (n)" 2>/dev/null
is "an invalid index" "$(sql "SELECT indisvalid FROM pg_index WHERE indrelid = 't_32'::regclass")" f
sql "UPDATE hone._applied SET finished_at = NULL"
due
is "of a partition that went is dropped" "$(sql "SELECT count(*) FROM pg_index WHERE indrelid = 't_32'::regclass")" 0

# What a foreign key lacks, and an index that is there twice.
sql "CREATE TABLE one (id int PRIMARY KEY); INSERT INTO one SELECT generate_series(1, 100);
     CREATE TABLE refers (a int, one int REFERENCES one) PARTITION BY RANGE (a);
     CREATE TABLE refers_1 PARTITION OF refers FOR VALUES FROM (0) TO (10);
     CREATE TABLE refers_2 PARTITION OF refers DEFAULT;
     INSERT INTO refers SELECT g % 20, g % 90 + 1 FROM generate_series(1, 5000) g;
     ANALYZE refers; DELETE FROM one WHERE id > 95"
wait_until 20 "SELECT count(*) = 1 FROM hone.recommendations WHERE kind = 'foreign_key_without_index'"
sql "SELECT hone.apply_recommendation(id) FROM hone.recommendations WHERE kind = 'foreign_key_without_index'" >/dev/null
due
is "a foreign key's" "$(sql "SELECT state, last_error FROM hone.applied_recommendations WHERE kind = 'foreign_key_without_index'"; sql "SELECT count(*), bool_and(indisvalid) FROM hone._tree('refers'::regclass) t JOIN pg_index ON indrelid = t")" "done|
3|t"
sql "CREATE INDEX zz ON refers (one)"
sql "SELECT hone.apply_recommendation(id) FROM hone.recommendations WHERE kind = 'duplicate_index'" >/dev/null
ask "BEGIN; SELECT count(*) FROM refers WHERE one = 5;" >/dev/null
due &
run=$!
sleep 1
tell "COMMIT;"
wait "$run"
is "one of two goes, as soon as nobody reads" "$(sql "SELECT state, attempts FROM hone.applied_recommendations WHERE kind = 'duplicate_index'"; sql "SELECT count(*) FROM hone._tree('refers'::regclass) t JOIN pg_index ON indrelid = t")" "done|1
3"
succeeds "its way back" run_text "$(sql "SELECT undo FROM hone.applied_recommendations WHERE kind = 'duplicate_index'")"
is "makes it again" "$(sql "SELECT count(*), bool_and(indisvalid), to_regclass('zz') IS NOT NULL FROM hone._tree('refers'::regclass) t JOIN pg_index ON indrelid = t")" "6|t|t"

# Of many partitions psql makes the commands.
sql "CREATE TABLE many (a int, b text) PARTITION BY RANGE (a)"
sql "DO \$\$ BEGIN FOR i IN 1 .. 101 LOOP EXECUTE format('CREATE TABLE many_%s PARTITION OF many FOR VALUES FROM (%s) TO (%s)', i, i, i + 1); END LOOP; END \$\$"
fix=$(sql "SELECT hone._index_everywhere('many'::regclass, '(b text_pattern_ops) WHERE b <> '''' ')")
is "a short text" "$(wc -l <<<"$fix")" 2
succeeds "that psql runs" run_text "$fix"
is "in all of them" "$(sql "SELECT count(*), bool_and(indisvalid) FROM hone._tree('many'::regclass) t JOIN pg_index ON indrelid = t")" "102|t"
close_session
succeeds "DROP EXTENSION" sql "DROP EXTENSION pg_hone"
is "no server process crashed" "$(grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log" | grep -v 'signal 9')" ""
hone_done
