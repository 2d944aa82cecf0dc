/*-------------------------------------------------------------------------
 *
 * maintenance.h
 *	  Work that an area wants done now and then, outside anybody's statement.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_MAINTENANCE_H
#define HONE_MAINTENANCE_H

#include "common/hone.h"

/*
 * Called by the launcher once per hone.naptime, while hone.worker is on. The
 * launcher is connected to no database and in no transaction: shared memory
 * only, no catalogs. May throw; the others on the list run all the same.
 */
typedef void (*HoneMaintenance) (void);

/* Add a function; called from an area's init only. */
extern void hone_maintenance_register(HoneMaintenance fn);

/* Call each registered function, reporting errors to the server log. */
extern void hone_maintenance_run(void);

#endif							/* HONE_MAINTENANCE_H */
