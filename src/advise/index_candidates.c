/*-------------------------------------------------------------------------
 *
 * index_candidates.c
 *	  Constants of a statement that an index may have in its predicate
 *	  (index_trial.h).
 *
 * A predicate is of use to a statement only if the planner knows the value
 * whenever it plans: so it has to be a constant of the text, and no bound
 * parameter, whose plan may be made for any value. And since statements that
 * differ in their constants are one query, it has to be the same in all calls
 * that are known, of which there have to be some.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_am_d.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "advise/index_trial.h"
#include "advise/nodes.h"
#include "advise/recommend.h"
#include "common/sqltext.h"
#include "stats/stats.h"

#define KNOWN_CALLS		3		/* fewer say nothing about the others */
#define FEW_VALUES		100		/* of a column that says what a row's state is */

/* ------------------------------------------------------------------------
 * The same in all calls?
 * ------------------------------------------------------------------------
 */

/*
 * Of the constants of a text, the one with this number; or, with *number 0, the
 * one that begins at 'location', and its number. False if there is none.
 */
static bool
find_constant(const char *text, int location, int *number, const char **start, int *bytes)
{
	int			length = strlen(text);
	HoneSqlToken token;
	int			n = 0;
	int			end;

	for (int pos = 0; (token = hone_sql_token(text, length, pos, &end)) != HONE_SQL_END; pos = end)
	{
		if (token != HONE_SQL_CONSTANT)
			continue;
		n++;
		if (*number > 0 ? n != *number : pos != location)
			continue;
		*number = n;
		*start = text + pos;
		*bytes = end - pos;
		return true;
	}
	return false;
}

static bool
is_same_in_all(const HoneSample *sample, List *calls, int location)
{
	const char *start;
	const char *other;
	int			bytes;
	int			other_bytes;
	int			number = 0;
	int			known = 0;
	ListCell   *lc;

	if (location < 0 || sample->truncated ||
		!find_constant(sample->text, location, &number, &start, &bytes))
		return false;
	foreach(lc, calls)
	{
		const HoneStatsCall *call = lfirst(lc);

		if (call->text == NULL || call->truncated)
			continue;
		if (!find_constant(call->text, 0, &number, &other, &other_bytes) ||
			bytes != other_bytes || memcmp(start, other, bytes) != 0)
			return false;
		known++;
	}
	return known >= KNOWN_CALLS;
}

/* ------------------------------------------------------------------------
 * Conditions
 * ------------------------------------------------------------------------
 */

static bool
has_few_values(Oid relid, AttrNumber attnum)
{
	double		rows;
	double		toast_bytes;
	double		share = hone_relation_column_distinct(relid, attnum);

	hone_relation_toast(relid, &rows, &toast_bytes);
	return share > 0 && share * rows <= FEW_VALUES;
}

/* The column under casts that change nothing, or NULL. */
static Var *
column_of(Node *node, Index rti)
{
	node = hone_qual_strip(node);
	if (node == NULL || !IsA(node, Var) || ((Var *) node)->varno != rti ||
		((Var *) node)->varlevelsup != 0 || ((Var *) node)->varattno <= 0)
		return NULL;
	return (Var *) node;
}

/* Of which equal values are equal in each btree, and which anybody may write. */
static bool
is_equality(OpExpr *op)
{
	Oid			opclass = GetDefaultOpClass(exprType(linitial(op->args)), BTREE_AM_OID);
	Oid			type = exprType(lsecond(op->args));

	return OidIsValid(opclass) &&
		get_op_opfamily_strategy(op->opno, get_opclass_family(opclass)) == BTEqualStrategyNumber &&
		(type < FirstNormalObjectId || type_is_enum(type)) &&
		!contain_mutable_functions((Node *) op);
}

/* As it stands in an index's predicate: names qualified, the constant quoted. */
static char *
deparse_condition(Oid relid, Node *condition)
{
	int			nest_level = NewGUCNestLevel();
	char	   *text;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	text = deparse_expression(condition, deparse_context_for(get_rel_name(relid), relid),
							  false, false);
	AtEOXact_GUC(true, nest_level);
	return text;
}

/* column = constant, of a column of the query's relation; else NULL. */
static HoneIndexConstant *
read_condition(const HoneIndexTrial *trial, Query *query, Index rti, List *calls, Node *clause)
{
	OpExpr	   *op = copyObject((OpExpr *) clause);
	HoneIndexConstant *constant;
	Const	   *value;
	Var		   *column;
	AttrNumber	attnum;

	if (!IsA(op, OpExpr) || list_length(op->args) != 2)
		return NULL;
	if (IsA(linitial(op->args), Const) && OidIsValid(get_commutator(op->opno)))
		CommuteOpExpr(op);
	column = column_of(linitial(op->args), rti);
	value = lsecond(op->args);
	if (column == NULL || !IsA(value, Const) || value->constisnull || !is_equality(op) ||
		!is_same_in_all(&trial->finding->sample, calls, value->location))
		return NULL;
	attnum = hone_relation_same_column(rt_fetch(rti, query->rtable)->relid, column->varattno, trial->relid);
	if (attnum == InvalidAttrNumber || !has_few_values(trial->relid, attnum))
		return NULL;
	column->varno = 1;
	column->varattno = attnum;
	constant = palloc(sizeof(HoneIndexConstant));
	constant->attnum = attnum;
	constant->text = deparse_condition(trial->relid, (Node *) op);
	return constant;
}

List *
hone_index_constants(const HoneIndexTrial *trial, Query *query, Index rti)
{
	List	   *calls = hone_stats_samples(trial->finding->sample.queryid);
	List	   *constants = NIL;
	ListCell   *lc;

	if (list_length(calls) < KNOWN_CALLS)
		return NIL;
	foreach(lc, make_ands_implicit((Expr *) query->jointree->quals))
	{
		HoneIndexConstant *constant = read_condition(trial, query, rti, calls, lfirst(lc));

		if (constant != NULL)
			constants = lappend(constants, constant);
	}
	return constants;
}
