/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  What others may ask of batch/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_H
#define HONE_BATCH_H

#include "common/hone.h"

/* Called once from _PG_init. Its setting. */
extern void hone_batch_init(void);

#endif							/* HONE_BATCH_H */
