/*-------------------------------------------------------------------------
 *
 * sample.h
 *	  TABLESAMPLE of a table with compressed rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_SAMPLE_H
#define HONE_TIERED_SAMPLE_H

#include "access/tableam.h"

/* Put the callbacks of TABLESAMPLE into the routine. */
extern void hone_sample_install(TableAmRoutine *routine);

#endif							/* HONE_TIERED_SAMPLE_H */
