#!/usr/bin/env bash
# Archive files: loaded with zstd and psql alone; damaged, missing and swapped
# ones refused by name; commands as target; full disks, crashes and interrupts
# leave nothing half done; memory is constant.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
place=$HONE_WORK/archive_file
store=$place/store archives=$place/archives
rm -rf "$place"
mkdir -p "$store" "$archives" || exit 1
chmod 755 "$place"
[ "$(id -u)" != 0 ] || chown "$(hone_user)" "$store" "$archives"

# set_to SETTING VALUE...: in the configuration file, and take effect.
set_to() {
    while [ $# -gt 0 ]; do
        echo "$1 = '${2//\'/\'\'}'" >>"$HONE_DATA/postgresql.conf"
        shift 2
    done
    # whoever connects after the postmaster has read it has it
    sql "SELECT pg_reload_conf()" >/dev/null
    for _ in $(seq 100); do
        sleep 0.1
        [ "$(sql "SHOW test.mark" 2>/dev/null)" = "$mark" ] && break
    done
}
# after the last setting, so that it is read together with the others
retarget() { mark=$((mark + 1)); set_to "$@" test.mark "$mark"; }
mark=0
archive() { sql "SELECT file FROM hone._archive_write('$1')"; }
# as_server CMD...: the files belong to the server's user
as_server() { hone_as "$@"; }
left_behind() { (cd "$1" && find . -type f | sort); }

hone_server archive_file -c shared_buffers=1MB || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
make_varied t 20000 || exit 1
wanted=$(rows_of t)

# no place, two places, half a place
refuses "no target" 55000 'hone.archive_directory' "SELECT hone._archive_write('t')"
retarget hone.archive_command 'cp %p /nowhere'
refuses "a command alone" 55000 'hone.restore_command' "SELECT hone._archive_write('t')"
retarget hone.archive_directory "$archives"
refuses "a directory and a command" 55000 'both' "SELECT hone._archive_write('t')"
for bad in "cp %x %p" "cp %f /tmp" "cp %p %"; do
    sql "SELECT pg_reload_conf()" >/dev/null
    refuses "archive_command = '$bad'" 22023 'invalid value' "ALTER SYSTEM SET hone.archive_command = '$bad'"
done
refuses "a relative directory" 22023 'absolute' "ALTER SYSTEM SET hone.archive_directory = 'here'"
retarget hone.archive_command ''

# zstd and psql alone, into a table of the manifest's columns
file=$(archive t)
like "a name of database, table and OID" "$file" '^postgres/public\.t\.[0-9]+\.copy\.zst$'
is "what lies there" "$(left_behind "$archives")" "./$file
./$file.json"
is "modes" "$(stat -c %a "$archives/$file" "$archives/$file.json" | sort -u)" "$(stat -c %a "$HONE_DATA/PG_VERSION")"
succeeds "zstd finds it whole" zstd -tq "$archives/$file"
sql "CREATE TABLE other_columns AS TABLE t WITH NO DATA; ALTER TABLE t RENAME TO kept; ALTER TABLE other_columns RENAME TO t"
copy=$(sql "SELECT pg_read_file('$archives/$file.json')::jsonb ->> 'copy'")
zstd -dc "$archives/$file" | "$HONE_BIN/psql" -Xq -d postgres -c "$copy" || not_ok "psql loads it"
is "rows that zstd and psql brought" "$(rows_of t)" "$wanted"
is "what COPY prints" "$(zstd -dc "$archives/$file" | sha256sum)" "$(PGOPTIONS='-c timezone=UTC -c extra_float_digits=3' "$HONE_BIN/psql" -Xq -d postgres -c 'COPY kept TO STDOUT' | sha256sum)"
is "loaded" "$(sql "BEGIN; CREATE TABLE back ($(sql "SELECT hone._archive_columns('$file')")); SELECT hone._archive_load('$file', 'back'); COMMIT")" 20000
is "rows that came back" "$(rows_of back)" "$wanted"
sql "DROP TABLE back; TRUNCATE t"

# damage: each refused by the file's name, and nothing loaded
cp -p "$archives/$file" "$place/whole"
cp -p "$archives/$file.json" "$place/whole.json"
size=$(stat -c %s "$place/whole")
# damaged NAME SQLSTATE REGEX CMD...: after CMD in the archive's folder
damaged() {
    local name=$1 state=$2 pattern=$3
    shift 3
    (cd "$archives/postgres" && "$@") || not_ok "$name: made"
    refuses "$name: not verified" "$state" "$pattern" "SELECT hone._archive_verify('$file')"
    refuses "$name: not loaded" "$state" "$pattern" "SELECT hone._archive_load('$file', 't')"
    rm -rf "${archives:?}/$file" "${archives:?}/$file.json"
    cp -p "$place/whole" "$archives/$file"
    cp -p "$place/whole.json" "$archives/$file.json"
}
base=${file#postgres/}
flip() { printf '%b' "$(dd if="$1" bs=1 skip="$2" count=1 2>/dev/null | od -An -tu1 | awk '{ printf "\\x%02x", ($1 + 1) % 256 }')" | dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null; }
for at in 0 4 5 6 100 $((size / 2)) $((size - 4)) $((size - 1)); do
    damaged "byte $at changed" XX001 "$base" flip "$base" "$at"
done
damaged "truncated by a byte" XX001 "$base.*(too early|size is another)" truncate -s -1 "$base"
damaged "truncated to a half" XX001 "$base.*(too early|size is another)" truncate -s $((size / 2)) "$base"
damaged "empty" XX001 "$base.*(empty|size is another)" truncate -s 0 "$base"
append() { printf x >>"$1"; }
damaged "a byte more" XX001 "$base.*(bytes follow|size is another)" append "$base"
twice() { zstd -dc "$place/whole" | zstd -q >>"$1"; }
damaged "its text twice" XX001 "$base.*(bytes follow|size is another)" twice "$base"
again() { zstd -dc "$place/whole" | zstd -q -9 --check >"$1"; }
damaged "compressed anew" XX001 "$base.*another" again "$base"
bomb() { head -c 100000000 /dev/zero | zstd -q >"$1"; }
damaged "a hundred megabytes of zeros" XX001 "$base.*(more than was written|another)" bomb "$base"
damaged "missing" 58P01 "$base" rm "$base"
damaged "a directory" 42809 "$base.*regular" sh -c "rm $base && mkdir $base"
damaged "a symbolic link" 42809 "$base.*regular" sh -c "mv $base $place/aside.zst && ln -s $place/aside.zst $base"
damaged "a pipe" 42809 "$base.*regular" sh -c "rm $base && mkfifo $base"
rm -f "$place/aside.zst"
damaged "manifest missing" 58P01 "$base.json" rm "$base.json"
damaged "manifest empty" XX001 "$base.json" truncate -s 0 "$base.json"
damaged "manifest truncated" XX001 "$base.json" truncate -s -3 "$base.json"
damaged "manifest with other rows" XX001 "$base.json.*checksum" sed -i 's/"rows": 20000/"rows": 20001/' "$base.json"
damaged "manifest with another column" XX001 "$base.json.*checksum" sed -i 's/"name": "kind"/"name": "note"/; s/"name": "note"/"name": "kind"/2' "$base.json"
# Whoever computes the checksum anew is found out by the other figures.
resum() { # resum FILE SCRIPT
    head -n -2 "$1" | sed "$2" | head -c -2 >"$1.new"
    printf ',\n  "manifest_sha256": "%s"\n}\n' "$(sha256sum <"$1.new" | cut -c1-64)" >>"$1.new"
    mv "$1.new" "$1"
    chmod a+r "$1"
}
resummed() { damaged "manifest $1" "$2" "$3" resum "$base.json" "$4"; }
resummed "without rows" XX001 "$base.json.*\"rows\"" '/"rows"/d'
resummed "with negative rows" XX001 "$base.json.*\"rows\"" 's/"rows": 20000/"rows": -1/'
resummed "with rows of text" XX001 "$base.json.*\"rows\"" 's/"rows": 20000/"rows": "20000"/'
resummed "with huge rows" XX001 "$base.json.*\"rows\"" 's/"rows": 20000/"rows": 1e30/'
resummed "with a row more" XX001 "$base\".*rows" 's/"rows": 20000/"rows": 20001/'
resummed "with another size" XX001 "$base\".*" 's/"bytes": .*/"bytes": 17,/'
resummed "with less text" XX001 "$base\".*more than was written" 's/"raw_bytes": .*/"raw_bytes": 17,/'
resummed "with no checksum" XX001 "$base.json.*\"sha256\"" 's/"sha256": ".*"/"sha256": "abc"/'
resummed "with an unknown encoding" XX001 "$base.json.*encoding" 's/"encoding": ".*"/"encoding": "EBCDIC"/'
resummed "with an odd time" XX001 "$base.json" 's/"created_at": ".*"/"created_at": "yesterday noonish"/'
resummed "with columns of text" XX001 "$base.json.*columns" 's/{"name": \("[^"]*"\).*}/\1/'
resummed "that is no JSON" XX001 "$base.json" 's/"rows"/rows/'
resummed "of a later format" 0A000 "$base.json.*later" 's/"version": 1/"version": 2/'
second=$(archive kept)
sql "UPDATE kept SET n = n + 1 WHERE id = 5"
third=$(archive kept)
isnt "another archive, another name" "$third" "$second"
damaged "another archive's file" XX001 "$base" cp "../$third" "$base"
is "the whole one again" "$(sql "SELECT rows FROM hone._archive_verify('$file')")" 20000
is "nothing was loaded" "$(sql "SELECT count(*) FROM t")" 0

# a folder that leads elsewhere
mv "$archives/postgres" "$place/elsewhere" && ln -s "$place/elsewhere" "$archives/postgres"
refuses "the database's folder is a link: not read" 42809 'symbolic link' "SELECT hone._archive_verify('$file')"
refuses "the database's folder is a link: not written" 42809 'symbolic link' "SELECT hone._archive_write('t')"
rm "$archives/postgres" && mv "$place/elsewhere" "$archives/postgres"

# odd names stay below the directory
sql "CREATE SCHEMA \"../..\"; CREATE TABLE \"../..\".\"/etc/ü \"\"x\"\" \$(id) -\" (a int); CREATE TABLE \"$(printf 'é%.0s' {1..31})\" (a int)"
odd=$(sql "SELECT file FROM pg_class c, hone._archive_write(c.oid) WHERE relname LIKE '/etc%'")
like "an odd name" "$odd" '^postgres/%2E\./?%?[^/]*%2Fetc%2F%C3%BC%20%22x%22%20%24%28id%29%20-\.[0-9]+\.copy\.zst$'
long=$(sql "SELECT file FROM pg_class c, hone._archive_write(c.oid) WHERE relname LIKE 'éé%'")
if [ ${#long} -lt 250 ] && [ -f "$archives/$long" ]; then ok "a long name"; else not_ok "a long name" "$long"; fi
hone_as "$HONE_BIN/createdb" -h "$PGHOST" -p "$PGPORT" -U postgres .. && HONE_DB=.. sql "CREATE EXTENSION pg_hone; CREATE TABLE x (a int)"
like "a database of two dots" "$(HONE_DB=.. archive x)" '^%2E\./public\.x\.'

# interrupted while it writes: a cancel, an end of the process, a crash
sql "CREATE TABLE big (id bigint, a text, b float8, c timestamptz); INSERT INTO big SELECT i, md5(i::text), sqrt(i), timestamptz '2024-01-01Z' + i * interval '1 second' FROM generate_series(1, 1000000) i"
big=$(sql "SELECT 'big'::regclass::oid")
# while_writing NAME CMD...: an attempt, and CMD once its temporary file is there
while_writing() {
    local name=$1 writer
    shift
    "$HONE_BIN/psql" -Xq -d postgres -c "SELECT hone._archive_write('big', 19)" >"$place/psql.txt" 2>&1 &
    writer=$!
    for _ in $(seq 300); do
        [ -s "$archives/postgres/public.big.$big.copy.zst.tmp" ] && break
        sleep 0.02
    done
    "$@" >/dev/null
    if wait "$writer"; then not_ok "$name: interrupted" "$(cat "$place/psql.txt")"; else ok "$name: interrupted"; fi
}
writers="pid FROM pg_stat_activity WHERE query LIKE 'SELECT hone._archive_write%' AND pid <> pg_backend_pid()"
while_writing "cancelled" sql "SELECT pg_cancel_backend(pid), $writers"
is "cancelled: nothing is left" "$(left_behind "$archives" | grep big)" ""
while_writing "terminated" sql "SELECT pg_terminate_backend(pid, 10000), $writers"
is "terminated: nothing is left" "$(left_behind "$archives" | grep big)" ""
while_writing "killed" hone_kill "$HONE_DATA"
is "killed: a temporary file is left" "$(left_behind "$archives" | grep big)" "./postgres/public.big.$big.copy.zst.tmp"
hone_start "$HONE_DATA" -c shared_buffers=1MB || exit 1

# constant memory, and the next attempt takes away what the crash left
memory() { awk '/^VmHWM/ { print $2 }' "/proc/$1/status"; }
exec 3> >("$HONE_BIN/psql" -XAtq -d postgres >"$place/session.txt" 2>&1)
session=$!
echo "SELECT pg_backend_pid(); SELECT file FROM hone._archive_write('kept'); SELECT rows FROM hone._archive_verify('$file'); CREATE TABLE back (LIKE big); SELECT hone._archive_load('$file', 't');
\\echo small" >&3
for _ in $(seq 200); do grep -q small "$place/session.txt" && break; sleep 0.05; done
process=$(head -1 "$place/session.txt")
before=$(memory "$process")
echo "SELECT file AS big FROM hone._archive_write('big') \\gset
SELECT :'big', rows, raw_bytes FROM hone._archive_verify(:'big'); SELECT hone._archive_load(:'big', 'back');
\\echo large" >&3
for _ in $(seq 1200); do grep -q large "$place/session.txt" && break; sleep 0.05; done
after=$(memory "$process")
exec 3>&-
wait "$session"
like "a million rows" "$(cat "$place/session.txt")" "^postgres/public.big.$big.copy.zst\|1000000\|[0-9]{8}"
if [ $((after - before)) -lt 16384 ]; then ok "memory is constant"; else not_ok "memory is constant" "$before kB with 20,000 rows, $after kB with a million"; fi
is "rows of a million" "$(rows_of back)" "$(rows_of big)"
is "what the crash left is gone" "$(left_behind "$archives" | grep tmp)" ""
sql "DROP TABLE back"

# a directory that cannot be used; a full disk
chmod 555 "$archives" "$archives/postgres"
if [ "$(id -u)" = 0 ]; then refuses "a directory without permission" 42501 "$archives/postgres/public" "SELECT hone._archive_write('t')"; fi
chmod 755 "$archives" "$archives/postgres"
retarget hone.archive_directory "$place/nowhere"
refuses "a directory that is not there" 58P01 "$place/nowhere" "SELECT hone._archive_write('t')"
mkdir -p "$place/small"
if [ "$(id -u)" = 0 ] && mount -t tmpfs -o size=256k,mode=777 none "$place/small" 2>/dev/null; then
    retarget hone.archive_directory "$place/small"
    refuses "a full disk" 53100 "$place/small/postgres/public.kept" "SELECT hone._archive_write('kept')"
    is "a full disk: nothing is left" "$(left_behind "$place/small")" ""
    umount "$place/small"
else
    skip "a full disk" "nothing can be mounted here"
fi

# commands
staging=$HONE_DATA/pg_hone_archive
retarget hone.archive_directory '' hone.archive_command "test ! -e $store/%f && cp %p $store/%f && echo %% %f >> $store/log" \
    hone.restore_command "cp $store/%f %p"
file=$(archive kept)
like "a name for commands" "$file" '^postgres\.public\.kept\.[0-9]+-[0-9]+\.copy\.zst$'
is "the file, then the manifest" "$(cat "$store/log")" "% $file
% $file.json"
is "nothing is left in the staging folder" "$(left_behind "$staging")" ""
sql "TRUNCATE t"
is "loaded through the command" "$(sql "SELECT hone._archive_load('$file', 't')")" 20000
is "rows through the command" "$(rows_of t)" "$(rows_of kept)"
is "nothing is left after the load" "$(left_behind "$staging")" ""
isnt "each attempt has a name of its own" "$(archive kept)" "$file"

# command_fails NAME SQLSTATE REGEX ARCHIVE RESTORE
command_fails() {
    retarget hone.archive_command "$4" hone.restore_command "$5"
    refuses "$1" "$2" "$3" "SELECT hone._archive_write('kept')"
    is "$1: nothing is left" "$(left_behind "$staging")" ""
}
copies="cp %p $store/%f" fetches="cp $store/%f %p"
command_fails "a failing archive command" 38000 'archive command failed with exit code 3.*public\.kept' "exit 3; cp %p x" "$fetches"
like "the log has the command" "$(grep -A3 'exit code 3' "$HONE_DATA.log")" 'The command was: exit 3; cp pg_hone_archive/'
command_fails "an archive command that is not there" 38000 'archive command failed with exit code 127' "no_such_command %p" "$fetches"
command_fails "a killed archive command" 38000 'archive command was terminated by signal 9' 'kill -9 $$; cp %p x' "$fetches"
command_fails "an archive command that fails for the manifest" 38000 'exit code 4.*json' "case %f in *.json) exit 4; esac; $copies" "$fetches"
command_fails "a failing restore command" 38000 'restore command failed with exit code 5' "$copies" "exit 5; cp x %p"
command_fails "a restore command that brings nothing" 58P01 'brought no file.*public\.kept' "$copies" ": %p"
command_fails "an archive command that copies a part" XX001 'postgres\.public\.kept.*too early' "case %f in *.json) $copies;; *) head -c 1000 %p > $store/%f; esac" "$fetches"
command_fails "an archive command that copies a part of the manifest" XX001 'postgres\.public\.kept.*json" is damaged' "head -c 1000 %p > $store/%f" "$fetches"
command_fails "an archive command that copies nothing" XX001 'empty|checksum|manifest' ": > $store/%f; : %p" "$fetches"
command_fails "a restore command that brings another archive" XX001 'is not the one that was written' "$copies" "case %f in *.json) cp $store/$file.json %p;; *) cp $store/$file %p; esac"
command_fails "a restore command that brings a link" 42809 'regular' "$copies" "ln -s $store/%f %p"

# a command that takes long does not hold up who wants to end it
slow() { # slow NAME COMMAND SQL SECONDS
    local begin=$SECONDS out
    retarget hone.archive_command "$2" hone.restore_command "$fetches"
    out=$("$HONE_BIN/psql" -XAtq -d postgres -c "$3" 2>&1)
    like "$1: ended" "$out" "canceling statement"
    if [ $((SECONDS - begin)) -le "$4" ]; then ok "$1: soon"; else not_ok "$1: soon" "$((SECONDS - begin)) seconds"; fi
    is "$1: nothing is left" "$(left_behind "$staging")" ""
}
slow "a slow command" "sleep 60; cp %p x" "SET statement_timeout = '300ms'; SELECT hone._archive_write('kept')" 5
slow "a command that is deaf" "trap '' TERM INT; sleep 12; cp %p x" "SET statement_timeout = '300ms'; SELECT hone._archive_write('kept')" 9
retarget hone.archive_command "sleep 60; cp %p x"
"$HONE_BIN/psql" -XAtq -d postgres -c "SELECT hone._archive_write('kept')" >/dev/null 2>&1 &
writer=$!
for _ in $(seq 100); do [ -n "$(left_behind "$staging" 2>/dev/null)" ] && break; sleep 0.05; done
sleep 0.3
begin=$SECONDS
hone_stop "$HONE_DATA" fast
wait "$writer"
if [ $((SECONDS - begin)) -le 10 ]; then ok "a shutdown does not wait for the command"; else not_ok "a shutdown does not wait for the command"; fi
is "a shutdown: nothing is left" "$(left_behind "$staging")" ""
hone_as sh -c "echo x > $staging/4000000.out.copy.zst"
hone_start "$HONE_DATA" || exit 1
retarget hone.archive_command "$copies" hone.restore_command "$fetches"
archive kept >/dev/null
is "what a crash left in the staging folder is gone" "$(left_behind "$staging")" ""

# what later versions of PostgreSQL added
if [ "$(sql "SHOW server_version_num")" -ge 180000 ]; then
    sql "CREATE TABLE virtual (a int, b int GENERATED ALWAYS AS (a * 2) VIRTUAL, c int GENERATED ALWAYS AS (a * 3) STORED); INSERT INTO virtual VALUES (1)"
    file=$(archive virtual)
    is "virtual columns" "$(sql "SELECT hone._archive_columns('$file')")" "a integer"
    is "loaded beside virtual columns" "$(sql "SELECT hone._archive_load('$file', 'virtual'); SELECT * FROM virtual")" "1
1|2|3
1|2|3"
else
    skip "virtual columns" "they came with 18"
fi
is "no server process crashed" "$(grep -E 'PANIC:|TRAP:|terminated by signal 11|terminated by signal 6' "$HONE_DATA.log")" ""
hone_done
