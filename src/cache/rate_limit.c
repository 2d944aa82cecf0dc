/*-------------------------------------------------------------------------
 *
 * rate_limit.c
 *	  hone.rate_limit and hone.rate_limit_wait: token buckets in shared memory.
 *
 * The table is made of sets of 32 places. A key's digest says which set, and
 * its bucket is in one of the places of it: nothing is chained, nothing is
 * moved, and whatever happens costs at most a look at 32 places under one lock.
 * A place whose bucket is full again is as good as free. Where all 32 are in
 * use the one that will be full soonest is forgotten: so that a new key begins
 * full, as it would anyway, and the least is forgiven.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "cache/digest.h"
#include "cache/rate_limit.h"
#include "cache/store.h"
#include "common/bucket.h"
#include "common/hone.h"
#include "common/sleep.h"

#define TRANCHE_NAME	"pg_hone rate limits"
#define LOCK_COUNT		64
#define SET_PLACES		32

/* Of a digest: as much as tells keys apart. */
#define KEY_BYTES		16

PG_FUNCTION_INFO_V1(hone_rate_limit);
PG_FUNCTION_INFO_V1(hone_rate_limit_wait);

typedef struct Place
{
	uint8		key[KEY_BYTES];
	HoneBucket	bucket;
	TimestampTz full_at;		/* 0: the place was never used */
} Place;

typedef struct RateLimitShared
{
	LWLockPadded *locks;
	uint32		sets;			/* a power of 2 */
	pg_atomic_uint64 forgotten;
	Place		places[FLEXIBLE_ARRAY_MEMBER];
} RateLimitShared;

/* One call. */
typedef struct RateLimit
{
	uint8		key[HONE_DIGEST_BYTES];
	double		rate;
	double		burst;
	double		cost;
} RateLimit;

static int	rate_limit_keys = 10000;
static RateLimitShared *shared = NULL;

/* ------------------------------------------------------------------------
 * Shared memory
 * ------------------------------------------------------------------------
 */

void
hone_rate_limit_define_settings(void)
{
	DefineCustomIntVariable("hone.rate_limit_keys",
							"Keys of hone.rate_limit that are not full again which shared memory has room for.",
							"About 100 bytes each.",
							&rate_limit_keys, 10000, 100, 10000000,
							hone_server_start_context(), 0, NULL, NULL, NULL);
}

/* Twice as many places as keys: then sets hardly ever have no room. */
static uint32
set_count(void)
{
	uint32		count = 1;

	while ((uint64) count * SET_PLACES < (uint64) rate_limit_keys * 2)
		count <<= 1;
	return count;
}

static Size
shared_size(void)
{
	return add_size(offsetof(RateLimitShared, places),
					mul_size(sizeof(Place), mul_size(set_count(), SET_PLACES)));
}

void
hone_rate_limit_request(void)
{
	RequestAddinShmemSpace(shared_size());
	RequestNamedLWLockTranche(TRANCHE_NAME, LOCK_COUNT);
}

void
hone_rate_limit_startup(void)
{
	bool		found;

	shared = ShmemInitStruct(TRANCHE_NAME, shared_size(), &found);
	if (found)
		return;

	/* The places are zeroes, as new shared memory is. */
	shared->locks = GetNamedLWLockTranche(TRANCHE_NAME);
	shared->sets = set_count();
	pg_atomic_init_u64(&shared->forgotten, 0);
}

uint64
hone_rate_limit_forgotten(void)
{
	return pg_atomic_read_u64(&shared->forgotten);
}

/* ------------------------------------------------------------------------
 * Buckets
 * ------------------------------------------------------------------------
 */

static uint32
set_of(const RateLimit *limit)
{
	uint32		hash;

	memcpy(&hash, limit->key, sizeof(hash));
	return hash & (shared->sets - 1);
}

static LWLock *
lock_of(const RateLimit *limit)
{
	return &shared->locks[set_of(limit) % LOCK_COUNT].lock;
}

static Place *
find(const RateLimit *limit)
{
	Place	   *places = &shared->places[(Size) set_of(limit) * SET_PLACES];

	for (int i = 0; i < SET_PLACES; i++)
	{
		if (places[i].full_at != 0 && memcmp(places[i].key, limit->key, KEY_BYTES) == 0)
			return &places[i];
	}
	return NULL;
}

static Place *
find_or_make(const RateLimit *limit, TimestampTz now)
{
	Place	   *places = &shared->places[(Size) set_of(limit) * SET_PLACES];
	Place	   *place = find(limit);

	if (place != NULL)
		return place;
	place = &places[0];
	for (int i = 1; i < SET_PLACES; i++)
	{
		if (places[i].full_at < place->full_at)
			place = &places[i];
	}
	if (place->full_at > now)
		pg_atomic_fetch_add_u64(&shared->forgotten, 1);
	memcpy(place->key, limit->key, KEY_BYTES);
	hone_bucket_begin(&place->bucket, limit->burst, now);
	return place;
}

static void
note_when_full(Place *place, const RateLimit *limit, TimestampTz now)
{
	place->full_at = now + 1 +
		hone_bucket_wait(&place->bucket, limit->rate, limit->burst, limit->burst, now);
}

/*
 * Take the tokens and return the microseconds until they are there, if that is
 * not after 'patience'; else take none.
 */
static int64
take(const RateLimit *limit, int64 patience)
{
	LWLock	   *lock = lock_of(limit);
	Place	   *place;
	TimestampTz now;
	int64		wait;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	now = GetCurrentTimestamp();
	place = find_or_make(limit, now);
	wait = hone_bucket_wait(&place->bucket, limit->rate, limit->burst, limit->cost, now);
	if (wait <= patience)
		hone_bucket_take(&place->bucket, limit->cost);
	note_when_full(place, limit, now);
	LWLockRelease(lock);
	return wait;
}

/* Callback for a sleep that does not end well. */
static void
give_back(int code, Datum arg)
{
	const RateLimit *limit = (const RateLimit *) DatumGetPointer(arg);
	LWLock	   *lock = lock_of(limit);
	Place	   *place;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	place = find(limit);
	if (place != NULL)
	{
		hone_bucket_give_back(&place->bucket, limit->burst, limit->cost);
		note_when_full(place, limit, GetCurrentTimestamp());
	}
	LWLockRelease(lock);
}

/* ------------------------------------------------------------------------
 * What users call
 * ------------------------------------------------------------------------
 */

static double
number_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	double		value;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
	value = PG_GETARG_FLOAT8(argument);
	if (isnan(value) || isinf(value) || value <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a number above 0", name),
				 errhint("rate is in tokens per second, burst and cost are in tokens.")));
	return value;
}

static void
read_arguments(FunctionCallInfo fcinfo, RateLimit *limit)
{
	text	   *key;
	char	   *data;
	Size		size;
	bool		made;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("key must not be null")));
	limit->rate = number_argument(fcinfo, 1, "rate");
	limit->burst = number_argument(fcinfo, 2, "burst");
	limit->cost = number_argument(fcinfo, 3, "cost");
	if (limit->cost > limit->burst)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cost %g is above burst %g, so the call could never go ahead",
						limit->cost, limit->burst),
				 errhint("burst is the most that may be taken at once.")));

	/* Keys are the database's. */
	key = PG_GETARG_TEXT_PP(0);
	size = sizeof(Oid) + VARSIZE_ANY_EXHDR(key);
	data = palloc(size);
	memcpy(data, &MyDatabaseId, sizeof(Oid));
	memcpy(data + sizeof(Oid), VARDATA_ANY(key), VARSIZE_ANY_EXHDR(key));
	made = hone_digest(data, size, limit->key);
	pfree(data);
	if (!made)
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory for the digest of a key")));
}

static Datum
interval_of(int64 microseconds)
{
	Interval   *interval = palloc0(sizeof(Interval));

	interval->time = microseconds;
	return IntervalPGetDatum(interval);
}

/*
 * hone.rate_limit(key text, rate float8, burst float8, cost float8): allowed, retry_after
 */
Datum
hone_rate_limit(PG_FUNCTION_ARGS)
{
	RateLimit	limit;
	TupleDesc	desc;
	Datum		values[2];
	bool		nulls[2] = {false, false};
	int64		wait;

	hone_require_script();
	hone_require_preload("hone.rate_limit");
	read_arguments(fcinfo, &limit);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	wait = take(&limit, 0);
	values[0] = BoolGetDatum(wait == 0);
	values[1] = interval_of(wait);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

static int64
patience_of(const Interval *interval)
{
	int64		microseconds = hone_cache_microseconds(interval);

	if (microseconds < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout must not be negative"),
				 errhint("0 takes only what is there at once, NULL waits as long as it takes.")));
	return microseconds;
}

/*
 * hone.rate_limit_wait(key text, rate float8, burst float8, cost float8, timeout interval)
 * returns the time waited, NULL where that would have been longer than timeout
 *
 * The tokens are taken before the sleep: who comes later waits behind.
 */
Datum
hone_rate_limit_wait(PG_FUNCTION_ARGS)
{
	RateLimit	limit;
	int64		patience = PG_INT64_MAX;
	int64		wait;
	int64		slept;

	hone_require_script();
	hone_require_preload("hone.rate_limit_wait");
	read_arguments(fcinfo, &limit);
	if (!PG_ARGISNULL(4))
		patience = patience_of(PG_GETARG_INTERVAL_P(4));
	wait = take(&limit, patience);
	if (wait > patience)
		PG_RETURN_NULL();
	if (wait == 0)
		PG_RETURN_DATUM(interval_of(0));
	PG_ENSURE_ERROR_CLEANUP(give_back, PointerGetDatum(&limit));
	{
		slept = hone_sleep(wait);
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_back, PointerGetDatum(&limit));
	PG_RETURN_DATUM(interval_of(slept));
}
