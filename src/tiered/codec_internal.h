/*-------------------------------------------------------------------------
 *
 * codec_internal.h
 *	  What the codec's files share: growing buffers, bounds-checked cursors,
 *	  the numbers stored in blobs.
 *
 * Writing: codec_encode.c turns vectors of values into bytes by way of
 * codec_int.c, codec_float.c, codec_bytes.c and codec_dict.c, and
 * codec_frame.c compresses frames of them. Reading: codec_read.c goes the
 * same way back. All numbers on disk are in the machine's byte order, which
 * the blob's magic number proves, and unaligned: memcpy only.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CODEC_INTERNAL_H
#define HONE_CODEC_INTERNAL_H

#include "port/pg_bitutils.h"

#include "compat/compat.h"
#include "tiered/codec.h"

#define HONE_BLOB_MAGIC			0x43454E48	/* "HNEC" read little-endian */
#define HONE_BLOB_VERSION		1
#define HONE_FRAME_TARGET		(128 * 1024)	/* raw bytes of a frame */
#define HONE_FRAME_TARGET_COLD	(1024 * 1024)	/* the same from level 10 on */
#define HONE_FRAME_MAX			((Size) 0x7fffffff)
#define HONE_BATCH_MAX_VECTORS	((HONE_BATCH_MAX_ROWS + HONE_VECTOR_ROWS - 1) / HONE_VECTOR_ROWS)

/* First bytes of a blob; 'crc' covers all others and the frame directory. */
typedef struct HoneBlobHeader
{
	uint32		magic;
	uint8		version;
	uint8		typbyval;
	int16		typlen;
	char		typalign;
	uint8		unused;			/* 0 */
	uint16		nrows;
	uint16		nframes;		/* 0 = all NULL */
	uint16		unused2;		/* 0 */
	uint32		length;			/* of the whole blob */
	uint32		crc;
} HoneBlobHeader;

/* Frame directory, nframes of these after the header. */
typedef struct HoneFrameEntry
{
	uint16		nvectors;
	uint8		method;			/* HoneFrameMethod */
	uint8		unused;			/* 0 */
	uint32		raw;			/* bytes before compression */
	uint32		stored;			/* bytes in the blob */
	uint32		crc;			/* of the stored bytes */
} HoneFrameEntry;

/* Header and the longest directory. */
#define HONE_BLOB_HEAD_MAX \
	(sizeof(HoneBlobHeader) + HONE_BATCH_MAX_VECTORS * sizeof(HoneFrameEntry))

typedef enum HoneFrameMethod
{
	HONE_FRAME_RAW = 0,
	HONE_FRAME_ZSTD = 1
} HoneFrameMethod;

/* First byte of a vector. */
typedef enum HoneNulls
{
	HONE_NULLS_NONE = 0,
	HONE_NULLS_SOME = 1,		/* a bitmap follows the encoding byte */
	HONE_NULLS_ALL = 2			/* nothing follows the encoding byte */
} HoneNulls;

/* Second byte of a vector: how its values that are not NULL are stored. */
typedef enum HoneEncoding
{
	HONE_ENC_NONE = 0,			/* no values */
	HONE_ENC_INTS = 1,			/* by value: integers */
	HONE_ENC_DECIMAL = 2,		/* float4, float8: scaled integers */
	HONE_ENC_SPLIT = 3,			/* fixed length: byte planes */
	HONE_ENC_FIXED = 4,			/* fixed length, by reference: as they are */
	HONE_ENC_VARIABLE = 5,		/* varlena, cstring: lengths, then bytes */
	HONE_ENC_DICT = 6			/* numbers of entries of the frame's
								 * dictionary */
} HoneEncoding;

/* How a column's vectors are written; the smallest result is kept. */
typedef enum HoneStrategy
{
	HONE_STRATEGY_BITS,			/* integers as bit fields */
	HONE_STRATEGY_PLANES,		/* integers and fixed lengths as byte planes */
	HONE_STRATEGY_DICT			/* dictionary */
} HoneStrategy;

/* ---------- codec_frame.c: buffers, checksums, zstd, errors ---------- */

/* A growing buffer that may pass 1 GB. Lives where it was first grown. */
typedef struct HoneBytes
{
	char	   *data;
	Size		len;
	Size		cap;
} HoneBytes;

/* Make room for 'more' bytes after len; returns where they go. */
extern char *hone_codec_reserve(HoneBytes *bytes, Size more);
extern void hone_codec_append(HoneBytes *bytes, const void *data, Size len);

/* A walk over bytes that are not trusted. */
typedef struct HoneCursor
{
	const char *pos;
	const char *end;
	const HoneBlobName *name;
} HoneCursor;

/* Raise the error that a blob is damaged. what: a sentence for the detail. */
pg_noreturn extern void hone_codec_damaged(const HoneBlobName *name, const char *what);

/* The next len bytes, or the error that the blob is damaged. */
static inline const char *
hone_codec_take(HoneCursor *in, Size len)
{
	const char *here = in->pos;

	if ((Size) (in->end - here) < len)
		hone_codec_damaged(in->name, "A vector ends early");
	in->pos += len;
	return here;
}

static inline uint8
hone_codec_take_u8(HoneCursor *in)
{
	return *(const uint8 *) hone_codec_take(in, 1);
}

static inline uint16
hone_codec_take_u16(HoneCursor *in)
{
	uint16		v;

	memcpy(&v, hone_codec_take(in, sizeof(v)), sizeof(v));
	return v;
}

static inline uint32
hone_codec_take_u32(HoneCursor *in)
{
	uint32		v;

	memcpy(&v, hone_codec_take(in, sizeof(v)), sizeof(v));
	return v;
}

static inline uint64
hone_codec_take_u64(HoneCursor *in)
{
	uint64		v;

	memcpy(&v, hone_codec_take(in, sizeof(v)), sizeof(v));
	return v;
}

extern uint32 hone_codec_crc(const void *data, Size len);
extern uint32 hone_codec_header_crc(const char *blob, int nframes);

/*
 * Append raw, compressed when that pays, to 'out' and fill *entry (all but
 * nvectors).
 */
extern void hone_codec_frame_write(HoneBytes *out, HoneFrameEntry *entry,
								   const char *raw, Size len, int level);

/* Inflate 'stored' into 'raw', exactly rawlen bytes. */
extern void hone_codec_frame_inflate(const HoneBlobName *name,
									 const char *stored, Size len,
									 char *raw, Size rawlen);

/* Is rawlen what these compressed bytes can and do claim to hold? */
extern bool hone_codec_frame_plausible(const char *stored, Size len, Size rawlen);

/* ---------- codec_bits.c ---------- */

/* Bytes that n fields of 'width' bits (0 .. 64) take. */
static inline Size
hone_codec_bits_size(int n, int width)
{
	return ((Size) n * width + 7) / 8;
}

extern void hone_codec_bits_pack(char *out, const uint64 *v, int n, int width);
extern void hone_codec_bits_unpack(const char *in, Size size, uint64 *v, int n, int width);
extern void hone_codec_planes_pack(char *out, const uint64 *v, int n, int nplanes);
extern void hone_codec_planes_unpack(const char *in, uint64 *v, int n, int nplanes);

/* ---------- codec_int.c ---------- */

/* Append n >= 1 integers as one block; planes: byte planes, not bit fields. */
extern void hone_codec_ints_encode(HoneBytes *out, const int64 *v, int n, bool planes);

/* Read a block of n integers back. */
extern void hone_codec_ints_decode(HoneCursor *in, uint64 *v, int n);

/* ---------- codec_float.c ---------- */

/*
 * Append n floats, given as their bits, as scaled integers; false, with
 * nothing appended, when they are not short decimals. size: 4 or 8.
 */
extern bool hone_codec_decimal_encode(HoneBytes *out, const int64 *bits, int n,
									  int size, bool planes);
extern void hone_codec_decimal_decode(HoneCursor *in, uint64 *bits, int n, int size);

/* ---------- codec_bytes.c ---------- */

/* A column's values that are not NULL, in row order. */
typedef struct HoneColumnInput
{
	const HoneColumnShape *shape;
	int			nrows;
	const bool *isnull;
	int			nvalues;
	Size		nbytes;			/* of all values, without headers */
	int64	   *ints;			/* by value: sign-extended */
	const char **data;			/* by reference: first byte past any header */
	uint32	   *len;			/* and length, without header or ending NUL */
} HoneColumnInput;

extern void hone_codec_fixed_encode(HoneBytes *out, const HoneColumnInput *in,
									int first, int n, bool split);
extern void hone_codec_variable_encode(HoneBytes *out, const HoneColumnInput *in,
									   int first, int n);

/* Memory of a reader that is reused from vector to vector. */
typedef struct HoneArena
{
	MemoryContext cxt;
	char	   *data;
	Size		cap;
} HoneArena;

/* At least 'size' bytes, MAXALIGNed; earlier contents are lost. */
extern char *hone_codec_arena(HoneArena *arena, Size size);

/* Datum of a by-value type of that length from its bits. */
static inline Datum
hone_codec_int_datum(uint64 v, int typlen)
{
	switch (typlen)
	{
		case 1:
			return CharGetDatum((char) v);
		case 2:
			return Int16GetDatum((int16) v);
		case 4:
			return Int32GetDatum((int32) v);
		default:
			return Int64GetDatum((int64) v);
	}
}

extern void hone_codec_ints_to_datums(Datum *values, const uint64 *v, int n, int typlen);
extern void hone_codec_fixed_decode(HoneCursor *in, const HoneColumnShape *shape,
									bool split, HoneArena *arena,
									Datum *values, int n);
extern void hone_codec_variable_decode(HoneCursor *in, const HoneColumnShape *shape,
									   HoneArena *arena, uint64 *lengths,
									   Datum *values, int n);

/* ---------- codec_dict.c ---------- */

typedef struct HoneDict
{
	HoneColumnInput entries;	/* in order of first occurrence */
	int64	   *code;			/* entry number of each value */
} HoneDict;

/* Distinct values of a column, or NULL when a dictionary would not pay. */
extern HoneDict *hone_codec_dict_build(const HoneColumnInput *in);
extern void hone_codec_dict_encode(HoneBytes *out, const HoneDict *dict);

/*
 * Values of all n >= 1 entries. The array is in 'table', what its elements
 * point to in 'arena'.
 */
extern Datum *hone_codec_dict_decode(HoneCursor *in, const HoneColumnShape *shape,
									 int n, HoneArena *table, HoneArena *arena);

#endif							/* HONE_CODEC_INTERNAL_H */
