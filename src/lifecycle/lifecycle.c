/*-------------------------------------------------------------------------
 *
 * lifecycle.c
 *	  Settings, shared memory and registration of the launcher.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/guc.h"

#include "common/worker.h"
#include "lifecycle/archive_target.h"
#include "lifecycle/lifecycle.h"
#include "lifecycle/pace.h"
#include "lifecycle/shared.h"

/* Seconds until a launcher that ended by an error is started again. */
#define LAUNCHER_RESTART	10

HoneLifecycleShared *hone_lifecycle_shared = NULL;

int			hone_naptime = 60;
bool		hone_worker_enabled = true;
int			hone_lock_timeout = 100;

static const HoneTask task = {
	.command = "CALL hone._run_worker()",
	.activity = "moving partitions",
	.interval_s = &hone_naptime,
	.workers = HONE_MOST_WORKERS,
	.fewer_workers = &hone_max_workers
};

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static void
define_settings(void)
{
	DefineCustomIntVariable("hone.lock_timeout",
							"How long a move waits for a lock before it gives way and tries again later.",
							NULL, &hone_lock_timeout, 100, 1, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.naptime",
							"Time between the rounds in which the worker moves the partitions that are due.",
							NULL, &hone_naptime, 60, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomBoolVariable("hone.worker",
							 "Moves partitions and writes the history of statistics in the background.",
							 "When it is switched off, moves in progress are ended after their last committed step.",
							 &hone_worker_enabled, true,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	hone_pace_define_settings();
}

static void
request_shmem(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(MAXALIGN(sizeof(HoneLifecycleShared)));
}

static void
startup_shmem(void)
{
	bool		found;

	if (previous_shmem_startup)
		previous_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	hone_lifecycle_shared = ShmemInitStruct("pg_hone lifecycle",
											sizeof(HoneLifecycleShared), &found);
	if (!found)
	{
		pg_atomic_init_u32(&hone_lifecycle_shared->forget, 0);
		pg_atomic_init_u32(&hone_lifecycle_shared->wanted, 0);
		pg_atomic_init_u64(&hone_lifecycle_shared->launcher_latch, 0);
		SpinLockInit(&hone_lifecycle_shared->mark.mutex);
		hone_lifecycle_shared->mark.lsn = InvalidXLogRecPtr;
		hone_lifecycle_shared->mark.set_at = 0;
		for (int i = 0; i < HONE_WORKER_SLOTS; i++)
		{
			hone_lifecycle_shared->slots[i].dbid = InvalidOid;

			pg_atomic_init_u32(&hone_lifecycle_shared->slots[i].outcome,
							   HONE_WORKER_UNFINISHED);
		}
	}
	LWLockRelease(AddinShmemInitLock);
}

/*
 * The launcher starts when the server accepts writes, hence never on a
 * standby; the postmaster starts none in single-user mode.
 */
static void
register_launcher(void)
{
	BackgroundWorker worker;

	hone_worker_describe(&worker, "pg_hone launcher", "hone_launcher_main");
	worker.bgw_restart_time = LAUNCHER_RESTART;
	RegisterBackgroundWorker(&worker);
}

void
hone_lifecycle_init(void)
{
	define_settings();
	hone_archive_init();
	if (!hone_preloaded)
		return;

	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
	hone_task_register(&task);
	hone_database_has_tasks = hone_launcher_forget;
	hone_tasks_wanted = hone_launcher_hurry;
	if (!IsBinaryUpgrade)
		register_launcher();
}

void
hone_limit_lock_waits(void)
{
	char		timeout[32];

	if (LockTimeout > 0 && LockTimeout <= hone_lock_timeout)
		return;
	snprintf(timeout, sizeof(timeout), "%d", hone_lock_timeout);
	(void) set_config_option("lock_timeout", timeout, PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
hone_launcher_forget(void)
{
	if (hone_lifecycle_shared != NULL)
		pg_atomic_fetch_add_u32(&hone_lifecycle_shared->forget, 1);
}

void
hone_launcher_hurry(uint32 tasks)
{
	Latch	   *latch;

	if (hone_lifecycle_shared == NULL)
		return;
	pg_atomic_fetch_or_u32(&hone_lifecycle_shared->wanted, tasks);
	/* in shared memory: where the launcher has ended, nobody is woken */
	latch = (Latch *) (uintptr_t) pg_atomic_read_u64(&hone_lifecycle_shared->launcher_latch);
	if (latch != NULL)
		SetLatch(latch);
}
