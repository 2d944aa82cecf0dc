/*-------------------------------------------------------------------------
 *
 * offset.c
 *	  Rows that OFFSET skipped, and which pages are asked for.
 *
 * The Limit node knows for free how far it skipped. Deep pages are written
 * down at once; of the others only how deep they were, in a small table of
 * this session (found by identifier modulo its size; a collision begins anew).
 * A page's number needs a LIMIT. What was counted reaches the table of
 * findings with the next deep page, and where the query is known to have deep
 * pages once a second and at the session's exit.
 *
 * A "step" is the page after or before the one that this session asked for
 * last: that is what a keyset query can serve. Whatever is neither a step nor
 * the first page nor the same page again is a "jump".
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/execnodes.h"

#include "advise/detect.h"

#define PAGED_QUERIES	128
#define LIMIT_DEPTH		4		/* nodes above a Limit that are looked under */
#define WRITE_MS		1000	/* between two writes of shallow pages */

/* Pages of one query. */
typedef struct PagedQuery
{
	uint64		queryid;		/* 0 = free */
	Oid			relid;			/* set once it had a deep page, else invalid */
	int64		offset;			/* of the last page, -1 = none */
	TimestampTz written;
	int64		counts[HONE_FINDING_COUNTS];	/* not yet written */
} PagedQuery;

static PagedQuery paged[PAGED_QUERIES];
static HoneFinding *const delta = &hone_finding_delta;

LimitState *
hone_offset_limit(PlanState *node)
{
	for (int depth = 0; node != NULL && !IsA(node, LimitState); depth++)
	{
		if (depth == LIMIT_DEPTH)
			return NULL;
		node = IsA(node, SubqueryScanState) ?
			((SubqueryScanState *) node)->subplan : outerPlanState(node);
	}
	return (LimitState *) node;
}

/* A finding to add, but for its sample; takes what was counted. */
static void
begin_delta(PagedQuery *query)
{
	hone_finding_begin(HONE_FINDING_OFFSET, query->relid, query->queryid);
	memcpy(delta->counts, query->counts, sizeof(delta->counts));
	memset(query->counts, 0, sizeof(query->counts));
	delta->sample.queryid = 0;
	delta->parent.queryid = 0;
}

static void
write_pages(PagedQuery *query)
{
	bool		any = false;

	for (int i = 0; i < HONE_FINDING_COUNTS; i++)
		any |= query->counts[i] > 0;
	if (!any || !OidIsValid(query->relid))
		return;
	begin_delta(query);
	hone_finding_add(delta);
}

void
hone_offset_flush(void)
{
	for (int i = 0; i < PAGED_QUERIES; i++)
		write_pages(&paged[i]);
}

static PagedQuery *
find_paged(uint64 queryid)
{
	PagedQuery *query = &paged[queryid % PAGED_QUERIES];

	if (query->queryid != queryid)
	{
		write_pages(query);
		memset(query, 0, sizeof(PagedQuery));
		query->queryid = queryid;
		query->offset = -1;
	}
	return query;
}

static void
count_page(PagedQuery *query, const LimitState *limit)
{
	int64		before = query->offset;
	int64		page;

	if (limit->limitCount == NULL || limit->noCount || limit->count <= 0)
		return;
	page = limit->offset / limit->count + 1;
	query->counts[page == 1 ? HONE_PAGES_FIRST : page <= 10 ? HONE_PAGES_TEN :
				  page <= 100 ? HONE_PAGES_HUNDRED : HONE_PAGES_DEEPER]++;
	query->offset = limit->offset;
	if (before < 0 || limit->offset == before)
		return;
	if (limit->offset - limit->count == before || before - limit->count == limit->offset)
		query->counts[HONE_PAGES_STEPS]++;
	else if (limit->offset > 0)
		query->counts[HONE_PAGES_JUMPS]++;
}

static void
write_deep_page(const HoneRecord *record, PagedQuery *query, int64 skipped)
{
	double		ms = record->elapsed_ns / 1e6;

	query->relid = hone_sample_relation(record->query_desc->plannedstmt);
	if (!OidIsValid(query->relid))
		return;
	begin_delta(query);
	delta->calls = 1;
	delta->times = 1;
	delta->cost_ms = ms;
	delta->saving_ms = ms * skipped / (skipped + record->rows);
	delta->rows = skipped;
	delta->rows_max = skipped;
	delta->rows_kept = record->rows;
	delta->nrecent = 1;
	delta->recent[0] = skipped;
	hone_sample_take(&delta->sample, record);
	hone_finding_add(delta);
	query->written = record->started;
}

static pg_noinline void
look_at_offset(const HoneRecord *record, const LimitState *limit)
{
	PagedQuery *query;
	int64		skipped = Min(limit->offset, limit->position);

	if (limit->lstate == LIMIT_INITIAL)
		return;
	query = find_paged(record->queryid);
	count_page(query, limit);
	if (skipped >= hone_advise_offset_rows)
		write_deep_page(record, query, skipped);
	else if (TimestampDifferenceExceeds(query->written, record->started, WRITE_MS))
	{
		query->written = record->started;
		write_pages(query);
	}
}

void
hone_offset_finished(const HoneRecord *record)
{
	LimitState *limit = hone_offset_limit(record->query_desc->planstate);

	if (unlikely(limit != NULL && limit->limitOffset != NULL))
		look_at_offset(record, limit);
}
