/*-------------------------------------------------------------------------
 *
 * codec_encode.c
 *	  From the values of a column to its blob.
 *
 * The values that are not NULL are gathered once; then the column is written
 * by each strategy that may suit it, and the smallest result is kept. Vectors
 * go into a frame until it holds HONE_FRAME_TARGET bytes; a dictionary and
 * all the vectors that use it share one frame.
 *
 * All memory but 'out' lives in a context of its own below the caller's,
 * which goes away at the end, or with the caller's on error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "tiered/codec_internal.h"

#define TRIAL_LEVEL			3	/* strategies are compared at most at this */
#define TRIAL_MAX_BYTES		(4 * 1024 * 1024)	/* more is written once */

/* A column as far as it is written. */
typedef struct Writer
{
	const HoneColumnInput *in;
	HoneStrategy strategy;
	const HoneDict *dict;		/* for HONE_STRATEGY_DICT */
	int			level;
	HoneBytes	out;			/* finished frames */
	int			nframes;
	HoneFrameEntry entry[HONE_BATCH_MAX_VECTORS];
	HoneBytes	raw;			/* the frame in hand */
	HoneBytes	next;			/* spare buffer for the one after it */
	int			nvectors;		/* in it */
	uint32		offset[HONE_BATCH_MAX_VECTORS + 1]; /* where its vectors
													 * begin; the end of the
													 * last */
} Writer;

static int64
datum_int(Datum value, int typlen)
{
	switch (typlen)
	{
		case 1:
			return (int8) DatumGetChar(value);
		case 2:
			return DatumGetInt16(value);
		case 4:
			return DatumGetInt32(value);
		case 8:
			return DatumGetInt64(value);
		default:
			elog(ERROR, "by-value type of %d bytes", typlen);
	}
	return 0;
}

/* Length and first byte of a by-reference value as it is stored. */
static void
datum_bytes(Datum value, int typlen, const char **data, uint32 *len)
{
	const char *p = DatumGetPointer(value);

	if (typlen == -1)
	{
		if (VARATT_IS_EXTERNAL(p) || VARATT_IS_COMPRESSED(p))
			elog(ERROR, "codec was handed a toasted value");
		*data = VARDATA_ANY(p);
		*len = VARSIZE_ANY_EXHDR(p);
	}
	else
	{
		*data = p;
		*len = typlen == -2 ? strlen(p) : typlen;
	}
}

static void
gather(HoneColumnInput *in, const HoneColumnShape *shape, int nrows,
	   const Datum *values, const bool *isnull)
{
	memset(in, 0, sizeof(*in));
	in->shape = shape;
	in->nrows = nrows;
	in->isnull = isnull;
	if (shape->typbyval)
		in->ints = palloc(nrows * sizeof(int64));
	else
	{
		in->data = palloc(nrows * sizeof(char *));
		in->len = palloc(nrows * sizeof(uint32));
	}
	for (int i = 0; i < nrows; i++)
	{
		int			n = in->nvalues;

		if (isnull[i])
			continue;
		if (shape->typbyval)
		{
			in->ints[n] = datum_int(values[i], shape->typlen);
			in->nbytes += shape->typlen;
		}
		else
		{
			datum_bytes(values[i], shape->typlen, &in->data[n], &in->len[n]);
			in->nbytes += in->len[n];
		}
		in->nvalues++;
	}
}

/* Close the frame in hand: its offsets, then all of it to the output. */
static void
finish_frame(Writer *w)
{
	HoneFrameEntry *entry = &w->entry[w->nframes];

	hone_codec_append(&w->raw, w->offset, (w->nvectors + 1) * sizeof(uint32));
	if (w->raw.len > HONE_FRAME_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("values of a compressed batch are too large"),
				 errdetail("%d consecutive values of a column may have 2 GB together.", HONE_VECTOR_ROWS),
				 errhint("Run hone.decompress on this table and keep such values outside of tiered tables.")));
	memset(entry, 0, sizeof(*entry));
	entry->nvectors = w->nvectors;
	hone_codec_frame_write(&w->out, entry, w->raw.data, w->raw.len, w->level);
	w->nframes++;
	w->nvectors = 0;
	w->raw.len = 0;
}

/* Open a frame; the number of dictionary entries comes first. */
static void
start_frame(Writer *w)
{
	uint16		ndict = w->dict ? w->dict->entries.nvalues : 0;

	hone_codec_append(&w->raw, &ndict, sizeof(ndict));
	if (w->dict)
		hone_codec_dict_encode(&w->raw, w->dict);
	w->offset[0] = w->raw.len;
}

/* Values first .. first + n - 1; returns their encoding. */
static HoneEncoding
write_values(Writer *w, int first, int n)
{
	const HoneColumnInput *in = w->in;
	const HoneColumnShape *shape = in->shape;
	bool		planes = w->strategy == HONE_STRATEGY_PLANES;

	if (w->strategy == HONE_STRATEGY_DICT)
	{
		hone_codec_ints_encode(&w->raw, w->dict->code + first, n, false);
		return HONE_ENC_DICT;
	}
	if (shape->typlen < 0)
	{
		hone_codec_variable_encode(&w->raw, in, first, n);
		return HONE_ENC_VARIABLE;
	}
	if (!shape->typbyval)
	{
		hone_codec_fixed_encode(&w->raw, in, first, n, planes);
		return planes ? HONE_ENC_SPLIT : HONE_ENC_FIXED;
	}
	if (shape->typid == FLOAT4OID || shape->typid == FLOAT8OID)
	{
		if (hone_codec_decimal_encode(&w->raw, in->ints + first, n, shape->typlen, planes))
			return HONE_ENC_DECIMAL;
		hone_codec_fixed_encode(&w->raw, in, first, n, true);
		return HONE_ENC_SPLIT;
	}
	hone_codec_ints_encode(&w->raw, in->ints + first, n, planes);
	return HONE_ENC_INTS;
}

/*
 * Append the vector of these rows, whose n values that are not NULL begin at
 * number first.
 */
static void
write_vector(Writer *w, int row, int rows, int first, int n)
{
	uint8		head[2] = {HONE_NULLS_NONE, HONE_ENC_NONE};
	Size		start = w->raw.len;

	if (n == 0)
		head[0] = HONE_NULLS_ALL;
	else if (n < rows)
		head[0] = HONE_NULLS_SOME;
	hone_codec_append(&w->raw, head, sizeof(head));
	if (n == 0)
		return;
	if (n < rows)
	{
		Size		size = (rows + 7) / 8;
		uint8	   *bitmap = (uint8 *) hone_codec_reserve(&w->raw, size);

		memset(bitmap, 0, size);
		for (int i = 0; i < rows; i++)
			if (w->in->isnull[row + i])
				bitmap[i / 8] |= 1 << (i % 8);
		w->raw.len += size;
	}
	head[1] = write_values(w, first, n);
	w->raw.data[start + 1] = head[1];
}

/*
 * The vector that begins at 'start' made the frame too long: finish the frame
 * without it and begin another with it.
 */
static void
split_frame(Writer *w, Size start)
{
	HoneBytes	full = w->raw;

	w->raw = w->next;
	start_frame(w);
	hone_codec_append(&w->raw, full.data + start, full.len - start);
	w->next = w->raw;

	w->raw = full;
	w->raw.len = start;
	finish_frame(w);

	full = w->raw;
	w->raw = w->next;
	w->next = full;
}

static void
write_column(Writer *w)
{
	const HoneColumnInput *in = w->in;
	Size		target = w->level < HONE_LEVEL_COLD ? HONE_FRAME_TARGET : HONE_FRAME_TARGET_COLD;
	int			first = 0;

	start_frame(w);
	for (int row = 0; row < in->nrows; row += HONE_VECTOR_ROWS)
	{
		int			rows = Min(HONE_VECTOR_ROWS, in->nrows - row);
		Size		start = w->raw.len;
		int			n = 0;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < rows; i++)
			n += !in->isnull[row + i];

		write_vector(w, row, rows, first, n);
		if (w->raw.len > target && w->nvectors > 0 && w->dict == NULL)
			split_frame(w, start);
		w->nvectors++;
		w->offset[w->nvectors] = w->raw.len;
		first += n;
	}
	finish_frame(w);
}

/* Write the column one way, into a new Writer. */
static Writer *
try_strategy(const HoneColumnInput *in, HoneStrategy strategy,
			 const HoneDict *dict, int level)
{
	Writer	   *w = palloc0(sizeof(Writer));

	w->in = in;
	w->strategy = strategy;
	w->dict = strategy == HONE_STRATEGY_DICT ? dict : NULL;
	w->level = level;
	write_column(w);
	return w;
}

static Size
written_size(const Writer *w)
{
	return w->out.len + w->nframes * sizeof(HoneFrameEntry);
}

/* Write the column in the way that takes the least room. */
static Writer *
write_smallest(const HoneColumnInput *in, int level)
{
	HoneDict   *dict = hone_codec_dict_build(in);
	int			trial = Min(level, TRIAL_LEVEL);
	HoneStrategy strategies[3];
	int			n = 0;
	Writer	   *best = NULL;

	/* a dictionary of few large values is sure to win */
	if (dict == NULL || dict->entries.nbytes * 16 > in->nbytes || in->shape->typbyval)
		strategies[n++] = HONE_STRATEGY_BITS;
	if (in->shape->typlen > 1 && in->nbytes <= TRIAL_MAX_BYTES)
		strategies[n++] = HONE_STRATEGY_PLANES;
	if (dict != NULL)
		strategies[n++] = HONE_STRATEGY_DICT;

	if (n == 1)
		return try_strategy(in, strategies[0], dict, level);
	for (int i = 0; i < n; i++)
	{
		Writer	   *w = try_strategy(in, strategies[i], dict, trial);

		if (best == NULL || written_size(w) < written_size(best))
			best = w;
	}
	if (level != trial)
		best = try_strategy(in, best->strategy, dict, level);
	return best;
}

/* Header, directory and frames; w may be NULL when there are no values. */
static void
append_blob(StringInfo out, const HoneColumnInput *in, const Writer *w)
{
	HoneBlobHeader header = {0};
	int			nframes = w ? w->nframes : 0;
	Size		length = sizeof(header) + nframes * sizeof(HoneFrameEntry) +
	(w ? w->out.len : 0);
	char	   *at;

	if (length > MaxAllocSize - out->len - 1)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("compressed values of one column of a batch pass 1 GB"),
				 errhint("Run hone.decompress on this table and keep such values outside of tiered tables.")));
	header.magic = HONE_BLOB_MAGIC;
	header.version = HONE_BLOB_VERSION;
	header.typbyval = in->shape->typbyval;
	header.typlen = in->shape->typlen;
	header.typalign = in->shape->typalign;
	header.nrows = in->nrows;
	header.nframes = nframes;
	header.length = length;

	enlargeStringInfo(out, length);
	at = out->data + out->len;
	memcpy(at, &header, sizeof(header));
	if (w)
	{
		memcpy(at + sizeof(header), w->entry, nframes * sizeof(HoneFrameEntry));
		memcpy(at + sizeof(header) + nframes * sizeof(HoneFrameEntry),
			   w->out.data, w->out.len);
	}
	header.crc = hone_codec_header_crc(at, nframes);
	memcpy(at, &header, sizeof(header));
	out->len += length;
	out->data[out->len] = '\0';
}

void
hone_codec_encode(StringInfo out, const HoneColumnShape *shape, int nrows,
				  const Datum *values, const bool *isnull, int level)
{
	MemoryContext context;
	MemoryContext caller;
	HoneColumnInput in;
	Writer	   *w = NULL;

	if (nrows < 1 || nrows > HONE_BATCH_MAX_ROWS)
		elog(ERROR, "batch of %d rows", nrows);
	context = AllocSetContextCreate(CurrentMemoryContext, "hone codec",
									ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(context);
	gather(&in, shape, nrows, values, isnull);
	if (in.nvalues > 0)
		w = write_smallest(&in, level);
	MemoryContextSwitchTo(caller);
	append_blob(out, &in, w);
	MemoryContextDelete(context);
}
