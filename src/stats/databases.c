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

#include "stats/row.h"
#include "stats/snapshot.h"

PG_FUNCTION_INFO_V1(hone_database_stats);

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

static void
put_percentile(HoneRow *row, const HoneHistogram *histogram, double fraction,
			   const HoneStatsCounters *c)
{
	if (histogram->used > 0 && c->calls > 0)
		hone_put_ms(row, hone_histogram_percentile(histogram, fraction, c->min_ns, c->max_ns));
	else
		hone_put_null(row);
}

static void
put_sum(ReturnSetInfo *rsinfo, const DatabaseSum *sum)
{
	const HoneStatsCounters *c = &sum->statements;
	const HoneStatsCounters *s = &sum->sessions;
	HoneRow		row = {.count = 0};

	if (OidIsValid(sum->dbid))
		hone_put(&row, ObjectIdGetDatum(sum->dbid));
	else
		hone_put_null(&row);
	hone_put_time(&row, hone_stats_shared->since);
	hone_put_bigint(&row, c->calls);
	hone_put_bigint(&row, c->errors);
	hone_put_bigint(&row, c->reads);
	hone_put_bigint(&row, c->writes);
	hone_put_bigint(&row, c->rows);
	hone_put_ms(&row, (double) c->total_ns);
	put_percentile(&row, sum->latencies, 0.5, c);
	put_percentile(&row, sum->latencies, 0.95, c);
	put_percentile(&row, sum->latencies, 0.99, c);
	hone_put_bigint(&row, c->shared_hit);
	hone_put_bigint(&row, c->shared_read);
	hone_put_bigint(&row, c->wal_bytes);
	hone_put_bigint(&row, s->calls);
	put_percentile(&row, sum->lengths, 0.5, s);
	put_percentile(&row, sum->lengths, 0.95, s);
	if (s->calls > 0)
	{
		hone_put_ms(&row, (double) s->total_ns / s->calls);
		hone_put_ms(&row, (double) s->max_ns);
	}
	else
	{
		hone_put_null(&row);
		hone_put_null(&row);
	}
	hone_put_row(rsinfo, &row);
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
