/*-------------------------------------------------------------------------
 *
 * window.h
 *	  Hours of the week, as hone.tier_window has them.
 *
 * '22:00-06:00': every day; 'sat,sun 00:00-24:00; mon-fri 22:00-06:00': parts
 * are separated by ';', in each days or none, and hours, several after commas.
 * What goes over midnight belongs to the day on which it begins. Empty: always.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_WINDOW_H
#define HONE_LIFECYCLE_WINDOW_H

#include "datatype/timestamp.h"
#include "pgtime.h"

#include "common/hone.h"

#define HONE_MINUTES_A_DAY	(24 * 60)

/* The minutes of a week from Sunday on, a bit each. */
typedef struct HoneWindow
{
	uint8		minutes[7 * HONE_MINUTES_A_DAY / 8];
} HoneWindow;

/*
 * Returns NULL, or what is wrong with the text: a sentence. Calls no palloc.
 */
extern const char *hone_window_parse(const char *text, HoneWindow *window);

/* By the clocks of a time zone, which leap and fall back by its rules. */
extern bool hone_window_contains(const HoneWindow *window, TimestampTz at,
								 const pg_tz * zone);

#endif							/* HONE_LIFECYCLE_WINDOW_H */
