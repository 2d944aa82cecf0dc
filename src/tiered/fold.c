/*-------------------------------------------------------------------------
 *
 * fold.c
 *	  Compressing plain rows, one batch a transaction.
 *
 * Reading, sorting and encoding happen under ACCESS SHARE. Then EXCLUSIVE is
 * taken without queueing: readers go on, and no writer or row locker is in
 * flight, so no unique check, foreign key check or update can race with the
 * fold. Where the lock does not come, what is prepared is kept for the next
 * try, but neither lock nor snapshot. Where rows were changed meanwhile, the
 * others are prepared anew.
 *
 * A crash at any point leaves the transaction undone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/owner.h"
#include "tiered/am.h"
#include "tiered/fold.h"
#include "tiered/progress.h"
#include "tiered/run.h"
#include "tiered/tiered.h"

/*
 * After so many times in a row that rows were changed meanwhile, a step takes
 * fewer rows; after so many, it leaves them to the next run.
 */
#define CHANGED_SMALLER		3
#define CHANGED_LIMIT		8
#define FEWEST_ROWS			100

/*
 * Values stored out of line must be deleted too, chunk by chunk: a step ends
 * when rows and chunks are more than its rows times this.
 */
#define CHUNKS_FACTOR		1.5

/*
 * A rewrite encodes with its lock held, and looks for waiters in between: so
 * many bytes of rows and pages of the main fork at most. A batch of this size
 * is none that recompressing would put together with others.
 */
#define REWRITE_RAW_BYTES	(HONE_BATCH_RAW_BYTES / 2)
#define REWRITE_PAGES		4096

Relation
hone_fold_open(HoneFoldState *state)
{
	Relation	rel = hone_reopen(state->relid, AccessShareLock);

	if (!hone_holds_meta(rel))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("table \"%s\" was decompressed, truncated or rewritten meanwhile",
						RelationGetRelationName(rel)),
				 errhint("CALL hone.compress() again if it is still wanted.")));
	hone_tiered_check_compressible(rel);
	if (state->prepared != NULL && !hone_prepared_fits(state->prepared, rel))
	{
		hone_prepared_free(state->prepared);
		state->prepared = NULL;
	}
	return rel;
}

/*
 * The table, and its TOAST table too: its lock must not be waited for while
 * others wait for us.
 */
static bool
lock_to_write(HoneFoldState *state, Relation rel)
{
	if (!hone_try_lock(state->relid, ExclusiveLock, state->lock_timeout_ms))
		return false;
	state->locked = true;
	INSTR_TIME_SET_CURRENT(state->locked_at);
	return ConditionalLockRelationOid(rel->rd_rel->reltoastrelid, RowExclusiveLock);
}

HoneStepResult
hone_fold_write(HoneFoldState *state, Relation rel)
{
	HonePrepared *prepared = state->prepared;
	HoneStepResult result = HONE_STEP_CHANGED;
	HoneRole	saved;

	hone_progress_phase(HONE_PHASE_WAITING);
	if (!lock_to_write(state, rel))
		return HONE_STEP_LOCKED;
	hone_progress_phase(prepared->nreplaced > 0 ? HONE_PHASE_RECOMPRESSING : HONE_PHASE_FOLDING);
	hone_become_owner(RelationGetRelid(rel), &saved);
	if (hone_prepared_still_true(prepared, rel))
	{
		hone_prepared_write(prepared, rel);
		hone_progress_done(prepared->nrows, prepared->entry.nrows > 0 ? 1 : 0,
						   prepared->entry.stored_bytes);
		hone_progress_work(prepared->entry.stored_bytes);
		state->rows += prepared->nrows;
		state->rewritten += prepared->nreplaced;
		if (prepared->entry.nrows > 0)
			state->batches++;
		result = HONE_STEP_MORE;
	}
	hone_restore_role(&saved);
	state->changed = result == HONE_STEP_CHANGED ? state->changed + 1 : 0;
	hone_prepared_free(prepared);
	state->prepared = NULL;
	return result;
}

/* ------------------------------------------------------------------------
 * Rows for the next batch
 * ------------------------------------------------------------------------
 */

/* What a step is collecting. */
typedef struct Collection
{
	HoneBatchBuilder *builder;
	HonePlainRow *rows;
	int		   *ranks;			/* of rows of a sorted window, in it; or NULL */
	int			nranks;
	int			limit;			/* rows */
	int64		raw_limit;		/* bytes */
	int64		chunks;			/* of their values stored out of line */
} Collection;

static bool
is_rewrite(const HoneFoldState *state)
{
	return TransactionIdIsValid(state->only_before);
}

/*
 * A table that is rewritten (rewrite.c) takes no row that some snapshot does
 * not see, and leaves those it took where they were.
 */
static bool
is_left_out(const HoneFoldState *state, TupleTableSlot *slot)
{
	HeapTuple	tuple;

	if (!is_rewrite(state))
		return false;
	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
	return !TransactionIdPrecedes(HeapTupleHeaderGetXmin(tuple->t_data), state->only_before);
}

static int64
count_chunks(Relation rel, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int64		chunks = 0;

	slot_getallattrs(slot);
	for (int i = 0; i < desc->natts; i++)
	{
		struct varlena *value;
		struct varatt_external pointer;

		if (slot->tts_isnull[i] || TupleDescAttr(desc, i)->attlen != -1)
			continue;
		value = (struct varlena *) DatumGetPointer(slot->tts_values[i]);
		if (!VARATT_IS_EXTERNAL_ONDISK(value))
			continue;
		VARATT_EXTERNAL_GET_POINTER(pointer, value);
		chunks += VARATT_EXTERNAL_GET_EXTSIZE(pointer) / TOAST_MAX_CHUNK_SIZE + 1;
	}
	return chunks;
}

static bool
is_full(const Collection *collection)
{
	return hone_builder_full(collection->builder) ||
		collection->builder->nrows >= collection->limit ||
		collection->builder->raw_bytes >= collection->raw_limit ||
		collection->builder->nrows + collection->chunks >= collection->limit * CHUNKS_FACTOR;
}

static void
add_row(Collection *collection, TupleTableSlot *slot)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, NULL);
	HonePlainRow *row = &collection->rows[collection->builder->nrows];

	row->tid = slot->tts_tid;
	row->xmin = HeapTupleHeaderGetRawXmin(tuple->t_data);
	collection->chunks += count_chunks(collection->builder->rel, slot);
	hone_builder_add(collection->builder, slot);
}

/*
 * The next rows of the main fork as they lie there. Sets *next to the first
 * one that is not taken, or behind the last block.
 */
static void
collect_as_they_lie(HoneFoldState *state, Relation rel, Snapshot snapshot,
					Collection *collection, ItemPointer next)
{
	TableScanDesc scan = heap_beginscan(rel, snapshot, 0, NULL, NULL,
										SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	BlockNumber end = is_rewrite(state) ?
	Min(state->end_block, state->next_block + REWRITE_PAGES) : state->end_block;

	heap_setscanlimits(scan, state->next_block, end - state->next_block);
	ItemPointerSet(next, end, 0);
	while (heap_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (ItemPointerGetBlockNumber(&slot->tts_tid) == state->next_block &&
			ItemPointerGetOffsetNumber(&slot->tts_tid) < state->next_offset)
			continue;
		if (is_full(collection))
		{
			*next = slot->tts_tid;
			break;
		}
		if (!is_left_out(state, slot))
			add_row(collection, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	heap_endscan(scan);
}

/* A row of the sorted window that is to be read. */
typedef struct WantedRow
{
	int64		place;			/* itemptr_encode */
	int			rank;
} WantedRow;

#define ST_SORT sort_wanted
#define ST_ELEMENT_TYPE WantedRow
#define ST_COMPARE(a, b) ((a)->place < (b)->place ? -1 : (a)->place > (b)->place)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * The next n rows of the sorted window, read in the order of their TIDs.
 * Those that are not there any more are left out. False: they are too much
 * for one step.
 */
static bool
collect_from_window(HoneFoldState *state, Relation rel, Snapshot snapshot,
					Collection *collection, int n)
{
	ItemPointerData *tids = &state->window[state->next_row];
	WantedRow  *wanted = palloc(n * sizeof(WantedRow));
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	bool		fits = true;

	collection->ranks = palloc(n * sizeof(int));
	collection->nranks = n;
	for (int i = 0; i < n; i++)
	{
		wanted[i].place = itemptr_encode(&tids[i]);
		wanted[i].rank = i;
	}
	sort_wanted(wanted, n);
	for (int i = 0; i < n && fits; i++)
	{
		ItemPointerData tid = tids[wanted[i].rank];

		CHECK_FOR_INTERRUPTS();
		if (ItemPointerGetBlockNumber(&tid) >= nblocks ||
			!GetHeapamTableAmRoutine()->tuple_fetch_row_version(rel, &tid, snapshot, slot))
			continue;
		fits = collection->builder->nrows == 0 || !is_full(collection);
		if (fits && !is_left_out(state, slot))
		{
			collection->ranks[collection->builder->nrows] = wanted[i].rank;
			add_row(collection, slot);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	pfree(wanted);
	return fits;
}

static void
encode(HoneFoldState *state, Relation rel, Collection *collection)
{
	HoneBatchBuilder *builder = collection->builder;
	HonePrepared *prepared = hone_prepared_create(state->context, rel);

	if (collection->ranks != NULL)
		hone_rank_builder(builder, collection->ranks, collection->nranks);
	hone_prepared_encode(prepared, builder, state->level);
	hone_progress_work(prepared->entry.raw_bytes);
	prepared->nrows = builder->nrows;
	prepared->rows = MemoryContextAlloc(prepared->context, builder->nrows * sizeof(HonePlainRow));
	memcpy(prepared->rows, collection->rows, builder->nrows * sizeof(HonePlainRow));
	state->prepared = prepared;
}

static void
begin_collection(const HoneFoldState *state, Collection *collection,
				 Relation rel, int limit)
{
	collection->builder = hone_builder_create(rel);
	collection->rows = palloc(limit * sizeof(HonePlainRow));
	collection->ranks = NULL;
	collection->limit = limit;
	collection->raw_limit = is_rewrite(state) ?
		REWRITE_RAW_BYTES : HONE_BATCH_RAW_BYTES;
	collection->chunks = 0;
}

/*
 * Fewer rows where they change all the time.
 */
static int
rows_of_step(const HoneFoldState *state)
{
	return state->changed < CHANGED_SMALLER ? state->step_rows :
		Max(FEWEST_ROWS, state->step_rows >> (state->changed - CHANGED_SMALLER + 1));
}

static HoneStepResult
prepare_as_they_lie(HoneFoldState *state, Relation rel, Snapshot snapshot)
{
	Collection	collection;

	if (state->next_block >= state->end_block)
		return HONE_STEP_LAST;
	begin_collection(state, &collection, rel, rows_of_step(state));
	collect_as_they_lie(state, rel, snapshot, &collection, &state->prepared_to);
	if (state->changed >= CHANGED_LIMIT)
	{
		state->next_block = Max(ItemPointerGetBlockNumberNoCheck(&state->prepared_to), state->next_block + 1);
		state->changed = 0;
	}
	else if (collection.builder->nrows == 0)
	{
		state->next_block = ItemPointerGetBlockNumberNoCheck(&state->prepared_to);
		state->next_offset = 0;
	}
	else
		encode(state, rel, &collection);
	hone_builder_free(collection.builder);
	return HONE_STEP_MORE;
}

static HoneStepResult
prepare_sorted(HoneFoldState *state, Relation rel, Snapshot snapshot)
{
	int			n = Min(rows_of_step(state), state->window_rows - state->next_row);
	Collection	collection;

	if (n <= 0)
	{
		BlockNumber from = state->next_block;

		if (state->window != NULL)
			pfree(state->window);
		state->window = NULL;
		state->next_row = state->window_rows = 0;
		if (state->next_block >= state->end_block)
			return HONE_STEP_LAST;
		hone_progress_phase(HONE_PHASE_SORTING);
		state->window = hone_sort_window(rel, snapshot, state->order, &state->next_block,
										 state->end_block, state->context,
										 &state->window_rows);
		hone_progress_work((int64) (state->next_block - from) * BLCKSZ);
		return HONE_STEP_MORE;
	}
	for (;; n = Max(n / 2, 1))
	{
		begin_collection(state, &collection, rel, Max(n, rows_of_step(state)));
		if (collect_from_window(state, rel, snapshot, &collection, n))
			break;
		hone_builder_free(collection.builder);
	}
	if (state->changed >= CHANGED_LIMIT)
		state->changed = 0;
	else if (collection.builder->nrows > 0)
		encode(state, rel, &collection);
	hone_builder_free(collection.builder);
	state->prepared_rows = n;
	if (state->prepared == NULL)
		state->next_row += n;
	return HONE_STEP_MORE;
}

HoneStepResult
hone_fold_prepare(HoneFoldState *state, Relation rel)
{
	HoneStepResult result;
	HoneRole	saved;

	hone_progress_phase(is_rewrite(state) ?
						HONE_PHASE_REWRITING : HONE_PHASE_ENCODING);
	hone_become_owner(RelationGetRelid(rel), &saved);
	PushActiveSnapshot(GetLatestSnapshot());
	if (!state->started)
	{
		state->started = true;
		state->end_block = RelationGetNumberOfBlocks(rel);
		hone_progress_total(hone_estimate_plain_rows(rel, GetActiveSnapshot()));
	}
	/* VACUUM may have truncated it meanwhile, but not while we have it open */
	state->end_block = Min(state->end_block, RelationGetNumberOfBlocks(rel));
	result = state->order == NULL ?
		prepare_as_they_lie(state, rel, GetActiveSnapshot()) :
		prepare_sorted(state, rel, GetActiveSnapshot());
	PopActiveSnapshot();
	hone_restore_role(&saved);
	return result;
}

HoneStepResult
hone_fold_step(HoneFoldState *state)
{
	HoneStepResult result = HONE_STEP_MORE;
	Relation	rel = hone_fold_open(state);

	if (state->prepared == NULL)
		result = hone_fold_prepare(state, rel);
	if (state->prepared != NULL)
	{
		/* that block may hold more rows; what is folded is gone from it */
		BlockNumber last = ItemPointerGetBlockNumber(&state->prepared->rows[state->prepared->nrows - 1].tid);

		result = hone_fold_write(state, rel);
		if (result == HONE_STEP_MORE && state->order == NULL)
			state->next_block = last;
		else if (result == HONE_STEP_MORE)
			state->next_row += state->prepared_rows;
	}
	table_close(rel, NoLock);
	return result;
}
