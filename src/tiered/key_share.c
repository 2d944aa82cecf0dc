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
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/key_share.h"

/* The status with which a single holder of a row is in its xmax. */
static MultiXactStatus
single_status(HeapTupleHeader header)
{
	uint16		infomask = header->t_infomask;

	if (!HEAP_XMAX_IS_LOCKED_ONLY(infomask))
		return MultiXactStatusNoKeyUpdate;
	if (HEAP_XMAX_IS_KEYSHR_LOCKED(infomask))
		return MultiXactStatusForKeyShare;
	if (HEAP_XMAX_IS_SHR_LOCKED(infomask))
		return MultiXactStatusForShare;
	return MultiXactStatusForNoKeyUpdate;
}

/*
 * The xmax and its bits after this transaction has locked the row too; false
 * when somebody is deleting it, changing its key, or has locked it FOR UPDATE.
 */
static bool
add_locker(HeapTupleHeader header, TransactionId *xmax, uint16 *bits)
{
	TransactionId old = HeapTupleHeaderGetRawXmax(header);
	TransactionId mine = GetCurrentTransactionId();
	uint16		infomask = header->t_infomask;

	*bits = HEAP_XMAX_LOCK_ONLY | HEAP_XMAX_KEYSHR_LOCK;
	*xmax = mine;
	if (infomask & HEAP_XMAX_INVALID)
		return true;
	if (header->t_infomask2 & HEAP_KEYS_UPDATED)
		return false;
	if (!(infomask & HEAP_XMAX_IS_MULTI) && TransactionIdIsCurrentTransactionId(old))
	{
		/* an outer transaction's lock must outlive this subtransaction */
		*xmax = old;
		*bits = infomask & (HEAP_XMAX_LOCK_ONLY | HEAP_LOCK_MASK);
		return HEAP_XMAX_IS_LOCKED_ONLY(infomask);
	}
	if (!(infomask & HEAP_XMAX_IS_MULTI) && !TransactionIdIsInProgress(old))
	{
		/* a lock that ended, or an update that did: heapam's to look at */
		return HEAP_XMAX_IS_LOCKED_ONLY(infomask);
	}

	/* KEY SHARE is the weakest: what the strongest holder has says it all */
	*bits = HEAP_XMAX_IS_MULTI | (infomask & HEAP_LOCK_MASK) |
		(HEAP_XMAX_IS_LOCKED_ONLY(infomask) ? HEAP_XMAX_LOCK_ONLY : HEAP_XMAX_EXCL_LOCK);
	if (infomask & HEAP_XMAX_IS_MULTI)
		*xmax = MultiXactIdExpand(old, mine, MultiXactStatusForKeyShare);
	else
		*xmax = MultiXactIdCreate(old, single_status(header),
								  mine, MultiXactStatusForKeyShare);
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

/*
 * Lock one version. Sets *next to the version that replaced it, or makes it
 * invalid.
 */
static bool
lock_on_page(Page page, OffsetNumber offset, TransactionId xid, ItemPointer next)
{
	ItemId		item;
	HeapTupleHeader header;
	TransactionId xmax;
	uint16		bits;

	ItemPointerSetInvalid(next);
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
	if (!HEAP_XMAX_IS_LOCKED_ONLY(bits))
		*next = header->t_ctid;
	return true;
}

static bool
lock_version(Relation rel, const ItemPointerData *tid, TransactionId xid,
			 ItemPointer next)
{
	Buffer		buffer;
	GenericXLogState *xlog;
	bool		locked = false;

	if (!ItemPointerIsValid(tid) ||
		ItemPointerGetBlockNumber(tid) >= RelationGetNumberOfBlocks(rel))
		return false;

	buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(tid));
	xlog = GenericXLogStart(rel);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);

	/* committed so long ago that the page is all visible: heapam's to lock */
	if (!PageIsAllVisible(BufferGetPage(buffer)))
		locked = lock_on_page(GenericXLogRegisterBuffer(xlog, buffer, 0),
							  ItemPointerGetOffsetNumber(tid), xid, next);
	if (locked)
		GenericXLogFinish(xlog);
	else
		GenericXLogAbort(xlog);
	UnlockReleaseBuffer(buffer);
	return locked;
}

/*
 * Version after version, as long as the same transaction made them. One that
 * was made in a subtransaction has another xid: then the caller waits.
 */
bool
hone_key_share_new_row(Relation rel, const ItemPointerData *tid, TransactionId xid)
{
	ItemPointerData version = *tid;
	ItemPointerData next;

	/* before a buffer is locked */
	(void) GetCurrentTransactionId();
	MultiXactIdSetOldestMember();

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (!lock_version(rel, &version, xid, &next))
			return false;
		if (!ItemPointerIsValid(&next))
			return true;
		version = next;
	}
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
