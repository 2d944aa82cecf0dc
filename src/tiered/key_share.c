/*-------------------------------------------------------------------------
 *
 * key_share.c
 *	  KEY SHARE locks beside an update that leaves the key as it is.
 *
 * A foreign key check and such an update do not wait for each other: on a
 * heap the check locks the old version, and the lock is copied to the new
 * one, which heapam does along the update chain
 * (heap_lock_updated_tuple_rec). From a compressed row to the plain row that
 * replaces it there is no such chain; so the lock is put on that row here, in
 * the same form. Only the cases without a conflict are done: the row is not
 * locked, or locked by others FOR KEY SHARE.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/xact.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/key_share.h"

/*
 * The xmax and its bits after this transaction has locked the row too; false
 * when somebody's hold on it is of another kind.
 */
static bool
add_locker(HeapTupleHeader header, TransactionId *xmax, uint16 *bits)
{
	TransactionId old = HeapTupleHeaderGetRawXmax(header);
	TransactionId mine = GetCurrentTransactionId();
	uint16		infomask = header->t_infomask;

	*bits = HEAP_XMAX_LOCK_ONLY | HEAP_XMAX_KEYSHR_LOCK;
	if (infomask & HEAP_XMAX_INVALID)
	{
		*xmax = mine;
		return true;
	}
	if (!HEAP_XMAX_IS_LOCKED_ONLY(infomask) || !HEAP_XMAX_IS_KEYSHR_LOCKED(infomask))
		return false;
	if (infomask & HEAP_XMAX_IS_MULTI)
	{
		*xmax = MultiXactIdExpand(old, mine, MultiXactStatusForKeyShare);
		*bits |= HEAP_XMAX_IS_MULTI;
	}
	else if (TransactionIdIsCurrentTransactionId(old) || !TransactionIdIsInProgress(old))
		*xmax = mine;
	else
	{
		*xmax = MultiXactIdCreate(old, MultiXactStatusForKeyShare,
								  mine, MultiXactStatusForKeyShare);
		*bits |= HEAP_XMAX_IS_MULTI;
	}
	return true;
}

static void
set_locker(HeapTupleHeader header, TransactionId xmax, uint16 bits)
{
	header->t_infomask &= ~HEAP_XMAX_BITS;
	header->t_infomask2 &= ~HEAP_KEYS_UPDATED;
	header->t_infomask |= bits;
	HeapTupleHeaderSetXmax(header, xmax);
}

static bool
lock_on_page(Page page, OffsetNumber offset, TransactionId xid)
{
	ItemId		item;
	HeapTupleHeader header;
	TransactionId xmax;
	uint16		bits;

	if (offset > PageGetMaxOffsetNumber(page))
		return false;
	item = PageGetItemId(page, offset);
	if (!ItemIdIsNormal(item))
		return false;
	header = (HeapTupleHeader) PageGetItem(page, item);
	if (!TransactionIdEquals(HeapTupleHeaderGetXmin(header), xid) ||
		!add_locker(header, &xmax, &bits))
		return false;
	set_locker(header, xmax, bits);
	return true;
}

bool
hone_key_share_new_row(Relation rel, const ItemPointerData *tid, TransactionId xid)
{
	Buffer		buffer;
	GenericXLogState *xlog;
	bool		locked = false;

	if (!ItemPointerIsValid(tid) ||
		ItemPointerGetBlockNumber(tid) >= RelationGetNumberOfBlocks(rel))
		return false;

	/* before a buffer is locked */
	(void) GetCurrentTransactionId();
	MultiXactIdSetOldestMember();

	buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(tid));
	xlog = GenericXLogStart(rel);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);

	/* committed so long ago that the page is all visible: heapam's to lock */
	if (!PageIsAllVisible(BufferGetPage(buffer)))
		locked = lock_on_page(GenericXLogRegisterBuffer(xlog, buffer, 0),
							  ItemPointerGetOffsetNumber(tid), xid);
	if (locked)
		GenericXLogFinish(xlog);
	else
		GenericXLogAbort(xlog);
	UnlockReleaseBuffer(buffer);
	return locked;
}

/*
 * Those who hold the lock row FOR KEY SHARE, this transaction aside, as an
 * xmax with its bits; false when there is nobody.
 */
static bool
other_holders(Relation toast, const ItemPointerData *lock_row,
			  TransactionId *xmax, uint16 *bits)
{
	HeapTupleData tuple;
	Buffer		buffer;
	MultiXactMember *members = NULL;
	int			nmembers = 0;
	int			kept = 0;

	tuple.t_self = *lock_row;
	if (!heap_fetch(toast, SnapshotSelf, &tuple, &buffer, false))
		elog(ERROR, "the lock row of a compressed row is gone");
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	*xmax = HeapTupleHeaderGetRawXmax(tuple.t_data);
	*bits = tuple.t_data->t_infomask;
	UnlockReleaseBuffer(buffer);

	/* a single holder is this transaction */
	if ((*bits & HEAP_XMAX_INVALID) || !(*bits & HEAP_XMAX_IS_MULTI))
		return false;
	nmembers = GetMultiXactIdMembers(*xmax, &members, false, HEAP_XMAX_IS_LOCKED_ONLY(*bits));
	for (int i = 0; i < nmembers; i++)
	{
		if (members[i].status == MultiXactStatusForKeyShare &&
			!TransactionIdIsCurrentTransactionId(members[i].xid) &&
			TransactionIdIsInProgress(members[i].xid))
			members[kept++] = members[i];
	}
	*bits = HEAP_XMAX_LOCK_ONLY | HEAP_XMAX_KEYSHR_LOCK;
	if (kept == 1)
		*xmax = members[0].xid;
	else if (kept > 1)
	{
		MultiXactIdSetOldestMember();
		*xmax = MultiXactIdCreateFromMembers(kept, members);
		*bits |= HEAP_XMAX_IS_MULTI;
	}
	if (members != NULL)
		pfree(members);
	return kept > 0;
}

void
hone_key_share_copy(Relation toast, const ItemPointerData *lock_row,
					Relation rel, const ItemPointerData *tid)
{
	TransactionId xmax;
	uint16		bits;
	GenericXLogState *xlog;
	Buffer		buffer;
	Page		page;

	if (!other_holders(toast, lock_row, &xmax, &bits))
		return;
	xlog = GenericXLogStart(rel);
	buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(tid));
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	set_locker((HeapTupleHeader) PageGetItem(page, PageGetItemId(page, ItemPointerGetOffsetNumber(tid))),
			   xmax, bits);
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
}
