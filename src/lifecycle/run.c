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

#include "common/procedure.h"
#include "lifecycle/leaving.h"
#include "lifecycle/move.h"
#include "lifecycle/policy.h"
#include "common/owner.h"
#include "lifecycle/pace.h"
#include "lifecycle/premake.h"
#include "lifecycle/run.h"
#include "lifecycle/shared.h"

PG_FUNCTION_INFO_V1(hone_move_partition);
PG_FUNCTION_INFO_V1(hone_run_tier_policies);

/*
 * Partitions that may be due, the longest overdue first, as a list of OIDs in
 * the procedure's memory context. It asks the catalogs only, as the owner of
 * pg_hone's tables, so that one locked partition does not hold up the others;
 * hone_move looks closer. Partitions of pg_hone's own are the worker's.
 */
static List *
due_partitions(bool by_worker)
{
	MemoryContext old;
	List	   *due = NIL;
	HoneRole	saved;

	/* The extension may have been dropped meanwhile. */
	if (!OidIsValid(hone_relation_oid("_tier_state")))
		return NIL;
	hone_become_owner(hone_relation_oid("_tier_state"), &saved);
	if (SPI_execute(by_worker
					? "SELECT partition FROM hone._tier_candidates WHERE may_retry ORDER BY range_end, 1"
					: "SELECT partition FROM hone._tier_candidates WHERE NOT EXISTS"
					" (SELECT FROM pg_catalog.pg_class c WHERE c.oid = parent"
					"  AND c.relnamespace = 'hone'::pg_catalog.regnamespace) ORDER BY range_end, 1",
					false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read hone._tier_candidates");
	hone_restore_role(&saved);

	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Oid			relid = DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
														   SPI_tuptable->tupdesc,
														   1, &isnull));

		if (by_worker || hone_is_owner(relid, GetUserId()))
			due = lappend_oid(due, relid);
	}
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(old);
	return due;
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

/* Those of the caller's that an earlier try left half-way. */
static List *
leaving_partitions(bool by_worker)
{
	List	   *all = hone_leaving_partitions();
	List	   *own = NIL;
	MemoryContext old = MemoryContextSwitchTo(hone_procedure_context());
	ListCell   *lc;

	foreach(lc, all)
	{
		if (by_worker || hone_is_owner(lfirst_oid(lc), GetUserId()))
			own = lappend_oid(own, lfirst_oid(lc));
	}
	MemoryContextSwitchTo(old);
	return own;
}

void
hone_run_due(bool by_worker, HoneRunResult *result)
{
	List	   *partitions;

	memset(result, 0, sizeof(*result));
	/* The extension may have been dropped meanwhile. */
	if (!OidIsValid(hone_relation_oid("_tier_leaving")))
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
	hone_check_movable(move.partition, move.caller);
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
