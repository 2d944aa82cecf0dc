/*-------------------------------------------------------------------------
 *
 * snapshot.c
 *	  A consistent copy of the statistics for a reader.
 *
 * Holds flush_lock EXCLUSIVE while copying the table and the backends' slots,
 * so that nothing moves from a slot into the table in between. Only copying
 * into local memory happens under it; running out of local memory there is an
 * ordinary error of the reader, since shared memory is only read.
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

/* A slot's counts while they are merged in. */
typedef struct MergeState
{
	HoneSnapshot *snapshot;
	uint32		reset_epoch;
} MergeState;

static bool
is_wanted(const HoneSnapshotFilter *filter, const HoneStatsKey *key)
{
	if (filter->errors != (key->kind == HONE_STATS_ERROR) || key->kind == HONE_STATS_TEXT)
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
copy_bucket(HoneSnapshot *snapshot, uint32 bucket)
{
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	dsa_pointer pointer;

	LWLockAcquire(lock, LW_SHARED);
	pointer = *hone_stats_chain(bucket);
	while (DsaPointerIsValid(pointer))
	{
		HoneStatsNode *node = dsa_get_address(hone_stats_area, pointer);

		if (!is_wanted(&snapshot->filter, &node->key))
			;
		else if (node->key.kind == HONE_STATS_QUERY)
		{
			HoneStatsQuery *query = (HoneStatsQuery *) node;
			HoneHistogram view;

			hone_stats_query_histogram(query, &view);
			add_query(snapshot, &node->key, &query->counters, &view);
		}
		else
			add_error(snapshot, &node->key, ((HoneStatsError *) node)->count,
					  node->last_seen);
		pointer = node->next;
	}
	LWLockRelease(lock);
}

static void
merge_pending_query(const HonePendingQuery *query, const HoneHistogram *histogram,
					void *arg)
{
	MergeState *state = arg;

	if (is_wanted(&state->snapshot->filter, &query->key) &&
		!hone_stats_was_reset(state->reset_epoch, query->key.queryid))
		add_query(state->snapshot, &query->key, &query->counters, histogram);
}

static void
merge_slot(HoneSnapshot *snapshot, dsa_pointer slot, HonePending *copy)
{
	MergeState	state = {snapshot, 0};

	if (!hone_pending_copy(slot, copy))
	{
		hone_stats_internal_error();
		return;
	}
	state.reset_epoch = copy->reset_epoch;
	hone_pending_each(copy, merge_pending_query, &state);
	for (int i = 0; i < copy->error_count; i++)
	{
		HonePendingError *error = &copy->errors[i];

		if (is_wanted(&snapshot->filter, &error->key) &&
			!hone_stats_was_reset(state.reset_epoch, error->key.queryid))
			add_error(snapshot, &error->key, error->count, error->last_seen);
	}
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
	HonePending *copy = palloc(sizeof(HonePending));

	snapshot->filter = *filter;
	snapshot->queries = create_table("hone queries", sizeof(HoneSnapshotQuery));
	snapshot->errors = create_table("hone errors", sizeof(HoneSnapshotError));
	if (!hone_stats_attach())
		return snapshot;
	hone_pending_flush(true);

	LWLockAcquire(hone_stats_flush_lock(), LW_EXCLUSIVE);
	if (filter->one_query)
		copy_bucket(snapshot, hone_stats_bucket(filter->dbid, filter->queryid));
	else
		for (uint32 i = 0; i < hone_stats_shared->bucket_count; i++)
			if (DsaPointerIsValid(*hone_stats_chain(i)))
				copy_bucket(snapshot, i);
	for (int i = 0; i < hone_stats_shared->slot_count; i++)
		if (DsaPointerIsValid(*hone_stats_slot(i)))
			merge_slot(snapshot, *hone_stats_slot(i), copy);
	LWLockRelease(hone_stats_flush_lock());

	pfree(copy);
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
