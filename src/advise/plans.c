/*-------------------------------------------------------------------------
 *
 * plans.c
 *	  What a finished plan threw away: rows that a sequential scan read only to
 *	  filter them out. What other nodes read in vain is looked at by reads.c.
 *
 * Rows removed by filters are counted by the executor only with
 * instrumentation, so a few executions of each query are sampled: the first
 * ones, then one in hone.advise_sample_every. Rows only, no timers.
 *
 * Only executor state is read here, never the catalogs: which columns are
 * named by a filter and with which operators is written down as numbers;
 * whether an index could serve them is decided by the reader.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_am.h"
#include "common/hashfn.h"
#include "nodes/execnodes.h"
#include "nodes/nodeFuncs.h"
#include "parser/parsetree.h"
#include "utils/rel.h"

#include "advise/detect.h"
#include "advise/nodes.h"

#define SAMPLED_QUERIES	256		/* queries whose executions are counted */
#define SAMPLED_FIRST	3		/* executions sampled at once */
#define SAMPLES_SECOND	100		/* executions sampled in a second, at most */
#define CHEAP_PLAN		10.0	/* total cost below which no scan is large */
#define REMOVED_SHARE	0.9		/* of the rows read */
#define WRITE_MS		1000	/* between two writes of unsampled executions */
#define MOST_FETCHED	0.8		/* the same of rows that an index found, which
								 * cost more each */
#define SMALL_FETCH		10		/* of these by one scan */

/* Executions of one query since its last sample; found by queryid modulo. */
typedef struct SampledQuery
{
	uint64		queryid;
	int64		seen;
	int64		unsampled;
	int64		weight;			/* executions the running sample stands for */
	bool		found;			/* its last sample was a finding: */
	HoneFindingKey key;
	double		share;			/* of the time, in that scan */
	double		removed_share;	/* of the rows read there */
	int64		pending_calls;	/* since then, not yet written */
	double		pending_ms;
	TimestampTz written;
} SampledQuery;

static SampledQuery sampled[SAMPLED_QUERIES];
static HoneFinding *const delta = &hone_finding_delta;

/* Add the executions between two samples to what the last one found. */
static void
write_pending(SampledQuery *query)
{
	if (query->pending_calls == 0)
		return;
	memset(delta, 0, offsetof(HoneFinding, sample));
	delta->key = query->key;
	delta->calls = query->pending_calls;
	delta->cost_ms = query->pending_ms * query->share;
	delta->saving_ms = delta->cost_ms * query->removed_share;
	delta->sample.queryid = 0;
	hone_finding_add(delta);
	query->pending_calls = 0;
	query->pending_ms = 0;
}

void
hone_plans_flush(void)
{
	for (int i = 0; i < SAMPLED_QUERIES; i++)
		write_pending(&sampled[i]);
}

static void
count_unsampled(SampledQuery *query, const HoneRecord *record)
{
	if (!query->found)
		return;
	query->pending_calls++;
	query->pending_ms += record->elapsed_ns / 1e6;
	if (TimestampDifferenceExceeds(query->written, record->started, WRITE_MS))
	{
		query->written = record->started;
		write_pending(query);
	}
}

/* Keeps down what queries cost whose identifiers never repeat. */
static bool
may_sample(void)
{
	static TimestampTz since = 0;
	static int	left = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (TimestampDifferenceExceeds(since, now, 1000))
	{
		since = now;
		left = SAMPLES_SECOND;
	}
	if (left == 0)
		return false;
	left--;
	return true;
}

/* Is it this query's turn? */
static pg_noinline bool
is_turn_of(PlannedStmt *stmt)
{
	SampledQuery *query = &sampled[HONE_QUERYID(stmt) % SAMPLED_QUERIES];

	if (query->queryid != HONE_QUERYID(stmt))
	{
		write_pending(query);
		memset(query, 0, sizeof(SampledQuery));
		query->queryid = HONE_QUERYID(stmt);
	}
	query->seen++;
	query->unsampled++;
	if (query->seen > SAMPLED_FIRST &&
		query->unsampled < hone_advise_sample_every)
		return false;
	if (!may_sample())
		return false;
	query->weight = query->unsampled;
	query->unsampled = 0;
	return true;
}

bool
hone_plans_wanted(QueryDesc *query_desc)
{
	PlannedStmt *stmt = query_desc->plannedstmt;

	if (stmt->planTree == NULL ||
		(stmt->planTree->total_cost < CHEAP_PLAN && !IsA(stmt->planTree, Limit)) ||
		HONE_QUERYID(stmt) == 0 || query_desc->operation == CMD_UTILITY)
		return false;
	return is_turn_of(stmt);
}

static int
qual_order(const void *a, const void *b)
{
	const HoneQual *qa = a;
	const HoneQual *qb = b;

	if (qa->attnum != qb->attnum)
		return qa->attnum < qb->attnum ? -1 : 1;
	return qa->opno < qb->opno ? -1 : qa->opno > qb->opno;
}

bool
hone_filter_is_heap(const ScanState *scan)
{
	Relation	rel = scan->ss_currentRelation;

	return hone_node_is_lasting(rel) && ((Scan *) scan->ps.plan)->scanrelid > 0 &&
		rel->rd_rel->relam == HEAP_TABLE_AM_OID;
}

void
hone_filter_read(HoneFilteredTable *table, List *clauses, Index rti)
{
	ListCell   *lc;

	foreach(lc, clauses)
	{
		if (table->nquals < HONE_FINDING_QUALS &&
			(hone_qual_read(lfirst(lc), rti, &table->quals[table->nquals]) ||
			 hone_qual_read_flag(lfirst(lc), rti, &table->quals[table->nquals])))
			table->nquals++;
	}
}

void
hone_filter_add(HoneFilterWalk *walk, Index rti, HoneFilteredTable *table)
{
	HoneFilteredTable *into = NULL;

	rti = hone_qual_topmost(walk->stmt, rti, table->quals, table->nquals);
	table->relid = rt_fetch(rti, walk->stmt->rtable)->relid;
	qsort(table->quals, table->nquals - table->norder, sizeof(HoneQual), qual_order);

	for (int i = 0; i < walk->ntables; i++)
	{
		HoneFilteredTable *other = &walk->tables[i];

		if (other->relid == table->relid && other->nquals == table->nquals &&
			other->norder == table->norder &&
			memcmp(other->quals, table->quals, sizeof(table->quals)) == 0)
			into = other;
	}
	if (into == NULL)
	{
		if (walk->ntables < HONE_FILTER_TABLES)
			walk->tables[walk->ntables++] = *table;
		return;
	}
	into->removed += table->removed;
	into->removed_scan = Max(into->removed_scan, table->removed_scan);
	into->kept += table->kept;
	into->cost += table->cost;
}

/* Note a sequential scan that was run at least once. */
static void
note_scan(HoneFilterWalk *walk, ScanState *scan)
{
	Plan	   *plan = scan->ps.plan;
	HoneFilteredTable table;

	if (plan->qual == NIL || scan->ps.instrument->nfiltered1 < 1 ||
		!hone_filter_is_heap(scan))
		return;

	memset(&table, 0, sizeof(table));
	hone_filter_read(&table, plan->qual, ((Scan *) plan)->scanrelid);
	if (table.nquals == 0)
		return;
	table.node = T_SeqScan;
	table.removed = scan->ps.instrument->nfiltered1;
	table.removed_scan = table.removed / hone_node_loops(&scan->ps);
	table.kept = hone_node_rows(&scan->ps);
	table.cost = plan->total_cost;
	hone_filter_add(walk, ((Scan *) plan)->scanrelid, &table);
}

static bool
filter_walker(PlanState *node, void *context)
{
	if (IsA(node, SeqScanState) && node->instrument != NULL)
		note_scan(context, (ScanState *) node);
	else if (node->instrument != NULL)
		hone_reads_look(context, node);
	return planstate_tree_walker(node, filter_walker, context);
}

static bool
is_worth_report(const HoneFilteredTable *table)
{
	bool		fetched = table->node == T_IndexScan;

	return table->removed >= hone_advise_filter_rows &&
		table->removed_scan >= (fetched ? SMALL_FETCH : HONE_SMALL_SCAN) &&
		table->removed >= (fetched ? MOST_FETCHED : REMOVED_SHARE) * (table->removed + table->kept);
}

/* An order is tried with a filter's columns anyway. */
static bool
is_told_by_filter(const HoneFilterWalk *walk, const HoneFilteredTable *table)
{
	for (int i = 0; i < walk->ntables && table->norder > 0; i++)
	{
		const HoneFilteredTable *other = &walk->tables[i];

		if (other->relid == table->relid && other->norder == 0 && is_worth_report(other))
			return true;
	}
	return false;
}

static void
report_filter(const HoneRecord *record, const HoneFilteredTable *table,
			  SampledQuery *query)
{
	/* executions since the last sample were counted if that was a finding */
	int64		weight = query->found ? 1 : query->weight;
	double		ms = record->elapsed_ns / 1e6;
	double		total = record->query_desc->plannedstmt->planTree->total_cost;
	double		share = total > table->cost ? table->cost / total : 1;

	hone_finding_begin(HONE_FINDING_INDEX, table->relid, 0);
	delta->key.detail = hash_bytes_extended((const unsigned char *) table->quals,
											sizeof(table->quals), table->norder);
	delta->calls = weight;
	delta->times = 1;
	delta->cost_ms = ms * weight * share;
	delta->saving_ms = delta->cost_ms * table->removed / (table->removed + table->kept);
	delta->rows = (int64) table->removed;
	delta->rows_max = (int64) table->removed;
	delta->rows_kept = (int64) table->kept;
	delta->node = table->node;
	delta->norder = table->norder;
	delta->nquals = table->nquals;
	memcpy(delta->quals, table->quals, sizeof(delta->quals));
	delta->nqueries = 1;
	delta->queries[0] = record->queryid;
	hone_sample_take(&delta->sample, record);
	delta->parent.queryid = 0;
	hone_finding_add(delta);

	query->key = delta->key;
	query->share = share;
	query->removed_share = table->removed / (table->removed + table->kept);
}

static pg_noinline void
look_at_filters(const HoneRecord *record, SampledQuery *query)
{
	static HoneFilterWalk walk;
	bool		found = false;

	if (query->weight == 0 || record->query_desc->planstate->instrument == NULL)
	{
		count_unsampled(query, record);
		return;
	}

	walk.stmt = record->query_desc->plannedstmt;
	walk.ntables = 0;
	filter_walker(record->query_desc->planstate, &walk);
	for (int i = 0; i < walk.ntables; i++)
	{
		HoneFilteredTable *table = &walk.tables[i];

		if (is_worth_report(table) && !is_told_by_filter(&walk, table))
		{
			report_filter(record, table, query);
			found = true;
		}
	}
	hone_nodes_look(record, query->weight);
	query->found = found;
	query->weight = 0;
}

void
hone_plans_finished(const HoneRecord *record)
{
	SampledQuery *query = &sampled[record->queryid % SAMPLED_QUERIES];

	if (record->query_desc->planstate != NULL && query->queryid == record->queryid)
		look_at_filters(record, query);
}
