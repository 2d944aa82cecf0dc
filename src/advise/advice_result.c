/*-------------------------------------------------------------------------
 *
 * advice_result.c
 *	  unbounded_result: very many rows sent to the client at once.
 *
 * The fix reads them page by page, each page from the last row of the one
 * before. Where rows cannot be gone on from, a cursor is left.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"

#include "advise/paging.h"
#include "advise/rewrite.h"

#define PAGE_ROWS	1000

#define INSTEAD_CURSOR \
	"fetch the rows in parts, in a transaction: DECLARE part NO SCROLL CURSOR " \
	"FOR the statement, FETCH 1000 FROM part until nothing comes, CLOSE part; " \
	"or let the driver do it (its fetch size)"

/* Only to be written: analysis would make it a bigint. */
static Node *
page_size(void)
{
	return (Node *) makeConst(INT4OID, -1, InvalidOid, sizeof(int32),
							  Int32GetDatum(PAGE_ROWS), false, true);
}

void
hone_advice_result(const HoneFinding *finding, const HoneReader *reader,
				   HoneAdvice *advice)
{
	int64		typical = hone_finding_median(finding, finding->rows / finding->times);
	Query	   *query;
	HonePaging *page;

	hone_advice_set(advice, &advice->summary,
					"a query of %s without LIMIT sends " INT64_FORMAT " rows to the client at once (at most " INT64_FORMAT ")",
					hone_qualified_name(finding->key.relid), typical, finding->rows_max);
	hone_evidence_integer(advice, "rows", finding->rows);
	hone_evidence_integer(advice, "rows_p50", typical);
	hone_evidence_integer(advice, "rows_max", finding->rows_max);
	hone_evidence_number(advice, "ms_per_call", finding->cost_ms / finding->times);
	hone_evidence_sample(advice, "sample", &finding->sample, reader);

	query = hone_rewrite_parse(&finding->sample);
	hone_evidence_json(advice, "ordered", query->sortClause ? "true" : "false");
	page = hone_paging_read(query);
	if (page->problem == NULL)
	{
		page->query->limitCount = page_size();
		hone_paging_keyset(page, reader, advice);
		return;
	}
	hone_advice_set(advice, &advice->no_fix, "%s", page->problem);
	hone_evidence_text(advice, "instead", INSTEAD_CURSOR);
}
