/*-------------------------------------------------------------------------
 *
 * job.c
 *	  The row of hone._batch_job that a call has (see job.h).
 *
 * Every call has one, for hone.batch_progress; that of a call without a name
 * goes when the call ends, or with the next one after a crash. A named one is
 * kept, and says to whom it belongs and what it does: another role, or a call
 * that does something else, is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "batch/job.h"
#include "batch/work.h"
#include "common/own_tables.h"
#include "common/procedure.h"

/* How often a walk that finds nothing notes how far it is. */
#define SAVE_MS	1000

static const char *const kinds[] = {"delete", "update", "move"};

static LOCKTAG
lock_tag(int64 id)
{
	LOCKTAG		tag;

	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, hone_relation_oid("_batch_job"),
						 (uint32) id, HONE_BATCH_LOCK);
	return tag;
}

/*
 * The tag is made of catalogs, so it is kept for when they cannot be read.
 */
static LOCKTAG held_tag;

static bool
lock_job(HoneBatchJob *job)
{
	held_tag = lock_tag(job->id);
	job->locked = LockAcquire(&held_tag, ExclusiveLock, true, true) != LOCKACQUIRE_NOT_AVAIL;
	return job->locked;
}

static void
unlock_job(HoneBatchJob *job)
{
	if (job->locked)
		LockRelease(&held_tag, ExclusiveLock, true);
	job->locked = false;
}

void
hone_batch_job_guard(HoneBatch *batch, void (*run) (HoneBatch *batch))
{
	PG_TRY();
	{
		run(batch);
	}
	PG_CATCH();
	{
		unlock_job(&batch->job);
		PG_RE_THROW();
	}
	PG_END_TRY();
	unlock_job(&batch->job);
}

/*
 * What crashed, was cancelled or is done for a week.
 */
static void
remove_old_jobs(void)
{
	hone_own_run("DELETE FROM hone._batch_job WHERE id IN ("
				 "SELECT j.id FROM hone._batch_job j"
				 " WHERE (j.name IS NULL AND j.errors = 0 OR coalesce(j.finished_at, j.updated_at)"
				 "  < pg_catalog.now() - CASE WHEN j.name IS NULL OR j.finished_at IS NOT NULL"
				 "    THEN interval '7 days' ELSE interval '1 year' END)"
				 " AND NOT EXISTS (SELECT FROM hone._batch_running r WHERE r.id = j.id)"
				 " FOR UPDATE OF j SKIP LOCKED)", 0, NULL, NULL, NULL);
}

static Datum
text_or_null(const char *text, char *null)
{
	*null = text == NULL ? 'n' : ' ';
	return text == NULL ? (Datum) 0 : CStringGetTextDatum(text);
}

static void
make_job(HoneBatch *batch)
{
	HoneBatchJob *job = &batch->job;
	Oid			types[] = {TEXTOID, OIDOID, TEXTOID, OIDOID, OIDOID, TEXTOID, TEXTOID, INT8OID, INT8OID};
	Datum		values[9];
	char		nulls[10] = "         ";

	values[0] = text_or_null(batch->options.job, &nulls[0]);
	values[1] = ObjectIdGetDatum(GetUserId());
	values[2] = CStringGetTextDatum(kinds[batch->kind]);
	values[3] = ObjectIdGetDatum(batch->root);
	values[4] = ObjectIdGetDatum(batch->into);
	values[5] = text_or_null(batch->assignments, &nulls[5]);
	values[6] = CStringGetTextDatum(batch->condition);
	values[7] = Int64GetDatum(job->estimate);
	values[8] = Int64GetDatum(job->blocks);
	if (hone_own_run("INSERT INTO hone._batch_job (name, owner, kind, relation, target, assignments, condition, rows_estimated, blocks)"
					 " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING id",
					 9, types, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("job \"%s\" was begun by another session just now", batch->options.job),
				 errhint("Call it again to go on with it when that has ended.")));
	job->id = hone_result_integer(0, 1);
	job->run = 1;
	job->last_block = -1;
}

/* ------------------------------------------------------------------------
 * Going on with a job
 * ------------------------------------------------------------------------
 */

#define JOB_COLUMNS \
	"id, owner, kind, relation, target, assignments, condition, finished_at IS NOT NULL AS done," \
	" run, rows_done, rows_skipped, batches, errors, rows_estimated, walked, blocks," \
	" leaf, last_key, upper_key, last_block, filenode, key, walked_leaf"

static ArrayType *
result_array(uint64 row, int column)
{
	bool		isnull;
	Datum		value = hone_result_value(row, column, &isnull);

	return isnull ? NULL : DatumGetArrayTypePCopy(value);
}

static void
differs(HoneBatch *batch, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("job \"%s\" was begun with another %s", batch->options.job, what),
			 errhint("Pass what it was begun with (or NULL, with resume); give another job another name, or forget this one: SELECT hone.forget_batch_job(%s).",
					 quote_literal_cstr(batch->options.job))));
}

/* A text that the call gives, or that of the job where it gives none. */
static void
same_text(HoneBatch *batch, char **given, char *kept, const char *what)
{
	if (*given == NULL)
		*given = kept;
	else if (kept == NULL || strcmp(*given, kept) != 0)
		differs(batch, what);
}

static void
same_oid(HoneBatch *batch, Oid *given, Oid kept, const char *what)
{
	if (!OidIsValid(*given))
		*given = kept;
	else if (*given != kept)
		differs(batch, what);
}

/*
 * The row that is in SPI_tuptable.
 */
static void
take_job(HoneBatch *batch)
{
	HoneBatchJob *job = &batch->job;
	bool		isnull;

	job->id = hone_result_integer(0, 1);
	if (hone_result_oid(0, 2) != GetUserId())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("job \"%s\" belongs to another role", batch->options.job),
				 errhint("Give yours another name.")));
	if (strcmp(hone_result_text(0, 3), kinds[batch->kind]) != 0)
		differs(batch, "procedure");
	same_oid(batch, &batch->root, hone_result_oid(0, 4), "table");
	same_oid(batch, &batch->into, hone_result_oid(0, 5), "target");
	same_text(batch, &batch->assignments, hone_result_text(0, 6), "SET clause");
	same_text(batch, &batch->condition, hone_result_text(0, 7), "condition");
	job->done = DatumGetBool(hone_result_value(0, 8, &isnull));
	job->run = hone_result_integer(0, 9) + 1;
	job->rows = hone_result_integer(0, 10);
	job->skipped = hone_result_integer(0, 11);
	job->batches = hone_result_integer(0, 12);
	job->errors = hone_result_integer(0, 13);
	job->estimate = hone_result_integer(0, 14);
	job->walked = hone_result_integer(0, 15);
	job->blocks = hone_result_integer(0, 16);
	job->leaf = hone_result_oid(0, 17);
	job->last_key = result_array(0, 18);
	job->upper_key = result_array(0, 19);
	job->last_block = hone_result_integer(0, 20);
	job->filenode = hone_result_oid(0, 21);
	job->key = hone_result_text(0, 22);
	job->walked_leaf = hone_result_integer(0, 23);
}

/*
 * The job of this name, if there is one: the lock first, then the row as its
 * last run left it.
 */
void
hone_batch_job_find(HoneBatch *batch)
{
	HoneBatchJob *job = &batch->job;
	const char *name = batch->options.job;

	if (name == NULL)
		return;
	if (hone_own_run_text("SELECT " JOB_COLUMNS " FROM hone._batch_job WHERE name = $1", name) == 0)
	{
		if (batch->options.resume)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("there is no job \"%s\"", name),
					 errhint("The view hone.batch_progress shows yours; job => %s begins one.",
							 quote_literal_cstr(name))));
		return;
	}
	take_job(batch);
	if (!lock_job(job))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("job \"%s\" is running in another session", name),
				 errhint("The view hone.batch_progress shows which one.")));
	hone_procedure_commit();
	if (hone_own_run_text("SELECT " JOB_COLUMNS " FROM hone._batch_job WHERE name = $1", name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("job \"%s\" was removed just now", name),
				 errhint("Call it again to begin it anew.")));
	take_job(batch);
}

static void
begin_run(HoneBatch *batch)
{
	HoneBatchJob *job = &batch->job;

	job->run_started_at = job->saved_at = GetCurrentTimestamp();
	job->rows_before = job->rows;
	job->walked_before = job->walked;
	if (job->run > 1)
	{
		Oid			types[] = {INT8OID, INT8OID};
		Datum		values[] = {Int64GetDatum(job->id), Int64GetDatum(job->run)};

		hone_own_run("UPDATE hone._batch_job SET run = $2, run_started_at = pg_catalog.clock_timestamp(),"
					 " updated_at = pg_catalog.clock_timestamp(), rows_before = rows_done, walked_before = walked"
					 " WHERE id = $1", 2, types, values, NULL);
	}
}

void
hone_batch_job_begin(HoneBatch *batch)
{
	HoneBatchJob *job = &batch->job;

	hone_batch_read_committed();
	remove_old_jobs();
	if (job->id == 0)
	{
		make_job(batch);
		if (!lock_job(job))
			elog(ERROR, "the lock of a new job is taken");
	}
	begin_run(batch);
	hone_procedure_commit();
}

/* ------------------------------------------------------------------------
 * How far it is
 * ------------------------------------------------------------------------
 */

static Datum
array_or_null(ArrayType *array, char *null)
{
	*null = array == NULL ? 'n' : ' ';
	return PointerGetDatum(array);
}

void
hone_batch_job_save(HoneBatch *batch)
{
	HoneBatchJob *job = &batch->job;
	Oid			types[] = {INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID, INT8OID,
	OIDOID, TEXTARRAYOID, TEXTARRAYOID, INT8OID, OIDOID, TEXTOID, INT8OID};
	Datum		values[14];
	char		nulls[15] = "              ";

	values[0] = Int64GetDatum(job->id);
	values[1] = Int64GetDatum(job->run);
	values[2] = Int64GetDatum(job->rows);
	values[3] = Int64GetDatum(job->skipped);
	values[4] = Int64GetDatum(job->batches);
	values[5] = Int64GetDatum(job->errors);
	values[6] = Int64GetDatum(job->walked);
	values[7] = ObjectIdGetDatum(job->leaf);
	values[8] = array_or_null(job->last_key, &nulls[8]);
	values[9] = array_or_null(job->upper_key, &nulls[9]);
	values[10] = Int64GetDatum(job->last_block);
	values[11] = ObjectIdGetDatum(job->filenode);
	values[12] = text_or_null(job->key, &nulls[12]);
	values[13] = Int64GetDatum(job->walked_leaf);
	if (hone_own_run("UPDATE hone._batch_job SET rows_done = $3, rows_skipped = $4, batches = $5, errors = $6,"
					 " walked = $7, leaf = $8, last_key = $9, upper_key = $10, last_block = $11, filenode = $12, key = $13, walked_leaf = $14,"
					 " updated_at = pg_catalog.clock_timestamp() WHERE id = $1 AND run = $2",
					 14, types, values, nulls) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the job of this call was removed, or another session goes on with it"),
				 errhint("What was committed stays. See hone.batch_progress.")));
	if (job->key != NULL)
		pfree(DatumGetPointer(values[12]));
	job->saved_at = GetCurrentTimestamp();
}

void
hone_batch_job_save_sometimes(HoneBatch *batch)
{
	if (TimestampDifferenceExceeds(batch->job.saved_at, GetCurrentTimestamp(), SAVE_MS))
		hone_batch_job_save(batch);
}

void
hone_batch_job_note(HoneBatch *batch, Oid leaf, const char *where, const ErrorData *error)
{
	Oid			types[] = {INT8OID, OIDOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[5];

	values[0] = Int64GetDatum(batch->job.id);
	values[1] = ObjectIdGetDatum(leaf);
	values[2] = CStringGetTextDatum(where);
	values[3] = CStringGetTextDatum(unpack_sql_state(error->sqlerrcode));
	values[4] = CStringGetTextDatum(error->message);
	hone_own_run("INSERT INTO hone._batch_error (job, relation, rows, sqlstate, error) VALUES ($1, $2, $3, $4, $5)",
				 5, types, values, NULL);
}

/*
 * A call without a name leaves its row only if it has errors to tell.
 */
void
hone_batch_job_end(HoneBatch *batch, bool done)
{
	HoneBatchJob *job = &batch->job;
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(job->id)};

	hone_batch_read_committed();
	hone_batch_job_save(batch);
	if (batch->options.job == NULL && job->errors == 0)
		hone_own_run("DELETE FROM hone._batch_job WHERE id = $1", 1, types, values, NULL);
	else if (done || batch->options.job == NULL)
		hone_own_run("UPDATE hone._batch_job SET finished_at = pg_catalog.clock_timestamp() WHERE id = $1",
					 1, types, values, NULL);
	hone_procedure_commit();
}

PG_FUNCTION_INFO_V1(hone_forget_batch_job);

/*
 * hone.forget_batch_job(name)
 */
Datum
hone_forget_batch_job(PG_FUNCTION_ARGS)
{
	char	   *name;
	Oid			owner;
	int64		id;
	LOCKTAG		tag;

	hone_require_script();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("name must not be null"),
				 errhint("The view hone.batch_progress shows the names of your jobs.")));
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (hone_own_run_text("SELECT id, owner FROM hone._batch_job WHERE name = $1", name) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no job \"%s\"", name),
				 errhint("The view hone.batch_progress shows the names of your jobs.")));
	id = hone_result_integer(0, 1);
	owner = hone_result_oid(0, 2);
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("job \"%s\" belongs to another role", name),
				 errhint("Only that role, and superusers, may forget it.")));
	tag = lock_tag(id);
	if (LockAcquire(&tag, ExclusiveLock, false, true) == LOCKACQUIRE_NOT_AVAIL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("job \"%s\" is running", name),
				 errhint("Cancel it first: SELECT pg_cancel_backend(pid) FROM hone.batch_progress.")));
	hone_own_run_text("DELETE FROM hone._batch_job WHERE name = $1", name);
	SPI_finish();
	PG_RETURN_VOID();
}
