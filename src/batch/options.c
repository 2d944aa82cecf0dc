/*-------------------------------------------------------------------------
 *
 * options.c
 *	  Options that all procedures of batches take.
 *
 * batch_size is of a polymorphic type, so that both 500 and 'auto' are calls
 * of the same procedure: it is read as the text that its value has.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "batch/options.h"

/* Arguments, counted from the one behind the number of rows. */
enum
{
	OPTION_PAUSE,
	OPTION_MAX_RUNTIME,
	OPTION_SKIP_LOCKED,
	OPTION_MAX_REPLICA_LAG,
	OPTION_LOCK_TIMEOUT,
	OPTION_LOCK_RETRIES,
	OPTION_DRY_RUN,
	OPTION_JOB,
	OPTION_RESUME,
	OPTION_ON_ERROR
};

#define DEFAULT_LOCK_RETRIES	10
#define MAX_LOCK_RETRIES		1000
#define MAX_JOB_NAME			200 /* bytes */

/* Longest times; years for that of the whole. */
#define MS_PER_DAY		(INT64CONST(24) * 3600 * 1000)
#define MAX_MS			((int64) INT_MAX)
#define MAX_RUNTIME_MS	(INT64CONST(10) * 366 * 24 * 3600 * 1000)

static void
bad_size(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("batch_size must be 'auto' or between 1 and %d", HONE_BATCH_MAX_SIZE),
			 errhint("It is the number of rows of one transaction; the default is 10000, and 'auto' aims at %d ms for each.",
					 HONE_BATCH_AUTO_MS)));
}

static void
read_size(FunctionCallInfo fcinfo, int argument, HoneBatchOptions *options)
{
	Oid			type = get_fn_expr_argtype(fcinfo->flinfo, argument);
	Oid			output;
	bool		is_varlena;
	char	   *text;
	char	   *end;
	long		size;

	if (PG_ARGISNULL(argument) || !OidIsValid(type))
		bad_size();
	getTypeOutputInfo(type, &output, &is_varlena);
	text = OidOutputFunctionCall(output, PG_GETARG_DATUM(argument));
	options->auto_size = pg_strcasecmp(text, "auto") == 0;
	if (options->auto_size)
	{
		options->size = HONE_BATCH_AUTO_FIRST;
		return;
	}
	errno = 0;
	size = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || size < 1 || size > HONE_BATCH_MAX_SIZE)
		bad_size();
	options->size = size;
}

/*
 * An interval in milliseconds, rounded up; 'none' if it is NULL.
 */
static int64
read_ms(FunctionCallInfo fcinfo, int argument, const char *name, int64 most, int64 none)
{
	Interval   *interval;
	int64		ms;

	if (PG_ARGISNULL(argument))
		return none;
	interval = PG_GETARG_INTERVAL_P(argument);
	ms = interval->time / 1000 + (interval->time % 1000 > 0) +
		((int64) interval->day + (int64) interval->month * DAYS_PER_MONTH) * MS_PER_DAY;
	if (ms < 0 || ms > most || interval->time < 0 || interval->day < 0 || interval->month < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be negative, nor longer than %lld days", name,
						(long long) (most / MS_PER_DAY)),
				 errhint("Pass an interval, for example %s => '2 seconds'.", name)));
	return ms;
}

static bool
read_bool(FunctionCallInfo fcinfo, int argument)
{
	return !PG_ARGISNULL(argument) && PG_GETARG_BOOL(argument);
}

static char *
read_name(FunctionCallInfo fcinfo, int argument, const char *what)
{
	char	   *name;

	if (PG_ARGISNULL(argument))
		return NULL;
	name = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (name[0] == '\0' || strlen(name) > MAX_JOB_NAME)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be a name of 1 to %d bytes", what, MAX_JOB_NAME),
				 errhint("A job has the name that you give it: the next call with the same name goes on where this one ends.")));
	return name;
}

static void
read_job(FunctionCallInfo fcinfo, int first, HoneBatchOptions *options)
{
	char	   *job = read_name(fcinfo, first + OPTION_JOB, "job");
	char	   *resume = read_name(fcinfo, first + OPTION_RESUME, "resume");

	if (job != NULL && resume != NULL && strcmp(job, resume) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("job and resume name two jobs"),
				 errhint("Pass one of them: job begins a job or goes on with it, resume only goes on.")));
	options->job = resume != NULL ? resume : job;
	options->resume = resume != NULL;
}

static bool
read_on_error(FunctionCallInfo fcinfo, int argument)
{
	char	   *choice;

	if (PG_ARGISNULL(argument))
		return false;
	choice = text_to_cstring(PG_GETARG_TEXT_PP(argument));
	if (pg_strcasecmp(choice, "skip") == 0)
		return true;
	if (pg_strcasecmp(choice, "stop") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("on_error must be 'stop' or 'skip'"),
				 errhint("'skip' leaves a batch that fails as it is and records it in hone.batch_errors.")));
	return false;
}

static int
read_retries(FunctionCallInfo fcinfo, int argument)
{
	int			retries = PG_ARGISNULL(argument) ? DEFAULT_LOCK_RETRIES : PG_GETARG_INT32(argument);

	if (retries < 0 || retries > MAX_LOCK_RETRIES)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("lock_retries must be between 0 and %d", MAX_LOCK_RETRIES),
				 errhint("It is how often a batch is tried again that did not get a lock in lock_timeout, or was the victim of a deadlock.")));
	return retries;
}

void
hone_batch_read_options(FunctionCallInfo fcinfo, int size, HoneBatchOptions *options)
{
	int			first = size + 2;

	memset(options, 0, sizeof(*options));
	read_size(fcinfo, size, options);
	options->pause_ms = read_ms(fcinfo, first + OPTION_PAUSE, "pause", MAX_MS, 0);
	options->max_runtime_ms = read_ms(fcinfo, first + OPTION_MAX_RUNTIME, "max_runtime",
									  MAX_RUNTIME_MS, -1);
	options->skip_locked = read_bool(fcinfo, first + OPTION_SKIP_LOCKED);
	options->max_lag_ms = read_ms(fcinfo, first + OPTION_MAX_REPLICA_LAG, "max_replica_lag", MAX_MS, -1);
	options->lock_timeout_ms = read_ms(fcinfo, first + OPTION_LOCK_TIMEOUT, "lock_timeout", MAX_MS, -1);
	options->lock_retries = read_retries(fcinfo, first + OPTION_LOCK_RETRIES);
	options->dry_run = read_bool(fcinfo, first + OPTION_DRY_RUN);
	read_job(fcinfo, first, options);
	options->skip_errors = read_on_error(fcinfo, first + OPTION_ON_ERROR);
	if (options->max_lag_ms >= 0)
		hone_require_preload("max_replica_lag");
}
