/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  Conditions on a column that tell which batches need not be read.
 *
 * A batch says of its columns how many values are NULL, for types whose values
 * order as 64-bit integers between what bounds the others are, and of some
 * columns a Bloom filter of their hashes (detail.h). A condition is what a
 * query or a unique check wants of a column, in the same terms: keys (the
 * integers) and hashes. Only operators, types and hash functions of
 * PostgreSQL's own are taken, so nobody's function runs to make or test one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_CONDITION_H
#define HONE_TIERED_CONDITION_H

#include "access/attnum.h"

/*
 * A type whose values order as 64-bit integers: integers, date, timestamp,
 * timestamptz. Its value as such a key.
 */
extern bool hone_key_type(Oid type);
extern int64 hone_key_value(Oid type, Datum value);

/* Those of them that tell a time. */
extern bool hone_time_type(Oid type);

/*
 * The extended hash function that goes with the equality of a column's type;
 * InvalidOid when values that are equal may differ in it, or it is not
 * PostgreSQL's own.
 */
extern Oid	hone_column_hash(Oid type, Oid collation);

typedef enum HoneConditionKind
{
	HONE_NEVER,					/* no row satisfies it */
	HONE_IN_RANGE,				/* low <= key <= high */
	HONE_ONE_OF,				/* equal to one of the values */
	HONE_IS_NULL,
	HONE_IS_NOT_NULL
} HoneConditionKind;

typedef struct HoneConditionValue
{
	int64		key;
	uint64		hash;
} HoneConditionValue;

/* type and hash are the column's: a batch must have recorded the same. */
typedef struct HoneCondition
{
	HoneConditionKind kind;
	AttrNumber	attnum;
	Oid			type;
	bool		has_keys;		/* HONE_ONE_OF */
	Oid			hash;			/* HONE_ONE_OF; InvalidOid: no hashes */
	int64		low;			/* HONE_IN_RANGE */
	int64		high;
	HoneConditionValue *values; /* HONE_ONE_OF; sorted by key, if it has keys */
	int			nvalues;
} HoneCondition;

/*
 * "column operator value", as far as it is known before the value: what it
 * takes to make conditions of values.
 */
typedef struct HoneComparison
{
	AttrNumber	attnum;
	int			strategy;		/* btree's */
	Oid			column_type;	/* base type */
	Oid			value_type;		/* the operator's other input */
	bool		has_keys;
	Oid			column_hash;	/* InvalidOid: no hashes */
	Oid			value_hash;		/* for values of value_type */
	Oid			collation;		/* the operator's */
} HoneComparison;

/*
 * False when the operator, with the column on its left, is none from which a
 * condition can be made.
 */
extern bool hone_comparison_find(HoneComparison *comparison, AttrNumber attnum,
								 Oid column_type, Oid operator, Oid collation);

/*
 * The condition that the column compares so with the value, or with one of
 * the values (equality only). They are of value_type and not NULL; nvalues 0:
 * HONE_NEVER. Allocates in the current memory context.
 */
extern void hone_comparison_condition(const HoneComparison *comparison,
									  const Datum *values, int nvalues,
									  HoneCondition *condition);

/*
 * The condition that the column equals the value, or is NULL like it; false
 * when there is none of the kind.
 */
extern bool hone_condition_equal(AttrNumber attnum, Oid column_type, Oid operator,
								 Oid collation, Datum value, bool isnull,
								 HoneCondition *condition);

/* Whether a key between min and max, inclusive, can satisfy the condition. */
extern bool hone_condition_meets(const HoneCondition *condition, int64 min, int64 max);

#endif							/* HONE_TIERED_CONDITION_H */
