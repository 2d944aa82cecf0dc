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
