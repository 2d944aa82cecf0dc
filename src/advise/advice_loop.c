/*-------------------------------------------------------------------------
 *
 * advice_loop.c
 *	  n_plus_one: the child of a loop rewritten to take all keys at once.
 *
 * Where the child is a plain filter, its "column = key" becomes
 * "column = ANY (keys)". Where it aggregates, sorts under LIMIT or the like,
 * it becomes a LATERAL subquery of the unnested keys, which means the same
 * for any SELECT. If what changes from call to call is not compared with "=",
 * the repetition is no N+1 loop and the finding is not shown.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

/* Where the key of a loop is in the query of its child. */
typedef struct LoopKey
{
	const HoneFinding *finding;
	Node	  **clause;			/* the OpExpr's place in the tree */
	Node	   *column;			/* side that is not the key */
	Node	   *key;			/* side that is */
	Oid			opno;			/* column op key */
	Oid			type;			/* of the key */
} LoopKey;

/* What is inside implicit and explicit casts of one argument. */
static Node *
strip_casts(Node *node)
{
	for (;;)
	{
		if (node && IsA(node, RelabelType))
			node = (Node *) ((RelabelType *) node)->arg;
		else if (node && IsA(node, CoerceViaIO))
			node = (Node *) ((CoerceViaIO *) node)->arg;
		else if (node && IsA(node, FuncExpr) &&
				 ((FuncExpr *) node)->funcformat != COERCE_EXPLICIT_CALL &&
				 ((FuncExpr *) node)->args != NIL)
			node = linitial(((FuncExpr *) node)->args);
		else
			return node;
	}
}

static bool
is_key(const LoopKey *loop, Node *node)
{
	node = strip_casts(node);
	if (node == NULL)
		return false;
	if (IsA(node, Const))
		return loop->finding->key_location >= 0 &&
			((Const *) node)->location == loop->finding->key_location;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
	{
		int			id = ((Param *) node)->paramid;

		return id >= HONE_REWRITE_VARIABLES ||
			(loop->finding->key_param > 0 && id == loop->finding->key_param);
	}
	return false;
}

static void
look_at_clause(LoopKey *loop, Node **clause)
{
	OpExpr	   *op = (OpExpr *) *clause;
	char	   *name;
	Node	   *left;
	Node	   *right;

	if (list_length(op->args) != 2)
		return;
	name = get_opname(op->opno);
	if (name == NULL || strcmp(name, "=") != 0)
		return;
	left = linitial(op->args);
	right = lsecond(op->args);
	if (is_key(loop, right) && contain_vars_of_level(left, 0))
	{
		loop->column = left;
		loop->key = right;
		loop->opno = op->opno;
	}
	else if (is_key(loop, left) && contain_vars_of_level(right, 0))
	{
		loop->column = right;
		loop->key = left;
		loop->opno = get_commutator(op->opno);
	}
	else
		return;
	if (OidIsValid(loop->opno))
		loop->clause = clause;
}

/* Search conditions that every row of the result has met. */
static void
find_key(LoopKey *loop, Node **node)
{
	ListCell   *lc;

	if (*node == NULL || loop->clause != NULL)
		return;
	switch (nodeTag(*node))
	{
		case T_FromExpr:
			foreach(lc, ((FromExpr *) *node)->fromlist)
				find_key(loop, (Node **) &lfirst(lc));
			find_key(loop, &((FromExpr *) *node)->quals);
			break;
		case T_JoinExpr:
			if (((JoinExpr *) *node)->jointype != JOIN_INNER)
				break;
			find_key(loop, &((JoinExpr *) *node)->larg);
			find_key(loop, &((JoinExpr *) *node)->rarg);
			find_key(loop, &((JoinExpr *) *node)->quals);
			break;
		case T_BoolExpr:
			if (((BoolExpr *) *node)->boolop != AND_EXPR)
				break;
			foreach(lc, ((BoolExpr *) *node)->args)
				find_key(loop, (Node **) &lfirst(lc));
			break;
		case T_OpExpr:
			look_at_clause(loop, node);
			break;
		default:
			break;
	}
}

/* Prefer keys of the column's own type to those of the constant that came. */
static void
match_column_type(LoopKey *loop)
{
	Oid			type = exprType(loop->column);
	Oid			equal;

	loop->type = exprType(loop->key);
	if (type == loop->type)
		return;
	get_sort_group_operators(type, false, false, false, NULL, &equal, NULL, NULL);
	if (!OidIsValid(equal))
		return;
	loop->type = type;
	loop->opno = equal;
}

/* Does the result stay right when rows of many keys are mixed? */
static bool
is_plain_filter(const Query *query)
{
	return !query->hasAggs && !query->hasWindowFuncs &&
		query->groupClause == NIL && query->groupingSets == NIL &&
		query->distinctClause == NIL && query->havingQual == NULL &&
		query->setOperations == NULL &&
		query->limitCount == NULL && query->limitOffset == NULL;
}

/* The key's column is in the output, so that rows can be told apart. */
static void
output_key_column(Query *query, Node *column)
{
	TargetEntry *target;
	ListCell   *lc;
	char	   *name = "key";

	column = strip_casts(column);
	if (IsA(column, Var))
		name = get_rte_attribute_name(rt_fetch(((Var *) column)->varno, query->rtable),
									  ((Var *) column)->varattno);
	foreach(lc, query->targetList)
	{
		target = lfirst_node(TargetEntry, lc);
		if (!target->resjunk && equal(strip_casts((Node *) target->expr), column))
			return;
	}
	target = makeTargetEntry(copyObject((Expr *) column), 1, name, false);
	query->targetList = lcons(target, query->targetList);
	foreach(lc, query->targetList)
		lfirst_node(TargetEntry, lc)->resno = foreach_current_index(lc) + 1;
}

static char *
make_any(Query *query, LoopKey *loop, int param, Oid array_type,
		 const HoneReader *reader)
{
	ScalarArrayOpExpr *any = makeNode(ScalarArrayOpExpr);

	any->opno = loop->opno;
	any->opfuncid = get_opcode(loop->opno);
	any->useOr = true;
	any->inputcollid = ((OpExpr *) *loop->clause)->inputcollid;
	any->args = list_make2(loop->column,
						   hone_rewrite_param(param, array_type,
											  exprCollation(loop->key)));
	any->location = -1;
	*loop->clause = (Node *) any;
	output_key_column(query, loop->column);
	return hone_rewrite_deparse(query, !reader->constants, NULL);
}

static char *
make_lateral(Query *query, LoopKey *loop, int param, Oid array_type,
			 const HoneReader *reader)
{
	OpExpr	   *op = (OpExpr *) *loop->clause;
	int			number = param;
	const char *name = "keys";
	char	   *inner;
	StringInfoData text;

	op->opno = loop->opno;
	op->opfuncid = get_opcode(loop->opno);
	op->args = list_make2(loop->column,
						  hone_rewrite_param(param, loop->type,
											 exprCollation(loop->key)));
	inner = hone_rewrite_deparse(query, !reader->constants, &number);

	/* a table of the child by this name would be taken for the keys */
	while (strstr(inner, name) != NULL)
		name = psprintf("%s_", name);
	initStringInfo(&text);
	appendStringInfo(&text, "SELECT %s.key, c.*\nFROM unnest($%d::%s) AS %s(key)\nCROSS JOIN LATERAL (\n%s\n) AS c",
					 name, number, format_type_be_qualified(array_type), name,
					 hone_rewrite_replace_param(inner, number, psprintf("%s.key", name)));
	hone_rewrite_check(text.data);
	return text.data;
}

static void
add_evidence(const HoneFinding *finding, const HoneReader *reader,
			 HoneAdvice *advice)
{
	int64		per_burst = finding->calls / finding->times;

	hone_evidence_json(advice, "confirmed", "false");
	hone_evidence_integer(advice, "bursts", finding->times);
	hone_evidence_integer(advice, "calls_per_burst", per_burst);
	hone_evidence_integer(advice, "calls_per_burst_max", finding->rows_max);
	hone_evidence_integer(advice, "parent_rows", finding->parent_rows);
	hone_evidence_number(advice, "child_ms", finding->cost_ms - finding->gap_ms);
	hone_evidence_number(advice, "gap_ms", finding->gap_ms);
	hone_evidence_number(advice, "gap_ms_per_call", finding->gap_ms / finding->calls);
	hone_evidence_sample(advice, "child", &finding->sample, reader);
	hone_evidence_sample(advice, "parent", &finding->parent, reader);
}

void
hone_advice_loop(const HoneFinding *finding, const HoneReader *reader,
				 HoneAdvice *advice)
{
	char	   *parent = finding->parent.nrels > 0 ?
	hone_qualified_name(finding->parent.rels[0]) : NULL;
	LoopKey		loop = {finding, NULL, NULL, NULL, InvalidOid, InvalidOid};
	Node	   *tree;
	Query	   *query;
	Oid			array_type;
	int			param;

	hone_advice_set(advice, &advice->summary,
					"potential N+1: %s is queried row by row, " INT64_FORMAT " times in a burst, after a query of %s that returned " INT64_FORMAT " rows",
					hone_qualified_name(finding->key.relid),
					finding->calls / finding->times,
					parent ? parent : "another table", finding->parent_rows);
	add_evidence(finding, reader, advice);

	query = hone_rewrite_parse(&finding->sample);
	tree = (Node *) query->jointree;
	find_key(&loop, &tree);
	if (loop.clause == NULL)
	{
		advice->drop = !finding->sample.truncated && query->setOperations == NULL && !query->hasSubLinks &&
			query->cteList == NIL;
		hone_advice_set(advice, &advice->no_fix, "the key is not compared with = at the outer level of the query");
		return;
	}
	if (finding->key_others > 0)
	{
		hone_advice_set(advice, &advice->no_fix, "more than one value changes from call to call");
		return;
	}
	if (hone_rewrite_max_param(query) > HONE_REWRITE_VARIABLES)
	{
		hone_advice_set(advice, &advice->no_fix, "which of the function's variables is the key is not known");
		return;
	}
	match_column_type(&loop);
	array_type = get_array_type(loop.type);
	if (!OidIsValid(array_type))
	{
		hone_advice_set(advice, &advice->no_fix, "the key's type has no array type");
		return;
	}
	param = IsA(strip_casts(loop.key), Param) ?
		((Param *) strip_casts(loop.key))->paramid : hone_rewrite_max_param(query) + 1;
	hone_advice_set(advice, &advice->fix, "%s",
					is_plain_filter(query) ?
					make_any(query, &loop, param, array_type, reader) :
					make_lateral(query, &loop, param, array_type, reader));
}
