/*-------------------------------------------------------------------------
 *
 * row.h
 *	  One compressed row by its TID.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_ROW_H
#define HONE_TIERED_ROW_H

#include "executor/tuptable.h"

#include "tiered/cursor.h"

/*
 * The row, dead or alive, into a slot of any kind with its TID and table;
 * false when the snapshot does not see its batch. The batch last asked for
 * stays decoded until the end of the transaction, one vector of it.
 */
extern bool hone_row_fetch(HoneStore *store, Snapshot snapshot,
						   const ItemPointerData *tid, TupleTableSlot *slot);

/*
 * The same for a snapshot of any kind and its tombstones. SnapshotAny: a row
 * is there if the active snapshot or the latest sees its batch.
 */
extern bool hone_row_fetch_version(Relation rel, const ItemPointerData *tid,
								   Snapshot snapshot, TupleTableSlot *slot);

/* Whether the snapshot sees the row. */
extern bool hone_row_is_visible(HoneStore *store, Snapshot snapshot,
								const ItemPointerData *tid);

/*
 * The TID of the plain row that replaced a compressed one, to the snapshot's
 * knowledge; false, and *tid as it was, when none did.
 */
extern bool hone_row_replaced_by(Relation rel, Snapshot snapshot, ItemPointer tid);

/* A compressed row as a heap tuple into a slot of any kind. */
extern void hone_row_store(HeapTuple tuple, TupleTableSlot *slot);

#endif							/* HONE_TIERED_ROW_H */
