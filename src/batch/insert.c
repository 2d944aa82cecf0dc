/*-------------------------------------------------------------------------
 *
 * insert.c
 *	  insert_batch: many rows in one INSERT, and what became of each.
 *
 * The rows are converted into a tuplestore, which the statement reads as a
 * relation of its own:
 *
 *		INSERT INTO rel AS t (a, b) SELECT r.c1, r.c2 FROM hone_batch AS r
 *			WHERE hone._batch_mark(0, r.n)
 *			ON CONFLICT ... RETURNING jsonb_build_object('id', t.id)
 *
 * The executor takes one row at a time from the scan to RETURNING, so the mark
 * says which one it is that comes out there, or that an error is about. The
 * same function in DO UPDATE says that a row was not inserted, and which
 * columns it has values for.
 *
 * It runs through SPI as the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "batch/fetch_keys.h"
#include "batch/insert_rows.h"
#include "batch/saved_plan.h"

PG_FUNCTION_INFO_V1(hone_insert_batch);
PG_FUNCTION_INFO_V1(hone_batch_mark);

typedef enum Conflict
{
	CONFLICT_ERROR,
	CONFLICT_NOTHING,
	CONFLICT_UPDATE
} Conflict;

/* What hone._batch_mark() is told. */
typedef enum Mark
{
	MARK_ROW,					/* the row of this number comes */
	MARK_CONFLICT,				/* it is there already, to be updated */
	MARK_HAS					/* has it a value for this column? */
} Mark;

/* One call of insert_batch, and its receiver of rows. */
typedef struct Batch
{
	DestReceiver pub;
	Oid			relid;
	Conflict	conflict;
	List	   *conflict_columns;	/* names */
	List	   *returned;		/* names of columns of the key */
	HoneInsertRows *rows;
	ReturnSetInfo *result;
	ErrorContextCallback callback;
	int64		row;			/* in hand, from 1 on; 0: none */
	bool		updated;
	int64		reported;		/* rows of which the result knows */
} Batch;

/* That in hand: a trigger may call insert_batch in it. */
static Batch *running;

/*
 * hone._batch_mark(what, number)
 */
Datum
hone_batch_mark(PG_FUNCTION_ARGS)
{
	hone_require_script();
	if (running == NULL)
		PG_RETURN_BOOL(true);
	switch ((Mark) PG_GETARG_INT32(0))
	{
		case MARK_ROW:
			/* a trigger could call it, too */
			if (PG_GETARG_INT64(1) > running->reported &&
				PG_GETARG_INT64(1) <= running->rows->count)
				running->row = PG_GETARG_INT64(1);
			running->updated = false;
			break;
		case MARK_CONFLICT:
			running->updated = true;
			break;
		case MARK_HAS:
			if (running->row > 0 && running->row <= running->rows->count)
				PG_RETURN_BOOL(hone_insert_row_has(running->rows, running->row,
												   (AttrNumber) PG_GETARG_INT64(1)));
			break;
	}
	PG_RETURN_BOOL(true);
}

/* ------------------------------------------------------------------------
 * The result
 * ------------------------------------------------------------------------
 */

static void
put_result(Batch *batch, int64 row, bool inserted, Datum key, bool no_key)
{
	Datum		values[3] = {Int64GetDatum(row), BoolGetDatum(inserted), key};
	bool		nulls[3] = {false, false, no_key};

	tuplestore_putvalues(batch->result->setResult, batch->result->setDesc, values, nulls);
}

/* Rows before this one of which nothing was returned. */
static void
put_missing(Batch *batch, int64 until)
{
	while (++batch->reported < until)
		put_result(batch, batch->reported, false, (Datum) 0, true);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Batch	   *batch = (Batch *) self;
	bool		isnull;
	Datum		key = slot_getattr(slot, 1, &isnull);

	put_missing(batch, batch->row);
	put_result(batch, batch->row, !batch->updated, key, isnull);
	return true;
}

static void
start_rows(DestReceiver *self, int operation, TupleDesc desc)
{
}

/* What comes now, after-row triggers, is about no row that we know. */
static void
end_rows(DestReceiver *self)
{
	((Batch *) self)->row = 0;
}

static void
destroy_receiver(DestReceiver *self)
{
}

static void
note_row(void *arg)
{
	Batch	   *batch = arg;

	if (batch->row > 0)
		errcontext("row %lld of the batch", (long long) batch->row);
}

/* ------------------------------------------------------------------------
 * The statement
 * ------------------------------------------------------------------------
 */

static void
append_names(StringInfo sql, List *names)
{
	ListCell   *lc;

	foreach(lc, names)
		appendStringInfo(sql, "%s%s", foreach_current_index(lc) ? ", " : "",
						 quote_identifier(lfirst(lc)));
}

/*
 * DO UPDATE: the columns that the row has values for, but for the conflict's.
 * Where there are none, the row is written as it is, so that its key is
 * returned.
 */
static void
append_update(Batch *batch, StringInfo sql)
{
	bool		differ = list_length(batch->rows->sets) > 1;
	const char *separator = "";
	int			attnum = -1;

	appendStringInfoString(sql, " DO UPDATE SET ");
	while ((attnum = bms_next_member(batch->rows->columns, attnum)) >= 0)
	{
		char	   *plain = get_attname(batch->relid, attnum, false);
		const char *name = quote_identifier(plain);

		if (hone_has_name(batch->conflict_columns, plain))
			continue;
		if (differ)
			appendStringInfo(sql, "%s%s = CASE WHEN hone._batch_mark(%d, %d) THEN EXCLUDED.%s ELSE t.%s END",
							 separator, name, MARK_HAS, attnum, name, name);
		else
			appendStringInfo(sql, "%s%s = EXCLUDED.%s", separator, name, name);
		separator = ", ";
	}
	if (separator[0] == '\0')
	{
		const char *name = quote_identifier(linitial(batch->conflict_columns));

		appendStringInfo(sql, "%s = EXCLUDED.%s", name, name);
	}
	appendStringInfo(sql, " WHERE hone._batch_mark(%d, 0)", MARK_CONFLICT);
}

static char *
statement_text(Batch *batch)
{
	int			count = bms_num_members(batch->rows->columns);
	List	   *names = NIL;
	int			attnum = -1;
	StringInfoData sql;
	ListCell   *lc;

	while ((attnum = bms_next_member(batch->rows->columns, attnum)) >= 0)
		names = lappend(names, get_attname(batch->relid, attnum, false));
	initStringInfo(&sql);
	appendStringInfo(&sql, "INSERT INTO %s AS t ", hone_qualified_name(batch->relid));
	if (names != NIL)
	{
		appendStringInfoChar(&sql, '(');
		append_names(&sql, names);
		appendStringInfoString(&sql, ") ");
	}
	appendStringInfoString(&sql, "SELECT ");
	for (int i = 1; i <= count; i++)
		appendStringInfo(&sql, "%sr.c%d", i > 1 ? ", " : "", i);
	appendStringInfo(&sql, " FROM hone_batch AS r WHERE hone._batch_mark(%d, r.n)", MARK_ROW);
	if (batch->conflict != CONFLICT_ERROR)
	{
		appendStringInfoString(&sql, " ON CONFLICT");
		if (batch->conflict_columns != NIL)
		{
			appendStringInfoString(&sql, " (");
			append_names(&sql, batch->conflict_columns);
			appendStringInfoChar(&sql, ')');
		}
		if (batch->conflict == CONFLICT_UPDATE)
			append_update(batch, &sql);
		else
			appendStringInfoString(&sql, " DO NOTHING");
	}
	if (batch->returned == NIL)
		appendStringInfoString(&sql, " RETURNING NULL::pg_catalog.jsonb");
	else
	{
		appendStringInfoString(&sql, " RETURNING pg_catalog.jsonb_build_object(");
		foreach(lc, batch->returned)
		{
			int			i = foreach_current_index(lc);
			const char *separator = i == 0 ? "" : ", ";

			/* a call takes so many arguments */
			if (i > 0 && i % (FUNC_MAX_ARGS / 2) == 0)
				separator = ") OPERATOR(pg_catalog.||) pg_catalog.jsonb_build_object(";
			appendStringInfo(&sql, "%s%s, t.%s", separator,
							 quote_literal_cstr(lfirst(lc)), quote_identifier(lfirst(lc)));
		}
		appendStringInfoChar(&sql, ')');
	}
	return sql.data;
}

static void
register_rows(HoneInsertRows *rows)
{
	EphemeralNamedRelation relation = palloc0(sizeof(EphemeralNamedRelationData));

	relation->md.name = "hone_batch";
	relation->md.reliddesc = InvalidOid;
	relation->md.tupdesc = rows->desc;
	relation->md.enrtype = ENR_NAMED_TUPLESTORE;
	relation->md.enrtuples = rows->count;
	relation->reldata = rows->store;
	if (SPI_register_relation(relation) != SPI_OK_REL_REGISTER)
		elog(ERROR, "could not register the rows of a batch");
}

static void
run_statement(Batch *batch)
{
	Batch	   *outer = running;

	register_rows(batch->rows);
	batch->pub.receiveSlot = receive_row;
	batch->pub.rStartup = start_rows;
	batch->pub.rShutdown = end_rows;
	batch->pub.rDestroy = destroy_receiver;
	batch->pub.mydest = DestNone;

	batch->callback.callback = note_row;
	batch->callback.arg = batch;
	batch->callback.previous = error_context_stack;
	error_context_stack = &batch->callback;
	PG_TRY();
	{
		running = batch;
		(void) hone_saved_plan_run(hone_saved_plan(statement_text(batch), 0, NULL, 0),
								   0, NULL, NULL, NULL, false, 0, &batch->pub);
	}
	PG_FINALLY();
	{
		running = outer;
	}
	PG_END_TRY();
	error_context_stack = batch->callback.previous;
}

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------
 */

static Conflict
conflict_argument(FunctionCallInfo fcinfo)
{
	char	   *word = PG_ARGISNULL(2) ? "null" : text_to_cstring(PG_GETARG_TEXT_PP(2));

	if (strcmp(word, "error") == 0)
		return CONFLICT_ERROR;
	if (strcmp(word, "nothing") == 0)
		return CONFLICT_NOTHING;
	if (strcmp(word, "update") == 0)
		return CONFLICT_UPDATE;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("on_conflict must not be \"%s\"", word),
			 errhint("It is 'error', 'nothing' or 'update'.")));
	return CONFLICT_ERROR;
}

static List *
columns_argument(FunctionCallInfo fcinfo, int i, const char *what, Oid relid)
{
	List	   *names = hone_name_list(PG_GETARG_ARRAYTYPE_P(i), what);
	ListCell   *lc;

	foreach(lc, names)
	{
		if (get_attnum(relid, lfirst(lc)) <= 0)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of table \"%s\" does not exist",
							(char *) lfirst(lc), get_rel_name(relid)),
					 errhint("%s names columns of the table.", what)));
	}
	return names;
}

static List *
primary_key(Relation rel)
{
	Bitmapset  *key = RelationGetIndexAttrBitmap(rel, INDEX_ATTR_BITMAP_PRIMARY_KEY);
	List	   *names = NIL;
	int			member = -1;

	while ((member = bms_next_member(key, member)) >= 0)
		names = lappend(names, get_attname(RelationGetRelid(rel),
										   member + FirstLowInvalidHeapAttributeNumber, false));
	return names;
}

static void
read_arguments(FunctionCallInfo fcinfo, Batch *batch, Relation rel)
{
	batch->conflict = conflict_argument(fcinfo);
	if (!PG_ARGISNULL(3))
		batch->conflict_columns = columns_argument(fcinfo, 3, "conflict_columns", batch->relid);
	else if (batch->conflict != CONFLICT_ERROR)
		batch->conflict_columns = primary_key(rel);
	if (batch->conflict == CONFLICT_ERROR && batch->conflict_columns != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("conflict_columns mean nothing where a conflict is an error"),
				 errhint("Pass on_conflict => 'nothing' or 'update', too.")));
	if (batch->conflict == CONFLICT_UPDATE && batch->conflict_columns == NIL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("table \"%s\" has no primary key to find rows to update by", RelationGetRelationName(rel)),
				 errhint("Name the columns of a unique index in conflict_columns.")));
	batch->returned = PG_ARGISNULL(4) ? primary_key(rel) :
		columns_argument(fcinfo, 4, "returned", batch->relid);
}

static Relation
open_table(FunctionCallInfo fcinfo)
{
	Oid			relid;
	Relation	rel;

	if (PG_ARGISNULL(0) || PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", PG_ARGISNULL(0) ? "rel" : "rows"),
				 errhint("Pass the table and its rows: hone.insert_batch('items', '[{\"name\": \"a\"}]').")));
	relid = PG_GETARG_OID(0);
	(void) hone_require_relation(relid);
	if (get_rel_relkind(relid) != RELKIND_RELATION &&
		get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", get_rel_name(relid)),
				 errdetail_relkind_not_supported(get_rel_relkind(relid)),
				 errhint("Name the table behind it.")));
	rel = table_open(relid, RowExclusiveLock);

	/*
	 * The statement asks for what it needs. But defaults are evaluated before
	 * it, and those of identity columns ask for nothing.
	 */
	if (pg_class_aclcheck(relid, GetUserId(), ACL_INSERT) != ACLCHECK_OK)
	{
		AclResult	result = pg_attribute_aclcheck_all(relid, GetUserId(), ACL_INSERT, ACLMASK_ANY);

		if (result != ACLCHECK_OK)
			aclcheck_error(result, OBJECT_TABLE, RelationGetRelationName(rel));
	}
	return rel;
}

/*
 * hone.insert_batch(rel, rows, on_conflict, conflict_columns, returned)
 */
Datum
hone_insert_batch(PG_FUNCTION_ARGS)
{
	Relation	rel;
	Batch	   *batch;

	hone_require_script();
	rel = open_table(fcinfo);
	batch = palloc0(sizeof(Batch));
	batch->relid = RelationGetRelid(rel);
	read_arguments(fcinfo, batch, rel);
	InitMaterializedSRF(fcinfo, 0);
	batch->result = (ReturnSetInfo *) fcinfo->resultinfo;

	/* the rows in the caller's memory, not SPI's */
	batch->rows = hone_insert_rows(rel, PG_GETARG_JSONB_P(1));
	SPI_connect();
	if (batch->rows->count > 0)
		run_statement(batch);
	SPI_finish();
	put_missing(batch, batch->rows->count + 1);
	tuplestore_end(batch->rows->store);
	table_close(rel, NoLock);
	return (Datum) 0;
}
