/*-------------------------------------------------------------------------
 *
 * work.h
 *	  A big change in hand, and how one batch of it is made.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_WORK_H
#define HONE_BATCH_WORK_H

#include "executor/spi.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"

#include "batch/job.h"
#include "batch/options.h"
#include "batch/target.h"
#include "common/hone.h"

typedef enum HoneBatchKind
{
	HONE_BATCH_DELETE,
	HONE_BATCH_UPDATE,
	HONE_BATCH_MOVE
} HoneBatchKind;

/* Transactions of this call, for rows that they wrote are not to be met again. */
typedef struct HoneBatchXids
{
	TransactionId *xids;		/* ascending */
	int			count;
	int			size;
} HoneBatchXids;

struct HoneBatch
{
	HoneBatchKind kind;
	const char *procedure;		/* hone.batch_... */
	HoneBatchOptions options;
	AclMode		privileges;		/* on root, beside SELECT */

	/* look at what the call, or its job, says once that is known; or NULL */
	void		(*prepare) (HoneBatch *batch);

	/* what the call, or its job, says */
	Oid			root;
	char	   *condition;
	char	   *assignments;	/* of an update */
	List	   *assigned;		/* names of its columns */
	Oid			into;			/* of a move */
	char	   *into_name;
	char	   *into_columns;
	char	   *from_columns;	/* of the alias */

	/* the table in hand */
	HoneBatchTarget target;
	int64		target_blocks;

	int			size;			/* rows of the next batch */
	HoneBatchJob job;
	HoneBatchXids own;
	TimestampTz started_at;
	TimestampTz noticed_at;
	bool		stopped;		/* max_runtime is over */
	int64		rows;			/* that the call returns */
};

/*
 * One transaction, or a part of it that only reads: 'attempt' does it, 'mark'
 * notes in the job that it is past, 'describe' says which rows it is about.
 */
typedef struct HoneBatchStep
{
	void		(*attempt) (HoneBatch *batch, void *walk);
	void		(*mark) (HoneBatch *batch, void *walk); /* or NULL */
	char	   *(*describe) (HoneBatch *batch, void *walk); /* NULL: it is never
															 * left out */
	bool		commits;
} HoneBatchStep;

extern int	hone_batch_notice_interval; /* ms */

/*
 * Make a step, again where locks were in the way. Returns false when it failed
 * and was left out, as on_error says; throws when it is to stop.
 */
extern bool hone_batch_make(HoneBatch *batch, const HoneBatchStep *step, void *walk);

/* Of a step that is about the table as a whole. */
extern char *hone_batch_describe_all(HoneBatch *batch, void *walk);

/* From now on, in this transaction, wait for locks as lock_timeout says. */
extern void hone_batch_limit_lock_waits(const HoneBatch *batch);

/*
 * For what is written of the job alone, before anything else in a transaction:
 * whatever the session's isolation, it does not fail because of others.
 */
extern void hone_batch_read_committed(void);

/*
 * Commit a walk's progress without a change, if it is time for that.
 */
extern void hone_batch_pass(HoneBatch *batch);

/*
 * Between two steps: tell how far it is, pause if a batch was made, wait for
 * replicas. Returns false when the call is to end.
 */
extern bool hone_batch_go_on(HoneBatch *batch, bool pause);

/* Written by a transaction of this call? */
extern bool hone_batch_is_own(const HoneBatch *batch, TransactionId xid);

/*
 * Statement that changes the rows of the table in hand for which 'where' and
 * the condition hold; and the one that locks them and returns their ctids.
 */
extern char *hone_batch_change_sql(const HoneBatch *batch, const char *where);
extern char *hone_batch_lock_sql(const HoneBatch *batch, const char *where);

/*
 * Prepare a statement whose plan never depends on the values, and drop it. A
 * kept plan outlives transactions, and errors.
 */
extern SPIPlanPtr hone_batch_prepare(const char *sql, int nargs, Oid *types);
extern void hone_batch_drop_plan(SPIPlanPtr *plan);

/*
 * Execute that change, and count its rows in the job. lock, or NULL: executed
 * first, with the same values, of which the first is then the ctids that it
 * returned. 'found': how many rows were meant, -1 if that is not known.
 */
extern void hone_batch_change(HoneBatch *batch, SPIPlanPtr lock, SPIPlanPtr change,
							  Datum *values, int64 found);

/*
 * Everything behind the arguments: check the relation, begin the job, walk each
 * table, end the job and the procedure. Returns the procedure's result, the
 * rows that this call changed.
 */
extern Datum hone_batch_call(HoneBatch *batch, FunctionCallInfo fcinfo);

/*
 * Refuse an update by the places of rows where it changes rows of the same
 * table beside those of the statement.
 */
extern void hone_batch_check_places(const HoneBatch *batch);

/* Arguments that all have; NULL may be passed for what the named job says. */
extern void hone_batch_arguments(HoneBatch *batch, FunctionCallInfo fcinfo, int condition);

/*
 * The walks of one table. For a dry run: check that the statements can be
 * prepared, and return the one that changes rows. By key: see key.h.
 */
struct HoneBatchKey;
extern void hone_batch_walk_tids(HoneBatch *batch);
extern void hone_batch_walk_key(HoneBatch *batch, struct HoneBatchKey *key);
extern char *hone_batch_tids_sql(HoneBatch *batch);
extern char *hone_batch_key_sql(HoneBatch *batch, struct HoneBatchKey *key);

#endif							/* HONE_BATCH_WORK_H */
