/*-------------------------------------------------------------------------
 *
 * store.c
 *	  Batches as rows of the table's own TOAST table (layout in store.h).
 *
 * Rows are written with heap_insert and index_insert, as PostgreSQL writes
 * its own TOAST chunks, so that WAL, MVCC, VACUUM and freezing are its own.
 * They are kept out of logical decoding: folding changes no row of the table.
 *
 * Locks: readers hold ACCESS SHARE on table and TOAST table; writers hold
 * EXCLUSIVE on the table, so there is one writer at a time, and ROW EXCLUSIVE
 * on the TOAST table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/toast_internals.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/store.h"
#include "tiered/tombstone.h"

#define META_MAGIC			0x314D4E48	/* "HNM1" */
#define DIRECTORY_MAGIC		0x31444E48	/* "HND1" */
#define STORE_VERSION		2

/* Union that keeps a chunk's varlena header aligned. */
typedef union ChunkBuffer
{
	struct varlena header;
	char		data[HONE_CHUNK_BYTES + VARHDRSZ];
	int32		align;
} ChunkBuffer;

HoneStore *
hone_store_open(Relation rel, LOCKMODE lockmode)
{
	HoneStore  *store;
	int			valid;

	if (!OidIsValid(rel->rd_rel->reltoastrelid))
		return NULL;

	store = palloc0(sizeof(HoneStore));
	store->rel = rel;
	store->desc = RelationGetDescr(rel);
	store->toast = table_open(rel->rd_rel->reltoastrelid, lockmode);
	valid = toast_open_indexes(store->toast, lockmode,
							   &store->indexes, &store->nindexes);
	store->index = store->indexes[valid];
	return store;
}

void
hone_store_close(HoneStore *store)
{
	toast_close_indexes(store->indexes, store->nindexes, NoLock);
	table_close(store->toast, NoLock);
	pfree(store);
}

static uint32
checksum(const void *data, Size length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, length);
	FIN_CRC32C(crc);
	return crc;
}

void
hone_store_report_damage(HoneStore *store, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("%s of compressed table \"%s\" is damaged", what,
					RelationGetRelationName(store->rel)),
			 errhint("Restore the table from a backup.")));
}

/*
 * A serializable transaction must not take predicate locks on the store: what
 * it reads there stands for rows of the table, on which it has one
 * (hone_serializable_read in cursor.c), and lock rows come and go without a
 * conflict. So its rows are read through SnapshotAny, and whether the
 * snapshot sees them is asked here, as heapam asks.
 */
struct HoneStoreScan
{
	SysScanDesc scan;			/* NULL: the following */
	IndexScanDesc index_scan;
	TupleTableSlot *slot;
	Snapshot	snapshot;
};

static HoneStoreScan *
begin_scan(HoneStore *store, Snapshot snapshot, int nkeys, ScanKey keys)
{
	HoneStoreScan *scan = palloc0(sizeof(HoneStoreScan));

	if (!IsolationIsSerializable() || !IsMVCCSnapshot(snapshot))
	{
		scan->scan = systable_beginscan_ordered(store->toast, store->index,
												snapshot, nkeys, keys);
		return scan;
	}
	scan->snapshot = snapshot;
	scan->slot = table_slot_create(store->toast, NULL);
	scan->index_scan = HONE_INDEX_BEGINSCAN(store->toast, store->index, SnapshotAny, nkeys, 0);
	index_rescan(scan->index_scan, keys, nkeys, NULL, 0);
	return scan;
}

HeapTuple
hone_store_next(HoneStoreScan *scan)
{
	if (scan->scan != NULL)
		return systable_getnext_ordered(scan->scan, ForwardScanDirection);

	while (index_getnext_slot(scan->index_scan, ForwardScanDirection, scan->slot))
	{
		BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) scan->slot;
		HeapTuple	tuple = slot->base.tuple;
		bool		visible;

		CHECK_FOR_INTERRUPTS();
		LockBuffer(slot->buffer, BUFFER_LOCK_SHARE);
		visible = HeapTupleSatisfiesVisibility(tuple, scan->snapshot, slot->buffer);
		HeapCheckForSerializableConflictOut(visible, scan->index_scan->heapRelation,
											tuple, slot->buffer, scan->snapshot);
		LockBuffer(slot->buffer, BUFFER_LOCK_UNLOCK);
		if (visible)
			return tuple;
	}
	return NULL;
}

void
hone_store_end_scan(HoneStoreScan *scan)
{
	if (scan->scan != NULL)
		systable_endscan_ordered(scan->scan);
	else
	{
		index_endscan(scan->index_scan);
		ExecDropSingleTupleTableSlot(scan->slot);
	}
	pfree(scan);
}

HoneStoreScan *
hone_store_begin_scan(HoneStore *store, Snapshot snapshot, Oid value,
					  int32 first, int32 last)
{
	ScanKeyData keys[3];
	int			nkeys = 1;

	ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(value));
	if (first == last)
		ScanKeyInit(&keys[nkeys++], 2, BTEqualStrategyNumber, F_INT4EQ,
					Int32GetDatum(first));
	else if (first != 0 || last != PG_INT32_MAX)
	{
		ScanKeyInit(&keys[nkeys++], 2, BTGreaterEqualStrategyNumber, F_INT4GE,
					Int32GetDatum(first));
		ScanKeyInit(&keys[nkeys++], 2, BTLessEqualStrategyNumber, F_INT4LE,
					Int32GetDatum(last));
	}
	return begin_scan(store, snapshot, nkeys, keys);
}

const char *
hone_store_row_bytes(HoneStore *store, HeapTuple tuple, int32 *seq,
					 int32 *length)
{
	TupleDesc	desc = RelationGetDescr(store->toast);
	bool		isnull;
	Datum		value;
	struct varlena *data;

	*seq = DatumGetInt32(fastgetattr(tuple, 2, desc, &isnull));
	value = isnull ? (Datum) 0 : fastgetattr(tuple, 3, desc, &isnull);
	if (isnull)
		hone_store_report_damage(store, "a row");
	data = (struct varlena *) DatumGetPointer(value);
	if (VARATT_IS_EXTENDED(data) && !VARATT_IS_SHORT(data))
		hone_store_report_damage(store, "a row");
	*length = VARSIZE_ANY_EXHDR(data);
	return VARDATA_ANY(data);
}

void
hone_store_insert_row(HoneStore *store, Oid value, int32 seq,
					  const void *data, int32 length, CommandId cid,
					  int options, ItemPointer tid)
{
	TupleDesc	desc = RelationGetDescr(store->toast);
	Datum		values[3];
	bool		isnull[3] = {false, false, false};
	ChunkBuffer buffer;
	HeapTuple	tuple;

	Assert(length <= HONE_CHUNK_BYTES);
	SET_VARSIZE(&buffer.header, length + VARHDRSZ);
	memcpy(VARDATA(&buffer.header), data, length);
	values[0] = ObjectIdGetDatum(value);
	values[1] = Int32GetDatum(seq);
	values[2] = PointerGetDatum(&buffer.header);

	tuple = heap_form_tuple(desc, values, isnull);
	heap_insert(store->toast, tuple, cid, options | HEAP_INSERT_NO_LOGICAL, NULL);
	for (int i = 0; i < store->nindexes; i++)
	{
		Relation	index = store->indexes[i];

		if (index->rd_index->indisready)
			index_insert(index, values, isnull, &tuple->t_self, store->toast,
						 index->rd_index->indisunique ?
						 UNIQUE_CHECK_YES : UNIQUE_CHECK_NO,
						 false, NULL);
	}
	*tid = tuple->t_self;
	heap_freetuple(tuple);
}

static void
insert_chunk(HoneStore *store, Oid value, int32 seq, const void *data,
			 int32 length)
{
	ItemPointerData tid;

	hone_store_insert_row(store, value, seq, data, length,
						  GetCurrentCommandId(true), store->options, &tid);
}

void
hone_store_delete_rows(HoneStore *store, Snapshot snapshot, Oid value,
					   int32 first, int32 last)
{
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, value, first, last);
	HeapTuple	tuple;

	while ((tuple = hone_store_next(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		simple_heap_delete(store->toast, &tuple->t_self);
	}
	hone_store_end_scan(scan);
}

bool
hone_store_holds_any(HoneStore *store, Snapshot snapshot, Oid value)
{
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, value, 0, PG_INT32_MAX);
	bool		found = hone_store_next(scan) != NULL;

	hone_store_end_scan(scan);
	return found;
}

bool
hone_store_exists(Relation rel)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	bool		found;

	if (store == NULL)
		return false;

	/* TRUNCATE rebuilds the table's indexes before those of the empty store */
	if (RelationGetNumberOfBlocks(store->toast) == 0)
	{
		hone_store_close(store);
		return false;
	}
	/* the meta row is always there; a batch without it is damage to be told */
	found = hone_store_holds_any(store, SnapshotAny, HONE_VALUE_META) ||
		hone_store_holds_any(store, SnapshotAny, HONE_VALUE_DIRECTORY);
	hone_store_close(store);
	return found;
}

/*
 * Copy a fixed-size row out of the TOAST table and check it.
 */
static void
read_fixed(HoneStore *store, HeapTuple tuple, void *row, Size size,
		   uint32 magic, const char *what)
{
	int32		seq;
	int32		length;
	const char *data = hone_store_row_bytes(store, tuple, &seq, &length);
	uint32		head[2];
	uint32		crc;

	if (length != size)
		hone_store_report_damage(store, what);
	memcpy(row, data, size);
	memcpy(head, row, sizeof(head));
	memcpy(&crc, (char *) row + size - sizeof(uint32), sizeof(uint32));
	if (head[0] != magic || crc != checksum(row, size - sizeof(uint32)))
		hone_store_report_damage(store, what);
	if (head[1] != STORE_VERSION)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("compressed table \"%s\" has storage format %u, this pg_hone reads %u",
						RelationGetRelationName(store->rel), head[1], STORE_VERSION),
				 errhint("Install the pg_hone that wrote it, or a later one.")));
}

static void
check_entry(HoneStore *store, const HoneBatchEntry *entry)
{
	if (entry->nrows <= 0 || entry->nrows > HONE_MAX_BATCH_ROWS ||
		entry->batch < 0 || entry->batch > HONE_MAX_BATCH_ID || entry->first_chunk < 0 ||
		entry->natts < 0 || entry->natts > MaxHeapAttributeNumber ||
		entry->detail_bytes <= 0 ||
		entry->stored_bytes < entry->detail_bytes)
		hone_store_report_damage(store, "a directory row");
}

bool
hone_store_read_meta(HoneStore *store, Snapshot snapshot, HoneStoreMeta *meta)
{
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, HONE_VALUE_META, 0, 0);
	HeapTuple	tuple = hone_store_next(scan);
	bool		found = tuple != NULL;

	if (found)
		read_fixed(store, tuple, meta, sizeof(*meta), META_MAGIC, "the meta row");
	hone_store_end_scan(scan);
	return found;
}

void
hone_store_write_meta(HoneStore *store, Snapshot snapshot, HoneStoreMeta *meta)
{
	hone_store_delete_meta(store, snapshot);
	meta->magic = META_MAGIC;
	meta->version = STORE_VERSION;
	meta->crc = checksum(meta, offsetof(HoneStoreMeta, crc));
	insert_chunk(store, HONE_VALUE_META, 0, meta, sizeof(*meta));
}

void
hone_store_delete_meta(HoneStore *store, Snapshot snapshot)
{
	hone_store_delete_rows(store, snapshot, HONE_VALUE_META, 0, 0);
}

bool
hone_store_seen_by_anybody(HoneStore *store)
{
	SnapshotData snapshot;

	InitNonVacuumableSnapshot(snapshot, GlobalVisTestFor(store->toast));
	return hone_store_holds_any(store, &snapshot, HONE_VALUE_DIRECTORY);
}

HoneBatchEntry *
hone_store_read_directory(HoneStore *store, Snapshot snapshot, int *nentries)
{
	int			allocated = 64;
	HoneBatchEntry *entries = palloc(allocated * sizeof(HoneBatchEntry));
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, HONE_VALUE_DIRECTORY,
												0, PG_INT32_MAX);
	HoneStoreMeta meta;
	HeapTuple	tuple;

	*nentries = 0;
	while ((tuple = hone_store_next(scan)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (*nentries == allocated)
		{
			allocated *= 2;
			entries = repalloc_huge(entries, allocated * sizeof(HoneBatchEntry));
		}
		read_fixed(store, tuple, &entries[*nentries], sizeof(HoneBatchEntry),
				   DIRECTORY_MAGIC, "a directory row");
		check_entry(store, &entries[*nentries]);
		(*nentries)++;
	}
	hone_store_end_scan(scan);

	/* a lost directory row must not go unnoticed */
	if (hone_store_read_meta(store, snapshot, &meta) ?
		meta.batches != *nentries : *nentries > 0)
		hone_store_report_damage(store, "the directory");
	return entries;
}

bool
hone_store_find_batch(HoneStore *store, Snapshot snapshot, int32 batch,
					  HoneBatchEntry *entry)
{
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, HONE_VALUE_DIRECTORY,
												batch, batch);
	HeapTuple	tuple = hone_store_next(scan);
	bool		found = tuple != NULL;

	if (found)
	{
		read_fixed(store, tuple, entry, sizeof(*entry), DIRECTORY_MAGIC,
				   "a directory row");
		check_entry(store, entry);
	}
	hone_store_end_scan(scan);
	return found;
}

static Oid
chunk_value(int64 chunk)
{
	return HONE_VALUE_STREAM + (Oid) (chunk / HONE_CHUNKS_PER_VALUE);
}

static int32
chunk_seq(int64 chunk)
{
	return (int32) (chunk % HONE_CHUNKS_PER_VALUE);
}

static int64
chunk_count(int64 bytes)
{
	return (bytes + HONE_CHUNK_BYTES - 1) / HONE_CHUNK_BYTES;
}

HoneStoreScan *
hone_store_begin_batch_scan(HoneStore *store, Snapshot snapshot,
							const HoneBatchEntry *entry)
{
	int64		last = entry->first_chunk + chunk_count(entry->stored_bytes) - 1;

	return hone_store_begin_scan(store, snapshot, chunk_value(entry->first_chunk),
								 chunk_seq(entry->first_chunk), chunk_seq(last));
}

void
hone_store_write_batch(HoneStore *store, HoneStoreMeta *meta,
					   HoneBatchEntry *entry, const char *stream)
{
	int64		nchunks = chunk_count(entry->stored_bytes);
	int64		first = meta->next_chunk;

	if (chunk_value(first) != chunk_value(first + nchunks - 1))
		first = (first / HONE_CHUNKS_PER_VALUE + 1) * HONE_CHUNKS_PER_VALUE;
	if (meta->next_batch > HONE_MAX_BATCH_ID ||
		chunk_value(first + nchunks) >= HONE_VALUE_STREAM_END)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("table \"%s\" has no batch numbers left",
						RelationGetRelationName(store->rel)),
				 errhint("CALL hone.decompress() and compress it anew, or split the partition.")));

	for (int64 i = 0; i < nchunks; i++)
	{
		int64		offset = i * HONE_CHUNK_BYTES;

		CHECK_FOR_INTERRUPTS();
		if (i < store->npages && store->pages[i] < RelationGetNumberOfBlocks(store->toast))
			RelationSetTargetBlock(store->toast, store->pages[i]);
		insert_chunk(store, chunk_value(first + i), chunk_seq(first + i),
					 stream + offset,
					 Min(HONE_CHUNK_BYTES, entry->stored_bytes - offset));
	}

	entry->magic = DIRECTORY_MAGIC;
	entry->version = STORE_VERSION;
	entry->batch = (int32) meta->next_batch;
	entry->first_chunk = first;
	entry->crc = checksum(entry, offsetof(HoneBatchEntry, crc));
	insert_chunk(store, HONE_VALUE_DIRECTORY, entry->batch, entry, sizeof(*entry));

	meta->next_batch++;
	meta->next_chunk = first + nchunks;
	meta->batches++;
	meta->rows += entry->nrows;
	meta->raw_bytes += entry->raw_bytes;
	meta->stored_bytes += entry->stored_bytes;
}

void
hone_store_delete_batch(HoneStore *store, Snapshot snapshot,
						HoneStoreMeta *meta, const HoneBatchEntry *entry)
{
	int64		last = entry->first_chunk + chunk_count(entry->stored_bytes) - 1;

	hone_store_delete_rows(store, snapshot, HONE_VALUE_DIRECTORY, entry->batch, entry->batch);
	hone_store_delete_rows(store, snapshot, chunk_value(entry->first_chunk),
						   chunk_seq(entry->first_chunk), chunk_seq(last));
	hone_tombstones_delete_batch(store, snapshot, entry->batch);
	meta->batches--;
	meta->rows -= entry->nrows;
	meta->raw_bytes -= entry->raw_bytes;
	meta->stored_bytes -= entry->stored_bytes;
}

void
hone_store_read_stream(HoneStore *store, Snapshot snapshot,
					   const HoneBatchEntry *entry, int64 offset,
					   int64 length, char *dest)
{
	int64		end = offset + length;
	int64		first = offset / HONE_CHUNK_BYTES;
	int64		next = first;
	HoneStoreScan *scan;
	HeapTuple	tuple;

	if (offset < 0 || length < 0 || end > entry->stored_bytes)
		hone_store_report_damage(store, "a batch");
	if (length == 0)
		return;

	scan = hone_store_begin_scan(store, snapshot, chunk_value(entry->first_chunk),
								 chunk_seq(entry->first_chunk + first),
								 chunk_seq(entry->first_chunk + (end - 1) / HONE_CHUNK_BYTES));
	while ((tuple = hone_store_next(scan)) != NULL)
	{
		int32		seq;
		int32		size;
		const char *data = hone_store_row_bytes(store, tuple, &seq, &size);
		int64		start = next * HONE_CHUNK_BYTES;
		int64		from = Max(offset, start);
		int64		to = Min(end, start + HONE_CHUNK_BYTES);

		CHECK_FOR_INTERRUPTS();
		if (seq != chunk_seq(entry->first_chunk + next) ||
			size != Min(HONE_CHUNK_BYTES, entry->stored_bytes - start))
			hone_store_report_damage(store, "a batch");
		memcpy(dest + (from - offset), data + (from - start), to - from);
		next++;
	}
	hone_store_end_scan(scan);
	if (next != (end - 1) / HONE_CHUNK_BYTES + 1)
		hone_store_report_damage(store, "a batch");
}
