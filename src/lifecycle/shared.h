/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  What the launcher, its workers and the sessions tell each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_SHARED_H
#define HONE_LIFECYCLE_SHARED_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "port/atomics.h"
#include "storage/spin.h"

#include "common/hone.h"
#include "common/task.h"

typedef enum HoneWorkerOutcome
{
	HONE_WORKER_UNFINISHED,		/* running, or ended by an error */
	HONE_WORKER_DONE,
	HONE_WORKER_NO_EXTENSION	/* no pg_hone there, or another version's
								 * objects */
} HoneWorkerOutcome;

/* What a worker is started for: in bgw_extra, for its slot may be given anew. */
typedef struct HoneWorkerOrder
{
	Oid			dbid;
	int			task;			/* in hone_tasks */
	uint32		round;			/* of the task, from 0 */
} HoneWorkerOrder;

typedef struct HoneWorkerSlot
{
	Oid			dbid;			/* set by the launcher before it starts one */
	int			task;			/* in hone_tasks; so is this */
	pg_atomic_uint32 outcome;	/* a HoneWorkerOutcome, set by the worker */
} HoneWorkerSlot;

/* The end of the WAL at some time (replicas.c). */
typedef struct HoneReplicaMark
{
	slock_t		mutex;
	XLogRecPtr	lsn;
	TimestampTz set_at;
} HoneReplicaMark;

typedef struct HoneLifecycleShared
{
	/* Raised to make the launcher look into every database again. */
	pg_atomic_uint32 forget;
	pg_atomic_uint32 wanted;	/* tasks (bits) of which a round is to begin */
	pg_atomic_uint64 launcher_latch;	/* its address, 0: there is none */
	HoneWorkerSlot slots[HONE_WORKER_SLOTS];
	HoneReplicaMark mark;
} HoneLifecycleShared;

/* NULL when the library is not preloaded. */
extern HoneLifecycleShared *hone_lifecycle_shared;

/* Seconds between rounds; off switch; lock timeout in milliseconds. */
extern int	hone_naptime;
extern bool hone_worker_enabled;
extern int	hone_lock_timeout;

/*
 * Until the current nesting level of settings ends, or an abort, wait for no
 * lock longer than hone.lock_timeout.
 */
extern void hone_limit_lock_waits(void);

/*
 * Let the launcher forget which databases lack the extension, so that this
 * one is visited at the next nap. Does nothing when not preloaded.
 */
extern void hone_launcher_forget(void);

/* Let the launcher begin a round of these tasks (bits) now. */
extern void hone_launcher_hurry(uint32 tasks);

/* Entry points of the background workers. */
extern PGDLLEXPORT void hone_launcher_main(Datum main_arg);
extern PGDLLEXPORT void hone_lifecycle_worker_main(Datum main_arg);

#endif							/* HONE_LIFECYCLE_SHARED_H */
