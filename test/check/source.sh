#!/usr/bin/env bash
# Checks of the source text: the include ladder, version differences, error
# codes, file length, machine paths.
set -u
. "$(dirname "$0")/../lib/tap.sh"
cd "$(dirname "$0")/../.." || exit 1

# Lines on standard input are offences.
none() {
    local name=$1 found
    found=$(cat)
    if [ -z "$found" ]; then ok "$name"; else not_ok "$name" "$found"; fi
}

# area: areas whose headers it may include.
ladder="
compat:compat
common:common compat
stats:stats common compat
tiered:tiered common compat
capture:capture common compat
advise:advise capture stats common compat
lifecycle:lifecycle tiered common compat
batch:batch common compat
"
for area in src/*/; do
    area=$(basename "$area")
    allowed=$(printf '%s' "$ladder" | sed -n "s/^$area://p")
    for other in src/*/; do
        other=$(basename "$other")
        case " $allowed " in *" $other "*) continue ;; esac
        grep -nE "#include \"(\.\./)?$other/" "src/$area"/*.[ch] /dev/null
    done
done | none "include ladder"

grep -hoE '#include "[a-z_]+/[a-z_]+\.h"' src/pg_hone.c | sed -E 's/.*"(.*)"/\1/' |
    awk -F/ '{ sub(/\.h$/, "", $2) }
        system("test -d src/" $1) == 0 && $1 != "common" && $1 != $2 { print "src/pg_hone.c includes " $1 "/" $2 ".h" }' |
    none "pg_hone.c sees one header of each area"

grep -nE '^[[:space:]]*#.*PG_VERSION_NUM' -r src --include='*.c' --include='*.h' | grep -v '^src/compat/' |
    none "version differences stand in src/compat only"

for file in $(find src -name '*.c' -o -name '*.h'); do
    perl -0777 -ne '
        while (/\bereport\s*\(\s*(ERROR|FATAL|PANIC)\b/g) {
            my ($from, $depth, $i) = ($-[0], 0, $-[0]);
            my $line = 1 + (substr($_, 0, $from) =~ tr/\n//);
            my $rest = substr($_, $from);
            $rest =~ /^ereport\s*(\((?:[^()"]++|"(?:[^"\\]|\\.)*+"|(?1))*\))/ or next;
            print "'"$file"':$line\n" unless $1 =~ /errcode/;
        }' "$file"
done | none "every ereport(ERROR) has an errcode"

# What a database with another version's objects must still offer: its tables
# read and written, made ordinary ones, and a DROP EXTENSION that loses none of
# them. Their parameters never change.
always="hone_tiered_handler hone_decompress hone_decompress_all hone_guard_drop hone_require_library"
for file in $(find src -name '*.c'); do
    always=$always perl -0777 -ne '
        my %always = map { $_ => 1 } split / /, $ENV{always};
        while (/^PG_FUNCTION_INFO_V1\((\w+)\)/mg) {
            my $name = $1;
            next if $always{$name};
            my ($body) = /^Datum\n\Q$name\E\(PG_FUNCTION_ARGS\)\n\{\n(.*?)^\}/ms;
            my ($first) = ($body // "") =~ /^(.*?)^\thone_require_script\(\);$/ms;
            print "'"$file"': $name\n" if !defined $first or $first =~ /PG_(GETARG|ARGISNULL|NARGS)/;
        }' "$file"
done | none "every SQL-callable function requires its script before it reads an argument"

find src -name '*.c' -o -name '*.h' | xargs wc -l | awk '$2 != "total" && $1 > 800 { print $2 ": " $1 " lines" }' |
    none "no source file is longer than 800 lines"

grep -rnIE '(^|[^A-Za-z0-9_.])/(work|home|root)/' --include='*' . \
    --exclude-dir=.git --exclude-dir=results --exclude-dir=output_iso \
    --exclude='regression.*' --exclude=source.sh --exclude='*.o' |
    grep -v '/root/\.\.\.' | none "no path of one machine"

for fragment in sql/install/*.sql; do
    grep -q "^	$fragment\b" Makefile || echo "$fragment is not listed in the Makefile"
done | none "every install fragment is in the Makefile's list"

tests=$(make -s -f - print 2>/dev/null <<'MAKE'
MAKEFLAGS += --no-builtin-rules
print:
	@sed -e ':a' -e '/\\$$/N; s/\\\n//; ta' Makefile | sed -nE 's/^[A-Z]+_REGRESS[ \t]*=//p'
MAKE
)
for file in sql/*.sql; do
    name=$(basename "$file" .sql)
    [ "$name" = setup ] && continue
    case " $(echo $tests) " in *" $name "*) ;; *) echo "$file is in no list of the Makefile" ;; esac
done | none "every regression test is in the Makefile's list"

hone_done
