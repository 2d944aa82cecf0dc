/*-------------------------------------------------------------------------
 *
 * write.c
 *	  UPDATE, DELETE and row locks of compressed rows.
 *
 * Whoever writes a tombstone or a lock row of a compressed row first *holds*
 * the row: takes the heavyweight tuple lock on its TID, for as long as it
 * looks at the row's state and writes what it has to, and never while it
 * waits for a transaction. So of two writers the second sees the tombstone of
 * the first and waits for his transaction, as heapam waits for a row's xmax.
 *
 * Row locks are heapam's own locks of all four strengths, taken on the row's
 * lock row (tombstone.h). A writer takes the strength that heapam would take,
 * but makes no lock row where nobody has locked: its tombstone is enough.
 *
 * No batch comes or goes meanwhile: who writes or locks rows has at least ROW
 * SHARE on the table, which folding's EXCLUSIVE conflicts with. A row that
 * was folded again after the caller's snapshot is reported as updated.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/generic_xlog.h"
#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/predicate.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/key_share.h"
#include "tiered/row.h"
#include "tiered/write.h"

/* A compressed row that somebody wants to change or lock. */
typedef struct Target
{
	HoneStore  *store;
	ItemPointer tid;
	int32		batch;
	int			row;
	CommandId	cid;
} Target;

static void
set_target(Target *target, HoneStore *store, ItemPointer tid, CommandId cid)
{
	target->store = store;
	target->tid = tid;
	target->batch = hone_tid_batch(tid);
	target->row = hone_tid_row(tid);
	target->cid = cid;
}

static void
hold(Target *target)
{
	LockTuple(target->store->rel, target->tid, ExclusiveLock);
}

static void
let_go(Target *target)
{
	UnlockTuple(target->store->rel, target->tid, ExclusiveLock);
}

static void
report_not_available(Target *target)
{
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not obtain lock on row in relation \"%s\"",
					RelationGetRelationName(target->store->rel))));
}

/*
 * What the tombstone means to somebody who wants the row, as heapam tells it
 * of a row with that xmax.
 */
static TM_Result
report_tombstone(Target *target, HoneRowState state, const HoneTombstone *tombstone,
				 TM_FailureData *tmfd)
{
	tmfd->xmax = tombstone->xid;
	tmfd->cmax = InvalidCommandId;
	tmfd->ctid = *target->tid;
	if (tombstone->kind == HONE_TOMB_MOVED)
		ItemPointerSetMovedPartitions(&tmfd->ctid);
	else if (ItemPointerIsValid(&tombstone->replaced_by))
		tmfd->ctid = tombstone->replaced_by;

	if (state == HONE_ROW_DEAD_BY_ME)
	{
		tmfd->cmax = tombstone->cid;
		return tombstone->cid >= target->cid ? TM_SelfModified : TM_Invisible;
	}
	return ItemPointerEquals(&tmfd->ctid, target->tid) ? TM_Deleted : TM_Updated;
}

/*
 * The batch was compressed again, or decompressed, after the caller's snapshot.
 */
static TM_Result
report_folded(Target *target, TM_FailureData *tmfd)
{
	tmfd->xmax = InvalidTransactionId;
	tmfd->cmax = InvalidCommandId;
	ItemPointerSetMovedPartitions(&tmfd->ctid);
	return TM_Updated;
}

/*
 * Who has to wait for a transaction queues up first, as for heapam's tuple
 * lock, so that waiters come to the row in their order. The lock's tag is the
 * row's TID in the TOAST table, which nobody else uses. False: the policy says
 * not to wait.
 */
static const LOCKMODE queue_modes[] = {
	[LockTupleKeyShare] = AccessShareLock,
	[LockTupleShare] = RowShareLock,
	[LockTupleNoKeyExclusive] = ExclusiveLock,
	[LockTupleExclusive] = AccessExclusiveLock
};

static bool
queue_up(Target *target, LockTupleMode mode, LockWaitPolicy policy)
{
	Relation	toast = target->store->toast;

	switch (policy)
	{
		case LockWaitBlock:
			LockTuple(toast, target->tid, queue_modes[mode]);
			return true;
		case LockWaitSkip:
			return HONE_CONDITIONAL_LOCK_TUPLE(toast, target->tid, queue_modes[mode]);
		case LockWaitError:
			if (!HONE_CONDITIONAL_LOCK_TUPLE(toast, target->tid, queue_modes[mode]))
				report_not_available(target);
			return true;
	}
	return false;
}

/*
 * Wait for the end of the transaction; false: the policy says not to.
 */
static bool
wait_for(Target *target, TransactionId xid, LockWaitPolicy policy, XLTW_Oper oper)
{
	switch (policy)
	{
		case LockWaitBlock:
			XactLockTableWait(xid, target->store->rel, target->tid, oper);
			return true;
		case LockWaitSkip:
			return HONE_CONDITIONAL_XACT_WAIT(xid);
		case LockWaitError:
			if (!HONE_CONDITIONAL_XACT_WAIT(xid))
				report_not_available(target);
			return true;
	}
	return false;
}

static TM_Result
take_lock_row(Target *target, ItemPointer lock_row, LockTupleMode mode,
			  LockWaitPolicy policy)
{
	HeapTupleData tuple;
	TM_FailureData tmfd;
	Buffer		buffer;
	TM_Result	result;

	tuple.t_self = *lock_row;
	result = heap_lock_tuple(target->store->toast, &tuple, target->cid, mode,
							 policy, false, &buffer, &tmfd);
	ReleaseBuffer(buffer);
	if (result != TM_Ok && result != TM_WouldBlock)
		elog(ERROR, "unexpected result %d of locking a compressed row", result);
	return result;
}

/*
 * Lock the key of a row that somebody is updating without changing it: the
 * row, should he roll back, and the one that replaces it, should he commit.
 */
static bool
share_key(Target *target, const HoneTombstone *tombstone)
{
	ItemPointerData lock_row;

	if (!hone_lock_row_find(target->store, target->batch, target->row, &lock_row))
		hone_lock_row_insert(target->store, target->batch, target->row, &lock_row);

	/* the updater has locked the lock row at most FOR NO KEY UPDATE */
	return take_lock_row(target, &lock_row, LockTupleKeyShare, LockWaitSkip) == TM_Ok &&
		hone_key_share_new_row(target->store->rel, &tombstone->replaced_by, tombstone->xid);
}

/*
 * Try to make the row the caller's. On TM_Ok the row is held. TM_WouldBlock:
 * it is not; somebody is changing it (*changing), or has locked *lock_row.
 */
static TM_Result
try_acquire(Target *target, LockTupleMode mode, bool to_lock,
			HoneTombstone *tombstone, TM_FailureData *tmfd,
			bool *changing, ItemPointer lock_row)
{
	HoneRowState state;
	bool		locked_before;

	hold(target);
	state = hone_tombstone_state(target->store, target->batch, target->row, tombstone);
	*changing = state == HONE_ROW_CHANGING;
	if (state == HONE_ROW_CHANGING)
	{
		if (mode == LockTupleKeyShare && to_lock &&
			tombstone->kind == HONE_TOMB_UPDATED_NO_KEY &&
			share_key(target, tombstone))
			return TM_Ok;
		let_go(target);
		return TM_WouldBlock;
	}
	if (state != HONE_ROW_ALIVE)
	{
		let_go(target);
		return report_tombstone(target, state, tombstone, tmfd);
	}

	locked_before = hone_lock_row_find(target->store, target->batch, target->row, lock_row);
	if (!locked_before && !to_lock)
		return TM_Ok;
	if (!locked_before)
		hone_lock_row_insert(target->store, target->batch, target->row, lock_row);
	if (take_lock_row(target, lock_row, mode, LockWaitSkip) == TM_Ok)
		return TM_Ok;
	let_go(target);
	return TM_WouldBlock;
}

/*
 * Make the row the caller's to change or to lock with this strength. On TM_Ok
 * the row is held, to be let go when the caller has written its tombstone.
 * to_lock: the lock itself is what is wanted, so there must be a lock row.
 */
static TM_Result
acquire(Target *target, LockTupleMode mode, LockWaitPolicy policy, bool to_lock,
		XLTW_Oper oper, HoneTombstone *tombstone, TM_FailureData *tmfd)
{
	bool		queued = false;
	TM_Result	result;

	for (;;)
	{
		ItemPointerData lock_row;
		bool		changing;

		CHECK_FOR_INTERRUPTS();
		result = try_acquire(target, mode, to_lock, tombstone, tmfd, &changing, &lock_row);
		if (result != TM_WouldBlock)
			break;

		/* somebody has it: wait without holding the row, then look again */
		if (!queued)
		{
			if (!queue_up(target, mode, policy))
				break;
			queued = true;
			continue;
		}
		if (changing)
		{
			if (!wait_for(target, tombstone->xid, policy, oper))
				break;
			continue;
		}
		if (policy == LockWaitError)
			report_not_available(target);
		if (policy == LockWaitSkip)
			break;
		take_lock_row(target, &lock_row, mode, LockWaitBlock);
	}
	if (queued)
		UnlockTuple(target->store->toast, target->tid, queue_modes[mode]);
	return result;
}

/*
 * The same for a writer: the row must also be there now, and be visible to
 * crosscheck where one is given.
 */
static TM_Result
acquire_to_write(Target *target, LockTupleMode mode, Snapshot crosscheck,
				 bool wait, XLTW_Oper oper, TM_FailureData *tmfd)
{
	HoneTombstone tombstone;
	HoneBatchEntry entry;
	TM_Result	result;

	if (!hone_store_find_batch(target->store, SnapshotSelf, target->batch, &entry))
		return report_folded(target, tmfd);
	result = acquire(target, mode, wait ? LockWaitBlock : LockWaitSkip, false,
					 oper, &tombstone, tmfd);
	if (result == TM_WouldBlock)
		return TM_BeingModified;
	if (result == TM_Ok && crosscheck != InvalidSnapshot &&
		!hone_row_is_visible(target->store, crosscheck, target->tid))
	{
		let_go(target);
		return report_folded(target, tmfd);
	}

	return result;
}

/*
 * Serializable readers of the row, or of the table as a whole, of plain rows
 * that were folded too. Once the tombstone is there: a reader locks row or
 * table first and looks for tombstones then, so that one of the two meets the
 * other.
 */
static void
check_readers(Relation rel, ItemPointer tid)
{
	CheckForSerializableConflictIn(rel, tid, ItemPointerGetBlockNumber(tid));
}

/* ------------------------------------------------------------------------
 * Logical decoding
 *
 * It reads what changed from the WAL of the main fork, where a tombstone does
 * not appear. So where it is wanted the row is put there first, hidden from
 * decoding and without index entries, and then deleted or updated by heapam,
 * as by a later command; and then all of it is dated back to the caller's
 * command: the row is born and dies in the same command, and nobody sees it.
 * ------------------------------------------------------------------------
 */

/*
 * Put the row into the main fork. Returns the command, a later one, that can
 * change it. One that is out of line loses its long values to a command of its
 * own: heapam deletes them as of now. The others share two commands, so that
 * few combinations of them have to be remembered.
 */
static CommandId
insert_hidden(Relation rel, Target *target, ItemPointer hidden)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsHeapTuple);
	CommandId	later = target->cid + 1;
	HeapTuple	tuple;
	bool		should_free;

	if (!hone_row_fetch(target->store, SnapshotSelf, target->tid, slot))
		elog(ERROR, "row %d of batch %d is gone", target->row, target->batch);
	tuple = ExecFetchSlotHeapTuple(slot, true, &should_free);
	if (tuple->t_len <= TOAST_TUPLE_THRESHOLD)
		heap_insert(rel, tuple, target->cid, HEAP_INSERT_NO_LOGICAL, NULL);
	else
	{
		heap_insert(rel, tuple, GetCurrentCommandId(true), HEAP_INSERT_NO_LOGICAL, NULL);
		CommandCounterIncrement();
		later = GetCurrentCommandId(true);
	}
	*hidden = tuple->t_self;
	if (should_free)
		heap_freetuple(tuple);
	ExecDropSingleTupleTableSlot(slot);
	return later;
}

static HeapTupleHeader
header_on(Page page, const ItemPointerData *tid)
{
	return (HeapTupleHeader) PageGetItem(page, PageGetItemId(page, ItemPointerGetOffsetNumber(tid)));
}

/*
 * Date the hidden row, and what replaced it, back to the caller's command. And
 * a new version on the same page is not to hang on the hidden row, which no
 * index knows.
 */
static void
date_back(Relation rel, CommandId cid, const ItemPointerData *hidden,
		  const ItemPointerData *replaced_by)
{
	GenericXLogState *xlog = GenericXLogStart(rel);
	Buffer		buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(hidden));
	Buffer		new_buffer = InvalidBuffer;
	HeapTupleHeader header;
	CommandId	cmax = cid;
	bool		is_combo;
	bool		same_page = replaced_by != NULL &&
	ItemPointerGetBlockNumber(replaced_by) == ItemPointerGetBlockNumber(hidden);
	Page		page;

	/* in the order of blocks, as everybody does */
	if (replaced_by != NULL && !same_page)
	{
		new_buffer = ReadBuffer(rel, ItemPointerGetBlockNumber(replaced_by));
		if (ItemPointerGetBlockNumber(replaced_by) < ItemPointerGetBlockNumber(hidden))
		{
			LockBuffer(new_buffer, BUFFER_LOCK_EXCLUSIVE);
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
		}
		else
		{
			LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
			LockBuffer(new_buffer, BUFFER_LOCK_EXCLUSIVE);
		}
	}
	else
		LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);

	page = GenericXLogRegisterBuffer(xlog, buffer, 0);
	header = header_on(page, hidden);
	HeapTupleHeaderSetCmin(header, cid);
	HeapTupleHeaderAdjustCmax(header, &cmax, &is_combo);
	HeapTupleHeaderSetCmax(header, cmax, is_combo);
	HeapTupleHeaderClearHotUpdated(header);
	if (replaced_by != NULL)
	{
		if (!same_page)
			page = GenericXLogRegisterBuffer(xlog, new_buffer, 0);
		header = header_on(page, replaced_by);
		HeapTupleHeaderSetCmin(header, cid);
		HeapTupleHeaderClearHeapOnly(header);
	}
	GenericXLogFinish(xlog);
	UnlockReleaseBuffer(buffer);
	if (BufferIsValid(new_buffer))
		UnlockReleaseBuffer(new_buffer);
}

static void
delete_for_decoding(Relation rel, Target *target, bool changing_part)
{
	ItemPointerData hidden;
	CommandId	later;
	TM_FailureData tmfd;
	TM_Result	result;

	later = insert_hidden(rel, target, &hidden);
	result = heap_delete(rel, &hidden, later, InvalidSnapshot, true,
						 &tmfd, changing_part);
	if (result != TM_Ok)
		elog(ERROR, "unexpected result %d of deleting a hidden row", result);
	date_back(rel, target->cid, &hidden, NULL);
}

static void
update_for_decoding(Relation rel, Target *target, TupleTableSlot *slot)
{
	ItemPointerData hidden;
	CommandId	later;
	HoneUpdateIndexes update_indexes;
	LockTupleMode mode;
	TM_FailureData tmfd;
	TM_Result	result;

	later = insert_hidden(rel, target, &hidden);
	result = GetHeapamTableAmRoutine()->tuple_update(rel, &hidden, slot, later,
													 InvalidSnapshot, InvalidSnapshot, true,
													 &tmfd, &mode, &update_indexes);
	if (result != TM_Ok)
		elog(ERROR, "unexpected result %d of updating a hidden row", result);
	date_back(rel, target->cid, &hidden, &slot->tts_tid);

	/* a slot that holds the tuple itself holds its flags too */
	if (TTS_IS_HEAPTUPLE(slot) || TTS_IS_BUFFERTUPLE(slot))
	{
		HeapTuple	tuple = ((HeapTupleTableSlot *) slot)->tuple;

		if (tuple != NULL)
		{
			HeapTupleHeaderClearHeapOnly(tuple->t_data);
			HeapTupleHeaderSetCmin(tuple->t_data, target->cid);
		}
	}
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

TM_Result
hone_write_delete(Relation rel, ItemPointer tid, CommandId cid,
				  Snapshot crosscheck, bool wait, TM_FailureData *tmfd,
				  bool changing_part)
{
	HoneStore  *store = hone_store_open(rel, RowExclusiveLock);
	Target		target;
	TM_Result	result;

	set_target(&target, store, tid, cid);
	result = acquire_to_write(&target, LockTupleExclusive, crosscheck, wait,
							  XLTW_Delete, tmfd);
	if (result == TM_Ok)
	{
		if (RelationIsLogicallyLogged(rel))
			delete_for_decoding(rel, &target, changing_part);
		hone_tombstone_insert(store, target.batch, target.row,
							  changing_part ? HONE_TOMB_MOVED : HONE_TOMB_DELETED,
							  NULL, cid);
		check_readers(rel, target.tid);
		let_go(&target);
		pgstat_count_heap_delete(rel);
	}
	hone_store_close(store);
	return result;
}

/*
 * Whether the new version has another value in a column that a foreign key
 * may refer to.
 */
static bool
key_changes(Relation rel, HoneStore *store, ItemPointer tid, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(rel);
	Bitmapset  *keys = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_KEY);
	TupleTableSlot *old;
	bool		changes = false;
	int			i = -1;

	if (bms_is_empty(keys))
		return false;
	old = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	if (!hone_row_fetch(store, SnapshotSelf, tid, old))
		changes = true;
	while (!changes && (i = bms_next_member(keys, i)) >= 0)
	{
		int			attnum = i + FirstLowInvalidHeapAttributeNumber;
		Form_pg_attribute attribute;
		Datum		old_value;
		Datum		new_value;
		bool		old_null;
		bool		new_null;

		if (attnum <= 0)
		{
			changes = true;
			break;
		}
		attribute = TupleDescAttr(desc, attnum - 1);
		old_value = slot_getattr(old, attnum, &old_null);
		new_value = slot_getattr(slot, attnum, &new_null);
		changes = old_null != new_null ||
			(!old_null && !datum_image_eq(old_value, new_value,
										  attribute->attbyval, attribute->attlen));
	}
	ExecDropSingleTupleTableSlot(old);
	bms_free(keys);
	return changes;
}

TM_Result
hone_write_update(Relation rel, ItemPointer tid, TupleTableSlot *slot,
				  CommandId cid, Snapshot crosscheck, bool wait,
				  TM_FailureData *tmfd, LockTupleMode *mode)
{
	HoneStore  *store = hone_store_open(rel, RowExclusiveLock);
	bool		new_key = key_changes(rel, store, tid, slot);
	ItemPointerData lock_row;
	Target		target;
	TM_Result	result;

	*mode = new_key ? LockTupleExclusive : LockTupleNoKeyExclusive;
	set_target(&target, store, tid, cid);
	result = acquire_to_write(&target, *mode, crosscheck, wait, XLTW_Update, tmfd);
	if (result == TM_Ok)
	{
		if (RelationIsLogicallyLogged(rel))
			update_for_decoding(rel, &target, slot);
		else
			GetHeapamTableAmRoutine()->tuple_insert(rel, slot, cid, 0, NULL);
		if (!new_key &&
			hone_lock_row_find(store, target.batch, target.row, &lock_row))
			hone_key_share_copy(store->toast, &lock_row, rel, &slot->tts_tid);
		hone_tombstone_insert(store, target.batch, target.row,
							  new_key ? HONE_TOMB_UPDATED : HONE_TOMB_UPDATED_NO_KEY,
							  &slot->tts_tid, cid);
		check_readers(rel, target.tid);
		let_go(&target);

		/* with the insertion: as many live rows as before */
		pgstat_count_heap_delete(rel);
	}
	hone_store_close(store);
	return result;
}

/*
 * Pin the plain row that replaced a compressed one. Pinned, its place is not
 * given to another row. False when it is no longer there.
 */
static bool
pin_replacement(Relation rel, const HoneTombstone *tombstone, HeapTuple tuple,
				Buffer *buffer)
{
	tuple->t_self = tombstone->replaced_by;
	if (!heap_fetch(rel, SnapshotAny, tuple, buffer, true))
	{
		if (BufferIsValid(*buffer))
			ReleaseBuffer(*buffer);
		return false;
	}
	if (TransactionIdEquals(HeapTupleHeaderGetXmin(tuple->t_data), tombstone->xid))
		return true;
	ReleaseBuffer(*buffer);
	return false;
}

/*
 * The row was replaced by a committed update: lock the latest version
 * instead, as heapam does along its chain.
 */
static TM_Result
lock_latest(Relation rel, const HoneTombstone *tombstone, ItemPointer tid,
			Snapshot snapshot, TupleTableSlot *slot, CommandId cid,
			LockTupleMode mode, LockWaitPolicy policy, uint8 flags,
			TM_FailureData *tmfd)
{
	HeapTupleData tuple;
	Buffer		buffer;
	TM_Result	result;

	if (!pin_replacement(rel, tombstone, &tuple, &buffer))
		return TM_Deleted;
	*tid = tombstone->replaced_by;
	result = GetHeapamTableAmRoutine()->tuple_lock(rel, tid, snapshot, slot, cid,
												   mode, policy, flags, tmfd);
	tmfd->traversed = true;
	ReleaseBuffer(buffer);
	return result;
}

/*
 * KEY SHARE does not conflict with an update that left the key as it was: the
 * row that the caller sees can be locked, if the one that replaced it can.
 */
static bool
lock_key_of_replaced(Relation rel, const HoneTombstone *tombstone, CommandId cid,
					 LockWaitPolicy policy)
{
	HeapTupleData tuple;
	Buffer		pinned;
	Buffer		buffer;
	TM_FailureData tmfd;
	TM_Result	result;

	if (!pin_replacement(rel, tombstone, &tuple, &pinned))
		return false;
	result = heap_lock_tuple(rel, &tuple, cid, LockTupleKeyShare, policy, true,
							 &buffer, &tmfd);
	ReleaseBuffer(buffer);
	ReleaseBuffer(pinned);
	return result == TM_Ok;
}

static void
report_moved(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("tuple to be locked was already moved to another partition due to concurrent update")));
}

TM_Result
hone_write_lock(Relation rel, ItemPointer tid, Snapshot snapshot,
				TupleTableSlot *slot, CommandId cid, LockTupleMode mode,
				LockWaitPolicy policy, uint8 flags, TM_FailureData *tmfd)
{
	HoneStore  *store = hone_store_open(rel, RowExclusiveLock);
	HoneTombstone tombstone;
	HoneBatchEntry entry;
	Target		target;
	TM_Result	result;
	bool		follow = (flags & TUPLE_LOCK_FLAG_FIND_LAST_VERSION) != 0;

	tmfd->traversed = false;
	set_target(&target, store, tid, cid);
	if (!hone_store_find_batch(store, SnapshotSelf, target.batch, &entry))
	{
		if (follow)
			report_moved();
		result = report_folded(&target, tmfd);
	}
	else
	{
		result = acquire(&target, mode, policy, true, XLTW_Lock, &tombstone, tmfd);
		if (result == TM_Ok)
			let_go(&target);
		else if (result == TM_Updated && mode == LockTupleKeyShare &&
				 tombstone.kind == HONE_TOMB_UPDATED_NO_KEY &&
				 lock_key_of_replaced(rel, &tombstone, cid, policy))
			result = TM_Ok;
		else if (result == TM_Updated && follow)
		{
			if (tombstone.kind == HONE_TOMB_MOVED)
				report_moved();
			hone_store_close(store);
			return lock_latest(rel, &tombstone, tid, snapshot, slot, cid, mode,
							   policy, flags, tmfd);
		}
	}

	/* the row is handed out also where it could not be locked, as heapam does */
	if ((result == TM_Ok || result == TM_SelfModified || result == TM_Updated) &&
		!hone_row_fetch(store, SnapshotSelf, tid, slot))
		ExecClearTuple(slot);
	hone_store_close(store);
	return result;
}
