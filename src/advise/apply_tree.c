/*-------------------------------------------------------------------------
 *
 * apply_tree.c
 *	  An index on a partitioned table, without keeping writers out.
 *
 * The table and its partitioned partitions get an index that is invalid at
 * first, each other partition one CONCURRENTLY, which is then attached. What
 * is still to be done is read from the catalogs (hone._index_steps), again and
 * again: so it does not matter where a try ended, nor what partitions came and
 * went since. A partition that is in the way does not hold up the others.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type_d.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "advise/apply.h"
#include "common/hone.h"
#include "common/own_tables.h"
#include "common/procedure.h"

/* Looks at the catalogs: one suffices where partitions do not come and go. */
#define MAX_PASSES		20

/* What a table of the tree lacks. */
typedef struct Step
{
	Oid			relid;
	Oid			parent;
	char	   *name;
	bool		leaf;
	char	   *clear;			/* commands, or NULL */
	char	   *make;
	char	   *attach;
} Step;

typedef struct Progress
{
	int64		partitions;
	int64		done;
	bool		moved;			/* in this pass */
} Progress;

static int
read_obstacles(Oid relid, Oid role, char **foreign_table, char **superusers)
{
	Oid			types[] = {OIDOID, OIDOID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(relid);
	values[1] = ObjectIdGetDatum(role);
	hone_own_run("SELECT foreign_table, superusers FROM hone._index_obstacle($1, $2)", 2, types, values, NULL);
	*foreign_table = hone_result_text(0, 1);
	*superusers = hone_result_text(0, 2);
	return *foreign_table != NULL || *superusers != NULL;
}

void
hone_apply_check_tree(Oid relid, Oid role)
{
	char	   *foreign_table;
	char	   *superusers;

	if (!read_obstacles(relid, role, &foreign_table, &superusers))
		return;
	if (foreign_table != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("partition %s is a foreign table, which can have no index", foreign_table),
				 errhint("The fix of the recommendation leaves it out: run it yourself, it ends with a lock that writers wait for.")));
	ereport(ERROR,
			(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			 errmsg("partition %s belongs to a superuser, the partitioned table does not", superusers),
			 errhint("Have the partition's owner changed to that of the table, or a superuser ask for it.")));
}

/* In the current context. */
static Step *
new_step(uint64 row)
{
	Step	   *step = palloc(sizeof(Step));

	step->relid = hone_result_oid(row, 1);
	step->parent = hone_result_oid(row, 2);
	step->name = hone_result_text(row, 3);
	step->leaf = strcmp(hone_result_text(row, 4), "t") == 0;
	step->clear = hone_result_text(row, 5);
	step->make = hone_result_text(row, 6);
	step->attach = hone_result_text(row, 7);
	return step;
}

/* In the procedure's memory. */
static List *
list_steps(const HoneDue *due)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[4];
	List	   *steps = NIL;
	uint64		rows;
	MemoryContext old;

	/* to see what the commands have done */
	hone_procedure_commit();
	if (!hone_hold_extension())
		return NIL;
	values[0] = ObjectIdGetDatum(due->relid);
	values[1] = CStringGetTextDatum(due->index);
	values[2] = CStringGetTextDatum(due->definition);
	values[3] = CStringGetTextDatum(hone_apply_prefix(due->id));
	rows = hone_own_run("SELECT oid, parent, name, leaf, clear, make, attach FROM hone._index_steps($1, $2, $3, $4)",
						4, types, values, NULL);
	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < rows; i++)
		steps = lappend(steps, new_step(i));
	MemoryContextSwitchTo(old);
	return steps;
}

/*
 * Shown to whoever waits for it. A partition that got its index makes the try
 * count as the first one, and an end of the server in the midst of the next one
 * be found an hour from now.
 */
static void
note_progress(const HoneDue *due, const Progress *progress)
{
	Oid			types[] = {INT8OID, INT8OID, INT8OID, BOOLOID};
	Datum		values[4];

	hone_procedure_commit();
	if (!hone_hold_extension())
		return;
	values[0] = Int64GetDatum(due->id);
	values[1] = Int64GetDatum(progress->partitions);
	values[2] = Int64GetDatum(progress->done);
	values[3] = BoolGetDatum(progress->moved);
	hone_own_run("UPDATE hone._applied SET partitions = $2, partitions_done = $3,"
				 " attempts = CASE WHEN $4 THEN 1 ELSE attempts END, retry_at = pg_catalog.now() OPERATOR(pg_catalog.+) interval '1 hour'"
				 " WHERE id OPERATOR(pg_catalog.=) $1", 4, types, values, NULL);
	hone_procedure_commit();
}

static void
count_partitions(const HoneDue *due, List *steps, Progress *progress)
{
	ListCell   *lc;

	hone_own_run_oid("SELECT pg_catalog.count(*) FROM hone._tree($1) t JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t"
					 " WHERE c.relkind OPERATOR(pg_catalog.=) 'r'", due->relid);
	progress->partitions = progress->done = hone_result_integer(0, 1);
	foreach(lc, steps)
		progress->done -= ((Step *) lfirst(lc))->leaf ? 1 : 0;
	progress->moved = false;
}

static char *
take_step(const Step *step, Progress *progress, int *sqlstate)
{
	char	   *error = NULL;

	/* a partitioned index is a matter of a moment, one of a partition is not */
	if (step->clear != NULL)
		error = step->leaf || step->make == NULL ? hone_apply_command(step->relid, step->clear, sqlstate) :
			hone_apply_brief(step->relid, step->clear, sqlstate);
	if (error == NULL && step->make != NULL)
	{
		error = step->leaf ? hone_apply_command(step->relid, step->make, sqlstate) :
			hone_apply_brief(step->relid, step->make, sqlstate);
		progress->moved |= error == NULL;
	}
	if (error == NULL && step->attach != NULL)
	{
		error = hone_apply_brief(step->parent, step->attach, sqlstate);
		progress->moved |= error == NULL;
	}
	return error != NULL ? psprintf("%s: %s", step->name, error) : NULL;
}

static bool
is_whole_to_be_made(List *steps)
{
	ListCell   *lc;

	foreach(lc, steps)
	{
		const Step *step = lfirst(lc);

		if (!step->leaf && step->make != NULL)
			return true;
	}
	return false;
}

/*
 * The first error of a pass, or NULL. Where indexes of partitioned tables are
 * still to be made it is these only: what partitions have already is known by
 * them.
 */
static char *
take_steps(const HoneDue *due, List *steps, Progress *progress, int *sqlstate)
{
	bool		whole = is_whole_to_be_made(steps);
	char	   *first = NULL;
	ListCell   *lc;

	foreach(lc, steps)
	{
		const Step *step = lfirst(lc);
		int			state;
		char	   *error;

		if (whole && (step->leaf || step->make == NULL))
			continue;
		error = take_step(step, progress, &state);

		if (error != NULL && first == NULL)
		{
			first = MemoryContextStrdup(hone_procedure_context(), error);
			*sqlstate = state;
		}
		if (error == NULL && step->leaf)
			progress->done++;
		note_progress(due, progress);
	}
	return first;
}

/* Invalid ones that cannot be gone on with. */
static void
clear_leftovers(const HoneDue *due)
{
	List	   *steps = list_steps(due);
	ListCell   *lc;

	foreach(lc, steps)
	{
		const Step *step = lfirst(lc);
		int			sqlstate;

		if (step->clear != NULL && (step->leaf || step->make == NULL))
			(void) hone_apply_command(step->relid, step->clear, &sqlstate);
	}
}

static bool
is_valid(const HoneDue *due)
{
	return hone_own_run_text("SELECT FROM pg_catalog.pg_index WHERE indexrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass($1) AND indisvalid",
							 due->index) == 1;
}

char *
hone_apply_tree(const HoneDue *due, int *sqlstate)
{
	char	   *error = NULL;
	char	   *foreign_table;
	char	   *superusers;

	if (read_obstacles(due->relid, due->requested_by, &foreign_table, &superusers))
	{
		*sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
		return psprintf(foreign_table != NULL ? "partition %s is a foreign table, which can have no index" :
						"partition %s belongs to a superuser, the partitioned table does not",
						foreign_table != NULL ? foreign_table : superusers);
	}
	for (int pass = 0; pass < MAX_PASSES; pass++)
	{
		List	   *steps = list_steps(due);
		Progress	progress;

		if (steps == NIL && is_valid(due))
			return NULL;
		if (steps == NIL)
		{
			error = pstrdup("the index is not valid yet, though no partition lacks it");
			break;
		}
		count_partitions(due, steps, &progress);
		note_progress(due, &progress);
		error = take_steps(due, steps, &progress, sqlstate);
		/* what is gone is not listed again */
		if (error != NULL && !progress.moved && *sqlstate != ERRCODE_UNDEFINED_TABLE && *sqlstate != ERRCODE_UNDEFINED_OBJECT)
		{
			clear_leftovers(due);
			return error;
		}
	}
	*sqlstate = 0;
	return error != NULL ? error : pstrdup("partitions come and go");
}
