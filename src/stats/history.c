/*-------------------------------------------------------------------------
 *
 * history.c
 *	  From the shared table to rows for the history.
 *
 * hone._history_take() turns what is fresh in this database into rows. While
 * its transaction runs, those numbers are the entries' 'writing' part, so that
 * readers see each call once; the end of the transaction makes them kept, or
 * fresh again. The callback takes locks in a commit: it is the worker's own,
 * not a user's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "stats/encoding.h"
#include "stats/history.h"
#include "stats/pending.h"
#include "stats/snapshot.h"

PG_FUNCTION_INFO_V1(hone_history_take);
PG_FUNCTION_INFO_V1(hone_history_live);

#define FIGURES		29

/* Keys of the entries whose numbers this transaction writes. */
static HoneStatsKey *taken = NULL;
static int	taken_count = 0;
static int	taken_capacity = 0;
static bool may_take = false;

void
hone_history_allow_take(bool allow)
{
	may_take = allow;
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

/* Room for one more key; before a lock is taken. */
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
		dsa_pointer pointer = *hone_stats_chain(i);

		while (DsaPointerIsValid(pointer))
		{
			HoneStatsNode *node = dsa_get_address(hone_stats_area, pointer);

			count += is_here(node);
			pointer = node->next;
		}
	}
	return count;
}

/* What is fresh in a bucket is being written from now on. */
static void
take_bucket(uint32 bucket)
{
	dsa_pointer pointer = *hone_stats_chain(bucket);

	while (DsaPointerIsValid(pointer) && taken_count < taken_capacity)
	{
		HoneStatsNode *node = dsa_get_address(hone_stats_area, pointer);
		HoneStatsQuery *query = (HoneStatsQuery *) node;

		if (is_here(node) && query->fresh.counters.calls + query->fresh.counters.plans > 0 &&
			hone_stats_begin_writing(query))
			taken[taken_count++] = node->key;
		pointer = node->next;
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

	/* What has come in between and finds no room is taken next time. */
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (uint32 i = partition; i < hone_stats_shared->bucket_count; i += HONE_STATS_PARTITIONS)
		take_bucket(i);
	LWLockRelease(lock);
}

TimestampTz
hone_history_first_seen(void)
{
	TimestampTz first = GetCurrentTimestamp();

	for (uint32 i = 0; i < hone_stats_shared->bucket_count; i++)
	{
		LWLock	   *lock = hone_stats_partition_lock(i);
		dsa_pointer pointer;

		if (!DsaPointerIsValid(*hone_stats_chain(i)))
			continue;
		LWLockAcquire(lock, LW_SHARED);
		pointer = *hone_stats_chain(i);
		while (DsaPointerIsValid(pointer))
		{
			HoneStatsNode *node = dsa_get_address(hone_stats_area, pointer);

			if (is_here(node) && ((HoneStatsQuery *) node)->fresh.counters.first_seen != 0)
				first = Min(first, ((HoneStatsQuery *) node)->fresh.counters.first_seen);
			pointer = node->next;
		}
		LWLockRelease(lock);
	}
	return first;
}

typedef struct HistoryRow
{
	Datum		values[FIGURES];
	bool		nulls[FIGURES];
	int			count;
} HistoryRow;

static void
put(HistoryRow *row, Datum value)
{
	row->values[row->count++] = value;
}

static void
put_null(HistoryRow *row)
{
	row->nulls[row->count++] = true;
}

static void
put_ms(HistoryRow *row, double ns)
{
	put(row, Float8GetDatum(ns / 1e6));
}

static void
put_latency(HistoryRow *row, const HoneStatsCounters *c)
{
	put_ms(row, (double) c->total_ns);
	if (c->calls > 0)
	{
		put_ms(row, (double) c->min_ns);
		put_ms(row, (double) c->max_ns);
	}
	else
	{
		put_null(row);
		put_null(row);
	}
	put(row, Float8GetDatum(Max(c->m2_ns, 0) / 1e12));
}

static void
put_cpu(HistoryRow *row, const HoneStatsCounters *c)
{
	double		factor;

	if (c->sampled_ns == 0)
	{
		put_null(row);
		put_null(row);
		return;
	}
	factor = (double) c->total_ns / c->sampled_ns / 1e3;
	put(row, Float8GetDatum(c->sampled_user_us * factor));
	put(row, Float8GetDatum(c->sampled_sys_us * factor));
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
	HistoryRow	row = {.count = 0};
	const int64 blocks[] = {c->shared_hit, c->shared_read, c->shared_dirtied,
	c->shared_written, c->temp_read, c->temp_written};

	put(&row, CStringGetTextDatum(key->kind == HONE_STATS_SESSION ? "session" : "query"));
	put(&row, Int64GetDatum((int64) key->queryid));
	put(&row, ObjectIdGetDatum(key->userid));
	put(&row, BoolGetDatum(key->toplevel));
	put(&row, Int64GetDatum(c->calls));
	put(&row, Int64GetDatum(c->errors));
	put(&row, Int64GetDatum(c->rows));
	put_latency(&row, c);
	put(&row, Int64GetDatum(c->plans));
	put_ms(&row, (double) c->plan_ns);
	put(&row, Int64GetDatum(c->reads));
	put(&row, Int64GetDatum(c->writes));
	for (int i = 0; i < lengthof(blocks); i++)
		put(&row, Int64GetDatum(blocks[i]));
	put_ms(&row, (double) c->blk_read_ns);
	put_ms(&row, (double) c->blk_write_ns);
	put(&row, Int64GetDatum((int64) c->wal_bytes));
	put_cpu(&row, c);
	put(&row, waits_array(c));
	put(&row, PointerGetDatum(hone_histogram_encode(histogram)));
	put(&row, TimestampTzGetDatum(c->first_seen));
	Assert(row.count == FIGURES && rsinfo->setDesc->natts == FIGURES);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, row.values, row.nulls);
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
