/*-------------------------------------------------------------------------
 *
 * flush.c
 *	  From a session's slot into the shared table, by its owner or, when that
 *	  has gone idle, by the collector; and looking into slots.
 *
 * A query moves under its partition's lock: its numbers are added to the
 * table and its place in the slot is marked as flushed before the lock is
 * given back. So who holds that lock, shared, finds each call in one place.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/lwlock.h"
#include "utils/memutils.h"

#include "stats/pending.h"

/*
 * A reader spins while the owner counts, which takes it less than a
 * microsecond, and sleeps when it seems to have lost its processor just then.
 */
#define COPY_ATTEMPTS		1000
#define COPY_SPINS			100
#define COPY_SLEEP_US		1000

/* The cells of some queries of a slot, by query and bucket. */
typedef struct Cells
{
	int			count;
	HonePendingCell cells[HONE_PENDING_CELLS];
} Cells;

/* A query on its way into the table. */
typedef struct Moving
{
	HonePending *pending;
	HonePendingQuery *query;
} Moving;

static inline int
compare_cells(const HonePendingCell *a, const HonePendingCell *b)
{
	uint32		x = (uint32) a->query << 16 | a->bucket;
	uint32		y = (uint32) b->query << 16 | b->bucket;

	return x < y ? -1 : x > y;
}

/* sort_cells(cells, count), with the comparison in it and not behind a call */
#define ST_SORT sort_cells
#define ST_ELEMENT_TYPE HonePendingCell
#define ST_COMPARE(a, b) compare_cells(a, b)
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * The histogram of one query, from sorted cells, of which those before *next
 * are done. bucket and count have room for HONE_PENDING_CELLS.
 */
static HoneHistogram
histogram_of(const Cells *cells, int *next, int query, uint16 *bucket, uint64 *count)
{
	HoneHistogram histogram = {0, bucket, count};

	while (*next < cells->count && cells->cells[*next].query < query)
		(*next)++;
	for (; *next < cells->count && cells->cells[*next].query == query; (*next)++)
	{
		bucket[histogram.used] = cells->cells[*next].bucket;
		count[histogram.used++] = cells->cells[*next].count;
	}
	return histogram;
}

/* Called under the lock of the partition in which the query now is. */
static void
mark_flushed(void *arg)
{
	Moving	   *moving = arg;

	hone_pending_begin_change(moving->pending);
	moving->query->flushed = true;
	hone_pending_end_change(moving->pending);
}

static bool
move_queries(HonePending *pending, bool wait)
{
	Cells		cells;
	uint16		bucket[HONE_PENDING_CELLS];
	uint64		count[HONE_PENDING_CELLS];
	int			next = 0;
	bool		all = true;

	cells.count = 0;
	for (int i = 0; i < HONE_PENDING_CELLS; i++)
		if (pending->cells[i].count > 0)
			cells.cells[cells.count++] = pending->cells[i];
	sort_cells(cells.cells, cells.count);

	for (int i = 0; i < pending->query_count; i++)
	{
		HonePendingQuery *query = &pending->queries[i];
		HoneHistogram histogram = histogram_of(&cells, &next, i, bucket, count);
		Moving		moving = {pending, query};

		if (query->flushed)
			continue;
		if (hone_stats_was_reset(pending->reset_epoch, query->key.queryid))
			mark_flushed(&moving);
		else if (!hone_stats_add(&query->key, &query->counters, &histogram,
								 wait, mark_flushed, &moving))
			all = false;
	}
	return all;
}

/* False when the lock was not free. */
static bool
move_error(HonePending *pending, HonePendingError *from, bool wait)
{
	LWLock	   *lock = hone_stats_partition_lock(from->bucket);
	HoneStatsError *error;

	if (from->count == 0)
		return true;
	if (!hone_stats_lock(lock, LW_EXCLUSIVE, wait))
		return false;
	if (!hone_stats_was_reset(pending->reset_epoch, from->key.queryid))
	{
		error = (HoneStatsError *) hone_stats_find(from->bucket, &from->key);
		if (error == NULL)
			error = (HoneStatsError *) hone_stats_insert(from->bucket, &from->key,
														 sizeof(HoneStatsError));
		if (error != NULL)
		{
			error->count += from->count;
			error->node.last_seen = Max(error->node.last_seen, from->last_seen);
		}
		else
			pg_atomic_fetch_add_u64(&hone_stats_shared->dropped, from->count);
	}
	hone_pending_begin_change(pending);
	from->count = 0;
	hone_pending_end_change(pending);
	LWLockRelease(lock);
	return true;
}

bool
hone_pending_move(HonePending *pending, bool wait)
{
	bool		all;

	if (pending->query_count == 0 && pending->error_count == 0)
		return true;
	if (!hone_stats_lock(hone_stats_flush_lock(), LW_SHARED, wait))
		return false;
	all = move_queries(pending, wait);
	for (int i = 0; i < pending->error_count; i++)
		if (!move_error(pending, &pending->errors[i], wait))
			all = false;
	if (all)
		hone_pending_clear(pending);
	else
		hone_pending_compact(pending);
	pg_atomic_write_u64(&hone_stats_shared->last_flush, GetCurrentTimestamp());
	if (pg_atomic_read_u32(&hone_stats_shared->changed) == 0)
		pg_atomic_write_u32(&hone_stats_shared->changed, 1);
	LWLockRelease(hone_stats_flush_lock());
	return all;
}

void
hone_pending_take(int slot_index)
{
	static uint32 *seen = NULL; /* change_count of each slot at the last look */
	HonePending *slot = hone_pending_slot(slot_index);
	uint32		changes;

	if (seen == NULL)
		seen = MemoryContextAllocZero(TopMemoryContext,
									  hone_stats_shared->slot_count * sizeof(uint32));
	if (slot == NULL)
		return;
	changes = slot->change_count;
	if (changes != seen[slot_index] || (slot->query_count == 0 && slot->error_count == 0))
	{
		seen[slot_index] = changes;
		return;
	}
	slot->taken = true;
	pg_memory_barrier();
	PG_TRY();
	{
		if (!slot->busy)
		{
			pg_read_barrier();
			if (slot->change_count == changes)
				(void) hone_pending_move(slot, false);
		}
	}
	PG_FINALLY();
	{
		pg_read_barrier();
		pg_write_barrier();
		slot->taken = false;
	}
	PG_END_TRY();
	seen[slot_index] = slot->change_count;
}

/* A partition's queries and errors in a slot, copied. */
typedef struct Visit
{
	uint32		reset_epoch;
	int			query_count;
	int			number[HONE_PENDING_QUERIES];
	HonePendingQuery queries[HONE_PENDING_QUERIES];
	int			error_count;
	HonePendingError errors[HONE_PENDING_ERRORS];
	Cells		cells;
} Visit;

static void
copy_partition(const HonePending *from, int partition, Visit *visit)
{
	int			query_count = Min(from->query_count, HONE_PENDING_QUERIES);
	int			error_count = Min(from->error_count, HONE_PENDING_ERRORS);
	bool		wanted[HONE_PENDING_QUERIES] = {false};

	for (int i = 0; i < query_count; i++)
	{
		if (from->queries[i].bucket % HONE_STATS_PARTITIONS != partition ||
			from->queries[i].flushed)
			continue;
		wanted[i] = true;
		visit->number[visit->query_count] = i;
		visit->queries[visit->query_count++] = from->queries[i];
	}
	for (int i = 0; visit->query_count > 0 && i < HONE_PENDING_CELLS; i++)
		if (from->cells[i].count > 0 && from->cells[i].query < HONE_PENDING_QUERIES &&
			wanted[from->cells[i].query])
			visit->cells.cells[visit->cells.count++] = from->cells[i];
	for (int i = 0; i < error_count; i++)
		if (from->errors[i].bucket % HONE_STATS_PARTITIONS == partition &&
			from->errors[i].count > 0)
			visit->errors[visit->error_count++] = from->errors[i];
}

/* False when the owner kept changing it. */
static bool
copy_unchanged(HonePending *slot, int partition, Visit *visit)
{
	volatile uint32 *change_count = &slot->change_count;

	for (int i = 0; i < COPY_ATTEMPTS; i++)
	{
		uint32		before = *change_count;

		pg_read_barrier();
		if ((before & 1) == 0)
		{
			visit->reset_epoch = slot->reset_epoch;
			visit->query_count = visit->error_count = visit->cells.count = 0;
			if (slot->partitions & (UINT64CONST(1) << partition))
				copy_partition(slot, partition, visit);
			pg_read_barrier();
			if (*change_count == before)
				return true;
		}
		else if (i < COPY_SPINS)
			pg_spin_delay();
		else
			pg_usleep(COPY_SLEEP_US);
	}
	return false;
}

bool
hone_pending_visit(HonePending *slot, int partition,
				   HonePendingHandler handle_query,
				   HonePendingErrorHandler handle_error, void *arg)
{
	Visit		visit;
	uint16		bucket[HONE_PENDING_CELLS];
	uint64		count[HONE_PENDING_CELLS];
	int			next = 0;

	if (!copy_unchanged(slot, partition, &visit))
		return false;
	sort_cells(visit.cells.cells, visit.cells.count);
	for (int i = 0; i < visit.query_count; i++)
	{
		HoneHistogram histogram = histogram_of(&visit.cells, &next, visit.number[i],
											   bucket, count);

		if (!hone_stats_was_reset(visit.reset_epoch, visit.queries[i].key.queryid))
			handle_query(&visit.queries[i], &histogram, arg);
	}
	for (int i = 0; i < visit.error_count; i++)
		if (!hone_stats_was_reset(visit.reset_epoch, visit.errors[i].key.queryid))
			handle_error(&visit.errors[i], arg);
	return true;
}
