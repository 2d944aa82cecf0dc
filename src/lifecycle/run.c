/*-------------------------------------------------------------------------
 *
 * run.c
 *	  Everything that is due, one after the other; and the procedures that a
 *	  user calls for it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/own_tables.h"
#include "common/owner.h"
#include "common/procedure.h"
#include "lifecycle/leaving.h"
#include "lifecycle/move.h"
#include "lifecycle/pace.h"
#include "lifecycle/policy.h"
#include "lifecycle/premake.h"
#include "lifecycle/run.h"
#include "lifecycle/shared.h"

PG_FUNCTION_INFO_V1(hone_move_partition);
PG_FUNCTION_INFO_V1(hone_run_tier_policies);

/*
 * The partitions that a query finds, the caller's only if it is not the worker's.
 */
static List *
find_partitions(const char *sql, bool by_worker)
{
	MemoryContext old;
	List	   *found = NIL;

	/* The extension may have been dropped meanwhile. */
	if (!hone_hold_extension())
		return NIL;
	old = MemoryContextSwitchTo(hone_procedure_context());
	hone_own_run(sql, 0, NULL, NULL, NULL);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Oid			relid = hone_result_oid(i, 1);

		if (by_worker || hone_is_owner(relid, GetUserId()))
			found = lappend_oid(found, relid);
	}
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(old);
	return found;
}

/*
 * Partitions that may be due, the longest overdue first. It asks the catalogs
 * only, so that one locked partition does not hold up the others; hone_move
 * looks closer. Partitions of pg_hone's own are the worker's.
 */
static List *
due_partitions(bool by_worker)
{
	return find_partitions(by_worker
						   ? "SELECT partition FROM hone._tier_candidates WHERE may_retry ORDER BY range_end, 1"
						   : "SELECT partition FROM hone._tier_candidates WHERE NOT EXISTS"
						   " (SELECT FROM pg_catalog.pg_class c WHERE c.oid = parent"
						   "  AND c.relnamespace = 'hone'::pg_catalog.regnamespace) ORDER BY range_end, 1",
						   by_worker);
}

static void
report_failure(HoneMove *move, bool by_worker)
{
	char	   *name = hone_qualified_name(move->partition);

	ereport(by_worker ? LOG : WARNING,
			(errcode(move->error->sqlerrcode),
			 errmsg("could not move partition %s: %s",
					name ? name : "(dropped)", move->error->message),
			 move->error->hint ? errhint("%s", move->error->hint) : 0));
}

static void
report_activity(Oid partition)
{
	char	   *name = hone_qualified_name(partition);

	if (name != NULL)
		pgstat_report_activity(STATE_RUNNING,
							   psprintf("moving partition %s", name));
}

static void
run_moves(List *partitions, bool leaving, bool by_worker, HoneRunResult *result)
{
	Oid			caller = GetUserId();
	ListCell   *lc;

	foreach(lc, partitions)
	{
		HoneMove	move = {.partition = lfirst_oid(lc),.by_policy = true,.leaving = leaving,.by_worker = by_worker,.caller = caller};

		CHECK_FOR_INTERRUPTS();
		if (by_worker && hone_pace_objection() != NULL)
			return;
		if (by_worker)
			report_activity(move.partition);
		switch (hone_move(&move))
		{
			case HONE_MOVE_DONE:
				result->moved++;
				break;
			case HONE_MOVE_FAILED:
				result->failed++;
				report_failure(&move, by_worker);
				break;
			case HONE_MOVE_SKIPPED:
				break;
			case HONE_MOVE_STOPPED:
				return;
		}
	}
}

/* Those that are detached already, or half-way, and have to be dropped still. */
static List *
leaving_partitions(bool by_worker)
{
	return find_partitions("SELECT partition FROM hone._tier_detached"
						   " WHERE (retry_at OPERATOR(pg_catalog.<=) pg_catalog.now()) IS NOT FALSE"
						   " ORDER BY since, 1", by_worker);
}

void
hone_run_due(bool by_worker, HoneRunResult *result)
{
	List	   *partitions;

	memset(result, 0, sizeof(*result));
	/* The extension may have been dropped meanwhile. */
	if (!hone_hold_extension())
		return;
	result->made = hone_premake_due(by_worker, &result->failed);
	partitions = leaving_partitions(by_worker);
	hone_procedure_commit();
	run_moves(partitions, true, by_worker, result);
	partitions = due_partitions(by_worker);
	hone_procedure_commit();
	run_moves(partitions, false, by_worker, result);
	if (by_worker && hone_pace_objection() == NULL)
		hone_expire_archives();
}

/*
 * hone.run_tier_policies()
 */
Datum
hone_run_tier_policies(PG_FUNCTION_ARGS)
{
	HoneRunResult result;

	hone_require_script();
	PreventCommandIfReadOnly("hone.run_tier_policies");
	PreventCommandDuringRecovery("hone.run_tier_policies");
	hone_procedure_begin(fcinfo, "hone.run_tier_policies");
	hone_run_due(false, &result);
	hone_procedure_end();

	if (result.made > 0)
		ereport(NOTICE,
				(errmsg("%d partitions made ahead", result.made)));
	if (result.failed > 0)
		ereport(NOTICE,
				(errmsg("%d partitions moved, %d failed", result.moved, result.failed),
				 errhint("The view hone.tier_log has the errors.")));
	else
		ereport(NOTICE,
				(errmsg_plural("%d partition moved", "%d partitions moved",
							   result.moved, result.moved)));
	PG_RETURN_VOID();
}

#define TIERS_HINT	"Tiers are 'hot', 'warm', 'cold' and 'archive'."

static HoneTier
parse_tier(FunctionCallInfo fcinfo)
{
	char	   *name = PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1));
	HoneTier	tier;

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("tier must not be null"),
				 errhint(TIERS_HINT)));
	if (!hone_tier_parse(name, &tier) || tier == HONE_TIER_DROP)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown tier \"%s\"", name),
				 errhint(TIERS_HINT)));
	return tier;
}

/*
 * hone.move_partition(partition, tier)
 */
Datum
hone_move_partition(PG_FUNCTION_ARGS)
{
	HoneMove	move = {.caller = GetUserId()};
	HonePolicy	policy;

	hone_require_script();
	PreventCommandIfReadOnly("hone.move_partition");
	PreventCommandDuringRecovery("hone.move_partition");
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("partition must not be null"),
				 errhint("Name one of the partitions in hone.partitions.")));
	move.partition = PG_GETARG_OID(0);
	move.to = parse_tier(fcinfo);
	hone_check_movable(move.partition, move.caller, &policy);
	if (move.to == HONE_TIER_ARCHIVE)
		hone_check_may_archive(move.caller);

	hone_procedure_begin(fcinfo, "hone.move_partition");
	if (hone_move(&move) == HONE_MOVE_FAILED)
		ReThrowError(move.error);
	if (move.to == HONE_TIER_HOT &&
		list_member_oid(due_partitions(false), move.partition))
		ereport(NOTICE,
				(errmsg("the tier policy will move partition \"%s\" back",
						get_rel_name(move.partition)),
				 errhint("To keep it hot, change or remove the policy with hone.alter_tier_policy or hone.remove_tier_policy.")));
	hone_procedure_end();
	PG_RETURN_VOID();
}
