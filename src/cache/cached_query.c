/*-------------------------------------------------------------------------
 *
 * cached_query.c
 *	  hone.cached_query: one session runs it, the others get its rows.
 *
 * Whatever stands in the way of sharing, the query is run all the same: here
 * and now, for this caller alone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type_d.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/ipc.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#include "cache/invalidate.h"
#include "cache/query.h"
#include "cache/rate_limit.h"
#include "cache/store.h"
#include "common/hone.h"

/*
 * Runs of others that one call waits for. Each that fails, or is invalidated
 * before it ends, makes another one of those that waited run it; after so many
 * each runs it himself, so that no queue of failures gets long.
 */
#define MOST_WAITS		3

PG_FUNCTION_INFO_V1(hone_cached_query);
PG_FUNCTION_INFO_V1(hone_cache_stats);

/* Takes the rows of a query as jsonb. */
typedef struct RowReceiver
{
	DestReceiver pub;
	Tuplestorestate *result;
	TupleDesc	result_desc;
	TupleDesc	desc;			/* of the query's rows */
	FmgrInfo	to_jsonb;
	MemoryContext row_context;

	/* What is to be kept, one after the other. */
	bool		keeping;
	bool		too_large;
	char	   *rows;
	Size		bytes;
	Size		capacity;
	Size		largest;
} RowReceiver;

/* Calls of this session that are running a query. */
static int	depth = 0;

/* ------------------------------------------------------------------------
 * Rows
 * ------------------------------------------------------------------------
 */

static void
put_row(Tuplestorestate *result, TupleDesc desc, Jsonb *row)
{
	Datum		value = JsonbPGetDatum(row);
	bool		isnull = false;

	tuplestore_putvalues(result, desc, &value, &isnull);
}

static bool
make_room(RowReceiver *receiver, Size wanted)
{
	Size		capacity = Max(receiver->capacity, 1024);
	char	   *rows;

	if (wanted <= receiver->capacity)
		return true;
	while (capacity < wanted)
		capacity *= 2;
	rows = MemoryContextAllocExtended(receiver->row_context->parent, capacity,
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
	if (rows == NULL)
		return false;
	if (receiver->bytes > 0)
		memcpy(rows, receiver->rows, receiver->bytes);
	if (receiver->rows != NULL)
		pfree(receiver->rows);
	receiver->rows = rows;
	receiver->capacity = capacity;
	return true;
}

static void
keep_row(RowReceiver *receiver, Jsonb *row)
{
	Size		size = VARSIZE(row);
	Size		bytes = receiver->bytes + MAXALIGN(size);

	if (bytes > receiver->largest)
		receiver->too_large = true;
	if (receiver->too_large || !make_room(receiver, bytes))
	{
		receiver->keeping = false;
		if (receiver->rows != NULL)
			pfree(receiver->rows);
		receiver->rows = NULL;
		receiver->capacity = 0;
		return;
	}
	memset(receiver->rows + bytes - MAXALIGN(size), 0, MAXALIGN(size));
	memcpy(receiver->rows + receiver->bytes, row, size);
	receiver->bytes = bytes;
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->row_context);
	HeapTuple	tuple;
	Jsonb	   *row;

	slot_getallattrs(slot);
	tuple = heap_form_tuple(receiver->desc, slot->tts_values, slot->tts_isnull);
	row = DatumGetJsonbP(FunctionCall1(&receiver->to_jsonb,
									   heap_copy_tuple_as_datum(tuple, receiver->desc)));
	put_row(receiver->result, receiver->result_desc, row);
	if (receiver->keeping)
		keep_row(receiver, row);
	MemoryContextSwitchTo(old);
	MemoryContextReset(receiver->row_context);
	return true;
}

/* to_jsonb() asks the call's expression for the type of its argument. */
static void
start_rows(DestReceiver *self, int operation, TupleDesc desc)
{
	RowReceiver *receiver = (RowReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->row_context->parent);
	Node	   *call;

	receiver->desc = BlessTupleDesc(CreateTupleDescCopy(desc));
	call = (Node *) makeFuncExpr(F_TO_JSONB, JSONBOID,
								 list_make1(makeNullConst(RECORDOID, -1, InvalidOid)),
								 InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	fmgr_info(F_TO_JSONB, &receiver->to_jsonb);
	fmgr_info_set_expr(call, &receiver->to_jsonb);
	MemoryContextSwitchTo(old);
}

static void
end_rows(DestReceiver *self)
{
}

/*
 * Run the query. In READ COMMITTED with a snapshot of its own, taken now: that
 * of the statement that called us may be older than an invalidation.
 */
static void
run(const HoneCachedQuery *query, RowReceiver *receiver)
{
	SPIExecuteOptions options;
	int			code;

	receiver->pub.receiveSlot = receive_row;
	receiver->pub.rStartup = start_rows;
	receiver->pub.rShutdown = end_rows;
	receiver->pub.rDestroy = end_rows;
	/* what SPI takes for a query whose rows go elsewhere */
	receiver->pub.mydest = DestTuplestore;
	receiver->row_context = AllocSetContextCreate(CurrentMemoryContext, "rows of a cached query",
												  ALLOCSET_DEFAULT_SIZES);
	memset(&options, 0, sizeof(options));
	options.read_only = true;
	options.must_return_tuples = true;
	options.dest = &receiver->pub;
	PushActiveSnapshot(GetTransactionSnapshot());
	code = SPI_execute_plan_extended(query->plan, &options);
	if (code != SPI_OK_SELECT)
		elog(ERROR, "could not run the query: %s", SPI_result_code_string(code));
	PopActiveSnapshot();
}

static void
run_alone(const HoneCachedQuery *query, RowReceiver *receiver)
{
	hone_cache_count(bypassed);
	receiver->keeping = false;
	run(query, receiver);
}

/* Callback for a run that does not end well. */
static void
abandon(int code, Datum arg)
{
	depth = 0;
	hone_store_abandon((const HoneCacheRequest *) DatumGetPointer(arg));
}

static void
run_for_all(const HoneCachedQuery *query, const HoneCacheRequest *request,
			RowReceiver *receiver)
{
	receiver->keeping = true;
	receiver->largest = hone_store_largest();
	depth++;
	PG_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(request));
	{
		run(query, receiver);
	}
	PG_END_ENSURE_ERROR_CLEANUP(abandon, PointerGetDatum(request));
	depth--;
	if (TransactionIdIsValid(GetTopTransactionIdIfAny()))
	{
		/* A function has written, and may have seen what it wrote. */
		hone_cache_count(bypassed);
		hone_store_abandon(request);
	}
	else if (receiver->keeping)
		hone_store_keep(request, receiver->rows, receiver->bytes);
	else if (receiver->too_large)
		hone_store_too_large(request);
	else
	{
		hone_cache_count(failures);
		hone_store_abandon(request);
	}
}

static void
return_rows(const HoneCacheRequest *request, RowReceiver *receiver)
{
	for (Size at = 0; at < request->bytes;)
	{
		Jsonb	   *row = (Jsonb *) (request->rows + at);

		CHECK_FOR_INTERRUPTS();
		put_row(receiver->result, receiver->result_desc, row);
		at += MAXALIGN(VARSIZE(row));
	}
}

/* ------------------------------------------------------------------------
 * Sharing
 * ------------------------------------------------------------------------
 */

/*
 * Nobody's rows for a transaction that has written, or keeps one snapshot: it
 * would see others than its own. A query that is run by a cached query waits
 * for nobody, or two could wait for each other. What now() is in a transaction
 * that began long ago would be too old for others.
 */
static bool
may_share(const HoneCachedQuery *query, const HoneCacheRequest *request)
{
	return depth == 0 && !query->session && !IsolationUsesXactSnapshot() &&
		!TransactionIdIsValid(GetTopTransactionIdIfAny()) &&
		!(query->clock && request->asked_at - GetCurrentTransactionStartTimestamp() > request->ttl);
}

static void
share(const HoneCachedQuery *query, HoneCacheRequest *request, RowReceiver *receiver)
{
	bool		may_wait = true;

	for (int waits = 0;; waits++)
	{
		switch (hone_store_look(request, may_wait))
		{
			case HONE_CACHE_HIT:
				if (waits == 0)
					hone_cache_count(hits);
				return_rows(request, receiver);
				return;
			case HONE_CACHE_LEAD:
				if (waits == 0)
					hone_cache_count(misses);
				else
					hone_cache_count(handed_over);
				run_for_all(query, request, receiver);
				return;
			case HONE_CACHE_ALONE:
				run_alone(query, receiver);
				return;
			case HONE_CACHE_WAIT:
				if (waits == 0)
					hone_cache_count(waits);
				may_wait = hone_store_wait(request) && waits + 1 < MOST_WAITS;
				break;
		}
	}
}

/* ------------------------------------------------------------------------
 * What users call
 * ------------------------------------------------------------------------
 */

static int64
ttl_argument(const Interval *interval)
{
	int64		microseconds = hone_cache_microseconds(interval);

	if (microseconds <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ttl must be above 0"),
				 errhint("ttl is how old a result may be, for example interval '30 seconds'.")));
	return microseconds;
}

static void
require_argument(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("%s must not be null", name)));
}

/*
 * hone.cached_query(query text, ttl interval, tags text[]) returns setof jsonb
 */
Datum
hone_cached_query(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	HoneCacheRequest request;
	HoneCachedQuery query;
	RowReceiver receiver;
	ArrayType  *tags;

	hone_require_script();
	hone_require_preload("hone.cached_query");
	require_argument(fcinfo, 0, "query");
	require_argument(fcinfo, 1, "ttl");
	require_argument(fcinfo, 2, "tags");
	memset(&request, 0, sizeof(request));
	request.asked_at = GetCurrentTimestamp();
	request.ttl = ttl_argument(PG_GETARG_INTERVAL_P(1));
	tags = PG_GETARG_ARRAYTYPE_P(2);
	hone_cache_tags(tags, &request.tags);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	memset(&receiver, 0, sizeof(receiver));
	receiver.result = rsinfo->setResult;
	receiver.result_desc = rsinfo->setDesc;

	SPI_connect();
	hone_cached_query_analyse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &query);
	if (!hone_store_ready() || !may_share(&query, &request))
		run_alone(&query, &receiver);
	else if (!hone_cached_query_key(&query, (char *) tags, VARSIZE(tags), request.key))
	{
		hone_cache_count(failures);
		run_alone(&query, &receiver);
	}
	else
		share(&query, &request, &receiver);
	SPI_finish();
	return (Datum) 0;
}

static Datum
counted(pg_atomic_uint64 * counter)
{
	return Int64GetDatum((int64) pg_atomic_read_u64(counter));
}

/*
 * hone._cache_stats(): what the view hone.cache_stats shows
 */
Datum
hone_cache_stats(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[14];
	bool		nulls[14] = {0};
	HoneCacheCounters *counters = hone_cache_counters;
	int64		results;
	int64		bytes;

	hone_require_script();
	hone_require_preload("hone.cache_stats");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	hone_store_usage(&results, &bytes);
	values[0] = counted(&counters->hits);
	values[1] = counted(&counters->misses);
	values[2] = counted(&counters->waits);
	values[3] = counted(&counters->handed_over);
	values[4] = counted(&counters->bypassed);
	values[5] = counted(&counters->outdated);
	values[6] = counted(&counters->too_large);
	values[7] = counted(&counters->evictions);
	values[8] = counted(&counters->invalidations);
	values[9] = counted(&counters->failures);
	values[10] = Int64GetDatum(results);
	values[11] = Int64GetDatum(bytes);
	values[12] = Int64GetDatum((int64) hone_cache_memory_kb * 1024);
	values[13] = Int64GetDatum((int64) hone_rate_limit_forgotten());
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}
