/*-------------------------------------------------------------------------
 *
 * write.h
 *	  UPDATE, DELETE and row locks of compressed rows.
 *
 * Arguments and results are those of the table access method's callbacks
 * (access/tableam.h), for a TID of a compressed row.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_WRITE_H
#define HONE_TIERED_WRITE_H

#include "access/tableam.h"

extern TM_Result hone_write_delete(Relation rel, ItemPointer tid, CommandId cid,
								   Snapshot crosscheck, bool wait,
								   TM_FailureData *tmfd, bool changing_part);

/* The new version becomes a plain row; the caller makes its index entries. */
extern TM_Result hone_write_update(Relation rel, ItemPointer tid,
								   TupleTableSlot *slot, CommandId cid,
								   Snapshot crosscheck, bool wait,
								   TM_FailureData *tmfd, LockTupleMode *mode);

extern TM_Result hone_write_lock(Relation rel, ItemPointer tid,
								 Snapshot snapshot, TupleTableSlot *slot,
								 CommandId cid, LockTupleMode mode,
								 LockWaitPolicy policy, uint8 flags,
								 TM_FailureData *tmfd);

#endif							/* HONE_TIERED_WRITE_H */
