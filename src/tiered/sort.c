/*-------------------------------------------------------------------------
 *
 * sort.c
 *	  Sorting rows before they are compressed (order.h).
 *
 * What is kept of a sorted window is TIDs, so that neither a snapshot nor a
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

#include "tiered/order.h"

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

static int64
tid_number(const ItemPointerData *tid)
{
	return ((int64) ItemPointerGetBlockNumber(tid) << 16) | ItemPointerGetOffsetNumber(tid);
}

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

static int64
put_rows(Tuplesortstate *sort, Relation rel, Snapshot snapshot,
		 TupleTableSlot *sorted, const AttrNumber *columns, int ncolumns,
		 int64 limit, BlockNumber *next_block, BlockNumber end_block)
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
		ExecClearTuple(sorted);
		for (int i = 0; i < ncolumns; i++)
			sorted->tts_values[i] = slot_getattr(slot, columns[i], &sorted->tts_isnull[i]);
		sorted->tts_values[ncolumns] = Int64GetDatum(tid_number(&slot->tts_tid));
		sorted->tts_isnull[ncolumns] = false;
		ExecStoreVirtualTuple(sorted);
		tuplesort_puttupleslot(sort, sorted);
		rows++;
	}
	ExecDropSingleTupleTableSlot(slot);
	heap_endscan(scan);
	*next_block = stop;
	return rows;
}

ItemPointerData *
hone_sort_window(Relation rel, Snapshot snapshot, const HoneOrder *order,
				 BlockNumber *next_block, BlockNumber end_block,
				 MemoryContext context, int64 *nrows)
{
	TupleDesc	sorted_desc;
	AttrNumber *columns = palloc((order->nkeys + 1) * sizeof(AttrNumber));
	int			ncolumns;
	Tuplesortstate *sort = begin_sort(RelationGetDescr(rel), order, &sorted_desc, columns, &ncolumns);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(sorted_desc, &TTSOpsVirtual);
	ItemPointerData *tids;
	int64		n = 0;

	*nrows = put_rows(sort, rel, snapshot, slot, columns, ncolumns,
					  order->window, next_block, end_block);
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_performsort(sort);

	tids = MemoryContextAllocHuge(context, Max(*nrows, 1) * sizeof(ItemPointerData));
	slot = MakeSingleTupleTableSlot(sorted_desc, &TTSOpsMinimalTuple);
	while (tuplesort_gettupleslot(sort, true, false, slot, NULL))
	{
		bool		isnull;
		int64		number = DatumGetInt64(slot_getattr(slot, ncolumns + 1, &isnull));

		CHECK_FOR_INTERRUPTS();
		if (n >= *nrows)
			elog(ERROR, "a sort returns more rows than it was given");
		ItemPointerSet(&tids[n], (BlockNumber) (number >> 16), (OffsetNumber) (number & 0xFFFF));
		n++;
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplesort_end(sort);
	if (n != *nrows)
		elog(ERROR, "sorted " INT64_FORMAT " rows, not " INT64_FORMAT, n, *nrows);
	return tids;
}

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

void
hone_sort_builder(HoneBatchBuilder *builder, const HoneOrder *order)
{
	TupleDesc	desc = RelationGetDescr(builder->rel);
	int			nrows = builder->nrows;
	int		   *rows = palloc(Max(nrows, 1) * sizeof(int));
	Datum	   *values = palloc(Max(nrows, 1) * sizeof(Datum));
	bool	   *isnull = palloc(Max(nrows, 1) * sizeof(bool));
	ItemPointerData *tids = palloc(Max(nrows, 1) * sizeof(ItemPointerData));
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

	for (int attribute = 0; attribute < desc->natts; attribute++)
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
	pfree(rows);
	pfree(values);
	pfree(isnull);
	pfree(tids);
}
