/*-------------------------------------------------------------------------
 *
 * log.c
 *	  The log of moves, and the back-off of those that failed.
 *
 * After n failures in a row a partition rests for 2^(n-1) naps, at most
 * MAX_REST seconds. The log keeps its last KEPT_MOVES entries.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/timestamp.h"

#include "lifecycle/log.h"
#include "common/own_tables.h"
#include "lifecycle/shared.h"

#define KEPT_MOVES	10000
#define MAX_REST	3600

static void
write_log(const HoneMoveRecord *record)
{
	Oid			types[] = {TIMESTAMPTZOID, REGCLASSOID, TEXTOID, TEXTOID, BOOLOID,
	INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[11];
	char		nulls[11];

	memset(nulls, ' ', sizeof(nulls));
	values[0] = TimestampTzGetDatum(record->started);
	values[1] = ObjectIdGetDatum(record->partition);
	values[2] = CStringGetTextDatum(record->name);
	values[3] = CStringGetTextDatum(record->to_tier);
	values[4] = BoolGetDatum(record->by_worker);
	values[5] = Int64GetDatum(record->rows);
	values[6] = Int64GetDatum(record->bytes_before);
	values[7] = Int64GetDatum(record->bytes_after);
	values[8] = values[9] = values[10] = (Datum) 0;
	if (record->error == NULL)
		nulls[8] = nulls[9] = 'n';
	else
	{
		nulls[5] = nulls[6] = nulls[7] = 'n';
		values[8] = CStringGetTextDatum(unpack_sql_state(record->sqlstate));
		values[9] = CStringGetTextDatum(record->error);
	}
	if (record->unfinished)
		nulls[7] = 'n';
	if (record->note == NULL)
		nulls[10] = 'n';
	else
		values[10] = CStringGetTextDatum(record->note);
	hone_own_run("INSERT INTO hone._tier_log (started_at, duration, partition, partition_name,"
				 " to_tier, by_worker, rows, bytes_before, bytes_after, sqlstate, error, note)"
				 " VALUES ($1, clock_timestamp() - $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
				 11, types, values, nulls);
	hone_own_run("DELETE FROM hone._tier_log WHERE id <="
				 " (SELECT max(id) FROM hone._tier_log) - " CppAsString2(KEPT_MOVES),
				 0, NULL, NULL, NULL);
}

static void
note_failure(const HoneMoveRecord *record)
{
	Oid			types[] = {OIDOID, TEXTOID, INT4OID};
	Datum		values[3];

	values[0] = ObjectIdGetDatum(record->partition);
	values[1] = CStringGetTextDatum(record->error);
	values[2] = Int32GetDatum(hone_naptime);
	hone_own_run("INSERT INTO hone._tier_state AS s (partition, failures, last_error, retry_at)"
				 " VALUES ($1, 1, $2, clock_timestamp() + make_interval(secs => $3))"
				 " ON CONFLICT (partition) DO UPDATE SET failures = s.failures + 1, last_error = $2,"
				 " retry_at = clock_timestamp() + make_interval(secs =>"
				 "  least($3 * power(2, least(s.failures, 20)), greatest($3, " CppAsString2(MAX_REST) ")))",
				 3, types, values, NULL);
}

/*
 * No failure (any more), and nothing to do in its tier for a day. What has
 * become due while it was moved does not rest.
 */
static void
rest_a_day(const HoneMoveRecord *record)
{
	Oid			types[] = {OIDOID, INT4OID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(record->partition);
	values[1] = Int32GetDatum(record->wanted);
	hone_own_run("INSERT INTO hone._tier_state AS s (partition, rest_until, rest_for)"
				 " VALUES ($1, clock_timestamp() + interval '1 day', $2)"
				 " ON CONFLICT (partition) DO UPDATE SET failures = 0, last_error = NULL,"
				 " retry_at = NULL, rest_until = excluded.rest_until, rest_for = excluded.rest_for",
				 2, types, values, NULL);
}

/* In which tier it is; what was restored is the policy's again. Behind the rest. */
static void
note_tier(const HoneMoveRecord *record)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(record->partition);
	values[1] = CStringGetTextDatum(record->to_tier);
	hone_own_run("UPDATE hone._tier_state SET tier = nullif($2, 'hot'), moved_at = clock_timestamp(),"
				 " reads = 0, held = false, rest_until = CASE WHEN $2 <> 'hot' THEN rest_until END"
				 " WHERE partition = $1",
				 2, types, values, NULL);
}

/*
 * A move that was ended after its last step and before its log is there already.
 */
static void
note_tier_found(Oid partition, const char *tier)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[2];

	values[0] = ObjectIdGetDatum(partition);
	values[1] = CStringGetTextDatum(tier);
	hone_own_run("UPDATE hone._tier_state SET tier = $2, moved_at = clock_timestamp(), reads = 0"
				 " WHERE partition = $1 AND tier IS DISTINCT FROM $2",
				 2, types, values, NULL);
}

void
hone_log_nothing(const HoneMoveRecord *record, const char *tier)
{
	rest_a_day(record);
	if (tier != NULL)
		note_tier_found(record->partition, tier);
}

void
hone_log_move(const HoneMoveRecord *record)
{
	write_log(record);
	if (record->error != NULL)
		note_failure(record);
	/* one that is not finished is due as it was before */
	else if (!record->gone && !record->unfinished)
	{
		rest_a_day(record);
		note_tier(record);
	}
}

void
hone_log_premake(const HoneMoveRecord *record, Oid parent)
{
	write_log(record);
	if (record->error != NULL)
		note_failure(record);
	else
		hone_own_run_oid("UPDATE hone._tier_state SET failures = 0, last_error = NULL, retry_at = NULL"
						 " WHERE partition = $1 AND failures > 0", parent);
}

void
hone_refresh_state(void)
{
	hone_own_run("DELETE FROM hone._tier_policy p"
				 " WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = p.parent)",
				 0, NULL, NULL, NULL);
	hone_own_run("DELETE FROM hone._tier_state s"
				 " WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = s.partition)",
				 0, NULL, NULL, NULL);

	/*
	 * Rows that have not changed are not even locked: an idle nap writes
	 * nothing.
	 */
	hone_own_run("WITH counted AS ("
				 " SELECT a.partition, pg_stat_get_numscans(a.partition) + coalesce(i.scans, 0) AS scans"
				 " FROM hone._policy_leaf a"
				 " LEFT JOIN (SELECT x.indrelid, sum(pg_stat_get_numscans(x.indexrelid)) AS scans"
				 "  FROM pg_index x GROUP BY x.indrelid) i ON i.indrelid = a.partition)"
				 " INSERT INTO hone._tier_state AS s (partition, scans)"
				 " SELECT c.partition, c.scans FROM counted c"
				 " LEFT JOIN hone._tier_state o USING (partition)"
				 " WHERE o.scans IS DISTINCT FROM c.scans"
				 " ON CONFLICT (partition) DO UPDATE SET scans = excluded.scans,"
				 "  reads = s.reads + greatest(excluded.scans - s.scans, 0),"
				 "  last_read = CASE WHEN excluded.scans > s.scans THEN now() ELSE s.last_read END",
				 0, NULL, NULL, NULL);
}
