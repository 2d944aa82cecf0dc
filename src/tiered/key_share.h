/*-------------------------------------------------------------------------
 *
 * key_share.h
 *	  KEY SHARE locks beside an update that leaves the key as it is.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_KEY_SHARE_H
#define HONE_TIERED_KEY_SHARE_H

#include "storage/itemptr.h"
#include "utils/relcache.h"

/*
 * Take a KEY SHARE lock for this transaction on a plain row that xid inserted
 * and may not have committed yet. False when that cannot be done at once:
 * the row is gone, or was changed or locked by somebody in another way.
 */
extern bool hone_key_share_new_row(Relation rel, const ItemPointerData *tid,
								   TransactionId xid);

/*
 * Give a plain row that this transaction has inserted, and nobody has seen
 * yet, the KEY SHARE locks that others hold on a lock row (tombstone.h).
 */
extern void hone_key_share_copy(Relation toast, const ItemPointerData *lock_row,
								Relation rel, const ItemPointerData *tid);

#endif							/* HONE_TIERED_KEY_SHARE_H */
