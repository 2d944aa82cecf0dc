/*-------------------------------------------------------------------------
 *
 * parallel.c
 *	  CPU time of parallel workers, for their leader's records.
 *
 * Each backend has a cell in shared memory: the CPU time that workers of its
 * have used, ever. A worker adds to its leader's cell at the end of its part
 * of a plan, and the leader waits for its workers before its own run ends, so
 * what the cell gained during a run is what that run's workers used.
 *
 * Workers that run no plan (those of CREATE INDEX and VACUUM) meet no hook and
 * are not counted.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/parallel.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"

#include "capture/call.h"

typedef struct Cell
{
	pg_atomic_uint64 user_us;
	pg_atomic_uint64 sys_us;
} Cell;

/* One for each backend, by HONE_PROC_INDEX. */
static Cell *cells = NULL;
static int	cell_count = 0;

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static Cell *
cell_of(PGPROC *process)
{
	int			index;

	if (cells == NULL || process == NULL)
		return NULL;
	index = HONE_PROC_INDEX(process);
	return index >= 0 && index < cell_count ? &cells[index] : NULL;
}

void
hone_parallel_read(HoneWorkersCpu *cpu)
{
	Cell	   *cell = cell_of(MyProc);

	cpu->user_us = cell ? pg_atomic_read_u64(&cell->user_us) : 0;
	cpu->sys_us = cell ? pg_atomic_read_u64(&cell->sys_us) : 0;
}

/*
 * A worker serves one leader for all its life: what it used until it came to
 * the plan was used for that statement as well.
 */
void
hone_parallel_tell(void)
{
	static uint64 told_user_us = 0;
	static uint64 told_sys_us = 0;
	Cell	   *cell = cell_of(MyProc->lockGroupLeader);
	struct rusage rusage;
	uint64		user_us;
	uint64		sys_us;

	if (cell == NULL || !hone_enabled || hone_rusage_interval_ms < 0 ||
		getrusage(RUSAGE_SELF, &rusage) != 0)
		return;
	user_us = (uint64) rusage.ru_utime.tv_sec * 1000000 + rusage.ru_utime.tv_usec;
	sys_us = (uint64) rusage.ru_stime.tv_sec * 1000000 + rusage.ru_stime.tv_usec;
	pg_atomic_fetch_add_u64(&cell->user_us, user_us - told_user_us);
	pg_atomic_fetch_add_u64(&cell->sys_us, sys_us - told_sys_us);
	told_user_us = user_us;
	told_sys_us = sys_us;
}

static Size
cells_size(void)
{
	return MAXALIGN(mul_size(MaxBackends, sizeof(Cell)));
}

static void
request_shmem(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(cells_size());
}

static void
startup_shmem(void)
{
	bool		found;

	if (previous_shmem_startup)
		previous_shmem_startup();

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	cells = ShmemInitStruct("pg_hone parallel workers", cells_size(), &found);
	cell_count = MaxBackends;
	if (!found)
		for (int i = 0; i < cell_count; i++)
		{
			pg_atomic_init_u64(&cells[i].user_us, 0);
			pg_atomic_init_u64(&cells[i].sys_us, 0);
		}
	LWLockRelease(AddinShmemInitLock);
}

void
hone_parallel_init(void)
{
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}
