/*-------------------------------------------------------------------------
 *
 * delete.c
 *	  batch_delete: delete many rows, a commit per batch.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"

#include "batch/work.h"
#include "common/procedure.h"

PG_FUNCTION_INFO_V1(hone_batch_delete);

/*
 * hone.batch_delete(rel, condition, batch_size, INOUT rows_deleted, ...)
 */
Datum
hone_batch_delete(PG_FUNCTION_ARGS)
{
	HoneBatch	batch = {.kind = HONE_BATCH_DELETE,.procedure = "hone.batch_delete"};

	hone_require_script();
	hone_procedure_begin(fcinfo, batch.procedure);
	hone_batch_arguments(&batch, fcinfo, 1);
	batch.privileges = ACL_DELETE | (batch.options.skip_locked ? ACL_UPDATE : 0);
	PG_RETURN_DATUM(hone_batch_call(&batch, fcinfo));
}
