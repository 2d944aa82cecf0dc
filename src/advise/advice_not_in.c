/*-------------------------------------------------------------------------
 *
 * advice_not_in.c
 *	  not_in_subquery: NOT IN (subquery) as NOT EXISTS.
 *
 * The two differ where a NULL is on either side: then NOT IN is not true,
 * and NOT EXISTS may be. Columns that could hold one are named.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parsetree.h"
#include "rewrite/rewriteManip.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

typedef struct NotInSearch
{
	Query	   *query;			/* that the walker is in */
	SubLink    *link;			/* NULL: none yet */
	int			found;
	StringInfoData nullable;	/* names, as members of a JSON array */
} NotInSearch;

static bool
not_in_walker(Node *node, void *context)
{
	NotInSearch *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *outer = search->query;

		if (search->link == NULL)
			search->query = (Query *) node;
		query_tree_walker((Query *) node, not_in_walker, context, 0);
		if (search->link == NULL)
			search->query = outer;
		return false;
	}
	if (IsA(node, BoolExpr) && ((BoolExpr *) node)->boolop == NOT_EXPR)
	{
		SubLink    *link = linitial(((BoolExpr *) node)->args);

		if (IsA(link, SubLink) && link->subLinkType == ANY_SUBLINK)
		{
			search->found++;
			search->link = link;
		}
	}
	return expression_tree_walker(node, not_in_walker, context);
}

/* Why the rows of this query are more than those that its WHERE lets through. */
static const char *
problem_of(Query *query)
{
	if (query->commandType != CMD_SELECT || query->hasAggs || query->hasWindowFuncs ||
		query->hasTargetSRFs || query->groupClause || query->groupingSets ||
		query->havingQual || query->setOperations || query->limitCount ||
		query->limitOffset || query->rowMarks || query->hasDistinctOn)
		return "the subquery groups, combines or limits its rows";
	if (contain_volatile_functions((Node *) query))
		return "the subquery is not the same each time that it runs";
	return NULL;
}

/* The subquery's output column in the place of what the parser put for it. */
static Node *
output_mutator(Node *node, void *context)
{
	Query	   *query = context;

	if (node == NULL)
		return NULL;
	if (IsA(node, Param) && ((Param *) node)->paramkind == PARAM_SUBLINK)
		return copyObject((Node *) list_nth_node(TargetEntry, query->targetList,
												 ((Param *) node)->paramid - 1)->expr);
	return expression_tree_mutator(node, output_mutator, context);
}

/* A column that is NOT NULL, in a query that joins without filling in. */
static bool
is_not_null(Query *query, Node *node)
{
	Var		   *var = (Var *) node;
	RangeTblEntry *rte;

	if (!IsA(var, Var) || var->varlevelsup > 0 || var->varattno <= 0)
		return false;
	rte = rt_fetch(var->varno, query->rtable);
	if (rte->rtekind != RTE_RELATION)
		return false;
	for (int i = 0; i < list_length(query->rtable); i++)
	{
		RangeTblEntry *other = list_nth_node(RangeTblEntry, query->rtable, i);

		if (other->rtekind == RTE_JOIN && other->jointype != JOIN_INNER)
			return false;
	}
	return hone_relation_not_null(rte->relid, var->varattno);
}

static void
check_null(NotInSearch *search, Query *query, Node *node)
{
	Var		   *var;
	char	   *name = "an expression";

	while (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	var = (Var *) node;
	if ((IsA(node, Const) && !((Const *) node)->constisnull) || is_not_null(query, node))
		return;
	if (IsA(var, Var) && var->varlevelsup == 0 && var->varattno > 0)
		name = get_rte_attribute_name(rt_fetch(var->varno, query->rtable), var->varattno);
	if (search->nullable.len > 0)
		appendStringInfoString(&search->nullable, ", ");
	escape_json(&search->nullable, name);
}

/* Left sides, in the outer query. */
static bool
check_left_sides(Node *node, void *context)
{
	NotInSearch *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, OpExpr))
	{
		check_null(search, search->query, linitial(((OpExpr *) node)->args));
		return false;
	}
	return expression_tree_walker(node, check_left_sides, context);
}

static void
make_not_exists(NotInSearch *search)
{
	Query	   *inner = (Query *) search->link->subselect;
	Node	   *test = copyObject(search->link->testexpr);
	ListCell   *lc;

	check_left_sides(search->link->testexpr, search);
	foreach(lc, inner->targetList)
	{
		if (!lfirst_node(TargetEntry, lc)->resjunk)
			check_null(search, inner, (Node *) lfirst_node(TargetEntry, lc)->expr);
	}
	IncrementVarSublevelsUp(test, 1, 0);
	test = output_mutator(test, inner);
	inner->jointree->quals = inner->jointree->quals == NULL ? test :
		(Node *) makeBoolExpr(AND_EXPR, list_make2(inner->jointree->quals, test), -1);
	search->link->subLinkType = EXISTS_SUBLINK;
	search->link->testexpr = NULL;
	search->link->operName = NIL;
}

static void
add_null_evidence(const NotInSearch *search, HoneAdvice *advice)
{
	hone_evidence_json(advice, "nullable", psprintf("[%s]", search->nullable.data));
	if (search->nullable.len > 0)
		hone_evidence_text(advice, "nulls",
						   "where one of these is NULL, NOT IN returns no row and NOT EXISTS may: the answers differ");
}

void
hone_advice_not_in(const HoneFinding *finding, const HoneReader *reader,
				   HoneAdvice *advice)
{
	NotInSearch search = {0};
	Query	   *query;
	const char *problem;

	hone_advice_set(advice, &advice->summary,
					"%swrite NOT EXISTS for NOT IN (subquery) in the query of %s: %s, " INT64_FORMAT " rows of it each time",
					finding->certain ? "" : "potential: ",
					hone_qualified_name(finding->key.relid),
					finding->certain ? "the subquery is read again for row after row" :
					"the subquery is kept in a table that no index and no parallel worker serves",
					hone_finding_median(finding, finding->rows / finding->times));
	hone_evidence_integer(advice, "sampled_executions", finding->times);
	hone_evidence_integer(advice, "subquery_rows_p50",
						  hone_finding_median(finding, finding->rows / finding->times));
	hone_evidence_integer(advice, "subquery_rows_max", finding->rows_max);
	hone_evidence_json(advice, "hashed", finding->certain ? "false" : "true");
	hone_evidence_number(advice, "ms_per_execution",
						 finding->cost_ms / Max(finding->calls, 1));
	hone_evidence_sample(advice, "sample", &finding->sample, reader);

	query = hone_rewrite_parse(&finding->sample);
	initStringInfo(&search.nullable);
	not_in_walker((Node *) query, &search);
	problem = search.found == 0 ? "the NOT IN is in a view or function" :
		search.found > 1 ? "the statement has more than one NOT IN" :
		problem_of((Query *) search.link->subselect);
	if (problem)
	{
		hone_advice_set(advice, &advice->no_fix, "%s", problem);
		return;
	}
	make_not_exists(&search);
	if (reader->texts)
		add_null_evidence(&search, advice);
	hone_advice_set(advice, &advice->fix, "%s",
					hone_rewrite_deparse(query, !reader->constants, NULL));
}
