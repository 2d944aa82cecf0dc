/*-------------------------------------------------------------------------
 *
 * worker.c
 *	  The worker of one database: does one task (common/task.h), and exits. That
 *	  of the lifecycle moves what is due.
 *
 * It connects as the bootstrap superuser, but every move runs as the owner of
 * the partition (move.c). SIGTERM ends it at any point: what a move has
 * committed so far stays, and the next worker goes on from there.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/dbcommands.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "tcop/tcopprot.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "common/procedure.h"
#include "common/toplevel.h"
#include "common/worker.h"
#include "lifecycle/log.h"
#include "lifecycle/run.h"
#include "lifecycle/shared.h"

PG_FUNCTION_INFO_V1(hone_run_worker);

/*
 * What a database or role may have set otherwise must not reach the moves.
 */
static void
pin_settings(void)
{
	static const char *const pinned[][2] = {
		{"search_path", "pg_catalog, pg_temp"},
		{"TimeZone", "UTC"},
		{"session_replication_role", "origin"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_read_only", "off"},
		{"row_security", "on"},
		{"synchronize_seqscans", "off"},
	};

	for (int i = 0; i < lengthof(pinned); i++)
		SetConfigOption(pinned[i][0], pinned[i][1], PGC_SUSET, PGC_S_OVERRIDE);
	hone_worker_pin_timeouts(hone_lock_timeout);
}

/*
 * Is the extension here? Objects that another version's script made are left
 * alone: the log says so, as often as the launcher looks into this database.
 */
static bool
extension_is_here(void)
{
	volatile bool here;
	char	   *database;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	here = OidIsValid(hone_extension_oid());
	database = get_database_name(MyDatabaseId);
	PG_TRY();
	{
		if (here)
			hone_require_script();
		PopActiveSnapshot();
		CommitTransactionCommand();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(TopMemoryContext);
		error = CopyErrorData();
		FlushErrorState();
		ereport(LOG,
				(errcode(error->sqlerrcode),
				 errmsg("pg_hone: the worker does nothing in database \"%s\": %s",
						database, error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 error->hint ? errhint("%s", error->hint) : 0));
		AbortCurrentTransaction();
		here = false;
	}
	PG_END_TRY();
	return here;
}

/*
 * Whether partitions were read is asked in every fifth round: with ten thousands
 * of them it takes as long as all else.
 */
#define ROUNDS_FOR_READS	5

static uint32 round_number = 0;

/*
 * A session can hold rows of the state locked (add_tier_policy in an open
 * transaction): that must not keep the other partitions from moving.
 */
static void
refresh_state(void)
{
	PG_TRY();
	{
		hone_refresh_state();
		hone_procedure_commit();
	}
	PG_CATCH();
	{
		hone_procedure_report("could not refresh the state of partitions");
	}
	PG_END_TRY();
}

/*
 * hone._run_worker(): what the worker does in its database. A procedure, so
 * that moves find the same surroundings here as in a session.
 */
Datum
hone_run_worker(PG_FUNCTION_ARGS)
{
	HoneRunResult result;

	hone_require_script();
	hone_procedure_begin(fcinfo, "hone._run_worker");
	if (round_number % ROUNDS_FOR_READS == 0)
		refresh_state();
	hone_run_due(true, &result);
	hone_procedure_end();
	PG_RETURN_VOID();
}

/*
 * main_arg: number of the slot in shared memory that names the database.
 */
void
hone_lifecycle_worker_main(Datum main_arg)
{
	HoneWorkerSlot *slot;
	HoneWorkerOutcome outcome = HONE_WORKER_NO_EXTENSION;
	HoneWorkerOrder order;

	pqsignal(SIGTERM, die);
	pqsignal(SIGINT, StatementCancelHandler);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	if (hone_lifecycle_shared == NULL)
		proc_exit(0);
	slot = &hone_lifecycle_shared->slots[DatumGetInt32(main_arg)];
	memcpy(&order, MyBgworkerEntry->bgw_extra, sizeof(order));
	round_number = order.round;

	BackgroundWorkerInitializeConnectionByOid(order.dbid, InvalidOid, 0);
	pin_settings();
	if (extension_is_here())
	{
		const HoneTask *task = hone_tasks[order.task];

		pgstat_report_activity(STATE_RUNNING, task->activity);
		hone_toplevel_execute(task->command);
		pgstat_report_activity(STATE_IDLE, NULL);
		outcome = HONE_WORKER_DONE;
	}
	if (slot->dbid == order.dbid && slot->task == order.task)
		pg_atomic_write_u32(&slot->outcome, outcome);
	proc_exit(0);
}
