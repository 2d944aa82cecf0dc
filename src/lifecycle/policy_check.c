/*-------------------------------------------------------------------------
 *
 * policy_check.c
 *	  What a tier policy may be set on, and what it may say.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_class.h"
#include "catalog/pg_tablespace.h"
#include "commands/tablespace.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "common/owner.h"
#include "compat/compat.h"
#include "lifecycle/archive_target.h"
#include "lifecycle/bounds.h"
#include "lifecycle/policy.h"
#include "lifecycle/premake.h"

#define TIME_KEY_HINT \
	"Tier policies need a table that is partitioned by RANGE on one date, timestamp or timestamptz column, or on another one that epoch explains."

#define EPOCH_HINT \
	"It is 's', 'ms', 'us' or 'ns' since 1970 for an integer, 'uuidv7' for a uuid, 'uuidv7' or 'ulid' for a text; none for a date or a timestamp."

#define LEVELS			22		/* of zstd */
#define COLD_LEVEL		10		/* see HoneTieredOptions */
#define MOST_PREMAKE	1000

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
		case HONE_KEY_EPOCH:
			return "the epoch does not fit the partition key of \"%s\"";
		case HONE_KEY_OPCLASS:
			return "the partition key of \"%s\" has an operator class of its own";
		default:
			return "table \"%s\" is not partitioned";
	}
}

void
hone_policy_check_parent(Relation rel, const char *epoch)
{
	AttrNumber	column;
	Oid			type;
	HoneTimeKeyProblem problem;

	check_parent_kind(rel);
	problem = hone_time_key(RelationGetRelid(rel), epoch, &column, &type);
	if (problem != HONE_KEY_OK)
		ereport(ERROR,
				(errcode(problem == HONE_KEY_NOT_TIME || problem == HONE_KEY_EPOCH ?
						 ERRCODE_DATATYPE_MISMATCH : ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg(key_message(problem), RelationGetRelationName(rel)),
				 problem == HONE_KEY_EPOCH ? errhint(EPOCH_HINT) : errhint(TIME_KEY_HINT)));
}

/*
 * An interval to wait: above zero in every part that is set, and finite.
 */
static void
check_wait(const char *parameter, const char *meaning, Interval *wait)
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
				 errhint("It is %s, for example %s => interval '30 days'.", meaning, parameter)));
	if (wait->month < 0 || wait->day < 0 || wait->time < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not mix positive and negative parts", parameter),
				 errhint("It is %s, for example %s => interval '30 days'.", meaning, parameter)));
	if (DatumGetBool(DirectFunctionCall2(interval_gt, value,
										 IntervalPGetDatum(&most))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not exceed %d years", parameter, HONE_MAX_WAIT_YEARS),
				 errhint("What is not to be done at all is left out.")));
}

/* Each of the times is later than the one before. */
static void
check_times(const HonePolicy *policy)
{
	const struct
	{
		const char *name;
		Interval   *wait;
	}			times[] = {
		{"warm_after", policy->warm_after},
		{"cold_after", policy->cold_after},
		{"archive_after", policy->archive_after},
		{"drop_after", policy->drop_after},
	};
	int			last = -1;

	for (int i = 0; i < lengthof(times); i++)
	{
		if (times[i].wait == NULL)
			continue;
		check_wait(times[i].name, "the time to wait after a partition's upper bound", times[i].wait);
		if (last >= 0 &&
			DatumGetBool(DirectFunctionCall2(interval_le, IntervalPGetDatum(times[i].wait),
											 IntervalPGetDatum(times[last].wait))))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("%s must be greater than %s", times[i].name, times[last].name),
					 errhint("Each is the time since a partition's upper bound: warm_after < cold_after < archive_after < drop_after.")));
		last = i;
	}
	if (last < 0 && policy->premake == 0)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("the policy says nothing: one of warm_after, cold_after, archive_after, drop_after or premake must be given"),
				 errhint("Say how long after its upper bound a partition is to be compressed, for example warm_after => interval '30 days'.")));
}

static void
check_number(const char *name, int value, int least, int most)
{
	if (value < least || value > most)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must be between %d and %d", name, least, most),
				 errhint("It is %d.", value)));
}

/* The owner of the table must be able to put it there. */
static void
check_tablespace(const HonePolicy *policy)
{
	Oid			tablespace;
	Oid			owner;

	if (policy->cold_tablespace == NULL)
		return;
	if (policy->cold_after == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("cold_tablespace without cold_after"),
				 errhint("Say when partitions are to go there, for example cold_after => interval '1 year'.")));
	tablespace = get_tablespace_oid(policy->cold_tablespace, false);
	if (tablespace == GLOBALTABLESPACE_OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only shared relations can be placed in tablespace \"%s\"", policy->cold_tablespace),
				 errhint("Name another tablespace.")));
	owner = hone_relation_owner(policy->parent);
	if (tablespace != MyDatabaseTableSpace &&
		!hone_may_create_in_tablespace(tablespace, owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for tablespace %s", policy->cold_tablespace),
				 errdetail("The owner of table \"%s\" may not create tables in it.", get_rel_name(policy->parent)),
				 errhint("GRANT CREATE ON TABLESPACE %s TO %s.", quote_identifier(policy->cold_tablespace),
						 quote_identifier(GetUserNameFromId(owner, false)))));
}

void
hone_check_may_archive(Oid caller)
{
	if (!has_privs_of_role(caller, ROLE_PG_WRITE_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("archives are files of the server"),
				 errhint("GRANT pg_write_server_files TO %s.",
						 quote_identifier(GetUserNameFromId(caller, false)))));
	hone_archive_require_target();
}

static void
check_archive(const HonePolicy *policy, Oid caller)
{
	if (policy->archive_after != NULL)
	{
		hone_check_may_archive(caller);
		/* for whom it will be done */
		hone_check_may_archive(hone_relation_owner(policy->parent));
	}
	else if (policy->drop_after != NULL && !policy->allow_drop_without_archive)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("drop_after without archive_after loses the rows for good"),
				 errhint("Set archive_after too, or say allow_drop_without_archive => true.")));
}

void
hone_policy_check(const HonePolicy *policy, Oid caller)
{
	check_times(policy);
	check_number("warm_level", policy->warm_level, 1, COLD_LEVEL - 1);
	check_number("cold_level", policy->cold_level, COLD_LEVEL, LEVELS);
	check_number("premake", policy->premake, 0, MOST_PREMAKE);
	if (policy->partition_interval != NULL)
		check_wait("partition_interval", "how long each partition is", policy->partition_interval);
	hone_premake_check(policy);
	if (policy->keep_while_read != NULL)
		check_wait("keep_while_read", "how long what was read stays in its tier", policy->keep_while_read);
	check_tablespace(policy);
	check_archive(policy, caller);
}
