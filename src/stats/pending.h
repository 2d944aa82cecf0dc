/*-------------------------------------------------------------------------
 *
 * pending.h
 *	  What a backend has counted and not yet handed on. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_PENDING_H
#define HONE_STATS_PENDING_H

#include "common/record.h"
#include "stats/shared.h"

#define HONE_PENDING_QUERIES	64
#define HONE_PENDING_INDEX		128 /* power of two, > queries */
#define HONE_PENDING_CELLS		1024	/* power of two */
#define HONE_PENDING_ERRORS		16

typedef struct HonePendingQuery
{
	HoneStatsKey key;
	HoneStatsCounters counters;
} HonePendingQuery;

typedef struct HonePendingError
{
	HoneStatsKey key;
	int64		count;
	TimestampTz last_seen;
} HonePendingError;

/* count = 0: free. One bucket of one query's histogram. */
typedef struct HonePendingCell
{
	uint16		query;
	uint16		bucket;
	uint32		count;
} HonePendingCell;

/*
 * In a slot of shared memory (or in local memory when there is no room for a
 * slot: then readers do not see it until it is flushed). Only its owner
 * writes it, without a lock; change_count is odd while it does, and a reader
 * that copied it starts again when the number was odd or has changed.
 */
typedef struct HonePending
{
	uint32		change_count;
	uint32		reset_epoch;	/* counts are from after this reset */
	int			query_count;
	int			cell_count;
	int			error_count;
	uint8		index[HONE_PENDING_INDEX];	/* 1 + query number, 0 = free */
	HonePendingQuery queries[HONE_PENDING_QUERIES];
	HonePendingCell cells[HONE_PENDING_CELLS];
	HonePendingError errors[HONE_PENDING_ERRORS];
} HonePending;

/* Count one record. No lock is taken while in_abort is set. */
extern void hone_pending_record(const HoneRecord *record);

/* At a safe point before a statement runs: see that there is room for it. */
extern void hone_pending_make_room(void);

/*
 * Hand everything on to the shared table. wait: also when a reader is at it;
 * else it may stay pending. Not to be called while LWLocks are held.
 */
extern void hone_pending_flush(bool wait);

/*
 * Copy a slot's contents. False when its owner kept changing it.
 * flush_lock must be held EXCLUSIVE.
 */
extern bool hone_pending_copy(dsa_pointer slot, HonePending *copy);

/*
 * Call 'handle' for each query of a pending that is nobody's to change (one's
 * own, or a copy), with its histogram; the histogram is valid in the call.
 */
typedef void (*HonePendingHandler) (const HonePendingQuery *query,
									const HoneHistogram *histogram, void *arg);
extern void hone_pending_each(const HonePending *pending,
							  HonePendingHandler handle, void *arg);

#endif							/* HONE_STATS_PENDING_H */
