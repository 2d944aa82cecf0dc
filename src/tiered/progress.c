/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  What compress_progress shows (progress.h).
 *
 * PostgreSQL's own progress reporting knows a fixed list of commands, so the
 * figures are in shared memory of pg_hone's: one slot for each run, written by
 * its backend only. A spinlock keeps readers from
 * half-written figures; it is held for a few assignments.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_authid.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "tiered/progress.h"

/* Runs that are shown at a time; more run all the same. */
#define SLOTS	64

#define COLUMNS	11

typedef struct Figures
{
	int			pid;			/* 0: free */
	Oid			dbid;
	Oid			userid;
	Oid			relid;
	HonePhase	phase;
	int64		rows_total;		/* -1: not known */
	int64		rows_done;
	int64		batches_done;
	int64		bytes_before;
	int64		bytes_written;
	int64		lock_waits;
	TimestampTz started_at;
} Figures;

typedef struct Slot
{
	slock_t		mutex;
	Figures		figures;
} Slot;

static const char *const phase_names[] = {
	"starting", "rewriting", "sorting", "encoding", "waiting for lock", "folding",
	"recompressing", "giving space back"
};

static Slot *slots = NULL;
static Slot *mine = NULL;

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

PG_FUNCTION_INFO_V1(hone_compress_progress);

static void
request_shmem(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(MAXALIGN(SLOTS * sizeof(Slot)));
}

static void
startup_shmem(void)
{
	bool		found;

	if (previous_shmem_startup)
		previous_shmem_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	slots = ShmemInitStruct("pg_hone compress progress", SLOTS * sizeof(Slot), &found);
	if (!found)
	{
		memset(slots, 0, SLOTS * sizeof(Slot));
		for (int i = 0; i < SLOTS; i++)
			SpinLockInit(&slots[i].mutex);
	}
	LWLockRelease(AddinShmemInitLock);
}

void
hone_progress_init(void)
{
	if (!hone_preloaded)
		return;
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shmem;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shmem;
}

void
hone_progress_end(void)
{
	if (mine == NULL)
		return;
	SpinLockAcquire(&mine->mutex);
	mine->figures.pid = 0;
	SpinLockRelease(&mine->mutex);
	mine = NULL;
}

static void
end_at_exit(int code, Datum arg)
{
	hone_progress_end();
}

void
hone_progress_begin(Oid relid, int64 bytes_before)
{
	static bool registered = false;
	Figures		figures;

	if (slots == NULL)
		return;
	hone_progress_end();
	if (!registered)
	{
		before_shmem_exit(end_at_exit, (Datum) 0);
		registered = true;
	}
	memset(&figures, 0, sizeof(figures));
	figures.pid = MyProcPid;
	figures.dbid = MyDatabaseId;

	figures.userid = GetUserId();
	figures.relid = relid;
	figures.phase = HONE_PHASE_STARTING;
	figures.rows_total = -1;
	figures.bytes_before = bytes_before;
	figures.started_at = GetCurrentTimestamp();
	for (int i = 0; i < SLOTS && mine == NULL; i++)
	{
		Slot	   *slot = &slots[i];

		SpinLockAcquire(&slot->mutex);
		if (slot->figures.pid == 0)
		{
			slot->figures = figures;
			mine = slot;
		}
		SpinLockRelease(&slot->mutex);
	}
}

void
hone_progress_phase(HonePhase phase)
{
	if (mine == NULL)
		return;
	SpinLockAcquire(&mine->mutex);
	mine->figures.phase = phase;
	SpinLockRelease(&mine->mutex);
}

void
hone_progress_total(int64 rows)
{
	if (mine == NULL)
		return;
	SpinLockAcquire(&mine->mutex);
	mine->figures.rows_total = mine->figures.rows_done + rows;
	SpinLockRelease(&mine->mutex);
}

void
hone_progress_done(int64 rows, int64 batches, int64 bytes_written)
{
	if (mine == NULL)
		return;
	SpinLockAcquire(&mine->mutex);
	mine->figures.rows_done += rows;
	mine->figures.batches_done += batches;
	mine->figures.bytes_written += bytes_written;
	SpinLockRelease(&mine->mutex);
}

void
hone_progress_nothing_done(void)
{
	if (mine == NULL)
		return;
	SpinLockAcquire(&mine->mutex);
	mine->figures.rows_done = 0;
	mine->figures.batches_done = 0;
	mine->figures.bytes_written = 0;
	SpinLockRelease(&mine->mutex);
}

void
hone_progress_lock_wait(void)
{
	if (mine == NULL)
		return;
	SpinLockAcquire(&mine->mutex);
	mine->figures.lock_waits++;
	SpinLockRelease(&mine->mutex);
}

static void
put_figures(ReturnSetInfo *rsinfo, const Figures *figures)
{
	Datum		values[COLUMNS];
	bool		nulls[COLUMNS] = {false};

	values[0] = Int32GetDatum(figures->pid);
	values[1] = ObjectIdGetDatum(figures->dbid);

	/* as PostgreSQL's own progress views: of others, only that they run */
	if (!has_privs_of_role(GetUserId(), figures->userid) &&
		!has_privs_of_role(GetUserId(), ROLE_PG_READ_ALL_STATS))
		memset(&nulls[2], true, (COLUMNS - 2) * sizeof(bool));
	values[2] = ObjectIdGetDatum(figures->relid);
	nulls[2] |= figures->dbid != MyDatabaseId;

	values[3] = CStringGetTextDatum(phase_names[figures->phase]);
	values[4] = Int64GetDatum(figures->rows_total);
	nulls[4] |= figures->rows_total < 0;
	values[5] = Int64GetDatum(figures->rows_done);
	values[6] = Int64GetDatum(figures->batches_done);
	values[7] = Int64GetDatum(figures->bytes_before);
	values[8] = Int64GetDatum(figures->bytes_written);
	values[9] = Int64GetDatum(figures->lock_waits);
	values[10] = TimestampTzGetDatum(figures->started_at);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * hone._compress_progress(): the runs in hand, of all databases.
 */
Datum
hone_compress_progress(PG_FUNCTION_ARGS)
{
	hone_require_script();
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; slots != NULL && i < SLOTS; i++)
	{
		Figures		figures;

		SpinLockAcquire(&slots[i].mutex);
		figures = slots[i].figures;
		SpinLockRelease(&slots[i].mutex);
		if (figures.pid != 0)
			put_figures((ReturnSetInfo *) fcinfo->resultinfo, &figures);
	}
	return (Datum) 0;
}
