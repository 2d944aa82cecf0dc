/*-------------------------------------------------------------------------
 *
 * bounds.c
 *	  The time range of a partition, read from the catalogs.
 *
 * Everything comes from the system caches without locks, so that the views
 * wait for nobody: a partition that is being attached or dropped at the same
 * moment is shown as it was or not at all.
 *
 * Time zones move no boundary: timestamptz bounds are instants already, and
 * date and timestamp bounds are taken as UTC whatever the session's TimeZone.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "lifecycle/bounds.h"

/* Midnight of 1 January 200000, in microseconds since 2000. */
#define LAST_UPPER_BOUND \
	(INT64CONST(198000) * 36525 / 100 * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(hone_partition_time_range);
PG_FUNCTION_INFO_V1(hone_tier_due_at);

/*
 * The operator class that sorts a type by time, or InvalidOid for others.
 */
static Oid
time_opclass(Oid type)
{
	switch (type)
	{
		case DATEOID:
			return DATE_BTREE_OPS_OID;
		case TIMESTAMPOID:
			return TIMESTAMP_BTREE_OPS_OID;
		case TIMESTAMPTZOID:
			return TIMESTAMPTZ_BTREE_OPS_OID;
		default:
			return InvalidOid;
	}
}

static HoneTimeKeyProblem
check_time_key(HeapTuple tuple, AttrNumber *column, Oid *type)
{
	Form_pg_partitioned_table form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	Datum		classes;
	bool		isnull;

	if (form->partstrat != PARTITION_STRATEGY_RANGE)
		return HONE_KEY_NOT_RANGE;
	if (form->partnatts != 1)
		return HONE_KEY_MANY_COLUMNS;
	*column = form->partattrs.values[0];
	if (*column == 0)
		return HONE_KEY_EXPRESSION;
	*type = get_atttype(form->partrelid, *column);
	if (!OidIsValid(time_opclass(*type)))
		return HONE_KEY_NOT_TIME;

	classes = SysCacheGetAttr(PARTRELID, tuple,
							  Anum_pg_partitioned_table_partclass, &isnull);
	if (isnull ||
		((oidvector *) DatumGetPointer(classes))->values[0] !=
		time_opclass(*type))
		return HONE_KEY_OPCLASS;
	return HONE_KEY_OK;
}

HoneTimeKeyProblem
hone_time_key(Oid relid, AttrNumber *column, Oid *type)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relid));
	HoneTimeKeyProblem problem;

	if (!HeapTupleIsValid(tuple))
		return HONE_KEY_NOT_PARTITIONED;
	problem = check_time_key(tuple, column, type);
	ReleaseSysCache(tuple);
	return problem;
}

/*
 * One bound as an instant; date and timestamp count as UTC.
 */
static TimestampTz
bound_instant(PartitionRangeDatum *datum, Oid type)
{
	Const	   *value;
	int			overflow = 0;

	if (datum->kind == PARTITION_RANGE_DATUM_MINVALUE)
		return DT_NOBEGIN;
	if (datum->kind == PARTITION_RANGE_DATUM_MAXVALUE)
		return DT_NOEND;

	value = castNode(Const, datum->value);
	if (type == DATEOID)
		return date2timestamp_opt_overflow(DatumGetDateADT(value->constvalue),
										   &overflow);
	return DatumGetTimestampTz(value->constvalue);
}

/*
 * Bound specification of a partition, or NULL if it is none (any more).
 */
static PartitionBoundSpec *
bound_spec(Oid partition)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(partition));
	PartitionBoundSpec *spec = NULL;
	Datum		bound;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NULL;
	bound = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	if (!isnull)
		spec = castNode(PartitionBoundSpec,
						stringToNode(TextDatumGetCString(bound)));
	ReleaseSysCache(tuple);
	return spec;
}

/*
 * Narrow the range by the bounds of 'child' in its parent.
 */
static void
intersect_range(HoneTimeRange *range, Oid child, Oid type)
{
	PartitionBoundSpec *spec = bound_spec(child);
	TimestampTz start;
	TimestampTz end;

	if (spec == NULL || spec->is_default ||
		spec->strategy != PARTITION_STRATEGY_RANGE)
		return;
	start = bound_instant(linitial_node(PartitionRangeDatum, spec->lowerdatums), type);
	end = bound_instant(linitial_node(PartitionRangeDatum, spec->upperdatums), type);
	if (!range->bounded || start > range->start)
		range->start = start;
	if (!range->bounded || end < range->end)
		range->end = end;
	range->bounded = true;
}

/*
 * The topmost of 'ancestors' (nearest first) partitioned by time, or the one
 * asked for if it is among them.
 */
static Oid
find_time_parent(List *ancestors, Oid wanted)
{
	Oid			found = InvalidOid;
	ListCell   *lc;

	foreach(lc, ancestors)
	{
		Oid			relid = lfirst_oid(lc);
		AttrNumber	column;
		Oid			type;

		if (OidIsValid(wanted) && relid != wanted)
			continue;
		if (hone_time_key(relid, &column, &type) == HONE_KEY_OK)
			found = relid;
	}
	return found;
}

bool
hone_partition_range(Oid leaf, Oid parent, HoneTimeRange *range)
{
	List	   *ancestors = get_partition_ancestors(leaf);
	Oid			child = leaf;
	AttrNumber	column;
	Oid			type;
	char	   *key;
	ListCell   *lc;

	range->parent = find_time_parent(ancestors, parent);
	range->bounded = false;
	if (!OidIsValid(range->parent) ||
		hone_time_key(range->parent, &column, &type) != HONE_KEY_OK)
		return false;
	key = get_attname(range->parent, column, true);
	if (key == NULL)
		return false;

	foreach(lc, ancestors)
	{
		Oid			relid = lfirst_oid(lc);

		if (hone_time_key(relid, &column, &type) == HONE_KEY_OK)
		{
			char	   *name = get_attname(relid, column, true);

			if (name != NULL && strcmp(name, key) == 0)
				intersect_range(range, child, type);
		}
		if (relid == range->parent)
			break;
		child = relid;
	}
	return true;
}

/*
 * hone._partition_range(leaf, parent): SQL face of hone_partition_range;
 * NULL where it returns false, NULL bounds for DEFAULT partitions.
 */
Datum
hone_partition_time_range(PG_FUNCTION_ARGS)
{
	TupleDesc	tupdesc;
	HoneTimeRange range;
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	hone_require_script();
	if (PG_ARGISNULL(0) ||
		!hone_partition_range(PG_GETARG_OID(0),
							  PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
							  &range))
		PG_RETURN_NULL();
	if (get_call_result_type(fcinfo, NULL, &tupdesc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	values[0] = ObjectIdGetDatum(range.parent);
	nulls[1] = nulls[2] = !range.bounded;
	values[1] = range.bounded ? TimestampTzGetDatum(range.start) : (Datum) 0;
	values[2] = range.bounded ? TimestampTzGetDatum(range.end) : (Datum) 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(tupdesc),
													  values, nulls)));
}

/*
 * hone._tier_due_at(upper_bound, wait): the instant when both have passed.
 * Months and days are counted in UTC; 'infinity' where that is out of range.
 */
Datum
hone_tier_due_at(PG_FUNCTION_ARGS)
{
	TimestampTz upper;
	Interval   *wait;

	hone_require_script();
	upper = PG_GETARG_TIMESTAMPTZ(0);
	wait = PG_GETARG_INTERVAL_P(1);
	if (TIMESTAMP_NOT_FINITE(upper))
		PG_RETURN_TIMESTAMPTZ(upper);
	if (upper > LAST_UPPER_BOUND ||
		wait->month > HONE_MAX_WAIT_YEARS * MONTHS_PER_YEAR)
		PG_RETURN_TIMESTAMPTZ(DT_NOEND);
	PG_RETURN_DATUM(DirectFunctionCall2(timestamp_pl_interval,
										TimestampGetDatum(upper),
										IntervalPGetDatum(wait)));
}
