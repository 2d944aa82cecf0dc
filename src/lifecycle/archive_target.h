/*-------------------------------------------------------------------------
 *
 * archive_target.h
 *	  Where archives are kept: a directory, or behind two commands.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_ARCHIVE_TARGET_H
#define HONE_LIFECYCLE_ARCHIVE_TARGET_H

#include "common/hone.h"
#include "lifecycle/archive_manifest.h"

/*
 * One archive on its way to the target, or back. With a directory these are
 * its files there; with commands, copies in the staging folder.
 */
typedef struct HoneArchiveCopy
{
	char	   *name;			/* of the archive */
	bool		staged;
	bool		published;		/* file and manifest have their final names */
	char	   *file;			/* paths */
	char	   *manifest;
	char	   *shown_file;		/* the same in messages */
	char	   *shown_manifest;
	char	   *new_file;		/* the same before they are complete */
	char	   *new_manifest;
} HoneArchiveCopy;

/* Defines the settings. Called once, from hone_lifecycle_init. */
extern void hone_archive_init(void);

/*
 * Raise 55000, with a hint that names the settings, unless an archive can be
 * written and read back; the second, unless one can be read.
 */
extern void hone_archive_require_target(void);
extern void hone_archive_require_source(void);

/*
 * A name for the archive of a partition, which the target does not have: of
 * database, schema, table, range and OID, and a number where the target is a
 * directory with such an archive, the transaction's identifier where it is a
 * command (so one is assigned).
 */
extern char *hone_archive_new_name(const char *schema, const char *table,
								   Oid relid, const HoneArchiveOrigin *origin);

/* Raise 22023 unless it is a name of that form, which leads nowhere else. */
extern void hone_archive_check_name(const char *name);

/*
 * Remove an archive from the directory, as far as it is there. What was handed
 * to a command stays where it is. Must not be called before the transaction
 * that dropped the last reference to the archive has committed.
 */
extern void hone_archive_remove(const char *name);

/* Paths for an archive that is to be written, leftovers of others removed. */
extern void hone_archive_copy_prepare(HoneArchiveCopy *copy, const char *name);

/*
 * Both files are written and flushed: give them their names, which must be
 * free, or hand them to hone.archive_command. A staged copy is removed then.
 */
extern void hone_archive_copy_publish(HoneArchiveCopy *copy);

/*
 * Paths of an archive that is to be read; with commands it is fetched, and
 * hone_archive_copy_release removes the copy.
 */
extern void hone_archive_copy_fetch(HoneArchiveCopy *copy, const char *name);
extern void hone_archive_copy_release(HoneArchiveCopy *copy);

/*
 * After an error or in the end of the process: remove what was made here,
 * published or not. Throws nothing.
 */
extern void hone_archive_copy_abandon(HoneArchiveCopy *copy);

#endif							/* HONE_LIFECYCLE_ARCHIVE_TARGET_H */
