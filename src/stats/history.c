/*-------------------------------------------------------------------------
 *
 * history.c
 *	  From the shared table to rows for the history.
 *
 * hone._history_take() turns what is fresh in this database into rows. While
 * its transaction runs, those numbers are the entries' 'writing' part, so that
 * readers see each call once; the end of the transaction makes them kept, or
 * fresh again. The callback takes locks in a commit: it is the worker's own,
 * not a user's. The rows are visible a little before it: a lock in the lock
 * manager, given back after it, tells readers of the history.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "stats/encoding.h"
#include "stats/history.h"
#include "stats/pending.h"
#include "stats/row.h"
#include "stats/snapshot.h"

PG_FUNCTION_INFO_V1(hone_history_begin);
PG_FUNCTION_INFO_V1(hone_history_take);
PG_FUNCTION_INFO_V1(hone_history_live);

/* Sub-id of the writers' lock on the extension. */
#define WRITERS_SUBID	2

/* Entries that are taken under one hold of their partition's lock. */
#define TAKEN_AT_ONCE	32

/* Keys of the entries whose numbers this transaction writes. */
static HoneStatsKey *taken = NULL;
static int	taken_count = 0;
static int	taken_capacity = 0;
static bool may_take = false;
static TimestampTz take_from = 0;

void
hone_history_allow_take(TimestampTz from)
{
	may_take = true;
	take_from = from;
}

void
hone_history_forbid_take(void)
{
	may_take = false;
}

/* In the lock manager, beside the movers' locks: no user's function gets there. */
static void
set_writers_tag(LOCKTAG *tag)
{
	SET_LOCKTAG_OBJECT(*tag, MyDatabaseId, ExtensionRelationId, hone_extension_oid(),
					   WRITERS_SUBID);
}

void
hone_history_begin_writing(void)
{
	LOCKTAG		tag;

	set_writers_tag(&tag);
	(void) LockAcquire(&tag, AccessExclusiveLock, false, false);
}

bool
hone_history_is_writing(void)
{
	LOCKTAG		tag;
	bool		free;

	set_writers_tag(&tag);
	free = LockAcquire(&tag, AccessShareLock, false, true) != LOCKACQUIRE_NOT_AVAIL;
	if (!free)
		(void) LockAcquire(&tag, AccessShareLock, false, false);
	LockRelease(&tag, AccessShareLock, false);
	return !free;
}

static void
end_writing(const HoneStatsKey *key, bool written)
{
	uint32		bucket = hone_stats_bucket(key->dbid, key->queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	HoneStatsQuery *query;

	LWLockAcquire(lock, LW_EXCLUSIVE);
	query = (HoneStatsQuery *) hone_stats_find(bucket, key);
	if (query != NULL)
		hone_stats_end_writing(query, written);
	LWLockRelease(lock);
}

static void
end_transaction(XactEvent event, void *arg)
{
	if (taken_count == 0 || (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT))
		return;
	for (int i = 0; i < taken_count; i++)
		end_writing(&taken[i], event == XACT_EVENT_COMMIT);
	taken_count = 0;
}

static void
end_subtransaction(SubXactEvent event, SubTransactionId mySubid,
				   SubTransactionId parentSubid, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_transaction(XACT_EVENT_ABORT, NULL);
}

/* Room for so many keys; before a lock is taken. */
static void
enlarge_taken(int wanted)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(end_transaction, NULL);
		RegisterSubXactCallback(end_subtransaction, NULL);
		registered = true;
	}
	if (wanted <= taken_capacity)
		return;
	if (taken == NULL)
		taken = MemoryContextAlloc(TopMemoryContext, wanted * sizeof(HoneStatsKey));
	else
		taken = repalloc_huge(taken, (Size) wanted * sizeof(HoneStatsKey));
	taken_capacity = wanted;
}

static bool
is_here(const HoneStatsNode *node)
{
	return HONE_STATS_HAS_PARTS(node->key.kind) && node->key.dbid == MyDatabaseId;
}

/* Number of this database's entries in a partition, whose lock is held. */
static int
count_entries(int partition)
{
	int			count = 0;

	for (uint32 i = partition; i < hone_stats_shared->bucket_count; i += HONE_STATS_PARTITIONS)
	{
		for (HoneStatsNode *node = hone_stats_first(i); node != NULL;
			 node = hone_stats_next(node))
		{
			count += is_here(node);
		}
	}
	return count;
}

/*
 * What is fresh in a bucket is being written from now on; what is older than
 * this database's history counts as written.
 */
static void
take_bucket(uint32 bucket)
{
	for (HoneStatsNode *node = hone_stats_first(bucket); node != NULL && taken_count < taken_capacity;
		 node = hone_stats_next(node))
	{
		HoneStatsQuery *query = (HoneStatsQuery *) node;

		if (is_here(node) && query->fresh.counters.calls + query->fresh.counters.plans > 0 &&
			hone_stats_begin_writing(query))
		{
			if (hone_stats_writing(query)->counters.first_seen < take_from)
				hone_stats_end_writing(query, true);
			else
				taken[taken_count++] = node->key;
		}
	}
}

static void
take_partition(int partition)
{
	LWLock	   *lock = hone_stats_partition_lock(partition);
	int			count;

	LWLockAcquire(lock, LW_SHARED);
	count = count_entries(partition);
	LWLockRelease(lock);
	if (count == 0)
		return;
	enlarge_taken(taken_count + count + 16);

	/*
	 * What has come in between and finds no room is taken next time. Each
	 * entry allocates, where it may wait: not too many under one hold.
	 */
	for (uint32 i = partition; i < hone_stats_shared->bucket_count;)
	{
		int			until = taken_count + TAKEN_AT_ONCE;

		LWLockAcquire(lock, LW_EXCLUSIVE);
		for (; i < hone_stats_shared->bucket_count && taken_count < until;
			 i += HONE_STATS_PARTITIONS)
			take_bucket(i);
		LWLockRelease(lock);
	}
}

TimestampTz
hone_history_first_seen(void)
{
	TimestampTz first = GetCurrentTimestamp();

	if (!hone_stats_attach())
		return first;
	for (uint32 i = 0; i < hone_stats_shared->bucket_count; i++)
	{
		LWLock	   *lock = hone_stats_partition_lock(i);
		HoneStatsNode *node;

		if (!DsaPointerIsValid(*hone_stats_chain(i)))
			continue;
		LWLockAcquire(lock, LW_SHARED);
		for (node = hone_stats_first(i); node != NULL; node = hone_stats_next(node))
		{
			if (is_here(node) && ((HoneStatsQuery *) node)->fresh.counters.first_seen != 0)
				first = Min(first, ((HoneStatsQuery *) node)->fresh.counters.first_seen);
		}
		LWLockRelease(lock);
	}
	return first;
}

static void
put_latency(HoneRow *row, const HoneStatsCounters *c)
{
	hone_put_ms(row, (double) c->total_ns);
	if (c->calls > 0)
	{
		hone_put_ms(row, (double) c->min_ns);
		hone_put_ms(row, (double) c->max_ns);
	}
	else
	{
		hone_put_null(row);
		hone_put_null(row);
	}
	hone_put(row, Float8GetDatum(Max(c->m2_ns, 0) / 1e12));
}

static Datum
waits_array(const HoneStatsCounters *c)
{
	Datum		waits[HONE_WAIT_KINDS];

	for (int i = 0; i < HONE_WAIT_KINDS; i++)
		waits[i] = Int32GetDatum((int32) Min(c->waits[i], PG_INT32_MAX));
	return PointerGetDatum(construct_array(waits, HONE_WAIT_KINDS, INT4OID, sizeof(int32),
										   true, TYPALIGN_INT));
}

static void
put_row(ReturnSetInfo *rsinfo, const HoneStatsKey *key, const HoneStatsCounters *c,
		const HoneHistogram *histogram)
{
	HoneRow		row = {.count = 0};
	const int64 blocks[] = {c->shared_hit, c->shared_read, c->shared_dirtied,
	c->shared_written, c->temp_read, c->temp_written};

	hone_put(&row, CStringGetTextDatum(key->kind == HONE_STATS_SESSION ? "session" : "query"));
	hone_put_bigint(&row, key->queryid);
	hone_put(&row, ObjectIdGetDatum(key->userid));
	hone_put(&row, BoolGetDatum(key->toplevel));
	hone_put_bigint(&row, c->calls);
	hone_put_bigint(&row, c->errors);
	hone_put_bigint(&row, c->rows);
	put_latency(&row, c);
	hone_put_bigint(&row, c->plans);
	hone_put_ms(&row, (double) c->plan_ns);
	hone_put_bigint(&row, c->reads);
	hone_put_bigint(&row, c->writes);
	for (int i = 0; i < lengthof(blocks); i++)
		hone_put_bigint(&row, blocks[i]);
	hone_put_ms(&row, (double) c->blk_read_ns);
	hone_put_ms(&row, (double) c->blk_write_ns);
	hone_put_bigint(&row, c->wal_bytes);
	hone_put_cpu(&row, c);
	hone_put(&row, waits_array(c));
	hone_put(&row, PointerGetDatum(hone_histogram_encode(histogram)));
	hone_put(&row, TimestampTzGetDatum(c->first_seen));
	hone_put_row(rsinfo, &row);
}

/* The row of what is being written of one entry, if it is still there. */
static void
put_taken(ReturnSetInfo *rsinfo, const HoneStatsKey *key, HoneHistogram *copy)
{
	uint32		bucket = hone_stats_bucket(key->dbid, key->queryid);
	LWLock	   *lock = hone_stats_partition_lock(bucket);
	HoneStatsCounters counters;
	HoneStatsQuery *query;
	HoneStatsPart *part;

	LWLockAcquire(lock, LW_SHARED);
	query = (HoneStatsQuery *) hone_stats_find(bucket, key);
	part = query != NULL ? hone_stats_writing(query) : NULL;
	if (part != NULL)
	{
		HoneHistogram view;

		counters = part->counters;
		hone_stats_part_histogram(part, &view);
		copy->used = 0;
		hone_histogram_merge(copy, &view);
	}
	LWLockRelease(lock);
	if (part != NULL)
		put_row(rsinfo, key, &counters, copy);
}

static void
begin_bucket(uint32 bucket)
{
	for (HoneStatsNode *node = hone_stats_first(bucket); node != NULL;
		 node = hone_stats_next(node))
	{
		if (is_here(node) && hone_stats_begin_writing((HoneStatsQuery *) node))
			hone_stats_end_writing((HoneStatsQuery *) node, true);
	}
}

/*
 * _history_begin(): all that is fresh counts as written. Called by the install
 * script, so it does not ask which script that is.
 */
Datum
hone_history_begin(PG_FUNCTION_ARGS)
{
	if (!hone_stats_attach())
		PG_RETURN_VOID();
	hone_pending_flush(true);
	for (uint32 i = 0; i < hone_stats_shared->bucket_count; i++)
	{
		LWLock	   *lock = hone_stats_partition_lock(i);

		if (!DsaPointerIsValid(*hone_stats_chain(i)))
			continue;
		LWLockAcquire(lock, LW_EXCLUSIVE);
		begin_bucket(i);
		LWLockRelease(lock);
	}
	PG_RETURN_VOID();
}

/* _history_take(): rows of hone.history, but for their time. */
Datum
hone_history_take(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HoneHistogram *copy;
	MemoryContext context;

	hone_require_script();
	hone_require_preload("hone._history_take");
	if (!may_take || taken_count > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("hone._history_take is a part of hone._write_history"),
				 errhint("CALL hone._write_history();")));
	InitMaterializedSRF(fcinfo, 0);
	if (!hone_stats_attach())
		return (Datum) 0;
	hone_pending_flush(true);
	copy = hone_histogram_create(HONE_HISTOGRAM_BUCKETS);
	for (int i = 0; i < HONE_STATS_PARTITIONS; i++)
		take_partition(i);

	context = AllocSetContextCreate(CurrentMemoryContext, "hone history row",
									ALLOCSET_DEFAULT_SIZES);
	for (int i = 0; i < taken_count; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		put_taken(rsinfo, &taken[i], copy);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	return (Datum) 0;
}

static void
put_live(ReturnSetInfo *rsinfo, HoneStatsKind kind)
{
	HoneSnapshotFilter filter = {.fresh = true,.kind = kind};
	HoneSnapshot *snapshot = hone_snapshot_take(&filter);
	HoneSnapshotQuery *query;

	while ((query = hone_snapshot_next_query(snapshot)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		if (query->key.dbid == MyDatabaseId &&
			query->counters.calls + query->counters.plans > 0)
			put_row(rsinfo, &query->key, &query->counters, query->histogram);
	}
}

/* _history_live(): what the history does not have yet, in the same form. */
Datum
hone_history_live(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	hone_require_script();
	hone_require_preload("hone._history_live");
	InitMaterializedSRF(fcinfo, 0);
	put_live(rsinfo, HONE_STATS_QUERY);
	put_live(rsinfo, HONE_STATS_SESSION);
	return (Datum) 0;
}
