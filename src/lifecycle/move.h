/*-------------------------------------------------------------------------
 *
 * move.h
 *	  One move of one partition.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_MOVE_H
#define HONE_LIFECYCLE_MOVE_H

#include "common/hone.h"
#include "common/owner.h"
#include "lifecycle/policy.h"

typedef enum HoneTier
{
	HONE_TIER_HOT,				/* heap rows */
	HONE_TIER_WARM,				/* compressed */
	HONE_TIER_COLD,				/* more so, in the cold tablespace */
	HONE_TIER_ARCHIVE,			/* a file */
	HONE_TIER_DROP				/* gone */
} HoneTier;

/* The tier of that name; false for others. */
extern bool hone_tier_parse(const char *name, HoneTier *tier);
extern const char *hone_tier_name(HoneTier tier);

typedef enum HoneMoveOutcome
{
	HONE_MOVE_DONE,
	HONE_MOVE_FAILED,			/* logged; the error is handed back */
	HONE_MOVE_SKIPPED,			/* nothing to do (any more) */
	HONE_MOVE_STOPPED			/* the worker is to move no more now (pace.h);
								 * what was done is logged, and stays */
} HoneMoveOutcome;

typedef struct HoneMove
{
	Oid			partition;
	HoneTier	to;				/* by policy: out */
	bool		by_policy;		/* to where its policy wants it, if anywhere */
	bool		leaving;		/* is detached, or half-way: go on */
	bool		by_worker;		/* else the caller must own the partition */
	Oid			caller;			/* role that asked for it */
	ErrorData  *error;			/* out: why it failed */
} HoneMove;

/*
 * For each transaction of a move: is it still there and still the caller's?
 * Then its owner's role, and no lock is waited for longer than
 * hone.lock_timeout, until hone_restore_role.
 */
extern void hone_move_enter(const HoneMove *move, HoneRole *saved);

/*
 * Raise an error unless relid is a partition by time that 'caller' may move.
 * *policy is that of it, see hone_policy_of.
 */
extern void hone_check_movable(Oid relid, Oid caller, HonePolicy *policy);

/*
 * Move it, log it, commit. Must be called between hone_procedure_begin and
 * hone_procedure_end. An error of the move is caught and handed back, except
 * that a session's own cancel request is rethrown. Where the worker cannot
 * write to the log, the server log says so.
 */
extern HoneMoveOutcome hone_move(HoneMove *move);

#endif							/* HONE_LIFECYCLE_MOVE_H */
