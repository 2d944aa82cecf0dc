/*-------------------------------------------------------------------------
 *
 * store.c
 *	  Results of queries in shared memory (see store.h).
 *
 * A fixed array of slots, found by a hash of the key's digest, and a DSA area
 * in place for the rows, all in the server's main shared memory: making or
 * mapping a segment cannot fail in somebody's statement, and the memory is
 * bounded by what was reserved at start. A slot is never given back, so its
 * condition variable can be slept on whatever becomes of it; the number of a
 * run, never used again, tells a sleeper whether it is still the one he meant.
 *
 * Tags are numbers of counters. A result remembers what they were before the
 * snapshot of its query was taken; it is as good as gone once one has moved
 * on. So to invalidate is to count, which takes no lock, needs no memory and
 * cannot fail; two tags that share a counter invalidate each other's results
 * in vain.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/dsa.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "cache/store.h"
#include "common/hone.h"

#define TRANCHE_NAME	"pg_hone cached queries"

/* One slot for so much memory, but at least so many. */
#define SLOT_KB			4
#define LEAST_SLOTS		256

/* Half of what pointers into a DSA segment reach. */
#define MOST_KB			(512 * 1024 * 1024)

#define NO_SLOT			PG_UINT32_MAX

/* Results past their time that a new one clears away. */
#define SWEEP			4

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_RUNNING,				/* somebody runs it */
	SLOT_READY,					/* has rows */
	SLOT_TOO_LARGE				/* everybody is to run it himself, for a while */
} SlotState;

typedef struct Slot
{
	uint8		key[HONE_DIGEST_BYTES];
	SlotState	state;
	uint32		next;			/* in the chain, or in the free list */
	uint64		run;
	int			leader;			/* place of its process, while it runs */
	TimestampTz since;			/* before the snapshot of the query */
	int64		ttl;			/* that of the leader */
	HoneCacheTags tags;
	uint64		counts[HONE_CACHE_TAGS + 1];
	dsa_pointer rows;
	Size		bytes;
	dlist_node	lru;			/* READY and TOO_LARGE, last used first */
	ConditionVariable ended;
} Slot;

typedef struct StoreShared
{
	LWLock	   *lock;
	uint32		slot_count;
	uint32		heads;			/* of chains: a power of 2 */
	uint32		free;
	uint64		runs;
	Size		limit;
	Size		used;
	int64		results;
	slock_t		lru_lock;		/* against those that share 'lock' */
	dlist_head	lru;
	HoneCacheCounters counters;
	pg_atomic_uint64 tags[HONE_CACHE_COUNTERS];
} StoreShared;

int			hone_cache_memory_kb = 16 * 1024;
HoneCacheCounters *hone_cache_counters = NULL;
static StoreShared *store = NULL;
static dsa_area *area = NULL;

/* ------------------------------------------------------------------------
 * Shared memory: the header, the heads of chains, the slots, the area
 * ------------------------------------------------------------------------
 */

void
hone_store_define_settings(void)
{
	DefineCustomIntVariable("hone.cache_memory",
							"Shared memory for results of hone.cached_query; 0: each call runs its query.",
							"A result of more than a quarter of it is not kept.",
							&hone_cache_memory_kb, 16 * 1024, 0, Min(MAX_KILOBYTES, MOST_KB),
							hone_server_start_context(), GUC_UNIT_KB, NULL, NULL, NULL);
}

static uint32
slot_count(void)
{
	return hone_cache_memory_kb == 0 ? 0 : Max(hone_cache_memory_kb / SLOT_KB, LEAST_SLOTS);
}

static uint32
head_count(void)
{
	uint32		count = 1;

	while (count < slot_count())
		count <<= 1;
	return count;
}

static Size
limit_bytes(void)
{
	return (Size) hone_cache_memory_kb * 1024;
}

/* What the allocator itself needs comes on top. */
static Size
area_size(void)
{
	return hone_cache_memory_kb == 0 ? 0 :
		MAXALIGN(limit_bytes() + limit_bytes() / 16 + 1024 * 1024);
}

static Size
header_size(void)
{
	return MAXALIGN(sizeof(StoreShared)) + MAXALIGN(head_count() * sizeof(uint32)) +
		MAXALIGN(slot_count() * sizeof(Slot));
}

static uint32 *
heads(void)
{
	return (uint32 *) ((char *) store + MAXALIGN(sizeof(StoreShared)));
}

static Slot *
slot_at(uint32 place)
{
	return (Slot *) ((char *) heads() + MAXALIGN(store->heads * sizeof(uint32))) + place;
}

static char *
area_place(void)
{
	return (char *) slot_at(0) + MAXALIGN(store->slot_count * sizeof(Slot));
}

void
hone_store_request(void)
{
	RequestAddinShmemSpace(add_size(header_size(), area_size()));
	RequestNamedLWLockTranche(TRANCHE_NAME, 1);
}

static void
init_counters(HoneCacheCounters *counters)
{
	pg_atomic_init_u64(&counters->hits, 0);
	pg_atomic_init_u64(&counters->misses, 0);
	pg_atomic_init_u64(&counters->waits, 0);
	pg_atomic_init_u64(&counters->handed_over, 0);
	pg_atomic_init_u64(&counters->bypassed, 0);
	pg_atomic_init_u64(&counters->outdated, 0);
	pg_atomic_init_u64(&counters->too_large, 0);
	pg_atomic_init_u64(&counters->evictions, 0);
	pg_atomic_init_u64(&counters->invalidations, 0);
	pg_atomic_init_u64(&counters->failures, 0);
}

static void
init_slots(void)
{
	for (uint32 i = 0; i < store->heads; i++)
		heads()[i] = NO_SLOT;
	store->free = NO_SLOT;
	for (uint32 i = store->slot_count; i-- > 0;)
	{
		Slot	   *slot = slot_at(i);

		memset(slot, 0, sizeof(Slot));
		slot->next = store->free;
		store->free = i;
		ConditionVariableInit(&slot->ended);
	}
}

/* In the postmaster; each process attaches on its own. */
static void
create_area(void)
{
	dsa_area   *made = dsa_create_in_place(area_place(), area_size(),
										   store->lock->tranche, NULL);

	dsa_pin(made);
	dsa_set_size_limit(made, area_size());
	dsa_detach(made);
}

void
hone_store_startup(void)
{
	bool		found;

	area = NULL;
	store = ShmemInitStruct(TRANCHE_NAME, add_size(header_size(), area_size()), &found);
	hone_cache_counters = &store->counters;
	if (found)
		return;
	memset(store, 0, sizeof(StoreShared));
	store->lock = &GetNamedLWLockTranche(TRANCHE_NAME)->lock;
	store->slot_count = slot_count();
	store->heads = head_count();
	store->limit = limit_bytes();
	SpinLockInit(&store->lru_lock);
	dlist_init(&store->lru);
	init_counters(&store->counters);
	for (int i = 0; i < HONE_CACHE_COUNTERS; i++)
		pg_atomic_init_u64(&store->tags[i], 0);
	init_slots();
	if (store->slot_count > 0)
		create_area();
}

static void
detach_area(int code, Datum arg)
{
	if (area == NULL)
		return;
	dsa_detach(area);
	dsa_release_in_place(area_place());
	area = NULL;
}

bool
hone_store_ready(void)
{
	MemoryContext old;

	if (area != NULL)
		return true;
	if (store == NULL || store->slot_count == 0 || MyProc == NULL || proc_exit_inprogress)
		return false;
	old = MemoryContextSwitchTo(TopMemoryContext);
	area = dsa_attach_in_place(area_place(), NULL);
	dsa_pin_mapping(area);
	MemoryContextSwitchTo(old);
	on_shmem_exit(detach_area, 0);
	return true;
}

/* ------------------------------------------------------------------------
 * Slots; the lock is held
 * ------------------------------------------------------------------------
 */

static uint32 *
head_of(const uint8 *key)
{
	uint32		hash;

	memcpy(&hash, key, sizeof(hash));
	return &heads()[hash & (store->heads - 1)];
}

static uint32
find(const uint8 *key)
{
	uint32		place = *head_of(key);

	while (place != NO_SLOT && memcmp(slot_at(place)->key, key, HONE_DIGEST_BYTES) != 0)
		place = slot_at(place)->next;
	return place;
}

/* No longer found by anybody who looks for rows; exclusive. */
static void
take_from_lru(Slot *slot)
{
	if (slot->state != SLOT_READY && slot->state != SLOT_TOO_LARGE)
		return;
	dlist_delete(&slot->lru);
	if (slot->state != SLOT_READY)
		return;
	store->results--;
	store->used -= slot->bytes;
	if (DsaPointerIsValid(slot->rows))
		dsa_free(area, slot->rows);
	slot->rows = InvalidDsaPointer;
	slot->bytes = 0;
}

static void
release(uint32 place)
{
	Slot	   *slot = slot_at(place);
	uint32	   *link = head_of(slot->key);

	take_from_lru(slot);
	while (*link != place)
		link = &slot_at(*link)->next;
	*link = slot->next;
	slot->state = SLOT_FREE;
	slot->run = 0;
	slot->next = store->free;
	store->free = place;
}

/* The one that was used least recently; false: there is none. */
static bool
evict(void)
{
	Slot	   *slot;

	if (dlist_is_empty(&store->lru))
		return false;
	slot = dlist_tail_element(Slot, lru, &store->lru);
	release(slot - slot_at(0));
	hone_cache_count(evictions);
	return true;
}

/* Rows that nobody may have any more lie at the end sooner or later. */
static void
sweep(TimestampTz now)
{
	for (int i = 0; i < SWEEP && !dlist_is_empty(&store->lru); i++)
	{
		Slot	   *slot = dlist_tail_element(Slot, lru, &store->lru);

		if (now - slot->since <= slot->ttl)
			break;
		release(slot - slot_at(0));
	}
}

static bool
is_current(const Slot *slot)
{
	for (int i = 0; i < slot->tags.count; i++)
	{
		if (pg_atomic_read_u64(&store->tags[slot->tags.places[i]]) != slot->counts[i])
			return false;
	}
	return true;
}

/*
 * Not older than the ttl when the request came, nor invalidated, nor from
 * before the clock was set back.
 */
static bool
serves(const Slot *slot, const HoneCacheRequest *request)
{
	return request->asked_at - slot->since <= request->ttl && is_current(slot) &&
		slot->since <= GetCurrentTimestamp();
}

static HoneCacheAnswer
copy_rows(Slot *slot, HoneCacheRequest *request)
{
	request->bytes = slot->bytes;
	request->rows = NULL;
	if (slot->bytes > 0)
	{
		request->rows = palloc_extended(slot->bytes, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
		if (request->rows == NULL)
			return HONE_CACHE_ALONE;
		memcpy(request->rows, dsa_get_address(area, slot->rows), slot->bytes);
	}
	SpinLockAcquire(&store->lru_lock);
	dlist_move_head(&store->lru, &slot->lru);
	SpinLockRelease(&store->lru_lock);
	return HONE_CACHE_HIT;
}

/* A run begins, in the slot of the one before or in a new one; exclusive. */
static bool
begin_run(HoneCacheRequest *request, uint32 place)
{
	Slot	   *slot;

	if (place == NO_SLOT)
	{
		uint32	   *head = head_of(request->key);

		if (store->free == NO_SLOT && !evict())
			return false;
		place = store->free;
		slot = slot_at(place);
		store->free = slot->next;
		memcpy(slot->key, request->key, HONE_DIGEST_BYTES);
		slot->next = *head;
		*head = place;
	}
	else
	{
		slot = slot_at(place);
		take_from_lru(slot);
	}
	slot->state = SLOT_RUNNING;
	slot->run = ++store->runs;
	slot->leader = HONE_MY_PROC_INDEX;
	slot->since = GetCurrentTimestamp();
	slot->ttl = request->ttl;
	slot->tags = request->tags;
	for (int i = 0; i < slot->tags.count; i++)
		slot->counts[i] = pg_atomic_read_u64(&store->tags[slot->tags.places[i]]);
	request->slot = place;
	request->run = slot->run;
	return true;
}

/* ------------------------------------------------------------------------
 * Requests
 * ------------------------------------------------------------------------
 */

static HoneCacheAnswer
look_for_rows(HoneCacheRequest *request)
{
	HoneCacheAnswer answer = HONE_CACHE_WAIT;
	uint32		place;

	LWLockAcquire(store->lock, LW_SHARED);
	place = find(request->key);
	if (place != NO_SLOT && slot_at(place)->state == SLOT_READY && serves(slot_at(place), request))
		answer = copy_rows(slot_at(place), request);
	LWLockRelease(store->lock);
	return answer;
}

static HoneCacheAnswer
look_for_run(HoneCacheRequest *request, bool may_wait)
{
	HoneCacheAnswer answer = HONE_CACHE_LEAD;
	uint32		place;
	Slot	   *slot;

	LWLockAcquire(store->lock, LW_EXCLUSIVE);
	place = find(request->key);
	slot = place == NO_SLOT ? NULL : slot_at(place);
	if (slot != NULL && serves(slot, request))
	{
		if (slot->state == SLOT_READY)
			answer = copy_rows(slot, request);
		else if (slot->state == SLOT_TOO_LARGE || !may_wait)
			answer = HONE_CACHE_ALONE;
		else
		{
			answer = HONE_CACHE_WAIT;
			request->slot = place;
			request->run = slot->run;
		}
	}
	/* What runs for a result that nobody may have any more is overtaken. */
	if (answer == HONE_CACHE_LEAD && !begin_run(request, place))
		answer = HONE_CACHE_ALONE;
	LWLockRelease(store->lock);
	if (answer == HONE_CACHE_LEAD && slot != NULL)
		ConditionVariableBroadcast(&slot->ended);
	return answer;
}

HoneCacheAnswer
hone_store_look(HoneCacheRequest *request, bool may_wait)
{
	HoneCacheAnswer answer = look_for_rows(request);

	return answer == HONE_CACHE_WAIT ? look_for_run(request, may_wait) : answer;
}

static bool
is_running(const HoneCacheRequest *request, int *leader)
{
	Slot	   *slot = slot_at(request->slot);
	bool		running;

	LWLockAcquire(store->lock, LW_SHARED);
	running = slot->state == SLOT_RUNNING && slot->run == request->run;
	*leader = slot->leader;
	LWLockRelease(store->lock);
	return running;
}

/*
 * A leader who waits for a lock may wait for one of ours, and no deadlock
 * detector knows that we wait for him.
 */
bool
hone_store_wait(const HoneCacheRequest *request)
{
	ConditionVariable *ended = &slot_at(request->slot)->ended;
	bool		in_vain = false;
	int			leader;

	ConditionVariablePrepareToSleep(ended);
	while (!in_vain && is_running(request, &leader))
	{
		if (ConditionVariableTimedSleep(ended, DeadlockTimeout, PG_WAIT_EXTENSION))
			in_vain = ProcGlobal->allProcs[leader].waitStatus == PROC_WAIT_STATUS_WAITING;
	}
	ConditionVariableCancelSleep();
	return !in_vain;
}

Size
hone_store_largest(void)
{
	return store->limit / 4;
}

/* Is it still the run that we lead? */
static Slot *
led(const HoneCacheRequest *request)
{
	Slot	   *slot = slot_at(request->slot);

	return slot->state == SLOT_RUNNING && slot->run == request->run ? slot : NULL;
}

/*
 * Room for so many bytes, whatever has to go for it. Without HUGE a gigabyte
 * would throw, and its run never end.
 */
static dsa_pointer
allocate(Size bytes)
{
	dsa_pointer pointer = InvalidDsaPointer;

	while (!DsaPointerIsValid(pointer))
	{
		if (store->used + bytes <= store->limit)
			pointer = dsa_allocate_extended(area, bytes, DSA_ALLOC_HUGE | DSA_ALLOC_NO_OOM);
		if (!DsaPointerIsValid(pointer) && !evict())
			break;
	}
	if (DsaPointerIsValid(pointer))
		store->used += bytes;
	return pointer;
}

/* The rows are in place; false: nobody may have them. */
static bool
publish(const HoneCacheRequest *request, SlotState state, dsa_pointer rows, Size bytes)
{
	Slot	   *slot = led(request);
	bool		current = slot != NULL && is_current(slot);

	if (!current)
	{
		hone_cache_count(outdated);
		if (slot != NULL)
			release(request->slot);
		return false;
	}
	slot->state = state;
	slot->rows = rows;
	slot->bytes = bytes;
	if (state == SLOT_READY)
		store->results++;
	dlist_push_head(&store->lru, &slot->lru);
	return true;
}

void
hone_store_keep(const HoneCacheRequest *request, const char *rows, Size bytes)
{
	dsa_pointer pointer = InvalidDsaPointer;
	bool		room = true;

	if (bytes > 0)
	{
		/* Copying is slow enough to be done without the lock. */
		LWLockAcquire(store->lock, LW_EXCLUSIVE);
		sweep(GetCurrentTimestamp());
		pointer = allocate(bytes);
		LWLockRelease(store->lock);
		room = DsaPointerIsValid(pointer);
		if (room)
			memcpy(dsa_get_address(area, pointer), rows, bytes);
	}
	if (!room)
	{
		hone_cache_count(failures);
		hone_store_abandon(request);
		return;
	}

	LWLockAcquire(store->lock, LW_EXCLUSIVE);
	if (!publish(request, SLOT_READY, pointer, bytes) && DsaPointerIsValid(pointer))
	{
		dsa_free(area, pointer);
		store->used -= bytes;
	}
	LWLockRelease(store->lock);
	ConditionVariableBroadcast(&slot_at(request->slot)->ended);
}

void
hone_store_too_large(const HoneCacheRequest *request)
{
	hone_cache_count(too_large);
	LWLockAcquire(store->lock, LW_EXCLUSIVE);
	(void) publish(request, SLOT_TOO_LARGE, InvalidDsaPointer, 0);
	LWLockRelease(store->lock);
	ConditionVariableBroadcast(&slot_at(request->slot)->ended);
}

void
hone_store_abandon(const HoneCacheRequest *request)
{
	LWLockAcquire(store->lock, LW_EXCLUSIVE);
	if (led(request) != NULL)
		release(request->slot);
	LWLockRelease(store->lock);
	ConditionVariableBroadcast(&slot_at(request->slot)->ended);
}

void
hone_store_invalidate(uint32 place)
{
	pg_atomic_fetch_add_u64(&store->tags[place], 1);
}

void
hone_store_usage(int64 *results, int64 *bytes)
{
	LWLockAcquire(store->lock, LW_SHARED);
	*results = store->results;
	*bytes = store->used;
	LWLockRelease(store->lock);
}

/* A wait that no one sees the end of, and that a double holds exactly. */
#define LONGEST_WAIT		((double) (INT64CONST(1) << 62))

int64
hone_cache_microseconds(const Interval *interval)
{
	double		microseconds = (double) interval->time +
	((double) interval->day + (double) interval->month * DAYS_PER_MONTH) * USECS_PER_DAY;

	/* the cast of what does not fit is undefined */
	return (int64) Max(-LONGEST_WAIT, Min(LONGEST_WAIT, microseconds));
}
