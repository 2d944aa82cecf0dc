#!/usr/bin/env bash
# Checks of the source text: the include ladder, version differences, error
# codes, file length, machine paths, the Makefile's lists.
set -u
. "$(dirname "$0")/../lib/tap.sh"
cd "$(dirname "$0")/../.." || exit 1

# Lines on standard input are offences.
none() {
    local name=$1 found
    found=$(cat)
    if [ -z "$found" ]; then ok "$name"; else not_ok "$name" "$found"; fi
}

sources=$(find src -name '*.[ch]' | sort)
found=$(perl test/check/source.pl $sources sql/install/*.sql)
of() { printf '%s\n' "$found" | sed -n "s/^$1: //p"; }

is "every source file is read" "$(of read)" "$(printf '%s\n' $sources sql/install/*.sql | wc -l)"
find src -type f ! -name '*.[ch]' ! -name '*.md' ! -name '*.o' ! -name '*.bc' | none "src/ holds C sources and READMEs only"
of ladder | none "include ladder"
of areas | none "pg_hone.c sees one header of each area"
of version | none "version differences stand in src/compat only"
of conditional | none "conditional compilation outside src/compat is listed in source.pl"
of errcode | none "every ereport(ERROR) has an errcode"
of raise | none "every RAISE EXCEPTION has an errcode"

of script | none "every SQL-callable function requires its script before it reads an argument"
of queryid | none "query identifiers are read through HONE_QUERYID"

wc -l $sources | awk '$2 != "total" && $1 > 800 { print $2 ": " $1 " lines" }' |
    none "no source file is longer than 800 lines"

grep -rnIE '(^|[^A-Za-z0-9_.])/(work|home|root|Users)/' . \
    --exclude-dir=.git --exclude-dir=results --exclude-dir=output_iso --exclude='regression.*' |
    none "no path of one machine"

# The words of a variable of the Makefile, one a line.
listed() {
    perl -0777 -ne '
        BEGIN { $name = shift }
        s/\\\n/ /g;
        $value{$1} = $2 while /^(\w+)[ \t]*[:?]?=[ \t]*(.*)$/mg;
        $words = $value{$name} // "";
        1 while $words =~ s/\$\((\w+)\)/$value{$1} \/\/ ""/e;
        print map { "$_\n" } split " ", $words' "$1" Makefile
}
# same NAME VARIABLE: what is there (standard input) is what is listed.
same() { diff <(sort) <(listed "$2" | sort) | sed -n "s/^< \(.*\)/\1 is not in $2/p; s/^> \(.*\)/\1 is in $2 but not there/p" | none "$1"; }

ls sql/install/*.sql | same "the Makefile's list of install fragments" SQL_FRAGMENTS
ls sql/*.sql | sed -E 's|.*/(.*)\.sql|\1|' | same "the Makefile's list of regression tests" REGRESS
ls test/specs/*.spec | sed -E 's|.*/(.*)\.spec|\1|' | same "the Makefile's list of isolation tests" ISOLATION
find src -name '*.c' | sed 's/c$/o/' | same "the Makefile's list of objects" OBJS
hone_done
