#!/usr/bin/env bash
# ORMs of Node, over the driver pg: see README.md.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
. "$HONE_ROOT/test/lib/debian.sh"
. "$HONE_ROOT/test/orm/lib/install.sh"
. "$HONE_ROOT/test/orm/lib/checks.sh"
hone_prepare
programs=$HONE_WORK/run/orm_node
if ! orm_node "$programs"; then
    orm_missing "ORMs of Node"
    hone_done
fi
orm_server node || exit 1
for orm in sequelize typeorm knex drizzle; do
    upward=author_id
    [ "$orm" != typeorm ] || upward=id
    ORM_UPWARD=$upward orm_scenarios "$orm" node "$programs/run.js" "$orm"
    if [ "$orm" = sequelize ]; then
        # each process of the server sees a part of this loop
        orm_run parallel node "$programs/run.js" "$orm" parallel && orm_found n_plus_one book
    fi
done
orm_batches pg node "$programs/batch.js"
hone_done
