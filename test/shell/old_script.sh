#!/usr/bin/env bash
# A database whose objects another version's install script made: after a
# package upgrade or pg_upgrade, or before the restart that loads the new
# library. One clear message, never a crash, and no row out of reach.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
version=$(sed -nE "s/^default_version = '(.*)'/\1/p" "$HONE_SRC/pg_hone.control")
script=$HONE_SRC/pg_hone--$version.sql
identity=$(sed -nE "s/^SELECT hone._require_library\('(.*)'\);/\1/p" "$script")
scripts=$("$PG_CONFIG" --sharedir)/extension
message="of another version than its library"
remake="CALL hone.decompress_all\(\); DROP EXTENSION pg_hone; CREATE EXTENSION pg_hone;"
like "the script's identity is the version and a checksum" "$identity" "^${version//./\\.}-[0-9]+\$"

trap 'rm -f "$scripts"/pg_hone--{0.0,0.1,99}.sql "$scripts/pg_hone--0.1--$version.sql"; hone_cleanup' EXIT

# The oldest one: without an identity, and with other parameters and columns.
# Each change must be one, or this test says less than it seems to.
perl -0777 -pe '
    sub change { my ($from, $to) = @_; s/$from/$to/s or die "no such text: $from\n"; }
    change(qr/CREATE FUNCTION hone\._require_library.*?(?=-- Pausing the moves)/s, "");
    change(qr/(?<=show_text boolean DEFAULT true,\n)/, "OUT junk text,");
    change(qr/OUT wal_bytes bigint/, "OUT wal_bytes text");
    change(qr/(?<=hone\._error_stats\(\n)/, "OUT junk jsonb,");
    change(qr/\(queryid bigint, fractions double precision\[\]\)/, "(fractions double precision[], queryid bigint)");
    change(qr/percentile\(bigint, double precision\[\]\)/, "percentile(double precision[], bigint)");
    change(qr/OUT bar text/, "OUT bar bigint, OUT more text");
    change(qr/(?<=hone\._shared_status\(\n)/, "OUT junk text,");
    change(qr/OUT held integer/, "OUT held text");
    change(qr/evidence jsonb, first_seen/, "first_seen");
    change(qr/r\.evidence/, "NULL::jsonb AS evidence");
    change(qr/(?<=_new_recommendations\(\)\nRETURNS TABLE \(\n)/, "junk text,");
    change(qr/    OUT raw_bytes bigint,\n    OUT compressed_bytes/, "    OUT compressed_bytes");
    change(qr/OUT equal bool/, "OUT equal text");
    change(qr/add_tier_policy\(\n    parent regclass,.*?\)(?=\nRETURNS)/s, "add_tier_policy(warm_after interval, parent regclass)");
    change(qr/add_tier_policy\(regclass, interval, [^)]*\)/, "add_tier_policy(interval, regclass)");
    change(qr/move_partition\(partition regclass, tier text\)/, "move_partition(tier text)");
    change(qr/move_partition\(regclass, text\)/, "move_partition(text)");
    change(qr/(?<=below oid, epoch text DEFAULT NULL, )OUT parent/, "OUT junk text, OUT parent");
    change(qr/batch_delete\(\s*rel .*?\)/s, "batch_delete(condition text, rel regclass)");
    change(qr/batch_delete\(regclass.*?\)/, "batch_delete(text, regclass)");
' "$script" >"$scripts/pg_hone--0.0.sql" || exit 1
# A later one that has an identity, a way from it, and one from the future.
sed -e "/^SELECT hone._require_library/d" -e "s/$identity/0.1-1/" "$script" >"$scripts/pg_hone--0.1.sql"
sed -e "s/$identity/99-1/" "$script" >"$scripts/pg_hone--99.sql"

hone_server old_script || exit 1
crashes() { grep -E 'terminated by signal|PANIC:|TRAP:' "$HONE_DATA.log"; }

# No worker may be there while an old script passes for the library's own.
sql "ALTER SYSTEM SET hone.worker = off"
hone_stop "$HONE_DATA"
hone_start "$HONE_DATA" "-c hone.naptime=1s" || exit 1

# A database in order, to hear the worker's beat.
sql "CREATE EXTENSION pg_hone;
     CREATE TABLE beat (at timestamptz) PARTITION BY RANGE (at);
     CREATE TABLE beat_1 PARTITION OF beat FOR VALUES FROM ('2020-01-01') TO ('2030-01-01');
     SELECT hone.add_tier_policy('beat', '100 years')" >/dev/null || exit 1
beat() {
    local before try
    before=$(sql "SELECT now()")
    # what was read before it was first looked at is not noticed
    for try in $(seq 30); do
        sql "SELECT count(*) FROM beat" >/dev/null
        [ "$(sql "SELECT last_read > '$before' FROM hone.partitions WHERE partition = 'beat_1'::regclass")" != t ] || return 0
        sleep 1
    done
    return 1
}

sql "CREATE DATABASE old"
export HONE_DB=old
sql "CREATE EXTENSION pg_hone VERSION '0.0'" || exit 1
make_varied t 20000 || exit 1
sql "CREATE TABLE m (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at);
     CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     INSERT INTO m SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 minute', i FROM generate_series(0, 9999) i;
     INSERT INTO hone._tier_policy VALUES ('m', '1 year')"
wanted=$(rows_of t)
# As the old library would have done it.
sql "CREATE FUNCTION hone._script() RETURNS text LANGUAGE sql AS \$\$SELECT '$identity'::text\$\$"
sql "CALL hone.compress('t')" 2>/dev/null
is "there are batches" "$(sql "SELECT relpages > 0 FROM pg_class WHERE oid = (SELECT reltoastrelid FROM pg_class WHERE relname = 't')")" t
sql "DROP FUNCTION hone._script()"

always="'hone_tiered_handler', 'hone_decompress', 'hone_decompress_all', 'hone_guard_drop', 'hone_require_library', 'hone_histogram_accumulate', 'hone_histogram_result', 'hone_history_begin', 'hone_cache_trigger'"
calls=$(sql "
SELECT CASE p.prokind WHEN 'p' THEN 'CALL ' ELSE 'SELECT * FROM ' END || 'hone.' || p.proname || '(' ||
    coalesce((SELECT string_agg(coalesce(v.value, 'a value for ' || a.type::regtype), ', ' ORDER BY a.place)
              FROM unnest(p.proargtypes) WITH ORDINALITY a(type, place)
              LEFT JOIN (VALUES ('bigint', '1::bigint'), ('integer', '1'), ('oid', '1::oid'), ('text', '''x''::text'),
                  ('boolean', 'true'), ('double precision', '0.5::float8'), ('double precision[]', 'ARRAY[0.5::float8]'),
                  ('interval', '''1 day''::interval'), ('timestamptz', 'now()'), ('regclass', '''t''::regclass'),
                  ('anyarray', 'ARRAY[1]'), ('anycompatible', '1'), ('anyelement', 'NULL::t'), ('anycompatiblearray', 'ARRAY[1]'), ('name[]', 'ARRAY[''x'']::name[]'), ('jsonb', '''[]''::jsonb'), ('name', '''x''::name'), ('oid[]', 'ARRAY[1::oid]'), ('text[]', 'ARRAY[''x'']'), ('bytea', '''\x00''::bytea')) v(name, value) ON v.name::regtype = a.type), '') || ')'
FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang AND l.lanname = 'c'
    JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'pg_hone'
WHERE p.prosrc NOT IN ($always) ORDER BY 1")
is "every function of the library is called" "$(printf '%s\n' "$calls" | wc -l)" \
    "$(($(cat "$HONE_SRC"/src/*/*.c | grep -c '^PG_FUNCTION_INFO_V1') - $(printf '%s\n' $always | wc -w)))"

# ask SQL: errors and notices, with SQLSTATE, detail and hint
ask() { "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -v VERBOSITY=verbose -d old -c "$1" 2>&1; }
is "each one says what is wrong" "$(
    printf '%s\n' "$calls" | while read -r call; do
        answer=$(ask "$call" </dev/null)
        [[ $answer =~ ERROR:\ \ 55000:\ .*$message ]] || printf '%s\n%s\n' "$call" "$answer"
    done)" ""
is "so does each view over them" "$(
    sql "SELECT relname FROM pg_class WHERE relnamespace = 'hone'::regnamespace AND relkind = 'v' ORDER BY 1" | while read -r view; do
        answer=$(ask "SELECT * FROM hone.$view" </dev/null)
        [[ $answer =~ ERROR:\ \ 55000:\ .*$message ]] || echo "$view"
    done)" "_archive_bytes
_batch_running
_bloated_index
_cold_but_read
_counting
_covered_advice
_covered_index
_decided
_foreign_key_index
_foreign_key_without_index
_hot_but_idle
_invalid_index
_known_size
_missing_primary_key
_partition_candidate
_partition_candidate_column
_published_without_identity
_tier_detached
applied_recommendations
archives
batch_errors
batch_progress
premake_plan
slo_report
tier_log
tier_policies"
refuses "what to do" 55000 "HINT:  $remake" "SELECT * FROM hone.queries"
refuses "both versions" 55000 "DETAIL:  .*an older one.* $identity" "SELECT * FROM hone.queries"
sql "CREATE ROLE reader"
refuses "so it does to anybody" 55000 "HINT:  $remake" "SET ROLE reader; SELECT * FROM hone.queries"

is "compressed rows are read" "$(rows_of t)" "$wanted"
succeeds "and rows are written" sql "INSERT INTO t (id) VALUES (-1); DELETE FROM t WHERE id = -1"
is "to the same table" "$(rows_of t)" "$wanted"
refuses "DROP EXTENSION is refused while a table is tiered" 2BP01 "decompress_all" "DROP EXTENSION pg_hone"

# A dump leaves the old script behind.
HONE_DB=postgres sql "CREATE DATABASE restored"
is "pg_dump, and restore with the new script" "$("$HONE_BIN/pg_dump" -d old 2>&1 | "$HONE_BIN/psql" -XAtq -v ON_ERROR_STOP=1 -d restored 2>&1 >/dev/null)" ""
is "rows and policies of the restored database" \
    "$(HONE_DB=restored; rows_of t; sql "SELECT parent, warm_after FROM hone.tier_policies; SELECT tier FROM hone.partitions")" "$wanted
m|1 year
hot"
HONE_DB=postgres sql "DROP DATABASE restored"

# The worker: one line in the log, for as long as the launcher remembers.
said() { grep -c "LOG:  pg_hone: the worker does nothing in database \"old\": .*$message" "$HONE_DATA.log"; }
heard() { local end=$((SECONDS + 30)); until [ "$(said)" -gt 0 ]; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done; }
is "the worker was off" "$(said)" 0
sql "ALTER SYSTEM RESET hone.worker"
sql "SELECT pg_reload_conf()" >/dev/null
succeeds "the worker says it in the log" heard
succeeds "it serves the other database" eval "HONE_DB=postgres; beat && beat"
is "and says it once" "$(said)" 1
like "with what to do" "$(grep -A2 'the worker does nothing' "$HONE_DATA.log")" "HINT:  $remake"
# only clients have a name in the log's lines
is "no background process met an error" "$(hone_background_errors "$HONE_DATA.log")" ""

succeeds "decompress_all" sql "CALL hone.decompress_all()"
is "every row as heap" "$(rows_of t)" "$wanted"
succeeds "DROP EXTENSION" sql "DROP EXTENSION pg_hone"
succeeds "CREATE EXTENSION" sql "CREATE EXTENSION pg_hone"
sql "CALL hone.compress('t')" 2>/dev/null
sql "SELECT hone.add_tier_policy('m', '1 year')" >/dev/null
is "which works: tiered tables" "$(rows_of t) $(sql "SELECT batches FROM hone.tiered_stats('t')")" "$wanted 2"
is "statistics" "$(sql "SELECT count(*) > 0 FROM hone.queries WHERE datname = 'old'")" t
succeeds "and the worker" wait_until 60 "SELECT tier = 'warm' FROM hone.partitions WHERE partition = 'm_1'::regclass"

# The same version number before its release, in a session that has asked
# before.
refuses "another script of the same version" 55000 "DETAIL:  .*$version-1, .* $identity" \
    "SELECT count(*) FROM hone.queries;
     CREATE OR REPLACE FUNCTION hone._script() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS \$\$SELECT '$version-1'::text\$\$;
     SELECT count(*) FROM hone.queries"
# In the middle of a package upgrade, and where somebody renamed the schema.
control=$scripts/pg_hone.control
mv "$control" "$control.gone" || exit 1
refuses "without the control file" 55000 "HINT:  $remake" \
    "CREATE OR REPLACE FUNCTION hone._script() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS \$\$SELECT '$version-1'::text\$\$;
     SELECT count(*) FROM hone.queries"
mv "$control.gone" "$control"
refuses "in a schema of another name" 55000 "HINT:  ALTER SCHEMA .* RENAME TO hone" \
    "ALTER SCHEMA hone RENAME TO other; SELECT count(*) FROM other.queries"
is "is gone with its transaction" "$(sql "SELECT count(*) > 0 FROM hone.queries")" t

# Where there is an update script, that is the way.
sql "CREATE DATABASE newer"
export HONE_DB=newer
sql "CREATE EXTENSION pg_hone VERSION '0.1'" || exit 1
refuses "a script with another identity" 55000 "DETAIL:  .*0\.1-1, .* $identity" "SELECT * FROM hone.queries"
refuses "without an update script" 55000 "HINT:  $remake" "SELECT * FROM hone.queries"
cat >"$scripts/pg_hone--0.1--$version.sql" <<SQL
SELECT hone._require_library('$identity');
CREATE OR REPLACE FUNCTION hone._script() RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS \$\$SELECT '$identity'::text\$\$;
SQL
refuses "with an update script" 55000 "HINT:  ALTER EXTENSION pg_hone UPDATE;" "SELECT * FROM hone.queries"
succeeds "ALTER EXTENSION pg_hone UPDATE" sql "ALTER EXTENSION pg_hone UPDATE"
is "mends it" "$(sql "SELECT count(*) > 0 FROM hone.queries")" t

# Upgraded files, and a server that has not been restarted.
sql "DROP EXTENSION pg_hone"
refuses "a script newer than the library" 55000 "HINT:  Restart the server" "CREATE EXTENSION pg_hone VERSION '99'"
is "leaves nothing behind" "$(sql "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname = 'hone'),
    (SELECT count(*) FROM pg_proc WHERE prosrc LIKE 'hone\\_%'), (SELECT count(*) FROM pg_event_trigger)")" "0|0|0"
succeeds "and the library's own script works" sql "CREATE EXTENSION pg_hone"

is "nothing crashed" "$(crashes)" ""
hone_done
