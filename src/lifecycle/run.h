/*-------------------------------------------------------------------------
 *
 * run.h
 *	  Everything that is due, one after the other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_RUN_H
#define HONE_LIFECYCLE_RUN_H

#include "common/hone.h"

typedef struct HoneRunResult
{
	int			made;			/* partitions ahead */
	int			moved;
	int			failed;
} HoneRunResult;

/*
 * Make partitions ahead, and move what is due: in the worker everything that does not rest after a
 * failure, else everything the caller owns. Failures are logged, reported as
 * warnings (in the worker: server log), and stop nothing. The worker ends early
 * when it is to move no more now (pace.h). Must be called
 * between hone_procedure_begin and hone_procedure_end.
 */
extern void hone_run_due(bool by_worker, HoneRunResult *result);

#endif							/* HONE_LIFECYCLE_RUN_H */
