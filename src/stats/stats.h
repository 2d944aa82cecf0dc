/*-------------------------------------------------------------------------
 *
 * stats.h
 *	  What others may ask of stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_H
#define HONE_STATS_H

#include "common/hone.h"

/* Defines settings, installs hooks. Called once from _PG_init. */
extern void hone_stats_init(void);

#endif							/* HONE_STATS_H */
