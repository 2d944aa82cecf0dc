/*-------------------------------------------------------------------------
 *
 * recompress.c
 *	  Compressing batches again: without their dead rows, small ones in one.
 *
 * Which batches go together is planned once a run, from their sizes and
 * tombstones. Each group is then a step like that of plain rows: the rows that
 * are alive are read and encoded without locks; with EXCLUSIVE held the
 * batches are replaced by one if their tombstones are still the same.
 *
 * What becomes cold is written anew, batch by batch; what is cold already stays
 * cold.
 *
 * A batch that is half full stays as it is until it has dead rows, so that
 * rows which come late again and again are not written anew each time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/owner.h"
#include "tiered/am.h"
#include "tiered/fold.h"
#include "tiered/progress.h"
#include "tiered/tombstone.h"

/* Batches of one group at most. */
#define GROUP_BATCHES	64

/* Rows of the TOAST table that a step deletes and inserts, at most. */
#define GROUP_WORK		15000

/* After so many changes in a row a group is left to the next run. */
#define CHANGED_LIMIT	8

typedef struct Candidate
{
	HoneBatchEntry entry;
	int			ndead;
} Candidate;

static bool
is_small(const HoneBatchEntry *entry)
{
	return entry->nrows < HONE_BATCH_ROWS / 2 &&
		entry->raw_bytes < HONE_BATCH_RAW_BYTES / 2;
}

/* Of a table that becomes cold: as it was in the warm tier. */
static bool
is_too_warm(const HoneFoldState *state, const HoneBatchEntry *entry)
{
	return state->level >= HONE_LEVEL_COLD && entry->level < HONE_LEVEL_COLD;
}

static bool
is_candidate(const HoneFoldState *state, const Candidate *candidate)
{
	return candidate->ndead > 0 || is_small(&candidate->entry) ||
		is_too_warm(state, &candidate->entry);
}

/*
 * Batches lie next to each other by their order key, if all have the same
 * one, else by age.
 */
static int
compare_candidates(const void *a, const void *b, void *arg)
{
	const Candidate *left = a;
	const Candidate *right = b;
	bool		by_key = *(bool *) arg;

	if (by_key && left->entry.key_min != right->entry.key_min)
		return left->entry.key_min < right->entry.key_min ? -1 : 1;
	return left->entry.batch < right->entry.batch ? -1 : left->entry.batch > right->entry.batch;
}

static Candidate *
read_candidates(Relation rel, Snapshot snapshot, int *n)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	HoneBatchEntry *entries = hone_store_read_directory(store, snapshot, n);
	Candidate  *candidates = MemoryContextAllocHuge(CurrentMemoryContext,
													Max(*n, 1) * sizeof(Candidate));
	uint8	   *dead = palloc(HONE_DEAD_BYTES);
	bool		by_key = true;

	for (int i = 0; i < *n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		candidates[i].entry = entries[i];
		candidates[i].ndead = hone_tombstones_read(store, snapshot, entries[i].batch, 0, HONE_MAX_BATCH_ROWS, dead);
		if (entries[i].key_attnum != entries[0].key_attnum ||
			entries[i].key_type != entries[0].key_type)
			by_key = false;
	}
	qsort_arg(candidates, *n, sizeof(Candidate), compare_candidates, &by_key);
	pfree(dead);
	pfree(entries);
	hone_store_close(store);
	return candidates;
}

/* A group that is being put together. */
typedef struct BatchGroup
{
	List	   *batches;
	int			rows;			/* that are alive */
	int			ndead;
	bool		too_warm;
	int64		raw_bytes;
	int64		work;
} BatchGroup;

static void
end_group(HoneFoldState *state, BatchGroup *group)
{
	if (list_length(group->batches) > 1 || group->ndead > 0 || group->too_warm)
	{
		MemoryContext old = MemoryContextSwitchTo(state->context);

		state->groups = lappend(state->groups, list_copy(group->batches));
		MemoryContextSwitchTo(old);
	}
	memset(group, 0, sizeof(*group));
}

static void
add_to_group(HoneFoldState *state, BatchGroup *group, const Candidate *candidate)
{
	int			rows = candidate->entry.nrows - candidate->ndead;
	int64		raw_bytes = candidate->entry.raw_bytes * rows / candidate->entry.nrows;
	int64		work = candidate->ndead + 2 * candidate->entry.stored_bytes / HONE_CHUNK_BYTES;

	if (group->rows + rows > HONE_BATCH_ROWS ||
		group->raw_bytes + raw_bytes > HONE_BATCH_RAW_BYTES ||
		group->work + work > GROUP_WORK ||
		list_length(group->batches) == GROUP_BATCHES)
		end_group(state, group);
	group->batches = lappend_int(group->batches, candidate->entry.batch);
	group->rows += rows;
	group->ndead += candidate->ndead;
	group->too_warm |= is_too_warm(state, &candidate->entry);
	group->raw_bytes += raw_bytes;
	group->work += work;
}

HoneStepResult
hone_recompress_plan_step(HoneFoldState *state)
{
	Relation	rel = hone_fold_open(state);
	BatchGroup	group = {0};
	Candidate  *candidates;
	int			n;

	PushActiveSnapshot(GetLatestSnapshot());
	candidates = read_candidates(rel, GetActiveSnapshot(), &n);
	for (int i = 0; i < n; i++)
	{
		if (is_candidate(state, &candidates[i]))
			add_to_group(state, &group, &candidates[i]);
		else
			end_group(state, &group);
	}
	end_group(state, &group);
	PopActiveSnapshot();
	table_close(rel, NoLock);
	return HONE_STEP_LAST;
}

/* ------------------------------------------------------------------------
 * One group
 * ------------------------------------------------------------------------
 */

/*
 * Move the cursor to a batch and note what of it is dead. False when it is
 * not there any more.
 */
static bool
note_replaced(HonePrepared *prepared, HoneCursor *cursor, int32 batch)
{
	HoneReplacedBatch *replaced = &prepared->replaced[prepared->nreplaced];
	ItemPointerData tid;

	hone_tid_set(&tid, batch, 0);
	if (!hone_cursor_seek(cursor, &tid))
		return false;
	replaced->entry = cursor->directory[cursor->batch];
	replaced->dead = MemoryContextAllocZero(prepared->context, HONE_DEAD_BYTES);
	replaced->ndead = cursor->ndead;
	if (cursor->ndead > 0)
		memcpy(replaced->dead, cursor->dead, HONE_DEAD_BYTES);
	prepared->nreplaced++;
	return true;
}

static void
collect_alive(HoneCursor *cursor, const HoneReplacedBatch *replaced,
			  HoneBatchBuilder *builder, TupleTableSlot *slot)
{
	for (int row = 0; row < replaced->entry.nrows; row++)
	{
		ItemPointerData tid;

		if (HONE_IS_DEAD(replaced->dead, row))
			continue;
		CHECK_FOR_INTERRUPTS();
		hone_tid_set(&tid, replaced->entry.batch, row);
		if (!hone_cursor_seek(cursor, &tid))
			elog(ERROR, "row %d of batch %d is missing", row, replaced->entry.batch);
		hone_cursor_store_virtual(cursor, slot);
		slot->tts_tid = tid;
		hone_builder_add(builder, slot);
	}
}

static HonePrepared *
prepare_group(HoneFoldState *state, Relation rel, List *batches)
{
	HonePrepared *prepared = hone_prepared_create(state->context, rel);
	HoneCursor *cursor = hone_cursor_open(rel, GetActiveSnapshot(), NULL, NULL);
	HoneBatchBuilder *builder = hone_builder_create(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	int			ndead = 0;
	bool		too_warm = false;
	int			level = state->level;	/* what is cold stays so */
	ListCell   *lc;

	memset(slot->tts_isnull, true, RelationGetDescr(rel)->natts * sizeof(bool));
	prepared->replaced = MemoryContextAlloc(prepared->context,
											list_length(batches) * sizeof(HoneReplacedBatch));
	foreach(lc, batches)
	{
		HoneReplacedBatch *replaced = &prepared->replaced[prepared->nreplaced];

		if (!note_replaced(prepared, cursor, lfirst_int(lc)))
			continue;
		ndead += replaced->ndead;
		too_warm |= is_too_warm(state, &replaced->entry);
		level = Max(level, replaced->entry.level);
		collect_alive(cursor, replaced, builder, slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	hone_cursor_close(cursor);

	/* nothing to gain any more */
	if (prepared->nreplaced == 0 ||
		(prepared->nreplaced == 1 && ndead == 0 && !too_warm && !state->compacting))
	{
		hone_prepared_free(prepared);
		prepared = NULL;
	}
	else if (builder->nrows > 0)
	{
		if (state->order != NULL && prepared->nreplaced > 1)
			hone_sort_builder(builder, state->order);
		hone_prepared_encode(prepared, builder, level);
		hone_progress_work(prepared->entry.raw_bytes);
	}
	if (prepared != NULL)
	{
		prepared->pages = state->free_pages;
		prepared->npages = (int) Min(state->nfree, PG_INT32_MAX);
	}
	hone_builder_free(builder);
	return prepared;
}

HoneStepResult
hone_recompress_step(HoneFoldState *state)
{
	HoneStepResult result = HONE_STEP_MORE;
	int64		pages = 0;		/* that this batch takes */
	Relation	rel;

	if (state->groups == NIL)
		return HONE_STEP_LAST;
	rel = hone_fold_open(state);
	if (state->prepared == NULL && state->changed < CHANGED_LIMIT)
	{
		HoneRole	saved;

		hone_progress_phase(HONE_PHASE_RECOMPRESSING);
		hone_become_owner(RelationGetRelid(rel), &saved);
		PushActiveSnapshot(GetLatestSnapshot());
		state->prepared = prepare_group(state, rel, linitial(state->groups));
		PopActiveSnapshot();
		hone_restore_role(&saved);
	}
	if (state->prepared != NULL)
	{
		pages = Min(state->nfree, state->prepared->entry.stored_bytes / HONE_CHUNK_BYTES + 1);
		result = hone_fold_write(state, rel);
	}
	else
		state->changed = 0;
	if (result == HONE_STEP_MORE && pages > 0)
	{
		state->free_pages += pages;
		state->nfree -= pages;
	}
	if (result == HONE_STEP_MORE)
		state->groups = list_delete_first(state->groups);
	table_close(rel, NoLock);
	return result;
}
