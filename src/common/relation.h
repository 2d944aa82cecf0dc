/*-------------------------------------------------------------------------
 *
 * relation.h
 *	  What is to be known of a relation: keys, indexes, widths.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_RELATION_H
#define HONE_RELATION_H

#include "nodes/pg_list.h"

#include "common/hone.h"

/*
 * The relation, to be closed with NoLock; NULL if it is gone. Throws
 * ERRCODE_LOCK_NOT_AVAILABLE if it is locked: not knowing is not "none".
 */
extern struct RelationData *hone_relation_open(Oid relid);

/*
 * The keys without nulls, a list of integer lists; in *best the columns of the
 * primary key, or of the shortest other one, in order. NIL if there is none.
 */
extern List *hone_relation_keys(Oid relid, List **best);

/*
 * Is there a valid btree index over all rows whose first columns are those of
 * 'equal' in any order, followed by 'next' (0: anything)?
 */
extern bool hone_relation_has_index(Oid relid, List *equal, AttrNumber next);

/*
 * The plain btree index, not unique, with the most key columns of those whose
 * keys are the first of 'columns' (any_order: are among them), or InvalidOid;
 * in *keys its columns. An index on all columns makes it redundant.
 */
extern Oid	hone_relation_narrower_index(Oid relid, List *columns, bool any_order, List **keys);

/* A column of an order. */
typedef struct HoneOrderColumn
{
	AttrNumber	attnum;
	bool		descending;
	bool		nulls_first;
	Oid			opfamily;
	Oid			collation;
} HoneOrderColumn;

/* Is there a valid btree index over all rows that gives them in this order? */
extern bool hone_relation_has_order(Oid relid, const HoneOrderColumn *columns, int n);

/*
 * Name of a valid btree index over all rows that begins with one of 'first'
 * and has all of 'columns', or NULL. Integer lists.
 */
extern char *hone_relation_covering_index(Oid relid, List *first, List *columns);

/*
 * The column of the same name in another table, as a partition of which it may
 * have another number; 0 where there is none.
 */
extern AttrNumber hone_relation_same_column(Oid from, AttrNumber attnum, Oid to);

/* Is the column never null? */
extern bool hone_relation_not_null(Oid relid, AttrNumber attnum);

/* The partitioned table at the top, or the relation itself. */
extern Oid	hone_relation_topmost(Oid relid);

/* Average stored width of a column's values, 0 where it is not known. */
extern int	hone_relation_column_width(Oid relid, AttrNumber attnum);

/* Share of distinct values: 1 = all, 0 = not known. */
extern double hone_relation_column_distinct(Oid relid, AttrNumber attnum);

/* Of a column and the places of the table's own rows, 0 where it is not known. */
extern double hone_relation_column_correlation(Oid relid, AttrNumber attnum);

/* Rows and out-of-line bytes of a table with all its partitions (estimates). */
extern void hone_relation_toast(Oid relid, double *rows, double *toast_bytes);

#endif							/* HONE_RELATION_H */
