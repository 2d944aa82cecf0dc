/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  SQL conditions and SET clauses that come as text.
 *
 * The text is handed to the server's own grammar on its own, in the mode that
 * PL/pgSQL uses for expressions. What parses there as a single target without
 * any clause is one expression, and no quoting or bracketing trick in it can
 * reach beyond the parentheses that it is then put into. A SET clause is parsed
 * as all that an UPDATE has beside its table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "nodes/parsenodes.h"

#include "batch/condition.h"
#include "common/error_text.h"

#define UPDATE_NOTHING	"UPDATE t SET "

#define ASSIGNMENTS_HINT \
	"Pass what stands between SET and WHERE in an UPDATE, for example 'price = price * 1.1, changed_at = now()'."

#define CONDITION_HINT \
	"Pass one boolean SQL expression over the table's columns, for example 'created_at < now() - interval ''1 year'''."

/*
 * Nothing but one unnamed expression: no FROM, WHERE, ORDER BY and so on,
 * which the grammar would take as well.
 */
static bool
is_bare_expression(SelectStmt *select)
{
	ResTarget  *target;

	if (list_length(select->targetList) != 1 ||
		select->distinctClause != NIL || select->intoClause != NULL ||
		select->fromClause != NIL || select->whereClause != NULL ||
		select->groupClause != NIL || select->havingClause != NULL ||
		select->windowClause != NIL || select->valuesLists != NIL ||
		select->sortClause != NIL || select->limitOffset != NULL ||
		select->limitCount != NULL || select->lockingClause != NIL ||
		select->withClause != NULL || select->op != SETOP_NONE)
		return false;
	target = linitial_node(ResTarget, select->targetList);
	return target->name == NULL && target->indirection == NIL;
}

static bool
contains_parameter(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, ParamRef))
		return true;
	return raw_expression_tree_walker(node, contains_parameter, context);
}

void
hone_check_condition(const char *condition)
{
	List	   *parsed = hone_parse(condition, RAW_PARSE_PLPGSQL_EXPR, CONDITION_HINT);
	RawStmt    *raw;

	if (list_length(parsed) == 1)
	{
		raw = linitial_node(RawStmt, parsed);
		if (IsA(raw->stmt, SelectStmt) &&
			is_bare_expression((SelectStmt *) raw->stmt))
		{
			if (!contains_parameter(raw->stmt, NULL))
				return;
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_PARAMETER),
					 errmsg("the condition must not contain parameters"),
					 errhint("Write the values into the condition, for example with format('%%I < %%L', ...).")));
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("the condition is not a single expression"),
			 errhint(CONDITION_HINT)));
}

/*
 * Of the grammar's statement nothing but a table, as we have put it, and what
 * follows SET.
 */
static UpdateStmt *
parse_assignments(const char *assignments)
{
	char	   *text = psprintf("%s%s", UPDATE_NOTHING, assignments);
	HoneErrorText place;
	List	   *parsed;
	RawStmt    *raw;
	UpdateStmt *update;

	hone_error_text_begin(&place, assignments, ASSIGNMENTS_HINT);
	place.skip = strlen(UPDATE_NOTHING);
	parsed = raw_parser(text, RAW_PARSE_DEFAULT);
	hone_error_text_end(&place);
	if (list_length(parsed) != 1)
		return NULL;
	raw = linitial_node(RawStmt, parsed);
	/* a length means that a semicolon ends it */
	if (!IsA(raw->stmt, UpdateStmt) || raw->stmt_len != 0)
		return NULL;
	update = (UpdateStmt *) raw->stmt;
	if (update->fromClause != NIL || update->whereClause != NULL ||
		update->withClause != NULL || HONE_UPDATE_RETURNS(update))
		return NULL;
	return update;
}

List *
hone_check_assignments(const char *assignments)
{
	UpdateStmt *update = parse_assignments(assignments);
	List	   *columns = NIL;
	ListCell   *lc;

	if (update == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("the SET clause is more than assignments"),
				 errhint(ASSIGNMENTS_HINT)));
	if (contains_parameter((Node *) update, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_PARAMETER),
				 errmsg("the SET clause must not contain parameters"),
				 errhint("Write the values into it, for example with format('%%I = %%L', ...).")));
	foreach(lc, update->targetList)
		columns = lappend(columns, pstrdup(lfirst_node(ResTarget, lc)->name));
	return columns;
}
