/*-------------------------------------------------------------------------
 *
 * window.c
 *	  The statements of a session, in bursts.
 *
 * A backend keeps one *burst*: the statements of one transaction block, or of
 * autocommit statements with less than hone.n_plus_one_gap between them. Of a
 * burst it keeps not the statements but their *shapes* (query identifier and
 * nesting), at most HONE_SHAPES of them, each with its counters and, for up to
 * four key positions, a small bitmap that estimates how many distinct values
 * it saw. So a statement costs a look-up and a few additions, whatever the
 * length of the loop. Statement samples are taken only of shapes that may
 * turn out to be a parent or a child; they live in a memory context that is
 * reset with the burst.
 *
 * Autocommit traffic without pauses is divided where the query that began the
 * burst comes again.
 *
 * A shape is looked at (loops.c) when it has repeated often enough, at each
 * doubling after that, and at the end of the burst.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/memutils.h"

#include "advise/window.h"

/* Room for the samples of most bursts, which stays when they go. */
#define SAMPLE_SPACE	(16 * 1024)

#define LOST_SHAPE		(-1)

static HoneBurst *burst = NULL;
static MemoryContext burst_context = NULL;
static Size burst_memory = 0;	/* taken for what is in burst_context, but for
								 * the links of its shapes */

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
		burst = MemoryContextAllocExtended(TopMemoryContext, sizeof(HoneBurst),
										   MCXT_ALLOC_NO_OOM | MCXT_ALLOC_ZERO);
		if (burst != NULL)
			burst->last_shape[0] = burst->last_shape[1] = LOST_SHAPE;
	}
	return burst != NULL;
}

/* record: of the statement that begins the next burst, or NULL */
static pg_noinline void
burst_end(const HoneRecord *record)
{
	for (int i = 0; i < burst->nshapes; i++)
	{
		hone_loop_report(burst, &burst->shapes[i], true);
		burst_memory += hone_provenance_link_size(burst->shapes[i].links);
	}
	burst->nshapes = 0;
	burst->latest = 0;
	burst->since_first = 0;
	burst->last_shape[0] = burst->last_shape[1] = LOST_SHAPE;
	MemoryContextReset(burst_context);
	hone_memory_give(burst_memory);
	burst_memory = 0;
	hone_provenance_reset(record);
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
	bool		other;

	if (record->in_xact_block || burst->in_block || record->nest_level > 0)
		boundary = record->lxid != burst->lxid;
	else
		boundary = gap_ns > hone_burst_gap();
	other = record->userid != burst->userid;
	other |= application_changed();
	boundary |= other;
	if (other || (boundary && gap_ns > hone_burst_gap()))
		hone_writes_end();
	if (boundary)
	{
		burst_end(record);
		burst->userid = record->userid;
		strlcpy(burst->application, application_name ? application_name : "",
				sizeof(burst->application));
	}
	burst->in_block = record->in_xact_block;
	burst->lxid = record->lxid;
}

/* The burst's first query comes again: does that begin another request? */
static inline bool
is_next_request(const HoneRecord *record)
{
	return burst->since_first >= hone_n_plus_one_threshold &&
		!record->in_xact_block && record->nest_level == 0;
}

/*
 * Autocommit requests may follow each other without a pause, for hours. The
 * query that began the burst, come again after a good many others, begins the
 * next request.
 */
static inline bool
burst_divides(const HoneRecord *record, const HoneShape *shape)
{
	if (shape != &burst->shapes[0])
	{
		burst->since_first++;
		return false;
	}
	if (is_next_request(record))
		return true;
	burst->since_first = 0;
	return false;
}

static inline bool
is_shape_of(const HoneShape *shape, const HoneRecord *record)
{
	return shape->queryid == record->queryid &&
		shape->nest_level == record->nest_level;
}

/* The record's shape, or NULL. */
static inline HoneShape *
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
static pg_noinline HoneShape *
shape_make(const HoneRecord *record, Oid relid, int64 start_ns)
{
	HoneShape  *shape = NULL;

	if (burst->nshapes < HONE_SHAPES)
		shape = &burst->shapes[burst->nshapes++];
	else
	{
		/* the oldest that is neither a loop nor the parent of one */
		for (int i = 0; i < HONE_SHAPES; i++)
		{
			HoneShape  *other = &burst->shapes[i];

			if (other->sample == NULL &&
				(shape == NULL || other->first_start_ns < shape->first_start_ns))
				shape = other;
		}
		if (shape == NULL)
			return NULL;
		burst_memory += hone_provenance_link_size(shape->links);
	}
	memset(shape, 0, sizeof(HoneShape));
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
static inline HoneShape *
shape_enter(const HoneRecord *record, int64 start_ns)
{
	HoneShape  *shape = shape_find(record);
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
		burst_end(record);
		return shape_make(record, relid, start_ns);
	}
	return shape;
}

static void
shape_add_keys(HoneShape *shape, const HoneCallKeys *keys)
{
	shape->partial |= keys->partial;
	if (shape->calls > HONE_KEY_CALLS)
		return;
	for (int i = 0; i < keys->n; i++)
		hone_key_add(&shape->keys[i], keys->hash[i]);
	if (keys->n > 1)
		hone_key_add_all(&shape->several, keys);
	shape->nkeys = Max(shape->nkeys, keys->n);
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
shape_sample(HoneShape *shape, const HoneRecord *record, const HoneCallKeys *keys)
{
	Size		size;

	shape->sample = hone_sample_keep(record, burst_context, &size);
	if (shape->sample == NULL)
		return;
	burst_memory += size;
	shape->locks = record->query_desc->plannedstmt->rowMarks != NIL;
	for (int i = 0; i < keys->n; i++)
		shape->sample_ids[i] = keys->id[i];
}

static inline void
count_select(const HoneRecord *record, const HoneCallKeys *keys,
			 int64 start_ns, int64 gap_ns)
{
	HoneShape  *shape = shape_enter(record, start_ns);

	if (shape == NULL)
		return;

	shape->calls++;
	shape->rows += record->rows;
	if (shape->most_rows < (int64) record->rows)
		shape->most_rows = record->rows;
	shape->elapsed_ns += record->elapsed_ns;
	if (shape->calls > 1 && gap_ns > 0)
		shape->gap_ns += Min(gap_ns, hone_burst_gap());
	if (shape->first_start_ns > start_ns)
		shape->first_start_ns = start_ns;
	shape->in_block = record->in_xact_block || record->nest_level > 0;
	shape_add_keys(shape, keys);
	if (unlikely(hone_provenance_active))
		hone_provenance_check(&shape->links, record, keys, burst_context);
	burst->last_shape[record->nest_level > 0] = burst->latest;

	if (shape->sample == NULL &&
		(shape->most_rows >= hone_n_plus_one_threshold ||
		 shape->calls >= hone_n_plus_one_threshold - 1))
		shape_sample(shape, record, keys);
	if (shape->calls >= hone_n_plus_one_threshold &&
		(shape->calls == hone_n_plus_one_threshold ||
		 (shape->calls & (shape->calls - 1)) == 0))
		hone_loop_report(burst, shape, false);
}

/* Does the burst divide at this query (burst_divides), which is to run? */
static bool
begins_anew(const HoneRecord *record)
{
	return burst->nshapes > 0 && is_shape_of(&burst->shapes[0], record) &&
		is_next_request(record);
}

void
hone_window_begin(const HoneRecord *record)
{
	burst_join(record, (int64) record->start_ns - burst->last_end_ns);
	if (begins_anew(record))
		burst_end(record);
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
		{
			burst_end(NULL);
			hone_writes_end();
		}
	}
	else if (record->cmd != CMD_SELECT)
	{
		note_write(record);
		hone_writes_count(record, keys, gap_ns);
	}
	else if (record->query_desc != NULL && record->queryid != 0)
	{
		count_select(record, keys, start_ns, gap_ns);
		hone_writes_reads += record->nest_level == 0;
		if (unlikely(hone_provenance_active))
			hone_provenance_finished(record);
	}

	if (burst->last_end_ns < end_ns)
		burst->last_end_ns = end_ns;
}

void
hone_window_flush(bool ended)
{
	if (burst == NULL)
		return;
	if (ended)
	{
		burst_end(NULL);
		hone_writes_end();
	}
	for (int i = 0; i < burst->nshapes; i++)
		hone_loop_report(burst, &burst->shapes[i], false);
}
