#!/usr/bin/env bash
# Django and SQLAlchemy, as Debian has them: see README.md.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/debian.sh"
. "$HONE_ROOT/test/orm/lib/install.sh"
. "$HONE_ROOT/test/orm/lib/checks.sh"
hone_prepare
# Debian's own: its modules are not another Python's
python=/usr/bin/python3
have_django() { $python -c 'import django, psycopg2'; }
have_sqlalchemy() { $python -c 'import sqlalchemy, psycopg2'; }

orm_server python || exit 1
for orm in django sqlalchemy; do
    if orm_debian "have_$orm" python3-"$orm" python3-psycopg2; then
        orm_scenarios "$orm" $python "$HONE_SRC/test/orm/python/run.py" "$orm"
    else
        orm_missing "$orm"
    fi
done
for driver in psycopg2 psycopg; do
    have_driver() { $python -c "import $driver"; }
    if orm_debian have_driver "python3-$driver"; then
        orm_batches "$driver" $python "$HONE_SRC/test/orm/python/batch.py" "$driver"
    else
        orm_missing "$driver"
    fi
done
hone_done
