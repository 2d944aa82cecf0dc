/*-------------------------------------------------------------------------
 *
 * databases.c
 *	  Sums over databases: hone._database_stats().
 *
 * What clients sent (level 0) in each database, the evicted and the <other>
 * ones included, and the sessions that ended. They are sums, not anybody's
 * queries, and shown to everybody.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/timestamp.h"

#include "stats/snapshot.h"

PG_FUNCTION_INFO_V1(hone_database_stats);

#define COLUMNS		19

typedef struct DatabaseSum
{
	Oid			dbid;			/* hash key; InvalidOid = all */
	HoneStatsCounters statements;
	HoneHistogram *latencies;
	HoneStatsCounters sessions;
	HoneHistogram *lengths;
} DatabaseSum;

static HTAB *
create_table(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(DatabaseSum);
	control.hcxt = CurrentMemoryContext;
	return hash_create("hone databases", 64, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static DatabaseSum *
sum_of(HTAB *table, Oid dbid)
{
	bool		found;
	DatabaseSum *sum = hash_search(table, &dbid, HASH_ENTER, &found);

	if (!found)
	{
		memset(&sum->statements, 0, sizeof(sum->statements));
		memset(&sum->sessions, 0, sizeof(sum->sessions));
		sum->latencies = hone_histogram_create(64);
		sum->lengths = hone_histogram_create(64);
	}
	return sum;
}

static void
add_query(DatabaseSum *sum, const HoneSnapshotQuery *query)
{
	if (query->key.kind == HONE_STATS_SESSION)
	{
		hone_stats_counters_add(&sum->sessions, &query->counters);
		hone_histogram_add(sum->lengths, query->histogram);
		return;
	}
	hone_stats_counters_add(&sum->statements, &query->counters);
	hone_histogram_add(sum->latencies, query->histogram);
}

static void
add_all(HTAB *table, HoneStatsKind kind)
{
	HoneSnapshotFilter filter = {.kind = kind};
	HoneSnapshot *snapshot = hone_snapshot_take(&filter);
	HoneSnapshotQuery *query;

	while ((query = hone_snapshot_next_query(snapshot)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (!query->key.toplevel)
			continue;
		if (OidIsValid(query->key.dbid))
			add_query(sum_of(table, query->key.dbid), query);
		add_query(sum_of(table, InvalidOid), query);
	}
}

typedef struct SumRow
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS];
	int			count;
} SumRow;

static void
put(SumRow *row, Datum value)
{
	row->values[row->count++] = value;
}

static void
put_ms(SumRow *row, bool known, double ns)
{
	row->nulls[row->count] = !known;
	put(row, known ? Float8GetDatum(ns / 1e6) : (Datum) 0);
}

static void
put_percentile(SumRow *row, const HoneHistogram *histogram, double fraction,
			   const HoneStatsCounters *c)
{
	bool		known = histogram->used > 0 && c->calls > 0;

	put_ms(row, known, known ? hone_histogram_percentile(histogram, fraction,
														 c->min_ns, c->max_ns) : 0);
}

static void
put_sum(ReturnSetInfo *rsinfo, const DatabaseSum *sum)
{
	const HoneStatsCounters *c = &sum->statements;
	const HoneStatsCounters *s = &sum->sessions;
	SumRow		row = {.count = 0};

	row.nulls[0] = !OidIsValid(sum->dbid);
	put(&row, ObjectIdGetDatum(sum->dbid));
	put(&row, TimestampTzGetDatum(hone_stats_shared->since));
	put(&row, Int64GetDatum(c->calls));
	put(&row, Int64GetDatum(c->errors));
	put(&row, Int64GetDatum(c->reads));
	put(&row, Int64GetDatum(c->writes));
	put(&row, Int64GetDatum(c->rows));
	put_ms(&row, true, (double) c->total_ns);
	put_percentile(&row, sum->latencies, 0.5, c);
	put_percentile(&row, sum->latencies, 0.95, c);
	put_percentile(&row, sum->latencies, 0.99, c);
	put(&row, Int64GetDatum(c->shared_hit));
	put(&row, Int64GetDatum(c->shared_read));
	put(&row, Int64GetDatum((int64) c->wal_bytes));
	put(&row, Int64GetDatum(s->calls));
	put_percentile(&row, sum->lengths, 0.5, s);
	put_percentile(&row, sum->lengths, 0.95, s);
	put_ms(&row, s->calls > 0, s->calls > 0 ? (double) s->total_ns / s->calls : 0);
	put_ms(&row, s->calls > 0, (double) s->max_ns);
	Assert(row.count == COLUMNS && rsinfo->setDesc->natts == COLUMNS);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values, row.nulls);
}

/* _database_stats(): a row per database, and one of all. */
Datum
hone_database_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HTAB	   *table;
	HASH_SEQ_STATUS scan;
	DatabaseSum *sum;

	hone_require_script();
	hone_require_preload("hone.databases");
	InitMaterializedSRF(fcinfo, 0);
	table = create_table();
	add_all(table, HONE_STATS_QUERY);
	add_all(table, HONE_STATS_SESSION);
	hash_seq_init(&scan, table);
	while ((sum = hash_seq_search(&scan)) != NULL)
		put_sum(rsinfo, sum);
	return (Datum) 0;
}
