/*-------------------------------------------------------------------------
 *
 * advice_offset.c
 *	  offset_pagination: the page as a keyset query, or what to do where there
 *	  is none.
 *
 * A keyset query goes on from a row that the client has, so it serves the next
 * page and, turned round, the previous one. Where sessions mostly jump to
 * other pages, the fix is a deferred join, which throws away keys instead of
 * rows, and the keyset query stands in the evidence: sessions of a pool see
 * the pages of many clients mixed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "parser/parse_relation.h"
#include "parser/parsetree.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "advise/paging.h"
#include "advise/rewrite.h"

#define JUMPS_MIN	5			/* fewer say nothing of a client's habits */

#define INSTEAD_INNER \
	"the subquery can be paged by itself: append a key to its ORDER BY, and " \
	"compare that with the last row of the page before in its WHERE"
#define INSTEAD_JUMPS \
	"pages that nobody came to from their neighbours have no row to go on " \
	"from: find the page's keys first and join the rest to them (deferred " \
	"join), number the rows beforehand (row_number() in a table or " \
	"materialized view, with an index), or limit how deep pages may go"

/* How deep the pages were that anybody asked for, and how they were reached. */
static void
add_pages_evidence(const HoneFinding *finding, HoneAdvice *advice)
{
	const int64 *counts = finding->counts;
	int64		deep = counts[HONE_PAGES_HUNDRED] + counts[HONE_PAGES_DEEPER];
	int64		all = counts[HONE_PAGES_FIRST] + counts[HONE_PAGES_TEN] + deep;

	if (all == 0)
		return;
	hone_evidence_json(advice, "pages_asked_for",
					   psprintf("{\"1\": " INT64_FORMAT ", \"2-10\": " INT64_FORMAT
								", \"11-100\": " INT64_FORMAT ", \">100\": " INT64_FORMAT "}",
								counts[HONE_PAGES_FIRST], counts[HONE_PAGES_TEN],
								counts[HONE_PAGES_HUNDRED], counts[HONE_PAGES_DEEPER]));
	hone_evidence_number(advice, "share_beyond_page_10", (double) deep / all);
	hone_evidence_integer(advice, "steps_to_next_or_previous", counts[HONE_PAGES_STEPS]);
	hone_evidence_integer(advice, "jumps", counts[HONE_PAGES_JUMPS]);
}

static bool
is_jumping(const HoneFinding *finding)
{
	return finding->counts[HONE_PAGES_JUMPS] >= JUMPS_MIN &&
		finding->counts[HONE_PAGES_JUMPS] > finding->counts[HONE_PAGES_STEPS];
}

/* An appended column, with its table where there are several. */
static char *
key_label(HonePaging *page, const HonePageKey *key)
{
	Var		   *var = castNode(Var, key->expr);
	RangeTblEntry *rte = rt_fetch(var->varno, page->query->rtable);
	char	   *column = get_attname(rte->relid, var->varattno, false);

	/* an alias is of the statement's text */
	return list_length(page->rels) == 1 ? column :
		psprintf("%s.%s", get_rel_name(rte->relid), column);
}

/* Is the order total? Adds to the summary what it means if it is not. */
static void
add_order_evidence(HonePaging *page, HoneAdvice *advice)
{
	bool		ordered = page->query->sortClause != NIL && page->nordered > 0;
	StringInfoData json;
	StringInfoData names;

	if (page->nordered == page->nkeys)
	{
		hone_evidence_json(advice, "order_total", "true");
		return;
	}
	initStringInfo(&json);
	initStringInfo(&names);
	for (int i = page->nordered; i < page->nkeys; i++)
	{
		char	   *label = key_label(page, &page->keys[i]);

		appendStringInfoString(&json, i > page->nordered ? ", " : "[");
		escape_json(&json, label);
		appendStringInfo(&names, "%s%s", i > page->nordered ? ", " : "", label);
	}
	appendStringInfoChar(&json, ']');
	hone_evidence_json(advice, "order_total", "false");
	hone_evidence_json(advice, "order_appended", json.data);
	if (ordered)
		hone_advice_set(advice, &advice->summary,
						"%s; its order is not unique, so pages may repeat or lose rows until (%s) is appended",
						advice->summary, names.data);
}

/* A page of a random place: its keys first, its rows then. */
static void
defer_join(HonePaging *page, const HoneReader *reader, HoneAdvice *advice)
{
	char	   *deferred = hone_paging_deferred(page, reader);

	hone_evidence_text(advice, "instead", INSTEAD_JUMPS);
	if (reader->texts)
		hone_evidence_text(advice, "keyset", advice->fix);
	advice->fix = NULL;
	if (deferred)
		hone_advice_set(advice, &advice->fix, "%s", deferred);
	else
		hone_advice_set(advice, &advice->no_fix,
						"the pages asked for are mostly not neighbours of the one before");
}

static void
describe_pages(const HoneFinding *finding, const HoneReader *reader, HoneAdvice *advice)
{
	int64		typical = hone_finding_median(finding, finding->rows / finding->times);

	hone_advice_set(advice, &advice->summary,
					"OFFSET on %s throws away " INT64_FORMAT " rows a page (at most " INT64_FORMAT ") to return " INT64_FORMAT,
					hone_qualified_name(finding->key.relid), typical, finding->rows_max,
					finding->rows_kept / finding->times);
	hone_evidence_integer(advice, "pages", finding->times);
	hone_evidence_integer(advice, "rows_thrown_away", finding->rows);
	hone_evidence_integer(advice, "rows_thrown_away_p50", typical);
	hone_evidence_integer(advice, "rows_thrown_away_max", finding->rows_max);
	hone_evidence_integer(advice, "rows_returned", finding->rows_kept);
	hone_evidence_number(advice, "ms_per_page", finding->cost_ms / finding->times);
	add_pages_evidence(finding, advice);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);
}

void
hone_advice_offset(const HoneFinding *finding, const HoneReader *reader,
				   HoneAdvice *advice)
{
	Query	   *query;
	HonePaging *page;

	describe_pages(finding, reader, advice);
	query = hone_rewrite_parse(&finding->sample);
	if (query->limitOffset == NULL)
	{
		hone_advice_set(advice, &advice->no_fix, "the OFFSET is inside a subquery");
		hone_evidence_text(advice, "instead", INSTEAD_INNER);
		return;
	}
	hone_evidence_json(advice, "ordered", query->sortClause ? "true" : "false");
	if (query->sortClause == NIL)
		hone_advice_set(advice, &advice->summary,
						"%s; without ORDER BY its pages are not defined",
						advice->summary);

	page = hone_paging_read(query);
	if (page->problem)
	{
		hone_advice_set(advice, &advice->no_fix, "%s", page->problem);
		if (page->instead)
			hone_evidence_text(advice, "instead", page->instead);
		return;
	}
	add_order_evidence(page, advice);
	hone_paging_keyset(page, reader, advice);
	if (is_jumping(finding))
		defer_join(page, reader, advice);
}
