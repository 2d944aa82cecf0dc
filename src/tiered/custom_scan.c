/*-------------------------------------------------------------------------
 *
 * custom_scan.c
 *	  The custom scan "HoneTieredScan": plain rows, then batches.
 *
 * Plain rows come from a scan of the main fork, or from the child: an index or
 * bitmap scan (custom_path.c), whose scan slot is read. Of batches only the
 * columns that the query names are decoded, and those that no row of can match
 * are passed over (prune.h). All clauses are evaluated here, for both kinds of
 * rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/sysattr.h"
#include "commands/explain.h"
#include "executor/executor.h"
#include "optimizer/optimizer.h"
#include "utils/rel.h"

#include "tiered/am.h"
#include "tiered/cursor.h"
#include "tiered/custom_scan.h"
#include "tiered/prune.h"

typedef struct TieredScanState
{
	CustomScanState css;		/* must be first */
	TableScanDesc heap;			/* NULL: there is a child */
	TupleTableSlot *heap_slot;
	ScanState  *child;
	bool		child_begun;
	HoneCursor *cursor;
	bool		in_batches;
	bool		pruned;			/* cursor has the conditions since the last
								 * rescan */
	Bitmapset  *attributes;		/* 0-based */
	int			nattributes;	/* from the first to the last of them */

	HonePruner *pruner;
} TieredScanState;

static Node *create_tiered_scan_state(CustomScan *scan);
static void begin_tiered_scan(CustomScanState *node, EState *estate, int eflags);
static TupleTableSlot *exec_tiered_scan(CustomScanState *node);
static void end_tiered_scan(CustomScanState *node);
static void rescan_tiered_scan(CustomScanState *node);
static void explain_tiered_scan(CustomScanState *node, List *ancestors, ExplainState *es);

const CustomScanMethods hone_custom_scan_methods = {
	.CustomName = HONE_CUSTOM_SCAN_NAME,
	.CreateCustomScanState = create_tiered_scan_state,
};

static const CustomExecMethods exec_methods = {
	.CustomName = HONE_CUSTOM_SCAN_NAME,
	.BeginCustomScan = begin_tiered_scan,
	.ExecCustomScan = exec_tiered_scan,
	.EndCustomScan = end_tiered_scan,
	.ReScanCustomScan = rescan_tiered_scan,
	.ExplainCustomScan = explain_tiered_scan,
};

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

/* How many attributes there are up to the last one of these. */
static int
last_attribute(const Bitmapset *attributes, int natts)
{
	int			last = -1;
	int			i = -1;

	while ((i = bms_next_member(attributes, i)) >= 0 && i < natts)
		last = i;
	return last + 1;
}

/*
 * Index scans begin at the first row, bitmap scans of some versions when they
 * are initialized: the access method is told that they are ours (am.h).
 */
static void
init_child(TieredScanState *state, Plan *plan, EState *estate, int eflags)
{
	Oid			outer = hone_wrapped_relation;

	hone_wrapped_relation = RelationGetRelid(state->css.ss.ss_currentRelation);
	PG_TRY();
	{
		state->child = (ScanState *) ExecInitNode(plan, estate, eflags);
	}
	PG_FINALLY();
	{
		hone_wrapped_relation = outer;
	}
	PG_END_TRY();
	state->css.custom_ps = list_make1(state->child);
}

static TupleTableSlot *
begin_child(TieredScanState *state)
{
	Oid			outer = hone_wrapped_relation;
	TupleTableSlot *volatile result = NULL;

	hone_wrapped_relation = RelationGetRelid(state->css.ss.ss_currentRelation);
	PG_TRY();
	{
		result = ExecProcNode(&state->child->ps);
	}
	PG_FINALLY();
	{
		hone_wrapped_relation = outer;
	}
	PG_END_TRY();
	state->child_begun = true;
	return result;
}

/*
 * The new version of a row that another transaction changed comes in a slot
 * of the table's kind; PostgreSQL compiled the expressions for virtual slots.
 */
static void
compile_for_any_slot(CustomScanState *node, CustomScan *scan)
{
	node->ss.ps.scanopsfixed = false;
	node->ss.ps.subPlan = NIL;
	ExecAssignScanProjectionInfoWithVarno(&node->ss, scan->scan.scanrelid);
	node->ss.ps.qual = ExecInitQual(scan->scan.plan.qual, &node->ss.ps);
}

static void
begin_tiered_scan(CustomScanState *node, EState *estate, int eflags)
{
	TieredScanState *state = (TieredScanState *) node;
	CustomScan *scan = (CustomScan *) node->ss.ps.plan;
	Relation	rel = node->ss.ss_currentRelation;

	if (estate->es_epq_active != NULL)
		compile_for_any_slot(node, scan);
	state->attributes = wanted_attributes(scan, RelationGetDescr(rel)->natts);
	state->nattributes = last_attribute(state->attributes, RelationGetDescr(rel)->natts);
	state->pruner = hone_pruner_create(scan->custom_private, scan->custom_exprs, &node->ss.ps);

	if (scan->custom_plans != NIL)
		init_child(state, linitial(scan->custom_plans), estate, eflags);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	if (state->child == NULL)
	{
		state->heap = heap_beginscan(rel, estate->es_snapshot, 0, NULL, NULL,
									 SO_TYPE_SEQSCAN | SO_ALLOW_STRAT |
									 SO_ALLOW_SYNC | SO_ALLOW_PAGEMODE);
		state->heap_slot = ExecAllocTableSlot(&estate->es_tupleTable,
											  RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	}
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

/*
 * The next plain row into a slot of its own; NULL at the end. The child's
 * result is nothing, but its scan slot holds the row.
 */
static TupleTableSlot *
next_plain(TieredScanState *state, ScanDirection direction)
{
	TupleTableSlot *result;

	if (state->child == NULL)
		return heap_getnextslot(state->heap, direction, state->heap_slot) ?
			state->heap_slot : NULL;
	result = state->child_begun ? ExecProcNode(&state->child->ps) : begin_child(state);
	return TupIsNull(result) ? NULL : state->child->ss_ScanTupleSlot;
}

/* A plain row's columns into the scan's virtual slot; its own slot pins it. */
static TupleTableSlot *
store_plain(TieredScanState *state, TupleTableSlot *row, TupleTableSlot *slot)
{
	slot_getsomeattrs(row, state->nattributes);
	ExecClearTuple(slot);
	memcpy(slot->tts_values, row->tts_values, state->nattributes * sizeof(Datum));
	memcpy(slot->tts_isnull, row->tts_isnull, state->nattributes * sizeof(bool));
	ExecStoreVirtualTuple(slot);
	slot->tts_tid = row->tts_tid;
	slot->tts_tableOid = row->tts_tableOid;
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
	if (state->heap_slot != NULL)
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
		TupleTableSlot *row = next_plain(state, direction);

		if (row != NULL)
			return store_plain(state, row, slot);
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

static TupleTableSlot *
exec_tiered_scan(CustomScanState *node)
{
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
	if (state->child != NULL)
		ExecEndNode(&state->child->ps);
}

static void
rescan_tiered_scan(CustomScanState *node)
{
	TieredScanState *state = (TieredScanState *) node;

	if (state->child == NULL)
		heap_rescan(state->heap, NULL, false, false, false, false);
	else
	{
		if (node->ss.ps.chgParam != NULL)
			UpdateChangedParamSet(&state->child->ps, node->ss.ps.chgParam);
		/* else it is done when the child is asked for its first row */
		if (state->child->ps.chgParam == NULL)
			ExecReScan(&state->child->ps);
	}
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

bool
hone_is_custom_scan(PlanState *node)
{
	return IsA(node, CustomScanState) && ((CustomScanState *) node)->methods == &exec_methods;
}

void
hone_custom_scan_init(void)
{
	RegisterCustomScanMethods(&hone_custom_scan_methods);
}
