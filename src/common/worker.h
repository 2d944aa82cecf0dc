/*-------------------------------------------------------------------------
 *
 * worker.h
 *	  Background workers of pg_hone.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_WORKER_H
#define HONE_WORKER_H

#include "postmaster/bgworker.h"

#include "common/hone.h"

/*
 * Fill in a background worker that may connect to a database, starts when the
 * server accepts writes (hence never on a standby) and is not restarted. name:
 * as pg_stat_activity shows it; function: the exported one it runs.
 */
extern void hone_worker_describe(BackgroundWorker *worker, const char *name,
								 const char *function);

/*
 * What a database or role may have set must not end background work half-way:
 * no timeout of statements, transactions or idleness, and this one of locks.
 * Outside a transaction.
 */
extern void hone_worker_pin_timeouts(int lock_timeout_ms);

#endif							/* HONE_WORKER_H */
