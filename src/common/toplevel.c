/*-------------------------------------------------------------------------
 *
 * toplevel.c
 *	  Run one command at top level in a dynamic background worker.
 *
 * The request travels in a dynamic shared memory segment that both sides map;
 * the worker writes the outcome into it and exits. When the waiting session
 * is cancelled it terminates the worker. Needs no preloading.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/analyze.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/dsm.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "tcop/pquery.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "common/toplevel.h"
#include "common/worker.h"

/* How often a command with patience looks whether it queues for a table. */
#define QUEUE_LOOK_MS	20

typedef struct ToplevelRequest
{
	Oid			dbid;
	Oid			userid;
	int			lock_timeout_ms;
	int			patience_ms;
	bool		done;			/* written last, read after the worker's end */
	char		sql[HONE_TOPLEVEL_SQL_MAX];
	int			sqlstate;		/* of the error */
	char		error[HONE_TOPLEVEL_ERR_MAX];	/* empty = success */
} ToplevelRequest;

PGDLLEXPORT void hone_toplevel_main(Datum main_arg);

static int	queue_timeout_ms;	/* of this worker's command */

/*
 * As exec_simple_query() does it, without a client.
 */
void
hone_toplevel_execute(const char *sql)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "hone top-level command",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	List	   *parsetrees;
	RawStmt    *raw;
	CommandTag	tag;
	Portal		portal;
	List	   *querytrees;
	List	   *plans;
	DestReceiver *dest;
	QueryCompletion qc;
	bool		snapshot = false;

	StartTransactionCommand();
	old = MemoryContextSwitchTo(context);
	parsetrees = pg_parse_query(sql);
	if (list_length(parsetrees) != 1)
		elog(ERROR, "expected one command, found %d", list_length(parsetrees));
	raw = linitial_node(RawStmt, parsetrees);
	tag = CreateCommandTag(raw->stmt);

	if (analyze_requires_snapshot(raw))
	{
		PushActiveSnapshot(GetTransactionSnapshot());
		snapshot = true;
	}
	querytrees = pg_analyze_and_rewrite_fixedparams(raw, sql, NULL, 0, NULL);
	plans = pg_plan_queries(querytrees, sql, 0, NULL);
	if (snapshot)
		PopActiveSnapshot();

	portal = CreatePortal("", true, true);
	portal->visible = false;
	PortalDefineQuery(portal, NULL, sql, tag, plans, NULL);
	PortalStart(portal, NULL, 0, InvalidSnapshot);
	dest = CreateDestReceiver(DestNone);
	MemoryContextSwitchTo(old);
	(void) HONE_PORTAL_RUN(portal, dest, &qc);
	dest->rDestroy(dest);
	PortalDrop(portal, false);
	CommitTransactionCommand();
	MemoryContextDelete(context);
}

/*
 * lock_timeout cannot tell a wait for a transaction, which nobody minds, from a
 * queue for a table, behind which others wait. So where it is long, this timer
 * ends the latter, as PostgreSQL's own does. waitLock is ours, set and reset by
 * this process or while it sleeps; what it points to is in shared memory.
 */
static void
end_long_queueing(void)
{
	PGPROC	   *proc = *(PGPROC *volatile *) &MyProc;
	LOCK	   *lock;
	TimestampTz since;

	/* the process is ending */
	if (proc == NULL)
		return;
	lock = *(LOCK * volatile *) &proc->waitLock;
	since = (TimestampTz) pg_atomic_read_u64(&proc->waitStart);
	if (lock != NULL && lock->tag.locktag_type == LOCKTAG_RELATION && since != 0 &&
		TimestampDifferenceExceeds(since, GetCurrentTimestamp(), queue_timeout_ms))
		kill(MyProcPid, SIGINT);
}

static void
limit_waits(int lock_timeout_ms, int patience_ms)
{
	if (lock_timeout_ms == 0 || patience_ms <= lock_timeout_ms)
	{
		hone_worker_pin_timeouts(lock_timeout_ms);
		return;
	}
	hone_worker_pin_timeouts(patience_ms);
	/* each look would be one more line */
	SetConfigOption("log_lock_waits", "off", PGC_SUSET, PGC_S_OVERRIDE);
	queue_timeout_ms = lock_timeout_ms;
	enable_timeout_every(RegisterTimeout(USER_TIMEOUT, end_long_queueing),
						 TimestampTzPlusMilliseconds(GetCurrentTimestamp(), QUEUE_LOOK_MS),
						 QUEUE_LOOK_MS);
}

void
hone_toplevel_main(Datum main_arg)
{
	dsm_segment *segment;
	ToplevelRequest *request;

	pqsignal(SIGTERM, die);
	BackgroundWorkerUnblockSignals();

	CurrentResourceOwner = ResourceOwnerCreate(NULL, "hone top-level command");
	segment = dsm_attach(DatumGetUInt32(main_arg));
	if (segment == NULL)
		proc_exit(0);			/* the requester has gone */
	dsm_pin_mapping(segment);
	request = dsm_segment_address(segment);

	/*
	 * The role may be one that cannot log in: connect as the bootstrap
	 * superuser and become the role. No security context: VACUUM and DETACH
	 * CONCURRENTLY begin transactions of their own, which must not have one.
	 * Not all commands restrict what they call of the table's owner: DETACH
	 * evaluates constants in CHECK constraints. PostgreSQL would let that
	 * code go back to the role that connected, so this way is closed.
	 */
	BackgroundWorkerInitializeConnectionByOid(request->dbid, InvalidOid, 0);
	limit_waits(request->lock_timeout_ms, request->patience_ms);
	StartTransactionCommand();
	SetSessionAuthorization(request->userid, superuser_arg(request->userid));
	CommitTransactionCommand();
	hone_compat_freeze_setting("session_authorization");
	pgstat_report_activity(STATE_RUNNING, request->sql);
	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_SUSET, PGC_S_OVERRIDE);

	PG_TRY();
	{
		hone_toplevel_execute(request->sql);
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(TopMemoryContext);
		edata = CopyErrorData();
		FlushErrorState();
		AbortCurrentTransaction();
		request->sqlstate = edata->sqlerrcode;
		strlcpy(request->error, edata->message,
				pg_mbcliplen(edata->message, strlen(edata->message),
							 sizeof(request->error) - 1) + 1);
	}
	PG_END_TRY();

	disable_all_timeouts(false);
	request->done = true;
	proc_exit(0);
}

static void
end_worker(int code, Datum handle)
{
	TerminateBackgroundWorker((BackgroundWorkerHandle *) DatumGetPointer(handle));
}

char *
hone_toplevel_run(Oid dbid, Oid userid, const char *sql, int lock_timeout_ms,
				  int patience_ms, int *sqlstate)
{
	dsm_segment *segment;
	ToplevelRequest *request;
	BackgroundWorker worker;
	BackgroundWorkerHandle *handle;
	char	   *error;

	*sqlstate = 0;
	if (strlen(sql) >= HONE_TOPLEVEL_SQL_MAX)
		return pstrdup("the command is too long");

	segment = dsm_create(sizeof(ToplevelRequest), DSM_CREATE_NULL_IF_MAXSEGMENTS);
	if (segment == NULL)
		return pstrdup("no shared memory segment was free");
	request = dsm_segment_address(segment);
	memset(request, 0, sizeof(*request));
	request->dbid = dbid;
	request->userid = userid;
	request->lock_timeout_ms = lock_timeout_ms;
	request->patience_ms = patience_ms;
	strlcpy(request->sql, sql, sizeof(request->sql));

	hone_worker_describe(&worker, "pg_hone command", "hone_toplevel_main");
	worker.bgw_main_arg = UInt32GetDatum(dsm_segment_handle(segment));
	worker.bgw_notify_pid = MyProcPid;

	if (!RegisterDynamicBackgroundWorker(&worker, &handle))
	{
		dsm_detach(segment);
		return pstrdup("no background worker slot was free; raise max_worker_processes");
	}

	/*
	 * DETACH ... FINALIZE waits for all older snapshots, and would for that
	 * of the caller's last look into the catalogs. Popping one that is active
	 * is what gives up the xmin of all that are not in use any more.
	 */
	PushActiveSnapshot(GetLatestSnapshot());
	PopActiveSnapshot();
	InvalidateCatalogSnapshot();

	/* Also when this process is told to exit: nobody would wait for it then. */
	PG_ENSURE_ERROR_CLEANUP(end_worker, PointerGetDatum(handle));
	{
		(void) WaitForBackgroundWorkerShutdown(handle);
	}
	PG_END_ENSURE_ERROR_CLEANUP(end_worker, PointerGetDatum(handle));

	*sqlstate = request->sqlstate;
	if (request->error[0] != '\0')
		error = pstrdup(request->error);
	else if (!request->done)
		error = pstrdup("the worker ended before the command was done");
	else
		error = NULL;
	dsm_detach(segment);
	return error;
}
