/*-------------------------------------------------------------------------
 *
 * walk_tid.c
 *	  Walking a table by the places of its rows.
 *
 * The table is walked once, in windows of blocks. The rows of a window that
 * match are found first (their ctids are collected), then changed in batches
 * by ctid, where the condition is checked again: a row that another session
 * changed in between is changed only if it still matches, and one that was
 * moved elsewhere is left to the next call. No transaction changes more than
 * batch_size rows, and none is open longer than it takes to read a window.
 *
 * An update puts new versions of its rows where the walk may come by later:
 * rows that a transaction of this call wrote are left alone.
 *
 * An update stops where the table ended when the walk of it began; a delete or a
 * move looks once more, when it comes there, how far the table goes by then.
 *
 * Compressed rows have addresses beyond all blocks, where windows mean nothing:
 * they are found first, many at a time.
 *
 * Windows grow while few rows match, so that a condition that matches little
 * costs one plain scan, and shrink again where many do.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "batch/work.h"
#include "common/procedure.h"

#define MIN_WINDOW		16		/* blocks */
#define MAX_WINDOW		1024	/* blocks: 8 MB */
#define MAX_COLLECTED	1000000 /* row addresses: 6 MB */

/* Virtual block numbers, which only access methods other than heap use. */
#define VIRTUAL_BLOCKS	((BlockNumber) 0x80000000)

#define FROM_UNTIL \
	"ctid OPERATOR(pg_catalog.>=) $1 AND ctid OPERATOR(pg_catalog.<) $2 AND "
#define LISTED	"ctid OPERATOR(pg_catalog.=) ANY ($1) AND "
#define LISTED_NOT_OWN	LISTED "NOT (xmin OPERATOR(pg_catalog.=) ANY ($2)) AND "

/* Row addresses found and not yet changed, in the procedure's context. */
typedef struct TidBuffer
{
	ItemPointerData *items;
	int			count;
	int			size;
} TidBuffer;

typedef struct TidWalk
{
	SPIPlanPtr	find;			/* ctids of a window that match */
	SPIPlanPtr	lock;			/* skip_locked: those of given ones not locked */
	SPIPlanPtr	change;			/* rows of given ctids that match */
	TidBuffer	found;
	int			own_before;		/* own transactions, when they were found */
	bool		beyond;			/* all blocks: compressed rows */
	bool		ordered;		/* find is made to return them in order */

	/* the walk of blocks */
	BlockNumber from;
	BlockNumber window;			/* so many of them */
	BlockNumber nblocks;		/* where it ends */
	bool		end_known;		/* and does not move any more */
	bool		at_end;			/* the window goes up to there */

	/* the window to be searched, and how many were found in it */
	ItemPointerData first;
	ItemPointerData until;
	long		limit;
	uint64		matched;
	ItemPointerData highest;	/* of these, own or not */
	bool		ascending;		/* they came so */

	/* the batch */
	int			count;
} TidWalk;

static int
compare_tids(const void *a, const void *b)
{
	return ItemPointerCompare((ItemPointer) a, (ItemPointer) b);
}

static void
make_room(TidBuffer *buffer, uint64 count)
{
	if (buffer->count + count <= buffer->size)
		return;
	buffer->size = Max(buffer->count + count, 2 * buffer->size);
	buffer->items = buffer->items == NULL
		? MemoryContextAllocHuge(hone_procedure_context(),
								 buffer->size * sizeof(ItemPointerData))
		: repalloc_huge(buffer->items, buffer->size * sizeof(ItemPointerData));
}

/*
 * In their order: those before the first that is not changed yet are done, for
 * a job. (An index on what the condition compares gives them in another one.)
 */
static void
keep_tids(HoneBatch *batch, TidWalk *walk, SPITupleTable *table)
{
	TidBuffer  *buffer = &walk->found;
	int			before = buffer->count;

	make_room(buffer, walk->matched);
	walk->ascending = true;
	for (uint64 i = 0; i < walk->matched; i++)
	{
		bool		isnull;
		ItemPointer tid = (ItemPointer) DatumGetPointer(SPI_getbinval(table->vals[i], table->tupdesc, 1, &isnull));

		if (i == 0 || ItemPointerCompare(tid, &walk->highest) > 0)
			walk->highest = *tid;
		else
			walk->ascending = false;
		if (batch->kind == HONE_BATCH_UPDATE)
		{
			Datum		xmin = SPI_getbinval(table->vals[i], table->tupdesc, 2, &isnull);

			if (hone_batch_is_own(batch, DatumGetTransactionId(xmin)))
				continue;
		}
		buffer->items[buffer->count++] = *tid;
	}
	if (!walk->ascending)
		qsort(buffer->items + before, buffer->count - before, sizeof(ItemPointerData), compare_tids);
}

/*
 * A block that a job remembers is one of the files that the table had then.
 */
static void
check_position(HoneBatch *batch)
{
	Relation	rel = table_open(batch->target.relid, AccessShareLock);
	Oid			filenode = rel->rd_rel->relfilenode;

	table_close(rel, NoLock);
	if (batch->job.filenode != filenode)
		batch->job.last_block = 0;
	batch->job.filenode = filenode;
}

static char *
change_sql(const HoneBatch *batch)
{
	return hone_batch_change_sql(batch, batch->kind == HONE_BATCH_UPDATE ? LISTED_NOT_OWN : LISTED);
}

static void
prepare_statements(HoneBatch *batch, TidWalk *walk)
{
	Oid			bounds[2] = {TIDOID, TIDOID};
	Oid			lists[2] = {TIDARRAYOID, XIDARRAYOID};

	walk->find = hone_batch_prepare(psprintf("SELECT ctid%s FROM %s WHERE " FROM_UNTIL "%s(%s\n)%s",
											 batch->kind == HONE_BATCH_UPDATE ? ", xmin" : "",
											 batch->target.from, batch->target.restriction, batch->condition,
											 walk->ordered ? " ORDER BY ctid" : ""),
									2, bounds);
	if (batch->options.skip_locked)
		walk->lock = hone_batch_prepare(hone_batch_lock_sql(batch, LISTED), 1, lists);
	walk->change = hone_batch_prepare(change_sql(batch),
									  batch->kind == HONE_BATCH_UPDATE ? 2 : 1, lists);
}

static void
drop_statements(TidWalk *walk)
{
	hone_batch_drop_plan(&walk->find);
	hone_batch_drop_plan(&walk->lock);
	hone_batch_drop_plan(&walk->change);
}

static void
find_tids(HoneBatch *batch, TidWalk *walk)
{
	Datum		values[2] = {PointerGetDatum(&walk->first), PointerGetDatum(&walk->until)};

	if (walk->change == NULL)
	{
		drop_statements(walk);
		prepare_statements(batch, walk);
	}
	walk->matched = 0;
	if (walk->found.count == 0)
		walk->own_before = batch->own.count;
	if (SPI_execute_plan(walk->find, values, NULL, false, walk->limit) != SPI_OK_SELECT)
		elog(ERROR, "could not search the table");
	walk->matched = SPI_processed;
	keep_tids(batch, walk, SPI_tuptable);
	SPI_freetuptable(SPI_tuptable);
}

/*
 * The next blocks.
 */
static void
set_window(HoneBatch *batch, TidWalk *walk)
{
	if (!walk->end_known && walk->nblocks - walk->from <= walk->window)
	{
		Relation	rel = table_open(batch->target.relid, AccessShareLock);

		walk->nblocks = Max(walk->nblocks, RelationGetNumberOfBlocks(rel));
		walk->end_known = true;
		table_close(rel, NoLock);
	}
	walk->at_end = walk->nblocks - walk->from <= walk->window;
	ItemPointerSet(&walk->first, walk->from, 0);
	ItemPointerSet(&walk->until, walk->at_end ? walk->nblocks : walk->from + walk->window, 0);
}

static void
attempt_find(HoneBatch *batch, void *arg)
{
	TidWalk    *walk = arg;

	if (!walk->beyond)
	{
		set_window(batch, walk);
		find_tids(batch, walk);
		return;
	}
	find_tids(batch, walk);
	if (!walk->ascending && walk->matched == walk->limit)
	{
		/* which of them the limit has cut off is not known */
		walk->found.count = 0;
		walk->ordered = true;
		drop_statements(walk);
		find_tids(batch, walk);
	}

	/* go on after the last one; it may not let itself be changed */
	if (walk->matched > 0)
	{
		walk->first = walk->highest;
		ItemPointerSetOffsetNumber(&walk->first, ItemPointerGetOffsetNumber(&walk->first) + 1);
	}
}

static char *
describe_window(HoneBatch *batch, void *arg)
{
	TidWalk    *walk = arg;

	if (walk->beyond)
		return pstrdup("compressed rows");
	return psprintf("blocks from %u to before %u",
					ItemPointerGetBlockNumberNoCheck(&walk->first),
					ItemPointerGetBlockNumberNoCheck(&walk->until));
}

static Datum
listed_tids(const ItemPointerData *items, int count)
{
	Datum	   *tids = palloc(count * sizeof(Datum));
	ArrayType  *array;

	for (int i = 0; i < count; i++)
		tids[i] = PointerGetDatum(&items[i]);
	array = construct_array(tids, count, TIDOID, sizeof(ItemPointerData),
							false, TYPALIGN_SHORT);
	pfree(tids);
	return PointerGetDatum(array);
}

/* Own transactions since the rows were found: one may have taken a place over. */
static Datum
recent_own(const HoneBatch *batch, const TidWalk *walk)
{
	int			count = batch->own.count - walk->own_before;
	Datum	   *xids = palloc(Max(count, 1) * sizeof(Datum));
	ArrayType  *array;

	for (int i = 0; i < count; i++)
		xids[i] = TransactionIdGetDatum(batch->own.xids[walk->own_before + i]);
	array = construct_array(xids, count, XIDOID, sizeof(TransactionId), true, TYPALIGN_INT);
	pfree(xids);
	return PointerGetDatum(array);
}

/*
 * Change the first rows of those found, at most one batch.
 */
static void
attempt_change(HoneBatch *batch, void *arg)
{
	TidWalk    *walk = arg;
	Datum		listed = listed_tids(walk->found.items, walk->count);
	Datum		own = recent_own(batch, walk);
	Datum		values[] = {listed, own};

	hone_batch_change(batch, walk->lock, walk->change, values, walk->count);
	pfree(DatumGetPointer(listed));
	pfree(DatumGetPointer(own));
}

/*
 * What is found and not yet changed begins in an earlier block than the window.
 */
static void
mark_change(HoneBatch *batch, void *arg)
{
	TidWalk    *walk = arg;
	const TidBuffer *found = &walk->found;

	if (walk->beyond)
		return;
	batch->job.last_block = found->count > walk->count
		? ItemPointerGetBlockNumberNoCheck(&found->items[walk->count])
		: ItemPointerGetBlockNumberNoCheck(&walk->until);
	batch->job.walked = batch->job.walked_leaf + Min(batch->target_blocks, batch->job.last_block);
}

static char *
describe_change(HoneBatch *batch, void *arg)
{
	TidWalk    *walk = arg;
	ItemPointer first = &walk->found.items[0];
	ItemPointer last = &walk->found.items[walk->count - 1];

	return psprintf("%d rows from ctid (%u,%u) to (%u,%u)", walk->count,
					ItemPointerGetBlockNumberNoCheck(first), ItemPointerGetOffsetNumberNoCheck(first),
					ItemPointerGetBlockNumberNoCheck(last), ItemPointerGetOffsetNumberNoCheck(last));
}

static const HoneBatchStep find_step = {attempt_find, NULL, describe_window, false};
static const HoneBatchStep change_step = {attempt_change, mark_change, describe_change, true};

static bool
change_batch(HoneBatch *batch, TidWalk *walk)
{
	TidBuffer  *found = &walk->found;

	walk->count = Min(found->count, batch->size);
	(void) hone_batch_make(batch, &change_step, walk);
	found->count -= walk->count;
	memmove(found->items, found->items + walk->count,
			found->count * sizeof(ItemPointerData));
	return hone_batch_go_on(batch, true);
}

/*
 * Blocks for the next window: aim at one batch of matching rows.
 */
static BlockNumber
next_window(BlockNumber window, uint64 matched, int batch_size)
{
	if (matched > (uint64) batch_size)
		window /= 2;
	else if (matched < (uint64) batch_size / 2)
		window *= 2;
	return Max(MIN_WINDOW, Min(MAX_WINDOW, window));
}

/*
 * Own new versions of an update lie behind the end: it is not looked for again.
 */
static void
walk_blocks(HoneBatch *batch, TidWalk *walk)
{
	walk->beyond = false;
	walk->limit = 0;
	walk->window = MIN_WINDOW;
	walk->nblocks = batch->target_blocks;
	walk->end_known = batch->kind == HONE_BATCH_UPDATE;
	walk->from = Min(walk->nblocks, Max(batch->job.last_block, 0));
	do
	{
		if (!hone_batch_make(batch, &find_step, walk))
			walk->matched = 0;
		while (walk->found.count >= batch->size || (walk->at_end && walk->found.count > 0))
		{
			if (!change_batch(batch, walk))
				return;
		}
		walk->count = 0;
		mark_change(batch, walk);
		hone_batch_pass(batch);
		if (!walk->at_end && !hone_batch_go_on(batch, false))
		{
			/* what is found already is less than a batch */
			if (walk->found.count > 0)
				(void) change_batch(batch, walk);
			return;
		}
		walk->window = next_window(walk->window, walk->matched, batch->size);
		walk->from = ItemPointerGetBlockNumberNoCheck(&walk->until);
	} while (!walk->at_end);
}

/*
 * Rows whose addresses are beyond all blocks: compressed ones. A search for
 * them reads the whole table, so that it collects many.
 */
static bool
walk_virtual_blocks(HoneBatch *batch, TidWalk *walk)
{
	walk->beyond = true;
	walk->limit = MAX_COLLECTED;
	ItemPointerSet(&walk->first, VIRTUAL_BLOCKS, 0);
	ItemPointerSet(&walk->until, MaxBlockNumber, 0);
	while (hone_batch_make(batch, &find_step, walk) && walk->matched > 0)
	{
		while (walk->found.count > 0)
		{
			if (!change_batch(batch, walk))
				return false;
		}
		hone_batch_pass(batch);
	}
	return true;
}

char *
hone_batch_tids_sql(HoneBatch *batch)
{
	TidWalk		walk = {NULL};

	prepare_statements(batch, &walk);
	drop_statements(&walk);
	return change_sql(batch);
}

void
hone_batch_walk_tids(HoneBatch *batch)
{
	TidWalk		walk;

	memset(&walk, 0, sizeof(walk));
	check_position(batch);
	PG_TRY();
	{
		if (walk_virtual_blocks(batch, &walk))
			walk_blocks(batch, &walk);
	}
	PG_FINALLY();
	{
		drop_statements(&walk);
	}
	PG_END_TRY();
	if (walk.found.items != NULL)
		pfree(walk.found.items);
}
