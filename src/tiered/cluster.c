/*-------------------------------------------------------------------------
 *
 * cluster.c
 *	  VACUUM FULL and CLUSTER of a table with compressed rows.
 *
 * heapam rewrites the plain rows, and with them their values in the TOAST
 * table. What the store has there is copied by the same machinery, version
 * for version with xmin and xmax, so that older snapshots see after it what
 * they saw before. Only the index entries are made here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/rewriteheap.h"
#include "access/table.h"
#include "access/tupdesc_details.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/cluster.h"
#include "tiered/defaults.h"
#include "tiered/store.h"
#include "tiered/tiered.h"
#include "tiered/tombstone.h"

static bool
is_of_store(HeapTuple tuple, TupleDesc desc)
{
	bool		isnull;
	Oid			value = DatumGetObjectId(fastgetattr(tuple, 1, desc, &isnull));

	return !isnull && value < HONE_VALUE_LIMIT;
}

/*
 * A copy of a version. A tombstone names the plain row that replaced its row
 * by TID, and TIDs are other ones now: the copy names none.
 */
static HeapTuple
copy_tuple(HeapTuple tuple, TupleDesc desc)
{
	Datum		values[3];
	bool		isnull[3];

	heap_deform_tuple(tuple, desc, values, isnull);
	if (!hone_tombstone_forget(DatumGetObjectId(values[0]), &values[2]))
		return heap_copytuple(tuple);
	return heap_form_tuple(desc, values, isnull);
}

/*
 * Every version that somebody may still see.
 */
static void
copy_versions(Relation old_toast, Relation new_toast, TransactionId oldest_xmin,
			  TransactionId freeze_xid, MultiXactId multi_cutoff)
{
	RewriteState rewrite = begin_heap_rewrite(old_toast, new_toast, oldest_xmin,
											  freeze_xid, multi_cutoff);
	TableScanDesc scan = table_beginscan(old_toast, SnapshotAny, 0, NULL);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(old_toast),
													&TTSOpsBufferHeapTuple);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		BufferHeapTupleTableSlot *buffer_slot = (BufferHeapTupleTableSlot *) slot;
		HeapTuple	tuple = buffer_slot->base.tuple;
		HTSV_Result state;

		CHECK_FOR_INTERRUPTS();
		if (!is_of_store(tuple, RelationGetDescr(old_toast)))
			continue;
		LockBuffer(buffer_slot->buffer, BUFFER_LOCK_SHARE);
		state = HeapTupleSatisfiesVacuum(tuple, oldest_xmin, buffer_slot->buffer);
		LockBuffer(buffer_slot->buffer, BUFFER_LOCK_UNLOCK);
		if (state == HEAPTUPLE_DEAD)
			rewrite_heap_dead_tuple(rewrite, tuple);
		else
		{
			HeapTuple	copy = copy_tuple(tuple, RelationGetDescr(old_toast));

			rewrite_heap_tuple(rewrite, tuple, copy);
			heap_freetuple(copy);
		}
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	end_heap_rewrite(rewrite);
}

/*
 * Index entries of the copied rows; returns the rows of the live batches.
 * Defaults that batches need are added.
 */
static double
index_copies(Relation new_rel, TupleDesc old_desc)
{
	HoneStore  *store = hone_store_open(new_rel, RowExclusiveLock);
	TupleDesc	desc = RelationGetDescr(store->toast);
	TableScanDesc scan = table_beginscan(store->toast, SnapshotAny, 0, NULL);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsBufferHeapTuple);
	HoneStoreMeta meta;
	double		rows = 0;

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		CHECK_FOR_INTERRUPTS();
		if (!is_of_store(((BufferHeapTupleTableSlot *) slot)->base.tuple, desc))
			continue;
		slot_getallattrs(slot);
		for (int i = 0; i < store->nindexes; i++)
			index_insert(store->indexes[i], slot->tts_values, slot->tts_isnull,
						 &slot->tts_tid, store->toast, UNIQUE_CHECK_NO, false, NULL);
	}
	ExecDropSingleTupleTableSlot(slot);
	table_endscan(scan);
	if (hone_store_read_meta(store, SnapshotSelf, &meta))
		rows = (double) meta.rows;
	if (hone_store_holds_any(store, SnapshotAny, HONE_VALUE_DIRECTORY))
		hone_defaults_keep(store, old_desc);
	hone_store_close(store);
	return rows;
}

double
hone_cluster_copy_store(Relation old_rel, Relation new_rel,
						TransactionId oldest_xmin, TransactionId freeze_xid,
						MultiXactId multi_cutoff)
{
	Relation	old_toast = table_open(old_rel->rd_rel->reltoastrelid, AccessExclusiveLock);
	Relation	new_toast = table_open(new_rel->rd_rel->reltoastrelid, AccessExclusiveLock);

	copy_versions(old_toast, new_toast, oldest_xmin, freeze_xid, multi_cutoff);
	table_close(new_toast, NoLock);
	table_close(old_toast, NoLock);
	return index_copies(new_rel, RelationGetDescr(old_rel));
}
