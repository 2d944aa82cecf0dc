/*-------------------------------------------------------------------------
 *
 * progress.h
 *	  What compress_progress shows of the runs in hand.
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
	HONE_PHASE_SPACE
} HonePhase;

extern void hone_progress_init(void);

/* A run begins; it ends by hone_progress_end(), or with the session. */
extern void hone_progress_begin(Oid relid, int64 bytes_before);
extern void hone_progress_end(void);

extern void hone_progress_phase(HonePhase phase);

/* So many rows are left to do. */
extern void hone_progress_total(int64 rows);
extern void hone_progress_done(int64 rows, int64 batches, int64 bytes_written);
extern void hone_progress_lock_wait(void);

/* What was done so far is undone. */
extern void hone_progress_nothing_done(void);

#endif							/* HONE_TIERED_PROGRESS_H */
