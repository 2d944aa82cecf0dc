/*-------------------------------------------------------------------------
 *
 * materialize_problem.c
 *	  What no materialized view can hold: answers that no two executions share,
 *	  or that depend on who asks, and when.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "rewrite/rewriteHandler.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "advise/materialize.h"
#include "advise/rewrite.h"

void
hone_view_problem(HoneView *view, const char *problem)
{
	if (view->problem == NULL)
		view->problem = problem;
}

/* Of the server's own stable functions, those that ask for nothing but the time zone. */
static bool
depends_on_time_zone(Oid function)
{
	HeapTuple	tuple;
	Form_pg_proc proc;
	bool		result = false;

	if (function >= FirstNormalObjectId || function == F_AGE_TIMESTAMPTZ)
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	for (int i = 0; i < proc->pronargs; i++)
		result |= proc->proargtypes.values[i] == TIMESTAMPTZOID ||
			(proc->prorettype == TIMESTAMPTZOID &&
			 (proc->proargtypes.values[i] == DATEOID || proc->proargtypes.values[i] == TIMESTAMPOID));
	ReleaseSysCache(tuple);
	return result;
}

static bool
look_at_function(Oid function, void *context)
{
	HoneView   *view = context;
	char		volatility = func_volatile(function);

	if (volatility == PROVOLATILE_VOLATILE)
		view->fleeting = true;
	else if (volatility == PROVOLATILE_IMMUTABLE)
		return false;
	else if (depends_on_time_zone(function))
		view->time_zone = get_func_name(function);
	else
		hone_view_problem(view, psprintf("%s() is not immutable: a view would keep what it was at the last refresh",
										 get_func_name(function)));
	return false;
}

static bool look_for_problems(Node *node, void *context);

/* Analysis leaves views as they are. */
static void
look_into_view(Oid relid, HoneView *view)
{
	Relation	rel;

	hone_rewrite_lock(relid, AccessShareLock);
	rel = RelationIdGetRelation(relid);
	if (rel == NULL)
		return;
	look_for_problems((Node *) get_view_query(rel), view);
	RelationClose(rel);
}

static void
look_at_relations(Query *query, HoneView *view)
{
	ListCell   *lc;

	check_stack_depth();
	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

		/* a view's own entries in its range table are not in FROM */
		if (rte->rtekind != RTE_RELATION || !rte->inFromCl)
			continue;
		if (rte->tablesample != NULL)
			view->fleeting = true;
		if (rte->relid < FirstNormalObjectId)
			hone_view_problem(view, "it reads system catalogs");
		else if (get_rel_relkind(rte->relid) == RELKIND_VIEW)
			look_into_view(rte->relid, view);
	}
}

static bool
look_for_problems(Node *node, void *context)
{
	HoneView   *view = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		look_at_relations((Query *) node, view);
		return query_tree_walker((Query *) node, look_for_problems, context, 0);
	}
	if (IsA(node, SQLValueFunction))
		hone_view_problem(view, "its answer depends on who asks or when: a view would keep what it was at the last refresh");
	if (IsA(node, NextValueExpr))
		view->fleeting = true;
	check_functions_in_node(node, look_at_function, view);
	return expression_tree_walker(node, look_for_problems, context);
}

void
hone_view_look_for_problems(Query *query, HoneView *view)
{
	look_for_problems((Node *) query, view);
}
