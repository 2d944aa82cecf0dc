/*-------------------------------------------------------------------------
 *
 * probe.h
 *	  Which compressed rows have a given key of a unique index.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_PROBE_H
#define HONE_TIERED_PROBE_H

#include "storage/itemptr.h"
#include "utils/relcache.h"

#include "common/hone.h"

/* Setting hone.key_cache, in kB. */
extern int	hone_key_cache_kb;

/*
 * TIDs, palloc'd, of the compressed rows, dead or alive, that are in the table
 * now and whose key in the index equals values and isnull (one a key column;
 * NULL equals NULL). Rows that a partial index leaves out are not among them.
 * Returns their number. The caller holds a lock on the table that keeps
 * folding away, or takes what it gets as of the moment.
 */
extern int	hone_probe(Relation rel, Relation index, const Datum *values,
					   const bool *isnull, ItemPointerData **tids);

#endif							/* HONE_TIERED_PROBE_H */
