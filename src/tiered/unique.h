/*-------------------------------------------------------------------------
 *
 * unique.h
 *	  Unique indexes of an open table: keys of compressed rows count too.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_UNIQUE_H
#define HONE_TIERED_UNIQUE_H

#include "access/tableam.h"
#include "nodes/execnodes.h"

/*
 * See to it that insertions into the unique indexes of rel, and searches for
 * conflicts in them, know of its compressed rows. Does nothing unless the
 * session holds ROW EXCLUSIVE on rel.
 */
extern void hone_unique_attach(Relation rel);

/*
 * The compressed row at tid, found by such a search; false when it is dead.
 * Tells the SnapshotDirty who is changing it.
 */
extern bool hone_unique_fetch(Relation rel, ItemPointer tid, Snapshot snapshot,
							  TupleTableSlot *slot);

/*
 * Raise an error unless the rows of both kinds that the snapshot sees have
 * different keys: for an index that is being built.
 */
extern void hone_unique_check_all(Relation rel, Relation index, IndexInfo *info,
								  Snapshot snapshot);

#endif							/* HONE_TIERED_UNIQUE_H */
