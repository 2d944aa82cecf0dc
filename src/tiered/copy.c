/*-------------------------------------------------------------------------
 *
 * copy.c
 *	  A copy of a relation's files in another tablespace, made while others
 *	  change the pages.
 *
 * Pages are read through shared buffers, each under a shared lock, and
 * written past them: nobody reads the new files before the commit. Each page
 * is in the WAL before it is written, so standbys have it and a crash brings it
 * back, and the checkpointer syncs the file. A checkpoint must not come
 * between the two: it would begin after the record and end before the page is
 * known to it. (With wal_level = minimal the commit syncs instead.)
 *
 * The visibility map is copied at the very end, and never says more than the
 * pages do: a bit that is set for a page which is not marked all-visible
 * itself would not be cleared when that page is changed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "access/xlogutils.h"
#include "catalog/pg_class.h"
#include "catalog/storage.h"
#include "catalog/storage_xlog.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "storage/proc.h"
#include "storage/smgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "tiered/copy.h"

/* Pages that one WAL record can hold. */
#define RUN_PAGES			32

/* Of visibilitymap.c: two bits for each page, the first says all-visible. */
#define MAP_BYTES			(BLCKSZ - MAXALIGN(offsetof(PageHeaderData, pd_linp)))
#define MAP_BYTE_PAGES		4

/* Pages on their way into one fork of a copy. */
typedef struct Run
{
	HoneCopy   *copy;
	ForkNumber	fork;
	char	   *memory;
	int			npages;
	BlockNumber blocks[RUN_PAGES];
	Page		pages[RUN_PAGES];
} Run;

/* ------------------------------------------------------------------------
 * A bit for each page
 * ------------------------------------------------------------------------
 */

static bool
get_bit(const uint8 *bits, BlockNumber block)
{
	return (bits[block / 8] & (1 << (block % 8))) != 0;
}

static void
set_bit(uint8 *bits, BlockNumber block, bool value)
{
	if (value)
		bits[block / 8] |= 1 << (block % 8);
	else
		bits[block / 8] &= ~(1 << (block % 8));
}

static uint8 *
enlarge(uint8 *bits, BlockNumber room, BlockNumber new_room)
{
	Size		size = (Size) room / 8;
	Size		new_size = (Size) new_room / 8;

	bits = repalloc_huge(bits, new_size);
	memset(bits + size, 0, new_size - size);
	return bits;
}

static void
make_room(HoneCopy *copy, BlockNumber nblocks)
{
	uint64		room = copy->room;

	if (nblocks <= room)
		return;
	while (room < nblocks)
		room *= 2;

	/* of the largest table, its last pages do not fill a byte */
	room = Min(room, (uint64) MaxBlockNumber / 8 * 8 + 8);
	copy->changed = enlarge(copy->changed, copy->room, room);
	copy->all_visible = enlarge(copy->all_visible, copy->room, room);
	copy->room = room;
}

/* ------------------------------------------------------------------------
 * Pages
 * ------------------------------------------------------------------------
 */

static void
begin_run(Run *run, HoneCopy *copy, ForkNumber fork)
{
	run->copy = copy;
	run->fork = fork;
	run->memory = palloc(RUN_PAGES * BLCKSZ + PG_IO_ALIGN_SIZE);
	run->npages = 0;
	for (int i = 0; i < RUN_PAGES; i++)
		run->pages[i] = (Page) TYPEALIGN(PG_IO_ALIGN_SIZE, run->memory) + i * BLCKSZ;
}

static void
write_run(Run *run)
{
	HoneCopy   *copy = run->copy;
	SMgrRelation files;
	BlockNumber end;

	if (run->npages == 0)
		return;
	files = smgropen(copy->to, INVALID_PROC_NUMBER);
	end = smgrnblocks(files, run->fork);

	Assert((MyProc->delayChkptFlags & DELAY_CHKPT_START) == 0);
	MyProc	  ->delayChkptFlags |= DELAY_CHKPT_START;

	if (XLogIsNeeded())
		log_newpages(&copy->to, run->fork, run->npages, run->blocks, run->pages,
					 copy->heap && run->fork == MAIN_FORKNUM);
	for (int i = 0; i < run->npages; i++)
	{
		PageSetChecksumInplace(run->pages[i], run->blocks[i]);
		if (run->blocks[i] < end)
			smgrwrite(files, run->fork, run->blocks[i], run->pages[i], false);
		else
			smgrextend(files, run->fork, end++, run->pages[i], false);
	}
	MyProc	  ->delayChkptFlags &= ~DELAY_CHKPT_START;

	run->npages = 0;
}

static void
end_run(Run *run)
{
	write_run(run);
	pfree(run->memory);
}

/*
 * The page as it is now. Blocks must come in order, without a gap behind the
 * end of the copy. As PostgreSQL itself reads them: a damaged page of the main
 * fork is an error, one of a map is taken for an empty one.
 */
static Page
take_page(Run *run, Relation rel, BlockNumber block)
{
	Page		page;
	Buffer		buffer;

	if (run->npages == RUN_PAGES)
		write_run(run);
	CHECK_FOR_INTERRUPTS();
	page = run->pages[run->npages];
	buffer = ReadBufferExtended(rel, run->fork, block,
								run->fork == MAIN_FORKNUM ? RBM_NORMAL : RBM_ZERO_ON_ERROR,
								run->copy->strategy);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	memcpy(page, BufferGetPage(buffer), BLCKSZ);
	UnlockReleaseBuffer(buffer);
	run->blocks[run->npages++] = block;
	return page;
}

/* ------------------------------------------------------------------------
 * The main fork
 * ------------------------------------------------------------------------
 */

HoneCopy *
hone_copy_begin(Relation rel, Oid tablespace)
{
	HoneCopy   *copy = palloc0(sizeof(HoneCopy));

	Assert(rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT);
	copy->relid = RelationGetRelid(rel);
	copy->from = HONE_LOCATOR(rel);
	copy->heap = rel->rd_rel->relkind != RELKIND_INDEX;
	copy->room = 1024;
	copy->changed = palloc0(copy->room / 8);
	copy->all_visible = palloc0(copy->room / 8);
	copy->strategy = GetAccessStrategy(BAS_BULKREAD);
	copy->to = hone_compat_new_locator(rel, tablespace);
	RelationCreateStorage(copy->to, rel->rd_rel->relpersistence, true);
	return copy;
}

void
hone_copy_discard(HoneCopy *copy)
{
	Relation	fake = CreateFakeRelcacheEntry(copy->to);

	(void) GetCurrentTransactionId();

	/* not pinned, unlike that of other relations from 17 on */
	fake->rd_smgr = NULL;
	RelationDropStorage(fake);
	FreeFakeRelcacheEntry(fake);
	pfree(copy->changed);
	pfree(copy->all_visible);
	FreeAccessStrategy(copy->strategy);
	pfree(copy);
}

void
hone_copy_page_changed(HoneCopy *copy, BlockNumber block)
{
	/* a page behind these is still to be copied */
	if (block < copy->copied && !get_bit(copy->changed, block))
	{
		set_bit(copy->changed, block, true);
		copy->nchanged++;
	}
}

void
hone_copy_cut(HoneCopy *copy)
{
	copy->cut = true;
}

void
hone_copy_begin_pass(HoneCopy *copy, Relation rel)
{
	copy->next = 0;
	copy->end = smgrnblocks(RelationGetSmgr(rel), MAIN_FORKNUM);
	make_room(copy, copy->end);
}

/*
 * Next block of the pass at or behind copy->next.
 */
static BlockNumber
next_to_copy(HoneCopy *copy)
{
	BlockNumber block = copy->next;

	if (copy->nchanged == 0)
		return Max(block, copy->copied);
	while (block < copy->copied && !get_bit(copy->changed, block))
	{
		if (block % 8 == 0 && copy->changed[block / 8] == 0)
			block = Min(block + 8, copy->copied);
		else
			block++;
	}
	return block;
}

int
hone_copy_some(HoneCopy *copy, Relation rel, int npages)
{
	Run			run;
	int			done = 0;

	begin_run(&run, copy, MAIN_FORKNUM);
	while (done < npages)
	{
		BlockNumber block = next_to_copy(copy);
		Page		page;

		copy->next = Min(block, copy->end);
		if (block >= copy->end)
			break;
		if (block < copy->copied)
		{
			set_bit(copy->changed, block, false);
			copy->nchanged--;
		}
		page = take_page(&run, rel, block);
		set_bit(copy->all_visible, block,
				copy->heap && !PageIsNew(page) && PageIsAllVisible(page));
		if (block == copy->copied)
			copy->copied++;
		copy->next = block + 1;
		done++;
	}
	end_run(&run);
	return done;
}

void
hone_copy_sync(HoneCopy *copy)
{
	smgrimmedsync(smgropen(copy->to, INVALID_PROC_NUMBER), MAIN_FORKNUM);
}

/* ------------------------------------------------------------------------
 * The maps
 * ------------------------------------------------------------------------
 */

/*
 * False: rel has no such fork. Else the copy has an empty one, if it had none.
 */
static bool
begin_fork(HoneCopy *copy, Relation rel, ForkNumber fork)
{
	SMgrRelation files;

	if (!smgrexists(RelationGetSmgr(rel), fork))
		return false;
	files = smgropen(copy->to, INVALID_PROC_NUMBER);
	if (!smgrexists(files, fork))
	{
		smgrcreate(files, fork, false);
		log_smgrcreate(&copy->to, fork);
	}
	return true;
}

void
hone_copy_free_space(HoneCopy *copy, Relation rel)
{
	BlockNumber nblocks;
	Run			run;

	if (!begin_fork(copy, rel, FSM_FORKNUM))
		return;
	nblocks = smgrnblocks(RelationGetSmgr(rel), FSM_FORKNUM);
	begin_run(&run, copy, FSM_FORKNUM);
	for (BlockNumber block = 0; block < nblocks; block++)
		(void) take_page(&run, rel, block);
	end_run(&run);
}

/*
 * Clear the bits of pages that are not marked in the copy.
 */
static void
correct_map(HoneCopy *copy, BlockNumber map_block, Page page)
{
	uint8	   *bytes = (uint8 *) PageGetContents(page);
	uint64		block = (uint64) map_block * MAP_BYTES * MAP_BYTE_PAGES;

	if (PageIsNew(page))
		return;
	for (int i = 0; i < MAP_BYTES; i++)
	{
		for (int shift = 0; shift < 8; shift += 2, block++)
		{
			if ((bytes[i] & (3 << shift)) != 0 &&
				(block >= copy->copied || !get_bit(copy->all_visible, block)))
				bytes[i] &= ~(3 << shift);
		}
	}
}

void
hone_copy_visibility(HoneCopy *copy, Relation rel)
{
	BlockNumber nblocks;
	Run			run;

	if (!copy->heap || !begin_fork(copy, rel, VISIBILITYMAP_FORKNUM))
		return;
	nblocks = smgrnblocks(RelationGetSmgr(rel), VISIBILITYMAP_FORKNUM);
	begin_run(&run, copy, VISIBILITYMAP_FORKNUM);
	for (BlockNumber block = 0; block < nblocks; block++)
		correct_map(copy, block, take_page(&run, rel, block));
	end_run(&run);
}
