/*-------------------------------------------------------------------------
 *
 * premake.h
 *	  Partitions ahead of now.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_PREMAKE_H
#define HONE_LIFECYCLE_PREMAKE_H

#include "nodes/pg_list.h"
#include "utils/timestamp.h"

#include "common/hone.h"
#include "lifecycle/bounds.h"
#include "lifecycle/policy.h"

/* Length of a partition: either months, or microseconds. */
typedef struct HoneStep
{
	int			months;
	int64		usecs;
} HoneStep;

typedef enum HonePremakeReason
{
	HONE_PREMAKE_CURRENT,		/* it holds now */
	HONE_PREMAKE_AHEAD,
	HONE_PREMAKE_GAP			/* between others */
} HonePremakeReason;

/* A partition that is missing. */
typedef struct HonePremakeRange
{
	TimestampTz start;
	TimestampTz end;
	char	   *start_key;		/* the bounds as text of the key's type */
	char	   *end_key;
	HonePremakeReason reason;
	Oid			schema;			/* where it will be, and how it is called */
	char	   *name;
} HonePremakeRange;

/* What is asked for. */
typedef struct HonePremakeOrder
{
	Oid			parent;
	int			premake;		/* partitions beyond the one that holds now */
	Interval   *interval;		/* their length, or NULL */
	const char *epoch;
	TimestampTz now;
} HonePremakeOrder;

/* What a table has and lacks. */
typedef struct HonePremakePlan
{
	Oid			parent;
	Oid			type;			/* of the key */
	char	   *key;			/* its column */
	const char *epoch;
	List	   *children;		/* of HoneChildRange, by start, no default */
	Oid			default_partition;
	Oid			latest;			/* child that new ones are made like */
	HoneStep	step;
	int			last_day;		/* of a month, which others are too short for */
	List	   *ranges;			/* of HonePremakeRange, by start */
	int			sqlstate;		/* why there are none that should be, */
	const char *problem;		/* or NULL */
	const char *hint;
} HonePremakePlan;

/* ---- premake_bounds.c ---- */

/*
 * What is missing, from the catalogs only, without a lock. Does not throw for
 * what the table or the order is: says so in the plan.
 */
extern HonePremakePlan *hone_premake_plan(const HonePremakeOrder *order);

/* Ranges that no partition covers, from now on: of HonePremakeRange, unnamed. */
extern List *hone_premake_gaps(Oid parent, const char *epoch, TimestampTz now,
							   Oid *default_partition);

/* Refuse an order that cannot be carried out. */
extern void hone_premake_check(const HonePolicy *policy);

/* ---- premake_name.c ---- */

/*
 * A name for the range that no relation has, nor a range of plan->ranges: as
 * the latest children are called, or parent_pYYYYMMDD.
 */
extern void hone_premake_name(HonePremakePlan *plan, HonePremakeRange *range);

/* Name for the copy of 'child', part of 'old', in 'new' of the same schema. */
extern char *hone_premake_part_name(Oid child, Oid old, const char *new_name,
									Oid schema);

/* ---- premake_make.c ---- */

/*
 * Make one partition, as the owner of the parent, in the current transaction.
 * Throws; 55P03 where a lock is not to be had within hone.lock_timeout.
 * 'prepared': the default partition has hone_premake_prepare's constraint.
 * InvalidOid when the range is not missing any more. Handed back in name: what
 * it is called.
 */
extern Oid	hone_premake_make(const HonePremakeOrder *order, TimestampTz start,
							  bool prepared, char **name);

/* Settings that must be the same for everybody. After hone_become_owner. */
extern void hone_premake_settings(void);

/* ---- premake_default.c ---- */

/* Raise 23514 if the default partition holds rows of the range. */
extern void hone_premake_check_default(const HonePremakePlan *plan,
									   const HonePremakeRange *range);

/* Is it large, so that a scan of it under a strong lock would take long? */
extern bool hone_premake_default_is_large(const HonePremakePlan *plan);

/*
 * Give it a constraint that excludes the range, not validated; validate it;
 * take it away again, if it is there. Each in a transaction of its own.
 */
extern void hone_premake_prepare(const HonePremakePlan *plan,
								 const HonePremakeRange *range);
extern void hone_premake_validate(const HonePremakePlan *plan);
extern bool hone_premake_is_prepared(const HonePremakePlan *plan);
extern void hone_premake_clean(const HonePremakePlan *plan);

/* ---- premake.c ---- */

typedef struct HonePremake
{
	HonePremakeOrder order;
	bool		by_worker;		/* else the caller must own the parent */
	Oid			caller;
	ErrorData  *error;			/* out: why not all were made, or NULL */
} HonePremake;

/*
 * Make what is missing, each in a transaction of its own, log it, commit; how
 * many were made. Must be called between hone_procedure_begin and
 * hone_procedure_end.
 */
extern int	hone_premake(HonePremake *premake);

/*
 * For all policies that ask for it: in the worker those that do not rest after
 * a failure, else those of the caller's tables. Failures are logged, reported
 * as warnings (in the worker: server log), and counted.
 */
extern int	hone_premake_due(bool by_worker, int *failed);

#endif							/* HONE_LIFECYCLE_PREMAKE_H */
