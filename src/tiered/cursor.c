/*-------------------------------------------------------------------------
 *
 * cursor.c
 *	  Walk the compressed rows that a snapshot sees.
 *
 * The directory is read once per cursor; batches are opened one at a time,
 * columns on first use, vectors of 1,024 rows decoded as they are reached.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/cursor.h"
#include "tiered/detail.h"

void
hone_serializable_read(HoneStore *store, Snapshot snapshot)
{
	if (!IsolationIsSerializable() || !IsMVCCSnapshot(snapshot))
		return;
	PredicateLockRelation(store->rel, snapshot);
	hone_tombstones_visit(store, snapshot);
}

HoneCursor *
hone_cursor_open(Relation rel, Snapshot snapshot, TupleDesc desc,
				 const Bitmapset *attributes)
{
	MemoryContext context;
	MemoryContext old;
	HoneCursor *cursor;
	int			natts;

	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		return NULL;

	context = AllocSetContextCreate(CurrentMemoryContext, "hone cursor",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	cursor = palloc0(sizeof(HoneCursor));
	cursor->context = context;
	cursor->store = hone_store_open(rel, AccessShareLock);
	if (desc != NULL)
		cursor->store->desc = desc;
	natts = cursor->store->desc->natts;
	if (snapshot->snapshot_type == SNAPSHOT_DIRTY)
		cursor->dirty = snapshot;
	cursor->snapshot = IsMVCCSnapshot(snapshot) ? snapshot : SnapshotSelf;
	cursor->dead = palloc(HONE_DEAD_BYTES);
	cursor->values = palloc0(natts * sizeof(Datum *));
	cursor->isnull = palloc0(natts * sizeof(bool *));
	cursor->wanted = palloc(Max(natts, 1) * sizeof(int));
	for (int i = 0; i < natts; i++)
	{
		if (attributes != NULL && !bms_is_member(i, attributes))
			continue;
		cursor->wanted[cursor->nwanted++] = i;
		cursor->values[i] = palloc(HONE_VECTOR_ROWS * sizeof(Datum));
		cursor->isnull[i] = palloc(HONE_VECTOR_ROWS * sizeof(bool));
	}
	cursor->directory = hone_store_read_directory(cursor->store, snapshot,
												  &cursor->nbatches);
	cursor->batch = -1;
	cursor->vector = -1;
	cursor->reader_batch = -1;
	hone_serializable_read(cursor->store, cursor->snapshot);
	MemoryContextSwitchTo(old);
	return cursor;
}

static void
close_reader(HoneCursor *cursor)
{
	if (cursor->reader != NULL)
		hone_reader_close(cursor->reader);
	cursor->reader = NULL;
	cursor->vector = -1;
}

/*
 * Learn which rows of the current batch, in vectors that may match, are dead.
 */
static void
read_tombstones(HoneCursor *cursor)
{
	SnapshotData dirty;
	int			first = pg_rightmost_one_pos32(cursor->vectors) * HONE_VECTOR_ROWS;
	int			end = (pg_leftmost_one_pos32(cursor->vectors) + 1) * HONE_VECTOR_ROWS;

	/* who looks through SnapshotDirty wants to know of those in progress */
	InitDirtySnapshot(dirty);
	cursor->ndead = hone_tombstones_read(cursor->store,
										 cursor->dirty ? &dirty : cursor->snapshot,
										 cursor->directory[cursor->batch].batch,
										 first, Min(end - 1, HONE_MAX_BATCH_ROWS),
										 cursor->dead);
}

static bool
outside_tid_range(const HoneCursor *cursor, int32 batch, int first_row, int last_row)
{
	ItemPointerData first;
	ItemPointerData last;

	if (!cursor->has_tid_range)
		return false;
	hone_tid_set(&first, batch, first_row);
	hone_tid_set(&last, batch, last_row);
	return ItemPointerCompare(&last, unconstify(ItemPointerData *, &cursor->first_tid)) < 0 ||
		ItemPointerCompare(&first, unconstify(ItemPointerData *, &cursor->last_tid)) > 0;
}

/*
 * Whether the current row is to be passed over.
 */
static bool
pass_over(HoneCursor *cursor)
{
	HoneTombstone tombstone;

	if (outside_tid_range(cursor, cursor->directory[cursor->batch].batch,
						  cursor->row, cursor->row))
		return true;
	if (cursor->dirty != NULL)
		cursor->dirty->xmin = cursor->dirty->xmax = InvalidTransactionId;
	if (!hone_cursor_is_dead(cursor))
		return false;
	if (cursor->dirty == NULL)
		return true;
	switch (hone_tombstone_state(cursor->store, cursor->directory[cursor->batch].batch,
								 cursor->row, &tombstone))
	{
		case HONE_ROW_ALIVE:
			return false;
		case HONE_ROW_CHANGING:
			cursor->dirty->xmax = tombstone.xid;
			return false;
		default:
			return true;
	}
}

void
hone_cursor_rewind(HoneCursor *cursor, const HoneCondition *conditions,
				   int nconditions)
{
	cursor->ndead = 0;
	cursor->batch = -1;
	cursor->row = 0;
	cursor->conditions = conditions;
	cursor->nconditions = nconditions;
}

void
hone_cursor_to_end(HoneCursor *cursor)
{
	cursor->ndead = 0;
	cursor->batch = cursor->nbatches;
}

void
hone_cursor_set_tid_range(HoneCursor *cursor, const ItemPointerData *first,
						  const ItemPointerData *last)
{
	hone_cursor_rewind(cursor, cursor->conditions, cursor->nconditions);
	cursor->has_tid_range = true;
	cursor->first_tid = *first;
	cursor->last_tid = *last;
}

/*
 * Which vectors of the batch may hold rows to stop at.
 */
static uint32
match_vectors(const HoneCursor *cursor, const HoneBatchEntry *entry)
{
	if (outside_tid_range(cursor, entry->batch, 0, entry->nrows - 1))
		return 0;
	return hone_detail_match(cursor->store, cursor->snapshot, entry,
							 cursor->conditions, cursor->nconditions);
}

/*
 * Decode the vector of the current row, if it is not the one at hand. The last
 * batch stays open over rewinds: lookups in a loop often go to it again.
 */
static void
load_vector(HoneCursor *cursor)
{
	int			vector = cursor->row / HONE_VECTOR_ROWS;
	MemoryContext old;

	if (cursor->reader_batch != cursor->batch)
	{
		close_reader(cursor);
		cursor->reader_batch = cursor->batch;
	}
	if (vector == cursor->vector)
		return;

	old = MemoryContextSwitchTo(cursor->context);
	cursor->vector = -1;
	if (cursor->reader == NULL && cursor->nwanted > 0)
		cursor->reader = hone_reader_open(cursor->store, cursor->snapshot,
										  &cursor->directory[cursor->batch]);
	for (int i = 0; i < cursor->nwanted; i++)
	{
		int			attribute = cursor->wanted[i];

		hone_reader_vector(cursor->reader, attribute, vector,
						   cursor->values[attribute], cursor->isnull[attribute]);
	}
	cursor->vector = vector;
	MemoryContextSwitchTo(old);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Step on in the current batch, to a row that is not passed over.
 */
static bool
next_in_batch(HoneCursor *cursor, int step)
{
	int			nrows = cursor->directory[cursor->batch].nrows;

	for (cursor->row += step; cursor->row >= 0 && cursor->row < nrows; cursor->row += step)
	{
		int			vector = cursor->row / HONE_VECTOR_ROWS;

		if ((cursor->vectors & ((uint32) 1 << vector)) == 0)
		{
			/* to its last row in this direction */
			cursor->row = vector * HONE_VECTOR_ROWS + (step > 0 ? HONE_VECTOR_ROWS - 1 : 0);
			continue;
		}
		if (pass_over(cursor))
			continue;
		load_vector(cursor);
		return true;
	}
	return false;
}

bool
hone_cursor_next(HoneCursor *cursor, bool forward)
{
	int			step = forward ? 1 : -1;

	if (cursor->batch >= 0 && cursor->batch < cursor->nbatches &&
		next_in_batch(cursor, step))
		return true;

	cursor->ndead = 0;
	for (cursor->batch += step;
		 cursor->batch >= 0 && cursor->batch < cursor->nbatches;
		 cursor->batch += step)
	{
		HoneBatchEntry *entry = &cursor->directory[cursor->batch];

		CHECK_FOR_INTERRUPTS();
		cursor->vectors = match_vectors(cursor, entry);
		if (cursor->vectors == 0)
		{
			cursor->batches_skipped++;
			continue;
		}
		cursor->batches_read++;
		read_tombstones(cursor);
		cursor->row = forward ? -1 : entry->nrows;
		if (next_in_batch(cursor, step))
			return true;
		cursor->ndead = 0;
	}
	cursor->batch = forward ? cursor->nbatches : -1;
	return false;
}

bool
hone_cursor_seek(HoneCursor *cursor, ItemPointer tid)
{
	int32		id = hone_tid_batch(tid);
	int			row = hone_tid_row(tid);
	int			low = 0;
	int			high = cursor->nbatches - 1;

	while (low <= high)
	{
		int			middle = low + (high - low) / 2;
		HoneBatchEntry *entry = &cursor->directory[middle];

		if (entry->batch < id)
			low = middle + 1;
		else if (entry->batch > id)
			high = middle - 1;
		else
		{
			if (row < 0 || row >= entry->nrows)
				return false;
			if (middle != cursor->batch)
			{
				cursor->ndead = 0;
				cursor->batch = middle;
				cursor->vectors = HONE_ALL_VECTORS;
				read_tombstones(cursor);
			}
			cursor->row = row;
			load_vector(cursor);
			return true;
		}
	}
	return false;
}

bool
hone_cursor_seek_number(HoneCursor *cursor, int64 number)
{
	for (int i = 0; i < cursor->nbatches; i++)
	{
		HoneBatchEntry *entry = &cursor->directory[i];

		if (number < entry->nrows)
		{
			ItemPointerData tid;

			hone_tid_set(&tid, entry->batch, (int) number);
			return hone_cursor_seek(cursor, &tid);
		}
		number -= entry->nrows;
	}
	return false;
}

void
hone_cursor_tid(HoneCursor *cursor, ItemPointer tid)
{
	hone_tid_set(tid, cursor->directory[cursor->batch].batch, cursor->row);
}

void
hone_cursor_store_virtual(HoneCursor *cursor, TupleTableSlot *slot)
{
	int			row = cursor->row % HONE_VECTOR_ROWS;

	ExecClearTuple(slot);
	for (int i = 0; i < cursor->nwanted; i++)
	{
		int			attribute = cursor->wanted[i];

		slot->tts_values[attribute] = cursor->values[attribute][row];
		slot->tts_isnull[attribute] = cursor->isnull[attribute][row];
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(cursor->store->rel);
	hone_cursor_tid(cursor, &slot->tts_tid);
}

/*
 * The row's xmin is shown as frozen: every snapshot that sees the batch sees
 * all of its rows.
 */
HeapTuple
hone_form_compressed_tuple(TupleDesc desc, Oid relid, Datum **values,
						   bool **isnull, int row, const ItemPointerData *tid)
{
	Datum	   *row_values = palloc(desc->natts * sizeof(Datum));
	bool	   *row_isnull = palloc(desc->natts * sizeof(bool));
	HeapTuple	tuple;

	for (int i = 0; i < desc->natts; i++)
	{
		row_isnull[i] = values[i] == NULL || isnull[i][row];
		row_values[i] = row_isnull[i] ? (Datum) 0 : values[i][row];
	}
	tuple = heap_form_tuple(desc, row_values, row_isnull);
	pfree(row_values);
	pfree(row_isnull);

	tuple->t_self = *tid;
	tuple->t_tableOid = relid;
	tuple->t_data->t_ctid = tuple->t_self;
	HeapTupleHeaderSetXmin(tuple->t_data, FrozenTransactionId);
	HeapTupleHeaderSetXmax(tuple->t_data, InvalidTransactionId);
	HeapTupleHeaderSetCmin(tuple->t_data, FirstCommandId);
	tuple->t_data->t_infomask |= HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
	return tuple;
}

HeapTuple
hone_cursor_form_tuple(HoneCursor *cursor)
{
	ItemPointerData tid;

	hone_cursor_tid(cursor, &tid);
	return hone_form_compressed_tuple(cursor->store->desc,
									  RelationGetRelid(cursor->store->rel),
									  cursor->values, cursor->isnull,
									  cursor->row % HONE_VECTOR_ROWS, &tid);
}

void
hone_cursor_close(HoneCursor *cursor)
{
	close_reader(cursor);
	hone_store_close(cursor->store);
	MemoryContextDelete(cursor->context);
}
