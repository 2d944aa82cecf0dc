/*-------------------------------------------------------------------------
 *
 * task.h
 *	  What is to be done in every database with the extension, from time to
 *	  time. Registered by the areas' init; the launcher starts the workers.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TASK_H
#define HONE_TASK_H

#include "common/hone.h"

/* Workers of all tasks together. */
#define HONE_WORKER_SLOTS	20

typedef struct HoneTask
{
	const char *command;		/* SQL, run at top level as superuser */
	const char *activity;		/* shown in pg_stat_activity */
	const int  *interval_s;		/* a setting: time between two rounds */
	int			workers;		/* at the same time, in different databases */
	const int  *fewer_workers;	/* a setting: at most so many; NULL = none */
	int			limit_ms;		/* after so long it is terminated; 0 = never */
} HoneTask;

/* Static tasks, at most HONE_MAX_TASKS. */
#define HONE_MAX_TASKS		4

extern const HoneTask *hone_tasks[HONE_MAX_TASKS];
extern int	hone_task_count;

/* Called from an area's init only. */
extern void hone_task_register(const HoneTask *task);

/*
 * Called when a database has got the extension: the launcher's, to look into
 * every database again. NULL unless preloaded.
 */
extern void (*hone_database_has_tasks) (void);

/* The install script runs: call it once this transaction has committed. */
extern void hone_task_database_created(void);

/* The launcher's: begin a round of the tasks of these numbers (bits) now. */
extern void (*hone_tasks_wanted) (uint32 tasks);

/* Call it for this task once this transaction has committed. */
extern void hone_task_want(const HoneTask *task);

#endif							/* HONE_TASK_H */
