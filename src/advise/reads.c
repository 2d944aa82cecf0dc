/*-------------------------------------------------------------------------
 *
 * reads.c
 *	  What index scans, joins and sorts of a finished plan read in vain
 *	  (see plans.c).
 *
 * An index scan whose filter removes most of what it found wants the filter's
 * columns in the index. A join that keeps few rows of a table that was read as
 * a whole wants the table's key. A sort of which a LIMIT takes few rows wants
 * its order. Only executor state is read here, never the catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"

#include "advise/nodes.h"

#define KEPT_SHARE		0.1		/* of the rows read; more is no waste */
#define LOOKUP_ROWS		10		/* rows of a scan that one lookup costs */

/* ---- index scans ---- */

static void
look_at_index(HoneFilterWalk *walk, ScanState *scan, List *found_by)
{
	Plan	   *plan = scan->ps.plan;
	Index		rti = ((Scan *) plan)->scanrelid;
	HoneFilteredTable table;
	int			nfound;
	ListCell   *lc;

	/* rows that a lossy bitmap had to check again are no filter's */
	if (plan->qual == NIL || scan->ps.instrument->nfiltered1 < 1 ||
		!hone_filter_is_heap(scan))
		return;
	memset(&table, 0, sizeof(table));
	hone_filter_read(&table, found_by, rti);
	nfound = table.nquals;
	hone_filter_read(&table, plan->qual, rti);

	/* no key, but what tells it from a scan that the index serves */
	foreach(lc, plan->qual)
	{
		if (table.nquals < HONE_FINDING_QUALS &&
			hone_qual_read_null(lfirst(lc), rti, &table.quals[table.nquals]))
			table.nquals++;
	}
	if (table.nquals == nfound)
		return;
	table.node = T_IndexScan;
	table.removed = scan->ps.instrument->nfiltered1;
	table.removed_scan = table.removed / hone_node_loops(&scan->ps);
	table.kept = hone_node_rows(&scan->ps);
	/* the inner side of a nested loop is run often */
	table.cost = plan->total_cost * (plan->parallel_aware ? 1 : hone_node_loops(&scan->ps));
	hone_filter_add(walk, rti, &table);
}

/* ---- columns of nodes above a scan ---- */

static bool
is_scan(const PlanState *node)
{
	return IsA(node, SeqScanState) || IsA(node, IndexScanState) ||
		IsA(node, BitmapHeapScanState);
}

/* Of partitions, not of the branches of a UNION ALL. */
static bool
is_of_partitions(const AppendState *append)
{
	int			rti = -1;
	Bitmapset  *parents = ((Append *) append->ps.plan)->apprelids;

	while ((rti = bms_next_member(parents, rti)) >= 0)
	{
		if (exec_rt_fetch(rti, append->ps.state)->rtekind != RTE_RELATION)
			return false;
	}
	return parents != NULL;
}

/* The node that its OUTER_VARs are of. */
static PlanState *
outer_of(PlanState *node)
{
	AppendState *append = (AppendState *) node;

	if (!IsA(node, AppendState))
		return outerPlanState(node);
	return append->as_nplans > 0 && is_of_partitions(append) ? append->appendplans[0] : NULL;
}

/* Each row of it is one of the table's, or has one in it. */
static bool
hands_on_rows(const PlanState *node)
{
	switch (nodeTag(node))
	{
		case T_AppendState:
		case T_GatherState:
		case T_GatherMergeState:
		case T_HashState:
		case T_HashJoinState:
		case T_MaterialState:
		case T_MemoizeState:
		case T_MergeJoinState:
		case T_NestLoopState:
		case T_ResultState:
		case T_SortState:
			return true;
		default:
			return is_scan(node);
	}
}

/*
 * The table's column that a column in an expression of this node is, and its
 * scan (of a partitioned table, one of them); NULL if it is none.
 */
static Var *
follow(PlanState *node, Node *expr, ScanState **scan)
{
	for (;;)
	{
		Var		   *var = (Var *) hone_qual_strip(expr);
		PlanState  *child;

		if (var == NULL || !IsA(var, Var) || var->varattno <= 0)
			return NULL;
		if (is_scan(node))
		{
			*scan = (ScanState *) node;
			return var->varno == ((Scan *) node->plan)->scanrelid ? var : NULL;
		}
		if (var->varno != OUTER_VAR && var->varno != INNER_VAR)
			return NULL;
		child = var->varno == INNER_VAR ? innerPlanState(node) : outer_of(node);
		if (child == NULL || !hands_on_rows(child) ||
			var->varattno > list_length(child->plan->targetlist))
			return NULL;
		expr = (Node *) ((TargetEntry *) list_nth(child->plan->targetlist, var->varattno - 1))->expr;
		node = child;
	}
}

static Index
relation_of(const ScanState *scan)
{
	return ((Scan *) scan->ps.plan)->scanrelid;
}

/* What it was found by, and filtered by. */
static void
read_scan(HoneFilteredTable *table, const ScanState *scan)
{
	Plan	   *plan = scan->ps.plan;

	if (IsA(plan, IndexScan))
		hone_filter_read(table, ((IndexScan *) plan)->indexqualorig, relation_of(scan));
	else if (IsA(plan, BitmapHeapScan))
		hone_filter_read(table, ((BitmapHeapScan *) plan)->bitmapqualorig, relation_of(scan));
	hone_filter_read(table, plan->qual, relation_of(scan));
}

/* ---- joins ---- */

/* Below what keeps or orders the rows of a side. */
static PlanState *
source_of(PlanState *node)
{
	while (node != NULL &&
		   (IsA(node, HashState) || IsA(node, SortState) || IsA(node, MaterialState) ||
			IsA(node, GatherState) || IsA(node, GatherMergeState)))
		node = outerPlanState(node);
	return node;
}

/* A table that was read as a whole, or its partitions. */
static bool
reads_all(PlanState *node)
{
	AppendState *append = (AppendState *) node;

	if (!IsA(node, AppendState))
		return IsA(node, SeqScanState);
	if (!is_of_partitions(append))
		return false;
	for (int i = 0; i < append->as_nplans; i++)
	{
		if (!IsA(append->appendplans[i], SeqScanState))
			return false;
	}
	return append->as_nplans > 0;
}

/* The outer side's column that an inner scan of a nested loop is given, or the node. */
static Node *
given(PlanState *join, Node *node)
{
	ListCell   *lc;

	if (node == NULL || !IsA(node, Param) || !IsA(join, NestLoopState) ||
		((Param *) node)->paramkind != PARAM_EXEC)
		return node;
	foreach(lc, ((NestLoop *) join->plan)->nestParams)
	{
		NestLoopParam *param = lfirst_node(NestLoopParam, lc);

		if (param->paramno == ((Param *) node)->paramid)
			return (Node *) param->paramval;
	}
	return node;
}

/* Add a clause's column of that side, compared with one of the other side. */
static void
read_key(HoneFilteredTable *table, PlanState *join, OpExpr *op, int varno, ScanState **scan)
{
	HoneQual   *qual = &table->quals[table->nquals];

	if (!IsA(op, OpExpr) || list_length(op->args) != 2 || table->nquals == HONE_FINDING_QUALS)
		return;
	for (int i = 0; i < 2; i++)
	{
		Var		   *side = (Var *) given(join, hone_qual_strip(list_nth(op->args, i)));
		ScanState  *of = NULL;
		Var		   *column;

		if (side == NULL || !IsA(side, Var) || side->varno != varno)
			continue;
		column = follow(join, (Node *) side, &of);
		if (column == NULL || (*scan != NULL && *scan != of))
			continue;
		*scan = of;
		qual->attnum = column->varattno;
		qual->opno = op->opno;
		qual->collation = op->inputcollid;
		qual->commuted = i == 1;
		table->nquals++;
		return;
	}
}

static void
look_at_side(HoneFilterWalk *walk, PlanState *join, List *clauses, int varno)
{
	PlanState  *source = source_of(varno == INNER_VAR ? innerPlanState(join) : outerPlanState(join));
	PlanState  *other = varno == INNER_VAR ? outerPlanState(join) : innerPlanState(join);
	HoneFilteredTable table;
	ScanState  *scan = NULL;
	double		rows;
	ListCell   *lc;

	if (source == NULL || other == NULL || source->instrument == NULL ||
		other->instrument == NULL || !reads_all(source) || hone_node_loops(source) < 1)
		return;
	rows = hone_node_rows(source);
	if (rows < hone_advise_filter_rows || rows < hone_node_rows(join) ||
		hone_node_rows(join) > KEPT_SHARE * rows ||
		(!IsA(join, NestLoopState) && hone_node_rows(other) * LOOKUP_ROWS > rows))
		return;
	memset(&table, 0, sizeof(table));
	foreach(lc, clauses)
		read_key(&table, join, lfirst(lc), varno, &scan);
	if (scan == NULL || !hone_filter_is_heap(scan))
		return;
	read_scan(&table, scan);
	table.node = T_HashJoin;
	table.removed = rows - hone_node_rows(join);
	table.removed_scan = table.removed / hone_node_loops(source);
	table.kept = hone_node_rows(join);
	table.cost = join->plan->total_cost;
	hone_filter_add(walk, relation_of(scan), &table);
}

/* What an index on the inner side of a nested loop was asked for each row. */
static List *
asked_for(PlanState *inner)
{
	while (inner != NULL && (IsA(inner, MemoizeState) || IsA(inner, MaterialState)))
		inner = outerPlanState(inner);
	if (inner != NULL && IsA(inner, IndexScanState))
		return ((IndexScan *) inner->plan)->indexqualorig;
	if (inner != NULL && IsA(inner, IndexOnlyScanState))
		return ((IndexOnlyScan *) inner->plan)->indexqual;
	return NIL;
}

static void
look_at_join(HoneFilterWalk *walk, PlanState *join, List *clauses)
{
	JoinType	type = ((Join *) join->plan)->jointype;

	if (hone_node_loops(join) < 1)
		return;
	if (type == JOIN_ANTI)
		look_at_side(walk, join, clauses, INNER_VAR);

	/* others keep rows of a side that have no partner */
	if (type != JOIN_INNER && type != JOIN_SEMI && type != JOIN_LEFT && type != JOIN_RIGHT)
		return;
	look_at_side(walk, join, clauses, INNER_VAR);
	look_at_side(walk, join, clauses, OUTER_VAR);
	if (IsA(join, NestLoopState))
		look_at_side(walk, join, asked_for(innerPlanState(join)), OUTER_VAR);
}

/* ---- sorts ---- */

/* Its columns, if all are of one table; false if not. */
static bool
read_order(HoneFilteredTable *table, PlanState *sort, HoneQual *order, ScanState **scan)
{
	Sort	   *plan = (Sort *) sort->plan;

	for (int i = 0; i < plan->numCols; i++)
	{
		TargetEntry *entry = list_nth(plan->plan.targetlist, plan->sortColIdx[i] - 1);
		ScanState  *of = NULL;
		Var		   *column = follow(sort, (Node *) entry->expr, &of);

		if (column == NULL || (*scan != NULL && *scan != of))
			return false;
		*scan = of;
		if (i >= HONE_FINDING_QUALS)
			continue;
		order[i].attnum = column->varattno;
		order[i].opno = plan->sortOperators[i];
		order[i].collation = plan->collations[i];
		order[i].commuted = plan->nullsFirst[i];
		table->norder++;
	}
	return true;
}

static void
look_at_limit(HoneFilterWalk *walk, PlanState *limit)
{
	PlanState  *sort = outerPlanState(limit);
	PlanState  *input;
	HoneFilteredTable table;
	HoneQual	order[HONE_FINDING_QUALS];
	ScanState  *scan = NULL;
	double		rows;

	while (sort != NULL && (IsA(sort, ResultState) || IsA(sort, GatherState) ||
							IsA(sort, GatherMergeState) || IsA(sort, LockRowsState)))
		sort = outerPlanState(sort);
	if (sort == NULL || !IsA(sort, SortState))
		return;
	input = outerPlanState(sort);
	if (input == NULL || input->instrument == NULL || hone_node_loops(input) < 1)
		return;
	rows = hone_node_rows(input);
	if (rows < hone_advise_filter_rows || hone_node_rows(limit) > KEPT_SHARE * rows)
		return;
	memset(&table, 0, sizeof(table));
	memset(order, 0, sizeof(order));
	if (!read_order(&table, sort, order, &scan) || scan == NULL || !hone_filter_is_heap(scan))
		return;
	read_scan(&table, scan);
	table.norder = Min(table.norder, HONE_FINDING_QUALS - table.nquals);
	if (table.norder == 0)
		return;
	memcpy(&table.quals[table.nquals], order, table.norder * sizeof(HoneQual));
	table.nquals += table.norder;
	table.node = T_Sort;
	table.removed = rows - hone_node_rows(limit);
	table.removed_scan = table.removed / hone_node_loops(input);
	table.kept = hone_node_rows(limit);
	table.cost = sort->plan->total_cost;
	hone_filter_add(walk, relation_of(scan), &table);
}

void
hone_reads_look(HoneFilterWalk *walk, PlanState *node)
{
	Plan	   *plan = node->plan;

	switch (nodeTag(node))
	{
		case T_IndexScanState:
			look_at_index(walk, (ScanState *) node, ((IndexScan *) plan)->indexqualorig);
			break;
		case T_BitmapHeapScanState:
			look_at_index(walk, (ScanState *) node, ((BitmapHeapScan *) plan)->bitmapqualorig);
			break;
		case T_NestLoopState:
			look_at_join(walk, node, ((Join *) plan)->joinqual);
			break;
		case T_HashJoinState:
			look_at_join(walk, node, ((HashJoin *) plan)->hashclauses);
			break;
		case T_MergeJoinState:
			look_at_join(walk, node, ((MergeJoin *) plan)->mergeclauses);
			break;
		case T_LimitState:
			look_at_limit(walk, node);
			break;
		default:
			break;
	}
}
