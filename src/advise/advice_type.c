/*-------------------------------------------------------------------------
 *
 * advice_type.c
 *	  type_mismatch: the value in the column's type.
 *
 * A constant is brought to the column's type only if it is the same there and
 * back again: a rounded one would find other rows.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/transam.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "advise/clause.h"
#include "advise/rewrite.h"

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

static bool
is_float(Oid type)
{
	return type == FLOAT4OID || type == FLOAT8OID;
}

/* A float from which on not every whole number has one of its own. */
static bool
is_inexact(Const *con)
{
	return con->consttype == FLOAT8OID && !con->constisnull &&
		!(fabs(DatumGetFloat8(con->constvalue)) < 9007199254740992.0);
}

/* A text as character(n), which does not know blanks at the end. */
static Const *
relabel_constant(Const *con, Oid type, const char **problem)
{
	char	   *value;

	if (con->constisnull || con->consttype != TEXTOID || type != BPCHAROID)
	{
		*problem = "the value cannot be cast to the column's type";
		return NULL;
	}
	value = TextDatumGetCString(con->constvalue);
	if (value[0] != '\0' && value[strlen(value) - 1] == ' ')
	{
		*problem = "blanks at the end of the value count for its type, and not for the column's";
		return NULL;
	}
	con = copyObject(con);
	con->consttype = type;
	con->constcollid = get_typcollation(type);
	return con;
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
		return relabel_constant(con, type, problem);
	down = cast_function(con->consttype, type);
	up = cast_function(type, con->consttype);
	if (type == NUMERICOID && is_float(con->consttype))
	{
		*problem = "several values of the column's type are equal to the constant";
		return NULL;
	}
	if (OidIsValid(down) && OidIsValid(up) &&
		(func_volatile(down) != PROVOLATILE_IMMUTABLE || func_volatile(up) != PROVOLATILE_IMMUTABLE))
	{
		*problem = "what the value is in the column's type depends on the session's TimeZone";
		return NULL;
	}
	if (con->constisnull || is_inexact(con) || !OidIsValid(down) || !OidIsValid(up) ||
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
	HoneClause *condition = context;
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
			hone_clause_is_over_column(condition, lsecond(args))) ||
		(IsA(lsecond(args), Param) && IsA(linitial(args), Var) &&
		 hone_clause_is_over_column(condition, linitial(args)));
}

/* The text with its parameters' types, if they are what was amiss. */
static void
add_parameter_fix(const HoneFinding *finding, Query *query, const HoneReader *reader,
				  HoneAdvice *advice)
{
	HoneFinding plain = *finding;
	HoneClause	condition = {&plain};

	plain.inside = false;
	if (parameter_walker((Node *) query, &condition))
		hone_advice_set(advice, &advice->fix, "%s",
						hone_rewrite_deparse(query, !reader->constants, NULL));
	else
		hone_advice_set(advice, &advice->no_fix, "the condition is in a view or function");
}

/* column op value, both of the column's type. */
static Node *
cast_clause(HoneClause *condition, Query *query, const char **problem)
{
	Var		   *column = hone_clause_var(hone_clause_column(condition));
	Oid			opno = condition->finding->quals[0].opno;
	Node	   *value;

	if (!IsA(condition->clause, OpExpr) || opno >= FirstNormalObjectId)
	{
		*problem = "the condition is not a comparison with one value";
		return NULL;
	}
	if (condition->commuted)
		opno = get_commutator(opno);
	value = cast_value(query, hone_clause_value(condition), column->vartype, problem);
	if (value == NULL)
		return NULL;
	return hone_clause_operator(get_opname(opno), (Node *) column, value);
}

void
hone_advice_type(const HoneFinding *finding, const HoneReader *reader,
				 HoneAdvice *advice)
{
	Oid			relid = finding->key.relid;
	AttrNumber	attnum = finding->quals[0].attnum;
	char	   *type = format_type_be(get_atttype(relid, attnum));
	const char *problem = NULL;
	HoneClause	condition;
	Replacement replacement;
	Query	   *query;

	/* where there is none, none is kept out */
	advice->drop = hone_clause_strategy(&finding->quals[0]) == 0 ||
		!hone_relation_has_index(relid, list_make1_int(attnum), 0);
	if (advice->drop)
		return;
	hone_advice_set(advice, &advice->summary,
					"%sgive the value of %s.%s as %s: its type forces a cast of the column, which keeps the index out, " INT64_FORMAT " rows are read and thrown away",
					hone_clause_doubt(finding), hone_qualified_name(relid),
					quote_identifier(get_attname(relid, attnum, false)), type,
					hone_clause_removed(finding));
	hone_evidence_text(advice, "column_type", type);
	hone_clause_evidence(finding, reader, advice);
	if (!hone_clause_find(finding, &condition, &query))
	{
		add_parameter_fix(finding, query, reader, advice);
		return;
	}
	hone_evidence_text(advice, "value_type", format_type_be(exprType(hone_clause_value(&condition))));
	replacement.clause = condition.clause;
	replacement.by = cast_clause(&condition, query, &problem);
	if (replacement.by == NULL)
		hone_advice_set(advice, &advice->no_fix, "%s", problem);
	else
		hone_advice_set(advice, &advice->fix, "%s",
						hone_rewrite_deparse((Query *) replace_mutator((Node *) query, &replacement),
											 !reader->constants, NULL));
}
