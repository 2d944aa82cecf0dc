/*-------------------------------------------------------------------------
 *
 * collector.c
 *	  The process that does for the statistics what no statement should:
 *	  samples what running statements wait for, takes what idle sessions left
 *	  pending, makes room when the memory is nearly full, saves the statistics.
 *
 * It runs on a standby as well, is connected to no database, and stands in
 * nobody's way: locks that are not free at once are tried again at the next
 * turn. When no client's statement has run for a while it wakes up once a
 * second.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "common/savefile.h"
#include "common/worker.h"
#include "stats/collector.h"
#include "stats/pending.h"
#include "stats/save.h"

#define IDLE_MS				1000
#define IDLE_AFTER_US		(INT64CONST(10) * 1000000)
#define COLLECTOR_RESTART	10	/* seconds */

/*
 * Samples of statements that have no entry yet: their first call is running.
 * They are kept for so many turns after the last one.
 */
#define MAX_WAITING			1024
#define WAITING_TURNS		600

typedef struct WaitSamples
{
	HoneStatsKey key;			/* hash key */
	uint32		waits[HONE_WAIT_KINDS];
	int			turns;			/* since the last sample */
} WaitSamples;

static HTAB *samples = NULL;
static MemoryContext turn_context = NULL;

static void
create_samples(void)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(HoneStatsKey);
	control.entrysize = sizeof(WaitSamples);
	control.hcxt = TopMemoryContext;

	samples = hash_create("hone wait samples", 64, &control,
						  HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static HoneWaitKind
kind_of_wait(uint32 wait_event_info)
{
	switch (wait_event_info & 0xFF000000)
	{
		case 0:
			return HONE_WAIT_NONE;
		case PG_WAIT_IO:
			return HONE_WAIT_IO;
		case PG_WAIT_LOCK:
		case HONE_WAIT_CLASS_BUFFER_PIN:
			return HONE_WAIT_LOCK;
		case PG_WAIT_CLIENT:
			return HONE_WAIT_CLIENT;
		default:
			return HONE_WAIT_OTHER;
	}
}

/*
 * Note what the client's statement of this slot is doing. Who and what is read
 * without a lock: a statement that changes just now may be taken for another,
 * one sample in very many.
 */
static bool
sample_slot(int index)
{
	HonePending *slot = hone_pending_slot(index);
	volatile PGPROC *proc = &ProcGlobal->allProcs[index];
	uint64		queryid;
	HoneStatsKey key;
	WaitSamples *entry;
	bool		found;

	if (slot == NULL || (queryid = slot->running_queryid) == 0)
		return false;
	hone_stats_key_init(&key, HONE_STATS_QUERY, slot->running_dbid,
						slot->running_userid, queryid, true, 0);
	pg_atomic_fetch_add_u64(&hone_stats_shared->wait_samples, 1);
	if (hash_get_num_entries(samples) >= MAX_WAITING &&
		hash_search(samples, &key, HASH_FIND, NULL) == NULL)
		return true;
	entry = hash_search(samples, &key, HASH_ENTER, &found);
	if (!found)
		memset(entry->waits, 0, sizeof(entry->waits));
	entry->waits[kind_of_wait(proc->wait_event_info)]++;
	entry->turns = 0;
	return true;
}

/* Returns whether any statement runs. */
static bool
sample_waits(void)
{
	bool		any = false;

	for (int i = 0; i < hone_stats_shared->slot_count; i++)
		any |= sample_slot(i);
	return any;
}

/* Add samples to the entry; false when there is none, or its lock is held. */
static bool
hand_on(const WaitSamples *entry)
{
	uint32		bucket = hone_stats_bucket(entry->key.dbid, entry->key.queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	HoneStatsQuery *query;

	if (!LWLockConditionalAcquire(lock, LW_EXCLUSIVE))
		return false;
	query = (HoneStatsQuery *) hone_stats_find(bucket, &entry->key);
	if (query != NULL)
		for (int i = 0; i < HONE_WAIT_KINDS; i++)
			query->fresh.counters.waits[i] += entry->waits[i];
	LWLockRelease(lock);
	return query != NULL;
}

static void
hand_waits_on(void)
{
	HASH_SEQ_STATUS scan;
	WaitSamples *entry;

	hash_seq_init(&scan, samples);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (hand_on(entry) || ++entry->turns > WAITING_TURNS)
			hash_search(samples, &entry->key, HASH_REMOVE, NULL);
}

static void
take_idle(void)
{
	for (int i = 0; i < hone_stats_shared->slot_count; i++)
		hone_pending_take(i);
}

/* An error in one turn is reported, and the next turn tried. */
static void
run_guarded(void (*turn) (void))
{
	MemoryContextSwitchTo(turn_context);
	PG_TRY();
	{
		turn();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		LWLockReleaseAll();
		MemoryContextSwitchTo(turn_context);
		EmitErrorReport();
		FlushErrorState();
		hone_stats_internal_error();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextReset(turn_context);
}

static void
make_room(void)
{
	(void) hone_stats_evict();
}

/* Unless nothing has changed since the last time. */
static void
save(void)
{
	uint32		asked = pg_atomic_exchange_u32(&hone_stats_shared->save_now, 0);
	uint32		changed = pg_atomic_exchange_u32(&hone_stats_shared->changed, 0);

	/* What comes while it is written is a change since. */
	if ((asked != 0 || changed != 0) && !hone_save_write(false))
		pg_atomic_write_u32(&hone_stats_shared->changed, 1);
	hone_savers_run();
}

static void
leave(int code, Datum arg)
{
	hone_stats_shared->collector = NULL;
}

/* Has so much time passed? If so, it begins anew. */
static bool
is_due(TimestampTz *last, TimestampTz now, int64 interval_ms)
{
	if (now >= *last && now - *last < interval_ms * 1000)
		return false;
	*last = now;
	return true;
}

static void
begin(void)
{
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();
	if (hone_stats_shared == NULL || !hone_stats_attach())
		proc_exit(0);
	turn_context = AllocSetContextCreate(TopMemoryContext, "hone collector",
										 ALLOCSET_DEFAULT_SIZES);
	create_samples();
	before_shmem_exit(leave, 0);
	if (RecoveryInProgress())
		hone_stats_shared->standby = true;
	hone_stats_shared->collector = MyLatch;
}

void
hone_collector_main(Datum main_arg)
{
	TimestampTz last_take = 0;
	TimestampTz last_save = 0;
	TimestampTz last_busy = 0;

	begin();
	while (!ShutdownRequestPending)
	{
		TimestampTz now = GetCurrentTimestamp();
		bool		sampling = hone_wait_sample_interval_ms > 0;

		if (sampling && sample_waits())
			last_busy = now;
		/* What was counted as a standby is not of the primary's history. */
		if (hone_stats_shared->standby && !RecoveryInProgress())
		{
			hone_stats_shared->promoted_at = GetCurrentTimestamp();
			pg_write_barrier();
			hone_stats_shared->standby = false;
		}
		run_guarded(make_room);
		if (is_due(&last_take, now, Min(hone_flush_interval_ms, IDLE_MS)))
		{
			run_guarded(take_idle);
			run_guarded(hand_waits_on);
		}
		if (is_due(&last_save, now, (int64) hone_history_interval_s * 1000) ||
			pg_atomic_read_u32(&hone_stats_shared->save_now) != 0)
		{
			run_guarded(save);
			run_guarded(make_room);
		}

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 sampling && now - last_busy < IDLE_AFTER_US ?
						 hone_wait_sample_interval_ms : IDLE_MS,
						 PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		if (ConfigReloadPending)
		{
			ConfigReloadPending = false;

			ProcessConfigFile(PGC_SIGHUP);
		}
	}
	/* not 0: unless the server stops, the postmaster is to start it again */
	proc_exit(1);
}

void
hone_collector_init(void)
{
	BackgroundWorker worker;

	if (IsBinaryUpgrade)
		return;
	hone_worker_describe(&worker, "pg_hone collector", "hone_collector_main");
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS;
	worker.bgw_start_time = BgWorkerStart_ConsistentState;
	worker.bgw_restart_time = COLLECTOR_RESTART;
	RegisterBackgroundWorker(&worker);
}
