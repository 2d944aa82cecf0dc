/*-------------------------------------------------------------------------
 *
 * plan_check.c
 *	  No plan loses compressed rows.
 *
 * The planner's hooks see to it that indexes of an open table are read below a
 * HoneTieredScan only (custom_path.c). Another extension may add paths after
 * them, or a plan of its own. So before a plan runs, each index and bitmap scan
 * in it is looked at: one that reads an open table by itself is an error. The
 * access method's own error (am.c) remains behind it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "utils/rel.h"

#include "tiered/am.h"
#include "tiered/custom_scan.h"

static ExecutorStart_hook_type previous_executor_start = NULL;

static bool check_node(PlanState *node, void *context);

static void
check_subplans(List *subplans)
{
	ListCell   *lc;

	foreach(lc, subplans)
		check_node(lfirst_node(SubPlanState, lc)->planstate, NULL);
}

static bool
check_node(PlanState *node, void *context)
{
	if (hone_is_custom_scan(node))
	{
		/* its child is ours */
		check_subplans(node->initPlan);
		check_subplans(node->subPlan);
		return false;
	}
	if (IsA(node, IndexScanState) || IsA(node, IndexOnlyScanState) ||
		IsA(node, BitmapHeapScanState))
	{
		Relation	rel = ((ScanState *) node)->ss_currentRelation;

		if (hone_has_tiered_routine(rel) && hone_is_open(rel))
			hone_report_index_scan(rel);
	}
	return planstate_tree_walker(node, check_node, context);
}

/*
 * The relations that the executor has opened.
 */
static bool
reads_tiered_relation(EState *estate)
{
	for (Index i = 0; i < estate->es_range_table_size; i++)
	{
		Relation	rel = estate->es_relations[i];

		if (rel != NULL && hone_has_tiered_routine(rel))
			return true;
	}
	return false;
}

static void
check_executor_start(QueryDesc *query_desc, int eflags)
{
	if (previous_executor_start)
		previous_executor_start(query_desc, eflags);
	else
		standard_ExecutorStart(query_desc, eflags);
	if (query_desc->planstate != NULL && reads_tiered_relation(query_desc->estate))
		check_node(query_desc->planstate, NULL);
}

void
hone_plan_check_init(void)
{
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = check_executor_start;
}
