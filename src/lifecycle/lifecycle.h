/*-------------------------------------------------------------------------
 *
 * lifecycle.h
 *	  What others may ask of lifecycle/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_H
#define HONE_LIFECYCLE_H

#include "common/hone.h"

/* Defines settings, installs hooks. Called once from _PG_init. */
extern void hone_lifecycle_init(void);

#endif							/* HONE_LIFECYCLE_H */
