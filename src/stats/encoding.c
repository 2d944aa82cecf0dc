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

/*
 * Decode into arrays that have room for as many buckets as there are bytes, or
 * for all there can be. Returns their number.
 */
static int
decode(const bytea *bytes, uint16 *bucket, uint64 *count)
{
	const uint8 *from = (const uint8 *) VARDATA_ANY(bytes);
	const uint8 *end = from + VARSIZE_ANY_EXHDR(bytes);
	uint64		last = 0;
	int			used = 0;

	while (from < end)
	{
		uint64		distance = get_varint(&from, end);

		last += distance;
		if (distance >= HONE_HISTOGRAM_BUCKETS || last >= HONE_HISTOGRAM_BUCKETS ||
			(used > 0 && distance == 0))
			report_damage();
		bucket[used] = (uint16) last;
		count[used++] = get_varint(&from, end);
	}
	return used;
}

HoneHistogram *
hone_histogram_decode(const bytea *bytes)
{
	HoneHistogram *histogram = hone_histogram_create(Min(VARSIZE_ANY_EXHDR(bytes),
														 HONE_HISTOGRAM_BUCKETS));

	histogram->used = decode(bytes, histogram->bucket, histogram->count);
	return histogram;
}

/*
 * Transition function of hone._histogram_sum(bytea). The state is a histogram
 * whose arrays are kept larger than needed.
 */
typedef struct SumState
{
	HoneHistogram sum;
	int			capacity;
	uint16		bucket[HONE_HISTOGRAM_BUCKETS]; /* of the one to be added */
	uint64		count[HONE_HISTOGRAM_BUCKETS];
} SumState;

static SumState *
create_state(void)
{
	SumState   *state = palloc(sizeof(SumState));

	state->capacity = 128;
	state->sum.used = 0;
	state->sum.bucket = palloc(state->capacity * sizeof(uint16));
	state->sum.count = palloc(state->capacity * sizeof(uint64));
	return state;
}

Datum
hone_histogram_accumulate(PG_FUNCTION_ARGS)
{
	MemoryContext context;
	MemoryContext old;
	SumState   *state;
	HoneHistogram added;
	int			needed;

	if (!AggCheckCallContext(fcinfo, &context))
		elog(ERROR, "hone._histogram_accumulate called outside an aggregate");
	old = MemoryContextSwitchTo(context);
	state = PG_ARGISNULL(0) ? create_state() : (SumState *) PG_GETARG_POINTER(0);
	if (!PG_ARGISNULL(1))
	{
		added.bucket = state->bucket;
		added.count = state->count;
		added.used = decode(PG_GETARG_BYTEA_PP(1), added.bucket, added.count);
		needed = hone_histogram_merged_size(&state->sum, &added);
		if (needed > state->capacity)
		{
			state->capacity = Min(needed * 2, HONE_HISTOGRAM_BUCKETS);
			state->sum.bucket = repalloc(state->sum.bucket, state->capacity * sizeof(uint16));
			state->sum.count = repalloc(state->sum.count, state->capacity * sizeof(uint64));
		}
		hone_histogram_merge(&state->sum, &added);
	}
	MemoryContextSwitchTo(old);
	PG_RETURN_POINTER(state);
}

/* Final function: the sum as bytea. */
Datum
hone_histogram_result(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(hone_histogram_encode(&((SumState *) PG_GETARG_POINTER(0))->sum));
}

static uint64
to_ns(double ms)
{
	double		ns = rint(ms * 1e6);

	return ns > 0 && ns < 1e19 ? (uint64) ns : 0;
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
