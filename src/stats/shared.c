/*-------------------------------------------------------------------------
 *
 * shared.c
 *	  Shared memory of the statistics: layout, allocation, the hash table.
 *
 * Everything is one block of the server's main shared memory, reserved at
 * start: a header, the bucket array, one slot pointer per backend, and a DSA
 * area that fills the rest and never grows by segments. Memory that was not
 * touched costs nothing, and no statement can meet the errors of creating or
 * mapping a segment (a full /dev/shm among them). All allocations return
 * "no" instead of raising an error.
 *
 * The hash table is chained and of fixed width. Its bucket is chosen by
 * (database, query) alone, so that a query's entries of all roles, its errors,
 * its text and its samples are neighbours and one lock covers them. Lock order and rules:
 * shared.h.
 *
 * A backend that is killed makes the server restart and this memory be built
 * anew; one that ends by FATAL gives its slot up in its exit callback.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/memutils.h"

#include "common/savefile.h"
#include "stats/save.h"
#include "stats/shared.h"

#define LOCK_COUNT		(1 + HONE_STATS_PARTITIONS)
#define TRANCHE_NAME	"pg_hone statistics"

/*
 * The last resort must take any histogram without asking for memory; those of
 * databases begin with room for latencies of two octaves.
 */
#define OTHER_CAPACITY	HONE_HISTOGRAM_BUCKETS
#define DATABASE_OTHER_CAPACITY	128

/*
 * Larger objects take whole pages in a row, which evicting small ones rarely
 * makes (DSA's own limit, see dsa.c).
 */
#define SMALL_OBJECT		8192

/* In per cent of hone.max_memory: where evicting begins. */
#define EVICT_ABOVE			85

HoneStatsShared *hone_stats_shared = NULL;
dsa_area   *hone_stats_area = NULL;
bool		hone_stats_leaving = false;

static shmem_request_hook_type previous_shmem_request = NULL;
static shmem_startup_hook_type previous_shmem_startup = NULL;

static Size
limit_bytes(void)
{
	return (Size) hone_max_memory_kb * 1024;
}

/*
 * A query takes some 700 bytes with its text, and each of the two is a node:
 * about one in each chain when the memory is full, so that looking for a
 * query that is not there rarely waits for memory more than once.
 */
static uint32
bucket_count(void)
{
	uint32		count = 1024;

	while (count < limit_bytes() / 512 && count < (1 << 24))
		count <<= 1;
	return count;
}

static int
slot_count(void)
{
	/* Client backends come first in the array of processes. */
	return MaxBackends;
}

static Size
header_size(void)
{
	return MAXALIGN(sizeof(HoneStatsShared)) +
		MAXALIGN(bucket_count() * sizeof(dsa_pointer)) +
		MAXALIGN(slot_count() * sizeof(dsa_pointer));
}

/* The area holds hone.max_memory and what the allocator itself needs. */
static Size
area_size(void)
{
	return MAXALIGN(limit_bytes() + limit_bytes() / 64 + 1024 * 1024);
}

static dsa_pointer *
buckets(void)
{
	return (dsa_pointer *) ((char *) hone_stats_shared +
							MAXALIGN(sizeof(HoneStatsShared)));
}

static dsa_pointer *
slots(void)
{
	return (dsa_pointer *) ((char *) buckets() +
							MAXALIGN(hone_stats_shared->bucket_count * sizeof(dsa_pointer)));
}

static char *
area_place(void)
{
	return (char *) slots() +
		MAXALIGN(hone_stats_shared->slot_count * sizeof(dsa_pointer));
}

static void
request_shared_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(add_size(header_size(), area_size()));
	RequestNamedLWLockTranche(TRANCHE_NAME, LOCK_COUNT);
}

/* In the postmaster. */
static void
create_area(void)
{
	int			tranche = hone_stats_shared->locks[0].lock.tranche;

	hone_stats_area = dsa_create_in_place(area_place(), area_size(), tranche, NULL);
	dsa_pin(hone_stats_area);
	dsa_set_size_limit(hone_stats_area, area_size());
	(void) hone_stats_create_other(InvalidOid, true);
	if (hone_stats_first(hone_stats_bucket(InvalidOid, 0)) == NULL)
		elog(ERROR, "hone.max_memory is too small");
	hone_save_read();

	/* Each process attaches on its own. */
	dsa_detach(hone_stats_area);
	hone_stats_area = NULL;
}

/*
 * The postmaster ends, after everybody else: nobody counts any more. Not
 * after a crash or an immediate shutdown (which has no code of its own): then
 * locks may be held and lists be half changed.
 */
static void
save_at_exit(int code, Datum arg)
{
	if (code != 0 || hone_stats_shared == NULL || IsUnderPostmaster || !hone_was_shut_down())
		return;
	hone_stats_area = dsa_attach_in_place(area_place(), NULL);
	hone_save_write(true);
}

static void
init_counters(HoneStatsShared *shared)
{
	pg_atomic_init_u64(&shared->used_bytes, 0);
	pg_atomic_init_u64(&shared->slot_bytes, 0);
	pg_atomic_init_u64(&shared->entries, 0);
	pg_atomic_init_u64(&shared->texts, 0);
	pg_atomic_init_u64(&shared->evictions, 0);
	pg_atomic_init_u64(&shared->dropped, 0);
	pg_atomic_init_u64(&shared->other_calls, 0);
	pg_atomic_init_u64(&shared->unbucketed, 0);
	pg_atomic_init_u64(&shared->texts_dropped, 0);
	pg_atomic_init_u64(&shared->internal_errors, 0);
	pg_atomic_init_u64(&shared->last_flush, 0);
	pg_atomic_init_u64(&shared->last_save, 0);
	pg_atomic_init_u64(&shared->wait_samples, 0);
	pg_atomic_init_u32(&shared->wants_room, 0);
	pg_atomic_init_u32(&shared->refused, 0);
	pg_atomic_init_u32(&shared->save_now, 0);
	pg_atomic_init_u32(&shared->changed, 1);
	pg_atomic_init_u32(&shared->text_epoch, 1);
	pg_atomic_init_u32(&shared->reset_epoch, 1);
}

static void
startup_shared_memory(void)
{
	bool		found;

	if (previous_shmem_startup)
		previous_shmem_startup();

	hone_stats_area = NULL;
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	hone_stats_shared = ShmemInitStruct("pg_hone statistics",
										add_size(header_size(), area_size()),
										&found);
	if (!found)
	{
		memset(hone_stats_shared, 0, header_size());
		hone_stats_shared->locks = GetNamedLWLockTranche(TRANCHE_NAME);
		hone_stats_shared->bucket_count = bucket_count();
		hone_stats_shared->slot_count = slot_count();
		hone_stats_shared->memory_limit = limit_bytes();
		hone_stats_shared->since = GetCurrentTimestamp();
		hone_stats_shared->promoted_at = DT_NOBEGIN;
		init_counters(hone_stats_shared);
		SpinLockInit(&hone_stats_shared->slots_lock);
		hone_stats_shared->free_slots = InvalidDsaPointer;
		create_area();
	}
	LWLockRelease(AddinShmemInitLock);
	if (!IsUnderPostmaster)
		on_shmem_exit(save_at_exit, 0);
}

void
hone_stats_shared_init(void)
{
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_shared_memory;
}

static void
detach_area(int code, Datum arg)
{
	if (hone_stats_area == NULL)
		return;
	dsa_detach(hone_stats_area);
	dsa_release_in_place(area_place());
	hone_stats_area = NULL;
}

bool
hone_stats_attach(void)
{
	MemoryContext old;

	if (hone_stats_area != NULL)
		return true;
	if (hone_stats_shared == NULL || MyProc == NULL ||
		(proc_exit_inprogress && !hone_stats_leaving))
		return false;
	old = MemoryContextSwitchTo(TopMemoryContext);
	hone_stats_area = dsa_attach_in_place(area_place(), NULL);
	dsa_pin_mapping(hone_stats_area);
	MemoryContextSwitchTo(old);
	on_shmem_exit(detach_area, 0);
	return true;
}

dsa_pointer *
hone_stats_slot(int index)
{
	return &slots()[index];
}

void
hone_stats_key_init(HoneStatsKey *key, HoneStatsKind kind, Oid dbid,
					Oid userid, uint64 queryid, bool toplevel, int sqlstate)
{
	memset(key, 0, sizeof(*key));
	key->queryid = queryid;
	key->dbid = dbid;
	key->userid = userid;
	key->sqlstate = sqlstate;
	key->kind = kind;
	key->toplevel = toplevel;
}

uint32
hone_stats_bucket(Oid dbid, uint64 queryid)
{
	uint64		hash = hash_combine64(queryid, dbid);

	hash ^= hash >> 32;
	return (uint32) hash & (hone_stats_shared->bucket_count - 1);
}

LWLock *
hone_stats_partition_lock(uint32 bucket)
{
	return &hone_stats_shared->locks[1 + bucket % HONE_STATS_PARTITIONS].lock;
}

dsa_pointer *
hone_stats_chain(uint32 bucket)
{
	return &buckets()[bucket];
}

HoneStatsNode *
hone_stats_find(uint32 bucket, const HoneStatsKey *key)
{
	for (HoneStatsNode *node = hone_stats_first(bucket); node != NULL;
		 node = hone_stats_next(node))
	{
		if (memcmp(&node->key, key, sizeof(*key)) == 0)
			return node;
	}
	return NULL;
}

bool
hone_stats_has_numbers(Oid dbid, uint64 queryid)
{
	for (HoneStatsNode *node = hone_stats_first(hone_stats_bucket(dbid, queryid)); node != NULL;
		 node = hone_stats_next(node))
	{
		if (node->key.kind == HONE_STATS_QUERY && node->key.queryid == queryid &&
			node->key.dbid == dbid)
			return true;
	}
	return false;
}

HoneStatsNode *
hone_stats_insert(uint32 bucket, const HoneStatsKey *key, Size size)
{
	dsa_pointer *head = hone_stats_chain(bucket);
	dsa_pointer pointer = hone_stats_allocate(size);
	HoneStatsNode *node;

	if (!DsaPointerIsValid(pointer))
		return NULL;
	node = dsa_get_address(hone_stats_area, pointer);
	memset(node, 0, size);
	node->key = *key;
	node->bytes = size;
	node->next = *head;
	*head = pointer;
	if (key->kind == HONE_STATS_QUERY && key->queryid != 0)
		pg_atomic_fetch_add_u64(&hone_stats_shared->entries, 1);
	else if (key->kind == HONE_STATS_TEXT)
		pg_atomic_fetch_add_u64(&hone_stats_shared->texts, 1);
	return node;
}

static Size
histogram_bytes(int capacity)
{
	return capacity * (sizeof(uint64) + sizeof(uint16));
}

static void
free_histogram(HoneStatsPart *part)
{
	if (DsaPointerIsValid(part->histogram))
		hone_stats_free(part->histogram, histogram_bytes(part->capacity));
}

static void
free_part(dsa_pointer pointer)
{
	if (!DsaPointerIsValid(pointer))
		return;
	free_histogram(dsa_get_address(hone_stats_area, pointer));
	hone_stats_free(pointer, sizeof(HoneStatsPart));
}

static void
free_samples(HoneStatsSamples *samples)
{
	for (int i = 0; i < HONE_STATS_SAMPLES; i++)
		if (DsaPointerIsValid(samples->places[i].sample))
			hone_stats_free(samples->places[i].sample, samples->places[i].capacity);
}

void
hone_stats_delete(dsa_pointer *link)
{
	dsa_pointer pointer = *link;
	HoneStatsNode *node = dsa_get_address(hone_stats_area, pointer);

	*link = node->next;
	if (HONE_STATS_HAS_PARTS(node->key.kind))
	{
		free_histogram(&((HoneStatsQuery *) node)->fresh);
		free_part(((HoneStatsQuery *) node)->kept);
		free_part(((HoneStatsQuery *) node)->writing);
	}
	if (node->key.kind == HONE_STATS_QUERY && node->key.queryid != 0)
		pg_atomic_fetch_sub_u64(&hone_stats_shared->entries, 1);
	else if (node->key.kind == HONE_STATS_TEXT)
		pg_atomic_fetch_sub_u64(&hone_stats_shared->texts, 1);
	else if (node->key.kind == HONE_STATS_SAMPLE)
		free_samples((HoneStatsSamples *) node);
	hone_stats_free(pointer, node->bytes);
}

/* The collector is to make room. */
static void
wake_collector(void)
{
	Latch	   *collector;

	if (pg_atomic_read_u32(&hone_stats_shared->wants_room) != 0 ||
		pg_atomic_exchange_u32(&hone_stats_shared->wants_room, 1) != 0)
		return;
	collector = hone_stats_shared->collector;
	if (collector != NULL)
		SetLatch(collector);
}

dsa_pointer
hone_stats_allocate(Size size)
{
	HoneStatsShared *shared = hone_stats_shared;
	Size		used = pg_atomic_fetch_add_u64(&shared->used_bytes, size) + size;
	dsa_pointer pointer = InvalidDsaPointer;

	if (used <= shared->memory_limit)
		pointer = dsa_allocate_extended(hone_stats_area, size, DSA_ALLOC_NO_OOM);
	if (!DsaPointerIsValid(pointer))
	{
		pg_atomic_fetch_sub_u64(&shared->used_bytes, size);
		if (used <= shared->memory_limit && size <= SMALL_OBJECT)
			pg_atomic_write_u32(&shared->refused, 1);
	}
	if (!DsaPointerIsValid(pointer) || used > shared->memory_limit / 100 * EVICT_ABOVE)
		wake_collector();
	return pointer;
}

void
hone_stats_free(dsa_pointer pointer, Size size)
{
	dsa_free(hone_stats_area, pointer);
	pg_atomic_fetch_sub_u64(&hone_stats_shared->used_bytes, size);
}

void
hone_stats_part_histogram(const HoneStatsPart *part, HoneHistogram *view)
{
	view->used = part->used;
	view->count = NULL;
	view->bucket = NULL;
	if (DsaPointerIsValid(part->histogram))
	{
		view->count = dsa_get_address(hone_stats_area, part->histogram);
		view->bucket = (uint16 *) (view->count + part->capacity);
	}
}

static HoneStatsPart *
part_at(dsa_pointer pointer)
{
	return DsaPointerIsValid(pointer) ? dsa_get_address(hone_stats_area, pointer) : NULL;
}

HoneStatsPart *
hone_stats_kept(const HoneStatsQuery *query)
{
	return part_at(query->kept);
}

HoneStatsPart *
hone_stats_writing(const HoneStatsQuery *query)
{
	return part_at(query->writing);
}

HoneStatsPart *
hone_stats_make_kept(HoneStatsQuery *query)
{
	HoneStatsPart *kept = hone_stats_kept(query);

	if (kept != NULL)
		return kept;
	query->kept = hone_stats_allocate(sizeof(HoneStatsPart));
	kept = hone_stats_kept(query);
	if (kept != NULL)
		memset(kept, 0, sizeof(HoneStatsPart));
	return kept;
}

int
hone_stats_parts(const HoneStatsQuery *query,
				 const HoneStatsPart *parts[HONE_STATS_PARTS])
{
	const HoneStatsPart *kept = hone_stats_kept(query);
	const HoneStatsPart *writing = hone_stats_writing(query);
	int			count = 0;

	parts[count++] = &query->fresh;
	if (kept != NULL)
		parts[count++] = kept;
	if (writing != NULL)
		parts[count++] = writing;
	return count;
}

bool
hone_stats_begin_writing(HoneStatsQuery *query)
{
	if (DsaPointerIsValid(query->writing))
		return false;
	query->writing = hone_stats_allocate(sizeof(HoneStatsPart));
	if (!DsaPointerIsValid(query->writing))
		return false;
	*hone_stats_writing(query) = query->fresh;
	memset(&query->fresh, 0, sizeof(HoneStatsPart));
	return true;
}

void
hone_stats_end_writing(HoneStatsQuery *query, bool written)
{
	HoneStatsPart *writing = hone_stats_writing(query);
	HoneStatsPart *kept = hone_stats_kept(query);
	HoneHistogram view;

	if (writing == NULL)
		return;
	if (written && kept == NULL)
		query->kept = query->writing;
	else
	{
		if (!written)
		{
			/* What has come since is small: it is added to the other. */
			HoneStatsPart since = query->fresh;

			query->fresh = *writing;
			*writing = since;
		}
		hone_stats_part_histogram(writing, &view);
		hone_stats_part_add(written ? kept : &query->fresh, &writing->counters, &view);
		if (written && !DsaPointerIsValid(query->fresh.histogram))
		{
			/* The room is wanted again: that of an <other> is its reserve. */
			query->fresh.histogram = writing->histogram;
			query->fresh.capacity = writing->capacity;
			writing->histogram = InvalidDsaPointer;
		}
		free_part(query->writing);
	}
	query->writing = InvalidDsaPointer;
}

/* Room for 'needed' buckets; false when the memory is full. */
static bool
grow_histogram(HoneStatsPart *part, int needed)
{
	int			capacity = Max(part->capacity, 8);
	dsa_pointer pointer;
	HoneHistogram before;
	uint64	   *count;

	while (capacity < needed)
		capacity *= 2;
	pointer = hone_stats_allocate(histogram_bytes(capacity));
	if (!DsaPointerIsValid(pointer))
		return false;
	hone_stats_part_histogram(part, &before);
	count = dsa_get_address(hone_stats_area, pointer);
	if (before.used > 0 && before.count != NULL)
	{
		memcpy(count, before.count, before.used * sizeof(uint64));
		memcpy(count + capacity, before.bucket, before.used * sizeof(uint16));
	}
	free_histogram(part);
	part->histogram = pointer;
	part->capacity = capacity;
	return true;
}

void
hone_stats_part_add(HoneStatsPart *part, const HoneStatsCounters *counters,
					const HoneHistogram *histogram)
{
	HoneHistogram view;
	int			needed;

	hone_stats_counters_add(&part->counters, counters);
	hone_stats_part_histogram(part, &view);
	needed = hone_histogram_merged_size(&view, histogram);
	if (needed > part->capacity)
	{
		if (!grow_histogram(part, needed))
		{
			pg_atomic_fetch_add_u64(&hone_stats_shared->unbucketed,
									hone_histogram_total(histogram));
			return;
		}
		hone_stats_part_histogram(part, &view);
	}
	hone_histogram_merge(&view, histogram);
	part->used = view.used;
}

void
hone_stats_query_add(HoneStatsQuery *query, const HoneStatsCounters *counters,
					 const HoneHistogram *histogram)
{
	hone_stats_part_add(&query->fresh, counters, histogram);
	query->node.last_seen = Max(query->node.last_seen, counters->last_seen);
}

/* Add in one partition; false when there is no such entry and no room. */
static bool
add_to(const HoneStatsKey *key, bool create, const HoneStatsCounters *counters,
	   const HoneHistogram *histogram, void (*counted) (void *arg), void *arg)
{
	uint32		bucket = hone_stats_bucket(key->dbid, key->queryid);
	HoneStatsQuery *query = (HoneStatsQuery *) hone_stats_find(bucket, key);

	if (query == NULL && create)
		query = (HoneStatsQuery *) hone_stats_insert(bucket, key, sizeof(HoneStatsQuery));
	if (query == NULL)
		return false;
	hone_stats_query_add(query, counters, histogram);
	if (counted != NULL)
		counted(arg);
	return true;
}

bool
hone_stats_add(const HoneStatsKey *key, const HoneStatsCounters *counters,
			   const HoneHistogram *histogram, bool wait,
			   void (*counted) (void *arg), void *arg)
{
	LWLock	   *lock = hone_stats_partition_lock(hone_stats_bucket(key->dbid, key->queryid));
	HoneStatsKey other;
	bool		added;

	if (!hone_stats_lock(lock, LW_EXCLUSIVE, wait))
		return false;
	added = add_to(key, true, counters, histogram, counted, arg);
	LWLockRelease(lock);
	if (!added && key->kind != HONE_STATS_QUERY)
	{
		pg_atomic_fetch_add_u64(&hone_stats_shared->dropped, counters->calls);
		return true;
	}

	for (int last_resort = 0; !added && last_resort < 2; last_resort++)
	{
		hone_stats_key_init(&other, HONE_STATS_QUERY, last_resort ? InvalidOid : key->dbid,
							InvalidOid, 0, true, 0);
		lock = hone_stats_partition_lock(hone_stats_bucket(other.dbid, 0));
		if (!hone_stats_lock(lock, LW_EXCLUSIVE, wait))
			return false;
		added = add_to(&other, false, counters, histogram, counted, arg);
		LWLockRelease(lock);
		if (added)
			pg_atomic_fetch_add_u64(&hone_stats_shared->other_calls, counters->calls);
	}
	return added;
}

bool
hone_stats_create_other(Oid dbid, bool wait)
{
	uint32		bucket = hone_stats_bucket(dbid, 0);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	int			capacity = OidIsValid(dbid) ? DATABASE_OTHER_CAPACITY : OTHER_CAPACITY;
	HoneStatsKey key;
	HoneStatsQuery *other;

	hone_stats_key_init(&key, HONE_STATS_QUERY, dbid, InvalidOid, 0, true, 0);
	if (!hone_stats_lock(lock, LW_EXCLUSIVE, wait))
		return false;
	other = (HoneStatsQuery *) hone_stats_find(bucket, &key);
	if (other == NULL)
	{
		other = (HoneStatsQuery *) hone_stats_insert(bucket, &key, sizeof(HoneStatsQuery));
		if (other != NULL)
			other->node.last_seen = GetCurrentTimestamp();
	}
	if (other != NULL)
	{
		if (other->fresh.capacity < capacity)
			(void) grow_histogram(&other->fresh, capacity);
		(void) hone_stats_make_kept(other);
	}
	LWLockRelease(lock);
	return true;
}

void
hone_stats_counters_add(HoneStatsCounters *to, const HoneStatsCounters *from)
{
	if (from->calls > 0)
	{
		double		calls = (double) to->calls + from->calls;
		double		delta = from->mean_ns - to->mean_ns;

		to->min_ns = to->calls > 0 ? Min(to->min_ns, from->min_ns) : from->min_ns;
		to->max_ns = Max(to->max_ns, from->max_ns);
		to->m2_ns += from->m2_ns +
			delta * delta * ((double) to->calls * from->calls / calls);
		to->mean_ns += delta * (from->calls / calls);
	}
	if (to->first_seen == 0 || (from->first_seen != 0 && from->first_seen < to->first_seen))
		to->first_seen = from->first_seen;
	to->last_seen = Max(to->last_seen, from->last_seen);
	to->calls += from->calls;
	to->errors += from->errors;
	to->rows += from->rows;
	to->total_ns += from->total_ns;
	to->plans += from->plans;
	to->plan_ns += from->plan_ns;
	to->shared_hit += from->shared_hit;
	to->shared_read += from->shared_read;
	to->shared_dirtied += from->shared_dirtied;
	to->shared_written += from->shared_written;
	to->temp_read += from->temp_read;
	to->temp_written += from->temp_written;
	to->blk_read_ns += from->blk_read_ns;
	to->blk_write_ns += from->blk_write_ns;
	to->wal_bytes += from->wal_bytes;
	to->sampled_calls += from->sampled_calls;
	to->sampled_ns += from->sampled_ns;
	to->sampled_user_us += from->sampled_user_us;
	to->sampled_sys_us += from->sampled_sys_us;
	to->reads += from->reads;
	to->writes += from->writes;
	for (int i = 0; i < HONE_WAIT_KINDS; i++)
		to->waits[i] += from->waits[i];
}

/*
 * Was the query (or, with queryid NULL, everything) reset since epoch? The
 * ring is written before reset_epoch is.
 */
static bool
find_reset(uint32 epoch, const uint64 *queryid)
{
	uint32		now = pg_atomic_read_u32(&hone_stats_shared->reset_epoch);

	if (now == epoch)
		return false;
	if (now - epoch > HONE_STATS_RESETS)
		return true;
	pg_read_barrier();
	for (uint32 e = epoch + 1; e != now + 1; e++)
	{
		HoneStatsReset *reset = &hone_stats_shared->resets[e % HONE_STATS_RESETS];

		if (reset->epoch != e || reset->all || (queryid != NULL && reset->queryid == *queryid))
			return true;
	}
	return false;
}

bool
hone_stats_was_reset(uint32 epoch, uint64 queryid)
{
	return find_reset(epoch, &queryid);
}

bool
hone_stats_all_reset(uint32 epoch)
{
	return find_reset(epoch, NULL);
}
