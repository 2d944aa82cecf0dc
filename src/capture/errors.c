/*-------------------------------------------------------------------------
 *
 * errors.c
 *	  Errors that belong to no statement, and sessions that end in one.
 *
 * emit_log_hook sees each error that the user sees exactly once, when it is
 * reported, and never one that an exception block handled. If the statement
 * it ended has been told to the observers (from a PG_CATCH, before this), it
 * is done with; else it was a parse, bind or commit error, and a record
 * without a queryid is made of it.
 *
 * The hook runs before the failed transaction has given its locks back: the
 * observers' finished() takes none when sqlstate is set. Errors below
 * log_min_messages never come here (as with log_min_messages = fatal).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/elog.h"

#include "capture/call.h"

static emit_log_hook_type previous_emit_log = NULL;

bool		hone_error_told = false;
HoneStretch *hone_open_stretch = NULL;

static bool in_hook = false;

/* The session is terminated in the middle of a statement. */
static void
close_open_stretch(int sqlstate)
{
	HoneStretch *stretch = hone_open_stretch;
	HoneRecord *record = stretch->record;

	hone_open_stretch = stretch->outer;
	record->elapsed_ns += hone_clock_ns() - stretch->start_ns;
	record->has_rusage = false;
	record->query_desc = NULL;
	record->sqlstate = sqlstate;
	hone_capture_finish(record);
}

static void
count_error(ErrorData *edata)
{
	HoneRecord	record;
	bool		told = hone_error_told;

	if (edata->elevel == FATAL)
		while (hone_open_stretch != NULL)
		{
			close_open_stretch(edata->sqlerrcode);
			told = true;
		}

	/* A session that is ended while it does nothing fails in nothing. */
	if (edata->elevel == FATAL && debug_query_string == NULL)
		told = true;
	if (!told)
	{
		hone_capture_begin(&record, HONE_RECORD_EXEC, 0, CMD_UNKNOWN, 0, NULL, -1, 0);
		record.sqlstate = edata->sqlerrcode;
		hone_capture_finish(&record);
	}
	hone_error_told = false;
}

/* Early in a session's life there is no role or database to count for. */
static bool
is_session(void)
{
	Oid			userid;
	int			security_context;

	if (MyBackendType != B_BACKEND || MyProc == NULL || proc_exit_inprogress)
		return false;
	GetUserIdAndSecContext(&userid, &security_context);
	return OidIsValid(userid) && OidIsValid(MyDatabaseId);
}

static void
emit_log(ErrorData *edata)
{
	if ((edata->elevel == ERROR || edata->elevel == FATAL) &&
		hone_enabled && hone_track != HONE_TRACK_NONE && !in_hook && is_session())
	{
		in_hook = true;
		count_error(edata);
		in_hook = false;
	}
	if (previous_emit_log)
		previous_emit_log(edata);
}

void
hone_errors_init(void)
{
	previous_emit_log = emit_log_hook;
	emit_log_hook = emit_log;
}
