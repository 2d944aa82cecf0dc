/*-------------------------------------------------------------------------
 *
 * housekeeping.c
 *	  Totals for others, making room, resetting.
 *
 * Eviction is the collector's (hone_stats_evict()): it notes keys
 * and ages under shared partition locks, sorts them locally, and takes the
 * victims out one by one under their partition's lock; statements go on.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "stats/housekeeping.h"
#include "stats/pending.h"

/* In per cent of hone.max_memory: where evicting ends. */
#define EVICT_DOWN_TO	70
#define EVICT_REFUSED	15
#define EVICT_AT_MOST_TO	50

/* Looked at under one hold of a lock: some microseconds. */
#define NODES_AT_ONCE	128

/* A text younger than this is kept: its first call may still be running. */
#define TEXT_GRACE_US	(INT64CONST(60) * 1000000)
#define DATABASE_GRACE_US	(INT64CONST(86400) * 1000000)

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

static void
add_totals(HoneStatsTotals *totals, const HoneStatsCounters *counters)
{
	totals->calls += counters->calls;
	totals->errors += counters->errors;
	totals->rows += counters->rows;
	totals->total_ms += counters->total_ns / 1e6;
}

bool
hone_stats_totals(Oid dbid, uint64 queryid, HoneStatsTotals *totals)
{
	uint32		bucket;
	LWLock	   *lock;
	HoneStatsNode *node;

	memset(totals, 0, sizeof(*totals));
	if (!hone_stats_attach())
		return false;
	bucket = hone_stats_bucket(dbid, queryid);
	lock = hone_stats_partition_lock(bucket);
	LWLockAcquire(lock, LW_SHARED);
	for (node = hone_stats_first(bucket); node != NULL; node = hone_stats_next(node))
	{
		if (node->key.kind == HONE_STATS_QUERY && node->key.dbid == dbid &&
			node->key.queryid == queryid)
		{
			const HoneStatsPart *parts[HONE_STATS_PARTS];
			int			count = hone_stats_parts((HoneStatsQuery *) node, parts);

			for (int i = 0; i < count; i++)
				add_totals(totals, &parts[i]->counters);
		}
	}
	LWLockRelease(lock);
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

/*
 * Numbers of an entry that goes, to be counted under <other>: what the history
 * does not have yet, and what it has. Histograms have room for every bucket.
 */
typedef struct Leaving
{
	HoneStatsCounters fresh;
	HoneHistogram *fresh_histogram;
	HoneStatsCounters kept;
	HoneHistogram *kept_histogram;
} Leaving;

static Leaving *
create_leaving(void)
{
	Leaving    *leaving = palloc0(sizeof(Leaving));

	leaving->fresh_histogram = hone_histogram_create(HONE_HISTOGRAM_BUCKETS);
	leaving->kept_histogram = hone_histogram_create(HONE_HISTOGRAM_BUCKETS);
	return leaving;
}

static void
copy_part(const HoneStatsPart *part, HoneStatsCounters *counters, HoneHistogram *histogram)
{
	HoneHistogram view;

	hone_stats_counters_add(counters, &part->counters);
	hone_stats_part_histogram(part, &view);
	hone_histogram_merge(histogram, &view);
}

static void
copy_leaving(Leaving *leaving, const HoneStatsQuery *query)
{
	HoneStatsPart *kept = hone_stats_kept(query);

	copy_part(&query->fresh, &leaving->fresh, leaving->fresh_histogram);
	if (kept != NULL)
		copy_part(kept, &leaving->kept, leaving->kept_histogram);
}

/* Into an <other>, which is there; false when it is not. */
static bool
add_leaving(Oid dbid, const Leaving *leaving)
{
	uint32		bucket = hone_stats_bucket(dbid, 0);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	HoneStatsKey key;
	HoneStatsQuery *other;

	hone_stats_key_init(&key, HONE_STATS_QUERY, dbid, InvalidOid, 0, true, 0);
	LWLockAcquire(lock, LW_EXCLUSIVE);
	other = (HoneStatsQuery *) hone_stats_find(bucket, &key);
	if (other != NULL)
	{
		HoneStatsPart *kept = hone_stats_make_kept(other);

		hone_stats_query_add(other, &leaving->fresh, leaving->fresh_histogram);
		if (kept != NULL)
			hone_stats_part_add(kept, &leaving->kept, leaving->kept_histogram);
		else
			pg_atomic_fetch_add_u64(&hone_stats_shared->dropped, leaving->kept.calls);
	}
	LWLockRelease(lock);
	return other != NULL;
}

/*
 * What has left counts under the <other> of its database from now on; that of
 * a database itself, which is long unused, under that of none.
 */
static void
add_to_other(const HoneStatsKey *key, const Leaving *leaving)
{
	/* Statements inside others are in the figures of those already. */
	if (key->kind != HONE_STATS_QUERY || !key->toplevel)
		return;
	if (key->queryid != 0)
	{
		(void) hone_stats_create_other(key->dbid, true);
		if (add_leaving(key->dbid, leaving))
			return;
	}
	(void) add_leaving(InvalidOid, leaving);
}

/* What speaks of a query of which no numbers are left. */
static void
delete_texts(const HoneStatsKey *key)
{
	dsa_pointer *link = hone_stats_chain(hone_stats_bucket(key->dbid, key->queryid));

	while (DsaPointerIsValid(*link))
	{
		HoneStatsNode *node = dsa_get_address(hone_stats_area, *link);

		if (HONE_STATS_IS_TEXT(node->key.kind) && node->key.queryid == key->queryid &&
			node->key.dbid == key->dbid)
			hone_stats_delete(link);
		else
			link = &node->next;
	}
}

/* What is just being written to the history stays until that has ended. */
static bool
is_victim(const HoneStatsNode *node, const HoneStatsKey *key)
{
	if (memcmp(&node->key, key, sizeof(*key)) != 0)
		return false;
	if (HONE_STATS_IS_TEXT(key->kind))
		return !hone_stats_has_numbers(key->dbid, key->queryid);
	return !HONE_STATS_HAS_PARTS(key->kind) ||
		hone_stats_writing((const HoneStatsQuery *) node) == NULL;
}

/*
 * Remove the node with this key, if it is still there, and with a query's last
 * numbers its texts. A text goes only if no numbers are left. Where the lock
 * is not free, its holder may be waiting for a processor, and others for room:
 * another node goes.
 */
static bool
evict_node(const HoneStatsKey *key, Leaving *leaving)
{
	uint32		bucket = hone_stats_bucket(key->dbid, key->queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	dsa_pointer *link;
	bool		deleted = false;

	memset(&leaving->fresh, 0, sizeof(HoneStatsCounters));
	memset(&leaving->kept, 0, sizeof(HoneStatsCounters));
	leaving->fresh_histogram->used = leaving->kept_histogram->used = 0;

	if (!LWLockConditionalAcquire(lock, LW_EXCLUSIVE))
		return false;
	link = hone_stats_chain(bucket);
	while (DsaPointerIsValid(*link) && !deleted)
	{
		HoneStatsNode *node = dsa_get_address(hone_stats_area, *link);

		if (is_victim(node, key))
		{
			if (key->kind == HONE_STATS_QUERY)
				copy_leaving(leaving, (HoneStatsQuery *) node);
			hone_stats_delete(link);
			deleted = true;
		}
		else
			link = &node->next;
	}
	if (deleted && !hone_stats_has_numbers(key->dbid, key->queryid))
		delete_texts(key);
	LWLockRelease(lock);
	if (deleted)
		add_to_other(key, leaving);
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

/*
 * Not the last resort, nor a text so young that its first call may still be
 * running. What is of a database as a whole (queryid 0) may go when it is old;
 * whether the database is used is asked when it would (is_used()).
 */
static bool
may_go(const HoneStatsNode *node, TimestampTz now)
{
	if (node->key.kind == HONE_STATS_TEXT)
		return node->last_seen <= now - TEXT_GRACE_US;
	if (node->key.queryid == 0 && HONE_STATS_HAS_PARTS(node->key.kind))
		return OidIsValid(node->key.dbid) && node->last_seen <= now - DATABASE_GRACE_US;
	return true;
}

/*
 * Keys and ages of nodes that may go: from a bucket on, as many buckets of its
 * partition as one short hold of the lock allows; returns the next one.
 */
static uint32
note_some(CandidateList *list, uint32 bucket, TimestampTz now)
{
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	int			seen = 0;

	LWLockAcquire(lock, LW_SHARED);
	for (; bucket < hone_stats_shared->bucket_count && seen < NODES_AT_ONCE;
		 bucket += HONE_STATS_PARTITIONS)
	{
		for (HoneStatsNode *node = hone_stats_first(bucket); node != NULL;
			 node = hone_stats_next(node))
		{
			if (may_go(node, now))
				note_candidate(list, node);
			seen++;
		}
	}
	LWLockRelease(lock);
	return bucket;
}

/*
 * Partition by partition: going round the locks bucket by bucket soon finds
 * one whose holder is waiting for a processor.
 */
static void
note_all(CandidateList *list)
{
	TimestampTz now = GetCurrentTimestamp();

	for (uint32 partition = 0; partition < HONE_STATS_PARTITIONS; partition++)
		for (uint32 next = partition; next < hone_stats_shared->bucket_count;)
			next = note_some(list, next, now);
}

static int
compare_candidates(const void *a, const void *b)
{
	const Candidate *x = a;
	const Candidate *y = b;

	return x->last_seen < y->last_seen ? -1 : x->last_seen > y->last_seen;
}

/*
 * Down to how many bytes are nodes to be evicted? Where the area refused
 * though there was room by our count (its pages are cut up by size), by a
 * part of what there is, down to half of the memory.
 */
static Size
eviction_target(void)
{
	HoneStatsShared *shared = hone_stats_shared;
	Size		target = shared->memory_limit / 100 * EVICT_DOWN_TO;
	Size		used = pg_atomic_read_u64(&shared->used_bytes);

	if (pg_atomic_exchange_u32(&shared->refused, 0) != 0)
		target = Min(target, Max(used - used / 100 * EVICT_REFUSED,
								 shared->memory_limit / 100 * EVICT_AT_MOST_TO));
	return target;
}

/* Has anything of this database been seen of late? The list is sorted. */
static bool
is_used(const CandidateList *list, Oid dbid)
{
	TimestampTz recent = GetCurrentTimestamp() - DATABASE_GRACE_US;

	for (int i = list->count - 1; i >= 0 && list->items[i].last_seen > recent; i--)
		if (list->items[i].key.dbid == dbid)
			return true;
	return false;
}

static int64
evict(Size target)
{
	CandidateList list = {palloc(1024 * sizeof(Candidate)), 0, 1024};
	Leaving    *leaving = create_leaving();
	int64		evicted = 0;

	note_all(&list);
	qsort(list.items, list.count, sizeof(Candidate), compare_candidates);
	for (int i = 0; i < list.count &&
		 pg_atomic_read_u64(&hone_stats_shared->used_bytes) > target; i++)
	{
		const HoneStatsKey *key = &list.items[i].key;

		CHECK_FOR_INTERRUPTS();
		if (key->queryid == 0 && HONE_STATS_HAS_PARTS(key->kind) && is_used(&list, key->dbid))
			continue;
		if (evict_node(key, leaving) && key->kind == HONE_STATS_QUERY)
			evicted++;
	}
	return evicted;
}

int64
hone_stats_evict(void)
{
	HoneStatsShared *shared = hone_stats_shared;
	MemoryContext context;
	MemoryContext old;
	int64		evicted;
	Size		target;

	if (!hone_stats_attach() || pg_atomic_exchange_u32(&shared->wants_room, 0) == 0)
		return 0;
	target = eviction_target();
	if (pg_atomic_read_u64(&shared->used_bytes) <= target)
		return 0;
	context = AllocSetContextCreate(CurrentMemoryContext, "hone eviction",
									ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);

	/*
	 * Sessions are to look anew which texts are there: also if this is
	 * cancelled half-way, and again at its end.
	 */
	pg_atomic_fetch_add_u32(&shared->text_epoch, 1);
	evicted = evict(target);
	pg_atomic_fetch_add_u32(&shared->text_epoch, 1);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	pg_atomic_fetch_add_u64(&shared->evictions, evicted);
	return evicted;
}

static void
clear_part(HoneStatsPart *part)
{
	memset(&part->counters, 0, sizeof(part->counters));
	part->used = 0;
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
		else if (node->key.kind == HONE_STATS_QUERY && node->key.queryid == 0)
		{
			HoneStatsQuery *other = (HoneStatsQuery *) node;

			clear_part(&other->fresh);
			if (hone_stats_kept(other) != NULL)
				clear_part(hone_stats_kept(other));
			if (hone_stats_writing(other) != NULL)
				clear_part(hone_stats_writing(other));
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
		shared->since = GetCurrentTimestamp();
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

	/* A crash must not bring back what was forgotten. */
	pg_atomic_write_u32(&shared->save_now, 1);
	if (shared->collector != NULL)
		SetLatch(shared->collector);
}
