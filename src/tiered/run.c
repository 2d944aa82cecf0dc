/*-------------------------------------------------------------------------
 *
 * run.c
 *	  A whole run of compressing or decompressing: the loop over steps.
 *
 * Each step is a transaction. None of them waits for the disk or a replica
 * when it commits, with its locks still held: what a crash takes back is whole
 * steps, after which each row is plain again.
 *
 * Between tries for a lock the run holds nothing, no snapshot either.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/toplevel.h"
#include "tiered/am.h"
#include "tiered/fold.h"
#include "tiered/moves.h"
#include "tiered/progress.h"
#include "tiered/rewrite.h"
#include "tiered/run.h"
#include "tiered/store.h"
#include "tiered/tiered.h"

/*
 * Steps that may fail for a lock before it is an error. Between them a pause,
 * as long as a try may take but not longer than this.
 */
#define MAX_ATTEMPTS		50
#define RETRY_PAUSE_MS		100

/*
 * The lock is to be held clearly below 100 ms: a step that had it longer than
 * the first makes the next ones smaller, below the second they grow again.
 */
#define HELD_LONG_MS		50
#define HELD_SHORT_MS		15
#define FEWEST_STEP_ROWS	500

/* Tries of each command that gives space back. */
#define SPACE_ATTEMPTS		10

/* What REINDEX queues for a lock at most: writers queue behind it. */
#define REINDEX_TIMEOUT_MS	50

/* Wait at most this long for snapshots to which folded rows are visible. */
#define SNAPSHOT_WAIT_MS	500
#define SNAPSHOT_POLL_MS	10

/* An index is rebuilt when it is twice as large as entries of this width. */
#define INDEX_ENTRY_BYTES		64
#define TOAST_ENTRY_BYTES		24
#define INDEX_SMALL_BYTES		(128 * 1024)

/* Blocks that are read to estimate the rows of a table. */
#define SAMPLED_BLOCKS		64

/* Plain rows that bring another run, by a policy. */
#define FEWEST_ROWS_LEFT	1000

/* zstd level of the warm tier. */
#define WARM_LEVEL			3

typedef HoneStepResult (*StepFunction) (HoneFoldState *state);

/* ------------------------------------------------------------------------
 * The loop over steps
 * ------------------------------------------------------------------------
 */

void
hone_next_step(HoneTieredNextTransaction next_transaction, void *arg)
{
	next_transaction(arg);
	(void) set_config_option("synchronous_commit", "off", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);

	/* a step's snapshots are its own; and it must not fail to serialize */
	XactIsoLevel = XACT_READ_COMMITTED;
	CHECK_FOR_INTERRUPTS();
}

/*
 * About how many plain rows are left, once some are folded: as many to a block
 * as so far.
 */
static int64
rows_left(const HoneFoldState *state)
{
	BlockNumber done = state->next_block;
	int64		left = 0;

	if (state->order != NULL)
		left = state->window_rows - state->next_row;
	else
	{
		if (state->prepared != NULL)
			left = state->prepared->nrows;
		done = Max(done, ItemPointerGetBlockNumberNoCheck(&state->prepared_to));
	}
	if (done < state->end_block)
		left += (int64) (state->end_block - done) * state->rows / Max(done, 1);
	return left;
}

/*
 * If the run ended now, another one would find enough to do to give back the
 * space of both. That some batches are small or have dead rows may not be
 * enough to bring one, but that they are not cold is.
 */
static bool
may_stop(const HoneFoldState *state)
{
	if (state->rows == 0 && state->rewritten == 0)
		return true;
	if (state->groups != NIL)
		return !state->compacting && (state->rows == 0 || state->level >= HONE_LEVEL_COLD);
	return state->started && rows_left(state) >= FEWEST_ROWS_LEFT;
}

/*
 * Between steps, at the start of a transaction: wait as long as the run is to.
 */
static void
keep_pace(const HoneFoldState *state, void *arg)
{
	int64		bytes = hone_progress_take_work();

	if (state->pace == NULL)
		return;
	InvalidateCatalogSnapshot();
	state->pace->pause(bytes, may_stop(state), arg);
}

static void
report_locked(Oid relid, HoneStepResult result)
{
	char	   *name = get_rel_name(relid);

	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 result == HONE_STEP_LOCKED ?
			 errmsg("could not lock table \"%s\": other sessions are using it",
					name ? name : "?") :
			 errmsg("transactions that began earlier still read compressed rows of table \"%s\"",
					name ? name : "?"),
			 errdetail("What was done so far stays; nothing is lost."),
			 errhint("Try again when the table is less busy.")));
}

/*
 * One step in a transaction and a memory context of its own.
 */
static HoneStepResult
run_step(HoneFoldState *state, StepFunction step)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "hone fold step",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HoneStepResult result = step(state);

	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return result;
}

/*
 * After the commit, with which the lock went: had the step had it for too long?
 */
static void
adapt_to_time_held(HoneFoldState *state)
{
	instr_time	now;
	double		held;

	if (!state->locked)
		return;
	state->locked = false;
	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, state->locked_at);
	held = INSTR_TIME_GET_MILLISEC(now);
	ereport(DEBUG1,
			(errmsg_internal("pg_hone: a step held its lock for %.1f ms", held)));
	if (held > HELD_LONG_MS)
		state->step_rows = Max(FEWEST_STEP_ROWS, state->step_rows / 2);
	else if (held < HELD_SHORT_MS)
		state->step_rows = Min(HONE_BATCH_ROWS, state->step_rows * 2);
}

/*
 * Run step until nothing is left, a transaction each. Rows that changed are
 * no reason to pause: the step sees to it that it does not try for ever.
 */
static void
run_steps(HoneFoldState *state, StepFunction step,
		  HoneTieredNextTransaction next_transaction, void *arg)
{
	int			attempts = 0;

	for (;;)
	{
		HoneStepResult result;

		hone_next_step(next_transaction, arg);
		adapt_to_time_held(state);
		keep_pace(state, arg);
		result = run_step(state, step);
		if (result == HONE_STEP_LAST)
			return;
		if (result == HONE_STEP_MORE)
			attempts = 0;
		if (result == HONE_STEP_MORE || result == HONE_STEP_CHANGED)
			continue;
		if (++attempts >= MAX_ATTEMPTS)
			report_locked(state->relid, result);
		hone_progress_lock_wait();
		hone_next_step(next_transaction, arg);
		state->locked = false;
		keep_pace(state, arg);
		pg_usleep(Min(state->lock_timeout_ms, RETRY_PAUSE_MS) * 1000L);
	}
}

/* Steps of the signature that run_steps wants. */
static HoneStepResult
open_step(HoneFoldState *state)
{
	HoneStepResult result = hone_switch_open(state->relid, state->lock_timeout_ms);

	return result == HONE_STEP_MORE ? HONE_STEP_LAST : result;
}

static HoneStepResult
unfold_all_step(HoneFoldState *state)
{
	HoneStepResult result = hone_unfold_step(state);

	if (result == HONE_STEP_LAST)
		result = hone_switch_to_heap(state->relid, state->lock_timeout_ms);
	return result;
}

static HoneStepResult
parent_step(HoneFoldState *state)
{
	return hone_switch_to_heap(state->relid, state->lock_timeout_ms);
}

/*
 * Wait until nobody has a snapshot any more to which the rows deleted so far
 * are visible, so that VACUUM can remove them: however short the queries of
 * others are, some snapshot is mostly open. Longer ones are left to
 * autovacuum. Called in a transaction that has no snapshot.
 */
static void
wait_for_older_snapshots(Relation rel)
{
	TransactionId limit = ReadNextTransactionId();

	for (int waited = 0; waited < SNAPSHOT_WAIT_MS; waited += SNAPSHOT_POLL_MS)
	{
		InvalidateCatalogSnapshot();
		if (TransactionIdFollowsOrEquals(GetOldestNonRemovableTransactionId(rel), limit))
			return;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(SNAPSHOT_POLL_MS * 1000L);
	}
}

/*
 * One command in a worker. REINDEX wants a lock that everybody queues behind:
 * so each try waits for lock_timeout_ms only. Returns the last try's error.
 */
static char *
run_at_top_level(Oid owner, const char *command, int lock_timeout_ms)
{
	char	   *error = NULL;
	int			sqlstate;

	for (int attempt = 0; attempt < SPACE_ATTEMPTS; attempt++)
	{
		if (attempt > 0)
			pg_usleep(RETRY_PAUSE_MS * 1000L);
		CHECK_FOR_INTERRUPTS();

		/* 0 would mean to wait for ever */
		error = hone_toplevel_run(MyDatabaseId, owner, command, Max(lock_timeout_ms, 1), 0, &sqlstate);
		if (error == NULL)
			break;
	}
	return error;
}

int64
hone_estimate_plain_rows(Relation rel, Snapshot snapshot)
{
	BlockNumber nblocks = RelationGetNumberOfBlocks(rel);
	BlockNumber step = Max(nblocks / SAMPLED_BLOCKS, 1);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	BlockNumber sampled = 0;
	int64		rows = 0;

	for (BlockNumber block = 0; block < nblocks; block += step)
	{
		TableScanDesc scan = heap_beginscan(rel, snapshot, 0, NULL, NULL,
											SO_TYPE_SEQSCAN | SO_ALLOW_PAGEMODE);

		CHECK_FOR_INTERRUPTS();
		heap_setscanlimits(scan, block, 1);
		while (heap_getnextslot(scan, ForwardScanDirection, slot))
			rows++;
		heap_endscan(scan);
		sampled++;
	}
	ExecDropSingleTupleTableSlot(slot);
	return sampled > 0 ? rows * nblocks / sampled : 0;
}

static List *
add_bloated_indexes(List *commands, Relation rel, int entry_bytes)
{
	int64		needed = hone_estimate_plain_rows(rel, GetActiveSnapshot()) * entry_bytes;
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		if (hone_total_size(lfirst_oid(lc)) > INDEX_SMALL_BYTES + 2 * needed)
			commands = lappend(commands, psprintf("REINDEX INDEX %s",
												  hone_qualified_name(lfirst_oid(lc))));
	}
	return commands;
}

/* Commands that rebuild the indexes which compressing has all but emptied. */
static List *
reindex_commands(Oid relid, Oid *owner)
{
	Relation	rel = hone_reopen(relid, AccessShareLock);
	List	   *commands;

	*owner = rel->rd_rel->relowner;
	PushActiveSnapshot(GetLatestSnapshot());
	commands = add_bloated_indexes(NIL, rel, INDEX_ENTRY_BYTES);
	if (OidIsValid(rel->rd_rel->reltoastrelid))
	{
		Relation	toast = table_open(rel->rd_rel->reltoastrelid, AccessShareLock);

		commands = add_bloated_indexes(commands, toast, TOAST_ENTRY_BYTES);
		table_close(toast, AccessShareLock);
	}
	PopActiveSnapshot();
	table_close(rel, AccessShareLock);
	return commands;
}

/*
 * VACUUM the table and its TOAST table. Called at the start of a transaction:
 * no lock is held, and no snapshot older than the last step, while it waits.
 * Returns what went wrong, or NULL.
 */
static char *
vacuum(HoneFoldState *state)
{
	Relation	rel = hone_reopen(state->relid, AccessShareLock);
	Oid			owner = rel->rd_rel->relowner;

	wait_for_older_snapshots(rel);
	table_close(rel, AccessShareLock);
	return run_at_top_level(owner, psprintf("VACUUM (ANALYZE, INDEX_CLEANUP ON) %s",
											hone_qualified_name(state->relid)),
							state->lock_timeout_ms);
}

/*
 * Give space back after compressing: VACUUM, also of the TOAST table, made
 * compact where that needs it; and rebuild indexes that are all but empty. In
 * background workers: VACUUM only runs at top level.
 */
static void
give_space_back(HoneFoldState *state, HoneTieredNextTransaction next_transaction,
				void *arg, HoneTieredResult *result)
{
	int64		batches = state->batches;
	int64		rewritten = state->rewritten;
	List	   *commands;
	Oid			owner;
	char	   *error;
	ListCell   *lc;

	hone_progress_phase(HONE_PHASE_SPACE);
	error = vacuum(state);

	/* batches are in their place, another error would be one of the run */
	if (error == NULL)
	{
		run_steps(state, hone_compact_plan_step, next_transaction, arg);
		run_steps(state, hone_recompress_step, next_transaction, arg);
		hone_next_step(next_transaction, arg);
		hone_progress_phase(HONE_PHASE_SPACE);
		if (state->rewritten > rewritten)
			error = vacuum(state);
		state->batches = batches;
		state->rewritten = rewritten;
	}
	commands = reindex_commands(state->relid, &owner);
	foreach(lc, commands)
	{
		char	   *failed = run_at_top_level(owner, lfirst(lc), Min(state->lock_timeout_ms, REINDEX_TIMEOUT_MS));

		if (error == NULL)
			error = failed;
	}
	result->vacuum_error = error;
}

/*
 * However the run ends: say how far it came. What steps remember goes.
 */
static void
end_run(HoneFoldState *state, HoneTieredResult *result)
{
	if (result != NULL)
	{
		result->rows = state->rows;
		result->batches = state->batches;
		result->rewritten = state->rewritten;
	}
	hone_progress_end();
	MemoryContextDelete(state->context);
}

static void
begin_run(HoneFoldState *state, Oid relid, int lock_timeout_ms)
{
	memset(state, 0, sizeof(*state));
	state->relid = relid;
	state->lock_timeout_ms = lock_timeout_ms;
	state->level = WARM_LEVEL;
	state->step_rows = HONE_BATCH_ROWS;
	state->context = AllocSetContextCreate(CurrentMemoryContext, "hone run",
										   ALLOCSET_DEFAULT_SIZES);
}

static void
read_order(HoneFoldState *state)
{
	Relation	rel = hone_reopen(state->relid, AccessShareLock);
	MemoryContext old = MemoryContextSwitchTo(state->context);

	state->order = hone_order_of(rel);
	MemoryContextSwitchTo(old);
	table_close(rel, AccessShareLock);
}

/*
 * Nobody has a cursor any more that needs to know where rows went?
 */
static HoneStepResult
forget_moves_step(HoneFoldState *state)
{
	Relation	rel = hone_fold_open(state);
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	bool		noted;

	PushActiveSnapshot(GetLatestSnapshot());
	noted = hone_moves_noted(store, GetActiveSnapshot());
	PopActiveSnapshot();
	hone_store_close(store);
	if (noted && hone_try_lock(state->relid, ExclusiveLock, state->lock_timeout_ms) &&
		!hone_somebody_is_there(state->relid))
	{
		store = hone_store_open(rel, RowExclusiveLock);
		PushActiveSnapshot(GetLatestSnapshot());
		hone_moves_forget(store, GetActiveSnapshot());
		PopActiveSnapshot();
		hone_store_close(store);
	}
	table_close(rel, NoLock);
	return HONE_STEP_LAST;
}

/*
 * The fast way, if it can be gone; a step that cannot leaves all as it was.
 */
static bool
rewrite(HoneFoldState *state, HoneTieredNextTransaction next_transaction,
		void *arg)
{
	hone_next_step(next_transaction, arg);
	if (run_step(state, hone_rewrite_sort_step) == HONE_STEP_LAST)
		return false;
	hone_next_step(next_transaction, arg);
	keep_pace(state, arg);
	return run_step(state, hone_rewrite_step) == HONE_STEP_MORE;
}

static void
compress(HoneFoldState *state, bool open,
		 HoneTieredNextTransaction next_transaction, void *arg,
		 HoneTieredResult *result)
{
	hone_next_step(next_transaction, arg);
	keep_pace(state, arg);
	read_order(state);
	if (!open && hone_compress_rewrite)
		open = rewrite(state, next_transaction, arg);
	if (!open)
		run_steps(state, open_step, next_transaction, arg);
	run_steps(state, hone_fold_step, next_transaction, arg);
	run_steps(state, hone_recompress_plan_step, next_transaction, arg);
	run_steps(state, hone_recompress_step, next_transaction, arg);
	run_steps(state, forget_moves_step, next_transaction, arg);
	hone_next_step(next_transaction, arg);
	keep_pace(state, arg);
	if (state->rows > 0 || state->rewritten > 0)
		give_space_back(state, next_transaction, arg, result);
}

void
hone_tiered_compress(Oid relid, const HoneTieredOptions *options,
					 int lock_timeout_ms,
					 HoneTieredNextTransaction next_transaction, void *arg,
					 HoneTieredResult *result)
{
	HoneFoldState state;
	Relation	rel;
	bool		open;

	memset(result, 0, sizeof(*result));
	rel = table_open(relid, AccessShareLock);
	hone_tiered_check_compressible(rel);
	open = hone_holds_meta(rel);
	table_close(rel, AccessShareLock);
	result->bytes_before = hone_total_size(relid);

	begin_run(&state, relid, lock_timeout_ms);
	if (options && options->level > 0)
		state.level = options->level;
	if (options)
		state.pace = options->pace;
	hone_progress_begin(relid, result->bytes_before);
	PG_TRY();
	{
		compress(&state, open, next_transaction, arg, result);
	}
	PG_FINALLY();
	{
		end_run(&state, result);
	}
	PG_END_TRY();
	result->bytes_after = hone_total_size(relid);
}

static void
decompress(HoneFoldState *state, HoneTieredNextTransaction next_transaction,
		   void *arg, HoneTieredResult *result)
{
	run_steps(state, unfold_all_step, next_transaction, arg);
	hone_next_step(next_transaction, arg);
	hone_progress_phase(HONE_PHASE_SPACE);
	if (state->batches > 0)
		result->vacuum_error = vacuum(state);
}

void
hone_tiered_decompress(Oid relid, int lock_timeout_ms,
					   HoneTieredNextTransaction next_transaction, void *arg,
					   HoneTieredResult *result)
{
	HoneFoldState state;
	Relation	rel;
	bool		tiered;

	memset(result, 0, sizeof(*result));
	rel = table_open(relid, AccessShareLock);
	hone_tiered_check_decompressible(rel);
	tiered = hone_is_tiered(rel);
	table_close(rel, AccessShareLock);
	result->bytes_before = hone_total_size(relid);
	begin_run(&state, relid, lock_timeout_ms);
	hone_progress_begin(relid, result->bytes_before);
	PG_TRY();
	{
		if (tiered)
			decompress(&state, next_transaction, arg, result);
	}
	PG_FINALLY();
	{
		end_run(&state, result);
	}
	PG_END_TRY();
	result->bytes_after = hone_total_size(relid);
}

void
hone_tiered_make_parent_ordinary(Oid relid, int lock_timeout_ms,
								 HoneTieredNextTransaction next_transaction,
								 void *arg)
{
	HoneFoldState state;

	begin_run(&state, relid, lock_timeout_ms);
	PG_TRY();
	{
		run_steps(&state, parent_step, next_transaction, arg);
	}
	PG_FINALLY();
	{
		end_run(&state, NULL);
	}
	PG_END_TRY();
}
