#!/usr/bin/env bash
# pg_dump and restore of tiered tables and of policies.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
. "$HONE_ROOT/test/lib/rows.sh"
hone_prepare
hone_server dump "-c hone.worker=off" || exit 1
sql "CREATE EXTENSION pg_hone" || exit 1
make_varied t 20000 || exit 1
sql "CREATE TABLE m (at timestamptz NOT NULL, n int) PARTITION BY RANGE (at);
     CREATE TABLE m_1 PARTITION OF m FOR VALUES FROM ('2020-01-01') TO ('2020-02-01');
     CREATE TABLE m_2 PARTITION OF m FOR VALUES FROM ('2020-02-01') TO ('2020-03-01');
     INSERT INTO m SELECT timestamptz '2020-01-01 00:00Z' + i * interval '1 minute', i FROM generate_series(0, 60000) i;
     SELECT hone.add_tier_policy('m', warm_after => interval '1 year');" >/dev/null || exit 1
sql "CALL hone.compress('t')" || exit 1
sql "CALL hone.move_partition('m_1', 'warm')" || exit 1
sql "UPDATE hone.tier_prices SET usd_per_gb_month = 0.5, note = 'ours' WHERE tier = 'cold'" || exit 1
wanted_t=$(rows_of t) wanted_m=$(rows_of m)

# restore NAME DUMP-ARGS...
restore() {
    local name=$1 file=$HONE_WORK/run/dump/$1.dump out
    shift
    sql "CREATE DATABASE $name" || return 1
    "$HONE_BIN/pg_dump" -d postgres -f "$file" "$@" || return 1
    case " $* " in
        *" -Fc "*) out=$("$HONE_BIN/pg_restore" -e -d "$name" "$file" 2>&1) ;;
        *) out=$("$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d "$name" -f "$file" 2>&1 >/dev/null) ;;
    esac
    is "$name: restores without a message" "$out" ""
}

access_method() { sql "SELECT amname FROM pg_class c JOIN pg_am a ON a.oid = c.relam WHERE c.oid = '$1'::regclass"; }
policies() { sql "SELECT parent, warm_after FROM hone.tier_policies"; }
wanted_policies=$(policies)
prices() { sql "SELECT tier, usd_per_gb_month, note, is_default FROM hone.tier_prices ORDER BY tier"; }
wanted_prices=$(prices)
isnt "there is a policy to dump" "$wanted_policies" ""

for format in plain custom; do
    case $format in plain) args=() ;; custom) args=(-Fc) ;; esac
    restore "$format" "${args[@]}" || exit 1
    HONE_DB=$format
    is "$format: rows of a tiered table" "$(rows_of t)" "$wanted_t"
    is "$format: rows of a tiered partition" "$(rows_of m)" "$wanted_m"
    is "$format: the table's access method" "$(access_method t)" tiered
    is "$format: the policy" "$(policies)" "$wanted_policies"
    is "$format: a changed price, and the others' defaults" "$(prices)" "$wanted_prices"
    succeeds "$format: the policy can be run" sql "CALL hone.run_tier_policies()"
    is "$format: rows after that" "$(rows_of m)" "$wanted_m"
    unset HONE_DB
done

# One table alone, into a database that has the extension.
sql "CREATE DATABASE one"
HONE_DB=one sql "CREATE EXTENSION pg_hone"
"$HONE_BIN/pg_dump" -d postgres -t t | "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d one >/dev/null
is "pg_dump -t" "$(HONE_DB=one rows_of t)" "$wanted_t"

# A dump for a server without pg_hone.
sql "CREATE DATABASE bare"
"$HONE_BIN/pg_dump" -d postgres -t t --no-table-access-method | "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d bare >/dev/null
is "pg_dump --no-table-access-method" "$(HONE_DB=bare rows_of t)" "$wanted_t"
hone_done
