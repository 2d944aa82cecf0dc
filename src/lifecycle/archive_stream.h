/*-------------------------------------------------------------------------
 *
 * archive_stream.h
 *	  A text written to, and read from, one zstd-compressed file.
 *
 * Both directions keep checksums of the text and of the file as they go, in
 * constant memory. Errors of the file system carry its SQLSTATE (53100 for a
 * full disk, 58P01 for a missing file) and the file's path; what is wrong with
 * the bytes is XX001 with the path.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_ARCHIVE_STREAM_H
#define HONE_LIFECYCLE_ARCHIVE_STREAM_H

#include "common/sha2.h"

#include "common/hone.h"

/* Lower-case hexadecimal digits and the end of the string. */
#define HONE_SHA256_LENGTH	(PG_SHA256_DIGEST_LENGTH * 2 + 1)

typedef struct HoneArchiveSums
{
	int64		raw_bytes;		/* of the text */
	int64		bytes;			/* of the file */
	int64		lines;			/* newlines in the text; counted when reading */
	char		text_sha256[HONE_SHA256_LENGTH];
	char		sha256[HONE_SHA256_LENGTH]; /* of the file */
} HoneArchiveSums;

typedef struct HoneArchiveWriter HoneArchiveWriter;
typedef struct HoneArchiveReader HoneArchiveReader;

/* Hexadecimal SHA-256 of some bytes. */
extern void hone_archive_sha256(const void *bytes, Size size, char *hex);

/*
 * A new file, which must not exist, with the mode of the data directory's
 * files. It is left behind after an error; its descriptor is not.
 */
extern HoneArchiveWriter *hone_archive_writer_open(const char *path, int level);
extern void hone_archive_writer_put(HoneArchiveWriter *writer,
									const char *text, Size size);

/* End the file and flush it to disk. */
extern void hone_archive_writer_close(HoneArchiveWriter *writer,
									  HoneArchiveSums *sums);

/*
 * Opens a regular file, no symbolic link. Its pages are read from the disk,
 * where the system can be asked to forget them. 'shown' stands for the path
 * in messages about damage. Without 'sum_text' the text's checksum and lines are
 * left out: for who has compared the file's.
 */
extern HoneArchiveReader *hone_archive_reader_open(const char *path,
												   const char *shown,
												   bool sum_text);

/* Size and checksum of the compressed file alone. */
extern void hone_archive_sum_file(const char *path, const char *shown,
								  HoneArchiveSums *sums);

/*
 * Up to 'size' bytes of text; 0 at the end, when the file is complete and ends
 * with its text. Raises XX001 as soon as there are more than 'limit' bytes in
 * all.
 */
extern Size hone_archive_reader_get(HoneArchiveReader *reader, char *text,
									Size size, int64 limit);

/* After the end was met. */
extern void hone_archive_reader_close(HoneArchiveReader *reader,
									  HoneArchiveSums *sums);

#endif							/* HONE_LIFECYCLE_ARCHIVE_STREAM_H */
