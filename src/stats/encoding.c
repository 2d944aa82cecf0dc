/*-------------------------------------------------------------------------
 *
 * encoding.c
 *	  Histograms as bytea, and what SQL does with them: merge, percentiles,
 *	  how many are above a limit.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "common/hone.h"
#include "stats/encoding.h"

#define MAX_VARINT		10		/* bytes of a uint64 */

PG_FUNCTION_INFO_V1(hone_histogram_accumulate);
PG_FUNCTION_INFO_V1(hone_histogram_result);
PG_FUNCTION_INFO_V1(hone_histogram_values);
PG_FUNCTION_INFO_V1(hone_histogram_above);

static uint8 *
put_varint(uint8 *to, uint64 value)
{
	while (value >= 0x80)
	{
		*to++ = (uint8) (value | 0x80);
		value >>= 7;
	}
	*to++ = (uint8) value;
	return to;
}

static pg_noreturn void
report_damage(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("a histogram of the history of statistics is damaged")));
}

static uint64
get_varint(const uint8 **from, const uint8 *end)
{
	uint64		value = 0;

	for (int shift = 0; shift < 64; shift += 7)
	{
		uint8		byte;

		if (*from >= end)
			break;
		byte = *(*from)++;
		value |= (uint64) (byte & 0x7F) << shift;
		if ((byte & 0x80) == 0)
			return value;
	}
	report_damage();
}

/* Nearly all are a single byte. */
static inline uint64
get_small_varint(const uint8 **from, const uint8 *end)
{
	if (likely(*from < end && **from < 0x80))
		return *(*from)++;
	return get_varint(from, end);
}

bytea *
hone_histogram_encode(const HoneHistogram *histogram)
{
	bytea	   *result = palloc(VARHDRSZ + histogram->used * 2 * MAX_VARINT);
	uint8	   *to = (uint8 *) VARDATA(result);
	int			last = 0;

	for (int i = 0; i < histogram->used; i++)
	{
		to = put_varint(to, histogram->bucket[i] - last);
		to = put_varint(to, histogram->count[i]);
		last = histogram->bucket[i];
	}
	SET_VARSIZE(result, (char *) to - (char *) result);
	return result;
}

/* The next bucket after 'last' (-1: none before). */
static inline int
get_bucket(const uint8 **from, const uint8 *end, int last)
{
	uint64		distance = get_small_varint(from, end);

	if (distance >= HONE_HISTOGRAM_BUCKETS || (last >= 0 && distance == 0) ||
		Max(last, 0) + (int) distance >= HONE_HISTOGRAM_BUCKETS)
		report_damage();
	return Max(last, 0) + (int) distance;
}

HoneHistogram *
hone_histogram_decode(const bytea *bytes)
{
	HoneHistogramSum *sum = palloc(sizeof(HoneHistogramSum));

	hone_histogram_sum_init(sum);
	hone_histogram_sum_add(sum, bytes);
	return &sum->histogram;
}

void
hone_histogram_sum_init(HoneHistogramSum *sum)
{
	sum->capacity = 64;
	sum->histogram.used = 0;
	sum->histogram.bucket = palloc(sum->capacity * sizeof(uint16));
	sum->histogram.count = palloc(sum->capacity * sizeof(uint64));
}

/*
 * Buckets that the sum has already, nearly all of them after a while, are
 * added in one pass over the bytes; the others are merged in at its end.
 */
void
hone_histogram_sum_add(HoneHistogramSum *sum, const bytea *bytes)
{
	static uint16 bucket[HONE_HISTOGRAM_BUCKETS];
	static uint64 count[HONE_HISTOGRAM_BUCKETS];
	const uint8 *from = (const uint8 *) VARDATA_ANY(bytes);
	const uint8 *end = from + VARSIZE_ANY_EXHDR(bytes);
	HoneHistogram *to = &sum->histogram;
	HoneHistogram missing = {0, bucket, count};
	int			at = 0;
	int			last = -1;
	int			needed;

	while (from < end)
	{
		int			next = get_bucket(&from, end, last);
		uint64		value = get_small_varint(&from, end);

		last = next;
		while (at < to->used && to->bucket[at] < next)
			at++;
		if (at < to->used && to->bucket[at] == next)
			to->count[at] += value;
		else
		{
			bucket[missing.used] = next;
			count[missing.used++] = value;
		}
	}
	if (missing.used == 0)
		return;
	needed = to->used + missing.used;
	if (needed > sum->capacity)
	{
		sum->capacity = Min(needed * 2, HONE_HISTOGRAM_BUCKETS);
		to->bucket = repalloc(to->bucket, sum->capacity * sizeof(uint16));
		to->count = repalloc(to->count, sum->capacity * sizeof(uint64));
	}
	hone_histogram_merge(to, &missing);
}

/* Transition function of hone._histogram_sum(bytea). */
Datum
hone_histogram_accumulate(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext old;
	HoneHistogramSum *sum;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "hone._histogram_accumulate called outside an aggregate");
	old = MemoryContextSwitchTo(context);
	if (PG_ARGISNULL(0))
	{
		sum = palloc(sizeof(HoneHistogramSum));
		hone_histogram_sum_init(sum);
	}
	else
		sum = (HoneHistogramSum *) PG_GETARG_POINTER(0);
	if (!PG_ARGISNULL(1))
		hone_histogram_sum_add(sum, PG_GETARG_BYTEA_PP(1));
	MemoryContextSwitchTo(old);
	PG_RETURN_POINTER(sum);
}

/* Final function: the sum as bytea. */
Datum
hone_histogram_result(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(hone_histogram_encode(&((HoneHistogramSum *) PG_GETARG_POINTER(0))->histogram));
}

static uint64
to_ns(double ms)
{
	double		ns = rint(ms * 1e6);

	if (!(ns > 0))
		return 0;
	return ns < 1e19 ? (uint64) ns : PG_UINT64_MAX;
}

/*
 * _histogram_values(histogram bytea, fractions float8[], min_ms float8,
 * max_ms float8) returns float8[]: percentiles in ms; a fraction outside of
 * [0, 1] counts as the nearer end.
 */
Datum
hone_histogram_values(PG_FUNCTION_ARGS)
{
	HoneHistogram *histogram;
	uint64		min_ns;
	uint64		max_ns;
	Datum	   *values;
	bool	   *nulls;
	int			count;

	hone_require_script();
	histogram = hone_histogram_decode(PG_GETARG_BYTEA_PP(0));
	min_ns = to_ns(PG_GETARG_FLOAT8(2));
	max_ns = to_ns(PG_GETARG_FLOAT8(3));
	if (histogram->used == 0)
		PG_RETURN_NULL();
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(1), FLOAT8OID, sizeof(float8), FLOAT8PASSBYVAL,
					  TYPALIGN_DOUBLE, &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		double		fraction = nulls[i] ? 0 : DatumGetFloat8(values[i]);

		fraction = isnan(fraction) ? 0 : Min(Max(fraction, 0), 1);
		values[i] = Float8GetDatum(hone_histogram_percentile(histogram, fraction,
															 min_ns, max_ns) / 1e6);
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(values, count, FLOAT8OID, sizeof(float8),
										  FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

/*
 * _histogram_above(histogram bytea, limit_ms float8) returns bigint: how many
 * took longer, within the error of the buckets: those of the limit's own
 * bucket did not.
 */
Datum
hone_histogram_above(PG_FUNCTION_ARGS)
{
	HoneHistogram *histogram;
	int			limit;
	uint64		above = 0;

	hone_require_script();
	histogram = hone_histogram_decode(PG_GETARG_BYTEA_PP(0));
	limit = hone_histogram_bucket(to_ns(PG_GETARG_FLOAT8(1)));
	for (int i = 0; i < histogram->used; i++)
		if (histogram->bucket[i] > limit)
			above += histogram->count[i];
	PG_RETURN_INT64((int64) above);
}
