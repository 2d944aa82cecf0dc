/*-------------------------------------------------------------------------
 *
 * page_query.c
 *	  A query that is read page by page, and its order.
 *
 * The query is parsed by the server's own grammar, looked at, analyzed, and
 * printed from its tree: no text of the caller becomes part of a statement.
 * The order is parsed as one, and each of its columns looked up among the
 * query's output columns.
 *
 * The order is made total by what makes the query's rows unique: the keys of
 * its tables (total_order.c), the columns of GROUP BY, or else all of its
 * columns. A table's key that is not in the output is added to it, and taken
 * out of the rows again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/analyze.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/typcache.h"

#include "batch/page_query.h"
#include "common/error_text.h"
#include "common/relation.h"
#include "common/total_order.h"

#define QUERY_HINT	"Pass one SELECT, for example 'SELECT id, name FROM items WHERE price > $1'."
#define ORDER_HINT	"Name output columns of the query, for example 'created_at DESC, name'."

/* As in SQL. */
static char *
quoted(const char *name)
{
	return pstrdup(quote_identifier(name));
}

static void
report_query(int code, const char *problem)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("the query %s", problem),
			 errhint(QUERY_HINT)));
}

/* What no part of the query may be. */
static bool
check_part(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SelectStmt))
	{
		SelectStmt *select = (SelectStmt *) node;

		if (select->intoClause != NULL)
			report_query(ERRCODE_FEATURE_NOT_SUPPORTED, "must not create a table: it has INTO");
		if (select->lockingClause != NIL)
			report_query(ERRCODE_FEATURE_NOT_SUPPORTED, "must not lock rows: it has FOR UPDATE or its like");
	}
	if (IsA(node, CommonTableExpr) && !IsA(((CommonTableExpr *) node)->ctequery, SelectStmt))
		report_query(ERRCODE_FEATURE_NOT_SUPPORTED, "must not change rows: a WITH query is no SELECT");
	return raw_expression_tree_walker(node, check_part, context);
}

static RawStmt *
parse_query(const char *text)
{
	List	   *parsed = hone_parse(text, RAW_PARSE_DEFAULT, QUERY_HINT);
	RawStmt    *raw;
	SelectStmt *select;

	if (list_length(parsed) != 1)
		report_query(ERRCODE_SYNTAX_ERROR, parsed == NIL ? "is empty" : "is more than one statement");
	raw = linitial_node(RawStmt, parsed);
	if (!IsA(raw->stmt, SelectStmt))
		report_query(ERRCODE_FEATURE_NOT_SUPPORTED, "is no SELECT");
	(void) check_part(raw->stmt, NULL);
	select = (SelectStmt *) raw->stmt;
	if (select->sortClause != NIL && select->limitCount == NULL &&
		select->limitOffset == NULL && select->distinctClause == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query has an ORDER BY of its own"),
				 errhint("Pass the order as order_by: hone.page('SELECT id, name FROM items', 'name DESC').")));
	return raw;
}

static void
analyze(HonePageQuery *page, RawStmt *raw, const char *text)
{
	HoneErrorText place;

	hone_error_text_begin(&place, text, NULL);
	page->query = parse_analyze_varparams(raw, text, &page->param_types, &page->nparams, NULL);
	hone_error_text_end(&place);
	if (page->query->commandType != CMD_SELECT || page->query->hasModifyingCTE ||
		page->query->rowMarks != NIL)
		report_query(ERRCODE_FEATURE_NOT_SUPPORTED, "does not only read");
	for (int i = 0; i < page->nparams; i++)
	{
		if (!OidIsValid(page->param_types[i]))
			page->param_types[i] = TEXTOID;
	}
}

/* ------------------------------------------------------------------------
 * The order
 * ------------------------------------------------------------------------
 */

/* ORDER BY and nothing else; the text stands behind the words. */
static List *
parse_order(const char *order_by)
{
	char	   *text = psprintf("SELECT ORDER BY %s", order_by);
	List	   *parsed = hone_parse(text, RAW_PARSE_DEFAULT, ORDER_HINT);
	SelectStmt *select;

	if (list_length(parsed) == 1 && IsA(linitial_node(RawStmt, parsed)->stmt, SelectStmt))
	{
		select = (SelectStmt *) linitial_node(RawStmt, parsed)->stmt;
		if (select->op == SETOP_NONE && select->targetList == NIL &&
			select->fromClause == NIL && select->whereClause == NULL &&
			select->valuesLists == NIL && select->groupClause == NIL &&
			select->limitCount == NULL && select->limitOffset == NULL &&
			select->lockingClause == NIL && select->withClause == NULL &&
			select->distinctClause == NIL && select->intoClause == NULL)
			return select->sortClause;
	}
	ereport(ERROR,
			(errcode(ERRCODE_SYNTAX_ERROR),
			 errmsg("order_by is not a list of columns"),
			 errhint(ORDER_HINT)));
	return NIL;
}

static char *
output_names(Query *query)
{
	StringInfoData names;
	ListCell   *lc;

	initStringInfo(&names);
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (!target->resjunk)
			appendStringInfo(&names, "%s%s", names.len ? ", " : "", quote_identifier(target->resname));
	}
	return names.data;
}

static bool
is_name_used_twice(Query *query, const TargetEntry *target)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *other = lfirst_node(TargetEntry, lc);

		if (other != target && !other->resjunk && strcmp(other->resname, target->resname) == 0)
			return true;
	}
	return false;
}

static TargetEntry *
find_output(Query *query, const char *name)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->resjunk || strcmp(target->resname, name) != 0)
			continue;
		if (is_name_used_twice(query, target))
			ereport(ERROR,
					(errcode(ERRCODE_AMBIGUOUS_COLUMN),
					 errmsg("the query has more than one output column \"%s\"", name),
					 errhint("Give them different names with AS.")));
		return target;
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 errmsg("order_by names \"%s\", which is no output column of the query", name),
			 errhint("The query's columns are: %s.", output_names(query))));
	return NULL;
}

/* A built-in operator of this name, one character. */
static bool
is_built_in(Oid opno, const char *text, char name)
{
	return opno < FirstNormalObjectId && strcmp(text, psprintf("OPERATOR(pg_catalog.%c)", name)) == 0;
}

static bool
has_order(Oid type)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_LT_OPR | TYPECACHE_GT_OPR | TYPECACHE_EQ_OPR);

	/* a cursor could not be read again */
	if (type == RECORDOID || type == RECORDARRAYOID)
		return false;
	return OidIsValid(entry->lt_opr) && OidIsValid(entry->gt_opr) && OidIsValid(entry->eq_opr);
}

static bool
is_not_null(const HonePaging *paging, Expr *expr)
{
	Var		   *var = (Var *) expr;
	RangeTblEntry *rte;

	if (!IsA(var, Var) || var->varlevelsup > 0 || var->varattno <= 0 ||
		!list_member_int(paging->rels, var->varno))
		return false;
	/* heirs may have nulls where their parent has none */
	rte = rt_fetch(var->varno, paging->query->rtable);
	if (rte->relkind == RELKIND_RELATION && rte->inh && has_subclass(rte->relid))
		return false;
	return paging->problem == NULL &&
		!list_member_int(paging->nullable, var->varno) &&
		hone_relation_not_null(rte->relid, var->varattno);
}

/* Append a column to the order, if it is not in it. */
static void
add_column(HonePageQuery *page, HonePaging *paging, TargetEntry *target,
		   bool descending, bool nulls_first)
{
	HonePageColumn *column = &page->columns[page->ncolumns];
	Oid			type = getBaseType(exprType((Node *) target->expr));
	TypeCacheEntry *entry;

	for (int i = 0; i < page->ncolumns; i++)
	{
		if (strcmp(page->columns[i].name, target->resname) == 0)
			return;
	}
	if (page->ncolumns == HONE_PAGE_ORDER)
		ereport(ERROR,
				(errcode(ERRCODE_TOO_MANY_COLUMNS),
				 errmsg("the order has more than %d columns", HONE_PAGE_ORDER),
				 errhint("Order by a unique column, so that no others are needed.")));
	if (!has_order(type))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("column \"%s\" has type %s, which has no order",
						target->resname, format_type_be(type)),
				 errhint("Order by other columns, or by one that is cast to a type with an order.")));
	entry = lookup_type_cache(type, TYPECACHE_LT_OPR | TYPECACHE_GT_OPR | TYPECACHE_EQ_OPR);
	column->name = target->resname;
	column->label = quoted(target->resname);
	column->type = type;
	column->collation = exprCollation((Node *) target->expr);
	column->descending = descending;
	column->nulls_first = nulls_first;
	column->not_null = is_not_null(paging, target->expr);
	column->operators[0] = hone_operator_text(entry->lt_opr);
	column->operators[1] = hone_operator_text(entry->eq_opr);
	column->operators[2] = hone_operator_text(entry->gt_opr);
	column->built_in = is_built_in(entry->lt_opr, column->operators[0], '<') &&
		is_built_in(entry->gt_opr, column->operators[2], '>');
	page->ncolumns++;

	/* for hone_order_has() */
	if (paging->nkeys < HONE_PAGE_KEYS)
	{
		paging->keys[paging->nkeys].expr = (Node *) target->expr;
		paging->keys[paging->nkeys++].eqop = entry->eq_opr;
	}
}

static void
read_order(HonePageQuery *page, HonePaging *paging, const char *order_by)
{
	ListCell   *lc;

	if (order_by[strspn(order_by, " \t\n\r\f\v")] == '\0')
		return;
	foreach(lc, parse_order(order_by))
	{
		SortBy	   *sort = lfirst_node(SortBy, lc);
		ColumnRef  *column = (ColumnRef *) sort->node;
		TargetEntry *target;
		bool		descending = sort->sortby_dir == SORTBY_DESC;

		if (!IsA(column, ColumnRef) || list_length(column->fields) != 1 ||
			!IsA(linitial(column->fields), String) || sort->sortby_dir == SORTBY_USING)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("order_by takes names of output columns only"),
					 errhint("Give an expression a name in the query, with AS, and order by that.")));
		target = find_output(page->query, strVal(linitial(column->fields)));
		add_column(page, paging, target, descending,
				   sort->sortby_nulls == SORTBY_NULLS_DEFAULT ? descending :
				   sort->sortby_nulls == SORTBY_NULLS_FIRST);
	}
}

/* ------------------------------------------------------------------------
 * What makes it total
 * ------------------------------------------------------------------------
 */

/* In the direction of the last column, so that one index may serve all. */
static void
append_column(HonePageQuery *page, HonePaging *paging, TargetEntry *target, char *label)
{
	bool		descending = page->ncolumns > 0 && page->columns[page->ncolumns - 1].descending;
	int			before = page->ncolumns;

	add_column(page, paging, target, descending, descending);
	if (page->ncolumns > before)
	{
		page->columns[before].label = label;
		page->added = lappend(page->added, label);
	}
}

static bool
is_output_name(Query *query, const char *name)
{
	ListCell   *lc;

	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (!target->resjunk && strcmp(target->resname, name) == 0)
			return true;
	}
	return false;
}

/* A target that is not in the output, or whose name is not its own. */
static void
show_target(HonePageQuery *page, TargetEntry *target)
{
	int			number = list_length(page->hidden);

	do
		target->resname = psprintf("hone_key_%d", ++number);
	while (is_output_name(page->query, target->resname));
	target->resjunk = false;
	page->hidden = lappend(page->hidden, target->resname);
}

/*
 * A join with a name of its own hides those of its tables: the column is
 * printed as the outermost one calls it.
 */
static void
name_by_join(Query *query, Var *var)
{
	ListCell   *lc;

	foreach(lc, query->rtable)
	{
		RangeTblEntry *rte = lfirst_node(RangeTblEntry, lc);
		ListCell   *column;

		if (rte->rtekind != RTE_JOIN || rte->alias == NULL)
			continue;
		foreach(column, rte->joinaliasvars)
		{
			Var		   *other = lfirst(column);

			if (other != NULL && IsA(other, Var) && other->varno == var->varno &&
				other->varattno == var->varattno && other->varlevelsup == 0)
			{
				var->varnosyn = foreach_current_index(lc) + 1;
				var->varattnosyn = foreach_current_index(column) + 1;
			}
		}
	}
}

/* The table's column among the outputs, or a new one behind them. */
static void
append_key_column(HonePageQuery *page, HonePaging *paging, int rti, AttrNumber attnum)
{
	Query	   *query = page->query;
	RangeTblEntry *rte = rt_fetch(rti, query->rtable);
	char	   *name = get_attname(rte->relid, attnum, false);
	TargetEntry *target;
	ListCell   *lc;
	Oid			type;
	int32		typmod;
	Oid			collation;
	Var		   *key;

	foreach(lc, query->targetList)
	{
		Var		   *var;

		target = lfirst_node(TargetEntry, lc);
		var = (Var *) target->expr;
		if (!target->resjunk && IsA(var, Var) && var->varno == rti && var->varlevelsup == 0 &&
			var->varattno == attnum && !is_name_used_twice(query, target))
		{
			append_column(page, paging, target, quoted(target->resname));
			return;
		}
	}
	get_atttypetypmodcoll(rte->relid, attnum, &type, &typmod, &collation);
	key = makeVar(rti, attnum, type, typmod, collation, 0);
	name_by_join(query, key);
	target = makeTargetEntry((Expr *) key,
							 list_length(query->targetList) + 1, NULL, true);
	query->targetList = lappend(query->targetList, target);
	show_target(page, target);
	append_column(page, paging, target, psprintf("%s.%s", quote_identifier(rte->eref->aliasname), quote_identifier(name)));
}

static bool
append_table_keys(HonePageQuery *page, HonePaging *paging)
{
	int			rti;

	if (paging->problem != NULL || paging->rels == NIL)
		return false;
	while ((rti = hone_order_next(paging)) > 0)
	{
		ListCell   *lc;
		int			before = paging->nkeys;

		foreach(lc, hone_order_key(paging, rti))
		{
			if (!hone_order_has(paging, rti, lfirst_int(lc)))
				append_key_column(page, paging, rti, lfirst_int(lc));
		}
		if (paging->nkeys == before)
			return false;		/* more keys than it looks at */
	}
	return paging->problem == NULL;
}

/* Rows of GROUP BY differ in its columns. */
static bool
append_groups(HonePageQuery *page, HonePaging *paging)
{
	ListCell   *lc;

	foreach(lc, page->query->groupClause)
	{
		TargetEntry *target = get_sortgroupclause_tle(lfirst_node(SortGroupClause, lc),
													  page->query->targetList);

		if (!has_order(getBaseType(exprType((Node *) target->expr))))
			return false;
	}
	foreach(lc, page->query->groupClause)
	{
		TargetEntry *target = get_sortgroupclause_tle(lfirst_node(SortGroupClause, lc),
													  page->query->targetList);
		bool		hide = target->resjunk;

		if (!hide && is_name_used_twice(page->query, target))
			find_output(page->query, target->resname);
		if (hide)
			show_target(page, target);
		append_column(page, paging, target, hide ? "a column of GROUP BY" :
					  quoted(target->resname));
	}
	return true;
}

/* The last resort: all columns. Rows may still be equal in all of them. */
static void
append_all(HonePageQuery *page, HonePaging *paging)
{
	ListCell   *lc;

	foreach(lc, page->query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->resjunk || !has_order(getBaseType(exprType((Node *) target->expr))))
			continue;
		if (is_name_used_twice(page->query, target))
			find_output(page->query, target->resname);
		append_column(page, paging, target, quoted(target->resname));
	}
	if (page->ncolumns == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the query has no output column with an order"),
				 errhint("Select a key of the table, too.")));
}

static bool
is_plain(Query *query)
{
	return !query->hasAggs && query->groupClause == NIL && query->groupingSets == NIL &&
		query->havingQual == NULL && query->distinctClause == NIL &&
		query->setOperations == NULL && !query->hasTargetSRFs;
}

static void
make_total(HonePageQuery *page, HonePaging *paging)
{
	Query	   *query = page->query;

	if (is_plain(query))
		page->unique = append_table_keys(page, paging);
	else if (query->groupClause != NIL && query->groupingSets == NIL &&
			 query->distinctClause == NIL && !query->hasTargetSRFs)
		page->unique = append_groups(page, paging);
	else if (query->setOperations == NULL && query->groupClause == NIL &&
			 query->groupingSets == NIL && query->hasAggs && !query->hasTargetSRFs)
		page->unique = page->ncolumns > 0;	/* one row */
	if (!page->unique)
		append_all(page, paging);
}

static char *
order_text(HonePageQuery *page)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < page->ncolumns; i++)
	{
		HonePageColumn *column = &page->columns[i];

		appendStringInfo(&text, "%s%s%s%s", i ? ", " : "", column->label,
						 column->descending ? " DESC" : "",
						 column->nulls_first == column->descending ? "" :
						 column->nulls_first ? " NULLS FIRST" : " NULLS LAST");
	}
	return text.data;
}

HonePageQuery *
hone_page_query(const char *query, const char *order_by)
{
	HonePageQuery *page = palloc0(sizeof(HonePageQuery));
	HonePaging *paging = palloc0(sizeof(HonePaging));
	char	   *tree;
	uint64		mark;

	analyze(page, parse_query(query), query);
	tree = nodeToString(page->query);
	mark = hash_bytes_extended((const unsigned char *) tree, strlen(tree), 0);
	paging->query = page->query;
	if (is_plain(page->query))
		hone_order_collect(paging);
	else
		paging->problem = "it is not plain";
	page->simple = is_plain(page->query) && paging->problem == NULL &&
		!page->query->hasWindowFuncs && page->query->limitCount == NULL &&
		page->query->limitOffset == NULL && page->query->cteList == NIL;
	read_order(page, paging, order_by);
	make_total(page, paging);
	page->total_order = order_text(page);
	page->text = pg_get_querydef(page->query, false);
	page->mark = mark;
	return page;
}
