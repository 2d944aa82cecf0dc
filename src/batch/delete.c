/*-------------------------------------------------------------------------
 *
 * delete.c
 *	  batch_delete: delete many rows, a commit per batch.
 *
 * Each table is walked once, in windows of blocks. The rows of a window that
 * match are found first (their ctids are collected), then deleted in batches
 * by ctid, where the condition is checked again: a row that another session
 * changed in between is deleted only if it still matches, and one that was
 * moved elsewhere is left to the next call. No transaction deletes more than
 * batch_size rows, and none is open longer than it takes to read a window.
 *
 * Compressed rows have addresses beyond all blocks, where windows mean nothing:
 * they are found first, many at a time.
 *
 * Windows grow while few rows match, so that a condition that matches little
 * costs one plain scan, and shrink again where many do.
 *
 * Statements run through SPI as the caller, with the caller's search_path,
 * row security and triggers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/itemptr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "batch/batch.h"
#include "batch/condition.h"
#include "batch/target.h"
#include "common/procedure.h"

#define MAX_BATCH_SIZE	1000000
#define MIN_WINDOW		16		/* blocks */
#define MAX_WINDOW		1024	/* blocks: 8 MB */
#define MAX_COLLECTED	1000000 /* row addresses: 6 MB */

/* Virtual block numbers, which only access methods other than heap use. */
#define VIRTUAL_BLOCKS	((BlockNumber) 0x80000000)

PG_FUNCTION_INFO_V1(hone_batch_delete);

/* Row addresses found and not yet deleted, in the procedure's context. */
typedef struct TidBuffer
{
	ItemPointerData *items;
	int			count;
	int			size;
} TidBuffer;

typedef struct DeleteState
{
	const char *condition;
	int			batch_size;
	SPIPlanPtr	find;			/* ctids of a window that match */
	SPIPlanPtr	remove;			/* rows of given ctids that match */
	TidBuffer	found;
	int64		deleted;
	int64		batches;
} DeleteState;

void
hone_batch_init(void)
{
}

static void
keep_tids(TidBuffer *buffer, SPITupleTable *table, uint64 count)
{
	if (buffer->count + count > buffer->size)
	{
		buffer->size = Max(buffer->count + count, 2 * buffer->size);
		buffer->items = buffer->items == NULL
			? MemoryContextAllocHuge(hone_procedure_context(),
									 buffer->size * sizeof(ItemPointerData))
			: repalloc_huge(buffer->items, buffer->size * sizeof(ItemPointerData));
	}
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;
		Datum		tid = SPI_getbinval(table->vals[i], table->tupdesc, 1, &isnull);

		buffer->items[buffer->count++] = *(ItemPointer) DatumGetPointer(tid);
	}
}

/*
 * Collect the matching rows from one row address to before another, at most
 * 'limit' (0 = all). Returns how many.
 */
static uint64
find_between(DeleteState *state, ItemPointer from, ItemPointer until, long limit)
{
	Datum		values[2] = {PointerGetDatum(from), PointerGetDatum(until)};
	uint64		count;

	if (SPI_execute_plan(state->find, values, NULL, false, limit) != SPI_OK_SELECT)
		elog(ERROR, "could not search the table");
	count = SPI_processed;
	keep_tids(&state->found, SPI_tuptable, count);
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/*
 * The same for all rows of blocks [from, until).
 */
static uint64
find_rows(DeleteState *state, BlockNumber from, BlockNumber until)
{
	ItemPointerData first;
	ItemPointerData last;

	ItemPointerSet(&first, from, 0);
	ItemPointerSet(&last, until, 0);
	return find_between(state, &first, &last, 0);
}

/*
 * Delete the first rows of those found, at most one batch, and commit.
 */
static void
delete_batch(DeleteState *state)
{
	TidBuffer  *found = &state->found;
	int			count = Min(found->count, state->batch_size);
	MemoryContext context = AllocSetContextCreate(hone_procedure_context(),
												  "hone batch",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	Datum	   *tids = palloc(count * sizeof(Datum));
	Datum		values[1];

	/* called when at least one row was found */
	Assert(found->items != NULL);
	for (int i = 0; i < count; i++)
		tids[i] = PointerGetDatum(&found->items[i]);
	values[0] = PointerGetDatum(construct_array(tids, count, TIDOID,
												sizeof(ItemPointerData), false,
												TYPALIGN_SHORT));
	MemoryContextSwitchTo(old);

	if (SPI_execute_plan(state->remove, values, NULL, false, 0) != SPI_OK_DELETE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a rule of the table replaces DELETE"),
				 errhint("Drop or disable the ON DELETE DO INSTEAD rule, or use DELETE, to which the rule applies.")));
	state->deleted += SPI_processed;
	state->batches++;
	MemoryContextDelete(context);

	found->count -= count;
	memmove(found->items, found->items + count,
			found->count * sizeof(ItemPointerData));
	hone_procedure_commit();
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
 * Walk one table: windows up to its present end, and a last one without end
 * for what has been added since.
 */
static void
walk_blocks(DeleteState *state, BlockNumber nblocks)
{
	BlockNumber window = MIN_WINDOW;
	BlockNumber from = 0;
	bool		at_end = false;

	while (!at_end)
	{
		BlockNumber until;
		uint64		matched;

		CHECK_FOR_INTERRUPTS();
		at_end = nblocks - from <= window;
		until = at_end ? VIRTUAL_BLOCKS : from + window;
		matched = find_rows(state, from, until);
		while (state->found.count >= state->batch_size ||
			   (at_end && state->found.count > 0))
			delete_batch(state);
		hone_procedure_commit();
		window = next_window(window, matched, state->batch_size);
		from = until;
	}
}

/*
 * Rows whose addresses are beyond all blocks: compressed ones. A search for
 * them reads the whole table, so that it collects many.
 */
static void
walk_virtual_blocks(DeleteState *state)
{
	ItemPointerData from;
	ItemPointerData until;

	ItemPointerSet(&from, VIRTUAL_BLOCKS, 0);
	ItemPointerSet(&until, MaxBlockNumber, 0);
	while (find_between(state, &from, &until, MAX_COLLECTED) > 0)
	{
		/* go on after the last one; it may not let itself be deleted */
		from = state->found.items[state->found.count - 1];
		ItemPointerSetOffsetNumber(&from, ItemPointerGetOffsetNumber(&from) + 1);
		while (state->found.count > 0)
			delete_batch(state);
		hone_procedure_commit();
	}
}

/*
 * Prepare a statement whose plan never depends on the values: a row address
 * list given as a constant could turn into a sequential scan.
 */
static SPIPlanPtr
prepare(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

static void
prepare_statements(DeleteState *state, const HoneBatchTarget *target)
{
	Oid			bounds[2] = {TIDOID, TIDOID};
	Oid			list[1] = {TIDARRAYOID};

	state->find = prepare(psprintf("SELECT ctid FROM %s WHERE"
								   " ctid OPERATOR(pg_catalog.>=) $1 AND ctid OPERATOR(pg_catalog.<) $2"
								   " AND %s(%s\n)",
								   target->from, target->restriction, state->condition),
						  2, bounds);
	state->remove = prepare(psprintf("DELETE FROM %s WHERE"
									 " ctid OPERATOR(pg_catalog.=) ANY ($1) AND %s(%s\n)",
									 target->from, target->restriction, state->condition),
							1, list);
}

static BlockNumber
table_blocks(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);

	table_close(rel, NoLock);
	return nblocks;
}

static void
drop_plan(SPIPlanPtr *plan)
{
	if (*plan != NULL)
		SPI_freeplan(*plan);
	*plan = NULL;
}

/*
 * Kept plans outlive transactions, and errors too unless they are dropped.
 */
static void
delete_from_leaf(DeleteState *state, Oid root, Oid leaf)
{
	HoneBatchTarget target;

	if (!hone_batch_target(root, leaf, ACL_DELETE, &target))
		return;
	PG_TRY();
	{
		prepare_statements(state, &target);
		walk_virtual_blocks(state);
		walk_blocks(state, table_blocks(leaf));
	}
	PG_FINALLY();
	{
		drop_plan(&state->find);
		drop_plan(&state->remove);
	}
	PG_END_TRY();
}

/*
 * Check what can be checked before the first transaction ends.
 */
static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("rel must not be null"),
				 errhint("Name the table to delete from.")));
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("condition must not be null"),
				 errhint("To delete every row, pass the condition 'true'.")));
	if (PG_ARGISNULL(2) || PG_GETARG_INT32(2) < 1 ||
		PG_GETARG_INT32(2) > MAX_BATCH_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("batch_size must be between 1 and %d", MAX_BATCH_SIZE),
				 errhint("It is the number of rows to delete in one transaction; the default is 10000.")));
}

static char *
condition_argument(FunctionCallInfo fcinfo)
{
	char	   *condition = text_to_cstring(PG_GETARG_TEXT_PP(1));

	if (condition[strspn(condition, " \t\n\r\f\v")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("condition must not be empty"),
				 errhint("To delete every row, pass the condition 'true'.")));
	hone_check_condition(condition);
	return condition;
}

/*
 * hone.batch_delete(rel, condition, batch_size, INOUT rows_deleted)
 */
Datum
hone_batch_delete(PG_FUNCTION_ARGS)
{
	DeleteState state;
	TupleDesc	tupdesc;
	Oid			root;
	List	   *leaves;
	ListCell   *lc;
	Datum		values[1];
	bool		nulls[1] = {false};

	hone_require_script();
	check_arguments(fcinfo);
	root = PG_GETARG_OID(0);
	memset(&state, 0, sizeof(state));

	hone_procedure_begin(fcinfo, "hone.batch_delete");
	state.batch_size = PG_GETARG_INT32(2);
	state.condition = condition_argument(fcinfo);
	hone_batch_check_relation(root, ACL_DELETE);
	leaves = hone_batch_leaves(root);
	foreach(lc, leaves)
		delete_from_leaf(&state, root, lfirst_oid(lc));
	hone_procedure_end();

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(state.deleted);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}
