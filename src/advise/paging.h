/*-------------------------------------------------------------------------
 *
 * paging.h
 *	  A query whose rows are read page by page: its order, made total, and the
 *	  same pages without OFFSET.
 *
 * For readers (recommend.h): everything here may throw.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_PAGING_H
#define HONE_PAGING_H

#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

#include "advise/recommend.h"

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
	List	   *equalities;		/* order.c's */
	const char *problem;		/* why there is no keyset, or NULL */
	const char *instead;		/* what to do then */
} HonePaging;

/* Look at a query, which is changed; 'problem' says what it cannot be. */
extern HonePaging *hone_paging_read(Query *query);

/*
 * The page after a given row as the fix of an advice, and what belongs to it
 * in the evidence. Without OFFSET; with the query's own LIMIT.
 */
extern void hone_paging_keyset(HonePaging *page, const HoneReader *reader,
							   HoneAdvice *advice);

/*
 * Text of the same query where the rows are found by the key of the table
 * first, so that those thrown away are not fetched; NULL if there is none.
 */
extern char *hone_paging_deferred(HonePaging *page, const HoneReader *reader);

/* ---- order.c ---- */

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

#endif							/* HONE_PAGING_H */
