/*-------------------------------------------------------------------------
 *
 * codec.h
 *	  A column of a batch to bytes and back.
 *
 * The codec knows nothing of tables, visibility or storage: it is handed the
 * values of one column and makes a blob of them, or a blob and hands back
 * values, one vector at a time. CODEC.md describes the blob byte by byte.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CODEC_H
#define HONE_CODEC_H

#include "lib/stringinfo.h"

/* Rows per vector: the unit that can be decoded alone. */
#define HONE_VECTOR_ROWS 1024
#define HONE_BATCH_MAX_ROWS 16383

/* zstd levels from here on are for rows that are hardly ever read. */
#define HONE_LEVEL_COLD		10

/*
 * Physical shape of a column: all that a codec knows of a type.
 *
 * typid only chooses encodings when writing (float4, float8: pass the base
 * type of a domain to profit); a reader checks and uses the rest.
 */
typedef struct HoneColumnShape
{
	Oid			typid;
	int16		typlen;
	bool		typbyval;
	char		typalign;
} HoneColumnShape;

/* What a damaged blob is called in the error: table, batch, column. */
typedef struct HoneBlobName
{
	const char *table;
	int64		batch;
	const char *column;
} HoneBlobName;

/*
 * Append the blob of one column of nrows (1 .. HONE_BATCH_MAX_ROWS) values.
 *
 * values: varlenas detoasted and uncompressed, with short or 4-byte headers;
 * values[i] is ignored where isnull[i]. level: zstd level. Memory beyond
 * 'out' is freed before returning.
 *
 * Throws ERRCODE_PROGRAM_LIMIT_EXCEEDED when out would pass 1 GB or when the
 * 1,024 values of one vector pass 2 GB; query cancel.
 */
extern void hone_codec_encode(StringInfo out, const HoneColumnShape *shape,
							  int nrows, const Datum *values,
							  const bool *isnull, int level);

typedef struct HoneColumnReader HoneColumnReader;

/*
 * Check header and header checksum of a blob and make a reader for it.
 *
 * blob, shape and the strings of name must stay valid while the reader is
 * used; *name and *shape themselves are copied. The reader and its buffers
 * live in the CurrentMemoryContext of this call. nrows: what the directory
 * says; the blob must agree.
 *
 * Throws ERRCODE_DATA_CORRUPTED when the blob is damaged.
 */
extern HoneColumnReader *hone_codec_open(const HoneBlobName *name,
										 const HoneColumnShape *shape,
										 int nrows, const char *blob,
										 Size len);

/* Copy bytes offset .. offset + len - 1 of a blob to 'to'; may throw. */
typedef void (*HoneBlobFetch) (void *arg, Size offset, Size len, char *to);

/*
 * As hone_codec_open, for a blob of len bytes that lies elsewhere: small ones
 * are fetched whole here, of large ones the directory here and each frame
 * when it is read, so that a point read costs one frame of I/O. fetch is only
 * asked for bytes within the blob, here and from hone_codec_read.
 */
extern HoneColumnReader *hone_codec_open_lazy(const HoneBlobName *name,
											  const HoneColumnShape *shape,
											  int nrows, Size len,
											  HoneBlobFetch fetch, void *arg);

/*
 * Decode vector v (rows v * HONE_VECTOR_ROWS and on) into values[] and
 * isnull[], which must have room for HONE_VECTOR_ROWS. Returns the number of
 * rows. values[i] is 0 where isnull[i].
 *
 * By-reference values point into memory of the reader and are valid until
 * the next hone_codec_read or hone_codec_close on the same reader; equal
 * values may share a pointer. Varlenas have 4-byte headers and are
 * MAXALIGNed. Vectors may be read in any order; reading in ascending order
 * inflates each frame once.
 *
 * Throws ERRCODE_DATA_CORRUPTED when what it touches is damaged; the reader
 * stays usable for other vectors.
 */
extern int	hone_codec_read(HoneColumnReader *reader, int vector,
							Datum *values, bool *isnull);

/* Free the reader and all memory behind the values it returned. */
extern void hone_codec_close(HoneColumnReader *reader);

#endif							/* HONE_CODEC_H */
