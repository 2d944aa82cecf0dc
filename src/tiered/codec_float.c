/*-------------------------------------------------------------------------
 *
 * codec_float.c
 *	  Floats that are short decimals, as integers and a power of ten.
 *
 * 12.34 is 1234 / 10^2, and the division gives back the very same bits:
 * IEEE division is correctly rounded and 10^e exact up to e = 22. Each value
 * is proven to come back bit for bit when it is written; those that do not
 * (-0.0, NaN, infinities, longer fractions) are exceptions, kept as they are.
 *
 * Layout: exponent (a byte), number of exceptions (2 bytes), integer block of
 * all n values (an exception repeats the one before), positions of the
 * exceptions (2 bytes each, ascending), their bits.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "tiered/codec_internal.h"

#define EXPONENT_MAX		15
#define SAMPLES				32
#define EXACT_MAX			9007199254740992.0	/* 2^53 */
#define EXCEPTIONS_SHARE	16	/* at most 1 in this many values */

static const double power_of_ten[EXPONENT_MAX + 1] = {
	1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15
};

/* Value as a double, from the bits of a float4 or float8. */
static inline double
from_bits(int64 bits, int size)
{
	double		d;

	if (size == 4)
	{
		int32		bits4 = (int32) bits;
		float		f;

		memcpy(&f, &bits4, sizeof(f));
		return f;
	}
	memcpy(&d, &bits, sizeof(d));
	return d;
}

/* Bits (sign-extended for float4) of scaled / 10^exponent. */
static inline int64
scaled_bits(int64 scaled, int exponent, int size)
{
	double		d = (double) scaled / power_of_ten[exponent];
	int64		bits;

	if (size == 4)
	{
		float		f = (float) d;
		int32		bits4;

		memcpy(&bits4, &f, sizeof(bits4));
		return bits4;
	}
	memcpy(&bits, &d, sizeof(bits));
	return bits;
}

/* The integer for these bits, when it gives the bits back. */
static inline bool
scale(int64 bits, int exponent, int size, int64 *scaled)
{
	double		d = from_bits(bits, size) * power_of_ten[exponent];

	if (!(d > -EXACT_MAX && d < EXACT_MAX))
		return false;
	*scaled = (int64) (d < 0 ? d - 0.5 : d + 0.5);
	return scaled_bits(*scaled, exponent, size) == bits;
}

/* Exponent that suits most of a sample of the values, or -1. */
static int
choose_exponent(const int64 *bits, int n, int size)
{
	int			stride = Max(n / SAMPLES, 1);
	int			max = size == 4 ? 7 : EXPONENT_MAX;
	int			exponent = 0;
	int			sampled = 0;
	int			failed = 0;

	for (int i = 0; i < n; i += stride)
	{
		int64		scaled;
		int			e = 0;

		while (e <= max && !scale(bits[i], e, size, &scaled))
			e++;
		sampled++;
		if (e > max)
			failed++;
		else
			exponent = Max(exponent, e);
	}
	return failed * 4 > sampled ? -1 : exponent;
}

bool
hone_codec_decimal_encode(HoneBytes *out, const int64 *bits, int n, int size, bool planes)
{
	int			exponent = choose_exponent(bits, n, size);
	int			allowed = n / EXCEPTIONS_SHARE;
	uint8		exponent_byte = exponent;
	uint16		nexceptions = 0;
	int64	   *scaled;
	uint16	   *position;

	if (exponent < 0)
		return false;
	scaled = palloc(n * sizeof(int64));
	position = palloc((allowed + 1) * sizeof(uint16));
	for (int i = 0; i < n; i++)
	{
		if (scale(bits[i], exponent, size, &scaled[i]))
			continue;
		scaled[i] = i > 0 ? scaled[i - 1] : 0;
		if (nexceptions == allowed)
		{
			pfree(scaled);
			pfree(position);
			return false;
		}
		position[nexceptions++] = i;
	}

	hone_codec_append(out, &exponent_byte, 1);
	hone_codec_append(out, &nexceptions, sizeof(nexceptions));
	hone_codec_ints_encode(out, scaled, n, planes);
	hone_codec_append(out, position, nexceptions * sizeof(uint16));
	for (int i = 0; i < nexceptions; i++)
		hone_codec_append(out, &bits[position[i]], sizeof(int64));
	pfree(scaled);
	pfree(position);
	return true;
}

/* n values back as bits. size: 4 or 8. */
void
hone_codec_decimal_decode(HoneCursor *in, uint64 *bits, int n, int size)
{
	int			exponent = hone_codec_take_u8(in);
	int			nexceptions = hone_codec_take_u16(in);
	HoneCursor	positions;

	if (exponent > EXPONENT_MAX || (size != 4 && size != 8))
		hone_codec_damaged(in->name, "Unknown scale of decimals");
	hone_codec_ints_decode(in, bits, n);
	for (int i = 0; i < n; i++)
		bits[i] = (uint64) scaled_bits((int64) bits[i], exponent, size);

	positions = *in;
	hone_codec_take(in, nexceptions * sizeof(uint16));
	for (int i = 0; i < nexceptions; i++)
	{
		int			at = hone_codec_take_u16(&positions);

		if (at >= n)
			hone_codec_damaged(in->name, "An exception lies outside of its vector");
		bits[at] = hone_codec_take_u64(in);
	}
}
