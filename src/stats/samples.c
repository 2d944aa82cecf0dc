/*-------------------------------------------------------------------------
 *
 * samples.c
 *	  Taking samples of bound parameters and constants, and handing them on.
 *
 * Between two flushes a session keeps, in its own memory, the first call of a
 * query and the slowest one. For each call that costs one comparison: a call
 * is copied when it is the query's first, or slower by a quarter than the
 * slowest copied so far. At the flush the copies go to a node beside the
 * query's numbers, with places for the slowest calls and for the last ones.
 *
 * Values are read when the call ends, from where the executor had them, and
 * never detoasted; no catalog is read and no function of a type called: the
 * types that are kept are listed here.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "nodes/params.h"
#include "utils/memutils.h"

#include "common/sqltext.h"
#include "stats/samples.h"
#include "stats/texts.h"

/* Queries of which a session keeps samples between two flushes. */
#define HELD_QUERIES	16

/*
 * A stream of ever new queries would have each one copied. So only this many
 * a second are looked at, unless their call took long.
 */
#define QUICK_QUERIES	12
#define QUICK_NS		UINT64CONST(10000000)

/* Of a longer text nobody can say cheaply what is in it: no sample. */
#define LONGEST_TEXT	16384

/* From then on a slow call gives way to any other. */
#define SLOW_FOR_US		(INT64CONST(86400) * 1000000)

typedef struct Held
{
	Oid			dbid;
	uint64		queryid;
	HoneSample *first;
	HoneSample *slowest;		/* NULL while it is the first */
} Held;

uint64		hone_samples_threshold[HONE_PENDING_QUERIES];

static Held held[HELD_QUERIES];
static int	held_count = 0;
static uint8 held_number[HONE_PENDING_QUERIES]; /* 1 + index, 0 = none */

static int	quick_taken = 0;
static uint64 quick_since = 0;	/* monotonic clock */

/* How a value is kept, and in *length its bytes. */
static HoneSampleState
varlena_state(Datum value, int *length)
{
	struct varlena *bytes = (struct varlena *) DatumGetPointer(value);

	if (VARATT_IS_EXTERNAL(bytes) || VARATT_IS_COMPRESSED(bytes) ||
		VARSIZE_ANY_EXHDR(bytes) > HONE_SAMPLE_VALUE_SIZE)
		return HONE_SAMPLE_LEFT_OUT;
	*length = VARSIZE_ANY(bytes);
	return HONE_SAMPLE_BY_REFERENCE;
}

static HoneSampleState
fixed_state(int size, int *length)
{
	*length = size;
	return HONE_SAMPLE_BY_REFERENCE;
}

static HoneSampleState
by_value_state(int *length)
{
	*length = sizeof(Datum);
	return HONE_SAMPLE_BY_VALUE;
}

static HoneSampleState
value_state(Oid type, Datum value, int *length)
{
	switch (type)
	{
		case BOOLOID:
		case CHAROID:
		case INT2OID:
		case INT4OID:
		case OIDOID:
		case XIDOID:
		case CIDOID:
		case FLOAT4OID:
		case DATEOID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGTYPEOID:
		case REGROLEOID:
		case REGNAMESPACEOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
			return by_value_state(length);
		case INT8OID:
		case FLOAT8OID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case CASHOID:
		case PG_LSNOID:
		case XID8OID:
			return FLOAT8PASSBYVAL ? by_value_state(length) : fixed_state(8, length);
		case UUIDOID:
		case INTERVALOID:
		case POINTOID:
			return fixed_state(16, length);
		case NAMEOID:
			return fixed_state(NAMEDATALEN, length);
		case TIMETZOID:
			return fixed_state(12, length);
		case TIDOID:
		case MACADDROID:
			return fixed_state(6, length);
		case MACADDR8OID:
			return fixed_state(8, length);
		case LINEOID:
		case CIRCLEOID:
			return fixed_state(24, length);
		case LSEGOID:
		case BOXOID:
			return fixed_state(32, length);
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case NUMERICOID:
		case JSONOID:
		case JSONBOID:
		case JSONPATHOID:
		case XMLOID:
		case BITOID:
		case VARBITOID:
		case INETOID:
		case CIDROID:
		case PATHOID:
		case POLYGONOID:
		case TSVECTOROID:
		case TSQUERYOID:
		case INT4RANGEOID:
		case INT8RANGEOID:
		case NUMRANGEOID:
		case DATERANGEOID:
		case TSRANGEOID:
		case TSTZRANGEOID:
		case BOOLARRAYOID:
		case INT2ARRAYOID:
		case INT4ARRAYOID:
		case INT8ARRAYOID:
		case OIDARRAYOID:
		case FLOAT4ARRAYOID:
		case FLOAT8ARRAYOID:
		case NUMERICARRAYOID:
		case TEXTARRAYOID:
		case VARCHARARRAYOID:
		case BPCHARARRAYOID:
		case NAMEARRAYOID:
		case UUIDARRAYOID:
		case DATEARRAYOID:
		case TIMESTAMPARRAYOID:
		case TIMESTAMPTZARRAYOID:
		case JSONARRAYOID:
		case JSONBARRAYOID:
		case INETARRAYOID:
			return varlena_state(value, length);
		default:
			return HONE_SAMPLE_LEFT_OUT;
	}
}

static void
describe_param(const ParamExternData *from, HoneSampleParam *to)
{
	int			length = 0;

	to->type = from->ptype;
	to->state = from->isnull ? HONE_SAMPLE_NULL : value_state(from->ptype, from->value, &length);
	to->length = length;
}

/*
 * Are the parameters still those that the call was made with? Variables of a
 * PL/pgSQL function may have changed, and the arguments of an SQL function
 * that is ended early may be gone.
 */
static bool
has_own_params(const HoneRecord *record)
{
	const QueryDesc *query_desc = record->query_desc;

	return query_desc->params == NULL ||
		(query_desc->params->paramFetch == NULL && record->dest != DestSQLFunction);
}

static bool
has_constants(const char *text, int length)
{
	int			pos = 0;
	int			end;
	HoneSqlToken token;

	while ((token = hone_sql_token(text, length, pos, &end)) != HONE_SQL_END)
	{
		if (token == HONE_SQL_CONSTANT)
			return true;
		pos = end;
	}
	return false;
}

/*
 * The statement as it was sent, without comments, and its length; to be freed.
 * NULL when there is no memory.
 */
static char *
copy_text(const char *text, int length, int *written, bool *cut)
{
	int			size = Min(HONE_SAMPLE_TEXT_SIZE, hone_stats_text_size);
	char	   *copy = MemoryContextAllocExtended(TopMemoryContext, length + 1,
												  MCXT_ALLOC_NO_OOM);
	int			ignored;

	if (copy == NULL)
		return NULL;
	*written = hone_sql_normalise(text, length, NULL, 0, 1, copy, length + 1, &ignored);
	*cut = *written >= size;
	if (*cut)
		*written = pg_mbcliplen(copy, *written, size - 1);
	copy[*written] = '\0';
	return copy;
}

/* Put the parts together; NULL when there is no memory. */
static HoneSample *
build_sample(const HoneRecord *record, const ParamExternData *values,
			 const HoneSampleParam *params, int nparams,
			 const char *text, int text_length)
{
	Size		size = HONE_SAMPLE_HEAD_SIZE(nparams);
	HoneSample *sample;
	char	   *at;

	for (int i = 0; i < nparams; i++)
		size += MAXALIGN(params[i].length);
	size += text_length;
	sample = MemoryContextAllocExtended(TopMemoryContext, size,
										MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
	if (sample == NULL)
		return NULL;
	sample->elapsed_ns = record->elapsed_ns;
	sample->finished = record->started + record->elapsed_ns / 1000;
	sample->userid = record->userid;
	sample->toplevel = record->toplevel;
	sample->size = size;
	sample->nparams = nparams;
	sample->text_length = text_length;
	memcpy(HONE_SAMPLE_PARAM_ARRAY(sample), params, nparams * sizeof(HoneSampleParam));
	at = (char *) sample + HONE_SAMPLE_HEAD_SIZE(nparams);
	for (int i = 0; i < nparams; i++)
	{
		if (params[i].state == HONE_SAMPLE_BY_VALUE)
			memcpy(at, &values[i].value, sizeof(Datum));
		else if (params[i].state == HONE_SAMPLE_BY_REFERENCE)
			memcpy(at, DatumGetPointer(values[i].value), params[i].length);
		at += MAXALIGN(params[i].length);
	}
	if (text_length > 0)
		memcpy(at, text, text_length);
	return sample;
}

/* NULL when there is nothing to sample, or it is not to be shown to anybody. */
static HoneSample *
make_sample(const HoneRecord *record)
{
	ParamListInfo bound = record->query_desc->params;
	HoneSampleParam params[HONE_SAMPLE_PARAMS];
	HoneSample *sample = NULL;
	const char *text;
	char	   *copy = NULL;
	int			length;
	int			nparams;
	int			written = -1;
	bool		cut = false;

	if (!has_own_params(record) ||
		!hone_texts_statement(record, &text, &length) || length > LONGEST_TEXT ||
		hone_sql_mentions(text, length, "password"))
		return NULL;
	nparams = bound != NULL ? Min(bound->numParams, HONE_SAMPLE_PARAMS) : 0;
	for (int i = 0; i < nparams; i++)
		describe_param(&bound->params[i], &params[i]);
	if (has_constants(text, length))
		copy = copy_text(text, length, &written, &cut);
	if (nparams > 0 || copy != NULL)
		sample = build_sample(record, nparams > 0 ? bound->params : NULL, params, nparams,
							  copy, written + 1);
	if (copy != NULL)
		pfree(copy);
	if (sample != NULL)
		sample->truncated = cut || (bound != NULL && bound->numParams > nparams);
	return sample;
}

/*
 * May one more query be looked at? If not, *threshold says from which time on
 * its calls are worth asking again.
 */
static bool
may_hold(const HoneRecord *record, uint64 *threshold)
{
	uint64		now = record->start_ns + record->elapsed_ns;

	if (held_count == HELD_QUERIES)
	{
		*threshold = PG_UINT64_MAX;
		return false;
	}
	if (record->elapsed_ns > QUICK_NS)
		return true;
	if (quick_since == 0 || (int64) (now - quick_since) > 1000000000)
	{
		quick_since = now;
		quick_taken = 0;
	}
	if (quick_taken == QUICK_QUERIES)
	{
		*threshold = QUICK_NS;
		return false;
	}
	quick_taken++;
	return true;
}

void
hone_samples_take(int query, const HoneRecord *record)
{
	uint64	   *threshold = &hone_samples_threshold[query];
	HoneSample *sample;
	Held	   *of;

	if (held_number[query] == 0 && !may_hold(record, threshold))
		return;
	sample = make_sample(record);
	if (sample == NULL)
	{
		*threshold = PG_UINT64_MAX;
		return;
	}
	*threshold = record->elapsed_ns + record->elapsed_ns / 4;
	if (held_number[query] == 0)
	{
		of = &held[held_count++];
		of->dbid = record->dbid;
		of->queryid = record->queryid;
		of->first = sample;
		of->slowest = NULL;
		held_number[query] = held_count;
		return;
	}
	of = &held[held_number[query] - 1];
	if (of->slowest != NULL)
		pfree(of->slowest);
	of->slowest = sample;
}

void
hone_samples_forget(void)
{
	for (int i = 0; i < held_count; i++)
	{
		pfree(held[i].first);
		if (held[i].slowest != NULL)
			pfree(held[i].slowest);
	}
	held_count = 0;
	memset(held_number, 0, sizeof(held_number));
	memset(hone_samples_threshold, 0, sizeof(hone_samples_threshold));
}

void
hone_samples_renew(void)
{
	quick_taken = 0;
}

static HoneSample *
sample_in(const HoneStatsSamplePlace *place)
{
	return dsa_get_address(hone_stats_area, place->sample);
}

/* The place for a slow call, or NULL: it was faster than all that are there. */
static HoneStatsSamplePlace *
slow_place(HoneStatsSamples *node, const HoneSample *sample)
{
	HoneStatsSamplePlace *fastest = NULL;

	for (int i = 0; i < HONE_STATS_SLOW_SAMPLES; i++)
	{
		HoneStatsSamplePlace *place = &node->places[i];

		if (!DsaPointerIsValid(place->sample) ||
			sample_in(place)->finished < sample->finished - SLOW_FOR_US)
			return place;
		if (fastest == NULL || sample_in(place)->elapsed_ns < sample_in(fastest)->elapsed_ns)
			fastest = place;
	}
	return sample->elapsed_ns > sample_in(fastest)->elapsed_ns ? fastest : NULL;
}

/* The place for a recent call: a free one, or that of the oldest. */
static HoneStatsSamplePlace *
recent_place(HoneStatsSamples *node)
{
	HoneStatsSamplePlace *oldest = NULL;

	for (int i = HONE_STATS_SLOW_SAMPLES; i < HONE_STATS_SAMPLES; i++)
	{
		HoneStatsSamplePlace *place = &node->places[i];

		if (!DsaPointerIsValid(place->sample))
			return place;
		if (oldest == NULL || sample_in(place)->finished < sample_in(oldest)->finished)
			oldest = place;
	}
	return oldest;
}

/* False when there is no room; what was there stays then. */
static bool
put_sample(HoneStatsSamplePlace *place, const HoneSample *sample)
{
	if (place->capacity < sample->size || place->capacity > 2 * sample->size)
	{
		dsa_pointer pointer = hone_stats_allocate(sample->size);

		if (!DsaPointerIsValid(pointer))
			return false;
		if (DsaPointerIsValid(place->sample))
			hone_stats_free(place->sample, place->capacity);
		place->sample = pointer;
		place->capacity = sample->size;
	}
	memcpy(sample_in(place), sample, sample->size);
	return true;
}

/*
 * The slowest call goes among the slow ones if it belongs there, the first one
 * among the recent ones. Each is in one place only.
 */
static bool
put_samples(HoneStatsSamples *node, const Held *from)
{
	const HoneSample *slowest = from->slowest ? from->slowest : from->first;
	HoneStatsSamplePlace *place = slow_place(node, slowest);
	bool		put = true;

	node->node.last_seen = Max(node->node.last_seen, slowest->finished);
	if (place != NULL)
		put = put_sample(place, slowest);
	if (place == NULL || from->slowest != NULL)
		put &= put_sample(recent_place(node), from->first);
	return put;
}

/*
 * A lock that is not free is not waited for: there will be other samples. A
 * query that found no room for its numbers has none.
 */
static void
hand_on(const Held *from)
{
	uint32		bucket = hone_stats_bucket(from->dbid, from->queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	HoneStatsKey key;
	HoneStatsSamples *node;
	bool		put = true;

	hone_stats_key_init(&key, HONE_STATS_SAMPLE, from->dbid, InvalidOid,
						from->queryid, false, 0);
	if (!LWLockConditionalAcquire(lock, LW_EXCLUSIVE))
		return;
	if (hone_stats_has_numbers(from->dbid, from->queryid))
	{
		node = (HoneStatsSamples *) hone_stats_find(bucket, &key);
		if (node == NULL)
			node = (HoneStatsSamples *) hone_stats_insert(bucket, &key, sizeof(HoneStatsSamples));
		put = node != NULL && put_samples(node, from);
	}
	LWLockRelease(lock);
	if (!put)
		pg_atomic_fetch_add_u64(&hone_stats_shared->texts_dropped, 1);
}

void
hone_samples_flush(uint32 epoch)
{
	for (int i = 0; i < held_count; i++)
		if (!hone_stats_was_reset(epoch, held[i].queryid))
			hand_on(&held[i]);
}

bool
hone_sample_is_sound(const HoneSample *sample, Size size)
{
	const HoneSampleParam *params = HONE_SAMPLE_PARAM_ARRAY(sample);
	Size		expected;

	if (size < sizeof(HoneSample) || sample->size != size ||
		sample->nparams > HONE_SAMPLE_PARAMS || sample->text_length > HONE_SAMPLE_TEXT_SIZE)
		return false;
	expected = HONE_SAMPLE_HEAD_SIZE(sample->nparams) + sample->text_length;
	if (size < expected)
		return false;
	for (int i = 0; i < sample->nparams; i++)
	{
		switch (params[i].state)
		{
			case HONE_SAMPLE_NULL:
			case HONE_SAMPLE_LEFT_OUT:
				if (params[i].length != 0)
					return false;
				break;
			case HONE_SAMPLE_BY_VALUE:
				if (params[i].length != sizeof(Datum))
					return false;
				break;
			case HONE_SAMPLE_BY_REFERENCE:
				if (params[i].length == 0 || params[i].length > HONE_SAMPLE_VALUE_SIZE + VARHDRSZ)
					return false;
				break;
			default:
				return false;
		}
		expected += MAXALIGN(params[i].length);
	}
	return size == expected &&
		(sample->text_length == 0 || ((const char *) sample)[size - 1] == '\0');
}
