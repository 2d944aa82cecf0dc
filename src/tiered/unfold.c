/*-------------------------------------------------------------------------
 *
 * unfold.c
 *	  Decompressing, one batch a transaction.
 *
 * Under EXCLUSIVE, as folding: every row of the batch becomes a plain heap
 * row with its index entries, and the batch is deleted. Older snapshots go on
 * seeing the batch. No triggers fire, no constraint is checked again and
 * logical decoding sees nothing: the rows were there all the time. Index
 * expressions are evaluated as the table's owner.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/owner.h"
#include "tiered/am.h"
#include "tiered/cursor.h"
#include "tiered/fold.h"
#include "tiered/moves.h"
#include "tiered/progress.h"

/* Index entries for one tuple just inserted, within estate. */
static void
insert_index_entries(EState *estate, ResultRelInfo *info, TupleTableSlot *slot)
{
	if (info->ri_NumIndices > 0)
		list_free(hone_compat_insert_index_tuples(info, slot, estate));
}

/*
 * Insert the rows of a batch that are alive; sets where each of them is now.
 */
static int64
insert_rows(HoneCursor *cursor, Relation rel, int32 batch, int nrows,
			ItemPointerData *places)
{
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	CommandId	cid = GetCurrentCommandId(true);
	int64		inserted = 0;

	InitResultRelInfo(info, rel, 1, NULL, 0);
	ExecOpenIndices(info, false);
	GetPerTupleExprContext(estate)->ecxt_scantuple = slot;

	for (int row = 0; row < nrows; row++)
	{
		MemoryContext old = MemoryContextSwitchTo(GetPerTupleMemoryContext(estate));
		ItemPointerData tid;
		HeapTuple	tuple;

		CHECK_FOR_INTERRUPTS();
		hone_tid_set(&tid, batch, row);
		if (!hone_cursor_seek(cursor, &tid))
			elog(ERROR, "row %d of batch %d is missing", row, batch);
		if (hone_cursor_is_dead(cursor))
		{
			MemoryContextSwitchTo(old);
			continue;
		}
		tuple = hone_cursor_form_tuple(cursor);
		heap_insert(rel, tuple, cid, HEAP_INSERT_NO_LOGICAL, NULL);
		places[row] = tuple->t_self;
		ExecStoreHeapTuple(tuple, slot, false);
		insert_index_entries(estate, info, slot);
		ExecClearTuple(slot);
		MemoryContextSwitchTo(old);
		ResetPerTupleExprContext(estate);
		inserted++;
	}

	ExecCloseIndices(info);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	return inserted;
}

static HoneStepResult
unfold_first_batch(HoneFoldState *state, Relation rel)
{
	Snapshot	snapshot = GetActiveSnapshot();
	HoneCursor *cursor = hone_cursor_open(rel, snapshot, NULL, NULL);
	HoneStore  *store;
	HoneStoreMeta meta;
	HoneBatchEntry entry;
	ItemPointerData *places;

	if (cursor == NULL)
		return HONE_STEP_LAST;
	if (cursor->nbatches == 0)
	{
		hone_cursor_close(cursor);
		return HONE_STEP_LAST;
	}
	entry = cursor->directory[0];

	/* the batch first: its keys are not to stand in the way of its rows */
	store = hone_store_open(rel, RowExclusiveLock);
	if (!hone_store_read_meta(store, snapshot, &meta))
		elog(ERROR, "compressed table \"%s\" has no meta row", RelationGetRelationName(rel));

	/* who read a row that moves is taken to have read the whole table */
	TransferPredicateLocksToHeapRelation(rel);
	TransferPredicateLocksToHeapRelation(store->toast);
	places = palloc(entry.nrows * sizeof(ItemPointerData));
	hone_tombstones_replacements(store, snapshot, entry.batch, entry.nrows, places);
	hone_progress_phase(HONE_PHASE_UNFOLDING);
	if (state->batches == 0)
		hone_progress_total(meta.rows);
	hone_store_delete_batch(store, snapshot, &meta, &entry);
	hone_store_write_meta(store, snapshot, &meta);

	/* the snapshot goes on seeing it */
	state->rows += insert_rows(cursor, rel, entry.batch, entry.nrows, places);
	state->batches++;
	hone_progress_done(entry.nrows, 1, 0);
	hone_progress_work(entry.raw_bytes + entry.stored_bytes);
	hone_cursor_close(cursor);
	if (hone_somebody_is_there(RelationGetRelid(rel)))
	{
		CommandCounterIncrement();
		PushActiveSnapshot(GetLatestSnapshot());
		hone_moves_note(store, &meta, HONE_MOVED_OUT, entry.batch, places, entry.nrows);
		hone_store_write_meta(store, GetActiveSnapshot(), &meta);
		PopActiveSnapshot();
	}
	pfree(places);
	hone_store_close(store);
	return HONE_STEP_MORE;
}

HoneStepResult
hone_unfold_step(HoneFoldState *state)
{
	HoneStepResult result;
	HoneRole	saved;
	Relation	rel;

	if (!hone_try_lock(state->relid, ExclusiveLock, state->lock_timeout_ms))
		return HONE_STEP_LOCKED;
	rel = hone_reopen(state->relid, NoLock);
	if (!hone_is_tiered(rel))
	{
		table_close(rel, NoLock);
		return HONE_STEP_LAST;
	}
	hone_become_owner(RelationGetRelid(rel), &saved);
	PushActiveSnapshot(GetLatestSnapshot());
	result = unfold_first_batch(state, rel);
	PopActiveSnapshot();
	hone_restore_role(&saved);
	table_close(rel, NoLock);
	return result;
}
