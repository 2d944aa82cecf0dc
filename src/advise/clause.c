/*-------------------------------------------------------------------------
 *
 * clause.c
 *	  The condition of a finding in its statement's tree (see clause.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "utils/lsyscache.h"

#include "advise/clause.h"
#include "advise/rewrite.h"

typedef struct ColumnCheck
{
	HoneClause *condition;
	bool		found;
} ColumnCheck;

/* True as soon as there is another column. */
static bool
column_walker(Node *node, void *context)
{
	ColumnCheck *check = context;

	if (node == NULL)
		return false;
	if (IsA(node, Aggref) || IsA(node, WindowFunc) || IsA(node, SubLink))
		return true;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;
		const HoneFinding *finding = check->condition->finding;
		RangeTblEntry *rte;

		if (var->varlevelsup > 0)
			return true;
		rte = rt_fetch(var->varno, check->condition->query->rtable);
		if (rte->rtekind != RTE_RELATION || rte->relid != finding->key.relid ||
			var->varattno != finding->quals[0].attnum)
			return true;
		check->condition->rti = var->varno;
		check->found = true;
		return false;
	}
	return expression_tree_walker(node, column_walker, context);
}

bool
hone_clause_is_over_column(HoneClause *condition, Node *node)
{
	ColumnCheck check = {condition, false};
	Node	   *inside = node;

	while (IsA(inside, RelabelType))
		inside = (Node *) ((RelabelType *) inside)->arg;
	return IsA(inside, Var) != condition->finding->inside &&
		!column_walker(node, &check) && check.found;
}

/* Is it a comparison of the finding's column by the finding's operator? */
static bool
match_clause(HoneClause *condition, Node *clause, Oid opno, List *args)
{
	if (opno != condition->finding->quals[0].opno || list_length(args) != 2)
		return false;
	condition->commuted = hone_clause_is_over_column(condition, lsecond(args));
	if (!condition->commuted && !hone_clause_is_over_column(condition, linitial(args)))
		return false;
	condition->clause = clause;
	return true;
}

static bool
find_walker(Node *node, void *context)
{
	HoneClause *condition = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *outer = condition->query;
		bool		found;

		condition->query = (Query *) node;
		/* conditions come before what the query returns */
		found = find_walker((Node *) ((Query *) node)->jointree, context) ||
			query_tree_walker((Query *) node, find_walker, context, 0);
		if (!found)
			condition->query = outer;
		return found;
	}
	if (IsA(node, OpExpr) &&
		match_clause(condition, node, ((OpExpr *) node)->opno, ((OpExpr *) node)->args))
		return true;
	if (IsA(node, ScalarArrayOpExpr) &&
		match_clause(condition, node, ((ScalarArrayOpExpr *) node)->opno,
					 ((ScalarArrayOpExpr *) node)->args))
		return true;
	return expression_tree_walker(node, find_walker, context);
}

bool
hone_clause_find(const HoneFinding *finding, HoneClause *condition, Query **query)
{
	memset(condition, 0, sizeof(HoneClause));
	condition->finding = finding;
	*query = hone_rewrite_parse(&finding->sample);
	return find_walker((Node *) *query, condition);
}

static List *
clause_args(HoneClause *condition)
{
	return IsA(condition->clause, OpExpr) ? ((OpExpr *) condition->clause)->args :
		((ScalarArrayOpExpr *) condition->clause)->args;
}

Node *
hone_clause_column(HoneClause *condition)
{
	List	   *args = clause_args(condition);

	return condition->commuted ? lsecond(args) : linitial(args);
}

Node *
hone_clause_value(HoneClause *condition)
{
	List	   *args = clause_args(condition);

	return condition->commuted ? linitial(args) : lsecond(args);
}

Var *
hone_clause_var(Node *node)
{
	return linitial_node(Var, pull_var_clause(node, 0));
}

void
hone_clause_evidence(const HoneFinding *finding, const HoneReader *reader, HoneAdvice *advice)
{
	hone_evidence_integer(advice, "sampled_executions", finding->times);
	hone_evidence_integer(advice, "rows_removed_p50",
						  hone_finding_median(finding, finding->rows / finding->times));
	hone_evidence_integer(advice, "rows_removed_max", finding->rows_max);
	hone_evidence_integer(advice, "rows_kept_per_execution",
						  finding->rows_kept / finding->times);
	hone_evidence_number(advice, "ms_per_execution",
						 finding->cost_ms / Max(finding->calls, 1));
	hone_evidence_json(advice, "only_condition", finding->certain ? "true" : "false");
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
}

const char *
hone_clause_doubt(const HoneFinding *finding)
{
	return finding->certain ? "" : "potential: ";
}

int64
hone_clause_removed(const HoneFinding *finding)
{
	return hone_finding_median(finding, finding->rows / finding->times);
}

int
hone_clause_strategy(const HoneQual *qual)
{
	Oid			opno = qual->commuted ? get_commutator(qual->opno) : qual->opno;
	Oid			left;
	Oid			right;
	Oid			opclass;

	if (!OidIsValid(opno))
		return 0;
	op_input_types(opno, &left, &right);
	opclass = GetDefaultOpClass(left, BTREE_AM_OID);
	if (!OidIsValid(opclass))
		return 0;
	return get_op_opfamily_strategy(opno, get_opclass_family(opclass));
}

Node *
hone_clause_operator(char *operator, Node *left, Node *right)
{
	return (Node *) make_op(NULL, list_make2(makeString("pg_catalog"), makeString(operator)),
							left, right, NULL, -1);
}
