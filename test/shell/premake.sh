#!/usr/bin/env bash
# Partitions ahead: whom making them keeps waiting, two sessions that make them
# at once, and what the worker does by itself.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare
hone_server premake -c hone.naptime=1s || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1

# Until the query answers t, at most 30 seconds.
until_true() {
    local i
    for i in $(seq 300); do
        [ "$(sql "$1")" != t ] || return 0
        sleep 0.1
    done
    echo "# still not: $1"
    return 1
}

# hold SQL: a session that has done this and keeps its transaction open until
# the lock of "holder" is free.
hold() {
    sql "SET application_name = 'holder'; BEGIN; $1; SELECT pg_advisory_lock(7); COMMIT" >/dev/null &
    holder=$!
    until_true "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
}
# keep: takes that lock; let_go: gives it back.
keep() {
    mkfifo "$HONE_WORK/run/premake/keeper"
    "$HONE_BIN/psql" -XAtq -d postgres <"$HONE_WORK/run/premake/keeper" >/dev/null &
    exec {keeper}>"$HONE_WORK/run/premake/keeper"
    rm "$HONE_WORK/run/premake/keeper"
    echo "SELECT pg_advisory_lock(7);" >&"$keeper"
    until_true "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted)"
}
let_go() {
    # holders have the pipe open as well
    echo '\q' >&"$keeper"
    exec {keeper}>&-
    wait "$holder"
}

partitions() { sql "SELECT count(*) FROM pg_inherits WHERE inhparent = '$1'::regclass"; }

sql "
CREATE TABLE customers (id int PRIMARY KEY);
INSERT INTO customers SELECT generate_series(1, 100);
CREATE TABLE m (ts timestamptz NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE INDEX ON m (v);
CREATE TABLE m_2024_01 PARTITION OF m FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE d (ts timestamptz NOT NULL, v int) PARTITION BY RANGE (ts);
CREATE TABLE d_2024_01 PARTITION OF d FOR VALUES FROM ('2024-01-01') TO ('2024-02-01');
CREATE TABLE d_default PARTITION OF d DEFAULT;
INSERT INTO d SELECT '1999-01-01', i FROM generate_series(1, 200000) i;
CREATE TABLE f (ts timestamptz NOT NULL, customer int REFERENCES customers) PARTITION BY RANGE (ts);
CREATE TABLE f_2024_01 PARTITION OF f FOR VALUES FROM ('2024-01-01') TO ('2024-02-01')"

# Who writes is not in the way, and waits for nothing.
keep
hold "INSERT INTO m VALUES ('2024-01-10', 1)"
succeeds "partitions are made beside a transaction that has written" sql "CALL hone._premake('m', 3, at => '2024-01-15')"
is "they are there" "$(partitions m)" 4
let_go
keep
hold "SELECT count(*) FROM m; INSERT INTO f VALUES ('2024-01-10', 1)"
succeeds "beside one that has read the table, and one that has a row of a referenced table locked" \
    sql "CALL hone._premake('m', 4, at => '2024-01-15')"
let_go

# A default partition in use: it gives way, others do not wait behind it for
# long, and later it succeeds.
keep
hold "INSERT INTO d VALUES ('1999-01-02', 1)"
"$HONE_BIN/psql" -XAtq -v VERBOSITY=verbose -d postgres -c "CALL hone._premake('d', 2, at => '2024-01-15')" >"$HONE_WORK/run/premake/given_up" 2>&1 &
maker=$!
waited=0 inserted=0
while kill -0 $maker 2>/dev/null; do
    if sql "SET lock_timeout = '1s'; INSERT INTO d VALUES ('2024-01-02', 2), ('1999-01-03', 2)" >/dev/null 2>&1; then
        inserted=$((inserted + 1))
    else
        waited=$((waited + 1))
    fi
done
is "nobody else waits for the default partition for long" "$waited" 0
isnt "while it is tried" "$inserted" 0
like "the reason is a lock" "$(cat "$HONE_WORK/run/premake/given_up")" 'ERROR:  55P03'
is "nothing is made then, and nothing remains" \
    "$(partitions d) $(sql "SELECT count(*) FROM pg_constraint WHERE conname = 'pg_hone_premake'; SELECT count(*) FROM pg_class WHERE relname ~ '^d_2024_0[23]'" | xargs)" "2 0 0"
let_go
succeeds "it succeeds when the transaction has ended" sql "CALL hone._premake('d', 2, at => '2024-01-15')"
is "with all that was asked for" "$(partitions d)" 4
is "the constraint that spared the scan is gone" "$(sql "SELECT count(*) FROM pg_constraint WHERE conname = 'pg_hone_premake'")" 0

# Writers all the while, to the table, its default partition and the table that
# it references.
cat >"$HONE_WORK/run/premake/write.sql" <<'SQL'
\set id random(1, 100)
INSERT INTO d VALUES ('2024-01-02', :id), ('1999-01-02', :id);
INSERT INTO f VALUES ('2024-01-02', :id);
UPDATE customers SET id = id WHERE id = :id;
SELECT count(*) FROM f WHERE ts > '2024-01-01' AND customer = :id;
SQL
chmod a+rX "$HONE_WORK/run/premake"
PGOPTIONS="-c lock_timeout=2s" "$HONE_BIN/pgbench" -n -c 3 -T 6 -f "$HONE_WORK/run/premake/write.sql" postgres >"$HONE_WORK/run/premake/bench" 2>&1 &
bench=$!
failed=
for n in $(seq 3 14); do
    for table in d f; do
        until out=$(sql "CALL hone._premake('$table', $n, at => '2024-01-15')" 2>&1); do
            case $out in *"other sessions are using"* | *"lock timeout"*) ;; *) failed=$out; break ;; esac
        done
    done
done
wait $bench
is "the writers have no error" "$(sed -nE 's/.*number of failed transactions: ([0-9]+).*/\1/p; /error|aborted/p' "$HONE_WORK/run/premake/bench" | xargs)" 0
is "beside them partitions are made" "$(partitions d) $(partitions f) $failed" "16 15 "

# Two at once.
sql "CREATE TABLE two (ts date NOT NULL) PARTITION BY RANGE (ts)"
for i in 1 2; do
    PGOPTIONS="-c hone.lock_timeout=10s" sql "CALL hone._premake('two', 40, '1 day', at => '2024-01-15')" >"$HONE_WORK/run/premake/two$i" 2>&1 &
    eval "two$i=\$!"
done
wait $two1; first=$?
wait $two2; second=$?
is "two sessions at once have no error" "$first $second" "0 0"
is "each partition is made once" "$(partitions two) $(sed -nE 's/NOTICE:  ([0-9]+) partitions? made/\1/p' "$HONE_WORK"/run/premake/two[12] | awk '{ n += $1 } END { print n }')" "41 41"

# The worker. One table that fails does not keep the others waiting.
sql "
CREATE ROLE nobody_here;
CREATE SCHEMA closed;
GRANT ALL ON SCHEMA closed TO nobody_here;
SET ROLE nobody_here;
CREATE TABLE closed.a (ts timestamptz NOT NULL) PARTITION BY RANGE (ts);
RESET ROLE;
REVOKE CREATE ON SCHEMA closed FROM nobody_here;
CREATE TABLE w (ts timestamptz NOT NULL) PARTITION BY RANGE (ts);
CREATE TABLE w_default PARTITION OF w DEFAULT;
SELECT hone.add_tier_policy('closed.a', premake => 2, partition_interval => '1 day');
SELECT hone.add_tier_policy('w', premake => 2, partition_interval => '1 day')" >/dev/null
until_true "SELECT count(*) = 3 FROM hone.tier_log WHERE to_tier = 'premake' AND partition_name ~ '^public.w_p'"
is "the worker makes partitions" "$(sql "SELECT count(*), bool_and(by_worker) FROM hone.tier_log WHERE to_tier = 'premake' AND partition_name ~ '^public.w_p' AND error IS NULL")" "3|t"
until_true "SELECT EXISTS (SELECT FROM hone.tier_log WHERE partition = 'closed.a'::regclass)"
is "what it cannot make rests" "$(sql "SELECT DISTINCT last_error, retry_at > now() - interval '1 minute' FROM hone.premake_plan WHERE parent = 'closed.a'::regclass")" \
    "permission denied for schema closed|t"
sql "GRANT CREATE ON SCHEMA closed TO nobody_here"
until_true "SELECT failures = 0 FROM hone._tier_state WHERE partition = 'closed.a'::regclass"
is "until it can" "$(sql "SELECT count(*) FROM hone.premake_plan"; sql "SELECT failures FROM hone._tier_state WHERE partition = 'closed.a'::regclass")" "0
0"
keep
hold "LOCK TABLE w IN ACCESS EXCLUSIVE MODE"
sleep 2.5
is "with nothing to make it asks for no lock of the table" \
    "$(sql "SELECT count(*) FROM hone.tier_log WHERE partition_name = 'public.w'")" 0
let_go
sql "DROP TABLE w, closed.a"
until_true "SELECT count(*) = 0 FROM hone._tier_policy WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = parent)"
is "a dropped table is left alone" "$(sql "SELECT count(*) FROM hone.premake_plan")" 0
is "no error in the background" "$(hone_background_errors "$HONE_DATA.log" | grep -v 'permission denied for schema closed')" ""
hone_done
