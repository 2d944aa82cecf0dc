/*-------------------------------------------------------------------------
 *
 * run.h
 *	  The loop over the steps of a run; what functions.c needs of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_RUN_H
#define HONE_TIERED_RUN_H

#include "utils/snapshot.h"

#include "tiered/tiered.h"

/*
 * The next transaction of a run: its commit waits for no disk and no replica,
 * and it cannot fail to serialize.
 */
extern void hone_next_step(HoneTieredNextTransaction next_transaction, void *arg);

/* Raise an error unless rel can be decompressed; a table that is none too. */
extern void hone_tiered_check_decompressible(Relation rel);

/* Let partitions to come of a partitioned table be ordinary ones. */
extern void hone_tiered_make_parent_ordinary(Oid relid, int lock_timeout_ms,
											 HoneTieredNextTransaction next_transaction,
											 void *arg);

/*
 * Rows of the main fork that the snapshot sees: counted on some blocks spread
 * over it, on all of them where there are few.
 */
extern int64 hone_estimate_plain_rows(Relation rel, Snapshot snapshot);

#endif							/* HONE_TIERED_RUN_H */
