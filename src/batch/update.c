/*-------------------------------------------------------------------------
 *
 * update.c
 *	  batch_update: change many rows, a commit per batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "batch/condition.h"
#include "batch/work.h"
#include "common/own_tables.h"
#include "common/procedure.h"

PG_FUNCTION_INFO_V1(hone_batch_update);

static void
note_assigned(HoneBatch *batch)
{
	batch->assigned = hone_check_assignments(batch->assignments);
}

/*
 * Rows that the call's transactions wrote are taken for done: so nothing but the
 * statement itself may write them. (What triggers do is not known.)
 */
void
hone_batch_check_places(const HoneBatch *batch)
{
	Oid			types[] = {OIDARRAYOID, TEXTARRAYOID};
	Datum	   *names = palloc(list_length(batch->assigned) * sizeof(Datum));
	Datum		values[2];

	for (int i = 0; i < list_length(batch->assigned); i++)
		names[i] = CStringGetTextDatum(list_nth(batch->assigned, i));
	values[0] = hone_batch_oid_array(find_all_inheritors(batch->root, AccessShareLock, NULL));
	values[1] = PointerGetDatum(construct_array(names, list_length(batch->assigned), TEXTOID, -1, false, TYPALIGN_INT));
	if (hone_own_run("SELECT pg_catalog.quote_ident(conname) FROM pg_catalog.pg_constraint c"
					 " WHERE contype = 'f' AND confupdtype IN ('c', 'n', 'd')"
					 " AND conrelid = ANY ($1) AND confrelid = ANY ($1) AND EXISTS (SELECT FROM pg_catalog.pg_attribute a"
					 "  WHERE a.attrelid = c.confrelid AND a.attnum = ANY (c.confkey) AND a.attname = ANY ($2))"
					 " ORDER BY 1 LIMIT 1", 2, types, values, NULL) == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("rows of \"%s\" that refer to others of it would be changed by foreign key %s, and so be taken for done",
					get_rel_name(batch->root), hone_result_text(0, 1)),
			 errhint("Use one UPDATE, or make the constraint one without ON UPDATE CASCADE or SET until the rows are updated.")));
}

/*
 * hone.batch_update(rel, set_clause, condition, batch_size, INOUT rows_updated, ...)
 */
Datum
hone_batch_update(PG_FUNCTION_ARGS)
{
	HoneBatch	batch = {.kind = HONE_BATCH_UPDATE,.procedure = "hone.batch_update",.privileges = ACL_UPDATE};

	hone_require_script();
	hone_procedure_begin(fcinfo, batch.procedure);
	hone_batch_arguments(&batch, fcinfo, 2);
	if (!PG_ARGISNULL(1))
	{
		batch.assignments = text_to_cstring(PG_GETARG_TEXT_PP(1));
		note_assigned(&batch);
	}
	else if (!batch.options.resume)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("set_clause must not be null"),
				 errhint("Pass what stands behind SET in an UPDATE, for example 'price = price * 1.1, changed_at = now()'.")));
	batch.prepare = note_assigned;
	PG_RETURN_DATUM(hone_batch_call(&batch, fcinfo));
}
