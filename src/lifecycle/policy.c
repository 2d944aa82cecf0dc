/*-------------------------------------------------------------------------
 *
 * policy.c
 *	  add_tier_policy, alter_tier_policy and remove_tier_policy.
 *
 * A policy is a row of hone._tier_policy, which nobody but the extension's
 * owner may write; these functions check the caller's right to the table and
 * then write as that owner. What was written is read back and checked as a
 * whole, so that adding and altering allow the same. The parent's name is what
 * pg_dump sees (regclass), so policies survive dumps and renames; the policy of
 * a dropped table counts for nothing and is removed by the worker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "common/own_tables.h"
#include "common/owner.h"
#include "lifecycle/policy.h"
#include "lifecycle/shared.h"
#include "tiered/tiered.h"

PG_FUNCTION_INFO_V1(hone_add_tier_policy);
PG_FUNCTION_INFO_V1(hone_alter_tier_policy);
PG_FUNCTION_INFO_V1(hone_remove_tier_policy);

#define PARENT_HINT "Name a partitioned table of your own."

/* What may be given: the argument of both functions, and the column. */
typedef struct PolicyColumn
{
	const char *name;
	int			argument;
	Oid			type;
} PolicyColumn;

static const PolicyColumn columns[] = {
	{"warm_after", 1, INTERVALOID},
	{"cold_after", 2, INTERVALOID},
	{"archive_after", 3, INTERVALOID},
	{"drop_after", 4, INTERVALOID},
	{"cold_tablespace", 6, NAMEOID},
	{"premake", 7, INT4OID},
	{"partition_interval", 8, INTERVALOID},
	{"warm_level", 9, INT4OID},
	{"cold_level", 10, INT4OID},
	{"keep_while_read", 11, INTERVALOID},
	{"epoch", 12, TEXTOID},
	{"allow_drop_without_archive", 13, BOOLOID},
};

/* As hone._tier_policy has them. */
#define DEFAULT_WARM_LEVEL	3
#define DEFAULT_COLD_LEVEL	12

#define ORDER_ARGUMENT	5
#define LAST_ARGUMENT	14		/* if_not_exists, or reset */
#define COLUMNS			lengthof(columns)

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------
 */

/* Copies into 'context', since SPI's memory goes. */
static Interval *
interval_column(int number, MemoryContext context)
{
	bool		isnull;
	Datum		value = hone_result_value(0, number, &isnull);
	Interval   *copy;

	if (isnull)
		return NULL;
	copy = MemoryContextAlloc(context, sizeof(Interval));
	memcpy(copy, DatumGetIntervalP(value), sizeof(Interval));
	return copy;
}

static char *
text_column(int number, MemoryContext context)
{
	char	   *text = hone_result_text(0, number);

	return text ? MemoryContextStrdup(context, text) : NULL;
}

static int
number_column(int number)
{
	bool		isnull;

	return DatumGetInt32(hone_result_value(0, number, &isnull));
}

bool
hone_policy_read(Oid parent, HonePolicy *policy)
{
	MemoryContext context = CurrentMemoryContext;
	bool		isnull;
	bool		found;

	memset(policy, 0, sizeof(*policy));
	SPI_connect();
	found = hone_own_run_oid("SELECT warm_after, cold_after, archive_after, drop_after, warm_level, cold_level,"
							 " cold_tablespace, premake, partition_interval, keep_while_read, epoch,"
							 " allow_drop_without_archive FROM hone._tier_policy"
							 " WHERE parent OPERATOR(pg_catalog.=) $1", parent) > 0;
	if (found)
	{
		policy->parent = parent;
		policy->warm_after = interval_column(1, context);
		policy->cold_after = interval_column(2, context);
		policy->archive_after = interval_column(3, context);
		policy->drop_after = interval_column(4, context);
		policy->warm_level = number_column(5);
		policy->cold_level = number_column(6);
		policy->cold_tablespace = text_column(7, context);
		policy->premake = number_column(8);
		policy->partition_interval = interval_column(9, context);
		policy->keep_while_read = interval_column(10, context);
		policy->epoch = text_column(11, context);
		policy->allow_drop_without_archive = DatumGetBool(hone_result_value(0, 12, &isnull));
	}
	SPI_finish();
	return found;
}

void
hone_policy_of(Oid partition, HonePolicy *policy)
{
	HonePolicy	none = {.warm_level = DEFAULT_WARM_LEVEL,.cold_level = DEFAULT_COLD_LEVEL};
	ListCell   *lc;

	foreach(lc, get_partition_ancestors(partition))
	{
		if (hone_policy_read(lfirst_oid(lc), policy))
			return;
	}
	*policy = none;
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

/* The values that were given, behind the parent; returns their number. */
static int
given_values(FunctionCallInfo fcinfo, int *which, Oid *types, Datum *values)
{
	int			n = 1;

	types[0] = REGCLASSOID;
	values[0] = PG_GETARG_DATUM(0);
	for (int i = 0; i < COLUMNS; i++)
	{
		if (PG_ARGISNULL(columns[i].argument))
			continue;
		which[n] = i;
		types[n] = columns[i].type;
		values[n] = PG_GETARG_DATUM(columns[i].argument);
		n++;
	}
	return n;
}

/*
 * Returns the number of rows. What failed or rested under an earlier policy is
 * due again at once, partitions ahead too.
 */
static uint64
write_policy(Oid parent, const char *sql, int nvalues, Oid *types, Datum *values)
{
	uint64		written;

	SPI_connect();
	written = hone_own_run(sql, nvalues, types, values, NULL);
	if (written > 0)
		hone_own_run_oid("UPDATE hone._tier_state SET failures = 0, retry_at = NULL, rest_until = NULL"
						 " WHERE (retry_at IS NOT NULL OR rest_until IS NOT NULL)"
						 " AND (partition OPERATOR(pg_catalog.=) $1 OR partition IN"
						 "  (SELECT l.partition FROM hone._policy_leaf l WHERE l.policy OPERATOR(pg_catalog.=) $1))",
						 parent);
	SPI_finish();
	return written;
}

/* Returns false when the parent has a policy already. */
static bool
insert_policy(FunctionCallInfo fcinfo)
{
	int			which[COLUMNS + 1];
	Oid			types[COLUMNS + 1];
	Datum		values[COLUMNS + 1];
	int			n = given_values(fcinfo, which, types, values);
	StringInfoData names;
	StringInfoData numbers;

	initStringInfo(&names);
	initStringInfo(&numbers);
	for (int i = 1; i < n; i++)
	{
		appendStringInfo(&names, ", %s", columns[which[i]].name);
		appendStringInfo(&numbers, ", $%d", i + 1);
	}
	return write_policy(PG_GETARG_OID(0),
						psprintf("INSERT INTO hone._tier_policy (parent%s) VALUES ($1%s)"
								 " ON CONFLICT (parent) DO NOTHING", names.data, numbers.data),
						n, types, values) > 0;
}

static bool
is_column(const char *name)
{
	for (int i = 0; i < COLUMNS; i++)
	{
		if (strcmp(columns[i].name, name) == 0)
			return true;
	}
	return false;
}

/* The names in reset, as assignments. */
static void
append_resets(StringInfo sets, ArrayType *array)
{
	Datum	   *names;
	bool	   *nulls;
	int			n;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &names, &nulls, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *name = nulls[i] ? "NULL" : TextDatumGetCString(names[i]);

		if (!is_column(name))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("reset names \"%s\", which is nothing that a tier policy has", name),
					 errhint("Name parameters of hone.alter_tier_policy, for example reset => '{cold_after, cold_tablespace}'.")));
		appendStringInfo(sets, "%s%s = DEFAULT", sets->len > 0 ? ", " : "", name);
	}
}

static void
update_policy(FunctionCallInfo fcinfo)
{
	int			which[COLUMNS + 1];
	Oid			types[COLUMNS + 1];
	Datum		values[COLUMNS + 1];
	int			n = given_values(fcinfo, which, types, values);
	StringInfoData sets;

	initStringInfo(&sets);
	for (int i = 1; i < n; i++)
		appendStringInfo(&sets, "%s%s = $%d", i > 1 ? ", " : "", columns[which[i]].name, i + 1);
	if (!PG_ARGISNULL(LAST_ARGUMENT))
		append_resets(&sets, PG_GETARG_ARRAYTYPE_P(LAST_ARGUMENT));
	if (sets.len == 0)
		appendStringInfoString(&sets, "parent = parent");
	if (write_policy(PG_GETARG_OID(0),
					 psprintf("UPDATE hone._tier_policy SET %s WHERE parent = $1", sets.data),
					 n, types, values) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("table \"%s\" has no tier policy", get_rel_name(PG_GETARG_OID(0))),
				 errhint("Set one with hone.add_tier_policy.")));
}

/* ------------------------------------------------------------------------
 * The functions
 * ------------------------------------------------------------------------
 */

static void
warn_not_preloaded(void)
{
	ereport(NOTICE,
			(errmsg("nothing will move on its own, since pg_hone is not preloaded"),
			 errhint("Set shared_preload_libraries = 'pg_hone' in postgresql.conf and restart the server, or run CALL hone.run_tier_policies() now and then.")));
}

static Relation
open_parent(FunctionCallInfo fcinfo)
{
	Relation	rel;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parent must not be null"),
				 errhint(PARENT_HINT)));
	rel = try_relation_open(PG_GETARG_OID(0), AccessShareLock);
	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", PG_GETARG_OID(0)),
				 errhint(PARENT_HINT)));
	return rel;
}

/* Check the policy as it is now, as a whole; remember the order. */
static void
finish_policy(FunctionCallInfo fcinfo, Relation rel)
{
	HonePolicy	policy;
	HoneRole	saved;

	if (!hone_policy_read(RelationGetRelid(rel), &policy))
		elog(ERROR, "the tier policy is not there");
	hone_policy_check_parent(rel, policy.epoch);
	hone_policy_check(&policy, GetUserId());
	if (!PG_ARGISNULL(ORDER_ARGUMENT))
	{
		hone_become_owner(RelationGetRelid(rel), &saved);
		hone_tiered_set_order(RelationGetRelid(rel),
							  text_to_cstring(PG_GETARG_TEXT_PP(ORDER_ARGUMENT)));
		hone_restore_role(&saved);
	}
	hone_launcher_forget();
}

/*
 * hone.add_tier_policy(parent, warm_after, ..., if_not_exists)
 */
Datum
hone_add_tier_policy(PG_FUNCTION_ARGS)
{
	Relation	rel;

	hone_require_script();
	rel = open_parent(fcinfo);
	hone_policy_check_parent(rel, PG_ARGISNULL(12) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(12)));
	if (!insert_policy(fcinfo))
	{
		bool		quiet = !PG_ARGISNULL(LAST_ARGUMENT) && PG_GETARG_BOOL(LAST_ARGUMENT);

		ereport(quiet ? NOTICE : ERROR,
				(errcode(ERRCODE_DUPLICATE_OBJECT),
				 errmsg("table \"%s\" has a tier policy already%s",
						RelationGetRelationName(rel), quiet ? ", skipping" : ""),
				 quiet ? 0 : errhint("Change it with hone.alter_tier_policy, or pass if_not_exists => true.")));
	}
	else
	{
		finish_policy(fcinfo, rel);
		if (!hone_preloaded)
			warn_not_preloaded();
	}
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * hone.alter_tier_policy(parent, warm_after, ..., reset)
 */
Datum
hone_alter_tier_policy(PG_FUNCTION_ARGS)
{
	Relation	rel;

	hone_require_script();
	rel = open_parent(fcinfo);
	hone_require_owner(RelationGetRelid(rel), GetUserId());
	update_policy(fcinfo);
	finish_policy(fcinfo, rel);
	relation_close(rel, NoLock);
	PG_RETURN_VOID();
}

/*
 * hone.remove_tier_policy(parent, if_exists)
 */
Datum
hone_remove_tier_policy(PG_FUNCTION_ARGS)
{
	Oid			parent;
	uint64		deleted;

	hone_require_script();
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("parent must not be null"),
				 errhint("Name one of the tables in hone.tier_policies.")));
	parent = PG_GETARG_OID(0);
	hone_require_owner(parent, GetUserId());

	SPI_connect();
	deleted = hone_own_run_oid("DELETE FROM hone._tier_policy WHERE parent OPERATOR(pg_catalog.=) $1", parent);
	SPI_finish();

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
