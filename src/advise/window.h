/*-------------------------------------------------------------------------
 *
 * window.h
 *	  A session's burst of statements, and the shapes in it: shared by what
 *	  keeps them (window.c) and what looks for loops among them (loops.c).
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_WINDOW_H
#define HONE_WINDOW_H

#include "common/hashfn.h"
#include "port/pg_bitutils.h"

#include "advise/detect.h"
#include "advise/provenance.h"

#define HONE_SHAPES		64
#define HONE_KEY_BITS	512		/* of a position's bitmap */
#define HONE_KEY_CALLS	256		/* calls whose keys are looked at */

/* Values seen at one position of a query, or of all of them together. */
typedef struct HoneShapeKey
{
	int			calls;			/* that had a value here, at most KEY_CALLS */
	uint64		bits[HONE_KEY_BITS / 64];
} HoneShapeKey;

static inline void
hone_key_add(HoneShapeKey *key, uint32 hash)
{
	uint32		bit = hash % HONE_KEY_BITS;

	key->calls++;
	key->bits[bit / 64] |= UINT64CONST(1) << (bit % 64);
}

/* All values of one call as one. */
static inline void
hone_key_add_all(HoneShapeKey *key, const HoneCallKeys *keys)
{
	uint32		together = 0;

	for (int i = 0; i < keys->n; i++)
		together = hash_combine(together, keys->hash[i]);
	if (keys->n > 0)
		hone_key_add(key, murmurhash32(together));
}

/* How many different ones there were, about. */
static inline int
hone_key_distinct(const HoneShapeKey *key)
{
	return (int) pg_popcount((const char *) key->bits, sizeof(key->bits));
}

/* A key of a loop by where the sample has it; where it comes from is not known. */
static inline void
hone_loop_key_init(HoneLoopKey *key, int32 id)
{
	memset(key, 0, sizeof(HoneLoopKey));
	key->param = Max(id, 0);
	key->location = id < 0 ? -1 - id : -1;
}

/* Did they change nearly every time in so many calls? */
extern bool hone_key_changes(const HoneShapeKey *key, int64 calls);

typedef struct HoneShape
{
	uint64		queryid;
	int			nest_level;
	Oid			relid;			/* first user relation it reads */
	int64		calls;
	int64		rows;			/* of all calls */
	int64		most_rows;		/* of one call */
	int64		elapsed_ns;
	int64		gap_ns;			/* between the statement before and a call */
	int64		first_start_ns; /* monotonic */
	int64		written;		/* calls that were followed by a write there */
	bool		partial;		/* has values that are not in keys */
	bool		locks;			/* FOR UPDATE and the like */
	bool		in_block;		/* in a transaction block, or in a function */
	int			nkeys;			/* positions that ever had a value */
	HoneShapeKey keys[HONE_CALL_KEYS];
	HoneShapeKey several;		/* all values of a call, if there are several */
	int64		told_calls;		/* of these, already in the finding */
	int64		told_elapsed_ns;
	int64		told_gap_ns;
	bool		told_confirmed; /* in this burst */
	bool		told_refuted;
	HoneSample *sample;			/* cut to size, or NULL */
	int32		sample_ids[HONE_CALL_KEYS]; /* where the sample has its keys */
	HoneLink   *links;			/* to the rows of parents */
} HoneShape;

typedef struct HoneBurst
{
	int			nshapes;
	bool		in_block;
	uint32		lxid;
	Oid			userid;
	char		application[NAMEDATALEN];
	const char *application_name;	/* whose value this was */
	int64		last_end_ns;	/* monotonic end of the last statement */
	int			last_shape[2];	/* of the last SELECT, top level and nested */
	int64		since_first;	/* other SELECTs since the first shape's last */
	int			latest;			/* shape found last, if there are any */
	HoneShape	shapes[HONE_SHAPES];
} HoneBurst;

/*
 * Write a shape to its finding, if it is the child of a loop or the same again
 * and again. ended: no more calls of this burst will come.
 */
extern void hone_loop_report(HoneBurst *burst, HoneShape *shape, bool ended);

/* ---- writes.c: row-by-row writes, in bursts of their own ---- */

/* A write. */
extern void hone_writes_count(const HoneRecord *record, const HoneCallKeys *keys,
							  int64 gap_ns);

/* The client's reads, counted by window.c. */
extern int64 hone_writes_reads;

/* After a pause, or with another role or application. */
extern void hone_writes_end(void);

/* All values of a call, as one. */
static inline const HoneShapeKey *
hone_shape_together(const HoneShape *shape)
{
	return shape->nkeys == 1 ? &shape->keys[0] : &shape->several;
}

/* The longest pause within a burst, in nanoseconds. */
static inline int64
hone_burst_gap(void)
{
	return (int64) hone_n_plus_one_gap * 1000000;
}

#endif							/* HONE_WINDOW_H */
