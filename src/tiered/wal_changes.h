/*-------------------------------------------------------------------------
 *
 * wal_changes.h
 *	  Which pages were changed since: read from the WAL.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_WAL_CHANGES_H
#define HONE_TIERED_WAL_CHANGES_H

#include "access/xlogreader.h"

#include "common/hone.h"

/* Told of each page of a main fork that a record changes, perhaps twice. */
typedef void (*HonePageChanged) (void *arg, const RelFileLocator *locator,
								 BlockNumber block);

/* Told that files were made shorter. */
typedef void (*HoneFilesCut) (void *arg, const RelFileLocator *locator);

/* Follow the WAL from now on. hone_wal_end must be called, after errors too. */
extern XLogReaderState *hone_wal_begin(void);

/*
 * Tell of all that was changed between the last call, or the beginning, and
 * this one. Writes the WAL so far to disk. Not to be called while
 * pages are locked.
 */
extern void hone_wal_follow(XLogReaderState *reader, HonePageChanged changed,
							HoneFilesCut cut, void *arg);

extern void hone_wal_end(XLogReaderState *reader);

#endif							/* HONE_TIERED_WAL_CHANGES_H */
