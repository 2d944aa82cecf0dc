/*-------------------------------------------------------------------------
 *
 * result.c
 *	  Results that are sent to the client as a whole and are very large.
 *
 * A client's statement runs in a portal. Those with a name are cursors, of SQL
 * or of the protocol, and fetched in parts; EXECUTE runs in one with a name
 * that nobody sees. Whatever else runs a plan (EXPLAIN, COPY, CREATE TABLE AS,
 * functions) does so inside of a portal of another strategy, or nested. In an
 * unnamed portal the protocol may ask for a part of the rows: then it ran more
 * than once, or did not come to its end.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "executor/executor.h"
#include "tcop/pquery.h"
#include "utils/portal.h"

#include "advise/detect.h"

/* The client's statement that began last, where it is not a cursor. */
static const QueryDesc *whole_result = NULL;
static bool is_unnamed;			/* else EXECUTE's */

static HoneFinding *const delta = &hone_finding_delta;

void
hone_result_starting(const QueryDesc *query_desc)
{
	Portal		portal = ActivePortal;

	whole_result = NULL;
	if (portal == NULL || portal->strategy != PORTAL_ONE_SELECT)
		return;
	is_unnamed = portal->name[0] == '\0';
	if (is_unnamed || !portal->visible)
		whole_result = query_desc;
}

/* All rows were fetched, at once. */
static bool
is_whole(const HoneRecord *record)
{
	Portal		portal;

	if (record->query_desc != whole_result ||
		record->rows != record->query_desc->estate->es_processed)
		return false;
	if (!is_unnamed)
		return true;
	portal = GetPortalByName("");
	return portal != NULL && portal->atEnd;
}

void
hone_result_finished(const HoneRecord *record)
{
	PlanState  *top = record->query_desc->planstate;
	double		ms = record->elapsed_ns / 1e6;
	Oid			relid;

	if (top == NULL || !is_whole(record) || hone_offset_limit(top) != NULL)
		return;
	relid = hone_sample_relation(record->query_desc->plannedstmt);
	if (!OidIsValid(relid))
		return;

	hone_finding_begin(HONE_FINDING_RESULT, relid, record->queryid);
	delta->calls = 1;
	delta->times = 1;
	delta->cost_ms = ms;
	delta->saving_ms = ms * (record->rows - hone_advise_result_rows) / record->rows;
	delta->rows = record->rows;
	delta->rows_max = record->rows;
	delta->nrecent = 1;
	delta->recent[0] = record->rows;
	hone_sample_take(&delta->sample, record);
	delta->parent.queryid = 0;
	hone_finding_add(delta);
}
