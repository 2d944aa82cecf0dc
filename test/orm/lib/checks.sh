# Sourced after prepare.sh by the scripts of test/orm: a server, programs that
# use it through an ORM, and checks of what pg_hone found.
#
#   orm_server NAME         a server of its own, with the tables of schema.sql
#                           in a database that orm_begin copies
#   orm_begin NAME          what follows is about program NAME, in a database
#                           of this name; its application_name is shop_NAME
#   orm_run SCENARIO CMD... forgets the findings, runs the program and waits
#                           until its sessions have ended
#   orm_scenarios NAME CMD... every scenario of an ORM (CMD... SCENARIO runs
#                           one), and what must be found and not be found.
#                           ORM_UPWARD: the book's column by which the ORM
#                           fetches its author, if it is not author_id
#
# Checks of the run before:
#
#   orm_found KIND RELATION what has to be found
#   orm_silent KIND...      nothing of these kinds is there
#   orm_loop TABLE COLUMN   the loop found goes through rows of TABLE, by the
#                           values of its COLUMN; the evidence has the
#                           program's tags and names the application
#   orm_application         the evidence names the application
#
#   orm_batches DRIVER CMD... fetch_batch, insert_batch and page through a driver
#
# ORM_ROUNDS (3): how often a program does the same again. The first time a
# loop is suspected; that its keys are its parent's values is seen later.

export ORM_ROUNDS=${ORM_ROUNDS:-3}

orm_server() {
    hone_server "$1" || return 1
    sql "CREATE DATABASE seed" || return 1
    HONE_DB=seed sql "CREATE EXTENSION pg_hone" &&
        "$HONE_BIN/psql" -Xq -v ON_ERROR_STOP=1 -d seed -f "$HONE_SRC/test/orm/schema.sql"
}

orm_begin() {
    ORM=$1
    HONE_DB=postgres sql "CREATE DATABASE $ORM TEMPLATE seed" || return 1
    HONE_DB=$ORM
}

# Sessions write what they have left when they end.
orm_wait() {
    wait_until 10 "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'shop_$ORM'"
}

orm_run() {
    local out
    ORM_SCENARIO=$1
    shift
    sql "SELECT hone.reset_recommendations()" >/dev/null
    out=$(PGDATABASE=$HONE_DB PGAPPNAME=shop_$ORM "$@" 2>&1 </dev/null) ||
        { not_ok "$ORM: $ORM_SCENARIO runs" "$out"; return 1; }
    orm_wait || { not_ok "$ORM: $ORM_SCENARIO ends its sessions"; return 1; }
    ok "$ORM: $ORM_SCENARIO runs"
}

# What is there, for the explanation of a check that failed.
orm_findings() {
    sql "SELECT concat_ws(' | ', kind, relation, calls, summary, evidence) FROM hone.recommendations"
}

# orm_check NAME CONDITION: some finding meets it
orm_check() {
    if [ "$(sql "SELECT EXISTS (SELECT FROM hone.recommendations WHERE $2)")" = t ]; then
        ok "$ORM: $ORM_SCENARIO: $1"
    else
        not_ok "$ORM: $ORM_SCENARIO: $1" "$(orm_findings)"
        return 1
    fi
}

orm_found() {
    ORM_FOUND="kind = '$1' AND relation = '$2'::regclass"
    orm_check "$1 of $2 is found" "$ORM_FOUND"
}

orm_silent() {
    local kind found
    for kind in "$@"; do
        found=$(sql "SELECT concat_ws(' | ', kind, relation, summary, evidence) FROM hone.recommendations WHERE kind = '$kind'")
        is "$ORM: $ORM_SCENARIO: no $kind" "$found" ""
    done
}

# How a finding says that it is confirmed, and from which column of the parent.
orm_confirmed() {
    echo "evidence->>'confirmed' = 'true' AND evidence->'keys'->0->>'parent_column' ~ '(^|[.])$1\$'"
}

orm_application() {
    orm_check "it names the application" "$ORM_FOUND
        AND jsonb_path_exists(evidence, '\$.**.application_name ? (@ == \"shop_$ORM\")')"
}

orm_loop() {
    orm_check "its parent reads $1" "$ORM_FOUND AND evidence->'parent'->>'query' ~ '\m$1\M'"
    orm_check "its keys are values of $1.$2" "$ORM_FOUND AND $(orm_confirmed "$2")"
    orm_check "it has the program's tags" "$ORM_FOUND
        AND evidence->'child'->'tags' @> '{\"controller\": \"shop\", \"action\": \"$ORM_SCENARIO\"}'"
    orm_application
}

orm_scenarios() {
    orm_begin "$1" || { not_ok "$1: has a database"; return; }
    shift
    orm_run lazy "$@" lazy && orm_found n_plus_one book && orm_loop author id
    orm_run upward "$@" upward && orm_found n_plus_one author && orm_loop book "${ORM_UPWARD:-author_id}"
    orm_run eager "$@" eager && orm_silent n_plus_one select_star
    orm_run pages "$@" pages && orm_found offset_pagination book && orm_application
    orm_run wide "$@" wide && orm_found select_star document && orm_application
    orm_run lean "$@" lean && orm_silent select_star offset_pagination n_plus_one
    orm_run saves "$@" saves && orm_found row_by_row_write review && orm_application
    orm_run updates "$@" updates && orm_found row_by_row_write book && orm_application
    orm_run bulk "$@" bulk && orm_silent row_by_row_write n_plus_one
}

orm_batches() {
    local driver=$1
    shift
    orm_begin "batches_$driver" || return 1
    is "$driver: fetch_batch, insert_batch and page" "$(PGDATABASE=$HONE_DB PYTHONIOENCODING=utf-8 "$@" 2>&1 </dev/null)" \
        "title 7, title 3, none, title 7, none
2, none, 1
1 there, 2 O'Hara, 3 é\"\\
1 changed v, 2 new w
42 42 title 890 title 1010"
}
