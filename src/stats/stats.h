/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  What others may ask of stats/: numbers and texts per query, and the
 *	  worker's housekeeping.
 *
 * Numbers are those handed on by all backends, at most hone.flush_interval
 * old while they are active. None of these functions throws but for lack of
 * local memory; without preloading they find nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_H
#define HONE_STATS_H

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "common/hone.h"

/* Sums over a query's entries of all roles and levels. Times in ms. */
typedef struct HoneStatsTotals
{
	int64		calls;
	int64		errors;
	int64		rows;
	double		total_ms;
	double		mean_ms;
} HoneStatsTotals;

/* Defines settings, installs hooks. Called once from _PG_init. */
extern void hone_stats_init(void);

/*
 * Look a query's totals up: one shared lock, a few cache lines. False and
 * zeros when there are none.
 */
extern bool hone_stats_totals(Oid dbid, uint64 queryid, HoneStatsTotals *totals);

/* The query's text with constants as $n, palloc'd; NULL if none is kept. */
extern char *hone_stats_text(Oid dbid, uint64 queryid);

/*
 * One original of the query, with its constants and without its comments,
 * palloc'd; NULL if none is kept. To be shown only to those who may read the
 * tables in it.
 */
extern char *hone_stats_sample_text(Oid dbid, uint64 queryid);

/*
 * One sampled call of a query: what it was called with. Values are of built-in
 * types; text holds the constants, NULL where the statement has none.
 */
typedef struct HoneStatsValue
{
	Oid			type;
	bool		left_out;		/* too long, or not of a type that is kept */
	bool		isnull;			/* also when it was left out */
	Datum		value;
} HoneStatsValue;

typedef struct HoneStatsCall
{
	Oid			userid;
	bool		toplevel;
	bool		slow;			/* one of the slowest, else one of the last */
	bool		truncated;		/* the text was cut, or there were more
								 * parameters */
	double		exec_ms;
	TimestampTz finished;
	int			nparams;
	HoneStatsValue *params;
	char	   *text;
} HoneStatsCall;

/*
 * The sampled calls of a query of the current database, a list of palloc'd
 * HoneStatsCall. Values and texts are to be shown only to the role that ran
 * the call, and to those who may read all data.
 */
extern List *hone_stats_samples(uint64 queryid);

/* Hand this backend's own pending counts on now. No LWLock may be held. */
extern void hone_stats_flush(void);

/*
 * Make room when the memory is nearly full, the longest unused first; done by
 * the collector. Returns the number of entries evicted.
 */
extern int64 hone_stats_evict(void);

/* Count something that went wrong inside pg_hone and was let pass. */
extern void hone_stats_internal_error(void);

#endif							/* HONE_STATS_H */
