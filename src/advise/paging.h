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

#include "advise/recommend.h"
#include "common/total_order.h"

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

#endif							/* HONE_PAGING_H */
