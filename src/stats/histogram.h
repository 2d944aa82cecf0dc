/*-------------------------------------------------------------------------
 *
 * histogram.h
 *	  A mergeable latency histogram with a guaranteed relative error.
 *
 * Durations are whole nanoseconds. Buckets are fixed for ever, so histograms
 * of different backends, times and servers merge by adding counts.
 *
 * Bucket layout. Values below 64 have a bucket each. Above, every octave
 * [2^k, 2^(k+1)), k >= 6, is cut into 64 buckets of equal width 2^(k-6): with
 * e = k - 6 and the six bits s below the leading one, the bucket is
 *
 *		[ (64 + s) * 2^e, (64 + s + 1) * 2^e ),   0 <= s <= 63.
 *
 * Error bound. A bucket is represented by its midpoint m. Any value v in it
 * satisfies |v - m| <= 2^e / 2 and v >= (64 + s) * 2^e >= 64 * 2^e, hence
 *
 *		|v - m| / v <= 1 / 128 < 0.79 %
 *
 * for all v up to 2^64 - 1 ns (584 years); below 64 ns it is exact. The
 * percentile of a fraction f is the nearest-rank one, x[ceil(f * n)]: its
 * bucket is found exactly by counting, so only the bound above applies.
 * Clamping the midpoint to the exact minimum and maximum, between which every
 * value lies, never makes the error larger.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_HISTOGRAM_H
#define HONE_HISTOGRAM_H

#include "port/pg_bitutils.h"

#include "common/hone.h"

#define HONE_HISTOGRAM_BITS		6
#define HONE_HISTOGRAM_SUB		(1 << HONE_HISTOGRAM_BITS)
#define HONE_HISTOGRAM_BUCKETS	((64 - HONE_HISTOGRAM_BITS + 1) * HONE_HISTOGRAM_SUB)

/*
 * The occupied buckets, sorted by bucket number. The arrays belong to whoever
 * made them: local memory or one chunk of shared memory.
 */
typedef struct HoneHistogram
{
	int			used;
	uint16	   *bucket;
	uint64	   *count;
} HoneHistogram;

static inline int
hone_histogram_bucket(uint64 ns)
{
	int			shift;

	if (ns < HONE_HISTOGRAM_SUB)
		return (int) ns;
	shift = pg_leftmost_one_pos64(ns) - HONE_HISTOGRAM_BITS;
	return (shift + 1) * HONE_HISTOGRAM_SUB +
		(int) ((ns >> shift) & (HONE_HISTOGRAM_SUB - 1));
}

/* Smallest value of a bucket, in ns. */
static inline uint64
hone_histogram_lower(int bucket)
{
	int			shift = bucket / HONE_HISTOGRAM_SUB - 1;
	uint64		sub = bucket % HONE_HISTOGRAM_SUB;

	if (shift < 0)
		return sub;
	return (sub + HONE_HISTOGRAM_SUB) << shift;
}

/* Number of different values of a bucket. */
static inline uint64
hone_histogram_width(int bucket)
{
	int			shift = bucket / HONE_HISTOGRAM_SUB - 1;

	return shift < 0 ? 1 : UINT64CONST(1) << shift;
}

/* An empty histogram that can hold 'capacity' buckets, in local memory. */
extern HoneHistogram *hone_histogram_create(int capacity);

/* Number of buckets that merging b into a would leave. Both sorted. */
extern int	hone_histogram_merged_size(const HoneHistogram *a,
									   const HoneHistogram *b);

/*
 * Add b's counts to a, whose arrays must have room for
 * hone_histogram_merged_size(a, b) buckets. Works in place, from the end.
 */
extern void hone_histogram_merge(HoneHistogram *a, const HoneHistogram *b);

/* Merge, enlarging a's local arrays as needed. */
extern void hone_histogram_add(HoneHistogram *a, const HoneHistogram *b);

/* Number of values counted. */
extern uint64 hone_histogram_total(const HoneHistogram *histogram);

/*
 * Percentile in ns for a fraction in [0, 1], clamped to the exact extremes.
 * The histogram must not be empty.
 */
extern double hone_histogram_percentile(const HoneHistogram *histogram,
										double fraction,
										uint64 min_ns, uint64 max_ns);

#endif							/* HONE_HISTOGRAM_H */
