# Sourced by run.sh: benches of moves between tiers, archives, and the worker.

# Each round has tables of its own; figures are medians of HONE_MOVE_ROUNDS (3).
move_rounds=${HONE_MOVE_ROUNDS:-3}

# measure NAME STATEMENTS: a line "ms walbytes" into a file of that name
measure() {
    local before begin took
    sql "CHECKPOINT"
    before=$(sql "SELECT pg_current_wal_insert_lsn()")
    begin=$(date +%s%N)
    PGOPTIONS=${options:-} sql "$2" >/dev/null 2>"$HONE_WORK/measure.err" || { cat "$HONE_WORK/measure.err"; exit 1; }
    took=$((($(date +%s%N) - begin) / 1000000))
    echo "$took $(sql "SELECT pg_current_wal_insert_lsn() - '$before'")" >>"$HONE_WORK/measured.$1"
    hone_say "$1: $took ms"
}
median_ms() { awk '{ print $1 }' "$HONE_WORK/measured.$1" | median; }
median_wal() { awk '{ print $2 }' "$HONE_WORK/measured.$1" | median; }

# make_partitions TABLE ROWS: of readings of devices, in month 1, 2, 3
make_partitions() {
    local month
    sql "CREATE TABLE $1 (at timestamptz NOT NULL, id bigint NOT NULL, device int, v float8, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE INDEX ON $1 (device, at)" || exit 1
    for month in 1 2 3; do
        sql "CREATE TABLE $1_$month PARTITION OF $1 FOR VALUES FROM ('2020-0$month-01') TO ('2020-0$((month + 1))-01');
             INSERT INTO $1 SELECT timestamptz '2020-0$month-01 00:00Z' + i * interval '1 s', i, i % 1000, (hashint8(i) % 10000) / 10.0, 'note ' || i % 1000 FROM generate_series(1, $2) i" || exit 1
    done
    sql "VACUUM ANALYZE $1" || exit 1
}

# --- moving --------------------------------------------------------------------

moving_row() {
    local ms wal
    ms=$(median_ms "$1") wal=$(median_wal "$1")
    echo "| $2 | $(ratio "$rows" "$ms.e-3" 0) | $(ratio "$as_ms" "$ms") | $(ratio "$wal" "$rows" 1) | $(ratio "$as_wal" "$wal") |" >>"$report"
}

moving() {
    local round rows=1000000 options='' as_ms as_wal
    hone_server bench_moving "-c shared_buffers=1GB -c max_wal_size=8GB -c autovacuum=off -c hone.worker=off" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    for round in $(seq "$move_rounds"); do
        make_partitions "m$round" "$rows"
        measure create_as "CREATE TABLE c AS TABLE m${round}_1; ALTER TABLE c ADD PRIMARY KEY (id, at); CREATE INDEX ON c (device, at)"
        options="-c hone.compress_rewrite=off" measure online "CALL hone.move_partition('m${round}_2', 'warm')"
        measure fast "CALL hone.move_partition('m${round}_3', 'warm')"
        sql "DROP TABLE c, m$round"
    done
    as_ms=$(median_ms create_as) as_wal=$(median_wal create_as)
    cat >>"$report" <<MD

## Moving

A partition of $rows rows with a primary key and an index becomes warm (\`hone.move_partition\`, with VACUUM and indexes), beside \`CREATE TABLE AS\` of as many rows and the same two indexes; nobody else is on the server. Medians of $move_rounds interleaved rounds. Ratios above 1: faster, less.

| | rows/s | ÷ CREATE TABLE AS | WAL, bytes per row | ÷ |
|---|---|---|---|---|
MD
    moving_row create_as "CREATE TABLE AS and indexes"
    moving_row online "heap to warm, step by step"
    moving_row fast "heap to warm, by writing anew"
}

# --- archiving -------------------------------------------------------------------

archiving_row() { echo "| $2 | $(median_ms "$1") | $(ratio "$(median_ms "$3")" "$(median_ms "$1")") |" >>"$report"; }

archiving() {
    local round rows=1000000 options='' dir=$HONE_WORK/bench_archives raw
    mkdir -m 777 "$dir"
    hone_server bench_archiving "-c shared_buffers=1GB -c max_wal_size=8GB -c autovacuum=off -c hone.worker=off -c hone.archive_directory=$dir" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    for round in $(seq "$move_rounds"); do
        make_partitions "a$round" "$rows"
        sql "CALL hone.move_partition('a${round}_2', 'warm')" || exit 1
        sql "COPY a${round}_1 TO '$dir/text'" || exit 1
        raw=$(stat -c %s "$dir/text")
        measure copy_zstd "COPY a${round}_1 TO PROGRAM 'zstd -3 -q -f -o $dir/copy.zst'"
        measure copy_zstd_warm "COPY a${round}_2 TO PROGRAM 'zstd -3 -q -f -o $dir/copy.zst'"
        measure archive "CALL hone.move_partition('a${round}_1', 'archive')"
        measure archive_warm "CALL hone.move_partition('a${round}_2', 'archive')"
        measure copy_from "BEGIN; CREATE TABLE c (LIKE a$round INCLUDING DEFAULTS); COPY c FROM '$dir/text'; ALTER TABLE c ADD PRIMARY KEY (id, at); CREATE INDEX ON c (device, at); COMMIT"
        measure copy_from_zstd "BEGIN; CREATE TABLE z (LIKE a$round INCLUDING DEFAULTS); COPY z FROM PROGRAM 'zstd -dcq $dir/copy.zst'; ALTER TABLE z ADD PRIMARY KEY (id, at); CREATE INDEX ON z (device, at); COMMIT"
        measure restore "SELECT hone.restore_archive(name) FROM hone.archives WHERE partition = 'public.a${round}_1'"
        sql "DROP TABLE c, z, a$round"
        rm -f "$dir"/text "$dir"/copy.zst
    done
    cat >>"$report" <<MD

## Archiving

A partition of $rows rows, $((raw / 1048576)) MB of text, with a primary key and an index. Archiving is the whole move: written, flushed, read back and compared, detached, dropped. \`COPY ... TO PROGRAM 'zstd -3'\` has a process of its own for zstd beside that of COPY. Restoring verifies the archive, loads it into a table of its own, builds both indexes and attaches it; COPY FROM loads into a table of its own and builds the same indexes, in one transaction. Medians of $move_rounds interleaved rounds. Ratios above 1: faster.

| | ms | ÷ |
|---|---|---|
MD
    archiving_row copy_zstd "COPY TO PROGRAM zstd, of heap" copy_zstd
    archiving_row archive "heap to archive" copy_zstd
    archiving_row copy_zstd_warm "COPY TO PROGRAM zstd, of a warm one" copy_zstd_warm
    archiving_row archive_warm "warm to archive" copy_zstd_warm
    archiving_row copy_from "COPY FROM a text file, and indexes" copy_from
    archiving_row copy_from_zstd "COPY FROM PROGRAM zstd -dc, and indexes" copy_from
    archiving_row restore "restore_archive" copy_from
}

# --- foreground --------------------------------------------------------------------

# A process that only computes, as large a part of the time as the worker does:
# what two processors cannot do at the same time is no matter of locks. To be run
# in a shell of its own, which becomes that process.
compute() {
    exec perl -MTime::HiRes=time,sleep -e 'while (1) { my $until = time + 0.24; 1 while time < $until; sleep 1.26 }'
}

foreground() {
    local round way rounds=6 seconds=8 partitions=25 rate=200 months computing pgbench begin
    hone_server bench_foreground "-c shared_buffers=2GB -c max_wal_size=8GB -c hone.naptime=1s -c hone.history_interval=1h" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    sql "SELECT hone.pause_worker()" >/dev/null
    hone_say "partitions to be moved: $partitions of 150,000 rows"
    sql "CREATE TABLE f (at timestamptz NOT NULL, id bigint NOT NULL, device int, v float8, note text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
         CREATE INDEX ON f (device, at);
         CREATE TABLE f_now PARTITION OF f FOR VALUES FROM ('2023-01-01') TO (MAXVALUE);
         CREATE SEQUENCE f_ids START 200001" || exit 1
    for months in $(seq 1 "$partitions"); do
        sql "CREATE TABLE f_$months PARTITION OF f FOR VALUES FROM (timestamptz '2005-01-01Z' + interval '$months months') TO (timestamptz '2005-01-01Z' + interval '$((months + 1)) months');
             INSERT INTO f SELECT timestamptz '2005-01-01Z' + interval '$months months' + i * interval '10 s', i, i % 1000, (hashint8(i) % 10000) / 10.0, 'note ' || i % 1000 FROM generate_series(1, 150000) i" || exit 1
    done
    sql "INSERT INTO f SELECT timestamptz '2023-01-01Z' + i * interval '1 s', i, i % 1000, 0, 'now' FROM generate_series(1, 200000) i" && sql "VACUUM ANALYZE f" || exit 1
    cat >"$HONE_WORK/foreground.sql" <<'SQL'
\set id random(1, 150000)
\set device random(1, 1000)
INSERT INTO f VALUES (now(), nextval('f_ids'), :device, 0, 'new');
UPDATE f_now SET v = v + 1 WHERE id = :id AND at = timestamptz '2023-01-01Z' + :id * interval '1 s';
SELECT v, note FROM f_now WHERE id = :id + 1 AND at = timestamptz '2023-01-01Z' + (:id + 1) * interval '1 s';
SELECT count(*), avg(v) FROM f_now WHERE device = :device;
SQL
    chmod 644 "$HONE_WORK/foreground.sql"
    sql "SELECT hone.add_tier_policy('f', warm_after => interval '1 day')" >/dev/null || exit 1
    "$HONE_BIN/pgbench" -n -M prepared -c 4 -j 1 -R "$rate" -T 3 -f "$HONE_WORK/foreground.sql" postgres >/dev/null 2>&1
    # one run of pgbench, in which the ways take turns: what else goes on in the
    # machine meets all of them
    (cd "$HONE_WORK" && "$HONE_BIN/pgbench" -n -M prepared -c 4 -j 1 -R "$rate" -T $((rounds * 3 * seconds + 10)) -l --log-prefix=foreground.log \
        -f "$HONE_WORK/foreground.sql" postgres >"$HONE_WORK/foreground.out" 2>&1) &
    pgbench=$!
    for round in $(seq "$rounds"); do
        for way in still computing moving; do
            if [ "$way" = computing ]; then compute & computing=$!; fi
            if [ "$way" = moving ]; then sql "SELECT hone.resume_worker()" >/dev/null; fi
            sleep 2
            begin=$(date +%s.%N)
            sleep $((seconds - 3))
            echo "$way $begin $(date +%s.%N)" >>"$HONE_WORK/foreground.turns"
            if [ "$way" = computing ]; then kill "$computing" && wait "$computing" 2>/dev/null; fi
            if [ "$way" = moving ]; then
                sql "SELECT count(*) FROM hone.tier_progress" >>"$HONE_WORK/foreground.in_hand"
                sql "SELECT hone.pause_worker()" >/dev/null
            fi
            sleep 1
        done
        hone_say "round $round of $rounds"
    done
    wait "$pgbench" || { cat "$HONE_WORK/foreground.out"; exit 1; }
    for way in still computing moving; do
        awk -v way="$way" 'NR == FNR { if ($1 == way) { n++; from[n] = $2; to[n] = $3 }; next }
            { at = $5 + $6 / 1e6; for (i = 1; i <= n; i++) if (at >= from[i] && at < to[i]) { print; next } }' \
            "$HONE_WORK/foreground.turns" "$HONE_WORK"/foreground.log.* >"$HONE_WORK/foreground.$way"
        latencies "$HONE_WORK/foreground.$way" >"$HONE_WORK/foreground_of.$way"
    done
    cat >>"$report" <<MD

## Beside moves

\`pgbench -M prepared -c 4 -R $rate\`: an INSERT, an UPDATE, a read of a row and a small aggregate in the newest partition (named; the INSERT through the table) of a table whose $partitions old ones (150,000 rows each) the worker makes warm at the default throughput, against the same while it is paused. One run in which the three ways take turns of $seconds s, $rounds each, of which the first two and the last one are left out; latencies from the time at which a transaction was due to begin. A move was in hand at the end of $(grep -c '^1' "$HONE_WORK/foreground.in_hand") of the $rounds turns; $(sql "SELECT count(*) FROM hone.tier_log WHERE error IS NULL") partitions were moved.

| | transactions | median, µs | 99 %, µs | 99.9 %, µs |
|---|---|---|---|---|
MD
    for way in still computing moving; do
        echo "| $(sed 's/still/paused/; s/computing/paused, beside a process that only computes/' <<<"$way") | $(wc -l <"$HONE_WORK/foreground.$way") | $(awk '{ print $1 " | " $2 " | " $3 }' "$HONE_WORK/foreground_of.$way") |" >>"$report"
    done
    printf '\n99 %% beside a process that computes for 0.24 s and sleeps for 1.26 s ÷ paused: %s. 99 %% beside moves ÷ paused: %s.\n' \
        "$(ratio "$(awk '{ print $2 }' "$HONE_WORK/foreground_of.computing")" "$(awk '{ print $2 }' "$HONE_WORK/foreground_of.still")")" \
        "$(ratio "$(awk '{ print $2 }' "$HONE_WORK/foreground_of.moving")" "$(awk '{ print $2 }' "$HONE_WORK/foreground_of.still")")" >>"$report"
}

# --- idle --------------------------------------------------------------------------

idle() {
    local partitions=${HONE_PARTITIONS:-10000} watcher
    hone_server bench_idle "-c shared_buffers=1GB -c autovacuum=off -c hone.worker=off" || exit 1
    sql "CREATE EXTENSION pg_hone" || exit 1
    hone_say "$partitions partitions"
    sql "CREATE TABLE i (at timestamptz NOT NULL, id bigint) PARTITION BY RANGE (at)"
    # two levels: a table with thousands of partitions takes minutes to make
    seq 0 $(((partitions + 99) / 100 - 1)) | awk '
        function bounds(from, to) { return sprintf("FOR VALUES FROM (timestamptz %s2000-01-01Z%s + interval %s%d hours%s) TO (timestamptz %s2000-01-01Z%s + interval %s%d hours%s);", q, q, q, from, q, q, q, q, to, q) }
        BEGIN { q = "\047" }
        {
            printf "CREATE TABLE i_%d (at timestamptz NOT NULL, id bigint) PARTITION BY RANGE (at);\n", $1
            for (n = $1 * 100; n < $1 * 100 + 100; n++) printf "CREATE TABLE i_%d_%d PARTITION OF i_%d %s\n", $1, n, $1, bounds(n, n + 1)
            printf "ALTER TABLE i ATTACH PARTITION i_%d %s\n", $1, bounds($1 * 100, $1 * 100 + 100)
        }' | "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d postgres || exit 1
    sql "VACUUM ANALYZE" && sql "SELECT hone.add_tier_policy('i', warm_after => interval '1000 years')" >/dev/null || exit 1
    # as often as it can look, at the locks of whoever calls
    "$HONE_BIN/psql" -XAtq -d postgres -f <(echo "SELECT count(*) FILTER (WHERE l.relation IN (SELECT inhrelid FROM pg_inherits)), count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE a.query LIKE 'CALL hone._run_worker%' AND a.state = 'active' AND l.relation IS NOT NULL HAVING count(*) > 0 \\watch 0.001") \
        2>/dev/null >"$HONE_WORK/idle_locks" &
    watcher=$!
    cat >>"$report" <<MD

## Nothing due

\`CALL hone._run_worker()\` with $partitions partitions, a hundred in each of a table's sub-partitioned ones, under a policy, none of them due: $(time_of "CALL hone._run_worker()") ms (median of five), in a session of its own the first time: $({ echo '\timing on'; echo 'CALL hone._run_worker();'; } | "$HONE_BIN/psql" -Xq -d postgres | sed -nE 's/^Time: ([0-9.]+) ms.*/\1/p') ms. Most locks on partitions that it was seen to hold: $(kill "$watcher"; wait "$watcher" 2>/dev/null; awk -F'|' 'NF == 2 { n++; if ($1 > most) most = $1 } END { printf "%d, in %d looks", most, n }' "$HONE_WORK/idle_locks").
MD
}

lifecycle() {
    moving
    archiving
    foreground
    idle
}
