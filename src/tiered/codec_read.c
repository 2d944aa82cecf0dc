/*-------------------------------------------------------------------------
 *
 * codec_read.c
 *	  From a blob back to values, a vector at a time.
 *
 * Nothing in a blob is trusted, checksum or not: every length is checked
 * against what is there before it is used, what a frame claims to inflate to
 * is bounded by what zstd could make of its bytes, and every byte of a
 * vector must be accounted for.
 *
 * A reader keeps one frame inflated, with its dictionary decoded, and one
 * arena for the values of one vector.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bswap.h"

#include "tiered/codec_internal.h"

struct HoneColumnReader
{
	HoneBlobName name;
	HoneColumnShape shape;
	int			nrows;
	int			nframes;
	const char *blob;			/* all of it; when lazy, header and directory */
	char	   *owned;			/* that memory, when it is the reader's */
	HoneBlobFetch fetch;		/* when lazy, else NULL */
	void	   *fetch_arg;
	int			frame;			/* the one that is inflated, or -1 */
	int			first_vector;	/* of it */
	int			nvectors;		/* in it */
	const char *raw;			/* its bytes: in inflated, fetched or the blob */
	const char *offsets;		/* in raw: nvectors + 1 uint32, ascending */
	int			ndict;
	Datum	   *dict;
	HoneArena	fetched;
	HoneArena	inflated;
	HoneArena	dict_table;
	HoneArena	dict_values;
	HoneArena	values;
};

/* A blob up to this long is fetched whole. */
#define FETCH_WHOLE		(32 * 1024)

/* Scratch for one vector; no call that uses it can be entered again. */
static uint64 vector_numbers[HONE_VECTOR_ROWS];
static Datum vector_values[HONE_VECTOR_ROWS];

static HoneFrameEntry
frame_entry(const HoneColumnReader *reader, int frame)
{
	HoneFrameEntry entry;

	memcpy(&entry, reader->blob + sizeof(HoneBlobHeader) + frame * sizeof(HoneFrameEntry),
		   sizeof(entry));
	return entry;
}

/*
 * Check the header against what the caller knows, and its checksum; returns
 * the number of frames. blob: len bytes, or as many as the longest directory
 * takes.
 */
static int
check_header(const HoneBlobName *name, const HoneColumnShape *shape,
			 int nrows, const char *blob, Size len)
{
	HoneBlobHeader header;
	Size		directory;

	if (len < sizeof(header))
		hone_codec_damaged(name, "The header is cut short");
	memcpy(&header, blob, sizeof(header));
	if (header.magic == pg_bswap32(HONE_BLOB_MAGIC))
		hone_codec_damaged(name, "It was written on a machine of the other byte order");
	if (header.magic != HONE_BLOB_MAGIC)
		hone_codec_damaged(name, "The magic number is missing");
	if (header.version != HONE_BLOB_VERSION)
		hone_codec_damaged(name, "The format version is not known");
	if (header.length != len)
		hone_codec_damaged(name, "The length is wrong");
	directory = header.nframes * sizeof(HoneFrameEntry);
	if (header.nframes > HONE_BATCH_MAX_VECTORS || len - sizeof(header) < directory)
		hone_codec_damaged(name, "The frame directory is cut short");
	if (header.crc != hone_codec_header_crc(blob, header.nframes))
		hone_codec_damaged(name, "The checksum of the header is wrong");
	if (header.typlen != shape->typlen || header.typbyval != (uint8) shape->typbyval ||
		header.typalign != shape->typalign)
		hone_codec_damaged(name, "The type has another shape");
	if (header.nrows != nrows)
		hone_codec_damaged(name, "The number of rows is wrong");
	return header.nframes;
}

/* Frames must cover all vectors and all bytes. */
static void
check_directory(const HoneColumnReader *reader, Size len)
{
	Size		left = len - sizeof(HoneBlobHeader) - reader->nframes * sizeof(HoneFrameEntry);
	int			vectors = (reader->nrows + HONE_VECTOR_ROWS - 1) / HONE_VECTOR_ROWS;

	if (reader->nframes == 0 && left == 0)
		return;
	for (int f = 0; f < reader->nframes; f++)
	{
		HoneFrameEntry entry = frame_entry(reader, f);

		if (entry.stored > left || entry.nvectors > vectors || entry.nvectors == 0)
			hone_codec_damaged(&reader->name, "The frame directory is wrong");
		left -= entry.stored;
		vectors -= entry.nvectors;
	}
	if (left != 0 || vectors != 0)
		hone_codec_damaged(&reader->name, "The frame directory is wrong");
}

/* A reader of a blob whose header and directory are at 'blob'. */
static HoneColumnReader *
make_reader(const HoneBlobName *name, const HoneColumnShape *shape, int nrows,
			const char *blob, Size len)
{
	int			nframes = check_header(name, shape, nrows, blob, len);
	HoneColumnReader *reader = palloc0(sizeof(HoneColumnReader));

	reader->name = *name;
	reader->shape = *shape;
	reader->nrows = nrows;
	reader->nframes = nframes;
	reader->blob = blob;
	reader->frame = -1;
	reader->fetched.cxt = CurrentMemoryContext;
	reader->inflated.cxt = CurrentMemoryContext;
	reader->dict_table.cxt = CurrentMemoryContext;
	reader->dict_values.cxt = CurrentMemoryContext;
	reader->values.cxt = CurrentMemoryContext;
	check_directory(reader, len);
	return reader;
}

HoneColumnReader *
hone_codec_open(const HoneBlobName *name, const HoneColumnShape *shape,
				int nrows, const char *blob, Size len)
{
	return make_reader(name, shape, nrows, blob, len);
}

HoneColumnReader *
hone_codec_open_lazy(const HoneBlobName *name, const HoneColumnShape *shape,
					 int nrows, Size len, HoneBlobFetch fetch, void *arg)
{
	bool		whole = len <= FETCH_WHOLE;
	Size		first = whole ? len : HONE_BLOB_HEAD_MAX;
	char	   *blob = palloc(first);
	HoneColumnReader *reader;

	fetch(arg, 0, first, blob);
	reader = make_reader(name, shape, nrows, blob, len);
	reader->owned = blob;
	if (!whole)
	{
		reader->fetch = fetch;
		reader->fetch_arg = arg;
	}
	return reader;
}

/* Bytes of the frame before compression. */
static const char *
inflate(HoneColumnReader *reader, const HoneFrameEntry *entry, Size offset)
{
	const char *stored = reader->blob + offset;
	char	   *raw;

	if (reader->fetch)
	{
		char	   *to = hone_codec_arena(&reader->fetched, entry->stored);

		reader->fetch(reader->fetch_arg, offset, entry->stored, to);
		stored = to;
	}
	if (hone_codec_crc(stored, entry->stored) != entry->crc)
		hone_codec_damaged(&reader->name, "The checksum of a frame is wrong");
	if (entry->method == HONE_FRAME_RAW && entry->raw == entry->stored)
		return stored;
	if (entry->method != HONE_FRAME_ZSTD || entry->raw > HONE_FRAME_MAX ||
		!hone_codec_frame_plausible(stored, entry->stored, entry->raw))
		hone_codec_damaged(&reader->name, "The size of a frame is wrong");
	raw = hone_codec_arena(&reader->inflated, entry->raw);
	hone_codec_frame_inflate(&reader->name, stored, entry->stored, raw, entry->raw);
	return raw;
}

/* Offset of the frame's vector number v (0 .. nvectors) in it. */
static uint32
vector_offset(const HoneColumnReader *reader, int v)
{
	uint32		offset;

	memcpy(&offset, reader->offsets + v * sizeof(uint32), sizeof(offset));
	return offset;
}

/* Inflate the frame at that offset, check its parts, decode its dictionary. */
static void
load_frame(HoneColumnReader *reader, int frame, int first_vector, Size offset)
{
	HoneFrameEntry entry = frame_entry(reader, frame);
	Size		noffsets = (entry.nvectors + 1) * sizeof(uint32);
	Size		len;
	HoneCursor	in;

	reader->frame = -1;
	reader->raw = inflate(reader, &entry, offset);
	if (entry.raw < noffsets)
		hone_codec_damaged(&reader->name, "A frame is cut short");
	len = entry.raw - noffsets;
	reader->offsets = reader->raw + len;
	if (vector_offset(reader, 0) > len || vector_offset(reader, entry.nvectors) != len)
		hone_codec_damaged(&reader->name, "A frame has wrong offsets");
	for (int v = 0; v < entry.nvectors; v++)
		if (vector_offset(reader, v) > vector_offset(reader, v + 1))
			hone_codec_damaged(&reader->name, "A frame has wrong offsets");

	in.pos = reader->raw;
	in.end = reader->raw + vector_offset(reader, 0);
	in.name = &reader->name;
	reader->ndict = hone_codec_take_u16(&in);
	if (reader->ndict > reader->nrows)
		hone_codec_damaged(&reader->name, "A dictionary is too long");
	if (reader->ndict > 0)
		reader->dict = hone_codec_dict_decode(&in, &reader->shape, reader->ndict,
											  &reader->dict_table, &reader->dict_values);
	if (in.pos != in.end)
		hone_codec_damaged(&reader->name, "A dictionary is longer than its entries");

	reader->first_vector = first_vector;
	reader->nvectors = entry.nvectors;
	reader->frame = frame;
}

/* Have the frame of this vector inflated. */
static void
seek_frame(HoneColumnReader *reader, int vector)
{
	Size		offset = sizeof(HoneBlobHeader) + reader->nframes * sizeof(HoneFrameEntry);
	int			first = 0;

	if (reader->frame >= 0 && vector >= reader->first_vector &&
		vector < reader->first_vector + reader->nvectors)
		return;
	for (int f = 0; f < reader->nframes; f++)
	{
		HoneFrameEntry entry = frame_entry(reader, f);

		if (vector < first + entry.nvectors)
		{
			load_frame(reader, f, first, offset);
			return;
		}
		first += entry.nvectors;
		offset += entry.stored;
	}
	elog(ERROR, "vector %d is in no frame", vector);
}

/* n entry numbers to values. */
static void
read_codes(HoneColumnReader *reader, HoneCursor *in, Datum *values, int n)
{
	const Datum *dict = reader->dict;
	uint64		ndict = reader->ndict;
	uint64		largest = 0;

	hone_codec_ints_decode(in, vector_numbers, n);
	for (int i = 0; i < n; i++)
		largest = Max(largest, vector_numbers[i]);
	if (largest >= ndict)
		hone_codec_damaged(in->name, "An entry is not in the dictionary");
	for (int i = 0; i < n; i++)
		values[i] = dict[vector_numbers[i]];
}

/* The n values of a vector that are not NULL. */
static void
read_values(HoneColumnReader *reader, HoneCursor *in, HoneEncoding encoding,
			Datum *values, int n)
{
	const HoneColumnShape *shape = &reader->shape;

	if (encoding == HONE_ENC_INTS && shape->typbyval)
	{
		hone_codec_ints_decode(in, vector_numbers, n);
		hone_codec_ints_to_datums(values, vector_numbers, n, shape->typlen);
	}
	else if (encoding == HONE_ENC_DECIMAL && shape->typbyval)
	{
		hone_codec_decimal_decode(in, vector_numbers, n, shape->typlen);
		hone_codec_ints_to_datums(values, vector_numbers, n, shape->typlen);
	}
	else if (encoding == HONE_ENC_SPLIT && shape->typbyval)
	{
		hone_codec_planes_unpack(hone_codec_take(in, (Size) n * shape->typlen),
								 vector_numbers, n, shape->typlen);
		hone_codec_ints_to_datums(values, vector_numbers, n, shape->typlen);
	}
	else if (encoding == HONE_ENC_DICT)
		read_codes(reader, in, values, n);
	else if ((encoding == HONE_ENC_SPLIT || encoding == HONE_ENC_FIXED) &&
			 !shape->typbyval && shape->typlen > 0)
		hone_codec_fixed_decode(in, shape, encoding == HONE_ENC_SPLIT,
								&reader->values, values, n);
	else if (encoding == HONE_ENC_VARIABLE && shape->typlen < 0)
		hone_codec_variable_decode(in, shape, &reader->values, vector_numbers, values, n);
	else
		hone_codec_damaged(in->name, "The encoding of a vector is not known");
	if (in->pos != in->end)
		hone_codec_damaged(in->name, "A vector is longer than its values");
}

/* Fill isnull[] from the bitmap that follows; returns how many are not. */
static int
read_nulls(HoneCursor *in, int rows, bool *isnull)
{
	const uint8 *bitmap = (const uint8 *) hone_codec_take(in, (rows + 7) / 8);
	int			n = 0;

	for (int i = 0; i < rows; i++)
	{
		isnull[i] = (bitmap[i / 8] >> (i % 8)) & 1;
		n += !isnull[i];
	}
	if (n == 0 || n == rows)
		hone_codec_damaged(in->name, "A bitmap of nulls is wrong");
	return n;
}

static void
all_null(int rows, Datum *values, bool *isnull)
{
	memset(values, 0, rows * sizeof(Datum));
	memset(isnull, true, rows * sizeof(bool));
}

int
hone_codec_read(HoneColumnReader *reader, int vector, Datum *values, bool *isnull)
{
	HoneCursor	in;
	int			rows;
	int			n;
	HoneNulls	nulls;
	HoneEncoding encoding;

	if (vector < 0 || vector * HONE_VECTOR_ROWS >= reader->nrows)
		elog(ERROR, "vector %d of a batch of %d rows", vector, reader->nrows);
	rows = Min(HONE_VECTOR_ROWS, reader->nrows - vector * HONE_VECTOR_ROWS);
	if (reader->nframes == 0)
	{
		all_null(rows, values, isnull);
		return rows;
	}

	seek_frame(reader, vector);
	in.pos = reader->raw + vector_offset(reader, vector - reader->first_vector);
	in.end = reader->raw + vector_offset(reader, vector - reader->first_vector + 1);
	in.name = &reader->name;
	nulls = hone_codec_take_u8(&in);
	encoding = hone_codec_take_u8(&in);

	switch (nulls)
	{
		case HONE_NULLS_NONE:
			memset(isnull, false, rows * sizeof(bool));
			read_values(reader, &in, encoding, values, rows);
			break;

		case HONE_NULLS_SOME:
			n = read_nulls(&in, rows, isnull);
			read_values(reader, &in, encoding, vector_values, n);
			n = 0;
			for (int i = 0; i < rows; i++)
				values[i] = isnull[i] ? (Datum) 0 : vector_values[n++];
			break;

		case HONE_NULLS_ALL:
			if (encoding != HONE_ENC_NONE || in.pos != in.end)
				hone_codec_damaged(in.name, "A vector without values is too long");
			all_null(rows, values, isnull);
			break;

		default:
			hone_codec_damaged(in.name, "The nulls of a vector are not known");
	}
	return rows;
}

void
hone_codec_close(HoneColumnReader *reader)
{
	HoneArena  *arenas[] = {&reader->fetched, &reader->inflated,
	&reader->dict_table, &reader->dict_values, &reader->values};

	for (int i = 0; i < lengthof(arenas); i++)
		if (arenas[i]->data)
			pfree(arenas[i]->data);
	if (reader->owned)
		pfree(reader->owned);
	pfree(reader);
}
