/*-------------------------------------------------------------------------
 *
 * changes.h
 *	  Has a table changed since?
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_CHANGES_H
#define HONE_LIFECYCLE_CHANGES_H

#include "access/xlogdefs.h"
#include "utils/relcache.h"

#include "common/hone.h"

/* A point in the life of a table. */
typedef struct HoneMark
{
	XLogRecPtr	lsn;
	char	   *files;			/* palloc'd */
} HoneMark;

/*
 * Take the mark, then wait until all transactions have ended that had written
 * to the table before. A snapshot that is taken afterwards sees all that the
 * mark is older than, and whatever changes later is found by
 * hone_unchanged_since. Blocks nobody. Raises 55P03 where that takes too long.
 * The caller holds ACCESS SHARE and no snapshot.
 */
extern void hone_mark(Relation rel, HoneMark *mark);

/*
 * True if no row was written, changed or deleted since the mark, and the table
 * has the same columns. False also where that cannot be told. The caller
 * holds a lock that keeps others from writing, or asks for a hint only.
 */
extern bool hone_unchanged_since(Relation rel, const HoneMark *mark);

#endif							/* HONE_LIFECYCLE_CHANGES_H */
