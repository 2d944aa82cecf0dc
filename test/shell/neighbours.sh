#!/usr/bin/env bash
# pg_hone among other preloaded modules, in several orders: the server starts,
# statements give what they give without pg_hone, all who count agree, and none
# is hurt by another's errors. Neighbours that PostgreSQL does not bring are
# taken from Debian, and left out where they cannot be had.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/debian.sh"
hone_prepare
major=$("$PG_CONFIG" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/')

# What is unpacked and built here is for this script's server only.
rm -rf "$HONE_WORK/neighbours" "$HONE_WORK/unpacked"
pg=${HONE_BIN%/pg/*}/pg
cp -al "$pg" "$HONE_WORK/neighbours"
HONE_BIN=$HONE_WORK/neighbours${HONE_BIN#"$pg"}
PG_CONFIG=$HONE_BIN/pg_config
libraries=$("$PG_CONFIG" --pkglibdir)
have() { [ -e "$libraries/$1.so" ]; }

for pair in pg_stat_statements: auto_explain: plpgsql: pg_stat_kcache:pg-stat-kcache \
    pg_qualstats:pg-qualstats hypopg:hypopg pg_cron:cron; do
    library=${pair%%:*} package=postgresql-$major-${pair#*:} HONE_WHY_NOT="it is not installed"
    if ! have "$library" && [ "$package" != "postgresql-$major-" ] && hone_unpack "$package" "$HONE_WORK/unpacked"; then
        cp "$HONE_WORK/unpacked/usr/lib/postgresql/$major/lib"/*.so "$libraries/"
        cp "$HONE_WORK/unpacked/usr/share/postgresql/$major/extension"/* "$("$PG_CONFIG" --sharedir)/extension/"
        chmod -R a+rX "$HONE_WORK/neighbours"
    fi
    have "$library" || skip "$library as a neighbour" "$HONE_WHY_NOT"
done
if ! have pg_stat_statements; then
    skip "the rest" "without pg_stat_statements there is nothing to compare with"
    hone_done
fi
succeeds "the module that raises errors is built" make -s -C "$HONE_SRC/test/modules/trouble" PG_CONFIG="$PG_CONFIG" install

# preload LIBRARY...: those that are there, with commas
preload() {
    local library list=
    for library in "$@"; do if have "$library"; then list+=${list:+,}$library; fi; done
    echo "$list"
}

# start LIBRARIES OPTIONS: also where it runs already
start() {
    hone_stop "$HONE_DATA"
    hone_start "$HONE_DATA" "-c shared_preload_libraries=$1 ${2:-}"
}

work=$HONE_WORK/run/neighbours
rm -rf "$work"
mkdir -p "$work"
chmod 755 "$HONE_WORK/run" "$work"
HONE_DATA=$work/data
HONE_SERVERS+=("$HONE_DATA")
hone_initdb "$HONE_DATA" || exit 1
cat >>"$HONE_DATA/postgresql.conf" <<CONF
pg_stat_statements.save = off
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_timing = off
auto_explain.log_nested_statements = on
pg_qualstats.sample_rate = 1
cron.host = '$work'
log_line_prefix = '%m [%p] %b/%d: '
compute_query_id = on
autovacuum = off
CONF

# For what is not the workload: nobody counts it.
aside() {
    PGOPTIONS="-c hone.enabled=off -c pg_stat_statements.track=none -c auto_explain.log_min_duration=-1 -c pg_qualstats.enabled=off" sql "$1"
}

# ---------------------------------------------------------------------------
# The workload. Where pg_hone counts otherwise (DESIGN: what a call is), the
# statements read or write a table whose name begins with differs_.
# ---------------------------------------------------------------------------
bare=plpgsql,$(preload pg_stat_statements pg_stat_kcache pg_qualstats hypopg auto_explain pg_cron)
start "$bare" || exit 1
sql "CREATE DATABASE seed"
sql "CREATE DATABASE w"
HONE_DB=seed sql "
    CREATE TABLE item (id int PRIMARY KEY, grp int, note text);
    INSERT INTO item SELECT g, g % 10, 'note ' || g FROM generate_series(1, 2000) g;
    CREATE TABLE part (id int NOT NULL, item int) PARTITION BY RANGE (id);
    CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (1000);
    CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (1000) TO (2000);
    CREATE TABLE child (id int REFERENCES item ON DELETE CASCADE);
    CREATE TABLE journal (what text, id int);
    CREATE TABLE bulk (id int, note text);
    CREATE TABLE late (id int);
    CREATE TABLE differs_cursor AS SELECT g AS id FROM generate_series(1, 100) g;
    CREATE TABLE differs_portal AS SELECT g AS id FROM generate_series(1, 100) g;
    CREATE TABLE differs_explained AS SELECT g AS id, g AS item FROM generate_series(1, 2000) g;
    CREATE TABLE differs_deferred (id int);
    CREATE VIEW seen AS SELECT id FROM item WHERE grp = 1;
    CREATE MATERIALIZED VIEW summary AS SELECT grp, count(*) FROM item GROUP BY grp;
    CREATE FUNCTION twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT n * 2';
    CREATE FUNCTION notes(n int) RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT note FROM item WHERE id <= n ORDER BY id';
    CREATE FUNCTION total(n int) RETURNS bigint LANGUAGE plpgsql AS \$\$
    DECLARE r record; sum bigint := 0;
    BEGIN
        FOR r IN SELECT id FROM item WHERE id <= n LOOP
            SELECT sum + count(*) INTO sum FROM item WHERE grp = r.id;
        END LOOP;
        BEGIN
            PERFORM 1 / (id - n) FROM item WHERE id >= n;
        EXCEPTION WHEN division_by_zero THEN sum := sum + 1000;
        END;
        RETURN sum;
    END \$\$;
    CREATE FUNCTION fails(n int) RETURNS int LANGUAGE plpgsql AS 'BEGIN DELETE FROM journal WHERE id = n; RETURN n / 0; END';
    CREATE PROCEDURE steps(n int) LANGUAGE plpgsql AS \$\$
    BEGIN
        FOR i IN 1..n LOOP INSERT INTO journal VALUES ('step', i); COMMIT; INSERT INTO journal VALUES ('not', i); ROLLBACK; END LOOP;
    END \$\$;
    CREATE FUNCTION write_down() RETURNS trigger LANGUAGE plpgsql AS \$\$
    BEGIN INSERT INTO journal VALUES (TG_OP, NEW.id); RETURN NULL; END \$\$;
    CREATE TRIGGER write_down AFTER UPDATE ON part FOR EACH ROW EXECUTE FUNCTION write_down();
    CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS \$\$
    BEGIN INSERT INTO differs_deferred VALUES (NEW.id); RETURN NULL; END \$\$;
    CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON late DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit();
    $(have hypopg && echo 'CREATE EXTENSION hypopg;')" || exit 1
HONE_DB=seed sql "VACUUM ANALYZE"
for extension in pg_stat_statements pg_stat_kcache pg_qualstats pg_cron; do
    ! have $extension || sql "CREATE EXTENSION $extension" || exit 1
done
sql "CREATE TABLE cron_ran (at timestamptz DEFAULT clock_timestamp())"
! have pg_cron || sql "SELECT cron.schedule('@reboot', 'INSERT INTO cron_ran DEFAULT VALUES')" >/dev/null

cat >"$work/workload.sql" <<'SQL'
-- simple statements
SELECT id, note FROM item WHERE id = 1;
SELECT id, note FROM item WHERE id = 2;
SELECT id, note FROM item /* hello */ WHERE id = 3 -- and more
;
SELECT grp, count(*) FROM item GROUP BY grp ORDER BY grp;
SELECT i.id, j.note FROM item i JOIN item j ON j.id = i.grp WHERE i.id BETWEEN 5 AND 9 ORDER BY 1;
VALUES (1, 'a'), (2, 'b');
TABLE summary ORDER BY 1;
SELECT 1 \; SELECT 'two', count(*) FROM bulk \; SELECT id FROM item WHERE id < 4 ORDER BY id;
SELECT g FROM generate_series(1, 5) g;
-- writes
INSERT INTO part SELECT g, g FROM generate_series(1, 1500) g;
INSERT INTO part VALUES (1501, 1), (1502, 2) RETURNING id;
UPDATE part SET item = item + 1 WHERE id IN (1, 2, 1400) RETURNING id, item;
DELETE FROM part WHERE id BETWEEN 10 AND 20;
WITH gone AS (DELETE FROM part WHERE id < 5 RETURNING id) SELECT sum(id) FROM gone;
INSERT INTO item VALUES (1, 1, 'again') ON CONFLICT (id) DO UPDATE SET note = excluded.note RETURNING note;
MERGE INTO item USING (VALUES (1, 'merged'), (3000, 'new')) AS s (id, note) ON item.id = s.id
    WHEN MATCHED THEN UPDATE SET note = s.note WHEN NOT MATCHED THEN INSERT VALUES (s.id, 0, s.note);
INSERT INTO child VALUES (3000), (7);
DELETE FROM item WHERE id = 3000;
SELECT * FROM child;
-- prepared, with custom and generic plans
PREPARE one (int) AS SELECT note FROM item WHERE id = $1;
EXECUTE one(5);
EXECUTE one(6);
SET plan_cache_mode = force_generic_plan;
EXECUTE one(7);
EXECUTE one(8);
PREPARE change (int) AS UPDATE part SET item = 0 WHERE id = $1;
EXECUTE change(30);
EXECUTE change(31);
RESET plan_cache_mode;
DEALLOCATE one;
-- cursors
BEGIN;
DECLARE c CURSOR FOR SELECT id FROM differs_cursor ORDER BY id;
FETCH 2 FROM c;
FETCH 3 FROM c;
MOVE 1 IN c;
CLOSE c;
DECLARE d CURSOR FOR SELECT id FROM differs_cursor WHERE id > 50 ORDER BY id;
FETCH 4 FROM d;
ROLLBACK;
-- functions, procedures, blocks, triggers
SELECT total(5);
SELECT total(6);
SELECT twice(id), n FROM item, notes(3) n WHERE id < 3 ORDER BY 1, 2;
CALL steps(3);
DO $$ BEGIN INSERT INTO journal VALUES ('do', 1); COMMIT; PERFORM count(*) FROM journal; END $$;
DO $$ BEGIN PERFORM 1 / id FROM (VALUES (0)) v(id), generate_series(1, 1); EXCEPTION WHEN OTHERS THEN NULL; END $$;
DO $$ DECLARE c CURSOR FOR SELECT id FROM item WHERE id < 9 ORDER BY id; BEGIN FOR r IN c LOOP NULL; END LOOP; END $$;
INSERT INTO late VALUES (1);
SELECT what, count(*) FROM journal GROUP BY what ORDER BY what;
-- utility statements
BEGIN ISOLATION LEVEL REPEATABLE READ;
SAVEPOINT a;
INSERT INTO bulk VALUES (0, 'undone');
ROLLBACK TO a;
SAVEPOINT b;
RELEASE b;
COMMIT;
SET work_mem = '8MB';
SHOW work_mem;
RESET work_mem;
CREATE TABLE made (id int PRIMARY KEY, note text);
CREATE INDEX ON made (note);
ALTER TABLE made ADD COLUMN more int DEFAULT 3;
CREATE TABLE copied AS SELECT id, note FROM item WHERE id <= 50;
SELECT id INTO chosen FROM item;
CREATE VIEW glimpse AS SELECT id FROM item WHERE grp = 2;
SELECT count(*) FROM seen;
COPY bulk FROM stdin;
1	one
2	two
3	three
\.
COPY bulk TO stdout;
COPY (SELECT id FROM item WHERE id < 5 ORDER BY id) TO stdout WITH (FORMAT csv);
REFRESH MATERIALIZED VIEW summary;
TRUNCATE made;
ANALYZE item;
VACUUM part_1;
BEGIN;
LOCK TABLE item;
COMMIT;
NOTIFY nobody, 'hello';
EXPLAIN (COSTS off) SELECT * FROM differs_explained WHERE id = 1;
EXPLAIN (ANALYZE, COSTS off, TIMING off, SUMMARY off, BUFFERS off) SELECT count(*) FROM differs_explained WHERE item = 1;
DROP TABLE made, copied, chosen;
DROP VIEW glimpse;
-- in parallel
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET max_parallel_workers_per_gather = 2;
SELECT count(*), sum(id) FROM item WHERE note LIKE 'note%';
SELECT id FROM item WHERE grp = 3 AND id < 60 ORDER BY note;
RESET ALL;
-- errors: in the parser, the planner, the executor, a constraint, a function,
-- COPY, a utility statement, at commit, in an aborted transaction
SELEC 1;
SELECT nothing FROM nowhere;
SELECT 1 / 0;
SELECT 10 / (id - 1) FROM item WHERE id < 3;
INSERT INTO item VALUES (1, 1, 'twice');
SELECT fails(1);
COPY bulk FROM stdin;
4	four
many	five
\.
CREATE TABLE item (id int);
EXECUTE nothing;
DO $$ BEGIN PERFORM 1; RAISE EXCEPTION 'mine' USING ERRCODE = 'HX001'; END $$;
BEGIN;
SELECT 10 / (id - 1) FROM item WHERE id < 3;
SELECT 1;
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT fails(2);
ROLLBACK TO s;
SELECT count(*) FROM bulk;
COMMIT;
-- cancelled
BEGIN;
SET LOCAL statement_timeout = '50ms';
SELECT pg_sleep(10) FROM item WHERE id = 1;
ROLLBACK;
SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(10);
SELECT count(*) FROM bulk;
SQL
! have hypopg || cat >>"$work/workload.sql" <<'SQL'
SELECT count(*) FROM hypopg_create_index('CREATE INDEX ON differs_explained (item)');
EXPLAIN (COSTS off) SELECT * FROM differs_explained WHERE item = 1;
SELECT id FROM part_2 WHERE item = 1401;
SELECT hypopg_reset();
EXPLAIN (COSTS off) SELECT * FROM differs_explained WHERE item = 1;
SQL
cat >"$work/extended.pl" <<'PERL'
use strict;
use warnings;
use Wire;
my $c = Wire->connect(host => $ENV{PGHOST}, port => $ENV{PGPORT}, user => $ENV{PGUSER}, database => 'w');
my @statements = (
    { sql => 'SELECT id, note FROM item WHERE id = $1', values => [ [11] ] },
    { sql => 'SELECT note FROM item WHERE grp = $1 AND id < $2 ORDER BY id', name => 'p', values => [ map { [ $_, 99 ] } 0 .. 9 ] },
    { name => 'p', values => [ [ 4, 20 ], [ undef, 20 ] ] },
    { sql => 'UPDATE part SET item = item + 1 WHERE id = ANY($1)', values => [ ['{40,41}'], ['{50}'], ['{}'] ] },
    { sql => 'INSERT INTO bulk VALUES ($1, $2) RETURNING id', values => [ [ 8, 'x' ], [ 9, undef ] ] },
    { sql => 'SELECT id FROM differs_portal ORDER BY id', rows => 7, runs => 3 },
    { sql => 'SELECT total($1)', values => [ [3] ] },
    { sql => 'BEGIN' },
    { sql => 'TRUNCATE journal' },
    { sql => 'ROLLBACK' },
    { sql => 'SELECT 1 / ($1::int)', values => [ [1] ] },
    { sql => 'SELECT 1 / ($1::int)', values => [ [0] ] },
    { sql => 'SELECT 5 / (id - $1::int) FROM item WHERE id < 9', values => [ [3] ] },
    { sql => 'SELECT $1::int', values => [ ['no number'] ] },
    { sql => 'SELECT nothing' },
    { name => 'nobody' },
    { sql => 'SELECT count(*) FROM item' },
);
for my $statement (@statements) {
    my $result = $c->extended(%$statement);
    print join(',', map { $_ // 'null' } @$_), "\n" for @{ $result->{rows} };
    print "@{ $result->{tags} }\n";
    print "ERROR:  $result->{error}{sqlstate}: $result->{error}{message}\n" if $result->{error};
}
$c->close;
PERL


# begin NAME TRACK: a fresh database of the seed's objects (and their OIDs),
# and nothing counted of it
begin() {
    aside "DROP DATABASE w" && aside "CREATE DATABASE w TEMPLATE seed" || exit 1
    aside "ALTER DATABASE w SET hone.track = '$2'; ALTER DATABASE w SET pg_stat_statements.track = '$2'; SELECT pg_stat_statements_reset()" >/dev/null
    ! have pg_stat_kcache || aside "SELECT pg_stat_kcache_reset()" >/dev/null
    ! have pg_qualstats || aside "SELECT pg_qualstats_reset()" >/dev/null
    aside "DO 'BEGIN RAISE LOG ''begin $1''; END'"
}

# What the clients see.
workload() {
    "$HONE_BIN/psql" -XAtq -v VERBOSITY=verbose -d w -f "$work/workload.sql" 2>&1 |
        sed -E 's/<[0-9]+>btree/<>btree/; s/^psql:[^ ]* //'
    perl -I"$HONE_ROOT/test/twin" "$work/extended.pl" 2>&1
}

# The server's log since begin NAME, each line with who wrote it and without
# time and process.
log_since() {
    perl -ne '
        if (/^\S+ \S+ \S+ \[\d+\] ([^:]*): (.*)/s) { $who = $1; $line = $2; } else { $line = $_; }
        print "$who: $line" if $on;
        $on = 1 if /LOG:  begin \Q'"$1"'\E$/' "$HONE_DATA.log"
}
explained() { log_since "$1" | sed -n 's/^client backend.w: \tQuery Text: //p' | LC_ALL=C sort; }
wrong() {
    log_since "$1" | grep -E 'WARNING|ERROR|FATAL|PANIC|TRAP|signal|crash' | sed -E 's/<[0-9]+>//' |
        # a worker gives way to CREATE and DROP DATABASE
        grep -v 'terminating background worker .* due to administrator command' | LC_ALL=C sort
}

# By text, what each of the two counts; foreign keys' own queries are not the
# application's.
utility="~ '^(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|SET|SHOW|RESET|CREATE|ALTER|DROP|COPY|REFRESH|TRUNCATE|ANALYZE|VACUUM|LOCK|NOTIFY|EXPLAIN|DO|CALL|DECLARE|FETCH|MOVE|CLOSE|DEALLOCATE)\M'"
theirs="SELECT s.queryid, s.toplevel, sum(s.calls) AS calls, sum(s.rows) AS rows, min(s.query) AS query
    FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid
    WHERE d.datname = 'w' AND s.query !~ ' OPERATOR\(pg_catalog\.=\) ' GROUP BY 1, 2"
ours="SELECT queryid, toplevel, sum(calls - errors) AS calls, sum(rows) AS rows, min(query) AS query
    FROM hone.queries WHERE datname = 'w' GROUP BY 1, 2 HAVING sum(calls) > sum(errors)"
counted() { aside "SELECT queryid, toplevel, calls, rows FROM ($theirs) s WHERE query !~ 'differs_' ORDER BY 1, 2"; }

for track in top all; do
    begin "bare $track" $track
    workload >"$work/bare.$track"
    counted >"$work/bare.$track.counted"
    explained "bare $track" >"$work/bare.$track.explained"
    wrong "bare $track" >"$work/bare.$track.wrong"
done
is "without pg_hone: the workload gives the same twice" "$(diff "$work/bare.top" "$work/bare.all")" ""
like "it does something" "$(wc -l <"$work/bare.top") $(wc -l <"$work/bare.top.counted") $(wc -l <"$work/bare.top.explained")" '^[1-9][0-9]{2} [1-9][0-9]+ [1-9][0-9]+$'
like "errors are among it" "$(grep -c 'ERROR:' "$work/bare.top")" '^2[0-9]$'

healthy() {
    is "$1: hone.status knows of no internal errors and no dropped records" \
        "$(aside "SELECT item, value FROM hone.status WHERE item IN ('internal errors', 'dropped records') ORDER BY 1")" "dropped records|0
internal errors|0"
    is "$1: no process crashed" "$(grep -E 'PANIC:|TRAP:|terminated by signal|terminated with exit code' "$HONE_DATA.log")" ""
}

# errors_of: as hone.errors has them; errors_in FILE: as clients saw them
errors_of() { aside "SELECT sqlstate, sum(errors) FROM hone.errors WHERE datname = 'w' AND toplevel GROUP BY 1 ORDER BY sqlstate COLLATE \"C\""; }
errors_in() { sed -nE 's/.*(ERROR|FATAL):  ([0-9A-Z]{5}):.*/\2/p' "$1" | LC_ALL=C sort | uniq -c | awk '{ print $2 "|" $1 }'; }

# order NAME TRACK OPTIONS LIBRARY...
order() {
    local name=$1 track=$2 options=$3 before nested
    shift 3
    before=$(aside "SELECT count(*) FROM cron_ran")
    start "$(preload "$@")" "$options" || { not_ok "$name: the server starts"; return; }
    ok "$name: the server starts ($(preload "$@"))"
    [ -n "$(aside "SELECT 1 FROM pg_extension WHERE extname = 'pg_hone'")" ] || aside "CREATE EXTENSION pg_hone" || exit 1
    begin "$name" "$track"
    aside "SELECT hone.reset()" >/dev/null
    workload >"$work/now"
    is "$name: clients see what they see without pg_hone" "$(diff "$work/bare.$track" "$work/now")" ""
    is "$name: pg_stat_statements counts what it counts without pg_hone" "$(diff "$work/bare.$track.counted" <(counted))" ""
    is "$name: auto_explain explains the same" "$(diff "$work/bare.$track.explained" <(explained "$name"))" ""
    is "$name: the log has the same errors and warnings" "$(diff "$work/bare.$track.wrong" <(wrong "$name"))" ""
    # Failed calls are calls of pg_hone's, and not of theirs. Before 16 they
    # have the rows of a PL/pgSQL loop's last run only.
    is "$name: queryid, calls and rows are those of pg_stat_statements" "$(aside "
        SELECT queryid, toplevel, t.calls, o.calls, t.rows, o.rows, coalesce(t.query, o.query)
        FROM (SELECT * FROM ($theirs) s WHERE NOT query $utility) t
            FULL JOIN (SELECT * FROM ($ours) s WHERE NOT query $utility) o USING (queryid, toplevel)
        WHERE (t.calls, t.rows) IS DISTINCT FROM (o.calls, CASE WHEN NOT toplevel AND $major < 16 THEN t.rows ELSE o.rows END)
            AND coalesce(t.query, o.query) !~ 'differs_'")" ""
    # Utility statements with names or values in them are one for pg_hone, and
    # many for them; ways to run a query are none.
    is "$name: and of utility statements, kind by kind" "$(aside "
        SELECT kind, toplevel, t.calls, o.calls, t.rows, o.rows
        FROM (SELECT substring(query FROM '\w+') AS kind, toplevel, sum(calls) AS calls, sum(rows) AS rows FROM ($theirs) s WHERE query $utility GROUP BY 1, 2) t
            FULL JOIN (SELECT substring(query FROM '\w+') AS kind, toplevel, sum(calls) AS calls, sum(rows) AS rows FROM ($ours) s WHERE query $utility GROUP BY 1, 2) o
            USING (kind, toplevel)
        WHERE (t.calls, t.rows) IS DISTINCT FROM (o.calls, o.rows)
            AND kind NOT IN ('DECLARE', 'FETCH', 'MOVE', 'CLOSE', 'DEALLOCATE') AND (toplevel OR kind <> 'EXPLAIN')")" ""
    is "$name: utility statements without names and values have their queryid" "$(aside "
        SELECT w.query, w.calls, o.calls
        FROM (VALUES ('COMMIT', 3), ('RESET work_mem', 1), ('SHOW work_mem', 1), ('VACUUM part_1', 1), ('ANALYZE item', 1), ('LOCK TABLE item', 1),
                ('TRUNCATE made', 1), ('REFRESH MATERIALIZED VIEW summary', 1), ('COPY bulk TO stdout', 1), ('DROP VIEW glimpse', 1)) w (query, calls)
            LEFT JOIN ($theirs) t ON t.query = w.query AND t.toplevel LEFT JOIN ($ours) o ON o.queryid = t.queryid AND o.toplevel
        WHERE w.calls IS DISTINCT FROM o.calls")" ""
    # A cursor is the sum of its runs; what runs at commit is nobody's own; an
    # EXPLAIN without ANALYZE runs nothing.
    nested=
    [ "$track" = top ] || nested='INSERT INTO differs_deferred VALUES (NEW.id)|f|1|1
SELECT count(*) FROM differs_explained WHERE item = $1|f|1|1
'
    is "$name: where pg_hone counts otherwise" "$(aside "SELECT query, toplevel, calls, rows FROM ($ours) s
        WHERE query ~ 'differs_' AND NOT query $utility ORDER BY toplevel, query COLLATE \"C\"")" "${nested}SELECT id FROM differs_cursor ORDER BY id|t|1|6
SELECT id FROM differs_cursor WHERE id > \$1 ORDER BY id|t|1|4
SELECT id FROM differs_portal ORDER BY id|t|1|21"
    is "$name: each error that a client saw is counted once" "$(errors_of)" "$(errors_in "$work/now")"
    if have pg_stat_kcache; then
        is "$name: pg_stat_kcache has their queryids" "$(aside "SELECT queryid, query FROM ($ours) o
            WHERE NOT query $utility AND toplevel AND query !~ 'differs_| INTO chosen '
                AND queryid NOT IN (SELECT k.queryid FROM pg_stat_kcache() k JOIN pg_database d ON d.oid = k.dbid WHERE datname = 'w')")" ""
    fi
    if have pg_qualstats; then
        # it looks at nested ones too, whoever runs them
        is "$name: pg_qualstats has their queryids" "$(aside "
            SELECT count(DISTINCT t.queryid) > 10, count(DISTINCT t.queryid) = count(DISTINCT o.queryid)
            FROM pg_qualstats() q JOIN pg_database d ON d.oid = q.dbid AND d.datname = 'w'
                JOIN ($theirs) t ON t.queryid = q.queryid AND t.query !~ 'EXPLAIN' LEFT JOIN ($ours) o ON o.queryid = q.queryid")" "t|t"
    fi
    if have pg_cron; then
        succeeds "$name: pg_cron's job ran" wait_until 20 "SELECT count(*) > $before FROM cron_ran"
    fi
    healthy "$name"
}

order first top '' pg_hone plpgsql pg_stat_statements pg_stat_kcache pg_qualstats hypopg auto_explain pg_cron
order last all '' pg_cron hypopg auto_explain pg_stat_statements pg_qualstats pg_stat_kcache plpgsql pg_hone
order middle all '' pg_stat_statements pg_stat_kcache hypopg pg_hone pg_qualstats auto_explain pg_cron plpgsql
order between top '-c cron.use_background_workers=on' plpgsql pg_qualstats hypopg auto_explain pg_hone pg_cron pg_stat_statements pg_stat_kcache

# ---------------------------------------------------------------------------
# A neighbour that raises errors in its hooks, before or after it calls the
# ones that were there before it: whether pg_hone notes the error with its
# statement depends on who is outside, but it is one error, and what comes
# later is counted as ever.
# ---------------------------------------------------------------------------

# The session in which it does, statement by statement. Each error has a code
# of its own: hook and turn, and what the statement was.
troubled_session() {
    local number=10 hook turn
    cat <<'SQL'
CREATE FUNCTION inner_one(n int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE m int;
BEGIN
    EXECUTE 'UPDATE journal SET id = id WHERE id = ' || n || ' /* troubled */';
    EXECUTE 'CREATE TEMP TABLE IF NOT EXISTS scratch (id int) /* troubled */';
    RETURN n;
END $$;
CREATE FUNCTION handles(n int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN RETURN inner_one(n); EXCEPTION WHEN OTHERS THEN RETURN -1; END $$;
PREPARE generic (int) AS UPDATE journal SET what = 'generic' WHERE id = $1 /* troubled */;
SET plan_cache_mode = force_generic_plan;
EXECUTE generic(-1);
RESET plan_cache_mode;
SQL
    for hook in analyze planner start run finish end utility; do
        for turn in before after; do
            number=$((number + 1))
            code() { echo "RESET trouble.hook; SET trouble.sqlstate = 'T${number}0$1'; SET trouble.turn = '$turn'; SET trouble.hook = '$hook';"; }
            later() { echo "RESET trouble.hook; SELECT count(*) FROM late WHERE id = $number; INSERT INTO late VALUES ($number + 1000);"; }
            code A; echo "SELECT id FROM bulk WHERE id < 3 ORDER BY id /* troubled */;"; later
            code B; echo "INSERT INTO bulk VALUES (1, 'a') /* troubled */;"; later
            code C; echo "COMMENT ON TABLE bulk IS 'troubled';"; later
            echo "BEGIN; SAVEPOINT s;"
            code D; echo "UPDATE bulk SET note = 'b' WHERE id = 1 /* troubled */;"
            echo "ROLLBACK TO s;"; later; echo "COMMIT;"
            code E; echo "SELECT inner_one(1);"; later
            code F; echo "SELECT handles(1);"; later
            echo "SET plan_cache_mode = force_generic_plan;"; code G; echo "EXECUTE generic(1) /* troubled */;"; echo "RESET trouble.hook; RESET plan_cache_mode;"; later
            echo "BEGIN;"; code H; echo "DECLARE c CURSOR FOR SELECT id FROM bulk /* troubled */;"; code I; echo "FETCH 2 FROM c; FETCH 3 FROM c /* troubled */;"
            code J; echo "CLOSE c; ROLLBACK;"; later
            code K; echo "COPY (SELECT id FROM bulk WHERE id < 2) TO stdout /* troubled */;"; later
            code L; echo "SELECT 1 \\; SELECT id FROM bulk WHERE id < 2 /* troubled */;"; later
            code M; echo "EXPLAIN ANALYZE SELECT id FROM bulk /* troubled */ \\g /dev/null"; later
        done
    done
}

# Each ends its session.
fatal_sessions() {
    local number=50 hook turn
    for hook in analyze planner start run finish end utility; do
        for turn in before after; do
            number=$((number + 1))
            PGOPTIONS="-c trouble.marker=troubled -c trouble.hook=$hook -c trouble.turn=$turn -c trouble.level=fatal -c trouble.sqlstate=F${number}00" \
                "$HONE_BIN/psql" -XAtq -v VERBOSITY=verbose -d w -c "$([ $hook = utility ] && echo "COMMENT ON TABLE bulk IS 'troubled'" ||
                    echo "UPDATE bulk SET note = 'f' WHERE id = 1 /* troubled */")" 2>&1
        done
    done
}

# trouble NAME TRACK LIBRARY...
trouble() {
    local name=$1 track=$2
    shift 2
    start "$(preload "$@")" || { not_ok "$name: the server starts"; return; }
    ok "$name: the server starts ($(preload "$@"))"
    begin "$name" "$track"
    aside "SELECT hone.reset()" >/dev/null
    HONE_DB=w aside "INSERT INTO bulk SELECT g, 'x' FROM generate_series(1, 9) g; INSERT INTO journal VALUES ('x', 1)"
    troubled_session | PGOPTIONS="-c trouble.marker=troubled" "$HONE_BIN/psql" -XAtq -v VERBOSITY=verbose -d w >"$work/troubled" 2>&1
    fatal_sessions >>"$work/troubled"
    # 14 kinds of trouble: each met some statement
    is "$name: every hook raised, before and after" \
        "$(sed -nE 's/.*(ERROR|FATAL):  ([TF][0-9]{2}).*/\2/p' "$work/troubled" | sort -u | wc -l)" 28
    is "$name: nothing else went wrong" "$(grep -E 'ERROR|FATAL|PANIC|WARNING|closed' "$work/troubled" | grep -vE '(ERROR|FATAL):  ([TF][0-9]{2}0[0A-M]|25P02|34000):|server closed the connection|connection to server was lost')" ""
    is "$name: each error that a client saw is counted once" "$(errors_of)" "$(errors_in "$work/troubled")"
    is "$name: later statements are the clients' own, and counted right" "$(aside "
        SELECT query, toplevel, calls, errors, rows FROM hone.queries WHERE datname = 'w' AND query ~ ' late ' AND query !~ '^CREATE' ORDER BY query")" \
        "INSERT INTO late VALUES (\$1 + \$2)|t|154|0|154
SELECT count(*) FROM late WHERE id = \$1|t|154|0|154"
    is "$name: the log has no other errors" "$(wrong "$name" | grep -vE "^client backend/w: (ERROR|FATAL): ")" ""
    healthy "$name"
}

trouble "trouble inside" all trouble pg_stat_statements pg_stat_kcache pg_hone hypopg auto_explain pg_qualstats plpgsql pg_cron
trouble "trouble outside" top pg_stat_statements pg_stat_kcache pg_qualstats pg_hone trouble hypopg auto_explain plpgsql pg_cron
hone_done
