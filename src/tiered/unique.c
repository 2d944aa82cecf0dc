/*-------------------------------------------------------------------------
 *
 * unique.c
 *	  Unique indexes of an open table: keys of compressed rows count too.
 *
 * Unique checks are made inside the index's access method, which knows plain
 * rows only. So in a session that writes to an open table the routine of each
 * of its unique indexes, in the relation cache, is replaced by a copy with two
 * functions around the index's own:
 *
 * - aminsert first looks for compressed rows with the key. One that lives is a
 *   duplicate, told as btree tells it; one that another transaction is
 *   deleting is waited for, as btree waits. A compressed row that is dead
 *   stays dead, and none can appear: folding waits for us. So once is enough.
 * - amgettuple, when a search through SnapshotDirty has seen all plain rows,
 *   goes on with the TIDs of the compressed rows that have the key: so ON
 *   CONFLICT finds them, and locks and updates them like any row; a
 *   subscription, too, which looks for the row to change in that way.
 *
 * The replacement lives in the index's relation cache entry and goes with it.
 * An entry that is open is never thrown away, only read anew, which leaves the
 * routine alone. Between the attachment and the use of an index that is not
 * open yet (deferred checks) no invalidation is taken in, since its lock is
 * held to the end of the transaction: taking it again reads no messages.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/amapi.h"
#include "access/genam.h"
#include "access/heapam.h"
#include "access/relscan.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/tuplesort.h"

#include "tiered/am.h"
#include "tiered/probe.h"
#include "tiered/row.h"
#include "tiered/tiered.h"
#include "tiered/unique.h"

/* In rd_indexcxt; the routine must be first: rd_indam points to it. */
typedef struct AttachedRoutine
{
	IndexAmRoutine routine;
	IndexAmRoutine *native;
} AttachedRoutine;

/* What a search through SnapshotDirty found among compressed rows. */
typedef struct DirtySearch
{
	IndexScanDesc scan;
	ItemPointerData *tids;
	int			ntids;
	int			next;
} DirtySearch;

static List *searches = NIL;	/* of DirtySearch, in TopTransactionContext */
static bool searches_registered = false;	/* to be forgotten with it */

/*
 * hone_probe, in a memory context of its own: access methods are called in
 * ones that live as long as the statement. *tids is allocated in result.
 */
static int
probe(Relation rel, Relation index, const Datum *values, const bool *isnull,
	  MemoryContext result, ItemPointerData **tids)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hone probe",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ItemPointerData *found;
	int			ntids = hone_probe(rel, index, values, isnull, &found);

	*tids = NULL;
	if (ntids > 0)
	{
		*tids = MemoryContextAlloc(result, ntids * sizeof(ItemPointerData));
		memcpy(*tids, found, ntids * sizeof(ItemPointerData));
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	return ntids;
}

/* ------------------------------------------------------------------------
 * Insertion
 * ------------------------------------------------------------------------
 */

static void
report_duplicate(Relation index, Relation rel, Datum *values, bool *isnull)
{
	char	   *key = BuildIndexValueDescription(index, values, isnull);

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates unique constraint \"%s\"",
					RelationGetRelationName(index)),
			 key ? errdetail("Key %s already exists.", key) : 0,
			 errtableconstraint(rel, RelationGetRelationName(index))));
}

static bool
has_null(Relation index, const bool *isnull)
{
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(index); i++)
	{
		if (isnull[i])
			return true;
	}
	return false;
}

/*
 * Whether a compressed row stands in the way of a new plain row at tid. With
 * wait, one that is being deleted is waited for, so true means a duplicate.
 */
static bool
conflicts(Relation rel, Relation index, const Datum *values, const bool *isnull,
		  ItemPointer tid, bool wait)
{
	HoneStore  *store;
	ItemPointerData *tids;
	int			ntids = probe(rel, index, values, isnull, CurrentMemoryContext, &tids);
	bool		conflict = false;

	if (ntids == 0)
		return false;
	store = hone_store_open(rel, AccessShareLock);
	for (int i = 0; i < ntids && !conflict; i++)
	{
		HoneTombstone tombstone;
		HoneRowState state;

		for (;;)
		{
			state = hone_tombstone_state(store, hone_tid_batch(&tids[i]),
										 hone_tid_row(&tids[i]), &tombstone);
			if (state != HONE_ROW_CHANGING || !wait)
				break;
			XactLockTableWait(tombstone.xid, index, tid, XLTW_InsertIndex);
		}
		conflict = state == HONE_ROW_ALIVE || state == HONE_ROW_CHANGING;
	}
	hone_store_close(store);
	pfree(tids);
	return conflict;
}

static bool
attached_insert(Relation index, Datum *values, bool *isnull,
				ItemPointer heap_tid, Relation rel, IndexUniqueCheck check,
				bool unchanged, struct IndexInfo *info)
{
	IndexAmRoutine *native = ((AttachedRoutine *) index->rd_indam)->native;
	bool		conflict = false;

	if (check != UNIQUE_CHECK_NO &&
		(index->rd_index->indnullsnotdistinct || !has_null(index, isnull)))
		conflict = conflicts(rel, index, values, isnull, heap_tid,
							 check != UNIQUE_CHECK_PARTIAL);
	if (conflict && check != UNIQUE_CHECK_PARTIAL)
		report_duplicate(index, rel, values, isnull);
	return native->aminsert(index, values, isnull, heap_tid, rel, check,
							unchanged, info) && !conflict;
}

/* ------------------------------------------------------------------------
 * Searches for conflicts
 * ------------------------------------------------------------------------
 */

static DirtySearch *
find_search(IndexScanDesc scan)
{
	ListCell   *lc;

	foreach(lc, searches)
	{
		DirtySearch *search = lfirst(lc);

		if (search->scan == scan)
			return search;
	}
	return NULL;
}

static void
forget_search(IndexScanDesc scan)
{
	DirtySearch *search = find_search(scan);

	if (search == NULL)
		return;
	searches = list_delete_ptr(searches, search);
	if (search->tids != NULL)
		pfree(search->tids);
	pfree(search);
}

static void
forget_searches(void *arg)
{
	searches = NIL;
	searches_registered = false;
}

/*
 * With REPLICA IDENTITY FULL, PostgreSQL 16 and later look for a subscription's
 * row through any index.
 */
static void
refuse_search(Relation rel, Relation index)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("a subscription cannot look for rows of compressed table \"%s\" through index \"%s\"",
					RelationGetRelationName(rel), RelationGetRelationName(index)),
			 errdetail("An index that is not unique does not find compressed rows."),
			 errhint("CALL hone.decompress('%s'), drop the index, or give the published table a primary key.",
					 hone_qualified_name(RelationGetRelid(rel)))));
}

static DirtySearch *
begin_search(IndexScanDesc scan)
{
	Relation	index = scan->indexRelation;
	int			nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	MemoryContext old;
	DirtySearch *search;

	/* unique checks search like this, by equality of the whole key */
	if (!index->rd_index->indisunique || scan->numberOfKeys != nkeys)
		refuse_search(scan->heapRelation, index);
	for (int i = 0; i < nkeys; i++)
	{
		ScanKey		key = &scan->keyData[i];

		if (key->sk_attno != i + 1 ||
			(key->sk_strategy != BTEqualStrategyNumber && !(key->sk_flags & SK_SEARCHNULL)))
			refuse_search(scan->heapRelation, index);
		values[i] = key->sk_argument;
		isnull[i] = (key->sk_flags & SK_ISNULL) != 0;
	}

	old = MemoryContextSwitchTo(TopTransactionContext);
	if (!searches_registered)
	{
		MemoryContextCallback *callback = palloc(sizeof(MemoryContextCallback));

		callback->func = forget_searches;
		callback->arg = NULL;
		MemoryContextRegisterResetCallback(TopTransactionContext, callback);
		searches_registered = true;
	}
	search = palloc0(sizeof(DirtySearch));
	search->scan = scan;
	searches = lappend(searches, search);
	MemoryContextSwitchTo(old);
	search->ntids = probe(scan->heapRelation, index, values, isnull,
						  TopTransactionContext, &search->tids);
	return search;
}

static bool
attached_gettuple(IndexScanDesc scan, ScanDirection direction)
{
	IndexAmRoutine *native = ((AttachedRoutine *) scan->indexRelation->rd_indam)->native;
	DirtySearch *search = searches != NIL ? find_search(scan) : NULL;

	if (search == NULL)
	{
		if (native->amgettuple(scan, direction))
			return true;
		if (scan->xs_snapshot == NULL || scan->heapRelation == NULL ||
			scan->xs_snapshot->snapshot_type != SNAPSHOT_DIRTY)
			return false;
		search = begin_search(scan);
	}
	if (search->tids == NULL || search->next >= search->ntids)
		return false;
	scan->xs_heaptid = search->tids[search->next++];
	scan->xs_recheck = false;
	return true;
}

static void
attached_rescan(IndexScanDesc scan, ScanKey keys, int nkeys,
				ScanKey orderbys, int norderbys)
{
	forget_search(scan);
	((AttachedRoutine *) scan->indexRelation->rd_indam)->native->amrescan(scan, keys, nkeys,
																		  orderbys, norderbys);
}

static void
attached_endscan(IndexScanDesc scan)
{
	forget_search(scan);
	((AttachedRoutine *) scan->indexRelation->rd_indam)->native->amendscan(scan);
}

bool
hone_unique_fetch(Relation rel, ItemPointer tid, Snapshot snapshot,
				  TupleTableSlot *slot)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	HoneTombstone tombstone;
	HoneRowState state = hone_tombstone_state(store, hone_tid_batch(tid),
											  hone_tid_row(tid), &tombstone);
	bool		found = state == HONE_ROW_ALIVE || state == HONE_ROW_CHANGING;

	if (found)
		found = hone_row_fetch(store, SnapshotSelf, tid, slot);
	hone_store_close(store);

	snapshot->xmin = InvalidTransactionId;
	snapshot->xmax = state == HONE_ROW_CHANGING ? tombstone.xid : InvalidTransactionId;
	snapshot->speculativeToken = 0;
	return found;
}

/* ------------------------------------------------------------------------
 * Attaching
 * ------------------------------------------------------------------------
 */

/* Counts invalidations of relation cache entries. */
static uint64 generation = 1;

static void
count_invalidation(Datum arg, Oid relid)
{
	generation++;
}

/* Rolling back to a savepoint may release the locks on the indexes. */
static void
count_rollback(SubXactEvent event, SubTransactionId mine,
			   SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		generation++;
}

static void
attach_index(Relation index)
{
	AttachedRoutine *attached;

	/* a subscription may search any of them; that of others is refused */
	if ((!index->rd_index->indisunique && !IsLogicalWorker()) ||
		index->rd_indam->amgettuple == NULL ||
		index->rd_indam->aminsert == attached_insert)
		return;
	attached = MemoryContextAlloc(index->rd_indexcxt, sizeof(AttachedRoutine));
	attached->native = (IndexAmRoutine *) index->rd_indam;
	attached->routine = *attached->native;
	attached->routine.aminsert = attached_insert;
	attached->routine.amgettuple = attached_gettuple;
	attached->routine.amrescan = attached_rescan;
	attached->routine.amendscan = attached_endscan;
	index->rd_indam = &attached->routine;
}

void
hone_unique_attach(Relation rel)
{
	static bool registered = false;
	HoneAmCache *cache;
	List	   *indexes;
	ListCell   *lc;
	uint64		started;

	if (!hone_is_open(rel) || !CheckRelationLockedByMe(rel, RowExclusiveLock, true))
		return;
	cache = rel->rd_amcache;
	if (cache->attached == generation && cache->attached_by == HONE_MY_LXID)
		return;
	if (!registered)
	{
		CacheRegisterRelcacheCallback(count_invalidation, (Datum) 0);
		RegisterSubXactCallback(count_rollback, NULL);
		registered = true;
	}

	/* locking may take in invalidations: until a round goes by without one */
	do
	{
		started = generation;
		indexes = RelationGetIndexList(rel);
		foreach(lc, indexes)
		{
			Relation	index = index_open(lfirst_oid(lc), RowExclusiveLock);

			attach_index(index);
			index_close(index, NoLock);
		}
		list_free(indexes);
	} while (started != generation);

	if (hone_is_open(rel))
	{
		cache = rel->rd_amcache;
		cache->attached = generation;
		cache->attached_by = HONE_MY_LXID;
	}
}

/* ------------------------------------------------------------------------
 * Index builds
 * ------------------------------------------------------------------------
 */

static void
add_keys(Tuplesortstate *sort, Relation rel, Relation index, IndexInfo *info,
		 Snapshot snapshot)
{
	EState	   *estate = CreateExecutorState();
	ExprContext *econtext = GetPerTupleExprContext(estate);
	ExprState  *predicate;
	IndexInfo  *own = BuildIndexInfo(index);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsBufferHeapTuple);
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);

	predicate = ExecPrepareQual(own->ii_Predicate, estate);
	econtext->ecxt_scantuple = slot;
	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
	{
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		CHECK_FOR_INTERRUPTS();
		ResetExprContext(econtext);
		if (predicate != NULL && !ExecQual(predicate, econtext))
			continue;
		FormIndexDatum(own, slot, estate, values, isnull);
		tuplesort_putindextuplevalues(sort, index, &slot->tts_tid, values, isnull);
	}
	table_endscan(scan);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	pfree(own);
}

void
hone_unique_check_all(Relation rel, Relation index, IndexInfo *info,
					  Snapshot snapshot)
{
	Tuplesortstate *sort = tuplesort_begin_index_btree(rel, index, true,
													   info->ii_NullsNotDistinct,
													   maintenance_work_mem,
													   NULL, TUPLESORT_NONE);

	add_keys(sort, rel, index, info, snapshot);

	/* raises the error of CREATE UNIQUE INDEX on two equal keys */
	tuplesort_performsort(sort);
	tuplesort_end(sort);
}
