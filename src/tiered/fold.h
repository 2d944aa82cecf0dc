/*-------------------------------------------------------------------------
 *
 * fold.h
 *	  The single steps of compressing and decompressing, a transaction each.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_FOLD_H
#define HONE_TIERED_FOLD_H

#include "nodes/pg_list.h"
#include "portability/instr_time.h"
#include "storage/block.h"
#include "storage/itemptr.h"

#include "tiered/order.h"
#include "tiered/prepared.h"
#include "tiered/switch.h"
#include "tiered/tiered.h"

/* What a run of steps over one table remembers between its transactions. */
typedef struct HoneFoldState
{
	Oid			relid;
	int			lock_timeout_ms;
	int			level;			/* zstd level */
	const HoneTieredPace *pace; /* NULL: as fast as it goes */
	MemoryContext context;		/* outlives transactions; holds what follows */

	HonePrepared *prepared;		/* read and encoded, not yet written */
	int			changed;		/* times in a row that it was no longer true */
	int			step_rows;		/* rows of a step, at most */
	bool		locked;			/* the step has the lock since ... */
	instr_time	locked_at;

	/* plain rows */
	HoneOrder  *order;			/* NULL: that of the main fork */
	bool		started;
	BlockNumber next_block;		/* not yet folded, or sorted */
	OffsetNumber next_offset;	/* of a rewrite, in that block */
	ItemPointerData prepared_to;	/* first row behind the prepared batch */
	BlockNumber end_block;		/* as the run began; what comes later is left */
	ItemPointerData *window;	/* sorted rows, of which next_row is next */
	int64		window_rows;
	int64		next_row;
	int			prepared_rows;	/* of the window, that the prepared batch has */

	/* of a rewrite: rows that younger transactions wrote are left out */
	TransactionId only_before;

	/* batches to be written anew: a list of integers (batch ids) for each */
	List	   *groups;
	bool		compacting;		/* only to lie elsewhere: on these pages */
	BlockNumber *free_pages;
	BlockNumber nfree;

	int64		rows;			/* moved so far */
	int64		batches;
	int64		rewritten;		/* batches that were replaced */
} HoneFoldState;

/*
 * Read the next plain rows and encode them: state->prepared, or NULL when
 * there were none at this place. LAST: there is no place left.
 */
extern HoneStepResult hone_fold_prepare(HoneFoldState *state, Relation rel);

/*
 * Fold the next plain rows into one batch. Reads and encodes, unless they
 * are prepared already; then takes EXCLUSIVE (or gives up), checks that the
 * rows are still as read, deletes them and inserts the batch. The caller
 * commits.
 */
extern HoneStepResult hone_fold_step(HoneFoldState *state);

/*
 * Choose batches to be written anew: those with dead rows, and small ones
 * that lie next to each other. Then one group of them a step, as above.
 */
extern HoneStepResult hone_recompress_plan_step(HoneFoldState *state);
extern HoneStepResult hone_recompress_step(HoneFoldState *state);

/*
 * Choose the batches to be written anew, as they are, so that the TOAST table
 * can be cut off behind the others.
 */
extern HoneStepResult hone_compact_plan_step(HoneFoldState *state);

/* Turn one batch back into plain rows, under EXCLUSIVE. The caller commits. */
extern HoneStepResult hone_unfold_step(HoneFoldState *state);

/*
 * Open the table for a step; an error when it can no longer be compressed.
 * Throws away what was prepared and no longer fits it.
 */
extern Relation hone_fold_open(HoneFoldState *state);

/*
 * Take EXCLUSIVE and write what is prepared. CHANGED: it is no longer true,
 * and thrown away.
 */
extern HoneStepResult hone_fold_write(HoneFoldState *state, Relation rel);

#endif							/* HONE_TIERED_FOLD_H */
