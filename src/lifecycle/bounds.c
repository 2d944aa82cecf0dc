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

#include <ctype.h>

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "datatype/timestamp.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "utils/typcache.h"
#include "utils/uuid.h"

#include "lifecycle/bounds.h"

/* Midnight of 1 January 200000, in microseconds since 2000. */
#define LAST_UPPER_BOUND \
	(INT64CONST(198000) * 36525 / 100 * USECS_PER_DAY)

PG_FUNCTION_INFO_V1(hone_partition_time_range);
PG_FUNCTION_INFO_V1(hone_tier_due_at);

/* How a key that is no date or timestamp counts time. */
typedef enum Epoch
{
	EPOCH_NONE,
	EPOCH_S,
	EPOCH_MS,
	EPOCH_US,
	EPOCH_NS,
	EPOCH_BITS					/* the first 48 bits, in milliseconds */
} Epoch;

static Epoch
read_epoch(const char *name)
{
	static const struct
	{
		const char *name;
		Epoch		epoch;
	}			epochs[] = {
		{"s", EPOCH_S}, {"ms", EPOCH_MS}, {"us", EPOCH_US}, {"ns", EPOCH_NS},
		{"uuidv7", EPOCH_BITS}, {"ulid", EPOCH_BITS},
	};

	for (int i = 0; name != NULL && i < lengthof(epochs); i++)
	{
		if (strcmp(epochs[i].name, name) == 0)
			return epochs[i].epoch;
	}
	return EPOCH_NONE;
}

/* Can a key of this type be an instant, with this epoch? */
static HoneTimeKeyProblem
check_type(Oid type, const char *epoch)
{
	switch (type)
	{
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return epoch == NULL ? HONE_KEY_OK : HONE_KEY_EPOCH;
		case INT4OID:
		case INT8OID:
			if (epoch == NULL)
				return HONE_KEY_NOT_TIME;
			return read_epoch(epoch) >= EPOCH_S && read_epoch(epoch) <= EPOCH_NS ?
				HONE_KEY_OK : HONE_KEY_EPOCH;
		case UUIDOID:
		case TEXTOID:
		case VARCHAROID:
			if (epoch == NULL)
				return HONE_KEY_NOT_TIME;
			return read_epoch(epoch) == EPOCH_BITS ? HONE_KEY_OK : HONE_KEY_EPOCH;
		default:
			return HONE_KEY_NOT_TIME;
	}
}

static HoneTimeKeyProblem
check_time_key(HeapTuple tuple, const char *epoch, AttrNumber *column, Oid *type)
{
	Form_pg_partitioned_table form = (Form_pg_partitioned_table) GETSTRUCT(tuple);
	HoneTimeKeyProblem problem;
	Datum		classes;
	Oid			class;
	bool		isnull;

	if (form->partstrat != PARTITION_STRATEGY_RANGE)
		return HONE_KEY_NOT_RANGE;
	if (form->partnatts != 1)
		return HONE_KEY_MANY_COLUMNS;
	*column = form->partattrs.values[0];
	if (*column == 0)
		return HONE_KEY_EXPRESSION;
	*type = get_atttype(form->partrelid, *column);
	problem = check_type(*type, epoch);
	if (problem != HONE_KEY_OK)
		return problem;

	classes = SysCacheGetAttr(PARTRELID, tuple,
							  Anum_pg_partitioned_table_partclass, &isnull);
	if (isnull)
		return HONE_KEY_OPCLASS;
	class = ((oidvector *) DatumGetPointer(classes))->values[0];
	if (get_opclass_family(class) != lookup_type_cache(*type, TYPECACHE_BTREE_OPFAMILY)->btree_opf)
		return HONE_KEY_OPCLASS;
	return HONE_KEY_OK;
}

HoneTimeKeyProblem
hone_time_key(Oid relid, const char *epoch, AttrNumber *column, Oid *type)
{
	HeapTuple	tuple = SearchSysCache1(PARTRELID, ObjectIdGetDatum(relid));
	HoneTimeKeyProblem problem;

	if (!HeapTupleIsValid(tuple))
		return HONE_KEY_NOT_PARTITIONED;
	problem = check_time_key(tuple, epoch, column, type);
	ReleaseSysCache(tuple);
	return problem;
}

/* A number of units since 1970; infinite where no timestamp is. */
static TimestampTz
instant_of(int64 value, Epoch epoch)
{
	static const int64 usecs[] = {[EPOCH_S] = USECS_PER_SEC,[EPOCH_MS] = 1000,[EPOCH_US] = 1,[EPOCH_NS] = 1,[EPOCH_BITS] = 1000};
	int64		since = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	TimestampTz result;

	if (epoch == EPOCH_NS)
		value /= 1000;
	if (pg_mul_s64_overflow(value, usecs[epoch], &result) ||
		pg_sub_s64_overflow(result, since, &result) || !IS_VALID_TIMESTAMP(result))
		return value < 0 ? DT_NOBEGIN : DT_NOEND;
	return result;
}

static int64
uuid_bits(const unsigned char *bytes)
{
	int64		bits = 0;

	for (int i = 0; i < 6; i++)
		bits = bits << 8 | bytes[i];
	return bits;
}

/*
 * Time of a text: Crockford's base 32 of a ULID, or the digits of a UUID. What
 * is missing at its end counts as zeros.
 */
static int64
text_bits(const char *text, int len, const char *epoch)
{
	static const char base32[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
	bool		ulid = strcmp(epoch, "ulid") == 0;
	int			wanted = ulid ? 10 : 12;
	int64		bits = 0;
	int			n = 0;

	for (int i = 0; n < wanted; i++)
	{
		unsigned char c = i < len ? pg_toupper((unsigned char) text[i]) : '0';
		const char *digit = strchr(base32, c);

		if (c == '-')
			continue;
		if (c == '\0' || digit == NULL)
			digit = base32;
		bits = bits * (ulid ? 32 : 16) + (digit - base32);
		n++;
	}
	return bits;
}

TimestampTz
hone_key_instant(Datum value, Oid type, const char *epoch)
{
	int			overflow = 0;
	struct varlena *text;

	switch (type)
	{
		case DATEOID:
			return date2timestamp_opt_overflow(DatumGetDateADT(value), &overflow);
		case INT4OID:
			return instant_of(DatumGetInt32(value), read_epoch(epoch));
		case INT8OID:
			return instant_of(DatumGetInt64(value), read_epoch(epoch));
		case UUIDOID:
			return instant_of(uuid_bits(DatumGetUUIDP(value)->data), EPOCH_BITS);
		case TEXTOID:
		case VARCHAROID:
			text = PG_DETOAST_DATUM_PACKED(value);
			return instant_of(text_bits(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text), epoch), EPOCH_BITS);
		default:
			return DatumGetTimestampTz(value);
	}
}

/* ------------------------------------------------------------------------
 * The inverse
 * ------------------------------------------------------------------------
 */

/* Units since 1970, rounded down; false where there are too many for int64. */
static bool
units_of(TimestampTz instant, Epoch epoch, int64 *units)
{
	int64		since = (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	int64		usecs;
	int64		unit = epoch == EPOCH_S ? USECS_PER_SEC : epoch == EPOCH_US || epoch == EPOCH_NS ? 1 : 1000;

	if (pg_add_s64_overflow(instant, since, &usecs))
		return false;
	*units = usecs / unit - (usecs % unit < 0 ? 1 : 0);
	return epoch != EPOCH_NS || !pg_mul_s64_overflow(usecs, 1000, units);
}

static char *
number_key(TimestampTz instant, Oid type, const char *epoch)
{
	int64		units;

	if (!units_of(instant, read_epoch(epoch), &units) ||
		(type == INT4OID && (units < PG_INT32_MIN || units > PG_INT32_MAX)))
		return NULL;
	return psprintf(INT64_FORMAT, units);
}

/* In the order of bytes: lower case, unless the other bound is not so. */
static void
write_like(char *key, int shortest, const char *like, bool upper)
{
	bool		hyphens = like == NULL || strchr(like, '-') != NULL;
	int			len = 0;

	for (const char *c = like; c != NULL && *c != '\0'; c++)
	{
		if (isalpha((unsigned char) *c))
			upper = isupper((unsigned char) *c) != 0;
	}
	for (const char *c = key; *c != '\0'; c++)
	{
		if (*c != '-' || hyphens)
			key[len++] = upper ? pg_toupper((unsigned char) *c) : pg_tolower((unsigned char) *c);
	}
	if (like != NULL && strlen(like) < len)
		len = Max(strlen(like), shortest);
	key[len] = '\0';
}

/* Text of a uuid or a ULID with these 48 bits. */
static char *
bits_key(TimestampTz instant, Oid type, const char *epoch, const char *like)
{
	static const char base32[] = "0123456789abcdefghjkmnpqrstvwxyz";
	int64		bits;
	char	   *key;

	if (!units_of(instant, EPOCH_BITS, &bits) || bits < 0 || bits >> 48 != 0)
		return NULL;
	if (type != UUIDOID && strcmp(epoch, "ulid") == 0)
	{
		key = pstrdup("00000000000000000000000000");
		for (int i = 9; i >= 0; i--, bits >>= 5)
			key[i] = base32[bits & 31];
		write_like(key, 10, like, true);
		return key;
	}
	key = psprintf("%08x-%04x-0000-0000-000000000000", (unsigned) (bits >> 16),
				   (unsigned) (bits & 0xFFFF));
	if (type != UUIDOID)
		write_like(key, 13, like, false);
	return key;
}

static char *
calendar_key(TimestampTz instant, Oid type)
{
	char		buf[MAXDATELEN + 1];
	struct pg_tm tm;
	fsec_t		fsec;

	if (timestamp2tm(instant, NULL, &tm, &fsec, NULL, NULL) != 0)
		return NULL;
	if (type == DATEOID)
		EncodeDateOnly(&tm, USE_ISO_DATES, buf);
	else
	{
		tm.tm_isdst = 0;
		EncodeDateTime(&tm, fsec, type == TIMESTAMPTZOID, 0, NULL, USE_ISO_DATES, buf);
	}
	return pstrdup(buf);
}

char *
hone_instant_key(TimestampTz instant, Oid type, const char *epoch, const char *like)
{
	if (TIMESTAMP_NOT_FINITE(instant))
		return NULL;
	switch (type)
	{
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return calendar_key(instant, type);
		case INT4OID:
		case INT8OID:
			return number_key(instant, type, epoch);
		default:
			return bits_key(instant, type, epoch, like);
	}
}

/* ------------------------------------------------------------------------
 * Bounds in the catalogs
 * ------------------------------------------------------------------------
 */

/*
 * One bound as an instant; date and timestamp count as UTC.
 */
static TimestampTz
bound_instant(PartitionRangeDatum *datum, Oid type, const char *epoch)
{
	if (datum->kind == PARTITION_RANGE_DATUM_MINVALUE)
		return DT_NOBEGIN;
	if (datum->kind == PARTITION_RANGE_DATUM_MAXVALUE)
		return DT_NOEND;
	return hone_key_instant(castNode(Const, datum->value)->constvalue, type, epoch);
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

/* As it stands there, since its instant may be less than it says. */
static char *
bound_key(PartitionRangeDatum *datum, TimestampTz instant, Oid type)
{
	if (datum->kind != PARTITION_RANGE_DATUM_VALUE)
		return NULL;
	if (type == DATEOID || type == TIMESTAMPOID || type == TIMESTAMPTZOID)
		return hone_instant_key(instant, type, NULL, NULL);
	else
	{
		Oid			output;
		bool varlena;

		getTypeOutputInfo(type, &output, &varlena);
		return OidOutputFunctionCall(output, castNode(Const, datum->value)->constvalue);
	}
}

bool
hone_child_range(Oid child, Oid type, const char *epoch, HoneChildRange *range)
{
	PartitionBoundSpec *spec = bound_spec(child);
	PartitionRangeDatum *lower;
	PartitionRangeDatum *upper;

	memset(range, 0, sizeof(*range));
	if (spec == NULL || spec->strategy != PARTITION_STRATEGY_RANGE)
		return false;
	range->relid = child;
	range->is_default = spec->is_default;
	if (spec->is_default)
		return true;
	lower = linitial_node(PartitionRangeDatum, spec->lowerdatums);
	upper = linitial_node(PartitionRangeDatum, spec->upperdatums);
	range->start = bound_instant(lower, type, epoch);
	range->end = bound_instant(upper, type, epoch);
	range->start_key = bound_key(lower, range->start, type);
	range->end_key = bound_key(upper, range->end, type);
	return true;
}

static void
narrow(HoneTimeRange *range, PartitionBoundSpec *spec, Oid type, const char *epoch)
{
	TimestampTz start;
	TimestampTz end;

	if (spec->is_default || spec->strategy != PARTITION_STRATEGY_RANGE)
		return;
	start = bound_instant(linitial_node(PartitionRangeDatum, spec->lowerdatums), type, epoch);
	end = bound_instant(linitial_node(PartitionRangeDatum, spec->upperdatums), type, epoch);
	if (!range->bounded || start > range->start)
		range->start = start;
	if (!range->bounded || end < range->end)
		range->end = end;
	range->bounded = true;
}

void
hone_range_narrow(HoneTimeRange *range, const char *bound, Oid type, const char *epoch)
{
	narrow(range, castNode(PartitionBoundSpec, stringToNode(bound)), type, epoch);
}

/*
 * Narrow the range by the bounds of 'child' in its parent, if it has one (still).
 */
static void
intersect_range(HoneTimeRange *range, Oid child, Oid type, const char *epoch)
{
	PartitionBoundSpec *spec = bound_spec(child);

	if (spec != NULL)
		narrow(range, spec, type, epoch);
}

/*
 * The topmost of 'ancestors' (nearest first) partitioned by time, or the one
 * asked for if it is among them.
 */
static Oid
find_time_parent(List *ancestors, Oid wanted, const char *epoch)
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
		if (hone_time_key(relid, epoch, &column, &type) == HONE_KEY_OK)
			found = relid;
	}
	return found;
}

bool
hone_partition_range(Oid leaf, Oid parent, const char *epoch, HoneTimeRange *range)
{
	List	   *ancestors = get_partition_ancestors(leaf);
	Oid			child = leaf;
	AttrNumber	column;
	Oid			type;
	char	   *key;
	ListCell   *lc;

	range->parent = find_time_parent(ancestors, parent, epoch);
	range->bounded = false;
	if (!OidIsValid(range->parent) ||
		hone_time_key(range->parent, epoch, &column, &type) != HONE_KEY_OK)
		return false;
	key = get_attname(range->parent, column, true);
	if (key == NULL)
		return false;

	foreach(lc, ancestors)
	{
		Oid			relid = lfirst_oid(lc);

		if (hone_time_key(relid, epoch, &column, &type) == HONE_KEY_OK)
		{
			char	   *name = get_attname(relid, column, true);

			if (name != NULL && strcmp(name, key) == 0)
				intersect_range(range, child, type, epoch);
		}
		if (relid == range->parent)
			break;
		child = relid;
	}
	return true;
}

/*
 * hone._partition_range(leaf, parent, epoch): SQL face of hone_partition_range;
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
							  PG_ARGISNULL(2) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(2)),
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
