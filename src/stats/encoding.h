/*-------------------------------------------------------------------------
 *
 * encoding.h
 *	  Histograms as bytea, in the history. Private to stats/.
 *
 * For each occupied bucket, in order: the distance from the bucket before (from
 * 0 for the first), and the count, both as LEB128: seven bits a byte, the
 * lowest first, the high bit set on all but the last. Buckets mean the same
 * for ever (histogram.h), so this never has to change.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_ENCODING_H
#define HONE_STATS_ENCODING_H

#include "stats/histogram.h"

/* Palloc'd. */
extern bytea *hone_histogram_encode(const HoneHistogram *histogram);

/*
 * Palloc'd; ERRCODE_DATA_CORRUPTED for what hone_histogram_encode() did not
 * make.
 */
extern HoneHistogram *hone_histogram_decode(const bytea *bytes);

/* A sum of many, in the memory context in which it was initialised. */
typedef struct HoneHistogramSum
{
	HoneHistogram histogram;
	int			capacity;
} HoneHistogramSum;

extern void hone_histogram_sum_init(HoneHistogramSum *sum);
extern void hone_histogram_sum_add(HoneHistogramSum *sum, const bytea *bytes);

#endif							/* HONE_STATS_ENCODING_H */
