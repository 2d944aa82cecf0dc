/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  What compress_progress and tier_progress show of the runs in hand.
 *
 * Kept in shared memory; where the library is not preloaded there is none,
 * and all of this does nothing. A session has one run at a time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_PROGRESS_H
#define HONE_TIERED_PROGRESS_H

#include "common/hone.h"

typedef enum HonePhase
{
	HONE_PHASE_STARTING,
	HONE_PHASE_REWRITING,
	HONE_PHASE_SORTING,
	HONE_PHASE_ENCODING,
	HONE_PHASE_WAITING,
	HONE_PHASE_FOLDING,
	HONE_PHASE_RECOMPRESSING,
	HONE_PHASE_UNFOLDING,
	HONE_PHASE_SPACE,
	HONE_PHASE_ARCHIVING,
	HONE_PHASE_DETACHING
} HonePhase;

/* What a run waits for between two steps. */
typedef enum HoneWait
{
	HONE_WAIT_NOTHING,
	HONE_WAIT_THROTTLE,
	HONE_WAIT_REPLICAS
} HoneWait;

extern void hone_progress_init(void);

/* A run begins; it ends by hone_progress_end(), or with the session. */
extern void hone_progress_begin(Oid relid, int64 bytes_before);
extern void hone_progress_end(void);

/*
 * A move of a partition between two tiers, around its run: what is shown in
 * tier_progress from here to hone_progress_end_move(). Names of tiers are at
 * most HONE_TIER_NAME - 1 long.
 */
#define HONE_TIER_NAME	16
extern void hone_progress_begin_move(Oid relid, Oid parent,
									 const char *from, const char *to);
extern void hone_progress_end_move(void);

extern void hone_progress_phase(HonePhase phase);
extern void hone_progress_wait(HoneWait wait);

/* So many rows are left to do. */
extern void hone_progress_total(int64 rows);
extern void hone_progress_done(int64 rows, int64 batches, int64 bytes_written);
extern void hone_progress_lock_wait(void);

/*
 * So many bytes were read or written: of rows as they are uncompressed, of
 * batches as they are stored. hone_progress_take_work() gives those since it
 * was called last, or since the run began; also where there is no preloading.
 */
extern void hone_progress_work(int64 bytes);
extern int64 hone_progress_take_work(void);

/* What was done so far is undone. */
extern void hone_progress_nothing_done(void);

#endif							/* HONE_TIERED_PROGRESS_H */
