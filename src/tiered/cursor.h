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

/*
 * Compressed rows have TIDs with block numbers from 0x80000000 up:
 * the batch id in the block, the row in the offset (from 1).
 */
#define HONE_FIRST_COMPRESSED_BLOCK ((BlockNumber) 0x80000000)

static inline bool
hone_tid_is_compressed(ItemPointer tid)
{
	return ItemPointerGetBlockNumberNoCheck(tid) >= HONE_FIRST_COMPRESSED_BLOCK &&
		ItemPointerGetBlockNumberNoCheck(tid) != InvalidBlockNumber;
}

/*
 * Bounds, both inclusive, on one attribute. A batch whose order key it is
 * must meet them to be read.
 */
typedef struct HoneKeyBounds
{
	AttrNumber	attnum;
	Oid			type;
	int64		low;
	int64		high;
	bool		nothing;		/* no value can satisfy them */
} HoneKeyBounds;

typedef struct HoneCursor
{
	HoneStore  *store;
	Snapshot	snapshot;
	int		   *wanted;			/* attributes, 0-based; others come out NULL */
	int			nwanted;
	HoneKeyBounds *bounds;		/* the caller's */
	int			nbounds;

	HoneBatchEntry *directory;
	int			nbatches;
	int			batch;			/* index into directory; -1 before the first */
	int			row;			/* in that batch */

	MemoryContext context;		/* the cursor's own */
	HoneBatchReader *reader;
	int			vector;			/* of the batch, that is decoded; -1 = none */
	Datum	  **values;			/* [attribute][row of the vector] */
	bool	  **isnull;

	int64		batches_read;
	int64		batches_skipped;
} HoneCursor;

/*
 * rel stays the caller's; the snapshot must stay registered or active while
 * the cursor is used. desc: of the rows, NULL = as rel has it now (the scan of
 * ALTER TABLE knows fewer columns). attributes: 0-based, NULL = all; members past the last
 * attribute are ignored. Returns NULL when the table cannot hold batches (no
 * TOAST table).
 */
extern HoneCursor *hone_cursor_open(Relation rel, Snapshot snapshot,
									TupleDesc desc,
									const Bitmapset *attributes);

/*
 * Before the first row again, with new bounds: an array, which must stay
 * valid while the cursor walks; at most one element an attribute.
 */
extern void hone_cursor_rewind(HoneCursor *cursor, HoneKeyBounds *bounds,
							   int nbounds);

/* Step to the next or previous row; false at the end. */
extern bool hone_cursor_next(HoneCursor *cursor, bool forward);

/* Go to one row; false when the snapshot does not see it. */
extern bool hone_cursor_seek(HoneCursor *cursor, ItemPointer tid);

/*
 * Current row into a virtual slot; valid until the next step. Only the wanted
 * attributes are written: the caller has set all others to NULL before.
 */
extern void hone_cursor_store_virtual(HoneCursor *cursor, TupleTableSlot *slot);

/* Current row as a heap tuple with system columns, palloc'd. */
extern HeapTuple hone_cursor_form_tuple(HoneCursor *cursor);

/* TID of the current row. */
extern void hone_cursor_tid(HoneCursor *cursor, ItemPointer tid);

extern void hone_cursor_close(HoneCursor *cursor);

#endif							/* HONE_TIERED_CURSOR_H */
