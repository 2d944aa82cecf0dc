/*-------------------------------------------------------------------------
 *
 * maintenance.c
 *	  The list of maintenance functions (see maintenance.h).
 *
 * Filled while the library loads, in the postmaster; the launcher inherits
 * it. An error in one function is reported and ends nothing but that call.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

#include "common/maintenance.h"

#define MAX_MAINTENANCE 8

static HoneMaintenance functions[MAX_MAINTENANCE];
static int	nfunctions = 0;

void
hone_maintenance_register(HoneMaintenance fn)
{
	if (nfunctions == MAX_MAINTENANCE)
		elog(ERROR, "too many maintenance functions");
	functions[nfunctions++] = fn;
}

static void
run_one(HoneMaintenance fn)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "hone maintenance",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);

	PG_TRY();
	{
		fn();
	}
	PG_CATCH();
	{
		HOLD_INTERRUPTS();
		LWLockReleaseAll();
		EmitErrorReport();
		FlushErrorState();
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

void
hone_maintenance_run(void)
{
	for (int i = 0; i < nfunctions; i++)
		run_one(functions[i]);
}
