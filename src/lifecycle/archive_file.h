/*-------------------------------------------------------------------------
 *
 * archive_file.h
 *	  Archives of partitions: written, verified, loaded.
 *
 * An archive is one zstd-compressed file with the rows of one table as COPY
 * prints them, and a manifest beside it. All of it needs constant memory, and
 * can be cancelled. Errors, beside those of the functions named here:
 *
 *	 55000	no place for archives is set (names the settings)
 *	 22023	not the name of an archive
 *	 53100, 58P01, 42501, 58030	the file system's, with the path
 *	 38000	hone.archive_command or hone.restore_command failed
 *	 XX001	a file or manifest is not what was written, with its path
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_ARCHIVE_FILE_H
#define HONE_LIFECYCLE_ARCHIVE_FILE_H

#include "utils/snapshot.h"

#include "common/hone.h"
#include "lifecycle/archive_manifest.h"
#include "lifecycle/archive_target.h"

/* Levels of zstd: where nobody says otherwise, and the highest. */
#define HONE_ARCHIVE_LEVEL	3
#define HONE_ARCHIVE_MAX_LEVEL	22

/* Raise 22023 for another level than 1 to HONE_ARCHIVE_MAX_LEVEL. */
extern void hone_archive_check_level(int level);

/*
 * Called each 256 kB of text or so while an archive is written, with what was
 * written since the call before. May sleep; may throw.
 */
typedef void (*HoneArchiveProgress) (int64 rows, int64 raw_bytes, void *arg);

/*
 * Where a partition hangs now, from the catalogs; to be asked before it is
 * detached. parent, epoch: its policy's, or
 * InvalidOid and NULL; see hone_partition_range. Strings live in the current memory context.
 */
extern void hone_archive_origin(Oid relid, Oid parent, const char *epoch,
								HoneArchiveOrigin *origin);

/*
 * Write the rows of rel that the snapshot sees to a new archive, store it, read
 * it back and compare. 'file' is filled in; a name that is set there (from
 * hone_archive_new_name) is taken, else one is made. After an error nothing is
 * left behind but, with commands, what was stored already. 'progress' may be
 * NULL. The caller holds a lock that keeps rel's columns, and has become its
 * owner: output functions run as the current user. Two at a time for the same
 * relation: the second gets 55P03.
 */
extern void hone_archive_write(Relation rel, Snapshot snapshot,
							   const HoneArchiveOrigin *origin, int level,
							   HoneArchiveProgress progress, void *arg,
							   HoneArchiveFile *file);

/*
 * Read an archive and compare it with its manifest, and both with 'expected'
 * where that is given: rows, sizes and checksums.
 */
extern void hone_archive_verify(const char *name,
								const HoneArchiveFile *expected);

/* Of the manifest alone; strings live in the current memory context. */
extern void hone_archive_read_manifest(const char *name,
									   HoneArchiveManifest *manifest);

/*
 * Compare an archive's checksum, then load its rows into a table that has its columns, in
 * any order, and no others but generated ones: else 42804. Returns the number
 * of rows. Triggers fire as with COPY: there should be none. 'freeze': rows
 * are frozen at once where COPY could; a snapshot from before sees them then.
 * The caller has made sure that it may write there.
 */
extern int64 hone_archive_load(const char *name, Relation into,
							   const HoneArchiveFile *expected, bool freeze);

#endif							/* HONE_LIFECYCLE_ARCHIVE_FILE_H */
