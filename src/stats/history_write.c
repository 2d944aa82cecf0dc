/*-------------------------------------------------------------------------
 *
 * history_write.c
 *	  The worker's part of the history: hone._write_history().
 *
 * In steps, each a transaction: write what has come since the last time as an
 * interval of 'minutes'; sum complete hours and days up; drop partitions whose
 * time is over. A step that fails (a lock that is not to be had, a full disk)
 * is reported in the log and tried again the next time; nothing is counted
 * twice, since hone._history_state moves on in the same transaction.
 *
 * Rows belong to the hour and the day of their beginning. A row never begins
 * before the hour that is not yet summed up, so sums are complete.
 *
 * Partitions are made here, as members of the extension (so that pg_dump
 * leaves them out, and pg_upgrade takes them along), and attached, which stops
 * nobody who reads.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "common/owner.h"
#include "common/procedure.h"
#include "stats/history.h"
#include "stats/shared.h"

PG_FUNCTION_INFO_V1(hone_write_history);

int			hone_history_keep_minutes = 2 * 24 * 60;
int			hone_history_keep_hours = 35 * 24 * 60;
int			hone_history_keep_days = 400 * 24 * 60;

typedef struct Level
{
	const char *name;			/* as in hone.history.rollup */
	int64		span;			/* of a partition, in us; aligned to
								 * 2000-01-01 UTC */
	const int  *keep_minutes;
	const char *until;			/* column of _history_state: summed up until
								 * then */
} Level;

static const Level levels[] = {
	{"minutes", 4 * HONE_HOUR_US, &hone_history_keep_minutes, "hours_until"},
	{"hours", 7 * HONE_DAY_US, &hone_history_keep_hours, "days_until"},
	{"days", 91 * HONE_DAY_US, &hone_history_keep_days, NULL},
};

void
hone_history_define_settings(void)
{
	DefineCustomIntVariable("hone.history_keep_minutes",
							"How long the history keeps its finest figures, one per hone.history_interval.",
							NULL,
							&hone_history_keep_minutes, 2 * 24 * 60, 60, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.history_keep_hours",
							"How long the history keeps figures by hour.",
							NULL,
							&hone_history_keep_hours, 35 * 24 * 60, 24 * 60, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
	DefineCustomIntVariable("hone.history_keep_days",
							"How long the history keeps figures by day.",
							NULL,
							&hone_history_keep_days, 400 * 24 * 60, 24 * 60, INT_MAX,
							PGC_SIGHUP, GUC_UNIT_MIN, NULL, NULL, NULL);
}

static void
run(const char *sql, int expected)
{
	int			result = SPI_execute(sql, false, 0);

	if (result != expected)
		elog(ERROR, "unexpected SPI result %d", result);
}

/* Run a statement whose only parameter, if any, is a time. */
static void
run_at(const char *sql, TimestampTz at, int expected)
{
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[] = {TimestampTzGetDatum(at)};
	int			result = SPI_execute_with_args(sql, 1, types, values, NULL, false, 0);

	if (result != expected)
		elog(ERROR, "unexpected SPI result %d", result);
}

/* A time from the first row of the last result. */
static TimestampTz
result_time(int column)
{
	bool		isnull;
	Datum		value;

	if (SPI_processed != 1)
		elog(ERROR, "the state of the history has gone");
	value = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, &isnull);
	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

/* How far the history has got; times of hone._history_state. */
typedef struct State
{
	TimestampTz minutes_until;
	TimestampTz hours_until;
	TimestampTz days_until;
} State;

/* Serialise writers, and read it. */
static void
lock_state(State *state)
{
	run("SELECT minutes_until, hours_until, days_until FROM hone._history_state FOR UPDATE",
		SPI_OK_SELECT);
	state->minutes_until = result_time(1);
	state->hours_until = result_time(2);
	state->days_until = result_time(3);
}

/* "20261127T0400": for names, always in UTC. */
static const char *
name_of_time(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	return psprintf("%04d%02d%02dt%02d%02d", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min);
}

/* For SQL: always in UTC. */
static const char *
literal_of_time(TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		elog(ERROR, "timestamp out of range");
	return psprintf("'%04d-%02d-%02d %02d:%02d:00+00'", tm.tm_year, tm.tm_mon, tm.tm_mday,
					tm.tm_hour, tm.tm_min);
}

/* Default privileges of the owner are for other tables. */
static void
revoke_all(const char *name)
{
	uint64		count;
	SPITupleTable *grantees;

	run(psprintf("SELECT DISTINCT CASE WHEN a.grantee = 0 THEN 'PUBLIC'"
				 " ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END"
				 " FROM pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a"
				 " WHERE c.oid = 'hone.%s'::pg_catalog.regclass AND a.grantee <> c.relowner", name),
		SPI_OK_SELECT);
	count = SPI_processed;
	grantees = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
		run(psprintf("REVOKE ALL ON hone.%s FROM %s", name,
					 SPI_getvalue(grantees->vals[i], grantees->tupdesc, 1)), SPI_OK_UTILITY);
}

/* Make the partition of a level for a time, unless it is there. */
static void
make_partition(const Level *level, TimestampTz at)
{
	TimestampTz start = hone_floor_time(at, level->span);
	const char *name = psprintf("_history_%s_%s", level->name, name_of_time(start));
	Oid			there = get_relname_relid(name, hone_schema_oid());

	if (OidIsValid(there) && get_rel_relispartition(there))
		return;
	if (OidIsValid(there))
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_TABLE),
				 errmsg("table hone.%s is in the way of a partition of the history", name),
				 errhint("Rename it, or attach it to hone._history_%s.", level->name)));
	run(psprintf("CREATE TABLE hone.%s (LIKE hone.history INCLUDING CONSTRAINTS) USING heap TABLESPACE pg_default",
				 name), SPI_OK_UTILITY);
	revoke_all(name);
	run(psprintf("ALTER EXTENSION " HONE_EXTENSION " ADD TABLE hone.%s", name), SPI_OK_UTILITY);
	run(psprintf("ALTER TABLE hone._history_%s ATTACH PARTITION hone.%s FOR VALUES FROM (%s) TO (%s)",
				 level->name, name, literal_of_time(start), literal_of_time(start + level->span)),
		SPI_OK_UTILITY);
}

/* Texts of what was just written that are not known yet, or not of today. */
static void
write_texts(TimestampTz since, TimestampTz until)
{
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[2];

	values[0] = TimestampTzGetDatum(since);
	values[1] = TimestampTzGetDatum(until);
	if (SPI_execute_with_args("INSERT INTO hone._history_text (queryid, query, last_used)"
							  " SELECT x.queryid, x.query, $2 FROM ("
							  "  SELECT q.queryid, hone._query_text(q.queryid) AS query FROM ("
							  "   SELECT DISTINCT h.queryid FROM hone._history_minutes h WHERE h.since = $1 AND h.until = $2"
							  "   EXCEPT SELECT t.queryid FROM hone._history_text t WHERE t.last_used > $2 - interval '1 day') q) x"
							  " WHERE x.query IS NOT NULL"
							  " ON CONFLICT (queryid) DO UPDATE SET last_used = EXCLUDED.last_used",
							  2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write the texts of the history");
}

/*
 * When the interval began that ends now: where the last one ended, or, after
 * the server was down or the worker off, when something was first counted.
 * Never in an hour that is summed up already.
 */
static TimestampTz
interval_start(const State *state, TimestampTz until)
{
	TimestampTz since = Max(state->minutes_until, state->hours_until);
	int64		interval = hone_history_interval_s * USECS_PER_SEC;

	if (until - since <= 2 * interval)
		return since;
	return Max(since, Min(hone_history_first_seen(), until - interval));
}

/*
 * The clock had been ahead when the last interval was written: the history
 * goes on from now. What is summed up of the current hour and day is summed
 * up anew when they are over.
 */
static void
turn_back(TimestampTz now)
{
	ereport(LOG,
			(errmsg("pg_hone: the history of statistics ends in the future, and goes on from now")));
	run_at("DELETE FROM hone._history_hours WHERE since >= pg_catalog.date_trunc('hour', $1, 'UTC')",
		   now, SPI_OK_DELETE);
	run_at("DELETE FROM hone._history_days WHERE since >= pg_catalog.date_trunc('day', $1, 'UTC')",
		   now, SPI_OK_DELETE);
	run_at("UPDATE hone._history_state SET minutes_until = $1,"
		   " hours_until = least(hours_until, pg_catalog.date_trunc('hour', $1, 'UTC')),"
		   " days_until = least(days_until, pg_catalog.date_trunc('day', $1, 'UTC'))",
		   now, SPI_OK_UPDATE);
}

static void
write_interval(void)
{
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[2];
	State		state;
	TimestampTz until;
	TimestampTz since;

	lock_state(&state);
	until = GetCurrentTimestamp();
	if (state.minutes_until > until + hone_history_interval_s * USECS_PER_SEC)
	{
		turn_back(until);
		return;
	}
	if (until <= state.minutes_until)
		return;

	/*
	 * Just promoted: the collector has yet to say until when it was a
	 * standby.
	 */
	if (hone_stats_shared->standby)
		return;
	since = interval_start(&state, until);
	make_partition(&levels[0], since);

	values[0] = TimestampTzGetDatum(since);
	values[1] = TimestampTzGetDatum(until);
	hone_history_begin_writing();
	hone_history_allow_take(hone_stats_shared->promoted_at);
	if (SPI_execute_with_args("INSERT INTO hone._history_minutes (rollup, since, until, " HONE_HISTORY_FIGURES ")"
							  " SELECT 'minutes', $1, $2, " HONE_HISTORY_FIGURES
							  " FROM hone._history_take()",
							  2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not write the history");
	hone_history_forbid_take();
	run_at("UPDATE hone._history_state SET minutes_until = $1", until, SPI_OK_UPDATE);
	write_texts(since, until);
}

/*
 * Sum complete periods of a level up into the next. m2 of a sum: the parts'
 * own, and the squared distances of their means from the common one (Chan),
 * here as sum(n * mean^2) - total^2 / N.
 */
#define SUMS(unit) \
	"SELECT '" unit "s', h.at, greatest(h.at + interval '1 " unit "', pg_catalog.max(h.until)), h.kind, h.queryid, h.userid, h.toplevel," \
	" pg_catalog.sum(h.calls), pg_catalog.sum(h.errors), pg_catalog.sum(h.rows), pg_catalog.sum(h.total_ms)," \
	" pg_catalog.min(h.min_ms), pg_catalog.max(h.max_ms)," \
	" greatest(pg_catalog.sum(h.m2 + h.total_ms * h.total_ms / nullif(h.calls, 0))" \
	"  - pg_catalog.sum(h.total_ms) * pg_catalog.sum(h.total_ms) / nullif(pg_catalog.sum(h.calls), 0)::float8, 0)," \
	" pg_catalog.sum(h.plans), pg_catalog.sum(h.plan_ms), pg_catalog.sum(h.reads), pg_catalog.sum(h.writes)," \
	" pg_catalog.sum(h.shared_blks_hit), pg_catalog.sum(h.shared_blks_read)," \
	" pg_catalog.sum(h.shared_blks_dirtied), pg_catalog.sum(h.shared_blks_written)," \
	" pg_catalog.sum(h.temp_blks_read), pg_catalog.sum(h.temp_blks_written)," \
	" pg_catalog.sum(h.blk_read_ms), pg_catalog.sum(h.blk_write_ms), pg_catalog.sum(h.wal_bytes)," \
	" pg_catalog.sum(h.cpu_user_ms), pg_catalog.sum(h.cpu_sys_ms)," \
	" ARRAY[least(pg_catalog.sum(h.waits[1]), 2147483647), least(pg_catalog.sum(h.waits[2]), 2147483647)," \
	"  least(pg_catalog.sum(h.waits[3]), 2147483647), least(pg_catalog.sum(h.waits[4]), 2147483647)," \
	"  least(pg_catalog.sum(h.waits[5]), 2147483647)]::int[]," \
	" hone._histogram_sum(h.histogram)"

/* Sum up from one level into the next what began in [since, until). */
static void
sum_up(const char *insert, const Level *from, const Level *to,
	   TimestampTz since, TimestampTz until)
{
	Oid			types[] = {TIMESTAMPTZOID, TIMESTAMPTZOID};
	Datum		values[2];
	uint64		count;
	SPITupleTable *starts;

	values[0] = TimestampTzGetDatum(since);
	values[1] = TimestampTzGetDatum(until);

	/* Partitions are made for what there is. */
	if (SPI_execute_with_args(psprintf("SELECT DISTINCT pg_catalog.date_bin(" INT64_FORMAT " * interval '1 microsecond',"
									   " since, '2000-01-01 00:00+00') FROM hone._history_%s"
									   " WHERE since >= $1 AND since < $2", to->span, from->name),
							  2, types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read the history");
	count = SPI_processed;
	starts = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		bool		isnull;

		make_partition(to, DatumGetTimestampTz(SPI_getbinval(starts->vals[i], starts->tupdesc,
															 1, &isnull)));
	}
	if (SPI_execute_with_args(insert, 2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not sum the history up");
}

static void
sum_hours_up(void)
{
	State		state;
	TimestampTz end;

	lock_state(&state);
	end = hone_floor_time(state.minutes_until, HONE_HOUR_US);
	if (end <= state.hours_until)
		return;
	sum_up("INSERT INTO hone._history_hours (rollup, since, until, " HONE_HISTORY_FIGURES ") "
		   SUMS("hour")
		   " FROM (SELECT *, pg_catalog.date_trunc('hour', since, 'UTC') AS at FROM hone._history_minutes"
		   "       WHERE since >= $1 AND since < $2) h"
		   " GROUP BY h.at, h.kind, h.queryid, h.userid, h.toplevel",
		   &levels[0], &levels[1], state.hours_until, end);
	run_at("UPDATE hone._history_state SET hours_until = $1", end, SPI_OK_UPDATE);
}

static void
sum_days_up(void)
{
	State		state;
	TimestampTz end;

	lock_state(&state);
	end = hone_floor_time(state.hours_until, HONE_DAY_US);
	if (end <= state.days_until)
		return;
	sum_up("INSERT INTO hone._history_days (rollup, since, until, " HONE_HISTORY_FIGURES ") "
		   SUMS("day")
		   " FROM (SELECT *, pg_catalog.date_trunc('day', since, 'UTC') AS at FROM hone._history_hours"
		   "       WHERE since >= $1 AND since < $2) h"
		   " GROUP BY h.at, h.kind, h.queryid, h.userid, h.toplevel",
		   &levels[1], &levels[2], state.days_until, end);
	run_at("UPDATE hone._history_state SET days_until = $1", end, SPI_OK_UPDATE);
}

/* Start of the time in a partition's name. */
static bool
time_of_name(const char *name, TimestampTz *start)
{
	struct pg_tm tm;
	int			year;
	int			month;
	int			day;
	int			hour;
	int			minute;

	if (sscanf(name, "%4d%2d%2dt%2d%2d", &year, &month, &day, &hour, &minute) != 5)
		return false;
	memset(&tm, 0, sizeof(tm));
	tm.tm_year = year;
	tm.tm_mon = month;
	tm.tm_mday = day;
	tm.tm_hour = hour;
	tm.tm_min = minute;
	return tm2timestamp(&tm, 0, NULL, start) == 0;
}

/*
 * Drop the partitions of a level that ended before its time to be kept, and
 * are summed up.
 */
static void
drop_old(const Level *level)
{
	char	   *prefix = psprintf("_history_%s_", level->name);
	TimestampTz before = GetCurrentTimestamp() - *level->keep_minutes * INT64CONST(60) * USECS_PER_SEC;
	uint64		count;
	SPITupleTable *tables;

	if (level->until != NULL)
	{
		run(psprintf("SELECT %s FROM hone._history_state", level->until), SPI_OK_SELECT);
		before = Min(before, result_time(1));
	}
	run(psprintf("SELECT c.relname::text FROM pg_catalog.pg_inherits i"
				 " JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid"
				 " WHERE i.inhparent = 'hone._history_%s'::pg_catalog.regclass", level->name),
		SPI_OK_SELECT);
	count = SPI_processed;
	tables = SPI_tuptable;

	for (uint64 i = 0; i < count; i++)
	{
		char	   *name = SPI_getvalue(tables->vals[i], tables->tupdesc, 1);
		TimestampTz start;

		if (strncmp(name, prefix, strlen(prefix)) != 0 ||
			!time_of_name(name + strlen(prefix), &start) || start + level->span > before)
			continue;
		run(psprintf("ALTER EXTENSION " HONE_EXTENSION " DROP TABLE hone.%s", quote_identifier(name)),
			SPI_OK_UTILITY);
		run(psprintf("DROP TABLE hone.%s", quote_identifier(name)), SPI_OK_UTILITY);
	}
}

static void
drop_expired(void)
{
	for (int i = 0; i < lengthof(levels); i++)
		drop_old(&levels[i]);
	run_at("DELETE FROM hone._history_text WHERE last_used < $1",
		   GetCurrentTimestamp() - hone_history_keep_days * INT64CONST(60) * USECS_PER_SEC,
		   SPI_OK_DELETE);
}

/*
 * One step, as the owner of the history, in a transaction of its own. Called
 * by hand it fails; the worker reports the error and goes on.
 */
static bool
step(void (*work) (void), const char *what)
{
	HoneRole	saved;
	volatile bool done = false;

	/* The extension may have been dropped meanwhile. */
	if (!hone_hold_extension())
		return false;
	PG_TRY();
	{
		hone_become_owner(hone_relation_oid("history"), &saved);
		work();
		hone_restore_role(&saved);
		hone_procedure_commit();
		done = true;
	}
	PG_CATCH();
	{
		hone_history_forbid_take();
		if (MyBackendType != B_BG_WORKER)
			PG_RE_THROW();
		hone_procedure_report(what);
	}
	PG_END_TRY();
	return done;
}

Datum
hone_write_history(PG_FUNCTION_ARGS)
{
	hone_require_script();
	hone_require_preload("hone._write_history");
	hone_procedure_begin(fcinfo, "hone._write_history");
	if (step(write_interval, "could not write the history of statistics") &&
		step(sum_hours_up, "could not sum up hours of the history"))
		(void) step(sum_days_up, "could not sum up days of the history");

	/* Only what is summed up is dropped, so it needs none of these. */
	(void) step(drop_expired, "could not drop old partitions of the history");
	hone_procedure_end();
	PG_RETURN_VOID();
}
