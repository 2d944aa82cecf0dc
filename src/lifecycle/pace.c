/*-------------------------------------------------------------------------
 *
 * pace.c
 *	  When the worker moves partitions, and how fast (see pace.h).
 *
 * Between the steps of a move (tiered.h), when nothing is locked and no
 * snapshot held, the worker sleeps until the bytes of the step are allowed to
 * have been read and written, and as long as replicas lag. Once a second at
 * least it looks whether it is to end the move: the database's moves are
 * paused, or the window is over. It does so by an error, which move.c knows not
 * to be one.
 *
 * Paused is a database when there is a row in hone._worker_state: that is
 * transactional, outlives a restart, and needs no shared memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "pgtime.h"
#include "postmaster/interrupt.h"
#include "storage/latch.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "common/bucket.h"
#include "common/own_tables.h"
#include "lifecycle/pace.h"
#include "lifecycle/replicas.h"
#include "lifecycle/shared.h"
#include "lifecycle/window.h"
#include "tiered/progress.h"

/* Time between two looks for objections; and how long replicas are waited for. */
#define LOOK_MS				500
#define REPLICAS_POLL_MS	1000
#define REPLICAS_PATIENCE_MS	60000

/* The fast way is for tables that take no longer than this at the throughput. */
#define BURST_SECONDS		10

PG_FUNCTION_INFO_V1(hone_pause_worker);
PG_FUNCTION_INFO_V1(hone_resume_worker);

int			hone_max_workers = 3;
static int	tier_throughput = 2 * 1024; /* kB/s; 0: unlimited */
static int	max_replica_lag = 0;	/* ms; 0: is not looked at */
static char *tier_window = NULL;

/* Of the move in hand. */
static HoneTieredPace pace;
static HoneBucket allowed;		/* bytes that its step may have moved */
static TimestampTz looked_at;	/* for objections and replicas */
static const char *stopped = NULL;

static bool
check_window(char **newval, void **extra, GucSource source)
{
	HoneWindow	window;
	const char *wrong = *newval == NULL ? NULL : hone_window_parse(*newval, &window);

	if (wrong == NULL)
		return true;
	GUC_check_errcode(ERRCODE_INVALID_PARAMETER_VALUE);
	GUC_check_errhint("%s", wrong);
	return false;
}

void
hone_pace_define_settings(void)
{
	DefineCustomIntVariable("hone.tier_throughput",
							"Bytes of rows that a move of the worker reads and writes in a second; 0: no limit.",
							"Rows count uncompressed. A partition of at most ten seconds' worth may be written anew at once, with the pause behind it.",
							&tier_throughput, 2 * 1024, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_KB, NULL, NULL, NULL);
	DefineCustomStringVariable("hone.tier_window",
							   "Hours of the week in which the worker moves partitions, in log_timezone; empty: always.",
							   "As in \"sat,sun 00:00-24:00; mon-fri 22:00-06:00\".",
							   &tier_window, "",
							   PGC_SIGHUP, 0, check_window, NULL, NULL);
	DefineCustomIntVariable("hone.max_replica_lag",
							"How far streaming standbys may be behind while the worker moves partitions; 0: it does not look.",
							NULL, &max_replica_lag, 0, 0, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.max_workers",
							"Databases in which workers move partitions at the same time.",
							NULL, &hone_max_workers, 3, 1, HONE_MOST_WORKERS,
							PGC_SIGHUP, 0, NULL, NULL, NULL);
}

/* ------------------------------------------------------------------------
 * Objections
 * ------------------------------------------------------------------------
 */

/*
 * Leaves no lock behind, and no snapshot.
 */
static bool
is_paused(void)
{
	Oid			relid = hone_relation_oid("_worker_state");
	Relation	rel = OidIsValid(relid) ? try_table_open(relid, AccessShareLock) : NULL;
	Snapshot	snapshot;
	TupleTableSlot *slot;
	TableScanDesc scan;
	bool		found;

	if (rel == NULL)
		return false;			/* the extension has been dropped meanwhile */
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	slot = table_slot_create(rel, NULL);
	scan = table_beginscan(rel, snapshot, 0, NULL);
	found = table_scan_getnextslot(scan, ForwardScanDirection, slot);
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	InvalidateCatalogSnapshot();
	return found;
}

static bool
is_in_window(void)
{
	HoneWindow	window;

	if (tier_window == NULL || tier_window[0] == '\0' ||
		hone_window_parse(tier_window, &window) != NULL)
		return true;
	return hone_window_contains(&window, GetCurrentTimestamp(), log_timezone);
}

const char *
hone_pace_objection(void)
{
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;

		ProcessConfigFile(PGC_SIGHUP);
	}
	if (!is_in_window())
		return "hone.tier_window is over";
	if (is_paused())
		return "hone.pause_worker() was called";
	return NULL;
}

static void
stop_move(const char *why)
{
	stopped = why;
	ereport(ERROR,
			(errcode(ERRCODE_QUERY_CANCELED),
			 errmsg("the move is paused: %s", why)));
}

static bool
is_over(TimestampTz since, int ms)
{
	TimestampTz now = GetCurrentTimestamp();

	/* the clock may have been set back */
	return since > now || TimestampDifferenceExceeds(since, now, ms);
}

static void
look_for_objections(void)
{
	const char *why;

	if (!is_over(looked_at, LOOK_MS))
		return;
	why = hone_pace_objection();
	if (why != NULL)
		stop_move(why);
	looked_at = GetCurrentTimestamp();
}

/* ------------------------------------------------------------------------
 * Waiting
 * ------------------------------------------------------------------------
 */

static void
nap(long ms)
{
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/*
 * Until the bytes may have been moved since the step began, by the setting as
 * it is now.
 */
static void
throttle(int64 bytes, bool may_stop)
{
	while (tier_throughput > 0)
	{
		int64		left = hone_bucket_wait(&allowed, tier_throughput * 1024.0, bytes, bytes,
											GetCurrentTimestamp());

		if (left == 0)
			break;
		hone_progress_wait(HONE_WAIT_THROTTLE);
		nap(Min(left / 1000 + 1, LOOK_MS));
		if (may_stop)
			look_for_objections();
		else if (ConfigReloadPending)
		{
			ConfigReloadPending = false;

			ProcessConfigFile(PGC_SIGHUP);
		}
	}
}

static void
wait_for_replicas(void)
{
	TimestampTz began = GetCurrentTimestamp();

	while (max_replica_lag > 0 && hone_lifecycle_shared != NULL &&
		   hone_replicas_lag(max_replica_lag))
	{
		hone_progress_wait(HONE_WAIT_REPLICAS);
		if (is_over(began, REPLICAS_PATIENCE_MS))
			stop_move("a replica is further behind than hone.max_replica_lag");
		hone_replicas_ask();
		nap(REPLICAS_POLL_MS);
		look_for_objections();
	}
}

static void
pause_between_steps(int64 bytes, bool may_stop, void *arg)
{
	throttle(bytes, may_stop);
	if (may_stop)
	{
		look_for_objections();
		wait_for_replicas();
	}
	hone_progress_wait(HONE_WAIT_NOTHING);
	InvalidateCatalogSnapshot();
	hone_bucket_begin(&allowed, 0, GetCurrentTimestamp());
}

const HoneTieredPace *
hone_pace_begin(void)
{
	stopped = NULL;
	looked_at = GetCurrentTimestamp();
	hone_bucket_begin(&allowed, 0, looked_at);
	pace.pause = pause_between_steps;
	pace.burst = tier_throughput * INT64CONST(1024) * BURST_SECONDS;
	return &pace;
}

const char *
hone_pace_stopped(void)
{
	return stopped;
}

/* ------------------------------------------------------------------------
 * What users call
 * ------------------------------------------------------------------------
 */

/*
 * hone.pause_worker()
 */
Datum
hone_pause_worker(PG_FUNCTION_ARGS)
{
	hone_require_script();
	PreventCommandIfReadOnly("hone.pause_worker");
	PreventCommandDuringRecovery("hone.pause_worker");
	SPI_connect();
	hone_own_run_text("INSERT INTO hone._worker_state (paused_by) VALUES ($1) ON CONFLICT DO NOTHING",
					  GetUserNameFromId(GetUserId(), false));
	SPI_finish();
	PG_RETURN_VOID();
}

/*
 * hone.resume_worker()
 */
Datum
hone_resume_worker(PG_FUNCTION_ARGS)
{
	hone_require_script();
	PreventCommandIfReadOnly("hone.resume_worker");
	PreventCommandDuringRecovery("hone.resume_worker");
	SPI_connect();
	hone_own_run("DELETE FROM hone._worker_state", 0, NULL, NULL, NULL);
	SPI_finish();
	PG_RETURN_VOID();
}
