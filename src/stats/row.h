/*-------------------------------------------------------------------------
 *
 * row.h
 *	  A result row under construction. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_ROW_H
#define HONE_STATS_ROW_H

#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/hone.h"
#include "stats/shared.h"

typedef struct HoneRow
{
	Datum		values[48];
	bool		nulls[48];
	int			count;
} HoneRow;

static inline double
hone_to_ms(double ns)
{
	return ns / 1e6;
}

static inline void
hone_put(HoneRow *row, Datum value)
{
	row->nulls[row->count] = false;
	row->values[row->count++] = value;
}

static inline void
hone_put_null(HoneRow *row)
{
	row->nulls[row->count] = true;
	row->values[row->count++] = (Datum) 0;
}

static inline void
hone_put_bigint(HoneRow *row, int64 value)
{
	hone_put(row, Int64GetDatum(value));
}

static inline void
hone_put_ms(HoneRow *row, double ns)
{
	hone_put(row, Float8GetDatum(hone_to_ms(ns)));
}

static inline void
hone_put_text(HoneRow *row, const char *text)
{
	if (text != NULL)
		hone_put(row, CStringGetTextDatum(text));
	else
		hone_put_null(row);
}

/* 0 = NULL */
static inline void
hone_put_time(HoneRow *row, TimestampTz at)
{
	if (at != 0)
		hone_put(row, TimestampTzGetDatum(at));
	else
		hone_put_null(row);
}

/* User and system CPU time of all calls, from their share in the sampled ones. */
static inline void
hone_put_cpu(HoneRow *row, const HoneStatsCounters *c)
{
	double		factor;

	if (c->sampled_ns == 0)
	{
		hone_put_null(row);
		hone_put_null(row);
		return;
	}
	factor = (double) c->total_ns / c->sampled_ns;
	hone_put(row, Float8GetDatum(c->sampled_user_us / 1e3 * factor));
	hone_put(row, Float8GetDatum(c->sampled_sys_us / 1e3 * factor));
}

static inline void
hone_put_row(ReturnSetInfo *rsinfo, HoneRow *row)
{
	Assert(row->count == rsinfo->setDesc->natts);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row->values, row->nulls);
}

#endif							/* HONE_STATS_ROW_H */
