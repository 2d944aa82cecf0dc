/*-------------------------------------------------------------------------
 *
 * nodes.c
 *	  One look at every node of an execution that counted its rows.
 *
 * conditions.c and spill.c look at what is theirs; subqueries under NOT IN
 * and the planner's expectations are looked at here. What was found goes to
 * the table of findings at the end, once for each.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/transam.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "nodes/nodeFuncs.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "advise/nodes.h"

#define REMOVED_SHARE	0.9		/* of the rows read */
#define EXPECTED_ROWS	1000	/* fewer, and no plan is bad, whatever the
								 * factor */

/*
 * A block to a temporary file and back, through the kernel's cache; what a
 * disk takes comes on top and is not known.
 */
#define TEMP_BLOCK_MS	0.005

int			hone_advise_in_list = 1000;
int			hone_advise_not_in_rows = 100000;
int			hone_advise_spill = 16 * 1024;
int			hone_advise_misestimate = 100;

static HoneFinding *const delta = &hone_finding_delta;

void
hone_nodes_init(void)
{
	/* fewer elements cost less than a millisecond to parse and plan */
	DefineCustomIntVariable("hone.advise_in_list",
							"Constants in one list of a condition from which it is reported.",
							NULL, &hone_advise_in_list,
							1000, 100, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	/* an estimate is seldom better than ten times off: then plans still do */
	DefineCustomIntVariable("hone.advise_misestimate",
							"Factor between the rows that the planner expected and those that came from which it is reported.",
							NULL, &hone_advise_misestimate,
							100, 2, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	/* about ten milliseconds of comparing */
	DefineCustomIntVariable("hone.advise_not_in_rows",
							"Rows that the subquery of a NOT IN must give in one execution before it is reported.",
							NULL, &hone_advise_not_in_rows,
							100000, 1, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	/* less goes through the kernel's cache at hardly more than memory costs */
	DefineCustomIntVariable("hone.advise_spill",
							"Kilobytes that one execution must write to temporary files before more work_mem is recommended.",
							NULL, &hone_advise_spill,
							16 * 1024, 64, INT_MAX, PGC_SUSET, GUC_UNIT_KB, NULL, NULL, NULL);
}

double
hone_node_rows(const PlanState *node)
{
	return node->instrument->ntuples + node->instrument->tuplecount;
}

double
hone_node_loops(const PlanState *node)
{
	return node->instrument->nloops + (node->instrument->running ? 1 : 0);
}

bool
hone_node_is_lasting(Relation rel)
{
	return rel != NULL && RelationGetRelid(rel) >= FirstNormalObjectId &&
		rel->rd_rel->relpersistence != RELPERSISTENCE_TEMP;
}

/* ---- NOT IN ---- */

/* Finds NOT over a SubPlan; context is its plan_id. */
static bool
negated_walker(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == NOT_EXPR)
	{
		SubPlan    *subplan = linitial(((BoolExpr *) node)->args);

		if (IsA(subplan, SubPlan) && subplan->plan_id == *(int *) context)
			return true;
	}
	return expression_tree_walker(node, negated_walker, context);
}

static bool
is_negated(Plan *plan, int plan_id)
{
	if (negated_walker((Node *) plan->qual, &plan_id))
		return true;
	return (IsA(plan, NestLoop) || IsA(plan, HashJoin) || IsA(plan, MergeJoin)) &&
		negated_walker((Node *) ((Join *) plan)->joinqual, &plan_id);
}

static void
look_for_not_in(HoneNodeLook *look, PlanState *node)
{
	ListCell   *lc;

	foreach(lc, node->subPlan)
	{
		SubPlanState *state = lfirst_node(SubPlanState, lc);
		double		rows;

		if (state->subplan->subLinkType != ANY_SUBLINK ||
			state->planstate->instrument == NULL ||
			!is_negated(node->plan, state->subplan->plan_id))
			continue;
		rows = hone_node_rows(state->planstate);
		if (rows <= look->not_in.rows)
			continue;
		look->not_in.rows = rows;
		look->not_in.hashed = state->subplan->useHashTable;
	}
}

/* ---- rows that the planner did not expect ---- */

static bool
has_param(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, Param) || expression_tree_walker(node, has_param, context);
}

/*
 * Read clauses of which the planner's estimate comes from the statistics of
 * columns: values must be known to it. False if there are others.
 */
static bool
read_clauses(List *clauses, Index rti, HoneMisestimate *into)
{
	ListCell   *lc;

	foreach(lc, clauses)
	{
		if (into->nquals == HONE_FINDING_QUALS || has_param(lfirst(lc), NULL) ||
			!hone_qual_read(lfirst(lc), rti, &into->quals[into->nquals]))
			return false;
		into->nquals++;
	}
	return true;
}

static bool
read_scan(ScanState *scan, HoneMisestimate *into)
{
	Plan	   *plan = scan->ps.plan;
	Index		rti = ((Scan *) plan)->scanrelid;

	memset(into, 0, sizeof(HoneMisestimate));
	if (IsA(plan, IndexScan) &&
		!read_clauses(((IndexScan *) plan)->indexqualorig, rti, into))
		return false;
	if (IsA(plan, BitmapHeapScan) &&
		!read_clauses(((BitmapHeapScan *) plan)->bitmapqualorig, rti, into))
		return false;
	return !IsA(plan, IndexOnlyScan) && read_clauses(plan->qual, rti, into);
}

/*
 * More rows than expected are a fact; fewer only where the scan, run once,
 * came to its end, as its empty slot says.
 */
static void
look_at_estimate(HoneNodeLook *look, ScanState *scan)
{
	HoneMisestimate found;
	double		expected = Max(scan->ps.plan->plan_rows, 1);
	double		loops = hone_node_loops(&scan->ps);
	double		actual;
	double		factor;

	if (loops < 1 || scan->ps.plan->parallel_aware)
		return;
	actual = hone_node_rows(&scan->ps) / loops;
	factor = Max(expected, actual) / Max(Min(expected, actual), 1);
	if (Max(expected, actual) < EXPECTED_ROWS || factor < hone_advise_misestimate ||
		factor <= look->misestimate.factor ||
		(actual < expected && (loops > 1 || !TupIsNull(scan->ss_ScanTupleSlot))) ||
		!read_scan(scan, &found))
		return;
	found.relid = RelationGetRelid(scan->ss_currentRelation);
	found.node = nodeTag(scan->ps.plan);
	found.estimated = expected;
	found.actual = actual;
	found.factor = factor;
	look->misestimate = found;
}

/* ---- the walk ---- */

static bool
look_walker(PlanState *node, void *context)
{
	HoneNodeLook *look = context;

	if (node->instrument != NULL)
	{
		switch (nodeTag(node))
		{
			case T_SeqScanState:
			case T_IndexScanState:
			case T_IndexOnlyScanState:
			case T_BitmapHeapScanState:
				if (hone_node_is_lasting(((ScanState *) node)->ss_currentRelation))
				{
					hone_conditions_look(look, (ScanState *) node);
					hone_lists_look(look, (ScanState *) node);
					look_at_estimate(look, (ScanState *) node);
				}
				break;
			default:
				hone_spill_look(look, node);
				break;
		}
		if (node->subPlan != NIL)
			look_for_not_in(look, node);
	}
	return planstate_tree_walker(node, look_walker, context);
}

/* ---- to the table of findings ---- */

/* A delta of this execution, of which 'share' of the time was spent there. */
static void
begin_delta(const HoneNodeLook *look, HoneFindingKind kind, Oid relid,
			int64 weight, double share)
{
	hone_finding_begin(kind, relid, 0);
	delta->calls = weight;
	delta->times = 1;
	delta->cost_ms = look->record->elapsed_ns / 1e6 * weight * share;
	delta->nqueries = 1;
	delta->queries[0] = look->record->queryid;
	hone_sample_take(&delta->sample, look->record);
	delta->parent.queryid = 0;
}

static void
set_size(double size)
{
	delta->rows = delta->rows_max = (int64) size;
	delta->nrecent = 1;
	delta->recent[0] = (int64) size;
}

static uint64
hash_of(const void *bytes, size_t length)
{
	return hash_bytes_extended(bytes, length, 0);
}

static void
report_condition(const HoneNodeLook *look, const HoneCondition *condition, int64 weight)
{
	double		total = look->stmt->planTree->total_cost;
	double		share = total > condition->cost ? condition->cost / total : 1;

	if (condition->removed < hone_advise_filter_rows ||
		condition->removed_scan < HONE_SMALL_SCAN ||
		condition->removed < REMOVED_SHARE * (condition->removed + condition->kept))
		return;
	begin_delta(look, condition->kind, condition->relid, weight, share);
	delta->key.queryid = look->record->queryid;
	delta->key.detail = condition->qual.attnum;
	delta->saving_ms = delta->cost_ms * condition->removed /
		(condition->removed + condition->kept);
	set_size(condition->removed);
	delta->rows_kept = (int64) condition->kept;
	delta->certain = condition->alone;
	delta->inside = condition->inside;
	delta->nquals = 1;
	delta->quals[0] = condition->qual;
	hone_finding_add(delta);
}

static void
report_not_in(const HoneNodeLook *look, int64 weight)
{
	Oid			relid = hone_sample_relation(look->stmt);

	if (look->not_in.rows < hone_advise_not_in_rows || !OidIsValid(relid))
		return;
	begin_delta(look, HONE_FINDING_NOT_IN, relid, weight, 1);
	delta->key.queryid = look->record->queryid;
	delta->certain = !look->not_in.hashed;
	/* a table of its rows is what NOT EXISTS makes too */
	delta->saving_ms = look->not_in.hashed ? 0 : delta->cost_ms * REMOVED_SHARE;
	set_size(look->not_in.rows);
	hone_finding_add(delta);
}

/* Each length of a list has its own identifier before 18: it is no key. */
static void
report_list(const HoneNodeLook *look, int64 weight)
{
	if (look->list.elements < hone_advise_in_list)
		return;
	begin_delta(look, HONE_FINDING_LIST, look->list.relid, weight, 1);
	if (!hone_lists_cut(&delta->sample, look->record))
		return;
	delta->key.detail = hash_of(&look->list.qual, sizeof(HoneQual));
	delta->nquals = 1;
	delta->quals[0] = look->list.qual;
	set_size(look->list.elements);
	hone_finding_add(delta);
}

static void
report_spill(const HoneNodeLook *look, const HoneSpill *spill, int64 weight)
{
	const BufferUsage *buffers = &look->record->buffers;
	Oid			relid = hone_sample_relation(look->stmt);
	double		ms;

	if (spill->spilled_kb < hone_advise_spill || !OidIsValid(relid))
		return;
	begin_delta(look, HONE_FINDING_SPILL, relid, weight, 1);
	delta->key.queryid = look->record->queryid;
	delta->key.detail = spill->node;
	ms = (buffers->temp_blks_read + buffers->temp_blks_written) * TEMP_BLOCK_MS * weight;
	delta->saving_ms = Min(ms, delta->cost_ms);
	set_size(spill->needed_kb);
	delta->rows_kept = (int64) spill->spilled_kb;
	delta->node = spill->node;
	hone_finding_add(delta);
}

static void
report_misestimate(const HoneNodeLook *look, int64 weight)
{
	const HoneMisestimate *found = &look->misestimate;

	if (found->factor == 0)
		return;
	begin_delta(look, HONE_FINDING_STATISTICS, found->relid, weight, 1);
	delta->key.detail = hash_of(found->quals, sizeof(found->quals));
	set_size(found->actual);
	delta->expected = found->estimated;
	delta->node = found->node;
	delta->nquals = found->nquals;
	memcpy(delta->quals, found->quals, sizeof(delta->quals));
	hone_finding_add(delta);
}

void
hone_nodes_look(const HoneRecord *record, int64 weight)
{
	static HoneNodeLook look;

	memset(&look, 0, sizeof(look));
	look.record = record;
	look.stmt = record->query_desc->plannedstmt;
	look_walker(record->query_desc->planstate, &look);
	for (int i = 0; i < look.nconditions; i++)
		report_condition(&look, &look.conditions[i], weight);
	for (int i = 0; i < look.nspills; i++)
		report_spill(&look, &look.spills[i], weight);
	report_not_in(&look, weight);
	report_list(&look, weight);
	report_misestimate(&look, weight);
}
