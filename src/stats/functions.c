/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  The SQL functions of the statistics.
 *
 * All of them read a snapshot (snapshot.h). What belongs to another role is
 * masked, or left out where it would be merged, unless the caller has the
 * privileges of pg_read_all_stats.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "stats/housekeeping.h"
#include "stats/row.h"
#include "stats/snapshot.h"

#define MASKED_TEXT		"<insufficient privilege>"

/* bound_by needs this much to go by. */
#define MIN_WAIT_SAMPLES	5
#define MIN_SAMPLES			5
#define MIN_SAMPLED_NS		UINT64CONST(100000)
#define LONG_SAMPLED_NS		UINT64CONST(1000000000)

#define HISTOGRAM_BAR		40	/* characters */

PG_FUNCTION_INFO_V1(hone_query_stats);
PG_FUNCTION_INFO_V1(hone_error_stats);
PG_FUNCTION_INFO_V1(hone_percentile);
PG_FUNCTION_INFO_V1(hone_percentiles);
PG_FUNCTION_INFO_V1(hone_latency_histogram);
PG_FUNCTION_INFO_V1(hone_reset);
PG_FUNCTION_INFO_V1(hone_shared_status);
PG_FUNCTION_INFO_V1(hone_sketch_percentile);
PG_FUNCTION_INFO_V1(hone_sketch_merged);
PG_FUNCTION_INFO_V1(hone_evict);
PG_FUNCTION_INFO_V1(hone_sample_text);
PG_FUNCTION_INFO_V1(hone_query_text);

static bool
may_read_all(void)
{
	return has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS);
}

/*
 * From samples of what the statement was doing, when there are enough: they
 * are spread evenly over its time. What it did on a processor, or waiting for
 * the disk, may have been for temporary files: those that wrote or read more
 * blocks there than in tables are bound by temp.
 */
static const char *
bound_by_samples(const HoneStatsCounters *c, bool mostly_temp)
{
	static const char *const names[HONE_WAIT_KINDS] = {"cpu", "io", "lock", "client", "wait"};
	int			most = 0;

	for (int i = 1; i < HONE_WAIT_KINDS; i++)
		if (c->waits[i] > c->waits[most])
			most = i;
	if (mostly_temp && (most == HONE_WAIT_IO || most == HONE_WAIT_NONE))
		return "temp";
	return names[most];
}

/*
 * Name what most of a query's time went to, or NULL when there are too few
 * samples to say. Where what it waited for was not sampled often enough:
 * CPU time is sampled together with the elapsed time of the same calls; I/O is
 * timed (track_io_timing) or, when it is not, inferred from the blocks of a
 * query that mostly waits.
 */
static const char *
bound_by(const HoneStatsCounters *c)
{
	double		cpu;
	double		io;
	int64		temp = c->temp_read + c->temp_written;
	int64		blocks = c->shared_read + c->shared_written;
	bool		mostly_temp = temp > 0 && temp >= blocks;
	uint64		samples = 0;

	for (int i = 0; i < HONE_WAIT_KINDS; i++)
		samples += c->waits[i];
	if (samples >= MIN_WAIT_SAMPLES)
		return bound_by_samples(c, mostly_temp);
	if (c->sampled_ns < MIN_SAMPLED_NS ||
		(c->sampled_calls < MIN_SAMPLES && c->sampled_ns < LONG_SAMPLED_NS))
		return NULL;
	cpu = (c->sampled_user_us + c->sampled_sys_us) * 1e3 / c->sampled_ns;
	io = c->total_ns > 0 ? (double) (c->blk_read_ns + c->blk_write_ns) / c->total_ns : 0;
	if (io >= 0.5)
		return "io";
	if (mostly_temp && cpu < 0.9)
		return "temp";
	if (cpu >= 0.5)
		return "cpu";
	if (io == 0 && blocks > 0 && blocks >= c->calls)
		return "io";
	return "wait";
}

/* The queryid (0 = unknown) and text, as far as the caller may see them. */
static void
put_identity(HoneRow *row, const HoneStatsKey *key, bool visible, bool show_text)
{
	bool		is_other = key->kind == HONE_STATS_QUERY && key->queryid == 0;

	if (visible && (key->queryid != 0 || is_other))
		hone_put_bigint(row, (int64) key->queryid);
	else
		hone_put_null(row);
	if (!show_text)
		hone_put_null(row);
	else if (is_other)
		hone_put_text(row, HONE_OTHER_TEXT);
	else if (!visible)
		hone_put_text(row, MASKED_TEXT);
	else
		hone_put_text(row, key->queryid != 0 ? hone_stats_text(key->dbid, key->queryid) : NULL);
}

static void
put_latency(HoneRow *row, const HoneSnapshotQuery *query)
{
	static const double fractions[] = {0.5, 0.9, 0.95, 0.99, 0.999};
	const HoneStatsCounters *c = &query->counters;

	hone_put_ms(row, (double) c->total_ns);
	if (c->calls > 0)
	{
		hone_put_ms(row, (double) c->total_ns / c->calls);
		hone_put_ms(row, (double) c->min_ns);
		hone_put_ms(row, (double) c->max_ns);
		hone_put(row, Float8GetDatum(hone_to_ms(sqrt(Max(c->m2_ns, 0) / c->calls))));
	}
	else
		for (int i = 0; i < 4; i++)
			hone_put_null(row);
	for (int i = 0; i < lengthof(fractions); i++)
	{
		if (query->histogram->used > 0)
			hone_put(row, Float8GetDatum(hone_to_ms(hone_histogram_percentile(query->histogram,
																			  fractions[i],
																			  c->min_ns, c->max_ns))));
		else
			hone_put_null(row);
	}
}

static void
put_resources(HoneRow *row, const HoneStatsCounters *c)
{
	hone_put_bigint(row, c->plans);
	hone_put_ms(row, (double) c->plan_ns);
	hone_put_bigint(row, c->shared_hit);
	hone_put_bigint(row, c->shared_read);
	hone_put_bigint(row, c->shared_dirtied);
	hone_put_bigint(row, c->shared_written);
	hone_put_bigint(row, c->temp_read);
	hone_put_bigint(row, c->temp_written);
	hone_put_ms(row, (double) c->blk_read_ns);
	hone_put_ms(row, (double) c->blk_write_ns);
	hone_put_bigint(row, (int64) c->wal_bytes);
	hone_put_cpu(row, c);
}

/* query_stats(show_text bool): one row per entry. */
Datum
hone_query_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		show_text;
	bool		all = may_read_all();
	HoneSnapshotFilter filter = {.kind = HONE_STATS_QUERY};
	HoneSnapshot *snapshot;
	HoneSnapshotQuery *query;

	hone_require_script();
	show_text = PG_GETARG_BOOL(0);
	hone_require_preload("hone.query_stats");
	InitMaterializedSRF(fcinfo, 0);
	snapshot = hone_snapshot_take(&filter);
	while ((query = hone_snapshot_next_query(snapshot)) != NULL)
	{
		const HoneStatsCounters *c = &query->counters;
		HoneRow		row = {.count = 0};

		CHECK_FOR_INTERRUPTS();
		if (c->calls == 0)
			continue;
		put_identity(&row, &query->key, all || query->key.userid == GetUserId(), show_text);
		hone_put(&row, ObjectIdGetDatum(query->key.dbid));
		hone_put(&row, ObjectIdGetDatum(query->key.userid));
		hone_put(&row, BoolGetDatum(query->key.toplevel));
		hone_put(&row, Int64GetDatum(c->calls));
		hone_put(&row, Int64GetDatum(c->errors));
		hone_put(&row, Int64GetDatum(c->rows));
		put_latency(&row, query);
		put_resources(&row, c);
		hone_put_text(&row, bound_by(c));
		hone_put(&row, TimestampTzGetDatum(c->first_seen));
		hone_put(&row, TimestampTzGetDatum(c->last_seen));
		hone_put_row(rsinfo, &row);
	}
	return (Datum) 0;
}

/* _error_stats(): one row per (database, role, query, level, SQLSTATE). */
Datum
hone_error_stats(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		all = may_read_all();
	HoneSnapshotFilter filter = {.kind = HONE_STATS_ERROR};
	HoneSnapshot *snapshot;
	HoneSnapshotError *error;

	hone_require_script();
	hone_require_preload("hone.errors");
	InitMaterializedSRF(fcinfo, 0);
	snapshot = hone_snapshot_take(&filter);
	while ((error = hone_snapshot_next_error(snapshot)) != NULL)
	{
		HoneRow		row = {.count = 0};

		CHECK_FOR_INTERRUPTS();
		put_identity(&row, &error->key, all || error->key.userid == GetUserId(), true);
		hone_put(&row, ObjectIdGetDatum(error->key.dbid));
		hone_put(&row, ObjectIdGetDatum(error->key.userid));
		hone_put(&row, BoolGetDatum(error->key.toplevel));
		hone_put_text(&row, unpack_sql_state(error->key.sqlstate));
		hone_put(&row, Int64GetDatum(error->count));
		hone_put(&row, TimestampTzGetDatum(error->last_seen));
		hone_put_row(rsinfo, &row);
	}
	return (Datum) 0;
}

/*
 * The numbers of one query in the current database, over the roles that the
 * caller may see and both levels. NULL when there are none.
 */
static HoneSnapshotQuery *
merged_query(int64 queryid, const char *caller)
{
	bool		all = may_read_all();
	HoneSnapshotFilter filter = {.one_query = true,.kind = HONE_STATS_QUERY};
	HoneSnapshot *snapshot;
	HoneSnapshotQuery *part;
	HoneSnapshotQuery *whole = NULL;

	hone_require_preload(caller);
	filter.dbid = MyDatabaseId;

	filter.queryid = (uint64) queryid;
	snapshot = hone_snapshot_take(&filter);
	while ((part = hone_snapshot_next_query(snapshot)) != NULL)
	{
		if (!all && part->key.userid != GetUserId())
			continue;
		if (whole == NULL)
		{
			whole = part;
			continue;
		}
		hone_stats_counters_add(&whole->counters, &part->counters);
		hone_histogram_add(whole->histogram, part->histogram);
	}
	return whole != NULL && whole->histogram->used > 0 ? whole : NULL;
}

static void
check_fraction(double fraction)
{
	if (isnan(fraction) || fraction < 0 || fraction > 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("fraction %g is not between 0 and 1", fraction),
				 errhint("The 95th percentile is the fraction 0.95.")));
}

static double
percentile_ms(const HoneSnapshotQuery *query, double fraction)
{
	return hone_to_ms(hone_histogram_percentile(query->histogram, fraction,
												query->counters.min_ns,
												query->counters.max_ns));
}

/* percentile(queryid bigint, fraction float8): ms, NULL for no calls. */
Datum
hone_percentile(PG_FUNCTION_ARGS)
{
	double		fraction;
	HoneSnapshotQuery *query;

	hone_require_script();
	fraction = PG_GETARG_FLOAT8(1);
	check_fraction(fraction);
	query = merged_query(PG_GETARG_INT64(0), "hone.percentile");
	if (query == NULL)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(percentile_ms(query, fraction));
}

/* percentile(queryid bigint, fractions float8[]): an array of the same length. */
Datum
hone_percentiles(PG_FUNCTION_ARGS)
{
	ArrayType  *fractions;
	HoneSnapshotQuery *query;
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int			dims[1];
	int			lower[1] = {1};

	hone_require_script();
	fractions = PG_GETARG_ARRAYTYPE_P(1);
	if (ARR_NDIM(fractions) > 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("fractions must be a one-dimensional array"),
				 errhint("For example: hone.percentile(queryid, ARRAY[0.5, 0.95, 0.99]).")));
	deconstruct_array(fractions, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			check_fraction(DatumGetFloat8(values[i]));
	query = merged_query(PG_GETARG_INT64(0), "hone.percentile");
	if (query == NULL)
		PG_RETURN_NULL();
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			values[i] = Float8GetDatum(percentile_ms(query, DatumGetFloat8(values[i])));
	dims[0] = count;
	if (count == 0)
		PG_RETURN_ARRAYTYPE_P(construct_empty_array(FLOAT8OID));
	PG_RETURN_ARRAYTYPE_P(construct_md_array(values, nulls, 1, dims, lower, FLOAT8OID,
											 sizeof(float8), FLOAT8PASSBYVAL,
											 TYPALIGN_DOUBLE));
}

/* A printed bucket is a quarter of an octave. */
#define PRINTED_PER_OCTAVE	4
#define TO_PRINTED(bucket)	((bucket) / (HONE_HISTOGRAM_SUB / PRINTED_PER_OCTAVE))

static void
put_printed(ReturnSetInfo *rsinfo, int printed, uint64 calls, uint64 most)
{
	int			first = printed * (HONE_HISTOGRAM_SUB / PRINTED_PER_OCTAVE);
	int			last = first + HONE_HISTOGRAM_SUB / PRINTED_PER_OCTAVE - 1;
	int			length = (int) ceil((double) calls * HISTOGRAM_BAR / most);
	HoneRow		row = {.count = 0};
	char		bar[HISTOGRAM_BAR + 1];

	memset(bar, '#', length);
	bar[length] = '\0';
	hone_put_ms(&row, (double) hone_histogram_lower(first));
	hone_put(&row, Float8GetDatum(hone_to_ms((double) hone_histogram_lower(last) +
											 (double) hone_histogram_width(last))));
	hone_put_bigint(&row, (int64) calls);
	hone_put_text(&row, bar);
	hone_put_row(rsinfo, &row);
}

/* latency_histogram(queryid bigint): from the fastest call to the slowest. */
Datum
hone_latency_histogram(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	uint64		calls[TO_PRINTED(HONE_HISTOGRAM_BUCKETS) + 1] = {0};
	HoneSnapshotQuery *query;
	uint64		most = 1;
	int			first;
	int			last;

	hone_require_script();
	InitMaterializedSRF(fcinfo, 0);
	query = merged_query(PG_GETARG_INT64(0), "hone.latency_histogram");
	if (query == NULL)
		return (Datum) 0;
	first = TO_PRINTED(query->histogram->bucket[0]);
	last = TO_PRINTED(query->histogram->bucket[query->histogram->used - 1]);
	for (int i = 0; i < query->histogram->used; i++)
	{
		int			printed = TO_PRINTED(query->histogram->bucket[i]);

		calls[printed] += query->histogram->count[i];
		most = Max(most, calls[printed]);
	}
	for (int printed = first; printed <= last; printed++)
		put_printed(rsinfo, printed, calls[printed], most);
	return (Datum) 0;
}

/* reset(queryid bigint): NULL = all. */
Datum
hone_reset(PG_FUNCTION_ARGS)
{
	hone_require_script();
	hone_require_preload("hone.reset");
	hone_stats_reset(PG_ARGISNULL(0), PG_ARGISNULL(0) ? 0 : (uint64) PG_GETARG_INT64(0));
	PG_RETURN_VOID();
}

/* _evict(): what the collector does when memory runs short. */
Datum
hone_evict(PG_FUNCTION_ARGS)
{
	hone_require_script();
	hone_require_preload("hone._evict");
	PG_RETURN_INT64(hone_stats_evict());
}

/* _sample_text(queryid): the original kept for a query of this database. */
Datum
hone_sample_text(PG_FUNCTION_ARGS)
{
	char	   *text;

	hone_require_script();
	hone_require_preload("hone._sample_text");
	text = hone_stats_sample_text(MyDatabaseId, (uint64) PG_GETARG_INT64(0));
	if (text == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* _shared_status(): one row of figures; a first false when not preloaded. */
Datum
hone_shared_status(PG_FUNCTION_ARGS)
{
	HoneStatsShared *shared = hone_stats_shared;
	TupleDesc	desc;
	HoneRow		row = {.count = 0};
	TimestampTz last_flush;

	hone_require_script();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	hone_put(&row, BoolGetDatum(shared != NULL));
	hone_put(&row, BoolGetDatum(IsQueryIdEnabled()));
	if (shared == NULL)
	{
		while (row.count < desc->natts)
			hone_put_null(&row);
		PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, row.values, row.nulls)));
	}
	last_flush = (TimestampTz) pg_atomic_read_u64(&shared->last_flush);
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->used_bytes));
	hone_put_bigint(&row, (int64) shared->memory_limit);
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->entries));
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->texts));
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->evictions));
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->dropped));
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->other_calls));
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->unbucketed));
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->texts_dropped));
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->internal_errors));
	hone_put_time(&row, last_flush);
	hone_put_time(&row, (TimestampTz) pg_atomic_read_u64(&shared->last_save));
	hone_put_time(&row, shared->since);
	hone_put_bigint(&row, (int64) pg_atomic_read_u64(&shared->wait_samples));
	hone_put(&row, BoolGetDatum(shared->collector != NULL));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, row.values, row.nulls)));
}

/* _query_text(queryid bigint): normalised, of this database; NULL: none. */
Datum
hone_query_text(PG_FUNCTION_ARGS)
{
	char	   *text;

	hone_require_script();
	text = hone_stats_text(MyDatabaseId, (uint64) PG_GETARG_INT64(0));
	if (text == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(text));
}

/* A histogram of samples in ms, for the tests of the error bound. */
static HoneHistogram *
sketch_of(ArrayType *samples, uint64 *min_ns, uint64 *max_ns)
{
	uint64	   *counts = palloc0(HONE_HISTOGRAM_BUCKETS * sizeof(uint64));
	HoneHistogram *histogram = hone_histogram_create(HONE_HISTOGRAM_BUCKETS);
	Datum	   *values;
	bool	   *nulls;
	int			count;

	deconstruct_array(samples, FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &values, &nulls, &count);
	*min_ns = PG_UINT64_MAX;
	*max_ns = 0;
	for (int i = 0; i < count; i++)
	{
		double		ns = nulls[i] ? 0 : rint(DatumGetFloat8(values[i]) * 1e6);
		uint64		whole = ns > 0 && ns < 1e19 ? (uint64) ns : 0;

		counts[hone_histogram_bucket(whole)]++;
		*min_ns = Min(*min_ns, whole);
		*max_ns = Max(*max_ns, whole);
	}
	for (int i = 0; i < HONE_HISTOGRAM_BUCKETS; i++)
		if (counts[i] > 0)
		{
			histogram->bucket[histogram->used] = i;
			histogram->count[histogram->used++] = counts[i];
		}
	return histogram;
}

/* _histogram_percentile(samples_ms float8[], fraction float8) */
Datum
hone_sketch_percentile(PG_FUNCTION_ARGS)
{
	double		fraction;
	HoneHistogram *histogram;
	uint64		min_ns;
	uint64		max_ns;

	hone_require_script();
	fraction = PG_GETARG_FLOAT8(1);
	check_fraction(fraction);
	histogram = sketch_of(PG_GETARG_ARRAYTYPE_P(0), &min_ns, &max_ns);
	if (histogram->used == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(hone_to_ms(hone_histogram_percentile(histogram, fraction, min_ns, max_ns)));
}

/* _histogram_percentile(a float8[], b float8[], fraction): of both, merged. */
Datum
hone_sketch_merged(PG_FUNCTION_ARGS)
{
	double		fraction;
	HoneHistogram *a;
	HoneHistogram *b;
	uint64		min_ns[2];
	uint64		max_ns[2];

	hone_require_script();
	fraction = PG_GETARG_FLOAT8(2);
	check_fraction(fraction);
	a = sketch_of(PG_GETARG_ARRAYTYPE_P(0), &min_ns[0], &max_ns[0]);
	b = sketch_of(PG_GETARG_ARRAYTYPE_P(1), &min_ns[1], &max_ns[1]);
	hone_histogram_add(a, b);
	if (a->used == 0)
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(hone_to_ms(hone_histogram_percentile(a, fraction,
														  Min(min_ns[0], min_ns[1]),
														  Max(max_ns[0], max_ns[1]))));
}
