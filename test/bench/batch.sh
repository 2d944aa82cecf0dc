# Sourced by run.sh: what a big DELETE does to others, in batches and at once.

# delete_beside NAME STATEMENT: the statement, beside clients that update single
# rows of the table, those that go as well. Sets took, wal (bytes of the
# statement), p99 and longest (ms) of their updates, and lost (those that waited
# for a row longer than 100 ms).
delete_beside() {
    local clients begun
    sql "SELECT hone.reset()" >/dev/null
    (cd "$HONE_WORK" && exec "$HONE_BIN/pgbench" -n -M prepared -c 8 -j 1 -R 400 -T 100000 -l --log-prefix="batch.$1" \
        -D rows="$rows" -f "$HONE_WORK/batch.sql" postgres >"$HONE_WORK/batch.log" 2>&1) &
    clients=$!
    sleep 2
    begun=$(date +%s%N)
    sql "$2" >/dev/null 2>&1 || exit 1
    took=$((($(date +%s%N) - begun) / 1000000))
    sleep 1
    kill "$clients"
    wait "$clients" 2>/dev/null
    wal=$(sql "SELECT sum(wal_bytes)::bigint FROM hone.queries WHERE query ~* '^(delete|call hone.batch_delete)'")
    # the third column of the log is the time in microseconds, with that in the queue of the rate limit
    read -r p99 longest lost <<<"$(cat "$HONE_WORK"/batch."$1".* | awk '{ print $3 / 1000 }' | sort -n |
        awk '{ v[NR] = $1; late += $1 > 100 } END { print v[int(NR * 0.99)], v[NR], late / NR * 100 }')"
    hone_say "$1: $took ms, $wal bytes of WAL, p99 $p99 ms, longest $longest ms"
}

batch_row() { printf '| %s | %d | %d | %.1f | %.0f | %.1f |\n' "$1" "$took" $((wal / 1048576)) "$p99" "$longest" "$lost" >>"$report"; }

make_batch_table() {
    sql "SET client_min_messages = warning; DROP TABLE IF EXISTS b;
         CREATE TABLE b (id int PRIMARY KEY, v int NOT NULL, created timestamptz NOT NULL, note text);
         INSERT INTO b SELECT i, i % 2, timestamptz '2020-01-01Z' + i * interval '1 s', 'note ' || i % 1000 FROM generate_series(1, $rows) i" &&
        sql "VACUUM ANALYZE b" && sql "CHECKPOINT"
}

batch() {
    local rows=${HONE_BATCH_ROWS:-10000000} took wal p99 longest lost
    hone_server bench_batch "-c shared_buffers=1GB -c max_wal_size=16GB -c hone.worker=off -c hone.flush_interval=0" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    cat >"$HONE_WORK/batch.sql" <<'SQL'
\set id random(1, :rows)
UPDATE b SET v = v WHERE id = :id;
SQL
    chmod 644 "$HONE_WORK/batch.sql"
    cat >>"$report" <<MD

## Batches

A table of $rows rows, of which every second one is deleted. Eight clients update single rows of it at 400 a second, those that go as well; the figures of theirs count what they wait for rows that are being deleted.

| | ms | WAL, MB | p99 of others' updates, ms | longest, ms | longer than 100 ms, % |
|---|---|---|---|---|---|
MD
    make_batch_table || exit 1
    delete_beside once "DELETE FROM b WHERE id % 2 = 0"
    batch_row "one DELETE"
    make_batch_table || exit 1
    delete_beside batches "CALL hone.batch_delete('b', 'id % 2 = 0')"
    batch_row "batch_delete"
    make_batch_table || exit 1
    delete_beside auto "CALL hone.batch_delete('b', 'id % 2 = 0', batch_size => 'auto', pause => '20 ms')"
    batch_row "batch_delete, batch_size => 'auto', pause => '20 ms'"
}
