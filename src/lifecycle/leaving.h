/*-------------------------------------------------------------------------
 *
 * leaving.h
 *	  What is written down of partitions that leave, and of their archives:
 *	  hone._tier_leaving and hone._archive.
 *
 * All of it runs as the owner of pg_hone's tables, between
 * hone_procedure_begin and hone_procedure_end.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_LEAVING_H
#define HONE_LIFECYCLE_LEAVING_H

#include "lifecycle/archive_file.h"
#include "lifecycle/changes.h"
#include "lifecycle/move.h"

/* Strings live as long as the procedure. */
typedef struct HoneLeaving
{
	Oid			parent;			/* InvalidOid: nothing is known */
	Oid			policy;			/* the table whose policy it is moved by */
	bool		detaching;		/* that it is not attached is our doing */
	char	   *archive;		/* its name; NULL */
	bool		written;		/* completely: then these say what it is */
	HoneMark	mark;
	HoneArchiveFile file;
	HoneArchiveOrigin origin;	/* where it hung; its parent is not set */
} HoneLeaving;

extern void hone_leaving_read(Oid partition, HoneLeaving *leaving);

/* An archive that was noted before, under another name, is of no use then. */
extern void hone_leaving_note(const HoneMove *move, const HoneLeaving *leaving);

/* The archive is written. */
extern void hone_leaving_note_archive(const HoneMove *move, const HoneLeaving *leaving);

/* In the transaction that drops the partition: the archive counts. */
extern void hone_leaving_note_dropped(Oid partition, const HoneLeaving *leaving);

/*
 * Where a partition goes that is detached already, or half-way; false if it is
 * none (any more).
 */
extern bool hone_leaving_tier(Oid partition, HoneTier *to);

/*
 * Archives that are older than their policy's drop_after expire. Remove the
 * files of those, and what moves that did not come to their end left behind.
 * Commits; what cannot be removed is said in the log, and tried again.
 */
extern void hone_expire_archives(void);

#endif							/* HONE_LIFECYCLE_LEAVING_H */
