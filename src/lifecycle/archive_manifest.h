/*-------------------------------------------------------------------------
 *
 * archive_manifest.h
 *	  What is known of an archive: the JSON file beside it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_ARCHIVE_MANIFEST_H
#define HONE_LIFECYCLE_ARCHIVE_MANIFEST_H

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "common/hone.h"
#include "lifecycle/archive_stream.h"

/* The manifest of archive NAME is NAME with this. */
#define HONE_MANIFEST_SUFFIX	".json"

/* Figures of one archive; hone.archives shows them. */
typedef struct HoneArchiveFile
{
	char	   *name;			/* relative to the target */
	int64		rows;
	int64		raw_bytes;		/* of the text */
	int64		bytes;			/* of the compressed file */
	char		sha256[HONE_SHA256_LENGTH]; /* of the compressed file */
	char		text_sha256[HONE_SHA256_LENGTH];
	char		manifest_sha256[HONE_SHA256_LENGTH];	/* of the manifest
														 * before this line of
														 * it */
	int			level;			/* of zstd */
	TimestampTz created_at;
} HoneArchiveFile;

/* Where the partition hung. */
typedef struct HoneArchiveOrigin
{
	char	   *parent;			/* quoted and qualified; NULL: nowhere */
	char	   *bound;			/* FOR VALUES ...; NULL */
	bool		ranged;			/* has a range of time */
	TimestampTz range_start;	/* as in HoneTimeRange */
	TimestampTz range_end;
} HoneArchiveOrigin;

typedef struct HoneArchiveColumn
{
	char	   *name;			/* not quoted */
	char	   *type;			/* format_type, qualified, with its modifier */
	char	   *collation;		/* quoted and qualified; NULL: the type's own */
	bool		not_null;
} HoneArchiveColumn;

typedef struct HoneArchiveManifest
{
	HoneArchiveFile file;
	HoneArchiveOrigin origin;
	char	   *pg_hone;		/* version that wrote it */
	char	   *postgresql;		/* version of the server */
	char	   *encoding;
	char	   *lc_monetary;
	char	   *database;
	char	   *schema;
	char	   *table;
	int			column_count;
	HoneArchiveColumn *columns; /* in the order of the text */
} HoneArchiveManifest;

/*
 * The columns of a relation that belong into an archive. Types are named under
 * the current search_path: settings must be pinned.
 */
extern HoneArchiveColumn *hone_archive_columns(Relation rel, int *count);

/* The same, as CREATE TABLE takes them: "a" integer NOT NULL, ... */
extern char *hone_archive_column_list(const HoneArchiveManifest *manifest);

/*
 * Append the manifest's text, in UTF-8 (in SQL_ASCII databases as it is), and
 * set its checksum in the file's figures. Settings must be pinned.
 */
extern void hone_archive_manifest_print(HoneArchiveManifest *manifest,
										StringInfo out);

/*
 * Read a manifest, everything in it checked. 'name' is the archive's,
 * 'shown' stands for the path in messages about damage. Raises XX001 for one that is damaged, 0A000 for a later format, the
 * file system's own SQLSTATE for one that cannot be read.
 */
extern void hone_archive_manifest_read(const char *path, const char *shown,
									   const char *name,
									   HoneArchiveManifest *manifest);

#endif							/* HONE_LIFECYCLE_ARCHIVE_MANIFEST_H */
