/*-------------------------------------------------------------------------
 *
 * housekeeping.c
 *	  Totals for others, making room, resetting.
 *
 * Eviction is the launcher's (hone_stats_evict(), at each nap): it notes keys
 * and ages under shared partition locks, sorts them locally, and takes the
 * victims out one by one under their partition's lock; statements go on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "stats/housekeeping.h"
#include "stats/pending.h"

/* In per cent of hone.max_memory: where evicting starts and where it ends. */
#define EVICT_ABOVE		85
#define EVICT_DOWN_TO	70

/* A text younger than this is kept: its first call may still be running. */
#define TEXT_GRACE_US	(INT64CONST(60) * 1000000)

typedef struct Candidate
{
	TimestampTz last_seen;
	HoneStatsKey key;
} Candidate;

typedef struct CandidateList
{
	Candidate  *items;
	int			count;
	int			capacity;
} CandidateList;

typedef struct QueryName
{
	uint64		queryid;
	uint64		dbid;
} QueryName;

bool
hone_stats_totals(Oid dbid, uint64 queryid, HoneStatsTotals *totals)
{
	uint32		bucket;
	LWLock	   *lock;
	dsa_pointer pointer;
	uint64		total_ns = 0;

	memset(totals, 0, sizeof(*totals));
	if (!hone_stats_attach())
		return false;
	bucket = hone_stats_bucket(dbid, queryid);
	lock = hone_stats_partition_lock(bucket);
	LWLockAcquire(lock, LW_SHARED);
	pointer = *hone_stats_chain(bucket);
	while (DsaPointerIsValid(pointer))
	{
		HoneStatsNode *node = dsa_get_address(hone_stats_area, pointer);

		if (node->key.kind == HONE_STATS_QUERY && node->key.dbid == dbid &&
			node->key.queryid == queryid)
		{
			HoneStatsCounters *counters = &((HoneStatsQuery *) node)->counters;

			totals->calls += counters->calls;
			totals->errors += counters->errors;
			totals->rows += counters->rows;
			total_ns += counters->total_ns;
		}
		pointer = node->next;
	}
	LWLockRelease(lock);
	totals->total_ms = total_ns / 1e6;
	totals->mean_ms = totals->calls > 0 ? totals->total_ms / totals->calls : 0;
	return totals->calls > 0;
}

void
hone_stats_flush(void)
{
	hone_pending_flush(true);
}

void
hone_stats_internal_error(void)
{
	if (hone_stats_shared != NULL)
		pg_atomic_fetch_add_u64(&hone_stats_shared->internal_errors, 1);
}

/* Remove the node with this key, if it is still there. */
static bool
delete_node(const HoneStatsKey *key)
{
	uint32		bucket = hone_stats_bucket(key->dbid, key->queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	dsa_pointer *link;
	bool		deleted = false;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	link = hone_stats_chain(bucket);
	while (DsaPointerIsValid(*link) && !deleted)
	{
		HoneStatsNode *node = dsa_get_address(hone_stats_area, *link);

		if (memcmp(&node->key, key, sizeof(*key)) == 0 && *link != hone_stats_shared->other)
		{
			hone_stats_delete(link);
			deleted = true;
		}
		else
			link = &node->next;
	}
	LWLockRelease(lock);
	return deleted;
}

static void
note_candidate(CandidateList *list, const HoneStatsNode *node)
{
	if (list->count == list->capacity)
	{
		list->capacity *= 2;
		list->items = repalloc_huge(list->items, (Size) list->capacity * sizeof(Candidate));
	}
	list->items[list->count].last_seen = node->last_seen;
	list->items[list->count++].key = node->key;
}

/* Keys and ages of all nodes: texts into one list, the others into another. */
static void
note_all(CandidateList *numbers, CandidateList *texts)
{
	for (uint32 i = 0; i < hone_stats_shared->bucket_count; i++)
	{
		LWLock	   *lock = hone_stats_partition_lock(i);
		dsa_pointer pointer;

		LWLockAcquire(lock, LW_SHARED);
		pointer = *hone_stats_chain(i);
		while (DsaPointerIsValid(pointer))
		{
			HoneStatsNode *node = dsa_get_address(hone_stats_area, pointer);

			if (pointer != hone_stats_shared->other)
				note_candidate(node->key.kind == HONE_STATS_TEXT ? texts : numbers, node);
			pointer = node->next;
		}
		LWLockRelease(lock);
	}
}

static int
compare_candidates(const void *a, const void *b)
{
	const Candidate *x = a;
	const Candidate *y = b;

	return x->last_seen < y->last_seen ? -1 : x->last_seen > y->last_seen;
}

static bool
has_room(void)
{
	return pg_atomic_read_u64(&hone_stats_shared->used_bytes) <=
		hone_stats_shared->memory_limit / 100 * EVICT_DOWN_TO;
}

/* Texts of queries of which no numbers are left. */
static void
evict_texts(const CandidateList *texts, HTAB *living)
{
	TimestampTz young = GetCurrentTimestamp() - TEXT_GRACE_US;
	int			gone = 0;

	for (int i = 0; i < texts->count; i++)
	{
		Candidate  *text = &texts->items[i];
		QueryName	name = {text->key.queryid, text->key.dbid};

		if (hash_search(living, &name, HASH_FIND, NULL) == NULL &&
			(text->last_seen < young || !has_room()) && delete_node(&text->key))
			gone++;
	}
	if (gone > 0)
		pg_atomic_fetch_add_u32(&hone_stats_shared->text_epoch, 1);
}

static HTAB *
create_name_table(int size)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(QueryName);
	control.entrysize = sizeof(QueryName);
	control.hcxt = CurrentMemoryContext;
	return hash_create("hone query names", Max(size, 64), &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

/*
 * Evict the coldest twentieth, so that the next query finds room, and the
 * texts that they leave. Adds to *evicted; false when nothing was left to go.
 */
static bool
evict(int64 *evicted)
{
	CandidateList numbers = {palloc(1024 * sizeof(Candidate)), 0, 1024};
	CandidateList texts = {palloc(1024 * sizeof(Candidate)), 0, 1024};
	HTAB	   *living;
	int			victims;

	note_all(&numbers, &texts);
	qsort(numbers.items, numbers.count, sizeof(Candidate), compare_candidates);

	victims = Min(numbers.count, numbers.count / 20 + 1);
	for (int i = 0; i < victims; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (delete_node(&numbers.items[i].key) &&
			numbers.items[i].key.kind == HONE_STATS_QUERY)
			(*evicted)++;
	}
	living = create_name_table(numbers.count - victims);
	for (int i = victims; i < numbers.count; i++)
	{
		QueryName	name = {numbers.items[i].key.queryid, numbers.items[i].key.dbid};

		hash_search(living, &name, HASH_ENTER, NULL);
	}
	evict_texts(&texts, living);
	return victims > 0;
}

int64
hone_stats_evict(void)
{
	HoneStatsShared *shared = hone_stats_shared;
	MemoryContext context;
	MemoryContext old;
	int64		evicted = 0;
	bool		more;

	if (!hone_stats_attach())
		return 0;
	if (pg_atomic_read_u32(&shared->out_of_memory) == 0 &&
		pg_atomic_read_u64(&shared->used_bytes) <= shared->memory_limit / 100 * EVICT_ABOVE)
		return 0;
	pg_atomic_write_u32(&shared->out_of_memory, 0);

	context = AllocSetContextCreate(CurrentMemoryContext, "hone eviction",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	do
	{
		more = evict(&evicted);
		MemoryContextReset(context);
	} while (more && !has_room());
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	pg_atomic_fetch_add_u64(&shared->evictions, evicted);
	return evicted;
}

/*
 * Delete one query's numbers, or everything, in a bucket, under its lock. The
 * text of a single query stays: it will be wanted at its next call.
 */
static void
reset_bucket(uint32 bucket, bool all, uint64 queryid)
{
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	dsa_pointer *link = hone_stats_chain(bucket);

	LWLockAcquire(lock, LW_EXCLUSIVE);
	while (DsaPointerIsValid(*link))
	{
		HoneStatsNode *node = dsa_get_address(hone_stats_area, *link);

		if (!all && (node->key.kind == HONE_STATS_TEXT || node->key.queryid != queryid))
			link = &node->next;
		else if (*link == hone_stats_shared->other)
		{
			HoneStatsQuery *other = (HoneStatsQuery *) node;

			memset(&other->counters, 0, sizeof(other->counters));
			other->histogram_used = 0;
			link = &node->next;
		}
		else
			hone_stats_delete(link);
	}
	LWLockRelease(lock);
}

void
hone_stats_reset(bool all, uint64 queryid)
{
	HoneStatsShared *shared = hone_stats_shared;
	HoneStatsReset *reset;
	uint32		epoch;

	if (!hone_stats_attach())
		return;
	hone_pending_flush(true);

	LWLockAcquire(hone_stats_flush_lock(), LW_EXCLUSIVE);
	for (uint32 i = 0; i < shared->bucket_count; i++)
		if (DsaPointerIsValid(*hone_stats_chain(i)))
			reset_bucket(i, all, queryid);
	if (all)
	{
		pg_atomic_fetch_add_u32(&shared->text_epoch, 1);
		pg_atomic_write_u64(&shared->evictions, 0);
		pg_atomic_write_u64(&shared->dropped, 0);
		pg_atomic_write_u64(&shared->other_calls, 0);
		pg_atomic_write_u64(&shared->unbucketed, 0);
		pg_atomic_write_u64(&shared->texts_dropped, 0);
	}
	epoch = pg_atomic_read_u32(&shared->reset_epoch) + 1;
	reset = &shared->resets[epoch % HONE_STATS_RESETS];
	reset->epoch = epoch;
	reset->all = all;
	reset->queryid = queryid;
	pg_write_barrier();
	pg_atomic_write_u32(&shared->reset_epoch, epoch);
	LWLockRelease(hone_stats_flush_lock());

	/* Nothing is pending here; the next flush would find that out as well. */
	hone_pending_flush(true);
}
