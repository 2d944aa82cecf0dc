/*-------------------------------------------------------------------------
 *
 * progress.c
 *	  What compress_progress and tier_progress show (progress.h).
 *
 * PostgreSQL's own progress reporting knows a fixed list of commands, so the
 * figures are in shared memory of pg_hone's: one slot for each run or move,
 * written by its backend only. A spinlock keeps readers from
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

#define COLUMNS	19

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
	bool		run;			/* there is a run, those above are its figures */

	/* of a move, which may also be before or after its run */
	bool		move;
	Oid			parent;
	char		from[HONE_TIER_NAME];
	char		to[HONE_TIER_NAME];
	TimestampTz move_started_at;

	int64		work;			/* bytes read and written */
	HoneWait	wait;
} Figures;

typedef struct Slot
{
	slock_t		mutex;
	Figures		figures;
} Slot;

static const char *const phase_names[] = {
	"starting", "rewriting", "sorting", "encoding", "waiting for lock", "folding",
	"recompressing", "decompressing", "giving space back", "archiving",
	"detaching"
};

static const char *const wait_names[] = {NULL, "throttle", "replicas"};

/* Not handed out by hone_progress_take_work() yet. */
static int64 untaken_work = 0;

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

static void
free_slot(void)
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
	free_slot();
}

/* A slot for these figures, if one is free. */
static void
take_slot(const Figures *figures)
{
	static bool registered = false;

	if (slots == NULL)
		return;
	if (!registered)
	{
		before_shmem_exit(end_at_exit, (Datum) 0);
		registered = true;
	}
	for (int i = 0; i < SLOTS && mine == NULL; i++)
	{
		Slot	   *slot = &slots[i];

		SpinLockAcquire(&slot->mutex);
		if (slot->figures.pid == 0)
		{
			slot->figures = *figures;
			mine = slot;
		}
		SpinLockRelease(&slot->mutex);
	}
}

static void
begin_figures(Figures *figures, Oid relid)
{
	memset(figures, 0, sizeof(*figures));
	figures->pid = MyProcPid;
	figures->dbid = MyDatabaseId;

	figures->userid = GetUserId();
	figures->relid = relid;
	figures->phase = HONE_PHASE_STARTING;
	figures->rows_total = -1;
	figures->started_at = GetCurrentTimestamp();
}

void
hone_progress_begin_move(Oid relid, Oid parent, const char *from, const char *to)
{
	Figures		figures;

	free_slot();
	begin_figures(&figures, relid);
	figures.move = true;
	figures.parent = parent;
	strlcpy(figures.from, from, sizeof(figures.from));
	strlcpy(figures.to, to, sizeof(figures.to));
	figures.move_started_at = figures.started_at;
	take_slot(&figures);
}

void
hone_progress_end_move(void)
{
	free_slot();
}

/*
 * A slot is the move's already, if the run is one of a move.
 */
void
hone_progress_begin(Oid relid, int64 bytes_before)
{
	Figures		figures;

	untaken_work = 0;
	begin_figures(&figures, relid);
	figures.run = true;
	figures.bytes_before = bytes_before;
	if (mine == NULL)
	{
		take_slot(&figures);
		return;
	}
	figures.move = mine->figures.move;
	figures.parent = mine->figures.parent;
	memcpy(figures.from, mine->figures.from, sizeof(figures.from));
	memcpy(figures.to, mine->figures.to, sizeof(figures.to));
	figures.move_started_at = mine->figures.move_started_at;
	SpinLockAcquire(&mine->mutex);
	mine->figures = figures;
	SpinLockRelease(&mine->mutex);
}

void
hone_progress_end(void)
{
	if (mine == NULL)
		return;
	if (!mine->figures.move)
	{
		free_slot();
		return;
	}
	SpinLockAcquire(&mine->mutex);
	mine->figures.run = false;
	mine->figures.wait = HONE_WAIT_NOTHING;
	SpinLockRelease(&mine->mutex);
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
hone_progress_wait(HoneWait wait)
{
	if (mine == NULL)
		return;
	SpinLockAcquire(&mine->mutex);
	mine->figures.wait = wait;
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

void
hone_progress_work(int64 bytes)
{
	untaken_work += bytes;
	if (mine == NULL)
		return;
	SpinLockAcquire(&mine->mutex);
	mine->figures.work += bytes;
	SpinLockRelease(&mine->mutex);
}

int64
hone_progress_take_work(void)
{
	int64		bytes = untaken_work;

	untaken_work = 0;
	return bytes;
}

/*
 * What is known of a move; NULLs for a run that is none.
 */
static void
put_move(Datum *values, bool *nulls, const Figures *figures)
{
	if (!figures->move)
	{
		memset(nulls, true, 4 * sizeof(bool));
		return;
	}
	values[0] = ObjectIdGetDatum(figures->parent);
	nulls[0] |= figures->dbid != MyDatabaseId;

	values[1] = CStringGetTextDatum(figures->from);
	values[2] = CStringGetTextDatum(figures->to);
	values[3] = TimestampTzGetDatum(figures->move_started_at);
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
	put_move(&values[11], &nulls[11], figures);
	values[15] = Int64GetDatum(figures->work);
	nulls[16] |= figures->wait == HONE_WAIT_NOTHING;
	if (!nulls[16])
		values[16] = CStringGetTextDatum(wait_names[figures->wait]);

	/* shown to all */
	values[17] = BoolGetDatum(figures->run);
	values[18] = BoolGetDatum(figures->move);
	nulls[17] = nulls[18] = false;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/*
 * hone._compress_progress(): the runs and moves in hand, of all databases.
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
