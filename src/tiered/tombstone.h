/*-------------------------------------------------------------------------
 *
 * tombstone.h
 *	  Which compressed rows are dead, and which are locked.
 *
 * A compressed row (batch, row) is visible to a snapshot when its batch is
 * and no tombstone of it is. A tombstone is written by whoever deletes or
 * updates the row, at his command: its xmin and cmin play the part of a heap
 * row's xmax and cmax. A row has one tombstone that counts at most; those of
 * aborted transactions do not count.
 *
 * A lock row stands for a compressed row that somebody locked: its xmax,
 * heapam's own, says who holds which lock. It is frozen when it is inserted,
 * so that it outlives its transaction and everybody can lock it at once; by
 * itself it means nothing.
 *
 * Both are rows of the TOAST table and go with their batch. Row numbers count
 * from 0.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_TOMBSTONE_H
#define HONE_TIERED_TOMBSTONE_H

#include "storage/itemptr.h"

#include "tiered/store.h"

/* What became of the row; stored. */
typedef enum HoneTombstoneKind
{
	HONE_TOMB_DELETED = 1,
	HONE_TOMB_UPDATED = 2,		/* a plain row replaced it; its key changed */
	HONE_TOMB_UPDATED_NO_KEY = 3,	/* a plain row with the same key did */
	HONE_TOMB_MOVED = 4			/* to another partition */
} HoneTombstoneKind;

typedef struct HoneTombstone
{
	HoneTombstoneKind kind;
	ItemPointerData replaced_by;	/* invalid unless UPDATED */
	TransactionId xid;			/* who wrote it */
	CommandId	cid;			/* his command; of this transaction only */
} HoneTombstone;

typedef enum HoneRowState
{
	HONE_ROW_ALIVE,
	HONE_ROW_DEAD,				/* by a committed transaction */
	HONE_ROW_DEAD_BY_ME,
	HONE_ROW_CHANGING			/* by a transaction in progress */
} HoneRowState;

/*
 * How the row stands now, whoever sees it; *tombstone is filled in unless it
 * is alive.
 */
extern HoneRowState hone_tombstone_state(HoneStore *store, int32 batch, int row,
										 HoneTombstone *tombstone);

/* Whether the snapshot sees a tombstone of the row. */
extern bool hone_tombstone_visible(HoneStore *store, Snapshot snapshot,
								   int32 batch, int row);

/*
 * Write a tombstone. The caller holds the row (write.c), so that there is no
 * other one. Needs ROW EXCLUSIVE on the table and in hone_store_open().
 */
extern void hone_tombstone_insert(HoneStore *store, int32 batch, int row,
								  HoneTombstoneKind kind,
								  const ItemPointerData *replaced_by,
								  CommandId cid);

/*
 * Of a row of the TOAST table under this value id: if it is a tombstone that
 * names a plain row, replace its bytes by ones, palloc'd, that name none.
 */
extern bool hone_tombstone_forget(Oid value, Datum *bytes);

/* A bit for each row of a batch. */
#define HONE_DEAD_BYTES	((HONE_MAX_BATCH_ROWS + 8) / 8)
#define HONE_IS_DEAD(dead, row)	(((dead)[(row) >> 3] >> ((row) & 7)) & 1)

/*
 * Where the plain rows are that replaced rows of a batch, to the snapshot's
 * knowledge; invalid for all other rows.
 */
extern void hone_tombstones_replacements(HoneStore *store, Snapshot snapshot,
										 int32 batch, int nrows,
										 ItemPointerData *tids);

/*
 * Set the bits of those of the batch's rows from first to last of which the
 * snapshot sees a tombstone, clear all others. Returns how many are set.
 */
extern int	hone_tombstones_read(HoneStore *store, Snapshot snapshot,
								 int32 batch, int first, int last, uint8 *dead);

/*
 * Look at every tombstone, of batches that the snapshot does not see too, so
 * that a serializable reader meets those who wrote them.
 */
extern void hone_tombstones_visit(HoneStore *store, Snapshot snapshot);

/*
 * How many rows of all batches the snapshot sees as dead. Where there are many
 * batches, from some of them spread over all.
 */
extern int64 hone_tombstones_count(HoneStore *store, Snapshot snapshot);

/* A cheaper and coarser estimate, from some rows spread over all. */
extern int64 hone_tombstones_estimate(HoneStore *store, Snapshot snapshot);

/* Delete the batch's tombstones that the snapshot sees, and its lock rows. */
extern void hone_tombstones_delete_batch(HoneStore *store, Snapshot snapshot,
										 int32 batch);

/* The lock row of a compressed row; false when there is none. */
extern bool hone_lock_row_find(HoneStore *store, int32 batch, int row,
							   ItemPointer tid);
extern void hone_lock_row_insert(HoneStore *store, int32 batch, int row,
								 ItemPointer tid);

#endif							/* HONE_TIERED_TOMBSTONE_H */
