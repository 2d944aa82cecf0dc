/*-------------------------------------------------------------------------
 *
 * housekeeping.h
 *	  Resetting the statistics. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_HOUSEKEEPING_H
#define HONE_STATS_HOUSEKEEPING_H

#include "stats/shared.h"

/* Forget the numbers of one query (in every database), or all of them. */
extern void hone_stats_reset(bool all, uint64 queryid);

#endif							/* HONE_STATS_HOUSEKEEPING_H */
