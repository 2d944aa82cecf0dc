/*-------------------------------------------------------------------------
 *
 * rewrite.c
 *	  The fast way of compressing: a new main fork and a new TOAST table.
 *
 * Only for a table without compressed rows that nobody else has locked. Rows
 * that every snapshot sees are written into frozen batches of a new table,
 * which then gives its files to the old one as in CLUSTER: no row is deleted
 * one by one, and nothing is left to vacuum. A snapshot that is older than
 * some row would see it too early: such rows, and deleted ones that somebody
 * may still see, are copied as they are, for the steps that come after.
 *
 * While batches are made the table is locked as in a step of the slow way:
 * readers go on. Whoever waits for the lock gets it after the batch in hand,
 * and what was written is thrown away. ACCESS EXCLUSIVE is only taken to swap
 * the files, and polled for.
 *
 * What makes sure that no row is lost: rows are counted before, by another
 * scan with other rules, and the numbers must be the same.
 *
 * A standby may have older snapshots than this server knows of. They are ended
 * there as by VACUUM, by the WAL records that mark the new pages all-visible.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/rewriteheap.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/visibilitymap.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "catalog/pg_class.h"
#include "catalog/toasting.h"
#include "commands/cluster.h"
#include "commands/tablecmds.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "storage/procarray.h"
#include "storage/smgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/owner.h"
#include "tiered/am.h"
#include "tiered/progress.h"
#include "tiered/rewrite.h"
#include "tiered/run.h"
#include "tiered/tiered.h"

/* More rows that are not to be folded now: then the slow way is no slower. */
#define MAX_REST_ROWS		10000

/* Pages between two looks for waiters, where nothing else is done. */
#define GIVE_WAY_PAGES		256

/* Tries for ACCESS EXCLUSIVE, of 50 ms at most each. */
#define SWAP_ATTEMPTS		20

bool		hone_compress_rewrite = true;

typedef struct Rewrite
{
	HoneFoldState *state;
	Relation	rel;
	TransactionId oldest;		/* older ones are seen by every snapshot */
	TransactionId newest;		/* that matters to a standby's snapshots */
	int64		foldable;		/* rows */
	int64		rest;			/* row versions that are kept as they are */
	BlockNumber first_rest;		/* the blocks they are in */
	BlockNumber last_rest;
	Oid			new_relid;
	Relation	new_rel;
	RewriteState writer;		/* of versions that are kept */
	int64		rows;			/* written into batches */
	HoneStoreMeta meta;
} Rewrite;

/* What becomes of a row version. */
typedef enum Fate
{
	FATE_FOLD,
	FATE_KEEP,
	FATE_DROP,
	FATE_UNKNOWN				/* somebody is writing it */
} Fate;

/*
 * The swap rebuilds all indexes, and makes those valid that are not: which is
 * for their owner to do.
 */
static bool
indexes_are_valid(Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		valid = index->rd_index->indisvalid && index->rd_index->indisready;

		index_close(index, AccessShareLock);
		if (!valid)
			return false;
	}
	return true;
}

static bool
give_way(Rewrite *rewrite)
{
	CHECK_FOR_INTERRUPTS();
	if (!LockHasWaitersRelation(rewrite->rel, ExclusiveLock))
		return false;
	ereport(DEBUG1,
			(errmsg_internal("pg_hone: others wait for table \"%s\", which is rewritten",
							 RelationGetRelationName(rewrite->rel))));
	return true;
}

/* ------------------------------------------------------------------------
 * Looking at the old table
 * ------------------------------------------------------------------------
 */

static void
advance_newest(Rewrite *rewrite, TransactionId xid)
{
	if (TransactionIdIsNormal(xid) && TransactionIdPrecedes(xid, rewrite->oldest) &&
		(!TransactionIdIsValid(rewrite->newest) ||
		 TransactionIdPrecedes(rewrite->newest, xid)))
		rewrite->newest = xid;
}

static Fate
fate_of(Rewrite *rewrite, HeapTuple tuple, Buffer buffer)
{
	HTSV_Result visible;
	TransactionId xmin;
	TransactionId xmax = InvalidTransactionId;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	visible = HeapTupleSatisfiesVacuum(tuple, rewrite->oldest, buffer);
	xmin = HeapTupleHeaderGetXmin(tuple->t_data);
	if (visible == HEAPTUPLE_DEAD && !(tuple->t_data->t_infomask & HEAP_XMAX_INVALID))
		xmax = HeapTupleHeaderGetUpdateXid(tuple->t_data);
	LockBuffer(buffer, BUFFER_LOCK_UNLOCK);

	switch (visible)
	{
		case HEAPTUPLE_LIVE:
			if (!TransactionIdPrecedes(xmin, rewrite->oldest))
				return FATE_KEEP;
			advance_newest(rewrite, xmin);
			return FATE_FOLD;
		case HEAPTUPLE_RECENTLY_DEAD:
			/* its copy is frozen too */
			advance_newest(rewrite, xmin);
			return FATE_KEEP;
		case HEAPTUPLE_DEAD:
			advance_newest(rewrite, xmin);
			advance_newest(rewrite, xmax);
			return FATE_DROP;
		default:
			return FATE_UNKNOWN;
	}
}

/* What is done with a version; false: leave the table to the slow way. */
typedef bool (*VisitVersion) (Rewrite *rewrite, HeapTuple tuple, Fate fate);

/*
 * All versions in blocks of the old main fork. False: a visit said so, or
 * somebody waits.
 */
static bool
visit_versions(Rewrite *rewrite, BlockNumber first, BlockNumber nblocks,
			   VisitVersion visit)
{
	TableScanDesc scan = heap_beginscan(rewrite->rel, SnapshotAny, 0, NULL, NULL,
										SO_TYPE_SEQSCAN | SO_ALLOW_STRAT);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rewrite->rel),
													&TTSOpsBufferHeapTuple);
	BufferHeapTupleTableSlot *buffer_slot = (BufferHeapTupleTableSlot *) slot;
	BlockNumber looked = first;
	bool		go_on = true;

	heap_setscanlimits(scan, first, nblocks);
	while (go_on && heap_getnextslot(scan, ForwardScanDirection, slot))
	{
		HeapTuple	tuple = buffer_slot->base.tuple;
		BlockNumber block = ItemPointerGetBlockNumber(&slot->tts_tid);

		if (block >= looked + GIVE_WAY_PAGES)
		{
			looked = block;
			go_on = !give_way(rewrite);
		}
		go_on = go_on && visit(rewrite, tuple, fate_of(rewrite, tuple, buffer_slot->buffer));
	}
	ExecDropSingleTupleTableSlot(slot);
	heap_endscan(scan);
	return go_on;
}

static bool
count_version(Rewrite *rewrite, HeapTuple tuple, Fate fate)
{
	BlockNumber block = ItemPointerGetBlockNumber(&tuple->t_self);

	switch (fate)
	{
		case FATE_FOLD:
			rewrite->foldable++;
			return true;
		case FATE_KEEP:
			if (rewrite->rest == 0)
				rewrite->first_rest = block;
			rewrite->last_rest = block;
			return ++rewrite->rest <= MAX_REST_ROWS;
		case FATE_DROP:
			return true;
		default:
			return false;
	}
}

/* ------------------------------------------------------------------------
 * Writing the new one
 * ------------------------------------------------------------------------
 */

/*
 * Its columns are the old table's, so its batches are too.
 */
static void
create_new(Rewrite *rewrite)
{
	Relation	rel = rewrite->rel;

	rewrite->new_relid = make_new_heap(RelationGetRelid(rel), rel->rd_rel->reltablespace,
									   hone_lock_tiered_am(), rel->rd_rel->relpersistence,
									   ExclusiveLock);
	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		NewHeapCreateToastTable(rewrite->new_relid, (Datum) 0, AccessExclusiveLock, InvalidOid);
	rewrite->new_rel = table_open(rewrite->new_relid, AccessExclusiveLock);
}

/*
 * Encode and write batch after batch. False: somebody waits, or rows were
 * not where the sort had seen them.
 */
static bool
write_batches(Rewrite *rewrite, HoneStore *store)
{
	HoneFoldState *state = rewrite->state;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hone rewrite batch",
												  ALLOCSET_DEFAULT_SIZES);
	bool		go_on = true;

	while (go_on)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		if (hone_fold_prepare(state, rewrite->rel) == HONE_STEP_LAST)
			go_on = false;
		if (state->prepared != NULL)
		{
			HonePrepared *prepared = state->prepared;

			hone_store_write_batch(store, &rewrite->meta, &prepared->entry, prepared->stream.data);
			hone_progress_done(prepared->nrows, 1, prepared->entry.stored_bytes);
			hone_progress_work(prepared->entry.stored_bytes);
			rewrite->rows += prepared->nrows;
			if (state->order == NULL)
			{
				state->next_block = ItemPointerGetBlockNumberNoCheck(&state->prepared_to);
				state->next_offset = ItemPointerGetOffsetNumberNoCheck(&state->prepared_to);
			}
			else
				state->next_row += state->prepared_rows;
			hone_prepared_free(prepared);
			state->prepared = NULL;
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
		if (go_on && give_way(rewrite))
		{
			MemoryContextDelete(context);
			return false;
		}
	}
	MemoryContextDelete(context);
	return rewrite->rows == rewrite->foldable;
}

/*
 * A version for the new main fork: of all columns, those with a default that
 * the old one does not have too (finish_heap_swap forgets these).
 */
static HeapTuple
reform(HeapTuple tuple, TupleDesc desc)
{
	Datum	   *values = palloc(desc->natts * sizeof(Datum));
	bool	   *isnull = palloc(desc->natts * sizeof(bool));
	HeapTuple	copy;

	heap_deform_tuple(tuple, desc, values, isnull);
	for (int i = 0; i < desc->natts; i++)
	{
		if (TupleDescAttr(desc, i)->attisdropped)
			isnull[i] = true;
	}
	copy = heap_form_tuple(desc, values, isnull);
	pfree(values);
	pfree(isnull);
	return copy;
}

static bool
copy_version(Rewrite *rewrite, HeapTuple tuple, Fate fate)
{
	HeapTuple	copy;

	if (fate == FATE_DROP)
		rewrite_heap_dead_tuple(rewrite->writer, tuple);
	if (fate != FATE_KEEP)
		return true;
	copy = reform(tuple, RelationGetDescr(rewrite->rel));
	rewrite_heap_tuple(rewrite->writer, tuple, copy);
	heap_freetuple(copy);
	return true;
}

/*
 * False: somebody waits.
 */
static bool
copy_rest(Rewrite *rewrite, TransactionId freeze_xid, MultiXactId multi_cutoff)
{
	bool		complete;

	if (rewrite->rest == 0)
		return true;
	rewrite->writer = begin_heap_rewrite(rewrite->rel, rewrite->new_rel, rewrite->oldest,
										 freeze_xid, multi_cutoff);
	complete = visit_versions(rewrite, rewrite->first_rest,
							  rewrite->last_rest - rewrite->first_rest + 1, copy_version);
	end_heap_rewrite(rewrite->writer);
	return complete;
}

static bool
is_all_frozen(Page page)
{
	for (OffsetNumber offset = FirstOffsetNumber; offset <= PageGetMaxOffsetNumber(page); offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleHeader tuple;

		if (!ItemIdIsNormal(item))
			return false;
		tuple = (HeapTupleHeader) PageGetItem(page, item);
		if (!HeapTupleHeaderXminFrozen(tuple) || !(tuple->t_infomask & HEAP_XMAX_INVALID))
			return false;
	}
	return true;
}

/*
 * Set the visibility map of the new TOAST table: VACUUM need not come, and
 * snapshots of standbys that do not see what is frozen here come into conflict.
 * Before anything else comes to its pages. False: somebody waits.
 */
static bool
mark_visible(Rewrite *rewrite, Relation toast)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(toast);
	Buffer		map = InvalidBuffer;

	for (BlockNumber block = 0; block < nblocks; block++)
	{
		Buffer		buffer;
		Page		page;

		if (block % GIVE_WAY_PAGES == GIVE_WAY_PAGES - 1 && give_way(rewrite))
		{
			nblocks = 0;
			break;
		}
		visibilitymap_pin(toast, block, &map);
		buffer = ReadBuffer(toast, block);
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		page = BufferGetPage(buffer);
		if (!PageIsAllVisible(page) && is_all_frozen(page))
		{
			START_CRIT_SECTION();
			PageSetAllVisible(page);
			MarkBufferDirty(buffer);
			END_CRIT_SECTION();
			visibilitymap_set(toast, block, buffer, InvalidXLogRecPtr, map, rewrite->newest,
							  VISIBILITYMAP_ALL_VISIBLE | VISIBILITYMAP_ALL_FROZEN);
		}
		UnlockReleaseBuffer(buffer);
	}
	if (BufferIsValid(map))
		ReleaseBuffer(map);
	return nblocks > 0;
}

/*
 * With wal_level = minimal files are synced when the transaction commits, with
 * ACCESS EXCLUSIVE held: most of it is done before.
 */
static void
sync_now(Relation rel)
{
	if (rel->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT || RelationNeedsWAL(rel))
		return;
	FlushRelationBuffers(rel);
	smgrimmedsync(RelationGetSmgr(rel), MAIN_FORKNUM);
}

static bool
write_new(Rewrite *rewrite, TransactionId freeze_xid, MultiXactId multi_cutoff)
{
	HoneStore  *store;
	bool		complete;

	rewrite->meta.heap_bytes = hone_total_size(RelationGetRelid(rewrite->rel));
	create_new(rewrite);
	store = hone_store_open(rewrite->new_rel, RowExclusiveLock);
	store->options = HEAP_INSERT_FROZEN;
	complete = write_batches(rewrite, store);
	if (complete)
	{
		hone_store_write_meta(store, GetActiveSnapshot(), &rewrite->meta);
		complete = mark_visible(rewrite, store->toast) &&
			copy_rest(rewrite, freeze_xid, multi_cutoff);
	}
	if (complete)
	{
		sync_now(store->toast);
		sync_now(store->index);
	}
	hone_store_close(store);
	table_close(rewrite->new_rel, NoLock);
	return complete;
}

/* ------------------------------------------------------------------------
 * Swapping
 * ------------------------------------------------------------------------
 */

/*
 * Readers are not kept waiting: each try is over within 50 ms. Nor are
 * writers, who wait for the lock that is held already.
 */
static bool
lock_to_swap(Rewrite *rewrite)
{
	Oid			toast = rewrite->rel->rd_rel->reltoastrelid;

	for (int attempt = 0; attempt < SWAP_ATTEMPTS && !give_way(rewrite); attempt++)
	{
		if (hone_try_lock(RelationGetRelid(rewrite->rel), AccessExclusiveLock,
						  rewrite->state->lock_timeout_ms))
			return !OidIsValid(toast) ||
				ConditionalLockRelationOid(toast, AccessExclusiveLock);
	}
	return false;
}

static void
throw_away(Oid new_relid)
{
	ObjectAddress object;

	ObjectAddressSet(object, RelationRelationId, new_relid);
	performDeletion(&object, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
}

/*
 * Nothing of the table has changed: whoever waits goes on now, not after the
 * files of the other one are gone from the disk.
 */
static void
unlock(Relation rel)
{
	if (CheckRelationLockedByMe(rel, AccessExclusiveLock, false))
		UnlockRelation(rel, AccessExclusiveLock);

	/* here, and by make_new_heap */
	for (int i = 0; i < 2 && CheckRelationLockedByMe(rel, ExclusiveLock, false); i++)
		UnlockRelation(rel, ExclusiveLock);
}

/*
 * With EXCLUSIVE held. Closes the table.
 */
static bool
rewrite_locked(Rewrite *rewrite)
{
	Relation	rel = rewrite->rel;
	char		persistence = rel->rd_rel->relpersistence;
	TransactionId freeze_xid;
	MultiXactId multi_cutoff = GetOldestMultiXactId();
	bool		done = false;

	/*
	 * VACUUM of the TOAST table alone could take values away that versions to
	 * be kept have; and is in the way in the end.
	 */
	if (OidIsValid(rel->rd_rel->reltoastrelid) &&
		!ConditionalLockRelationOid(rel->rd_rel->reltoastrelid, ShareUpdateExclusiveLock))
	{
		table_close(rel, NoLock);
		return false;
	}
	InvalidateCatalogSnapshot();
	rewrite->oldest = GetOldestNonRemovableTransactionId(rel);
	freeze_xid = rewrite->oldest;
	if (TransactionIdPrecedes(freeze_xid, rel->rd_rel->relfrozenxid))
		freeze_xid = rel->rd_rel->relfrozenxid;
	if (MultiXactIdPrecedes(multi_cutoff, rel->rd_rel->relminmxid))
		multi_cutoff = rel->rd_rel->relminmxid;

	/* for what the catalogs are written and indexes evaluate */
	PushActiveSnapshot(GetLatestSnapshot());
	if (visit_versions(rewrite, 0, RelationGetNumberOfBlocks(rel), count_version) &&
		rewrite->foldable > 0)
	{
		HoneFoldState *state = rewrite->state;

		state->only_before = rewrite->oldest;
		state->started = true;
		state->end_block = RelationGetNumberOfBlocks(rel);
		hone_progress_total(rewrite->foldable);
		if (write_new(rewrite, freeze_xid, multi_cutoff) && lock_to_swap(rewrite))
		{
			/* who read a row that moves is taken to have read the whole table */
			TransferPredicateLocksToHeapRelation(rel);
			done = true;
		}
	}
	if (!done)
		unlock(rel);
	table_close(rel, NoLock);
	if (done)
		finish_heap_swap(rewrite->state->relid, rewrite->new_relid, false, false, false, true,
						 freeze_xid, multi_cutoff, persistence);
	else if (OidIsValid(rewrite->new_relid))
		throw_away(rewrite->new_relid);
	PopActiveSnapshot();
	return done;
}

/* ------------------------------------------------------------------------
 * The steps
 * ------------------------------------------------------------------------
 */

/*
 * What is left, and what comes later, is for the slow way.
 */
static void
begin_anew(HoneFoldState *state)
{
	if (state->window != NULL)
		pfree(state->window);
	if (state->prepared != NULL)
		hone_prepared_free(state->prepared);
	state->window = NULL;
	state->prepared = NULL;
	state->window_rows = state->next_row = 0;
	state->next_block = 0;
	state->next_offset = 0;
	state->started = false;
	state->only_before = InvalidTransactionId;
}

/*
 * All rows as one window; false: their TIDs take too much memory.
 */
static bool
sort_all(HoneFoldState *state, Relation rel, Snapshot snapshot)
{
	int64		limit = hone_sort_limit();

	state->end_block = RelationGetNumberOfBlocks(rel);
	if (hone_estimate_plain_rows(rel, snapshot) > limit)
		return false;
	hone_progress_work((int64) state->end_block * BLCKSZ);
	while (state->next_block < state->end_block)
	{
		int64		n;
		ItemPointerData *tids = hone_sort_window(rel, snapshot, state->order,
												 &state->next_block, state->end_block,
												 CurrentMemoryContext, &n);
		Size		size = Max(state->window_rows + n, 1) * sizeof(ItemPointerData);

		if (state->window_rows + n > limit)
			return false;
		state->window = state->window == NULL ?
			MemoryContextAllocHuge(state->context, size) :
			repalloc_huge(state->window, size);
		memcpy(&state->window[state->window_rows], tids, n * sizeof(ItemPointerData));
		state->window_rows += n;
		pfree(tids);
	}
	return true;
}

/*
 * It cannot pause while it is written anew: sleeping under the lock would let
 * writers wait, whoever came would undo the work of all the pauses, and the
 * snapshot kept meanwhile would keep VACUUM from its work everywhere. So a run
 * that is to go slowly takes the fast way with small tables only, and pauses
 * behind it.
 */
static bool
suits_pace(const HoneFoldState *state, Relation rel)
{
	int64		bytes = (int64) RelationGetNumberOfBlocks(rel) * BLCKSZ;

	if (state->pace == NULL || state->pace->burst == 0)
		return true;
	if (OidIsValid(rel->rd_rel->reltoastrelid))
	{
		Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);

		bytes += (int64) RelationGetNumberOfBlocks(toast) * BLCKSZ;
		table_close(toast, AccessShareLock);
	}
	return bytes <= state->pace->burst;
}

HoneStepResult
hone_rewrite_sort_step(HoneFoldState *state)
{
	Relation	rel = hone_reopen(state->relid, AccessShareLock);
	bool		suits = !hone_somebody_is_there(state->relid) && !hone_holds_meta(rel) &&
	suits_pace(state, rel);
	HoneRole	saved;

	if (suits && state->order != NULL)
	{
		hone_progress_phase(HONE_PHASE_SORTING);
		hone_become_owner(state->relid, &saved);
		PushActiveSnapshot(GetLatestSnapshot());
		suits = sort_all(state, rel, GetActiveSnapshot());
		PopActiveSnapshot();
		hone_restore_role(&saved);
	}
	table_close(rel, NoLock);
	if (suits)
		return HONE_STEP_MORE;
	begin_anew(state);
	return HONE_STEP_LAST;
}

HoneStepResult
hone_rewrite_step(HoneFoldState *state)
{
	Rewrite		rewrite = {.state = state};
	bool		done = false;
	HoneRole	saved;

	hone_progress_phase(HONE_PHASE_REWRITING);
	if (hone_try_lock(state->relid, ExclusiveLock, state->lock_timeout_ms) &&
		!hone_somebody_is_there(state->relid))
	{
		rewrite.rel = hone_reopen(state->relid, NoLock);
		hone_tiered_check_compressible(rewrite.rel);
		CheckTableNotInUse(rewrite.rel, "CALL hone.compress");
		hone_become_owner(state->relid, &saved);
		if (hone_holds_meta(rewrite.rel) || !indexes_are_valid(rewrite.rel))
			table_close(rewrite.rel, NoLock);
		else
			done = rewrite_locked(&rewrite);
		hone_restore_role(&saved);
	}
	begin_anew(state);
	if (!done)
	{
		hone_progress_nothing_done();
		return HONE_STEP_LAST;
	}
	state->rows += rewrite.rows;
	state->batches += rewrite.meta.batches;
	return HONE_STEP_MORE;
}
