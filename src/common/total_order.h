/*-------------------------------------------------------------------------
 *
 * total_order.h
 *	  Is the order of a query total, and what makes it so?
 *
 * For code that may throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TOTAL_ORDER_H
#define HONE_TOTAL_ORDER_H

#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

#include "common/hone.h"

#define HONE_PAGE_KEYS	8

/* One column of the order. */
typedef struct HonePageKey
{
	Node	   *expr;
	char	   *name;			/* of its output column */
	TargetEntry *target;
	Oid			sortop;
	Oid			eqop;
	Oid			opfamily;
	Oid			opcintype;
	bool		descending;
	bool		nulls_first;
	bool		not_null;
	Param	   *param;
} HonePageKey;

typedef struct HonePaging
{
	Query	   *query;			/* its order total, and all keys in its output */
	int			nkeys;
	int			nordered;		/* of them, those the query ordered by */
	HonePageKey keys[HONE_PAGE_KEYS];
	List	   *added;			/* targets that are in the output for that
								 * only */
	List	   *rels;			/* range table indexes */
	List	   *nullable;		/* those of them on the outer side of a join */
	List	   *equalities;		/* total_order.c's */
	const char *problem;		/* why there is no keyset, or NULL */
	const char *instead;		/* what to do then */
} HonePaging;

/* Collect the relations of a query, and which columns are equal to what. */
extern void hone_order_collect(HonePaging *page);

/* Is this column of this table in the order already? */
extern bool hone_order_has(const HonePaging *page, int rti, AttrNumber attnum);

/* The table's key, NIL if it has none. Integer list. */
extern List *hone_order_key(const HonePaging *page, int rti);

/*
 * The table whose key, appended to the order, tells most rows apart that the
 * order does not; 0 if it tells all of them apart. Sets 'problem' if there is
 * no such key.
 */
extern int	hone_order_next(HonePaging *page);

#endif							/* HONE_TOTAL_ORDER_H */
