/*-------------------------------------------------------------------------
 *
 * premake.c
 *	  Partitions ahead of now: one after the other, each in a transaction of its
 *	  own; and what SQL calls for it.
 *
 * A lock that is not to be had is tried for again a few times. What is wrong
 * with one range (rows of it in the default partition) does not keep the others
 * from being made; what is wrong with the table does. One record of it goes into
 * the log, under the parent, which then rests as a partition does whose move
 * failed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/owner.h"
#include "common/own_tables.h"
#include "common/procedure.h"
#include "lifecycle/log.h"
#include "lifecycle/premake.h"
#include "lifecycle/shared.h"

PG_FUNCTION_INFO_V1(hone_premake_partitions);
PG_FUNCTION_INFO_V1(hone_premake_run);
PG_FUNCTION_INFO_V1(hone_premake_show_plan);
PG_FUNCTION_INFO_V1(hone_premake_show_gaps);

/* Tries for the locks of one partition, with pauses between them. */
#define MAX_ATTEMPTS		10
#define RETRY_PAUSE_MS		100

/* How one partition went. */
typedef enum Outcome
{
	MADE,
	NOT_MISSING,				/* any more */
	GONE,						/* the parent */
	BLOCKED,					/* by rows in the default partition */
	FAILED
} Outcome;

/* ------------------------------------------------------------------------
 * One partition
 * ------------------------------------------------------------------------
 */

static void
begin_as_owner(HonePremake *premake, HoneRole *saved)
{
	if (!premake->by_worker)
		hone_require_owner(premake->order.parent, premake->caller);
	hone_become_owner(premake->order.parent, saved);
	hone_premake_settings();
}

static void
commit_as_caller(const HoneRole *saved)
{
	hone_restore_role(saved);
	hone_procedure_commit();
}

/*
 * See to it that the default partition is in nobody's way. Returns true when it
 * has the constraint that spares a long scan.
 */
static bool
prepare_default(HonePremake *premake, const HonePremakePlan *plan, const HonePremakeRange *range)
{
	HoneRole	saved;
	bool		large;

	begin_as_owner(premake, &saved);
	hone_premake_check_default(plan, range);
	large = hone_premake_default_is_large(plan);
	commit_as_caller(&saved);
	if (!large)
		return false;

	begin_as_owner(premake, &saved);
	hone_premake_clean(plan);	/* another range's */
	hone_premake_prepare(plan, range);
	commit_as_caller(&saved);
	begin_as_owner(premake, &saved);
	hone_premake_validate(plan);
	commit_as_caller(&saved);
	return true;
}

static void
log_made(HonePremake *premake, Oid made, const char *name, TimestampTz started)
{
	HoneMoveRecord record = {.partition = made,.name = name,.to_tier = "premake",
	.by_worker = premake->by_worker,.started = started};

	hone_log_premake(&record, premake->order.parent);
}

/* Throws. */
static Outcome
try_range(HonePremake *premake, const HonePremakePlan *plan, const HonePremakeRange *range)
{
	TimestampTz started = GetCurrentTimestamp();
	bool		prepared = false;
	char	   *name = NULL;
	Oid			made;

	if (OidIsValid(plan->default_partition))
		prepared = prepare_default(premake, plan, range);
	if (!premake->by_worker)
		hone_require_owner(premake->order.parent, premake->caller);
	made = hone_premake_make(&premake->order, range->start, prepared, &name);
	hone_procedure_commit();
	if (!OidIsValid(made))
		return NOT_MISSING;
	log_made(premake, made, name, started);
	hone_procedure_commit();
	return MADE;
}

/*
 * In a PG_CATCH block: take the error, leave the transaction. A cancel request
 * of a user's own session is no failure, and goes on.
 */
static ErrorData *
take_error(HonePremake *premake)
{
	ErrorData  *error;

	MemoryContextSwitchTo(hone_procedure_context());
	error = CopyErrorData();
	if (!premake->by_worker && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		PG_RE_THROW();
	FlushErrorState();
	hone_procedure_rollback();
	return error;
}

/* Say which rows are in the way, whoever found them. */
static void
explain_rows(ErrorData *error, const HonePremakePlan *plan, const HonePremakeRange *range)
{
	char	   *name = get_rel_name(plan->default_partition);

	error->message = psprintf("default partition \"%s\" holds rows of %s to %s",
							  name ? name : "?", range->start_key, range->end_key);
	error->hint = "Move these rows elsewhere: the partition of their range is made in the next round.";
}

static bool
is_passing(int sqlstate)
{
	return sqlstate == ERRCODE_LOCK_NOT_AVAILABLE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED ||
		sqlstate == ERRCODE_DUPLICATE_TABLE || sqlstate == ERRCODE_DUPLICATE_OBJECT ||
		sqlstate == ERRCODE_UNIQUE_VIOLATION;
}

/* Without a snapshot. */
static void
pause_before_retry(void)
{
	hone_procedure_commit();
	CHECK_FOR_INTERRUPTS();
	pg_usleep(Min(hone_lock_timeout, RETRY_PAUSE_MS) * 1000L);
}

/*
 * One try; on failure the error is handed out.
 */
static Outcome
make_once(HonePremake *premake, const HonePremakePlan *plan,
		  const HonePremakeRange *range, ErrorData **error)
{
	volatile Outcome outcome = FAILED;

	*error = NULL;
	PG_TRY();
	{
		outcome = try_range(premake, plan, range);
	}
	PG_CATCH();
	{
		*error = take_error(premake);
	}
	PG_END_TRY();
	return outcome;
}

static Outcome
make_range(HonePremake *premake, const HonePremakePlan *plan, const HonePremakeRange *range)
{
	ErrorData  *error;

	for (int attempt = 1;; attempt++)
	{
		Outcome		outcome = make_once(premake, plan, range, &error);

		if (error == NULL)
			return outcome;
		if (hone_relation_owner(premake->order.parent) == InvalidOid)
			return GONE;
		if (!is_passing(error->sqlerrcode) || attempt >= MAX_ATTEMPTS)
			break;
		pause_before_retry();
	}
	if (error->sqlerrcode != ERRCODE_CHECK_VIOLATION || !OidIsValid(plan->default_partition))
	{
		premake->error = error;
		return FAILED;
	}
	explain_rows(error, plan, range);
	if (premake->error == NULL)
		premake->error = error;
	return BLOCKED;
}

/* ------------------------------------------------------------------------
 * One table
 * ------------------------------------------------------------------------
 */

static ErrorData *
clean_once(HonePremake *premake, const HonePremakePlan *plan)
{
	ErrorData  *volatile error = NULL;
	HoneRole	saved;

	PG_TRY();
	{
		begin_as_owner(premake, &saved);
		hone_premake_clean(plan);
		commit_as_caller(&saved);
	}
	PG_CATCH();
	{
		error = take_error(premake);
	}
	PG_END_TRY();
	return error;
}

/*
 * Take away what a try that ended in between has left on the default partition.
 */
static void
clean_default(HonePremake *premake, const HonePremakePlan *plan)
{
	for (int attempt = 1; hone_premake_is_prepared(plan); attempt++)
	{
		ErrorData  *error = clean_once(premake, plan);

		if (error == NULL)
			return;
		if (attempt < MAX_ATTEMPTS && is_passing(error->sqlerrcode))
		{
			pause_before_retry();
			continue;
		}
		if (premake->error == NULL)
			premake->error = error;
		return;
	}
}

static void
log_failure(HonePremake *premake, TimestampTz started)
{
	HoneMoveRecord record = {.partition = premake->order.parent,.to_tier = "premake",
	.by_worker = premake->by_worker,.started = started};

	record.name = hone_qualified_name(premake->order.parent);
	if (record.name == NULL)
		return;
	record.sqlstate = premake->error->sqlerrcode;
	record.error = premake->error->message;
	PG_TRY();
	{
		hone_log_premake(&record, premake->order.parent);
		hone_procedure_commit();
	}
	PG_CATCH();
	{
		if (!premake->by_worker)
			PG_RE_THROW();
		hone_procedure_report("could not write down that partitions could not be made");
	}
	PG_END_TRY();
}

/* What is wrong with the table, as an error like any other. */
static ErrorData *
plan_error(HonePremake *premake, const HonePremakePlan *plan)
{
	ErrorData  *volatile error = NULL;

	PG_TRY();
	{
		ereport(ERROR,
				(errcode(plan->sqlstate),
				 errmsg("%s", plan->problem),
				 errhint("%s", plan->hint)));
	}
	PG_CATCH();
	{
		error = take_error(premake);
	}
	PG_END_TRY();
	return error;
}

static void
report_activity(const HonePremake *premake)
{
	char	   *name = hone_qualified_name(premake->order.parent);

	if (premake->by_worker && name != NULL)
		pgstat_report_activity(STATE_RUNNING, psprintf("making partitions of %s", name));
}

int
hone_premake(HonePremake *premake)
{
	HonePremakePlan *plan = hone_premake_plan(&premake->order);
	TimestampTz started = GetCurrentTimestamp();
	bool		left = hone_premake_is_prepared(plan);
	Outcome		outcome = MADE;
	int			made = 0;
	ListCell   *lc;

	premake->error = NULL;
	if (plan->ranges == NIL && plan->problem == NULL && !left)
		return 0;
	report_activity(premake);
	hone_procedure_commit();
	foreach(lc, plan->ranges)
	{
		CHECK_FOR_INTERRUPTS();
		outcome = make_range(premake, plan, lfirst(lc));
		if (outcome == MADE)
			made++;
		else if (outcome == GONE || outcome == FAILED)
			break;
	}
	if (outcome == GONE || hone_relation_owner(premake->order.parent) == InvalidOid)
	{
		premake->error = NULL;
		return made;
	}
	clean_default(premake, plan);
	if (plan->problem != NULL && premake->error == NULL)
		premake->error = plan_error(premake, plan);
	if (premake->error != NULL)
		log_failure(premake, started);
	return made;
}

/* ------------------------------------------------------------------------
 * All tables
 * ------------------------------------------------------------------------
 */

/*
 * Read as the owner of pg_hone's tables, like the rest of what is due. Whoever
 * writes rows waits for no window: only a pause keeps the worker from this.
 */
static List *
due_parents(bool by_worker)
{
	MemoryContext old;
	List	   *due = NIL;

	if (!hone_hold_extension())
		return NIL;
	hone_own_run(by_worker
				 ? "SELECT p.parent::oid FROM hone._tier_policy p LEFT JOIN hone._tier_state s ON s.partition = p.parent"
				 " WHERE p.premake > 0 AND s.retry_at <= now() IS NOT FALSE"
				 "  AND NOT EXISTS (SELECT FROM hone._worker_state) ORDER BY 1"
				 : "SELECT p.parent::oid FROM hone._tier_policy p WHERE p.premake > 0 ORDER BY 1",
				 0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Oid			relid = hone_result_oid(i, 1);

		if (by_worker ? OidIsValid(hone_relation_owner(relid)) : hone_is_owner(relid, GetUserId()))
			due = lappend_oid(due, relid);
	}
	SPI_freetuptable(SPI_tuptable);
	MemoryContextSwitchTo(old);
	return due;
}

/* False when there is no such policy (any more). */
static bool
read_order(Oid parent, HonePremakeOrder *order)
{
	HonePolicy	policy;

	if (!hone_policy_read(parent, &policy) || policy.premake <= 0)
		return false;
	order->parent = parent;
	order->premake = policy.premake;
	order->interval = policy.partition_interval;
	order->epoch = policy.epoch;
	order->now = GetCurrentTimestamp();
	return true;
}

static void
report_failure(const HonePremake *premake)
{
	char	   *name = hone_qualified_name(premake->order.parent);

	ereport(premake->by_worker ? LOG : WARNING,
			(errcode(premake->error->sqlerrcode),
			 errmsg("could not make partitions of %s: %s",
					name ? name : "(dropped)", premake->error->message),
			 premake->error->hint ? errhint("%s", premake->error->hint) : 0));
}

int
hone_premake_due(bool by_worker, int *failed)
{
	List	   *due = due_parents(by_worker);
	Oid			caller = GetUserId();
	int			made = 0;
	ListCell   *lc;

	foreach(lc, due)
	{
		HonePremake premake = {.by_worker = by_worker,.caller = caller};

		CHECK_FOR_INTERRUPTS();
		if (!read_order(lfirst_oid(lc), &premake.order))
			continue;
		made += hone_premake(&premake);
		if (premake.error != NULL)
		{
			(*failed)++;
			report_failure(&premake);
		}
	}
	return made;
}

/* ------------------------------------------------------------------------
 * Functions
 * ------------------------------------------------------------------------
 */

static Oid
parent_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parent must not be null"),
				 errhint("Name one of the tables in hone.tier_policies.")));
	hone_require_owner(PG_GETARG_OID(0), GetUserId());
	return PG_GETARG_OID(0);
}

static void
run_procedure(HonePremake *premake)
{
	int			made = hone_premake(premake);

	if (premake->error != NULL)
		ReThrowError(premake->error);
	hone_procedure_end();
	ereport(NOTICE,
			(errmsg_plural("%d partition made", "%d partitions made", made, made)));
}

/*
 * hone.premake_partitions(parent)
 */
Datum
hone_premake_partitions(PG_FUNCTION_ARGS)
{
	HonePremake premake = {.caller = GetUserId()};
	Oid			parent;

	hone_require_script();
	PreventCommandIfReadOnly("hone.premake_partitions");
	PreventCommandDuringRecovery("hone.premake_partitions");
	parent = parent_argument(fcinfo);
	hone_procedure_begin(fcinfo, "hone.premake_partitions");
	if (!read_order(parent, &premake.order))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no tier policy that makes partitions ahead", get_rel_name(parent)),
				 errhint("Set one with hone.add_tier_policy(..., premake => 4), or hone.alter_tier_policy where there is one.")));
	run_procedure(&premake);
	PG_RETURN_VOID();
}

/* Arguments 1 to 4 of the internal functions, copied to where they survive. */
static void
read_arguments(FunctionCallInfo fcinfo, HonePremakeOrder *order)
{
	order->parent = PG_GETARG_OID(0);
	order->premake = PG_ARGISNULL(1) ? 0 : Min(PG_GETARG_INT32(1), 1000);
	if (!PG_ARGISNULL(2))
	{
		order->interval = palloc(sizeof(Interval));
		*order->interval = *PG_GETARG_INTERVAL_P(2);
	}
	if (!PG_ARGISNULL(3))
		order->epoch = text_to_cstring(PG_GETARG_TEXT_PP(3));
	order->now = PG_ARGISNULL(4) ? GetCurrentTimestamp() : PG_GETARG_TIMESTAMPTZ(4);
}

/*
 * hone._premake(parent, premake, partition_interval, epoch, at)
 */
Datum
hone_premake_run(PG_FUNCTION_ARGS)
{
	HonePremake premake = {.caller = GetUserId()};

	hone_require_script();
	PreventCommandIfReadOnly("hone._premake");
	PreventCommandDuringRecovery("hone._premake");
	parent_argument(fcinfo);
	hone_procedure_begin(fcinfo, "hone._premake");
	read_arguments(fcinfo, &premake.order);
	run_procedure(&premake);
	PG_RETURN_VOID();
}

static const char *
reason_text(HonePremakeReason reason)
{
	switch (reason)
	{
		case HONE_PREMAKE_CURRENT:
			return "holds now";
		case HONE_PREMAKE_AHEAD:
			return "ahead of now";
		default:
			return "gap between partitions";
	}
}

/*
 * hone._premake_plan(parent, premake, partition_interval, epoch, at): what would
 * be made, or in one row without a name why nothing can be.
 */
Datum
hone_premake_show_plan(PG_FUNCTION_ARGS)
{
	HonePremakeOrder order = {0};
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	HonePremakePlan *plan;
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};
	ListCell   *lc;

	hone_require_script();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	read_arguments(fcinfo, &order);
	plan = hone_premake_plan(&order);
	foreach(lc, plan->ranges)
	{
		HonePremakeRange *range = lfirst(lc);
		char	   *schema = get_namespace_name(range->schema);

		values[0] = CStringGetTextDatum(quote_qualified_identifier(schema, range->name));
		values[1] = TimestampTzGetDatum(range->start);
		values[2] = TimestampTzGetDatum(range->end);
		values[3] = CStringGetTextDatum(reason_text(range->reason));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	if (plan->problem != NULL)
	{
		nulls[0] = nulls[1] = nulls[2] = true;
		values[3] = CStringGetTextDatum(plan->problem);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * hone._premake_gaps(parent, epoch, at): what no partition covers; in a row
 * without a range the default partition.
 */
Datum
hone_premake_show_gaps(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Oid			default_partition;
	Datum		values[4];
	ListCell   *lc;

	hone_require_script();
	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	foreach(lc, hone_premake_gaps(PG_GETARG_OID(0),
								  PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)),
								  PG_ARGISNULL(2) ? GetCurrentTimestamp() : PG_GETARG_TIMESTAMPTZ(2),
								  &default_partition))
	{
		HonePremakeRange *gap = lfirst(lc);
		bool		nulls[4] = {false, false, false, true};

		values[0] = TimestampTzGetDatum(gap->start);
		values[1] = TimestampTzGetDatum(gap->end);
		values[2] = CStringGetTextDatum(gap->reason == HONE_PREMAKE_CURRENT ?
										"no partition holds now" : "gap between partitions");
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	if (OidIsValid(default_partition))
	{
		bool		nulls[4] = {true, true, true, false};

		values[3] = ObjectIdGetDatum(default_partition);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	return (Datum) 0;
}
