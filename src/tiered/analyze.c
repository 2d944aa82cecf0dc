/*-------------------------------------------------------------------------
 *
 * analyze.c
 *	  ANALYZE of compressed rows.
 *
 * ANALYZE samples blocks by number. Compressed rows are offered to it as
 * blocks behind the main fork; while it takes its sample, and only then, the
 * relation's size includes them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "commands/progress.h"
#include "executor/tuptable.h"
#include "utils/backend_status.h"
#include "utils/rel.h"

#include "tiered/analyze.h"

/* Compressed rows in a sample block, at least. */
#define SAMPLE_BLOCK_ROWS	128

/*
 * True while ANALYZE samples rel or a table that it inherits from: only then
 * does the relation's size include blocks for the compressed rows. Not while
 * it computes: expressions of indexes may scan the table.
 */
static bool
being_analyzed(Relation rel)
{
	Oid			target;
	int64		phase;

	if (MyBEEntry == NULL ||
		MyBEEntry->st_progress_command != PROGRESS_COMMAND_ANALYZE)
		return false;
	phase = MyBEEntry->st_progress_param[PROGRESS_ANALYZE_PHASE];
	if (phase != PROGRESS_ANALYZE_PHASE_ACQUIRE_SAMPLE_ROWS &&
		phase != PROGRESS_ANALYZE_PHASE_ACQUIRE_SAMPLE_ROWS_INH)
		return false;
	target = MyBEEntry->st_progress_command_target;
	return target == RelationGetRelid(rel) ||
		(rel->rd_rel->relispartition &&
		 list_member_oid(get_partition_ancestors(RelationGetRelid(rel)), target)) ||
		(!rel->rd_rel->relispartition && has_superclass(RelationGetRelid(rel)) &&
		 list_member_oid(find_all_inheritors(target, NoLock, NULL),
						 RelationGetRelid(rel)));
}

/*
 * How many sample blocks stand for the compressed rows. ANALYZE may prefetch
 * them, which must not reach past the segment file that the main fork ends in.
 * None where it ends with a segment: the next file need not exist.
 */
static BlockNumber
sample_blocks(BlockNumber main_blocks, int64 rows, int64 *rows_per_block)
{
	int64		room = main_blocks > 0 && main_blocks % RELSEG_SIZE == 0 ? 0 :
	RELSEG_SIZE - 1 - (main_blocks % RELSEG_SIZE);
	int64		blocks = Min((rows + SAMPLE_BLOCK_ROWS - 1) / SAMPLE_BLOCK_ROWS, room);

	*rows_per_block = blocks > 0 ? (rows + blocks - 1) / blocks : 0;
	return (BlockNumber) blocks;
}

static uint64
tiered_relation_size(Relation rel, ForkNumber fork)
{
	uint64		size = table_block_relation_size(rel, fork);
	HoneStoreMeta meta;
	int64		rows_per_block;

	if (fork == MAIN_FORKNUM && being_analyzed(rel) && hone_read_totals(rel, &meta))
		size += (uint64) BLCKSZ *
			sample_blocks(size / BLCKSZ, meta.rows, &rows_per_block);
	return size;
}

/*
 * False says to PostgreSQL 17 and later that the sample is complete, so a
 * block without rows is one all the same.
 */
static bool
tiered_analyze_next_block(TableScanDesc sscan, HONE_ANALYZE_BLOCK_PARAMS)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;
	BufferAccessStrategy strategy;
	BlockNumber main_blocks;
	BlockNumber block;
	int64		total = 0;

	if (!hone_is_tiered_scan(sscan))
		return GetHeapamTableAmRoutine()->scan_analyze_next_block(sscan,
																  HONE_ANALYZE_BLOCK_PASS);

	block = HONE_ANALYZE_TAKE_BLOCK(&strategy);
	if (block == InvalidBlockNumber)
		return false;

	main_blocks = table_block_relation_size(sscan->rs_rd, MAIN_FORKNUM) / BLCKSZ;
	scan->in_batches = block >= main_blocks;
	if (!scan->in_batches)
	{
		hone_compat_analyze_heap_block(scan->heap, block, strategy);
		return true;
	}

	if (scan->cursor == NULL)
		hone_scan_open_cursor(scan, RelationGetDescr(sscan->rs_rd));
	if (scan->cursor != NULL)
	{
		for (int i = 0; i < scan->cursor->nbatches; i++)
			total += scan->cursor->directory[i].nrows;
	}
	sample_blocks(main_blocks, total, &scan->sample_rows);
	scan->sample_next = scan->sample_rows * (int64) (block - main_blocks);
	scan->sample_end = Min(scan->sample_next + scan->sample_rows, total);
	return true;
}

static bool
tiered_analyze_next_tuple(TableScanDesc sscan, TransactionId oldest_xmin,
						  double *liverows, double *deadrows,
						  TupleTableSlot *slot)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;

	if (!hone_is_tiered_scan(sscan))
		return GetHeapamTableAmRoutine()->scan_analyze_next_tuple(sscan, oldest_xmin,
																  liverows, deadrows, slot);
	if (!scan->in_batches)
		return GetHeapamTableAmRoutine()->scan_analyze_next_tuple(scan->heap, oldest_xmin,
																  liverows, deadrows, slot);
	while (scan->sample_next < scan->sample_end &&
		   hone_cursor_seek_number(scan->cursor, scan->sample_next))
	{
		scan->sample_next++;
		if (hone_cursor_is_dead(scan->cursor))
		{
			*deadrows += 1;
			continue;
		}
		hone_scan_store_compressed(scan->cursor, slot);
		*liverows += 1;
		return true;
	}
	ExecClearTuple(slot);
	return false;
}

void
hone_analyze_install(TableAmRoutine *routine)
{
	routine->relation_size = tiered_relation_size;
	routine->scan_analyze_next_block = tiered_analyze_next_block;
	routine->scan_analyze_next_tuple = tiered_analyze_next_tuple;
}
