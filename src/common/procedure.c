/*-------------------------------------------------------------------------
 *
 * procedure.c
 *	  Transactions of procedures in C (see procedure.h).
 *
 * All of it goes through SPI, since a procedure may be called by another one
 * in a procedural language, whose own SPI connection must survive the commit.
 * After an error, SPI connections of user code that threw are still open on
 * top of ours: they are told apart by the context that was current when they
 * connected, which for ours is one that nobody else ever makes current.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "executor/spi.h"
#include "nodes/parsenodes.h"
#include "utils/memutils.h"
#include "utils/portal.h"

#include "common/procedure.h"

static MemoryContext outer_context = NULL;	/* of the caller */
static MemoryContext mark_context = NULL;	/* current only while connecting */
static MemoryContext work_context = NULL;	/* SPI's, while ours is on top */

void
hone_procedure_begin(FunctionCallInfo fcinfo, const char *name)
{
	if (fcinfo->context == NULL || !IsA(fcinfo->context, CallContext) ||
		castNode(CallContext, fcinfo->context)->atomic || IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
				 errmsg("%s cannot run inside a transaction block, a function or an exception handler's block", name),
				 errhint("It commits between its steps: run CALL %s(...) as a statement of its own, outside BEGIN and COMMIT.", name)));

	outer_context = CurrentMemoryContext;
	mark_context = AllocSetContextCreate(PortalContext,
										 "hone procedure",
										 ALLOCSET_SMALL_SIZES);
	MemoryContextSwitchTo(mark_context);
	if (SPI_connect_ext(SPI_OPT_NONATOMIC) != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	work_context = CurrentMemoryContext;
}

void
hone_procedure_commit(void)
{
	MemoryContextSwitchTo(work_context);
	SPI_commit();
}

/*
 * Disconnect from SPI until our own connection is the current one.
 */
static void
close_inner_connections(void)
{
	for (;;)
	{
		void	   *probe = SPI_palloc(1);
		bool		ours = (GetMemoryChunkContext(probe) == mark_context);

		pfree(probe);
		if (ours)
			break;
		SPI_finish();
	}
}

void
hone_procedure_rollback(void)
{
	MemoryContextSwitchTo(work_context);
	close_inner_connections();
	MemoryContextSwitchTo(work_context);

	/*
	 * SPI_rollback first counts the active snapshots and complains about
	 * those that the failed code had pushed. It has aborted and started anew
	 * all the same when it throws.
	 */
	PG_TRY();
	{
		SPI_rollback();
	}
	PG_CATCH();
	{
		if (!IsTransactionState() || IsAbortedTransactionBlockState())
			PG_RE_THROW();
		MemoryContextSwitchTo(work_context);
		FlushErrorState();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(work_context);
}

void
hone_procedure_report(const char *what)
{
	ErrorData  *error;

	MemoryContextSwitchTo(work_context);
	error = CopyErrorData();
	FlushErrorState();
	hone_procedure_rollback();
	ereport(LOG,
			(errcode(error->sqlerrcode),
			 errmsg("pg_hone: %s: %s", what, error->message)));
	FreeErrorData(error);
}

void
hone_procedure_end(void)
{
	SPI_finish();
	MemoryContextSwitchTo(outer_context);
	MemoryContextDelete(mark_context);
	mark_context = NULL;
	work_context = NULL;
}

MemoryContext
hone_procedure_context(void)
{
	return work_context;
}
