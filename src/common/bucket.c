/*-------------------------------------------------------------------------
 *
 * bucket.c
 *	  A token bucket (see bucket.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "common/bucket.h"

/* Longer waits are not told apart: about 3,000 years. */
#define LONGEST_WAIT	1e17

/* Of the burst: what rounding may take from tokens that are there. */
#define ROUNDING		1e-9

void
hone_bucket_begin(HoneBucket *bucket, double tokens, TimestampTz now)
{
	bucket->tokens = tokens;
	bucket->at = now;
}

static void
fill(HoneBucket *bucket, double rate, double burst, TimestampTz now)
{
	if (now > bucket->at)
		bucket->tokens += rate * ((double) (now - bucket->at) / USECS_PER_SEC);
	bucket->tokens = Min(bucket->tokens, burst);
	bucket->at = now;
}

int64
hone_bucket_wait(HoneBucket *bucket, double rate, double burst, double cost,
				 TimestampTz now)
{
	double		missing;

	fill(bucket, rate, burst, now);
	missing = cost - bucket->tokens;
	if (missing <= burst * ROUNDING)
		return 0;
	return (int64) ceil(Min(missing / rate * USECS_PER_SEC, LONGEST_WAIT));
}

void
hone_bucket_take(HoneBucket *bucket, double cost)
{
	bucket->tokens -= cost;
}

void
hone_bucket_give_back(HoneBucket *bucket, double burst, double cost)
{
	bucket->tokens = Min(bucket->tokens + cost, burst);
}
