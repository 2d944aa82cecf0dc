/*-------------------------------------------------------------------------
 *
 * capture.h
 *	  What others may ask of capture/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CAPTURE_H
#define HONE_CAPTURE_H

#include "common/hone.h"

/* Defines settings, installs hooks. Called once from _PG_init. */
extern void hone_capture_init(void);

#endif							/* HONE_CAPTURE_H */
