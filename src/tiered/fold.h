/*-------------------------------------------------------------------------
 *
 * fold.h
 *	  The single steps of compressing and decompressing, a transaction each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_FOLD_H
#define HONE_TIERED_FOLD_H

#include "storage/block.h"

#include "tiered/switch.h"

/* What a run of steps over one table remembers between its transactions. */
typedef struct HoneFoldState
{
	Oid			relid;
	int			lock_timeout_ms;
	int			level;			/* zstd level */
	BlockNumber next_block;		/* of the main fork, not yet folded */
	int			changed;		/* steps in a row that ended CHANGED */
	int64		rows;			/* moved so far */
	int64		batches;
} HoneFoldState;

/*
 * Fold the next rows of the main fork into one batch. Reads, encodes, then
 * takes EXCLUSIVE (or gives up), checks that the rows are still as read,
 * deletes them and inserts the batch. The caller commits.
 */
extern HoneStepResult hone_fold_step(HoneFoldState *state);

/* Turn one batch back into plain rows, under EXCLUSIVE. The caller commits. */
extern HoneStepResult hone_unfold_step(HoneFoldState *state);

#endif							/* HONE_TIERED_FOLD_H */
