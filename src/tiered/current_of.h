/*-------------------------------------------------------------------------
 *
 * current_of.h
 *	  The row that WHERE CURRENT OF means.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_CURRENT_OF_H
#define HONE_TIERED_CURRENT_OF_H

#include "storage/itemptr.h"
#include "utils/relcache.h"
#include "utils/snapshot.h"

/*
 * *tid: the row as a cursor fetched it; becomes the latest version that the
 * snapshot sees, as in heap_get_latest_tid. Raises 40001 when the row has been
 * compressed, or compressed again, since: nothing leads from there to the row.
 */
extern void hone_current_of_tid(Relation rel, Snapshot snapshot, ItemPointer tid);

#endif							/* HONE_TIERED_CURRENT_OF_H */
