/*-------------------------------------------------------------------------
 *
 * condition.c
 *	  Conditions on a column, in the terms in which batches describe theirs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/hash.h"
#include "access/stratnum.h"
#include "access/transam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"

#include "common/hone.h"
#include "tiered/condition.h"

bool
hone_key_type(Oid type)
{
	switch (type)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return true;
		default:
			return false;
	}
}

bool
hone_time_type(Oid type)
{
	return type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID;
}

int64
hone_key_value(Oid type, Datum value)
{
	switch (type)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		case INT8OID:
			return DatumGetInt64(value);
		case DATEOID:
			return DatumGetDateADT(value);
		default:
			return DatumGetTimestamp(value);
	}
}

static bool
is_builtin(Oid object)
{
	return OidIsValid(object) && object < FirstGenbkiObjectId;
}

/*
 * The type's entry when it is a plain one of PostgreSQL's own: what arrays,
 * ranges and the like hold may be anything.
 */
static TypeCacheEntry *
builtin_type(Oid type)
{
	TypeCacheEntry *entry;

	if (!is_builtin(type))
		return NULL;
	entry = lookup_type_cache(type, TYPECACHE_BTREE_OPFAMILY | TYPECACHE_HASH_OPFAMILY);
	if (entry->typtype != TYPTYPE_BASE || OidIsValid(get_element_type(type)))
		return NULL;
	return entry;
}

static Oid
hash_function(Oid family, Oid type)
{
	Oid			function = get_opfamily_proc(family, type, type, HASHEXTENDED_PROC);

	return is_builtin(function) ? function : InvalidOid;
}

static bool
bytes_decide(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

Oid
hone_column_hash(Oid type, Oid collation)
{
	TypeCacheEntry *entry = builtin_type(type);

	if (entry == NULL || !OidIsValid(entry->hash_opf) || !bytes_decide(collation))
		return InvalidOid;
	return hash_function(entry->hash_opf, entry->hash_opintype);
}

/*
 * Keys compare as the operator does when it is of the type's own ordering.
 * Integers of different size count in one unit, dates and timestamps do not.
 */
static bool
find_keys(HoneComparison *comparison, TypeCacheEntry *entry, Oid operator, Oid left)
{
	TypeCacheEntry *integer = lookup_type_cache(INT8OID, TYPECACHE_BTREE_OPFAMILY);

	return left == comparison->column_type && hone_key_type(left) &&
		hone_key_type(comparison->value_type) &&
		(left == comparison->value_type || entry->btree_opf == integer->btree_opf) &&
		(comparison->strategy = get_op_opfamily_strategy(operator, entry->btree_opf)) != InvalidStrategy;
}

/*
 * In a hash family values of different types that are equal have one hash.
 */
static bool
find_hashes(HoneComparison *comparison, TypeCacheEntry *entry, Oid operator, Oid left)
{
	if (!OidIsValid(entry->hash_opf) || !bytes_decide(comparison->collation) ||
		get_op_opfamily_strategy(operator, entry->hash_opf) != HTEqualStrategyNumber)
		return false;
	comparison->column_hash = hash_function(entry->hash_opf, entry->hash_opintype);
	comparison->value_hash = hash_function(entry->hash_opf, comparison->value_type);
	if (OidIsValid(comparison->column_hash) && OidIsValid(comparison->value_hash) &&
		hash_function(entry->hash_opf, left) == comparison->column_hash)
		return true;
	comparison->column_hash = comparison->value_hash = InvalidOid;
	return false;
}

bool
hone_comparison_find(HoneComparison *comparison, AttrNumber attnum,
					 Oid column_type, Oid operator, Oid collation)
{
	TypeCacheEntry *entry;
	Oid			left;

	memset(comparison, 0, sizeof(*comparison));
	comparison->attnum = attnum;
	comparison->collation = collation;
	comparison->column_type = getBaseType(column_type);
	entry = builtin_type(comparison->column_type);
	if (entry == NULL || !is_builtin(operator))
		return false;
	op_input_types(operator, &left, &comparison->value_type);
	comparison->has_keys = find_keys(comparison, entry, operator, left);
	if (find_hashes(comparison, entry, operator, left))
		comparison->strategy = BTEqualStrategyNumber;
	return comparison->has_keys || OidIsValid(comparison->column_hash);
}

static int
compare_values(const void *a, const void *b)
{
	int64		left = ((const HoneConditionValue *) a)->key;
	int64		right = ((const HoneConditionValue *) b)->key;

	return left < right ? -1 : left > right;
}

static void
set_one_of(const HoneComparison *comparison, const Datum *values, int nvalues,
		   HoneCondition *condition)
{
	FmgrInfo	hash;

	condition->kind = HONE_ONE_OF;
	condition->has_keys = comparison->has_keys;
	condition->hash = comparison->column_hash;
	condition->nvalues = nvalues;
	condition->values = palloc0(nvalues * sizeof(HoneConditionValue));
	if (OidIsValid(condition->hash))
		fmgr_info(comparison->value_hash, &hash);
	for (int i = 0; i < nvalues; i++)
	{
		if (condition->has_keys)
			condition->values[i].key = hone_key_value(comparison->value_type, values[i]);
		if (OidIsValid(condition->hash))
			condition->values[i].hash =
				DatumGetUInt64(FunctionCall2Coll(&hash, comparison->collation,
												 values[i], UInt64GetDatum(0)));
	}
	if (condition->has_keys && nvalues > 1)
		qsort(condition->values, nvalues, sizeof(HoneConditionValue), compare_values);
}

static void
set_range(int strategy, int64 key, HoneCondition *condition)
{
	condition->kind = HONE_IN_RANGE;
	condition->low = PG_INT64_MIN;
	condition->high = PG_INT64_MAX;
	switch (strategy)
	{
		case BTLessStrategyNumber:
			if (key == PG_INT64_MIN)
				condition->kind = HONE_NEVER;
			else
				condition->high = key - 1;
			break;
		case BTLessEqualStrategyNumber:
			condition->high = key;
			break;
		case BTGreaterEqualStrategyNumber:
			condition->low = key;
			break;
		case BTGreaterStrategyNumber:
			if (key == PG_INT64_MAX)
				condition->kind = HONE_NEVER;
			else
				condition->low = key + 1;
			break;
	}
}

void
hone_comparison_condition(const HoneComparison *comparison, const Datum *values,
						  int nvalues, HoneCondition *condition)
{
	memset(condition, 0, sizeof(*condition));
	condition->attnum = comparison->attnum;
	condition->type = comparison->column_type;
	if (nvalues == 0)
		condition->kind = HONE_NEVER;
	else if (comparison->strategy == BTEqualStrategyNumber)
		set_one_of(comparison, values, nvalues, condition);
	else
		set_range(comparison->strategy,
				  hone_key_value(comparison->value_type, values[0]), condition);
}

bool
hone_condition_equal(AttrNumber attnum, Oid column_type, Oid operator,
					 Oid collation, Datum value, bool isnull,
					 HoneCondition *condition)
{
	HoneComparison comparison;

	if (isnull)
	{
		memset(condition, 0, sizeof(*condition));
		condition->kind = HONE_IS_NULL;
		condition->attnum = attnum;
		condition->type = getBaseType(column_type);
		return true;
	}
	if (!OidIsValid(operator) ||
		!hone_comparison_find(&comparison, attnum, column_type, operator, collation) ||
		comparison.strategy != BTEqualStrategyNumber)
		return false;
	hone_comparison_condition(&comparison, &value, 1, condition);
	return true;
}

bool
hone_condition_meets(const HoneCondition *condition, int64 min, int64 max)
{
	int			low = 0;
	int			high = condition->nvalues;

	if (min > max || condition->kind == HONE_NEVER)
		return false;
	if (condition->kind == HONE_IN_RANGE)
		return condition->low <= max && condition->high >= min;
	if (condition->kind != HONE_ONE_OF || !condition->has_keys)
		return true;

	/* the first value from min on */
	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (condition->values[middle].key < min)
			low = middle + 1;
		else
			high = middle;
	}
	return low < condition->nvalues && condition->values[low].key <= max;
}
