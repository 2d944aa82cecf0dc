/*-------------------------------------------------------------------------
 *
 * snapshot.h
 *	  A consistent copy of the statistics for a reader. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_SNAPSHOT_H
#define HONE_STATS_SNAPSHOT_H

#include "stats/shared.h"

typedef struct HoneSnapshotQuery
{
	HoneStatsKey key;
	HoneStatsCounters counters;
	HoneHistogram *histogram;
} HoneSnapshotQuery;

typedef struct HoneSnapshotError
{
	HoneStatsKey key;
	int64		count;
	TimestampTz last_seen;
} HoneSnapshotError;

/* Which part of the statistics is wanted. */
typedef struct HoneSnapshotFilter
{
	bool		one_query;		/* only this (dbid, queryid) */
	Oid			dbid;
	uint64		queryid;
	bool		fresh;			/* only what the history does not have, as far
								 * as that is committed */
	HoneStatsKind kind;			/* queries, sessions or errors */
} HoneSnapshotFilter;

typedef struct HoneSnapshot HoneSnapshot;

/*
 * Take a snapshot, in the current memory context: the table and what all
 * backends have pending, each call once. Flushes the caller's own first.
 */
extern HoneSnapshot *hone_snapshot_take(const HoneSnapshotFilter *filter);

/* The next one, in no order; NULL at the end, once. */
extern HoneSnapshotQuery *hone_snapshot_next_query(HoneSnapshot *snapshot);
extern HoneSnapshotError *hone_snapshot_next_error(HoneSnapshot *snapshot);

#endif							/* HONE_STATS_SNAPSHOT_H */
