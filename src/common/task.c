/*-------------------------------------------------------------------------
 *
 * task.c
 *	  The list of what workers do in each database (see task.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"

#include "common/task.h"

const HoneTask *hone_tasks[HONE_MAX_TASKS];
int			hone_task_count = 0;
void		(*hone_database_has_tasks) (void) = NULL;

static bool tell_at_commit = false;

void
hone_task_register(const HoneTask *task)
{
	int			workers = task->workers;

	for (int i = 0; i < hone_task_count; i++)
		workers += hone_tasks[i]->workers;
	if (hone_task_count == HONE_MAX_TASKS || workers > HONE_WORKER_SLOTS)
		elog(ERROR, "too many tasks");
	hone_tasks[hone_task_count++] = task;
}

static void
end_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && tell_at_commit && hone_database_has_tasks != NULL)
		hone_database_has_tasks();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		tell_at_commit = false;
}

void
hone_task_database_created(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(end_transaction, NULL);
	registered = tell_at_commit = true;
}
