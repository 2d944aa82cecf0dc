/*-------------------------------------------------------------------------
 *
 * pending.h
 *	  What a backend has counted and not yet handed on. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_PENDING_H
#define HONE_STATS_PENDING_H

#include "port/atomics.h"

#include "common/record.h"
#include "stats/shared.h"

#define HONE_PENDING_QUERIES	64
#define HONE_PENDING_INDEX		128 /* power of two, > queries */
#define HONE_PENDING_CELLS		1024	/* power of two */
#define HONE_PENDING_ERRORS		16

typedef struct HonePendingQuery
{
	HoneStatsKey key;
	uint32		bucket;			/* hone_stats_bucket() of the key */
	bool		flushed;		/* is in the table now: not to be counted */
	HoneStatsCounters counters;
} HonePendingQuery;

/* count = 0: flushed. */
typedef struct HonePendingError
{
	HoneStatsKey key;
	uint32		bucket;
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
 * slot: then it is flushed after every statement).
 *
 * Only its owner writes it, without a lock. change_count is odd while
 * contents change; a reader that copied starts again when the number was odd
 * or has changed. The collector takes what an idle session left: it sets
 * 'taken', and then looks whether the owner is busy; the owner sets 'busy',
 * and then looks whether the slot is being taken. Each has a full barrier in
 * between, so one of them sees the other: the collector gives up, the owner
 * waits for the microseconds that it takes.
 */
typedef struct HonePending
{
	dsa_pointer next_free;		/* in the list of slots that nobody has */
	uint32		change_count;
	uint32		reset_epoch;	/* counts are from after this reset */
	volatile bool busy;
	volatile bool taken;
	int			query_count;
	int			cell_count;
	int			error_count;
	uint32		moves;			/* how often queries have left: their numbers
								 * are given anew then */
	uint64		partitions;		/* a bit per partition that has queries or
								 * errors here */

	/* The client's statement that is executing, for the sampler; 0 = none. */
	volatile uint64 running_queryid;
	volatile Oid running_dbid;
	volatile Oid running_userid;

	uint8		index[HONE_PENDING_INDEX];	/* 1 + query number, 0 = free */
	HonePendingQuery queries[HONE_PENDING_QUERIES];
	HonePendingCell cells[HONE_PENDING_CELLS];
	HonePendingError errors[HONE_PENDING_ERRORS];
} HonePending;

/* Writers' side of change_count. Nothing in between may throw. */
static inline void
hone_pending_begin_change(HonePending *pending)
{
	pending->change_count++;
	pg_write_barrier();
}

static inline void
hone_pending_end_change(HonePending *pending)
{
	pg_write_barrier();
	pending->change_count++;
}

/* Forget everything, or what has been flushed. */
extern void hone_pending_clear(HonePending *pending);
extern void hone_pending_compact(HonePending *pending);

/*
 * Move what is pending into the shared table. wait: for locks that others
 * hold. False when something had to stay.
 */
extern bool hone_pending_move(HonePending *pending, bool wait);

/* Count one record. No lock is taken while in_abort is set. */
extern void hone_pending_record(const HoneRecord *record);

/* At a safe point before a statement runs: see that there is room for it. */
extern void hone_pending_make_room(void);

/*
 * Hand everything on to the shared table. wait: for locks; else what is
 * locked stays pending. Not to be called while LWLocks are held.
 */
extern void hone_pending_flush(bool wait);

/* A client's session begins: it counts when it ends, whatever it does. */
extern void hone_pending_session(void);

/* The client's statement that is executing now; NULL: none is. */
extern void hone_pending_running(const HoneRecord *record);

/*
 * The collector's: hand on what the owner of a slot has pending and has not
 * touched since the last call with this slot.
 */
extern void hone_pending_take(int slot_index);

/*
 * Call the handlers for what a slot holds for the queries of one partition,
 * whose lock is held. The histogram is valid in the call. False when the
 * owner kept changing it.
 */
typedef void (*HonePendingHandler) (const HonePendingQuery *query,
									const HoneHistogram *histogram, void *arg);
typedef void (*HonePendingErrorHandler) (const HonePendingError *error, void *arg);
extern bool hone_pending_visit(HonePending *slot, int partition,
							   HonePendingHandler handle_query,
							   HonePendingErrorHandler handle_error, void *arg);

/* The slot of a process number, or NULL. */
extern HonePending *hone_pending_slot(int index);

#endif							/* HONE_STATS_PENDING_H */
