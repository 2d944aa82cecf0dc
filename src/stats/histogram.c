/*-------------------------------------------------------------------------
 *
 * histogram.c
 *	  Merging latency histograms and reading percentiles from them.
 *
 * The layout of the buckets and the proof of the error bound stand in
 * histogram.h. Nothing here takes a lock; callers hold what protects the
 * arrays they pass.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "stats/histogram.h"

HoneHistogram *
hone_histogram_create(int capacity)
{
	HoneHistogram *histogram = palloc(sizeof(HoneHistogram));

	capacity = Max(capacity, 1);
	histogram->used = 0;
	histogram->bucket = palloc(capacity * sizeof(uint16));
	histogram->count = palloc(capacity * sizeof(uint64));
	return histogram;
}

int
hone_histogram_merged_size(const HoneHistogram *a, const HoneHistogram *b)
{
	int			size = 0;
	int			i = 0;
	int			j = 0;

	while (i < a->used && j < b->used)
	{
		if (a->bucket[i] == b->bucket[j])
			i++, j++;
		else if (a->bucket[i] < b->bucket[j])
			i++;
		else
			j++;
		size++;
	}
	return size + (a->used - i) + (b->used - j);
}

void
hone_histogram_merge(HoneHistogram *a, const HoneHistogram *b)
{
	int			i = a->used - 1;
	int			j = b->used - 1;
	int			out = hone_histogram_merged_size(a, b);

	a->used = out--;
	while (j >= 0)
	{
		if (i >= 0 && a->bucket[i] > b->bucket[j])
		{
			a->bucket[out] = a->bucket[i];
			a->count[out] = a->count[i];
			i--;
		}
		else if (i >= 0 && a->bucket[i] == b->bucket[j])
		{
			a->bucket[out] = a->bucket[i];
			a->count[out] = a->count[i] + b->count[j];
			i--, j--;
		}
		else
		{
			a->bucket[out] = b->bucket[j];
			a->count[out] = b->count[j];
			j--;
		}
		out--;
	}
}

void
hone_histogram_add(HoneHistogram *a, const HoneHistogram *b)
{
	int			size = hone_histogram_merged_size(a, b);

	if (size > a->used)
	{
		a->bucket = repalloc(a->bucket, size * sizeof(uint16));
		a->count = repalloc(a->count, size * sizeof(uint64));
	}
	hone_histogram_merge(a, b);
}

uint64
hone_histogram_total(const HoneHistogram *histogram)
{
	uint64		total = 0;

	for (int i = 0; i < histogram->used; i++)
		total += histogram->count[i];
	return total;
}

double
hone_histogram_percentile(const HoneHistogram *histogram, double fraction,
						  uint64 min_ns, uint64 max_ns)
{
	uint64		total = hone_histogram_total(histogram);
	double		target = ceil(fraction * (double) total);
	uint64		rank = target < 1 ? 1 : target > (double) total ? total : (uint64) target;
	uint64		seen = 0;
	double		value = (double) max_ns;

	for (int i = 0; i < histogram->used; i++)
	{
		seen += histogram->count[i];
		if (seen >= rank)
		{
			uint64		width = hone_histogram_width(histogram->bucket[i]);

			value = (double) hone_histogram_lower(histogram->bucket[i]);
			if (width > 1)
				value += (double) width / 2;
			break;
		}
	}
	if (rank == 1)
		return (double) min_ns;
	if (rank == total)
		return (double) max_ns;
	return Min(Max(value, (double) min_ns), (double) max_ns);
}
