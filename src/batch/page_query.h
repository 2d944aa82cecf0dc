/*-------------------------------------------------------------------------
 *
 * page_query.h
 *	  A query that is read page by page, and its order.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_PAGE_QUERY_H
#define HONE_BATCH_PAGE_QUERY_H

#include "nodes/parsenodes.h"

#include "common/hone.h"

#define HONE_PAGE_ORDER	32		/* columns of an order */

/* One column of the order, an output column of the query. */
typedef struct HonePageColumn
{
	char	   *name;
	char	   *label;			/* what to call it where it is hidden */
	Oid			type;			/* its base type */
	Oid			collation;
	bool		descending;
	bool		nulls_first;
	bool		not_null;
	char	   *operators[3];	/* OPERATOR(...): less, equal, greater */
	bool		built_in;		/* these are < and > of pg_catalog */
} HonePageColumn;

typedef struct HonePageQuery
{
	Query	   *query;
	int			nparams;
	Oid		   *param_types;
	char	   *text;			/* of the query with its keys in the output */
	uint64		mark;			/* of what its names stand for */
	int			ncolumns;
	HonePageColumn columns[HONE_PAGE_ORDER];
	List	   *added;			/* what was added to the order, as texts */
	List	   *hidden;			/* output columns that were added, as texts */
	bool		unique;			/* no two rows are equal in the order */
	bool		simple;			/* conditions reach the tables */
	char	   *total_order;	/* as text */
} HonePageQuery;

/*
 * One SELECT that changes and locks nothing, and an order of output columns,
 * made total. Raises an error for anything else.
 */
extern HonePageQuery *hone_page_query(const char *query, const char *order_by);

#endif							/* HONE_BATCH_PAGE_QUERY_H */
