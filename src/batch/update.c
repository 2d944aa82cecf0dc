/*-------------------------------------------------------------------------
 *
 * update.c
 *	  batch_update: change many rows, a commit per batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "batch/condition.h"
#include "batch/work.h"
#include "common/procedure.h"

PG_FUNCTION_INFO_V1(hone_batch_update);

static void
note_assigned(HoneBatch *batch)
{
	batch->assigned = hone_check_assignments(batch->assignments);
}

/*
 * hone.batch_update(rel, set_clause, condition, batch_size, INOUT rows_updated, ...)
 */
Datum
hone_batch_update(PG_FUNCTION_ARGS)
{
	HoneBatch	batch = {.kind = HONE_BATCH_UPDATE,.procedure = "hone.batch_update",.privileges = ACL_UPDATE};
	int64		rows;

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
	rows = hone_batch_run(&batch);
	hone_procedure_end();
	PG_RETURN_DATUM(hone_batch_result(fcinfo, rows));
}
