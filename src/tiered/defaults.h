/*-------------------------------------------------------------------------
 *
 * defaults.h
 *	  Defaults of columns that were added after rows were compressed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_DEFAULTS_H
#define HONE_TIERED_DEFAULTS_H

#include "tiered/batch.h"

/* What a row that is older than a column has there. */
typedef struct HoneDefault
{
	bool		known;
	bool		isnull;
	Datum		value;
} HoneDefault;

/*
 * Keep the defaults that desc, the descriptor of the table that is rewritten,
 * has for older rows: PostgreSQL forgets them when a table is rewritten, and
 * batches are copied as they are. store is new in this transaction.
 */
extern void hone_defaults_keep(HoneStore *store, TupleDesc desc);

/*
 * The default of an attribute (0-based): the catalog's, else one that was
 * kept, else NULL. A value that was kept is in CurrentMemoryContext.
 */
extern void hone_defaults_read(HoneStore *store, Snapshot snapshot,
							   int attribute, HoneDefault *result);

/* Forget what was kept. */
extern void hone_defaults_forget(HoneStore *store, Snapshot snapshot);

#endif							/* HONE_TIERED_DEFAULTS_H */
