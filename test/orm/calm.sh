#!/usr/bin/env bash
# What repeats statements and is no N+1 loop: benchmarks, dumps, workers,
# imports, migrations. Nothing may be taken for one.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/debian.sh"
. "$HONE_ROOT/test/orm/lib/install.sh"
. "$HONE_ROOT/test/orm/lib/checks.sh"
hone_prepare
python=/usr/bin/python3
have_psycopg2() { $python -c 'import psycopg2'; }
have_django() { $python -c 'import django, psycopg2'; }

orm_server calm || exit 1
place=$HONE_WORK/run/calm

# calm SCENARIO CMD...
calm() { orm_run "$@" && orm_silent n_plus_one; }

# ------------------------------------------------------------------------
# PostgreSQL's own programs
# ------------------------------------------------------------------------
orm_begin pgbench || exit 1
PGDATABASE=$HONE_DB "$HONE_BIN/pgbench" -i -q -s 1 >/dev/null 2>&1 || exit 1
for script in tpcb-like simple-update select-only; do
    for protocol in simple prepared; do
        calm "$script,$protocol" "$HONE_BIN/pgbench" -n -c 2 -T 2 -b "$script" -M "$protocol"
    done
done

orm_begin pg_dump || exit 1
sql "DO \$\$
    BEGIN
        FOR n IN 1..50 LOOP
            EXECUTE format('CREATE TABLE shelf_%1\$s (id serial PRIMARY KEY, book int REFERENCES book, place text DEFAULT ''here'' CHECK (place <> ''''));
                CREATE INDEX ON shelf_%1\$s (book); COMMENT ON TABLE shelf_%1\$s IS ''shelf'';
                CREATE VIEW on_shelf_%1\$s AS SELECT title FROM shelf_%1\$s s JOIN book b ON b.id = s.book;
                CREATE FUNCTION shelf_%1\$s() RETURNS bigint LANGUAGE sql AS ''SELECT count(*) FROM shelf_%1\$s'';
                INSERT INTO shelf_%1\$s (book) SELECT generate_series(1, 20)', n);
        END LOOP;
    END \$\$" || exit 1
calm dump "$HONE_BIN/pg_dump" -f /dev/null
calm dump_of_inserts "$HONE_BIN/pg_dump" --inserts -f /dev/null
calm dump_in_parallel "$HONE_BIN/pg_dump" -Fd -j 2 -f "$place/dump"

# ------------------------------------------------------------------------
# Workers that take jobs from a queue, and that find it empty
# ------------------------------------------------------------------------
orm_begin queue || exit 1
sql "CREATE TABLE job (id int PRIMARY KEY, payload text NOT NULL, done_at timestamptz);
     INSERT INTO job SELECT g, 'job ' || g FROM generate_series(1, 400) g" || exit 1
cat >"$place/take.pgbench" <<'SQL'
BEGIN;
SELECT id AS job FROM job WHERE done_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED \gset
SELECT payload FROM job WHERE id = :job;
UPDATE job SET done_at = now() WHERE id = :job;
COMMIT;
\sleep 20 ms
SQL
cat >"$place/poll.pgbench" <<'SQL'
SELECT id, payload FROM job WHERE done_at IS NULL AND id > 1000 ORDER BY id LIMIT 10 FOR UPDATE SKIP LOCKED;
\sleep 20 ms
SQL
for protocol in simple prepared; do
    calm "take,$protocol" "$HONE_BIN/pgbench" -n -c 2 -t 60 -M "$protocol" -f "$place/take.pgbench"
    calm "poll,$protocol" "$HONE_BIN/pgbench" -n -c 2 -t 60 -M "$protocol" -f "$place/poll.pgbench"
done

# ------------------------------------------------------------------------
# Programs
# ------------------------------------------------------------------------
if orm_debian have_psycopg2 python3-psycopg2; then
    orm_begin program || exit 1
    for scenario in tenants validation validation_in_transaction load; do
        calm "$scenario" $python "$HONE_SRC/test/orm/python/calm.py" "$scenario"
    done
    is "$ORM: what was not there was inserted" "$(sql "SELECT count(*) FROM author WHERE country = 'imported'")" 60
    # what all this is worth: a loop is found here
    orm_run loop $python "$HONE_SRC/test/orm/python/loop.py" && orm_found n_plus_one book
else
    orm_missing "programs without an ORM"
fi

if orm_debian have_django python3-django python3-psycopg2; then
    orm_begin django_migrate || exit 1
    calm migrate $python "$HONE_SRC/test/orm/python/django_migrate.py"
    is "$ORM: it has migrated" "$(sql "SELECT count(*) > 5 FROM django_migrations")" t
else
    orm_missing "migrations with Django"
fi

if orm_node "$place/node"; then
    for orm in knex sequelize; do
        orm_begin "${orm}_migrate" || exit 1
        calm migrate node "$place/node/migrate.js" "$orm"
        is "$ORM: it has migrated" "$(sql "SELECT count(*) FROM pg_class WHERE relkind = 'r' AND relname ~ '^shelf_'")" 12
    done
else
    orm_missing "migrations with Node"
fi
hone_done
