#!/usr/bin/env bash
# A hostile owner: functions in index expressions, CHECKs that are evaluated
# while planning, domains, generated columns, defaults, triggers and row security
# try to become more than their owner, and write down as whom they ran, while
# the worker and a superuser compress, archive, detach, drop and restore the
# partitions. (Only superusers can make output functions of types, operator
# classes and event triggers.)
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
run=$HONE_WORK/run/hostile
mkdir -p "$run/archives" "$run/cold"
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$run/archives" "$run/cold"
hone_server lifecycle_hostile "-c hone.naptime=1s -c hone.archive_directory=$run/archives" || exit 1
sql "CREATE EXTENSION pg_hone; CREATE ROLE evil LOGIN; GRANT pg_write_server_files TO evil;
     CREATE SCHEMA e AUTHORIZATION evil; CREATE TABLE secret (s text); SELECT hone.pause_worker()" >/dev/null || exit 1
sql "CREATE TABLESPACE hostile_cold LOCATION '$run/cold'" && sql "GRANT CREATE ON TABLESPACE hostile_cold TO evil" || exit 1
evil() { PGUSER=evil sql "$1"; }
# What the functions call: each way out that succeeds is written down.
evil "CREATE TABLE e.seen (what text, who text, session text);
CREATE FUNCTION e.try(what text, command text) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    EXECUTE command;
    INSERT INTO e.seen VALUES ('escaped: ' || what || ': ' || command, current_user, session_user);
EXCEPTION WHEN OTHERS THEN NULL;
END \$\$;
CREATE FUNCTION e.note(what text) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    PERFORM e.try(what, 'SET SESSION AUTHORIZATION postgres'), e.try(what, 'ALTER ROLE evil SUPERUSER'),
        e.try(what, 'SELECT set_config(''session_authorization'', ''postgres'', false)'), e.try(what, 'RESET SESSION AUTHORIZATION; ALTER ROLE evil SUPERUSER'),
        e.try(what, 'SET ROLE postgres'), e.try(what, 'SET ROLE NONE; INSERT INTO public.secret VALUES (1)'), e.try(what, 'INSERT INTO public.secret VALUES (1)'),
        e.try(what, 'UPDATE hone._tier_policy SET drop_after = ''1 day'''), e.try(what, 'DELETE FROM hone._archive');
    INSERT INTO e.seen VALUES (what, current_user, session_user);
END \$\$;
CREATE FUNCTION e.spy(what text, v int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN PERFORM e.note(what); RETURN v; END \$\$;
CREATE FUNCTION e.fire() RETURNS trigger LANGUAGE plpgsql AS \$\$ BEGIN PERFORM e.note('trigger'); RETURN coalesce(NEW, OLD); END \$\$;
CREATE DOMAIN e.d AS int CHECK (e.spy('domain', VALUE) IS NOT NULL);
CREATE TABLE e.m (at timestamptz NOT NULL, v e.d, k int, g int GENERATED ALWAYS AS (e.spy('generated', k)) STORED,
    CHECK (e.spy('constant', 1) > 0), CHECK (e.spy('check', k) IS NOT NULL)) PARTITION BY RANGE (at);
CREATE TABLE e.m_1 PARTITION OF e.m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
CREATE TABLE e.m_2 PARTITION OF e.m FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
CREATE INDEX ON e.m (e.spy('index', k)) WHERE e.spy('predicate', k) > 0;
CREATE TRIGGER t BEFORE INSERT OR UPDATE OR DELETE ON e.m FOR EACH ROW EXECUTE FUNCTION e.fire();
CREATE CONSTRAINT TRIGGER c AFTER INSERT OR UPDATE OR DELETE ON e.m DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION e.fire();
ALTER TABLE e.m_1 ENABLE ROW LEVEL SECURITY; ALTER TABLE e.m_1 FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON e.m_1 USING (e.spy('row security', k) IS NOT NULL);
INSERT INTO e.m (at, v, k) SELECT timestamptz '2020-01-01' + i * interval '1 hour', i, i FROM generate_series(1, 1200) i;" || exit 1
is "the owner is who it is" "$(sql "SELECT rolsuper FROM pg_roles WHERE rolname = 'evil'; SELECT DISTINCT who, session FROM e.seen")" "f
evil|evil"

# after NAME EXPECTED: nothing ran as anybody else, and these did run
phase() {
    is "$1: code of the owner ran as the owner, and got nowhere" "$(sql "SELECT DISTINCT what, who FROM e.seen WHERE who <> 'evil' OR what LIKE 'escaped%'; SELECT rolsuper FROM pg_roles WHERE rolname = 'evil'; SELECT count(*) FROM secret")" "f
0"
    [ -z "$2" ] || like "$1: it did run" "$(sql "SELECT string_agg(DISTINCT what, ' ' ORDER BY what) FROM e.seen")" "$2"
    sql "TRUNCATE e.seen"
}
sql "TRUNCATE e.seen"
worker_until() {
    sql "SELECT hone.resume_worker()" >/dev/null
    wait_until 30 "$1" || not_ok "the worker does what is due" "$(sql "SELECT partition_name, error FROM hone.tier_log WHERE error IS NOT NULL")"
    sql "SELECT hone.pause_worker()" >/dev/null
}
evil "SELECT hone.add_tier_policy('e.m', warm_after => '1 day')" >/dev/null || exit 1
worker_until "SELECT count(*) = 2 FROM hone.partitions WHERE parent = 'e.m'::regclass AND tier = 'warm'"
phase "the worker compresses" "index"
evil "SELECT hone.alter_tier_policy('e.m', cold_after => '2 days', cold_tablespace => 'hostile_cold')" >/dev/null
worker_until "SELECT count(*) = 2 FROM hone.partitions WHERE parent = 'e.m'::regclass AND tier = 'cold'"
phase "the worker compresses again, into a tablespace" ""
sql "CALL hone.move_partition('e.m_2', 'hot')"
phase "a superuser decompresses" "index"
evil "SELECT hone.alter_tier_policy('e.m', archive_after => '3 days')" >/dev/null
worker_until "SELECT count(*) = 2 FROM hone.archives"
is "(both are archived)" "$(sql "SELECT count(*), sum(rows) FROM hone.archives")" "2|1200"
phase "the worker archives, detaches and drops" "constant"
evil "ALTER TABLE e.m ADD COLUMN more int DEFAULT e.spy('default', 5)"
sql "TRUNCATE e.seen"
sql "SELECT hone.restore_archive(name) FROM hone.archives WHERE partition = 'e.m_1'" >/dev/null
phase "a superuser restores into a table with one column more" "check.*default.*domain.*generated.*index"
evil "ALTER TABLE e.m DROP COLUMN more"
sql "TRUNCATE e.seen"
sql "DROP TABLE e.m; TRUNCATE e.seen; SELECT hone.restore_archive(name) FROM hone.archives WHERE restored_at IS NULL" >/dev/null
is "(it is back)" "$(sql "SELECT count(*), (SELECT relowner::regrole FROM pg_class WHERE oid = 'e.m_2'::regclass) FROM e.m_2")" "457|evil"
phase "a superuser restores what hangs nowhere" "domain"
evil "CREATE TABLE e.w (at timestamptz NOT NULL, k int, CHECK (e.spy('constant', 1) > 0)) PARTITION BY RANGE (at);
      CREATE TABLE e.w_1 PARTITION OF e.w FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
      CREATE TABLE e.w_rest PARTITION OF e.w DEFAULT;
      INSERT INTO e.w VALUES ('2020-01-05', 1); TRUNCATE e.seen;
      SELECT hone.add_tier_policy('e.w', drop_after => '1 day', allow_drop_without_archive => true, premake => 1, partition_interval => '1 month')" >/dev/null || exit 1
worker_until "SELECT to_regclass('e.w_1') IS NULL"
is "(it is dropped)" "$(sql "SELECT to_regclass('e.w_1') IS NULL")" t
phase "the worker drops, with a default partition, and makes partitions ahead" ""
hone_done
