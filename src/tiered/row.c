/*-------------------------------------------------------------------------
 *
 * row.c
 *	  One compressed row by its TID.
 *
 * UPDATE, DELETE, row locks and triggers fetch rows one by one, mostly in the
 * order in which a scan gave their TIDs. So the last batch asked for is kept
 * open with one vector decoded; what it holds never changes. Whether the
 * batch, and the row, is visible is asked anew each time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "storage/predicate.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/row.h"

typedef struct KeptBatch
{
	MemoryContext context;		/* holds all of it */
	Oid			relid;
	Oid			toast_file;		/* of the TOAST table: TRUNCATE makes a new
								 * one */
	HoneBatchEntry entry;
	HoneBatchReader *reader;
	int			natts;
	int			vector;			/* decoded; -1 = none */
	Datum	  **values;			/* [attribute][row of the vector] */
	bool	  **isnull;
} KeptBatch;

static KeptBatch *kept = NULL;	/* in TopTransactionContext */
static bool kept_is_stale = false;

static void
forget_kept(void *arg)
{
	kept = NULL;
}

/* Columns may have changed: not to be used again. */
static void
mark_stale(Datum arg, Oid relid)
{
	if (kept != NULL && (relid == InvalidOid || relid == kept->relid))
		kept_is_stale = true;
}

static KeptBatch *
keep_batch(HoneStore *store, const HoneBatchEntry *entry, Snapshot snapshot)
{
	static bool registered = false;
	MemoryContext context;
	MemoryContext old;
	MemoryContextCallback *callback;
	KeptBatch  *batch;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(mark_stale, (Datum) 0);
		registered = true;
	}
	if (kept != NULL)
		MemoryContextDelete(kept->context);

	context = AllocSetContextCreate(TopTransactionContext, "hone row",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	batch = palloc0(sizeof(KeptBatch));
	batch->context = context;
	batch->relid = RelationGetRelid(store->rel);
	batch->toast_file = store->toast->rd_rel->relfilenode;
	batch->entry = *entry;
	batch->natts = store->desc->natts;
	batch->vector = -1;
	batch->values = palloc(Max(batch->natts, 1) * sizeof(Datum *));
	batch->isnull = palloc(Max(batch->natts, 1) * sizeof(bool *));
	for (int i = 0; i < batch->natts; i++)
	{
		batch->values[i] = palloc(HONE_VECTOR_ROWS * sizeof(Datum));
		batch->isnull[i] = palloc(HONE_VECTOR_ROWS * sizeof(bool));
	}
	batch->reader = hone_reader_open(store, snapshot, &batch->entry);
	callback = palloc(sizeof(MemoryContextCallback));
	callback->func = forget_kept;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(context, callback);
	MemoryContextSwitchTo(old);
	kept = batch;
	kept_is_stale = false;
	return batch;
}

static void
decode_vector(KeptBatch *batch, HoneStore *store, Snapshot snapshot, int vector)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);

	batch->vector = -1;			/* should decoding fail */
	hone_reader_attach(batch->reader, store, snapshot);
	for (int i = 0; i < batch->natts; i++)
		hone_reader_vector(batch->reader, i, vector, batch->values[i], batch->isnull[i]);
	batch->vector = vector;
	MemoryContextSwitchTo(old);
}

void
hone_row_store(HeapTuple tuple, TupleTableSlot *slot)
{
	ItemPointerData tid = tuple->t_self;
	Oid			table = tuple->t_tableOid;

	ExecForceStoreHeapTuple(tuple, slot, true);
	slot->tts_tid = tid;
	slot->tts_tableOid = table;
}

bool
hone_row_fetch(HoneStore *store, Snapshot snapshot, const ItemPointerData *tid,
			   TupleTableSlot *slot)
{
	KeptBatch  *batch = kept;
	HoneBatchEntry entry;
	int			row = hone_tid_row(tid);

	if (!hone_store_find_batch(store, snapshot, hone_tid_batch(tid), &entry) ||
		row < 0 || row >= entry.nrows)
		return false;
	if (batch == NULL || kept_is_stale ||
		batch->relid != RelationGetRelid(store->rel) ||
		batch->toast_file != store->toast->rd_rel->relfilenode ||
		batch->entry.batch != entry.batch || batch->entry.crc != entry.crc ||
		batch->natts != store->desc->natts)
		batch = keep_batch(store, &entry, snapshot);
	if (batch->vector != row / HONE_VECTOR_ROWS)
		decode_vector(batch, store, snapshot, row / HONE_VECTOR_ROWS);
	hone_row_store(hone_form_compressed_tuple(store->desc, batch->relid,
											  batch->values, batch->isnull,
											  row % HONE_VECTOR_ROWS, tid),
				   slot);
	return true;
}

bool
hone_row_is_visible(HoneStore *store, Snapshot snapshot, const ItemPointerData *tid)
{
	HoneBatchEntry entry;

	return hone_store_find_batch(store, snapshot, hone_tid_batch(tid), &entry) &&
		hone_tid_row(tid) < entry.nrows &&
		!hone_tombstone_visible(store, snapshot, hone_tid_batch(tid), hone_tid_row(tid));
}

bool
hone_row_replaced_by(Relation rel, Snapshot snapshot, ItemPointer tid)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	HoneTombstone tombstone;
	bool		replaced = false;

	if (store == NULL)
		return false;
	if (hone_tombstone_visible(store, snapshot, hone_tid_batch(tid), hone_tid_row(tid)) &&
		hone_tombstone_state(store, hone_tid_batch(tid), hone_tid_row(tid),
							 &tombstone) != HONE_ROW_ALIVE &&
		ItemPointerIsValid(&tombstone.replaced_by))
	{
		*tid = tombstone.replaced_by;
		replaced = true;
	}
	hone_store_close(store);
	return replaced;
}

static bool
fetch_any(HoneStore *store, const ItemPointerData *tid, TupleTableSlot *slot)
{
	return (ActiveSnapshotSet() && IsMVCCSnapshot(GetActiveSnapshot()) &&
			hone_row_fetch(store, GetActiveSnapshot(), tid, slot)) ||
		hone_row_fetch(store, SnapshotSelf, tid, slot);
}

bool
hone_row_fetch_version(Relation rel, const ItemPointerData *tid,
					   Snapshot snapshot, TupleTableSlot *slot)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	bool		found;

	if (store == NULL)
		return false;

	/* the lock first, then the look for a tombstone: see write.c */
	if (IsolationIsSerializable() && IsMVCCSnapshot(snapshot))
		PredicateLockTID(rel, unconstify(ItemPointerData *, tid), snapshot, InvalidTransactionId);
	if (snapshot->snapshot_type == SNAPSHOT_ANY)
		found = fetch_any(store, tid, slot);
	else
		found = !hone_tombstone_visible(store, snapshot, hone_tid_batch(tid), hone_tid_row(tid)) &&
			hone_row_fetch(store, snapshot, tid, slot);
	hone_store_close(store);
	return found;
}
