/*-------------------------------------------------------------------------
 *
 * probe.c
 *	  Which compressed rows have a given key of a unique index.
 *
 * Indexes hold plain rows only. What batches say of their columns tells which
 * may hold a key (detail.h). Of such a batch the vectors in question are
 * decoded and compared, a few times in a transaction; who comes back more
 * often has the keys of all its rows hashed and sorted: the batch's *key
 * table*, which later probes search. What it says never changes, as a batch
 * never does; the last used ones are kept up to hone.key_cache a session. A
 * hash found is compared with the row itself, by the index's own comparison.
 *
 * The directory is kept to the end of the transaction where a lock on the
 * table keeps folding away meanwhile; rolling back to a savepoint may release
 * that lock, and forgets it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/typcache.h"

#include "tiered/cursor.h"
#include "tiered/detail.h"
#include "tiered/probe.h"
#include "tiered/row.h"

/* ------------------------------------------------------------------------
 * The directory, kept for a transaction
 * ------------------------------------------------------------------------
 */

typedef struct KeptDirectory
{
	MemoryContext context;
	Oid			relid;
	Oid			toast_file;
	HoneBatchEntry *entries;
	int			nentries;
	uint8	   *probed;			/* of each, how often; up to DIRECT_PROBES */
} KeptDirectory;

/* Probes of a batch, in a transaction, before its key table is made. */
#define DIRECT_PROBES	3

static KeptDirectory *kept = NULL;	/* in TopTransactionContext */

static void
forget_kept(void *arg)
{
	kept = NULL;
}

static void
forget_on_rollback(SubXactEvent event, SubTransactionId mine,
				   SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB && kept != NULL)
		MemoryContextDelete(kept->context);
}

static KeptDirectory *
read_directory(HoneStore *store)
{
	static bool registered = false;
	MemoryContext context;
	MemoryContext old;
	MemoryContextCallback *callback;
	KeptDirectory *directory;

	if (!registered)
	{
		RegisterSubXactCallback(forget_on_rollback, NULL);
		registered = true;
	}
	if (kept != NULL)
		MemoryContextDelete(kept->context);

	context = AllocSetContextCreate(TopTransactionContext, "hone directory",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	directory = palloc0(sizeof(KeptDirectory));
	directory->context = context;
	directory->relid = RelationGetRelid(store->rel);
	directory->toast_file = store->toast->rd_rel->relfilenode;
	directory->entries = hone_store_read_directory(store, SnapshotSelf, &directory->nentries);
	directory->probed = palloc0(Max(directory->nentries, 1));
	callback = palloc(sizeof(MemoryContextCallback));
	callback->func = forget_kept;
	callback->arg = NULL;
	MemoryContextRegisterResetCallback(context, callback);
	MemoryContextSwitchTo(old);
	kept = directory;
	return directory;
}

/*
 * The batches that are there now.
 */
static KeptDirectory *
current_directory(HoneStore *store)
{
	if (kept != NULL && kept->relid == RelationGetRelid(store->rel) &&
		kept->toast_file == store->toast->rd_rel->relfilenode &&
		CheckRelationLockedByMe(store->rel, RowExclusiveLock, true))
		return kept;
	return read_directory(store);
}

/* ------------------------------------------------------------------------
 * Keys of an index
 * ------------------------------------------------------------------------
 */

/* What it takes to compute and compare keys; lives for one call of hone_probe. */
typedef struct Keys
{
	Relation	rel;
	Relation	index;
	IndexInfo  *info;
	EState	   *estate;
	ExprState  *predicate;		/* NULL: none */
	int			nkeys;
	FmgrInfo   *hash[INDEX_MAX_KEYS];	/* NULL: the column cannot be hashed */
} Keys;

static void
begin_keys(Keys *keys, Relation rel, Relation index)
{
	keys->rel = rel;
	keys->index = index;
	keys->info = BuildIndexInfo(index);
	keys->estate = CreateExecutorState();
	keys->predicate = ExecPrepareQual(keys->info->ii_Predicate, keys->estate);
	keys->nkeys = IndexRelationGetNumberOfKeyAttributes(index);
}

static void
end_keys(Keys *keys)
{
	FreeExecutorState(keys->estate);
	pfree(keys->info);
}

/*
 * Hash functions that go with the index's equality, from the type cache.
 */
static void
find_hash_functions(Keys *keys)
{
	for (int i = 0; i < keys->nkeys; i++)
	{
		Oid			opcintype = keys->index->rd_opcintype[i];
		Oid			equality = get_opfamily_member(keys->index->rd_opfamily[i],
												   opcintype, opcintype,
												   BTEqualStrategyNumber);
		TypeCacheEntry *entry = lookup_type_cache(TupleDescAttr(RelationGetDescr(keys->index), i)->atttypid,
												  TYPECACHE_EQ_OPR | TYPECACHE_HASH_PROC |
												  TYPECACHE_HASH_PROC_FINFO);

		keys->hash[i] = OidIsValid(equality) && entry->eq_opr == equality &&
			OidIsValid(entry->hash_proc) ? &entry->hash_proc_finfo : NULL;
	}
}

static uint32
hash_key(Keys *keys, const Datum *values, const bool *isnull)
{
	uint32		hash = 0;

	for (int i = 0; i < keys->nkeys; i++)
	{
		uint32		column = 0;

		if (!isnull[i] && keys->hash[i] != NULL)
			column = DatumGetUInt32(FunctionCall1Coll(keys->hash[i],
													  keys->index->rd_indcollation[i],
													  values[i]));
		hash = hash_combine(hash, murmurhash32(column));
	}
	return hash;
}

/*
 * The key of a row; false when a partial index leaves the row out.
 */
static bool
form_key(Keys *keys, TupleTableSlot *slot, Datum *values, bool *isnull)
{
	ExprContext *econtext = GetPerTupleExprContext(keys->estate);

	ResetExprContext(econtext);
	econtext->ecxt_scantuple = slot;
	if (keys->predicate != NULL && !ExecQual(keys->predicate, econtext))
		return false;
	FormIndexDatum(keys->info, slot, keys->estate, values, isnull);
	return true;
}

static bool
same_key(Keys *keys, const Datum *values, const bool *isnull,
		 const Datum *others, const bool *others_null)
{
	for (int i = 0; i < keys->nkeys; i++)
	{
		if (isnull[i] != others_null[i])
			return false;
		if (!isnull[i] &&
			DatumGetInt32(FunctionCall2Coll(index_getprocinfo(keys->index, i + 1, BTORDER_PROC),
											keys->index->rd_indcollation[i],
											values[i], others[i])) != 0)
			return false;
	}
	return true;
}

/*
 * The columns (from 0) from which the key is computed. Never NULL.
 */
static Bitmapset *
key_attributes(Keys *keys)
{
	int			natts = RelationGetDescr(keys->rel)->natts;
	Bitmapset  *used = NULL;
	Bitmapset  *attributes = bms_make_singleton(natts);
	bool		whole_row;

	for (int i = 0; i < keys->info->ii_NumIndexAttrs; i++)
	{
		if (keys->info->ii_IndexAttrNumbers[i] > 0)
			attributes = bms_add_member(attributes, keys->info->ii_IndexAttrNumbers[i] - 1);
	}
	pull_varattnos((Node *) keys->info->ii_Expressions, 1, &used);
	pull_varattnos((Node *) keys->info->ii_Predicate, 1, &used);
	whole_row = bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, used);
	for (int i = 0; i < natts; i++)
	{
		if (whole_row || bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, used))
			attributes = bms_add_member(attributes, i);
	}
	bms_free(used);
	return attributes;
}

/* ------------------------------------------------------------------------
 * Key tables
 * ------------------------------------------------------------------------
 */

typedef struct KeyTableId
{
	Oid			index;
	Oid			toast_file;
	int32		batch;
	uint32		crc;			/* of the batch's directory row */
} KeyTableId;

typedef struct KeyTable
{
	KeyTableId	id;				/* must be first: hash key */
	dlist_node	node;			/* last used first */
	int			nrows;
	uint64	   *rows;			/* hash << 32 | row, sorted */
} KeyTable;

int			hone_key_cache_kb = 16384;

static HTAB *key_tables = NULL;
static dlist_head key_tables_used = DLIST_STATIC_INIT(key_tables_used);
static Size key_tables_size = 0;

static Size
key_table_size(int nrows)
{
	return sizeof(KeyTable) + nrows * sizeof(uint64);
}

static void
drop_key_table(KeyTable *table)
{
	key_tables_size -= key_table_size(table->nrows);
	dlist_delete(&table->node);
	pfree(table->rows);
	hash_search(key_tables, &table->id, HASH_REMOVE, NULL);
}

/*
 * Make room for one more; the one used longest ago goes first.
 */
static void
make_room(Size size)
{
	while (!dlist_is_empty(&key_tables_used) &&
		   key_tables_size + size > (Size) hone_key_cache_kb * 1024)
		drop_key_table(dlist_container(KeyTable, node, dlist_tail_node(&key_tables_used)));
}

static int
compare_rows(const void *a, const void *b)
{
	uint64		left = *(const uint64 *) a;
	uint64		right = *(const uint64 *) b;

	return left < right ? -1 : left > right;
}

/*
 * Decode and hash the keys of one batch, in the current memory context.
 */
static uint64 *
hash_batch(Keys *keys, const HoneBatchEntry *entry, int *nrows)
{
	uint64	   *rows = palloc(entry->nrows * sizeof(uint64));
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(keys->rel), &TTSOpsVirtual);
	Bitmapset  *attributes = key_attributes(keys);
	HoneCursor *cursor = hone_cursor_open(keys->rel, SnapshotSelf, NULL, attributes);

	find_hash_functions(keys);
	memset(slot->tts_isnull, true, RelationGetDescr(keys->rel)->natts * sizeof(bool));
	*nrows = 0;
	for (int row = 0; row < entry->nrows; row++)
	{
		ItemPointerData tid;
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];

		hone_tid_set(&tid, entry->batch, row);
		if (!hone_cursor_seek(cursor, &tid))
			elog(ERROR, "batch %d of compressed table \"%s\" is gone", entry->batch,
				 RelationGetRelationName(keys->rel));
		hone_cursor_store_virtual(cursor, slot);
		if (form_key(keys, slot, values, isnull))
			rows[(*nrows)++] = (uint64) hash_key(keys, values, isnull) << 32 | row;
	}
	hone_cursor_close(cursor);
	ExecDropSingleTupleTableSlot(slot);
	bms_free(attributes);
	qsort(rows, *nrows, sizeof(uint64), compare_rows);
	return rows;
}

/*
 * The key table of a batch, from the cache or made now. *kept says whether it
 * is the cache's, else the caller's to free.
 */
static uint64 *
key_table_of(Keys *keys, HoneStore *store, const HoneBatchEntry *entry,
			 int *nrows, bool *is_kept)
{
	KeyTableId	id = {
		.index = RelationGetRelid(keys->index),
		.toast_file = store->toast->rd_rel->relfilenode,
		.batch = entry->batch,
		.crc = entry->crc
	};
	KeyTable   *table;
	uint64	   *rows;
	uint64	   *copy;

	if (key_tables == NULL)
	{
		HASHCTL		control = {
			.keysize = sizeof(KeyTableId),
			.entrysize = sizeof(KeyTable),
			.hcxt = CacheMemoryContext
		};

		key_tables = hash_create("hone key tables", 64, &control,
								 HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	*is_kept = true;
	table = hash_search(key_tables, &id, HASH_FIND, NULL);
	if (table != NULL)
	{
		dlist_move_head(&key_tables_used, &table->node);
		*nrows = table->nrows;
		return table->rows;
	}

	rows = hash_batch(keys, entry, nrows);

	/* expressions of users ran: look again before it is entered */
	if (hash_search(key_tables, &id, HASH_FIND, NULL) != NULL ||
		key_table_size(*nrows) > (Size) hone_key_cache_kb * 1024)
	{
		*is_kept = false;
		return rows;
	}
	make_room(key_table_size(*nrows));
	copy = MemoryContextAlloc(CacheMemoryContext, Max(*nrows, 1) * sizeof(uint64));
	memcpy(copy, rows, *nrows * sizeof(uint64));
	pfree(rows);
	table = hash_search(key_tables, &id, HASH_ENTER, NULL);
	table->nrows = *nrows;
	table->rows = copy;
	dlist_push_head(&key_tables_used, &table->node);
	key_tables_size += key_table_size(*nrows);
	return copy;
}

/* ------------------------------------------------------------------------
 * Probing
 * ------------------------------------------------------------------------
 */

typedef struct Found
{
	ItemPointerData *tids;
	int			ntids;
	int			room;
} Found;

static void
add_found(Found *found, const ItemPointerData *tid)
{
	if (found->ntids == found->room)
	{
		found->room = Max(4, found->room * 2);
		found->tids = found->tids == NULL ?
			palloc(found->room * sizeof(ItemPointerData)) :
			repalloc(found->tids, found->room * sizeof(ItemPointerData));
	}
	found->tids[found->ntids++] = *tid;
}

/*
 * Is it really this row? Its key is computed and compared.
 */
static bool
check_row(Keys *keys, HoneStore *store, const ItemPointerData *tid,
		  const Datum *values, const bool *isnull)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(keys->rel), &TTSOpsHeapTuple);
	Datum		row_values[INDEX_MAX_KEYS];
	bool		row_isnull[INDEX_MAX_KEYS];
	bool		same = hone_row_fetch(store, SnapshotSelf, tid, slot) &&
	form_key(keys, slot, row_values, row_isnull) &&
	same_key(keys, values, isnull, row_values, row_isnull);

	ExecDropSingleTupleTableSlot(slot);
	return same;
}

static void
probe_batch(Keys *keys, HoneStore *store, const HoneBatchEntry *entry,
			uint32 hash, const Datum *values, const bool *isnull, Found *found)
{
	int			nrows;
	bool		is_kept;
	uint64	   *rows = key_table_of(keys, store, entry, &nrows, &is_kept);
	int			low = 0;
	int			high = nrows;
	int			ncandidates = 0;
	uint64	   *candidates;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (rows[middle] < (uint64) hash << 32)
			low = middle + 1;
		else
			high = middle;
	}
	while (low + ncandidates < nrows && rows[low + ncandidates] >> 32 == hash)
		ncandidates++;
	if (ncandidates > 0)
	{
		/* comparing may run functions of users, and the table be dropped */
		candidates = palloc(ncandidates * sizeof(uint64));
		memcpy(candidates, rows + low, ncandidates * sizeof(uint64));
		for (int i = 0; i < ncandidates; i++)
		{
			ItemPointerData tid;

			CHECK_FOR_INTERRUPTS();
			hone_tid_set(&tid, entry->batch, (int) (candidates[i] & PG_UINT32_MAX));
			if (check_row(keys, store, &tid, values, isnull))
				add_found(found, &tid);
		}
		pfree(candidates);
	}
	if (!is_kept)
		pfree(rows);
}

/*
 * Conditions on the key's columns by which batches are passed over; returns
 * their number.
 */
static int
key_conditions(Keys *keys, const Datum *values, const bool *isnull,
			   HoneCondition *conditions)
{
	TupleDesc	desc = RelationGetDescr(keys->rel);
	int			nconditions = 0;

	for (int i = 0; i < keys->nkeys; i++)
	{
		AttrNumber	attnum = keys->info->ii_IndexAttrNumbers[i];
		Oid			type = keys->index->rd_opcintype[i];

		if (attnum > 0 &&
			hone_condition_equal(attnum, TupleDescAttr(desc, attnum - 1)->atttypid,
								 get_opfamily_member(keys->index->rd_opfamily[i], type, type,
													 BTEqualStrategyNumber),
								 keys->index->rd_indcollation[i], values[i], isnull[i],
								 &conditions[nconditions]))
			nconditions++;
	}
	return nconditions;
}

/* A batch that may hold the key. */
typedef struct Candidate
{
	HoneBatchEntry entry;
	uint32		vectors;
	bool		direct;			/* not by its key table */
} Candidate;

/*
 * Compare the rows of some vectors of a batch.
 */
static void
scan_vectors(Keys *keys, const HoneBatchEntry *entry, uint32 vectors,
			 const Datum *values, const bool *isnull, Found *found)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(keys->rel), &TTSOpsVirtual);
	Bitmapset  *attributes = key_attributes(keys);
	HoneCursor *cursor = hone_cursor_open(keys->rel, SnapshotSelf, NULL, attributes);

	memset(slot->tts_isnull, true, RelationGetDescr(keys->rel)->natts * sizeof(bool));
	for (int row = 0; row < entry->nrows; row++)
	{
		ItemPointerData tid;
		Datum		row_values[INDEX_MAX_KEYS];
		bool		row_isnull[INDEX_MAX_KEYS];

		if (!((vectors >> (row / HONE_VECTOR_ROWS)) & 1))
		{
			row += HONE_VECTOR_ROWS - 1;
			continue;
		}
		hone_tid_set(&tid, entry->batch, row);
		if (!hone_cursor_seek(cursor, &tid))
			elog(ERROR, "batch %d of compressed table \"%s\" is gone", entry->batch,
				 RelationGetRelationName(keys->rel));
		hone_cursor_store_virtual(cursor, slot);
		if (form_key(keys, slot, row_values, row_isnull) &&
			same_key(keys, values, isnull, row_values, row_isnull))
			add_found(found, &tid);
	}
	hone_cursor_close(cursor);
	ExecDropSingleTupleTableSlot(slot);
	bms_free(attributes);
}

int
hone_probe(Relation rel, Relation index, const Datum *values,
		   const bool *isnull, ItemPointerData **tids)
{
	HoneStore  *store = hone_store_open(rel, AccessShareLock);
	KeptDirectory *directory;
	Candidate  *candidates;
	int			ncandidates = 0;
	HoneCondition conditions[INDEX_MAX_KEYS];
	int			nconditions;
	Keys		keys;
	Found		found = {NULL, 0, 0};
	uint32		hash;

	*tids = NULL;
	if (store == NULL)
		return 0;
	if (current_directory(store)->nentries == 0)
	{
		hone_store_close(store);
		return 0;
	}

	begin_keys(&keys, rel, index);
	find_hash_functions(&keys);
	hash = hash_key(&keys, values, isnull);
	nconditions = key_conditions(&keys, values, isnull, conditions);

	/* functions of users that run below may forget or replace what is kept */
	directory = current_directory(store);
	candidates = palloc(directory->nentries * sizeof(Candidate));
	for (int i = 0; i < directory->nentries; i++)
	{
		Candidate  *candidate = &candidates[ncandidates];

		CHECK_FOR_INTERRUPTS();
		candidate->vectors = hone_detail_match(store, SnapshotSelf, &directory->entries[i],
											   conditions, nconditions);
		if (candidate->vectors == 0)
			continue;
		candidate->entry = directory->entries[i];
		candidate->direct = directory->probed[i] < DIRECT_PROBES;
		if (candidate->direct)
			directory->probed[i]++;
		ncandidates++;
	}
	for (int i = 0; i < ncandidates; i++)
	{
		if (candidates[i].direct)
			scan_vectors(&keys, &candidates[i].entry, candidates[i].vectors,
						 values, isnull, &found);
		else
			probe_batch(&keys, store, &candidates[i].entry, hash, values, isnull, &found);
	}
	end_keys(&keys);
	pfree(candidates);
	hone_store_close(store);
	*tids = found.tids;
	return found.ntids;
}
