/*-------------------------------------------------------------------------
 *
 * policy.h
 *	  A tier policy, as hone._tier_policy has it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_POLICY_H
#define HONE_LIFECYCLE_POLICY_H

#include "utils/relcache.h"
#include "utils/timestamp.h"

#include "common/hone.h"

/* Pointers are NULL for what is not set. */
typedef struct HonePolicy
{
	Oid			parent;
	Interval   *warm_after;		/* times since the upper bound */
	Interval   *cold_after;
	Interval   *archive_after;
	Interval   *drop_after;
	int			warm_level;		/* zstd levels */
	int			cold_level;
	char	   *cold_tablespace;
	int			premake;		/* partitions ahead of now */
	Interval   *partition_interval; /* their length */
	Interval   *keep_while_read;
	char	   *epoch;			/* see hone_time_key */
	bool		allow_drop_without_archive;
} HonePolicy;

/*
 * Read the policy of a table into the current memory context; false if it has
 * none.
 */
extern bool hone_policy_read(Oid parent, HonePolicy *policy);

/*
 * The policy of the nearest table above a partition that has one; else one that
 * says nothing, of no parent.
 */
extern void hone_policy_of(Oid partition, HonePolicy *policy);

/* ---- policy_check.c ---- */

/*
 * Refuse a table that can never have a policy: 42809 for anything but a
 * permanent partitioned one, 42501 unless it is the caller's, 42809 or 42804
 * for a key that says nothing about age.
 */
extern void hone_policy_check_parent(Relation rel, const char *epoch);

/*
 * Refuse values that are out of range or do not go together, 22023; what the
 * caller may not ask for, 42501; an archive without a target, 55000. The
 * first of them checks these two only.
 */
extern void hone_check_may_archive(Oid caller);
extern void hone_policy_check(const HonePolicy *policy, Oid caller);

#endif							/* HONE_LIFECYCLE_POLICY_H */
