/*-------------------------------------------------------------------------
 *
 * window.c
 *	  N+1 loops: the same query again and again with other keys, after a
 *	  query that returned about as many rows.
 *
 * A backend keeps one *burst*: the statements of one transaction block, or of
 * autocommit statements with less than hone.n_plus_one_gap between them. Of a
 * burst it keeps not the statements but their *shapes* (query identifier and
 * nesting), at most SHAPES of them, each with its counters and, for up to
 * four key positions, a small bitmap that estimates how many distinct values
 * it saw. So a statement costs a look-up and a few additions, whatever the
 * length of the loop. Statement samples are taken only of shapes that may
 * turn out to be a parent or a child; they live in a memory context that is
 * reset with the burst.
 *
 * Autocommit traffic without pauses is divided where the query that began the
 * burst comes again.
 *
 * A shape is written to the table of findings when it has repeated often
 * enough, at each doubling after that, and at the end of the burst.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "advise/detect.h"

#define SHAPES			64
#define KEY_BITS		1024	/* of a position's bitmap */
#define KEY_CALLS		512		/* calls whose keys are looked at */
#define DISTINCT_SHARE	0.8		/* of the calls with another key */
#define LOOP_CALLS		3		/* of the child for each call of its parent */
#define LOST_SHAPE		(-1)

/* Room for the samples of most bursts, which stays when they go. */
#define SAMPLE_SPACE	(32 * 1024)

/* One position that may hold the key of a loop. */
typedef struct ShapeKey
{
	bool		used;
	int			calls;			/* that had a value here, at most KEY_CALLS */
	uint64		bits[KEY_BITS / 64];
} ShapeKey;

typedef struct Shape
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
	ShapeKey	keys[HONE_CALL_KEYS];
	int64		told_calls;		/* of these, already in the finding */
	int64		told_elapsed_ns;
	int64		told_gap_ns;
	HoneSample *sample;			/* in burst_context, or NULL */
	int32		sample_ids[HONE_CALL_KEYS]; /* where the sample has its keys */
} Shape;

typedef struct Burst
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
	Shape		shapes[SHAPES];
} Burst;

static Burst *burst = NULL;
static MemoryContext burst_context = NULL;
static HoneFinding delta;		/* too large for the stack */

bool
hone_window_make(void)
{
	if (burst == NULL)
	{
		if (burst_context == NULL)
			burst_context = AllocSetContextCreate(TopMemoryContext,
												  "hone burst samples",
												  SAMPLE_SPACE, SAMPLE_SPACE,
												  8 * SAMPLE_SPACE);
		burst = MemoryContextAllocExtended(TopMemoryContext, sizeof(Burst),
										   MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
		if (burst != NULL)
			burst->last_shape[0] = burst->last_shape[1] = LOST_SHAPE;
	}
	return burst != NULL;
}

static int
key_distinct(const ShapeKey *key)
{
	return (int) pg_popcount((const char *) key->bits, sizeof(key->bits));
}

/* The position whose value changes most, if it changes nearly every time. */
static const ShapeKey *
shape_key(const Shape *shape)
{
	const ShapeKey *best = NULL;
	int			best_distinct = 0;

	for (int i = 0; i < HONE_CALL_KEYS; i++)
	{
		const ShapeKey *key = &shape->keys[i];
		int			distinct;

		if (!key->used || key->calls < DISTINCT_SHARE * Min(shape->calls, KEY_CALLS))
			continue;
		distinct = key_distinct(key);

		/* a full bitmap underestimates; KEY_CALLS fill about 40 % of it */
		if (distinct < DISTINCT_SHARE * 0.8 * key->calls ||
			(key->calls <= 64 && distinct < DISTINCT_SHARE * key->calls))
			continue;
		if (distinct > best_distinct)
		{
			best = key;
			best_distinct = distinct;
		}
	}
	return best;
}

/*
 * The query whose rows the loop over 'child' goes through: it began before
 * the loop did, and returned about as many rows as the loop has calls. Queries
 * that take turns, one call of each per request, are nobody's loop. Among
 * several the nearest in number wins, then the latest.
 */
static Shape *
shape_parent(const Shape *child)
{
	Shape	   *best = NULL;
	double		best_distance = 0;

	for (int i = 0; i < burst->nshapes; i++)
	{
		Shape	   *shape = &burst->shapes[i];
		double		ratio;

		if (shape == child || shape->nest_level != child->nest_level ||
			shape->sample == NULL ||
			shape->first_start_ns > child->first_start_ns ||
			shape->rows < hone_n_plus_one_threshold ||
			child->calls < LOOP_CALLS * shape->calls)
			continue;
		ratio = (double) shape->rows / child->calls;
		if (ratio < 0.66 || ratio > 10)
			continue;
		if (ratio < 1)
			ratio = 1 / ratio;
		if (best == NULL || ratio < best_distance ||
			(ratio == best_distance && shape->first_start_ns > best->first_start_ns))
		{
			best = shape;
			best_distance = ratio;
		}
	}
	return best;
}

/* Write a shape to its finding, if it is the child of a loop. */
static void
shape_report(Shape *shape)
{
	const ShapeKey *key;
	Shape	   *parent;
	int64		calls = shape->calls - shape->told_calls;
	bool		first = shape->told_calls == 0;
	int32		key_id;

	if (shape->calls < hone_n_plus_one_threshold || calls == 0 ||
		!OidIsValid(shape->relid) || shape->sample == NULL ||
		shape->written * 2 >= shape->calls)
		return;
	key = shape_key(shape);
	if (key == NULL)
		return;
	parent = shape_parent(shape);
	if (parent == NULL)
		return;

	memset(&delta, 0, offsetof(HoneFinding, sample));
	delta.key.dbid = MyDatabaseId;

	delta.key.kind = HONE_FINDING_N_PLUS_ONE;
	delta.key.relid = shape->relid;
	delta.key.queryid = shape->queryid;
	delta.calls = calls;
	delta.times = first ? 1 : 0;
	delta.gap_ms = (shape->gap_ns - shape->told_gap_ns) / 1e6;
	delta.cost_ms = (shape->elapsed_ns - shape->told_elapsed_ns) / 1e6 +
		delta.gap_ms;
	/* one call remains of each burst */
	delta.saving_ms = delta.cost_ms * (first ? (double) (calls - 1) / calls : 1);
	delta.rows = shape->rows;
	delta.rows_max = shape->calls;
	delta.parent_rows = parent->rows;
	key_id = shape->sample_ids[key - shape->keys];
	delta.key_param = Max(key_id, 0);
	delta.key_location = key_id < 0 ? -1 - key_id : -1;
	for (int i = 0; i < HONE_CALL_KEYS; i++)
		delta.key_others += &shape->keys[i] != key && key_distinct(&shape->keys[i]) > 1;
	delta.sample = *shape->sample;
	delta.parent = *parent->sample;
	hone_finding_add(&delta);

	shape->told_calls = shape->calls;
	shape->told_elapsed_ns = shape->elapsed_ns;
	shape->told_gap_ns = shape->gap_ns;
}

static pg_noinline void
burst_end(void)
{
	for (int i = 0; i < burst->nshapes; i++)
		shape_report(&burst->shapes[i]);
	burst->nshapes = 0;
	burst->latest = 0;
	burst->since_first = 0;
	burst->last_shape[0] = burst->last_shape[1] = LOST_SHAPE;
	MemoryContextReset(burst_context);
}

/* The longest pause within a burst, in nanoseconds. */
static inline int64
burst_gap(void)
{
	return (int64) hone_n_plus_one_gap * 1000000;
}

/*
 * Is it no longer the application's? What gives the setting another value,
 * also gives it another place, so that a look at the text is rarely needed.
 */
static inline bool
application_changed(void)
{
	if (likely(application_name == burst->application_name))
		return false;
	burst->application_name = application_name;
	return strcmp(application_name ? application_name : "", burst->application) != 0;
}

/* Begin a new burst if this statement does not belong to the current one. */
static inline void
burst_join(const HoneRecord *record, int64 gap_ns)
{
	bool		boundary;

	if (record->in_xact_block || burst->in_block || record->nest_level > 0)
		boundary = record->lxid != burst->lxid;
	else
		boundary = gap_ns > burst_gap();
	boundary |= record->userid != burst->userid;
	boundary |= application_changed();
	if (boundary)
	{
		burst_end();
		burst->userid = record->userid;
		strlcpy(burst->application, application_name ? application_name : "",
				sizeof(burst->application));
	}
	burst->in_block = record->in_xact_block;
	burst->lxid = record->lxid;
}

/*
 * Autocommit requests may follow each other without a pause, for hours. The
 * query that began the burst, come again after a good many others, begins the
 * next request.
 */
static inline bool
burst_divides(const HoneRecord *record, const Shape *shape)
{
	if (shape != &burst->shapes[0])
	{
		burst->since_first++;
		return false;
	}
	if (burst->since_first >= hone_n_plus_one_threshold &&
		!record->in_xact_block && record->nest_level == 0)
		return true;
	burst->since_first = 0;
	return false;
}

static inline bool
is_shape_of(const Shape *shape, const HoneRecord *record)
{
	return shape->queryid == record->queryid &&
		shape->nest_level == record->nest_level;
}

/* The record's shape, or NULL. */
static inline Shape *
shape_find(const HoneRecord *record)
{
	if (burst->nshapes == 0)
		return NULL;
	if (is_shape_of(&burst->shapes[burst->latest], record))
		return &burst->shapes[burst->latest];
	for (int i = 0; i < burst->nshapes; i++)
	{
		if (is_shape_of(&burst->shapes[i], record))
		{
			burst->latest = i;
			return &burst->shapes[i];
		}
	}
	return NULL;
}

/* A new shape, which may take the place of an idle one; NULL if none is. */
static pg_noinline Shape *
shape_make(const HoneRecord *record, Oid relid, int64 start_ns)
{
	Shape	   *shape = NULL;

	if (burst->nshapes < SHAPES)
		shape = &burst->shapes[burst->nshapes++];
	else
	{
		/* the oldest that is neither a loop nor the parent of one */
		for (int i = 0; i < SHAPES; i++)
		{
			Shape	   *other = &burst->shapes[i];

			if (other->sample == NULL &&
				(shape == NULL || other->first_start_ns < shape->first_start_ns))
				shape = other;
		}
		if (shape == NULL)
			return NULL;
	}
	memset(shape, 0, sizeof(Shape));
	shape->queryid = record->queryid;
	shape->nest_level = record->nest_level;
	shape->relid = relid;
	shape->first_start_ns = start_ns;
	burst->latest = shape - burst->shapes;
	return shape;
}

/*
 * The record's shape in the burst that it belongs to; NULL if the query is
 * nobody's concern.
 */
static inline Shape *
shape_enter(const HoneRecord *record, int64 start_ns)
{
	Shape	   *shape = shape_find(record);
	Oid			relid;

	if (shape == NULL)
	{
		relid = hone_sample_relation(record->query_desc->plannedstmt);
		if (!OidIsValid(relid))
			return NULL;
		burst->since_first++;
		return shape_make(record, relid, start_ns);
	}
	if (burst_divides(record, shape))
	{
		relid = shape->relid;
		burst_end();
		return shape_make(record, relid, start_ns);
	}
	return shape;
}

static void
shape_add_keys(Shape *shape, const HoneCallKeys *keys)
{
	if (shape->calls > KEY_CALLS)
		return;
	for (int i = 0; i < keys->n; i++)
	{
		ShapeKey   *key = &shape->keys[i];
		uint32		bit = keys->hash[i] % KEY_BITS;

		key->used = true;
		key->calls++;
		key->bits[bit / 64] |= UINT64CONST(1) << (bit % 64);
	}
}

/* A write after a SELECT of the same table: look before you insert. */
static void
note_write(const HoneRecord *record)
{
	int			nested = record->nest_level > 0;
	int			last = burst->last_shape[nested];

	if (last != LOST_SHAPE && record->query_desc != NULL &&
		hone_sample_mentions(record->query_desc->plannedstmt,
							 burst->shapes[last].relid))
		burst->shapes[last].written++;
	burst->last_shape[nested] = LOST_SHAPE;
}

/* Does a utility statement throw the session's state away? */
static bool
is_session_reset(const HoneRecord *record)
{
	const char *text = record->source;

	if (text == NULL)
		return false;
	if (record->location > 0)
		text += record->location;

	while (isspace((unsigned char) *text))
		text++;

	return pg_strncasecmp(text, "discard", 7) == 0 ||
		pg_strncasecmp(text, "deallocate all", 14) == 0 ||
		pg_strncasecmp(text, "reset all", 9) == 0;
}

/* Keep a copy of the statement, if memory is to be had. */
static pg_noinline void
shape_sample(Shape *shape, const HoneRecord *record, const HoneCallKeys *keys)
{
	shape->sample = MemoryContextAllocExtended(burst_context, sizeof(HoneSample),
											   MCXT_ALLOC_NO_OOM);
	if (shape->sample == NULL)
		return;
	hone_sample_take(shape->sample, record);
	for (int i = 0; i < keys->n; i++)
		shape->sample_ids[i] = keys->id[i];
}

static inline void
count_select(const HoneRecord *record, const HoneCallKeys *keys,
			 int64 start_ns, int64 gap_ns)
{
	Shape	   *shape = shape_enter(record, start_ns);

	if (shape == NULL)
		return;

	shape->calls++;
	shape->rows += record->rows;
	if (shape->most_rows < (int64) record->rows)
		shape->most_rows = record->rows;
	shape->elapsed_ns += record->elapsed_ns;
	if (shape->calls > 1 && gap_ns > 0)
		shape->gap_ns += Min(gap_ns, burst_gap());
	if (shape->first_start_ns > start_ns)
		shape->first_start_ns = start_ns;
	shape_add_keys(shape, keys);
	burst->last_shape[record->nest_level > 0] = burst->latest;

	if (shape->sample == NULL &&
		(shape->most_rows >= hone_n_plus_one_threshold ||
		 shape->calls >= hone_n_plus_one_threshold - 1))
		shape_sample(shape, record, keys);
	if (shape->calls >= hone_n_plus_one_threshold &&
		(shape->calls == hone_n_plus_one_threshold ||
		 (shape->calls & (shape->calls - 1)) == 0))
		shape_report(shape);
}

void
hone_window_finished(const HoneRecord *record, const HoneCallKeys *keys)
{
	int64		start_ns = record->start_ns;
	int64		end_ns = start_ns + (int64) record->elapsed_ns;
	int64		gap_ns = start_ns - burst->last_end_ns;

	burst_join(record, gap_ns);

	if (record->cmd == CMD_UTILITY)
	{
		if (is_session_reset(record))
			burst_end();
	}
	else if (record->cmd != CMD_SELECT)
		note_write(record);
	else if (record->query_desc != NULL && record->queryid != 0)
		count_select(record, keys, start_ns, gap_ns);

	if (burst->last_end_ns < end_ns)
		burst->last_end_ns = end_ns;
}

void
hone_window_flush(void)
{
	if (burst == NULL)
		return;
	for (int i = 0; i < burst->nshapes; i++)
		shape_report(&burst->shapes[i]);
}
