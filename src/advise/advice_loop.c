/*-------------------------------------------------------------------------
 *
 * advice_loop.c
 *	  n_plus_one: the child of a loop rewritten to take all keys at once.
 *
 * Where the child is a plain filter, its "column = key" becomes
 * "column = ANY (keys)". Where it aggregates, sorts under LIMIT or the like,
 * it becomes a LATERAL subquery of the unnested keys, which means the same
 * for any SELECT, and so does a child with several keys. Where the keys are
 * known to be columns of the parent, both are joined as well. If what changes from call to call is not compared with "=",
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
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

/* Where one key of a loop is in the query of its child. */
typedef struct LoopKey
{
	const HoneLoopKey *key;
	Node	  **clause;			/* the OpExpr's place in the tree; NULL: not
								 * found */
	Node	   *column;			/* side that is not the key */
	Node	   *value;			/* side that is */
	Oid			opno;			/* column op key */
	Oid			type;			/* of the key */
	Oid			array_type;
	int			param;			/* number that stands for it in a fix */
} LoopKey;

typedef struct Loop
{
	const HoneFinding *finding;
	const HoneReader *reader;
	Query	   *query;			/* of the child */
	int			nkeys;
	LoopKey		keys[HONE_FINDING_KEYS];
} Loop;

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

/* The key that a node is, or NULL. Which variable is which is not known. */
static LoopKey *
key_of(Loop *loop, Node *node)
{
	node = strip_casts(node);
	for (int i = 0; node != NULL && i < loop->nkeys; i++)
	{
		LoopKey    *key = &loop->keys[i];

		if (key->clause != NULL)
			continue;
		if (IsA(node, Const) && key->key->location >= 0 &&
			((Const *) node)->location == key->key->location)
			return key;
		if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN &&
			(((Param *) node)->paramid >= HONE_REWRITE_VARIABLES ||
			 (key->key->param > 0 && ((Param *) node)->paramid == key->key->param)))
			return key;
	}
	return NULL;
}

static void
look_at_clause(Loop *loop, Node **clause)
{
	OpExpr	   *op = (OpExpr *) *clause;
	char	   *name;
	Node	   *left;
	Node	   *right;
	LoopKey    *key;

	if (list_length(op->args) != 2)
		return;
	name = get_opname(op->opno);
	if (name == NULL || strcmp(name, "=") != 0)
		return;
	left = linitial(op->args);
	right = lsecond(op->args);
	if (contain_vars_of_level(left, 0) && (key = key_of(loop, right)) != NULL)
	{
		key->column = left;
		key->value = right;
		key->opno = op->opno;
	}
	else if (contain_vars_of_level(right, 0) && (key = key_of(loop, left)) != NULL)
	{
		key->column = right;
		key->value = left;
		key->opno = get_commutator(op->opno);
	}
	else
		return;
	if (OidIsValid(key->opno))
		key->clause = clause;
}

/* Search conditions that every row of the result has met. */
static void
find_keys(Loop *loop, Node **node)
{
	ListCell   *lc;

	if (*node == NULL)
		return;
	switch (nodeTag(*node))
	{
		case T_FromExpr:
			foreach(lc, ((FromExpr *) *node)->fromlist)
				find_keys(loop, (Node **) &lfirst(lc));
			find_keys(loop, &((FromExpr *) *node)->quals);
			break;
		case T_JoinExpr:
			if (((JoinExpr *) *node)->jointype != JOIN_INNER)
				break;
			find_keys(loop, &((JoinExpr *) *node)->larg);
			find_keys(loop, &((JoinExpr *) *node)->rarg);
			find_keys(loop, &((JoinExpr *) *node)->quals);
			break;
		case T_BoolExpr:
			if (((BoolExpr *) *node)->boolop != AND_EXPR)
				break;
			foreach(lc, ((BoolExpr *) *node)->args)
				find_keys(loop, (Node **) &lfirst(lc));
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
match_column_type(LoopKey *key)
{
	Oid			type = exprType(key->column);
	Oid			equal;

	key->type = exprType(key->value);
	if (type != key->type)
	{
		get_sort_group_operators(type, false, false, false, NULL, &equal, NULL, NULL);
		if (OidIsValid(equal))
		{
			key->type = type;
			key->opno = equal;
		}
	}
	key->array_type = get_array_type(key->type);
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
make_any(Loop *loop)
{
	LoopKey    *key = &loop->keys[0];
	ScalarArrayOpExpr *any = makeNode(ScalarArrayOpExpr);

	any->opno = key->opno;
	any->opfuncid = get_opcode(key->opno);
	any->useOr = true;
	any->inputcollid = ((OpExpr *) *key->clause)->inputcollid;
	any->args = list_make2(key->column,
						   hone_rewrite_param(key->param, key->array_type,
											  exprCollation(key->value)));
	any->location = -1;
	*key->clause = (Node *) any;
	output_key_column(loop->query, key->column);
	return hone_rewrite_deparse(loop->query, !loop->reader->constants, NULL);
}

/* The child with a parameter for each key; numbers[] are theirs. */
static char *
child_with_params(Loop *loop, int *numbers)
{
	for (int i = 0; i < loop->nkeys; i++)
	{
		LoopKey    *key = &loop->keys[i];
		OpExpr	   *op = (OpExpr *) *key->clause;

		op->opno = key->opno;
		op->opfuncid = get_opcode(key->opno);
		op->args = list_make2(key->column,
							  hone_rewrite_param(key->param, key->type,
												 exprCollation(key->value)));
		numbers[i] = key->param;
	}
	return hone_rewrite_deparse_numbers(loop->query, !loop->reader->constants,
										numbers, loop->nkeys);
}

static char *
make_lateral(Loop *loop)
{
	int			numbers[HONE_FINDING_KEYS];
	char	   *child = child_with_params(loop, numbers);
	const char *name = hone_rewrite_free_name(child, "keys");
	StringInfoData arrays;
	StringInfoData columns;
	StringInfoData output;
	char	   *text;

	initStringInfo(&arrays);
	initStringInfo(&columns);
	initStringInfo(&output);
	for (int i = 0; i < loop->nkeys; i++)
	{
		const char *column = i == 0 ? "key" : psprintf("key_%d", i + 1);

		appendStringInfo(&arrays, "%s$%d::%s", i ? ", " : "", numbers[i],
						 format_type_be_qualified(loop->keys[i].array_type));
		appendStringInfo(&columns, "%s%s", i ? ", " : "", column);
		appendStringInfo(&output, "%s.%s, ", name, column);
		child = hone_rewrite_replace_param(child, numbers[i], psprintf("%s.%s", name, column));
	}
	text = psprintf("SELECT %sc.*\nFROM unnest(%s) AS %s(%s)\nCROSS JOIN LATERAL (\n%s\n) AS c",
					output.data, arrays.data, name, columns.data, child);
	hone_rewrite_check(text);
	return text;
}

/* Name of the n-th column that a query returns; NULL if another has it too. */
static char *
output_name(Query *query, int n)
{
	char	   *name = NULL;
	int			times = 0;
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (!target->resjunk && --n == 0)
			name = target->resname;
	}
	if (name == NULL)
		return NULL;
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		times += !target->resjunk && target->resname && strcmp(target->resname, name) == 0;
	}
	return times == 1 ? name : NULL;
}

/*
 * Parent and child in one query: the keys are the parent's columns. Rows of the
 * parent that no row of the child belongs to are there too.
 */
static char *
make_join(Loop *loop)
{
	const HoneFinding *finding = loop->finding;
	Query	   *query = hone_rewrite_parse(&finding->parent);
	char	   *parent = hone_rewrite_deparse(query, !loop->reader->constants, NULL);
	int			offset = hone_rewrite_last_param(parent);
	int			numbers[HONE_FINDING_KEYS];
	char	   *child = child_with_params(loop, numbers);
	const char *name = hone_rewrite_free_name(child, "parent");
	char	   *text;

	for (int i = 0; i < loop->nkeys; i++)
	{
		char	   *column = output_name(query, finding->keys[i].column);

		if (column == NULL)
			return NULL;
		child = hone_rewrite_replace_param(child, numbers[i],
										   psprintf("%s.%s", name, quote_identifier(column)));
	}
	for (int i = hone_rewrite_last_param(child); i > 0 && offset > 0; i--)
		child = hone_rewrite_replace_param(child, i, psprintf("$%d", i + offset));
	text = psprintf("SELECT %s.*, child.*\nFROM (\n%s\n) AS %s\nLEFT JOIN LATERAL (\n%s\n) AS child ON true",
					name, parent, name, child);
	text = hone_rewrite_renumber(text);
	hone_rewrite_check(text);
	return text;
}

/* The table column, or the output column of an expression. */
static char *
origin_name(const HoneLoopKey *key, const HoneReader *reader)
{
	char	   *name = NULL;

	if (OidIsValid(key->relid) && key->attnum > 0)
		name = get_attname(key->relid, key->attnum, true);
	if (name == NULL)
		name = reader->texts ? pstrdup(NameStr(key->name)) : "an expression";
	return name;
}

/* [{"parent_column": ...}], the key that changes most first. */
static void
add_key_evidence(const HoneFinding *finding, const HoneReader *reader, HoneAdvice *advice)
{
	StringInfoData json;

	if (finding->keys[0].column == 0)
		return;
	initStringInfo(&json);
	for (int i = 0; i < finding->nkeys; i++)
	{
		appendStringInfoString(&json, i ? ", {\"parent_column\": " : "[{\"parent_column\": ");
		if (finding->keys[i].column > 0)
			escape_json(&json, origin_name(&finding->keys[i], reader));
		else
			appendStringInfoString(&json, "null");
		appendStringInfoChar(&json, '}');
	}
	appendStringInfoChar(&json, ']');
	hone_evidence_json(advice, "keys", json.data);
}

static void
add_evidence(const HoneFinding *finding, const HoneReader *reader,
			 HoneAdvice *advice)
{
	int64		per_burst = hone_finding_median(finding, finding->calls / finding->times);

	hone_evidence_json(advice, "confirmed", finding->confirmed > 0 ? "true" : "false");
	hone_evidence_integer(advice, "bursts", finding->times);
	hone_evidence_integer(advice, "bursts_confirmed", finding->confirmed);
	hone_evidence_integer(advice, "calls_per_burst", per_burst);
	hone_evidence_integer(advice, "calls_per_burst_max", finding->rows_max);
	hone_evidence_integer(advice, "parent_rows", finding->parent_rows);
	add_key_evidence(finding, reader, advice);
	hone_evidence_number(advice, "child_ms", finding->cost_ms - finding->gap_ms);
	hone_evidence_number(advice, "gap_ms", finding->gap_ms);
	hone_evidence_number(advice, "gap_ms_per_call", finding->gap_ms / finding->calls);
	hone_evidence_number(advice, "lost_ms_per_burst", finding->saving_ms / finding->times);
	hone_evidence_per_hour(advice, finding);
	if (reader->texts && finding->sample.context[0] != '\0')
		hone_evidence_text(advice, "function", finding->sample.context);
	hone_evidence_sample(advice, "child", &finding->sample, reader);
	hone_evidence_sample(advice, "parent", &finding->parent, reader);
}

static void
add_summary(const HoneFinding *finding, const HoneReader *reader, HoneAdvice *advice)
{
	char	   *child = hone_qualified_name(finding->key.relid);
	char	   *parent = finding->parent.nrels > 0 ?
	hone_qualified_name(finding->parent.rels[0]) : NULL;
	int64		calls = hone_finding_median(finding, finding->calls / finding->times);

	if (parent == NULL)
		parent = "another table";
	if (finding->confirmed > 0)
		hone_advice_set(advice, &advice->summary,
						"N+1: read %s once for all rows; it is queried row by row, " INT64_FORMAT " times in a burst, by column %s of a query of %s that returned " INT64_FORMAT " rows",
						child, calls, quote_identifier(origin_name(&finding->keys[0], reader)),
						parent, finding->parent_rows);
	else
		hone_advice_set(advice, &advice->summary,
						"potential N+1: %s is queried row by row, " INT64_FORMAT " times in a burst, after a query of %s that returned " INT64_FORMAT " rows",
						child, calls, parent, finding->parent_rows);
}

/* Look up the keys in the child's query; false if no fix can be made of it. */
static bool
find_loop(Loop *loop, HoneAdvice *advice)
{
	const HoneFinding *finding = loop->finding;
	Query	   *query = loop->query = hone_rewrite_parse(&finding->sample);
	Node	   *tree = (Node *) query->jointree;

	memset(loop->keys, 0, sizeof(loop->keys));
	loop->nkeys = finding->nkeys;
	for (int i = 0; i < loop->nkeys; i++)
		loop->keys[i].key = &finding->keys[i];
	find_keys(loop, &tree);
	if (loop->keys[0].clause == NULL)
	{
		advice->drop = !finding->sample.truncated && query->setOperations == NULL && !query->hasSubLinks &&
			query->cteList == NIL;
		hone_advice_set(advice, &advice->no_fix, "the key is not compared with = at the outer level of the query");
		return false;
	}
	if (hone_rewrite_max_param(query) > HONE_REWRITE_VARIABLES)
	{
		hone_advice_set(advice, &advice->no_fix, "which of the function's variables is the key is not known");
		return false;
	}
	for (int i = 0; i < loop->nkeys; i++)
	{
		LoopKey    *key = &loop->keys[i];

		if (key->clause == NULL)
		{
			hone_advice_set(advice, &advice->no_fix, "more than one value changes from call to call, and not all are compared with =");
			return false;
		}
		match_column_type(key);
		if (!OidIsValid(key->array_type))
		{
			hone_advice_set(advice, &advice->no_fix, "the key's type has no array type");
			return false;
		}
		key->param = IsA(strip_casts(key->value), Param) ?
			((Param *) strip_casts(key->value))->paramid : hone_rewrite_max_param(query) + 1 + i;
	}
	return true;
}

void
hone_advice_loop(const HoneFinding *finding, const HoneReader *reader,
				 HoneAdvice *advice)
{
	Loop		loop = {finding, reader};
	bool		joined = true;

	if (finding->refuted > 0 && finding->confirmed == 0)
	{
		advice->drop = true;
		return;
	}
	add_summary(finding, reader, advice);
	add_evidence(finding, reader, advice);
	if (!find_loop(&loop, advice))
		return;
	hone_advice_set(advice, &advice->fix, "%s",
					loop.nkeys == 1 && is_plain_filter(loop.query) ?
					make_any(&loop) : make_lateral(&loop));
	for (int i = 0; i < finding->nkeys; i++)
		joined &= finding->keys[i].column > 0;
	if (reader->texts && finding->confirmed > 0 && joined && find_loop(&loop, advice))
	{
		char	   *join = make_join(&loop);

		if (join != NULL)
			hone_evidence_text(advice, "join", join);
	}
}
