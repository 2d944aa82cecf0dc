/*-------------------------------------------------------------------------
 *
 * pending.c
 *	  Counting in a backend's own memory, and handing it on in bulk.
 *
 * The hot path: find the statement's counters in a table of 64, add, and
 * count its latency in a small hash of (query, bucket) cells. No lock, no
 * system call, no memory that another backend writes. What is pending moves
 * into the shared table (flush.c) when hone.flush_interval has passed at the
 * end of a statement, when it is nearly full, when its owner reads the
 * statistics, and at exit; never in a commit callback, and never after an
 * error has been thrown (LWLocks may still be held then).
 *
 * The counts lie in a slot of shared memory that readers may look into, and
 * that the collector empties when its owner has gone idle (see pending.h).
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
#include "stats/samples.h"

/* Filled beyond this, it is handed on at the next opportunity. */
#define QUERIES_NEARLY_FULL	(HONE_PENDING_QUERIES * 3 / 4)
#define CELLS_NEARLY_FULL	(HONE_PENDING_CELLS * 3 / 4)
#define ERRORS_NEARLY_FULL	(HONE_PENDING_ERRORS / 2)

/* Of hone.max_memory, at most this part goes into slots. */
#define SLOT_SHARE			4

/* Turns without sleep while the collector takes what was pending. */
#define TAKEN_SPINS			1000
#define TAKEN_SLEEP_US		100

static HonePending *pending = NULL;
static bool pending_is_shared = false;
static bool slot_refused = false;	/* asked for again after a flush */
static uint64 last_flush_ns = 0;	/* monotonic clock */
static int	last_query = -1;	/* found by the previous record */
static uint32 seen_moves = 0;	/* of pending, when samples were last in step */

/*
 * Keep the collector from taking what is pending, until release(). An error
 * in between leaves it so until the next statement, which does no harm.
 */
static inline void
claim(void)
{
	pending->busy = true;
	pg_memory_barrier();
	for (int i = 0; unlikely(pending->taken); i++)
	{
		if (i < TAKEN_SPINS)
			pg_spin_delay();
		else
			pg_usleep(TAKEN_SLEEP_US);
	}
}

static inline void
release(void)
{
	pg_write_barrier();
	pending->busy = false;
}

void
hone_pending_clear(HonePending *of)
{
	hone_pending_begin_change(of);
	of->moves++;
	of->query_count = 0;
	of->cell_count = 0;
	of->error_count = 0;
	of->partitions = 0;
	memset(of->index, 0, sizeof(of->index));
	memset(of->cells, 0, sizeof(of->cells));
	hone_pending_end_change(of);
}

/* An ended session counts as one call, as long as it lasted. */
static void
count_session(void)
{
	HoneStatsCounters counters = {0};
	HoneHistogram histogram;
	HoneStatsKey key;
	TimestampTz now = GetCurrentTimestamp();
	uint64		ns = (uint64) Max(now - MyStartTimestamp, 0) * 1000;
	uint16		bucket = hone_histogram_bucket(ns);
	uint64		count = 1;

	counters.calls = 1;
	counters.total_ns = counters.min_ns = counters.max_ns = ns;
	counters.mean_ns = (double) ns;
	counters.first_seen = MyStartTimestamp;
	counters.last_seen = now;
	histogram.used = 1;
	histogram.bucket = &bucket;
	histogram.count = &count;
	hone_stats_key_init(&key, HONE_STATS_SESSION, MyDatabaseId, InvalidOid, 0, true, 0);
	(void) hone_stats_add(&key, &counters, &histogram, true, NULL, NULL);
}

/* before_shmem_exit: the last counts. The slot stays for who comes next. */
static void
leave(int code, Datum arg)
{
	/* As transaction abort, which follows, would do. */
	LWLockReleaseAll();
	hone_stats_leaving = true;
	if (pending != NULL)
	{
		hone_pending_running(NULL);
		hone_pending_flush(true);
	}
	if (OidIsValid(MyDatabaseId) && hone_stats_attach())
		count_session();
	hone_stats_leaving = false;
	pending = NULL;
	pending_is_shared = false;
}

/* ClientAuthentication_hook: sessions that never run a statement count too. */
void
hone_pending_session(void)
{
	if (hone_stats_shared != NULL)
		before_shmem_exit(leave, 0);
}

/* The slot of this process number, new if need be; NULL: there is no room. */
static HonePending *
obtain_slot(void)
{
	HoneStatsShared *shared = hone_stats_shared;
	dsa_pointer pointer;
	HonePending *slot;

	if (HONE_MY_PROC_INDEX < 0 || HONE_MY_PROC_INDEX >= shared->slot_count)
		return NULL;
	slot = hone_pending_slot(HONE_MY_PROC_INDEX);
	if (slot != NULL)
		return slot;
	if (pg_atomic_fetch_add_u64(&shared->slot_bytes, sizeof(HonePending)) +
		sizeof(HonePending) > shared->memory_limit / SLOT_SHARE)
	{
		pg_atomic_fetch_sub_u64(&shared->slot_bytes, sizeof(HonePending));
		return NULL;
	}
	pointer = hone_stats_allocate(sizeof(HonePending));
	if (!DsaPointerIsValid(pointer))
	{
		pg_atomic_fetch_sub_u64(&shared->slot_bytes, sizeof(HonePending));
		return NULL;
	}
	slot = dsa_get_address(hone_stats_area, pointer);
	memset(slot, 0, sizeof(HonePending));
	slot->reset_epoch = pg_atomic_read_u32(&shared->reset_epoch);
	pg_write_barrier();
	*hone_stats_slot(HONE_MY_PROC_INDEX) = pointer;
	return slot;
}

HonePending *
hone_pending_slot(int index)
{
	dsa_pointer pointer = *hone_stats_slot(index);

	return DsaPointerIsValid(pointer) ? dsa_get_address(hone_stats_area, pointer) : NULL;
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
	}
	if (!safe || !hone_stats_attach() || !hone_pending_move(pending, false))
		return true;
	hone_stats_create_other(MyDatabaseId);
	slot = obtain_slot();
	slot_refused = slot == NULL;
	if (slot != NULL)
	{
		pfree(pending);
		pending = slot;
		pending_is_shared = true;
		last_query = -1;
	}
	return true;
}

static inline uint32
cell_hash(int query, int bucket)
{
	return murmurhash32(((uint32) query << 16) | bucket);
}

static uint32
key_hash(const HoneStatsKey *key)
{
	uint64		hash = key->queryid ^ key->dbid ^ ((uint64) key->userid << 8) ^ key->toplevel;

	return murmurhash32((uint32) hash ^ (uint32) (hash >> 32));
}

static void
add_to_index(HonePending *to, int number)
{
	uint32		at = key_hash(&to->queries[number].key) % HONE_PENDING_INDEX;

	while (to->index[at] != 0)
		at = (at + 1) % HONE_PENDING_INDEX;
	to->index[at] = number + 1;
	to->partitions |= UINT64CONST(1) << (to->queries[number].bucket % HONE_STATS_PARTITIONS);
}

/* Number of the query with this key, new if need be; -1 when full. */
static int
find_query(const HoneStatsKey *key)
{
	uint32		at;
	int			number;

	if (last_query >= 0 && last_query < pending->query_count &&
		memcmp(&pending->queries[last_query].key, key, sizeof(*key)) == 0)
		return last_query;
	at = key_hash(key) % HONE_PENDING_INDEX;
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
	memset(&pending->queries[number], 0, sizeof(HonePendingQuery));
	pending->queries[number].key = *key;
	pending->queries[number].bucket = hone_stats_bucket(key->dbid, key->queryid);
	add_to_index(pending, number);
	return last_query = number;
}

/* Count a latency; false when there is no cell for it. */
static bool
count_latency(int query, uint64 ns)
{
	int			bucket = hone_histogram_bucket(ns);
	uint32		at = cell_hash(query, bucket) % HONE_PENDING_CELLS;
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
			error->bucket = hone_stats_bucket(key.dbid, key.queryid);
			error->count = 0;
			pending->partitions |= UINT64CONST(1) << (error->bucket % HONE_STATS_PARTITIONS);
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
	if (record->cmd == CMD_SELECT)
		counters->reads++;
	else if (record->cmd != CMD_UTILITY)
		counters->writes++;
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

/* A cell for what a query counted in a bucket, in cells that have room. */
static void
put_cell(HonePending *to, const HonePendingCell *cell)
{
	uint32		at = cell_hash(cell->query, cell->bucket) % HONE_PENDING_CELLS;

	while (to->cells[at].count != 0)
		at = (at + 1) % HONE_PENDING_CELLS;
	to->cells[at] = *cell;
	to->cell_count++;
}

static void
compact_errors(HonePending *of)
{
	int			kept = 0;

	for (int i = 0; i < of->error_count; i++)
	{
		if (of->errors[i].count == 0)
			continue;
		of->partitions |= UINT64CONST(1) << (of->errors[i].bucket % HONE_STATS_PARTITIONS);
		of->errors[kept++] = of->errors[i];
	}
	of->error_count = kept;
}

void
hone_pending_compact(HonePending *of)
{
	HonePendingCell cells[HONE_PENDING_CELLS];
	int			number[HONE_PENDING_QUERIES];
	int			kept = 0;

	hone_pending_begin_change(of);
	of->moves++;
	of->partitions = 0;
	memset(of->index, 0, sizeof(of->index));
	for (int i = 0; i < of->query_count; i++)
	{
		number[i] = -1;
		if (of->queries[i].flushed)
			continue;
		number[i] = kept;
		of->queries[kept] = of->queries[i];
		add_to_index(of, kept++);
	}
	of->query_count = kept;

	memcpy(cells, of->cells, sizeof(cells));
	memset(of->cells, 0, sizeof(of->cells));
	of->cell_count = 0;
	for (int i = 0; i < HONE_PENDING_CELLS; i++)
	{
		HonePendingCell *cell = &cells[i];

		if (cell->count == 0 || number[cell->query] < 0)
			continue;
		cell->query = number[cell->query];
		put_cell(of, cell);
	}
	compact_errors(of);
	hone_pending_end_change(of);
}

/* Samples are held by the numbers of queries: they go when those change. */
static void
hand_samples_on(void)
{
	if (LWLockConditionalAcquire(hone_stats_flush_lock(), LW_SHARED))
	{
		hone_samples_flush(pending->reset_epoch);
		LWLockRelease(hone_stats_flush_lock());
	}
	hone_samples_forget();
}

/*
 * Hand everything on. What was pending before a reset goes through the
 * epoch; it can move on when nothing is left.
 */
static void
flush_now(bool wait)
{
	uint32		epoch;

	if (!hone_stats_attach())
		return;
	hand_samples_on();
	epoch = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);
	if (hone_pending_move(pending, wait))
	{
		pending->reset_epoch = epoch;
		slot_refused = false;
	}
	seen_moves = pending->moves;
}

void
hone_pending_flush(bool wait)
{
	if (pending == NULL)
		return;
	claim();
	flush_now(wait);
	release();
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
		flush_now(true);
	else if (hone_stats_all_reset(pending->reset_epoch))
	{
		hone_pending_clear(pending);
		pending->reset_epoch = now;
	}
}

static void
make_room(void)
{
	if (pending->query_count >= QUERIES_NEARLY_FULL ||
		pending->cell_count >= CELLS_NEARLY_FULL ||
		pending->error_count >= ERRORS_NEARLY_FULL)
		flush_now(false);
}

void
hone_pending_record(const HoneRecord *record)
{
	bool		safe = !record->in_abort;
	uint64		now_ns = record->start_ns + record->elapsed_ns;
	bool		counted;

	if (!have_pending(safe))
		return;
	claim();
	follow_resets(safe);
	if (unlikely(pending->moves != seen_moves) && safe && hone_stats_attach())
	{
		hand_samples_on();
		seen_moves = pending->moves;
	}

	hone_pending_begin_change(pending);
	counted = count_record(record);
	hone_pending_end_change(pending);
	if (!counted)
		pg_atomic_fetch_add_u64(&hone_stats_shared->dropped, 1);

	if (safe)
	{
		if (counted && pending->moves == seen_moves)
			hone_samples_record(last_query, record);
		/* What nobody else could see goes at once. */
		if (!pending_is_shared ||
			now_ns - last_flush_ns >= (uint64) hone_flush_interval_ms * 1000000)
		{
			last_flush_ns = now_ns;
			flush_now(false);
		}
		else
			make_room();
	}
	release();
}

void
hone_pending_make_room(void)
{
	if (pending == NULL)
		return;
	claim();
	follow_resets(true);
	make_room();
	release();
}

void
hone_pending_running(const HoneRecord *record)
{
	if (pending == NULL)
		return;
	if (record == NULL)
	{
		pending->running_queryid = 0;
		return;
	}
	pending->running_dbid = record->dbid;
	pending->running_userid = record->userid;
	pending->running_queryid = record->queryid;
}
