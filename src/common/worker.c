/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  Background workers of pg_hone: what all of them have in common.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/guc.h"

#include "common/worker.h"

void
hone_worker_describe(BackgroundWorker *worker, const char *name,
					 const char *function)
{
	memset(worker, 0, sizeof(*worker));
	worker->bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker->bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker->bgw_restart_time = BGW_NEVER_RESTART;
	strlcpy(worker->bgw_library_name, HONE_LIBRARY, BGW_MAXLEN);
	strlcpy(worker->bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker->bgw_name, name, BGW_MAXLEN);
	strlcpy(worker->bgw_type, name, BGW_MAXLEN);
}

void
hone_worker_pin_timeouts(int lock_timeout_ms)
{
	static const char *const timeouts[] = {HONE_TIMEOUT_SETTINGS};
	char		value[32];

	for (int i = 0; i < lengthof(timeouts); i++)
		SetConfigOption(timeouts[i], "0", PGC_SUSET, PGC_S_OVERRIDE);
	snprintf(value, sizeof(value), "%d", lock_timeout_ms);
	SetConfigOption("lock_timeout", value, PGC_SUSET, PGC_S_OVERRIDE);
}
