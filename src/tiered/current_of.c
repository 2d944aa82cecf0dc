/*-------------------------------------------------------------------------
 *
 * current_of.c
 *	  The row that WHERE CURRENT OF means.
 *
 * A cursor without FOR UPDATE keeps no row as it was. On a heap the statement
 * follows the chain of updates from the row that was fetched to the version
 * that it sees. From a compressed row one more link leads to the plain row
 * that replaced it; and where a row has been compressed, compressed again or
 * decompressed since, what moves.c notes leads on. A transaction with one
 * snapshot does not see its row there: it gets an error, not nothing.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/current_of.h"
#include "tiered/moves.h"
#include "tiered/row.h"

static void
report_folded(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access: the cursor's row was compressed after it was fetched"),
			 errhint("Try again, or declare the cursor FOR UPDATE: then table \"%s\" is not compressed meanwhile.",
					 RelationGetRelationName(rel))));
}

/* One version of a chain; false: it is the last. */
static bool
follow(Relation rel, Snapshot snapshot, Page page, Buffer buffer,
	   ItemPointer version, TransactionId *made_by, ItemPointer tid, bool *moved)
{
	OffsetNumber offset = ItemPointerGetOffsetNumber(version);
	HeapTupleData tuple;
	bool		valid;

	if (offset < FirstOffsetNumber || offset > PageGetMaxOffsetNumber(page) ||
		!ItemIdIsNormal(PageGetItemId(page, offset)))
		return false;
	tuple.t_self = *version;
	tuple.t_data = (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, offset));
	tuple.t_len = ItemIdGetLength(PageGetItemId(page, offset));
	tuple.t_tableOid = RelationGetRelid(rel);
	if (TransactionIdIsValid(*made_by) &&
		!TransactionIdEquals(*made_by, HeapTupleHeaderGetXmin(tuple.t_data)))
		return false;

	valid = HeapTupleSatisfiesVisibility(&tuple, snapshot, buffer);
	HeapCheckForSerializableConflictOut(valid, rel, &tuple, buffer, snapshot);
	if (valid)
		*tid = *version;
	if ((tuple.t_data->t_infomask & HEAP_XMAX_INVALID) ||
		HeapTupleHeaderIsOnlyLocked(tuple.t_data))
		return false;
	if (HeapTupleHeaderIndicatesMovedPartitions(tuple.t_data))
	{
		*moved = !valid;
		*made_by = HeapTupleHeaderGetUpdateXid(tuple.t_data);
		return false;
	}
	*made_by = HeapTupleHeaderGetUpdateXid(tuple.t_data);
	*version = tuple.t_data->t_ctid;
	return !ItemPointerEquals(&tuple.t_self, version);
}

/*
 * Sets *tid to the version that the snapshot sees, if there is one. False: the
 * chain ends where *moved_by compressed the row, if not to move it to another
 * partition, at *tid.
 */
static bool
latest_plain(Relation rel, Snapshot snapshot, ItemPointer tid,
			 TransactionId *moved_by)
{
	ItemPointerData version = *tid;
	TransactionId made_by = InvalidTransactionId;
	bool		moved = false;
	bool		more;

	do
	{
		Buffer		buffer;

		CHECK_FOR_INTERRUPTS();
		if (ItemPointerGetBlockNumber(&version) >= RelationGetNumberOfBlocks(rel))
			break;
		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(&version));
		LockBuffer(buffer, BUFFER_LOCK_SHARE);
		more = follow(rel, snapshot, BufferGetPage(buffer), buffer, &version,
					  &made_by, tid, &moved);
		UnlockReleaseBuffer(buffer);
	} while (more);
	if (moved)
	{
		*tid = version;
		*moved_by = made_by;
	}
	return !moved;
}

static bool
batch_is_there(Relation rel, const ItemPointerData *tid)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	HoneBatchEntry entry;
	bool		there;

	if (store == NULL)
		return false;
	there = hone_store_find_batch(store, SnapshotSelf, hone_tid_batch(tid), &entry);
	hone_store_close(store);
	return there;
}

void
hone_current_of_tid(Relation rel, Snapshot snapshot, ItemPointer tid)
{
	for (;;)
	{
		TransactionId moved_by = InvalidTransactionId;

		if (hone_tid_is_compressed(tid) && batch_is_there(rel, tid))
		{
			if (!hone_row_replaced_by(rel, snapshot, tid))
				return;
		}
		if (!hone_tid_is_compressed(tid) && latest_plain(rel, snapshot, tid, &moved_by))
			return;
		if (IsolationUsesXactSnapshot())
			report_folded(rel);
		switch (hone_moves_follow(rel, moved_by, tid))
		{
			case HONE_MOVED_THERE:
				break;
			case HONE_MOVED_NOWHERE:
				return;
			case HONE_MOVED_UNKNOWN:
				/* moved to another partition? */
				if (TransactionIdIsValid(moved_by) && !hone_moves_made_by(rel, moved_by))
					return;
				report_folded(rel);
		}
	}
}
