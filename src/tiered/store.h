/*-------------------------------------------------------------------------
 *
 * store.h
 *	  Batches as rows of the table's own TOAST table.
 *
 * Under value ids that PostgreSQL never assigns (below 10000):
 *
 *	  HONE_VALUE_META       one row, chunk_seq 0: HoneStoreMeta
 *	  HONE_VALUE_DIRECTORY  chunk_seq = batch id: HoneBatchEntry
 *	  HONE_VALUE_STREAM ..  a batch's detail and column blobs, cut into chunks
 *	  HONE_VALUE_TOMBSTONE .. one row for each compressed row that is dead
 *	  HONE_VALUE_LOCK ..    one row for each compressed row that was locked
 *							(both: tombstone.h)
 *
 * A batch is visible exactly when its directory row is; its chunks are read
 * with the snapshot that saw the directory row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_STORE_H
#define HONE_TIERED_STORE_H

#include "access/genam.h"
#include "access/htup.h"
#include "access/relation.h"
#include "utils/snapshot.h"

#include "common/hone.h"

#define HONE_VALUE_META			1
#define HONE_VALUE_DIRECTORY	2
#define HONE_VALUE_MOVES		3
#define HONE_VALUE_DEFAULTS		4
#define HONE_VALUE_STREAM		16
#define HONE_VALUE_STREAM_END	2000
#define HONE_VALUE_TOMBSTONE	2000
#define HONE_VALUE_LOCK			6000
#define HONE_VALUE_LIMIT		10000

/*
 * Bytes of a stream chunk: with the TOAST row's header and its two integers
 * one chunk fills a page.
 */
#define HONE_CHUNK_BYTES		8120

/* Chunk numbers per value id; a batch never crosses from one to the next. */
#define HONE_CHUNKS_PER_VALUE	(INT64CONST(1) << 30)

/*
 * Tombstones and lock rows: a value id has those of so many batches, its chunk
 * numbers are the batch's place among them and the row.
 */
#define HONE_ROW_BITS			14
#define HONE_MAX_BATCH_ROWS		((1 << HONE_ROW_BITS) - 1)
#define HONE_BATCHES_PER_VALUE	65536

/*
 * Batch ids fit into the block numbers from 0x80000000 up, and into the value
 * ids of tombstones.
 */
#define HONE_MAX_BATCH_ID \
	((HONE_VALUE_LOCK - HONE_VALUE_TOMBSTONE) * HONE_BATCHES_PER_VALUE - 1)

/* Totals and high-water marks of one table; rewritten by every fold. */
typedef struct HoneStoreMeta
{
	uint32		magic;
	uint32		version;
	int64		next_batch;		/* never given twice */
	int64		next_chunk;		/* likewise */
	int64		batches;		/* now in the directory */
	int64		rows;			/* in those batches */
	int64		raw_bytes;		/* their column values, uncompressed */
	int64		stored_bytes;	/* their streams */
	int64		heap_bytes;		/* total size with indexes before the first
								 * fold */
	uint32		next_move;		/* chunk_seq of the next row of moves */
	uint32		crc;			/* CRC-32C of all before it */
} HoneStoreMeta;

/* The directory row of one batch. */
typedef struct HoneBatchEntry
{
	uint32		magic;
	uint32		version;
	int64		first_chunk;
	int64		stored_bytes;	/* length of the stream */
	int64		raw_bytes;
	int64		key_min;		/* of the order key, as int64 */
	int64		key_max;
	Oid			key_type;		/* InvalidOid: no usable order key */
	int32		batch;
	int32		nrows;
	int32		natts;			/* of the table when written */
	int32		detail_bytes;	/* length of the stream's first part */
	int16		key_attnum;
	int16		level;			/* of zstd; 0 = not known */
	uint32		detail_crc;		/* of that part */
	uint32		crc;
} HoneBatchEntry;

/* A table's TOAST table, opened. */
typedef struct HoneStore
{
	Relation	rel;			/* the table, the caller's */
	TupleDesc	desc;			/* of its rows; ALTER TABLE reads by an older
								 * one */
	Relation	toast;
	Relation   *indexes;
	int			nindexes;
	Relation	index;			/* the valid one of them */
	const BlockNumber *pages;	/* for the next chunks, if they are free */
	int			npages;
	int			options;		/* of heap_insert, for batches and meta row */
	bool		no_defaults;	/* known to keep none (defaults.h) */
} HoneStore;

/*
 * Open the TOAST table of rel with the given lock, which is kept to the end
 * of the transaction. NULL when it has none.
 */
extern HoneStore *hone_store_open(Relation rel, LOCKMODE lockmode);
extern void hone_store_close(HoneStore *store);

/*
 * Whether the table holds, or may hold, batches: whether any version of the
 * meta row exists. A false answer stays true while a lock that conflicts
 * with ACCESS EXCLUSIVE is held.
 */
extern bool hone_store_exists(Relation rel);

/* False when the snapshot sees no meta row. */
extern bool hone_store_read_meta(HoneStore *store, Snapshot snapshot,
								 HoneStoreMeta *meta);

/* Replace the meta row that snapshot sees, or write the first. */
extern void hone_store_write_meta(HoneStore *store, Snapshot snapshot,
								  HoneStoreMeta *meta);
extern void hone_store_delete_meta(HoneStore *store, Snapshot snapshot);

/* Whether some snapshot in use, here or elsewhere, may still see a batch. */
extern bool hone_store_seen_by_anybody(HoneStore *store);

/* All batches that the snapshot sees, in the order of their ids. */
extern HoneBatchEntry *hone_store_read_directory(HoneStore *store,
												 Snapshot snapshot,
												 int *nentries);

/* One batch; false when the snapshot does not see it. */
extern bool hone_store_find_batch(HoneStore *store, Snapshot snapshot,
								  int32 batch, HoneBatchEntry *entry);

/*
 * Write a batch: its stream first, then its directory row. Fills in
 * entry->batch and entry->first_chunk and counts it in meta, which the
 * caller writes back. Needs an EXCLUSIVE lock on the table.
 */
extern void hone_store_write_batch(HoneStore *store, HoneStoreMeta *meta,
								   HoneBatchEntry *entry,
								   const char *stream);

/* Delete a batch that the snapshot sees; counts it out of meta. */
extern void hone_store_delete_batch(HoneStore *store, Snapshot snapshot,
									HoneStoreMeta *meta,
									const HoneBatchEntry *entry);

/*
 * Rows of the TOAST table under one value id, with chunk_seq from first to
 * last, in that order, as the snapshot sees them.
 */
typedef struct HoneStoreScan HoneStoreScan;

extern HoneStoreScan *hone_store_begin_scan(HoneStore *store, Snapshot snapshot,
											Oid value, int32 first, int32 last);

/* The chunks of a batch's stream, in their order. */
extern HoneStoreScan *hone_store_begin_batch_scan(HoneStore *store, Snapshot snapshot,
												  const HoneBatchEntry *entry);

/* The next row, valid until the next call; NULL at the end. */
extern HeapTuple hone_store_next(HoneStoreScan *scan);
extern void hone_store_end_scan(HoneStoreScan *scan);

/* The bytes of such a row, not copied. Sets *seq and *length. */
extern const char *hone_store_row_bytes(HoneStore *store, HeapTuple tuple,
										int32 *seq, int32 *length);

/*
 * Insert a row with its index entry. Sets *tid. options: of heap_insert;
 * logical decoding never sees it.
 */
extern void hone_store_insert_row(HoneStore *store, Oid value, int32 seq,
								  const void *data, int32 length,
								  CommandId cid, int options,
								  ItemPointer tid);

/* Whether the snapshot sees any row of a value id. */
extern bool hone_store_holds_any(HoneStore *store, Snapshot snapshot, Oid value);

/* Raise XX001: what of the table is damaged. */
extern void hone_store_report_damage(HoneStore *store, const char *what);

/* Delete rows that the snapshot sees. */
extern void hone_store_delete_rows(HoneStore *store, Snapshot snapshot,
								   Oid value, int32 first, int32 last);

/*
 * Copy length bytes of the batch's stream from offset to dest. A missing or
 * malformed chunk is ERRCODE_DATA_CORRUPTED.
 */
extern void hone_store_read_stream(HoneStore *store, Snapshot snapshot,
								   const HoneBatchEntry *entry,
								   int64 offset, int64 length, char *dest);

#endif							/* HONE_TIERED_STORE_H */
