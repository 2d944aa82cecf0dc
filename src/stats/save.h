/*-------------------------------------------------------------------------
 *
 * save.h
 *	  The statistics in a file, over a restart. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_SAVE_H
#define HONE_STATS_SAVE_H

#include "common/hone.h"

/*
 * Write the file. clean: by the postmaster when all sessions have ended;
 * nothing is lost then. Else by the collector, for the case of a crash.
 * Throws for lack of memory only; what cannot be written is a LOG message, and
 * false.
 */
extern bool hone_save_write(bool clean);

/*
 * Read what was saved, into empty shared memory; by the postmaster. A file
 * that cannot be read is put aside with a WARNING. Does not throw.
 */
extern void hone_save_read(void);

#endif							/* HONE_STATS_SAVE_H */
