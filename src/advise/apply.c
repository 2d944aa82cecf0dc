/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Doing what a recommendation says: indexes built and dropped by a worker.
 *
 * hone.apply_recommendation() writes the command into hone._applied and
 * returns; the worker's task runs it at top level, as the table's owner. What
 * an index build that failed leaves is dropped before the next try and after
 * the last one. hone._measure_applied() compares the statements' latency.
 *
 * A crash leaves the row as it was when the try began: with the time of the
 * next try. No lock is held while a command runs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type_d.h"
#include "commands/defrem.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

#include "advise/recommend.h"
#include "common/own_tables.h"
#include "common/owner.h"
#include "common/procedure.h"
#include "common/task.h"
#include "common/toplevel.h"

/*
 * CREATE INDEX CONCURRENTLY waits for transactions that are older than it; who
 * leaves one open makes it try again later.
 */
#define PATIENCE_MS		(10 * 60 * 1000)

#define CREATE_INDEX	"CREATE INDEX CONCURRENTLY ON "
#define DROP_INDEX		"DROP INDEX CONCURRENTLY "
#define REINDEX_INDEX	"REINDEX INDEX CONCURRENTLY "

PG_FUNCTION_INFO_V1(hone_apply_recommendation);
PG_FUNCTION_INFO_V1(hone_run_applied);

/* Whoever asks for something wakes the launcher; this is for another try. */
static int	apply_interval = 60;

const HoneTask hone_apply_task = {
	.command = "CALL hone._run_applied()",
	.activity = "applying recommendations",
	.interval_s = &apply_interval,
	.workers = 2
};

/* ------------------------------------------------------------------------
 * Asking for it
 * ------------------------------------------------------------------------
 */

typedef struct Wanted
{
	int64		id;
	char	   *kind;
	Oid			relid;
	char	   *fix;
	char	   *index;			/* qualified name of the one it is about */
	char	   *undo;			/* the way back, or NULL */
} Wanted;

static bool
begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/*
 * A name that is free, for an index that the fix leaves to the server: an
 * invalid one can then be told from others.
 */
static void
name_new_index(Wanted *wanted)
{
	Oid			schema = get_rel_namespace(wanted->relid);
	char	   *name = ChooseRelationName(get_rel_name(wanted->relid), "hone", "idx", schema, false);

	wanted->index = quote_qualified_identifier(get_namespace_name(schema), name);
	wanted->fix = psprintf("CREATE INDEX CONCURRENTLY %s ON %s", quote_identifier(name),
						   wanted->fix + strlen(CREATE_INDEX));
	wanted->undo = psprintf("DROP INDEX CONCURRENTLY %s", wanted->index);
}

static Oid
oid_of(const char *qualified_name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(qualified_name));

	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
}

/* The definition of the index that goes is the way back. */
static void
note_old_index(Wanted *wanted, bool drops)
{
	Oid			oid;

	wanted->index = pstrdup(wanted->fix + strlen(drops ? DROP_INDEX : REINDEX_INDEX));
	oid = oid_of(wanted->index);
	if (drops && OidIsValid(oid))
		wanted->undo = TextDatumGetCString(DirectFunctionCall1(pg_get_indexdef, ObjectIdGetDatum(oid)));
}

static void
understand(Wanted *wanted)
{
	char	   *end = wanted->fix != NULL ? strrchr(wanted->fix, ';') : NULL;

	if (end != NULL && end[1] == '\0')
		*end = '\0';
	if (wanted->fix != NULL && OidIsValid(wanted->relid) && strchr(wanted->fix, ';') == NULL)
	{
		if (begins(wanted->fix, CREATE_INDEX))
		{
			name_new_index(wanted);
			return;
		}
		if (begins(wanted->fix, DROP_INDEX) || begins(wanted->fix, REINDEX_INDEX))
		{
			note_old_index(wanted, begins(wanted->fix, DROP_INDEX));
			return;
		}
	}
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("recommendation " INT64_FORMAT " (%s) cannot be applied for you", wanted->id, wanted->kind),
			 errdetail("Indexes are created, dropped and rebuilt CONCURRENTLY; other changes are yours to make."),
			 wanted->fix != NULL ? errhint("Its fix is: %s", wanted->fix) : 0));
}

static void
find_recommendation(Wanted *wanted)
{
	Oid			types[] = {INT8OID};
	Datum		values[1];

	values[0] = Int64GetDatum(wanted->id);
	if (SPI_execute_with_args("SELECT kind, relation::oid, fix FROM hone._all_recommendations()"
							  " WHERE id OPERATOR(pg_catalog.=) $1",
							  1, types, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "recommendations could not be read");
	if (SPI_processed == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("recommendation " INT64_FORMAT " does not exist", wanted->id),
				 errhint("SELECT id, summary FROM hone.recommendations lists them.")));
	wanted->kind = hone_result_text(0, 1);
	wanted->relid = hone_result_oid(0, 2);
	wanted->fix = hone_result_text(0, 3);
}

/*
 * hone.apply_recommendation(id bigint)
 */
Datum
hone_apply_recommendation(PG_FUNCTION_ARGS)
{
	Wanted		wanted = {0};
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, OIDOID};
	Datum		values[5];
	char		nulls[] = "     ";

	hone_require_script();
	hone_require_preload("hone.apply_recommendation");
	PreventCommandDuringRecovery("hone.apply_recommendation");
	PreventCommandIfReadOnly("hone.apply_recommendation");
	wanted.id = PG_GETARG_INT64(0);
	SPI_connect();
	find_recommendation(&wanted);
	if (OidIsValid(wanted.relid))
		hone_require_owner(wanted.relid, GetUserId());
	understand(&wanted);

	values[0] = Int64GetDatum(wanted.id);
	values[1] = CStringGetTextDatum(wanted.fix);
	values[2] = CStringGetTextDatum(wanted.index);
	values[3] = wanted.undo != NULL ? CStringGetTextDatum(wanted.undo) : (Datum) 0;
	nulls[3] = wanted.undo != NULL ? ' ' : 'n';
	values[4] = ObjectIdGetDatum(GetUserId());
	if (hone_own_run("INSERT INTO hone._applied AS a (id, kind, relation, summary, queryids, fix, index, undo, requested_by)"
					 " SELECT r.id, r.kind, r.relation, r.summary, hone._queryids_of(r.queryid, r.evidence), $2, $3, $4, $5"
					 " FROM hone._all_recommendations() r WHERE r.id OPERATOR(pg_catalog.=) $1"
					 " ON CONFLICT (id) DO UPDATE SET fix = excluded.fix, index = excluded.index, undo = excluded.undo,"
					 "  summary = excluded.summary, queryids = excluded.queryids, requested_by = excluded.requested_by,"
					 "  requested_at = pg_catalog.now(), attempts = 0, retry_at = NULL, started_at = NULL, finished_at = NULL,"
					 "  error = NULL, sqlstate = NULL, before = NULL, after = NULL, measured_at = NULL"
					 " WHERE a.finished_at IS NOT NULL",
					 5, types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("recommendation " INT64_FORMAT " is being applied already", wanted.id),
				 errhint("hone.applied_recommendations shows how far it is.")));
	SPI_finish();
	hone_task_want(&hone_apply_task);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Doing it
 * ------------------------------------------------------------------------
 */

typedef struct Due
{
	int64		id;
	Oid			relid;
	char	   *fix;
	char	   *index;
} Due;

/*
 * The next one, marked as begun: should this process end, it is tried again
 * when an hour is over. Copied into the procedure's memory.
 */
static bool
take_next(Due *due)
{
	MemoryContext old;

	if (!hone_hold_extension())
		return false;
	hone_own_run("UPDATE hone._applied SET started_at = pg_catalog.now(), attempts = attempts OPERATOR(pg_catalog.+) 1,"
				 " retry_at = pg_catalog.now() OPERATOR(pg_catalog.+) interval '1 hour',"
				 " before = coalesce(before, hone._latency_of(queryids, requested_at OPERATOR(pg_catalog.-) interval '1 day', requested_at))"
				 " WHERE id OPERATOR(pg_catalog.=) (SELECT id FROM hone._applied WHERE finished_at IS NULL"
				 "  AND (retry_at OPERATOR(pg_catalog.<=) pg_catalog.now()) IS NOT FALSE ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
				 " RETURNING id, relation::oid, fix, index", 0, NULL, NULL, NULL);
	if (SPI_processed == 0)
		return false;
	old = MemoryContextSwitchTo(hone_procedure_context());
	due->id = hone_result_integer(0, 1);
	due->relid = hone_result_oid(0, 2);
	due->fix = pstrdup(hone_result_text(0, 3));
	due->index = pstrdup(hone_result_text(0, 4));
	MemoryContextSwitchTo(old);
	return true;
}

/* Is there an invalid index of this name on this table, and no other? */
static bool
is_leftover(const Due *due)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(oid_of(due->index)));
	bool		invalid = false;

	if (HeapTupleIsValid(tuple))
	{
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

		invalid = index->indrelid == due->relid && !index->indisvalid;
		ReleaseSysCache(tuple);
	}
	return invalid;
}

static char *
run_command(const Due *due, const char *command, int *sqlstate)
{
	Oid			owner = hone_relation_owner(due->relid);

	hone_procedure_commit();
	if (!OidIsValid(owner))
	{
		*sqlstate = ERRCODE_UNDEFINED_TABLE;
		return pstrdup("the table was dropped");
	}
	return hone_toplevel_run(MyDatabaseId, owner, command, hone_lock_timeout_ms(), PATIENCE_MS, sqlstate);
}

static void
drop_leftover(const Due *due)
{
	int			sqlstate;

	/* to see what the command has done */
	hone_procedure_commit();
	if (begins(due->fix, "CREATE INDEX CONCURRENTLY ") && is_leftover(due))
		(void) run_command(due, psprintf("DROP INDEX CONCURRENTLY IF EXISTS %s", due->index), &sqlstate);
}

/* Worth another try: somebody was in the way, or something was short. */
static bool
may_pass(int sqlstate)
{
	int			category = ERRCODE_TO_CATEGORY(sqlstate);

	return sqlstate == 0 || category == ERRCODE_INSUFFICIENT_RESOURCES ||
		category == ERRCODE_OPERATOR_INTERVENTION || category == ERRCODE_TRANSACTION_ROLLBACK ||
		sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_OBJECT_IN_USE;
}

static void
note_end(const Due *due, const char *error, int sqlstate)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, BOOLOID};
	Datum		values[4];
	char		nulls[] = "    ";

	if (!hone_hold_extension())
		return;
	values[0] = Int64GetDatum(due->id);
	values[1] = error != NULL ? CStringGetTextDatum(error) : (Datum) 0;
	nulls[1] = error != NULL ? ' ' : 'n';
	values[2] = CStringGetTextDatum(unpack_sql_state(sqlstate));
	nulls[2] = error != NULL && sqlstate != 0 ? ' ' : 'n';
	values[3] = BoolGetDatum(error != NULL && may_pass(sqlstate));
	/* after 1, 2, 4 ... minutes, ten times in all */
	hone_own_run("UPDATE hone._applied SET error = $2, sqlstate = $3,"
				 " finished_at = CASE WHEN $4 AND attempts OPERATOR(pg_catalog.<) 10 THEN NULL ELSE pg_catalog.now() END,"
				 " retry_at = CASE WHEN $4 AND attempts OPERATOR(pg_catalog.<) 10"
				 "  THEN pg_catalog.now() OPERATOR(pg_catalog.+) (interval '1 minute' OPERATOR(pg_catalog.*) (2 OPERATOR(pg_catalog.^) (attempts OPERATOR(pg_catalog.-) 1))) END"
				 " WHERE id OPERATOR(pg_catalog.=) $1", 4, types, values, nulls);
	hone_procedure_commit();
}

/*
 * hone._run_applied(): a worker's task.
 */
Datum
hone_run_applied(PG_FUNCTION_ARGS)
{
	Due			due;

	hone_require_script();
	hone_procedure_begin(fcinfo, "hone._run_applied");
	if (!RecoveryInProgress())
	{
		while (take_next(&due))
		{
			char	   *error;
			int			sqlstate;

			CHECK_FOR_INTERRUPTS();
			drop_leftover(&due);
			error = run_command(&due, due.fix, &sqlstate);
			if (error != NULL)
				drop_leftover(&due);
			note_end(&due, error, sqlstate);
		}
		if (hone_hold_extension())
			hone_own_run("SELECT hone._measure_applied()", 0, NULL, NULL, NULL);
	}
	hone_procedure_commit();
	hone_procedure_end();
	PG_RETURN_VOID();
}
