/*-------------------------------------------------------------------------
 *
 * compact.c
 *	  Making a TOAST table that compressing has left holes in smaller.
 *
 * VACUUM gives back only what is free at the end of a file. So batches that
 * lie behind where everything would fit are written anew, into the free pages
 * before it, which the free space map names; the next VACUUM then cuts the rest
 * off.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/table.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/freespace.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/am.h"
#include "tiered/fold.h"

/* Not worth it for less: free pages, and their share of all. */
#define FEWEST_FREE		16
#define SMALLEST_SHARE	4		/* a quarter */

/* Pages that are left, for those that are only partly filled. */
#define SPARE_PAGES		8

/* Free pages of the file, in their order; palloc'd in context. */
static BlockNumber *
find_free_pages(Relation toast, BlockNumber nblocks, MemoryContext context,
				BlockNumber *nfree)
{
	BlockNumber *pages = MemoryContextAllocHuge(context, Max(nblocks, 1) * sizeof(BlockNumber));

	*nfree = 0;
	for (BlockNumber block = 0; block < nblocks; block++)
	{
		if (block % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		if (GetRecordedFreeSpace(toast, block) >= HONE_CHUNK_BYTES)
			pages[(*nfree)++] = block;
	}
	return pages;
}

/* Whether something of the batch lies behind the end. */
static bool
lies_behind(HoneStore *store, Snapshot snapshot, const HoneBatchEntry *entry,
			BlockNumber end)
{
	HoneStoreScan *scan = hone_store_begin_batch_scan(store, snapshot, entry);
	HeapTuple	tuple;
	bool		behind = false;

	while (!behind && (tuple = hone_store_next(scan)) != NULL)
		behind = ItemPointerGetBlockNumber(&tuple->t_self) >= end;
	hone_store_end_scan(scan);
	return behind;
}

HoneStepResult
hone_compact_plan_step(HoneFoldState *state)
{
	Relation	rel = hone_fold_open(state);
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	BlockNumber nblocks = RelationGetNumberOfBlocks(store->toast);
	BlockNumber nfree;
	BlockNumber *pages = find_free_pages(store->toast, nblocks, state->context, &nfree);
	HoneBatchEntry *entries;
	int			nentries;

	if (nfree >= FEWEST_FREE && nfree >= nblocks / SMALLEST_SHARE)
	{
		BlockNumber end = nblocks - nfree + SPARE_PAGES;

		state->free_pages = pages;
		while (state->nfree < nfree && pages[state->nfree] < end)
			state->nfree++;
		PushActiveSnapshot(GetLatestSnapshot());
		entries = hone_store_read_directory(store, GetActiveSnapshot(), &nentries);
		for (int i = 0; i < nentries; i++)
		{
			if (lies_behind(store, GetActiveSnapshot(), &entries[i], end))
			{
				MemoryContext old = MemoryContextSwitchTo(state->context);

				state->groups = lappend(state->groups, list_make1_int(entries[i].batch));
				MemoryContextSwitchTo(old);
			}
		}
		PopActiveSnapshot();
		state->compacting = true;
	}
	hone_store_close(store);
	table_close(rel, NoLock);
	return HONE_STEP_LAST;
}
