/*-------------------------------------------------------------------------
 *
 * codec_fuzz.c
 *	  Random columns, and damage to their blobs that no checksum finds.
 *
 * Damage is done either to the blob as it lies there (header, directory,
 * compressed bytes) or to the bytes of a frame before compression, where the
 * decoders meet it. Nothing here needs a running server, so that the same
 * code also runs alone under a memory checker.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"

#include "tiered/codec_fuzz.h"
#include "tiered/codec_internal.h"

static const HoneBlobName fuzz_name = {"fuzz", 1, "fuzz"};

static const HoneColumnShape shapes[] = {
	{BOOLOID, 1, true, TYPALIGN_CHAR},
	{INT2OID, 2, true, TYPALIGN_SHORT},
	{INT4OID, 4, true, TYPALIGN_INT},
	{INT8OID, 8, true, TYPALIGN_DOUBLE},
	{FLOAT4OID, 4, true, TYPALIGN_INT},
	{FLOAT8OID, 8, true, TYPALIGN_DOUBLE},
	{FLOAT8OID, 8, true, TYPALIGN_DOUBLE},
	{TEXTOID, -1, false, TYPALIGN_INT},
	{JSONBOID, -1, false, TYPALIGN_INT},
	{CSTRINGOID, -2, false, TYPALIGN_CHAR},
	{UUIDOID, 16, false, TYPALIGN_CHAR},
	{NAMEOID, 64, false, TYPALIGN_CHAR},
	{MACADDROID, 6, false, TYPALIGN_INT},
};

/* xorshift*: the same numbers everywhere, unlike the server's generator. */
static uint64
next_random(uint64 *random)
{
	uint64		x = *random ? *random : UINT64CONST(0x9E3779B97F4A7C15);

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*random = x;
	return x * UINT64CONST(0x2545F4914F6CDD1D);
}

/* 0 .. n - 1 */
static uint32
below(uint64 *random, uint32 n)
{
	return (uint32) ((next_random(random) >> 33) % n);
}

/* How the numbers behind a column's values go. */
typedef enum Pattern
{
	PATTERN_CONST,
	PATTERN_SERIES,				/* even steps */
	PATTERN_WALK,				/* uneven small steps */
	PATTERN_FEW,				/* few distinct ones */
	PATTERN_SMALL,
	PATTERN_WIDE,				/* any bits */
	PATTERN_COUNT
} Pattern;

static uint64
next_number(Pattern pattern, uint64 start, int i, uint64 *last, uint64 *random)
{
	switch (pattern)
	{
		case PATTERN_CONST:
			return start;
		case PATTERN_SERIES:
			return start + (uint64) i * 1000;
		case PATTERN_WALK:
			*last += below(random, 5) * 60;
			return start + *last;
		case PATTERN_FEW:
			return start * (1 + below(random, 7));
		case PATTERN_SMALL:
			return below(random, 1000);
		default:
			return next_random(random);
	}
}

/* A datum of the shape, made from the number. */
static Datum
make_value(const HoneColumnShape *shape, Pattern pattern, uint64 number)
{
	uint64		seed = number + 1;
	int			len = shape->typlen;
	char	   *value;

	if (shape->typbyval)
	{
		if (shape->typid == FLOAT8OID && pattern != PATTERN_WIDE)
		{
			double		d = (double) (int64) (number % 1000000) / 100.0;

			memcpy(&number, &d, sizeof(number));
		}
		return hone_codec_int_datum(number, len);
	}
	if (len < 0)
	{
		int			n = below(&seed, pattern == PATTERN_WIDE ? 300 : 20);

		if (pattern == PATTERN_WIDE && below(&seed, 500) == 0)
			n = 50000;
		value = palloc(VARHDRSZ + n + 1);
		for (int i = 0; i < n; i++)
			value[VARHDRSZ + i] = 'a' + below(&seed, 8);
		value[VARHDRSZ + n] = '\0';
		SET_VARSIZE(value, VARHDRSZ + n);
		return PointerGetDatum(len == -1 ? value : value + VARHDRSZ);
	}
	value = palloc(len);
	for (int i = 0; i < len; i++)
		value[i] = (char) next_random(&seed);
	return PointerGetDatum(value);
}

/* Do these two values have the same bytes? */
static bool
same_datum(const HoneColumnShape *shape, Datum a, Datum b)
{
	if (shape->typbyval)
		return a == b;
	if (shape->typlen == -2)
		return strcmp(DatumGetCString(a), DatumGetCString(b)) == 0;
	if (shape->typlen == -1)
		return VARSIZE(DatumGetPointer(a)) == VARSIZE(DatumGetPointer(b)) &&
			memcmp(DatumGetPointer(a), DatumGetPointer(b), VARSIZE(DatumGetPointer(a))) == 0;
	return memcmp(DatumGetPointer(a), DatumGetPointer(b), shape->typlen) == 0;
}

static void
prove_round_trip(const HoneFuzzCase *fuzz)
{
	static Datum values[HONE_VECTOR_ROWS];
	static bool isnull[HONE_VECTOR_ROWS];
	HoneColumnReader *reader = hone_codec_open(&fuzz_name, &fuzz->shape, fuzz->nrows,
											   fuzz->blob.data, fuzz->blob.len);

	for (int first = 0; first < fuzz->nrows; first += HONE_VECTOR_ROWS)
	{
		int			n = hone_codec_read(reader, first / HONE_VECTOR_ROWS, values, isnull);

		for (int i = 0; i < n; i++)
			if (isnull[i] != fuzz->isnull[first + i] ||
				(!isnull[i] && !same_datum(&fuzz->shape, values[i], fuzz->values[first + i])))
				elog(ERROR, "row %d came back as another value", first + i);
	}
	hone_codec_close(reader);
}

HoneFuzzCase *
hone_codec_fuzz_case(uint64 *random)
{
	HoneFuzzCase *fuzz = palloc0(sizeof(HoneFuzzCase));
	Pattern		pattern = below(random, PATTERN_COUNT);
	uint64		start = next_random(random) >> below(random, 64);
	uint64		last = 0;
	int			null_percent[] = {0, 0, 10, 95, 100};
	int			percent = null_percent[below(random, lengthof(null_percent))];

	fuzz->shape = shapes[below(random, lengthof(shapes))];
	fuzz->nrows = 1 + below(random, 1 << (1 + below(random, 13)));
	fuzz->values = palloc(fuzz->nrows * sizeof(Datum));
	fuzz->isnull = palloc(fuzz->nrows * sizeof(bool));
	for (int i = 0; i < fuzz->nrows; i++)
	{
		uint64		number = next_number(pattern, start, i, &last, random);

		fuzz->isnull[i] = below(random, 100) < percent;
		fuzz->values[i] = make_value(&fuzz->shape, pattern, number);
	}
	initStringInfo(&fuzz->blob);
	hone_codec_encode(&fuzz->blob, &fuzz->shape, fuzz->nrows, fuzz->values,
					  fuzz->isnull, 1);
	prove_round_trip(fuzz);
	return fuzz;
}

/* Change some of these bytes; most often few, most often near the start. */
static void
damage_bytes(char *data, Size len, uint64 *random)
{
	static const uint8 hostile[] = {0, 1, 2, 3, 6, 8, 63, 64, 65, 127, 128, 255};
	int			times = 1 + below(random, 4);

	while (len > 0 && times-- > 0)
	{
		Size		reach = below(random, 2) ? Min(len, 96) : len;
		Size		at = below(random, reach);
		Size		from = below(random, len);
		Size		span = 1 + below(random, 16);

		if (below(random, 4) == 0)
			at = len - 1 - below(random, Min(len, 40)); /* offsets */
		span = Min(span, len - Max(at, from));
		switch (below(random, 4))
		{
			case 0:
				data[at] ^= 1 << below(random, 8);
				break;
			case 1:
				data[at] = hostile[below(random, lengthof(hostile))];
				break;
			case 2:
				memset(data + at, below(random, 2) ? 0xff : 0, span);
				break;
			default:
				memmove(data + at, data + from, span);
				break;
		}
	}
}

/* Make the checksums and the length right, as far as the directory reaches. */
static void
patch_checksums(char *blob, Size len)
{
	HoneBlobHeader header;
	Size		at;

	if (len < sizeof(header))
		return;
	memcpy(&header, blob, sizeof(header));
	header.length = len;
	memcpy(blob, &header, sizeof(header));
	at = sizeof(header) + header.nframes * sizeof(HoneFrameEntry);
	if (at > len)
		return;
	for (int f = 0; f < header.nframes; f++)
	{
		char	   *where = blob + sizeof(header) + f * sizeof(HoneFrameEntry);
		HoneFrameEntry entry;

		memcpy(&entry, where, sizeof(entry));
		if (entry.stored > len - at)
			break;
		entry.crc = hone_codec_crc(blob + at, entry.stored);
		memcpy(where, &entry, sizeof(entry));
		at += entry.stored;
	}
	header.crc = hone_codec_header_crc(blob, header.nframes);
	memcpy(blob, &header, sizeof(header));
}

/* Damage the blob as it lies there; cut or lengthen it now and then. */
static void
damage_blob(const HoneFuzzCase *fuzz, uint64 *random, StringInfo out)
{
	appendBinaryStringInfo(out, fuzz->blob.data, fuzz->blob.len);
	if (below(random, 4) == 0)
		out->len = below(random, out->len + 1);
	else if (below(random, 8) == 0)
		appendBinaryStringInfo(out, fuzz->blob.data, below(random, fuzz->blob.len));
	damage_bytes(out->data, out->len, random);
}

/*
 * A copy of the blob with one frame inflated, damaged, cut or lengthened, and
 * stored raw or compressed again.
 */
static void
damage_frame(const HoneFuzzCase *fuzz, uint64 *random, StringInfo out)
{
	const char *blob = fuzz->blob.data;
	HoneBlobHeader header;
	HoneBytes	frames = {0};
	HoneFrameEntry entry[HONE_BATCH_MAX_VECTORS];
	const char *stored;
	int			victim;

	memcpy(&header, blob, sizeof(header));
	memcpy(entry, blob + sizeof(header), header.nframes * sizeof(HoneFrameEntry));
	stored = blob + sizeof(header) + header.nframes * sizeof(HoneFrameEntry);
	victim = below(random, header.nframes);
	for (int f = 0; f < header.nframes; f++)
	{
		Size		len = entry[f].stored;

		if (f != victim)
			hone_codec_append(&frames, stored, len);
		else
		{
			HoneBytes	raw = {0};

			hone_codec_reserve(&raw, entry[f].raw);
			if (entry[f].method == HONE_FRAME_ZSTD)
				hone_codec_frame_inflate(&fuzz_name, stored, len, raw.data, entry[f].raw);
			else
				memcpy(raw.data, stored, len);
			raw.len = entry[f].raw;
			if (below(random, 8) == 0)
				raw.len = below(random, raw.len + 1);
			else if (below(random, 16) == 0)
				hone_codec_append(&raw, blob, below(random, fuzz->blob.len));
			damage_bytes(raw.data, raw.len, random);
			hone_codec_frame_write(&frames, &entry[f], raw.data, raw.len, 1);
			pfree(raw.data);
		}
		stored += len;
	}
	appendBinaryStringInfo(out, (char *) &header, sizeof(header));
	appendBinaryStringInfo(out, (char *) entry, header.nframes * sizeof(HoneFrameEntry));
	appendBinaryStringInfo(out, frames.data, frames.len);
	pfree(frames.data);
}

void
hone_codec_fuzz_damage(const HoneFuzzCase *fuzz, uint64 *random, StringInfo out)
{
	HoneBlobHeader header;

	memcpy(&header, fuzz->blob.data, sizeof(header));
	if (header.nframes > 0 && below(random, 3) > 0)
		damage_frame(fuzz, random, out);
	else
		damage_blob(fuzz, random, out);
	patch_checksums(out->data, out->len);
}

void
hone_codec_fuzz_flip(const HoneFuzzCase *fuzz, uint64 *random, StringInfo out)
{
	appendBinaryStringInfo(out, fuzz->blob.data, fuzz->blob.len);
	out->data[below(random, out->len)] ^= 1 << below(random, 8);
}

/* Sum of all bytes of a value. */
static uint64
touch(const HoneColumnShape *shape, Datum value)
{
	const unsigned char *p = (const unsigned char *) DatumGetPointer(value);
	Size		len;
	uint64		sum = 0;

	if (shape->typbyval)
		return (uint64) value;
	if (shape->typlen == -1)
		len = VARSIZE_ANY(p);
	else
		len = shape->typlen == -2 ? strlen((const char *) p) + 1 : shape->typlen;
	while (len-- > 0)
		sum += *p++;
	return sum;
}

static void
fetch_bytes(void *arg, Size offset, Size len, char *to)
{
	const StringInfoData *blob = arg;

	if (offset > blob->len || len > blob->len - offset)
		elog(ERROR, "fetch of bytes %zu and %zu more of %d", offset, len, blob->len);
	memcpy(to, blob->data + offset, len);
}

uint64
hone_codec_fuzz_decode(const HoneFuzzCase *fuzz, const StringInfoData *blob)
{
	static Datum values[HONE_VECTOR_ROWS];
	static bool isnull[HONE_VECTOR_ROWS];
	HoneColumnReader *reader;
	int			nvectors = (fuzz->nrows + HONE_VECTOR_ROWS - 1) / HONE_VECTOR_ROWS;
	uint64		sum = 0;

	if (blob->len % 2 == 0)
		reader = hone_codec_open(&fuzz_name, &fuzz->shape, fuzz->nrows,
								 blob->data, blob->len);
	else
		reader = hone_codec_open_lazy(&fuzz_name, &fuzz->shape, fuzz->nrows,
									  blob->len, fetch_bytes, (void *) blob);
	for (int i = 0; i < nvectors + 2; i++)
	{
		int			n = hone_codec_read(reader, i < nvectors ? i : i * 5 % nvectors,
										values, isnull);

		for (int k = 0; k < n; k++)
			if (!isnull[k])
				sum += touch(&fuzz->shape, values[k]);
	}
	hone_codec_close(reader);
	return sum;
}
