/*-------------------------------------------------------------------------
 *
 * made.h
 *	  Recommendations that no detector has a finding of: made from queries
 *	  when hone.recommendations is read (advice_database.c, advice_storage.c,
 *	  advice_catalog.c).
 *
 * A look is called within SPI, in a subtransaction that is rolled back, with
 * search_path pinned and the reader's own rights. It may throw: then it made
 * nothing.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_MADE_H
#define HONE_MADE_H

#include "nodes/pg_list.h"

#include "advise/recommend.h"

/* Rows of the last hone_made_select(); columns from 1, 0 for an integer that is NULL. */
extern int	hone_made_select(const char *query);
extern int64 hone_made_integer(int row, int column);
extern char *hone_made_text(int row, int column);

/* A new one at the end of *made, in context, seen now. */
extern HoneDatabaseAdvice *hone_made_advice(MemoryContext context, List **made,
											HoneFindingKind kind);

/* ---- advice_catalog.c ---- */
extern void hone_catalog_init(void);

/* ---- advice_storage.c ---- */
extern void hone_storage_init(void);

#endif							/* HONE_MADE_H */
