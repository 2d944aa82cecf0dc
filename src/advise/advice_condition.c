/*-------------------------------------------------------------------------
 *
 * advice_condition.c
 *	  function_on_column, leading_wildcard: conditions that need an index of
 *	  their own.
 *
 * A function or cast gets an index on the expression, which only an immutable
 * one can have; a cast to a date becomes a range of the column itself; a
 * pattern gets an index of trigrams.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/date.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "advise/clause.h"
#include "advise/index_trial.h"
#include "advise/rewrite.h"

/* ---- indexes ---- */

/* The expression as it would be in an index: its table is the first one. */
static Node *
expression_mutator(Node *node, void *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		return (Node *) makeVar(1, var->varattno, var->vartype, var->vartypmod,
								var->varcollid, 0);
	}
	return expression_tree_mutator(node, expression_mutator, context);
}

static bool
contains_const(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, Const) || expression_tree_walker(node, contains_const, context);
}

/* Its text with qualified names, in the parentheses that CREATE INDEX wants. */
static char *
deparse_index_expression(Oid relid, Node *expr)
{
	int			nest_level = NewGUCNestLevel();
	char	   *text;

	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	text = deparse_expression(expr, deparse_context_for(get_rel_name(relid), relid),
							  false, false);
	AtEOXact_GUC(true, nest_level);
	return psprintf("(%s)", text);
}

/* Has a valid index this column, or else expression: as its first one, or anywhere? */
static bool
index_serves(Relation index, AttrNumber attnum, Node *expr, bool anywhere)
{
	List	   *expressions = expr ? RelationGetIndexExpressions(index) : NIL;
	ListCell   *next = list_head(expressions);

	if (!index->rd_index->indisvalid || RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < (anywhere ? index->rd_index->indnkeyatts : 1); i++)
	{
		AttrNumber	key = index->rd_index->indkey.values[i];

		if (expr == NULL && key == attnum)
			return true;
		if (expr == NULL || key != 0 || next == NULL)
			continue;
		if (equal(lfirst(next), expr))
			return true;
		next = lnext(expressions, next);
	}
	return false;
}

/* In an index of trigrams the order of the columns does not matter. */
static bool
serves(Relation index, AttrNumber attnum, Node *expr, bool trigrams)
{
	Oid			method = index->rd_rel->relam;

	if (trigrams)
		return (method == GIN_AM_OID || method == GIST_AM_OID) &&
			index_serves(index, attnum, expr, true);
	return method == BTREE_AM_OID && index_serves(index, attnum, expr, false);
}

/* An index, of trigrams or ordered, that serves the condition. */
static bool
has_index(Oid relid, AttrNumber attnum, Node *expr, bool trigrams)
{
	Relation	rel;
	bool		found = false;
	ListCell   *lc;

	rel = hone_relation_open(relid);
	if (rel == NULL)
		return false;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index;

		if (!ConditionalLockRelationOid(lfirst_oid(lc), AccessShareLock))
			continue;
		index = try_relation_open(lfirst_oid(lc), NoLock);
		if (index == NULL)
			continue;
		found |= serves(index, attnum, expr, trigrams);
		relation_close(index, NoLock);
	}
	relation_close(rel, NoLock);
	return found;
}

/* ---- function_on_column ---- */

/* Cast of a timestamp to its date? */
static bool
is_date_cast(Node *node)
{
	return IsA(node, FuncExpr) && (((FuncExpr *) node)->funcid == F_DATE_TIMESTAMP ||
								   ((FuncExpr *) node)->funcid == F_DATE_TIMESTAMPTZ) &&
		IsA(linitial(((FuncExpr *) node)->args), Var);
}

/* The first moment of the day 'days' after 'date', as the column has it. */
static Node *
start_of_day(Node *date, int days, Var *column)
{
	Node	   *day = copyObject(date);
	Oid			cast = column->vartype == TIMESTAMPOID ?
	F_TIMESTAMP_DATE : F_TIMESTAMPTZ_DATE;

	if (days > 0)
		day = hone_clause_operator("+", day,
								   (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
													  Int32GetDatum(days), false, true));
	return (Node *) makeFuncExpr(cast, column->vartype, list_make1(day), InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CAST);
}

static Node *
bound(Var *column, char *operator, Node *value)
{
	return hone_clause_operator(operator, (Node *) copyObject(column), value);
}

/* The same condition on the column itself; NULL for what is no comparison. */
static Node *
date_range(HoneClause *condition, int strategy)
{
	Var		   *column = hone_clause_var(hone_clause_column(condition));
	Node	   *date = hone_clause_value(condition);

	if (!IsA(condition->clause, OpExpr) || exprType(date) != DATEOID)
		return NULL;
	/* the day after infinity is infinity */
	if (IsA(date, Const) && !((Const *) date)->constisnull &&
		DATE_NOT_FINITE(DatumGetDateADT(((Const *) date)->constvalue)))
		return NULL;
	switch (strategy)
	{
		case BTLessStrategyNumber:
			return bound(column, "<", start_of_day(date, 0, column));
		case BTLessEqualStrategyNumber:
			return bound(column, "<", start_of_day(date, 1, column));
		case BTGreaterEqualStrategyNumber:
			return bound(column, ">=", start_of_day(date, 0, column));
		case BTGreaterStrategyNumber:
			return bound(column, ">=", start_of_day(date, 1, column));
		case BTEqualStrategyNumber:
			return (Node *)
				makeBoolExpr(AND_EXPR,
							 list_make2(bound(column, ">=", start_of_day(date, 0, column)),
										bound(column, "<", start_of_day(date, 1, column))), -1);
		default:
			return NULL;
	}
}

/* The range for one more comparison of the column's date, or NULL. */
static Node *
other_range(const HoneClause *condition, OpExpr *op)
{
	HoneClause	other = *condition;
	HoneQual	qual = {0};

	if (!IsA(op, OpExpr) || list_length(op->args) != 2)
		return NULL;
	other.clause = (Node *) op;
	other.commuted = hone_clause_is_over_column(&other, lsecond(op->args));
	if (!is_date_cast(hone_clause_column(&other)) ||
		!hone_clause_is_over_column(&other, hone_clause_column(&other)) ||
		contain_var_clause(hone_clause_value(&other)))
		return NULL;
	qual.opno = op->opno;
	qual.commuted = other.commuted;
	return date_range(&other, hone_clause_strategy(&qual));
}

/* All of the query that the first one is in; not in queries inside. */
static Node *
range_mutator(Node *node, void *context)
{
	Node	   *range;

	if (node == NULL || IsA(node, Query))
		return node;
	range = other_range(context, (OpExpr *) node);
	return range ? range : expression_tree_mutator(node, range_mutator, context);
}

static void
add_range_fix(HoneClause *condition, Query *query, const HoneReader *reader,
			  HoneAdvice *advice)
{
	Oid			relid = condition->finding->key.relid;
	AttrNumber	attnum = condition->finding->quals[0].attnum;

	if (!hone_relation_has_index(relid, list_make1_int(attnum), 0))
		hone_evidence_text(advice, "index",
						   hone_index_ddl(hone_relation_topmost(relid), psprintf("(%s)", quote_identifier(get_attname(relid, attnum, false)))));
	if (hone_clause_var(hone_clause_column(condition))->vartype == TIMESTAMPTZOID)
		hone_evidence_text(advice, "note",
						   "days begin by the session's TimeZone, as in the query; where its clock is put back over midnight, the hour that comes twice may belong to the other day");
	condition->query->jointree = (FromExpr *)
		range_mutator((Node *) condition->query->jointree, condition);
	hone_advice_set(advice, &advice->fix, "%s",
					hone_rewrite_deparse(query, !reader->constants, NULL));
}

/*
 * The fix is an index. What the planner makes of it is evidence, and no reason to
 * leave it out: there are no statistics of an expression before its index is
 * there, and costs of trigrams are a rule of thumb.
 */
static void
add_index_fix(const HoneFinding *finding, const char *what, const char *text,
			  const HoneReader *reader, HoneAdvice *advice)
{
	HoneIndexTrial trial = {.finding = finding,.given = true};
	HoneIndexCandidate *index = hone_index_candidate(what, text);
	const char *why;

	trial.relid = hone_relation_topmost(finding->key.relid);
	trial.others = list_make1(index);
	hone_advice_index_fix(advice, trial.relid, text);
	why = hone_index_try(&trial, reader);
	if (why != NULL)
		hone_evidence_text(advice, "not_tried", why);
	else
	{
		hone_evidence_number(advice, "planner_cost", trial.cost);
		hone_evidence_number(advice, "planner_cost_with_index", index->cost);
		hone_evidence_json(advice, "planner_uses_index", index->used ? "true" : "false");
		hone_evidence_integer(advice, "index_bytes", (int64) index->bytes);
	}
	advice->index_on = trial.relid;
	advice->index_best = index;
	advice->index_cost = why == NULL && index->used ? trial.cost : 0;
}

/* CREATE INDEX on the expression, if it can have one. */
static void
add_expression_fix(const HoneFinding *finding, Node *expr, const char *method,
				   const char *opclass, const HoneReader *reader, HoneAdvice *advice)
{
	char	   *columns;

	if (contain_mutable_functions(expr))
		hone_advice_set(advice, &advice->no_fix,
						"the expression is not immutable, so it cannot be indexed: compare the column itself");
	else if (!reader->constants && contains_const(expr, NULL))
		hone_advice_set(advice, &advice->no_fix, "the expression holds constants");
	else
	{
		columns = deparse_index_expression(finding->key.relid, expr);
		add_index_fix(finding, method[0] == '\0' ? "expression" : "gin, a rough estimate",
					  psprintf("%s(%s%s)", method, columns, opclass), reader, advice);
	}
}

/* A cast of the column to text is there to match the value's type. */
static void
add_cast_evidence(Node *side, HoneAdvice *advice)
{
	if (IsA(side, CoerceViaIO) || (IsA(side, FuncExpr) &&
								   ((FuncExpr *) side)->funcformat == COERCE_EXPLICIT_CAST))
		hone_evidence_text(advice, "instead",
						   psprintf("compare the column itself with a value of type %s",
									format_type_be(hone_clause_var(side)->vartype)));
}

void
hone_advice_function(const HoneFinding *finding, const HoneReader *reader,
					 HoneAdvice *advice)
{
	Oid			relid = finding->key.relid;
	int			strategy = hone_clause_strategy(&finding->quals[0]);
	HoneClause	condition;
	Query	   *query;
	Node	   *expr;

	if (strategy == 0)
	{
		advice->drop = true;
		return;
	}
	hone_advice_set(advice, &advice->summary,
					"%sindex the expression or compare %s.%s itself: a function or cast over it keeps indexes out, " INT64_FORMAT " rows are read and thrown away",
					hone_clause_doubt(finding), hone_qualified_name(relid),
					quote_identifier(get_attname(relid, finding->quals[0].attnum, false)),
					hone_clause_removed(finding));
	hone_clause_evidence(finding, reader, advice);
	if (!hone_clause_find(finding, &condition, &query))
	{
		hone_advice_set(advice, &advice->no_fix, "the condition is in a view or function");
		return;
	}
	expr = expression_mutator(hone_clause_column(&condition), NULL);
	advice->drop = contain_volatile_functions(expr) || has_index(relid, 0, expr, false);
	if (advice->drop)
		return;
	if (is_date_cast(hone_clause_column(&condition)) && date_range(&condition, strategy))
		add_range_fix(&condition, query, reader, advice);
	else
	{
		add_cast_evidence(hone_clause_column(&condition), advice);
		add_expression_fix(finding, expr, "", "", reader, advice);
	}
}

/* ---- leading_wildcard ---- */

/* The operator class with its schema, where the extension is there. */
static char *
trigram_class(bool *installed)
{
	CatCList   *list = SearchSysCacheList2(CLAAMNAMENSP, ObjectIdGetDatum(GIN_AM_OID),
										   CStringGetDatum("gin_trgm_ops"));
	char	   *name = "gin_trgm_ops";

	*installed = list->n_members > 0;
	if (*installed)
	{
		Form_pg_opclass opclass = (Form_pg_opclass) GETSTRUCT(&list->members[0]->tuple);

		name = quote_qualified_identifier(get_namespace_name(opclass->opcnamespace), name);
	}
	ReleaseSysCacheList(list);
	return name;
}

void
hone_advice_wildcard(const HoneFinding *finding, const HoneReader *reader,
					 HoneAdvice *advice)
{
	Oid			relid = finding->key.relid;
	AttrNumber	attnum = finding->quals[0].attnum;
	char	   *column = pstrdup(quote_identifier(get_attname(relid, attnum, false)));
	bool		installed;
	char	   *opclass = trigram_class(&installed);
	HoneClause	condition;
	Query	   *query;
	Node	   *expr = NULL;

	advice->drop = !finding->inside && has_index(relid, attnum, NULL, true);
	if (advice->drop)
		return;
	hone_advice_set(advice, &advice->summary,
					"%sindex the trigrams of %s.%s%s: a pattern that begins with a wildcard reads and throws away " INT64_FORMAT " rows",
					hone_clause_doubt(finding), hone_qualified_name(relid), column,
					installed ? "" : " (needs CREATE EXTENSION pg_trgm)",
					hone_clause_removed(finding));
	if (!installed)
		hone_evidence_text(advice, "needs", "CREATE EXTENSION pg_trgm");
	hone_clause_evidence(finding, reader, advice);
	if (!finding->inside)
	{
		add_index_fix(finding, "gin, a rough estimate", psprintf("USING gin (%s %s)", column, opclass), reader, advice);
		return;
	}
	if (!hone_clause_find(finding, &condition, &query))
	{
		hone_advice_set(advice, &advice->no_fix, "the condition is in a view or function");
		return;
	}
	expr = expression_mutator(hone_clause_column(&condition), NULL);
	advice->drop = has_index(relid, 0, expr, true);
	add_expression_fix(finding, expr, "USING gin ", psprintf(" %s", opclass), reader, advice);
}
