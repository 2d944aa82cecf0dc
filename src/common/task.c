/*-------------------------------------------------------------------------
 *
 * task.c
 *	  The list of what workers do in each database (see task.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/task.h"

const HoneTask *hone_tasks[HONE_MAX_TASKS];
int			hone_task_count = 0;

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
