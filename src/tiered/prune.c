/*-------------------------------------------------------------------------
 *
 * prune.c
 *	  From the clauses of a query to the conditions by which batches are
 *	  passed over.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "common/hone.h"
#include "tiered/prune.h"

/* ------------------------------------------------------------------------
 * Planning
 * ------------------------------------------------------------------------
 */

/*
 * The relation's column that the node is, perhaps under another name for its
 * type; NULL when it is something else.
 */
static Var *
column_of(Node *node, Index rti)
{
	Var		   *var;

	while (node != NULL && IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (node == NULL || !IsA(node, Var))
		return NULL;
	var = (Var *) node;
	return var->varno == rti && var->varlevelsup == 0 && var->varattno > 0 ? var : NULL;
}

/*
 * Whether the expression has one value for the whole scan, and to compute it
 * early harms nobody.
 */
static bool
is_known_ahead(PlannerInfo *root, Node *expression, Index rti)
{
	return !bms_is_member(rti, pull_varnos(root, expression)) &&
		!contain_volatile_functions(expression) && !contain_subplans(expression);
}

static bool
match_comparison(PlannerInfo *root, Node *left, Node *right, Oid operator,
				 Oid collation, Index rti, HoneClause *matched)
{
	Var		   *var = column_of(left, rti);

	if (var == NULL || !OidIsValid(operator) || !is_known_ahead(root, right, rti) ||
		!hone_comparison_find(&matched->comparison, var->varattno, var->vartype,
							  operator, collation))
		return false;
	matched->attnum = var->varattno;
	matched->expression = (Expr *) right;
	matched->kind = matched->comparison.strategy == BTEqualStrategyNumber ?
		HONE_ONE_OF : HONE_IN_RANGE;
	return true;
}

static bool
match_operator(PlannerInfo *root, OpExpr *op, Index rti, HoneClause *matched)
{
	Node	   *left;
	Node	   *right;

	if (list_length(op->args) != 2)
		return false;
	left = linitial(op->args);
	right = lsecond(op->args);
	return match_comparison(root, left, right, op->opno, op->inputcollid, rti, matched) ||
		match_comparison(root, right, left, get_commutator(op->opno), op->inputcollid,
						 rti, matched);
}

static bool
match_any(PlannerInfo *root, ScalarArrayOpExpr *op, Index rti, HoneClause *matched)
{
	matched->is_array = true;
	return op->useOr &&
		match_comparison(root, linitial(op->args), lsecond(op->args), op->opno,
						 op->inputcollid, rti, matched) &&
		matched->kind == HONE_ONE_OF &&
		OidIsValid(get_base_element_type(exprType((Node *) matched->expression)));
}

static bool
match_null_test(NullTest *test, Index rti, HoneClause *matched)
{
	Var		   *var = column_of((Node *) test->arg, rti);

	if (var == NULL || test->argisrow)
		return false;
	matched->attnum = var->varattno;
	matched->kind = test->nulltesttype == IS_NULL ? HONE_IS_NULL : HONE_IS_NOT_NULL;
	matched->comparison.attnum = var->varattno;
	matched->comparison.column_type = getBaseType(var->vartype);
	return true;
}

bool
hone_clause_match(PlannerInfo *root, Expr *clause, Index rti, HoneClause *matched)
{
	memset(matched, 0, sizeof(*matched));
	if (IsA(clause, OpExpr))
		return match_operator(root, (OpExpr *) clause, rti, matched);
	if (IsA(clause, ScalarArrayOpExpr))
		return match_any(root, (ScalarArrayOpExpr *) clause, rti, matched);
	if (IsA(clause, NullTest))
		return match_null_test((NullTest *) clause, rti, matched);
	return false;
}

/*
 * A term: a list of integers and one of OIDs.
 */
static List *
make_term(const HoneClause *clause)
{
	const HoneComparison *comparison = &clause->comparison;
	List	   *numbers = list_make5_int(clause->kind, clause->is_array, clause->attnum,
										 comparison->strategy, comparison->has_keys);
	List	   *oids = list_make5_oid(comparison->column_type, comparison->value_type,
									  comparison->column_hash, comparison->value_hash,
									  comparison->collation);

	return list_make2(numbers, oids);
}

static void
read_term(List *term, HoneClause *clause)
{
	List	   *numbers = linitial(term);
	List	   *oids = lsecond(term);
	HoneComparison *comparison = &clause->comparison;

	memset(clause, 0, sizeof(*clause));
	clause->kind = list_nth_int(numbers, 0);
	clause->is_array = list_nth_int(numbers, 1);
	clause->attnum = comparison->attnum = list_nth_int(numbers, 2);
	comparison->strategy = list_nth_int(numbers, 3);
	comparison->has_keys = list_nth_int(numbers, 4);
	comparison->column_type = list_nth_oid(oids, 0);
	comparison->value_type = list_nth_oid(oids, 1);
	comparison->column_hash = list_nth_oid(oids, 2);
	comparison->value_hash = list_nth_oid(oids, 3);
	comparison->collation = list_nth_oid(oids, 4);
}

List *
hone_prune_terms(PlannerInfo *root, List *clauses, Index rti, List **expressions)
{
	List	   *terms = NIL;
	ListCell   *lc;

	*expressions = NIL;
	foreach(lc, clauses)
	{
		HoneClause	matched;

		if (!hone_clause_match(root, lfirst(lc), rti, &matched))
			continue;
		terms = lappend(terms, make_term(&matched));
		/* one for each term */
		*expressions = lappend(*expressions, matched.expression != NULL ? matched.expression :
							   (Expr *) makeBoolConst(true, false));
	}
	return terms;
}

/* ------------------------------------------------------------------------
 * Execution
 * ------------------------------------------------------------------------
 */

typedef struct PrunerTerm
{
	HoneClause	clause;
	ExprState  *state;
	Oid			element_type;	/* of an array; its physical shape: */
	int16		typlen;
	bool		typbyval;
	char		typalign;
} PrunerTerm;

struct HonePruner
{
	MemoryContext context;		/* of the conditions */
	PrunerTerm *terms;
	HoneCondition *conditions;
	int			nterms;
};

HonePruner *
hone_pruner_create(List *terms, List *expressions, PlanState *parent)
{
	HonePruner *pruner = palloc0(sizeof(HonePruner));
	ListCell   *lc;
	ListCell   *expression;

	pruner->context = AllocSetContextCreate(CurrentMemoryContext, "hone conditions",
											ALLOCSET_SMALL_SIZES);
	pruner->terms = palloc0(Max(list_length(terms), 1) * sizeof(PrunerTerm));
	pruner->conditions = palloc0(Max(list_length(terms), 1) * sizeof(HoneCondition));
	forboth(lc, terms, expression, expressions)
	{
		PrunerTerm *term = &pruner->terms[pruner->nterms++];

		read_term(lfirst(lc), &term->clause);
		term->state = ExecInitExpr(lfirst(expression), parent);
		if (term->clause.is_array)
		{
			term->element_type = get_base_element_type(exprType(lfirst(expression)));
			get_typlenbyvalalign(term->element_type, &term->typlen, &term->typbyval,
								 &term->typalign);
		}
	}
	return pruner;
}

/*
 * The elements of an array that are not NULL: no row equals those.
 */
static void
match_elements(const PrunerTerm *term, Datum array, HoneCondition *condition)
{
	Datum	   *values;
	bool	   *isnull;
	int			nvalues;
	int			kept = 0;

	deconstruct_array(DatumGetArrayTypeP(array), term->element_type, term->typlen,
					  term->typbyval, term->typalign, &values, &isnull, &nvalues);
	for (int i = 0; i < nvalues; i++)
	{
		if (!isnull[i])
			values[kept++] = values[i];
	}
	hone_comparison_condition(&term->clause.comparison, values, kept, condition);
}

static void
set_condition(const PrunerTerm *term, Datum value, bool isnull, HoneCondition *condition)
{
	const HoneClause *clause = &term->clause;

	if (clause->kind == HONE_IS_NULL || clause->kind == HONE_IS_NOT_NULL)
	{
		memset(condition, 0, sizeof(*condition));
		condition->kind = clause->kind;
		condition->attnum = clause->attnum;
		condition->type = clause->comparison.column_type;
	}
	else if (clause->is_array && !isnull)
		match_elements(term, value, condition);
	else
		/* the operators are strict: no row matches NULL */
		hone_comparison_condition(&clause->comparison, &value, isnull ? 0 : 1, condition);
}

const HoneCondition *
hone_pruner_conditions(HonePruner *pruner, ExprContext *econtext, int *nconditions)
{
	MemoryContextReset(pruner->context);
	for (int i = 0; i < pruner->nterms; i++)
	{
		PrunerTerm *term = &pruner->terms[i];
		bool		isnull;
		Datum		value = ExecEvalExprSwitchContext(term->state, econtext, &isnull);
		MemoryContext old = MemoryContextSwitchTo(pruner->context);

		set_condition(term, value, isnull, &pruner->conditions[i]);
		MemoryContextSwitchTo(old);
	}
	*nconditions = pruner->nterms;
	return pruner->conditions;
}
