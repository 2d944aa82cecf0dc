/*-------------------------------------------------------------------------
 *
 * tombstone.c
 *	  Which compressed rows are dead, and which are locked (tombstone.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/tombstone.h"

/* Batches, and rows, that are looked at to estimate how many are dead. */
#define SAMPLED_BATCHES	64
#define SAMPLED_ROWS	64

/* What a tombstone holds. */
typedef struct TombstoneBytes
{
	uint8		kind;
	uint8		pad;
	ItemPointerData replaced_by;
} TombstoneBytes;

static Oid
value_of(Oid first, int32 batch)
{
	return first + (Oid) (batch / HONE_BATCHES_PER_VALUE);
}

static int32
seq_of(int32 batch, int row)
{
	return (batch % HONE_BATCHES_PER_VALUE) << HONE_ROW_BITS | row;
}

static HoneTombstoneKind
read_tombstone(HoneStore *store, HeapTuple tuple, ItemPointer replaced_by)
{
	int32		seq;
	int32		length;
	const char *data = hone_store_row_bytes(store, tuple, &seq, &length);
	TombstoneBytes bytes;

	if (length != sizeof(bytes))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("a tombstone of compressed table \"%s\" is damaged",
						RelationGetRelationName(store->rel)),
				 errhint("Restore the table from a backup.")));
	memcpy(&bytes, data, sizeof(bytes));
	*replaced_by = bytes.replaced_by;
	return bytes.kind;
}

HoneRowState
hone_tombstone_state(HoneStore *store, int32 batch, int row,
					 HoneTombstone *tombstone)
{
	SnapshotData dirty;
	int32		seq = seq_of(batch, row);
	HoneStoreScan *scan;
	HeapTuple	tuple;
	HoneRowState state = HONE_ROW_ALIVE;

	InitDirtySnapshot(dirty);
	scan = hone_store_begin_scan(store, &dirty, value_of(HONE_VALUE_TOMBSTONE, batch), seq, seq);
	tuple = hone_store_next(scan);
	if (tuple != NULL)
	{
		tombstone->kind = read_tombstone(store, tuple, &tombstone->replaced_by);
		tombstone->xid = HeapTupleHeaderGetXmin(tuple->t_data);
		tombstone->cid = InvalidCommandId;
		if (TransactionIdIsCurrentTransactionId(tombstone->xid))
		{
			tombstone->cid = HeapTupleHeaderGetCmin(tuple->t_data);
			state = HONE_ROW_DEAD_BY_ME;
		}
		else if (TransactionIdIsValid(dirty.xmin))
			state = HONE_ROW_CHANGING;
		else
			state = HONE_ROW_DEAD;
	}
	hone_store_end_scan(scan);
	return state;
}

static bool
find_row(HoneStore *store, Snapshot snapshot, Oid value, int32 seq,
		 ItemPointer tid)
{
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, value, seq, seq);
	HeapTuple	tuple = hone_store_next(scan);
	bool		found = tuple != NULL;

	if (found)
		*tid = tuple->t_self;
	hone_store_end_scan(scan);
	return found;
}

bool
hone_tombstone_visible(HoneStore *store, Snapshot snapshot, int32 batch, int row)
{
	ItemPointerData tid;

	return find_row(store, snapshot, value_of(HONE_VALUE_TOMBSTONE, batch),
					seq_of(batch, row), &tid);
}

void
hone_tombstone_insert(HoneStore *store, int32 batch, int row,
					  HoneTombstoneKind kind,
					  const ItemPointerData *replaced_by, CommandId cid)
{
	TombstoneBytes bytes;
	ItemPointerData tid;

	memset(&bytes, 0, sizeof(bytes));
	bytes.kind = kind;
	if (replaced_by != NULL)
		bytes.replaced_by = *replaced_by;
	else
		ItemPointerSetInvalid(&bytes.replaced_by);
	hone_store_insert_row(store, value_of(HONE_VALUE_TOMBSTONE, batch),
						  seq_of(batch, row), &bytes, sizeof(bytes), cid, 0, &tid);
}

bool
hone_tombstone_forget(Oid value, Datum *bytes)
{
	struct varlena *data = (struct varlena *) DatumGetPointer(*bytes);
	TombstoneBytes tombstone;
	struct varlena *copy;

	if (value < HONE_VALUE_TOMBSTONE || value >= HONE_VALUE_LOCK ||
		VARATT_IS_EXTERNAL(data) || VARATT_IS_COMPRESSED(data) ||
		VARSIZE_ANY_EXHDR(data) != sizeof(tombstone))
		return false;
	memcpy(&tombstone, VARDATA_ANY(data), sizeof(tombstone));
	if (!ItemPointerIsValid(&tombstone.replaced_by))
		return false;

	/* nobody can lock its key any more, so it is as good as changed */
	tombstone.kind = HONE_TOMB_UPDATED;
	ItemPointerSetInvalid(&tombstone.replaced_by);
	copy = palloc(sizeof(tombstone) + VARHDRSZ);
	SET_VARSIZE(copy, sizeof(tombstone) + VARHDRSZ);
	memcpy(VARDATA(copy), &tombstone, sizeof(tombstone));
	*bytes = PointerGetDatum(copy);
	return true;
}

int
hone_tombstones_read(HoneStore *store, Snapshot snapshot, int32 batch,
					 int first, int last, uint8 *dead)
{
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot,
												value_of(HONE_VALUE_TOMBSTONE, batch),
												seq_of(batch, first),
												seq_of(batch, last));
	HeapTuple	tuple;
	int			count = 0;

	memset(dead, 0, HONE_DEAD_BYTES);
	while ((tuple = hone_store_next(scan)) != NULL)
	{
		int32		seq;
		int32		length;
		int			row;

		hone_store_row_bytes(store, tuple, &seq, &length);
		row = seq & HONE_MAX_BATCH_ROWS;
		if (!HONE_IS_DEAD(dead, row))
			count++;
		dead[row >> 3] |= 1 << (row & 7);
	}
	hone_store_end_scan(scan);
	return count;
}

void
hone_tombstones_replacements(HoneStore *store, Snapshot snapshot, int32 batch,
							 int nrows, ItemPointerData *tids)
{
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot,
												value_of(HONE_VALUE_TOMBSTONE, batch),
												seq_of(batch, 0), seq_of(batch, nrows - 1));
	HeapTuple	tuple;

	for (int row = 0; row < nrows; row++)
		ItemPointerSetInvalid(&tids[row]);
	while ((tuple = hone_store_next(scan)) != NULL)
	{
		int32		seq;
		int32		length;
		int			row;

		CHECK_FOR_INTERRUPTS();
		hone_store_row_bytes(store, tuple, &seq, &length);
		row = seq & HONE_MAX_BATCH_ROWS;
		if (row < nrows)
			(void) read_tombstone(store, tuple, &tids[row]);
	}
	hone_store_end_scan(scan);
}

void
hone_tombstones_visit(HoneStore *store, Snapshot snapshot)
{
	HoneStoreMeta meta;
	Oid			last;

	/* batches written meanwhile count from the last number on */
	if (!hone_store_read_meta(store, SnapshotSelf, &meta) || meta.next_batch == 0)
		return;
	last = value_of(HONE_VALUE_TOMBSTONE, (int32) (meta.next_batch - 1));
	for (Oid value = HONE_VALUE_TOMBSTONE; value <= last; value++)
	{
		HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, value, 0, PG_INT32_MAX);

		while (hone_store_next(scan) != NULL)
			CHECK_FOR_INTERRUPTS();
		hone_store_end_scan(scan);
	}
}

int64
hone_tombstones_count(HoneStore *store, Snapshot snapshot)
{
	int			nbatches;
	HoneBatchEntry *entries = hone_store_read_directory(store, snapshot, &nbatches);
	int			step = Max(nbatches / SAMPLED_BATCHES, 1);
	uint8	   *dead = palloc(HONE_DEAD_BYTES);
	int			sampled = 0;
	int64		count = 0;

	for (int i = 0; i < nbatches; i += step)
	{
		CHECK_FOR_INTERRUPTS();
		count += hone_tombstones_read(store, snapshot, entries[i].batch, 0, HONE_MAX_BATCH_ROWS, dead);
		sampled++;
	}
	pfree(dead);
	pfree(entries);
	return sampled > 0 ? count * nbatches / sampled : 0;
}

int64
hone_tombstones_estimate(HoneStore *store, Snapshot snapshot)
{
	int			nbatches;
	HoneBatchEntry *entries = hone_store_read_directory(store, snapshot, &nbatches);
	int64		rows = 0;
	int64		before = 0;		/* rows of the batches before this one */
	int			batch = 0;
	int			found = 0;
	bool		any = false;

	for (int i = 0; i < nbatches; i++)
		rows += entries[i].nrows;
	if (nbatches > 0)
	{
		Oid			last = value_of(HONE_VALUE_TOMBSTONE, entries[nbatches - 1].batch);

		for (Oid value = value_of(HONE_VALUE_TOMBSTONE, entries[0].batch); !any && value <= last; value++)
			any = hone_store_holds_any(store, snapshot, value);
	}
	for (int i = 0; any && i < SAMPLED_ROWS; i++)
	{
		int64		row = rows * (2 * i + 1) / (2 * SAMPLED_ROWS);

		while (row - before >= entries[batch].nrows)
			before += entries[batch++].nrows;
		if (hone_tombstone_visible(store, snapshot, entries[batch].batch, (int) (row - before)))
			found++;
	}
	pfree(entries);
	return rows * found / SAMPLED_ROWS;
}

void
hone_tombstones_delete_batch(HoneStore *store, Snapshot snapshot, int32 batch)
{
	hone_store_delete_rows(store, snapshot, value_of(HONE_VALUE_TOMBSTONE, batch),
						   seq_of(batch, 0), seq_of(batch, HONE_MAX_BATCH_ROWS));
	hone_store_delete_rows(store, SnapshotSelf, value_of(HONE_VALUE_LOCK, batch),
						   seq_of(batch, 0), seq_of(batch, HONE_MAX_BATCH_ROWS));
}

bool
hone_lock_row_find(HoneStore *store, int32 batch, int row, ItemPointer tid)
{
	return find_row(store, SnapshotSelf, value_of(HONE_VALUE_LOCK, batch),
					seq_of(batch, row), tid);
}

/*
 * There is nobody else who inserts it: the caller holds the row (write.c).
 */
void
hone_lock_row_insert(HoneStore *store, int32 batch, int row, ItemPointer tid)
{
	char		nothing = 0;

	hone_store_insert_row(store, value_of(HONE_VALUE_LOCK, batch), seq_of(batch, row),
						  &nothing, sizeof(nothing), GetCurrentCommandId(true),
						  HEAP_INSERT_FROZEN, tid);
}
