/*-------------------------------------------------------------------------
 *
 * work.c
 *	  How one batch is made, and what happens between two of them.
 *
 * A step that fails is taken back as a whole, with what it added to the
 * figures. Where only a lock was in the way it is made again; with on_error =>
 * 'skip' other errors are written down and the walk goes on behind the rows in
 * question. Errors that the next batch would have as well always stop.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "batch/key.h"
#include "batch/work.h"
#include "common/procedure.h"
#include "common/sleep.h"
#include "lifecycle/replicas.h"

/* Pauses before a step is made again: doubled each time. */
#define FIRST_RETRY_MS	50
#define LONGEST_RETRY_MS	2000

#define LAG_POLL_MS		200

int			hone_batch_notice_interval = 5000;

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------
 */

char *
hone_batch_change_sql(const HoneBatch *batch, const char *where)
{
	const HoneBatchTarget *target = &batch->target;
	char	   *rows = psprintf("%s%s(%s\n)", where, target->restriction, batch->condition);

	switch (batch->kind)
	{
		case HONE_BATCH_DELETE:
			return psprintf("DELETE FROM %s WHERE %s", target->from, rows);
		case HONE_BATCH_UPDATE:
			return psprintf("UPDATE %s SET %s\nWHERE %s", target->from, batch->assignments, rows);
		case HONE_BATCH_MOVE:
			return psprintf("WITH hone_moved AS (DELETE FROM %s WHERE %s RETURNING %s),"
							" hone_put AS (INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE"
							" SELECT * FROM hone_moved RETURNING 1)"
							" SELECT (SELECT pg_catalog.count(*) FROM hone_moved),"
							" (SELECT pg_catalog.count(*) FROM hone_put)",
							target->from, rows, batch->from_columns,
							batch->into_name, batch->into_columns);
	}
	return NULL;
}

char *
hone_batch_lock_sql(const HoneBatch *batch, const char *where)
{
	return psprintf("SELECT ctid FROM %s WHERE %s%s(%s\n) FOR UPDATE OF %s SKIP LOCKED",
					batch->target.from, where, batch->target.restriction,
					batch->condition, batch->target.alias);
}

SPIPlanPtr
hone_batch_prepare(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);

	if (plan == NULL)
		elog(ERROR, "could not prepare: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	return plan;
}

void
hone_batch_drop_plan(SPIPlanPtr *plan)
{
	if (*plan != NULL)
		SPI_freeplan(*plan);
	*plan = NULL;
}

/*
 * A move is one statement with two counts: a trigger of the target that keeps
 * a row out of it would lose it.
 */
static int64
moved_rows(const HoneBatch *batch)
{
	bool		isnull;
	int64		moved = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	int64		put = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));

	if (moved != put)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("%s took %lld of %lld rows", batch->into_name, (long long) put, (long long) moved),
				 errhint("A trigger of the target leaves rows out, which would be lost: leave them out with the condition.")));
	return moved;
}

/* Array of the ctids that the lock statement returned. */
static Datum
locked_tids(SPIPlanPtr plan, Datum *values)
{
	ArrayType  *array;
	Datum	   *tids;
	uint64		count;

	if (SPI_execute_plan(plan, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not lock the rows");
	count = SPI_processed;
	tids = palloc(Max(count, 1) * sizeof(Datum));
	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;

		tids[i] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
	}
	array = construct_array(tids, count, TIDOID, sizeof(ItemPointerData), false, TYPALIGN_SHORT);
	SPI_freetuptable(SPI_tuptable);
	pfree(tids);
	return PointerGetDatum(array);
}

void
hone_batch_change(HoneBatch *batch, SPIPlanPtr lock, SPIPlanPtr change, Datum *values, int64 found)
{
	static const int results[] = {SPI_OK_DELETE, SPI_OK_UPDATE, SPI_OK_SELECT};
	const char *command = batch->kind == HONE_BATCH_UPDATE ? "UPDATE" : "DELETE";
	int64		changed;

	if (lock != NULL)
		values[0] = locked_tids(lock, values);
	/* in the order of HoneBatchKind */
	if (SPI_execute_plan(change, values, NULL, false, 0) != results[batch->kind])
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a rule of the table replaces %s", command),
				 errhint("Drop or disable the ON %s DO INSTEAD rule, or use %s, to which the rule applies.", command, command)));
	changed = batch->kind == HONE_BATCH_MOVE ? moved_rows(batch) : (int64) SPI_processed;
	SPI_freetuptable(SPI_tuptable);
	if (lock != NULL)
		pfree(DatumGetPointer(values[0]));
	batch->job.rows += changed;
	batch->job.batches++;
	batch->job.skipped += Max(found - changed, 0);
}

/* ------------------------------------------------------------------------
 * One step
 * ------------------------------------------------------------------------
 */

static bool
is_transient(int sqlstate)
{
	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE ||
		sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
		sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE;
}

/*
 * About the rows of this batch, and not one that every batch would have.
 */
static bool
is_about_rows(int sqlstate)
{
	switch (ERRCODE_TO_CATEGORY(sqlstate))
	{
		case ERRCODE_CARDINALITY_VIOLATION:
		case ERRCODE_DATA_EXCEPTION:
		case ERRCODE_INTEGRITY_CONSTRAINT_VIOLATION:
		case ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION:
		case ERRCODE_WITH_CHECK_OPTION_VIOLATION:
		case ERRCODE_PLPGSQL_ERROR:
			return true;
		default:
			return is_transient(sqlstate);
	}
}

void
hone_batch_limit_lock_waits(const HoneBatch *batch)
{
	char		ms[MAXINT8LEN + 1];

	if (batch->options.lock_timeout_ms < 0)
		return;
	snprintf(ms, sizeof(ms), "%d", batch->options.lock_timeout_ms);
	(void) set_config_option("lock_timeout", ms, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static void
remember_own(HoneBatchXids *own, TransactionId xid)
{
	if (!TransactionIdIsValid(xid))
		return;
	if (own->count == own->size)
	{
		own->size = Max(1024, 2 * own->size);
		own->xids = own->xids == NULL
			? MemoryContextAllocHuge(hone_procedure_context(), own->size * sizeof(TransactionId))
			: repalloc_huge(own->xids, own->size * sizeof(TransactionId));
	}
	own->xids[own->count++] = xid;
}

bool
hone_batch_is_own(const HoneBatch *batch, TransactionId xid)
{
	const HoneBatchXids *own = &batch->own;
	int			low = 0;
	int			high = own->count;

	if (!TransactionIdIsNormal(xid))
		return false;
	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (own->xids[middle] == xid)
			return true;
		if (TransactionIdPrecedes(own->xids[middle], xid))
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* The next batch of batch_size => 'auto', by what this one took. */
static void
adapt_size(HoneBatch *batch, long ms)
{
	double		factor = (double) HONE_BATCH_AUTO_MS / Max(ms, 1);

	if (!batch->options.auto_size)
		return;
	batch->size *= Max(0.5, Min(2.0, factor));
	batch->size = Max(HONE_BATCH_AUTO_LEAST, Min(HONE_BATCH_AUTO_MOST, batch->size));
}

/*
 * A name in the statements means what it meant when they were made? They are
 * planned anew when tables change, and then find by name what may be another
 * one. While they are locked here tables keep their names.
 */
static void
check_name(Oid relid, const char *name)
{
	char	   *now;

	LockRelationOid(relid, AccessShareLock);
	now = hone_qualified_name(relid);
	if (now == NULL || strcmp(now, name) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("%s was dropped or renamed, or another table has its name now", name),
				 errhint("What was committed stays. Call it again when the table has its name.")));
	pfree(now);
}

static void
check_names(const HoneBatch *batch)
{
	if (!OidIsValid(batch->target.named))
		return;
	check_name(batch->target.named, batch->target.named_name);
	if (batch->into_name != NULL)
		check_name(batch->into, batch->into_name);
}

static void
attempt_step(HoneBatch *batch, const HoneBatchStep *step, void *walk)
{
	TimestampTz begin = GetCurrentTimestamp();
	TransactionId xid;

	hone_batch_limit_lock_waits(batch);
	if (step->describe != NULL)
		check_names(batch);
	step->attempt(batch, walk);
	if (step->mark != NULL)
		step->mark(batch, walk);
	if (!step->commits)
		return;
	xid = GetTopTransactionIdIfAny();
	hone_batch_job_save(batch);
	hone_procedure_commit();
	if (batch->kind == HONE_BATCH_UPDATE)
		remember_own(&batch->own, xid);
	adapt_size(batch, TimestampDifferenceMilliseconds(begin, GetCurrentTimestamp()));
}

/*
 * A search that met a lock once more would give up all that it has not seen: it
 * is the change of few rows that is left out.
 */
static bool
may_leave_out(const HoneBatch *batch, const HoneBatchStep *step, int sqlstate)
{
	return batch->options.skip_errors && step->describe != NULL && is_about_rows(sqlstate) &&
		(step->commits || !is_transient(sqlstate));
}

/*
 * NULL: it is done. What cannot be mended here is thrown on.
 */
static ErrorData *
try_step(HoneBatch *batch, const HoneBatchStep *step, void *walk, bool retry)
{
	HoneBatchJob before = batch->job;
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		attempt_step(batch, step, walk);
	}
	PG_CATCH();
	{
		int			sqlstate = geterrcode();

		if (!(retry && is_transient(sqlstate)) &&
			!may_leave_out(batch, step, sqlstate))
			PG_RE_THROW();
		MemoryContextSwitchTo(hone_procedure_context());
		error = CopyErrorData();
		FlushErrorState();
		hone_procedure_rollback();
		batch->job = before;
	}
	PG_END_TRY();
	return error;
}

void
hone_batch_read_committed(void)
{
	if (!FirstSnapshotSet)
		(void) set_config_option("transaction_isolation", "read committed", PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
}

static void
leave_out(HoneBatch *batch, const HoneBatchStep *step, void *walk, ErrorData *error)
{
	char	   *rows;

	hone_batch_read_committed();
	rows = step->describe(batch, walk);
	if (step->mark != NULL)
		step->mark(batch, walk);
	batch->job.errors++;
	hone_batch_job_note(batch, batch->target.relid, rows, error);
	hone_batch_job_save(batch);
	hone_procedure_commit();
	ereport(WARNING,
			(errcode(error->sqlerrcode),
			 errmsg("%s leaves out %s of %s: %s", batch->procedure, rows,
					batch->target.alias, error->message),
			 errhint("The view hone.batch_errors has them.")));
	pfree(rows);
	FreeErrorData(error);
}

char *
hone_batch_describe_all(HoneBatch *batch, void *walk)
{
	return pstrdup("all rows");
}

bool
hone_batch_make(HoneBatch *batch, const HoneBatchStep *step, void *walk)
{
	long		wait = FIRST_RETRY_MS;

	for (int tries = 0;; tries++)
	{
		bool		retry = tries < batch->options.lock_retries;
		ErrorData  *error = try_step(batch, step, walk, retry);

		if (error == NULL)
			return true;
		if (!retry || !is_transient(error->sqlerrcode))
		{
			if (step->describe == NULL)
				ReThrowError(error);
			leave_out(batch, step, walk, error);
			return false;
		}
		FreeErrorData(error);
		(void) hone_sleep(wait * INT64CONST(1000));
		wait = Min(2 * wait, LONGEST_RETRY_MS);
	}
}

static void
attempt_pass(HoneBatch *batch, void *walk)
{
	hone_batch_job_save_sometimes(batch);
	hone_procedure_commit();
}

/* The end of a transaction that only read may fail too, where it is serializable. */
static const HoneBatchStep pass_step = {attempt_pass, NULL, NULL, false};

void
hone_batch_pass(HoneBatch *batch)
{
	(void) hone_batch_make(batch, &pass_step, NULL);
}

/* ------------------------------------------------------------------------
 * Between two steps
 * ------------------------------------------------------------------------
 */

static char *
show_position(const HoneBatchJob *job)
{
	if (job->last_key != NULL)
		return psprintf(", last key %s", hone_batch_key_show(job->last_key));
	if (job->last_block >= 0)
		return psprintf(", block %lld", (long long) job->last_block);
	return "";
}

/*
 * What the part that is walked says of all, else the planner. The view
 * hone.batch_progress has the same.
 */
static int64
expected_rows(const HoneBatchJob *job)
{
	double		share = job->blocks > 0 ? (double) job->walked / job->blocks : 0;

	if (share >= 0.05 && share <= 1)
		return job->rows / share;
	return Max(job->estimate, job->rows);
}

static char *
show_time_left(const HoneBatchJob *job, double seconds)
{
	int64		walked = job->walked - job->walked_before;
	long		left;

	if (walked <= 0 || job->blocks < job->walked)
		return "";
	left = seconds * (job->blocks - job->walked) / walked;
	return psprintf(", %ld:%02ld:%02ld left", left / 3600, left / 60 % 60, left % 60);
}

/*
 * For a person who watches.
 */
static void
tell(HoneBatch *batch, const char *waiting)
{
	HoneBatchJob *job = &batch->job;
	TimestampTz now = GetCurrentTimestamp();
	double		seconds = (now - job->run_started_at) / 1000000.0;
	MemoryContext context;
	MemoryContext old;

	if (hone_batch_notice_interval <= 0 ||
		!TimestampDifferenceExceeds(batch->noticed_at, now, hone_batch_notice_interval))
		return;
	batch->noticed_at = now;
	context = AllocSetContextCreate(hone_procedure_context(), "hone batch notice", ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(context);
	ereport(NOTICE,
			(errmsg("%s: %lld of about %lld rows, %.0f rows/s%s%s, %lld errors%s",
					batch->procedure, (long long) job->rows,
					(long long) expected_rows(job),
					(job->rows - job->rows_before) / Max(seconds, 0.001),
					show_time_left(job, seconds), show_position(job),
					(long long) job->errors, waiting)));
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Milliseconds until the call has to end. */
static int64
time_left(const HoneBatch *batch)
{
	if (batch->options.max_runtime_ms < 0)
		return PG_INT64_MAX;
	return batch->options.max_runtime_ms -
		(GetCurrentTimestamp() - batch->started_at) / 1000;
}

static void
wait_for_replicas(HoneBatch *batch)
{
	while (hone_replicas_lag(batch->options.max_lag_ms) && time_left(batch) > 0)
	{
		tell(batch, ", waiting for replicas");
		hone_replicas_ask();
		(void) hone_sleep(LAG_POLL_MS * INT64CONST(1000));
	}
}

bool
hone_batch_go_on(HoneBatch *batch, bool pause)
{
	CHECK_FOR_INTERRUPTS();
	tell(batch, "");
	if (pause && batch->options.pause_ms > 0)
		(void) hone_sleep(Max(0, Min(batch->options.pause_ms, time_left(batch))) * INT64CONST(1000));
	if (batch->options.max_lag_ms >= 0)
		wait_for_replicas(batch);
	batch->stopped = time_left(batch) <= 0;
	return !batch->stopped;
}
