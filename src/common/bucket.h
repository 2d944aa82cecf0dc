/*-------------------------------------------------------------------------
 *
 * bucket.h
 *	  A token bucket: so much per second, and so much at once.
 *
 * It holds no limits of its own: each call says the rate and the burst, so
 * that a changed setting counts at once. Tokens may be taken that are not
 * there yet; whoever takes them waits until the debt is paid, and who comes
 * later waits behind him. The caller locks what is shared.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BUCKET_H
#define HONE_BUCKET_H

#include "datatype/timestamp.h"

typedef struct HoneBucket
{
	double		tokens;			/* below 0: taken ahead */
	TimestampTz at;				/* when there were so many */
} HoneBucket;

extern void hone_bucket_begin(HoneBucket *bucket, double tokens, TimestampTz now);

/*
 * Microseconds from now until there are 'cost' tokens; 0: they are there.
 * A clock that was set back adds none, and takes none away.
 */
extern int64 hone_bucket_wait(HoneBucket *bucket, double rate, double burst,
							  double cost, TimestampTz now);

/* Take them, whether they are there or not. */
extern void hone_bucket_take(HoneBucket *bucket, double cost);

/* They were not used. */
extern void hone_bucket_give_back(HoneBucket *bucket, double burst, double cost);

#endif							/* HONE_BUCKET_H */
