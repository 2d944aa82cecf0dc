# Sourced after prepare.sh by tests that compare the rows of a table before and
# after it was stored in another way.

# One line that differs when a row is lost, doubled or changed: the whole row
# is hashed as text, and the sum of hashes does not depend on their order.
rows_of() {
    sql "SELECT count(*), sum(hashtextextended(t::text, 0)::numeric), sum(length(t::text)) FROM $1 t"
}

# wait_until SECONDS SQL: until the query returns t.
wait_until() {
    local end=$((SECONDS + $1))
    while [ "$(sql "$2" 2>/dev/null)" != t ]; do
        [ "$SECONDS" -lt "$end" ] || return 1
        sleep 0.2
    done
}

# halt PID: stops a server process where it keeps none from writing. Where it
# may hold a lock that every other process needs, it goes on for a moment.
halt() {
    local tries
    for ((tries = 0; tries < 20; tries++)); do
        kill -STOP "$1" || return 1
        if timeout 3 "$HONE_BIN/psql" -XAtq -d "${HONE_DB:-postgres}" \
            -c "CREATE TABLE halt_probe AS SELECT 1 AS one; DROP TABLE halt_probe" >/dev/null 2>&1; then return 0; fi
        kill -CONT "$1"
        sleep 0.05
    done
    return 1
}

# A table with every kind of column the store treats in its own way: numbers
# that grow, repeat and jump, short decimals, nulls, long and repeating texts,
# a column that was dropped and one that was added with a default.
make_varied() {
    sql "CREATE TABLE $1 (gone text, id bigint, at timestamptz, n int, price numeric(10,2), reading float8,
             flag boolean, kind text, note text, doc jsonb, tags text[], u uuid, b bytea);
         INSERT INTO $1
         SELECT 'x', i, timestamptz '2024-01-01 00:00Z' + i * interval '7 seconds',
             CASE WHEN i % 11 <> 0 THEN (hashint8(i) % 100000) END, (i % 9973) / 100.0, (i % 1000) / 10.0,
             CASE WHEN i % 7 <> 0 THEN i % 2 = 0 END, 'kind ' || i % 13,
             CASE WHEN i % 5 = 0 THEN repeat(md5(i::text), 1 + (i % 40)::int) END,
             jsonb_build_object('k', i % 17, 'v', md5((i % 1000)::text)),
             ARRAY['a' || i % 3, 'b' || i % 4], md5(i::text)::uuid, decode(md5((i % 97)::text), 'hex')
         FROM generate_series(1, $2) i;
         ALTER TABLE $1 DROP COLUMN gone;
         ALTER TABLE $1 ADD COLUMN late int DEFAULT 42;"
}
