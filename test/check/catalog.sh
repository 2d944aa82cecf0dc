#!/usr/bin/env bash
# What the extension creates is commented, and what users may use stands in
# README.md as it is: names, kinds, arguments, columns, defaults. Names that
# begin with an underscore are internal.
#
# planted.sh names a database (HONE_DB) and a README (HONE_README) of its own.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
if [ -z "${HONE_DB:-}" ]; then
    hone_server catalog || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
fi
readme=${HONE_README:-$HONE_SRC/README.md}

# nothing NAME SQL: the query works and has no row.
nothing() {
    local rows
    if ! rows=$(sql "$2" 2>&1) || [ -n "$rows" ]; then not_ok "$1" "$rows"; else ok "$1"; fi
}

# same NAME README CATALOG: lists of lines, neither empty.
same() {
    local missing unknown
    missing=$(comm -13 <(sort <<<"$2") <(sort <<<"$3") | sed 's/^/only in the catalog: /')
    unknown=$(comm -23 <(sort <<<"$2") <(sort <<<"$3") | sed 's/^/only in README.md: /')
    if [ -n "$missing$unknown" ] || [ -z "$2" ]; then not_ok "$1" "$missing${missing:+
}$unknown"; else ok "$1"; fi
}

# Not what belongs to another object: row and array types (members from
# PostgreSQL 16 on), sequences of columns.
members="
SELECT d.classid, d.objid, i.type, i.schema, i.identity
FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid,
    LATERAL pg_identify_object(d.classid, d.objid, 0) i
WHERE e.extname = 'pg_hone' AND d.deptype = 'e' AND NOT EXISTS (
    SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid AND o.objsubid = 0 AND (o.deptype = 'i' OR o.deptype = 'a' AND o.refobjsubid > 0))"

nothing "every SQL object has a comment" "
SELECT type, identity FROM ($members) m
WHERE pg_catalog.obj_description(objid, (SELECT relname FROM pg_class WHERE oid = classid)) IS NULL
ORDER BY 1, 2"
nothing "every trigger and policy of its tables has a comment" "
SELECT 'trigger', t.tgname FROM pg_trigger t JOIN ($members) m ON m.objid = t.tgrelid AND m.classid = 'pg_class'::regclass
WHERE NOT t.tgisinternal AND obj_description(t.oid, 'pg_trigger') IS NULL
UNION ALL
SELECT 'policy', p.polname FROM pg_policy p JOIN ($members) m ON m.objid = p.polrelid AND m.classid = 'pg_class'::regclass
WHERE obj_description(p.oid, 'pg_policy') IS NULL"
nothing "every column of a public table has a comment" "
SELECT m.identity, a.attname FROM ($members) m JOIN pg_attribute a ON a.attrelid = m.objid
WHERE m.type IN ('table', 'foreign table') AND m.identity NOT LIKE 'hone.\\_%' AND a.attnum > 0 AND NOT a.attisdropped
  AND col_description(a.attrelid, a.attnum) IS NULL"
nothing "every object of the extension lies in schema hone" "
SELECT type, identity FROM ($members) m WHERE schema <> 'hone' ORDER BY 1, 2"

# Rows of the object tables: kind, name, arguments, words for other columns.
# A cell may name several objects; arguments are '-' where none are shown.
objects=$(perl -ne '
    $on = 1 if /^## Reference/; $on = 0 if /^## Limits/;
    $table = 1 if /^\| object \|/; $table = 0 if !/^\|/;
    next unless $on && $table && !/^\|( object |-)/;
    my (undef, $names, $kind, $text) = split /\s*(?<!\\)\|\s*/;
    $kind =~ s/s$//;
    my @words = map { /^\w+(?:[ ,]+\w+)*$/ ? split /[ ,]+/ : /^(\w+) => / ? $1 : () } $text =~ /`([^`]*)`/g;
    while ($names =~ /`([\w.]+)(?:\(([^)]*)\))?`/g) {
        print join("|", $kind, $1, defined $2 ? $2 : "-", join(",", @words)), "\n";
    }' "$readme")
public="SELECT * FROM ($members) m WHERE type NOT IN ('schema', 'sequence', 'cast') AND identity !~ '^(hone\\.)?\"?_'"
same "every public object stands in README.md, and no other" "$(cut -d'|' -f1,2 <<<"$objects")" "$(sql "
SELECT DISTINCT type || '|' || regexp_replace(identity, '\\(.*', '') FROM ($public) p")"

# What a row says in back quotes is an argument or a column of its objects;
# arguments that may be left out may be left out there.
nothing "arguments and columns in README.md" "
WITH routine AS (
    SELECT 'hone.' || proname AS name, p.*, pg_get_function_arguments(oid) AS declared, ARRAY(
        SELECT proargnames[i] FROM generate_subscripts(proargnames, 1) i
        WHERE proargmodes IS NULL OR proargmodes[i] IN ('i', 'b', 'v') ORDER BY i) AS inputs
    FROM pg_proc p WHERE pronamespace = 'hone'::regnamespace),
known AS (
    SELECT name, unnest(proargnames) AS word FROM routine
    UNION ALL
    SELECT r.name, a.attname FROM routine r JOIN pg_type t ON t.oid = r.prorettype JOIN pg_attribute a ON a.attrelid = t.typrelid
    UNION ALL
    SELECT 'hone.' || c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'hone'::regnamespace AND a.attnum > 0),
line AS (
    SELECT f[2] AS name, f[3] AS arguments, w.word
    FROM regexp_split_to_table(\$objects\$$objects\$objects\$, '\n') l, string_to_array(l, '|') f
        LEFT JOIN LATERAL regexp_split_to_table(nullif(f[4], ''), ',') w(word) ON true)
SELECT DISTINCT name || '(' || arguments || ')' FROM line
WHERE arguments <> '-' AND name IN (SELECT name FROM routine UNION SELECT name FROM known) AND NOT EXISTS (
    SELECT FROM routine r, LATERAL (
        SELECT count(*) AS shown, coalesce(bool_and(r.inputs[i] = split_part(a, ' ', 1) AND r.declared ~
            ('\m' || split_part(a, ' ', 1) || '\M[^,]*' || coalesce(' DEFAULT ' || substring(a FROM '(?:DEFAULT|=>) (NULL|true|false|[0-9]+)$'), ''))), true) AS fits
        FROM regexp_split_to_table(nullif(line.arguments, ''), ' *, *') WITH ORDINALITY x(a, i)) y
    WHERE r.name = line.name AND fits AND shown BETWEEN pronargs - pronargdefaults AND pronargs)
UNION ALL
SELECT name || ' has no ' || word FROM line
WHERE name LIKE 'hone.%' AND word IS NOT NULL AND (name, word) NOT IN (SELECT name, word FROM known WHERE word IS NOT NULL)
ORDER BY 1"

settings=$(perl -ne '
    $table = 1 if /^\| setting \|/; $table = 0 if !/^\|/;
    next unless $table && !/^\|( setting |-)/;
    my (undef, $name, $default, $effect) = split /\s*(?<!\\)\|\s*/;
    print join("|", $name =~ s/`//gr, $default =~ s/`//gr, $effect), "\n"' "$readme")
known=$(sql "
SELECT name, current_setting(name), CASE WHEN context IN ('user', 'superuser') THEN 'at once' WHEN context = 'sighup' THEN 'reload'
    WHEN context = 'postmaster' THEN 'restart' ELSE context END
FROM pg_settings WHERE name LIKE 'hone.%'")
# Only settings that stand on both sides; the first check looks for others.
common() { awk -F'|' -v column="$2" 'NR == FNR { other[$1]; next } $1 in other { print $1 "|" $column }' <(echo "$3") <(echo "$1"); }
same "every setting stands in README.md, and no other" "$(cut -d'|' -f1 <<<"$settings")" "$(cut -d'|' -f1 <<<"$known")"
nothing "the server has every setting's default" "SELECT name, setting, boot_val FROM pg_settings WHERE name LIKE 'hone.%' AND setting IS DISTINCT FROM boot_val"
same "defaults of settings in README.md" "$(common "$settings" 2 "$known")" "$(common "$known" 2 "$settings")"
same "when settings take effect, in README.md" "$(common "$settings" 3 "$known")" "$(common "$known" 3 "$settings")"
nothing "every setting has a description" "SELECT name FROM pg_settings WHERE name LIKE 'hone.%' AND coalesce(short_desc, '') = ''"

# Also in prose and examples.
same "README.md names nothing that does not exist" "$(grep -oP '(?<![\w/.-])hone\.\w+' "$readme" | sort -u)" "$(
    sql "SELECT identity FROM ($members) m
         UNION SELECT name FROM pg_settings WHERE name LIKE 'hone.%'" | sed 's/(.*//' | sort -u |
        comm -12 - <(grep -oP '(?<![\w/.-])hone\.\w+' "$readme" | sort -u))"
hone_done
