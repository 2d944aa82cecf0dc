/*-------------------------------------------------------------------------
 *
 * history_read.c
 *	  A window of the history, summed up: hone._history_window().
 *
 * The whole days of the window come from the days, the whole hours of what is
 * left at its ends from the hours, the rest from the minutes; what the history
 * does not have yet from shared memory. Where the finer figures are gone
 * already the window grows outwards to whole hours or days. So a year is some
 * 365 rows per query, and never is a call counted twice.
 *
 * The tables are read as their owner; of other roles' figures a caller without
 * the privileges of pg_read_all_stats gets none.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_authid.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "tcop/dest.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "common/owner.h"
#include "stats/encoding.h"
#include "stats/history.h"
#include "stats/row.h"
#include "stats/shared.h"

PG_FUNCTION_INFO_V1(hone_history_window);

/* Whatever is asked for, no server with this history ran before. */
#define BEGIN_OF_HISTORY	(INT64CONST(20) * 365 * HONE_DAY_US)	/* 2019 */

#define MAX_READS	20

typedef struct Range
{
	TimestampTz since;
	TimestampTz until;
} Range;

/* One stretch of days, hours before and after, minutes around those. */
typedef struct Window
{
	Range		days;
	Range		hours[2];
	Range		minutes[4];
} Window;

/*
 * How far each level has got, and since when it has anything (DT_NOEND:
 * nothing). A level begins with its first partition: what it does not have of
 * that, no coarser level has either.
 */
typedef struct Extent
{
	TimestampTz minutes_since;
	TimestampTz minutes_until;
	TimestampTz hours_since;
	TimestampTz hours_until;
	TimestampTz days_until;
} Extent;

static TimestampTz
ceil_to(TimestampTz at, int64 unit)
{
	TimestampTz floor = hone_floor_time(at, unit);

	return floor == at ? at : floor + unit;
}

static TimestampTz
column_time(int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/* From the catalogs: to look for the first row would be to read all of them. */
#define FIRST_OF(table) \
	"(SELECT pg_catalog.min(r.range_start)" \
	" FROM pg_catalog.pg_inherits i, hone._partition_range(i.inhrelid, i.inhparent) r" \
	" WHERE i.inhparent = '" table "'::pg_catalog.regclass)"

static void
read_extent(Extent *extent)
{
	if (SPI_execute("SELECT s.minutes_until, s.hours_until, s.days_until, "
					FIRST_OF("hone._history_minutes") ", " FIRST_OF("hone._history_hours")
					" FROM hone._history_state s", true, 1) != SPI_OK_SELECT || SPI_processed != 1)
		elog(ERROR, "the state of the history has gone");
	extent->minutes_until = column_time(1);
	extent->hours_until = column_time(2);
	extent->days_until = column_time(3);
	extent->minutes_since = column_time(4);
	extent->hours_since = column_time(5);
}

/* Cut whole units that are complete out of 'range'; the rest goes to ends. */
static Range
cut(Range range, int64 unit, TimestampTz complete_until, Range ends[2])
{
	Range		whole = {ceil_to(range.since, unit), Min(hone_floor_time(range.until, unit), complete_until)};

	if (whole.since >= whole.until)
	{
		ends[0] = range;
		ends[1].since = ends[1].until = range.until;
		whole.since = whole.until = range.until;
		return whole;
	}
	ends[0].since = range.since;
	ends[0].until = whole.since;
	ends[1].since = whole.until;
	ends[1].until = range.until;
	return whole;
}

/*
 * An end of the window for which there are no minutes any more moves to a
 * whole hour, and where there are no hours either, to a whole day.
 */
static TimestampTz
outwards(TimestampTz at, const Extent *extent, TimestampTz (*round) (TimestampTz, int64))
{
	if (at >= extent->minutes_since)
		return at;
	if (at >= extent->hours_since)
		return round(at, HONE_HOUR_US);
	return round(at, HONE_DAY_US);
}

/* Days first, hours from what is left, minutes from what is left of that. */
static void
plan_window(Window *window, Range range, const Extent *extent)
{
	Range		around_days[2];

	range.since = outwards(range.since, extent, hone_floor_time);
	range.until = outwards(range.until, extent, ceil_to);

	window->days = cut(range, HONE_DAY_US, extent->days_until, around_days);
	window->hours[0] = cut(around_days[0], HONE_HOUR_US, extent->hours_until, &window->minutes[0]);
	window->hours[1] = cut(around_days[1], HONE_HOUR_US, extent->hours_until, &window->minutes[2]);
}

#define FIGURES \
	"queryid, userid, toplevel, since, until, calls, errors, rows, total_ms, min_ms, max_ms, m2, histogram"

/*
 * Of minutes, also what had begun before the window and reaches into it: one
 * interval at most.
 */
static const char *const window_sql =
"SELECT * FROM ("
"SELECT " FIGURES " FROM hone._history_days WHERE kind = 'query' AND calls > 0 AND since >= $1 AND since < $2"
" UNION ALL "
"SELECT " FIGURES " FROM hone._history_hours WHERE kind = 'query' AND calls > 0 AND since >= $3 AND since < $4"
" UNION ALL "
"SELECT " FIGURES " FROM hone._history_hours WHERE kind = 'query' AND calls > 0 AND since >= $5 AND since < $6"
" UNION ALL "
"SELECT " FIGURES " FROM hone._history_minutes WHERE kind = 'query' AND calls > 0 AND since >= $7 AND since < $8"
" UNION ALL "
"SELECT " FIGURES " FROM hone._history_minutes WHERE kind = 'query' AND calls > 0 AND since >= $9 AND since < $10"
" UNION ALL "
"SELECT " FIGURES " FROM hone._history_minutes WHERE kind = 'query' AND calls > 0 AND since >= $11 AND since < $12"
" UNION ALL "
"SELECT " FIGURES " FROM hone._history_minutes WHERE kind = 'query' AND calls > 0 AND since >= $13 AND since < $14"
" UNION ALL "
"SELECT " FIGURES " FROM hone._history_minutes WHERE kind = 'query' AND calls > 0 AND since < $15 AND until > $15"
"  AND $15 = $7"
" UNION ALL "
"SELECT l.queryid, l.userid, l.toplevel, $17, $18, l.calls, l.errors, l.rows, l.total_ms, l.min_ms, l.max_ms, l.m2, l.histogram"
" FROM hone._history_live() l WHERE $16 AND l.kind = 'query' AND l.calls > 0 AND l.first_seen >= $21"
") w WHERE $19 OR w.userid = $20";

/* A query, role and level over the window. */
typedef struct SumKey
{
	int64		queryid;
	Oid			userid;
	uint32		toplevel;
} SumKey;

typedef struct Sum
{
	SumKey		key;			/* hash key */
	TimestampTz since;
	TimestampTz until;
	int64		calls;
	int64		errors;
	int64		rows;
	double		total_ms;
	double		min_ms;
	double		max_ms;
	double		m2;
	HoneHistogramSum histogram;
} Sum;

/*
 * Takes the rows as they come: sorting or hashing them in the executor, each
 * with its histogram, would take much longer than adding them up.
 */
typedef struct SumReceiver
{
	DestReceiver receiver;
	HTAB	   *sums;
	MemoryContext context;		/* of sums and their histograms */
} SumReceiver;

static void
begin_sum(Sum *sum)
{
	SumKey		key = sum->key;

	memset(sum, 0, sizeof(*sum));
	sum->key = key;
	hone_histogram_sum_init(&sum->histogram);
}

/* Deviations of two parts: Chan, Golub, LeVeque, Updating Formulae, 1979. */
static void
add_deviation(Sum *sum, int64 calls, double total_ms, double m2)
{
	double		delta;

	sum->m2 += m2;
	if (sum->calls == 0)
		return;
	delta = total_ms / calls - sum->total_ms / sum->calls;
	sum->m2 += delta * delta * ((double) sum->calls * calls / ((double) sum->calls + calls));
}

static void
add_row(Sum *sum, const Datum *values)
{
	TimestampTz since = DatumGetTimestampTz(values[3]);
	TimestampTz until = DatumGetTimestampTz(values[4]);
	int64		calls = DatumGetInt64(values[5]);
	double		total_ms = DatumGetFloat8(values[8]);
	double		min_ms = DatumGetFloat8(values[9]);
	double		max_ms = DatumGetFloat8(values[10]);
	bytea	   *histogram = DatumGetByteaPP(values[12]);

	sum->since = sum->calls > 0 ? Min(sum->since, since) : since;
	sum->until = sum->calls > 0 ? Max(sum->until, until) : until;
	sum->min_ms = sum->calls > 0 ? Min(sum->min_ms, min_ms) : min_ms;
	sum->max_ms = Max(sum->max_ms, max_ms);
	add_deviation(sum, calls, total_ms, DatumGetFloat8(values[11]));
	sum->calls += calls;
	sum->errors += DatumGetInt64(values[6]);
	sum->rows += DatumGetInt64(values[7]);
	sum->total_ms += total_ms;
	hone_histogram_sum_add(&sum->histogram, histogram);
	if ((Pointer) histogram != DatumGetPointer(values[12]))
		pfree(histogram);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	SumReceiver *receiver = (SumReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);
	SumKey		key;
	Sum		   *sum;
	bool		found;

	CHECK_FOR_INTERRUPTS();
	slot_getallattrs(slot);
	memset(&key, 0, sizeof(key));
	key.queryid = DatumGetInt64(slot->tts_values[0]);
	key.userid = DatumGetObjectId(slot->tts_values[1]);
	key.toplevel = DatumGetBool(slot->tts_values[2]);
	sum = hash_search(receiver->sums, &key, HASH_ENTER, &found);
	if (!found)
		begin_sum(sum);
	add_row(sum, slot->tts_values);
	MemoryContextSwitchTo(old);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
receiver_nothing(DestReceiver *self)
{
}

static HTAB *
create_sums(MemoryContext context)
{
	HASHCTL		control = {0};

	control.keysize = sizeof(SumKey);
	control.entrysize = sizeof(Sum);
	control.hcxt = context;
	return hash_create("hone history window", 1024, &control,
					   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

#define PARAMETERS	21

/*
 * On a standby the history is the primary's, and what is counted is the
 * standby's own: they are not put together.
 */
static ParamListInfo
window_parameters(const Window *window, Range asked, const Extent *extent,
				  Oid userid, bool all)
{
	ParamListInfo params = makeParamList(PARAMETERS);
	const Range *ranges[] = {&window->days, &window->hours[0], &window->hours[1],
	&window->minutes[0], &window->minutes[1], &window->minutes[2], &window->minutes[3]};
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz live_since = Min(extent->minutes_until, now);
	int			n = 0;

	for (int i = 0; i < PARAMETERS; i++)
	{
		params->params[i].isnull = false;
		params->params[i].pflags = PARAM_FLAG_CONST;
		params->params[i].ptype = TIMESTAMPTZOID;
	}
	for (int i = 0; i < lengthof(ranges); i++)
	{
		params->params[n++].value = TimestampTzGetDatum(ranges[i]->since);
		params->params[n++].value = TimestampTzGetDatum(ranges[i]->until);
	}
	params->params[n++].value = TimestampTzGetDatum(asked.since);
	params->params[n].ptype = BOOLOID;
	params->params[n++].value = BoolGetDatum(asked.until > live_since && asked.since <= now &&
											 !RecoveryInProgress());
	params->params[n++].value = TimestampTzGetDatum(live_since);
	params->params[n++].value = TimestampTzGetDatum(now);
	params->params[n].ptype = BOOLOID;
	params->params[n++].value = BoolGetDatum(all);
	params->params[n].ptype = OIDOID;
	params->params[n++].value = ObjectIdGetDatum(userid);
	params->params[n++].value = TimestampTzGetDatum(hone_stats_shared->promoted_at);
	Assert(n == PARAMETERS);
	return params;
}

static HTAB *
run_window(ParamListInfo params, MemoryContext context)
{
	SPIExecuteOptions options = {0};
	SumReceiver receiver = {
		.receiver = {
			.receiveSlot = receive_row,
			.rStartup = receiver_startup,
			.rShutdown = receiver_nothing,
			.rDestroy = receiver_nothing,
			.mydest = DestTuplestore
		}
	};

	MemoryContextReset(context);
	receiver.context = context;
	receiver.sums = create_sums(context);
	options.params = params;
	options.read_only = true;
	options.dest = &receiver.receiver;
	if (SPI_execute_extended(window_sql, &options) != SPI_OK_SELECT)
		elog(ERROR, "could not read the history");
	return receiver.sums;
}

/*
 * Shared memory is not read with a snapshot: what is read of the tables beside
 * it must be as new, whatever the transaction sees otherwise.
 */
static void
read_latest_extent(Extent *extent)
{
	PushActiveSnapshot(GetLatestSnapshot());
	read_extent(extent);
	PopActiveSnapshot();
}

/*
 * If an interval was written meanwhile, its figures may have been in both
 * places or in neither: once more. In recovery there is no writer.
 */
static HTAB *
read_consistently(Range range, Oid userid, bool all)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hone history window",
												  ALLOCSET_DEFAULT_SIZES);
	Extent		before;
	Extent		after;
	Window		window;
	HTAB	   *sums;

	for (int i = 0; i < MAX_READS; i++)
	{
		CHECK_FOR_INTERRUPTS();
		read_latest_extent(&before);
		(void) hone_history_is_writing();
		plan_window(&window, range, &before);
		PushActiveSnapshot(GetLatestSnapshot());
		sums = run_window(window_parameters(&window, range, &before, userid, all), context);
		PopActiveSnapshot();
		if (RecoveryInProgress())
			return sums;
		read_latest_extent(&after);
		if (!hone_history_is_writing() && after.minutes_until == before.minutes_until)
			return sums;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the history of statistics was written each time it was read"),
			 errhint("Try again, or raise hone.history_interval.")));
}

static SPIPlanPtr
prepare_text(void)
{
	Oid			types[] = {INT8OID};
	SPIPlanPtr	plan = SPI_prepare("SELECT t.query FROM hone._history_text t WHERE t.queryid = $1",
								   1, types);

	if (plan == NULL)
		elog(ERROR, "could not read the texts of the history");
	return plan;
}

/* Text of a query, from the history or, where it is not there yet, live. */
static char *
text_of(SPIPlanPtr plan, int64 queryid)
{
	Datum		values[] = {Int64GetDatum(queryid)};
	char	   *text;

	if (queryid == 0)
		return pstrdup(HONE_OTHER_TEXT);
	if (SPI_execute_plan(plan, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read the texts of the history");
	if (SPI_processed == 1)
		text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
	else
		text = hone_stats_text(MyDatabaseId, (uint64) queryid);
	SPI_freetuptable(SPI_tuptable);
	return text;
}

static void
put_sum(ReturnSetInfo *rsinfo, SPIPlanPtr plan, const Sum *sum)
{
	HoneRow		row = {.count = 0};

	hone_put_bigint(&row, sum->key.queryid);
	hone_put_text(&row, text_of(plan, sum->key.queryid));
	hone_put(&row, ObjectIdGetDatum(sum->key.userid));
	hone_put(&row, BoolGetDatum(sum->key.toplevel != 0));
	hone_put(&row, TimestampTzGetDatum(sum->since));
	hone_put(&row, TimestampTzGetDatum(sum->until));
	hone_put_bigint(&row, sum->calls);
	hone_put_bigint(&row, sum->errors);
	hone_put_bigint(&row, sum->rows);
	hone_put(&row, Float8GetDatum(sum->total_ms));
	hone_put(&row, Float8GetDatum(sum->min_ms));
	hone_put(&row, Float8GetDatum(sum->max_ms));
	hone_put(&row, Float8GetDatum(sum->m2));
	hone_put(&row, PointerGetDatum(hone_histogram_encode(&sum->histogram.histogram)));
	hone_put_row(rsinfo, &row);
}

static void
put_sums(ReturnSetInfo *rsinfo, HTAB *sums)
{
	SPIPlanPtr	plan = prepare_text();
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "hone history row",
												  ALLOCSET_DEFAULT_SIZES);
	HASH_SEQ_STATUS scan;
	Sum		   *sum;

	hash_seq_init(&scan, sums);
	while ((sum = hash_seq_search(&scan)) != NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(context);

		CHECK_FOR_INTERRUPTS();
		put_sum(rsinfo, plan, sum);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
}

/* _history_window(since timestamptz, until timestamptz) */
Datum
hone_history_window(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			userid = GetUserId();
	bool		all;
	Range		range;
	HoneRole	saved;

	hone_require_script();
	range.since = PG_GETARG_TIMESTAMPTZ(0);
	range.until = PG_GETARG_TIMESTAMPTZ(1);
	hone_require_preload("the history of statistics");
	all = has_privs_of_role(userid, ROLE_PG_READ_ALL_STATS);
	if (range.since >= range.until)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the window ends before it begins"),
				 errhint("Give its begin first, for example now() - interval '1 day' and now().")));
	InitMaterializedSRF(fcinfo, 0);
	/* Nothing is older than this, and nothing will be counted later. */
	range.since = Max(range.since, BEGIN_OF_HISTORY);
	range.until = Min(range.until, GetCurrentTimestamp() + HONE_DAY_US);
	if (range.since >= range.until)
		return (Datum) 0;

	SPI_connect();
	hone_become_owner(hone_relation_oid("history"), &saved);
	(void) set_config_option("jit", "off", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	put_sums(rsinfo, read_consistently(range, userid, all));
	hone_restore_role(&saved);
	SPI_finish();
	return (Datum) 0;
}
