#!/usr/bin/env bash
# Do the checks find anything? Each kind of offence is planted, in copies of
# the checkout and of a database, and the check has to name exactly what was
# planted.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
here=$HONE_WORK/planted
mkdir -p "$here/clean"
(cd "$HONE_ROOT" && tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.so' --exclude=./results .) | tar -xf - --no-same-owner -C "$here/clean"
cd "$here" || exit 1
fresh() { rm -rf tree && cp -a clean tree; }

# What a check complains of, without line numbers.
complaints() { grep -v '^ok' | sed -E 's/^#   //; s/(\.[a-z]+):[0-9]+:/\1:/'; }

# plant NAME SCRIPT WANTED: standard input is run in a fresh copy, then SCRIPT.
plant() {
    fresh
    (cd tree && bash -eu /dev/stdin) || { not_ok "$1" "could not be planted"; return; }
    is "$1" "$(bash "tree/test/check/$2" 2>&1 | complaints)" "$3"
}

plant "includes that climb the ladder" source.sh "not ok - include ladder
src/common/catalog.c: includes src/advise/advise.h
src/compat/compat.c: includes src/tiered/tiered.h
src/lifecycle/log.c: computed include of HONE_HEADER
src/lost.h: lies in no area of the ladder
src/new/new.h: lies in no area of the ladder
src/stats/histogram.c: src/stats/texts.c is no header
src/stats/shared.h: includes src/capture/capture.h
src/tiered/am.c: includes src/lifecycle/lifecycle.h
src/tiered/am.c: includes src/stats/stats.h" <<'END'
echo '#  include <advise/advise.h>' >>src/common/catalog.c
echo '#include "../../src/tiered/tiered.h"' >>src/compat/compat.c
echo '#include HONE_HEADER' >>src/lifecycle/log.c
echo '#include "texts.c"' >>src/stats/histogram.c
echo '#include "../capture/capture.h"' >>src/stats/shared.h
echo '#include "./../lifecycle/lifecycle.h" /* why */' >>src/tiered/am.c
echo '#include	"stats/stats.h"' >>src/tiered/am.c
echo '/* #include "advise/advise.h" */' >>src/tiered/am.c
mkdir src/new
touch src/lost.h src/new/new.h
END

plant "pg_hone.c that looks into areas" source.sh "not ok - pg_hone.c sees one header of each area
src/pg_hone.c: includes src/stats/shared.h
src/pg_hone.c: includes src/common/worker.h" <<'END'
echo '#include "stats/shared.h"' >>src/pg_hone.c
echo '#include "./common/worker.h"' >>src/pg_hone.c
END

plant "version differences" source.sh "not ok - version differences stand in src/compat only
src/batch/batch.h: names PG_MAJORVERSION_NUM
src/batch/delete.c: names PG_VERSION_NUM
src/batch/delete.c: names CATALOG_VERSION_NO
src/batch/target.c: names PG_VERSION_NUM
src/batch/target.c: names server_version_num
not ok - conditional compilation outside src/compat is listed in source.pl
src/batch/batch.h: depends on PG_MAJORVERSION_NUM
src/batch/delete.c: depends on defined(X) && PG_VERSION_NUM >= 160000
src/batch/delete.c: depends on CATALOG_VERSION_NO > 202307071
src/batch/target.c: depends on USE_ASSERT_CHECKING
src/tiered/codec_bits.c: WORDS_BIGENDIAN: is listed in source.pl but not there" <<'END'
printf '#ifdef PG_MAJORVERSION_NUM\n#endif\n' >>src/batch/batch.h
printf '#if defined(X) && \\\n\tPG_VERSION_NUM >= 160000\n#elif CATALOG_VERSION_NO > 202307071\n#endif\n' >>src/batch/delete.c
printf 'int planted = PG_VERSION_NUM;\nconst char *other = GetConfigOption("server_version_num", false, false);\n' >>src/batch/target.c
printf '#ifndef USE_ASSERT_CHECKING\n#endif\n/* PG_VERSION_NUM */\n' >>src/batch/target.c
sed -i 's/^#ifdef WORDS_BIGENDIAN/#ifused 1/' src/tiered/codec_bits.c
END

plant "errors without a code" source.sh "not ok - every ereport(ERROR) has an errcode
src/batch/target.c: no errcode in ereport(ERROR, ...)
src/batch/target.c: no errcode in ereport(FATAL, ...)
src/batch/target.c: no errcode in ereport(elevel, ...)
src/batch/target.c: no errcode in ereport(quiet ? NOTICE : ERROR, ...)
src/batch/target.c: no errcode in ereport_domain(ERROR, ...)
src/batch/target.c: no errcode in errsave(context, ...)
src/batch/target.c: no errcode in ereturn(context, ...)
src/batch/target.c: no errcode in ereport(PANIC, ...)
src/batch/target.c: calls errstart
src/batch/target.c: parentheses do not match" <<'END'
cat >>src/batch/target.c <<'C'
ereport(LOG, errmsg("x"));
ereport(quiet ? LOG : WARNING, errmsg("x"));
ereport(ERROR,
		errcode_for_file_access(), errmsg(")"));
ereport(ERROR,
		(errmsg("errcode(("),	/* errcode(x) */
		 errhint("\"')")));
ereport (FATAL, errmsg("%c", '"'));
ereport(elevel, errmsg("x"));
ereport(quiet ? NOTICE : ERROR, errmsg("x"));
ereport_domain(ERROR, "domain", errmsg("x"));
errsave(context, errmsg("x"));
ereturn(context, 0, errmsg("x"));
#define PLANTED(x) ereport(PANIC, \
	errmsg(x))
errstart(ERROR, NULL);
ereport(ERROR, (errcode(x), errmsg("x"));
C
END

plant "functions that do not ask for their script" source.sh "not ok - every SQL-callable function requires its script before it reads an argument
src/batch/delete.c: hone_batch_delete
src/stats/functions.c: hone_reset
src/stats/functions.c: hone_planted" <<'END'
sed -i '/^hone_batch_delete(/,/^}/ { /hone_require_script/d }' src/batch/delete.c
sed -i '/^hone_reset(/,/^}/ s/^\thone_require_script();/\tint64 id = PG_GETARG_INT64(0);\n&/' src/stats/functions.c
printf 'PG_FUNCTION_INFO_V1(hone_planted);\n' >>src/stats/functions.c
END

plant "query identifiers of one version's type" source.sh "not ok - query identifiers are read through HONE_QUERYID
src/advise/plans.c: reads ->queryId" <<'END'
echo 'int planted = query->queryId % 7; /* query->queryId */' >>src/advise/plans.c
END

plant "exceptions without a code" source.sh "not ok - every RAISE EXCEPTION has an errcode
sql/install/60_batch.sql: no ERRCODE in RAISE
sql/install/60_batch.sql: no ERRCODE in RAISE
sql/install/60_batch.sql: no ERRCODE in RAISE" <<'END'
cat >>sql/install/60_batch.sql <<'SQL'
RAISE EXCEPTION 'ERRCODE = ;' USING HINT = 'x';
raise exception 'x';
RAISE 'x' -- USING ERRCODE = 'x'
;
RAISE NOTICE 'x';
RAISE;
SQL
END

plant "a long file" source.sh "not ok - no source file is longer than 800 lines
src/batch/batch.h: 801 lines" <<'END'
yes '' | head -n $((801 - $(wc -l <src/batch/batch.h))) >>src/batch/batch.h
END

plant "a path of one machine" source.sh "not ok - no path of one machine
./test/check/source.sh:# see /ho""me/somebody/notes" <<'END'
echo "# see /ho""me/somebody/notes" >>test/check/source.sh
END

plant "files that no list has" source.sh "not ok - src/ holds C sources and READMEs only
src/stats/planted.inc
not ok - the Makefile's list of install fragments
sql/install/70_planted.sql is not in SQL_FRAGMENTS
not ok - the Makefile's list of regression tests
planted is not in REGRESS
setup is in REGRESS but not there
not ok - the Makefile's list of isolation tests
planted is not in ISOLATION
not ok - the Makefile's list of objects
src/stats/planted.o is not in OBJS" <<'END'
touch src/stats/planted.inc sql/install/70_planted.sql sql/planted.sql test/specs/planted.spec src/stats/planted.c
rm sql/setup.sql
END

plant "a reader that fails" source.sh "not ok - every source file is read
got:    
wanted: $(find clean/src clean/sql/install -name '*.[ch]' -o -path '*install/*.sql' | wc -l)" <<'END'
sed -i '/^use strict/a exit 1;' test/check/source.pl
END

# A library of four names, and what may be wrong with it.
library() {
    rm -rf lib && mkdir -p lib/src
    printf 'void Pg_magic_func(void) {} void _PG_init(void) {} void hone_tiered_handler(void) {}
        void pg_finfo_hone_tiered_handler(void) {} void hone_other(void) {} %s\n' "${1:-}" >lib/src/a.c
    gcc -fPIC -c lib/src/a.c -o lib/src/a.o && gcc -shared lib/src/a.o -o lib/pg_hone.so
}
exports() { HONE_SRC=$here/lib bash "$HONE_ROOT/test/check/exports.sh" 2>&1 | grep '^not ok'; }
library
is "a library that is as it should be" "$(exports)" ""
library 'int planted;'
is "a foreign name that is exported" "$(exports)" "not ok - exported symbols
not ok - global names of the objects"
library '__attribute__((visibility("hidden"))) void planted(void) {}'
is "a foreign name that is hidden" "$(exports)" "not ok - global names of the objects"
library
echo 'int hone_lost;' >lib/src/a.c && gcc -shared -fPIC lib/src/a.c -o lib/pg_hone.so
is "a library without what PostgreSQL looks up" "$(exports)" "not ok - the library exports what PostgreSQL looks up"
for what in 'no library' 'a library that is none'; do
    rm lib/pg_hone.so
    [ "$what" = 'no library' ] || echo text >lib/pg_hone.so
    is "$what" "$(exports)" "not ok - exported symbols
not ok - the library exports what PostgreSQL looks up"
    touch lib/pg_hone.so
done
library; rm lib/src/a.o
is "no objects" "$(exports)" "not ok - global names of the objects"

hone_server planted || exit 1
sql "CREATE DATABASE clean"
HONE_DB=clean sql "CREATE EXTENSION pg_hone" || exit 1
sql "CREATE DATABASE planted TEMPLATE clean"

# in_catalog NAME SQL WANTED: standard input changes a copy of the README,
# SQL a copy of the database.
in_catalog() {
    cp "$HONE_SRC/README.md" README.md
    bash -eu /dev/stdin || { not_ok "$1" "could not be planted"; return; }
    local db=clean
    if [ -n "$2" ]; then
        db=planted
        sql "DROP DATABASE planted" && sql "CREATE DATABASE planted TEMPLATE clean" && HONE_DB=planted sql "$2" || {
            not_ok "$1" "could not be planted"; return; }
    fi
    is "$1" "$(HONE_DB=$db HONE_README=$here/README.md bash "$HONE_ROOT/test/check/catalog.sh" 2>&1 | complaints)" "$3"
}

# Internal ones, which the README does not name.
in_catalog "objects without a comment" "
CREATE FUNCTION hone._f() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE PROCEDURE hone._p() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE hone._a(int) (sfunc = int4pl, stype = int);
CREATE TABLE hone._t (i int GENERATED ALWAYS AS IDENTITY, j serial);
CREATE VIEW hone._v AS SELECT 1 AS one;
CREATE SEQUENCE hone._s;
CREATE TYPE hone._e AS ENUM ('x');
CREATE TYPE hone._c AS (x int);
CREATE DOMAIN hone._d AS int;
CREATE CAST (hone._e AS hone._c) WITH INOUT;
ALTER EXTENSION pg_hone ADD FUNCTION hone._f();
ALTER EXTENSION pg_hone ADD PROCEDURE hone._p();
ALTER EXTENSION pg_hone ADD AGGREGATE hone._a(int);
ALTER EXTENSION pg_hone ADD TABLE hone._t;
ALTER EXTENSION pg_hone ADD VIEW hone._v;
ALTER EXTENSION pg_hone ADD SEQUENCE hone._s;
ALTER EXTENSION pg_hone ADD TYPE hone._e;
ALTER EXTENSION pg_hone ADD TYPE hone._c;
ALTER EXTENSION pg_hone ADD DOMAIN hone._d;
ALTER EXTENSION pg_hone ADD CAST (hone._e AS hone._c);
COMMENT ON SCHEMA hone IS NULL;
COMMENT ON ACCESS METHOD tiered IS NULL;
COMMENT ON EVENT TRIGGER pg_hone_guard IS NULL;
COMMENT ON VIEW hone.top IS NULL;
COMMENT ON PROCEDURE hone.compress(regclass, text) IS NULL" "not ok - every SQL object has a comment
access method|tiered
aggregate|hone._a(integer)
cast|(hone._e AS hone._c)
event trigger|pg_hone_guard
function|hone._f()
procedure|hone._p()
procedure|hone.compress(pg_catalog.regclass,pg_catalog.text)
schema|hone
sequence|hone._s
table|hone._t
type|hone._c
type|hone._d
type|hone._e
view|hone._v
view|hone.top" <<<""

in_catalog "triggers, policies and columns without a comment" "
CREATE TRIGGER planted BEFORE UPDATE ON hone._tier_state FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
CREATE POLICY planted ON hone._tier_state;
COMMENT ON COLUMN hone.dismissed_recommendations.reason IS NULL" "not ok - every trigger and policy of its tables has a comment
trigger|planted
policy|planted
not ok - every column of a public table has a comment
hone.dismissed_recommendations|reason" <<<""

in_catalog "public objects that the README does not have" "
CREATE FUNCTION hone.planted() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE VIEW hone.planted AS SELECT 1 AS one;
CREATE TYPE hone.planted_type AS ENUM ('x');
COMMENT ON FUNCTION hone.planted() IS 'x';
COMMENT ON VIEW hone.planted IS 'x';
COMMENT ON TYPE hone.planted_type IS 'x';
ALTER EXTENSION pg_hone ADD FUNCTION hone.planted();
ALTER EXTENSION pg_hone ADD VIEW hone.planted;
ALTER EXTENSION pg_hone ADD TYPE hone.planted_type;
CREATE FUNCTION public._elsewhere() RETURNS int LANGUAGE sql AS 'SELECT 1';
COMMENT ON FUNCTION public._elsewhere() IS 'x';
ALTER EXTENSION pg_hone ADD FUNCTION public._elsewhere()" "not ok - every object of the extension lies in schema hone
function|public._elsewhere()
not ok - every public object stands in README.md, and no other
only in the catalog: function|hone.planted
only in the catalog: function|public._elsewhere
only in the catalog: type|hone.planted_type
only in the catalog: view|hone.planted" <<<""

in_catalog "a README that names other objects" "" "not ok - every public object stands in README.md, and no other
only in the catalog: function|hone.reset
only in the catalog: procedure|hone.decompress_all
only in the catalog: view|hone.top
only in README.md: function|hone.unknown
only in README.md: table|hone.top
not ok - README.md names nothing that does not exist
only in README.md: hone.unknown
only in README.md: hone.unknown_in_prose" <<'END'
sed -i '/^| `hone\.reset(/d; s/, `hone\.decompress_all()` |/ |/; s/^| `hone\.top` | view/| `hone.top` | table/
    s/^| `hone\.errors` |.*/&\n| `hone.unknown()` | function | nothing |/; s/^## Troubleshooting/Look at hone.unknown_in_prose.\n\n&/' README.md
END

in_catalog "a README with other arguments and columns" "" "not ok - arguments and columns in README.md
hone.add_tier_policy has no if_missing
hone.batch_delete(rel, condition, batch_size => 500)
hone.compress()
hone.dismiss_recommendation(reason, id)
hone.errors has no sqlcode
hone.partitions has no range_begin
hone.query_stats(show_text DEFAULT false)
hone.tiered_stats(relation, other)" <<'END'
sed -i 's/batch_size => 10000/batch_size => 500/; s/compress(relation)` | procedure |/compress()` | procedure |/
    s/dismiss_recommendation(id, reason)/dismiss_recommendation(reason, id)/; s/show_text DEFAULT true/show_text DEFAULT false/
    s/tiered_stats(relation)/tiered_stats(relation, other)/; s/^\(| `hone.errors` .*\)`queryid`/\1`sqlcode`/
    s/^\(| `hone.partitions` .*\)range_start/\1range_begin/; s/`if_not_exists => true`/`if_missing => true`/' README.md
END

in_catalog "a README with other settings" "" "not ok - every setting stands in README.md, and no other
only in the catalog: hone.track
only in README.md: hone.unknown
not ok - defaults of settings in README.md
only in the catalog: hone.flush_interval|1s
only in the catalog: hone.naptime|1min
only in README.md: hone.flush_interval|1
only in README.md: hone.naptime|2min
not ok - when settings take effect, in README.md
only in the catalog: hone.max_memory|restart
only in README.md: hone.max_memory|reload
not ok - README.md names nothing that does not exist
only in README.md: hone.unknown" <<'END'
sed -i '/^| `hone\.track` |/d; s/^| `hone\.enabled` |.*/&\n| `hone.unknown` | 1 | at once | nothing |/
    s/^\(| `hone\.naptime` |\) 1min/\1 2min/; s/^\(| `hone\.flush_interval` |\) 1s/\1 1/
    s/^\(| `hone\.max_memory` .*\) restart/\1 reload/' README.md
END

# The checks look names up in the search path: these stand before PostgreSQL's.
in_catalog "settings that changed" "
CREATE SCHEMA fake;
CREATE VIEW fake.pg_settings AS
SELECT name, setting, CASE WHEN name = 'hone.naptime' THEN '1' ELSE boot_val END AS boot_val,
    CASE WHEN name = 'hone.worker' THEN 'backend' ELSE context END AS context,
    CASE WHEN name <> 'hone.track' THEN short_desc END AS short_desc
FROM pg_catalog.pg_settings;
ALTER DATABASE planted SET search_path = fake, pg_catalog" "not ok - the server has every setting's default
hone.naptime|60|1
not ok - when settings take effect, in README.md
only in the catalog: hone.worker|backend
only in README.md: hone.worker|reload
not ok - every setting has a description
hone.track" <<<""
out=$(HONE_DB=none bash "$HONE_ROOT/test/check/catalog.sh" 2>/dev/null)
is "queries that fail" "$(grep -c '^not ok' <<<"$out") of $(grep -cE '^(not )?ok' <<<"$out")" "12 of 12"

# Every file, or cppcheck gave up on one and did not say so.
fresh
for file in $(cd tree && find src -name '*.c'); do
    printf 'static int\nplanted(int n)\n{\n\tint\t\t\ta[3];\n\n\ta[3] = n;\n\treturn n;\n}\n' >>"tree/$file"
done
echo 'zerodiv:src/stats/shared.c' >>tree/test/check/cppcheck.suppress
out=$(bash tree/test/check/cppcheck.sh 2>&1)
if grep -q '# skip' <<<"$out"; then
    skip "an index out of bounds in every file" "as cppcheck.sh is"
else
    is "an index out of bounds in every file" \
        "$(grep 'arrayIndexOutOfBounds' <<<"$out" | sed -E 's/^# *([^:]*):.*/\1/' | sort | uniq -c | awk '{ print $1, $2 }')" \
        "$(find clean/src -name '*.c' | sed 's/^clean/2 src/; s/ src./ /' | sort)"
    is "a suppression that is not needed" "$(grep -c 'Unmatched suppression: zerodiv' <<<"$out")" 2
    is "no other finding" "$(grep -vE 'arrayIndexOutOfBounds|Unmatched suppression: zerodiv|^not ok' <<<"$out")" ""
    is "both of them fail" "$(grep '^not ok' <<<"$out")" "not ok - cppcheck for PostgreSQL 15
not ok - cppcheck for PostgreSQL 18"
fi

# A history of its own, of one revision.
in_git() { git -C tree -c user.name=x -c user.email=x@localhost -c commit.gpgsign=false -c safe.directory='*' "$@" >/dev/null 2>&1; }
fresh
analyzer() { env HONE_ANALYZE_ALL=0 "$@" bash tree/test/check/analyzer.sh 2>&1; }
if ! command -v clang >/dev/null || ! in_git init || ! in_git add -A || ! in_git commit -m x; then
    skip "a null pointer for the analyzer" "clang or git is not installed"
else
    like "nothing to analyze" "$(analyzer HONE_CHANGED_SINCE=HEAD)" '^ok - .*# skip no source changed$'
    like "no history to analyze" "$(analyzer HONE_CHANGED_SINCE=)" '^ok - .*# skip no history to compare with$'
    like "a base that does not exist" "$(analyzer HONE_CHANGED_SINCE=nowhere)" '^not ok - '
    printf '#include "postgres.h"\nint\t\t\thone_planted(int *p);\nint\nhone_planted(int *p)\n{\n\tif (p == NULL)\n\t\treturn *p;\n\treturn 0;\n}\n' >tree/src/batch/planted.c
    like "a null pointer for the analyzer" "$(analyzer HONE_CHANGED_SINCE=HEAD)" '^#   src/batch/planted.c:7:.*warning: .*[Dd]ereference of null pointer'
    echo '#error planted' >tree/src/batch/planted.c
    like "a file that clang does not compile" "$(analyzer HONE_CHANGED_SINCE=HEAD)" '^#   src/batch/planted.c: clang failed'
fi

fresh
echo 'int   hone_planted ;' >>tree/src/batch/target.c
out=$(bash tree/test/check/indent.sh 2>&1)
if grep -q '# skip' <<<"$out"; then
    skip "a line that is not formatted" "as indent.sh is"
else
    is "a line that is not formatted" "$(complaints <<<"$out")" "not ok - the sources are formatted
src/batch/target.c"
fi

fresh
echo 'if' >>tree/test/lib/rows.sh
echo '(' >>tree/test/check/source.pl
is "scripts that do not parse" "$(bash tree/test/check/scripts.sh 2>&1 | grep '^not ok' | grep -v shellcheck)" "not ok - every script parses
not ok - every perl script parses"
hone_done
