/*-------------------------------------------------------------------------
 *
 * codec_bits.c
 *	  Unsigned integers as bit fields of one width, or as byte planes.
 *
 * Field i occupies bits i * width and on, least significant first. Plane k
 * holds byte k (from the least significant) of every value: slower to read
 * than bit fields, but zstd finds more in them when values are skewed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "port/pg_bswap.h"

#include "tiered/codec_internal.h"

/* Little-endian load and store of whatever order the machine has. */
static inline uint64
load64(const char *p)
{
	uint64		v;

	memcpy(&v, p, sizeof(v));
#ifdef WORDS_BIGENDIAN
	v = pg_bswap64(v);
#endif
	return v;
}

/* Write n fields; out has room for hone_codec_bits_size(n, width). */
void
hone_codec_bits_pack(char *out, const uint64 *v, int n, int width)
{
	uint64		acc = 0;
	int			used = 0;

	if (width == 0)
		return;
	for (int i = 0; i < n; i++)
	{
		int			todo = width;
		uint64		field = v[i];

		acc |= field << used;
		if (used + todo >= 64)
		{
			int			taken = 64 - used;

			for (int k = 0; k < 8; k++)
				*out++ = (char) (acc >> (8 * k));
			acc = taken < 64 ? field >> taken : 0;
			used = todo - taken;
		}
		else
			used += todo;
	}
	for (; used > 0; used -= 8)
	{
		*out++ = (char) acc;
		acc >>= 8;
	}
}

/* Fields 0 .. n - 1, each with 9 readable bytes from its first byte on. */
static inline void
unpack_run(const char *in, uint64 *v, int n, int width)
{
	uint64		mask = width == 64 ? ~UINT64CONST(0) : (UINT64CONST(1) << width) - 1;
	Size		bit = 0;

	if (width <= 57)
	{
		for (int i = 0; i < n; i++, bit += width)
			v[i] = (load64(in + (bit >> 3)) >> (bit & 7)) & mask;
	}
	else
	{
		for (int i = 0; i < n; i++, bit += width)
		{
			int			shift = bit & 7;
			uint64		field = load64(in + (bit >> 3)) >> shift;

			if (shift > 0)
				field |= (uint64) (uint8) in[(bit >> 3) + 8] << (64 - shift);
			v[i] = field & mask;
		}
	}
}

/* Read n fields from exactly size = hone_codec_bits_size(n, width) bytes. */
void
hone_codec_bits_unpack(const char *in, Size size, uint64 *v, int n, int width)
{
	int			whole = 0;		/* fields with 9 readable bytes */
	Size		base;
	char		tail[32] = {0};

	if (width == 0)
	{
		memset(v, 0, n * sizeof(uint64));
		return;
	}
	if (size >= 9)
	{
		Size		fields = ((size - 9) * 8 + 7) / width + 1;

		whole = fields < (Size) n ? (int) fields : n;
		unpack_run(in, v, whole, width);
	}
	if (whole == n)
		return;

	/*
	 * The last fields, which begin less than 9 bytes before the end, go
	 * through a padded copy of those bytes.
	 */
	base = (Size) whole * width / 8;
	memcpy(tail, in + base, size - base);
	for (int i = whole; i < n; i++)
	{
		Size		bit = (Size) i * width - base * 8;
		uint64		field = load64(tail + (bit >> 3)) >> (bit & 7);

		if ((bit & 7) > 0 && width > 57)
			field |= (uint64) (uint8) tail[(bit >> 3) + 8] << (64 - (bit & 7));
		v[i] = width == 64 ? field : field & ((UINT64CONST(1) << width) - 1);
	}
}

/* Write the low nplanes bytes of n values, n * nplanes bytes in all. */
void
hone_codec_planes_pack(char *out, const uint64 *v, int n, int nplanes)
{
	for (int k = 0; k < nplanes; k++)
		for (int i = 0; i < n; i++)
			*out++ = (char) (v[i] >> (8 * k));
}

/* And back; in holds n * nplanes bytes. */
void
hone_codec_planes_unpack(const char *in, uint64 *v, int n, int nplanes)
{
	memset(v, 0, n * sizeof(uint64));
	for (int k = 0; k < nplanes; k++, in += n)
		for (int i = 0; i < n; i++)
			v[i] |= (uint64) (uint8) in[i] << (8 * k);
}
