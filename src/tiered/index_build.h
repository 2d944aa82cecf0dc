/*-------------------------------------------------------------------------
 *
 * index_build.h
 *	  Indexes of tiered tables.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_INDEX_BUILD_H
#define HONE_TIERED_INDEX_BUILD_H

#include "access/tableam.h"

/* Put the callbacks of index builds into the routine. */
extern void hone_index_build_install(TableAmRoutine *routine);

#endif							/* HONE_TIERED_INDEX_BUILD_H */
