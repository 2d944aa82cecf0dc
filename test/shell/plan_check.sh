#!/usr/bin/env bash
# Another library keeps index paths of a compressed table: an error, never rows
# that are missing.
set -u
. "$(dirname "$0")/../lib/prepare.sh"
hone_prepare

dir=$HONE_WORK/careless
mkdir -p "$dir"
cat >"$dir/careless.c" <<'C'
#include "postgres.h"

#include "fmgr.h"
#include "optimizer/paths.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

void		_PG_init(void);

static set_rel_pathlist_hook_type previous = NULL;
static bool enabled = false;

/* Others are not asked. */
static void
keep_paths(PlannerInfo *root, RelOptInfo *rel, Index rti, RangeTblEntry *rte)
{
	if (previous && !enabled)
		previous(root, rel, rti, rte);
}

void
_PG_init(void)
{
	DefineCustomBoolVariable("careless.enabled", "Keep paths.", NULL, &enabled, false,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	previous = set_rel_pathlist_hook;
	set_rel_pathlist_hook = keep_paths;
}
C
if ! (cd "$dir" && ${CC:-cc} -shared -fPIC -I"$("$PG_CONFIG" --includedir-server)" -o careless.so careless.c &&
    cp careless.so "$("$PG_CONFIG" --pkglibdir)/") >"$dir/log" 2>&1; then
    not_ok "the careless library is built" "$(cat "$dir/log")"
    hone_done
fi

hone_server careless "-c shared_preload_libraries=pg_hone,careless" || exit 1
sql "CREATE EXTENSION pg_hone;
     CREATE TABLE t (id int PRIMARY KEY, n int);
     INSERT INTO t SELECT i, i FROM generate_series(1, 5000) i;
     CREATE INDEX ON t (n);" || exit 1
succeeds "compress" sql "CALL hone.compress('t')"
sql "INSERT INTO t SELECT i, i FROM generate_series(5001, 9000) i; ANALYZE t" || exit 1

careless="LOAD 'careless'; SET careless.enabled = on; SET plan_cache_mode = force_generic_plan;"
is "without it an index finds both kinds of rows" "$(sql "SELECT count(*) FROM t WHERE id IN (7, 6000)")" 2
is "a sequential scan finds both kinds of rows" "$(sql "$careless SELECT count(*) FROM t" | tail -1)" 9000
refuses "an index scan" XX000 "shared_preload_libraries" "$careless SET enable_bitmapscan = off; SELECT * FROM t WHERE id = 6000"
refuses "a bitmap scan" XX000 "shared_preload_libraries" "$careless SET enable_indexscan = off; SET enable_seqscan = off; SELECT * FROM t WHERE n < 10"
refuses "in a subquery" XX000 "shared_preload_libraries" "$careless SELECT i, (SELECT n FROM t WHERE id = i) FROM generate_series(1, 2) i"
refuses "in a CTE" XX000 "shared_preload_libraries" "$careless WITH x AS MATERIALIZED (SELECT n FROM t WHERE id = 7) SELECT * FROM x"
refuses "in an UPDATE" XX000 "shared_preload_libraries" "$careless UPDATE t SET n = 0 WHERE id = 7"
refuses "in a function" XX000 "shared_preload_libraries" "$careless DO 'BEGIN PERFORM FROM t WHERE id = 7; END'"
refuses "also where no row is asked for" XX000 "shared_preload_libraries" "$careless SELECT * FROM t WHERE id = 7 LIMIT 0"
is "a heap table may be read so" "$(sql "$careless CREATE TABLE h (id int PRIMARY KEY); INSERT INTO h VALUES (1); SET enable_seqscan = off; SELECT count(*) FROM h WHERE id = 1" | tail -1)" 1
is "nothing was lost" "$(sql "SELECT count(*), sum(n) FROM t")" "9000|40504500"
hone_done
