/*-------------------------------------------------------------------------
 *
 * codec_dict.c
 *	  Dictionary of a column's distinct values.
 *
 * Values are the same when their bytes are. The entries stand at the start of
 * the frame that holds all vectors of the column, in order of first
 * occurrence; vectors hold entry numbers.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"

#include "tiered/codec_internal.h"

/*
 * A point read inflates the whole dictionary: it may be as large as a frame,
 * or this large where it stands for DICT_GAIN times as many bytes.
 */
#define DICT_MAX_BYTES	(1024 * 1024)
#define DICT_GAIN		8

/* Each entry must occur this often on average. */
#define DICT_REPEAT_INTS	4
#define DICT_REPEAT_BYTES	2

static uint32
value_hash(const HoneColumnInput *in, int i)
{
	if (in->shape->typbyval)
		return (uint32) murmurhash32((uint32) in->ints[i] ^
									 murmurhash32((uint32) ((uint64) in->ints[i] >> 32)));
	return hash_bytes((const unsigned char *) in->data[i], in->len[i]);
}

static bool
same_value(const HoneColumnInput *a, int i, const HoneColumnInput *b, int j)
{
	if (a->shape->typbyval)
		return a->ints[i] == b->ints[j];
	return a->len[i] == b->len[j] && memcmp(a->data[i], b->data[j], a->len[i]) == 0;
}

static void
add_entry(HoneColumnInput *entries, const HoneColumnInput *in, int i)
{
	int			n = entries->nvalues++;

	if (in->shape->typbyval)
	{
		entries->ints[n] = in->ints[i];
		entries->nbytes += in->shape->typlen;
	}
	else
	{
		entries->data[n] = in->data[i];
		entries->len[n] = in->len[i];
		entries->nbytes += in->len[i];
	}
}

HoneDict *
hone_codec_dict_build(const HoneColumnInput *in)
{
	int			limit = in->nvalues / (in->shape->typbyval ? DICT_REPEAT_INTS : DICT_REPEAT_BYTES);
	HoneDict   *dict;
	HoneColumnInput *entries;
	int			nslots = 64;
	int16	   *slot;

	if (limit < 1 || (in->shape->typbyval && in->shape->typlen == 1))
		return NULL;
	while (nslots < limit * 2)
		nslots *= 2;
	slot = palloc(nslots * sizeof(int16));
	memset(slot, -1, nslots * sizeof(int16));

	dict = palloc0(sizeof(HoneDict));
	dict->code = palloc(in->nvalues * sizeof(int64));
	entries = &dict->entries;
	entries->shape = in->shape;
	entries->ints = palloc(limit * sizeof(int64));
	entries->data = palloc(limit * sizeof(char *));
	entries->len = palloc(limit * sizeof(uint32));

	for (int i = 0; i < in->nvalues; i++)
	{
		uint32		at = value_hash(in, i) & (nslots - 1);

		while (slot[at] >= 0 && !same_value(entries, slot[at], in, i))
			at = (at + 1) & (nslots - 1);
		if (slot[at] < 0)
		{
			if (entries->nvalues == limit)
				return NULL;
			if (!in->shape->typbyval && in->len[i] > DICT_MAX_BYTES - entries->nbytes)
				return NULL;
			slot[at] = entries->nvalues;
			add_entry(entries, in, i);
		}
		dict->code[i] = slot[at];
	}
	if (entries->nbytes > HONE_FRAME_TARGET && entries->nbytes * DICT_GAIN > in->nbytes)
		return NULL;
	return dict;
}

/* Append the entries. */
void
hone_codec_dict_encode(HoneBytes *out, const HoneDict *dict)
{
	const HoneColumnInput *entries = &dict->entries;
	int			n = entries->nvalues;

	if (entries->shape->typbyval)
		hone_codec_ints_encode(out, entries->ints, n, false);
	else if (entries->shape->typlen > 0)
		hone_codec_fixed_encode(out, entries, 0, n, false);
	else
		hone_codec_variable_encode(out, entries, 0, n);
}

Datum *
hone_codec_dict_decode(HoneCursor *in, const HoneColumnShape *shape,
					   int n, HoneArena *table, HoneArena *arena)
{
	uint64	   *numbers = (uint64 *) hone_codec_arena(table, n * (sizeof(uint64) + sizeof(Datum)));
	Datum	   *values = (Datum *) (numbers + n);

	if (shape->typbyval)
	{
		hone_codec_ints_decode(in, numbers, n);
		hone_codec_ints_to_datums(values, numbers, n, shape->typlen);
	}
	else if (shape->typlen > 0)
		hone_codec_fixed_decode(in, shape, false, arena, values, n);
	else
		hone_codec_variable_decode(in, shape, arena, numbers, values, n);
	return values;
}
