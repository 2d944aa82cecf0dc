#!/usr/bin/env bash
# What the extension creates is commented, and what users may use stands in
# README.md.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
hone_server catalog || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
readme=$HONE_SRC/README.md

# Members of the extension that a comment can be put on; row types, sequences
# of identity columns and TOAST tables belong to their tables.
members="
SELECT pg_catalog.pg_describe_object(d.classid, d.objid, 0)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
WHERE e.extname = 'pg_hone' AND d.deptype = 'e'
  AND d.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass, 'pg_am'::regclass,
                    'pg_namespace'::regclass, 'pg_operator'::regclass, 'pg_event_trigger'::regclass)
  AND NOT EXISTS (SELECT FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid
                  AND (t.typrelid <> 0 OR t.typelem <> 0))
  AND NOT EXISTS (SELECT FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid
                  AND c.relkind IN ('S', 'c', 'i'))"
is "every SQL object has a comment" \
    "$(sql "$members AND pg_catalog.obj_description(d.objid, (SELECT relname FROM pg_class WHERE oid = d.classid)) IS NULL ORDER BY 1")" ""

is "every object of the extension lies in schema hone" "$(sql "
SELECT i.type || ' ' || i.identity FROM pg_depend d JOIN pg_extension e ON d.refobjid = e.oid,
    LATERAL pg_identify_object(d.classid, d.objid, 0) i
WHERE e.extname = 'pg_hone' AND d.deptype = 'e' AND d.refclassid = 'pg_extension'::regclass
  AND i.schema IS NOT NULL AND i.schema <> 'hone' ORDER BY 1")" ""

# Word boundaries by hand: names hold underscores.
missing() {
    while read -r name; do
        grep -qE "(^|[^A-Za-z0-9_])${name//./\\.}([^A-Za-z0-9_]|\$)" "$readme" || echo "$name"
    done
}
is "every public function, procedure and view stands in README.md" "$(sql "
SELECT proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON d.refobjid = e.oid WHERE e.extname = 'pg_hone' AND proname NOT LIKE '\\_%'
    AND p.prorettype NOT IN ('table_am_handler'::regtype, 'event_trigger'::regtype, 'trigger'::regtype)
UNION
SELECT relname FROM pg_class c JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e'
    JOIN pg_extension e ON d.refobjid = e.oid WHERE e.extname = 'pg_hone' AND relname NOT LIKE '\\_%'
    AND c.relkind IN ('r', 'v', 'm', 'p') ORDER BY 1" | missing)" ""
is "every setting stands in README.md" \
    "$(sql "SELECT name FROM pg_settings WHERE name LIKE 'hone.%' ORDER BY 1" | missing)" ""
is "every setting has a description" \
    "$(sql "SELECT name FROM pg_settings WHERE name LIKE 'hone.%' AND coalesce(short_desc, '') = ''")" ""
is "README.md names no setting that does not exist" "$(
    grep -oE 'hone\.[a-z_]+`? *\|' "$readme" | grep -oE 'hone\.[a-z_]+' | sort -u | while read -r name; do
        [ "$(sql "SELECT count(*) FROM pg_settings WHERE name = '$name'")" = 1 ] ||
            [ "$(sql "SELECT (SELECT count(*) FROM pg_proc WHERE proname = substr('$name', 6)) + (SELECT count(*) FROM pg_class WHERE relname = substr('$name', 6))")" != 0 ] ||
            echo "$name"
    done)" ""
hone_done
