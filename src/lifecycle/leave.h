/*-------------------------------------------------------------------------
 *
 * leave.h
 *	  Partitions that leave their table: archived and dropped, or dropped.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_LEAVE_H
#define HONE_LIFECYCLE_LEAVE_H

#include "nodes/pg_list.h"

#include "lifecycle/log.h"
#include "lifecycle/move.h"
#include "lifecycle/policy.h"
#include "tiered/tiered.h"

/*
 * Move a partition to tier archive or drop, from where an earlier try left it.
 * In several transactions; throws. Called like the moves of tiered/, holding
 * the mover's lock and nothing else. pace: of writing the archive, or NULL.
 * Fills in the record's figures.
 */
extern void hone_leave(HoneMove *move, const HonePolicy *policy,
					   const HoneTieredPace *pace, HoneMoveRecord *record);

/*
 * Partitions that are detached already, or half-way, and have to be dropped
 * still, as a list of OIDs in the procedure's memory context. Reads as the
 * owner of pg_hone's tables.
 */
extern List *hone_leaving_partitions(void);

/* For such a one: where it goes; false if it is none (any more). */
extern bool hone_leaving_tier(Oid partition, HoneTier *to);

/*
 * Remove archives that are older than their policy's drop_after. Commits.
 */
extern void hone_expire_archives(void);

#endif							/* HONE_LIFECYCLE_LEAVE_H */
