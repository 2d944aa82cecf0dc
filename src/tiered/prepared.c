/*-------------------------------------------------------------------------
 *
 * prepared.c
 *	  Putting an encoded batch in the place of plain rows or other batches.
 *
 * All of it happens under EXCLUSIVE, so it is kept short: nothing is read but
 * headers, nothing is decoded or encoded. No writer or row locker is in
 * flight then, and no VACUUM of the table.
 *
 * An older snapshot goes on seeing what was there before, a newer one the
 * batch. Plain rows are deleted as "moved to another partition"; whoever
 * nevertheless meets one, by a cursor's WHERE CURRENT OF, finds the way in
 * what moves.c notes, or gets 40001. Logical decoding sees no row change.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/moves.h"
#include "tiered/prepared.h"
#include "tiered/switch.h"
#include "tiered/tombstone.h"

HonePrepared *
hone_prepared_create(MemoryContext parent, Relation rel)
{
	MemoryContext context = AllocSetContextCreate(parent, "hone prepared batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HonePrepared *prepared = palloc0(sizeof(HonePrepared));

	prepared->context = context;
	prepared->file = rel->rd_rel->relfilenode;
	prepared->desc = CreateTupleDescCopy(RelationGetDescr(rel));
	initStringInfo(&prepared->stream);
	MemoryContextSwitchTo(old);
	return prepared;
}

void
hone_prepared_free(HonePrepared *prepared)
{
	MemoryContextDelete(prepared->context);
}

void
hone_prepared_encode(HonePrepared *prepared, HoneBatchBuilder *builder, int level)
{
	Size		size = builder->nrows * sizeof(ItemPointerData);

	hone_builder_encode(builder, level, &prepared->stream, &prepared->entry);
	prepared->origins = MemoryContextAlloc(prepared->context, size);
	memcpy(prepared->origins, builder->tids, size);
}

bool
hone_prepared_fits(const HonePrepared *prepared, Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);

	if (prepared->file != rel->rd_rel->relfilenode ||
		prepared->desc->natts != desc->natts)
		return false;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute then = TupleDescAttr(prepared->desc, i);
		Form_pg_attribute now = TupleDescAttr(desc, i);

		if (then->attisdropped != now->attisdropped ||
			then->atttypid != now->atttypid ||
			then->attcollation != now->attcollation)
			return false;
	}
	return true;
}

/*
 * Plain rows of one page, from the first on. Returns the first on another
 * page, or -1 when one of them is not as it was.
 */
static int
check_page(const HonePrepared *prepared, Relation rel, Snapshot now, int first)
{
	BlockNumber block = ItemPointerGetBlockNumber(&prepared->rows[first].tid);
	Buffer		buffer;
	Page		page;
	bool		unchanged = true;
	int			i;

	if (block >= RelationGetNumberOfBlocks(rel))
		return -1;
	buffer = ReadBuffer(rel, block);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = BufferGetPage(buffer);
	for (i = first; unchanged && i < prepared->nrows &&
		 ItemPointerGetBlockNumber(&prepared->rows[i].tid) == block; i++)
	{
		OffsetNumber offset = ItemPointerGetOffsetNumber(&prepared->rows[i].tid);
		HeapTupleData tuple;
		ItemId		item;

		unchanged = false;
		if (offset > PageGetMaxOffsetNumber(page))
			break;
		item = PageGetItemId(page, offset);
		if (!ItemIdIsNormal(item))
			break;
		tuple.t_self = prepared->rows[i].tid;
		tuple.t_tableOid = RelationGetRelid(rel);
		tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
		tuple.t_len = ItemIdGetLength(item);
		unchanged = HeapTupleHeaderGetRawXmin(tuple.t_data) == prepared->rows[i].xmin &&
			HeapTupleSatisfiesVisibility(&tuple, now, buffer);
	}
	UnlockReleaseBuffer(buffer);
	return unchanged ? i : -1;
}

static bool
rows_still_there(const HonePrepared *prepared, Relation rel, Snapshot now)
{
	int			next = 0;

	while (next >= 0 && next < prepared->nrows)
	{
		CHECK_FOR_INTERRUPTS();
		next = check_page(prepared, rel, now, next);
	}
	return next >= 0;
}

static bool
batches_still_there(const HonePrepared *prepared, Relation rel, Snapshot now)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	uint8	   *dead = palloc(HONE_DEAD_BYTES);
	bool		unchanged = true;

	for (int i = 0; unchanged && i < prepared->nreplaced; i++)
	{
		HoneReplacedBatch *replaced = &prepared->replaced[i];
		HoneBatchEntry entry;

		unchanged = hone_store_find_batch(store, now, replaced->entry.batch, &entry) &&
			entry.crc == replaced->entry.crc &&
			hone_tombstones_read(store, now, entry.batch, 0, HONE_MAX_BATCH_ROWS, dead) == replaced->ndead &&
			memcmp(dead, replaced->dead, HONE_DEAD_BYTES) == 0;
	}
	pfree(dead);
	hone_store_close(store);
	return unchanged;
}

bool
hone_prepared_still_true(const HonePrepared *prepared, Relation rel)
{
	Snapshot	now = RegisterSnapshot(GetLatestSnapshot());
	bool		unchanged = rows_still_there(prepared, rel, now) &&
	(prepared->nreplaced == 0 || batches_still_there(prepared, rel, now));

	UnregisterSnapshot(now);
	return unchanged;
}

static void
delete_rows(const HonePrepared *prepared, Relation rel)
{
	CommandId	cid = GetCurrentCommandId(true);
	char		identity = rel->rd_rel->relreplident;

	PG_TRY();
	{
		for (int i = 0; i < prepared->nrows; i++)
		{
			TM_FailureData failure;
			TM_Result	result;

			CHECK_FOR_INTERRUPTS();

			/*
			 * No old keys into the WAL: nothing to replicate has happened.
			 * For each row, since an invalidation sets it back.
			 */
			rel->rd_rel->relreplident = REPLICA_IDENTITY_NOTHING;
			result = heap_delete(rel, &prepared->rows[i].tid, cid, InvalidSnapshot,
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

/*
 * For cursors: where the rows went that are now in the batch, and those which
 * an UPDATE had moved out of the batches that go with their tombstones.
 */
static void
note_moves(HonePrepared *prepared, HoneStore *store, HoneStoreMeta *meta)
{
	ItemPointerData *tids = palloc(HONE_MAX_BATCH_ROWS * sizeof(ItemPointerData));

	for (int i = 0; i < prepared->nreplaced; i++)
	{
		const HoneBatchEntry *entry = &prepared->replaced[i].entry;

		if (prepared->replaced[i].ndead == 0)
			continue;
		hone_tombstones_replacements(store, GetActiveSnapshot(), entry->batch, entry->nrows, tids);
		hone_moves_note(store, meta, HONE_MOVED_OUT, entry->batch, tids, entry->nrows);
	}
	if (prepared->entry.nrows > 0)
		hone_moves_note(store, meta, HONE_MOVED_IN, prepared->entry.batch,
						prepared->origins, prepared->entry.nrows);
	pfree(tids);
}

void
hone_prepared_write(HonePrepared *prepared, Relation rel)
{
	HoneStore  *store = hone_store_open(rel, RowExclusiveLock);
	HoneStoreMeta meta;

	PushActiveSnapshot(GetLatestSnapshot());
	if (!hone_store_read_meta(store, GetActiveSnapshot(), &meta))
		elog(ERROR, "compressed table \"%s\" has no meta row", RelationGetRelationName(rel));

	/* who read a row that goes is taken to have read the whole table */
	TransferPredicateLocksToHeapRelation(rel);
	TransferPredicateLocksToHeapRelation(store->toast);

	delete_rows(prepared, rel);
	for (int i = 0; i < prepared->nreplaced; i++)
		hone_store_delete_batch(store, GetActiveSnapshot(), &meta,
								&prepared->replaced[i].entry);
	store->pages = prepared->pages;
	store->npages = prepared->npages;
	if (prepared->entry.nrows > 0)
		hone_store_write_batch(store, &meta, &prepared->entry, prepared->stream.data);
	if (!hone_somebody_is_there(RelationGetRelid(rel)))
		hone_moves_forget(store, GetActiveSnapshot());
	else
		note_moves(prepared, store, &meta);
	hone_store_write_meta(store, GetActiveSnapshot(), &meta);
	PopActiveSnapshot();
	hone_store_close(store);
}
