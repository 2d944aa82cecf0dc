/*-------------------------------------------------------------------------
 *
 * walk_key.c
 *	  Walking a table by a key.
 *
 * Each row is met once, whatever happens to its place: the walk goes from key
 * to key, up to the last one that there is when it begins. It looks ahead by
 * windows: so many rows further in the index, whether they match or not. The
 * matching keys of the window are found, then changed batch by batch: all rows
 * from behind the last key to the batch's last one, where the condition is
 * checked again. The last key is written down in the batch's transaction.
 *
 * Windows grow while few rows match, as those of blocks do.
 *
 * The index of a compressed table gives no order, so there the window is what
 * one search finds, many rows at a time.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "batch/key.h"
#include "batch/work.h"
#include "common/procedure.h"

#define MIN_WINDOW	1000		/* rows */
#define MAX_WINDOW	500000
#define MAX_COLLECTED	200000	/* keys of one search of a compressed table */

/* Parameters: the key before or at the first row, the last key, a number. */
#define MAX_PARAMETERS	(2 * INDEX_MAX_KEYS + 1)

typedef struct KeyWalk
{
	HoneBatchKey *key;
	SPIPlanPtr	window;			/* the key so many rows further */
	SPIPlanPtr	find;			/* keys between two that match */
	SPIPlanPtr	lock;			/* skip_locked: ctids of rows between two */
	SPIPlanPtr	change;			/* rows between two, or of these ctids */
	Oid			types[MAX_PARAMETERS];

	MemoryContext position_context; /* of last and upper */
	Datum	   *last;			/* the walk is behind it, or at it if 'first' */
	bool		first;
	Datum	   *upper;

	MemoryContext window_context;	/* of the rest */
	int64		rows;			/* of the window */
	Datum	   *until;			/* where it ends */
	bool		at_end;			/* which is at upper */
	Datum	  **keys;			/* those that match */
	int			matched;
	int			next;			/* the first of them not changed yet */
	int64		walked;			/* job.walked before it */

	/* the batch */
	int			count;
	Datum	   *batch_until;
} KeyWalk;

/* ------------------------------------------------------------------------
 * Statements
 * ------------------------------------------------------------------------
 */

static char *
between(const KeyWalk *walk)
{
	return psprintf("%s%s", hone_batch_key_bound(walk->key, walk->first ? ">=" : ">", 1),
					hone_batch_key_bound(walk->key, "<=", walk->key->count + 1));
}

static void
drop_statements(KeyWalk *walk)
{
	hone_batch_drop_plan(&walk->window);
	hone_batch_drop_plan(&walk->find);
	hone_batch_drop_plan(&walk->lock);
	hone_batch_drop_plan(&walk->change);
}

/*
 * For what begins at the last key, or behind it.
 */
static void
prepare_statements(HoneBatch *batch, KeyWalk *walk)
{
	const HoneBatchTarget *target = &batch->target;
	const HoneBatchKey *key = walk->key;
	int			n = 2 * key->count;
	char	   *range = between(walk);
	Oid			list[1] = {TIDARRAYOID};

	if (key->ordered)
		walk->window = hone_batch_prepare(psprintf("SELECT %s FROM %s WHERE %s%strue ORDER BY %s OFFSET $%d LIMIT 1",
												   key->list, target->from, range, target->restriction,
												   key->list, n + 1),
										  n + 1, walk->types);
	walk->find = hone_batch_prepare(psprintf("SELECT %s FROM %s WHERE %s%s(%s\n) ORDER BY %s%s",
											 key->list, target->from, range, target->restriction,
											 batch->condition, key->list,
											 key->ordered ? "" : psprintf(" LIMIT %d", MAX_COLLECTED)),
									n, walk->types);
	if (batch->options.skip_locked)
	{
		walk->lock = hone_batch_prepare(hone_batch_lock_sql(batch, range), n, walk->types);
		walk->change = hone_batch_prepare(hone_batch_change_sql(batch, "ctid OPERATOR(pg_catalog.=) ANY ($1) AND "),
										  1, list);
	}
	else
		walk->change = hone_batch_prepare(hone_batch_change_sql(batch, range), n, walk->types);
}

/* In a step, where locks may be waited for; after an error some are there. */
static void
need_statements(HoneBatch *batch, KeyWalk *walk)
{
	if (walk->change != NULL)
		return;
	drop_statements(walk);
	prepare_statements(batch, walk);
}

static void
set_types(KeyWalk *walk)
{
	for (int i = 0; i < walk->key->count; i++)
		walk->types[i] = walk->types[walk->key->count + i] = walk->key->types[i];
	walk->types[2 * walk->key->count] = INT8OID;
}

char *
hone_batch_key_sql(HoneBatch *batch, HoneBatchKey *key)
{
	KeyWalk		walk = {.key = key};

	set_types(&walk);
	prepare_statements(batch, &walk);
	drop_statements(&walk);
	return hone_batch_change_sql(batch, between(&walk));
}

/* Key number 'row' of the result, not copied. */
static Datum *
result_key(const KeyWalk *walk, uint64 row)
{
	Datum	   *values = palloc(walk->key->count * sizeof(Datum));

	for (int i = 0; i < walk->key->count; i++)
	{
		bool		isnull;

		values[i] = SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, i + 1, &isnull);
		if (isnull)
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("key column %s has a null", walk->key->names[i]),
					 errhint("Give the column a value in each row, and validate its constraint NOT NULL.")));
	}
	return values;
}

static void
put_bounds(const KeyWalk *walk, const Datum *until, Datum *values)
{
	memcpy(values, walk->last, walk->key->count * sizeof(Datum));
	memcpy(values + walk->key->count, until, walk->key->count * sizeof(Datum));
}

/* ------------------------------------------------------------------------
 * Where it begins and ends
 * ------------------------------------------------------------------------
 */

static Datum *
outermost(HoneBatch *batch, KeyWalk *walk, const char *order)
{
	char	   *sql = psprintf("SELECT %s FROM %s WHERE %strue ORDER BY %s LIMIT 1",
							   walk->key->list, batch->target.from, batch->target.restriction, order);
	MemoryContext old;
	Datum	   *found = NULL;

	if (SPI_execute(sql, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not find the first key");
	if (SPI_processed > 0)
	{
		old = MemoryContextSwitchTo(walk->position_context);
		found = hone_batch_key_copy(walk->key, result_key(walk, 0));
		MemoryContextSwitchTo(old);
	}
	SPI_freetuptable(SPI_tuptable);
	return found;
}

static ArrayType *
job_key(const KeyWalk *walk, const Datum *values)
{
	MemoryContext old = MemoryContextSwitchTo(hone_procedure_context());
	ArrayType  *array = hone_batch_key_out(walk->key, values);

	MemoryContextSwitchTo(old);
	return array;
}

/*
 * Where the job left off, or at the first row; 'last' is NULL if there is none.
 */
static void
attempt_begin(HoneBatch *batch, void *arg)
{
	KeyWalk    *walk = arg;
	HoneBatchJob *job = &batch->job;

	set_types(walk);
	job->last_block = -1;
	if (job->upper_key == NULL)
	{
		walk->upper = outermost(batch, walk, walk->key->descending);
		if (walk->upper == NULL)
			return;
		job->upper_key = job_key(walk, walk->upper);
		job->key = walk->key->identity;
		hone_batch_job_save(batch);
	}
	else if (job->key == NULL || strcmp(job->key, walk->key->identity) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the job walks \"%s\" by the key (%s), which is not there any more",
						get_rel_name(batch->target.relid), job->key ? job->key : ""),
				 errhint("Which rows it has changed is known by that key only: make it again, or forget the job with hone.forget_batch_job.")));
	else
		walk->upper = hone_batch_key_in(walk->key, job->upper_key);
	walk->first = job->last_key == NULL;
	walk->last = walk->first ? outermost(batch, walk, walk->key->list)
		: hone_batch_key_in(walk->key, job->last_key);
}

/*
 * The walk is now behind this key.
 */
static void
advance(HoneBatch *batch, KeyWalk *walk, const Datum *to)
{
	MemoryContext context = AllocSetContextCreate(hone_procedure_context(), "hone batch position",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	walk->last = hone_batch_key_copy(walk->key, to);
	walk->upper = hone_batch_key_copy(walk->key, walk->upper);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(walk->position_context);
	walk->position_context = context;
	if (walk->first)
	{
		/* other statements, with > for >= */
		walk->first = false;
		drop_statements(walk);
	}
}

/* ------------------------------------------------------------------------
 * A window
 * ------------------------------------------------------------------------
 */

static void
find_end(KeyWalk *walk)
{
	Datum		values[MAX_PARAMETERS];

	put_bounds(walk, walk->upper, values);
	values[2 * walk->key->count] = Int64GetDatum(walk->rows - 1);
	if (SPI_execute_plan(walk->window, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not look ahead");
	/* SPI leaves its own memory behind as the current one */
	MemoryContextSwitchTo(walk->window_context);
	walk->at_end = SPI_processed == 0;
	walk->until = hone_batch_key_copy(walk->key, walk->at_end ? walk->upper : result_key(walk, 0));
	SPI_freetuptable(SPI_tuptable);
}

static void
find_keys(HoneBatch *batch, KeyWalk *walk)
{
	Datum		values[MAX_PARAMETERS];

	put_bounds(walk, walk->until, values);
	if (SPI_execute_plan(walk->find, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not search the table");
	MemoryContextSwitchTo(walk->window_context);
	walk->matched = SPI_processed;
	walk->keys = MemoryContextAllocHuge(CurrentMemoryContext, Max(walk->matched, 1) * sizeof(Datum *));
	for (int i = 0; i < walk->matched; i++)
		walk->keys[i] = hone_batch_key_copy(walk->key, result_key(walk, i));
	SPI_freetuptable(SPI_tuptable);
}

static void
attempt_find(HoneBatch *batch, void *arg)
{
	KeyWalk    *walk = arg;
	MemoryContext old;

	MemoryContextReset(walk->window_context);
	old = MemoryContextSwitchTo(walk->window_context);
	walk->keys = NULL;
	walk->matched = walk->next = 0;

	/* what is left out if this fails before the window's end is known */
	walk->until = hone_batch_key_copy(walk->key, walk->upper);
	walk->at_end = true;

	need_statements(batch, walk);
	if (walk->key->ordered)
		find_end(walk);
	find_keys(batch, walk);
	if (!walk->key->ordered && walk->matched == MAX_COLLECTED)
	{
		walk->until = walk->keys[walk->matched - 1];
		walk->at_end = false;
	}
	MemoryContextSwitchTo(old);
}

static char *
describe_range(const KeyWalk *walk, const Datum *until)
{
	return psprintf("keys from %s%s to %s", walk->first ? "" : "behind ",
					hone_batch_key_show(hone_batch_key_out(walk->key, walk->last)),
					hone_batch_key_show(hone_batch_key_out(walk->key, until)));
}

static char *
describe_window(HoneBatch *batch, void *arg)
{
	KeyWalk    *walk = arg;

	return describe_range(walk, walk->until);
}

static void
attempt_change(HoneBatch *batch, void *arg)
{
	KeyWalk    *walk = arg;
	Datum		values[MAX_PARAMETERS];

	need_statements(batch, walk);
	put_bounds(walk, walk->batch_until, values);
	hone_batch_change(batch, walk->lock, walk->change, values, walk->count);
}

static void
note_position(HoneBatch *batch, const KeyWalk *walk, const Datum *to)
{
	if (batch->job.last_key != NULL)
		pfree(batch->job.last_key);
	batch->job.last_key = NULL;
	batch->job.last_key = job_key(walk, to);
}

/*
 * What part of the table's blocks so many rows of it are.
 */
static int64
blocks_of(const HoneBatch *batch, int64 rows)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(batch->target.relid));
	float4		all = -1;

	if (HeapTupleIsValid(tuple))
	{
		all = ((Form_pg_class) GETSTRUCT(tuple))->reltuples;
		ReleaseSysCache(tuple);
	}
	return all > 0 ? batch->target_blocks * Min(1.0, rows / all) : 0;
}

/*
 * A part of the window is walked.
 */
static void
note_walked(HoneBatch *batch, const KeyWalk *walk, double part)
{
	int64		rows = walk->key->ordered ? walk->rows : walk->matched;

	batch->job.walked = Min(batch->job.walked_leaf + batch->target_blocks,
							walk->walked + blocks_of(batch, rows * part));
}

static void
mark_change(HoneBatch *batch, void *arg)
{
	KeyWalk    *walk = arg;

	/* the old one is still needed should the step fail after this */
	batch->job.last_key = job_key(walk, walk->batch_until);
	note_walked(batch, walk, (double) walk->next / walk->matched);
}

static char *
describe_change(HoneBatch *batch, void *arg)
{
	KeyWalk    *walk = arg;

	return psprintf("%d rows with %s", walk->count, describe_range(walk, walk->batch_until));
}

static const HoneBatchStep begin_step = {attempt_begin, NULL, hone_batch_describe_all, false};
static const HoneBatchStep find_step = {attempt_find, NULL, describe_window, false};
static const HoneBatchStep change_step = {attempt_change, mark_change, describe_change, true};

static bool
change_batch(HoneBatch *batch, KeyWalk *walk)
{
	ArrayType  *before = batch->job.last_key;

	walk->count = Min(walk->matched - walk->next, batch->size);
	walk->next += walk->count;
	walk->batch_until = walk->keys[walk->next - 1];
	(void) hone_batch_make(batch, &change_step, walk);
	if (before != NULL)
		pfree(before);
	advance(batch, walk, walk->batch_until);
	return hone_batch_go_on(batch, true);
}

static int64
next_window(const HoneBatch *batch, const KeyWalk *walk)
{
	int64		rows = walk->rows;

	if (walk->matched > 2 * batch->size)
		rows /= 2;
	else if (walk->matched < batch->size / 2)
		rows *= 2;
	return Max(Max(MIN_WINDOW, batch->size), Min(MAX_WINDOW, rows));
}

static void
walk_windows(HoneBatch *batch, KeyWalk *walk)
{
	walk->rows = Max(MIN_WINDOW, batch->size);
	do
	{
		walk->walked = batch->job.walked;
		if (!hone_batch_make(batch, &find_step, walk))
			walk->matched = walk->next = 0;
		while (walk->next < walk->matched)
		{
			if (!change_batch(batch, walk))
				return;
		}
		note_position(batch, walk, walk->until);
		note_walked(batch, walk, 1);
		advance(batch, walk, walk->until);
		hone_batch_pass(batch);
		walk->rows = next_window(batch, walk);
	} while (!walk->at_end && hone_batch_go_on(batch, false));
}

void
hone_batch_walk_key(HoneBatch *batch, HoneBatchKey *key)
{
	KeyWalk		walk;

	memset(&walk, 0, sizeof(walk));
	walk.key = key;
	walk.position_context = AllocSetContextCreate(hone_procedure_context(), "hone batch position",
												  ALLOCSET_SMALL_SIZES);
	walk.window_context = AllocSetContextCreate(hone_procedure_context(), "hone batch window",
												ALLOCSET_DEFAULT_SIZES);
	PG_TRY();
	{
		if (hone_batch_make(batch, &begin_step, &walk) && walk.last != NULL)
			walk_windows(batch, &walk);
	}
	PG_FINALLY();
	{
		drop_statements(&walk);
	}
	PG_END_TRY();
	MemoryContextDelete(walk.window_context);
	MemoryContextDelete(walk.position_context);
}
