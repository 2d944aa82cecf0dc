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
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "common/owner.h"
#include "stats/history.h"
#include "stats/shared.h"

PG_FUNCTION_INFO_V1(hone_history_window);

#define HOUR_US		(INT64CONST(3600) * USECS_PER_SEC)
#define DAY_US		(24 * HOUR_US)

/* Whatever is asked for, no server with this history ran before. */
#define BEGIN_OF_HISTORY	(INT64CONST(20) * 365 * DAY_US)	/* 2019 */

#define COLUMNS		14
#define MAX_READS	3
#define QUERY_COLUMN	1

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

/* How far each level has got, and since when it has anything. */
typedef struct Extent
{
	TimestampTz minutes_since;
	TimestampTz minutes_until;
	TimestampTz hours_since;
	TimestampTz hours_until;
	TimestampTz days_until;
} Extent;

static TimestampTz
floor_to(TimestampTz at, int64 unit)
{
	int64		rest = at % unit;

	return at - (rest < 0 ? rest + unit : rest);
}

static TimestampTz
ceil_to(TimestampTz at, int64 unit)
{
	TimestampTz floor = floor_to(at, unit);

	return floor == at ? at : floor + unit;
}

static TimestampTz
column_time(int column)
{
	bool		isnull;
	Datum		value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);

	return isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

static void
read_extent(Extent *extent)
{
	if (SPI_execute("SELECT s.minutes_until, s.hours_until, s.days_until,"
					" (SELECT m.since FROM hone.history_minutes m ORDER BY m.since LIMIT 1),"
					" (SELECT h.since FROM hone.history_hours h ORDER BY h.since LIMIT 1)"
					" FROM hone._history_state s", false, 1) != SPI_OK_SELECT || SPI_processed != 1)
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
	Range		whole = {ceil_to(range.since, unit), Min(floor_to(range.until, unit), complete_until)};

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

/* Days first, hours from what is left, minutes from what is left of that. */
static void
plan_window(Window *window, Range range, const Extent *extent)
{
	Range		around_days[2];

	/* What is no longer kept in minutes grows to hours, and those to days. */
	if (range.since < extent->minutes_since)
		range.since = floor_to(range.since, HOUR_US);
	if (range.since < extent->hours_since)
		range.since = floor_to(range.since, DAY_US);
	if (range.until < extent->minutes_since)
		range.until = ceil_to(range.until, HOUR_US);
	if (range.until < extent->hours_since)
		range.until = ceil_to(range.until, DAY_US);

	window->days = cut(range, DAY_US, extent->days_until, around_days);
	window->hours[0] = cut(around_days[0], HOUR_US, extent->hours_until, &window->minutes[0]);
	window->hours[1] = cut(around_days[1], HOUR_US, extent->hours_until, &window->minutes[2]);
}

#define FIGURES \
	"queryid, userid, toplevel, since, until, calls, errors, rows, total_ms, min_ms, max_ms, m2, histogram"

/*
 * Of minutes, also what had begun before the window and reaches into it: one
 * interval at most.
 */
static const char *const window_sql =
"SELECT s.*, t.query FROM ("
"SELECT w.queryid, w.userid, w.toplevel,"
" pg_catalog.min(w.since) AS data_since, pg_catalog.max(w.until) AS data_until,"
" pg_catalog.sum(w.calls)::bigint AS calls, pg_catalog.sum(w.errors)::bigint AS errors,"
" pg_catalog.sum(w.rows)::bigint AS rows, pg_catalog.sum(w.total_ms) AS total_ms,"
" pg_catalog.min(w.min_ms) AS min_ms, pg_catalog.max(w.max_ms) AS max_ms,"
" greatest(pg_catalog.sum(w.m2 + w.total_ms * w.total_ms / w.calls)"
"  - pg_catalog.sum(w.total_ms) * pg_catalog.sum(w.total_ms) / pg_catalog.sum(w.calls)::float8, 0) AS m2,"
" hone._histogram_sum(w.histogram) AS histogram"
" FROM ("
"SELECT " FIGURES " FROM hone.history_days WHERE kind = 'query' AND calls > 0 AND since >= $1 AND since < $2"
" UNION ALL "
"SELECT " FIGURES " FROM hone.history_hours WHERE kind = 'query' AND calls > 0 AND since >= $3 AND since < $4"
" UNION ALL "
"SELECT " FIGURES " FROM hone.history_hours WHERE kind = 'query' AND calls > 0 AND since >= $5 AND since < $6"
" UNION ALL "
"SELECT " FIGURES " FROM hone.history_minutes WHERE kind = 'query' AND calls > 0 AND since >= $7 AND since < $8"
" UNION ALL "
"SELECT " FIGURES " FROM hone.history_minutes WHERE kind = 'query' AND calls > 0 AND since >= $9 AND since < $10"
" UNION ALL "
"SELECT " FIGURES " FROM hone.history_minutes WHERE kind = 'query' AND calls > 0 AND since >= $11 AND since < $12"
" UNION ALL "
"SELECT " FIGURES " FROM hone.history_minutes WHERE kind = 'query' AND calls > 0 AND since >= $13 AND since < $14"
" UNION ALL "
"SELECT " FIGURES " FROM hone.history_minutes WHERE kind = 'query' AND calls > 0 AND since < $15 AND until > $15"
"  AND $15 = $7"
" UNION ALL "
"SELECT l.queryid, l.userid, l.toplevel, $17, $18, l.calls, l.errors, l.rows, l.total_ms, l.min_ms, l.max_ms, l.m2, l.histogram"
" FROM hone._history_live() l WHERE $16 AND l.kind = 'query' AND l.calls > 0"
") w WHERE $19 OR w.userid = $20 GROUP BY 1, 2, 3) s"
" LEFT JOIN hone._history_text t ON t.queryid = s.queryid";

#define PARAMETERS	20

static void
run_window(const Window *window, Range asked, TimestampTz minutes_until, Oid userid, bool all)
{
	Oid			types[PARAMETERS];
	Datum		values[PARAMETERS];
	const Range *ranges[] = {&window->days, &window->hours[0], &window->hours[1],
		&window->minutes[0], &window->minutes[1], &window->minutes[2], &window->minutes[3]};
	TimestampTz now = GetCurrentTimestamp();
	int			n = 0;

	for (int i = 0; i < lengthof(ranges); i++)
	{
		values[n++] = TimestampTzGetDatum(ranges[i]->since);
		values[n++] = TimestampTzGetDatum(ranges[i]->until);
	}
	values[n++] = TimestampTzGetDatum(asked.since);
	for (int i = 0; i < n; i++)
		types[i] = TIMESTAMPTZOID;
	types[n] = BOOLOID;
	values[n++] = BoolGetDatum(asked.until > minutes_until && asked.since <= now);
	types[n] = TIMESTAMPTZOID;
	values[n++] = TimestampTzGetDatum(minutes_until);
	types[n] = TIMESTAMPTZOID;
	values[n++] = TimestampTzGetDatum(now);
	types[n] = BOOLOID;
	values[n++] = BoolGetDatum(all);
	types[n] = OIDOID;
	values[n++] = ObjectIdGetDatum(userid);
	Assert(n == PARAMETERS);
	if (SPI_execute_with_args(window_sql, n, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the history");
}

/*
 * Shared memory is not read with the snapshot of the tables. If an interval
 * was written meanwhile, it may be in both or in neither: once more.
 */
static void
read_consistently(Range range, Oid userid, bool all)
{
	Extent		before;
	Extent		after;
	Window		window;
	SPITupleTable *rows;
	uint64		count;

	read_extent(&after);
	for (int i = 0; i < MAX_READS; i++)
	{
		before = after;
		plan_window(&window, range, &before);
		run_window(&window, range, before.minutes_until, userid, all);
		rows = SPI_tuptable;
		count = SPI_processed;
		read_extent(&after);
		if (after.minutes_until == before.minutes_until)
			break;
	}
	SPI_tuptable = rows;
	SPI_processed = count;
}

/* Columns of the result of window_sql, in the order of the function's. */
static const int source_column[COLUMNS] = {1, 14, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13};

static void
put_rows(ReturnSetInfo *rsinfo)
{
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Datum		values[COLUMNS];
		bool		nulls[COLUMNS];

		CHECK_FOR_INTERRUPTS();
		for (int column = 0; column < COLUMNS; column++)
			values[column] = SPI_getbinval(SPI_tuptable->vals[i], SPI_tuptable->tupdesc,
										   source_column[column], &nulls[column]);
		if (nulls[QUERY_COLUMN])
		{
			char	   *text = hone_stats_text(MyDatabaseId, (uint64) DatumGetInt64(values[0]));

			nulls[QUERY_COLUMN] = text == NULL;
			if (text != NULL)
				values[QUERY_COLUMN] = CStringGetTextDatum(text);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
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
	hone_require_preload("hone.latency_between");
	all = has_privs_of_role(userid, ROLE_PG_READ_ALL_STATS);
	if (range.since >= range.until)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the window ends before it begins"),
				 errhint("For example: hone.latency_between(now() - interval '1 day', now()).")));
	InitMaterializedSRF(fcinfo, 0);
	/* Nothing is older than this, and nothing will be counted later. */
	range.since = Max(range.since, BEGIN_OF_HISTORY);
	range.until = Min(range.until, GetCurrentTimestamp() + DAY_US);
	if (range.since >= range.until)
		return (Datum) 0;

	SPI_connect();
	hone_become_owner(hone_relation_oid("history"), &saved);
	read_consistently(range, userid, all);
	put_rows(rsinfo);
	hone_restore_role(&saved);
	SPI_finish();
	return (Datum) 0;
}
