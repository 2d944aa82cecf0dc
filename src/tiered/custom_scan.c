/*-------------------------------------------------------------------------
 *
 * custom_scan.c
 *	  The custom scan "HoneTieredScan": plain rows, then batches.
 *
 * For an open tiered relation (am.h) set_rel_pathlist_hook drops every path
 * but those by TID: an index knows nothing of compressed rows. What remains is
 * this scan, which decodes only the columns that the query names and skips batches whose order
 * key cannot match. (Where system columns other than ctid and tableoid are
 * asked for, a plain sequential scan through the access method.)
 *
 * Skipping compares stored min and max with the bounds that conditions of the
 * form "key operator expression" give; the conditions themselves are always
 * evaluated by the executor, in its order, so skipping shows nothing to
 * anybody. Expressions are evaluated at every rescan: they hold no columns,
 * no volatile functions and no subqueries.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/heapam.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "nodes/extensible.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/restrictinfo.h"
#include "parser/parsetree.h"
#include "utils/rel.h"
#include "utils/spccache.h"

#include "tiered/am.h"
#include "tiered/cursor.h"
#include "tiered/custom_scan.h"
#include "tiered/prune.h"

typedef struct TieredScanState
{
	CustomScanState css;		/* must be first */
	TableScanDesc heap;
	TupleTableSlot *heap_slot;
	HoneCursor *cursor;
	bool		in_batches;
	bool		pruned;			/* cursor has the conditions since the last
								 * rescan */
	Bitmapset  *attributes;		/* 0-based */

	HonePruner *pruner;
} TieredScanState;

static set_rel_pathlist_hook_type previous_set_rel_pathlist_hook = NULL;

static Plan *plan_tiered_path(PlannerInfo *root, RelOptInfo *rel,
							  struct CustomPath *path, List *tlist,
							  List *clauses, List *custom_plans);
static Node *create_tiered_scan_state(CustomScan *scan);
static void begin_tiered_scan(CustomScanState *node, EState *estate, int eflags);
static TupleTableSlot *exec_tiered_scan(CustomScanState *node);
static void end_tiered_scan(CustomScanState *node);
static void rescan_tiered_scan(CustomScanState *node);
static void explain_tiered_scan(CustomScanState *node, List *ancestors, ExplainState *es);

static const CustomPathMethods path_methods = {
	.CustomName = "HoneTieredScan",
	.PlanCustomPath = plan_tiered_path,
};

static const CustomScanMethods scan_methods = {
	.CustomName = "HoneTieredScan",
	.CreateCustomScanState = create_tiered_scan_state,
};

static const CustomExecMethods exec_methods = {
	.CustomName = "HoneTieredScan",
	.BeginCustomScan = begin_tiered_scan,
	.ExecCustomScan = exec_tiered_scan,
	.EndCustomScan = end_tiered_scan,
	.ReScanCustomScan = rescan_tiered_scan,
	.ExplainCustomScan = explain_tiered_scan,
};

/* ------------------------------------------------------------------------
 * Planning
 * ------------------------------------------------------------------------
 */

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
 * Cost: the pages (batches are counted among them) once, in order, and the
 * conditions on every row.
 */
static void
cost_tiered_scan(PlannerInfo *root, RelOptInfo *rel, Path *path)
{
	double		page_cost;
	Cost		per_tuple;

	get_tablespace_page_costs(rel->reltablespace, NULL, &page_cost);
	path->rows = path->param_info ? path->param_info->ppi_rows : rel->rows;
	per_tuple = cpu_tuple_cost + rel->baserestrictcost.per_tuple;
	path->startup_cost = rel->baserestrictcost.startup + path->pathtarget->cost.startup;
	path->total_cost = path->startup_cost + page_cost * rel->pages +
		per_tuple * rel->tuples + path->pathtarget->cost.per_tuple * path->rows;
}

/*
 * Of the paths that the planner made, those that find rows by their TID: they
 * go through the access method, which knows both kinds. One for WHERE CURRENT
 * OF is the only one: nothing else can evaluate that condition.
 */
static List *
tid_paths(RelOptInfo *rel, bool *current_of)
{
	List	   *paths = NIL;
	ListCell   *lc;

	*current_of = false;
	foreach(lc, rel->pathlist)
	{
		TidPath    *path = lfirst(lc);
		ListCell   *cond;

		if (IsA(path, TidRangePath))
			paths = lappend(paths, path);
		if (!IsA(path, TidPath))
			continue;
		foreach(cond, path->tidquals)
		{
			if (IsA(lfirst_node(RestrictInfo, cond)->clause, CurrentOfExpr))
			{
				*current_of = true;
				return list_make1(path);
			}
		}
		paths = lappend(paths, path);
	}
	return paths;
}

static void
add_tiered_path(PlannerInfo *root, RelOptInfo *rel)
{
	CustomPath *path = makeNode(CustomPath);

	path->path.pathtype = T_CustomScan;
	path->path.parent = rel;
	path->path.pathtarget = rel->reltarget;
	path->path.param_info = get_baserel_parampathinfo(root, rel, rel->lateral_relids);
	path->path.parallel_aware = false;
	path->path.parallel_safe = rel->consider_parallel;
	path->path.parallel_workers = 0;
	path->path.pathkeys = NIL;
	path->flags = CUSTOMPATH_SUPPORT_PROJECTION | CUSTOMPATH_SUPPORT_BACKWARD_SCAN;
	path->methods = &path_methods;
	cost_tiered_scan(root, rel, &path->path);
	add_path(rel, &path->path);
}

static void
tiered_set_rel_pathlist(PlannerInfo *root, RelOptInfo *rel, Index rti,
						RangeTblEntry *rte)
{
	Relation	relation;
	bool		open;
	bool		current_of;

	if (previous_set_rel_pathlist_hook)
		previous_set_rel_pathlist_hook(root, rel, rti, rte);

	if (rte->rtekind != RTE_RELATION || rte->relkind != RELKIND_RELATION ||
		rte->inh || IS_DUMMY_REL(rel))
		return;
	relation = table_open(rte->relid, NoLock);
	open = hone_is_tiered(relation) && hone_is_open(relation);
	table_close(relation, NoLock);
	if (!open)
		return;
	if (rte->tablesample != NULL)
		return;					/* the access method refuses it */

	rel->pathlist = tid_paths(rel, &current_of);
	rel->partial_pathlist = NIL;
	if (current_of)
		return;
	if (needs_system_columns(rel))
		add_path(rel, create_seqscan_path(root, rel, rel->lateral_relids, 0));
	else
		add_tiered_path(root, rel);
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
	scan->custom_private = hone_prune_terms(root, quals, rel->relid, &scan->custom_exprs);
	scan->methods = &scan_methods;
	return &scan->scan.plan;
}

/* ------------------------------------------------------------------------
 * Execution
 * ------------------------------------------------------------------------
 */

static Node *
create_tiered_scan_state(CustomScan *scan)
{
	TieredScanState *state = (TieredScanState *) newNode(sizeof(TieredScanState),
														 T_CustomScanState);

	state->css.methods = &exec_methods;
	return (Node *) state;
}

/*
 * The columns (from 0) that the finished plan reads. Not while planning: a
 * projection that is pushed into the scan replaces its target list later.
 * Never NULL: natts is a member that stands for no column.
 */
static Bitmapset *
wanted_attributes(CustomScan *scan, int natts)
{
	Bitmapset  *used = NULL;
	Bitmapset  *attributes = bms_make_singleton(natts);
	bool		whole_row;

	pull_varattnos((Node *) scan->scan.plan.targetlist, scan->scan.scanrelid, &used);
	pull_varattnos((Node *) scan->scan.plan.qual, scan->scan.scanrelid, &used);
	whole_row = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used);
	for (int i = 0; i < natts; i++)
	{
		if (whole_row || bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, used))
			attributes = bms_add_member(attributes, i);
	}
	bms_free(used);
	return attributes;
}

static void
begin_tiered_scan(CustomScanState *node, EState *estate, int eflags)
{
	TieredScanState *state = (TieredScanState *) node;
	CustomScan *scan = (CustomScan *) node->ss.ps.plan;
	Relation	rel = node->ss.ss_currentRelation;

	state->attributes = wanted_attributes(scan, RelationGetDescr(rel)->natts);
	state->pruner = hone_pruner_create(scan->custom_private, scan->custom_exprs, &node->ss.ps);

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state->heap = heap_beginscan(rel, estate->es_snapshot, 0, NULL, NULL,
								 SO_TYPE_SEQSCAN | SO_ALLOW_STRAT |
								 SO_ALLOW_SYNC | SO_ALLOW_PAGEMODE);
	state->heap_slot = ExecAllocTableSlot(&estate->es_tupleTable,
										  RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	state->cursor = hone_cursor_open(rel, estate->es_snapshot, NULL, state->attributes);
}

static void
prune_batches(TieredScanState *state)
{
	int			nconditions;
	const HoneCondition *conditions = hone_pruner_conditions(state->pruner,
															 state->css.ss.ps.ps_ExprContext,
															 &nconditions);

	hone_cursor_rewind(state->cursor, conditions, nconditions);
	state->pruned = true;
}

/* A plain row's columns into the scan's virtual slot; the heap slot pins it. */
static TupleTableSlot *
store_plain(TieredScanState *state, TupleTableSlot *slot)
{
	TupleTableSlot *heap = state->heap_slot;
	int			natts = slot->tts_tupleDescriptor->natts;

	slot_getallattrs(heap);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, heap->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, heap->tts_isnull, natts * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	slot->tts_tid = heap->tts_tid;
	slot->tts_tableOid = heap->tts_tableOid;
	return slot;
}

/*
 * The scan's slot is filled with columns of one kind of rows at a time: a row
 * from a batch sets only those that are wanted.
 */
static void
go_to_batches(TieredScanState *state, TupleTableSlot *slot)
{
	state->in_batches = true;
	ExecClearTuple(state->heap_slot);
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof(bool));
	if (state->cursor != NULL && !state->pruned)
		prune_batches(state);
}

/* Forwards: plain rows, then compressed ones. Backwards the other way round. */
static TupleTableSlot *
next_row(ScanState *node)
{
	TieredScanState *state = (TieredScanState *) node;
	TupleTableSlot *slot = node->ss_ScanTupleSlot;
	ScanDirection direction = node->ps.state->es_direction;
	bool		forward = ScanDirectionIsForward(direction);

	if (!forward && state->in_batches)
	{
		if (state->cursor != NULL && hone_cursor_next(state->cursor, false))
		{
			hone_cursor_store_virtual(state->cursor, slot);
			return slot;
		}
		state->in_batches = false;
	}
	if (!state->in_batches)
	{
		if (heap_getnextslot(state->heap, direction, state->heap_slot))
			return store_plain(state, slot);
		if (!forward)
			return ExecClearTuple(slot);
		go_to_batches(state, slot);
	}
	if (state->cursor == NULL || !hone_cursor_next(state->cursor, true))
		return ExecClearTuple(slot);
	hone_cursor_store_virtual(state->cursor, slot);
	return slot;
}

/* All conditions are in the plan's qual, which ExecScan checks again. */
static bool
recheck_row(ScanState *node, TupleTableSlot *slot)
{
	return true;
}

/*
 * The new version of a row that another transaction changed comes in a slot
 * of the table's kind. The expressions were compiled for virtual slots, whose
 * columns are always at hand: so they have to be there.
 */
static void
deform_epq_row(ScanState *node)
{
	EPQState   *epq = node->ps.state->es_epq_active;
	Index		rti = ((Scan *) node->ps.plan)->scanrelid;
	TupleTableSlot *slot = epq->relsubs_slot[rti - 1];

	if (!TupIsNull(slot))
		slot_getallattrs(slot);
}

static TupleTableSlot *
exec_tiered_scan(CustomScanState *node)
{
	if (node->ss.ps.state->es_epq_active != NULL)
		deform_epq_row(&node->ss);
	return ExecScan(&node->ss, next_row, recheck_row);
}

static void
end_tiered_scan(CustomScanState *node)
{
	TieredScanState *state = (TieredScanState *) node;

	if (state->cursor != NULL)
		hone_cursor_close(state->cursor);
	if (state->heap != NULL)
		heap_endscan(state->heap);
}

static void
rescan_tiered_scan(CustomScanState *node)
{
	TieredScanState *state = (TieredScanState *) node;

	heap_rescan(state->heap, NULL, false, false, false, false);
	state->in_batches = false;
	state->pruned = false;
	ExecScanReScan(&node->ss);
}

static void
explain_tiered_scan(CustomScanState *node, List *ancestors, ExplainState *es)
{
	TieredScanState *state = (TieredScanState *) node;

	if (!es->analyze || state->cursor == NULL)
		return;
	ExplainPropertyInteger("Batches Read", NULL, state->cursor->batches_read, es);
	ExplainPropertyInteger("Batches Skipped", NULL, state->cursor->batches_skipped, es);
}

void
hone_custom_scan_init(void)
{
	RegisterCustomScanMethods(&scan_methods);
	previous_set_rel_pathlist_hook = set_rel_pathlist_hook;
	set_rel_pathlist_hook = tiered_set_rel_pathlist;
}
