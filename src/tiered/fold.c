/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  Compressing, one batch a transaction.
 *
 * Reading and encoding happen under ACCESS SHARE. Then EXCLUSIVE is taken
 * without queueing: readers go on, and no writer or row locker is in flight,
 * so no unique check, foreign key check or update can race with the fold.
 * The snapshot that read the rows stays registered to the end, so none of
 * their TIDs can be recycled in between; a row that a newer snapshot still
 * sees at its TID is the row that was read.
 *
 * An older snapshot goes on seeing the plain rows, a newer one the batch. The
 * rows are deleted as "moved to another partition", so that a writer which
 * nevertheless meets one (a cursor's WHERE CURRENT OF) gets 40001 instead of
 * silently updating nothing. Logical decoding sees no row change.
 *
 * A crash at any point leaves the transaction undone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/owner.h"
#include "tiered/am.h"
#include "tiered/batch.h"
#include "tiered/fold.h"
#include "tiered/tiered.h"

/* After so many steps in vain the lock is taken before the rows are read. */
#define CHANGED_LIMIT	3

/*
 * Collect the next rows of the main fork. Returns false when there are none.
 */
static bool
collect_rows(HoneFoldState *state, Relation rel, Snapshot snapshot,
			 HoneBatchBuilder *builder)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	TableScanDesc scan;
	TupleTableSlot *slot;

	if (state->next_block >= nblocks)
		return false;

	scan = heap_beginscan(rel, snapshot, 0, NULL, NULL,
						  SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
	heap_setscanlimits(scan, state->next_block, nblocks - state->next_block);
	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	while (!hone_builder_full(builder) &&
		   heap_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		hone_builder_add(builder, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	heap_endscan(scan);
	return builder->nrows > 0;
}

static bool
is_visible(Relation rel, ItemPointer tid, Snapshot snapshot)
{
	HeapTupleData tuple;
	Buffer		buffer;
	bool		visible;

	tuple.t_self = *tid;
	visible = heap_fetch(rel, snapshot, &tuple, &buffer, false);
	if (visible)
		ReleaseBuffer(buffer);
	return visible;
}

/*
 * With the lock held: are all rows still there? The snapshot that read them
 * is asked too: under old_snapshot_threshold it does not keep a TID from being
 * recycled, but it cannot see the new row there.
 */
static bool
rows_unchanged(Relation rel, HoneBatchBuilder *builder)
{
	Snapshot	now = RegisterSnapshot(GetLatestSnapshot());
	bool		unchanged = true;

	for (int i = 0; i < builder->nrows && unchanged; i++)
	{
		CHECK_FOR_INTERRUPTS();
		unchanged = is_visible(rel, &builder->tids[i], now) &&
			is_visible(rel, &builder->tids[i], GetActiveSnapshot());
	}
	UnregisterSnapshot(now);
	return unchanged;
}

static void
delete_rows(Relation rel, HoneBatchBuilder *builder)
{
	CommandId	cid = GetCurrentCommandId(true);
	char		identity = rel->rd_rel->relreplident;

	PG_TRY();
	{
		for (int i = 0; i < builder->nrows; i++)
		{
			TM_FailureData failure;
			TM_Result	result;

			CHECK_FOR_INTERRUPTS();

			/*
			 * No old keys into the WAL: nothing to replicate has happened.
			 * For each row, since an invalidation sets it back.
			 */
			rel->rd_rel->relreplident = REPLICA_IDENTITY_NOTHING;
			result = heap_delete(rel, &builder->tids[i], cid, InvalidSnapshot,
								 true, &failure, true);
			if (result != TM_Ok)
				elog(ERROR, "unexpected result %d of deleting a row to be compressed", result);
		}
	}
	PG_FINALLY();
	{
		rel->rd_rel->relreplident = identity;
	}
	PG_END_TRY();
}

static void
write_batch(Relation rel, HoneBatchEntry *entry, const char *stream)
{
	HoneStore  *store = hone_store_open(rel, RowExclusiveLock);
	HoneStoreMeta meta;

	PushActiveSnapshot(GetLatestSnapshot());
	if (!hone_store_read_meta(store, GetActiveSnapshot(), &meta))
		elog(ERROR, "compressed table \"%s\" has no meta row", RelationGetRelationName(rel));
	hone_store_write_batch(store, &meta, entry, stream);
	hone_store_write_meta(store, GetActiveSnapshot(), &meta);
	PopActiveSnapshot();
	hone_store_close(store);
}

static HoneStepResult
fold_rows(HoneFoldState *state, Relation rel, HoneBatchBuilder *builder,
		  bool locked)
{
	BlockNumber last = ItemPointerGetBlockNumber(&builder->tids[builder->nrows - 1]);
	HoneBatchEntry entry;
	StringInfoData stream;

	initStringInfo(&stream);
	hone_builder_encode(builder, state->level, &stream, &entry);
	if (!locked)
	{
		if (!hone_try_lock(state->relid, ExclusiveLock, state->lock_timeout_ms))
			return HONE_STEP_LOCKED;
		if (!rows_unchanged(rel, builder))
			return HONE_STEP_CHANGED;
	}
	delete_rows(rel, builder);
	write_batch(rel, &entry, stream.data);
	pfree(stream.data);

	/* the last block may hold more rows; what is folded is gone from it */
	state->next_block = last;
	state->rows += builder->nrows;
	state->batches++;
	return HONE_STEP_MORE;
}

HoneStepResult
hone_fold_step(HoneFoldState *state)
{
	bool		lock_first = state->changed >= CHANGED_LIMIT;
	HoneStepResult result = HONE_STEP_LAST;
	HoneRole	saved;
	HoneBatchBuilder *builder;
	Relation	rel;

	if (lock_first &&
		!hone_try_lock(state->relid, ExclusiveLock, state->lock_timeout_ms))
		return HONE_STEP_LOCKED;
	rel = hone_reopen(state->relid, AccessShareLock);
	if (!hone_holds_meta(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" was decompressed, truncated or rewritten meanwhile",
						RelationGetRelationName(rel)),
				 errhint("CALL hone.compress() again if it is still wanted.")));
	hone_tiered_check_compressible(rel);

	hone_become_owner(RelationGetRelid(rel), &saved);
	PushActiveSnapshot(GetLatestSnapshot());
	builder = hone_builder_create(rel);
	if (collect_rows(state, rel, GetActiveSnapshot(), builder))
		result = fold_rows(state, rel, builder, lock_first);
	hone_builder_free(builder);
	PopActiveSnapshot();
	hone_restore_role(&saved);
	table_close(rel, NoLock);

	state->changed = result == HONE_STEP_CHANGED ? state->changed + 1 : 0;
	return result;
}
