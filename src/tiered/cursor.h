/*-------------------------------------------------------------------------
 *
 * cursor.h
 *	  Walk the compressed rows that a snapshot sees, in both directions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_CURSOR_H
#define HONE_TIERED_CURSOR_H

#include "nodes/bitmapset.h"

#include "tiered/batch.h"
#include "tiered/condition.h"
#include "tiered/tombstone.h"

/*
 * Compressed rows have TIDs with block numbers from 0x80000000 up:
 * the batch id in the block, the row in the offset (from 1).
 */
#define HONE_FIRST_COMPRESSED_BLOCK ((BlockNumber) 0x80000000)

static inline bool
hone_tid_is_compressed(const ItemPointerData *tid)
{
	return ItemPointerGetBlockNumberNoCheck(tid) >= HONE_FIRST_COMPRESSED_BLOCK &&
		ItemPointerGetBlockNumberNoCheck(tid) != InvalidBlockNumber;
}

/* The batch, and the row in it counted from 0, of a compressed row's TID. */
static inline int32
hone_tid_batch(const ItemPointerData *tid)
{
	return (int32) (ItemPointerGetBlockNumberNoCheck(tid) - HONE_FIRST_COMPRESSED_BLOCK);
}

static inline int
hone_tid_row(const ItemPointerData *tid)
{
	return (int) ItemPointerGetOffsetNumberNoCheck(tid) - 1;
}

static inline void
hone_tid_set(ItemPointer tid, int32 batch, int row)
{
	ItemPointerSet(tid, HONE_FIRST_COMPRESSED_BLOCK + batch, row + 1);
}

/*
 * A serializable transaction that reads batches is taken to have read the
 * whole table: nothing finer says what a tombstone, or folding, touches. Does
 * nothing for others.
 */
extern void hone_serializable_read(HoneStore *store, Snapshot snapshot);

typedef struct HoneCursor
{
	HoneStore  *store;
	Snapshot	snapshot;
	int		   *wanted;			/* attributes, 0-based; others come out NULL */
	int			nwanted;
	const HoneCondition *conditions;	/* the caller's */
	int			nconditions;
	bool		has_tid_range;	/* only rows from first_tid to last_tid */
	ItemPointerData first_tid;
	ItemPointerData last_tid;

	HoneBatchEntry *directory;
	int			nbatches;
	int			batch;			/* index into directory; -1 before the first */
	int			row;			/* in that batch */
	uint32		vectors;		/* of that batch, that may match */
	int			ndead;			/* of that batch's rows, to the snapshot */
	uint8	   *dead;			/* HONE_DEAD_BYTES; meaningful when ndead > 0 */
	Snapshot	dirty;			/* the caller's SnapshotDirty, else NULL */

	MemoryContext context;		/* the cursor's own */
	HoneBatchReader *reader;
	int			reader_batch;	/* the reader's, index into directory */
	int			vector;			/* of that batch, that is decoded; -1 = none */
	Datum	  **values;			/* [attribute][row of the vector] */
	bool	  **isnull;

	int64		batches_read;
	int64		batches_skipped;
} HoneCursor;

/*
 * rel stays the caller's; the snapshot must stay registered or active while
 * the cursor is used. SnapshotAny counts as SnapshotSelf; a SnapshotDirty is
 * told who is changing the row that the cursor stops at. desc: of the rows, NULL = as rel has it now (the scan of
 * ALTER TABLE knows fewer columns). attributes: 0-based, NULL = all; members past the last
 * attribute are ignored. Returns NULL when the table cannot hold batches (no
 * TOAST table).
 */
extern HoneCursor *hone_cursor_open(Relation rel, Snapshot snapshot,
									TupleDesc desc,
									const Bitmapset *attributes);

/*
 * Before the first row again. Steps pass over batches, and vectors of them,
 * that hold no row which satisfies all of the conditions: an array, which must
 * stay valid while the cursor walks. Rows that do not may still come.
 */
extern void hone_cursor_rewind(HoneCursor *cursor, const HoneCondition *conditions,
							   int nconditions);

/* Behind the last row, to walk backwards. */
extern void hone_cursor_to_end(HoneCursor *cursor);

/*
 * Before the first row again, and from now on only rows whose TIDs lie
 * between these, both included.
 */
extern void hone_cursor_set_tid_range(HoneCursor *cursor, const ItemPointerData *first,
									  const ItemPointerData *last);

/* Step to the next or previous row; false at the end. */
extern bool hone_cursor_next(HoneCursor *cursor, bool forward);

/*
 * Go to one row, dead or alive (hone_cursor_is_dead); false when the snapshot
 * does not see its batch.
 */
extern bool hone_cursor_seek(HoneCursor *cursor, ItemPointer tid);

/* The same by its number, from 0, among all rows of all batches. */
extern bool hone_cursor_seek_number(HoneCursor *cursor, int64 number);

/* Whether the snapshot sees a tombstone of the current row. */
static inline bool
hone_cursor_is_dead(const HoneCursor *cursor)
{
	return cursor->ndead > 0 && HONE_IS_DEAD(cursor->dead, cursor->row);
}

/*
 * Current row into a virtual slot; valid until the next step. Only the wanted
 * attributes are written: the caller has set all others to NULL before.
 */
extern void hone_cursor_store_virtual(HoneCursor *cursor, TupleTableSlot *slot);

/* Current row as a heap tuple with system columns, palloc'd. */
extern HeapTuple hone_cursor_form_tuple(HoneCursor *cursor);

/*
 * The same of any decoded vector: values and isnull are [attribute][row of
 * the vector], a missing attribute is NULL.
 */
extern HeapTuple hone_form_compressed_tuple(TupleDesc desc, Oid relid,
											Datum **values, bool **isnull,
											int row, const ItemPointerData *tid);

/* TID of the current row. */
extern void hone_cursor_tid(HoneCursor *cursor, ItemPointer tid);

extern void hone_cursor_close(HoneCursor *cursor);

#endif							/* HONE_TIERED_CURSOR_H */
