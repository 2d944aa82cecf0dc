/*-------------------------------------------------------------------------
 *
 * copy.h
 *	  A copy of a relation's files in another tablespace, made while others
 *	  change the pages.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_COPY_H
#define HONE_TIERED_COPY_H

#include "storage/block.h"
#include "utils/relcache.h"

#include "storage/bufmgr.h"

#include "common/hone.h"

typedef struct HoneCopy
{
	Oid			relid;
	RelFileLocator from;
	RelFileLocator to;
	bool		heap;			/* pages of a heap, which has a visibility map */
	bool		cut;			/* the original was made shorter: of no use */
	BlockNumber copied;			/* pages of the main fork so far */
	BlockNumber next;			/* where this pass is */
	BlockNumber end;			/* and where it ends */

	/* a bit for each page, room for so many */
	BlockNumber room;
	BlockNumber nchanged;
	uint8	   *changed;		/* since it was copied */
	uint8	   *all_visible;	/* is marked so in the copy */

	BufferAccessStrategy strategy;	/* for reading the original */
} HoneCopy;

/*
 * New files for a permanent relation, which go with an abort of the
 * transaction. The copy lives in the current memory context.
 */
extern HoneCopy *hone_copy_begin(Relation rel, Oid tablespace);

/* The files are to go with the commit too. Assigns a transaction id. */
extern void hone_copy_discard(HoneCopy *copy);

/* The original changed, or was truncated. */
extern void hone_copy_page_changed(HoneCopy *copy, BlockNumber block);
extern void hone_copy_cut(HoneCopy *copy);

/*
 * Once more through the pages that have not been copied, or were changed;
 * some of them, at most npages. How many it were; 0: the pass is done.
 */
extern void hone_copy_begin_pass(HoneCopy *copy, Relation rel);
extern int	hone_copy_some(HoneCopy *copy, Relation rel, int npages);

/* What is known of free space, which need not be exact. Once. */
extern void hone_copy_free_space(HoneCopy *copy, Relation rel);

/*
 * Which pages are all visible. With ACCESS EXCLUSIVE held, after the last
 * pass.
 */
extern void hone_copy_visibility(HoneCopy *copy, Relation rel);

/* Write to disk now what a commit would write. */
extern void hone_copy_sync(HoneCopy *copy);

#endif							/* HONE_TIERED_COPY_H */
