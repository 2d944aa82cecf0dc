/*-------------------------------------------------------------------------
 *
 * functions.c
 *	  compress, decompress, decompress_all and tiered_stats; and the loop
 *	  over steps that the lifecycle worker shares with them.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/genam.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/namespace.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "executor/tuptable.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "storage/procarray.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/procedure.h"
#include "common/toplevel.h"
#include "tiered/am.h"
#include "tiered/fold.h"
#include "tiered/store.h"
#include "tiered/tiered.h"

/* Steps that may fail for a lock or changed rows before it is an error. */
#define MAX_ATTEMPTS		50
#define RETRY_PAUSE_MS		100

/* Tries of each command that gives space back. */
#define SPACE_ATTEMPTS		10

/* Wait at most this long for snapshots to which folded rows are visible. */
#define SNAPSHOT_WAIT_MS	500
#define SNAPSHOT_POLL_MS	10

/* zstd level of the warm tier. */
#define WARM_LEVEL			3

/* Blocks that tiered_stats reads to estimate the plain rows. */
#define SAMPLED_BLOCKS		64

/* Locks of a compression called by hand wait for each try this long. */
#define DEFAULT_LOCK_TIMEOUT_MS	100

PG_FUNCTION_INFO_V1(hone_compress);
PG_FUNCTION_INFO_V1(hone_decompress);
PG_FUNCTION_INFO_V1(hone_decompress_all);
PG_FUNCTION_INFO_V1(hone_tiered_stats);

typedef HoneStepResult (*StepFunction) (HoneFoldState *state);

/* ------------------------------------------------------------------------
 * What can be compressed
 * ------------------------------------------------------------------------
 */

static void
refuse_relation(Relation rel, const char *action, int code, const char *why,
				const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot %s \"%s\": %s", action, RelationGetRelationName(rel), why),
			 errhint("%s", hint)));
}

/*
 * A materialized view may be tiered by its access method; it holds no
 * batches, but can be made a heap again.
 */
static void
check_kind(Relation rel, const char *action, bool tiered_matview)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION &&
		!(tiered_matview && rel->rd_rel->relkind == RELKIND_MATVIEW && hone_is_tiered(rel)))
		refuse_relation(rel, action, ERRCODE_WRONG_OBJECT_TYPE, "it is not a table",
						"Only ordinary tables and partitions of partitioned tables can be compressed.");
	if (IsSystemRelation(rel) || IsCatalogNamespace(RelationGetNamespace(rel)) ||
		RelationGetNamespace(rel) == get_namespace_oid("information_schema", true) ||
		RelationGetNamespace(rel) == hone_schema_oid())
		refuse_relation(rel, action, ERRCODE_WRONG_OBJECT_TYPE, "it is a system table",
						"Only user tables can be compressed.");
	if (!HONE_OWNS_RELATION(RelationGetRelid(rel)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	if (RelationUsesLocalBuffers(rel))
		refuse_relation(rel, action, ERRCODE_FEATURE_NOT_SUPPORTED, "it is a temporary table",
						"Use a permanent table.");
	if (!hone_is_tiered(rel) && rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		refuse_relation(rel, action, ERRCODE_FEATURE_NOT_SUPPORTED,
						"its access method is neither heap nor tiered",
						"ALTER TABLE ... SET ACCESS METHOD heap first.");
}

void
hone_tiered_check_compressible(Relation rel)
{
	List	   *indexes;
	ListCell   *lc;

	check_kind(rel, "compress", false);
	indexes = RelationGetIndexList(rel);
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		exclusion = index->rd_index->indisexclusion;

		index_close(index, AccessShareLock);
		if (exclusion)
			refuse_relation(rel, "compress", ERRCODE_FEATURE_NOT_SUPPORTED,
							"it has an exclusion constraint",
							"Drop the exclusion constraint, or leave the table uncompressed.");
	}
	list_free(indexes);
}

/* ------------------------------------------------------------------------
 * The loop over steps
 * ------------------------------------------------------------------------
 */

static void
next_step(HoneTieredNextTransaction next_transaction, void *arg)
{
	next_transaction(arg);

	/* a step's snapshots are its own; and it must not fail to serialize */
	XactIsoLevel = XACT_READ_COMMITTED;
	CHECK_FOR_INTERRUPTS();
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
			 result == HONE_STEP_SEEN ?
			 errmsg("transactions that began earlier still read compressed rows of table \"%s\"",
					name ? name : "?") :
			 errmsg("rows of table \"%s\" keep changing", name ? name : "?"),
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
 * Run step until nothing is left, a transaction each.
 */
static void
run_steps(HoneFoldState *state, StepFunction step,
		  HoneTieredNextTransaction next_transaction, void *arg)
{
	int			attempts = 0;

	for (;;)
	{
		HoneStepResult result;

		next_step(next_transaction, arg);
		result = run_step(state, step);
		if (result == HONE_STEP_LAST)
			return;
		if (result == HONE_STEP_MORE)
		{
			attempts = 0;
			continue;
		}
		if (++attempts >= MAX_ATTEMPTS)
			report_locked(state->relid, result);
		next_step(next_transaction, arg);
		pg_usleep(RETRY_PAUSE_MS * 1000L);
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

static int64
relation_total_size(Oid relid)
{
	return DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
											 ObjectIdGetDatum(relid)));
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

	for (int attempt = 0; attempt < SPACE_ATTEMPTS; attempt++)
	{
		if (attempt > 0)
			pg_usleep(RETRY_PAUSE_MS * 1000L);
		CHECK_FOR_INTERRUPTS();

		/* 0 would mean to wait for ever */
		error = hone_toplevel_run(MyDatabaseId, owner, command, Max(lock_timeout_ms, 1));
		if (error == NULL)
			break;
	}
	return error;
}

/*
 * Give space back at the end: VACUUM the table (and its TOAST table), rebuild
 * its indexes, which are all but empty after compressing. In background
 * workers: VACUUM only runs at top level. Called at the start of a
 * transaction: no lock is held, and no snapshot older than the last step,
 * while it waits. Returns what went wrong, or NULL.
 */
static char *
give_space_back(Oid relid, bool rebuild_indexes, int lock_timeout_ms)
{
	Relation	rel = hone_reopen(relid, AccessShareLock);
	Oid			owner = rel->rd_rel->relowner;
	List	   *commands = NIL;
	ListCell   *lc;
	char	   *error = NULL;

	commands = lappend(commands, psprintf("VACUUM (ANALYZE, INDEX_CLEANUP ON) %s",
										  hone_qualified_name(relid)));
	if (rebuild_indexes)
	{
		foreach(lc, RelationGetIndexList(rel))
			commands = lappend(commands, psprintf("REINDEX INDEX %s",
												  hone_qualified_name(lfirst_oid(lc))));
	}
	wait_for_older_snapshots(rel);
	table_close(rel, AccessShareLock);

	foreach(lc, commands)
	{
		char	   *result = run_at_top_level(owner, lfirst(lc), lock_timeout_ms);

		if (result != NULL && error == NULL)
			error = result;
	}
	return error;
}

void
hone_tiered_compress(Oid relid, int lock_timeout_ms,
					 HoneTieredNextTransaction next_transaction, void *arg,
					 HoneTieredResult *result)
{
	HoneFoldState state = {.relid = relid,.lock_timeout_ms = lock_timeout_ms,
	.level = WARM_LEVEL};
	Relation	rel;
	bool		open;

	memset(result, 0, sizeof(*result));
	rel = table_open(relid, AccessShareLock);
	hone_tiered_check_compressible(rel);
	open = hone_holds_meta(rel);
	table_close(rel, AccessShareLock);
	result->bytes_before = relation_total_size(relid);

	if (!open)
		run_steps(&state, open_step, next_transaction, arg);
	run_steps(&state, hone_fold_step, next_transaction, arg);
	next_step(next_transaction, arg);
	if (state.batches > 0)
		result->vacuum_error = give_space_back(relid, true, lock_timeout_ms);
	result->rows = state.rows;
	result->batches = state.batches;
	result->bytes_after = relation_total_size(relid);
}

void
hone_tiered_decompress(Oid relid, int lock_timeout_ms,
					   HoneTieredNextTransaction next_transaction, void *arg,
					   HoneTieredResult *result)
{
	HoneFoldState state = {.relid = relid,.lock_timeout_ms = lock_timeout_ms,
	.level = WARM_LEVEL};
	Relation	rel;
	bool		tiered;

	memset(result, 0, sizeof(*result));
	rel = table_open(relid, AccessShareLock);
	check_kind(rel, "decompress", true);
	tiered = hone_is_tiered(rel);
	table_close(rel, AccessShareLock);
	result->bytes_before = relation_total_size(relid);
	if (tiered)
	{
		run_steps(&state, unfold_all_step, next_transaction, arg);
		next_step(next_transaction, arg);
		if (state.batches > 0)
			result->vacuum_error = give_space_back(relid, false, lock_timeout_ms);
	}
	result->rows = state.rows;
	result->batches = state.batches;
	result->bytes_after = relation_total_size(relid);
}

/* ------------------------------------------------------------------------
 * Procedures
 * ------------------------------------------------------------------------
 */

static void
commit_in_procedure(void *arg)
{
	hone_procedure_commit();
}

static void
begin_procedure(FunctionCallInfo fcinfo, const char *name)
{
	PreventCommandDuringRecovery(name);
	hone_procedure_begin(fcinfo, name);
	PreventCommandIfReadOnly(name);
}

static int
lock_timeout_setting(void)
{
	const char *value = GetConfigOption("hone.lock_timeout", true, false);
	int			timeout;

	if (value == NULL || !parse_int(value, &timeout, GUC_UNIT_MS, NULL))
		return DEFAULT_LOCK_TIMEOUT_MS;
	return timeout;
}

/*
 * The table itself, or the leaf partitions of a partitioned one; the
 * partitioned tables above them only where wanted.
 */
static List *
leaf_tables(Oid relid, bool parents)
{
	List	   *leaves = NIL;
	ListCell   *lc;

	if (get_rel_relkind(relid) != RELKIND_PARTITIONED_TABLE)
		return list_make1_oid(relid);
	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		if (parents || get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE)
			leaves = lappend_oid(leaves, lfirst_oid(lc));
	}
	return leaves;
}

static void
report_result(const char *done, Oid relid, const HoneTieredResult *result)
{
	char	   *name = hone_qualified_name(relid);

	ereport(NOTICE,
			(errmsg("%s %s: " INT64_FORMAT " rows, " INT64_FORMAT " batches, %s -> %s",
					name ? name : "table", done, result->rows, result->batches,
					text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
																	   Int64GetDatum(result->bytes_before)))),
					text_to_cstring(DatumGetTextPP(DirectFunctionCall1(pg_size_pretty,
																	   Int64GetDatum(result->bytes_after)))))));
	if (result->vacuum_error != NULL)
		ereport(WARNING,
				(errmsg("space of %s was not all given back: %s",
						name ? name : "the table", result->vacuum_error),
				 errhint("VACUUM and REINDEX the table later; the rows are safe.")));
}

Datum
hone_compress(PG_FUNCTION_ARGS)
{
	Oid			relid;
	int			timeout = lock_timeout_setting();
	List	   *leaves;
	ListCell   *lc;

	hone_require_script();
	relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	begin_procedure(fcinfo, "hone.compress");
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table to compress does not exist"),
				 errhint("Give its name: CALL hone.compress('schema.table').")));
	leaves = leaf_tables(relid, false);
	foreach(lc, leaves)
	{
		/* all of them before the first is touched */
		Relation	rel = relation_open(lfirst_oid(lc), AccessShareLock);

		hone_tiered_check_compressible(rel);
		relation_close(rel, AccessShareLock);
	}
	foreach(lc, leaves)
	{
		HoneTieredResult result;

		hone_tiered_compress(lfirst_oid(lc), timeout, commit_in_procedure, NULL, &result);
		report_result("compressed", lfirst_oid(lc), &result);
	}
	hone_procedure_end();
	PG_RETURN_VOID();
}

/*
 * From 17 on a partitioned table can have an access method, which is that of
 * partitions to come: back to the default.
 */
static void
make_parent_ordinary(Oid relid, int lock_timeout_ms)
{
	HoneFoldState state = {.relid = relid,.lock_timeout_ms = lock_timeout_ms};
	Relation	rel = try_relation_open(relid, AccessShareLock);
	bool		tiered;

	if (rel == NULL)
		return;					/* dropped meanwhile */
	tiered = OidIsValid(rel->rd_rel->relam) &&
		rel->rd_rel->relam == hone_tiered_am_oid();
	if (tiered && !HONE_OWNS_RELATION(relid))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	relation_close(rel, AccessShareLock);
	if (tiered)
		run_steps(&state, parent_step, commit_in_procedure, NULL);
}

static void
decompress_one(Oid relid, int lock_timeout_ms)
{
	HoneTieredResult result;

	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
	{
		make_parent_ordinary(relid, lock_timeout_ms);
		return;
	}
	hone_tiered_decompress(relid, lock_timeout_ms, commit_in_procedure, NULL, &result);
	report_result("decompressed", relid, &result);
}

Datum
hone_decompress(PG_FUNCTION_ARGS)
{
	Oid			relid = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	int			timeout = lock_timeout_setting();
	ListCell   *lc;

	begin_procedure(fcinfo, "hone.decompress");
	if (get_rel_name(relid) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table to decompress does not exist"),
				 errhint("Give its name: CALL hone.decompress('schema.table').")));
	foreach(lc, leaf_tables(relid, true))
	{
		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_FOREIGN_TABLE)
			decompress_one(lfirst_oid(lc), timeout);
	}
	hone_procedure_end();
	PG_RETURN_VOID();
}

/*
 * All relations of access method tiered in this database, partitioned tables
 * before others: no partition is to be made tiered meanwhile.
 * Temporary ones hold no batches, and are their sessions' alone.
 */
static List *
tiered_tables(void)
{
	Oid			am = hone_tiered_am_oid();
	Relation	pg_class = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(pg_class, InvalidOid, false, NULL, 0, NULL);
	List	   *tables = NIL;
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		CHECK_FOR_INTERRUPTS();
		if (OidIsValid(am) && form->relam == am &&
			form->relpersistence != RELPERSISTENCE_TEMP)
			tables = form->relkind == RELKIND_PARTITIONED_TABLE ?
				lcons_oid(form->oid, tables) : lappend_oid(tables, form->oid);
	}
	systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
	return tables;
}

Datum
hone_decompress_all(PG_FUNCTION_ARGS)
{
	int			timeout = lock_timeout_setting();
	ListCell   *lc;

	begin_procedure(fcinfo, "hone.decompress_all");
	foreach(lc, tiered_tables())
	{
		/* not if dropped meanwhile */
		if (get_rel_name(lfirst_oid(lc)) != NULL)
			decompress_one(lfirst_oid(lc), timeout);
	}
	hone_procedure_end();
	PG_RETURN_VOID();
}

/* ------------------------------------------------------------------------
 * Figures
 * ------------------------------------------------------------------------
 */

/*
 * Plain rows that the snapshot sees: counted on SAMPLED_BLOCKS blocks spread
 * over the main fork, all of them where there are no more.
 */
static int64
estimate_plain_rows(Relation rel, Snapshot snapshot)
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

/*
 * tiered_stats(regclass) -> batches, compressed_rows, plain_rows (estimate),
 * raw_bytes, compressed_bytes, heap_bytes (before the first fold). No row for
 * a table that is not tiered; NULL figures never.
 */
Datum
hone_tiered_stats(PG_FUNCTION_ARGS)
{
	Oid			relid;
	Relation	rel;
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};
	HoneStoreMeta meta;
	HoneStore  *store;

	hone_require_script();
	relid = PG_GETARG_OID(0);
	rel = try_relation_open(relid, AccessShareLock);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (rel == NULL)
		PG_RETURN_NULL();
	if (!hone_is_tiered(rel))
	{
		relation_close(rel, AccessShareLock);
		PG_RETURN_NULL();
	}

	memset(&meta, 0, sizeof(meta));
	store = hone_store_open(rel, AccessShareLock);
	if (store != NULL)
	{
		if (!hone_store_read_meta(store, GetActiveSnapshot(), &meta))
			memset(&meta, 0, sizeof(meta));
		hone_store_close(store);
	}
	values[0] = Int64GetDatum(meta.batches);
	values[1] = Int64GetDatum(meta.rows);
	values[2] = Int64GetDatum(estimate_plain_rows(rel, GetActiveSnapshot()));
	values[3] = Int64GetDatum(meta.raw_bytes);
	values[4] = Int64GetDatum(meta.stored_bytes);
	values[5] = Int64GetDatum(meta.heap_bytes);
	relation_close(rel, AccessShareLock);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
