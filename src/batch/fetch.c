/*-------------------------------------------------------------------------
 *
 * fetch.c
 *	  fetch_batch: the rows of many keys, in the order of the keys.
 *
 * One statement joins the keys, numbered, to the table:
 *
 *		SELECT t.* FROM unnest($1) WITH ORDINALITY k(k1, n) LEFT JOIN LATERAL
 *			(SELECT * FROM rel r WHERE r.id = k.k1 OFFSET 0) t ON true ORDER BY k.n
 *
 * A repeated key gives its row again, and a key that is missing or NULL a row
 * of NULLs. The plan is generic, and made with sequential scans out of favour:
 * a loop over the keys, which come in order as they are, with a look-up in the
 * unique index for each. (OFFSET 0 leaves no other: a plain join to a table that
 * was tiny when it was planned reads all of it.) The rows go to a tuplestore as
 * they come.
 *
 * It runs through SPI as the caller.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/spi_priv.h"
#include "executor/tstoreReceiver.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/plancache.h"
#include "utils/syscache.h"

#include "batch/fetch_keys.h"
#include "batch/saved_plan.h"

PG_FUNCTION_INFO_V1(hone_fetch_batch);
PG_FUNCTION_INFO_V1(hone_fetch_batch_composite);

/* The table whose row type the first argument has. */
static Oid
table_argument(FunctionCallInfo fcinfo)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, 0);
	Oid			relid = OidIsValid(type) ? get_typ_typrelid(type) : InvalidOid;
	char		kind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE &&
		kind != RELKIND_MATVIEW)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("type %s is not the row type of a table",
						OidIsValid(type) ? format_type_be(type) : "unknown"),
				 errhint("Name the table in the first argument, as in hone.fetch_batch(NULL::orders, 'id', $1).")));
	return relid;
}

/*
 * Keys of a domain may have a collation of their own, which would win over that
 * of the column and its index.
 */
static bool
is_collated_otherwise(const HoneKeyColumn *column)
{
	Oid			collation = get_typcollation(column->given);

	return OidIsValid(column->collation) && OidIsValid(collation) &&
		collation != column->collation;
}

static char *
statement_text(Oid relid, const HoneFetchKeys *keys)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, "SELECT t.* FROM ROWS FROM (");
	for (int i = 0; i < keys->ncolumns; i++)
		appendStringInfo(&sql, "%spg_catalog.unnest($%d)", i ? ", " : "", i + 1);
	appendStringInfoString(&sql, ") WITH ORDINALITY AS k(");
	for (int i = 0; i < keys->ncolumns; i++)
		appendStringInfo(&sql, "k%d, ", i + 1);
	appendStringInfo(&sql, "n) LEFT JOIN LATERAL (SELECT r.* FROM %s AS r WHERE ", hone_qualified_name(relid));
	for (int i = 0; i < keys->ncolumns; i++)
	{
		const HoneKeyColumn *column = &keys->columns[i];

		appendStringInfo(&sql, "%sr.%s %s k.k%d", i ? " AND " : "",
						 quote_identifier(column->name), column->equals, i + 1);
		if (OidIsValid(column->cast))
			appendStringInfo(&sql, "::%s",
							 format_type_extended(column->cast, -1,
												  FORMAT_TYPE_TYPEMOD_GIVEN |
												  FORMAT_TYPE_FORCE_QUALIFY));
		if (is_collated_otherwise(column))
			appendStringInfo(&sql, " COLLATE %s", hone_collation_text(column->collation));
	}
	appendStringInfoString(&sql, " OFFSET 0) AS t ON true ORDER BY k.n");
	return sql.data;
}

/*
 * The plan, made with enable_seqscan off where there is none: a sequential
 * scan for each key must not come from statistics that are out of date.
 */
static SPIPlanPtr
indexed_plan(const char *sql, int nargs, Oid *types)
{
	SPIPlanPtr	plan = hone_saved_plan(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	int			level = NewGUCNestLevel();
	CachedPlan *cached;

	(void) set_config_option("enable_seqscan", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	cached = SPI_plan_get_cached_plan(plan);
	if (cached != NULL)
		ReleaseCachedPlan(cached, plan->saved ? CurrentResourceOwner : NULL);
	AtEOXact_GUC(false, level);
	return plan;
}

static Datum
fetch_batch(FunctionCallInfo fcinfo, Oid relid, HoneFetchKeys *keys)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	bool		nulls[INDEX_MAX_KEYS] = {false};
	DestReceiver *dest;
	SPIPlanPtr	plan;

	InitMaterializedSRF(fcinfo, 0);
	if (keys == NULL)
		return (Datum) 0;
	dest = CreateTuplestoreDestReceiver();
	SetTuplestoreDestReceiverParams(dest, rsinfo->setResult,
									rsinfo->econtext->ecxt_per_query_memory, false,
									rsinfo->setDesc,
									"the table's columns have changed");
	SPI_connect();
	plan = indexed_plan(statement_text(relid, keys), keys->ncolumns, keys->types);
	(void) hone_saved_plan_run(plan, keys->ncolumns, keys->types, keys->values, nulls,
							   true, 0, dest);
	SPI_finish();
	dest->rDestroy(dest);
	return (Datum) 0;
}

/*
 * hone.fetch_batch(NULL::rel, key_column, keys)
 */
Datum
hone_fetch_batch(PG_FUNCTION_ARGS)
{
	Oid			relid;
	HoneFetchKeys *keys;

	hone_require_script();
	relid = table_argument(fcinfo);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("key_column must not be null"),
				 errhint("Name the column that the keys are values of.")));
	keys = hone_fetch_keys(relid, list_make1(NameStr(*PG_GETARG_NAME(1))),
						   get_fn_expr_argtype(fcinfo->flinfo, 2),
						   PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));
	return fetch_batch(fcinfo, relid, keys);
}

/*
 * hone.fetch_batch(NULL::rel, key_columns, keys)
 */
Datum
hone_fetch_batch_composite(PG_FUNCTION_ARGS)
{
	Oid			relid;
	HoneFetchKeys *keys;

	hone_require_script();
	relid = table_argument(fcinfo);
	keys = hone_fetch_keys(relid,
						   PG_ARGISNULL(1) ? NIL : hone_name_list(PG_GETARG_ARRAYTYPE_P(1), "key_columns"),
						   get_fn_expr_argtype(fcinfo->flinfo, 2),
						   PG_ARGISNULL(2) ? NULL : PG_GETARG_ARRAYTYPE_P(2));
	return fetch_batch(fcinfo, relid, keys);
}
