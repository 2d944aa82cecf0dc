/*-------------------------------------------------------------------------
 *
 * advice_condition.c
 *	  function_on_column, type_mismatch, leading_wildcard: conditions that no
 *	  plain index serves.
 *
 * The condition is looked up in the statement's tree by its table, column and
 * operator. A function or cast gets an index on the expression, which only an
 * immutable one can have; a cast to a date becomes a range of the column
 * itself; a value of another type is brought to the column's type, where that
 * changes no answer; a pattern gets an index of trigrams.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_coerce.h"
#include "parser/parse_oper.h"
#include "parser/parsetree.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

/* ---- the condition in the statement's tree ---- */

typedef struct Condition
{
	const HoneFinding *finding;
	Query	   *query;			/* that the walker is in */
	Node	   *clause;			/* OpExpr or ScalarArrayOpExpr, NULL: not found */
	bool		commuted;		/* value op expression */
	Index		rti;
} Condition;

typedef struct ColumnCheck
{
	Condition  *condition;
	bool		found;
} ColumnCheck;

/* True as soon as there is another column. */
static bool
column_walker(Node *node, void *context)
{
	ColumnCheck *check = context;

	if (node == NULL)
		return false;
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

static bool
is_over_column(Condition *condition, Node *node)
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
match_clause(Condition *condition, Node *clause, Oid opno, List *args)
{
	if (opno != condition->finding->quals[0].opno || list_length(args) != 2)
		return false;
	condition->commuted = is_over_column(condition, lsecond(args));
	if (!condition->commuted && !is_over_column(condition, linitial(args)))
		return false;
	condition->clause = clause;
	return true;
}

static bool
find_walker(Node *node, void *context)
{
	Condition  *condition = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *outer = condition->query;
		bool		found;

		condition->query = (Query *) node;
		found = query_tree_walker((Query *) node, find_walker, context, 0);
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

/* Throws if the statement cannot be parsed; false if the clause is not in it. */
static bool
find_condition(const HoneFinding *finding, Condition *condition, Query **query)
{
	memset(condition, 0, sizeof(Condition));
	condition->finding = finding;
	*query = hone_rewrite_parse(&finding->sample);
	return find_walker((Node *) *query, condition);
}

static List *
clause_args(Condition *condition)
{
	return IsA(condition->clause, OpExpr) ? ((OpExpr *) condition->clause)->args :
		((ScalarArrayOpExpr *) condition->clause)->args;
}

static Node *
column_side(Condition *condition)
{
	List	   *args = clause_args(condition);

	return condition->commuted ? lsecond(args) : linitial(args);
}

static Node *
value_side(Condition *condition)
{
	List	   *args = clause_args(condition);

	return condition->commuted ? linitial(args) : lsecond(args);
}

static Var *
find_column(Node *node)
{
	return linitial_node(Var, pull_var_clause(node, 0));
}

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

/* Is this the first column of a valid index: a column, or else an expression? */
static bool
index_begins_with(Relation index, AttrNumber attnum, Node *expr)
{
	List	   *expressions;

	if (!index->rd_index->indisvalid)
		return false;
	if (expr == NULL)
		return index->rd_index->indkey.values[0] == attnum;
	if (index->rd_index->indkey.values[0] != 0)
		return false;
	expressions = RelationGetIndexExpressions(index);
	return equal(linitial(expressions), expr);
}

static bool
is_trigram_method(Oid am)
{
	return am == GIN_AM_OID || am == GIST_AM_OID;
}

/* An index, of trigrams or ordered, that serves the condition. */
static bool
has_index(Oid relid, AttrNumber attnum, Node *expr, bool trigrams)
{
	Relation	rel;
	bool		found = false;
	ListCell   *lc;

	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("one of its tables is locked"),
				 errhint("Read hone.recommendations again when the lock is gone.")));
	rel = try_relation_open(relid, NoLock);
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
		if (trigrams ? is_trigram_method(index->rd_rel->relam) : index->rd_rel->relam == BTREE_AM_OID)
			found |= index_begins_with(index, attnum, expr);
		relation_close(index, NoLock);
	}
	relation_close(rel, NoLock);
	return found;
}

static char *
create_index(Oid relid, const char *columns)
{
	Oid			top = hone_relation_topmost(relid);
	bool		partitioned = get_rel_relkind(top) == RELKIND_PARTITIONED_TABLE;

	return psprintf("CREATE INDEX %sON %s %s", partitioned ? "" : "CONCURRENTLY ",
					hone_qualified_name(top), columns);
}

/* ---- what all three tell ---- */

static void
add_evidence(const HoneFinding *finding, const HoneReader *reader, HoneAdvice *advice)
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

/* Where other conditions are in the filter they may have removed the rows. */
static const char *
potential(const HoneFinding *finding)
{
	return finding->certain ? "" : "potential: ";
}

static int64
removed_p50(const HoneFinding *finding)
{
	return hone_finding_median(finding, finding->rows / finding->times);
}

/* btree strategy of the operator in its own type's default family, or 0. */
static int
condition_strategy(const HoneQual *qual)
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

/* ---- function_on_column ---- */

/* Cast of a timestamp to its date? */
static bool
is_date_cast(Node *node)
{
	return IsA(node, FuncExpr) && (((FuncExpr *) node)->funcid == F_DATE_TIMESTAMP ||
								   ((FuncExpr *) node)->funcid == F_DATE_TIMESTAMPTZ) &&
		IsA(linitial(((FuncExpr *) node)->args), Var);
}

/* left operator right, whatever the search_path is. */
static Node *
builtin_op(char *operator, Node *left, Node *right)
{
	return (Node *) make_op(NULL, list_make2(makeString("pg_catalog"), makeString(operator)),
							left, right, NULL, -1);
}

/* The first moment of the day 'days' after 'date', as the column has it. */
static Node *
start_of_day(Node *date, int days, Var *column)
{
	Node	   *day = copyObject(date);
	Oid			cast = column->vartype == TIMESTAMPOID ?
	F_TIMESTAMP_DATE : F_TIMESTAMPTZ_DATE;

	if (days > 0)
		day = builtin_op("+", day,
						 (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
											Int32GetDatum(days), false, true));
	return (Node *) makeFuncExpr(cast, column->vartype, list_make1(day), InvalidOid,
								 InvalidOid, COERCE_EXPLICIT_CAST);
}

static Node *
bound(Var *column, char *operator, Node *value)
{
	return builtin_op(operator, (Node *) copyObject(column), value);
}

/* The same condition on the column itself; NULL for what is no comparison. */
static Node *
date_range(Condition *condition, int strategy)
{
	Var		   *column = find_column(column_side(condition));
	Node	   *date = value_side(condition);

	if (!IsA(condition->clause, OpExpr) || exprType(date) != DATEOID)
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

/* All comparisons of the column's date in the query that the first one is in. */
static Node *
range_mutator(Node *node, void *context)
{
	Condition  *condition = context;
	Condition	other = *condition;
	List	   *args;
	int			strategy;
	Node	   *range;
	HoneQual	qual = {0};

	if (node == NULL)
		return NULL;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, range_mutator, context, 0);
	if (!IsA(node, OpExpr) || list_length(((OpExpr *) node)->args) != 2)
		return expression_tree_mutator(node, range_mutator, context);
	args = ((OpExpr *) node)->args;
	other.clause = node;
	other.commuted = is_over_column(&other, lsecond(args));
	if (other.rti != condition->rti || !is_date_cast(column_side(&other)) ||
		!is_over_column(&other, column_side(&other)))
		return expression_tree_mutator(node, range_mutator, context);
	qual.opno = ((OpExpr *) node)->opno;
	qual.commuted = other.commuted;
	strategy = condition_strategy(&qual);
	range = date_range(&other, strategy);
	return range ? range : expression_tree_mutator(node, range_mutator, context);
}

static void
add_range_fix(Condition *condition, Query *query, const HoneReader *reader,
			  HoneAdvice *advice)
{
	Oid			relid = condition->finding->key.relid;
	AttrNumber	attnum = condition->finding->quals[0].attnum;

	if (!hone_relation_has_index(relid, list_make1_int(attnum), 0))
		hone_evidence_text(advice, "index",
						   create_index(relid, psprintf("(%s)", quote_identifier(get_attname(relid, attnum, false)))));
	query = (Query *) range_mutator((Node *) query, condition);
	hone_advice_set(advice, &advice->fix, "%s",
					hone_rewrite_deparse(query, !reader->constants, NULL));
}

/* CREATE INDEX on the expression, if it can have one. */
static void
add_expression_fix(Node *expr, Oid relid, const char *method, const char *opclass,
				   const HoneReader *reader, HoneAdvice *advice)
{
	char	   *columns;

	if (contain_mutable_functions(expr))
		hone_advice_set(advice, &advice->no_fix,
						"the expression is not immutable, so it cannot be indexed: compare the column itself");
	else if (!reader->constants && contains_const(expr, NULL))
		hone_advice_set(advice, &advice->no_fix, "the expression holds constants");
	else
	{
		columns = deparse_index_expression(relid, expr);
		hone_advice_set(advice, &advice->fix, "%s",
						create_index(relid, psprintf("%s(%s%s)", method, columns, opclass)));
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
									format_type_be(find_column(side)->vartype)));
}

void
hone_advice_function(const HoneFinding *finding, const HoneReader *reader,
					 HoneAdvice *advice)
{
	Oid			relid = finding->key.relid;
	int			strategy = condition_strategy(&finding->quals[0]);
	Condition	condition;
	Query	   *query;
	Node	   *expr;

	if (strategy == 0)
	{
		advice->drop = true;
		return;
	}
	hone_advice_set(advice, &advice->summary,
					"%sindex the expression or compare %s.%s itself: a function or cast over it keeps indexes out, " INT64_FORMAT " rows are read and thrown away",
					potential(finding), hone_qualified_name(relid),
					quote_identifier(get_attname(relid, finding->quals[0].attnum, false)),
					removed_p50(finding));
	add_evidence(finding, reader, advice);
	if (!find_condition(finding, &condition, &query))
	{
		hone_advice_set(advice, &advice->no_fix, "the condition is in a view or function");
		return;
	}
	expr = expression_mutator(column_side(&condition), NULL);
	advice->drop = contain_volatile_functions(expr) || has_index(relid, 0, expr, false);
	if (advice->drop)
		return;
	if (is_date_cast(column_side(&condition)) && date_range(&condition, strategy))
		add_range_fix(&condition, query, reader, advice);
	else
	{
		add_cast_evidence(column_side(&condition), advice);
		add_expression_fix(expr, relid, "", "", reader, advice);
	}
}

/* ---- type_mismatch ---- */

typedef struct Replacement
{
	Node	   *clause;
	Node	   *by;
} Replacement;

static Node *
replace_mutator(Node *node, void *context)
{
	Replacement *replacement = context;

	if (node == NULL)
		return NULL;
	if (node == replacement->clause)
		return replacement->by;
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, replace_mutator, context, 0);
	return expression_tree_mutator(node, replace_mutator, context);
}

/* Builtin cast function from one type to another that takes nothing else. */
static Oid
cast_function(Oid from, Oid to)
{
	Oid			function;

	if (find_coercion_pathway(to, from, COERCION_EXPLICIT, &function) != COERCION_PATH_FUNC ||
		function >= FirstNormalObjectId || get_func_nargs(function) != 1)
		return InvalidOid;
	return function;
}

/*
 * The constant in the column's type, if there and back again it is the same.
 * Only functions of the server itself are called.
 */
static Const *
cast_constant(Const *con, Oid type, const char **problem)
{
	Oid			down;
	Oid			up;
	TypeCacheEntry *entry = lookup_type_cache(con->consttype, TYPECACHE_EQ_OPR_FINFO);
	int16		length;
	bool		by_value;
	Datum		value;

	if (find_coercion_pathway(type, con->consttype, COERCION_EXPLICIT, &down) == COERCION_PATH_RELABELTYPE)
	{
		con = copyObject(con);
		con->consttype = type;
		con->constcollid = get_typcollation(type);
		return con;
	}
	down = cast_function(con->consttype, type);
	up = cast_function(type, con->consttype);
	if (con->constisnull || !OidIsValid(down) || !OidIsValid(up) ||
		!OidIsValid(entry->eq_opr) || entry->eq_opr >= FirstNormalObjectId)
	{
		*problem = "the value cannot be cast to the column's type";
		return NULL;
	}
	value = OidFunctionCall1(down, con->constvalue);
	if (!DatumGetBool(FunctionCall2Coll(&entry->eq_opr_finfo, con->constcollid,
										OidFunctionCall1(up, value), con->constvalue)))
	{
		*problem = "no value of the column's type is equal to the constant";
		return NULL;
	}
	get_typlenbyval(type, &length, &by_value);
	return makeConst(type, -1, get_typcollation(type), length, value, false, by_value);
}

static bool
count_walker(Node *node, void *context)
{
	int		   *counter = context;	/* [0]: parameter, [1]: times it occurs */

	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN &&
		((Param *) node)->paramid == counter[0])
		counter[1]++;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, count_walker, context, 0);
	return expression_tree_walker(node, count_walker, context);
}

/* A constant under a cast of the server itself, as 1::numeric is. */
static Node *
fold_cast(Node *node)
{
	FuncExpr   *cast = (FuncExpr *) node;
	Const	   *con;
	int16		length;
	bool		by_value;

	if (!IsA(node, FuncExpr) || cast->funcid >= FirstNormalObjectId ||
		list_length(cast->args) != 1 || !IsA(linitial(cast->args), Const))
		return node;
	con = linitial_node(Const, cast->args);
	if (con->constisnull || cast_function(con->consttype, cast->funcresulttype) != cast->funcid)
		return node;
	get_typlenbyval(cast->funcresulttype, &length, &by_value);
	return (Node *) makeConst(cast->funcresulttype, -1, InvalidOid, length,
							  OidFunctionCall1(cast->funcid, con->constvalue), false, by_value);
}

/* The value in the column's type, or NULL and why not. */
static Node *
cast_value(Query *query, Node *value, Oid type, const char **problem)
{
	int			counter[2] = {0, 0};

	value = fold_cast(value);
	if (IsA(value, Const))
		return (Node *) cast_constant((Const *) value, type, problem);
	if (!IsA(value, Param))
	{
		*problem = "the value is an expression: cast it to the column's type";
		return NULL;
	}
	counter[0] = ((Param *) value)->paramid;
	count_walker((Node *) query, counter);
	if (counter[1] != 1)
	{
		*problem = "the parameter has other uses: bind another one of the column's type";
		return NULL;
	}
	return (Node *) hone_rewrite_param(counter[0], type, get_typcollation(type));
}

/*
 * Is the column compared with a parameter as it is? The text does not say what
 * type a client declared, and the parser takes the column's.
 */
static bool
parameter_walker(Node *node, void *context)
{
	Condition  *condition = context;
	List	   *args;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *outer = condition->query;
		bool		found;

		condition->query = (Query *) node;
		found = query_tree_walker((Query *) node, parameter_walker, context, 0);
		condition->query = outer;
		return found;
	}
	if (!IsA(node, OpExpr) || list_length(((OpExpr *) node)->args) != 2)
		return expression_tree_walker(node, parameter_walker, context);
	args = ((OpExpr *) node)->args;
	return (IsA(linitial(args), Param) && IsA(lsecond(args), Var) &&
			is_over_column(condition, lsecond(args))) ||
		(IsA(lsecond(args), Param) && IsA(linitial(args), Var) &&
		 is_over_column(condition, linitial(args)));
}

/* The text with its parameters' types, if they are what was amiss. */
static void
add_parameter_fix(const HoneFinding *finding, Query *query, const HoneReader *reader,
				  HoneAdvice *advice)
{
	HoneFinding plain = *finding;
	Condition	condition = {&plain};

	plain.inside = false;
	if (parameter_walker((Node *) query, &condition))
		hone_advice_set(advice, &advice->fix, "%s",
						hone_rewrite_deparse(query, !reader->constants, NULL));
	else
		hone_advice_set(advice, &advice->no_fix, "the condition is in a view or function");
}

/* column op value, both of the column's type. */
static Node *
cast_clause(Condition *condition, Query *query, const char **problem)
{
	Var		   *column = find_column(column_side(condition));
	Oid			opno = condition->finding->quals[0].opno;
	Node	   *value;

	if (!IsA(condition->clause, OpExpr) || opno >= FirstNormalObjectId)
	{
		*problem = "the condition is not a comparison with one value";
		return NULL;
	}
	if (condition->commuted)
		opno = get_commutator(opno);
	value = cast_value(query, value_side(condition), column->vartype, problem);
	if (value == NULL)
		return NULL;
	return builtin_op(get_opname(opno), (Node *) column, value);
}

void
hone_advice_type(const HoneFinding *finding, const HoneReader *reader,
				 HoneAdvice *advice)
{
	Oid			relid = finding->key.relid;
	AttrNumber	attnum = finding->quals[0].attnum;
	char	   *type = format_type_be(get_atttype(relid, attnum));
	const char *problem = NULL;
	Condition	condition;
	Replacement replacement;
	Query	   *query;

	/* where there is none, none is kept out */
	advice->drop = condition_strategy(&finding->quals[0]) == 0 ||
		!hone_relation_has_index(relid, list_make1_int(attnum), 0);
	if (advice->drop)
		return;
	hone_advice_set(advice, &advice->summary,
					"%sgive the value of %s.%s as %s: its type forces a cast of the column, which keeps the index out, " INT64_FORMAT " rows are read and thrown away",
					potential(finding), hone_qualified_name(relid),
					quote_identifier(get_attname(relid, attnum, false)), type,
					removed_p50(finding));
	hone_evidence_text(advice, "column_type", type);
	add_evidence(finding, reader, advice);
	if (!find_condition(finding, &condition, &query))
	{
		add_parameter_fix(finding, query, reader, advice);
		return;
	}
	hone_evidence_text(advice, "value_type", format_type_be(exprType(value_side(&condition))));
	replacement.clause = condition.clause;
	replacement.by = cast_clause(&condition, query, &problem);
	if (replacement.by == NULL)
		hone_advice_set(advice, &advice->no_fix, "%s", problem);
	else
		hone_advice_set(advice, &advice->fix, "%s",
						hone_rewrite_deparse((Query *) replace_mutator((Node *) query, &replacement),
											 !reader->constants, NULL));
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
	Condition	condition;
	Query	   *query;
	Node	   *expr = NULL;

	advice->drop = !finding->inside && has_index(relid, attnum, NULL, true);
	if (advice->drop)
		return;
	hone_advice_set(advice, &advice->summary,
					"%sindex the trigrams of %s.%s%s: a pattern that begins with a wildcard reads and throws away " INT64_FORMAT " rows",
					potential(finding), hone_qualified_name(relid), column,
					installed ? "" : " (needs CREATE EXTENSION pg_trgm)",
					removed_p50(finding));
	if (!installed)
		hone_evidence_text(advice, "needs", "CREATE EXTENSION pg_trgm");
	add_evidence(finding, reader, advice);
	if (!finding->inside)
	{
		hone_advice_set(advice, &advice->fix, "%s",
						create_index(relid, psprintf("USING gin (%s %s)", column, opclass)));
		return;
	}
	if (!find_condition(finding, &condition, &query))
	{
		hone_advice_set(advice, &advice->no_fix, "the condition is in a view or function");
		return;
	}
	expr = expression_mutator(column_side(&condition), NULL);
	advice->drop = has_index(relid, 0, expr, true);
	add_expression_fix(expr, relid, "USING gin ", psprintf(" %s", opclass), reader, advice);
}
