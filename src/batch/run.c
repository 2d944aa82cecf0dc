/*-------------------------------------------------------------------------
 *
 * run.c
 *	  A whole call: what it is asked, its job, and one table after the other.
 *
 * Tables are walked in the order of their OIDs, so that a job that is gone on
 * with knows by one of them which ones are done. Statements run through SPI as
 * the caller, with the caller's search_path, row security and triggers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "batch/batch.h"
#include "batch/condition.h"
#include "batch/key.h"
#include "batch/work.h"
#include "common/procedure.h"

/* Tables that a dry run tells one by one. */
#define MOST_TOLD	10

void
hone_batch_init(void)
{
	DefineCustomIntVariable("hone.batch_notice_interval",
							"Time between two notices in which a batching procedure says how far it is; 0: none.",
							NULL, &hone_batch_notice_interval, 5000, 0, INT_MAX,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
}

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------
 */

static void
condition_argument(HoneBatch *batch, FunctionCallInfo fcinfo, int argument)
{
	char	   *condition = text_to_cstring(PG_GETARG_TEXT_PP(argument));

	if (condition[strspn(condition, " \t\n\r\f\v")] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("condition must not be empty"),
				 errhint("For every row, pass the condition 'true'.")));
	hone_check_condition(condition);
	batch->condition = condition;
}

/*
 * The first argument, the condition, and the options from behind it on.
 */
void
hone_batch_arguments(HoneBatch *batch, FunctionCallInfo fcinfo, int condition)
{
	bool		missing_table = PG_ARGISNULL(0);
	bool		missing_condition = PG_ARGISNULL(condition);

	hone_batch_read_options(fcinfo, condition + 1, &batch->options);
	if (missing_table && !batch->options.resume)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", batch->kind == HONE_BATCH_MOVE ? "source" : "rel"),
				 errhint("Name the table whose rows are meant.")));
	if (missing_condition && !batch->options.resume)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("condition must not be null"),
				 errhint("For every row, pass the condition 'true'.")));
	if (!missing_table)
		batch->root = PG_GETARG_OID(0);
	if (!missing_condition)
		condition_argument(batch, fcinfo, condition);
	batch->size = batch->options.size;
	batch->started_at = batch->noticed_at = GetCurrentTimestamp();
}

/* ------------------------------------------------------------------------
 * How much there is to do
 * ------------------------------------------------------------------------
 */

static int64
blocks_of_table(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	int64		blocks = RelationGetNumberOfBlocks(rel);

	table_close(rel, NoLock);
	return blocks;
}

/*
 * Rows that the planner expects the condition to hold for.
 */
static int64
estimate_rows(const HoneBatch *batch)
{
	char	   *sql = psprintf("EXPLAIN (FORMAT JSON) SELECT 1 FROM %s AS %s WHERE (%s\n)",
							   hone_qualified_name(batch->root),
							   quote_identifier(get_rel_name(batch->root)),
							   batch->condition);
	static const char name[] = "\"Plan Rows\": ";
	char	   *plan;
	char	   *found = NULL;

	if (SPI_execute(sql, false, 1) >= 0 && SPI_processed > 0)
	{
		plan = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		found = plan == NULL ? NULL : strstr(plan, name);
	}
	return found == NULL ? 0 : strtoll(found + sizeof(name) - 1, NULL, 10);
}

/* ------------------------------------------------------------------------
 * One table after the other
 * ------------------------------------------------------------------------
 */

/*
 * Does the update change where in the partitioned table rows are?
 */
static bool
moves_rows(const HoneBatch *batch)
{
	ListCell   *lc;

	if (batch->kind != HONE_BATCH_UPDATE)
		return false;
	foreach(lc, hone_batch_partition_columns(batch->root))
	{
		if (hone_has_name(batch->assigned, lfirst(lc)))
			return true;
	}
	return false;
}

/*
 * The key that a table is walked by, for an update: what is deleted or moved
 * cannot be met again. A job cannot do without: it has to know after a crash
 * which rows it has changed.
 */
static HoneBatchKey *
key_for(HoneBatch *batch, const HoneBatchTarget *target, bool by_place)
{
	Oid			leaf = target->relid;
	HoneBatchKey *key = NULL;
	bool		avoided = by_place;

	if (batch->kind != HONE_BATCH_UPDATE)
		return NULL;
	if (!by_place)
		key = hone_batch_key(leaf, target->named, batch->assigned, &avoided);
	if (key != NULL || batch->options.job == NULL)
		return key;
	if (avoided)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the job cannot walk \"%s\" by a key that it changes", get_rel_name(leaf)),
				 errhint("Call it without a job's name: then it remembers in memory which rows it has changed.")));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the job cannot walk \"%s\", which has no key", get_rel_name(leaf)),
			 errhint("A job goes from key to key: add a primary key, or a unique index over NOT NULL columns; or call it without a job's name.")));
	return NULL;
}

static void
begin_leaf(HoneBatch *batch, Oid leaf)
{
	HoneBatchJob *job = &batch->job;

	batch->target_blocks = blocks_of_table(leaf);
	if (job->leaf == leaf)
		return;
	job->walked_leaf = job->walked;
	job->leaf = leaf;
	job->last_key = job->upper_key = NULL;
	job->key = NULL;
	job->last_block = -1;
	job->filenode = InvalidOid;
}

/* A table that is about to be walked. */
typedef struct Opening
{
	Oid			leaf;
	bool		by_place;
	bool		there;			/* it is a part of the named one still */
	HoneBatchKey *key;
} Opening;

static void
attempt_open(HoneBatch *batch, void *arg)
{
	Opening    *opening = arg;

	opening->there = hone_batch_target(batch->root, opening->leaf, batch->privileges,
									   opening->by_place, &batch->target);
	if (!opening->there)
		return;
	opening->key = key_for(batch, &batch->target, opening->by_place);
	begin_leaf(batch, opening->leaf);
}

/* A step for the sake of its locks. */
static const HoneBatchStep open_step = {attempt_open, NULL, hone_batch_describe_all, false};

static void
walk_leaf(HoneBatch *batch, Oid leaf, bool by_place)
{
	Opening		opening = {.leaf = leaf,.by_place = by_place};
	char	   *name = get_rel_name(leaf);

	if (name == NULL)
		return;
	batch->target.relid = leaf;
	batch->target.named = InvalidOid;
	batch->target.alias = name;
	if (!hone_batch_make(batch, &open_step, &opening) || !opening.there)
		return;
	if (opening.key != NULL)
		hone_batch_walk_key(batch, opening.key);
	else
		hone_batch_walk_tids(batch);
	if (!batch->stopped)
		batch->job.walked = batch->job.walked_leaf + batch->target_blocks;
}

/* How the tables of a call are walked. */
typedef struct Course
{
	List	   *leaves;
	bool		by_place;
} Course;

/*
 * What cannot be done is refused before the first row is changed.
 */
static void
attempt_look_ahead(HoneBatch *batch, void *arg)
{
	Course	   *course = arg;
	bool		places = false;
	ListCell   *lc;

	course->by_place = moves_rows(batch);
	foreach(lc, course->leaves)
	{
		HoneBatchTarget target;

		if (hone_batch_target(batch->root, lfirst_oid(lc), batch->privileges, course->by_place, &target))
			places |= key_for(batch, &target, course->by_place) == NULL;
	}
	if (places && batch->kind == HONE_BATCH_UPDATE)
		hone_batch_check_places(batch);
	hone_procedure_commit();
}

static const HoneBatchStep look_ahead_step = {attempt_look_ahead, NULL, NULL, false};

static void
walk_leaves(HoneBatch *batch, List *leaves)
{
	Course		course = {.leaves = leaves};
	ListCell   *lc;

	(void) hone_batch_make(batch, &look_ahead_step, &course);
	foreach(lc, leaves)
	{
		if (lfirst_oid(lc) < batch->job.leaf)
			continue;
		walk_leaf(batch, lfirst_oid(lc), course.by_place);
		if (batch->stopped)
			return;
	}
}

/* ------------------------------------------------------------------------
 * Dry run
 * ------------------------------------------------------------------------
 */

static int64
count_rows(const HoneBatch *batch)
{
	bool		isnull;
	int64		count;

	if (SPI_execute(psprintf("SELECT pg_catalog.count(*) FROM %s WHERE %s(%s\n)",
							 batch->target.from, batch->target.restriction, batch->condition),
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not count the rows");
	count = DatumGetInt64(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_freetuptable(SPI_tuptable);
	return count;
}

/*
 * Count, and say how it would be done. Nothing is written.
 */
static int64
run_dry(HoneBatch *batch, List *leaves)
{
	bool		by_place = moves_rows(batch);
	StringInfoData detail;
	int64		rows = 0;
	int			tables = 0;
	char	   *statement = NULL;
	ListCell   *lc;

	initStringInfo(&detail);
	foreach(lc, leaves)
	{
		HoneBatchKey *key;
		int64		count;

		if (!hone_batch_target(batch->root, lfirst_oid(lc), batch->privileges, by_place, &batch->target))
			continue;
		key = key_for(batch, &batch->target, by_place);
		if (key == NULL && batch->kind == HONE_BATCH_UPDATE)
			hone_batch_check_places(batch);
		count = count_rows(batch);
		rows += count;
		if (tables++ < MOST_TOLD)
			appendStringInfo(&detail, "%s%s: %lld rows, walked by %s", tables > 1 ? "\n" : "",
							 hone_qualified_name(lfirst_oid(lc)), (long long) count,
							 key == NULL ? "blocks" : psprintf("the key (%s)", key->list));
		if (statement == NULL)
			statement = key == NULL ? hone_batch_tids_sql(batch) : hone_batch_key_sql(batch, key);
	}
	if (tables > MOST_TOLD)
		appendStringInfo(&detail, "\nand %d more", tables - MOST_TOLD);
	if (statement != NULL)
		appendStringInfo(&detail, "\n%s", statement);
	ereport(NOTICE,
			(errmsg("%s would change %lld rows in %lld batches%s", batch->procedure,
					(long long) rows, (long long) ((rows + batch->size - 1) / batch->size),
					batch->options.auto_size ? ", to begin with" : ""),
			 errdetail_internal("%s", detail.data)));
	return rows;
}

/* ------------------------------------------------------------------------
 * All
 * ------------------------------------------------------------------------
 */

static int64
run_job(HoneBatch *batch, List *leaves)
{
	HoneBatchJob *job = &batch->job;
	int64		rows;

	hone_batch_job_begin(batch);
	walk_leaves(batch, leaves);
	hone_batch_pass(batch);
	hone_batch_job_end(batch, !batch->stopped);
	rows = job->rows - job->rows_before;
	if (batch->stopped)
		ereport(NOTICE,
				(errmsg("%s ends after max_runtime with %lld rows", batch->procedure, (long long) rows),
				 batch->options.job != NULL
				 ? errhint("To go on: resume => %s.", quote_literal_cstr(batch->options.job))
				 : errhint("What was committed stays. Only a call with job => 'name' can be gone on with where it left off.")));
	return rows;
}

/*
 * A job that has ended does nothing again: the call may come from a client
 * that lost its connection before it heard of the end.
 */
static void
tell_done(const HoneBatch *batch)
{
	ereport(NOTICE,
			(errmsg("job \"%s\" has ended, with %lld rows; nothing is done", batch->options.job,
					(long long) batch->job.rows),
			 errhint("To do it again, give it another name, or forget it first: SELECT hone.forget_batch_job(%s).",
					 quote_literal_cstr(batch->options.job))));
}

/*
 * All that is looked at before there is a job, under the call's lock_timeout. A
 * dry run goes on in the same transaction.
 */
static void
attempt_begin(HoneBatch *batch, void *arg)
{
	List	  **leaves = arg;
	HoneBatchJob *job = &batch->job;
	ListCell   *lc;

	hone_batch_check_relation(batch->root, batch->privileges);
	if (batch->prepare != NULL)
		batch->prepare(batch);
	if (job->done)
		return;
	*leaves = hone_batch_leaves(batch->root);
	if (batch->options.dry_run)
		return;
	PreventCommandIfReadOnly(batch->procedure);
	if (job->id == 0)
	{
		job->estimate = estimate_rows(batch);
		foreach(lc, *leaves)
			job->blocks += blocks_of_table(lfirst_oid(lc));
	}
	hone_procedure_commit();
}

static const HoneBatchStep begin_step = {attempt_begin, NULL, NULL, false};

static void
check_and_run(HoneBatch *batch)
{
	List	   *leaves = NIL;

	hone_batch_limit_lock_waits(batch);
	if (OidIsValid(batch->root))
		hone_batch_check_relation(batch->root, batch->privileges);
	hone_batch_job_find(batch);
	(void) hone_batch_make(batch, &begin_step, &leaves);
	if (batch->job.done)
		tell_done(batch);
	else if (batch->options.dry_run)
		batch->rows = run_dry(batch, leaves);
	else
		batch->rows = run_job(batch, leaves);
}

static Datum
result_of(FunctionCallInfo fcinfo, int64 rows)
{
	TupleDesc	tupdesc;
	Datum		values[1];
	bool		nulls[1] = {false};

	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = Int64GetDatum(rows);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
}

Datum
hone_batch_call(HoneBatch *batch, FunctionCallInfo fcinfo)
{
	hone_batch_job_guard(batch, check_and_run);
	hone_procedure_end();
	return result_of(fcinfo, batch->rows);
}
