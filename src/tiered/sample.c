/*-------------------------------------------------------------------------
 *
 * sample.c
 *	  TABLESAMPLE of a table with compressed rows.
 *
 * Sampling methods choose among numbered blocks and, within a block, numbered
 * tuples. To them the compressed rows are blocks of SAMPLE_BLOCK_ROWS rows
 * behind the main fork; a row's number counts all rows of all batches, dead
 * ones too, which are passed over like dead tuples of a heap.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tsmapi.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

#include "tiered/am.h"
#include "tiered/sample.h"

#define SAMPLE_BLOCK_ROWS	100

static int64
count_rows(HoneTieredScan *scan)
{
	int64		rows = 0;

	if (scan->cursor == NULL)
		hone_scan_open_cursor(scan, RelationGetDescr(scan->base.rs_rd));
	if (scan->cursor != NULL)
	{
		for (int i = 0; i < scan->cursor->nbatches; i++)
			rows += scan->cursor->directory[i].nrows;
	}
	return rows;
}

/* Methods that do not choose blocks take all, one after the other. */
static BlockNumber
choose_block(HoneTieredScan *scan, SampleScanState *state, BlockNumber nblocks)
{
	TsmRoutine *tsm = state->tsmroutine;

	if (tsm->NextSampleBlock != NULL)
		return tsm->NextSampleBlock(state, nblocks);
	return scan->sample_block + 1 < nblocks ? scan->sample_block + 1 : InvalidBlockNumber;
}

static bool
tiered_sample_next_block(TableScanDesc sscan, SampleScanState *state)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;
	BlockNumber main_blocks;
	int64		rows;
	BlockNumber block;

	if (!hone_is_tiered_scan(sscan))
		return GetHeapamTableAmRoutine()->scan_sample_next_block(sscan, state);

	if (!scan->sampling)
	{
		/* later blocks cannot hold rows that the snapshot sees */
		scan->sample_main_blocks = RelationGetNumberOfBlocks(sscan->rs_rd);
		scan->sample_block = InvalidBlockNumber;	/* plus one is 0 */
		scan->sampling = true;
	}
	main_blocks = scan->sample_main_blocks;
	rows = count_rows(scan);
	block = choose_block(scan, state,
						 main_blocks + (rows + SAMPLE_BLOCK_ROWS - 1) / SAMPLE_BLOCK_ROWS);
	if (block == InvalidBlockNumber)
		return false;

	scan->sample_block = block;
	scan->in_batches = block >= main_blocks;
	if (scan->in_batches)
	{
		scan->sample_next = (int64) (block - main_blocks) * SAMPLE_BLOCK_ROWS;
		scan->sample_end = Min(scan->sample_next + SAMPLE_BLOCK_ROWS, rows);
	}
	else
	{
		/* one page, not wherever others are */
		scan->heap->rs_flags &= ~SO_ALLOW_SYNC;
		heap_rescan(scan->heap, NULL, false, false, false, false);
		heap_setscanlimits(scan->heap, block, 1);
	}
	return true;
}

/*
 * The visible tuple of the heap block at this offset; they come in order.
 */
static bool
heap_tuple_at(HoneTieredScan *scan, OffsetNumber offset, TupleTableSlot *slot)
{
	while (TupIsNull(slot) || ItemPointerGetOffsetNumber(&slot->tts_tid) < offset)
	{
		if (!heap_getnextslot(scan->heap, ForwardScanDirection, slot))
			return false;
	}
	return ItemPointerGetOffsetNumber(&slot->tts_tid) == offset;
}

static bool
compressed_row_at(HoneTieredScan *scan, OffsetNumber offset, TupleTableSlot *slot)
{
	if (!hone_cursor_seek_number(scan->cursor, scan->sample_next + offset - 1) ||
		hone_cursor_is_dead(scan->cursor))
		return false;
	hone_scan_store_compressed(scan->cursor, slot);
	return true;
}

static bool
tiered_sample_next_tuple(TableScanDesc sscan, SampleScanState *state,
						 TupleTableSlot *slot)
{
	HoneTieredScan *scan = (HoneTieredScan *) sscan;
	OffsetNumber last;

	if (!hone_is_tiered_scan(sscan))
		return GetHeapamTableAmRoutine()->scan_sample_next_tuple(sscan, state, slot);

	last = scan->in_batches ? (OffsetNumber) (scan->sample_end - scan->sample_next) :
		MaxHeapTuplesPerPage;
	for (;;)
	{
		OffsetNumber offset = state->tsmroutine->NextSampleTuple(state, scan->sample_block, last);

		CHECK_FOR_INTERRUPTS();
		if (!OffsetNumberIsValid(offset))
		{
			ExecClearTuple(slot);
			return false;
		}
		if (scan->in_batches ? compressed_row_at(scan, offset, slot) :
			heap_tuple_at(scan, offset, slot))
			return true;
	}
}

void
hone_sample_install(TableAmRoutine *routine)
{
	routine->scan_sample_next_block = tiered_sample_next_block;
	routine->scan_sample_next_tuple = tiered_sample_next_tuple;
}
