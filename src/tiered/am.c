/*-------------------------------------------------------------------------
 *
 * am.c
 *	  The table access method "tiered".
 *
 * It is heap's own routine with a few callbacks replaced. Plain rows are
 * heap tuples in the main fork and everything about them is heapam's; what is
 * replaced adds the compressed rows to scans, fetches, writes, locks and
 * estimates, and has unique checks know of them.
 *
 * A scan of a relation that is not open (holds no batches, am.h) is an
 * ordinary heap scan. A scan of an open one is a HoneTieredScan, marked by a flag
 * in rs_flags that PostgreSQL does not use: a heap scan of the plain rows,
 * then a cursor over the batches. Parallel scans are always heap scans: only
 * index builds use them, and indexes hold plain rows only.
 *
 * Some heapam functions check that the relation's routine is heap's, or start
 * table scans and take them for heap's. Around those the relation's routine
 * is swapped (heap_swap.h), and restored on error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "commands/progress.h"
#include "commands/vacuum.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/am.h"
#include "tiered/analyze.h"
#include "tiered/cluster.h"
#include "tiered/current_of.h"
#include "tiered/cursor.h"
#include "tiered/heap_swap.h"
#include "tiered/index_build.h"
#include "tiered/row.h"
#include "tiered/sample.h"
#include "tiered/tiered.h"
#include "tiered/unique.h"
#include "tiered/write.h"

PG_FUNCTION_INFO_V1(hone_tiered_handler);

static TableAmRoutine tiered_routine;
static bool tiered_routine_ready = false;

Oid			hone_wrapped_relation = InvalidOid;

/* ------------------------------------------------------------------------
 * What a relation is
 * ------------------------------------------------------------------------
 */

Oid
hone_tiered_am_oid(void)
{
	return get_am_oid("tiered", true);
}

bool
hone_is_tiered(Relation rel)
{
	return rel->rd_rel->relam != HEAP_TABLE_AM_OID &&
		(rel->rd_rel->relkind == RELKIND_RELATION ||
		 rel->rd_rel->relkind == RELKIND_MATVIEW) &&
		rel->rd_rel->relam == hone_tiered_am_oid();
}

bool
hone_has_tiered_routine(Relation rel)
{
	return rel->rd_tableam == &tiered_routine;
}

bool
hone_is_open(Relation rel)
{
	if (rel->rd_amcache == NULL)
	{
		bool		open = hone_store_exists(rel);

		/* opening the store may have processed an invalidation */
		if (rel->rd_amcache == NULL)
			rel->rd_amcache = MemoryContextAllocZero(CacheMemoryContext, sizeof(HoneAmCache));
		((HoneAmCache *) rel->rd_amcache)->open = open;
	}
	return ((HoneAmCache *) rel->rd_amcache)->open;
}

void
hone_refuse_compressed(Relation rel, const char *action)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("cannot %s of table \"%s\"", action, RelationGetRelationName(rel)),
			 errhint("CALL hone.decompress('%s') first.",
					 hone_qualified_name(RelationGetRelid(rel)))));
}

void
hone_report_index_scan(Relation rel)
{
	ereport(ERROR,
			(errcode(ERRCODE_INTERNAL_ERROR),
			 errmsg("index scan of compressed table \"%s\"", RelationGetRelationName(rel)),
			 errdetail("The plan would miss compressed rows."),
			 errhint("An extension may have added the index scan: check shared_preload_libraries.")));
}

/* ------------------------------------------------------------------------
 * Scans
 * ------------------------------------------------------------------------
 */

void
hone_scan_open_cursor(HoneTieredScan *scan, TupleDesc desc)
{
	Relation	rel = scan->base.rs_rd;
	Snapshot	snapshot = scan->base.rs_snapshot;
	MemoryContext old = MemoryContextSwitchTo(scan->context);

	if (scan->analyze)
		snapshot = scan->analyze_snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan->cursor = hone_cursor_open(rel, snapshot, desc, NULL);
	MemoryContextSwitchTo(old);
}

static TableScanDesc
tiered_scan_begin(Relation rel, Snapshot snapshot, int nkeys,
				  struct ScanKeyData *key, ParallelTableScanDesc pscan,
				  uint32 flags)
{
	TableScanDesc heap;
	HoneTieredScan *scan;
	uint32		heap_flags;

	if (pscan != NULL || !hone_is_open(rel))
		return heap_beginscan(rel, snapshot, nkeys, key, pscan, flags);

	if (flags & SO_TYPE_BITMAPSCAN)
	{
		if (hone_wrapped_relation != RelationGetRelid(rel))
			hone_report_index_scan(rel);
		return heap_beginscan(rel, snapshot, nkeys, key, NULL, flags);
	}

	/* of a sample its plain rows are scanned page by page (sample.c) */
	heap_flags = flags;
	if (flags & SO_TYPE_SAMPLESCAN)
		heap_flags = (flags & ~SO_TYPE_SAMPLESCAN) | SO_TYPE_SEQSCAN;
	heap = heap_beginscan(rel, snapshot, nkeys, key, NULL, heap_flags);
	scan = palloc0(sizeof(HoneTieredScan));
	scan->base.rs_rd = rel;
	scan->base.rs_snapshot = snapshot;
	scan->base.rs_nkeys = nkeys;
	scan->base.rs_flags = (flags & ~SO_TEMP_SNAPSHOT) | SO_HONE_TIERED;
	scan->heap = heap;
	scan->analyze = (flags & SO_TYPE_ANALYZE) != 0;
	scan->context = CurrentMemoryContext;
	return &scan->base;
}

static void
tiered_scan_end(TableScanDesc sscan)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;

	if (!hone_is_tiered_scan(sscan))
	{
		heap_endscan(sscan);
		return;
	}
	if (scan->cursor != NULL)
		hone_cursor_close(scan->cursor);
	if (scan->analyze_snapshot != NULL)
		UnregisterSnapshot(scan->analyze_snapshot);
	heap_endscan(scan->heap);
	pfree(scan);
}

static void
tiered_scan_rescan(TableScanDesc sscan, struct ScanKeyData *key,
				   bool set_params, bool allow_strat, bool allow_sync,
				   bool allow_pagemode)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;

	if (!hone_is_tiered_scan(sscan))
	{
		heap_rescan(sscan, key, set_params, allow_strat, allow_sync, allow_pagemode);
		return;
	}
	heap_rescan(scan->heap, key, set_params, allow_strat, allow_sync, allow_pagemode);
	if (scan->cursor != NULL)
		hone_cursor_rewind(scan->cursor, NULL, 0);
	scan->started = false;
	scan->sampling = false;
}

void
hone_scan_store_compressed(HoneCursor *cursor, TupleTableSlot *slot)
{
	hone_row_store(hone_cursor_form_tuple(cursor), slot);
}

static bool
next_plain(HoneTieredScan *scan, ScanDirection direction, TupleTableSlot *slot)
{
	if (scan->base.rs_flags & SO_TYPE_TIDRANGESCAN)
		return heap_getnextslot_tidrange(scan->heap, direction, slot);
	return heap_getnextslot(scan->heap, direction, slot);
}

/*
 * Forwards: plain rows, then compressed ones. Backwards the other way round.
 */
static bool
next_of_both(HoneTieredScan *scan, ScanDirection direction, TupleTableSlot *slot)
{
	bool		forward = ScanDirectionIsForward(direction);

	if (!scan->started)
	{
		scan->started = true;
		scan->in_batches = !forward;
		if (!forward && scan->cursor != NULL)
			hone_cursor_to_end(scan->cursor);
	}
	for (;;)
	{
		if (scan->in_batches)
		{
			if (scan->cursor != NULL && hone_cursor_next(scan->cursor, forward))
			{
				hone_scan_store_compressed(scan->cursor, slot);
				return true;
			}
			if (forward)
			{
				ExecClearTuple(slot);
				return false;
			}
			scan->in_batches = false;
		}
		else
		{
			if (next_plain(scan, direction, slot))
				return true;
			if (!forward)
				return false;
			scan->in_batches = true;
		}
	}
}

static bool
tiered_scan_getnextslot(TableScanDesc sscan, ScanDirection direction,
						TupleTableSlot *slot)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;

	if (!hone_is_tiered_scan(sscan))
		return heap_getnextslot(sscan, direction, slot);
	if (scan->cursor == NULL)
		hone_scan_open_cursor(scan, slot->tts_tupleDescriptor);
	return next_of_both(scan, direction, slot);
}

static void
tiered_scan_set_tidrange(TableScanDesc sscan, ItemPointer first, ItemPointer last)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;

	if (!hone_is_tiered_scan(sscan))
	{
		heap_set_tidrange(sscan, first, last);
		return;
	}
	heap_set_tidrange(scan->heap, first, last);
	if (scan->cursor == NULL)
		hone_scan_open_cursor(scan, RelationGetDescr(sscan->rs_rd));
	if (scan->cursor != NULL)
		hone_cursor_set_tid_range(scan->cursor, first, last);
	scan->started = false;
}

static bool
tiered_scan_getnextslot_tidrange(TableScanDesc sscan, ScanDirection direction,
								 TupleTableSlot *slot)
{
	if (!hone_is_tiered_scan(sscan))
		return heap_getnextslot_tidrange(sscan, direction, slot);
	return next_of_both((HoneTieredScan *) sscan, direction, slot);
}

/* ------------------------------------------------------------------------
 * Insertions: unique indexes have to know of compressed rows
 * ------------------------------------------------------------------------
 */

/* A search for conflicts asks for a slot before it begins. */
static const TupleTableSlotOps *
tiered_slot_callbacks(Relation rel)
{
	hone_unique_attach(rel);
	return GetHeapamTableAmRoutine()->slot_callbacks(rel);
}

static void
tiered_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid,
					int options, struct BulkInsertStateData *bistate)
{
	hone_unique_attach(rel);
	GetHeapamTableAmRoutine()->tuple_insert(rel, slot, cid, options, bistate);
}

static void
tiered_tuple_insert_speculative(Relation rel, TupleTableSlot *slot,
								CommandId cid, int options,
								struct BulkInsertStateData *bistate,
								uint32 token)
{
	hone_unique_attach(rel);
	GetHeapamTableAmRoutine()->tuple_insert_speculative(rel, slot, cid, options,
														bistate, token);
}

static void
tiered_multi_insert(Relation rel, TupleTableSlot **slots, int nslots,
					CommandId cid, int options,
					struct BulkInsertStateData *bistate)
{
	hone_unique_attach(rel);
	GetHeapamTableAmRoutine()->multi_insert(rel, slots, nslots, cid, options, bistate);
}

/* ------------------------------------------------------------------------
 * Single rows
 * ------------------------------------------------------------------------
 */

/*
 * heapam fetches into a buffer heap slot only; the custom scan's is virtual,
 * and EvalPlanQual fetches into that one.
 */
static bool
fetch_plain_row_version(Relation rel, ItemPointer tid, Snapshot snapshot,
						TupleTableSlot *slot)
{
	TupleTableSlot *heap_slot;
	bool		found;

	if (TTS_IS_BUFFERTUPLE(slot))
		return GetHeapamTableAmRoutine()->tuple_fetch_row_version(rel, tid, snapshot, slot);

	heap_slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	found = GetHeapamTableAmRoutine()->tuple_fetch_row_version(rel, tid, snapshot, heap_slot);
	if (found)
	{
		ExecCopySlot(slot, heap_slot);
		slot->tts_tid = heap_slot->tts_tid;
		slot->tts_tableOid = heap_slot->tts_tableOid;
	}
	ExecDropSingleTupleTableSlot(heap_slot);
	return found;
}

static bool
tiered_fetch_row_version(Relation rel, ItemPointer tid, Snapshot snapshot,
						 TupleTableSlot *slot)
{
	if (!hone_tid_is_compressed(tid))
		return fetch_plain_row_version(rel, tid, snapshot, slot);
	return hone_row_fetch_version(rel, tid, snapshot, slot);
}

static void
tiered_get_latest_tid(TableScanDesc sscan, ItemPointer tid)
{
	if (hone_is_tiered_scan(sscan))
		hone_current_of_tid(sscan->rs_rd, sscan->rs_snapshot, tid);
	else
		heap_get_latest_tid(sscan, tid);
}

static bool
tiered_tid_valid(TableScanDesc sscan, ItemPointer tid)
{
	TableScanDesc heap = hone_is_tiered_scan(sscan) ? ((HoneTieredScan *) sscan)->heap : sscan;

	if (hone_tid_is_compressed(tid))
		return hone_is_tiered_scan(sscan) && ItemPointerIsValid(tid);
	return GetHeapamTableAmRoutine()->tuple_tid_valid(heap, tid);
}

static bool
tiered_satisfies_snapshot(Relation rel, TupleTableSlot *slot, Snapshot snapshot)
{
	HoneStore  *store;
	bool		visible;

	if (!hone_tid_is_compressed(&slot->tts_tid))
		return GetHeapamTableAmRoutine()->tuple_satisfies_snapshot(rel, slot, snapshot);
	store = hone_store_open(rel, AccessShareLock);
	visible = hone_row_is_visible(store, snapshot, &slot->tts_tid);
	hone_store_close(store);
	return visible;
}

/* heapam's own structure, and whether a custom scan brings what is missing. */
typedef struct HoneIndexFetch
{
	IndexFetchHeapData heap;	/* must be first */
	bool		wrapped;
} HoneIndexFetch;

static struct IndexFetchTableData *
tiered_index_fetch_begin(Relation rel)
{
	struct IndexFetchTableData *heap = GetHeapamTableAmRoutine()->index_fetch_begin(rel);
	HoneIndexFetch *fetch = palloc0(sizeof(HoneIndexFetch));

	memcpy(&fetch->heap, heap, sizeof(IndexFetchHeapData));
	pfree(heap);
	fetch->wrapped = hone_wrapped_relation == RelationGetRelid(rel);
	return &fetch->heap.xs_base;
}

static bool
tiered_index_fetch_tuple(struct IndexFetchTableData *scan, ItemPointer tid,
						 Snapshot snapshot, TupleTableSlot *slot,
						 bool *call_again, bool *all_dead)
{
	/* a search for conflicts finds compressed rows too (unique.c) */
	if (hone_tid_is_compressed(tid))
	{
		*call_again = false;
		if (all_dead)
			*all_dead = false;
		return hone_unique_fetch(scan->rel, tid, snapshot, slot);
	}

	/* the last line: an index knows nothing of compressed rows */
	if (!((HoneIndexFetch *) scan)->wrapped && IsMVCCSnapshot(snapshot) &&
		hone_is_open(scan->rel))
		hone_report_index_scan(scan->rel);
	return GetHeapamTableAmRoutine()->index_fetch_tuple(scan, tid, snapshot, slot,
														call_again, all_dead);
}

/*
 * A subscription looks for the row to change by a scan, and locks a copy of
 * it; the copy of a slot with a compressed row has the TID in its tuple only.
 */
static void
find_lost_tid(ItemPointer tid, TupleTableSlot *slot)
{
	HeapTuple	tuple = TTS_IS_BUFFERTUPLE(slot) || TTS_IS_HEAPTUPLE(slot) ?
	((HeapTupleTableSlot *) slot)->tuple : NULL;

	if (!ItemPointerIsValid(tid) && tuple != NULL &&
		hone_tid_is_compressed(&tuple->t_self))
		*tid = tuple->t_self;
}

static TM_Result
tiered_tuple_delete(Relation rel, ItemPointer tid, CommandId cid,
					Snapshot snapshot, Snapshot crosscheck, bool wait,
					TM_FailureData *tmfd, bool changingPart)
{
	if (hone_tid_is_compressed(tid))
		return hone_write_delete(rel, tid, cid, crosscheck, wait, tmfd, changingPart);
	return GetHeapamTableAmRoutine()->tuple_delete(rel, tid, cid, snapshot,
												   crosscheck, wait, tmfd,
												   changingPart);
}

static TM_Result
tiered_tuple_update(Relation rel, ItemPointer otid, TupleTableSlot *slot,
					CommandId cid, Snapshot snapshot, Snapshot crosscheck,
					bool wait, TM_FailureData *tmfd, LockTupleMode *lockmode,
					HoneUpdateIndexes *update_indexes)
{
	hone_unique_attach(rel);
	if (hone_tid_is_compressed(otid))
	{
		*update_indexes = HONE_UPDATE_ALL_INDEXES;
		return hone_write_update(rel, otid, slot, cid, crosscheck, wait, tmfd, lockmode);
	}
	return GetHeapamTableAmRoutine()->tuple_update(rel, otid, slot, cid, snapshot,
												   crosscheck, wait, tmfd,
												   lockmode, update_indexes);
}

static TM_Result
tiered_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot,
				  TupleTableSlot *slot, CommandId cid, LockTupleMode mode,
				  LockWaitPolicy wait_policy, uint8 flags,
				  TM_FailureData *tmfd)
{
	find_lost_tid(tid, slot);
	if (hone_tid_is_compressed(tid))
		return hone_write_lock(rel, tid, snapshot, slot, cid, mode, wait_policy,
							   flags, tmfd);
	return GetHeapamTableAmRoutine()->tuple_lock(rel, tid, snapshot, slot, cid, mode,
												 wait_policy, flags, tmfd);
}

/*
 * The last that a deferred check does with the table before it opens the
 * index.
 */
static void
tiered_index_fetch_end(struct IndexFetchTableData *scan)
{
	Relation	rel = scan->rel;

	GetHeapamTableAmRoutine()->index_fetch_end(scan);
	hone_unique_attach(rel);
}

/* ------------------------------------------------------------------------
 * Maintenance
 * ------------------------------------------------------------------------
 */

static void
tiered_copy_for_cluster(Relation old_rel, Relation new_rel, Relation index,
						bool use_sort, TransactionId oldest_xmin,
						TransactionId *xid_cutoff, MultiXactId *multi_cutoff,
						double *num_tuples, double *tups_vacuumed,
						double *tups_recently_dead)
{
	HoneHeapSwap swap;
	bool		open = hone_is_open(old_rel);

	hone_swap_to_heap(&swap, old_rel);
	PG_TRY();
	{
		old_rel->rd_tableam->relation_copy_for_cluster(old_rel, new_rel, index, use_sort,
													   oldest_xmin, xid_cutoff,
													   multi_cutoff, num_tuples,
													   tups_vacuumed,
													   tups_recently_dead);
	}
	PG_FINALLY();
	{
		hone_swap_back(&swap);
	}
	PG_END_TRY();
	if (open)
		*num_tuples += hone_cluster_copy_store(old_rel, new_rel, oldest_xmin,
											   *xid_cutoff, *multi_cutoff);
}

bool
hone_read_totals(Relation rel, HoneStoreMeta *meta)
{
	HoneStore  *store;
	Snapshot	snapshot;
	bool		found;

	if (!hone_is_open(rel))
		return false;
	store = hone_store_open(rel, AccessShareLock);
	if (store == NULL)
		return false;
	/* no newer snapshot can be taken in a parallel operation */
	snapshot = RegisterSnapshot(IsInParallelMode() && ActiveSnapshotSet() ?
								GetActiveSnapshot() : GetLatestSnapshot());
	found = hone_store_read_meta(store, snapshot, meta);
	UnregisterSnapshot(snapshot);
	hone_store_close(store);
	return found;
}

int64
hone_dead_rows(Relation rel, bool cheap)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	Snapshot	snapshot = RegisterSnapshot(IsInParallelMode() && ActiveSnapshotSet() ?
											GetActiveSnapshot() : GetLatestSnapshot());
	int64		rows = cheap ? hone_tombstones_estimate(store, snapshot) :
	hone_tombstones_count(store, snapshot);

	UnregisterSnapshot(snapshot);
	hone_store_close(store);
	return rows;
}

/*
 * Estimated plain rows: a full main fork, by the width of the columns. The
 * density in pg_class cannot be used, it counts compressed rows too.
 */
static double
estimate_plain_rows(Relation rel, int32 *attr_widths, BlockNumber blocks)
{
	int32		width = get_rel_data_width(rel, attr_widths) +
	MAXALIGN(SizeofHeapTupleHeader) + sizeof(ItemIdData);

	return rint((double) blocks * (BLCKSZ - SizeOfPageHeaderData) / width);
}

static void
tiered_estimate_size(Relation rel, int32 *attr_widths, BlockNumber *pages,
					 double *tuples, double *allvisfrac)
{
	HoneStoreMeta meta;
	BlockNumber blocks;

	if (!hone_read_totals(rel, &meta))
	{
		GetHeapamTableAmRoutine()->relation_estimate_size(rel, attr_widths, pages,
														  tuples, allvisfrac);
		return;
	}
	blocks = table_block_relation_size(rel, MAIN_FORKNUM) / BLCKSZ;
	*pages = blocks + (BlockNumber) (meta.stored_bytes / HONE_CHUNK_BYTES + meta.batches);
	*tuples = estimate_plain_rows(rel, attr_widths, blocks) + meta.rows - hone_dead_rows(rel, true);
	*allvisfrac = 0;
}

/*
 * VACUUM counts plain rows only; pg_class.reltuples is to count all.
 */
static void
tiered_vacuum(Relation rel, struct VacuumParams *params,
			  BufferAccessStrategy strategy)
{
	HoneStoreMeta meta;
	bool		open = hone_read_totals(rel, &meta);

	/* heap's estimate starts from the density of plain rows */
	if (open)
	{
		meta.rows -= hone_dead_rows(rel, false);
		rel->rd_rel->reltuples = Max(0, rel->rd_rel->reltuples - meta.rows);
	}
	GetHeapamTableAmRoutine()->relation_vacuum(rel, params, strategy);
	if (open)
		hone_compat_add_reltuples(rel, (double) meta.rows);
}

/* Every tiered table has a TOAST table: its batches live there. */
static bool
tiered_needs_toast_table(Relation rel)
{
	return true;
}

/* heap's own answer is the relation's access method, which is not heap. */
static Oid
tiered_toast_am(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

Datum
hone_tiered_handler(PG_FUNCTION_ARGS)
{
	if (!tiered_routine_ready)
	{
		tiered_routine = *GetHeapamTableAmRoutine();
		tiered_routine.scan_begin = tiered_scan_begin;
		tiered_routine.scan_end = tiered_scan_end;
		tiered_routine.scan_rescan = tiered_scan_rescan;
		tiered_routine.scan_getnextslot = tiered_scan_getnextslot;
		tiered_routine.scan_set_tidrange = tiered_scan_set_tidrange;
		tiered_routine.scan_getnextslot_tidrange = tiered_scan_getnextslot_tidrange;
		tiered_routine.tuple_fetch_row_version = tiered_fetch_row_version;
		tiered_routine.tuple_get_latest_tid = tiered_get_latest_tid;
		tiered_routine.tuple_tid_valid = tiered_tid_valid;
		tiered_routine.tuple_satisfies_snapshot = tiered_satisfies_snapshot;
		tiered_routine.slot_callbacks = tiered_slot_callbacks;
		tiered_routine.tuple_insert = tiered_tuple_insert;
		tiered_routine.tuple_insert_speculative = tiered_tuple_insert_speculative;
		tiered_routine.multi_insert = tiered_multi_insert;
		tiered_routine.index_fetch_begin = tiered_index_fetch_begin;
		tiered_routine.index_fetch_end = tiered_index_fetch_end;
		tiered_routine.index_fetch_tuple = tiered_index_fetch_tuple;
		tiered_routine.tuple_delete = tiered_tuple_delete;
		tiered_routine.tuple_update = tiered_tuple_update;
		tiered_routine.tuple_lock = tiered_tuple_lock;
		tiered_routine.relation_copy_for_cluster = tiered_copy_for_cluster;
		tiered_routine.relation_estimate_size = tiered_estimate_size;
		tiered_routine.relation_vacuum = tiered_vacuum;
		tiered_routine.relation_needs_toast_table = tiered_needs_toast_table;
		tiered_routine.relation_toast_am = tiered_toast_am;
		hone_analyze_install(&tiered_routine);
		hone_sample_install(&tiered_routine);
		hone_index_build_install(&tiered_routine);
		tiered_routine_ready = true;
	}
	PG_RETURN_POINTER(&tiered_routine);
}
