/*-------------------------------------------------------------------------
 *
 * advise.h
 *	  What others may ask of advise/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_ADVISE_H
#define HONE_ADVISE_H

#include "common/hone.h"

/* Defines settings, installs hooks. Called once from _PG_init. */
extern void hone_advise_init(void);

#endif							/* HONE_ADVISE_H */
