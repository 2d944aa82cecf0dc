/*-------------------------------------------------------------------------
 *
 * bounds.h
 *	  The time range of a partition, read from the catalogs.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_BOUNDS_H
#define HONE_LIFECYCLE_BOUNDS_H

#include "datatype/timestamp.h"

#include "common/hone.h"

/* Upper bounds after the year 200000 and waits beyond this never come due. */
#define HONE_MAX_WAIT_YEARS 10000

/* What keeps a partitioned table from being aged by time. */
typedef enum HoneTimeKeyProblem
{
	HONE_KEY_OK,
	HONE_KEY_NOT_PARTITIONED,
	HONE_KEY_NOT_RANGE,			/* list or hash */
	HONE_KEY_MANY_COLUMNS,
	HONE_KEY_EXPRESSION,
	HONE_KEY_NOT_TIME,
	HONE_KEY_EPOCH,				/* none that fits its type */
	HONE_KEY_OPCLASS			/* not the type's default order */
} HoneTimeKeyProblem;

/*
 * Is relid partitioned by RANGE on one date, timestamp or timestamptz column,
 * or on one that 'epoch' explains (else NULL)? Then its number and type are
 * returned through column and type. Takes no lock and throws nothing.
 *
 * Of an integer 's', 'ms', 'us' or 'ns': such units since 1970. Of a uuid or a
 * text 'uuidv7' or 'ulid': milliseconds since 1970 in its first 48 bits (RFC
 * 9562; the ULID specification), which a ULID in a text has in its first ten
 * characters.
 */
extern HoneTimeKeyProblem hone_time_key(Oid relid, const char *epoch,
										AttrNumber *column, Oid *type);

/* Lower and upper bound; see hone_partition_range. */
typedef struct HoneTimeRange
{
	Oid			parent;			/* partitioned table whose key counts */
	bool		bounded;		/* false for DEFAULT partitions */
	TimestampTz start;			/* inclusive; -infinity for MINVALUE */
	TimestampTz end;			/* exclusive; infinity for MAXVALUE */
} HoneTimeRange;

/*
 * Narrow a range by the bounds of a partition, as pg_class has them
 * (relpartbound), in a table whose key is of that type and epoch.
 */
extern void hone_range_narrow(HoneTimeRange *range, const char *bound,
							  Oid type, const char *epoch);

/* One value of such a key as an instant; infinite beyond the type's range. */
extern TimestampTz hone_key_instant(Datum value, Oid type, const char *epoch);

/*
 * The inverse: text of the key whose instant this is, as a literal of the type
 * in any session; NULL where the type has none. Of a uuid or a text everything
 * behind the time is zeros. A text is written as 'like', another bound of the
 * table (upper or lower case, length, hyphens), or as usual where that is NULL.
 */
extern char *hone_instant_key(TimestampTz instant, Oid type, const char *epoch,
							  const char *like);

/* A partition of a table by time, and its bounds in that table. */
typedef struct HoneChildRange
{
	Oid			relid;
	bool		is_default;		/* else: */
	TimestampTz start;			/* inclusive; -infinity for MINVALUE */
	TimestampTz end;			/* exclusive; infinity for MAXVALUE */
	char	   *start_key;		/* the bounds as text of the key's type */
	char	   *end_key;		/* NULL where they are infinite */
} HoneChildRange;

/*
 * Bounds of a child of a table with such a key. False if it is no partition by
 * range (any more). Takes no lock.
 */
extern bool hone_child_range(Oid child, Oid type, const char *epoch,
							 HoneChildRange *range);

/*
 * The time range of a leaf partition below 'parent', whose key may be one with
 * an epoch; if that is InvalidOid, below its topmost ancestor partitioned by
 * time. Ranges of all levels over
 * the same column are intersected. date and timestamp bounds count as UTC.
 * Returns false when there is no such ancestor (any more). Takes no lock.
 */
extern bool hone_partition_range(Oid leaf, Oid parent, const char *epoch,
								 HoneTimeRange *range);

#endif							/* HONE_LIFECYCLE_BOUNDS_H */
