/*-------------------------------------------------------------------------
 *
 * switch.h
 *	  Turning a heap table into a tiered one and back, and the locks that
 *	  folding and unfolding share.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_SWITCH_H
#define HONE_TIERED_SWITCH_H

#include "storage/lock.h"
#include "utils/relcache.h"

#include "common/hone.h"

/* How a step of compressing or decompressing ended. */
typedef enum HoneStepResult
{
	HONE_STEP_MORE,				/* done; there may be more to do */
	HONE_STEP_LAST,				/* nothing left */
	HONE_STEP_LOCKED,			/* the lock did not come; nothing changed */
	HONE_STEP_CHANGED,			/* rows changed under it; nothing changed */
	HONE_STEP_SEEN				/* older snapshots still read the batches */
} HoneStepResult;

/*
 * Open a table that was there in an earlier transaction; ERRCODE_UNDEFINED_TABLE
 * when it has been dropped meanwhile.
 */
extern Relation hone_reopen(Oid relid, LOCKMODE mode);

/*
 * Take a lock without ever queueing for it: tries several times a millisecond,
 * timeout_ms long and 50 ms at most. False when it did not come.
 */
extern bool hone_try_lock(Oid relid, LOCKMODE mode, int timeout_ms);

/* Whether others, prepared transactions among them, have it locked in any way. */
extern bool hone_somebody_is_there(Oid relid);

/* Whether rel is tiered and a meta row is there now: ready to be folded. */
extern bool hone_holds_meta(Relation rel);

/*
 * The oid of the access method, locked before a table becomes tiered: guard.c
 * waits for that before it counts what is tiered.
 */
extern Oid	hone_lock_tiered_am(void);

/*
 * One step: make the table tiered, if it is not, and open it for batches,
 * under ACCESS EXCLUSIVE. Readers that planned before cannot be in flight
 * then, and plans made later know.
 */
extern HoneStepResult hone_switch_open(Oid relid, int lock_timeout_ms);

/*
 * One step: when no batch is left, make the table a heap table. MORE: there
 * are batches still. SEEN: there are none, but older snapshots, which do not
 * see the plain rows, would miss them in a heap table. Of a partitioned table:
 * let new partitions have the default access method.
 */
extern HoneStepResult hone_switch_to_heap(Oid relid, int lock_timeout_ms);

#endif							/* HONE_TIERED_SWITCH_H */
