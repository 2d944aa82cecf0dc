/*-------------------------------------------------------------------------
 *
 * estimate.c
 *	  How large a hypothetical index would be (hypothetical.h).
 *
 * A btree is laid out as nbtsort.c would build it: entries of the average
 * width, equal keys joined into posting lists where its operator classes allow
 * that, leaves filled to the fill factor, and the levels above. The figures
 * are those of ANALYZE. Of the other access methods the rules are rough, and
 * stand at each one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/brin.h"
#include "access/nbtree.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_type_d.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"

#include "compat/compat.h"
#include "index/hypothetical.h"

#define PAGE_ROOM		(BLCKSZ - SizeOfPageHeaderData - MAXALIGN(sizeof(BTPageOpaqueData)))

/* A posting list of CREATE INDEX takes at most that part of a page (nbtsort.c). */
#define POSTING_BYTES	(MAXALIGN_DOWN((BLCKSZ * 10 / 100)) - sizeof(ItemIdData))

/* A value, or null, that so many rows have is counted apart; in so many columns. */
#define HEAVY_SHARE		0.2
#define MOST_HEAVY		8

/* ------------------------------------------------------------------------
 * Rows, keys and their widths
 * ------------------------------------------------------------------------
 */

/*
 * A planner's view of the table alone, as relation 1.
 */
static PlannerInfo *
make_root(Oid relid, char relkind, RelOptInfo **rel)
{
	PlannerInfo *root = makeNode(PlannerInfo);
	RangeTblEntry *rte = makeNode(RangeTblEntry);

	rte->rtekind = RTE_RELATION;
	rte->relid = relid;
	rte->relkind = relkind;
	rte->rellockmode = AccessShareLock;
	rte->inh = false;
	rte->eref = makeAlias("t", NIL);
	root->parse = makeNode(Query);
	root->parse->commandType = CMD_SELECT;
	root->parse->rtable = list_make1(rte);
	hone_add_rte_permissions(root->parse, rte);
	root->glob = makeNode(PlannerGlobal);
	root->query_level = 1;
	root->planner_cxt = CurrentMemoryContext;
	root->wt_param_id = -1;
	setup_simple_rel_arrays(root);
	*rel = build_simple_rel(root, 1, NULL);
	return root;
}

/* The index's keys as the planner has them. */
static List *
key_expressions(const HoneHypotheticalIndex *index)
{
	List	   *keys = NIL;
	ListCell   *expression = list_head(index->expressions);

	for (int i = 0; i < index->nkeys; i++)
	{
		const HoneIndexColumn *column = &index->columns[i];

		if (column->attnum != 0)
			keys = lappend(keys, makeVar(1, column->attnum, column->type,
										 column->typmod, column->collation, 0));
		else
		{
			keys = lappend(keys, lfirst(expression));
			expression = lnext(index->expressions, expression);
		}
	}
	return keys;
}

static double
null_fraction(PlannerInfo *root, Node *key)
{
	VariableStatData data;
	double		fraction = 0;

	examine_variable(root, key, 0, &data);
	if (HeapTupleIsValid(data.statsTuple))
		fraction = ((Form_pg_statistic) GETSTRUCT(data.statsTuple))->stanullfrac;
	ReleaseVariableStats(data);
	return fraction;
}

/*
 * Average bytes of a key that is not null. An expression of one column of the
 * same kind, such as lower(name), is as wide as that column.
 */
static double
width_of(const HoneHypotheticalIndex *index, const HoneIndexColumn *column, Node *key)
{
	int16		length = get_typlen(column->type);
	AttrNumber	attnum = column->attnum;
	int			width = 0;

	if (length > 0)
		return length;
	if (attnum == 0)
	{
		List	   *vars = pull_var_clause(key, 0);

		if (list_length(vars) == 1 && get_typlen(((Var *) linitial(vars))->vartype) == -1)
			attnum = ((Var *) linitial(vars))->varattno;
	}
	if (attnum > 0)
		width = get_attavgwidth(index->relid, attnum);
	return width > 0 ? width : get_typavgwidth(column->type, column->typmod);
}

/*
 * index_form_tuple: header, a bitmap if there is a null, the columns aligned.
 */
static double
entry_width(PlannerInfo *root, const HoneHypotheticalIndex *index)
{
	List	   *keys = key_expressions(index);
	double		bytes = 0;
	double		no_nulls = 1;
	double		header;
	bool		varies = false;

	for (int i = 0; i < index->ncolumns; i++)
	{
		const HoneIndexColumn *column = &index->columns[i];
		Node	   *key = i < index->nkeys ? list_nth(keys, i) :
		(Node *) makeVar(1, column->attnum, column->type, column->typmod, column->collation, 0);
		double		nulls = null_fraction(root, key);
		int16		length;
		bool		by_value;
		char		align;

		get_typlenbyvalalign(column->type, &length, &by_value, &align);
		if (length > 0 && !varies)
			bytes = att_align_nominal((int64) ceil(bytes), align);
		else if (length > 0)
			/* it follows something of any length */
			bytes += (att_align_nominal(1, align) - 1) / 2.0;
		if (length < 0)
			varies = true;
		bytes += width_of(index, column, key) * (1 - nulls);
		if (nulls > 0)
			varies = true;
		no_nulls *= 1 - nulls;
	}
	header = no_nulls * MAXALIGN(sizeof(IndexTupleData)) +
		(1 - no_nulls) * MAXALIGN(sizeof(IndexTupleData) + sizeof(IndexAttributeBitMapData));
	return header + (varies ? bytes + (MAXIMUM_ALIGNOF - 1) / 2.0 : MAXALIGN((int64) ceil(bytes)));
}

/*
 * _bt_allequalimage asks the same of an index that exists.
 */
static bool
is_equal_image(const HoneHypotheticalIndex *index)
{
	if (index->am != BTREE_AM_OID || index->nkeys != index->ncolumns)
		return false;
	for (int i = 0; i < index->nkeys; i++)
	{
		const HoneIndexColumn *column = &index->columns[i];
		Oid			proc = get_opfamily_proc(column->opfamily, column->opcintype,
											 column->opcintype, BTEQUALIMAGE_PROC);

		if (!OidIsValid(proc) ||
			!DatumGetBool(OidFunctionCall1Coll(proc, column->collation,
											   ObjectIdGetDatum(column->opcintype))))
			return false;
	}
	return true;
}

/*
 * Entries that a row gives in a GIN index: words of a text, keys of a document,
 * elements of an array. Trigrams are about as many as characters.
 */
static double
items_of(const HoneHypotheticalIndex *index)
{
	double		items = 0;
	List	   *keys = key_expressions(index);

	for (int i = 0; i < index->nkeys; i++)
	{
		const HoneIndexColumn *column = &index->columns[i];
		double		width = width_of(index, column, list_nth(keys, i));

		if (column->type == TSVECTOROID || column->type == JSONBOID)
			items += width / 10;
		else if (OidIsValid(get_element_type(column->type)))
			items += width / Max(get_typavgwidth(get_element_type(column->type), -1), 4);
		else
			items += width + 1;
	}
	return Max(items, 1);
}

/* Do extended statistics say how many combinations of these columns there are? */
static bool
has_combinations(RelOptInfo *rel, const HoneHypotheticalIndex *index)
{
	Bitmapset  *columns = NULL;
	ListCell   *lc;

	for (int i = 0; i < index->nkeys; i++)
	{
		if (index->columns[i].attnum != 0)
			columns = bms_add_member(columns, index->columns[i].attnum);
	}
	foreach(lc, rel->statlist)
	{
		StatisticExtInfo *statistics = lfirst(lc);

		if (statistics->kind == STATS_EXT_NDISTINCT &&
			bms_num_members(bms_intersect(statistics->keys, columns)) > 1)
			return true;
	}
	return false;
}

/* Values of a key: one that very many rows have, and the others. */
typedef struct KeyValues
{
	double		heavy;			/* share of its rows; 0: there is none */
	double		others;			/* different values beside it */
} KeyValues;

static KeyValues
values_of(PlannerInfo *root, Node *key, double rows)
{
	VariableStatData data;
	AttStatsSlot slot;
	bool		isdefault;
	KeyValues	values = {0};

	examine_variable(root, key, 0, &data);
	values.others = get_variable_numdistinct(&data, &isdefault);
	if (HeapTupleIsValid(data.statsTuple))
	{
		values.heavy = ((Form_pg_statistic) GETSTRUCT(data.statsTuple))->stanullfrac;
		if (get_attstatsslot(&slot, data.statsTuple, STATISTIC_KIND_MCV, InvalidOid, ATTSTATSSLOT_NUMBERS))
		{
			if (slot.nnumbers > 0)
				values.heavy = Max(values.heavy, slot.numbers[0]);
			free_attstatsslot(&slot);
		}
	}
	ReleaseVariableStats(data);
	if (values.heavy < HEAVY_SHARE)
		values.heavy = 0;
	return values;
}

/*
 * Different combinations of n independent keys among so many rows, in each of
 * which the keys before have one of 'before' combinations.
 */
static double
count_combinations(const KeyValues *keys, int n, double rows, double before)
{
	if (rows < 1)
		return 0;
	/* so many are hit when rows fall on them at random */
	if (n == 0)
		return before * -expm1(-rows / before);
	if (keys->heavy == 0)
		return count_combinations(keys + 1, n - 1, rows, before * Max(keys->others, 1));
	return count_combinations(keys + 1, n - 1, rows * keys->heavy, before) +
		count_combinations(keys + 1, n - 1, rows * (1 - keys->heavy), before * Max(keys->others, 1));
}

/*
 * Different keys among the rows. For several columns estimate_num_groups
 * assumes one for each ten rows of the table at most, if no extended statistics
 * say something else: a guess for GROUP BY, but too few for the keys of an
 * index. There columns are taken to be independent.
 */
static double
count_groups(PlannerInfo *root, RelOptInfo *rel, const HoneHypotheticalIndex *index)
{
	KeyValues	keys[INDEX_MAX_KEYS];
	int			nheavy = 0;
	int			n = 0;
	ListCell   *lc;

	if (index->nkeys == 1 || has_combinations(rel, index))
		return estimate_num_groups(root, key_expressions(index), rel->rows, NULL, NULL);
	foreach(lc, key_expressions(index))
	{
		keys[n] = values_of(root, lfirst(lc), rel->rows);
		/* each doubles the work */
		if (keys[n].heavy > 0 && ++nheavy > MOST_HEAVY)
			keys[n].heavy = 0;
		n++;
	}
	return clamp_row_est(count_combinations(keys, n, rel->rows, 1));
}

void
hone_index_estimate(HoneHypotheticalIndex *index)
{
	HoneIndexEstimate *estimate = &index->estimate;
	RelOptInfo *rel;
	PlannerInfo *root = make_root(index->relid, get_rel_relkind(index->relid), &rel);

	estimate->rows = Max(rel->tuples, 1);
	estimate->pages = rel->pages;
	estimate->fraction = index->predicate == NIL ? 1 :
		clauselist_selectivity(root, index->predicate, 1, JOIN_INNER, NULL);
	rel->rows = clamp_row_est(rel->tuples * estimate->fraction);
	estimate->groups = index->unique ? 0 :
		count_groups(root, rel, index);
	estimate->entry_bytes = entry_width(root, index);
	estimate->deduplicates = is_equal_image(index);
	estimate->items_per_row = index->am == GIN_AM_OID ? items_of(index) : 1;
}

/* ------------------------------------------------------------------------
 * Pages
 * ------------------------------------------------------------------------
 */

/*
 * Bytes that 'rows' equal keys take on leaves, line pointers included.
 */
static double
group_bytes(const HoneIndexEstimate *estimate, double rows)
{
	double		single = estimate->entry_bytes + sizeof(ItemIdData);
	double		tids = floor((POSTING_BYTES - estimate->entry_bytes) / sizeof(ItemPointerData));
	double		lists;

	if (rows <= 1 || !estimate->deduplicates || tids < 2)
		return rows * single;
	lists = ceil(rows / tids);
	return Min(rows * single,
			   lists * (single + (MAXIMUM_ALIGNOF - 1) / 2.0) + rows * sizeof(ItemPointerData));
}

static HoneIndexSize
btree_size(const HoneHypotheticalIndex *index, double rows)
{
	const HoneIndexEstimate *estimate = &index->estimate;
	double		groups = estimate->groups > 0 ? Min(estimate->groups, rows) : rows;
	double		per_group = rows / Max(groups, 1);
	double		low = floor(per_group);
	double		bytes = groups * ((1 - (per_group - low)) * group_bytes(estimate, low) +
								  (per_group - low) * group_bytes(estimate, low + 1));

	/* the high key, of which what tells leaves apart is left */
	double		high_key = MAXALIGN(sizeof(IndexTupleData)) + 8 + sizeof(ItemIdData);
	double		room = PAGE_ROOM - BLCKSZ * (100 - index->fillfactor) / 100.0 - high_key;
	double		fanout = Max(2, PAGE_ROOM * BTREE_NONLEAF_FILLFACTOR / 100.0 /
							 (estimate->entry_bytes + sizeof(ItemIdData)));
	double		level = Max(1, ceil(bytes / Max(room, 100)));
	HoneIndexSize size = {.tuples = rows};
	double		pages = 1 + level;	/* one for the meta page */

	while (level > 1)
	{
		level = ceil(level / fanout);
		pages += level;
		size.height++;
	}
	size.pages = (BlockNumber) Min(pages, MaxBlockNumber);
	return size;
}

/*
 * Of each row's entries the TIDs, about two bytes each where lists are long
 * (ginpostinglist.c), and as much again of short lists and keys.
 */
static double
gin_pages(const HoneIndexEstimate *estimate, double rows)
{
	return 10 + rows * estimate->items_per_row * 2 / PAGE_ROOM;
}

/* A summary of least and greatest value for each range of pages. */
static double
brin_pages(const HoneIndexEstimate *estimate, BlockNumber heap_pages)
{
	double		ranges = ceil((double) heap_pages / BRIN_DEFAULT_PAGES_PER_RANGE);

	return 3 + ranges * (2 * estimate->entry_bytes + sizeof(ItemIdData)) / PAGE_ROOM;
}

HoneIndexSize
hone_index_size(const HoneHypotheticalIndex *index, double table_rows,
				BlockNumber heap_pages)
{
	const HoneIndexEstimate *estimate = &index->estimate;
	double		rows = Max(1, table_rows * estimate->fraction);
	HoneIndexSize size = {.tuples = rows,.height = -1};
	double		pages;

	switch (index->am)
	{
		case BTREE_AM_OID:
			return btree_size(index, rows);
		case GIN_AM_OID:
			pages = gin_pages(estimate, rows);
			break;
		case BRIN_AM_OID:
			pages = brin_pages(estimate, heap_pages);
			break;
		case HASH_AM_OID:
			/* a hash and a TID a row, buckets three quarters full */
			pages = 2 + rows * (MAXALIGN(sizeof(IndexTupleData) + sizeof(uint32)) + sizeof(ItemIdData)) / (PAGE_ROOM * 0.75);
			break;
		default:
			/* trees that are built by splitting pages */
			pages = 1 + rows * (estimate->entry_bytes + sizeof(ItemIdData)) / (PAGE_ROOM * 0.7);
			break;
	}
	size.pages = (BlockNumber) Min(Max(pages, 1), MaxBlockNumber);
	return size;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

/* Of a page on the way down, in operators (btcostestimate). */
#define PAGE_OPERATORS	50

double
hone_index_entry_cost(const HoneHypotheticalIndex *index, const HoneIndexSize *size)
{
	double		missed = size->pages <= effective_cache_size ? 0 :
	1 - effective_cache_size / (double) size->pages;
	double		descent = cpu_index_tuple_cost;

	/* a summary changes when a value is outside of it: seldom */
	if (index->am == BRIN_AM_OID)
		return index->estimate.fraction * descent;
	descent += ceil(log2(Max(size->tuples, 2))) * cpu_operator_cost +
		(Max(size->height, 1) + 1) * PAGE_OPERATORS * cpu_operator_cost;
	return index->estimate.fraction * index->estimate.items_per_row *
		(2 * descent + missed * random_page_cost);
}

Bitmapset *
hone_index_attributes(const HoneHypotheticalIndex *index)
{
	Bitmapset  *offset = NULL;
	Bitmapset  *attributes = NULL;
	int			member = -1;

	pull_varattnos((Node *) index->expressions, 1, &offset);
	pull_varattnos((Node *) index->predicate, 1, &offset);
	while ((member = bms_next_member(offset, member)) >= 0)
	{
		int			attnum = member + FirstLowInvalidHeapAttributeNumber;

		if (attnum > 0)
			attributes = bms_add_member(attributes, attnum);
	}
	for (int i = 0; i < index->ncolumns; i++)
	{
		if (index->columns[i].attnum > 0)
			attributes = bms_add_member(attributes, index->columns[i].attnum);
	}
	return attributes;
}
