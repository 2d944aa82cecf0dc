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

/* Scans of these kinds are plain heap scans, of open relations too. */
#ifdef HONE_ANALYZE_BY_BLOCK
#define HONE_PLAIN_SCAN_FLAGS	0
#else
#define HONE_PLAIN_SCAN_FLAGS	SO_TYPE_ANALYZE
#endif

/* Put the callbacks that ANALYZE needs into the access method's routine. */
extern void hone_analyze_install(TableAmRoutine *routine);

#endif							/* HONE_TIERED_ANALYZE_H */
