/*-------------------------------------------------------------------------
 *
 * moves.h
 *	  Where rows went that were compressed or decompressed, for cursors.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_MOVES_H
#define HONE_TIERED_MOVES_H

#include "tiered/store.h"

typedef enum HoneMove
{
	HONE_MOVED_IN = 1,			/* into a batch, from a place or another batch */
	HONE_MOVED_OUT				/* out of it */
} HoneMove;

/*
 * With EXCLUSIVE held, while somebody else has the table open: row i of the
 * batch came from, or went to, tids[i]; an invalid one: it is nowhere. The
 * caller writes meta.
 */
extern void hone_moves_note(HoneStore *store, HoneStoreMeta *meta,
							HoneMove move, int32 batch,
							const ItemPointerData *tids, int n);

typedef enum HoneMoved
{
	HONE_MOVED_THERE,			/* *tid is where it went */
	HONE_MOVED_NOWHERE,			/* it was dead, and replaced by no row */
	HONE_MOVED_UNKNOWN			/* nothing is noted */
} HoneMoved;

/*
 * Where the row went that was at *tid. moved_by: the transaction that moved
 * it, where tid is a plain row's; places of plain rows are used again.
 */
extern HoneMoved hone_moves_follow(Relation rel, TransactionId moved_by,
								   ItemPointer tid);

/*
 * Whether a transaction moved rows of the table, noted or not; as long as
 * somebody has a snapshot from before it.
 */
extern bool hone_moves_made_by(Relation rel, TransactionId xid);

/* Whether anything is noted; forget all of it, when nobody else is there. */
extern bool hone_moves_noted(HoneStore *store, Snapshot snapshot);
extern void hone_moves_forget(HoneStore *store, Snapshot snapshot);

#endif							/* HONE_TIERED_MOVES_H */
