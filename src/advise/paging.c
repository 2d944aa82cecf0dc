/*-------------------------------------------------------------------------
 *
 * paging.c
 *	  The same pages without OFFSET.
 *
 * Keyset: the order is made total by appending tables' keys. Where all columns
 * of the order are NOT NULL and of one direction, "after the last row" is a
 * row comparison, which an index serves as a whole; otherwise it is spelled
 * out, column by column, with nulls where the order has them. The columns of
 * the order are put into the output, because the client needs those of its
 * last row to ask for the next page.
 *
 * Deferred join: the page's keys are found first, its rows fetched then. For
 * clients that jump to any page.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "advise/paging.h"
#include "advise/rewrite.h"

#define INSTEAD_NUMBERED \
	"write the result to a table or materialized view when it changes, with " \
	"row_number() OVER (the order) AS n and an index on n, and read a page as " \
	"WHERE n > $1 AND n <= $1 + page size; or limit how deep pages may go"
#define INSTEAD_TIES \
	"append a key to ORDER BY and read pages without WITH TIES"
#define INSTEAD_KEY \
	"give the table a primary key and append it to ORDER BY: until then pages " \
	"may repeat or lose rows, with OFFSET too"
#define INSTEAD_PLAIN \
	"page through the table that gives the order first, in a subquery with its " \
	"own ORDER BY and LIMIT, and join the rest to that page; or limit how deep " \
	"pages may go"

static bool
is_not_null(HonePaging *page, Node *expr)
{
	Var		   *var = (Var *) expr;
	RangeTblEntry *rte;

	if (!IsA(var, Var) || list_member_int(page->nullable, var->varno))
		return false;
	rte = rt_fetch(var->varno, page->query->rtable);
	return rte->rtekind == RTE_RELATION &&
		hone_relation_not_null(rte->relid, var->varattno);
}

static char *
key_name(HonePaging *page, Node *expr)
{
	Var		   *var = (Var *) expr;

	if (IsA(var, Var) && var->varlevelsup == 0 && var->varattno > 0)
		return get_rte_attribute_name(rt_fetch(var->varno, page->query->rtable),
									  var->varattno);
	return psprintf("key_%d", page->nkeys + 1);
}

/* The name, or another one if an output column has it already. */
static char *
unused_name(HonePaging *page, char *name)
{
	ListCell   *lc;

	foreach(lc, page->query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (!target->resjunk && target->resname && strcmp(target->resname, name) == 0)
			return unused_name(page, psprintf("%s_%d", name, page->nkeys + 1));
	}
	return name;
}

static bool
is_moving_function(Oid funcid, void *context)
{
	switch (funcid)
	{
		case F_NOW:
		case F_TRANSACTION_TIMESTAMP:
		case F_STATEMENT_TIMESTAMP:
		case F_AGE_TIMESTAMP:
		case F_AGE_TIMESTAMPTZ:
			return true;
		default:
			return funcid >= FirstNormalObjectId &&
				func_volatile(funcid) != PROVOLATILE_IMMUTABLE;
	}
}

/* Does a row's place in the order depend on when the page is read? */
static bool
is_moving(Node *node, void *context)
{
	if (node == NULL)
		return false;
	return IsA(node, SQLValueFunction) ||
		check_functions_in_node(node, is_moving_function, context) ||
		expression_tree_walker(node, is_moving, context);
}

/* Add one column of the order, and make it an output column. */
static void
add_key(HonePaging *page, SortGroupClause *clause, TargetEntry *target)
{
	HonePageKey *key = &page->keys[page->nkeys];
	HONE_ORDERING_TYPE type;

	if (page->nkeys == HONE_PAGE_KEYS)
	{
		page->problem = "the order has too many columns";
		page->instead = INSTEAD_NUMBERED;
		return;
	}
	key->expr = (Node *) target->expr;
	if (contain_volatile_functions(key->expr) || contain_subplans(key->expr) ||
		is_moving(key->expr, NULL) ||
		get_typtype(exprType(key->expr)) == TYPTYPE_PSEUDO ||
		!get_ordering_op_properties(clause->sortop, &key->opfamily,
									&key->opcintype, &type))
	{
		page->problem = "the order is not one of plain values";
		page->instead = INSTEAD_NUMBERED;
		return;
	}
	key->sortop = clause->sortop;
	key->eqop = clause->eqop;
	key->descending = HONE_ORDERING_DESCENDS(type);
	key->nulls_first = clause->nulls_first;
	key->not_null = is_not_null(page, key->expr);
	if (target->resjunk)
	{
		target->resname = unused_name(page, key_name(page, key->expr));
		target->resjunk = false;
		page->added = lappend(page->added, target);
	}
	key->name = target->resname;
	key->target = target;
	page->nkeys++;
}

/* The table's column in the output; added at the end if it is not there. */
static TargetEntry *
column_target(HonePaging *page, int rti, AttrNumber attnum)
{
	Oid			relid = rt_fetch(rti, page->query->rtable)->relid;
	TargetEntry *target;
	ListCell   *lc;
	Oid			type;
	int32		typmod;
	Oid			collation;

	foreach(lc, page->query->targetList)
	{
		Var		   *var;

		target = lfirst_node(TargetEntry, lc);
		var = (Var *) target->expr;
		if (IsA(var, Var) && var->varno == rti && var->varattno == attnum)
			return target;
	}
	get_atttypetypmodcoll(relid, attnum, &type, &typmod, &collation);
	target = makeTargetEntry((Expr *) makeVar(rti, attnum, type, typmod, collation, 0),
							 list_length(page->query->targetList) + 1,
							 NULL, true);
	page->query->targetList = lappend(page->query->targetList, target);
	return target;
}

/* Append a table's key to the order, in the direction of its last column. */
static void
append_relation_key(HonePaging *page, int rti)
{
	bool		descending = page->nkeys > 0 && page->keys[page->nkeys - 1].descending;
	ListCell   *lc;

	foreach(lc, hone_order_key(page, rti))
	{
		TargetEntry *target;
		SortGroupClause *clause;
		Oid			less;
		Oid			greater;

		if (hone_order_has(page, rti, lfirst_int(lc)) || page->problem)
			continue;
		target = column_target(page, rti, lfirst_int(lc));
		clause = makeNode(SortGroupClause);
		get_sort_group_operators(exprType((Node *) target->expr), true, true, true,
								 &less, &clause->eqop, &greater, &clause->hashable);
		clause->sortop = descending ? greater : less;
		clause->nulls_first = descending;
		clause->tleSortGroupRef = assignSortGroupRef(target, page->query->targetList);
		page->query->sortClause = lappend(page->query->sortClause, clause);
		add_key(page, clause, target);
	}
}

/* What cannot be gone on from at a row of a table. */
static void
find_problem(HonePaging *page)
{
	Query	   *query = page->query;

	if (query->hasAggs || query->hasWindowFuncs || query->groupClause ||
		query->distinctClause || query->setOperations || query->havingQual ||
		query->groupingSets || query->hasTargetSRFs)
	{
		page->problem = "the query groups, combines or numbers its rows";
		page->instead = INSTEAD_NUMBERED;
	}
	else if (query->limitOption == LIMIT_OPTION_WITH_TIES)
	{
		page->problem = "a page WITH TIES ends where the order says, not a key";
		page->instead = INSTEAD_TIES;
	}
	else
	{
		hone_order_collect(page);
		if (page->rels == NIL && page->problem == NULL)
			page->problem = "the query reads no table";
		if (page->problem)
			page->instead = INSTEAD_PLAIN;
	}
}

HonePaging *
hone_paging_read(Query *query)
{
	HonePaging *page = palloc0(sizeof(HonePaging));
	ListCell   *lc;
	int			rti;

	page->query = query;
	find_problem(page);
	foreach(lc, query->sortClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);

		if (page->problem == NULL)
			add_key(page, clause, get_sortgroupclause_tle(clause, query->targetList));
	}
	if (page->problem)
		return page;

	page->nordered = page->nkeys;
	while (page->problem == NULL && (rti = hone_order_next(page)) > 0)
		append_relation_key(page, rti);
	if (page->problem && page->instead == NULL)
		page->instead = INSTEAD_KEY;
	return page;
}

/* expr comes after the parameter in the order; nulls apart. */
static Node *
after_clause(const HonePageKey *key)
{
	return (Node *) make_opclause(get_commutator(key->sortop), BOOLOID, false,
								  (Expr *) copyObject(key->expr),
								  (Expr *) copyObject(key->param),
								  InvalidOid, exprCollation(key->expr));
}

static Node *
null_test(Node *arg, NullTestType type)
{
	NullTest   *test = makeNode(NullTest);

	test->arg = copyObject((Expr *) arg);
	test->nulltesttype = type;
	test->location = -1;
	return (Node *) test;
}

/* The same, with nulls where the order has them. */
static Node *
after_or_null(const HonePageKey *key)
{
	Node	   *null;

	if (key->not_null)
		return after_clause(key);
	if (key->nulls_first)
		null = (Node *) makeBoolExpr(AND_EXPR,
									 list_make2(null_test((Node *) key->param, IS_NULL),
												null_test(key->expr, IS_NOT_NULL)), -1);
	else
		null = (Node *) makeBoolExpr(AND_EXPR,
									 list_make2(null_test(key->expr, IS_NULL),
												null_test((Node *) key->param, IS_NOT_NULL)), -1);
	return (Node *) makeBoolExpr(OR_EXPR, list_make2(after_clause(key), null), -1);
}

static Node *
same_clause(const HonePageKey *key)
{
	Expr	   *same = make_opclause(key->eqop, BOOLOID, false,
									 (Expr *) copyObject(key->expr),
									 (Expr *) copyObject(key->param),
									 InvalidOid, exprCollation(key->expr));

	if (key->not_null)
		return (Node *) same;

	/* IS DISTINCT FROM is written without its operator's schema */
	return (Node *)
		makeBoolExpr(OR_EXPR,
					 list_make2(same,
								makeBoolExpr(AND_EXPR,
											 list_make2(null_test(key->expr, IS_NULL),
														null_test((Node *) key->param, IS_NULL)),
											 -1)), -1);
}

/* after(1) OR (same(1) AND (after(2) OR ...)), from key 'from' on. */
static Node *
expanded_condition(HonePaging *page, int from)
{
	HonePageKey *key = &page->keys[from];

	if (from == page->nkeys - 1)
		return after_or_null(key);
	return (Node *)
		makeBoolExpr(OR_EXPR,
					 list_make2(after_or_null(key),
								makeBoolExpr(AND_EXPR,
											 list_make2(same_clause(key),
														expanded_condition(page, from + 1)),
											 -1)), -1);
}

/*
 * expr at or after the parameter: lets an index find the start. Where nulls
 * come first, that is for a parameter that is not null, which the planner sees
 * when it plans for the value. None where they come last.
 */
static Node *
bound_clause(const HonePageKey *key)
{
	Oid			opno = get_opfamily_member(key->opfamily, key->opcintype, key->opcintype,
										   key->descending ? BTLessEqualStrategyNumber :
										   BTGreaterEqualStrategyNumber);
	Node	   *bound;

	if (!OidIsValid(opno) || (!key->not_null && !key->nulls_first))
		return NULL;
	bound = (Node *) make_opclause(opno, BOOLOID, false,
								   (Expr *) copyObject(key->expr),
								   (Expr *) copyObject(key->param),
								   InvalidOid, exprCollation(key->expr));
	if (key->not_null)
		return bound;
	return (Node *) makeBoolExpr(OR_EXPR,
								 list_make2(null_test((Node *) key->param, IS_NULL), bound), -1);
}

static Node *
row_comparison(HonePaging *page)
{
	RowCompareExpr *row = makeNode(RowCompareExpr);

	HONE_SET_ROW_COMPARE(row, page->keys[0].descending);
	for (int i = 0; i < page->nkeys; i++)
	{
		HonePageKey *key = &page->keys[i];

		row->opnos = lappend_oid(row->opnos, get_commutator(key->sortop));
		row->opfamilies = lappend_oid(row->opfamilies, key->opfamily);
		row->inputcollids = lappend_oid(row->inputcollids, exprCollation(key->expr));
		row->largs = lappend(row->largs, copyObject(key->expr));
		row->rargs = lappend(row->rargs, copyObject(key->param));
	}
	return (Node *) row;
}

static bool
is_default_order(const HonePageKey *key)
{
	return key->opfamily ==
		lookup_type_cache(exprType(key->expr), TYPECACHE_BTREE_OPFAMILY)->btree_opf;
}

/*
 * Row comparisons are written with one operator for all columns, and without
 * its schema: whose operators are found wherever the text is run?
 */
static bool
may_compare_rows(const HonePageKey *key)
{
	return is_default_order(key) && key->sortop < FirstNormalObjectId;
}

static Node *
page_condition(HonePaging *page, const char **form)
{
	bool		row = page->nkeys > 1;
	Node	   *bound;
	Node	   *condition;

	for (int i = 0; i < page->nkeys; i++)
		row &= page->keys[i].not_null && may_compare_rows(&page->keys[i]) &&
			page->keys[i].descending == page->keys[0].descending;
	*form = row ? "row comparison" : page->nkeys == 1 ? "comparison" : "expanded";
	if (row)
		return row_comparison(page);
	condition = expanded_condition(page, 0);
	bound = page->nkeys > 1 ? bound_clause(&page->keys[0]) : NULL;
	if (bound)
		condition = (Node *) makeBoolExpr(AND_EXPR, list_make2(bound, condition), -1);
	return condition;
}

/* The index that serves the order, when it is of one table's columns. */
static void
add_index_evidence(HonePaging *page, HoneAdvice *advice)
{
	HoneOrderColumn columns[HONE_PAGE_KEYS];
	StringInfoData ddl;
	Oid			relid;

	if (list_length(page->rels) != 1)
		return;
	relid = rt_fetch(linitial_int(page->rels), page->query->rtable)->relid;
	initStringInfo(&ddl);
	appendStringInfo(&ddl, "CREATE INDEX %sON %s (",
					 get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ? "" : "CONCURRENTLY ",
					 hone_qualified_name(relid));
	for (int i = 0; i < page->nkeys; i++)
	{
		HonePageKey *key = &page->keys[i];
		Var		   *var = (Var *) key->expr;

		if (!IsA(var, Var) || var->varattno <= 0 || !is_default_order(key))
			return;
		columns[i].attnum = var->varattno;
		columns[i].descending = key->descending;
		columns[i].nulls_first = key->nulls_first;
		columns[i].opfamily = key->opfamily;
		columns[i].collation = var->varcollid;
		appendStringInfo(&ddl, "%s%s%s%s", i ? ", " : "",
						 quote_identifier(get_attname(relid, var->varattno, false)),
						 key->descending ? " DESC" : "",
						 key->nulls_first == key->descending ? "" :
						 key->nulls_first ? " NULLS FIRST" : " NULLS LAST");
	}
	appendStringInfoChar(&ddl, ')');
	hone_evidence_text(advice, "index", ddl.data);
	hone_evidence_json(advice, "index_exists",
					   hone_relation_has_order(relid, columns, page->nkeys) ? "true" : "false");
}

/* The output column that a client reads a key from. */
static char *
key_output(HonePaging *page, const HonePageKey *key)
{
	ListCell   *lc;

	foreach(lc, page->query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (key->target != NULL && target != key->target && !target->resjunk && target->resname &&
			strcmp(target->resname, key->name) == 0)
			return psprintf("%s (output column %d)", key->name, key->target->resno);
	}
	return key->name;
}

/* {"$1": what it is, ...} */
static void
add_parameter_evidence(HonePaging *page, int number, HoneAdvice *advice)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < page->nkeys; i++)
	{
		appendStringInfo(&json, "%s\"$%d\": ", i ? ", " : "", number + i);
		escape_json(&json, psprintf("%s of the last row of the page before",
									key_output(page, &page->keys[i])));
	}
	appendStringInfoChar(&json, '}');
	hone_evidence_json(advice, "parameters", json.data);
}

void
hone_paging_keyset(HonePaging *page, const HoneReader *reader, HoneAdvice *advice)
{
	Query	   *query = copyObject(page->query);
	int			number;
	const char *form;
	Node	   *condition;
	char	   *first;
	char	   *text;

	query->limitOffset = NULL;
	first = hone_rewrite_deparse(query, !reader->constants, NULL);
	number = hone_rewrite_max_param(query) + 1;
	for (int i = 0; i < page->nkeys; i++)
		page->keys[i].param = hone_rewrite_param(number + i,
												 exprType(page->keys[i].expr),
												 exprCollation(page->keys[i].expr));
	condition = page_condition(page, &form);
	query->jointree->quals = query->jointree->quals == NULL ? condition :
		(Node *) makeBoolExpr(AND_EXPR,
							  list_make2(query->jointree->quals, condition), -1);
	text = hone_rewrite_deparse(query, !reader->constants, &number);

	if (reader->texts)
	{
		hone_evidence_text(advice, "first_page", first);
		add_parameter_evidence(page, number, advice);
	}
	hone_evidence_text(advice, "form", form);
	add_index_evidence(page, advice);
	hone_advice_set(advice, &advice->fix, "%s", text);
}

/* The targets of the page's keys: the table's key, and what the order needs. */
static List *
key_targets(Query *query, int rti, List *key)
{
	Oid			relid = rt_fetch(rti, query->rtable)->relid;
	List	   *targets = NIL;
	ListCell   *lc;

	foreach(lc, key)
	{
		AttrNumber	attnum = lfirst_int(lc);
		Oid			type;
		int32		typmod;
		Oid			collation;

		get_atttypetypmodcoll(relid, attnum, &type, &typmod, &collation);
		targets = lappend(targets,
						  makeTargetEntry((Expr *) makeVar(rti, attnum, type, typmod, collation, 0),
										  list_length(targets) + 1,
										  get_attname(relid, attnum, false), false));
	}
	foreach(lc, query->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (target->ressortgroupref == 0)
			continue;
		target->resno = list_length(targets) + 1;
		target->resjunk = true;
		targets = lappend(targets, target);
	}
	return targets;
}

/* A subquery in the FROM list, called "page". */
static int
add_page_subquery(Query *query, Query *keys)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	RangeTblRef *ref = makeNode(RangeTblRef);
	ListCell   *lc;

	rte->rtekind = RTE_SUBQUERY;
	rte->subquery = keys;
	rte->alias = makeAlias("page", NIL);
	rte->eref = makeAlias("page", NIL);
	foreach(lc, keys->targetList)
	{
		TargetEntry *target = lfirst_node(TargetEntry, lc);

		if (!target->resjunk)
			rte->eref->colnames = lappend(rte->eref->colnames,
										  makeString(pstrdup(target->resname)));
	}
	rte->inFromCl = true;
	query->rtable = lappend(query->rtable, rte);
	ref->rtindex = list_length(query->rtable);
	query->jointree->fromlist = lappend(query->jointree->fromlist, ref);
	return ref->rtindex;
}

/* The table's row is that of the page's key. */
static Node *
same_key(Query *query, int subquery, int nkey)
{
	List	   *keys = rt_fetch(subquery, query->rtable)->subquery->targetList;
	List	   *quals = NIL;

	for (int i = 0; i < nkey; i++)
	{
		Var		   *column = (Var *) list_nth_node(TargetEntry, keys, i)->expr;
		Var		   *key = copyObject(column);
		Oid			eqop;

		key->varno = subquery;
		key->varattno = i + 1;
		key->varnosyn = 0;
		key->varattnosyn = 0;
		get_sort_group_operators(column->vartype, false, true, false, NULL, &eqop, NULL, NULL);
		quals = lappend(quals, make_opclause(eqop, BOOLOID, false, copyObject((Expr *) column),
											 (Expr *) key, InvalidOid, column->varcollid));
	}
	return nkey == 1 ? linitial(quals) : (Node *) makeBoolExpr(AND_EXPR, quals, -1);
}

char *
hone_paging_deferred(HonePaging *page, const HoneReader *reader)
{
	Query	   *query;
	Query	   *keys;
	List	   *key;
	int			rti;
	ListCell   *lc;

	if (page->problem || list_length(page->rels) != 1 || page->query->cteList ||
		page->query->rowMarks)
		return NULL;
	foreach(lc, page->added)
		lfirst_node(TargetEntry, lc)->resjunk = true;
	rti = linitial_int(page->rels);
	key = hone_order_key(page, rti);
	query = copyObject(page->query);
	keys = copyObject(page->query);
	keys->targetList = key_targets(keys, rti, key);
	query->limitOffset = query->limitCount = NULL;
	query->jointree->quals = same_key(query, add_page_subquery(query, keys), list_length(key));
	return hone_rewrite_deparse(query, !reader->constants, NULL);
}
