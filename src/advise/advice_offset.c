/*-------------------------------------------------------------------------
 *
 * advice_offset.c
 *	  offset_pagination: the page as a keyset query.
 *
 * The order is made total by appending the tables' keys. Where all columns of
 * the order are NOT NULL and of one direction, "after the last row" is a row
 * comparison, which an index serves as a whole; otherwise it is spelled out,
 * column by column, with nulls where the order has them. The columns of the
 * order are put into the output, because the client needs those of its last
 * row to ask for the next page.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "parser/parse_clause.h"
#include "parser/parse_oper.h"
#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

#define PAGE_KEYS	8

/* One column of the order. */
typedef struct PageKey
{
	Node	   *expr;
	char	   *name;
	Oid			sortop;
	Oid			eqop;
	Oid			opfamily;
	Oid			opcintype;
	bool		descending;
	bool		nulls_first;
	bool		not_null;
	Param	   *param;
} PageKey;

typedef struct Paging
{
	Query	   *query;
	int			nkeys;
	PageKey		keys[PAGE_KEYS];
	List	   *rels;			/* range table indexes */
	List	   *nullable;		/* those of them on the outer side of a join */
	const char *problem;
} Paging;

/* Plain tables under inner and left joins; anything else is a problem. */
static void
collect_relations(Paging *page, Node *node, bool nullable)
{
	ListCell   *lc;

	if (IsA(node, FromExpr))
	{
		foreach(lc, ((FromExpr *) node)->fromlist)
			collect_relations(page, lfirst(lc), nullable);
	}
	else if (IsA(node, JoinExpr) && (((JoinExpr *) node)->jointype == JOIN_INNER ||
									 ((JoinExpr *) node)->jointype == JOIN_LEFT))
	{
		JoinExpr   *join = (JoinExpr *) node;

		collect_relations(page, join->larg, nullable);
		collect_relations(page, join->rarg, nullable || join->jointype == JOIN_LEFT);
	}
	else if (IsA(node, RangeTblRef) &&
			 rt_fetch(((RangeTblRef *) node)->rtindex, page->query->rtable)->rtekind == RTE_RELATION)
	{
		int			rti = ((RangeTblRef *) node)->rtindex;

		page->rels = lappend_int(page->rels, rti);
		if (nullable)
			page->nullable = lappend_int(page->nullable, rti);
	}
	else
		page->problem = "the query reads more than plain tables";
}

static bool
is_not_null(Paging *page, Node *expr)
{
	Var		   *var = (Var *) expr;
	RangeTblEntry *rte;
	HeapTuple	tuple;
	bool		result;

	if (!IsA(var, Var) || list_member_int(page->nullable, var->varno))
		return false;
	rte = rt_fetch(var->varno, page->query->rtable);
	if (rte->rtekind != RTE_RELATION)
		return false;
	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(rte->relid),
							Int16GetDatum(var->varattno));
	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;
	ReleaseSysCache(tuple);
	return result;
}

static char *
key_name(Paging *page, Node *expr)
{
	Var		   *var = (Var *) expr;

	if (IsA(var, Var) && var->varlevelsup == 0 && var->varattno > 0)
		return get_rte_attribute_name(rt_fetch(var->varno, page->query->rtable),
									  var->varattno);
	return psprintf("key_%d", page->nkeys + 1);
}

/* Add one column of the order, and make it an output column. */
static void
add_key(Paging *page, SortGroupClause *clause, TargetEntry *target)
{
	PageKey    *key = &page->keys[page->nkeys];
	HONE_ORDERING_TYPE type;

	if (page->nkeys == PAGE_KEYS)
	{
		page->problem = "the order has too many columns";
		return;
	}
	key->expr = (Node *) target->expr;
	if (contain_volatile_functions(key->expr) || contain_subplans(key->expr) ||
		!get_ordering_op_properties(clause->sortop, &key->opfamily,
									&key->opcintype, &type))
	{
		page->problem = "the order is not one of plain values";
		return;
	}
	key->sortop = clause->sortop;
	key->eqop = clause->eqop;
	key->descending = HONE_ORDERING_DESCENDS(type);
	key->nulls_first = clause->nulls_first;
	key->not_null = is_not_null(page, key->expr);
	if (target->resname == NULL)
		target->resname = key_name(page, key->expr);
	target->resjunk = false;
	key->name = target->resname;
	page->nkeys++;
}

/* Is this column of this table in the order already? */
static bool
has_key(Paging *page, int rti, AttrNumber attnum)
{
	for (int i = 0; i < page->nkeys; i++)
	{
		Var		   *var = (Var *) page->keys[i].expr;

		if (IsA(var, Var) && var->varno == rti && var->varattno == attnum)
			return true;
	}
	return false;
}

/* The table's column in the output; added at the end if it is not there. */
static TargetEntry *
column_target(Paging *page, int rti, AttrNumber attnum)
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
							 get_attname(relid, attnum, false), false);
	page->query->targetList = lappend(page->query->targetList, target);
	return target;
}

/* Append a table's key to the order, in the direction of its last column. */
static void
append_relation_key(Paging *page, int rti)
{
	List	   *columns = hone_relation_key(rt_fetch(rti, page->query->rtable)->relid);
	bool		descending = page->nkeys > 0 && page->keys[page->nkeys - 1].descending;
	ListCell   *lc;

	if (columns == NIL)
	{
		page->problem = "a table has no primary key or other unique key without nulls, so the order cannot be made total";
		return;
	}
	foreach(lc, columns)
	{
		TargetEntry *target;
		SortGroupClause *clause;
		Oid			less;
		Oid			greater;

		if (has_key(page, rti, lfirst_int(lc)) || page->problem)
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

/* expr comes after the parameter in the order; nulls apart. */
static Node *
after_clause(const PageKey *key)
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
after_or_null(const PageKey *key)
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
same_clause(const PageKey *key)
{
	Expr	   *same = make_opclause(key->eqop, BOOLOID, false,
									 (Expr *) copyObject(key->expr),
									 (Expr *) copyObject(key->param),
									 InvalidOid, exprCollation(key->expr));

	if (key->not_null)
		return (Node *) same;
	NodeSetTag(same, T_DistinctExpr);
	return (Node *) makeBoolExpr(NOT_EXPR, list_make1(same), -1);
}

/* after(1) OR (same(1) AND (after(2) OR ...)), from key 'from' on. */
static Node *
expanded_condition(Paging *page, int from)
{
	PageKey    *key = &page->keys[from];

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

/* expr at or after the parameter: lets an index find the start. */
static Node *
bound_clause(const PageKey *key)
{
	Oid			opno = get_opfamily_member(key->opfamily, key->opcintype, key->opcintype,
										   key->descending ? BTLessEqualStrategyNumber :
										   BTGreaterEqualStrategyNumber);

	if (!key->not_null || !OidIsValid(opno))
		return NULL;
	return (Node *) make_opclause(opno, BOOLOID, false,
								  (Expr *) copyObject(key->expr),
								  (Expr *) copyObject(key->param),
								  InvalidOid, exprCollation(key->expr));
}

static Node *
row_comparison(Paging *page)
{
	RowCompareExpr *row = makeNode(RowCompareExpr);

	HONE_SET_ROW_COMPARE(row, page->keys[0].descending);
	for (int i = 0; i < page->nkeys; i++)
	{
		PageKey    *key = &page->keys[i];

		row->opnos = lappend_oid(row->opnos, get_commutator(key->sortop));
		row->opfamilies = lappend_oid(row->opfamilies, key->opfamily);
		row->inputcollids = lappend_oid(row->inputcollids, exprCollation(key->expr));
		row->largs = lappend(row->largs, copyObject(key->expr));
		row->rargs = lappend(row->rargs, copyObject(key->param));
	}
	return (Node *) row;
}

static Node *
page_condition(Paging *page, const char **form)
{
	bool		row = page->nkeys > 1;
	Node	   *bound;
	Node	   *condition;

	for (int i = 0; i < page->nkeys; i++)
		row &= page->keys[i].not_null &&
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

static void
collect_page(Paging *page)
{
	Query	   *query = page->query;
	ListCell   *lc;

	if (query->hasAggs || query->hasWindowFuncs || query->groupClause ||
		query->distinctClause || query->setOperations || query->havingQual ||
		query->groupingSets || query->hasTargetSRFs)
	{
		page->problem = "the query groups, combines or numbers its rows";
		return;
	}
	collect_relations(page, (Node *) query->jointree, false);
	if (page->rels == NIL)
		page->problem = "the query reads no table";
	foreach(lc, query->sortClause)
	{
		SortGroupClause *clause = lfirst_node(SortGroupClause, lc);

		if (page->problem == NULL)
			add_key(page, clause, get_sortgroupclause_tle(clause, query->targetList));
	}
	foreach(lc, page->rels)
	{
		if (page->problem == NULL)
			append_relation_key(page, lfirst_int(lc));
	}
}

/* The index that serves the order, when it is of one table's columns. */
static void
add_index_evidence(Paging *page, HoneAdvice *advice)
{
	StringInfoData ddl;
	List	   *columns = NIL;
	Oid			relid;
	AttrNumber	last = 0;

	if (list_length(page->rels) != 1)
		return;
	relid = rt_fetch(linitial_int(page->rels), page->query->rtable)->relid;
	initStringInfo(&ddl);
	appendStringInfo(&ddl, "CREATE INDEX %sON %s (",
					 get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE ? "" : "CONCURRENTLY ",
					 hone_qualified_name(relid));
	for (int i = 0; i < page->nkeys; i++)
	{
		PageKey    *key = &page->keys[i];
		Var		   *var = (Var *) key->expr;

		if (!IsA(var, Var) || var->varattno <= 0)
			return;
		if (last)
			columns = lappend_int(columns, last);
		last = var->varattno;
		appendStringInfo(&ddl, "%s%s%s%s", i ? ", " : "",
						 quote_identifier(get_attname(relid, last, false)),
						 key->descending ? " DESC" : "",
						 key->nulls_first == key->descending ? "" :
						 key->nulls_first ? " NULLS FIRST" : " NULLS LAST");
	}
	appendStringInfoChar(&ddl, ')');
	hone_evidence_text(advice, "index", ddl.data);
	hone_evidence_json(advice, "index_exists",
					   hone_relation_has_index(relid, columns, last) ? "true" : "false");
}

static void
make_keyset(Paging *page, const HoneReader *reader, HoneAdvice *advice)
{
	Query	   *query = page->query;
	int			number;
	const char *form;
	Node	   *condition;
	StringInfoData json;
	char	   *text;

	query->limitOffset = NULL;
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

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int i = 0; i < page->nkeys; i++)
	{
		appendStringInfo(&json, "%s\"$%d\": ", i ? ", " : "", number + i);
		escape_json(&json, psprintf("%s of the last row of the page before",
									page->keys[i].name));
	}
	appendStringInfoChar(&json, '}');
	hone_evidence_json(advice, "parameters", json.data);
	hone_evidence_text(advice, "form", form);
	add_index_evidence(page, advice);
	hone_advice_set(advice, &advice->fix, "%s", text);
}

void
hone_advice_offset(const HoneFinding *finding, const HoneReader *reader,
				   HoneAdvice *advice)
{
	Paging	   *page = palloc0(sizeof(Paging));

	hone_advice_set(advice, &advice->summary,
					"OFFSET on %s throws away " INT64_FORMAT " rows a page (at most " INT64_FORMAT ") to return " INT64_FORMAT,
					hone_qualified_name(finding->key.relid),
					finding->rows / finding->times, finding->rows_max,
					finding->rows_kept / finding->times);
	hone_evidence_integer(advice, "pages", finding->times);
	hone_evidence_integer(advice, "rows_thrown_away", finding->rows);
	hone_evidence_integer(advice, "rows_thrown_away_max", finding->rows_max);
	hone_evidence_integer(advice, "rows_returned", finding->rows_kept);
	hone_evidence_number(advice, "ms_per_page", finding->cost_ms / finding->times);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);

	page->query = hone_rewrite_parse(&finding->sample);
	if (page->query->limitOffset == NULL)
		page->problem = "the OFFSET is inside a subquery";
	else
	{
		hone_evidence_json(advice, "ordered",
						   page->query->sortClause ? "true" : "false");
		collect_page(page);
	}
	if (page->problem)
		hone_advice_set(advice, &advice->no_fix, "%s", page->problem);
	else
		make_keyset(page, reader, advice);
}
