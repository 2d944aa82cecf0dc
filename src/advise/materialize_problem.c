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
#include "common/sqltext.h"

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

/* ---- literals of times ---- */

/* From a literal of a time to its string, at most. */
#define LITERAL_TOKENS	4

typedef struct TimeLook
{
	const char *text;
	int			length;
	HoneView   *view;
} TimeLook;

/* The string that begins at a place, or behind the name of its type. */
static bool
find_literal(const char *text, int length, int pos, int *begin, int *end)
{
	HoneSqlToken token;

	for (int i = 0; i < LITERAL_TOKENS && (token = hone_sql_token(text, length, pos, end)) != HONE_SQL_END; i++)
	{
		*begin = pos;
		if (token == HONE_SQL_CONSTANT)
			return true;
		pos = *end;
	}
	return false;
}

/* An offset, or what stands for none. */
static bool
says_zone(const char *literal, int length)
{
	const char *time = memchr(literal, ':', length);
	int			from = time != NULL ? (int) (time - literal) : 0;

	for (int i = from; i < length; i++)
	{
		if (literal[i] == '+' || literal[i] == 'z' || literal[i] == 'Z' || (literal[i] == '-' && time != NULL))
			return true;
	}
	return hone_sql_mentions(literal, length, "utc") || hone_sql_mentions(literal, length, "gmt");
}

static bool
means_another_time_each_day(const char *literal, int length)
{
	return hone_sql_mentions(literal, length, "now") || hone_sql_mentions(literal, length, "today") ||
		hone_sql_mentions(literal, length, "tomorrow") || hone_sql_mentions(literal, length, "yesterday");
}

/*
 * What a literal of a time means is decided when it is read: 'today', or a time
 * whose zone it does not say. A view would hold what the reader's session makes
 * of it.
 */
static bool
look_at_time(Node *node, void *context)
{
	TimeLook   *look = context;
	Const	   *con = (Const *) node;
	int			begin;
	int			end;
	bool		zone;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, look_at_time, context, 0);
	if (!IsA(node, Const))
		return expression_tree_walker(node, look_at_time, context);
	zone = con->consttype == TIMESTAMPTZOID || con->consttype == TIMETZOID;
	if (con->constisnull || con->location < 0 ||
		(!zone && con->consttype != DATEOID && con->consttype != TIMESTAMPOID && con->consttype != TIMEOID))
		return false;
	if (con->location >= look->length ||
		!find_literal(look->text, look->length, con->location, &begin, &end))
		hone_view_problem(look->view, "it has a literal of a time whose text is not known");
	else if (means_another_time_each_day(look->text + begin, end - begin))
		hone_view_problem(look->view, "it has a literal like 'today', which means another time each day");
	else if (zone && !says_zone(look->text + begin, end - begin))
		hone_view_problem(look->view, "it has a literal of a time without its zone, which is another time in each TimeZone: write the offset, as in '2026-01-01 00:00+00'");
	return false;
}

void
hone_view_look_at_times(Query *query, const char *text, HoneView *view)
{
	TimeLook	look = {.text = text,.length = strlen(text),.view = view};

	look_at_time((Node *) query, &look);
}
