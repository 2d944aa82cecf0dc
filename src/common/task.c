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

void		(*hone_tasks_wanted) (uint32 tasks) = NULL;

static bool tell_at_commit = false;
static uint32 want_at_commit = 0;

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
	if (event == XACT_EVENT_COMMIT && want_at_commit != 0 && hone_tasks_wanted != NULL)
		hone_tasks_wanted(want_at_commit);
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
	{
		tell_at_commit = false;
		want_at_commit = 0;
	}
}

static void
watch_transactions(void)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(end_transaction, NULL);
	registered = true;
}

void
hone_task_database_created(void)
{
	watch_transactions();
	tell_at_commit = true;
}

void
hone_task_want(const HoneTask *task)
{
	watch_transactions();
	for (int i = 0; i < hone_task_count; i++)
	{
		if (hone_tasks[i] == task)
			want_at_commit |= (uint32) 1 << i;
	}
}
