/*-------------------------------------------------------------------------
 *
 * custom_path.c
 *	  Planning the custom scan "HoneTieredScan".
 *
 * An index knows nothing of compressed rows. So for an open tiered relation
 * (am.h) set_rel_pathlist_hook drops every path but those by TID, which go
 * through the access method, and puts in their place: the custom scan with a
 * scan of the main fork, and for each index and bitmap path, parameterised
 * ones too, the custom scan with that path for the plain rows. Each is followed
 * by the batches that may match. No order is claimed; index-only paths and
 * paths that order by a distance are not made (get_relation_info_hook).
 *
 * The child brings plain rows and checks nothing: all clauses are in the custom
 * scan's qual, for both kinds of rows and for EvalPlanQual.
 *
 * Where system columns other than ctid and tableoid are asked for, the plan is
 * a plain sequential scan through the access method.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "optimizer/restrictinfo.h"
#include "utils/rel.h"
#include "utils/spccache.h"

#include "tiered/am.h"
#include "tiered/custom_scan.h"
#include "tiered/detail.h"
#include "tiered/prune.h"

/* What cost estimates need to know of a table. */
typedef struct TableSize
{
	double		batches;
	double		compressed_rows;
	double		compressed_pages;
	double		plain_rows;
	double		plain_pages;
	double		page_cost;		/* read in order */
	double		random_page_cost;
	AttrNumber	order_key;
	Bitmapset  *indexed;		/* columns from 0: they have filters */
} TableSize;

static get_relation_info_hook_type previous_get_relation_info_hook = NULL;
static set_rel_pathlist_hook_type previous_set_rel_pathlist_hook = NULL;

static Plan *plan_tiered_path(PlannerInfo *root, RelOptInfo *rel,
							  struct CustomPath *path, List *tlist,
							  List *clauses, List *custom_plans);

static const CustomPathMethods path_methods = {
	.CustomName = HONE_CUSTOM_SCAN_NAME,
	.PlanCustomPath = plan_tiered_path,
};

/* ------------------------------------------------------------------------
 * Costs
 * ------------------------------------------------------------------------
 */

static void
measure_table(Relation relation, RelOptInfo *rel, TableSize *size)
{
	HoneStoreMeta meta;

	memset(size, 0, sizeof(*size));
	if (hone_read_totals(relation, &meta))
	{
		size->batches = (double) meta.batches;
		size->compressed_rows = (double) meta.rows;
		size->compressed_pages = rint((double) meta.stored_bytes / HONE_CHUNK_BYTES) + size->batches;
	}
	size->plain_rows = Max(rel->tuples - size->compressed_rows, 0);
	size->plain_pages = Max(rel->pages - size->compressed_pages, 0);
	get_tablespace_page_costs(rel->reltablespace, &size->random_page_cost, &size->page_cost);
	size->order_key = hone_key_attribute(relation);
	size->indexed = hone_detail_indexed(relation);
}

/*
 * How many batches the clauses leave. Rows that equal a value are in as many
 * batches as there are such rows, at the most; those between two bounds of the
 * order key lie together. *lookup: one vector of each is enough.
 */
static double
estimate_batches(PlannerInfo *root, RelOptInfo *rel, List *clauses,
				 const TableSize *size, bool *lookup)
{
	double		batches = size->batches;
	List	   *ranges = NIL;
	ListCell   *lc;

	*lookup = false;
	foreach(lc, clauses)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, lc);
		HoneClause	matched;
		bool		is_order_key;

		if (!hone_clause_match(root, info->clause, rel->relid, &matched))
			continue;
		is_order_key = matched.attnum == size->order_key;
		if (matched.kind == HONE_IN_RANGE && is_order_key)
			ranges = lappend(ranges, info);
		else if (matched.kind == HONE_ONE_OF &&
				 (is_order_key || bms_is_member(matched.attnum - 1, size->indexed)))
		{
			double		rows = size->compressed_rows *
			clause_selectivity(root, (Node *) info, rel->relid, JOIN_INNER, NULL);

			batches = Min(batches, Max(ceil(rows), 1));
			*lookup = true;
		}
	}
	if (ranges != NIL)
		batches = Min(batches, 1 + size->batches *
					  clauselist_selectivity(root, ranges, rel->relid, JOIN_INNER, NULL));
	return Min(batches, size->batches);
}

/*
 * Cost: the plain rows as the child finds them, or the pages of the main fork
 * in order; the directory; the batches that are left; the conditions on every
 * row.
 */
static void
cost_tiered_path(PlannerInfo *root, RelOptInfo *rel, CustomPath *custom,
				 Path *child, const TableSize *size)
{
	Path	   *path = &custom->path;
	List	   *clauses = rel->baserestrictinfo;
	QualCost	qual = rel->baserestrictcost;
	double		batches;
	double		share;
	double		rows_share;
	bool		lookup;
	Cost		startup;
	Cost		run;
	Cost		per_tuple;

	path->rows = path->param_info ? path->param_info->ppi_rows : rel->rows;
	if (path->param_info != NULL)
	{
		QualCost	param;

		clauses = list_concat_copy(clauses, path->param_info->ppi_clauses);
		cost_qual_eval(&param, path->param_info->ppi_clauses, root);
		qual.startup += param.startup;
		qual.per_tuple += param.per_tuple;
	}
	per_tuple = cpu_tuple_cost + qual.per_tuple;
	startup = qual.startup + path->pathtarget->cost.startup;
	run = path->pathtarget->cost.per_tuple * path->rows;

	batches = estimate_batches(root, rel, clauses, size, &lookup);
	share = size->batches > 0 ? batches / size->batches : 0;
	rows_share = lookup ? share * HONE_VECTOR_ROWS / HONE_BATCH_ROWS : share;
	run += size->batches * cpu_operator_cost +
		share * size->compressed_pages * size->page_cost +
		rows_share * size->compressed_rows * per_tuple;

	if (child == NULL)
		run += size->plain_pages * size->page_cost + size->plain_rows * per_tuple;
	else
	{
		/* it was estimated as if the index held all rows */
		Cost		child_run = child->total_cost - child->startup_cost;
		double		plain_share = rel->tuples > 0 ? size->plain_rows / rel->tuples : 0;

		startup += child->startup_cost;
		run += Max(child_run * plain_share, Min(child_run, 2 * size->random_page_cost));
	}
	path->startup_cost = startup;
	path->total_cost = startup + run;
	if (child != NULL)
		HONE_INHERIT_DISABLED(path, child);
	else if (!enable_seqscan)
		HONE_DISABLE_PATH(path);
}

/* ------------------------------------------------------------------------
 * Paths
 * ------------------------------------------------------------------------
 */

static bool
is_open_relation(Oid relid)
{
	Relation	relation = table_open(relid, NoLock);
	bool		open = hone_is_tiered(relation) && hone_is_open(relation);

	table_close(relation, NoLock);
	return open;
}

/*
 * No index-only scans, and none that orders by a distance: both know only
 * plain rows. So do the ends of a btree, which are not to be taken for those of
 * the column: nobody looks at them in a hypothetical index.
 */
static void
limit_indexes(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	ListCell   *lc;

	if (rel->indexlist != NIL && !inhparent && is_open_relation(relid))
	{
		foreach(lc, rel->indexlist)
		{
			IndexOptInfo *index = lfirst(lc);

			index->amcanorderbyop = false;
			if (index->relam == BTREE_AM_OID)
				index->hypothetical = true;
			for (int i = 0; i < index->ncolumns; i++)
				index->canreturn[i] = false;
		}
	}
	if (previous_get_relation_info_hook)
		previous_get_relation_info_hook(root, relid, inhparent, rel);
}

/*
 * True when the query needs xmin, xmax, cmin or cmax of the relation.
 */
static bool
needs_system_columns(RelOptInfo *rel)
{
	Bitmapset  *used = NULL;
	ListCell   *lc;
	int			i = -1;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	foreach(lc, rel->baserestrictinfo)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause, rel->relid, &used);
	while ((i = bms_next_member(used, i)) >= 0)
	{
		int			attnum = i + FirstLowInvalidHeapAttributeNumber;

		if (attnum < 0 && attnum != SelfItemPointerAttributeNumber &&
			attnum != TableOidAttributeNumber)
			return true;
	}
	return false;
}

/*
 * Of the paths that the planner made, those that find rows by their TID: they
 * go through the access method, which knows both kinds. One for WHERE CURRENT
 * OF is the only one: nothing else can evaluate that condition.
 */
static List *
tid_paths(List *all, bool *current_of)
{
	List	   *paths = NIL;
	ListCell   *lc;

	*current_of = false;
	foreach(lc, all)
	{
		Path	   *path = lfirst(lc);
		ListCell   *cond;

		if (!IsA(path, TidPath) && !IsA(path, TidRangePath))
			continue;
		paths = lappend(paths, path);
		if (!IsA(path, TidPath))
			continue;
		foreach(cond, ((TidPath *) path)->tidquals)
		{
			if (IsA(lfirst_node(RestrictInfo, cond)->clause, CurrentOfExpr))
			{
				*current_of = true;
				return list_make1(path);
			}
		}
	}
	return paths;
}

/*
 * Whether a custom scan can have the path as its child.
 */
static bool
can_be_wrapped(Path *path)
{
	if (path->pathtype == T_IndexScan)
		return ((IndexPath *) path)->indexorderbys == NIL;
	return path->pathtype == T_BitmapHeapScan;
}

static bool
goes_backwards(Path *child)
{
	return child == NULL ||
		(child->pathtype == T_IndexScan &&
		 ((IndexPath *) child)->indexinfo->relam == BTREE_AM_OID);
}

/*
 * child: NULL, or the path that finds the plain rows.
 */
static void
add_tiered_path(PlannerInfo *root, RelOptInfo *rel, Path *child,
				const TableSize *size)
{
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.param_info = child != NULL ? child->param_info :
		get_baserel_parampathinfo(root, rel, rel->lateral_relids);
	path->path.parallel_aware = false;
	path->path.parallel_safe = rel->consider_parallel &&
		(child == NULL || child->parallel_safe);
	path->path.parallel_workers = 0;
	path->path.pathkeys = NIL;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION;
	if (goes_backwards(child))
		path->flags |= CUSTOMPATH_SUPPORT_BACKWARD_SCAN;
	if (child != NULL)
		path->custom_paths = list_make1(child);
	path->methods = &path_methods;
	cost_tiered_path(root, rel, path, child, size);
	add_path(rel, &path->path);
}

static void
tiered_set_rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti,
						RangeTblEntry *rte)
{
	Relation	relation;
	TableSize	size;
	List	   *paths;
	ListCell   *lc;
	bool		open;
	bool		current_of;

	if (previous_set_rel_pathlist_hook)
		previous_set_rel_pathlist_hook(root, rel, rti, rte);

	if (rte->rtekind != RTE_RELATION ||
		(rte->relkind != RELKIND_RELATION && rte->relkind != RELKIND_MATVIEW) ||
		rte->inh || IS_DUMMY_REL(rel) || rte->tablesample != NULL)
		return;
	relation = table_open(rte->relid, NoLock);
	open = hone_is_tiered(relation) && hone_is_open(relation);
	if (open)
		measure_table(relation, rel, &size);
	table_close(relation, NoLock);
	if (!open)
		return;

	paths = rel->pathlist;
	rel->pathlist = tid_paths(paths, &current_of);
	rel->partial_pathlist = NIL;
	if (current_of)
		return;
	if (needs_system_columns(rel))
	{
		add_path(rel, create_seqscan_path(root, rel, rel->lateral_relids, 0));
		return;
	}
	add_tiered_path(root, rel, NULL, &size);
	foreach(lc, paths)
	{
		if (can_be_wrapped(lfirst(lc)))
			add_tiered_path(root, rel, lfirst(lc), &size);
	}
}

/* ------------------------------------------------------------------------
 * The plan
 * ------------------------------------------------------------------------
 */

/*
 * The child is to bring rows, nothing else: the custom scan reads its scan
 * slot and evaluates all clauses, those on nothing in the relation too.
 */
static Plan *
plan_child(List *custom_plans)
{
	Plan	   *child = linitial(custom_plans);

	if (IsA(child, Result) && outerPlan(child) != NULL)
		child = outerPlan(child);
	if (!IsA(child, IndexScan) && !IsA(child, BitmapHeapScan))
		elog(ERROR, "unexpected plan node %d below a scan of a compressed table",
			 (int) nodeTag(child));
	child->targetlist = NIL;
	child->qual = NIL;
	return child;
}

/*
 * custom_private: the terms by which batches are passed over. custom_exprs:
 * their expressions.
 */
static Plan *
plan_tiered_path(PlannerInfo *root, RelOptInfo *rel, struct CustomPath *path,
				 List *tlist, List *clauses, List *custom_plans)
{
	CustomScan *scan = makeNode(CustomScan);
	List	   *quals = extract_actual_clauses(clauses, false);

	scan->scan.plan.targetlist = tlist;
	scan->scan.plan.qual = quals;
	scan->scan.scanrelid = rel->relid;
	scan->flags = path->flags;
	if (custom_plans != NIL)
		scan->custom_plans = list_make1(plan_child(custom_plans));
	scan->custom_private = hone_prune_terms(root, quals, rel->relid, &scan->custom_exprs);
	scan->methods = &hone_custom_scan_methods;
	return &scan->scan.plan;
}

void
hone_custom_path_init(void)
{
	previous_get_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = limit_indexes;
	previous_set_rel_pathlist_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = tiered_set_rel_pathlist;
}
