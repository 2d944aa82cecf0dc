/*-------------------------------------------------------------------------
 *
 * move.c
 *	  One move of one partition.
 *
 * tiered/ does the work in many short transactions; here is what surrounds
 * it: the owner's role in each of them, one mover per partition, the log.
 *
 * One mover: a session-level lock in the lock manager, on the partition under
 * a sub-id that nothing in PostgreSQL uses, so that it conflicts with movers
 * only and users' advisory lock functions cannot reach it. It is held across
 * the move's commits, and any abort, session end or crash releases it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/tablespace.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "common/own_tables.h"
#include "common/procedure.h"
#include "lifecycle/bounds.h"
#include "lifecycle/leave.h"
#include "lifecycle/leaving.h"
#include "lifecycle/log.h"
#include "lifecycle/move.h"
#include "lifecycle/policy.h"
#include "lifecycle/pace.h"
#include "lifecycle/shared.h"
#include "tiered/progress.h"
#include "tiered/tiered.h"

#define MOVER_LOCK_SUBID	0x484F

typedef struct MoveTransaction
{
	HoneMove   *move;
	HoneRole	saved;
} MoveTransaction;

static const char *const tier_names[] = {
	[HONE_TIER_HOT] = "hot",
	[HONE_TIER_WARM] = "warm",
	[HONE_TIER_COLD] = "cold",
	[HONE_TIER_ARCHIVE] = "archive",
	[HONE_TIER_DROP] = "drop",
};

const char *
hone_tier_name(HoneTier tier)
{
	return tier_names[tier];
}

bool
hone_tier_parse(const char *name, HoneTier *tier)
{
	for (int i = 0; i < lengthof(tier_names); i++)
	{
		if (strcmp(tier_names[i], name) == 0)
		{
			*tier = i;
			return true;
		}
	}
	return false;
}

static void
mover_lock_tag(LOCKTAG *tag, Oid partition)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, RelationRelationId, partition,
					   MOVER_LOCK_SUBID);
}

/*
 * Become the only mover of the partition, or throw 55P03.
 */
static void
lock_partition(Oid partition)
{
	LOCKTAG		tag;

	mover_lock_tag(&tag, partition);
	if (LockAcquire(&tag, ExclusiveLock, true, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("partition \"%s\" is being moved by another session",
						get_rel_name(partition)),
				 errhint("Wait until it is done; the worker shows in pg_stat_activity as \"pg_hone worker\".")));
}

static void
unlock_partition(Oid partition)
{
	LOCKTAG		tag;

	mover_lock_tag(&tag, partition);
	(void) LockRelease(&tag, ExclusiveLock, true);
}

void
hone_check_movable(Oid relid, Oid caller, HonePolicy *policy)
{
	char		kind = get_rel_relkind(relid);
	char	   *name = get_rel_name(relid);
	HoneTimeRange range;

	if (kind != '\0' && IsCatalogRelationOid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a system catalog", name),
				 errhint("Name one of the partitions in hone.partitions.")));
	hone_require_owner(relid, caller);
	if (kind == RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a partitioned table", name),
				 errhint("Move its partitions one by one, or set a policy with hone.add_tier_policy.")));
	if (kind != RELKIND_RELATION || !get_rel_relispartition(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a partition that can be moved", name),
				 errhint("Name one of the partitions in hone.partitions; a table of its own is compressed by CALL hone.compress(...).")));
	if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is temporary", name),
				 errhint("Only permanent partitions are moved.")));
	hone_policy_of(relid, policy);
	if (!hone_partition_range(relid, policy->parent, policy->epoch, &range))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("partition \"%s\" is not one by time", name),
				 errhint("Tiers are for tables partitioned by RANGE on one date, timestamp or timestamptz column; others are compressed by CALL hone.compress(...).")));
	if (!range.bounded)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("partition \"%s\" is a default partition", name),
				 errhint("A default partition has no age: move its rows into partitions of their own.")));
}

void
hone_move_enter(const HoneMove *move, HoneRole *saved)
{
	if (!move->by_worker)
		hone_require_owner(move->partition, move->caller);
	hone_become_owner(move->partition, saved);
	hone_limit_lock_waits();
}

static void
next_transaction(void *arg)
{
	MoveTransaction *transaction = arg;

	hone_restore_role(&transaction->saved);
	hone_procedure_commit();
	hone_move_enter(transaction->move, &transaction->saved);
}

/*
 * Where is this partition, and where does its policy want it by now? False if
 * it is there, or has none. What is known of it is shown in hone.tier_progress.
 */
static bool
look_at(HoneMove *move, HoneMoveRecord *record)
{
	int			level = NewGUCNestLevel();
	bool		due = false;

	hone_limit_lock_waits();
	if (hone_own_run_oid("SELECT l.parent, l.tier, l.wanted::bigint, d.to_tier FROM hone._tier_leaf l"
						 " LEFT JOIN hone._tier_due d ON d.partition OPERATOR(pg_catalog.=) l.partition AND d.due"
						 " WHERE l.partition OPERATOR(pg_catalog.=) $1", move->partition) > 0)
	{
		char	   *to_tier = hone_result_text(0, 4);

		record->wanted = (int) hone_result_integer(0, 3);
		due = to_tier != NULL;
		if (move->by_policy && due)
			due = hone_tier_parse(to_tier, &move->to);
		if (!move->by_policy || due)
			hone_progress_begin_move(move->partition, hone_result_oid(0, 1),
									 hone_result_text(0, 2), hone_tier_name(move->to));
	}
	AtEOXact_GUC(false, level);
	return due;
}

/*
 * The move itself; throws. Returns false when there was nothing to do.
 */
static bool
do_move(HoneMove *move, HoneMoveRecord *record, HoneTieredResult *result)
{
	MoveTransaction transaction = {.move = move};
	HoneTieredOptions options = {0};
	HonePolicy	policy;
	bool		due;

	lock_partition(move->partition);
	if (move->leaving)
		due = hone_leaving_tier(move->partition, &move->to);
	else
		due = look_at(move, record) || !move->by_policy;
	if (!due)
	{
		unlock_partition(move->partition);
		return false;
	}
	record->to_tier = hone_tier_name(move->to);
	if (move->leaving)
		hone_policy_of(move->partition, &policy);
	else
		hone_check_movable(move->partition,
						   move->by_worker ? GetUserId() : move->caller, &policy);
	options.level = move->to == HONE_TIER_COLD ? policy.cold_level : policy.warm_level;
	options.pace = move->by_worker ? hone_pace_begin() : NULL;
	if (move->to >= HONE_TIER_ARCHIVE)
	{
		hone_leave(move, &policy, options.pace, record);
		unlock_partition(move->partition);
		return true;
	}

	/* Start the first step with no snapshot and no lock left from above. */
	hone_procedure_commit();
	hone_move_enter(move, &transaction.saved);
	if (move->to != HONE_TIER_HOT)
	{
		hone_tiered_compress(move->partition, &options, hone_lock_timeout,
							 next_transaction, &transaction, result);
		if (move->to == HONE_TIER_COLD && policy.cold_tablespace != NULL)
			record->rewritten = hone_tiered_set_tablespace(move->partition,
														   get_tablespace_oid(policy.cold_tablespace, false),
														   hone_lock_timeout, next_transaction, &transaction);
	}
	else
		hone_tiered_decompress(move->partition, hone_lock_timeout,
							   next_transaction, &transaction, result);
	hone_restore_role(&transaction.saved);
	unlock_partition(move->partition);

	if (result->vacuum_error != NULL)
		record->note = MemoryContextStrdup(hone_procedure_context(),
										   psprintf("space was not given back yet: %s",
													result->vacuum_error));
	return true;
}

/*
 * Catch the error of a move and leave its transaction. A cancel request of a
 * user's own session is no failure of the move, and goes on; nor is it one that
 * the worker is to move no more now.
 */
static void
leave_failed_move(HoneMove *move, HoneMoveRecord *record)
{
	ErrorData  *error;

	hone_progress_end_move();
	MemoryContextSwitchTo(hone_procedure_context());
	error = CopyErrorData();
	if (!move->by_worker && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		PG_RE_THROW();
	FlushErrorState();
	hone_procedure_rollback();
	if (move->by_worker && hone_pace_stopped() != NULL)
	{
		record->note = psprintf("paused: %s", hone_pace_stopped());
		record->unfinished = true;
		return;
	}
	move->error = error;
	record->sqlstate = move->error->sqlerrcode;
	record->error = move->error->message;
}

/*
 * A log that the worker cannot write, because a session holds rows of it
 * locked, is no reason to leave the other partitions.
 */
static void
note_outcome(const HoneMove *move, const HoneMoveRecord *record,
			 HoneMoveOutcome outcome, bool moved)
{
	if (outcome == HONE_MOVE_STOPPED && record->rows == 0 && !record->rewritten)
		return;
	PG_TRY();
	{
		if (outcome != HONE_MOVE_SKIPPED)
			hone_log_move(record);
		else if (move->by_policy)
			hone_log_nothing(record, moved ? record->to_tier : NULL);
		hone_procedure_commit();
	}
	PG_CATCH();
	{
		if (!move->by_worker)
			PG_RE_THROW();
		hone_procedure_report("could not write down the move of a partition");
	}
	PG_END_TRY();
}

HoneMoveOutcome
hone_move(HoneMove *move)
{
	HoneMoveRecord record;
	HoneTieredResult result;
	HoneMoveOutcome outcome;
	volatile bool moved = false;
	char	   *name = hone_qualified_name(move->partition);

	if (name == NULL)
		return HONE_MOVE_SKIPPED;
	memset(&record, 0, sizeof(record));
	memset(&result, 0, sizeof(result));
	record.partition = move->partition;
	record.name = name;
	record.to_tier = hone_tier_name(move->to);
	record.by_worker = move->by_worker;
	record.started = GetCurrentTimestamp();
	move->error = NULL;

	PG_TRY();
	{
		moved = do_move(move, &record, &result);
		hone_progress_end_move();
	}
	PG_CATCH();
	{
		leave_failed_move(move, &record);
	}
	PG_END_TRY();
	if (!record.gone)
	{
		record.rows = result.rows;
		record.rewritten |= result.rewritten > 0;
		record.bytes_before = result.bytes_before;
		record.bytes_after = result.bytes_after;
	}

	if (record.unfinished)
		outcome = HONE_MOVE_STOPPED;
	else if (move->error != NULL)
		outcome = HONE_MOVE_FAILED;
	else if (!moved || (move->by_policy && record.rows == 0 && !record.rewritten && !record.gone))
		outcome = HONE_MOVE_SKIPPED;
	else
		outcome = HONE_MOVE_DONE;
	note_outcome(move, &record, outcome, moved);
	return outcome;
}
