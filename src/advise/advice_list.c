/*-------------------------------------------------------------------------
 *
 * advice_list.c
 *	  large_in_list: a long list of constants as one array.
 *
 * The sample has the list cut to two elements (hone_lists_cut), so it can be
 * parsed whatever its length was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "advise/nodes.h"
#include "advise/recommend.h"
#include "advise/rewrite.h"

/* From here on an array is better joined with than searched. */
#define JOIN_ELEMENTS	10000

typedef struct ListSearch
{
	const HoneFinding *finding;
	Query	   *query;
	ScalarArrayOpExpr *list;
} ListSearch;

static bool
is_the_list(ListSearch *search, ScalarArrayOpExpr *list)
{
	const HoneQual *qual = &search->finding->quals[0];
	Var		   *column = (Var *) hone_qual_strip(linitial(list->args));
	RangeTblEntry *rte;

	if (list->opno != qual->opno || !IsA(lsecond(list->args), ArrayExpr) ||
		!IsA(column, Var) || column->varlevelsup > 0 || column->varattno != qual->attnum)
		return false;
	rte = rt_fetch(column->varno, search->query->rtable);
	return rte->rtekind == RTE_RELATION && rte->relid == search->finding->key.relid;
}

static bool
list_walker(Node *node, void *context)
{
	ListSearch *search = context;

	if (node == NULL)
		return false;
	if (IsA(node, Query))
	{
		Query	   *outer = search->query;
		bool		found;

		search->query = (Query *) node;
		found = query_tree_walker((Query *) node, list_walker, context, 0);
		search->query = outer;
		return found;
	}
	if (IsA(node, ScalarArrayOpExpr) && is_the_list(search, (ScalarArrayOpExpr *) node))
	{
		search->list = (ScalarArrayOpExpr *) node;
		return true;
	}
	return expression_tree_walker(node, list_walker, context);
}

static void
make_array(Query *query, ListSearch *search, const HoneReader *reader,
		   HoneAdvice *advice)
{
	Node	   *list = lsecond(search->list->args);
	int			number = hone_rewrite_max_param(query) + 1;
	char	   *text;

	lsecond(search->list->args) = hone_rewrite_param(number, exprType(list),
													 exprCollation(list));
	text = hone_rewrite_deparse(query, !reader->constants, &number);
	hone_evidence_integer(advice, "parameter", number);
	hone_evidence_text(advice, "parameter_type", format_type_be(exprType(list)));
	if (search->finding->rows_max >= JOIN_ELEMENTS && search->list->useOr)
		hone_evidence_text(advice, "instead",
						   psprintf("join with unnest($%d): an array of that length is better joined with than searched",
									number));
	hone_advice_set(advice, &advice->fix, "%s", text);
}

void
hone_advice_list(const HoneFinding *finding, const HoneReader *reader,
				 HoneAdvice *advice)
{
	Oid			relid = finding->key.relid;
	int64		elements = hone_finding_median(finding, finding->rows / finding->times);
	ListSearch	search = {finding, NULL, NULL};
	Query	   *query;

	hone_advice_set(advice, &advice->summary,
					"pass one array instead of a list of " INT64_FORMAT " constants (at most " INT64_FORMAT ") for %s.%s: each length is another statement to parse and plan",
					elements, finding->rows_max, hone_qualified_name(relid),
					quote_identifier(get_attname(relid, finding->quals[0].attnum, false)));
	hone_evidence_integer(advice, "sampled_executions", finding->times);
	hone_evidence_integer(advice, "elements_p50", elements);
	hone_evidence_integer(advice, "elements_max", finding->rows_max);
	hone_evidence_number(advice, "ms_per_execution",
						 finding->cost_ms / Max(finding->calls, 1));
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
	query = search.query = hone_rewrite_parse(&finding->sample);
	if (list_walker((Node *) query, &search))
		make_array(query, &search, reader, advice);
	else
		hone_advice_set(advice, &advice->no_fix, "the list is not one of the statement itself");
}
