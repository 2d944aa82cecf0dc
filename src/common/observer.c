/*-------------------------------------------------------------------------
 *
 * observer.c
 *	  The list of those who want to know about statements (see record.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/record.h"

HoneObserver *hone_observers = NULL;

void
hone_observer_register(HoneObserver *observer)
{
	HoneObserver **tail = &hone_observers;

	while (*tail != NULL)
		tail = &(*tail)->next;
	observer->next = NULL;
	*tail = observer;
}
