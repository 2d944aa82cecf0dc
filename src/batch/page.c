/*-------------------------------------------------------------------------
 *
 * page.c
 *	  page: one page of a query, from where another one ended.
 *
 * The rows after a given one, in the order of keys k1, k2, ..., are those of
 * these steps, one after the other:
 *
 *		k1 = v1 and k2 = v2 and ... kn after vn
 *		...
 *		k1 = v1 and k2 after v2
 *		k1 after v1
 *
 * and where nulls come last and vi is not null, behind each the same with "ki
 * is null". Each step is a condition that an index of the order bounds on both
 * sides, whatever the directions; steps are run until the page is full, which
 * mostly is after the first or second. Where all keys have one direction and
 * no nulls that come later, all steps are one row comparison. Where the query
 * must be computed before it can be restricted (GROUP BY, a view), the steps
 * are one condition, so that it is computed once.
 *
 * One row more than the page is read, to know whether there are more. The
 * statement runs through SPI as the caller, as in a read-only transaction.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "batch/json_value.h"
#include "batch/page_cursor.h"
#include "batch/page_query.h"
#include "batch/saved_plan.h"

#define MAX_SIZE	10000

PG_FUNCTION_INFO_V1(hone_page);

typedef enum Argument
{
	ARG_QUERY, ARG_ORDER, ARG_AFTER, ARG_SIZE, ARG_BEFORE, ARG_PARAMS
} Argument;

typedef struct PageRow
{
	Datum		data;			/* jsonb */
	Datum		keys[HONE_PAGE_ORDER];
	bool		nulls[HONE_PAGE_ORDER];
} PageRow;

typedef struct PageRead
{
	HonePageQuery *query;
	HoneCursorSeal seal;
	int			size;
	bool		backward;
	char	  **start;			/* keys of the row to go on from, as texts */
	int			nvalues;		/* parameters of the statement */
	Oid		   *types;
	Datum	   *values;
	bool	   *nulls;
	int			key_param[HONE_PAGE_ORDER]; /* number of each key's parameter */
	PageRow    *rows;
	int			nrows;
} PageRead;

/* ------------------------------------------------------------------------
 * Conditions
 * ------------------------------------------------------------------------
 */

static bool
is_descending(PageRead *page, int i)
{
	return page->query->columns[i].descending != page->backward;
}

static bool
is_nulls_first(PageRead *page, int i)
{
	return page->query->columns[i].nulls_first != page->backward;
}

static char *
column_name(PageRead *page, int i)
{
	return psprintf("hone_page.%s", quote_identifier(page->query->columns[i].name));
}

static char *
compare(PageRead *page, int i, int operator)
{
	return psprintf("%s %s $%d", column_name(page, i),
					page->query->columns[i].operators[operator], page->key_param[i]);
}

/* Keys 1 to i - 1 are those of the start. */
static char *
same_before(PageRead *page, int i)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int j = 0; j < i; j++)
	{
		if (page->start[j] == NULL)
			appendStringInfo(&text, "%s IS NULL AND ", column_name(page, j));
		else
			appendStringInfo(&text, "%s AND ", compare(page, j, 1));
	}
	return text.data;
}

/* The steps; see above. */
static List *
make_steps(PageRead *page)
{
	List	   *steps = NIL;

	for (int i = page->query->ncolumns - 1; i >= 0; i--)
	{
		char	   *same = same_before(page, i);
		char	   *name = column_name(page, i);

		if (page->start[i] == NULL)
		{
			if (is_nulls_first(page, i))
				steps = lappend(steps, psprintf("%s%s IS NOT NULL", same, name));
			continue;
		}
		steps = lappend(steps, psprintf("%s%s", same, compare(page, i, is_descending(page, i) ? 0 : 2)));
		if (!is_nulls_first(page, i) && !page->query->columns[i].not_null)
			steps = lappend(steps, psprintf("%s%s IS NULL", same, name));
	}
	return steps;
}

/* ROW(k1, k2) > ROW($1, $2), where that says the same; or NULL. */
static char *
row_comparison(PageRead *page)
{
	StringInfoData keys;
	StringInfoData values;

	initStringInfo(&keys);
	initStringInfo(&values);
	for (int i = 0; i < page->query->ncolumns; i++)
	{
		HonePageColumn *column = &page->query->columns[i];

		if (page->start[i] == NULL || !column->built_in ||
			is_descending(page, i) != is_descending(page, 0) ||
			(!column->not_null && !is_nulls_first(page, i)))
			return NULL;
		appendStringInfo(&keys, "%s%s", i ? ", " : "", column_name(page, i));
		appendStringInfo(&values, "%s$%d", i ? ", " : "", page->key_param[i]);
	}
	return psprintf("ROW(%s) OPERATOR(pg_catalog.%c) ROW(%s)", keys.data,
					is_descending(page, 0) ? '<' : '>', values.data);
}

static char *
one_condition(List *steps)
{
	StringInfoData text;
	ListCell   *lc;

	initStringInfo(&text);
	foreach(lc, steps)
		appendStringInfo(&text, "%s(%s)", foreach_current_index(lc) ? " OR " : "",
						 (char *) lfirst(lc));
	return text.data;
}

/* The conditions of the statements that read the page, "" for none. */
static List *
make_conditions(PageRead *page)
{
	List	   *steps;
	char	   *row;

	if (page->start == NULL)
		return list_make1("");
	row = page->query->ncolumns > 1 ? row_comparison(page) : NULL;
	if (row != NULL)
		return list_make1(row);
	steps = make_steps(page);
	if (list_length(steps) > 1 && !page->query->simple)
		return list_make1(one_condition(steps));
	return steps;
}

static char *
statement_text(PageRead *page, const char *condition)
{
	StringInfoData sql;
	ListCell   *lc;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT pg_catalog.to_jsonb(hone_page.*)");
	foreach(lc, page->query->hidden)
		appendStringInfo(&sql, " OPERATOR(pg_catalog.-) %s::pg_catalog.text",
						 quote_literal_cstr(lfirst(lc)));
	for (int i = 0; i < page->query->ncolumns; i++)
		appendStringInfo(&sql, ", %s", column_name(page, i));
	appendStringInfo(&sql, " FROM (%s\n) AS hone_page", page->query->text);
	if (condition[0] != '\0')
		appendStringInfo(&sql, " WHERE %s", condition);
	appendStringInfoString(&sql, " ORDER BY ");
	for (int i = 0; i < page->query->ncolumns; i++)
		appendStringInfo(&sql, "%s%s%s%s", i ? ", " : "", column_name(page, i),
						 is_descending(page, i) ? " DESC" : " ASC",
						 is_nulls_first(page, i) ? " NULLS FIRST" : " NULLS LAST");
	appendStringInfo(&sql, " LIMIT %d", page->size + 1);
	return sql.data;
}

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------
 */

static void
keep_rows(PageRead *page, uint64 count)
{
	for (uint64 i = 0; i < count; i++)
	{
		PageRow    *row = &page->rows[page->nrows++];
		bool		isnull;

		row->data = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);
		for (int j = 0; j < page->query->ncolumns; j++)
			row->keys[j] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, j + 2,
										 &row->nulls[j]);
	}
}

/* Until there is one row more than the page has. */
static void
read_rows(PageRead *page)
{
	ListCell   *lc;

	page->rows = palloc((page->size + 1) * sizeof(PageRow));
	foreach(lc, make_conditions(page))
	{
		int			limit = page->size + 1 - page->nrows;
		SPIPlanPtr	plan;

		if (limit <= 0)
			break;
		plan = hone_saved_plan_marked(statement_text(page, lfirst(lc)), page->query->mark,
									  page->nvalues, page->types, 0);
		keep_rows(page, hone_saved_plan_run(plan, page->nvalues, page->types, page->values,
											page->nulls, true, limit, NULL));
	}
}

static bool
is_same_key(const HonePageColumn *column, const PageRow *a, const PageRow *b, int i)
{
	TypeCacheEntry *type = lookup_type_cache(column->type, TYPECACHE_EQ_OPR_FINFO);

	if (a->nulls[i] || b->nulls[i])
		return a->nulls[i] && b->nulls[i];
	return DatumGetBool(FunctionCall2Coll(&type->eq_opr_finfo, column->collation,
										  a->keys[i], b->keys[i]));
}

/* A page cannot end between rows that are equal: the next would lose one. */
static void
check_end(PageRead *page)
{
	PageRow    *last;

	if (page->query->unique || page->nrows <= page->size)
		return;
	last = &page->rows[page->size - 1];
	for (int i = 0; i < page->query->ncolumns; i++)
	{
		if (!is_same_key(&page->query->columns[i], last, last + 1, i))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_CARDINALITY_VIOLATION),
			 errmsg("the page ends between two rows that nothing tells apart"),
			 errdetail("They are equal in all columns of the order: %s.", page->query->total_order),
			 errhint("Select a column that is unique, or SELECT DISTINCT.")));
}

/* ------------------------------------------------------------------------
 * The result
 * ------------------------------------------------------------------------
 */

/* With plain texts. */
static Datum
cursor_of(PageRead *page, PageRow *row)
{
	char	   *keys[HONE_PAGE_ORDER];

	for (int i = 0; i < page->query->ncolumns; i++)
	{
		Oid			output;
		bool varlena;

		getTypeOutputInfo(page->query->columns[i].type, &output, &varlena);
		keys[i] = row->nulls[i] ? NULL : OidOutputFunctionCall(output, row->keys[i]);
	}
	return CStringGetTextDatum(hone_cursor_write(&page->seal, keys, page->query->ncolumns));
}

/* The rows in the query's order. */
static Datum
rows_array(PageRead *page, int count)
{
	JsonbParseState *state = NULL;

	(void) pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < count; i++)
	{
		Jsonb	   *json = DatumGetJsonbP(page->rows[page->backward ? count - 1 - i : i].data);
		JsonbValue	value;

		value.type = jbvBinary;
		value.val.binary.data = &json->root;
		value.val.binary.len = VARSIZE(json) - VARHDRSZ;
		(void) pushJsonbValue(&state, WJB_ELEM, &value);
	}
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_ARRAY, NULL)));
}

static Datum
text_array(List *texts)
{
	Datum	   *values = palloc(Max(list_length(texts), 1) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, texts)
		values[foreach_current_index(lc)] = CStringGetTextDatum(lfirst(lc));
	return PointerGetDatum(construct_array(values, list_length(texts), TEXTOID, -1, false,
										   TYPALIGN_INT));
}

/*
 * Of an empty page the cursors are those that it was asked for with, so that
 * one can go on when there are rows again.
 */
static void
fill_result(PageRead *page, FunctionCallInfo fcinfo, Datum *values, bool *nulls)
{
	int			count = Min(page->nrows, page->size);
	bool		more = page->nrows > page->size;
	bool		from_row = page->start != NULL;

	values[0] = rows_array(page, count);
	if (count > 0)
	{
		int			level = hone_plain_texts(true);

		values[1] = cursor_of(page, &page->rows[page->backward ? 0 : count - 1]);
		values[2] = cursor_of(page, &page->rows[page->backward ? count - 1 : 0]);
		AtEOXact_GUC(false, level);
	}
	else
	{
		nulls[1] = page->backward || !from_row;
		values[1] = nulls[1] ? (Datum) 0 : PG_GETARG_DATUM(ARG_AFTER);
		nulls[2] = !from_row;
		values[2] = nulls[2] ? (Datum) 0 : page->backward ? PG_GETARG_DATUM(ARG_BEFORE) :
			CStringGetTextDatum("");
	}
	values[3] = BoolGetDatum(page->backward ? from_row : more);
	values[4] = BoolGetDatum(page->backward ? more : from_row);
	values[5] = CStringGetTextDatum(page->query->total_order);
	values[6] = text_array(page->query->added);
}

/* ------------------------------------------------------------------------
 * Arguments
 * ------------------------------------------------------------------------
 */

static char *
text_argument(FunctionCallInfo fcinfo, Argument i)
{
	return PG_ARGISNULL(i) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(i));
}

static void
check_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(ARG_QUERY))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("query must not be null"),
				 errhint("For example hone.page('SELECT id, name FROM items', 'name').")));
	if (PG_ARGISNULL(ARG_SIZE) || PG_GETARG_INT32(ARG_SIZE) < 1 ||
		PG_GETARG_INT32(ARG_SIZE) > MAX_SIZE)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("size must be between 1 and %d", MAX_SIZE),
				 errhint("It is the number of rows of a page; the default is 20.")));
	if (!PG_ARGISNULL(ARG_AFTER) && !PG_ARGISNULL(ARG_BEFORE))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("a page is after a row or before one, not both"),
				 errhint("Pass \"next\" of a page as after, or its \"previous\" as before.")));
}

static void
report_params(int needed, int given)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_PARAMETER),
			 errmsg("the query has %d parameters, and params %d values", needed, given),
			 errhint("Pass a JSON array with a value for each: params => '[7, \"a\"]'.")));
}

/* The values of the query's own parameters. */
static void
read_params(PageRead *page, Jsonb *params)
{
	JsonbIterator *it;
	JsonbValue	value;
	JsonbIteratorToken token;
	int			count = params == NULL ? 0 : JB_ROOT_COUNT(params);
	int			i = 0;

	if (params != NULL && (!JB_ROOT_IS_ARRAY(params) || JB_ROOT_IS_SCALAR(params)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("params must be a JSON array"),
				 errhint("The first value is that of $1: params => '[7, \"a\"]'.")));
	if (count != page->query->nparams)
		report_params(page->query->nparams, count);
	if (count == 0)
		return;
	it = JsonbIteratorInit(&params->root);
	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		HoneJsonType type;

		if (token != WJB_ELEM)
			continue;
		hone_json_type(&type, psprintf("$%d", i + 1), page->types[i], -1, get_typcollation(page->types[i]));
		page->values[i] = hone_json_value(&type, &value, &page->nulls[i]);
		i++;
	}
}

/* The keys of the row to go on from, as parameters behind the query's own. */
static void
read_start(PageRead *page, const char *cursor)
{
	HonePageQuery *query = page->query;
	int			level;

	page->start = hone_cursor_read(&page->seal, cursor, query->ncolumns);
	level = hone_plain_texts(true);
	for (int i = 0; i < query->ncolumns; i++)
	{
		Oid			input;
		Oid			ioparam;

		if (page->start[i] == NULL)
			continue;
		getTypeInputInfo(query->columns[i].type, &input, &ioparam);
		page->types[page->nvalues] = query->columns[i].type;
		page->values[page->nvalues] = OidInputFunctionCall(input, page->start[i], ioparam, -1);
		page->nulls[page->nvalues] = false;
		page->key_param[i] = ++page->nvalues;
	}
	AtEOXact_GUC(false, level);
}

/* What a cursor is bound to. */
static char *
bound_text(PageRead *page, FunctionCallInfo fcinfo, const char *query)
{
	StringInfoData text;
	Jsonb	   *params = PG_ARGISNULL(ARG_PARAMS) ? NULL : PG_GETARG_JSONB_P(ARG_PARAMS);

	initStringInfo(&text);
	appendStringInfo(&text, "%u %zu %s %s %s", MyDatabaseId, strlen(query), query,
					 page->query->total_order,
					 params == NULL ? "" : JsonbToCString(NULL, &params->root, VARSIZE(params)));
	for (int i = 0; i < page->query->ncolumns; i++)
		appendStringInfo(&text, " %u", page->query->columns[i].type);
	return text.data;
}

/* A domain's CHECK is code of the query, too: of its parameters' types. */
static void
read_page(PageRead *page, FunctionCallInfo fcinfo, const char *query)
{
	char	   *cursor = text_argument(fcinfo, page->backward ? ARG_BEFORE : ARG_AFTER);

	read_params(page, PG_ARGISNULL(ARG_PARAMS) ? NULL : PG_GETARG_JSONB_P(ARG_PARAMS));
	hone_cursor_seal(&page->seal, bound_text(page, fcinfo, query));
	if (cursor != NULL && !(page->backward && cursor[0] == '\0'))
		read_start(page, cursor);
	read_rows(page);
}

/*
 * As in a read-only transaction. A function cannot leave it: the setting may
 * not be turned off once there is a snapshot. (From 16 on it cannot be set for
 * a part of a transaction, so this is what it sets.)
 */
static void
read_only(PageRead *page, FunctionCallInfo fcinfo, const char *query)
{
	bool		before = XactReadOnly;

	PG_TRY();
	{
		XactReadOnly = true;
		read_page(page, fcinfo, query);
	}
	PG_FINALLY();
	{
		XactReadOnly = before;
	}
	PG_END_TRY();
}

/*
 * hone.page(query, order_by, after, size, before, params)
 */
Datum
hone_page(PG_FUNCTION_ARGS)
{
	MemoryContext caller = CurrentMemoryContext;
	MemoryContext old;
	PageRead	page;
	char	   *query;
	char	   *order_by;
	Datum		values[7] = {0};
	bool		nulls[7] = {false};
	TupleDesc	tupdesc;
	Datum		result;

	hone_require_script();
	check_arguments(fcinfo);
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	memset(&page, 0, sizeof(page));
	query = text_argument(fcinfo, ARG_QUERY);
	order_by = text_argument(fcinfo, ARG_ORDER);
	page.size = PG_GETARG_INT32(ARG_SIZE);
	page.backward = !PG_ARGISNULL(ARG_BEFORE);

	SPI_connect();
	page.query = hone_page_query(query, order_by == NULL ? "" : order_by);
	page.nvalues = page.query->nparams;
	page.types = palloc((page.nvalues + HONE_PAGE_ORDER) * sizeof(Oid));
	page.values = palloc0((page.nvalues + HONE_PAGE_ORDER) * sizeof(Datum));
	page.nulls = palloc0((page.nvalues + HONE_PAGE_ORDER) * sizeof(bool));
	if (page.nvalues > 0)
		memcpy(page.types, page.query->param_types, page.nvalues * sizeof(Oid));
	read_only(&page, fcinfo, query);
	check_end(&page);
	fill_result(&page, fcinfo, values, nulls);

	/* out of SPI's memory */
	old = MemoryContextSwitchTo(caller);
	result = HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc), values, nulls));
	MemoryContextSwitchTo(old);
	SPI_finish();
	PG_RETURN_DATUM(result);
}
