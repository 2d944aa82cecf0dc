/*-------------------------------------------------------------------------
 *
 * insert_rows.c
 *	  Rows that come as JSON, converted to those of a table.
 *
 * Twice over the document: first which columns the rows have, then their
 * values (json_value.c).
 * All rows are converted before the first is stored, so that a bad value
 * leaves nothing behind.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "rewrite/rewriteHandler.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "batch/insert_rows.h"
#include "batch/json_value.h"

/* How values of a column are made. */
typedef struct Column
{
	const char *name;
	HoneJsonType type;
	ExprState  *otherwise;		/* its default, or NULL */
} Column;

/* The member names of the row before, which are mostly those of the next. */
typedef struct Member
{
	const char *name;
	int			length;
	AttrNumber	attnum;
} Member;

typedef struct Conversion
{
	HoneInsertRows *rows;
	Column	   *columns;		/* by attnum - 1 */
	Member	   *members;
	int			nmembers;
	EState	   *estate;			/* for defaults */
	MemoryContext context;		/* of one row */
	ErrorContextCallback callback;
	int64		row;			/* in hand, from 1 on */
	const char *column;			/* in hand, or NULL */
	Datum	   *values;			/* of the row, by attnum - 1 */
	bool	   *nulls;
	bool	   *given;
} Conversion;

static void
note_value(void *arg)
{
	Conversion *conversion = arg;

	if (conversion->row > 0 && conversion->column != NULL)
		errcontext("row %lld of the batch, column \"%s\"",
				   (long long) conversion->row, conversion->column);
	else if (conversion->row > 0)
		errcontext("row %lld of the batch", (long long) conversion->row);
}

/* ------------------------------------------------------------------------
 * Which columns
 * ------------------------------------------------------------------------
 */

static void
report_unknown(Conversion *conversion, const char *name)
{
	Relation	rel = conversion->rows->rel;
	StringInfoData known;

	initStringInfo(&known);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (!att->attisdropped && att->attgenerated == '\0')
			appendStringInfo(&known, "%s%s", known.len ? ", " : "", NameStr(att->attname));
	}
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_COLUMN),
			 conversion->row > 0 ?
			 errmsg("row %lld has the member \"%s\", which is no column of table \"%s\"",
					(long long) conversion->row, name, RelationGetRelationName(rel)) :
			 errmsg("member \"%s\" is no column of table \"%s\"",
					name, RelationGetRelationName(rel)),
			 errhint("The table's columns are: %s.", known.data)));
}

static AttrNumber
find_column(Conversion *conversion, const char *member, int length)
{
	Relation	rel = conversion->rows->rel;
	char	   *name = pnstrdup(member, length);

	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

		if (att->attisdropped || strcmp(NameStr(att->attname), name) != 0)
			continue;
		if (att->attgenerated != '\0' || att->attidentity == ATTRIBUTE_IDENTITY_ALWAYS)
			ereport(ERROR,
					(errcode(ERRCODE_GENERATED_ALWAYS),
					 errmsg("column \"%s\" of table \"%s\" is always generated", name,
							RelationGetRelationName(rel)),
					 errhint("Leave it out of the rows.")));
		return att->attnum;
	}
	report_unknown(conversion, name);
	return InvalidAttrNumber;
}

/* The column of the i-th member of an object. */
static AttrNumber
member_column(Conversion *conversion, int i, const JsonbValue *key)
{
	const char *name = key->val.string.val;
	int			length = key->val.string.len;
	Member	   *member = &conversion->members[i];

	if (i < conversion->nmembers && member->length == length &&
		memcmp(member->name, name, length) == 0)
		return member->attnum;
	if (i >= RelationGetNumberOfAttributes(conversion->rows->rel))
		return find_column(conversion, name, length);
	member->attnum = find_column(conversion, name, length);
	member->name = name;
	member->length = length;
	conversion->nmembers = i + 1;
	return member->attnum;
}

/* The columns that an object has values for. */
static Bitmapset *
object_columns(Conversion *conversion, JsonbContainer *object)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbValue	value;
	JsonbIteratorToken token;
	Bitmapset  *columns = NULL;
	int			i = 0;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			columns = bms_add_member(columns, member_column(conversion, i++, &value));
	}
	return columns;
}

/* The set's number; 'last' is a guess. */
static int
find_set(HoneInsertRows *rows, Bitmapset *columns, int last)
{
	ListCell   *lc;

	if (last < list_length(rows->sets) && bms_equal(list_nth(rows->sets, last), columns))
		return last;
	foreach(lc, rows->sets)
	{
		if (bms_equal(lfirst(lc), columns))
			return foreach_current_index(lc);
	}
	rows->sets = lappend(rows->sets, bms_copy(columns));
	rows->columns = bms_add_members(rows->columns, columns);
	return list_length(rows->sets) - 1;
}

static void
report_document(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("rows must be an array of objects, or an object of arrays"),
			 errhint("For example '[{\"name\": \"a\"}, {\"name\": \"b\"}]', or '{\"name\": [\"a\", \"b\"]}'.")));
}

/* [{...}, {...}]: the columns of each row */
static void
look_at_objects(Conversion *conversion, Jsonb *json)
{
	HoneInsertRows *rows = conversion->rows;
	MemoryContext old = CurrentMemoryContext;
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbValue	value;
	JsonbIteratorToken token;
	int			set = 0;

	rows->set_of_row = palloc_extended(Max(JB_ROOT_COUNT(json), 1) * sizeof(int),
									   MCXT_ALLOC_HUGE);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		Bitmapset  *columns;

		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		conversion->row = ++rows->count;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("row %lld is not a JSON object", (long long) rows->count)));
		MemoryContextSwitchTo(conversion->context);
		columns = object_columns(conversion, value.val.binary.data);
		MemoryContextSwitchTo(old);
		set = find_set(rows, columns, set);
		MemoryContextReset(conversion->context);
		rows->set_of_row[rows->count - 1] = set;
	}
	conversion->row = 0;
}

/* {"a": [...], "b": [...]}: the column of each list, and how long they are */
static void
look_at_lists(Conversion *conversion, Jsonb *json)
{
	HoneInsertRows *rows = conversion->rows;
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbValue	value;
	JsonbIteratorToken token;
	Bitmapset  *columns = NULL;
	char	   *name = NULL;
	char	   *first = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			columns = bms_add_member(columns,
									 find_column(conversion, value.val.string.val, value.val.string.len));
			name = pnstrdup(value.val.string.val, value.val.string.len);
		}
		if (token != WJB_VALUE)
			continue;
		if (value.type != jbvBinary || !JsonContainerIsArray(value.val.binary.data))
			report_document();
		if (first == NULL)
		{
			first = name;
			rows->count = JsonContainerSize(value.val.binary.data);
		}
		else if (rows->count != JsonContainerSize(value.val.binary.data))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("the arrays of columns \"%s\" and \"%s\" have %lld and %u values",
							first, name, (long long) rows->count,
							JsonContainerSize(value.val.binary.data)),
					 errhint("Each array has one value for each row; write null where there is none.")));
	}
	(void) find_set(rows, columns, 0);
}

/* ------------------------------------------------------------------------
 * Values
 * ------------------------------------------------------------------------
 */

static void
prepare_column(Conversion *conversion, AttrNumber attnum)
{
	Relation	rel = conversion->rows->rel;
	Column	   *column = &conversion->columns[attnum - 1];
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);

	column->name = NameStr(att->attname);
	hone_json_type(&column->type, column->name, att->atttypid, att->atttypmod, att->attcollation);
	if (list_length(conversion->rows->sets) > 1)
	{
		Node	   *expr = build_column_default(rel, attnum);

		if (expr != NULL)
			column->otherwise = ExecPrepareExpr((Expr *) expr, conversion->estate);
	}
}

static void
take_value(Conversion *conversion, AttrNumber attnum, JsonbValue *value)
{
	Column	   *column = &conversion->columns[attnum - 1];

	conversion->column = column->name;
	conversion->values[attnum - 1] = hone_json_value(&column->type, value,
													 &conversion->nulls[attnum - 1]);
	conversion->given[attnum - 1] = true;
}

/* The row in hand to the store; what it lacks gets its default. */
static void
store_row(Conversion *conversion)
{
	HoneInsertRows *rows = conversion->rows;
	Datum	   *values = palloc(rows->desc->natts * sizeof(Datum));
	bool	   *nulls = palloc0(rows->desc->natts * sizeof(bool));
	int			attnum = -1;
	int			i = 1;

	values[0] = Int64GetDatum(conversion->row);
	while ((attnum = bms_next_member(rows->columns, attnum)) >= 0)
	{
		Column	   *column = &conversion->columns[attnum - 1];

		conversion->column = column->name;
		if (conversion->given[attnum - 1])
		{
			values[i] = conversion->values[attnum - 1];
			nulls[i] = conversion->nulls[attnum - 1];
		}
		else if (column->otherwise != NULL)
			values[i] = ExecEvalExprSwitchContext(column->otherwise,
												  GetPerTupleExprContext(conversion->estate),
												  &nulls[i]);
		else
			values[i] = hone_json_null(&column->type, &nulls[i]);
		conversion->given[attnum - 1] = false;
		i++;
	}
	conversion->column = NULL;
	tuplestore_putvalues(rows->store, rows->desc, values, nulls);
	ResetPerTupleExprContext(conversion->estate);
}

static void
convert_objects(Conversion *conversion, Jsonb *json)
{
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbValue	row;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &row, true)) != WJB_DONE)
	{
		MemoryContext old;
		JsonbIterator *members;
		JsonbValue	value;
		AttrNumber	attnum = InvalidAttrNumber;
		int			i = 0;

		if (token != WJB_ELEM)
			continue;
		CHECK_FOR_INTERRUPTS();
		conversion->row++;
		old = MemoryContextSwitchTo(conversion->context);
		members = JsonbIteratorInit(row.val.binary.data);
		while ((token = JsonbIteratorNext(&members, &value, true)) != WJB_DONE)
		{
			if (token == WJB_KEY)
				attnum = member_column(conversion, i++, &value);
			else if (token == WJB_VALUE)
				take_value(conversion, attnum, &value);
		}
		store_row(conversion);
		MemoryContextSwitchTo(old);
		MemoryContextReset(conversion->context);
	}
}

static void
convert_lists(Conversion *conversion, Jsonb *json)
{
	HoneInsertRows *rows = conversion->rows;
	int			ncolumns = bms_num_members(rows->columns);
	JsonbIterator **lists = palloc(ncolumns * sizeof(JsonbIterator *));
	AttrNumber *attnums = palloc(ncolumns * sizeof(AttrNumber));
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbValue	value;
	JsonbIteratorToken token;
	int			n = 0;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
			attnums[n] = find_column(conversion, value.val.string.val, value.val.string.len);
		if (token != WJB_VALUE)
			continue;
		lists[n] = JsonbIteratorInit(value.val.binary.data);
		(void) JsonbIteratorNext(&lists[n], &value, true);
		n++;
	}
	for (int64 row = 1; row <= rows->count; row++)
	{
		MemoryContext old = MemoryContextSwitchTo(conversion->context);

		CHECK_FOR_INTERRUPTS();
		conversion->row = row;
		for (int i = 0; i < ncolumns; i++)
		{
			(void) JsonbIteratorNext(&lists[i], &value, true);
			take_value(conversion, attnums[i], &value);
		}
		store_row(conversion);
		MemoryContextSwitchTo(old);
		MemoryContextReset(conversion->context);
	}
}

/* A number n, and the columns c1, c2, ... */
static TupleDesc
store_columns(HoneInsertRows *rows)
{
	TupleDesc	desc = CreateTemplateTupleDesc(bms_num_members(rows->columns) + 1);
	int			attnum = -1;
	int			i = 1;

	TupleDescInitEntry(desc, 1, "n", INT8OID, -1, 0);
	while ((attnum = bms_next_member(rows->columns, attnum)) >= 0)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rows->rel), attnum - 1);

		i++;
		TupleDescInitEntry(desc, i, psprintf("c%d", i - 1), att->atttypid, att->atttypmod,
						   att->attndims);
		TupleDescInitEntryCollation(desc, i, att->attcollation);
	}
	return desc;
}

HoneInsertRows *
hone_insert_rows(Relation rel, Jsonb *json)
{
	HoneInsertRows *rows = palloc0(sizeof(HoneInsertRows));
	int			natts = RelationGetNumberOfAttributes(rel);
	bool		lists = JB_ROOT_IS_OBJECT(json);
	Conversion	conversion;
	int			attnum = -1;

	if (!lists && (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json)))
		report_document();
	rows->rel = rel;
	memset(&conversion, 0, sizeof(conversion));
	conversion.rows = rows;
	conversion.columns = palloc0(Max(natts, 1) * sizeof(Column));
	conversion.members = palloc0(Max(natts, 1) * sizeof(Member));
	conversion.values = palloc0(Max(natts, 1) * sizeof(Datum));
	conversion.nulls = palloc0(Max(natts, 1) * sizeof(bool));
	conversion.given = palloc0(Max(natts, 1) * sizeof(bool));
	conversion.context = AllocSetContextCreate(CurrentMemoryContext, "hone batch row",
											   ALLOCSET_DEFAULT_SIZES);
	conversion.callback.callback = note_value;
	conversion.callback.arg = &conversion;
	conversion.callback.previous = error_context_stack;
	error_context_stack = &conversion.callback;

	if (lists)
		look_at_lists(&conversion, json);
	else
		look_at_objects(&conversion, json);
	conversion.estate = CreateExecutorState();
	while ((attnum = bms_next_member(rows->columns, attnum)) >= 0)
		prepare_column(&conversion, attnum);
	rows->desc = store_columns(rows);
	rows->store = tuplestore_begin_heap(false, false, work_mem);
	if (lists)
		convert_lists(&conversion, json);
	else
		convert_objects(&conversion, json);

	error_context_stack = conversion.callback.previous;
	FreeExecutorState(conversion.estate);
	MemoryContextDelete(conversion.context);
	return rows;
}

bool
hone_insert_row_has(const HoneInsertRows *rows, int64 row, AttrNumber attnum)
{
	int			set = rows->set_of_row != NULL ? rows->set_of_row[row - 1] : 0;

	return bms_is_member(attnum, list_nth(rows->sets, set));
}
