/*-------------------------------------------------------------------------
 *
 * pace.h
 *	  When the worker moves partitions, and how fast.
 *
 * All of it is for the worker's own moves; what a user calls goes as fast as
 * it can, at any time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_PACE_H
#define HONE_LIFECYCLE_PACE_H

#include "tiered/tiered.h"

/* hone.max_workers, of HONE_MOST_WORKERS */
#define HONE_MOST_WORKERS	16
extern int	hone_max_workers;

extern void hone_pace_define_settings(void);

/*
 * Why the worker is to begin no move now, and to end the one in hand; NULL: it
 * may. Reads changed settings. Inside a transaction.
 */
extern const char *hone_pace_objection(void);

/*
 * The pace of a move that begins now. An error by which it is then ended before
 * it is done is no failure: hone_pace_stopped() has the reason (NULL: it was
 * another error).
 */
extern const HoneTieredPace *hone_pace_begin(void);
extern const char *hone_pace_stopped(void);

#endif							/* HONE_LIFECYCLE_PACE_H */
