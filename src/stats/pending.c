/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  Counting in a backend's own memory, and handing it on in bulk.
 *
 * The hot path: find the statement's counters in a table of 64, add, and
 * count its latency in a small hash of (query, bucket) cells. No lock, no
 * system call, no memory that another backend writes. What is pending moves
 * into the shared table when hone.flush_interval has passed at the end of a
 * statement, when it is nearly full, when its owner reads the statistics,
 * and at exit; never in a commit callback, and never after an error has been
 * thrown (LWLocks may still be held then).
 *
 * The counts lie in a slot of shared memory that readers may copy (see
 * pending.h), so an idle backend's last burst is seen as well.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "stats/pending.h"

/* Filled beyond this, it is handed on at the next opportunity. */
#define QUERIES_NEARLY_FULL	(HONE_PENDING_QUERIES * 3 / 4)
#define CELLS_NEARLY_FULL	(HONE_PENDING_CELLS * 3 / 4)
#define ERRORS_NEARLY_FULL	(HONE_PENDING_ERRORS / 2)

/* Of hone.max_memory, at most this part goes into slots. */
#define SLOT_SHARE			4

/*
 * A reader spins while the owner counts, which takes it less than a
 * microsecond, and sleeps when it seems to have lost its processor just then.
 */
#define COPY_ATTEMPTS		1000
#define COPY_SPINS			100
#define COPY_SLEEP_US		1000

static HonePending *pending = NULL;
static bool pending_is_shared = false;
static dsa_pointer pending_slot = InvalidDsaPointer;
static bool slot_refused = false;	/* asked for again after a flush */
static uint64 last_flush_ns = 0;	/* monotonic clock */
static int	last_query = -1;	/* found by the previous record */

/*
 * Writers' side of the protocol in pending.h. Nothing in between may throw.
 */
static inline void
begin_change(void)
{
	pending->change_count++;
	pg_write_barrier();
}

static inline void
end_change(void)
{
	pg_write_barrier();
	pending->change_count++;
}

static void
clear_pending(void)
{
	begin_change();
	pending->query_count = 0;
	pending->cell_count = 0;
	pending->error_count = 0;
	memset(pending->index, 0, sizeof(pending->index));
	memset(pending->cells, 0, sizeof(pending->cells));
	end_change();
	last_query = -1;
}

/* before_shmem_exit: the last counts, and the slot back. */
static void
leave(int code, Datum arg)
{
	/* As transaction abort, which follows, would do. */
	LWLockReleaseAll();
	if (pending == NULL)
		return;
	hone_pending_flush(true);
	if (pending_is_shared)
	{
		LWLockAcquire(hone_stats_flush_lock(), LW_SHARED);
		*hone_stats_slot(HONE_MY_PROC_INDEX) = InvalidDsaPointer;
		hone_stats_free(pending_slot, sizeof(HonePending));
		pg_atomic_fetch_sub_u64(&hone_stats_shared->slot_bytes, sizeof(HonePending));
		LWLockRelease(hone_stats_flush_lock());
	}
	pending = NULL;
	pending_is_shared = false;
}

/* A slot in shared memory, or NULL when there is no room for one. */
static HonePending *
create_slot(void)
{
	HoneStatsShared *shared = hone_stats_shared;
	HonePending *slot;

	if (HONE_MY_PROC_INDEX < 0 || HONE_MY_PROC_INDEX >= shared->slot_count)
		return NULL;
	if (pg_atomic_fetch_add_u64(&shared->slot_bytes, sizeof(HonePending)) +
		sizeof(HonePending) > shared->memory_limit / SLOT_SHARE)
	{
		pg_atomic_fetch_sub_u64(&shared->slot_bytes, sizeof(HonePending));
		return NULL;
	}
	pending_slot = hone_stats_allocate(sizeof(HonePending));
	if (!DsaPointerIsValid(pending_slot))
	{
		pg_atomic_fetch_sub_u64(&shared->slot_bytes, sizeof(HonePending));
		return NULL;
	}
	slot = dsa_get_address(hone_stats_area, pending_slot);
	memset(slot, 0, sizeof(HonePending));
	return slot;
}

/*
 * Make sure that there is somewhere to count. safe: locks may be taken.
 * Local memory is used until, or unless, a slot can be had.
 */
static bool
have_pending(bool safe)
{
	HonePending *slot;

	if (pending != NULL && (pending_is_shared || slot_refused || !safe))
		return true;
	if (pending == NULL)
	{
		if (hone_stats_shared == NULL || proc_exit_inprogress)
			return false;
		pending = MemoryContextAllocExtended(TopMemoryContext, sizeof(HonePending),
											 MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
		if (pending == NULL)
			return false;
		pending->reset_epoch = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);
		before_shmem_exit(leave, 0);
	}
	if (!safe || !hone_stats_attach())
		return true;
	slot = create_slot();
	slot_refused = slot == NULL;
	if (slot != NULL)
	{
		memcpy(slot, pending, sizeof(HonePending));
		pfree(pending);
		pending = slot;
		pending_is_shared = true;
		LWLockAcquire(hone_stats_flush_lock(), LW_SHARED);
		*hone_stats_slot(HONE_MY_PROC_INDEX) = pending_slot;
		LWLockRelease(hone_stats_flush_lock());
	}
	return true;
}

static uint32
key_hash(const HoneStatsKey *key)
{
	uint64		hash = key->queryid ^ key->dbid ^ ((uint64) key->userid << 8) ^ key->toplevel;

	return murmurhash32((uint32) hash ^ (uint32) (hash >> 32));
}

/* Number of the query with this key, new if need be; -1 when full. */
static int
find_query(const HoneStatsKey *key)
{
	uint32		at = key_hash(key) % HONE_PENDING_INDEX;
	int			number;

	if (last_query >= 0 &&
		memcmp(&pending->queries[last_query].key, key, sizeof(*key)) == 0)
		return last_query;
	while (pending->index[at] != 0)
	{
		number = pending->index[at] - 1;
		if (memcmp(&pending->queries[number].key, key, sizeof(*key)) == 0)
			return last_query = number;
		at = (at + 1) % HONE_PENDING_INDEX;
	}
	if (pending->query_count >= HONE_PENDING_QUERIES)
		return -1;
	number = pending->query_count++;
	pending->index[at] = number + 1;
	memset(&pending->queries[number], 0, sizeof(HonePendingQuery));
	pending->queries[number].key = *key;
	return last_query = number;
}

/* Count a latency; false when there is no cell for it. */
static bool
count_latency(int query, uint64 ns)
{
	int			bucket = hone_histogram_bucket(ns);
	uint32		at = murmurhash32(((uint32) query << 16) | bucket) % HONE_PENDING_CELLS;
	HonePendingCell *cell;

	for (;;)
	{
		cell = &pending->cells[at];
		if (cell->count == 0)
			break;
		if (cell->query == query && cell->bucket == bucket)
		{
			cell->count++;
			return true;
		}
		at = (at + 1) % HONE_PENDING_CELLS;
	}
	if (pending->cell_count >= HONE_PENDING_CELLS - 1)
		return false;
	cell->query = query;
	cell->bucket = bucket;
	cell->count = 1;
	pending->cell_count++;
	return true;
}

static void
count_error(const HoneRecord *record)
{
	HoneStatsKey key;
	HonePendingError *error;

	hone_stats_key_init(&key, HONE_STATS_ERROR, record->dbid, record->userid,
						record->queryid, record->toplevel, record->sqlstate);
	for (int i = 0; i <= pending->error_count; i++)
	{
		error = &pending->errors[i];
		if (i == pending->error_count)
		{
			if (i == HONE_PENDING_ERRORS)
			{
				pg_atomic_fetch_add_u64(&hone_stats_shared->dropped, 1);
				return;
			}
			error->key = key;
			error->count = 0;
			pending->error_count++;
		}
		if (memcmp(&error->key, &key, sizeof(key)) == 0)
		{
			error->count++;
			error->last_seen = record->started + record->elapsed_ns / 1000;
			return;
		}
	}
}

static void
count_resources(HoneStatsCounters *counters, const HoneRecord *record)
{
	const BufferUsage *buffers = &record->buffers;

	counters->shared_hit += buffers->shared_blks_hit;
	counters->shared_read += buffers->shared_blks_read;
	counters->shared_dirtied += buffers->shared_blks_dirtied;
	counters->shared_written += buffers->shared_blks_written;
	counters->temp_read += buffers->temp_blks_read;
	counters->temp_written += buffers->temp_blks_written;
	counters->blk_read_ns += HONE_INSTR_NS(HONE_BLK_READ_TIME(buffers));
	counters->blk_write_ns += HONE_INSTR_NS(HONE_BLK_WRITE_TIME(buffers));
	counters->wal_bytes += record->wal.wal_bytes;
	if (record->has_rusage)
	{
		counters->sampled_calls++;
		counters->sampled_ns += record->elapsed_ns;
		counters->sampled_user_us += record->cpu_user_us;
		counters->sampled_sys_us += record->cpu_sys_us;
	}
}

static void
count_call(HoneStatsCounters *counters, const HoneRecord *record)
{
	double		ns = (double) record->elapsed_ns;
	double		delta = ns - counters->mean_ns;

	counters->calls++;
	counters->rows += record->rows;
	counters->total_ns += record->elapsed_ns;
	if (counters->calls == 1 || record->elapsed_ns < counters->min_ns)
		counters->min_ns = record->elapsed_ns;
	counters->max_ns = Max(counters->max_ns, record->elapsed_ns);
	counters->mean_ns += delta / (double) counters->calls;
	counters->m2_ns += delta * (ns - counters->mean_ns);
	if (record->sqlstate != 0)
		counters->errors++;
	count_resources(counters, record);
}

/* With the change protocol entered. False when there was no room. */
static bool
count_record(const HoneRecord *record)
{
	HoneStatsKey key;
	HoneStatsCounters *counters;
	TimestampTz end = record->started + record->elapsed_ns / 1000;
	int			query;

	if (record->sqlstate != 0)
		count_error(record);
	if (record->queryid == 0)
		return true;

	hone_stats_key_init(&key, HONE_STATS_QUERY, record->dbid, record->userid,
						record->queryid, record->toplevel, 0);
	query = find_query(&key);
	if (query < 0)
		return false;
	counters = &pending->queries[query].counters;
	if (counters->first_seen == 0)
		counters->first_seen = record->started;
	counters->last_seen = Max(counters->last_seen, end);
	if (record->kind == HONE_RECORD_PLAN)
	{
		counters->plans++;
		counters->plan_ns += record->elapsed_ns;
		return true;
	}
	count_call(counters, record);
	if (!count_latency(query, record->elapsed_ns))
		pg_atomic_fetch_add_u64(&hone_stats_shared->unbucketed, 1);
	return true;
}

/*
 * What follows must not be taken for counts from before a reset. Without
 * locks only reset() of everything can be followed; it leaves nothing.
 */
static void
follow_resets(bool safe)
{
	uint32		now = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);

	if (pending->reset_epoch == now)
		return;
	if (safe)
		hone_pending_flush(true);
	else if (hone_stats_all_reset(pending->reset_epoch))
	{
		clear_pending();
		pending->reset_epoch = now;
	}
}

void
hone_pending_record(const HoneRecord *record)
{
	bool		safe = !record->in_abort;
	uint64		now_ns = HONE_INSTR_NS(record->start_clock) + record->elapsed_ns;
	bool		counted;

	if (!have_pending(safe))
		return;
	follow_resets(safe);

	begin_change();
	counted = count_record(record);
	end_change();
	if (!counted)
		pg_atomic_fetch_add_u64(&hone_stats_shared->dropped, 1);

	if (!safe)
		return;
	hone_pending_make_room();
	if (now_ns - last_flush_ns >= (uint64) hone_flush_interval_ms * 1000000)
	{
		last_flush_ns = now_ns;
		hone_pending_flush(false);
	}
}

/* Waits for a reader only when nothing more fits. */
void
hone_pending_make_room(void)
{
	if (pending == NULL)
		return;
	follow_resets(true);
	if (pending->query_count >= QUERIES_NEARLY_FULL ||
		pending->cell_count >= CELLS_NEARLY_FULL ||
		pending->error_count >= ERRORS_NEARLY_FULL)
		hone_pending_flush(pending->query_count == HONE_PENDING_QUERIES ||
						   pending->cell_count >= HONE_PENDING_CELLS - 1 ||
						   pending->error_count == HONE_PENDING_ERRORS);
}

static int
compare_cells(const void *a, const void *b)
{
	const HonePendingCell *x = a;
	const HonePendingCell *y = b;

	if (x->query != y->query)
		return x->query < y->query ? -1 : 1;
	return x->bucket < y->bucket ? -1 : x->bucket > y->bucket;
}

void
hone_pending_each(const HonePending *from, HonePendingHandler handle, void *arg)
{
	HonePendingCell cells[HONE_PENDING_CELLS];
	uint16		bucket[HONE_PENDING_CELLS];
	uint64		count[HONE_PENDING_CELLS];
	int			cell_count = 0;
	int			next = 0;

	for (int i = 0; i < HONE_PENDING_CELLS; i++)
		if (from->cells[i].count > 0)
			cells[cell_count++] = from->cells[i];
	qsort(cells, cell_count, sizeof(HonePendingCell), compare_cells);

	for (int query = 0; query < from->query_count; query++)
	{
		HoneHistogram histogram = {0, bucket, count};

		for (; next < cell_count && cells[next].query == query; next++)
		{
			bucket[histogram.used] = cells[next].bucket;
			count[histogram.used++] = cells[next].count;
		}
		handle(&from->queries[query], &histogram, arg);
	}
}

/* Hand one query's counts on; to <other> when there is no room for it. */
static void
flush_query(const HonePendingQuery *from, const HoneHistogram *histogram, void *arg)
{
	uint32		bucket = hone_stats_bucket(from->key.dbid, from->key.queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	HoneStatsQuery *query;

	if (hone_stats_was_reset(pending->reset_epoch, from->key.queryid))
		return;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	query = (HoneStatsQuery *) hone_stats_find(bucket, &from->key);
	if (query == NULL)
		query = (HoneStatsQuery *) hone_stats_insert(bucket, &from->key,
													 sizeof(HoneStatsQuery));
	if (query != NULL)
		hone_stats_query_add(query, &from->counters, histogram);
	LWLockRelease(lock);
	if (query != NULL)
		return;

	lock = hone_stats_partition_lock(hone_stats_bucket(InvalidOid, 0));
	LWLockAcquire(lock, LW_EXCLUSIVE);
	query = dsa_get_address(hone_stats_area, hone_stats_shared->other);
	hone_stats_query_add(query, &from->counters, histogram);
	LWLockRelease(lock);
	pg_atomic_fetch_add_u64(&hone_stats_shared->other_calls, from->counters.calls);
}

static void
flush_error(const HonePendingError *from)
{
	uint32		bucket = hone_stats_bucket(from->key.dbid, from->key.queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	HoneStatsError *error;

	if (hone_stats_was_reset(pending->reset_epoch, from->key.queryid))
		return;
	LWLockAcquire(lock, LW_EXCLUSIVE);
	error = (HoneStatsError *) hone_stats_find(bucket, &from->key);
	if (error == NULL)
		error = (HoneStatsError *) hone_stats_insert(bucket, &from->key,
													 sizeof(HoneStatsError));
	if (error != NULL)
	{
		error->count += from->count;
		error->node.last_seen = Max(error->node.last_seen, from->last_seen);
	}
	LWLockRelease(lock);
	if (error == NULL)
		pg_atomic_fetch_add_u64(&hone_stats_shared->dropped, from->count);
}

void
hone_pending_flush(bool wait)
{
	if (pending == NULL || !hone_stats_attach())
		return;
	if (wait)
		LWLockAcquire(hone_stats_flush_lock(), LW_SHARED);
	else if (!LWLockConditionalAcquire(hone_stats_flush_lock(), LW_SHARED))
		return;

	if (pending->query_count > 0 || pending->error_count > 0)
	{
		hone_pending_each(pending, flush_query, NULL);
		for (int i = 0; i < pending->error_count; i++)
			flush_error(&pending->errors[i]);
		clear_pending();
		slot_refused = false;
		pg_atomic_write_u64(&hone_stats_shared->last_flush, GetCurrentTimestamp());
	}
	pending->reset_epoch = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);
	LWLockRelease(hone_stats_flush_lock());
}

bool
hone_pending_copy(dsa_pointer slot, HonePending *copy)
{
	volatile HonePending *from = dsa_get_address(hone_stats_area, slot);

	for (int i = 0; i < COPY_ATTEMPTS; i++)
	{
		uint32		before = from->change_count;

		pg_read_barrier();
		if ((before & 1) == 0)
		{
			memcpy(copy, (void *) from, sizeof(HonePending));
			pg_read_barrier();
			if (from->change_count == before)
				return true;
		}
		else if (i < COPY_SPINS)
			pg_spin_delay();
		else
			pg_usleep(COPY_SLEEP_US);
	}
	return false;
}
