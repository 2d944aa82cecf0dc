/*-------------------------------------------------------------------------
 *
 * insert_rows.h
 *	  Rows that come as JSON, converted to those of a table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_INSERT_ROWS_H
#define HONE_BATCH_INSERT_ROWS_H

#include "utils/jsonb.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "common/hone.h"

typedef struct HoneInsertRows
{
	Relation	rel;
	int64		count;
	Bitmapset  *columns;		/* that some row has a value for, by attnum */

	/*
	 * Sets of columns that rows have values for, where they differ: which one
	 * each row has. A single set is that of all rows.
	 */
	List	   *sets;
	int		   *set_of_row;

	/* the rows: their number from 1 on, then the columns in their order */
	TupleDesc	desc;
	Tuplestorestate *store;
} HoneInsertRows;

/*
 * Convert rows, an array of objects or an object of arrays. An error names the
 * row and the column. What a row has no value for, and others do, gets the
 * column's default, evaluated here.
 */
extern HoneInsertRows *hone_insert_rows(Relation rel, Jsonb *json);

/* Has this row (from 1 on) a value for the column? */
extern bool hone_insert_row_has(const HoneInsertRows *rows, int64 row, AttrNumber attnum);

#endif							/* HONE_BATCH_INSERT_ROWS_H */
