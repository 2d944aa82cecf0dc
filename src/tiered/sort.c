/*-------------------------------------------------------------------------
 *
 * sort.c
 *	  Sorting rows before they are compressed (order.h).
 *
 * Keys that are integers or times are sorted as numbers in memory, others by
 * tuplesort. What is kept of a sorted window is TIDs, so that neither a snapshot nor a
 * file outlives the transaction that sorted it: the step that folds a row
 * reads it again, if it is still there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/relscan.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/sortsupport.h"
#include "utils/tuplesort.h"
#include "utils/typcache.h"

#include "tiered/condition.h"
#include "tiered/order.h"
#include "tiered/run.h"

static Oid
ordering_operator(TupleDesc desc, const HoneOrderKey *key)
{
	TypeCacheEntry *type = lookup_type_cache(TupleDescAttr(desc, key->attnum - 1)->atttypid,
											 TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);

	return key->descending ? type->gt_opr : type->lt_opr;
}

/*
 * A key whose column has been dropped, or has lost its ordering, since the
 * order was read, is left out.
 */
static bool
usable(TupleDesc desc, const HoneOrderKey *key)
{
	return !TupleDescAttr(desc, key->attnum - 1)->attisdropped &&
		OidIsValid(ordering_operator(desc, key));
}

/* ------------------------------------------------------------------------
 * Keys that are numbers
 * ------------------------------------------------------------------------
 */

#define NUMBER_KEYS		2

/* Numbers that are in the order of the keys, and the TID as one. */
typedef struct NumberedRow
{
	uint64		keys[NUMBER_KEYS];
	int64		tid;
} NumberedRow;

static inline int
compare_numbered(const NumberedRow *a, const NumberedRow *b)
{
	for (int i = 0; i < NUMBER_KEYS; i++)
	{
		if (a->keys[i] != b->keys[i])
			return a->keys[i] < b->keys[i] ? -1 : 1;
	}
	return a->tid < b->tid ? -1 : a->tid > b->tid;
}

#define ST_SORT sort_numbered
#define ST_ELEMENT_TYPE NumberedRow
#define ST_COMPARE(a, b) compare_numbered(a, b)
#define ST_SCOPE static
#define ST_CHECK_FOR_INTERRUPTS
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * A null has the least or the greatest number for itself; a value that would
 * have it is as its neighbour.
 */
static uint64
number_of(TupleDesc desc, const HoneOrderKey *key, Datum value, bool isnull)
{
	int64		number;
	uint64		ordered;

	if (isnull)
		return key->nulls_first ? 0 : PG_UINT64_MAX;
	number = hone_key_value(TupleDescAttr(desc, key->attnum - 1)->atttypid, value);
	ordered = ((uint64) number ^ (UINT64CONST(1) << 63)) ^ (key->descending ? PG_UINT64_MAX : 0);
	return key->nulls_first ? Max(ordered, 1) : Min(ordered, PG_UINT64_MAX - 1);
}

/* What read_rows calls for each row. */
typedef void (*RowTaker) (TupleTableSlot *slot, void *arg);

static int64
read_rows(Relation rel, Snapshot snapshot, int64 limit,
		  BlockNumber *next_block, BlockNumber end_block,
		  RowTaker take, void *arg)
{
	TableScanDesc scan = heap_beginscan(rel, snapshot, 0, NULL, NULL,
										SO_TYPE_SEQSCAN | SO_ALLOW_STRAT | SO_ALLOW_PAGEMODE);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	BlockNumber stop = end_block;
	int64		rows = 0;

	heap_setscanlimits(scan, *next_block, end_block - *next_block);
	while (heap_getnextslot(scan, ForwardScanDirection, slot))
	{
		BlockNumber block = ItemPointerGetBlockNumber(&slot->tts_tid);

		CHECK_FOR_INTERRUPTS();
		if (rows >= limit && stop == end_block)
			stop = block + 1;
		if (block >= stop)
			break;
		take(slot, arg);
		rows++;
	}
	ExecDropSingleTupleTableSlot(slot);
	heap_endscan(scan);
	*next_block = stop;
	return rows;
}

typedef struct NumberSort
{
	TupleDesc	desc;
	int			nkeys;
	const HoneOrderKey *keys[NUMBER_KEYS];
	NumberedRow *rows;
	int64		room;			/* for so many */
	int64		nrows;
	int64		allocated;
} NumberSort;

static void
take_numbers(TupleTableSlot *slot, void *arg)
{
	NumberSort *sort = arg;
	NumberedRow *row;

	/* up to what there is room for; a last page may go beyond it */
	if (sort->nrows == sort->allocated)
	{
		sort->allocated = sort->allocated < sort->room ?
			Min(sort->allocated * 2, sort->room) : sort->allocated + MaxHeapTuplesPerPage;
		sort->rows = repalloc_huge(sort->rows, sort->allocated * sizeof(NumberedRow));
	}
	row = &sort->rows[sort->nrows++];
	memset(row->keys, 0, sizeof(row->keys));
	for (int i = 0; i < sort->nkeys; i++)
	{
		bool		isnull;
		Datum		value = slot_getattr(slot, sort->keys[i]->attnum, &isnull);

		row->keys[i] = number_of(sort->desc, sort->keys[i], value, isnull);
	}
	row->tid = itemptr_encode(&slot->tts_tid);
}

/*
 * Whether all keys are numbers, and the rows of a window fit into memory.
 */
static bool
can_number(Relation rel, Snapshot snapshot, const HoneOrder *order, NumberSort *sort)
{
	sort->room = maintenance_work_mem * INT64CONST(1024) / sizeof(NumberedRow);
	sort->desc = RelationGetDescr(rel);
	for (int i = 0; i < order->nkeys; i++)
	{
		if (!usable(sort->desc, &order->keys[i]))
			continue;
		if (sort->nkeys == NUMBER_KEYS || !hone_key_type(TupleDescAttr(sort->desc, order->keys[i].attnum - 1)->atttypid))
			return false;
		sort->keys[sort->nkeys++] = &order->keys[i];
	}
	return order->window <= sort->room ||
		hone_estimate_plain_rows(rel, snapshot) <= sort->room;
}

static ItemPointerData *
sort_numbers(NumberSort *sort, Relation rel, Snapshot snapshot, int64 window,
			 BlockNumber *next_block, BlockNumber end_block,
			 MemoryContext context, int64 *nrows)
{
	ItemPointerData *tids;

	sort->allocated = 1024;
	sort->rows = palloc(sort->allocated * sizeof(NumberedRow));
	*nrows = read_rows(rel, snapshot, Min(window, sort->room), next_block, end_block,
					   take_numbers, sort);
	sort_numbered(sort->rows, *nrows);
	tids = MemoryContextAllocHuge(context, Max(*nrows, 1) * sizeof(ItemPointerData));
	for (int64 i = 0; i < *nrows; i++)
		itemptr_decode(&tids[i], sort->rows[i].tid);
	pfree(sort->rows);
	return tids;
}

/* ------------------------------------------------------------------------
 * Any keys
 * ------------------------------------------------------------------------
 */

/*
 * A sort of the key columns and, last, the TID as a number.
 */
static Tuplesortstate *
begin_sort(TupleDesc desc, const HoneOrder *order, TupleDesc *sorted_desc,
		   AttrNumber *columns, int *ncolumns)
{
	int			limit = order->nkeys + 1;
	AttrNumber *numbers = palloc(limit * sizeof(AttrNumber));
	Oid		   *operators = palloc(limit * sizeof(Oid));
	Oid		   *collations = palloc(limit * sizeof(Oid));
	bool	   *nulls_first = palloc(limit * sizeof(bool));
	int			n = 0;

	for (int i = 0; i < order->nkeys; i++)
	{
		const HoneOrderKey *key = &order->keys[i];

		if (!usable(desc, key))
			continue;
		columns[n] = key->attnum;
		numbers[n] = n + 1;
		operators[n] = ordering_operator(desc, key);
		collations[n] = TupleDescAttr(desc, key->attnum - 1)->attcollation;
		nulls_first[n] = key->nulls_first;
		n++;
	}
	numbers[n] = n + 1;
	operators[n] = Int8LessOperator;
	collations[n] = InvalidOid;
	nulls_first[n] = false;

	*sorted_desc = CreateTemplateTupleDesc(n + 1);
	for (int i = 0; i < n; i++)
		TupleDescCopyEntry(*sorted_desc, i + 1, desc, columns[i]);
	TupleDescInitEntry(*sorted_desc, n + 1, "tid", INT8OID, -1, 0);
	*ncolumns = n;
	return tuplesort_begin_heap(*sorted_desc, n + 1, numbers, operators, collations,
								nulls_first, maintenance_work_mem, NULL,
								TUPLESORT_NONE);
}

typedef struct ValueSort
{
	Tuplesortstate *sort;
	TupleTableSlot *slot;		/* of keys and TID */
	const AttrNumber *columns;
	int			ncolumns;
} ValueSort;

static void
take_values(TupleTableSlot *slot, void *arg)
{
	ValueSort  *sort = arg;
	TupleTableSlot *sorted = sort->slot;

	ExecClearTuple(sorted);
	for (int i = 0; i < sort->ncolumns; i++)
		sorted->tts_values[i] = slot_getattr(slot, sort->columns[i], &sorted->tts_isnull[i]);
	sorted->tts_values[sort->ncolumns] = Int64GetDatum(itemptr_encode(&slot->tts_tid));
	sorted->tts_isnull[sort->ncolumns] = false;
	ExecStoreVirtualTuple(sorted);
	tuplesort_puttupleslot(sort->sort, sorted);
}

static ItemPointerData *
sort_values(Relation rel, Snapshot snapshot, const HoneOrder *order,
			BlockNumber *next_block, BlockNumber end_block,
			MemoryContext context, int64 *nrows)
{
	TupleDesc	sorted_desc;
	AttrNumber *columns = palloc((order->nkeys + 1) * sizeof(AttrNumber));
	ValueSort	sort = {.columns = columns};
	TupleTableSlot *slot;
	ItemPointerData *tids;
	int64		n = 0;

	sort.sort = begin_sort(RelationGetDescr(rel), order, &sorted_desc, columns, &sort.ncolumns);
	sort.slot = MakeSingleTupleTableSlot(sorted_desc, &TTSOpsVirtual);
	*nrows = read_rows(rel, snapshot, order->window, next_block, end_block,
					   take_values, &sort);
	ExecDropSingleTupleTableSlot(sort.slot);
	tuplesort_performsort(sort.sort);

	tids = MemoryContextAllocHuge(context, Max(*nrows, 1) * sizeof(ItemPointerData));
	slot = MakeSingleTupleTableSlot(sorted_desc, &TTSOpsMinimalTuple);
	while (tuplesort_gettupleslot(sort.sort, true, false, slot, NULL))
	{
		bool		isnull;
		Datum		number = slot_getattr(slot, sort.ncolumns + 1, &isnull);

		CHECK_FOR_INTERRUPTS();
		if (n >= *nrows)
			elog(ERROR, "a sort returns more rows than it was given");
		itemptr_decode(&tids[n++], DatumGetInt64(number));
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort.sort);
	if (n != *nrows)
		elog(ERROR, "sorted " INT64_FORMAT " rows, not " INT64_FORMAT, n, *nrows);
	return tids;
}

ItemPointerData *
hone_sort_window(Relation rel, Snapshot snapshot, const HoneOrder *order,
				 BlockNumber *next_block, BlockNumber end_block,
				 MemoryContext context, int64 *nrows)
{
	NumberSort	numbers = {0};

	if (can_number(rel, snapshot, order, &numbers))
		return sort_numbers(&numbers, rel, snapshot, order->window, next_block,
							end_block, context, nrows);
	return sort_values(rel, snapshot, order, next_block, end_block, context, nrows);
}

/* ------------------------------------------------------------------------
 * The rows of a batch
 * ------------------------------------------------------------------------
 */

/* What compare_rows needs. */
typedef struct BuilderSort
{
	HoneBatchBuilder *builder;
	int			nkeys;
	AttrNumber *columns;
	SortSupportData *support;
} BuilderSort;

static int
compare_rows(const void *a, const void *b, void *arg)
{
	BuilderSort *sort = arg;
	int			left = *(const int *) a;
	int			right = *(const int *) b;

	for (int i = 0; i < sort->nkeys; i++)
	{
		int			attribute = sort->columns[i] - 1;
		Datum	   *values = sort->builder->values[attribute];
		bool	   *isnull = sort->builder->isnull[attribute];
		int			order = ApplySortComparator(values[left], isnull[left],
												values[right], isnull[right],
												&sort->support[i]);

		if (order != 0)
			return order;
	}
	return left < right ? -1 : left > right;
}

static void
set_support(BuilderSort *sort, TupleDesc desc, const HoneOrderKey *key)
{
	SortSupport support = &sort->support[sort->nkeys];

	memset(support, 0, sizeof(*support));
	support->ssup_cxt = CurrentMemoryContext;
	support->ssup_collation = TupleDescAttr(desc, key->attnum - 1)->attcollation;
	support->ssup_nulls_first = key->nulls_first;
	support->ssup_attno = key->attnum;
	PrepareSortSupportFromOrderingOp(ordering_operator(desc, key), support);
	sort->columns[sort->nkeys++] = key->attnum;
}

/*
 * Row i becomes the one that was number rows[i].
 */
static void
permute(HoneBatchBuilder *builder, const int *rows)
{
	int			nrows = builder->nrows;
	Datum	   *values = palloc(Max(nrows, 1) * sizeof(Datum));
	bool	   *isnull = palloc(Max(nrows, 1) * sizeof(bool));
	ItemPointerData *tids = palloc(Max(nrows, 1) * sizeof(ItemPointerData));

	for (int attribute = 0; attribute < RelationGetDescr(builder->rel)->natts; attribute++)
	{
		for (int i = 0; i < nrows; i++)
		{
			values[i] = builder->values[attribute][rows[i]];
			isnull[i] = builder->isnull[attribute][rows[i]];
		}
		memcpy(builder->values[attribute], values, nrows * sizeof(Datum));
		memcpy(builder->isnull[attribute], isnull, nrows * sizeof(bool));
		CHECK_FOR_INTERRUPTS();
	}
	for (int i = 0; i < nrows; i++)
		tids[i] = builder->tids[rows[i]];
	memcpy(builder->tids, tids, nrows * sizeof(ItemPointerData));
	pfree(values);
	pfree(isnull);
	pfree(tids);
}

void
hone_sort_builder(HoneBatchBuilder *builder, const HoneOrder *order)
{
	TupleDesc	desc = RelationGetDescr(builder->rel);
	int			nrows = builder->nrows;
	int		   *rows = palloc(Max(nrows, 1) * sizeof(int));
	BuilderSort sort = {.builder = builder};

	sort.columns = palloc(order->nkeys * sizeof(AttrNumber));
	sort.support = palloc(order->nkeys * sizeof(SortSupportData));
	for (int i = 0; i < order->nkeys; i++)
	{
		if (usable(desc, &order->keys[i]))
			set_support(&sort, desc, &order->keys[i]);
	}
	for (int i = 0; i < nrows; i++)
		rows[i] = i;
	qsort_arg(rows, nrows, sizeof(int), compare_rows, &sort);
	permute(builder, rows);
	pfree(rows);
}

void
hone_rank_builder(HoneBatchBuilder *builder, const int *ranks, int nranks)
{
	int		   *rows = palloc(Max(nranks, 1) * sizeof(int));
	int			n = 0;

	memset(rows, -1, nranks * sizeof(int));
	for (int i = 0; i < builder->nrows; i++)
		rows[ranks[i]] = i;
	for (int rank = 0; rank < nranks; rank++)
	{
		if (rows[rank] >= 0)
			rows[n++] = rows[rank];
	}
	Assert(n == builder->nrows);
	permute(builder, rows);
	pfree(rows);
}
