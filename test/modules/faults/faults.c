/*-------------------------------------------------------------------------
 *
 * faults.c
 *	  For tests: a preloaded module that lets a process fail at an event.
 *
 * Events are counted in pg_hone's workers, and in sessions that set
 * faults.session: each statement's start, each utility command's start and end,
 * each object that is dropped, the moment before each commit and the one after
 * it. The file FILE_ARMED in the data directory holds a number, a kind and a
 * text: at that event, of those whose description contains the text, counted
 * from when the file came, the process fails:
 *
 *	 kill	it gets SIGKILL, which makes the server restart
 *	 server	it waits for the test to kill all processes
 *	 error	an error is raised (not after a commit)
 *	 fatal	the process is ended by an error
 *	 wait	it waits until FILE_DONE is gone
 *
 * FILE_ARMED is removed before, and FILE_DONE says which event it was. While
 * FILE_DONE is there, pg_hone's workers wait where they begin a statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "catalog/objectaccess.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "postmaster/bgworker.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "tcop/utility.h"
#include "utils/guc.h"

PG_MODULE_MAGIC;

#define FILE_ARMED	"faults.armed"
#define FILE_DONE	"faults.done"

PGDLLEXPORT void _PG_init(void);

static bool faults_session = false;
static pg_atomic_uint32 *counter = NULL;

static shmem_request_hook_type previous_request = NULL;
static shmem_startup_hook_type previous_startup = NULL;
static ExecutorStart_hook_type previous_start = NULL;
static ProcessUtility_hook_type previous_utility = NULL;
static object_access_hook_type previous_access = NULL;

static bool
is_worker(void)
{
	return MyBackendType == B_BG_WORKER && MyBgworkerEntry != NULL &&
		(strcmp(MyBgworkerEntry->bgw_type, "pg_hone worker") == 0 ||
		 strcmp(MyBgworkerEntry->bgw_type, "pg_hone command") == 0);
}

static void
wait_while_done(void)
{
	while (access(FILE_DONE, F_OK) == 0)
	{
		CHECK_FOR_INTERRUPTS();
		pg_usleep(10 * 1000);
	}
}

/* Under another name first: whoever sees the file sees all of it. */
static void
say_done(const char *kind, const char *what)
{
	FILE	   *file = fopen(FILE_DONE ".new", "w");

	if (file == NULL)
		elog(PANIC, "could not write %s", FILE_DONE);
	fprintf(file, "%s %s\n", kind, what);
	fclose(file);
	if (rename(FILE_DONE ".new", FILE_DONE) != 0)
		elog(PANIC, "could not rename %s", FILE_DONE);
}

static void
fail(const char *kind, const char *what)
{
	say_done(kind, what);
	if (strcmp(kind, "error") == 0)
		ereport(ERROR, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("injected: %s", what)));
	if (strcmp(kind, "fatal") == 0)
		ereport(FATAL, (errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("injected: %s", what)));
	if (strcmp(kind, "wait") == 0)
	{
		wait_while_done();
		return;
	}
	if (strcmp(kind, "kill") == 0)
		kill(MyProcPid, SIGKILL);
	for (;;)
		pause();
}

static void
event(const char *what, const char *text, bool may_raise)
{
	char		kind[16];
	char		marker[64];
	char		label[200];
	unsigned	number;
	FILE	   *file;
	bool		armed;

	if (counter == NULL || !(is_worker() || faults_session))
		return;
	snprintf(label, sizeof(label), "%s %.120s", what, text ? text : "");
	file = fopen(FILE_ARMED, "r");
	if (file == NULL)
	{
		pg_atomic_write_u32(counter, 0);
		return;
	}
	marker[0] = '\0';
	armed = fscanf(file, "%u %15s %63[^\n]", &number, kind, marker) >= 2;
	fclose(file);
	if (!armed || strstr(label, marker) == NULL ||
		(!may_raise && (strcmp(kind, "error") == 0 || strcmp(kind, "fatal") == 0)))
		return;
	if (pg_atomic_add_fetch_u32(counter, 1) < number || unlink(FILE_ARMED) != 0)
		return;
	pg_atomic_write_u32(counter, 0);
	fail(kind, label);
}

static void
start_hook(QueryDesc *query_desc, int eflags)
{
	if (is_worker())
		wait_while_done();
	event("statement", query_desc->sourceText, true);
	if (previous_start)
		previous_start(query_desc, eflags);
	else
		standard_ExecutorStart(query_desc, eflags);
}

static void
utility_hook(PlannedStmt *planned, const char *source, bool read_only_tree,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *environment, DestReceiver *dest,
			 QueryCompletion *completion)
{
	if (is_worker())
		wait_while_done();
	event("before", source, true);
	if (previous_utility)
		previous_utility(planned, source, read_only_tree, context, params,
						 environment, dest, completion);
	else
		standard_ProcessUtility(planned, source, read_only_tree, context, params,
								environment, dest, completion);
	event("after", source, IsTransactionState());
}

static void
access_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id, void *arg)
{
	if (previous_access)
		previous_access(access, class_id, object_id, sub_id, arg);
	if (access == OAT_DROP)
		event("drop of an object", NULL, true);
}

static void
transaction_hook(XactEvent which, void *arg)
{
	if (which == XACT_EVENT_PRE_COMMIT)
		event("before commit", NULL, true);
	else if (which == XACT_EVENT_COMMIT)
		event("after commit", NULL, false);
}

static void
request_memory(void)
{
	if (previous_request)
		previous_request();
	RequestAddinShmemSpace(sizeof(pg_atomic_uint32));
}

static void
take_memory(void)
{
	bool		found;

	if (previous_startup)
		previous_startup();
	counter = ShmemInitStruct("faults", sizeof(pg_atomic_uint32), &found);
	if (!found)
		pg_atomic_init_u32(counter, 0);
}

void
_PG_init(void)
{
	DefineCustomBoolVariable("faults.session", "Count the events of this session.", NULL,
							 &faults_session, false, PGC_USERSET, 0, NULL, NULL, NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	previous_request = shmem_request_hook;
	shmem_request_hook = request_memory;
	previous_startup = shmem_startup_hook;
	shmem_startup_hook = take_memory;
	previous_start = ExecutorStart_hook;
	ExecutorStart_hook = start_hook;
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
	previous_access = object_access_hook;
	object_access_hook = access_hook;
	RegisterXactCallback(transaction_hook, NULL);
}
