/*-------------------------------------------------------------------------
 *
 * aggregate.c
 *	  Dear aggregates: executions that took long to make a few rows of many.
 *
 * Each one is written down at once: there are no more of them in a second than
 * fit in it. How many rows its tables gave is what the nodes counted, where
 * plans.c let them, else what the planner expected. Whether the same question
 * is asked again shows in the constants: the text says most simply that none
 * of them changed, and where it differs the first few are compared one by one.
 *
 * What a later REFRESH could not repeat, and whether the tables change, is
 * looked at by the reader.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "nodes/nodeFuncs.h"
#include "utils/guc.h"
#include "utils/rel.h"

#include "advise/nodes.h"

#define READ_ROWS	1000		/* fewer are no work */
#define READ_SHARE	10			/* rows read for each row returned */

int			hone_advise_aggregate_time = 100;
int			hone_advise_aggregate_calls = 10;
double		hone_advise_aggregate_changes = 1;

static HoneFinding *const delta = &hone_finding_delta;

/* What the nodes of one execution say. */
typedef struct AggregateLook
{
	bool		found;			/* an aggregate */
	bool		left_out;		/* reads what other sessions do not see */
	bool		measured;		/* rows read were counted, of all scans */
	double		read;
	double		groups;			/* rows of the topmost aggregate */
} AggregateLook;

void
hone_aggregate_init(void)
{
	/* what repeats ten times is a habit, not a person */
	DefineCustomIntVariable("hone.advise_aggregate_calls",
							"Executions of a query with dear aggregates from which it is reported.",
							NULL, &hone_advise_aggregate_calls,
							10, 2, INT_MAX, PGC_SUSET, 0, NULL, NULL, NULL);

	/* a sum of as many rows is as good a minute later */
	DefineCustomRealVariable("hone.advise_aggregate_changes",
							 "Percentage of the rows of its tables that may change between two refreshes of a materialized view that is recommended.",
							 NULL, &hone_advise_aggregate_changes,
							 1, 0, 100, PGC_SUSET, 0, NULL, NULL, NULL);

	/* below that nobody waits */
	DefineCustomIntVariable("hone.advise_aggregate_time",
							"Time that an execution with aggregates must take to be looked at.",
							NULL, &hone_advise_aggregate_time,
							100, 0, INT_MAX, PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* Rows of a table that a scan has looked at. */
static double
rows_read(const ScanState *scan, bool *measured)
{
	const PlanState *node = &scan->ps;
	double		known = scan->ss_currentRelation->rd_rel->reltuples;

	if (node->instrument != NULL)
		return hone_node_rows(node) + node->instrument->nfiltered1 +
			node->instrument->nfiltered2;
	*measured = false;
	return IsA(scan, SeqScanState) ? Max(known, node->plan->plan_rows) : node->plan->plan_rows;
}

static bool
look_walker(PlanState *node, void *context)
{
	AggregateLook *look = context;
	ScanState  *scan = (ScanState *) node;

	switch (nodeTag(node))
	{
		case T_AggState:
			if (!look->found && ((AggState *) node)->numaggs > 0)
			{
				look->found = true;
				look->groups = node->instrument != NULL ? hone_node_rows(node) :
					node->plan->plan_rows;
			}
			break;
		case T_SampleScanState:
		case T_ForeignScanState:
			look->left_out = true;
			break;
		case T_SeqScanState:
		case T_IndexScanState:
		case T_IndexOnlyScanState:
		case T_BitmapHeapScanState:
		case T_TidScanState:
		case T_TidRangeScanState:
		case T_CustomScanState:
			if (scan->ss_currentRelation == NULL)
				break;
			look->read += rows_read(scan, &look->measured);
			look->left_out |=
				scan->ss_currentRelation->rd_rel->relpersistence == RELPERSISTENCE_TEMP;
			break;
		default:
			break;
	}
	return planstate_tree_walker(node, look_walker, context);
}

/* EXPLAIN's time is its own; what makes a table keeps its rows already. */
static bool
goes_to_a_reader(const HoneRecord *record)
{
	return record->dest != DestNone &&record->dest != DestIntoRel &&
				record->dest != DestTransientRel;
}

/* The hash of its text, and of the first constants in it. */
static void
take_values(const HoneRecord *record, const HoneCallKeys *keys)
{
	const char *text = record->source;
	int			len;

	delta->values_unknown = keys->partial;
	delta->nkeys = keys->n;
	for (int i = 0; i < delta->nkeys; i++)
	{
		delta->keys[i].param = Max(keys->id[i], 0);
		delta->keys[i].location = keys->id[i] < 0 ? -1 - keys->id[i] : -1;
		delta->values[i] = keys->hash[i];
	}
	if (text == NULL)
		return;
	if (record->location > 0)
		text += record->location;
	len = record->length > 0 ? strnlen(text, record->length) : strlen(text);
	delta->text_hash = hash_bytes_extended((const unsigned char *) text, len, 0);
}

void
hone_aggregate_finished(const HoneRecord *record, const HoneCallKeys *keys)
{
	QueryDesc  *query_desc = record->query_desc;
	PlannedStmt *stmt = query_desc->plannedstmt;
	AggregateLook look = {.measured = true};
	Oid			relid;

	if (query_desc->planstate == NULL || stmt->rowMarks != NIL ||
		stmt->hasModifyingCTE || !goes_to_a_reader(record))
		return;
	relid = hone_sample_relation(stmt);
	if (!OidIsValid(relid))
		return;
	look_walker(query_desc->planstate, &look);
	if (!look.found || look.left_out || look.read < READ_ROWS ||
		look.read < READ_SHARE * (double) record->rows)
		return;

	hone_finding_begin(HONE_FINDING_MATERIALIZE, relid, record->queryid);
	delta->calls = 1;
	delta->times = 1;
	delta->cost_ms = delta->saving_ms = record->elapsed_ns / 1e6;
	delta->rows = record->rows;
	delta->rows_max = record->rows;
	delta->rows_kept = (int64) look.read;
	delta->counts[HONE_AGGREGATE_MEASURED] = look.measured;
	delta->counts[HONE_AGGREGATE_GROUPS] = (int64) Max(look.groups, record->rows);
	take_values(record, keys);
	hone_sample_take(&delta->sample, record);
	delta->parent.queryid = 0;
	hone_finding_add(delta);
}
