/*-------------------------------------------------------------------------
 *
 * sleep.h
 *	  Sleeping in a session.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_SLEEP_H
#define HONE_SLEEP_H

#include "common/hone.h"

/*
 * Sleep for so many microseconds, and return how many it were: by a clock that
 * nobody sets, or one set back would keep us. Interrupts end it by an error.
 */
extern int64 hone_sleep(int64 microseconds);

#endif							/* HONE_SLEEP_H */
