/*-------------------------------------------------------------------------
 *
 * cluster.h
 *	  VACUUM FULL and CLUSTER of a table with compressed rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_CLUSTER_H
#define HONE_TIERED_CLUSTER_H

#include "utils/relcache.h"

/*
 * Copy what the store of old_rel holds into the TOAST table of new_rel, which
 * the rewriting of the plain rows has filled before. Returns the rows in
 * batches. Both tables are locked ACCESS EXCLUSIVE.
 */
extern double hone_cluster_copy_store(Relation old_rel, Relation new_rel,
									  TransactionId oldest_xmin,
									  TransactionId freeze_xid,
									  MultiXactId multi_cutoff);

#endif							/* HONE_TIERED_CLUSTER_H */
