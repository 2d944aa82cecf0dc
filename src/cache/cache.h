/*-------------------------------------------------------------------------
 *
 * cache.h
 *	  What others may ask of cache/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CACHE_H
#define HONE_CACHE_H

#include "common/hone.h"

/* Called once from _PG_init: settings, shared memory, callbacks. */
extern void hone_cache_init(void);

#endif							/* HONE_CACHE_H */
