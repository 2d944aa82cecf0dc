/*-------------------------------------------------------------------------
 *
 * launcher.c
 *	  Starts a short-lived worker per database and task, each task at its own
 *	  interval.
 *
 * The launcher itself is connected to no database, so it stands in nobody's
 * way; it reads pg_database, which is shared. Which databases have the
 * extension only a worker inside can tell. One that finds none says so and
 * exits, and its database is left alone until ABSENT_SECONDS have passed or a
 * session asks the launcher to forget (add_tier_policy does).
 *
 * CREATE DATABASE ... TEMPLATE, DROP, RENAME and ALTER DATABASE lock the
 * database and then wait five seconds for its sessions to end. So while
 * workers run, the launcher tries once a second to get the lock every new
 * session takes, and terminates the worker of a database where it cannot.
 *
 * State lives in the launcher's memory; when it ends and starts again, the
 * only loss is that databases without the extension are visited once more.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lock.h"
#include "tcop/tcopprot.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "common/worker.h"
#include "lifecycle/shared.h"

#define ABSENT_SECONDS	600
#define POLL_MS			1000

/* A database seen without the extension. */
typedef struct AbsentDatabase
{
	Oid			dbid;			/* hash key */
	TimestampTz until;			/* look again then */
} AbsentDatabase;

typedef struct RunningWorker
{
	BackgroundWorkerHandle *handle; /* NULL = the slot is free */
	TimestampTz started;
} RunningWorker;

static RunningWorker running[HONE_WORKER_SLOTS];
static HTAB *absent = NULL;
static uint32 absent_generation = 0;

/* Of each task: databases of this round to be visited, and what holds them. */
static List *waiting[HONE_MAX_TASKS];
static MemoryContext round_context[HONE_MAX_TASKS];
static TimestampTz next_round[HONE_MAX_TASKS];
static uint32 rounds[HONE_MAX_TASKS];	/* begun so far */
static bool slots_exhausted = false;	/* reported already */

/*
 * Databases that may be connected to, templates excepted; in the context.
 */
static List *
database_oids(MemoryContext context)
{
	List	   *result = NIL;
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;

	StartTransactionCommand();
	rel = table_open(DatabaseRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_database form = (Form_pg_database) GETSTRUCT(tuple);
		MemoryContext old;

		/* A negative limit other than -1 marks a half-dropped database. */
		if (!form->datallowconn || form->datistemplate || form->datconnlimit < -1)
			continue;
		old = MemoryContextSwitchTo(context);
		result = lappend_oid(result, form->oid);
		MemoryContextSwitchTo(old);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	CommitTransactionCommand();
	MemoryContextSwitchTo(TopMemoryContext);
	return result;
}

/*
 * Does a command hold or want the database for itself?
 */
static bool
database_is_claimed(Oid dbid)
{
	LOCKTAG		tag;
	bool		claimed;

	SET_LOCKTAG_OBJECT(tag, InvalidOid, DatabaseRelationId, dbid, 0);
	StartTransactionCommand();
	claimed = LockAcquire(&tag, RowExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL;
	CommitTransactionCommand();
	return claimed;
}

static void
make_absent_table(void)
{
	HASHCTL		control;

	memset(&control, 0, sizeof(control));
	control.keysize = sizeof(Oid);
	control.entrysize = sizeof(AbsentDatabase);
	control.hcxt = TopMemoryContext;

	absent = hash_create("hone databases without the extension", 64, &control,
						 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Forget everything if asked to, and what has gone stale in any case.
 */
static void
refresh_absent(TimestampTz now)
{
	uint32		generation = pg_atomic_read_u32(&hone_lifecycle_shared->forget);
	bool		all = generation != absent_generation;
	HASH_SEQ_STATUS status;
	AbsentDatabase *entry;

	absent_generation = generation;
	hash_seq_init(&status, absent);
	while ((entry = hash_seq_search(&status)) != NULL)
	{
		if (all || entry->until <= now)
			(void) hash_search(absent, &entry->dbid, HASH_REMOVE, NULL);
	}
}

static bool
has_worker(int task, Oid dbid)
{
	for (int i = 0; i < HONE_WORKER_SLOTS; i++)
	{
		if (running[i].handle != NULL &&
			hone_lifecycle_shared->slots[i].task == task &&
			hone_lifecycle_shared->slots[i].dbid == dbid)
			return true;
	}
	return false;
}

static int
count_workers(int task)
{
	int			count = 0;

	for (int i = 0; i < HONE_WORKER_SLOTS; i++)
		count += running[i].handle != NULL && hone_lifecycle_shared->slots[i].task == task;
	return count;
}

/*
 * Plan the next round of a task: the databases to be visited. It is the list
 * cells that the context holds.
 */
static void
begin_round(int task)
{
	List	   *all;
	ListCell   *lc;
	MemoryContext old;

	refresh_absent(GetCurrentTimestamp());

	MemoryContextReset(round_context[task]);
	waiting[task] = NIL;
	all = database_oids(round_context[task]);
	old = MemoryContextSwitchTo(round_context[task]);
	foreach(lc, all)
	{
		Oid			dbid = lfirst_oid(lc);

		if (hash_search(absent, &dbid, HASH_FIND, NULL) == NULL &&
			!has_worker(task, dbid))
			waiting[task] = lappend_oid(waiting[task], dbid);
	}
	MemoryContextSwitchTo(old);
}

/*
 * Start a worker for the database in a free slot. Returns false when the
 * server has no room for one more background worker.
 */
static bool
start_worker(int slot, int task, Oid dbid)
{
	BackgroundWorker worker;
	HoneWorkerOrder order = {.dbid = dbid,.task = task,.round = rounds[task] - 1};
	MemoryContext old;
	bool		started;

	hone_lifecycle_shared->slots[slot].dbid = dbid;
	hone_lifecycle_shared->slots[slot].task = task;
	pg_atomic_write_u32(&hone_lifecycle_shared->slots[slot].outcome,
						HONE_WORKER_UNFINISHED);

	hone_worker_describe(&worker, "pg_hone worker", "hone_lifecycle_worker_main");
	worker.bgw_main_arg = Int32GetDatum(slot);
	memcpy(worker.bgw_extra, &order, sizeof(order));
	worker.bgw_notify_pid = MyProcPid;

	running[slot].started = GetCurrentTimestamp();
	old = MemoryContextSwitchTo(TopMemoryContext);
	started = RegisterDynamicBackgroundWorker(&worker, &running[slot].handle);
	MemoryContextSwitchTo(old);
	if (!started)
		running[slot].handle = NULL;
	return started;
}

static int
most_workers(const HoneTask *task)
{
	return task->fewer_workers == NULL ? task->workers :
		Min(task->workers, *task->fewer_workers);
}

static int
free_slot(void)
{
	for (int i = 0; i < HONE_WORKER_SLOTS; i++)
		if (running[i].handle == NULL)
			return i;
	return -1;
}

static void
report_exhaustion(void)
{
	if (!slots_exhausted)
		ereport(LOG,
				(errmsg("pg_hone: no background worker slot is free, so no partition moves and no history is written"),
				 errhint("Raise max_worker_processes and restart the server.")));
	slots_exhausted = true;
}

/*
 * Start workers for the waiting databases of a task while it may have more.
 */
static void
start_workers(int task)
{
	int			slot;

	while (waiting[task] != NIL && count_workers(task) < most_workers(hone_tasks[task]) &&
		   (slot = free_slot()) >= 0)
	{
		Oid			dbid = linitial_oid(waiting[task]);

		waiting[task] = list_delete_first(waiting[task]);
		if (database_is_claimed(dbid))
			continue;
		if (start_worker(slot, task, dbid))
		{
			slots_exhausted = false;
			continue;
		}
		report_exhaustion();
		waiting[task] = NIL;
	}
}

/*
 * Remember for a while that a database does not have the extension.
 */
static void
remember_absent(Oid dbid)
{
	AbsentDatabase *entry = hash_search(absent, &dbid, HASH_ENTER, NULL);

	entry->until = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   ABSENT_SECONDS * INT64CONST(1000));
}

/*
 * Free the slots of workers that have ended. Returns how many still run.
 */
static int
reap_workers(void)
{
	int			count = 0;

	for (int i = 0; i < HONE_WORKER_SLOTS; i++)
	{
		HoneWorkerSlot *slot = &hone_lifecycle_shared->slots[i];
		pid_t		pid;

		if (running[i].handle == NULL)
			continue;
		if (GetBackgroundWorkerPid(running[i].handle, &pid) != BGWH_STOPPED)
		{
			count++;
			continue;
		}
		if (pg_atomic_read_u32(&slot->outcome) == HONE_WORKER_NO_EXTENSION)
			remember_absent(slot->dbid);
		pfree(running[i].handle);
		running[i].handle = NULL;
	}
	return count;
}

/* Has it run for longer than its task may? */
static bool
is_overdue(int slot)
{
	int			limit = hone_tasks[hone_lifecycle_shared->slots[slot].task]->limit_ms;

	return limit > 0 &&
		TimestampDifferenceExceeds(running[slot].started, GetCurrentTimestamp(), limit);
}

/*
 * End the workers that stand in somebody's way or do not come to an end, or all
 * of them.
 */
static void
stop_workers(bool all)
{
	for (int i = 0; i < HONE_WORKER_SLOTS; i++)
	{
		if (running[i].handle != NULL &&
			(all || is_overdue(i) || database_is_claimed(hone_lifecycle_shared->slots[i].dbid)))
			TerminateBackgroundWorker(running[i].handle);
	}
}

static void
sleep_until(TimestampTz wakeup, bool polling)
{
	long		ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), wakeup);

	if (polling && ms > POLL_MS)
		ms = POLL_MS;
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
}

static TimestampTz
after_interval(int task, TimestampTz now)
{
	return TimestampTzPlusMilliseconds(now, *hone_tasks[task]->interval_s * INT64CONST(1000));
}

static void
begin(void)
{
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	MemoryContextSwitchTo(TopMemoryContext);
	make_absent_table();
	pg_atomic_write_u64(&hone_lifecycle_shared->launcher_latch, (uint64) (uintptr_t) MyLatch);
	for (int i = 0; i < hone_task_count; i++)
	{
		round_context[i] = AllocSetContextCreate(TopMemoryContext, "hone launcher round",
												 ALLOCSET_SMALL_SIZES);
		next_round[i] = GetCurrentTimestamp();
	}
}

static void
reload_settings(void)
{
	ConfigReloadPending = false;

	ProcessConfigFile(PGC_SIGHUP);
	/* a shorter nap counts at once */
	for (int i = 0; i < hone_task_count; i++)
		next_round[i] = Min(next_round[i], after_interval(i, GetCurrentTimestamp()));
}

/* Returns when the next round of any task begins. */
static TimestampTz
run_tasks(bool *any_waiting)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz wakeup = DT_NOEND;
	uint32		wanted = pg_atomic_exchange_u32(&hone_lifecycle_shared->wanted, 0);

	*any_waiting = false;
	for (int i = 0; i < hone_task_count; i++)
	{
		if (!hone_worker_enabled)
			waiting[i] = NIL;

		/* The clock may have been set back. */
		next_round[i] = Min(next_round[i], after_interval(i, now));
		if (wanted & ((uint32) 1 << i))
			next_round[i] = now;

		/* A round that is late goes on to its last database. */
		if (now >= next_round[i] && waiting[i] == NIL)
		{
			next_round[i] = after_interval(i, now);
			if (hone_worker_enabled)
			{
				begin_round(i);
				rounds[i]++;
			}
		}
		if (hone_worker_enabled)
			start_workers(i);
		*any_waiting |= waiting[i] != NIL;
		if (waiting[i] == NIL)
			wakeup = Min(wakeup, next_round[i]);
	}
	return wakeup;
}

void
hone_launcher_main(Datum main_arg)
{
	begin();
	for (;;)
	{
		TimestampTz wakeup;
		bool		any_waiting;
		int			busy;

		CHECK_FOR_INTERRUPTS();

		/*
		 * not 0: after pg_terminate_backend the postmaster is to start it
		 * again
		 */
		if (ShutdownRequestPending)
			proc_exit(1);
		if (ConfigReloadPending)
			reload_settings();

		busy = reap_workers();
		if (busy > 0)
			stop_workers(!hone_worker_enabled);
		wakeup = run_tasks(&any_waiting);
		sleep_until(wakeup, busy > 0 || any_waiting);
	}
}
