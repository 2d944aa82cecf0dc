/*-------------------------------------------------------------------------
 *
 * codec_bytes.c
 *	  Values as bytes: fixed lengths as they are or as byte planes, variable
 *	  lengths as a block of lengths and the bytes without headers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "tiered/codec_internal.h"

#define ARENA_KEEP	(8 * 1024 * 1024)	/* larger ones are given back */

char *
hone_codec_arena(HoneArena *arena, Size size)
{
	bool		oversized = arena->cap > ARENA_KEEP && arena->cap / 4 > size;

	if (size > arena->cap || oversized || arena->data == NULL)
	{
		Size		cap = Max(size, 1024);

		if (arena->data)
			pfree(arena->data);
		arena->data = NULL;
		arena->cap = 0;
		arena->data = MemoryContextAllocHuge(arena->cxt, cap);
		arena->cap = cap;
	}
	return arena->data;
}

/* Append values first .. first + n - 1, of a fixed length. */
void
hone_codec_fixed_encode(HoneBytes *out, const HoneColumnInput *in,
						int first, int n, bool split)
{
	int			size = in->shape->typlen;
	char	   *to = hone_codec_reserve(out, (Size) n * size);

	if (in->shape->typbyval)
		hone_codec_planes_pack(to, (const uint64 *) in->ints + first, n, size);
	else
		for (int i = 0; i < n; i++)
		{
			const char *from = in->data[first + i];

			if (split)
				for (int k = 0; k < size; k++)
					to[(Size) k * n + i] = from[k];
			else
				memcpy(to + (Size) i * size, from, size);
		}
	out->len += (Size) n * size;
}

/* Append values first .. first + n - 1, varlena or cstring. */
void
hone_codec_variable_encode(HoneBytes *out, const HoneColumnInput *in, int first, int n)
{
	int64	   *lengths = palloc(n * sizeof(int64));

	for (int i = 0; i < n; i++)
		lengths[i] = in->len[first + i];
	hone_codec_ints_encode(out, lengths, n, false);
	for (int i = 0; i < n; i++)
		hone_codec_append(out, in->data[first + i], in->len[first + i]);
	pfree(lengths);
}

void
hone_codec_ints_to_datums(Datum *values, const uint64 *v, int n, int typlen)
{
	switch (typlen)
	{
		case 1:
			for (int i = 0; i < n; i++)
				values[i] = hone_codec_int_datum(v[i], 1);
			break;
		case 2:
			for (int i = 0; i < n; i++)
				values[i] = hone_codec_int_datum(v[i], 2);
			break;
		case 4:
			for (int i = 0; i < n; i++)
				values[i] = hone_codec_int_datum(v[i], 4);
			break;
		default:
			for (int i = 0; i < n; i++)
				values[i] = hone_codec_int_datum(v[i], 8);
			break;
	}
}

/* n by-reference values of a fixed length. */
void
hone_codec_fixed_decode(HoneCursor *in, const HoneColumnShape *shape, bool split,
						HoneArena *arena, Datum *values, int n)
{
	int			size = shape->typlen;
	Size		stride = MAXALIGN(size);
	const char *from = hone_codec_take(in, (Size) n * size);
	char	   *to = hone_codec_arena(arena, n * stride);

	if (split)
		for (int k = 0; k < size; k++, from += n)
			for (int i = 0; i < n; i++)
				to[i * stride + k] = from[i];
	else
		for (int i = 0; i < n; i++, from += size)
			memcpy(to + i * stride, from, size);
	for (int i = 0; i < n; i++)
		values[i] = PointerGetDatum(to + i * stride);
}

/*
 * Check that n lengths are possible and add up to no more than what is left
 * of the input; returns the room that the values need in an arena.
 */
static Size
variable_room(HoneCursor *in, const uint64 *lengths, int n)
{
	Size		left = in->end - in->pos;
	Size		room = 0;

	for (int i = 0; i < n; i++)
	{
		if (lengths[i] > left || lengths[i] > MaxAllocSize - VARHDRSZ)
			hone_codec_damaged(in->name, "Lengths of values do not add up");
		left -= lengths[i];
		room += MAXALIGN(VARHDRSZ + lengths[i]);
	}
	return room;
}

/* n varlenas or cstrings; lengths: scratch for n numbers. */
void
hone_codec_variable_decode(HoneCursor *in, const HoneColumnShape *shape,
						   HoneArena *arena, uint64 *lengths, Datum *values, int n)
{
	char	   *to;

	hone_codec_ints_decode(in, lengths, n);
	to = hone_codec_arena(arena, variable_room(in, lengths, n));
	for (int i = 0; i < n; i++)
	{
		Size		len = lengths[i];
		const char *from = hone_codec_take(in, len);

		values[i] = PointerGetDatum(to);
		if (shape->typlen == -1)
		{
			SET_VARSIZE(to, VARHDRSZ + len);
			memcpy(VARDATA(to), from, len);
		}
		else
		{
			if (memchr(from, '\0', len) != NULL)
				hone_codec_damaged(in->name, "A string holds a zero byte");
			memcpy(to, from, len);
			to[len] = '\0';
		}
		to += MAXALIGN(VARHDRSZ + len);
	}
}
