/*-------------------------------------------------------------------------
 *
 * analyze.h
 *	  ANALYZE of compressed rows.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_ANALYZE_H
#define HONE_TIERED_ANALYZE_H

#include "tiered/am.h"

/* Put the callbacks that ANALYZE needs into the access method's routine. */
extern void hone_analyze_install(TableAmRoutine *routine);

#endif							/* HONE_TIERED_ANALYZE_H */
