/*-------------------------------------------------------------------------
 *
 * job.h
 *	  The row of hone._batch_job that a call has: its figures, and for a named
 *	  one how far it is.
 *
 * The row is written in the transaction of each batch. Who runs a job holds a
 * lock on its number, an advisory one of a kind that SQL cannot take: it goes
 * with the session, however that ends.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_JOB_H
#define HONE_BATCH_JOB_H

#include "datatype/timestamp.h"
#include "utils/array.h"

#include "common/hone.h"

/* What the last field of the lock's tag is; hone.batch_progress knows it too. */
#define HONE_BATCH_LOCK	4

typedef struct HoneBatchJob
{
	int64		id;				/* 0: no row */
	int64		run;			/* how many calls there were, with this one */
	bool		done;			/* there was nothing left to do */
	bool		locked;

	/* figures of all runs */
	int64		rows;
	int64		skipped;		/* found, but not changed */
	int64		batches;
	int64		errors;
	int64		estimate;		/* of rows */
	int64		walked;			/* blocks */
	int64		walked_leaf;	/* that, when leaf was come to */
	int64		blocks;			/* of all tables */

	/* how far the walk is; nothing before leaf is left to do */
	Oid			leaf;			/* InvalidOid: at the beginning */
	char	   *key;			/* columns that leaf is walked by */
	ArrayType  *last_key;		/* as texts; NULL: none yet */
	ArrayType  *upper_key;		/* where it is to end in leaf */
	int64		last_block;		/* -1: not by blocks */
	Oid			filenode;		/* that last_block is one of */

	/* of the run */
	int64		rows_before;
	int64		walked_before;
	TimestampTz run_started_at;
	TimestampTz saved_at;
} HoneBatchJob;

typedef struct HoneBatch HoneBatch;

/*
 * Find the job that the call names, if there is one, and lock it. What the call
 * leaves open is taken from there. Ends a transaction.
 */
extern void hone_batch_job_find(HoneBatch *batch);

/* Begin it, or a job for this call; ends a transaction. */
extern void hone_batch_job_begin(HoneBatch *batch);

/* Write figures and position, in the transaction in hand. */
extern void hone_batch_job_save(HoneBatch *batch);

/* The same if it is some time ago. */
extern void hone_batch_job_save_sometimes(HoneBatch *batch);

/* Note an error in the transaction in hand; 'where' are the rows left out. */
extern void hone_batch_job_note(HoneBatch *batch, Oid leaf, const char *where,
								const ErrorData *error);

/*
 * The call ends, 'done' or to be gone on with. Ends a transaction.
 */
extern void hone_batch_job_end(HoneBatch *batch, bool done);

/*
 * Run something that may take the lock of a job, and give that back in the end,
 * also after an error.
 */
extern void hone_batch_job_guard(HoneBatch *batch, void (*run) (HoneBatch *batch));

#endif							/* HONE_BATCH_JOB_H */
