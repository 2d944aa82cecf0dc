/*-------------------------------------------------------------------------
 *
 * observer.c
 *	  The list of those who want to know about statements (see record.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/record.h"

bool		hone_enabled = true;
HoneObservers hone_observers;

#define ADD(list, callback) \
do { \
	if ((callback) != NULL) \
	{ \
		int			n = 0; \
\
		while ((list)[n] != NULL) \
			n++; \
		Assert(n < HONE_OBSERVERS); \
		(list)[n] = (callback); \
	} \
} while (0)

void
hone_observer_register(const HoneObserver *observer)
{
	ADD(hone_observers.analyzed, observer->analyzed);
	ADD(hone_observers.identified, observer->identified);
	ADD(hone_observers.starting, observer->starting);
	ADD(hone_observers.receiving, observer->receiving);
	ADD(hone_observers.running, observer->running);
	ADD(hone_observers.finished, observer->finished);
}
