/*-------------------------------------------------------------------------
 *
 * snapshot.c
 *	  A copy of the statistics for a reader.
 *
 * Goes from partition to partition: holding its lock SHARED, it copies the
 * partition's entries and what the slots have pending for it, so that each
 * call is seen once. Sessions that flush meanwhile leave those queries
 * pending. Only copying into local memory happens under the lock; running out
 * of local memory there is an ordinary error of the reader, since shared
 * memory is only read.
 *
 * An entry that the collector evicts just then can be missing from both its
 * place and the <other> of its database.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "stats/pending.h"
#include "stats/snapshot.h"

struct HoneSnapshot
{
	HoneSnapshotFilter filter;
	HTAB	   *queries;
	HTAB	   *errors;
	HASH_SEQ_STATUS scan;
	bool		scanning;
};

static bool
is_wanted(const HoneSnapshotFilter *filter, const HoneStatsKey *key)
{
	if (key->kind != filter->kind)
		return false;
	return !filter->one_query ||
		(key->dbid == filter->dbid && key->queryid == filter->queryid);
}

static void
add_query(HoneSnapshot *snapshot, const HoneStatsKey *key,
		  const HoneStatsCounters *counters, const HoneHistogram *histogram)
{
	bool		found;
	HoneSnapshotQuery *query = hash_search(snapshot->queries, key, HASH_ENTER, &found);

	if (!found)
	{
		memset(&query->counters, 0, sizeof(HoneStatsCounters));
		query->histogram = hone_histogram_create(histogram->used);
	}
	hone_stats_counters_add(&query->counters, counters);
	hone_histogram_add(query->histogram, histogram);
}

static void
add_error(HoneSnapshot *snapshot, const HoneStatsKey *key, int64 count,
		  TimestampTz last_seen)
{
	bool		found;
	HoneSnapshotError *error = hash_search(snapshot->errors, key, HASH_ENTER, &found);

	if (!found)
	{
		error->count = 0;
		error->last_seen = 0;
	}
	error->count += count;
	error->last_seen = Max(error->last_seen, last_seen);
}

static void
add_part(HoneSnapshot *snapshot, const HoneStatsKey *key, const HoneStatsPart *part)
{
	HoneHistogram view;

	hone_stats_part_histogram(part, &view);
	add_query(snapshot, key, &part->counters, &view);
}

/* The partition's lock is held. */
static void
copy_bucket(HoneSnapshot *snapshot, uint32 bucket)
{
	for (HoneStatsNode *node = hone_stats_first(bucket); node != NULL;
		 node = hone_stats_next(node))
	{
		if (!is_wanted(&snapshot->filter, &node->key))
			;
		else if (HONE_STATS_HAS_PARTS(node->key.kind))
		{
			HoneStatsQuery *query = (HoneStatsQuery *) node;
			HoneStatsPart *kept = hone_stats_kept(query);
			HoneStatsPart *writing = hone_stats_writing(query);

			add_part(snapshot, &node->key, &query->fresh);
			if (kept != NULL && !snapshot->filter.fresh)
				add_part(snapshot, &node->key, kept);
			if (writing != NULL)
				add_part(snapshot, &node->key, writing);
		}
		else
			add_error(snapshot, &node->key, ((HoneStatsError *) node)->count,
					  node->last_seen);
	}
}

static void
merge_query(const HonePendingQuery *query, const HoneHistogram *histogram, void *arg)
{
	HoneSnapshot *snapshot = arg;

	if (is_wanted(&snapshot->filter, &query->key))
		add_query(snapshot, &query->key, &query->counters, histogram);
}

static void
merge_error(const HonePendingError *error, void *arg)
{
	HoneSnapshot *snapshot = arg;

	if (is_wanted(&snapshot->filter, &error->key))
		add_error(snapshot, &error->key, error->count, error->last_seen);
}

/* One partition, or one bucket of it, and what the slots have for it. */
static void
copy_partition(HoneSnapshot *snapshot, int partition)
{
	HoneSnapshotFilter *filter = &snapshot->filter;
	LWLock	   *lock = hone_stats_partition_lock(partition);

	LWLockAcquire(lock, LW_SHARED);
	if (filter->one_query)
		copy_bucket(snapshot, hone_stats_bucket(filter->dbid, filter->queryid));
	else
		for (uint32 i = partition; i < hone_stats_shared->bucket_count; i += HONE_STATS_PARTITIONS)
			copy_bucket(snapshot, i);
	for (int i = 0; i < hone_stats_shared->slot_count; i++)
	{
		HonePending *slot = hone_pending_slot(i);

		if (slot != NULL &&
			!hone_pending_visit(slot, partition, merge_query, merge_error, snapshot))
			hone_stats_internal_error();
	}
	LWLockRelease(lock);
}

static HTAB *
create_table(const char *name, Size entry_size)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(HoneStatsKey);
	control.entrysize = entry_size;
	control.hcxt = CurrentMemoryContext;
	return hash_create(name, 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

HoneSnapshot *
hone_snapshot_take(const HoneSnapshotFilter *filter)
{
	HoneSnapshot *snapshot = palloc0(sizeof(HoneSnapshot));

	snapshot->filter = *filter;
	snapshot->queries = create_table("hone queries", sizeof(HoneSnapshotQuery));
	snapshot->errors = create_table("hone errors", sizeof(HoneSnapshotError));
	if (!hone_stats_attach())
		return snapshot;
	hone_pending_flush(true);

	LWLockAcquire(hone_stats_flush_lock(), LW_SHARED);
	if (filter->one_query)
		copy_partition(snapshot, hone_stats_bucket(filter->dbid, filter->queryid) %
					   HONE_STATS_PARTITIONS);
	else
		for (int i = 0; i < HONE_STATS_PARTITIONS; i++)
			copy_partition(snapshot, i);
	LWLockRelease(hone_stats_flush_lock());
	return snapshot;
}

static void *
next_of(HoneSnapshot *snapshot, HTAB *table)
{
	if (!snapshot->scanning)
	{
		hash_seq_init(&snapshot->scan, table);
		snapshot->scanning = true;
	}
	return hash_seq_search(&snapshot->scan);
}

HoneSnapshotQuery *
hone_snapshot_next_query(HoneSnapshot *snapshot)
{
	return next_of(snapshot, snapshot->queries);
}

HoneSnapshotError *
hone_snapshot_next_error(HoneSnapshot *snapshot)
{
	return next_of(snapshot, snapshot->errors);
}
