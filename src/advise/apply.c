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
#include "catalog/pg_index.h"
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

#include "advise/apply.h"
#include "common/own_tables.h"
#include "common/owner.h"
#include "common/procedure.h"
#include "common/sleep.h"
#include "common/task.h"
#include "common/toplevel.h"

/*
 * CREATE INDEX CONCURRENTLY waits for transactions that are older than it; who
 * leaves one open makes it try again later.
 */
#define PATIENCE_MS		(10 * 60 * 1000)

#define CREATE_INDEX	"CREATE INDEX CONCURRENTLY ON "
#define DROP_INDEX		"DROP INDEX "
#define DROP_PLAIN		"DROP INDEX CONCURRENTLY "
#define REINDEX_INDEX	"REINDEX INDEX CONCURRENTLY "

/* Of a partitioned table, as hone._drop_index() writes it. */
#define BRIEF_BEGIN		"BEGIN;\nSET LOCAL lock_timeout = '2s';\n"
#define BRIEF_END		";\nCOMMIT;"

#define BRIEF_TRIES		10
#define BRIEF_PAUSE_MS	5000	/* the longest between two */

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
	char	   *summary;
	char	   *fix;
	char	   *queryids;		/* as an array's text */
	char	   *index;			/* qualified name of the one it is about */
	Oid			index_oid;		/* InvalidOid: it is to be made */
	char	   *undo;			/* the way back, or NULL */
	char	   *definition;		/* of an index on a partitioned table, or NULL */
	char	   *suffix;			/* of a new index' command, behind its name */
} Wanted;

static bool
begins(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static Oid
oid_of(const char *qualified_name)
{
	List	   *names = textToQualifiedNameList(cstring_to_text(qualified_name));

	return RangeVarGetRelid(makeRangeVarFromNameList(names), NoLock, true);
}

/* The index's table, and whether it is valid; InvalidOid: there is no such index. */
static Oid
table_of(Oid index_oid, bool *valid)
{
	HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(index_oid));
	Oid			relid = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		relid = ((Form_pg_index) GETSTRUCT(tuple))->indrelid;
		*valid = ((Form_pg_index) GETSTRUCT(tuple))->indisvalid;
		ReleaseSysCache(tuple);
	}
	return relid;
}

char *
hone_apply_prefix(int64 id)
{
	return psprintf("hone_%06x_", (uint32) id & 0xFFFFFF);
}

/* Has an earlier request for the same left it unfinished? */
static bool
is_unfinished(const Wanted *wanted, const char *name)
{
	Oid			index = get_relname_relid(name, get_rel_namespace(wanted->relid));
	bool		valid = true;

	return OidIsValid(index) && table_of(index, &valid) == wanted->relid && !valid;
}

/*
 * A name that is free, and of no other recommendation, for an index that the
 * fix leaves to the server: an invalid one can then be told from others.
 */
static void
name_new_index(Wanted *wanted)
{
	Oid			schema = get_rel_namespace(wanted->relid);
	char	   *table = hone_require_relation(wanted->relid);
	char	   *ours = psprintf("hone_%06x", (uint32) wanted->id & 0xFFFFFF);
	char	   *name = makeObjectName(table, ours, "idx");

	if (wanted->definition == NULL || !is_unfinished(wanted, name))
		name = ChooseRelationName(table, ours, "idx", schema, false);
	wanted->index = quote_qualified_identifier(get_namespace_name(schema), name);
	if (wanted->definition != NULL)
	{
		wanted->suffix = psprintf(" ON ONLY %s %s", hone_qualified_name(wanted->relid), wanted->definition);
		wanted->fix = psprintf("CREATE INDEX %s%s", quote_identifier(name), wanted->suffix);
		wanted->undo = psprintf(BRIEF_BEGIN DROP_INDEX "%s" BRIEF_END, wanted->index);
		return;
	}
	wanted->suffix = psprintf(" ON %s", wanted->fix + strlen(CREATE_INDEX));
	wanted->fix = psprintf("CREATE INDEX CONCURRENTLY %s%s", quote_identifier(name), wanted->suffix);
	wanted->undo = psprintf(DROP_PLAIN "%s", wanted->index);
}

/* The definition of the index that goes is the way back. */
static void
note_old_index(Wanted *wanted, bool drops)
{
	const char *prefix = !drops ? REINDEX_INDEX : begins(wanted->fix, DROP_PLAIN) ? DROP_PLAIN : DROP_INDEX;

	wanted->index = pstrdup(wanted->fix + strlen(prefix));
	wanted->index_oid = oid_of(wanted->index);
	if (!OidIsValid(wanted->index_oid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("index %s does not exist any more", wanted->index)));
	if (!drops)
		return;
	if (hone_own_run_oid("SELECT hone._index_undo($1)", wanted->index_oid) == 1)
		wanted->undo = hone_result_text(0, 1);
	if (wanted->undo == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("the table is locked, so the index cannot be looked at"),
				 errhint("Call hone.apply_recommendation() again when the lock is gone.")));
}

static void
understand(Wanted *wanted)
{
	char	   *end;

	if (wanted->definition != NULL && OidIsValid(wanted->relid) &&
		get_rel_relkind(wanted->relid) == RELKIND_PARTITIONED_TABLE &&
		strlen(wanted->definition) < HONE_TOPLEVEL_SQL_MAX - NAMEDATALEN * 8)
	{
		hone_apply_check_tree(wanted->relid, GetUserId());
		name_new_index(wanted);
		return;
	}
	wanted->definition = NULL;
	if (wanted->fix != NULL && begins(wanted->fix, BRIEF_BEGIN))
	{
		wanted->fix += strlen(BRIEF_BEGIN);
		end = wanted->fix + strlen(wanted->fix) - strlen(BRIEF_END);
		if (end > wanted->fix && strcmp(end, BRIEF_END) == 0)
			*end = '\0';
	}
	end = wanted->fix != NULL ? strrchr(wanted->fix, ';') : NULL;
	if (end != NULL && end[1] == '\0')
		*end = '\0';
	if (wanted->fix != NULL && OidIsValid(wanted->relid) && strchr(wanted->fix, ';') == NULL &&
		strlen(wanted->fix) + NAMEDATALEN * 3 < HONE_TOPLEVEL_SQL_MAX)
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
			 errdetail("Indexes are created, dropped and rebuilt; other changes are yours to make."),
			 wanted->fix != NULL ? errhint("Its fix is: %s", wanted->fix) : 0));
}

/* As the caller sees it. */
static void
find_recommendation(Wanted *wanted)
{
	Oid			types[] = {INT8OID};
	Datum		values[1];

	values[0] = Int64GetDatum(wanted->id);
	if (SPI_execute_with_args("SELECT kind, relation::oid, fix, summary, queryid, evidence OPERATOR(pg_catalog.->) 'queryids',"
							  " evidence OPERATOR(pg_catalog.->>) 'on_each_partition'"
							  " FROM hone._all_recommendations() WHERE id OPERATOR(pg_catalog.=) $1",
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
	wanted->summary = hone_result_text(0, 4);
	wanted->queryids = hone_result_text(0, 6);
	wanted->definition = hone_result_text(0, 7);
	if (wanted->queryids == NULL)
		wanted->queryids = hone_result_text(0, 5) != NULL ? psprintf("[%s]", hone_result_text(0, 5)) : "[]";
}

/*
 * Recommendations of statements that one index serves have the same fix: it is
 * done once.
 */
static bool
is_another_ones(const Wanted *wanted)
{
	Oid			types[] = {INT8OID, OIDOID, TEXTOID, TEXTOID};
	Datum		values[lengthof(types)];
	char		nulls[] = "    ";

	if (OidIsValid(wanted->index_oid))
		return false;
	values[0] = Int64GetDatum(wanted->id);
	values[1] = ObjectIdGetDatum(wanted->relid);
	values[2] = CStringGetTextDatum(wanted->suffix);
	values[3] = wanted->definition != NULL ? CStringGetTextDatum(wanted->definition) : (Datum) 0;
	nulls[3] = wanted->definition != NULL ? ' ' : 'n';
	if (hone_own_run("SELECT a.id FROM hone._applied a JOIN pg_catalog.pg_index x ON a.finished_at IS NULL OR x.indexrelid OPERATOR(pg_catalog.=) pg_catalog.to_regclass(a.index) AND x.indisvalid"
					 " WHERE a.id OPERATOR(pg_catalog.<>) $1 AND a.relation::oid OPERATOR(pg_catalog.=) $2 AND a.index_oid IS NULL"
					 "  AND pg_catalog.right(a.fix, pg_catalog.length($3)) OPERATOR(pg_catalog.=) $3 AND a.definition IS NOT DISTINCT FROM $4"
					 "  AND (a.finished_at IS NULL OR a.error IS NULL) LIMIT 1", lengthof(types), types, values, nulls) == 0)
		return false;
	ereport(NOTICE,
			(errmsg("the index of recommendation " INT64_FORMAT " is that of recommendation " INT64_FORMAT ", which is being applied or was",
					wanted->id, hone_result_integer(0, 1))));
	return true;
}

static void
queue(const Wanted *wanted)
{
	Oid			types[] = {INT8OID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, OIDOID, TEXTOID, OIDOID, TEXTOID};
	Datum		values[lengthof(types)];
	char		nulls[] = "           ";

	values[0] = Int64GetDatum(wanted->id);
	values[1] = CStringGetTextDatum(wanted->kind);
	values[2] = ObjectIdGetDatum(wanted->relid);
	values[3] = CStringGetTextDatum(wanted->summary);
	values[4] = CStringGetTextDatum(wanted->queryids);
	values[5] = CStringGetTextDatum(wanted->fix);
	values[6] = CStringGetTextDatum(wanted->index);
	values[7] = ObjectIdGetDatum(wanted->index_oid);
	nulls[7] = OidIsValid(wanted->index_oid) ? ' ' : 'n';
	values[8] = wanted->undo != NULL ? CStringGetTextDatum(wanted->undo) : (Datum) 0;
	nulls[8] = wanted->undo != NULL ? ' ' : 'n';
	values[9] = ObjectIdGetDatum(GetUserId());
	values[10] = wanted->definition != NULL ? CStringGetTextDatum(wanted->definition) : (Datum) 0;
	nulls[10] = wanted->definition != NULL ? ' ' : 'n';
	if (hone_own_run("INSERT INTO hone._applied AS a (id, kind, relation, summary, queryids, fix, index, index_oid, undo, requested_by, definition)"
					 " VALUES ($1, $2, $3::regclass, $4, hone._queryids_of($5::jsonb), $6, $7, $8, $9, $10, $11)"
					 " ON CONFLICT (id) DO UPDATE SET fix = excluded.fix, index = excluded.index, index_oid = excluded.index_oid,"
					 "  undo = excluded.undo, summary = excluded.summary, queryids = excluded.queryids, requested_by = excluded.requested_by,"
					 "  definition = excluded.definition, partitions = NULL, partitions_done = NULL,"
					 "  requested_at = pg_catalog.now(), attempts = 0, running = false, retry_at = NULL, started_at = NULL, finished_at = NULL,"
					 "  error = NULL, sqlstate = NULL, before = NULL, after = NULL, measured_at = NULL"
					 " WHERE a.finished_at IS NOT NULL",
					 lengthof(types), types, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("recommendation " INT64_FORMAT " is being applied already", wanted->id),
				 errhint("hone.applied_recommendations shows how far it is; hone.dismiss_recommendation() withdraws it before its next try.")));
}

/*
 * hone.apply_recommendation(id bigint)
 */
Datum
hone_apply_recommendation(PG_FUNCTION_ARGS)
{
	Wanted		wanted = {0};

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
	if (!is_another_ones(&wanted))
		queue(&wanted);
	SPI_finish();
	hone_task_want(&hone_apply_task);
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Doing it
 * ------------------------------------------------------------------------
 */

/*
 * What was withdrawn, and what a crash ended too often: once might have been an
 * accident.
 */
static void
give_up_some(void)
{
	hone_own_run("UPDATE hone._applied a SET finished_at = pg_catalog.now(), running = false, sqlstate = NULL,"
				 " error = CASE WHEN running THEN 'the server or its worker ended in the midst of it' ELSE 'the recommendation was dismissed' END"
				 " WHERE finished_at IS NULL AND (retry_at OPERATOR(pg_catalog.<=) pg_catalog.now()) IS NOT FALSE"
				 "  AND (running AND attempts OPERATOR(pg_catalog.>=) 3"
				 "   OR NOT running AND EXISTS (SELECT FROM hone.dismissed_recommendations d WHERE d.id OPERATOR(pg_catalog.=) a.id))",
				 0, NULL, NULL, NULL);
}

/*
 * The next one, marked as begun: should this process end, it is tried again
 * when an hour is over. Copied into the procedure's memory.
 */
static bool
take_next(HoneDue *due)
{
	MemoryContext old;

	if (!hone_hold_extension())
		return false;
	give_up_some();
	hone_own_run("UPDATE hone._applied SET started_at = pg_catalog.now(), attempts = attempts OPERATOR(pg_catalog.+) 1, running = true,"
				 " retry_at = pg_catalog.now() OPERATOR(pg_catalog.+) interval '1 hour',"
				 " before = coalesce(before, hone._latency_of(queryids, requested_at OPERATOR(pg_catalog.-) interval '1 day', requested_at))"
				 " WHERE id OPERATOR(pg_catalog.=) (SELECT id FROM hone._applied WHERE finished_at IS NULL"
				 "  AND (retry_at OPERATOR(pg_catalog.<=) pg_catalog.now()) IS NOT FALSE ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED)"
				 " RETURNING id, relation::oid, fix, index, index_oid, definition, requested_by", 0, NULL, NULL, NULL);
	if (SPI_processed == 0)
		return false;
	old = MemoryContextSwitchTo(hone_procedure_context());
	due->id = hone_result_integer(0, 1);
	due->relid = hone_result_oid(0, 2);
	due->fix = hone_result_text(0, 3);
	due->index = hone_result_text(0, 4);
	due->index_oid = hone_result_oid(0, 5);
	due->definition = hone_result_text(0, 6);
	due->requested_by = hone_result_oid(0, 7);
	MemoryContextSwitchTo(old);
	return true;
}

/*
 * Others may have renamed and dropped indexes since somebody asked for it. What
 * drops one also has to be recommended still: its twin may be gone.
 */
static const char *
objection(const HoneDue *due)
{
	bool		valid = false;
	Oid			types[] = {INT8OID};
	Datum		values[1];

	if (!OidIsValid(due->index_oid))
		return NULL;
	if (oid_of(due->index) != due->index_oid || table_of(due->index_oid, &valid) != due->relid)
		return "the index is not the one that was meant";
	values[0] = Int64GetDatum(due->id);
	if (begins(due->fix, DROP_INDEX) && valid &&
		hone_own_run("SELECT FROM hone._made_recommendations() WHERE id OPERATOR(pg_catalog.=) $1", 1, types, values, NULL) == 0)
		return "it is not recommended any more";
	return NULL;
}

static char *
run_command(Oid relid, const char *command, int patience_ms, int *sqlstate)
{
	Oid			owner = hone_relation_owner(relid);

	hone_procedure_commit();
	if (!OidIsValid(owner))
	{
		*sqlstate = ERRCODE_UNDEFINED_TABLE;
		return pstrdup("the table was dropped");
	}
	return hone_toplevel_run(MyDatabaseId, owner, command, hone_lock_timeout_ms(), patience_ms, sqlstate);
}

char *
hone_apply_command(Oid relid, const char *command, int *sqlstate)
{
	return run_command(relid, command, PATIENCE_MS, sqlstate);
}

/* Others queue behind it while it waits, so it gives way in between. */
char *
hone_apply_brief(Oid relid, const char *command, int *sqlstate)
{
	int			pause_ms = 2 * hone_lock_timeout_ms();

	for (int tries = 1;; tries++)
	{
		char	   *error = run_command(relid, command, 0, sqlstate);

		if (error == NULL || *sqlstate != ERRCODE_LOCK_NOT_AVAILABLE || tries == BRIEF_TRIES)
			return error;
		hone_procedure_commit();
		(void) hone_sleep(Min(pause_ms, BRIEF_PAUSE_MS) * INT64CONST(1000));
		pause_ms *= 2;
	}
}

/*
 * Invalid indexes that a try has left: that of its name, or those that REINDEX
 * names so. Returns the names of those that could not be dropped, or NULL.
 */
static char *
drop_leftovers(const HoneDue *due)
{
	Oid			types[] = {OIDOID, TEXTOID, BOOLOID};
	Datum		values[3];
	List	   *found = NIL;
	char	   *left = NULL;
	MemoryContext old;
	ListCell   *lc;

	if (begins(due->fix, DROP_INDEX))
		return NULL;
	/* to see what the command has done */
	hone_procedure_commit();
	if (!hone_hold_extension())
		return NULL;
	values[0] = ObjectIdGetDatum(due->relid);
	values[1] = CStringGetTextDatum(due->index);
	values[2] = BoolGetDatum(begins(due->fix, REINDEX_INDEX));
	hone_own_run("SELECT x.name FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) i.indexrelid,"
				 "  LATERAL (SELECT pg_catalog.format('%I.%I', c.relnamespace::pg_catalog.regnamespace::text, c.relname) AS name,"
				 "    pg_catalog.format('%I.%I', c.relnamespace::pg_catalog.regnamespace::text, pg_catalog.regexp_replace(c.relname, '_cc(new|old)[0-9]*$', '')) AS base) x"
				 " WHERE i.indrelid OPERATOR(pg_catalog.=) $1 AND NOT i.indisvalid"
				 "  AND CASE WHEN $3 THEN x.base OPERATOR(pg_catalog.=) $2 AND x.name OPERATOR(pg_catalog.<>) $2 ELSE x.name OPERATOR(pg_catalog.=) $2 END",
				 3, types, values, NULL);
	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < SPI_processed; i++)
		found = lappend(found, pstrdup(hone_result_text(i, 1)));
	MemoryContextSwitchTo(old);
	foreach(lc, found)
	{
		int			sqlstate;

		if (hone_apply_command(due->relid, psprintf("DROP INDEX CONCURRENTLY IF EXISTS %s", (char *) lfirst(lc)), &sqlstate) != NULL)
			left = lfirst(lc);
	}
	return left;
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
note_end(const HoneDue *due, const char *error, int sqlstate)
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

	/*
	 * Tried again after 1, 2, 4 ... minutes, ten times in all. By the clock:
	 * the transaction began before the command did.
	 */
	hone_own_run("UPDATE hone._applied SET error = $2, sqlstate = $3, running = false,"
				 " finished_at = CASE WHEN $4 AND attempts OPERATOR(pg_catalog.<) 10 THEN NULL ELSE pg_catalog.clock_timestamp() END,"
				 " retry_at = CASE WHEN $4 AND attempts OPERATOR(pg_catalog.<) 10"
				 "  THEN pg_catalog.clock_timestamp() OPERATOR(pg_catalog.+) (interval '1 minute' OPERATOR(pg_catalog.*) (2 OPERATOR(pg_catalog.^) (attempts OPERATOR(pg_catalog.-) 1))) END"
				 " WHERE id OPERATOR(pg_catalog.=) $1", 4, types, values, nulls);
	hone_procedure_commit();
}

static void
apply(const HoneDue *due)
{
	const char *why = objection(due);
	char	   *error;
	char	   *left;
	int			sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;

	if (why != NULL)
	{
		note_end(due, why, sqlstate);
		return;
	}
	if (due->definition != NULL)
	{
		error = hone_apply_tree(due, &sqlstate);
		note_end(due, error, sqlstate);
		return;
	}
	(void) drop_leftovers(due);
	if (begins(due->fix, DROP_INDEX) && !begins(due->fix, DROP_PLAIN))
		error = hone_apply_brief(due->relid, due->fix, &sqlstate);
	else
		error = hone_apply_command(due->relid, due->fix, &sqlstate);
	if (error != NULL && (left = drop_leftovers(due)) != NULL)
		error = psprintf("%s; an invalid index is left: DROP INDEX CONCURRENTLY %s", error, left);
	note_end(due, error, sqlstate);
}

/*
 * hone._run_applied(): a worker's task.
 */
Datum
hone_run_applied(PG_FUNCTION_ARGS)
{
	HoneDue		due;

	hone_require_script();
	hone_procedure_begin(fcinfo, "hone._run_applied");
	if (!RecoveryInProgress())
	{
		while (take_next(&due))
		{
			CHECK_FOR_INTERRUPTS();
			apply(&due);
		}
		if (hone_hold_extension())
			hone_own_run("SELECT hone._measure_applied()", 0, NULL, NULL, NULL);
	}
	hone_procedure_commit();
	hone_procedure_end();
	PG_RETURN_VOID();
}
