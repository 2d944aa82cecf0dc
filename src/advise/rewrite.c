/*-------------------------------------------------------------------------
 *
 * rewrite.c
 *	  Statements as trees (see rewrite.h).
 *
 * Analysis goes through transformTopLevelStmt directly: no planner, no
 * rewriter, and none of the hooks that count statements. Deparsing is the
 * server's own. Nothing of the statement is executed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/analyze.h"
#include "parser/parse_param.h"
#include "parser/parser.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"

#include "advise/rewrite.h"
#include "stats/stats.h"

/* ---- text to Query ---- */

typedef struct QualifyContext
{
	const HoneSample *sample;
	List	   *ctes;			/* names that WITH defines */
} QualifyContext;

static bool
collect_ctes(Node *node, QualifyContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, CommonTableExpr))
		context->ctes = lappend(context->ctes, ((CommonTableExpr *) node)->ctename);
	return raw_expression_tree_walker(node, collect_ctes, context);
}

static bool
is_cte(QualifyContext *context, const char *name)
{
	ListCell   *lc;

	foreach(lc, context->ctes)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

void
hone_rewrite_lock(Oid relid, LOCKMODE mode)
{
	if (!ConditionalLockRelationOid(relid, mode))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("one of its tables is locked"),
				 errhint("Read hone.recommendations again when the lock is gone.")));
}

/* Views, which the sample does not have, would be waited for by analysis. */
static void
lock_named(RangeVar *var)
{
	Oid			relid = RangeVarGetRelid(var, NoLock, true);

	if (OidIsValid(relid))
		hone_rewrite_lock(relid, AccessShareLock);
}

/* Give each table without a schema the schema the sample saw it in. */
static bool
qualify(Node *node, QualifyContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, RangeVar))
	{
		RangeVar   *var = (RangeVar *) node;
		char	   *schema = var->schemaname;

		for (int i = 0; i < context->sample->nrels && schema == NULL; i++)
		{
			Oid			relid = context->sample->rels[i];
			char	   *name = get_rel_name(relid);

			if (name == NULL || strcmp(name, var->relname) != 0 ||
				is_cte(context, var->relname))
				continue;
			if (var->schemaname != NULL)
				ereport(ERROR,
						(errcode(ERRCODE_AMBIGUOUS_ALIAS),
						 errmsg("the statement reads two tables of one name"),
						 errhint("A statement that names their schemas can be rewritten.")));
			var->schemaname = get_namespace_name(get_rel_namespace(relid));
		}
		if (var->schemaname != NULL || !is_cte(context, var->relname))
			lock_named(var);
	}
	if (IsA(node, LockingClause))
		return false;			/* names aliases */
	return raw_expression_tree_walker(node, qualify, context);
}

static List *variable_names = NIL;

/* A name that is no column: a variable of the function around. */
static Node *
variable_reference(ParseState *pstate, ColumnRef *cref, Node *var)
{
	ParamRef   *param;
	char	   *name;
	int			number = 0;
	ListCell   *lc;

	if (var != NULL || IsA(llast(cref->fields), A_Star))
		return NULL;
	name = NameListToString(cref->fields);
	foreach(lc, variable_names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			break;
		number++;
	}
	if (number == list_length(variable_names))
		variable_names = lappend(variable_names, name);
	param = makeNode(ParamRef);
	param->number = HONE_REWRITE_VARIABLES + number;
	param->location = cref->location;
	return pstate->p_paramref_hook(pstate, param);
}

static Query *
analyze_statement(RawStmt *raw, const char *text, bool with_variables)
{
	ParseState *pstate = make_parsestate(NULL);
	Oid		   *types = NULL;
	int			ntypes = 0;
	Query	   *query;

	pstate->p_sourcetext = text;

	setup_parse_variable_parameters(pstate, &types, &ntypes);
	if (with_variables)
	{
		variable_names = NIL;
		pstate->p_post_columnref_hook = variable_reference;
	}
	query = transformTopLevelStmt(pstate, raw);
	check_variable_parameters(pstate, query);
	for (int i = 0; i < ntypes; i++)
	{
		/* as PREPARE has it, but for variables, whose numbers have gaps */
		if (!with_variables && (!OidIsValid(types[i]) || types[i] == UNKNOWNOID))
			ereport(ERROR,
					(errcode(ERRCODE_INDETERMINATE_DATATYPE),
					 errmsg("could not determine data type of parameter $%d", i + 1)));
	}
	free_parsestate(pstate);
	return query;
}

/* What is inside PREPARE, DECLARE CURSOR, EXPLAIN or COPY. */
static Node *
inner_statement(Node *statement)
{
	for (;;)
	{
		if (statement == NULL)
			return NULL;
		switch (nodeTag(statement))
		{
			case T_PrepareStmt:
				statement = ((PrepareStmt *) statement)->query;
				break;
			case T_DeclareCursorStmt:
				statement = ((DeclareCursorStmt *) statement)->query;
				break;
			case T_ExplainStmt:
				statement = ((ExplainStmt *) statement)->query;
				break;
			case T_CopyStmt:
				statement = ((CopyStmt *) statement)->query;
				break;
			default:
				return statement;
		}
	}
}

SelectStmt *
hone_rewrite_select(Node *statement)
{
	statement = inner_statement(statement);
	return statement && IsA(statement, SelectStmt) ? (SelectStmt *) statement : NULL;
}

bool
hone_rewrite_has_star(Node *statement)
{
	SelectStmt *select = hone_rewrite_select(statement);
	ListCell   *lc;

	if (select == NULL)
		return false;
	while (select->larg != NULL)
		select = select->larg;
	foreach(lc, select->targetList)
	{
		ResTarget  *target = lfirst_node(ResTarget, lc);

		if (target->val != NULL && IsA(target->val, ColumnRef) &&
			IsA(llast(((ColumnRef *) target->val)->fields), A_Star))
			return true;
	}
	return false;
}

static bool
is_write(const Node *statement)
{
	return IsA(statement, InsertStmt) || IsA(statement, UpdateStmt) ||
		IsA(statement, DeleteStmt);
}

/* One SELECT or, with 'writes', one INSERT, UPDATE or DELETE. */
static RawStmt *
parse_one(const char *text, bool writes)
{
	List	   *trees = raw_parser(text, RAW_PARSE_DEFAULT);
	RawStmt    *raw;

	raw = list_length(trees) == 1 ? linitial_node(RawStmt, trees) : NULL;
	if (raw != NULL)
		raw->stmt = inner_statement(raw->stmt);
	if (raw != NULL && raw->stmt != NULL && IsA(raw->stmt, SelectStmt) &&
		((SelectStmt *) raw->stmt)->intoClause == NULL)
		return raw;
	if (raw == NULL || raw->stmt == NULL || !writes || !is_write(raw->stmt))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg(writes ? "the statement is not a single SELECT, INSERT, UPDATE or DELETE" :
						"the statement is not a single SELECT"),
				 errhint("Other statements are not rewritten for hone.recommendations.")));
	return raw;
}

/* A long statement may be whole in the statistics. */
const char *
hone_rewrite_text(const HoneSample *sample)
{
	const char *text = sample->text;

	if (sample->truncated)
		text = hone_stats_sample_text(MyDatabaseId, sample->queryid);
	if (text == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the statement is too long to be kept"),
				 errhint("Statements of up to %d bytes are kept for hone.recommendations.", HONE_SAMPLE_TEXT - 1)));
	return text;
}

bool
hone_rewrite_sample_has_star(const HoneSample *sample)
{
	return hone_rewrite_has_star(parse_one(hone_rewrite_text(sample), false)->stmt);
}

static LOCKMODE
lock_mode(const Node *statement)
{
	if (!IsA(statement, SelectStmt))
		return RowExclusiveLock;
	return ((const SelectStmt *) statement)->lockingClause ? RowShareLock : AccessShareLock;
}

static Query *
parse_sample(const HoneSample *sample, bool writes)
{
	QualifyContext context = {sample, NIL};
	const char *text = hone_rewrite_text(sample);
	LOCKMODE	mode;
	RawStmt    *raw;

	raw = parse_one(text, writes);
	mode = lock_mode(raw->stmt);
	for (int i = 0; i < sample->nrels; i++)
		hone_rewrite_lock(sample->rels[i], mode);
	if (sample->search_path[0] != '\0')
		(void) set_config_option("search_path", sample->search_path, PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	collect_ctes(raw->stmt, &context);
	qualify(raw->stmt, &context);
	return analyze_statement(raw, text, sample->nested);
}

Query *
hone_rewrite_parse(const HoneSample *sample)
{
	return parse_sample(sample, false);
}

Query *
hone_rewrite_parse_write(const HoneSample *sample)
{
	return parse_sample(sample, true);
}

void
hone_rewrite_check(const char *text)
{
	analyze_statement(parse_one(text, true), text, false);
}

/* ---- Query to text ---- */

typedef struct RenumberContext
{
	Bitmapset  *params;			/* numbers that occur */
	int			next;			/* for masked constants */
	bool		mask;
	bool		all;			/* mask what is NULL or boolean, too */
	Oid			types[HONE_REWRITE_PARAMS]; /* of the new parameters, from 1 */
} RenumberContext;

static bool
collect_params(Node *node, RenumberContext *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
		context->params = bms_add_member(context->params, ((Param *) node)->paramid);
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, collect_params, context, 0);
	return expression_tree_walker(node, collect_params, context);
}

int
hone_rewrite_max_param(Query *query)
{
	RenumberContext context = {NULL, 0, false};
	int			id = -1;
	int			max = 0;

	collect_params((Node *) query, &context);
	while ((id = bms_next_member(context.params, id)) >= 0)
		max = id;
	return max;
}

Param *
hone_rewrite_param(int id, Oid type, Oid collation)
{
	Param	   *param = makeNode(Param);

	param->paramkind = PARAM_EXTERN;
	param->paramid = id;
	param->paramtype = type;
	param->paramtypmod = -1;
	param->paramcollid = collation;
	param->location = -1;
	return param;
}

/* Position of a member among the members, from 1. */
static int
new_number(RenumberContext *context, int id)
{
	int			number = 1;
	int			member = -1;

	while ((member = bms_next_member(context->params, member)) >= 0 && member < id)
		number++;
	return number;
}

/* ($n)::type */
static Node *
typed_param(RenumberContext *context, int number, Oid type, Oid collation)
{
	if (number < HONE_REWRITE_PARAMS)
		context->types[number] = type;
	return (Node *) makeRelabelType((Expr *) hone_rewrite_param(number, type, collation),
									type, -1, collation, COERCE_EXPLICIT_CAST);
}

static Node *
renumber(Node *node, RenumberContext *context)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_EXTERN)
	{
		Param	   *param = (Param *) node;

		return typed_param(context, new_number(context, param->paramid),
						   param->paramtype, param->paramcollid);
	}
	if (IsA(node, Const) && context->mask &&
		(context->all || (!((Const *) node)->constisnull &&
						  ((Const *) node)->consttype != BOOLOID)))
	{
		Const	   *con = (Const *) node;

		return typed_param(context, context->next++, con->consttype, con->constcollid);
	}
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, renumber, context, 0);
	if (IsA(node, FuncExpr) &&
		(((FuncExpr *) node)->funcformat == COERCE_EXPLICIT_CAST ||
		 ((FuncExpr *) node)->funcformat == COERCE_IMPLICIT_CAST) &&
		list_length(((FuncExpr *) node)->args) > 1)
	{
		/* a cast: what is behind its value is not written */
		FuncExpr   *cast = copyObject((FuncExpr *) node);

		linitial(cast->args) = renumber(linitial(cast->args), context);
		return (Node *) cast;
	}
	return expression_tree_mutator(node, renumber, context);
}

/*
 * Of one table's query columns are written without the table's name, and in
 * ORDER BY a name is first that of an output column: another one of that name
 * would be sorted by instead.
 */
static bool
hides_column(Query *query)
{
	RangeTblEntry *rte = linitial_node(RangeTblEntry, query->rtable);
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);
		Var		   *var = (Var *) HONE_FLATTEN_GROUPS(query, target->expr);
		ListCell   *name;

		if (target->resjunk || target->resname == NULL)
			continue;
		foreach(name, rte->eref->colnames)
		{
			if (strcmp(strVal(lfirst(name)), target->resname) == 0 &&
				!(IsA(var, Var) && var->varlevelsup == 0 &&
				  var->varattno == foreach_current_index(name) + 1))
				return true;
		}
	}
	return false;
}

/* With a second entry in the range table, columns are written with their table. */
static void
qualify_columns(Query *query)
{
	RangeTblEntry *nothing;

	if (query->commandType != CMD_SELECT || HONE_PLAIN_ENTRIES(query) != 1 ||
		!hides_column(query))
		return;
	nothing = makeNode(RangeTblEntry);
	nothing->rtekind = RTE_RESULT;
	nothing->eref = makeAlias("*RESULT*", NIL);
	query->rtable = lappend(query->rtable, nothing);
}

static char *
deparse(Query *query, RenumberContext *context, int *numbers, int n)
{
	int			nest_level;
	char	   *text;

	collect_params((Node *) query, context);
	context->next = bms_num_members(context->params) + 1;
	for (int i = 0; i < n; i++)
		numbers[i] = new_number(context, numbers[i]);
	query = (Query *) renumber((Node *) query, context);
	qualify_columns(query);

	nest_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	text = pg_get_querydef(query, true);

	hone_rewrite_check(text);
	AtEOXact_GUC(true, nest_level);
	while (*text == ' ')
		text++;
	return text;
}

char *
hone_rewrite_deparse_numbers(Query *query, bool mask, int *numbers, int n)
{
	RenumberContext context = {NULL, 0, mask};

	return deparse(query, &context, numbers, n);
}

char *
hone_rewrite_deparse(Query *query, bool mask, int *number)
{
	return hone_rewrite_deparse_numbers(query, mask, number, number ? 1 : 0);
}

/* ---- one row to many ---- */

/* unnest($1::a[], $2::b[]) AS name(v1, v2) */
static char *
unnest_arrays(RenumberContext *context, const char *name)
{
	StringInfoData arrays;
	StringInfoData columns;

	initStringInfo(&arrays);
	initStringInfo(&columns);
	for (int i = 1; i < context->next; i++)
	{
		Oid			array = get_array_type(context->types[i]);

		if (!OidIsValid(array))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("type %s has no array type", format_type_be(context->types[i]))));
		appendStringInfo(&arrays, "%s$%d::%s", i > 1 ? ", " : "", i, format_type_be_qualified(array));
		appendStringInfo(&columns, "%sv%d", i > 1 ? ", " : "", i);
	}
	return psprintf("unnest(%s) AS %s(%s)", arrays.data, name, columns.data);
}

static bool
is_current_of(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, CurrentOfExpr) || expression_tree_walker(node, is_current_of, context);
}

/* What means something else, or fails, where there are many rows. */
static void
refuse_what_needs_rows(Query *query)
{
	if (query->jointree != NULL && is_current_of(query->jointree->quals, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the statement writes the row of a cursor")));
	if (query->onConflict != NULL && query->onConflict->action == ONCONFLICT_UPDATE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ON CONFLICT DO UPDATE fails where a key comes twice in one statement: send many rows if each comes once")));
}

char *
hone_rewrite_many_rows(Query *query)
{
	RenumberContext context = {NULL, 0, true, true};
	char	   *text;
	const char *name;
	char	   *rows;
	int			at;
	int			opening = 0;
	int			closing;
	ListCell   *lc;

	refuse_what_needs_rows(query);
	foreach(lc, query->targetList)
	{
		if (query->commandType == CMD_INSERT &&
			IsA(lfirst_node(TargetEntry, lc)->expr, SetToDefault))
			query->targetList = foreach_delete_current(query->targetList, lc);
	}
	text = deparse(query, &context, NULL, 0);
	if (context.next == 1 || context.next > HONE_REWRITE_PARAMS)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg(context.next == 1 ? "the statement has no values" : "the statement has too many values")));
	name = hone_rewrite_free_name(text, "batch");
	rows = unnest_arrays(&context, name);
	for (int i = 1; i < context.next; i++)
		text = hone_rewrite_replace_param(text, i, psprintf("%s.v%d", name, i));
	if (query->commandType == CMD_INSERT)
	{
		at = hone_rewrite_find_word(text, "VALUES");
		closing = at < 0 ? -1 : hone_rewrite_find_closing(text, at, &opening);
		if (closing < 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the statement has no list of values")));
		text = psprintf("%.*sSELECT %.*s\n  FROM %s%s", at, text,
						closing - opening - 1, text + opening + 1, rows, text + closing + 1);
	}
	else
	{
		bool		update = query->commandType == CMD_UPDATE;

		at = hone_rewrite_find_word(text, "WHERE");
		if (at < 0 || list_length(query->rtable) > 1)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("the statement reads other tables, or has no WHERE")));
		text = psprintf("%.*s%s %s\n  %s", at, text, update ? "FROM" : "USING", rows, text + at);
	}
	hone_rewrite_check(text);
	return text;
}
