/*-------------------------------------------------------------------------
 *
 * shared.h
 *	  The shared statistics: what lies in shared memory and who may touch it.
 *	  Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_SHARED_H
#define HONE_STATS_SHARED_H

#include "port/atomics.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/dsa.h"
#include "utils/timestamp.h"

#include "common/hone.h"
#include "stats/histogram.h"
#include "stats/stats.h"

/* Shown as the text of what counts under queryid 0. */
#define HONE_OTHER_TEXT			"<other>"

#define HONE_STATS_PARTITIONS	64
#define HONE_STATS_RESETS		64	/* remembered calls of reset() */

typedef enum HoneStatsKind
{
	HONE_STATS_QUERY = 1,
	HONE_STATS_ERROR,
	HONE_STATS_TEXT,
	HONE_STATS_SESSION,			/* ended sessions: calls, and their length */
	HONE_STATS_SAMPLE			/* calls with their parameters */
} HoneStatsKind;

/*
 * Zeroed before use: compared with memcmp. Texts and samples have neither user
 * nor level.
 * A query with queryid 0 is the <other> of its database (or, with database 0,
 * of all that have none): calls that found no room, and evicted entries.
 */
typedef struct HoneStatsKey
{
	uint64		queryid;
	Oid			dbid;
	Oid			userid;
	int32		sqlstate;		/* of errors; else 0 */
	uint16		kind;			/* HoneStatsKind */
	uint16		toplevel;
} HoneStatsKey;

/* Entries that are a HoneStatsQuery. */
#define HONE_STATS_HAS_PARTS(kind) \
	((kind) == HONE_STATS_QUERY || (kind) == HONE_STATS_SESSION)

/* Nodes that only say what a query is. */
#define HONE_STATS_IS_TEXT(kind) \
	((kind) == HONE_STATS_TEXT || (kind) == HONE_STATS_SAMPLE)

/* What a running statement was found doing; see hone_collector_main(). */
typedef enum HoneWaitKind
{
	HONE_WAIT_NONE,				/* on a processor, or ready for one */
	HONE_WAIT_IO,
	HONE_WAIT_LOCK,				/* lock manager, buffer pin */
	HONE_WAIT_CLIENT,
	HONE_WAIT_OTHER
} HoneWaitKind;

#define HONE_WAIT_KINDS		(HONE_WAIT_OTHER + 1)

/* Sums over calls. Adding two of them is hone_stats_counters_add(). */
typedef struct HoneStatsCounters
{
	int64		calls;
	int64		errors;
	int64		rows;
	uint64		total_ns;
	uint64		min_ns;			/* valid when calls > 0 */
	uint64		max_ns;
	double		mean_ns;		/* Welford's running mean ... */
	double		m2_ns;			/* ... and sum of squared deviations */
	int64		plans;
	uint64		plan_ns;
	int64		shared_hit;		/* blocks */
	int64		shared_read;
	int64		shared_dirtied;
	int64		shared_written;
	int64		temp_read;
	int64		temp_written;
	uint64		blk_read_ns;	/* 0 unless track_io_timing */
	uint64		blk_write_ns;
	uint64		wal_bytes;
	int64		sampled_calls;	/* calls with rusage, their elapsed time ... */
	uint64		sampled_ns;
	uint64		sampled_user_us;	/* ... and their CPU time */
	uint64		sampled_sys_us;
	int64		reads;			/* calls of SELECT ... */
	int64		writes;			/* ... and of INSERT, UPDATE, DELETE, MERGE */
	uint64		waits[HONE_WAIT_KINDS]; /* samples of the collector */
	TimestampTz first_seen;
	TimestampTz last_seen;
} HoneStatsCounters;

/* First part of everything in the hash table. */
typedef struct HoneStatsNode
{
	dsa_pointer next;
	Size		bytes;			/* as accounted in used_bytes */
	TimestampTz last_seen;
	HoneStatsKey key;
} HoneStatsNode;

/* Numbers with their histogram, which takes memory as it fills. */
typedef struct HoneStatsPart
{
	HoneStatsCounters counters;
	dsa_pointer histogram;		/* capacity counts, then capacity buckets */
	int			used;
	int			capacity;
} HoneStatsPart;

/*
 * The sum of all parts is what readers see. 'fresh' is what has come since the
 * numbers were last written to the history; 'kept' is what the history has;
 * 'writing' is what a transaction is just writing there: it becomes kept when
 * that commits, fresh again when it does not. The latter two are made when
 * they are needed.
 */
typedef struct HoneStatsQuery
{
	HoneStatsNode node;
	HoneStatsPart fresh;
	dsa_pointer kept;			/* HoneStatsPart */
	dsa_pointer writing;		/* HoneStatsPart */
} HoneStatsQuery;

#define HONE_STATS_PARTS	3

typedef struct HoneStatsError
{
	HoneStatsNode node;
	int64		count;
} HoneStatsError;

typedef struct HoneStatsText
{
	HoneStatsNode node;
	int			encoding;		/* of the database it came from */
	int			text_length;	/* normalised, with its terminating zero */
	int			sample_length;	/* as sent, with its terminating zero; 0 =
								 * none */
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} HoneStatsText;

#define HONE_STATS_SLOW_SAMPLES		3
#define HONE_STATS_RECENT_SAMPLES	3
#define HONE_STATS_SAMPLES	(HONE_STATS_SLOW_SAMPLES + HONE_STATS_RECENT_SAMPLES)

typedef struct HoneStatsSamplePlace
{
	dsa_pointer sample;			/* a HoneSample (samples.h), or invalid */
	Size		capacity;		/* bytes it was allocated with */
} HoneStatsSamplePlace;

/* Calls of a query: the slow ones first, then the recent ones. */
typedef struct HoneStatsSamples
{
	HoneStatsNode node;
	HoneStatsSamplePlace places[HONE_STATS_SAMPLES];
} HoneStatsSamples;

typedef struct HoneStatsReset
{
	uint32		epoch;			/* the one this reset began */
	bool		all;
	uint64		queryid;
} HoneStatsReset;

/*
 * Locks, in the order in which they may be taken:
 *
 * flush_lock: SHARED by whoever moves pending counts into the table, and by
 *		readers; EXCLUSIVE by reset().
 * partition[i]: the buckets with number % HONE_STATS_PARTITIONS == i, their
 *		chains and all the nodes in them. A count moves from a slot into the
 *		table under it, so a reader that holds it SHARED while it looks into
 *		the partition and into the slots sees each count once. One at a time;
 *		so a count that goes to an <other>, for lack of room or evicted while
 *		a reader is between the two partitions, that reader sees twice or not
 *		at all.
 * the DSA area's own lock, inside dsa_allocate and dsa_free.
 *
 * No statement waits for a reader: flushing leaves pending what it finds
 * locked. No lock is held across anything that can run user code, wait for another
 * lock, or, while something is half done, raise an error.
 */
typedef struct HoneStatsShared
{
	LWLockPadded *locks;		/* flush_lock, then the partitions */
	uint32		bucket_count;	/* a power of two */
	int			slot_count;
	Size		memory_limit;	/* what nodes and slots may take */
	TimestampTz promoted_at;	/* when the server stopped being a standby */
	bool		standby;		/* it is one, or the collector does not know
								 * better yet */
	TimestampTz since;			/* counted since: first start, or reset() */
	pg_atomic_uint64 used_bytes;
	pg_atomic_uint64 slot_bytes;
	pg_atomic_uint64 entries;	/* nodes of kind query */
	pg_atomic_uint64 texts;
	pg_atomic_uint64 evictions;
	pg_atomic_uint64 dropped;	/* records lost: no room even in pending */
	pg_atomic_uint64 other_calls;	/* counted under <other> */
	pg_atomic_uint64 unbucketed;	/* calls missing from a histogram */
	pg_atomic_uint64 texts_dropped; /* no room for a text or a sample */
	pg_atomic_uint64 internal_errors;
	pg_atomic_uint64 last_flush;	/* TimestampTz of anybody's last flush */
	pg_atomic_uint64 last_save; /* TimestampTz of the last saved file; 0 */
	pg_atomic_uint64 wait_samples;
	pg_atomic_uint32 wants_room;	/* nearly full: the collector is to evict */
	pg_atomic_uint32 refused;	/* by the area, though within the limit */
	pg_atomic_uint32 changed;	/* since the last save */
	pg_atomic_uint32 save_now;	/* the saved file must not outlive a reset */
	Latch	   *collector;		/* of the collector while it runs */
	slock_t		slots_lock;		/* of the list of slots that nobody has */
	dsa_pointer free_slots;
	pg_atomic_uint32 text_epoch;	/* bumped when texts go */
	pg_atomic_uint32 reset_epoch;	/* bumped under flush_lock EXCLUSIVE */
	HoneStatsReset resets[HONE_STATS_RESETS];	/* under flush_lock */
	/* then: dsa_pointer buckets[], dsa_pointer slots[], the area */
} HoneStatsShared;

extern HoneStatsShared *hone_stats_shared;	/* NULL unless preloaded */
extern dsa_area *hone_stats_area;	/* NULL until attached */

/* Set while the exit callback counts: attaching is still allowed. */
extern bool hone_stats_leaving;

/* Settings. */
extern int	hone_max_memory_kb;
extern int	hone_flush_interval_ms;
extern int	hone_stats_text_size;
extern int	hone_history_interval_s;

/* Install the shared memory hooks (preloaded only). */
extern void hone_stats_shared_init(void);

/*
 * Map the area in this process, once. False when not preloaded or too early
 * in the life of the process. May run out of local memory (throws).
 */
extern bool hone_stats_attach(void);

#define hone_stats_flush_lock()		(&hone_stats_shared->locks[0].lock)

/*
 * The slot pointer of a process number, invalid while no backend that has a
 * slot has this number. Its owner sets it; readers may hold on to a slot that
 * has just got another owner, who finds it empty.
 */
extern dsa_pointer *hone_stats_slot(int index);

extern void hone_stats_key_init(HoneStatsKey *key, HoneStatsKind kind,
								Oid dbid, Oid userid, uint64 queryid,
								bool toplevel, int sqlstate);

/* Bucket number of a (database, query): all its nodes are in one chain. */
extern uint32 hone_stats_bucket(Oid dbid, uint64 queryid);
extern LWLock *hone_stats_partition_lock(uint32 bucket);
extern dsa_pointer *hone_stats_chain(uint32 bucket);

/*
 * The nodes of a bucket, whose lock is held: its first one, and the one after
 * a node; NULL at the end.
 */
static inline HoneStatsNode *
hone_stats_node_at(dsa_pointer pointer)
{
	return DsaPointerIsValid(pointer) ? dsa_get_address(hone_stats_area, pointer) : NULL;
}

static inline HoneStatsNode *
hone_stats_first(uint32 bucket)
{
	return hone_stats_node_at(*hone_stats_chain(bucket));
}

static inline HoneStatsNode *
hone_stats_next(const HoneStatsNode *node)
{
	return hone_stats_node_at(node->next);
}

/* Take a lock; with wait false only if it is free, else false. */
static inline bool
hone_stats_lock(LWLock *lock, LWLockMode mode, bool wait)
{
	if (!wait)
		return LWLockConditionalAcquire(lock, mode);
	LWLockAcquire(lock, mode);
	return true;
}

/* The node with this key in a bucket whose lock is held, or NULL. */
extern HoneStatsNode *hone_stats_find(uint32 bucket, const HoneStatsKey *key);

/* Has the query an entry, of any role and level? The bucket's lock is held. */
extern bool hone_stats_has_numbers(Oid dbid, uint64 queryid);

/*
 * A new zeroed node at the head of the bucket, whose lock is held
 * exclusively; NULL when the memory is full.
 */
extern HoneStatsNode *hone_stats_insert(uint32 bucket, const HoneStatsKey *key,
										Size size);

/* Unlink and free *link, the bucket's lock held exclusively. */
extern void hone_stats_delete(dsa_pointer *link);

/* Allocation within hone.max_memory, accounted. Never throws. */
extern dsa_pointer hone_stats_allocate(Size size);
extern void hone_stats_free(dsa_pointer pointer, Size size);

/*
 * Add numbers to a part, its partition's lock held exclusively. Buckets that
 * find no memory are lost from the histogram, and counted as such.
 */
extern void hone_stats_part_add(HoneStatsPart *part,
								const HoneStatsCounters *counters,
								const HoneHistogram *histogram);

/* A part's histogram where it lies; valid while the lock is held. */
extern void hone_stats_part_histogram(const HoneStatsPart *part,
									  HoneHistogram *view);

/* The parts that have been, or are just being, written to the history, or NULL. */
extern HoneStatsPart *hone_stats_kept(const HoneStatsQuery *query);
extern HoneStatsPart *hone_stats_writing(const HoneStatsQuery *query);

/* All parts that there are, fresh first; returns their number. */
extern int	hone_stats_parts(const HoneStatsQuery *query,
							 const HoneStatsPart *parts[HONE_STATS_PARTS]);

/*
 * Fresh becomes writing; false when there is no memory, or something is being
 * written already. Then what was being written becomes kept, or fresh again.
 */
extern bool hone_stats_begin_writing(HoneStatsQuery *query);
extern void hone_stats_end_writing(HoneStatsQuery *query, bool written);

/* The same, made if need be; NULL when the memory is full. */
extern HoneStatsPart *hone_stats_make_kept(HoneStatsQuery *query);

/* New numbers of a query or of sessions. */
extern void hone_stats_query_add(HoneStatsQuery *query,
								 const HoneStatsCounters *counters,
								 const HoneHistogram *histogram);

/*
 * Add to the entry with this key, made if need be; where there is no room to
 * the <other> of its database. Takes and releases the partition's lock.
 * wait false: gives up, false, where the lock is not free. counted, which may
 * be NULL, is called while the lock is still held.
 */
extern bool hone_stats_add(const HoneStatsKey *key,
						   const HoneStatsCounters *counters,
						   const HoneHistogram *histogram, bool wait,
						   void (*counted) (void *arg), void *arg);

/*
 * Make the <other> of a database, with some room for its histogram, so that
 * it is there when there is no room. wait false: false where the lock is held.
 */
extern bool hone_stats_create_other(Oid dbid, bool wait);

extern void hone_stats_counters_add(HoneStatsCounters *to,
									const HoneStatsCounters *from);

/* Has reset() been called for this query since 'epoch'? flush_lock held. */
extern bool hone_stats_was_reset(uint32 epoch, uint64 queryid);

/* Has reset() been called for everything since 'epoch'? No lock is needed. */
extern bool hone_stats_all_reset(uint32 epoch);

#endif							/* HONE_STATS_SHARED_H */
