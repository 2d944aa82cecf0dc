/*-------------------------------------------------------------------------
 *
 * invalidate.c
 *	  Tags: by hand, by triggers, and at the end of the transaction.
 *
 * A transaction that invalidates has not committed yet: a result made after
 * its trigger still lacks its rows. So tags are counted again right after the
 * commit, when the rows are visible and before the client hears of it. Who
 * took his snapshot before that finds the counter moved on when he is done
 * (store.c), and who takes it later sees the rows.
 *
 * Of a prepared transaction nobody knows the tags when it is committed. So
 * COMMIT PREPARED invalidates every result of the database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type_d.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "cache/invalidate.h"
#include "common/hone.h"
#include "common/owner.h"

#define TRIGGER_NAME	"hone_invalidate_cache"

/* PostgreSQL counts the arguments of a trigger in 16 bits, and does not look. */
#define TRIGGER_TAGS	1000

PG_FUNCTION_INFO_V1(hone_invalidate_cache);
PG_FUNCTION_INFO_V1(hone_invalidate_cache_on);
PG_FUNCTION_INFO_V1(hone_cache_trigger);

/* Places whose tags go at the end of this transaction. */
static Bitmapset *pending = NULL;

static ProcessUtility_hook_type previous_utility = NULL;

/* ------------------------------------------------------------------------
 * Tags
 * ------------------------------------------------------------------------
 */

static uint32
place_of(const char *tag, Size size)
{
	return hash_combine(hash_bytes((const unsigned char *) tag, size),
						hash_bytes_uint32(MyDatabaseId)) % HONE_CACHE_COUNTERS;
}

static uint32
place_of_tag(Datum tag)
{
	text	   *name = DatumGetTextPP(tag);

	return place_of(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
}

static uint32
place_of_database(void)
{
	return hash_bytes_uint32(MyDatabaseId) % HONE_CACHE_COUNTERS;
}

/* Their elements, none of them null. */
static Datum *
elements_of(ArrayType *array, int *count)
{
	Datum	   *elements;
	bool	   *nulls;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, count);
	for (int i = 0; i < *count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a tag must not be null")));
	}
	return elements;
}

void
hone_cache_tags(ArrayType *array, HoneCacheTags *tags)
{
	int			count;
	Datum	   *elements = elements_of(array, &count);

	if (count > HONE_CACHE_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d tags are too many for a cached query", count),
				 errhint("A result has at most %d tags. Give one tag to what is invalidated together.",
						 HONE_CACHE_TAGS)));
	memset(tags, 0, sizeof(*tags));
	for (int i = 0; i < count; i++)
		tags->places[tags->count++] = place_of_tag(elements[i]);
	tags->places[tags->count++] = place_of_database();
}

/* ------------------------------------------------------------------------
 * The end of the transaction
 * ------------------------------------------------------------------------
 */

/* Now, and when the transaction has committed. */
static void
invalidate(uint32 place)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

	pending = bms_add_member(pending, place);
	MemoryContextSwitchTo(old);
	hone_store_invalidate(place);
	hone_cache_count(invalidations);
}

/* Throws nothing. What was rolled back was invalidated in vain. */
static void
at_transaction_end(XactEvent event, void *arg)
{
	int			place = -1;

	switch (event)
	{
		case XACT_EVENT_COMMIT:
		case XACT_EVENT_PREPARE:
			while ((place = bms_next_member(pending, place)) >= 0)
				hone_store_invalidate(place);
			pending = NULL;
			break;
		case XACT_EVENT_ABORT:
			pending = NULL;
			break;
		default:
			break;
	}
}

static void
process_utility(PlannedStmt *statement, const char *text, bool read_only_tree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *environment, DestReceiver *dest, QueryCompletion *completion)
{
	bool		commits = IsA(statement->utilityStmt, TransactionStmt) &&
	((TransactionStmt *) statement->utilityStmt)->kind == TRANS_STMT_COMMIT_PREPARED;

	if (previous_utility)
		previous_utility(statement, text, read_only_tree, context, params, environment,
						 dest, completion);
	else
		standard_ProcessUtility(statement, text, read_only_tree, context, params,
								environment, dest, completion);
	if (commits)
		hone_store_invalidate(place_of_database());
}

void
hone_invalidate_init(void)
{
	RegisterXactCallback(at_transaction_end, NULL);
	previous_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}

/* ------------------------------------------------------------------------
 * What users call
 * ------------------------------------------------------------------------
 */

/*
 * hone.invalidate_cache(tags text[])
 */
Datum
hone_invalidate_cache(PG_FUNCTION_ARGS)
{
	int			count;
	Datum	   *elements;

	hone_require_script();
	hone_require_preload("hone.invalidate_cache");
	if (PG_ARGISNULL(0))
	{
		invalidate(place_of_database());
		PG_RETURN_VOID();
	}
	elements = elements_of(PG_GETARG_ARRAYTYPE_P(0), &count);
	for (int i = 0; i < count; i++)
		invalidate(place_of_tag(elements[i]));
	PG_RETURN_VOID();
}

/*
 * Of a trigger that somebody made for each row: without it a row that is about
 * to be written would not be.
 */
static HeapTuple
row_of(const TriggerData *data)
{
	if (!TRIGGER_FIRED_FOR_ROW(data->tg_event))
		return NULL;
	return TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
}

/*
 * hone._cache_trigger(): its arguments are tags
 *
 * In somebody's statement: without the library preloaded, or with another
 * version's script, it must not fail. It is as good as any version's.
 */
Datum
hone_cache_trigger(PG_FUNCTION_ARGS)
{
	Trigger    *trigger;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hone._cache_trigger was not called by a trigger"),
				 errhint("hone.invalidate_cache_on makes the trigger, hone.invalidate_cache does it by hand.")));
	trigger = ((TriggerData *) fcinfo->context)->tg_trigger;
	for (int i = 0; hone_preloaded && i < trigger->tgnargs; i++)
		invalidate(place_of(trigger->tgargs[i], strlen(trigger->tgargs[i])));
	return PointerGetDatum(row_of((TriggerData *) fcinfo->context));
}

static void
check_relation(Oid relid)
{
	char		kind = get_rel_relkind(relid);

	if (kind == '\0')
		hone_report_missing(relid);
	if ((kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE) ||
		get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("no result can be invalidated by changes of \"%s\"", get_rel_name(relid)),
				 errhint("Give a table that is not temporary. Of a view, give the tables that it reads.")));
}

static char *
trigger_command(Oid relid, Datum *tags, int count)
{
	StringInfoData command;
	char	   *table = hone_qualified_name(relid);

	if (table == NULL)
		hone_report_missing(relid);
	initStringInfo(&command);
	if (count == 0)
	{
		appendStringInfo(&command, "DROP TRIGGER IF EXISTS " TRIGGER_NAME " ON %s", table);
		return command.data;
	}
	appendStringInfo(&command,
					 "CREATE OR REPLACE TRIGGER " TRIGGER_NAME " AFTER INSERT OR UPDATE OR DELETE%s ON %s FOR EACH STATEMENT EXECUTE FUNCTION hone._cache_trigger(",
					 get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE ? "" : " OR TRUNCATE", table);
	for (int i = 0; i < count; i++)
		appendStringInfo(&command, "%s%s", i > 0 ? ", " : "",
						 quote_literal_cstr(TextDatumGetCString(tags[i])));
	appendStringInfoChar(&command, ')');
	return command.data;
}

/*
 * hone.invalidate_cache_on(rel regclass, tags text[]) returns integer
 *
 * Partitions too: a statement that names one does not fire its parent's.
 */
Datum
hone_invalidate_cache_on(PG_FUNCTION_ARGS)
{
	Oid			root;
	Datum	   *tags;
	int			count;
	List	   *relids;
	ListCell   *lc;

	hone_require_script();
	hone_require_preload("hone.invalidate_cache_on");
	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "rel" : "tags"),
				 errhint("Tags '{}' take the trigger away.")));
	root = PG_GETARG_OID(0);
	tags = elements_of(PG_GETARG_ARRAYTYPE_P(1), &count);
	if (count > TRIGGER_TAGS)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d tags are too many for a trigger", count),
				 errhint("A table has at most %d tags. Give one tag to what is invalidated together.",
						 TRIGGER_TAGS)));
	check_relation(root);
	hone_require_owner(root, GetUserId());
	/* Before its partitions, as whoever writes to it does. */
	LockRelationOid(root, ShareRowExclusiveLock);
	relids = find_all_inheritors(root, ShareRowExclusiveLock, NULL);
	SPI_connect();
	foreach(lc, relids)
	{
		Oid			relid = lfirst_oid(lc);
		HoneRole	saved;

		check_relation(relid);
		hone_require_owner(relid, GetUserId());
		hone_become_owner(relid, &saved);
		if (SPI_execute(trigger_command(relid, tags, count), false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "could not make or drop the trigger");
		hone_restore_role(&saved);
	}
	SPI_finish();

	/* What was changed before there was a trigger. */
	for (int i = 0; i < count; i++)
		invalidate(place_of_tag(tags[i]));
	PG_RETURN_INT32(list_length(relids));
}
