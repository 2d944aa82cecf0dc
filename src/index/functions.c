/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  SQL functions about hypothetical indexes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "common/hone.h"
#include "compat/compat.h"
#include "index/hypothetical.h"
#include "index/index.h"

/* Each is locked, with its indexes, to the end of the transaction. */
#define MOST_LEAVES		500

PG_FUNCTION_INFO_V1(hone_hypothetical_index);
PG_FUNCTION_INFO_V1(hone_hypothetical_indexes);
PG_FUNCTION_INFO_V1(hone_drop_hypothetical_indexes);
PG_FUNCTION_INFO_V1(hone_explain_with);

void
hone_index_init(void)
{
	hone_hypothetical_init();
}

/*
 * hone.hypothetical_index(ddl text) returns text
 */
Datum
hone_hypothetical_index(PG_FUNCTION_ARGS)
{
	List	   *indexes;

	hone_require_script();
	indexes = hone_hypothetical_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), MOST_LEAVES);
	hone_hypothetical_keep(indexes);
	if (indexes == NIL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(((HoneHypotheticalIndex *) linitial(indexes))->name));
}

/*
 * hone.drop_hypothetical_indexes() returns integer
 */
Datum
hone_drop_hypothetical_indexes(PG_FUNCTION_ARGS)
{
	hone_require_script();
	PG_RETURN_INT32(hone_hypothetical_forget());
}

/*
 * hone._hypothetical_indexes(): name, relation, definition, rows, bytes, of
 * those whose table is still there
 */
Datum
hone_hypothetical_indexes(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	ListCell   *lc;

	hone_require_script();
	InitMaterializedSRF(fcinfo, 0);
	foreach(lc, hone_hypothetical_session())
	{
		const HoneHypotheticalIndex *index = lfirst(lc);
		Datum		values[5];
		bool		isnull[5] = {0};
		HoneIndexSize size;

		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(index->relid)))
			continue;
		size = hone_index_size(index, index->estimate.rows, index->estimate.pages);
		values[0] = CStringGetTextDatum(index->name);
		values[1] = ObjectIdGetDatum(index->relid);
		values[2] = CStringGetTextDatum(index->definition);
		values[3] = Float8GetDatum(rint(size.tuples));
		values[4] = Int64GetDatum((int64) size.pages * BLCKSZ);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, isnull);
	}
	return (Datum) 0;
}

/*
 * EXPLAIN is put before the text, so the text must be one statement that
 * EXPLAIN takes as it stands: "ANALYZE SELECT 1" would run.
 */
static void
check_query(const char *query)
{
	List	   *statements = hone_parse_text(query);
	Node	   *statement = list_length(statements) == 1 ?
	linitial_node(RawStmt, statements)->stmt : NULL;

	if (statement == NULL ||
		!(IsA(statement, SelectStmt) || IsA(statement, InsertStmt) ||
		  IsA(statement, UpdateStmt) || IsA(statement, DeleteStmt) ||
		  IsA(statement, MergeStmt)))
		ereport(ERROR,
				(errcode(ERRCODE_SYNTAX_ERROR),
				 errmsg("not one statement that can be planned"),
				 errhint("Give one SELECT, INSERT, UPDATE, DELETE or MERGE, without EXPLAIN.")));
}

static List *
parse_all(ArrayType *ddl)
{
	Datum	   *elements;
	bool	   *nulls;
	int			n;
	List	   *indexes = NIL;

	deconstruct_array(ddl, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("a CREATE INDEX statement is null")));
		indexes = list_concat(indexes, hone_hypothetical_parse(TextDatumGetCString(elements[i]), MOST_LEAVES));
	}
	return indexes;
}

static void
put_result(ReturnSetInfo *rsinfo)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull = false;
		Datum		line = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1, &isnull);

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, &line, &isnull);
	}
}

/*
 * hone.explain_with(query text, ddl text[]) returns setof text
 */
Datum
hone_explain_with(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char	   *query;
	char	   *explain;
	List	   *indexes;
	List	  **before;

	hone_require_script();
	query = text_to_cstring(PG_GETARG_TEXT_PP(0));
	check_query(query);
	indexes = parse_all(PG_GETARG_ARRAYTYPE_P(1));
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	explain = psprintf("EXPLAIN " HONE_EXPLAIN_GENERIC "%s", query);
	SPI_connect();
	before = hone_hypothetical_use(&indexes);
	PG_TRY();
	{
		if (SPI_execute(explain, false, 0) != SPI_OK_UTILITY)
			elog(ERROR, "EXPLAIN returned no plan");
		put_result(rsinfo);
	}
	PG_FINALLY();
	{
		hone_hypothetical_use(before);
	}
	PG_END_TRY();
	SPI_finish();
	return (Datum) 0;
}
