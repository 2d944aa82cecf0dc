/*-------------------------------------------------------------------------
 *
 * hypothetical.c
 *	  Showing indexes that do not exist to the planner (hypothetical.h).
 *
 * A plan that uses one must never run. So they are shown to one planner call
 * at a time, that for the very Query which EXPLAIN without ANALYZE, or
 * hone_plan_with, asked a plan for. While that is planned, functions may be
 * evaluated and their statements planned and run: by planner calls of their
 * own. A plan of EXPLAIN EXECUTE may be kept and run later: it comes from no
 * call of ours.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am_d.h"
#include "commands/explain.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/pathnodes.h"
#include "optimizer/optimizer.h"
#include "optimizer/plancat.h"
#include "optimizer/planner.h"
#include "rewrite/rewriteManip.h"
#include "tcop/tcopprot.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat/compat.h"
#include "index/hypothetical.h"

/* Of one session: about a kilobyte each. */
#define MOST_INDEXES	10000

/*
 * No object of a real cluster has such OIDs, but for one that has used up four
 * billion of them; and there only a name in EXPLAIN would be wrong.
 */
#define FIRST_OID		((Oid) 0xFFFFFFF0)

static List *session = NIL;
static MemoryContext session_context = NULL;
static int	session_made = 0;	/* statements that made them */
static Oid	next_oid = FIRST_OID;

/* What EXPLAIN uses instead of the session's; NULL: those. */
static List **used = NULL;

/* What is shown to the planner, and for which statement. */
static List *shown = NIL;
static const Query *shown_to = NULL;

/* The innermost planner call is that statement's. */
static bool planning_shown = false;

static get_relation_info_hook_type previous_relation_info = NULL;
static planner_hook_type previous_planner = NULL;
static ExplainOneQuery_hook_type previous_explain = NULL;
static explain_get_index_name_hook_type previous_index_name = NULL;

/* ------------------------------------------------------------------------
 * The planner
 * ------------------------------------------------------------------------
 */

/*
 * The table may be another than it was: columns dropped, or of another type.
 */
static bool
still_fits(const HoneHypotheticalIndex *index, TupleDesc desc)
{
	List	   *vars = NIL;
	ListCell   *lc;

	for (int i = 0; i < index->ncolumns; i++)
	{
		const HoneIndexColumn *column = &index->columns[i];
		Form_pg_attribute attribute;

		if (column->attnum == 0)
			continue;
		if (column->attnum > desc->natts)
			return false;
		attribute = TupleDescAttr(desc, column->attnum - 1);
		if (attribute->attisdropped || attribute->atttypid != column->type)
			return false;
	}
	vars = list_concat(pull_var_clause((Node *) index->expressions, 0),
					   pull_var_clause((Node *) index->predicate, 0));
	foreach(lc, vars)
	{
		Var		   *var = lfirst(lc);

		if (var->varattno <= 0)
			continue;
		if (var->varattno > desc->natts ||
			TupleDescAttr(desc, var->varattno - 1)->attisdropped ||
			TupleDescAttr(desc, var->varattno - 1)->atttypid != var->vartype)
			return false;
	}
	return true;
}

/*
 * As build_index_tlist of plancat.c has it.
 */
static List *
target_list(const IndexOptInfo *info, TupleDesc desc)
{
	List	   *tlist = NIL;
	ListCell   *expression = list_head(info->indexprs);

	for (int i = 0; i < info->ncolumns; i++)
	{
		Expr	   *var;

		if (info->indexkeys[i] != 0)
		{
			Form_pg_attribute attribute = TupleDescAttr(desc, info->indexkeys[i] - 1);

			var = (Expr *) makeVar(info->rel->relid, info->indexkeys[i],
								   attribute->atttypid, attribute->atttypmod,
								   attribute->attcollation, 0);
		}
		else
		{
			var = lfirst(expression);
			expression = lnext(info->indexprs, expression);
		}
		tlist = lappend(tlist, makeTargetEntry(var, i + 1, NULL, false));
	}
	return tlist;
}

static void
describe_columns(IndexOptInfo *info, const HoneHypotheticalIndex *index, bool ordered)
{
	int			n = index->ncolumns;
	int			nkeys = index->nkeys;

	info->ncolumns = n;
	info->nkeycolumns = nkeys;
	info->indexkeys = palloc0(n * sizeof(int));
	info->canreturn = palloc0(n * sizeof(bool));
	info->indexcollations = palloc0(nkeys * sizeof(Oid));
	info->opfamily = palloc0(nkeys * sizeof(Oid));
	info->opcintype = palloc0(nkeys * sizeof(Oid));
	info->opclassoptions = palloc0(nkeys * sizeof(bytea *));
	if (ordered)
	{
		info->sortopfamily = info->opfamily;
		info->reverse_sort = palloc0(nkeys * sizeof(bool));
		info->nulls_first = palloc0(nkeys * sizeof(bool));
	}
	for (int i = 0; i < n; i++)
	{
		const HoneIndexColumn *column = &index->columns[i];

		info->indexkeys[i] = column->attnum;
		/* of the others it depends on the operator class: it is not assumed */
		info->canreturn[i] = index->am == BTREE_AM_OID;
		if (i >= nkeys)
			continue;
		info->indexcollations[i] = column->collation;
		info->opfamily[i] = column->opfamily;
		info->opcintype[i] = column->opcintype;
		if (ordered)
		{
			info->reverse_sort[i] = column->descending;
			info->nulls_first[i] = column->nulls_first;
		}
	}
}

static IndexOptInfo *
describe(const HoneHypotheticalIndex *index, RelOptInfo *rel, TupleDesc desc)
{
	IndexOptInfo *info = makeNode(IndexOptInfo);
	IndexAmRoutine *am = GetIndexAmRoutineByAmId(index->am, false);
	HoneIndexSize size = hone_index_size(index, rel->tuples, rel->pages);

	info->indexoid = index->oid;
	info->reltablespace = rel->reltablespace;
	info->rel = rel;
	info->pages = size.pages;
	info->tuples = size.tuples;
	info->tree_height = size.height;
	info->relam = index->am;
	info->unique = index->unique;
	info->immediate = true;
	info->hypothetical = true;
	describe_columns(info, index, am->amcanorder);

	info->indexprs = copyObject(index->expressions);
	info->indpred = copyObject(index->predicate);
	if (rel->relid != 1)
	{
		ChangeVarNodes((Node *) info->indexprs, 1, rel->relid, 0);
		ChangeVarNodes((Node *) info->indpred, 1, rel->relid, 0);
	}
	info->indextlist = target_list(info, desc);

	info->amcanorderbyop = am->amcanorderbyop;
	info->amoptionalkey = am->amoptionalkey;
	info->amsearcharray = am->amsearcharray;
	info->amsearchnulls = am->amsearchnulls;
	info->amcanparallel = am->amcanparallel;
	info->amhasgettuple = am->amgettuple != NULL;
	info->amhasgetbitmap = am->amgetbitmap != NULL;
	info->amcanmarkpos = am->ammarkpos != NULL && am->amrestrpos != NULL;
	info->amcostestimate = am->amcostestimate;
	return info;
}

static void
add_indexes(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	if (!inhparent && planning_shown)
	{
		Relation	relation = table_open(relid, NoLock);
		ListCell   *lc;

		foreach(lc, shown)
		{
			const HoneHypotheticalIndex *index = lfirst(lc);

			if (index->relid == relid && still_fits(index, RelationGetDescr(relation)))
				rel->indexlist = lcons(describe(index, rel, RelationGetDescr(relation)),
									   rel->indexlist);
		}
		table_close(relation, NoLock);
	}
	if (previous_relation_info)
		previous_relation_info(root, relid, inhparent, rel);
}

/* ------------------------------------------------------------------------
 * Plans that are not run
 * ------------------------------------------------------------------------
 */

static PlannedStmt *
plan_next(Query *query, const char *text, int cursor_options, ParamListInfo params)
{
	return previous_planner ? previous_planner(query, text, cursor_options, params) :
		standard_planner(query, text, cursor_options, params);
}

/*
 * Statements that run while one is planned have planner calls of their own. The
 * Query is compared here, since the planner may go on with a copy.
 */
static PlannedStmt *
plan_query(Query *query, const char *text, int cursor_options, ParamListInfo params)
{
	bool		outer = planning_shown;
	PlannedStmt *plan = NULL;

	if (shown_to == NULL && !planning_shown)
		return plan_next(query, text, cursor_options, params);
	PG_TRY();
	{
		planning_shown = shown_to != NULL && query == shown_to;
		plan = plan_next(query, text, cursor_options, params);
	}
	PG_FINALLY();
	{
		planning_shown = outer;
	}
	PG_END_TRY();
	return plan;
}

/* What was shown before, to be set back. */
typedef struct Shown
{
	List	   *indexes;
	const Query *to;
} Shown;

static Shown
show(List *indexes, const Query *to)
{
	Shown		before = {shown, shown_to};

	shown = indexes;
	shown_to = to;
	return before;
}

PlannedStmt *
hone_plan_with(Query *query, const char *text, int cursor_options,
			   ParamListInfo params, List *indexes)
{
	Shown		before = show(indexes, query);
	PlannedStmt *plan = NULL;

	PG_TRY();
	{
		plan = pg_plan_query(query, text, cursor_options, params);
	}
	PG_FINALLY();
	{
		show(before.indexes, before.to);
	}
	PG_END_TRY();
	return plan;
}

static const HoneHypotheticalIndex *
find(List *indexes, Oid oid)
{
	ListCell   *lc;

	foreach(lc, indexes)
	{
		const HoneHypotheticalIndex *index = lfirst(lc);

		if (index->oid == oid)
			return index;
	}
	return NULL;
}

static bool any_uses(List *plans, List *indexes);

static bool
node_uses(Plan *plan, List *indexes)
{
	Oid			oid = InvalidOid;
	List	   *children = NIL;

	if (plan == NULL)
		return false;
	check_stack_depth();
	switch (nodeTag(plan))
	{
		case T_IndexScan:
			oid = ((IndexScan *) plan)->indexid;
			break;
		case T_IndexOnlyScan:
			oid = ((IndexOnlyScan *) plan)->indexid;
			break;
		case T_BitmapIndexScan:
			oid = ((BitmapIndexScan *) plan)->indexid;
			break;
		case T_BitmapAnd:
			children = ((BitmapAnd *) plan)->bitmapplans;
			break;
		case T_BitmapOr:
			children = ((BitmapOr *) plan)->bitmapplans;
			break;
		case T_Append:
			children = ((Append *) plan)->appendplans;
			break;
		case T_MergeAppend:
			children = ((MergeAppend *) plan)->mergeplans;
			break;
		case T_SubqueryScan:
			children = list_make1(((SubqueryScan *) plan)->subplan);
			break;
		case T_CustomScan:
			children = ((CustomScan *) plan)->custom_plans;
			break;
		default:
			break;
	}
	return (OidIsValid(oid) && find(indexes, oid) != NULL) ||
		any_uses(children, indexes) ||
		node_uses(plan->lefttree, indexes) || node_uses(plan->righttree, indexes);
}

static bool
any_uses(List *plans, List *indexes)
{
	ListCell   *lc;

	foreach(lc, plans)
	{
		if (node_uses(lfirst(lc), indexes))
			return true;
	}
	return false;
}

bool
hone_plan_uses(PlannedStmt *plan, List *indexes)
{
	return node_uses(plan->planTree, indexes) || any_uses(plan->subplans, indexes);
}

static List *
of_explain(void)
{
	return used != NULL ? *used : session;
}

static HoneHypotheticalIndex *
copy_index(const HoneHypotheticalIndex *from)
{
	HoneHypotheticalIndex *to = palloc(sizeof(HoneHypotheticalIndex));

	*to = *from;
	to->name = pstrdup(from->name);
	to->definition = pstrdup(from->definition);
	to->columns = palloc(from->ncolumns * sizeof(HoneIndexColumn));
	memcpy(to->columns, from->columns, from->ncolumns * sizeof(HoneIndexColumn));
	to->expressions = copyObject(from->expressions);
	to->predicate = copyObject(from->predicate);
	return to;
}

/* In the current context. */
static List *
copy_indexes(List *from)
{
	List	   *to = NIL;
	ListCell   *lc;

	foreach(lc, from)
		to = lappend(to, copy_index(lfirst(lc)));
	return to;
}

/*
 * Copies are shown: functions that run while the statement is planned may
 * forget the session's.
 */
static void
explain_one_query(Query *query, int cursor_options, IntoClause *into,
				  ExplainState *es, const char *text, ParamListInfo params,
				  QueryEnvironment *environment)
{
	bool		shows = !es->analyze && of_explain() != NIL;
	Shown		before = show(shows ? copy_indexes(of_explain()) : NIL, shows ? query : NULL);

	PG_TRY();
	{
		if (previous_explain)
			previous_explain(query, cursor_options, into, es, text, params, environment);
		else
			hone_compat_explain_one_query(query, cursor_options, into, es, text, params, environment);
	}
	PG_FINALLY();
	{
		show(before.indexes, before.to);
	}
	PG_END_TRY();
}

static const char *
index_name(Oid oid)
{
	const HoneHypotheticalIndex *index = find(shown, oid);

	if (index != NULL)
		return index->name;
	return previous_index_name ? previous_index_name(oid) : NULL;
}

/* ------------------------------------------------------------------------
 * The session's
 * ------------------------------------------------------------------------
 */

List **
hone_hypothetical_use(List **indexes)
{
	List	  **before = used;

	used = indexes;
	return before;
}

List *
hone_hypothetical_session(void)
{
	return session;
}

/*
 * A table's owner may have put a call into an index or a default: that is not
 * to change the session of whoever analyzes the table.
 */
static void
check_unrestricted(void)
{
	if (InSecurityRestrictedOperation())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("cannot change hypothetical indexes within security-restricted operation")));
}

void
hone_hypothetical_keep(List *indexes)
{
	MemoryContext caller;

	check_unrestricted();
	if (list_length(session) + list_length(indexes) > MOST_INDEXES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many hypothetical indexes"),
				 errdetail("A session may have %d, one for each leaf of a partitioned table.", MOST_INDEXES),
				 errhint("SELECT hone.drop_hypothetical_indexes() forgets those there are.")));
	if (session_context == NULL)
		session_context = AllocSetContextCreate(TopMemoryContext, "pg_hone hypothetical indexes",
												ALLOCSET_SMALL_SIZES);
	caller = MemoryContextSwitchTo(session_context);
	session = list_concat(session, copy_indexes(indexes));
	session_made++;
	MemoryContextSwitchTo(caller);
}

int
hone_hypothetical_forget(void)
{
	int			made = session_made;

	check_unrestricted();
	session = NIL;
	session_made = 0;
	if (session_context != NULL)
		MemoryContextReset(session_context);
	return made;
}

Oid
hone_hypothetical_new_oid(void)
{
	if (next_oid < FIRST_OID - PG_INT32_MAX / 2)
		next_oid = FIRST_OID;
	return next_oid--;
}

void
hone_hypothetical_init(void)
{
	previous_relation_info = get_relation_info_hook;
	get_relation_info_hook = add_indexes;
	previous_planner = planner_hook;
	planner_hook = plan_query;
	previous_explain = ExplainOneQuery_hook;
	ExplainOneQuery_hook = explain_one_query;
	previous_index_name = explain_get_index_name_hook;
	explain_get_index_name_hook = index_name;
}
