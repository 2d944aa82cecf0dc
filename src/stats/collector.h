/*-------------------------------------------------------------------------
 *
 * collector.h
 *	  The statistics' own process. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_COLLECTOR_H
#define HONE_STATS_COLLECTOR_H

#include "common/hone.h"

/* hone.wait_sample_interval: 0 = what statements wait for is not sampled. */
extern int	hone_wait_sample_interval_ms;

/* Register the process (preloaded only). */
extern void hone_collector_init(void);

extern PGDLLEXPORT void hone_collector_main(Datum main_arg);

#endif							/* HONE_STATS_COLLECTOR_H */
