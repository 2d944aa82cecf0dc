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

/* Of a 32-bit product, the upper bits number a cell. */
#define GOLDEN_RATIO		0x9E3779B9u /* 2^32 divided by it */
#define CELL_SHIFT			22

StaticAssertDecl(HONE_PENDING_CELLS == 1 << (32 - CELL_SHIFT),
				 "no cell, or several, for a number");

/* Of hone.max_memory, at most this part goes into slots. */
#define SLOT_SHARE			4
#define ASK_AGAIN_US		INT64CONST(1000000)

/* Turns without sleep while the collector takes what was pending. */
#define TAKEN_SPINS			1000
#define TAKEN_SLEEP_US		100

static HonePending *pending = NULL;
static bool pending_is_shared = false;
static TimestampTz ask_again = 0;	/* for a slot, that there was no room for */
static uint64 last_flush_ns = 0;	/* monotonic clock */
static int	last_query = 0;		/* found by the previous record */
static uint32 seen_moves = 0;	/* of pending, when samples were last in step */

/*
 * Keep the collector from taking what is pending, until release(). An error
 * in between leaves it so until the next statement, which does no harm.
 */
static pg_noinline void
wait_for_collector(void)
{
	for (int i = 0; pending->taken; i++)
	{
		if (i < TAKEN_SPINS)
			pg_spin_delay();
		else
			pg_usleep(TAKEN_SLEEP_US);
	}
}

static inline void
claim(HonePending *to)
{
	to->busy = true;
	pg_memory_barrier();
	if (unlikely(to->taken))
		wait_for_collector();
	pg_read_barrier();
}

static inline void
release(HonePending *to)
{
	pg_read_barrier();
	pg_write_barrier();
	to->busy = false;
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
	counters.first_seen = now;
	counters.last_seen = now;
	histogram.used = 1;
	histogram.bucket = &bucket;
	histogram.count = &count;
	hone_stats_key_init(&key, HONE_STATS_SESSION, MyDatabaseId, InvalidOid, 0, true, 0);
	(void) hone_stats_add(&key, &counters, &histogram, true, NULL, NULL);
}

/* A slot that an ended session has left, or an invalid pointer. */
static dsa_pointer
pop_free_slot(void)
{
	HoneStatsShared *shared = hone_stats_shared;
	dsa_pointer pointer;

	SpinLockAcquire(&shared->slots_lock);
	pointer = shared->free_slots;
	if (DsaPointerIsValid(pointer))
		shared->free_slots = ((HonePending *) dsa_get_address(hone_stats_area, pointer))->next_free;
	SpinLockRelease(&shared->slots_lock);
	return pointer;
}

/* The session ends: its slot is empty, and for who comes next. */
static void
push_free_slot(void)
{
	HoneStatsShared *shared = hone_stats_shared;
	dsa_pointer pointer = *hone_stats_slot(HONE_MY_PROC_INDEX);

	if (pending->query_count > 0 || pending->error_count > 0)
		return;
	*hone_stats_slot(HONE_MY_PROC_INDEX) = InvalidDsaPointer;
	SpinLockAcquire(&shared->slots_lock);
	pending->next_free = shared->free_slots;
	shared->free_slots = pointer;
	SpinLockRelease(&shared->slots_lock);
}

/* before_shmem_exit: the last counts. The slot is for who comes next. */
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
	if (MyBackendType == B_BACKEND && OidIsValid(MyDatabaseId) && hone_enabled &&
		hone_stats_attach())
		count_session();
	if (pending_is_shared)
		push_free_slot();
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

/* A new slot in shared memory, or an invalid pointer: there is no room. */
static dsa_pointer
create_slot(void)
{
	HoneStatsShared *shared = hone_stats_shared;
	dsa_pointer pointer = InvalidDsaPointer;

	if (pg_atomic_fetch_add_u64(&shared->slot_bytes, sizeof(HonePending)) +
		sizeof(HonePending) <= shared->memory_limit / SLOT_SHARE)
		pointer = hone_stats_allocate(sizeof(HonePending));
	if (!DsaPointerIsValid(pointer))
	{
		pg_atomic_fetch_sub_u64(&shared->slot_bytes, sizeof(HonePending));
		return pointer;
	}
	memset(dsa_get_address(hone_stats_area, pointer), 0, sizeof(HonePending));
	return pointer;
}

/* The slot of this process number, NULL: there is no room for one. */
static HonePending *
obtain_slot(void)
{
	dsa_pointer pointer;
	HonePending *slot;

	if (HONE_MY_PROC_INDEX < 0 || HONE_MY_PROC_INDEX >= hone_stats_shared->slot_count)
		return NULL;
	/* what an earlier session could not hand on is handed on by this one */
	slot = hone_pending_slot(HONE_MY_PROC_INDEX);
	if (slot != NULL)
		return slot;
	pointer = pop_free_slot();
	if (!DsaPointerIsValid(pointer))
		pointer = create_slot();
	if (!DsaPointerIsValid(pointer))
		return NULL;
	slot = dsa_get_address(hone_stats_area, pointer);
	hone_pending_begin_change(slot);
	slot->reset_epoch = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);
	hone_pending_end_change(slot);
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
 * Local memory is used until, or unless, a slot can be had. False when there
 * is neither.
 */
static pg_noinline bool
make_pending(bool safe)
{
	HonePending *slot;

	if (pending == NULL && (hone_stats_shared == NULL || proc_exit_inprogress))
		return false;
	if (safe && hone_stats_attach() &&
		(pending == NULL || hone_pending_move(pending, false)) &&
		hone_stats_create_other(MyDatabaseId, false))
	{
		slot = obtain_slot();
		if (slot == NULL)
			ask_again = GetCurrentTimestamp() + ASK_AGAIN_US;
		else
		{
			if (pending != NULL)
				pfree(pending);
			pending = slot;
			pending_is_shared = true;
			return true;
		}
	}
	if (pending == NULL)
	{
		pending = MemoryContextAllocExtended(TopMemoryContext, sizeof(HonePending),
											 MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
		if (pending != NULL)
			pending->reset_epoch = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);
	}
	return pending != NULL;
}

/* Make sure that there is somewhere to count. safe: locks may be taken. */
static inline bool
have_pending(bool safe)
{
	if (pending_is_shared ||
		(pending != NULL && (!safe || (ask_again != 0 && GetCurrentTimestamp() < ask_again))))
		return true;
	return make_pending(safe);
}

/*
 * Where the search for a cell begins: the upper bits of a product, which
 * spreads neighbouring buckets, as latencies are, as well as any hash.
 */
static inline uint32
first_cell(int query, int bucket)
{
	return (((uint32) query << 16 | bucket) * GOLDEN_RATIO) >> CELL_SHIFT;
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

/* Is this pending query the record's? */
static inline bool
is_query_of(const HonePendingQuery *query, const HoneRecord *record)
{
	const HoneStatsKey *key = &query->key;

	return key->queryid == record->queryid && key->userid == record->userid &&
		key->dbid == record->dbid && key->toplevel == record->toplevel;
}

static pg_noinline HonePendingQuery *
look_up_query(const HoneRecord *record)
{
	HoneStatsKey key;
	HonePendingQuery *query;
	uint32		at;
	int			number;

	hone_stats_key_init(&key, HONE_STATS_QUERY, record->dbid, record->userid,
						record->queryid, record->toplevel, 0);
	at = key_hash(&key) % HONE_PENDING_INDEX;
	while (pending->index[at] != 0)
	{
		number = pending->index[at] - 1;
		if (is_query_of(&pending->queries[number], record))
		{
			last_query = number;
			return &pending->queries[number];
		}
		at = (at + 1) % HONE_PENDING_INDEX;
	}
	if (pending->query_count >= HONE_PENDING_QUERIES)
		return NULL;
	number = pending->query_count++;
	query = &pending->queries[number];
	memset(query, 0, sizeof(HonePendingQuery));
	query->key = key;
	query->bucket = hone_stats_bucket(key.dbid, key.queryid);
	query->counters.first_seen = record->started;
	add_to_index(pending, number);
	last_query = number;
	return query;
}

/* The record's query, new if need be; NULL when full. */
static inline HonePendingQuery *
find_query(HonePending *in, const HoneRecord *record)
{
	HonePendingQuery *query = &in->queries[last_query];

	if (likely(last_query < in->query_count && is_query_of(query, record)))
		return query;
	return look_up_query(record);
}

/* Count a latency; false when there is no cell for it. */
static inline bool
count_latency(HonePending *to, int query, uint64 ns)
{
	int			bucket = hone_histogram_bucket(ns);
	uint32		at = first_cell(query, bucket);
	HonePendingCell *cell;

	for (;;)
	{
		cell = &to->cells[at];
		if (cell->count == 0)
			break;
		if (cell->query == query && cell->bucket == bucket)
		{
			cell->count++;
			return true;
		}
		at = (at + 1) % HONE_PENDING_CELLS;
	}
	if (to->cell_count >= HONE_PENDING_CELLS - 1)
		return false;
	cell->query = query;
	cell->bucket = bucket;
	cell->count = 1;
	to->cell_count++;
	return true;
}

static pg_noinline void
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

static pg_noinline void
count_io(HoneStatsCounters *counters, const HoneRecord *record)
{
	const BufferUsage *buffers = &record->buffers;

	counters->shared_read += buffers->shared_blks_read;
	counters->shared_dirtied += buffers->shared_blks_dirtied;
	counters->shared_written += buffers->shared_blks_written;
	counters->temp_read += buffers->temp_blks_read;
	counters->temp_written += buffers->temp_blks_written;
	counters->blk_read_ns += HONE_INSTR_NS(HONE_BLK_READ_TIME(buffers));
	counters->blk_write_ns += HONE_INSTR_NS(HONE_BLK_WRITE_TIME(buffers));
	counters->wal_bytes += record->wal.wal_bytes;
}

static inline void
count_resources(HoneStatsCounters *counters, const HoneRecord *record)
{
	counters->shared_hit += record->buffers.shared_blks_hit;
	if (record->has_io)
		count_io(counters, record);
	if (record->has_rusage)
	{
		counters->sampled_calls++;
		counters->sampled_ns += record->elapsed_ns;
		counters->sampled_user_us += record->cpu_user_us;
		counters->sampled_sys_us += record->cpu_sys_us;
	}
}

static inline void
count_call(HoneStatsCounters *counters, const HoneRecord *record)
{
	double		ns = (double) (int64) record->elapsed_ns;
	double		delta = ns - counters->mean_ns;

	counters->calls++;
	counters->rows += record->rows;
	counters->total_ns += record->elapsed_ns;
	if (counters->calls == 1 || record->elapsed_ns < counters->min_ns)
		counters->min_ns = record->elapsed_ns;
	if (record->elapsed_ns > counters->max_ns)
		counters->max_ns = record->elapsed_ns;
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
static inline bool
count_record(HonePending *to, const HoneRecord *record)
{
	HonePendingQuery *query;
	HoneStatsCounters *counters;
	TimestampTz end = record->started + record->elapsed_ns / 1000;

	if (record->sqlstate != 0)
		count_error(record);
	if (record->queryid == 0)
		return true;

	query = find_query(to, record);
	if (query == NULL)
		return false;
	counters = &query->counters;
	if (end > counters->last_seen)
		counters->last_seen = end;
	if (record->kind == HONE_RECORD_PLAN)
	{
		counters->plans++;
		counters->plan_ns += record->elapsed_ns;
		return true;
	}
	count_call(counters, record);
	if (!count_latency(to, last_query, record->elapsed_ns))
		pg_atomic_fetch_add_u64(&hone_stats_shared->unbucketed, 1);
	return true;
}

/* A cell for what a query counted in a bucket, in cells that have room. */
static void
put_cell(HonePending *to, const HonePendingCell *cell)
{
	uint32		at = first_cell(cell->query, cell->bucket);

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
	bool		all;

	if (!hone_stats_attach())
		return;
	epoch = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);
	all = hone_pending_move(pending, wait);
	hand_samples_on();
	if (all)
	{
		hone_pending_begin_change(pending);
		pending->reset_epoch = epoch;
		hone_pending_end_change(pending);
	}
	seen_moves = pending->moves;
}

void
hone_pending_flush(bool wait)
{
	if (pending == NULL)
		return;
	claim(pending);
	flush_now(wait);
	release(pending);
}

/*
 * What follows must not be taken for counts from before a reset, and what was
 * counted before it is not wanted any more. The ring of resets is read without
 * a lock; where that was overwritten just now, everything counts as reset.
 */
static pg_noinline void
follow_reset(uint32 epoch)
{
	hone_samples_forget();
	hone_pending_begin_change(pending);
	for (int i = 0; i < pending->query_count; i++)
		if (hone_stats_was_reset(pending->reset_epoch, pending->queries[i].key.queryid))
			pending->queries[i].flushed = true;
	for (int i = 0; i < pending->error_count; i++)
		if (hone_stats_was_reset(pending->reset_epoch, pending->errors[i].key.queryid))
			pending->errors[i].count = 0;
	pending->reset_epoch = epoch;
	hone_pending_end_change(pending);
	hone_pending_compact(pending);
	seen_moves = pending->moves;
}

static inline void
follow_resets(const HonePending *in)
{
	uint32		now = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);

	if (unlikely(in->reset_epoch != now))
		follow_reset(now);
}

static inline bool
is_nearly_full(const HonePending *in)
{
	return in->query_count >= QUERIES_NEARLY_FULL ||
		in->cell_count >= CELLS_NEARLY_FULL ||
		in->error_count >= ERRORS_NEARLY_FULL;
}

void
hone_pending_record(const HoneRecord *record)
{
	bool		safe = !record->in_abort;
	uint64		now_ns = record->start_ns + record->elapsed_ns;
	HonePending *to;
	bool		counted;

	if (!have_pending(safe))
		return;
	to = pending;
	claim(to);
	follow_resets(to);
	if (unlikely(to->moves != seen_moves) && safe && hone_stats_attach())
	{
		hand_samples_on();
		seen_moves = to->moves;
	}

	hone_pending_begin_change(to);
	counted = count_record(to, record);
	hone_pending_end_change(to);
	if (unlikely(!counted))
		pg_atomic_fetch_add_u64(&hone_stats_shared->dropped, 1);
	else if (safe && to->moves == seen_moves)
		hone_samples_record(last_query, record);

	/* What nobody else could see goes at once. */
	if (safe &&
		((int64) (now_ns - last_flush_ns) >= (int64) hone_flush_interval_ms * 1000000 ||
		 !pending_is_shared))
	{
		last_flush_ns = Max(last_flush_ns, now_ns);
		flush_now(false);
	}
	else if (safe && is_nearly_full(to))
		flush_now(false);
	release(to);
}

void
hone_pending_make_room(void)
{
	if (!have_pending(true))
		return;
	claim(pending);
	follow_resets(pending);
	if (is_nearly_full(pending))
		flush_now(false);
	release(pending);
}

void
hone_pending_running(const HoneRecord *record)
{
	HonePending *in = pending;

	if (in == NULL)
		return;
	if (record == NULL)
	{
		in->running_queryid = 0;
		return;
	}
	in->running_dbid = record->dbid;
	in->running_userid = record->userid;
	in->running_queryid = record->queryid;
}
