/*-------------------------------------------------------------------------
 *
 * index_trial.c
 *	  Planning a statement with indexes that do not exist (index_trial.h).
 *
 * Nothing is executed, but what the planner executes itself: IMMUTABLE and
 * STABLE functions, as the role that ran the statement and restricted
 * (recommend.c). Locks are waited for no longer than LOCK_MS.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_am_d.h"
#include "catalog/pg_class.h"
#include "catalog/pg_operator_d.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "nodes/params.h"
#include "optimizer/optimizer.h"
#include "optimizer/tlist.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "advise/index_trial.h"
#include "advise/recommend.h"
#include "advise/rewrite.h"
#include "index/hypothetical.h"
#include "stats/stats.h"

#define LOCK_MS			"20"
#define TRIED_LEAVES	100		/* of a partitioned table */
#define TRIED_CALLS		3		/* of which the values are used */
#define INCLUDED		4		/* columns, and their bytes together */
#define INCLUDED_WIDTH	100

/*
 * A later one must cost less; one of a higher rank clearly so, and by a part of
 * the cost without any: half of next to nothing is not worth wider entries.
 */
#define LESS			0.95
#define CLEARLY_LESS	0.8
#define MATTERS			0.05

/* An index of few rows, or of ranges of pages, is preferred at such a cost and size. */
#define TINY_COST		1.5
#define TINY_BYTES		0.1
#define NOTHING			0.01	/* or where it is that part of the cost
								 * without any */

/* A constant that more of the rows have is not worth a predicate. */
#define SELECTED		0.2

/* What saves less than that of the cost is not worth an index. */
#define WORTH_IT		0.9

/* ------------------------------------------------------------------------
 * The values of calls
 * ------------------------------------------------------------------------
 */

/*
 * Values whose type is not that of the parameter stay unknown.
 */
static ParamListInfo
params_of(const HoneStatsCall *call)
{
	ParamListInfo params = makeParamList(call->nparams);

	for (int i = 0; i < call->nparams; i++)
	{
		const HoneStatsValue *value = &call->params[i];
		ParamExternData *param = &params->params[i];

		param->value = value->value;
		param->isnull = value->isnull;
		param->pflags = PARAM_FLAG_CONST;
		param->ptype = value->left_out ? InvalidOid : value->type;
	}
	return params;
}

/* A list of ParamListInfo, one of NULL where none is known. */
static List *
values_of_calls(Query *query, uint64 queryid, int *ncalls)
{
	List	   *calls = hone_rewrite_max_param(query) > 0 ? hone_stats_samples(queryid) : NIL;
	List	   *values = NIL;
	ListCell   *lc;

	foreach(lc, calls)
	{
		HoneStatsCall *call = lfirst(lc);

		if (call->nparams > 0 && list_length(values) < TRIED_CALLS)
			values = lappend(values, params_of(call));
	}
	*ncalls = list_length(values);
	return values != NIL ? values : list_make1(NULL);
}

/* ------------------------------------------------------------------------
 * Candidates
 * ------------------------------------------------------------------------
 */

/* The query that reads the table, and what it is there. */
typedef struct Place
{
	Oid			relid;			/* itself, or the topmost */
	Oid			leaf;
	Query	   *query;
	Index		rti;
} Place;

static bool
find_place(Node *node, Place *place)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		Index		rti = 0;
		ListCell   *lc;

		foreach(lc, query->rtable)
		{
			RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);

			rti++;
			if (rte->rtekind == RTE_RELATION && (rte->relid == place->relid || rte->relid == place->leaf))
			{
				place->query = query;
				place->rti = rti;
				return true;
			}
		}
		return query_tree_walker(query, find_place, place, 0);
	}
	return expression_tree_walker(node, find_place, place);
}

/* Columns of the table by their names in the topmost one. */
static AttrNumber
attnum_in(const Place *place, AttrNumber attnum)
{
	return hone_relation_same_column(rt_fetch(place->rti, place->query->rtable)->relid, attnum,
									 place->relid);
}

/* A virtual generated column has no values to be stored. */
static bool
is_stored(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	bool		stored = false;

	if (HeapTupleIsValid(tuple))
	{
		char		generated = ((Form_pg_attribute) GETSTRUCT(tuple))->attgenerated;

		stored = generated == '\0' || generated == ATTRIBUTE_GENERATED_STORED;
		ReleaseSysCache(tuple);
	}
	return stored;
}

static bool
can_be_key(Oid relid, AttrNumber attnum)
{
	return attnum > 0 && is_stored(relid, attnum) && hone_relation_column_width(relid, attnum) <= HONE_INDEX_ENTRY_WIDTH &&
		OidIsValid(GetDefaultOpClass(get_atttype(relid, attnum), BTREE_AM_OID));
}

static char *
name_in(Oid relid, AttrNumber attnum)
{
	return pstrdup(quote_identifier(get_attname(relid, attnum, false)));
}

/*
 * The statement's order behind the columns that are compared for equality, of
 * which it needs none; added to 'columns' as long as it is the default. False
 * where the order has other things than columns of the table.
 */
static bool
append_order(const HoneIndexTrial *trial, const Place *place, StringInfo out, List **columns)
{
	int			n = list_length(*columns);
	bool		defaults = true;
	bool		any = false;
	ListCell   *lc;

	foreach(lc, place->query->sortClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);
		Node	   *key = get_sortgroupclause_expr(clause, place->query->targetList);
		Var		   *var = (Var *) key;
		AttrNumber	attnum;
		Oid			opfamily;
		Oid			type;
		HONE_ORDERING_TYPE strategy;

		if (!IsA(key, Var) || var->varno != place->rti || var->varlevelsup != 0 ||
			!get_ordering_op_properties(clause->sortop, &opfamily, &type, &strategy))
			return false;
		attnum = attnum_in(place, var->varattno);
		if (!can_be_key(trial->relid, attnum))
			return false;
		if (list_member_int(trial->equal, attnum))
			continue;
		if (++n > HONE_INDEX_KEYS)
			return any;
		appendStringInfo(out, "%s%s", out->len > 0 ? ", " : "", name_in(trial->relid, attnum));
		if (HONE_ORDERING_DESCENDS(strategy))
			appendStringInfoString(out, clause->nulls_first ? " DESC" : " DESC NULLS LAST");
		else if (clause->nulls_first)
			appendStringInfoString(out, " NULLS FIRST");
		defaults &= !HONE_ORDERING_DESCENDS(strategy) && !clause->nulls_first;
		if (defaults)
			*columns = lappend_int(*columns, attnum);
		any = true;
	}
	return any;
}

/* All columns of the table that the query has. */
typedef struct Columns
{
	const Place *place;
	int			up;				/* levels below its query */
	Bitmapset  *columns;
	bool		whole;			/* also the row itself, or system columns */
} Columns;

static bool find_columns(Node *node, Columns *columns);

/* A column of the query's own relations; one of a join is that of a table. */
static void
add_own_column(Var *var, Columns *columns)
{
	RangeTblEntry *rte = rt_fetch(var->varno, columns->place->query->rtable);
	int			up = columns->up;

	if (var->varattno <= 0)
		columns->whole |= var->varno == columns->place->rti || rte->rtekind == RTE_JOIN;
	else if (var->varno == columns->place->rti)
		columns->columns = bms_add_member(columns->columns, var->varattno);
	else if (rte->rtekind == RTE_JOIN)
	{
		columns->up = 0;
		(void) find_columns(list_nth(rte->joinaliasvars, var->varattno - 1), columns);
		columns->up = up;
	}
}

static bool
find_columns(Node *node, Columns *columns)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		if (((Var *) node)->varlevelsup == columns->up)
			add_own_column((Var *) node, columns);
		return false;
	}
	if (IsA(node, Query))
	{
		bool		found;

		columns->up++;
		found = query_tree_walker((Query *) node, find_columns, columns, QTW_IGNORE_JOINALIASES);
		columns->up--;
		return found;
	}
	return expression_tree_walker(node, find_columns, columns);
}

/*
 * What the query reads beside the keys, if that is little: then it need not
 * read the table.
 */
static bool
append_included(const HoneIndexTrial *trial, const Place *place, StringInfo out)
{
	Columns		columns = {.place = place};
	int			width = 0;
	int			n = 0;
	int			column = -1;

	if (place->query->commandType != CMD_SELECT || place->query->rowMarks != NIL)
		return false;
	(void) query_tree_walker(place->query, find_columns, &columns, QTW_IGNORE_JOINALIASES);
	if (columns.whole)
		return false;
	while ((column = bms_next_member(columns.columns, column)) >= 0)
	{
		AttrNumber	attnum = attnum_in(place, column);

		if (attnum == InvalidAttrNumber || !is_stored(trial->relid, attnum))
			return false;
		if (list_member_int(trial->equal, attnum) || attnum == trial->range)
			continue;
		width += hone_relation_column_width(trial->relid, attnum);
		if (++n > INCLUDED || width > INCLUDED_WIDTH)
			return false;
		appendStringInfo(out, "%s%s", out->len > 0 ? ", " : "", name_in(trial->relid, attnum));
	}
	return n > 0;
}

/* Conditions that need no value: flags, and IS [NOT] NULL. */
typedef struct Conditions
{
	StringInfoData text;		/* joined by AND */
	List	   *flags;			/* columns that are one of them */
} Conditions;

/*
 * Such a one holds for each call, so an index may leave out the other rows.
 */
static void
add_condition(const HoneIndexTrial *trial, const Place *place, Node *clause, Conditions *out)
{
	Node	   *argument = clause;
	const char *before = "";
	const char *after = "";
	AttrNumber	attnum;

	if (is_notclause(clause))
	{
		argument = (Node *) get_notclausearg((Expr *) clause);
		before = "NOT ";
	}
	else if (IsA(clause, NullTest) && !((NullTest *) clause)->argisrow)
	{
		argument = (Node *) ((NullTest *) clause)->arg;
		after = ((NullTest *) clause)->nulltesttype == IS_NULL ? " IS NULL" : " IS NOT NULL";
	}
	else if (IsA(clause, OpExpr) && list_length(((OpExpr *) clause)->args) == 2)
	{
		/* flag = true */
		OpExpr	   *op = (OpExpr *) clause;
		Node	   *value = lsecond(op->args);

		if (op->opno != BooleanEqualOperator || !IsA(value, Const) || ((Const *) value)->constisnull)
			return;
		argument = linitial(op->args);
		before = DatumGetBool(((Const *) value)->constvalue) ? "" : "NOT ";
	}
	if (!IsA(argument, Var) || ((Var *) argument)->varno != place->rti ||
		((Var *) argument)->varlevelsup != 0 ||
		(after[0] == '\0' && ((Var *) argument)->vartype != BOOLOID))
		return;
	attnum = attnum_in(place, ((Var *) argument)->varattno);
	if (attnum <= 0 || !is_stored(trial->relid, attnum))
		return;
	appendStringInfo(&out->text, "%s%s%s%s", out->text.len > 0 ? " AND " : "", before,
					 name_in(trial->relid, attnum), after);
	if (after[0] == '\0' && attnum != trial->range)
		out->flags = list_append_unique_int(out->flags, attnum);
}

static void
find_conditions(const HoneIndexTrial *trial, const Place *place, Conditions *out)
{
	List	   *clauses = make_ands_implicit((Expr *) place->query->jointree->quals);
	ListCell   *lc;

	initStringInfo(&out->text);
	foreach(lc, clauses)
		add_condition(trial, place, lfirst(lc), out);
}

HoneIndexCandidate *
hone_index_candidate(const char *what, const char *text)
{
	HoneIndexCandidate *candidate = palloc0(sizeof(HoneIndexCandidate));

	candidate->what = what;
	candidate->text = text;
	return candidate;
}

static void
add_candidate(HoneIndexTrial *trial, int rank, const char *what, const char *keys, List *columns,
			  const char *included, const char *condition)
{
	HoneIndexCandidate *candidate;
	StringInfoData text;

	if (keys[0] == '\0')
		return;
	initStringInfo(&text);
	appendStringInfo(&text, "(%s)", keys);
	if (included[0] != '\0')
		appendStringInfo(&text, " INCLUDE (%s)", included);
	if (condition[0] != '\0')
		appendStringInfo(&text, " WHERE %s", condition);
	candidate = hone_index_candidate(what, text.data);
	candidate->keys = pstrdup(keys);
	candidate->plain = included[0] == '\0' && condition[0] == '\0';
	candidate->columns = condition[0] == '\0' ? columns : NIL;
	candidate->rank = rank;
	candidate->tiny = condition[0] != '\0';
	trial->candidates = lappend(trial->candidates, candidate);
}

/* Quoted names in index order, separated by commas. */
static char *
list_keys(Oid relid, List *columns)
{
	StringInfoData keys;
	ListCell   *lc;

	initStringInfo(&keys);
	foreach(lc, columns)
		appendStringInfo(&keys, "%s%s", keys.len > 0 ? ", " : "", name_in(relid, lfirst_int(lc)));
	return keys.data;
}

/* These and, behind them, the column compared otherwise. */
static List *
ranged(const HoneIndexTrial *trial, List *equal)
{
	return trial->range == 0 ? equal : lappend_int(list_copy(equal), trial->range);
}

char *
hone_index_trial_keys(const HoneIndexTrial *trial)
{
	return list_keys(trial->relid, ranged(trial, trial->equal));
}

/* The statement's order behind columns that are compared for equality. */
static void
add_ordered(HoneIndexTrial *trial, const Place *place, int rank, List *equal,
			const char *what, const char *condition)
{
	List	   *columns = list_copy(equal);
	StringInfoData ordered;

	initStringInfo(&ordered);
	appendStringInfoString(&ordered, list_keys(trial->relid, equal));
	if (append_order(trial, place, &ordered, &columns))
		add_candidate(trial, rank, what, ordered.data, columns, "", condition);
}

/*
 * Keys are these columns, which are compared for equality, and then the one
 * compared otherwise or the order.
 */
static void
add_candidates(HoneIndexTrial *trial, const Place *place, List *equal,
			   const char *what, const char *condition)
{
	int			rank = (condition[0] != '\0') + trial->order;
	List	   *columns = ranged(trial, equal);

	add_candidate(trial, rank, what, list_keys(trial->relid, columns), columns, "", condition);
	if (place->query != NULL)
		add_ordered(trial, place, rank, equal, psprintf("%s, ordered", what), condition);
}

static List *
parse_index(const HoneIndexTrial *trial, const char *text)
{
	return hone_hypothetical_parse(psprintf("CREATE INDEX ON %s %s", hone_qualified_name(trial->relid), text),
								   TRIED_LEAVES);
}

/* Do few rows have it, by the statistics? */
static bool
is_selective(const HoneIndexTrial *trial, const HoneIndexConstant *constant)
{
	double		rows = 0;
	double		has = 0;
	ListCell   *lc;

	foreach(lc, parse_index(trial, psprintf("(%s) WHERE %s", name_in(trial->relid, constant->attnum), constant->text)))
	{
		HoneHypotheticalIndex *index = lfirst(lc);

		rows += index->estimate.rows;
		has += index->estimate.rows * index->estimate.fraction;
	}
	return has <= rows * SELECTED;
}

/* What a predicate says need not be in a key, if anything else is. */
static List *
keys_beside(const HoneIndexTrial *trial, const Place *place, List *others)
{
	return others != NIL || trial->range != 0 || place->query->sortClause != NIL ? others : trial->equal;
}

/* Only for the rows that have the constants of a statement. */
static void
add_constants(HoneIndexTrial *trial, const Place *place, const Conditions *conditions)
{
	List	   *equal = list_difference_int(trial->equal, conditions->flags);
	List	   *others = equal;
	int			before = list_length(trial->candidates);
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, hone_index_constants(trial, place->query, place->rti))
	{
		const HoneIndexConstant *constant = lfirst(lc);

		if (!is_selective(trial, constant))
			continue;
		others = list_difference_int(others, list_make1_int(constant->attnum));
		appendStringInfo(&text, "%s%s", text.len > 0 ? " AND " : "", constant->text);
	}
	if (text.len == 0)
		return;
	if (conditions->text.len > 0)
		appendStringInfo(&text, " AND %s", conditions->text.data);
	add_candidates(trial, place, keys_beside(trial, place, others), "constant", text.data);
	for (int i = before; i < list_length(trial->candidates); i++)
		((HoneIndexCandidate *) list_nth(trial->candidates, i))->constant = true;
}

static void
make_candidates(HoneIndexTrial *trial, const Place *place)
{
	Conditions	conditions = {0};
	StringInfoData included;
	List	   *flagged;
	List	   *others;

	if (trial->order && trial->equal != NIL && place->query != NULL)
		add_ordered(trial, place, 0, NIL, "ordered", "");
	add_candidates(trial, place, trial->equal, "plain", "");
	trial->candidates = list_concat(trial->candidates, trial->others);
	if (place->query == NULL)
		return;
	find_conditions(trial, place, &conditions);
	flagged = list_concat_unique_int(list_copy(trial->equal), conditions.flags);
	if (list_length(flagged) > list_length(trial->equal) &&
		list_length(flagged) + (trial->range != 0) <= HONE_INDEX_KEYS)
		add_candidates(trial, place, flagged, "flags", "");

	others = list_difference_int(trial->equal, conditions.flags);
	if (conditions.text.len > 0)
		add_candidates(trial, place, keys_beside(trial, place, others), "partial", conditions.text.data);
	if (trial->constants)
		add_constants(trial, place, &conditions);

	initStringInfo(&included);
	if (append_included(trial, place, &included))
		add_candidate(trial, 1, "covering", hone_index_trial_keys(trial),
					  ranged(trial, trial->equal), included.data, "");
}

/* ------------------------------------------------------------------------
 * Planning
 * ------------------------------------------------------------------------
 */

/*
 * The query that returns the rows, after rules and row security.
 */
static Query *
rewritten(Query *query)
{
	ListCell   *lc;

	foreach(lc, QueryRewrite(query))
	{
		Query	   *one = lfirst_node(Query, lc);

		if (one->canSetTag && one->commandType != CMD_UTILITY)
			return one;
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a rule does something else instead")));
}

/* Mean cost over the calls; used: whether one of the indexes is. */
static double
plan_cost(Query *query, const char *text, List *values, List *indexes, bool *used)
{
	double		cost = 0;
	ListCell   *lc;

	*used = false;
	foreach(lc, values)
	{
		PlannedStmt *plan;

		CHECK_FOR_INTERRUPTS();
		plan = hone_plan_with(copyObject(query), text, CURSOR_OPT_PARALLEL_OK, lfirst(lc), indexes);
		cost += plan->planTree->total_cost;
		*used |= hone_plan_uses(plan, indexes);
	}
	return cost / list_length(values);
}

static List *
names_of(Oid relid, Bitmapset *attributes)
{
	List	   *names = NIL;
	int			attnum = -1;

	while ((attnum = bms_next_member(attributes, attnum)) >= 0)
		names = lappend(names, get_attname(relid, attnum, false));
	return names;
}

/* For the rest of the subtransaction. */
static void
limit_waiting(void)
{
	(void) set_config_option("lock_timeout", LOCK_MS, PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_LOCAL, true, 0, false);
}

/* All that is known of it without a statement. */
static List *
measure(const HoneIndexTrial *trial, HoneIndexCandidate *candidate)
{
	List	   *indexes = parse_index(trial, candidate->text);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HoneHypotheticalIndex *index = lfirst(lc);
		HoneIndexSize size = hone_index_size(index, index->estimate.rows, index->estimate.pages);

		candidate->bytes += (double) BLCKSZ * size.pages;
		/* rows are written to any of the leaves */
		candidate->entry_cost = Max(candidate->entry_cost, hone_index_entry_cost(index, &size));
		if (lc != list_head(indexes))
			continue;
		candidate->attributes = names_of(index->relid, hone_index_attributes(index));
		if (index->columns[0].attnum > 0)
			candidate->leading = get_attname(index->relid, index->columns[0].attnum, false);
	}
	return indexes;
}

void
hone_index_measure(void *arg)
{
	HoneIndexTrial *trial = arg;
	ListCell   *lc;

	limit_waiting();
	foreach(lc, trial->others)
		(void) measure(trial, lfirst(lc));
}

static void
try_candidate(HoneIndexTrial *trial, HoneIndexCandidate *candidate, Query *query, List *values)
{
	List	   *indexes = measure(trial, candidate);

	candidate->cost = plan_cost(query, trial->finding->sample.text, values, indexes, &candidate->used);
}

/* Has ANALYZE, or VACUUM, ever looked at it? */
static bool
has_statistics(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	bool		known = false;

	if (HeapTupleIsValid(tuple))
	{
		known = ((Form_pg_class) GETSTRUCT(tuple))->reltuples >= 0;
		ReleaseSysCache(tuple);
	}
	return known;
}

void
hone_index_trial(void *arg)
{
	HoneIndexTrial *trial = arg;
	Place		place = {.relid = trial->relid,.leaf = trial->finding->key.relid};
	Query	   *query;
	List	   *values;
	bool		used;
	ListCell   *lc;

	trial->known = has_statistics(trial->finding->key.relid);
	if (!trial->known)
		return;
	limit_waiting();
	query = hone_rewrite_parse_write(&trial->finding->sample);
	values = values_of_calls(query, trial->finding->sample.queryid, &trial->calls);
	query = rewritten(query);
	(void) find_place((Node *) query, &place);
	if (trial->given)
		trial->candidates = trial->others;
	else
		make_candidates(trial, &place);
	if (trial->cost <= 0)
		trial->cost = plan_cost(query, trial->finding->sample.text, values, NIL, &used);
	foreach(lc, trial->candidates)
	{
		HoneIndexCandidate *candidate = lfirst(lc);

		if (!hone_trial_left())
			candidate->cost = trial->cost;
		else
			try_candidate(trial, candidate, query, values);
	}
}

static bool
is_better(const HoneIndexTrial *trial, const HoneIndexCandidate *candidate,
		  const HoneIndexCandidate *best)
{
	if (candidate->rank <= best->rank)
		return candidate->cost < best->cost * LESS;
	return candidate->cost < best->cost * CLEARLY_LESS &&
		best->cost - candidate->cost > trial->cost * MATTERS;
}

const char *
hone_index_trial_why_not(const HoneIndexTrial *trial, const HoneIndexCandidate *candidate,
						 const HoneIndexCandidate *best)
{
	if (!candidate->used)
		return "the planner does not use it";
	if (candidate->cost > trial->cost * WORTH_IT)
		return "it saves less than a tenth";
	if (candidate->cost >= best->cost)
		return candidate->bytes >= best->bytes ? "it is neither cheaper nor smaller" : "the statement costs more with it";
	return "it is cheaper by too little for its size";
}

HoneIndexCandidate *
hone_index_trial_best(const HoneIndexTrial *trial)
{
	HoneIndexCandidate *best = NULL;
	HoneIndexCandidate *small = NULL;
	ListCell   *lc;

	foreach(lc, trial->candidates)
	{
		HoneIndexCandidate *candidate = lfirst(lc);

		if (!candidate->used || candidate->cost > trial->cost * WORTH_IT)
			continue;
		if (best == NULL || is_better(trial, candidate, best))
			best = candidate;
	}
	foreach(lc, best == NULL ? NIL : trial->candidates)
	{
		HoneIndexCandidate *candidate = lfirst(lc);

		if (candidate->tiny && candidate->used && candidate->cost <= trial->cost * WORTH_IT &&
			candidate->bytes <= best->bytes * TINY_BYTES &&
			candidate->cost <= Max(best->cost * TINY_COST, best->cost + trial->cost * NOTHING) &&
			(small == NULL || candidate->cost < small->cost * LESS))
			small = candidate;
	}
	return small != NULL ? small : best;
}
