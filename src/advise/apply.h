/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  Doing what a recommendation says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_APPLY_H
#define HONE_APPLY_H

#include "common/task.h"

/* Does what hone.apply_recommendation() was called for. */
extern const HoneTask hone_apply_task;

#endif							/* HONE_APPLY_H */
