/*-------------------------------------------------------------------------
 *
 * order.h
 *	  The order in which the rows of a table are compressed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_ORDER_H
#define HONE_TIERED_ORDER_H

#include "utils/relcache.h"
#include "utils/snapshot.h"

#include "tiered/batch.h"

typedef struct HoneOrderKey
{
	AttrNumber	attnum;
	bool		descending;
	bool		nulls_first;
} HoneOrderKey;

typedef struct HoneOrder
{
	int64		window;			/* rows that are sorted at a time */
	int			nkeys;
	HoneOrderKey keys[FLEXIBLE_ARRAY_MEMBER];
} HoneOrder;

/* As many rows can be sorted at a time as their TIDs may take memory. */
extern int64 hone_sort_limit(void);

/*
 * The order that 'text' gives for rel's rows: as in ORDER BY, of column names.
 * Raises 42601, 42703 or 42883. NULL for 'ctid': that of the main fork.
 */
extern HoneOrder *hone_order_parse(Relation rel, const char *text);

/*
 * The order to compress rel in: the text remembered with it or with the
 * nearest partitioned table above it, else one chosen from statistics. NULL:
 * that of the main fork.
 */
extern HoneOrder *hone_order_of(Relation rel);

/* Registers the provider of security labels that remember the order. */
extern void hone_order_init(void);

/*
 * TIDs of the rows that the snapshot sees in blocks of the main fork, from
 * *next_block on and before end_block, in order; palloc'd in context. Ends
 * with the block in which the window is full, and moves *next_block past it.
 */
extern ItemPointerData *hone_sort_window(Relation rel, Snapshot snapshot,
										 const HoneOrder *order,
										 BlockNumber *next_block,
										 BlockNumber end_block,
										 MemoryContext context, int64 *nrows);

/* Bring the rows of a builder into the order. */
extern void hone_sort_builder(HoneBatchBuilder *builder, const HoneOrder *order);

/* The same, where row i is known to be number ranks[i], below nranks and one each. */
extern void hone_rank_builder(HoneBatchBuilder *builder, const int *ranks, int nranks);

#endif							/* HONE_TIERED_ORDER_H */
