/*-------------------------------------------------------------------------
 *
 * rewrite.h
 *	  Compressing a table that nobody else uses, by writing it anew.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_REWRITE_H
#define HONE_TIERED_REWRITE_H

#include "tiered/fold.h"

/* hone.compress_rewrite */
extern bool hone_compress_rewrite;

/*
 * Sort the rows of a table that is to be rewritten, where there is an order:
 * into one window. LAST: it is not to be rewritten, since somebody is there, it
 * is too large for the pace of the run, or the window would take more memory
 * than maintenance_work_mem.
 */
extern HoneStepResult hone_rewrite_sort_step(HoneFoldState *state);

/*
 * Rewrite it. MORE: done. LAST: somebody came, or rows are too young; nothing
 * has changed. Either way state is as at the start of a run for what is left.
 * The caller commits. Must not have a snapshot.
 */
extern HoneStepResult hone_rewrite_step(HoneFoldState *state);

#endif							/* HONE_TIERED_REWRITE_H */
