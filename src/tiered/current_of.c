/*-------------------------------------------------------------------------
 *
 * current_of.c
 *	  The row that WHERE CURRENT OF means.
 *
 * A cursor without FOR UPDATE keeps no row as it was. On a heap the statement
 * follows the chain of updates from the row that was fetched to the version
 * that it sees. From a compressed row one more link leads to the plain row
 * that replaced it. Folding breaks the chain: the row lives on in a batch that
 * nothing here names. Then nothing would be updated, silently; so it is an
 * error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/current_of.h"
#include "tiered/row.h"

static void
report_folded(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not find the cursor's row: it was compressed after it was fetched"),
			 errhint("Try again, or declare the cursor FOR UPDATE: then table \"%s\" is not compressed meanwhile.",
					 RelationGetRelationName(rel))));
}

/* One version of a chain; false: it is the last. */
static bool
follow(Relation rel, Snapshot snapshot, Page page, Buffer buffer,
	   ItemPointer version, TransactionId *made_by, ItemPointer tid, bool *folded)
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
		*folded = !valid;
		return false;
	}
	*made_by = HeapTupleHeaderGetUpdateXid(tuple.t_data);
	*version = tuple.t_data->t_ctid;
	return !ItemPointerEquals(&tuple.t_self, version);
}

static void
latest_plain(Relation rel, Snapshot snapshot, ItemPointer tid)
{
	ItemPointerData version = *tid;
	TransactionId made_by = InvalidTransactionId;
	bool		folded = false;
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
					  &made_by, tid, &folded);
		UnlockReleaseBuffer(buffer);
	} while (more);
	if (folded)
		report_folded(rel);
}

void
hone_current_of_tid(Relation rel, Snapshot snapshot, ItemPointer tid)
{
	if (hone_tid_is_compressed(tid))
	{
		HoneStore  *store = hone_store_open(rel, AccessShareLock);
		HoneBatchEntry entry;
		bool		there = store != NULL &&
		hone_store_find_batch(store, SnapshotSelf, hone_tid_batch(tid), &entry);

		if (store != NULL)
			hone_store_close(store);
		if (!there)
			report_folded(rel);
		if (!hone_row_replaced_by(rel, snapshot, tid))
			return;
	}
	latest_plain(rel, snapshot, tid);
}
