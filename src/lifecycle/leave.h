/*-------------------------------------------------------------------------
 *
 * leave.h
 *	  Partitions that leave their table: archived and dropped, or dropped.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_LEAVE_H
#define HONE_LIFECYCLE_LEAVE_H

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

#endif							/* HONE_LIFECYCLE_LEAVE_H */
