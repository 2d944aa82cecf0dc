/*-------------------------------------------------------------------------
 *
 * index_build.c
 *	  Indexes of tiered tables are built by heapam, of the plain rows only.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/parallel.h"
#include "catalog/index.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/am.h"
#include "tiered/heap_swap.h"
#include "tiered/index_build.h"
#include "tiered/unique.h"

static void
refuse_exclusion(Relation rel, struct IndexInfo *info)
{
	if (hone_is_open(rel) && info->ii_ExclusionOps != NULL)
		hone_refuse_compressed(rel, "build an exclusion constraint on the compressed rows");
}

/*
 * Compare the keys of all rows once in a build: of the processes of a
 * parallel one the first worker does it. Not for a caller who brings his own
 * scan, such as amcheck; an index that is rebuilt was checked when it was
 * built, and insertions have been since. One that is built concurrently is
 * checked when it is validated: from before that on insertions are.
 */
static void
check_unique_keys(Relation rel, Relation index, struct IndexInfo *info,
				  TableScanDesc scan)
{
	bool		parallel = scan != NULL && scan->rs_parallel != NULL;

	if (!info->ii_Unique || !hone_is_open(rel) || info->ii_Concurrent ||
		(scan != NULL && !parallel) || (parallel && ParallelWorkerNumber != 0) ||
		(ReindexIsProcessingIndex(RelationGetRelid(index)) && index->rd_index->indisvalid))
		return;
	hone_unique_check_all(rel, index, info, SnapshotSelf);
}

/*
 * Of a scan that a caller such as amcheck began: the part over plain rows,
 * which the build ends; the rest is ended here.
 */
static TableScanDesc
heap_part(TableScanDesc sscan)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;
	TableScanDesc heap;

	if (sscan == NULL || !hone_is_tiered_scan(sscan))
		return sscan;
	heap = scan->heap;
	if (scan->cursor != NULL)
		hone_cursor_close(scan->cursor);
	pfree(scan);
	return heap;
}

/*
 * The result of a build becomes pg_class.reltuples, which counts compressed
 * rows too. Of the processes of a parallel build the leader adds them.
 */
static double
unindexed_rows(Relation rel)
{
	HoneStoreMeta meta;

	if (IsParallelWorker() || !hone_read_totals(rel, &meta))
		return 0;
	return (double) (meta.rows - hone_dead_rows(rel, false));
}

static double
tiered_index_build_range_scan(Relation rel, Relation index,
							  struct IndexInfo *info, bool allow_sync,
							  bool anyvisible, bool progress,
							  BlockNumber start, BlockNumber nblocks,
							  IndexBuildCallback callback, void *state,
							  TableScanDesc scan)
{
	HoneHeapSwap swap;
	volatile double tuples = 0;

	refuse_exclusion(rel, info);
	check_unique_keys(rel, index, info, scan);

	hone_swap_to_heap(&swap, rel);
	PG_TRY();
	{
		tuples = rel->rd_tableam->index_build_range_scan(rel, index, info, allow_sync,
														 anyvisible, progress, start,
														 nblocks, callback, state,
														 heap_part(scan));
	}
	PG_FINALLY();
	{
		hone_swap_back(&swap);
	}
	PG_END_TRY();
	return tuples + unindexed_rows(rel);
}

static void
tiered_index_validate_scan(Relation rel, Relation index,
						   struct IndexInfo *info, Snapshot snapshot,
						   struct ValidateIndexState *state)
{
	HoneHeapSwap swap;

	if (info->ii_Unique && hone_is_open(rel))
		hone_unique_check_all(rel, index, info, snapshot);
	hone_swap_to_heap(&swap, rel);
	PG_TRY();
	{
		rel->rd_tableam->index_validate_scan(rel, index, info, snapshot, state);
	}
	PG_FINALLY();
	{
		hone_swap_back(&swap);
	}
	PG_END_TRY();
}

void
hone_index_build_install(TableAmRoutine *routine)
{
	routine->index_build_range_scan = tiered_index_build_range_scan;
	routine->index_validate_scan = tiered_index_validate_scan;
}
