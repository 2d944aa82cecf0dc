/*-------------------------------------------------------------------------
 *
 * codec_int.c
 *	  A block of 64-bit integers: constant, frame of reference, or delta.
 *
 * A block is: kind, packing, width, 0 (a byte each), then
 *
 *	constant	the value
 *	frame		base, step, then n fields: value = base + field * step
 *	delta		first value, base, step, then n - 1 fields:
 *				value = value before + base + field * step
 *
 * step is the greatest common divisor of what the fields hold (timestamps of
 * whole seconds cost no microseconds). All arithmetic is modulo 2^64, so that
 * every input comes back exactly. Width is in bits, or in bytes for planes.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "tiered/codec_internal.h"

typedef enum IntKind
{
	INT_CONST = 0,
	INT_FRAME = 1,
	INT_DELTA = 2
} IntKind;

typedef enum IntPacking
{
	INT_BITS = 0,
	INT_PLANES = 1
} IntPacking;

/* One way to write a block: fields are (v - base) / step. */
typedef struct IntPlan
{
	int64		base;
	uint64		step;			/* >= 1 */
	int			width;			/* bits of the largest field */
} IntPlan;

static uint64
gcd(uint64 a, uint64 b)
{
	while (b != 0)
	{
		uint64		r = a % b;

		a = b;
		b = r;
	}
	return a;
}

/* Smallest base, largest step and the width they need for n >= 1 values. */
static void
plan_fields(IntPlan *plan, const int64 *v, int n)
{
	int64		min = v[0];
	int64		max = v[0];
	uint64		step = 0;
	uint64		range;

	for (int i = 1; i < n; i++)
	{
		min = Min(min, v[i]);
		max = Max(max, v[i]);
	}
	for (int i = 0; i < n && step != 1; i++)
		step = gcd((uint64) v[i] - (uint64) min, step);
	plan->base = min;
	plan->step = step == 0 ? 1 : step;
	range = ((uint64) max - (uint64) min) / plan->step;
	plan->width = range == 0 ? 0 : pg_leftmost_one_pos64(range) + 1;
}

static void
append_fields(HoneBytes *out, const IntPlan *plan, const int64 *v, int n, bool planes)
{
	uint64	   *field = palloc(n * sizeof(uint64));
	char	   *to;

	for (int i = 0; i < n; i++)
		field[i] = (uint64) v[i] - (uint64) plan->base;
	if (plan->step > 1)
		for (int i = 0; i < n; i++)
			field[i] /= plan->step;
	if (planes)
	{
		Size		size = (Size) n * ((plan->width + 7) / 8);

		to = hone_codec_reserve(out, size);
		hone_codec_planes_pack(to, field, n, (plan->width + 7) / 8);
		out->len += size;
	}
	else
	{
		Size		size = hone_codec_bits_size(n, plan->width);

		to = hone_codec_reserve(out, size);
		hone_codec_bits_pack(to, field, n, plan->width);
		out->len += size;
	}
	pfree(field);
}

static void
append_head(HoneBytes *out, IntKind kind, bool planes, int width)
{
	uint8		head[4] = {kind, planes ? INT_PLANES : INT_BITS,
	planes ? (width + 7) / 8 : width, 0};

	hone_codec_append(out, head, sizeof(head));
}

void
hone_codec_ints_encode(HoneBytes *out, const int64 *v, int n, bool planes)
{
	IntPlan		frame;
	IntPlan		delta;
	int64	   *diff = NULL;
	bool		use_delta = false;

	plan_fields(&frame, v, n);
	if (frame.width == 0)
	{
		append_head(out, INT_CONST, planes, 0);
		hone_codec_append(out, &frame.base, sizeof(int64));
		return;
	}

	if (n > 2)
	{
		diff = palloc((n - 1) * sizeof(int64));
		for (int i = 1; i < n; i++)
			diff[i - 1] = (int64) ((uint64) v[i] - (uint64) v[i - 1]);
		plan_fields(&delta, diff, n - 1);

		/* a delta must save its extra 8 bytes, and costs time to read */
		if (planes)
			use_delta = (delta.width + 7) / 8 * (n - 1) + 8 < (frame.width + 7) / 8 * n;
		else
			use_delta = delta.width * (n - 1) + 64 < frame.width * n;
	}

	if (use_delta)
	{
		append_head(out, INT_DELTA, planes, delta.width);
		hone_codec_append(out, &v[0], sizeof(int64));
		hone_codec_append(out, &delta.base, sizeof(int64));
		hone_codec_append(out, &delta.step, sizeof(uint64));
		append_fields(out, &delta, diff, n - 1, planes);
	}
	else
	{
		append_head(out, INT_FRAME, planes, frame.width);
		hone_codec_append(out, &frame.base, sizeof(int64));
		hone_codec_append(out, &frame.step, sizeof(uint64));
		append_fields(out, &frame, v, n, planes);
	}
	if (diff)
		pfree(diff);
}

/* n fields into v[]. */
static void
take_fields(HoneCursor *in, int packing, int width, uint64 *v, int n)
{
	if (packing == INT_BITS && width <= 64)
	{
		Size		size = hone_codec_bits_size(n, width);

		hone_codec_bits_unpack(hone_codec_take(in, size), size, v, n, width);
	}
	else if (packing == INT_PLANES && width <= 8)
		hone_codec_planes_unpack(hone_codec_take(in, (Size) n * width), v, n, width);
	else
		hone_codec_damaged(in->name, "Unknown packing of integers");
}

void
hone_codec_ints_decode(HoneCursor *in, uint64 *v, int n)
{
	uint8		head[4];
	uint64		base;
	uint64		step;

	memcpy(head, hone_codec_take(in, sizeof(head)), sizeof(head));
	switch (head[0])
	{
		case INT_CONST:
			base = hone_codec_take_u64(in);
			for (int i = 0; i < n; i++)
				v[i] = base;
			break;

		case INT_FRAME:
			base = hone_codec_take_u64(in);
			step = hone_codec_take_u64(in);
			take_fields(in, head[1], head[2], v, n);
			if (step == 1)
				for (int i = 0; i < n; i++)
					v[i] += base;
			else
				for (int i = 0; i < n; i++)
					v[i] = base + v[i] * step;
			break;

		case INT_DELTA:
			v[0] = hone_codec_take_u64(in);
			base = hone_codec_take_u64(in);
			step = hone_codec_take_u64(in);
			take_fields(in, head[1], head[2], v + 1, n - 1);
			for (int i = 1; i < n; i++)
				v[i] = v[i - 1] + base + v[i] * step;
			break;

		default:
			hone_codec_damaged(in->name, "Unknown kind of integer block");
	}
}
