#!/usr/bin/env bash
# Real flights, partitioned by month: the same rows and the same aggregates as
# heap, compressed, and decompressed again.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
if ! file=$(hone_flights); then
    if [ "${CI:-}" = true ]; then
        not_ok "real flights" "the file is missing"
    else
        skip "real flights" "no ../shared/data/flights_2001q1.csv.zst beside the checkout"
    fi
    hone_done
fi
hone_server flights "-c hone.worker=off" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
sql "CREATE TABLE flights (departed_at timestamp NOT NULL, delay_min int, distance_mi int, origin text, destination text)
         PARTITION BY RANGE (departed_at);
     CREATE TABLE flights_01 PARTITION OF flights FOR VALUES FROM ('2001-01-01') TO ('2001-02-01');
     CREATE TABLE flights_02 PARTITION OF flights FOR VALUES FROM ('2001-02-01') TO ('2001-03-01');
     CREATE TABLE flights_03 PARTITION OF flights FOR VALUES FROM ('2001-03-01') TO ('2001-04-01');
     CREATE INDEX ON flights (origin, departed_at);" || exit 1
zstd -dc "$file" | "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d postgres -c "COPY flights FROM STDIN (FORMAT csv, HEADER)" || exit 1
sql "VACUUM ANALYZE flights"
is "rows loaded" "$(sql "SELECT count(*) FROM flights")" 1477911

# The answers of all sorts of plans, in one text.
answers() {
    sql "SELECT count(*), sum(delay_min), sum(distance_mi), min(departed_at), max(departed_at) FROM flights;
         SELECT origin, count(*), avg(delay_min), max(distance_mi) FROM flights GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20;
         SELECT departed_at::date, count(*), percentile_cont(0.9) WITHIN GROUP (ORDER BY delay_min) FROM flights GROUP BY 1 ORDER BY 1;
         SELECT count(*), sum(delay_min) FROM flights WHERE origin = 'SFO' AND departed_at BETWEEN '2001-01-20' AND '2001-02-10';
         SELECT * FROM flights ORDER BY delay_min DESC, departed_at, origin, destination LIMIT 10;
         SELECT count(*) FROM flights a JOIN flights b ON a.origin = b.destination AND a.destination = b.origin
             AND b.departed_at > a.departed_at AND b.departed_at < a.departed_at + interval '2 hours'
             WHERE a.departed_at BETWEEN '2001-02-03' AND '2001-02-04';"
}
wanted_rows=$(rows_of flights) wanted=$(answers)
heap_bytes=$(sql "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'flights'::regclass")

succeeds "compress one partition" sql "CALL hone.compress('flights_01')"
is "rows, one partition compressed" "$(rows_of flights)" "$wanted_rows"
is "answers, one partition compressed" "$(answers)" "$wanted"
succeeds "compress the partitioned table" sql "CALL hone.compress('flights')"
is "every partition is tiered" "$(sql "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid JOIN pg_am a ON a.oid = c.relam WHERE inhparent = 'flights'::regclass AND amname = 'tiered'")" 3
is "rows, compressed" "$(rows_of flights)" "$wanted_rows"
is "answers, compressed" "$(answers)" "$wanted"
succeeds "VACUUM" sql "VACUUM ANALYZE flights"
is "answers, vacuumed" "$(answers)" "$wanted"
bytes=$(sql "SELECT sum(pg_total_relation_size(inhrelid)) FROM pg_inherits WHERE inhparent = 'flights'::regclass")
echo "# $heap_bytes bytes as heap with index, $bytes compressed"
is "at least five times smaller" "$([ "$bytes" -gt 0 ] && [ $((heap_bytes / bytes)) -ge 5 ] && echo yes)" yes
sql "INSERT INTO flights VALUES ('2001-01-15 12:00', 7, 100, 'AAA', 'BBB')" || exit 1
is "a late row is found" "$(sql "SELECT delay_min FROM flights WHERE origin = 'AAA'")" 7
sql "CALL hone.compress('flights_01')" || exit 1
is "and is found when compressed" "$(sql "SELECT delay_min FROM flights WHERE origin = 'AAA'")" 7
succeeds "decompress the partitioned table" sql "CALL hone.decompress('flights')"
sql "DELETE FROM flights WHERE origin = 'AAA'"
is "every partition is heap" "$(sql "SELECT count(*) FROM pg_inherits JOIN pg_class c ON c.oid = inhrelid JOIN pg_am a ON a.oid = c.relam WHERE inhparent = 'flights'::regclass AND amname = 'heap'")" 3
is "rows, decompressed" "$(rows_of flights)" "$wanted_rows"
is "answers, decompressed" "$(answers)" "$wanted"
hone_done
