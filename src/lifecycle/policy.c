/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  add_tier_policy and remove_tier_policy.
 *
 * A policy is a row of hone._tier_policy, which nobody but the extension's
 * owner may write; these functions check the caller's right to the table and
 * then write as that owner. The parent's name is what pg_dump sees (regclass),
 * so policies survive dumps and renames; the policy of a dropped table counts
 * for nothing and is removed by the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "lifecycle/bounds.h"
#include "common/owner.h"
#include "lifecycle/shared.h"
#include "tiered/tiered.h"

PG_FUNCTION_INFO_V1(hone_add_tier_policy);
PG_FUNCTION_INFO_V1(hone_remove_tier_policy);

#define TIME_KEY_HINT \
	"Tier policies need a table that is partitioned by RANGE on one date, timestamp or timestamptz column."

/*
 * Refuse what can never have a policy: anything but a permanent partitioned
 * table of the caller's.
 */
static void
check_parent_kind(Relation rel)
{
	const char *name = RelationGetRelationName(rel);

	if (IsSystemRelation(rel))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a system catalog", name),
				 errhint(TIME_KEY_HINT)));
	hone_require_owner(RelationGetRelid(rel), GetUserId());
	if (rel->rd_rel->relkind == RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is not partitioned", name),
				 errhint(TIME_KEY_HINT)));
	if (rel->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a partitioned table", name),
				 errdetail_relkind_not_supported(rel->rd_rel->relkind),
				 errhint(TIME_KEY_HINT)));
	if (rel->rd_rel->relpersistence == RELPERSISTENCE_TEMP)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" is temporary", name),
				 errhint("The worker cannot reach temporary tables: make it a permanent one.")));
}

/*
 * What is wrong with the partition key, as a message with one %s.
 */
static const char *
key_message(HoneTimeKeyProblem problem)
{
	switch (problem)
	{
		case HONE_KEY_NOT_RANGE:
			return "table \"%s\" is not partitioned by RANGE";
		case HONE_KEY_MANY_COLUMNS:
			return "the partition key of \"%s\" has more than one column";
		case HONE_KEY_EXPRESSION:
			return "the partition key of \"%s\" is an expression";
		case HONE_KEY_NOT_TIME:
			return "the partition key of \"%s\" is not a date or a timestamp";
		case HONE_KEY_OPCLASS:
			return "the partition key of \"%s\" has an operator class of its own";
		default:
			return "table \"%s\" is not partitioned";
	}
}

/*
 * Refuse partition keys that say nothing about age.
 */
static void
check_parent_key(Relation rel)
{
	AttrNumber	column;
	Oid			type;
	HoneTimeKeyProblem problem = hone_time_key(RelationGetRelid(rel), &column, &type);

	if (problem != HONE_KEY_OK)
		ereport(ERROR,
				(errcode(problem == HONE_KEY_NOT_TIME ?
						 ERRCODE_DATATYPE_MISMATCH : ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg(key_message(problem), RelationGetRelationName(rel)),
				 errhint(TIME_KEY_HINT)));
}

/*
 * An interval to wait: above zero in every part that is set, and finite.
 */
static void
check_wait(const char *parameter, Interval *wait)
{
	Interval	zero = {0};
	Interval	most = {0};
	Datum		value = IntervalPGetDatum(wait);

	most.month = HONE_MAX_WAIT_YEARS * MONTHS_PER_YEAR;
	if (DatumGetBool(DirectFunctionCall2(interval_le, value,
										 IntervalPGetDatum(&zero))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be greater than zero", parameter),
				 errhint("It is the time to wait after a partition's upper bound, for example %s => interval '30 days'.", parameter)));
	if (wait->month < 0 || wait->day < 0 || wait->time < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not mix positive and negative parts", parameter),
				 errhint("It is the time to wait after a partition's upper bound, for example %s => interval '30 days'.", parameter)));
	if (DatumGetBool(DirectFunctionCall2(interval_gt, value,
										 IntervalPGetDatum(&most))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not exceed %d years", parameter, HONE_MAX_WAIT_YEARS),
				 errhint("To keep partitions hot for good, set no policy.")));
}

/*
 * Insert the row as the owner of the extension's table. Returns false when
 * the parent has a policy already.
 */
static bool
insert_policy(Oid parent, Interval *warm_after)
{
	Oid			types[2] = {REGCLASSOID, INTERVALOID};
	Datum		values[2] = {ObjectIdGetDatum(parent), IntervalPGetDatum(warm_after)};
	HoneRole	saved;
	uint64		inserted;

	hone_become_owner(hone_relation_oid("_tier_policy"), &saved);
	SPI_connect();
	if (SPI_execute_with_args("INSERT INTO hone._tier_policy (parent, warm_after)"
							  " VALUES ($1, $2) ON CONFLICT (parent) DO NOTHING",
							  2, types, values, NULL, false, 0) != SPI_OK_INSERT)
		elog(ERROR, "could not insert the tier policy");
	inserted = SPI_processed;

	/* What failed or rested under an earlier policy is due again at once. */
	if (inserted > 0 &&
		SPI_execute_with_args("UPDATE hone._tier_state SET failures = 0, retry_at = NULL"
							  " WHERE retry_at IS NOT NULL AND partition IN"
							  " (SELECT a.partition FROM hone._tier_age a WHERE a.parent = $1)",
							  1, types, values, NULL, false, 0) != SPI_OK_UPDATE)
		elog(ERROR, "could not reset the state of partitions");
	SPI_finish();
	hone_restore_role(&saved);
	return inserted > 0;
}

static void
warn_not_preloaded(void)
{
	ereport(NOTICE,
			(errmsg("nothing will move on its own, since pg_hone is not preloaded"),
			 errhint("Set shared_preload_libraries = 'pg_hone' in postgresql.conf and restart the server, or run CALL hone.run_tier_policies() now and then.")));
}

/*
 * hone.add_tier_policy(parent, warm_after, order_by, if_not_exists)
 */
Datum
hone_add_tier_policy(PG_FUNCTION_ARGS)
{
	Relation	rel;

	hone_require_script();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parent must not be null"),
				 errhint(TIME_KEY_HINT)));

	rel = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", PG_GETARG_OID(0)),
				 errhint(TIME_KEY_HINT)));
	check_parent_kind(rel);
	check_parent_key(rel);
	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("warm_after must be given"),
				 errhint("Say how long after its upper bound a partition is to be compressed, for example warm_after => interval '30 days'.")));
	check_wait("warm_after", PG_GETARG_INTERVAL_P(1));

	if (!insert_policy(RelationGetRelid(rel), PG_GETARG_INTERVAL_P(1)))
	{
		bool		quiet = !PG_ARGISNULL(3) && PG_GETARG_BOOL(3);

		ereport(quiet ? NOTICE : ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" has a tier policy already%s",
						RelationGetRelationName(rel), quiet ? ", skipping" : ""),
				 quiet ? 0 : errhint("Remove it first with hone.remove_tier_policy, or pass if_not_exists => true.")));
	}
	else
	{
		if (!PG_ARGISNULL(2))
			hone_tiered_set_order(RelationGetRelid(rel), text_to_cstring(PG_GETARG_TEXT_PP(2)));
		if (!hone_preloaded)
			warn_not_preloaded();
	}
	hone_launcher_forget();
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * hone.remove_tier_policy(parent, if_exists)
 */
Datum
hone_remove_tier_policy(PG_FUNCTION_ARGS)
{
	Oid			types[1] = {REGCLASSOID};
	Datum		values[1];
	Oid			parent;
	HoneRole	saved;
	uint64		deleted;

	hone_require_script();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parent must not be null"),
				 errhint("Name one of the tables in hone.tier_policies.")));
	parent = PG_GETARG_OID(0);
	hone_require_owner(parent, GetUserId());

	values[0] = ObjectIdGetDatum(parent);
	hone_become_owner(hone_relation_oid("_tier_policy"), &saved);
	SPI_connect();
	if (SPI_execute_with_args("DELETE FROM hone._tier_policy WHERE parent = $1",
							  1, types, values, NULL, false, 0) != SPI_OK_DELETE)
		elog(ERROR, "could not delete the tier policy");
	deleted = SPI_processed;
	SPI_finish();
	hone_restore_role(&saved);

	if (deleted == 0)
	{
		bool		quiet = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);

		ereport(quiet ? NOTICE : ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no tier policy%s",
						get_rel_name(parent), quiet ? ", skipping" : ""),
				 quiet ? 0 : errhint("The view hone.tier_policies shows which tables have one.")));
	}
	PG_RETURN_VOID();
}
