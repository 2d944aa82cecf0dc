/*-------------------------------------------------------------------------
 *
 * own_tables.c
 *	  Statements on pg_hone's own tables, and the rows of a result.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"

#include "common/own_tables.h"
#include "common/owner.h"

uint64
hone_own_run(const char *sql, int nargs, Oid *types, Datum *values,
			 const char *nulls)
{
	HoneRole	saved;
	int			result;

	/* all of them have the same one */
	hone_become_owner(hone_relation_oid("_tier_state"), &saved);
	result = SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0);
	if (result < 0)
		elog(ERROR, "\"%s\" failed: %s", sql, SPI_result_code_string(result));
	hone_restore_role(&saved);
	return SPI_processed;
}

uint64
hone_own_run_oid(const char *sql, Oid oid)
{
	Oid			types[] = {OIDOID};
	Datum		values[1];

	values[0] = ObjectIdGetDatum(oid);
	return hone_own_run(sql, 1, types, values, NULL);
}

uint64
hone_own_run_text(const char *sql, const char *text)
{
	Oid			types[] = {TEXTOID};
	Datum		values[1];

	values[0] = CStringGetTextDatum(text);
	return hone_own_run(sql, 1, types, values, NULL);
}

Datum
hone_result_value(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

char *
hone_result_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

int64
hone_result_integer(uint64 row, int column)
{
	bool		isnull;
	Datum		value = hone_result_value(row, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

Oid
hone_result_oid(uint64 row, int column)
{
	bool		isnull;
	Datum		value = hone_result_value(row, column, &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}
