/*-------------------------------------------------------------------------
 *
 * store.h
 *	  Results of queries in shared memory: who has one, who makes one, who
 *	  waits for it.
 *
 * Lock order: the store's lock, then the spinlock of the LRU list, or the
 * locks of the DSA area. None is held while a query runs or somebody sleeps.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CACHE_STORE_H
#define HONE_CACHE_STORE_H

#include "datatype/timestamp.h"
#include "lib/ilist.h"
#include "port/atomics.h"

#include "cache/digest.h"

/* Tags of one result; and in how many counters those of all are counted. */
#define HONE_CACHE_TAGS			8
#define HONE_CACHE_COUNTERS		8192

/* Whose tags: the place of a counter. One more for the database itself. */
typedef struct HoneCacheTags
{
	int			count;
	uint32		places[HONE_CACHE_TAGS + 1];
} HoneCacheTags;

/* What a session asks for. */
typedef struct HoneCacheRequest
{
	uint8		key[HONE_DIGEST_BYTES];
	HoneCacheTags tags;
	int64		ttl;			/* microseconds */
	TimestampTz asked_at;

	/* set by hone_store_look */
	uint32		slot;
	uint64		run;
	char	   *rows;			/* jsonb values, each at a MAXALIGN place */
	Size		bytes;
} HoneCacheRequest;

typedef enum HoneCacheAnswer
{
	HONE_CACHE_HIT,				/* rows and bytes are set, in this context */
	HONE_CACHE_LEAD,			/* run it, then keep or abandon */
	HONE_CACHE_WAIT,			/* hone_store_wait, then look again */
	HONE_CACHE_ALONE			/* run it, nothing is to be kept */
} HoneCacheAnswer;

typedef struct HoneCacheCounters
{
	pg_atomic_uint64 hits;
	pg_atomic_uint64 misses;
	pg_atomic_uint64 waits;
	pg_atomic_uint64 handed_over;
	pg_atomic_uint64 bypassed;
	pg_atomic_uint64 outdated;
	pg_atomic_uint64 too_large;
	pg_atomic_uint64 evictions;
	pg_atomic_uint64 invalidations;
	pg_atomic_uint64 failures;
} HoneCacheCounters;

/* In kB; 0: nothing is kept, and nobody waits. */
extern int	hone_cache_memory_kb;

/* Of this server; NULL when the library is not preloaded. */
extern HoneCacheCounters *hone_cache_counters;

#define hone_cache_count(counter) \
	pg_atomic_fetch_add_u64(&hone_cache_counters->counter, 1)

extern void hone_store_define_settings(void);

/* From the hooks for shared memory. */
extern void hone_store_request(void);
extern void hone_store_startup(void);

/* Is there memory for results, and may this process use it? */
extern bool hone_store_ready(void);

/* What there is for this request; 'may_wait': for a run of others. */
extern HoneCacheAnswer hone_store_look(HoneCacheRequest *request, bool may_wait);

/*
 * Until the run that hone_store_look found has ended; false: it is no use to
 * wait, since the session that runs it waits for a lock itself.
 */
extern bool hone_store_wait(const HoneCacheRequest *request);

/* The largest result that is kept. */
extern Size hone_store_largest(void);

/*
 * The run led is over: keep its rows if no tag was invalidated meanwhile.
 */
extern void hone_store_keep(const HoneCacheRequest *request, const char *rows, Size bytes);

/* It is over, and its rows are more than hone_store_largest. */
extern void hone_store_too_large(const HoneCacheRequest *request);

/* It has failed. Throws nothing, allocates nothing. */
extern void hone_store_abandon(const HoneCacheRequest *request);

/* Whatever has the tag whose counter is there is out of date from now on. */
extern void hone_store_invalidate(uint32 place);

extern void hone_store_usage(int64 *results, int64 *bytes);

/*
 * Microseconds of an interval, months of 30 days; no more than some hundred
 * thousand years (an infinite one, from 17 on, has the greatest fields).
 */
extern int64 hone_cache_microseconds(const Interval *interval);

#endif							/* HONE_CACHE_STORE_H */
