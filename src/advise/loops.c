/*-------------------------------------------------------------------------
 *
 * loops.c
 *	  Which shape of a burst is the child of a loop, and whose.
 *
 * Suspected by shape: a query that ran at least hone.n_plus_one_threshold
 * times with mostly different keys, after a query that returned about as many
 * rows. Such a query becomes a suspect, for all sessions; in the bursts after
 * that the keys are looked up in the rows that it returned (provenance.c).
 *
 * Confirmed, a loop is told with the column that its keys come from, also when
 * they repeat. Refuted, it counts against what was suspected. While neither is
 * known it is told as potential inside a transaction block or a function only:
 * between autocommit statements nothing but the values shows that one client
 * sent them all, for a pooler gives the session to another at each of them.
 *
 * A query that comes with the same values again and again is told as such.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"


#include "advise/window.h"

#define DISTINCT_SHARE	0.8		/* of the calls with another key */
#define LOOP_CALLS		3		/* of the child for each call of its parent */
#define CONFIRMED_CALLS	1.5		/* the same, where the keys are its values */
#define PARENT_ROWS_MIN	0.66	/* of a parent, per call of its child */
#define PARENT_ROWS_MAX	10.0
#define PAUSE_SHARE		0.5		/* of hone.n_plus_one_gap: no loop waits so
								 * long */
#define QUICK_GAP_NS	(5 * 1000000)	/* between repeats outside a block:
										 * who polls, waits longer */

static HoneFinding *const delta = &hone_finding_delta;

bool
hone_key_changes(const HoneShapeKey *key, int64 calls)
{
	int			distinct = hone_key_distinct(key);

	if (key->calls < DISTINCT_SHARE * Min(calls, HONE_KEY_CALLS))
		return false;

	/* a full bitmap underestimates; HONE_KEY_CALLS fill about 40 % of it */
	return distinct >= DISTINCT_SHARE * 0.8 * key->calls &&
		(key->calls > 64 || distinct >= DISTINCT_SHARE * key->calls);
}

/* The position whose value changes most, or -1 if none changes enough. */
static int
shape_key(const HoneShape *shape)
{
	int			best = -1;
	int			best_distinct = Min(hone_n_plus_one_threshold, HONE_PROVENANCE_CHECKS) - 1;

	for (int i = 0; i < shape->nkeys; i++)
	{
		int			distinct = hone_key_distinct(&shape->keys[i]);

		if (distinct > best_distinct)
		{
			best = i;
			best_distinct = distinct;
		}
	}
	return best;
}

static HoneShape *
find_parent(HoneBurst *burst, uint64 queryid, int nest_level)
{
	for (int i = 0; i < burst->nshapes; i++)
	{
		HoneShape  *shape = &burst->shapes[i];

		if (shape->queryid == queryid && shape->nest_level == nest_level)
			return shape->sample != NULL ? shape : NULL;
	}
	return NULL;
}

/*
 * How far a shape's rows are from the number of the child's calls, as a ratio
 * of at least 1; 0 if it cannot be the parent. A parent began before the loop
 * did. Queries that take turns, one call of each per request, are nobody's
 * loop; but the child of a loop may have children of its own.
 */
static double
parent_distance(const HoneShape *child, const HoneShape *shape)
{
	double		ratio;

	if (shape == child || shape->nest_level != child->nest_level ||
		shape->sample == NULL ||
		shape->first_start_ns > child->first_start_ns ||
		shape->rows < hone_n_plus_one_threshold ||
		(child->calls < LOOP_CALLS * shape->calls && shape->told_calls == 0))
		return 0;
	ratio = (double) shape->rows / child->calls;
	if (ratio < PARENT_ROWS_MIN || ratio > PARENT_ROWS_MAX)
		return 0;
	return ratio < 1 ? 1 / ratio : ratio;
}

/*
 * The query whose rows the loop over 'child' may go through: the nearest in
 * number, then the latest. All that may be it are suspects from now on.
 */
static HoneShape *
suspect_parent(HoneBurst *burst, const HoneShape *child)
{
	HoneShape  *best = NULL;
	double		best_distance = 0;

	for (int i = 0; i < burst->nshapes; i++)
	{
		HoneShape  *shape = &burst->shapes[i];
		double		distance = parent_distance(child, shape);

		if (distance == 0)
			continue;
		hone_suspect_add(shape->queryid);
		if (child->calls < LOOP_CALLS * shape->calls)
			continue;			/* only its values will tell */
		if (best == NULL || distance < best_distance ||
			(distance == best_distance && shape->first_start_ns > best->first_start_ns))
		{
			best = shape;
			best_distance = distance;
		}
	}
	return best;
}

/* Figures of the calls that are not in the finding yet, and the sample. */
static void
begin_delta(const HoneShape *shape, HoneFindingKind kind)
{
	int64		calls = shape->calls - shape->told_calls;
	bool		first = shape->told_calls == 0;

	hone_finding_begin(kind, shape->relid, shape->queryid);
	delta->calls = calls;
	delta->times = first ? 1 : 0;
	delta->gap_ms = (shape->gap_ns - shape->told_gap_ns) / 1e6;
	delta->cost_ms = (shape->elapsed_ns - shape->told_elapsed_ns) / 1e6 +
		delta->gap_ms;
	/* one call remains of each burst */
	delta->saving_ms = delta->cost_ms * (first ? (double) (calls - 1) / calls : 1);
	delta->rows = shape->rows;
	delta->rows_max = shape->calls;
	hone_sample_put(&delta->sample, shape->sample);
	delta->parent.queryid = 0;
}

static void
end_delta(HoneShape *shape, int64 calls, bool ended)
{
	if (ended)
	{
		delta->nrecent = 1;
		delta->recent[0] = calls;
	}
	hone_finding_add(delta);

	shape->told_calls = shape->calls;
	shape->told_elapsed_ns = shape->elapsed_ns;
	shape->told_gap_ns = shape->gap_ns;
}

static void
add_key(const HoneShape *shape, int position, const HoneOrigin *origin)
{
	HoneLoopKey *key = &delta->keys[delta->nkeys++];

	hone_loop_key_init(key, shape->sample_ids[position]);
	if (origin != NULL)
	{
		key->column = origin->column[position];
		key->name = origin->name[position];
		key->relid = origin->relid[position];
		key->attnum = origin->attnum[position];
	}
}

/* The key that counts first, then the others that change. */
static void
add_keys(const HoneShape *shape, int key, const HoneOrigin *origin)
{
	add_key(shape, key, origin);
	for (int i = 0; i < shape->nkeys; i++)
	{
		if (i != key && hone_key_distinct(&shape->keys[i]) > 1)
			add_key(shape, i, origin);
	}
}

static void
report_loop(HoneShape *shape, const HoneShape *parent, int key,
			const HoneOrigin *origin, bool ended)
{
	/* runs of the loop: a parent that is in a loop itself does not begin one */
	int64		runs = parent->told_calls > 0 ? 1 : parent->calls;

	begin_delta(shape, HONE_FINDING_N_PLUS_ONE);
	delta->parent_rows = parent->rows / runs;
	delta->rows_max = shape->calls / runs;
	delta->confirmed = origin != NULL && !shape->told_confirmed;
	add_keys(shape, key, origin);
	hone_sample_put(&delta->parent, parent->sample);
	if (origin != NULL)
		shape->told_confirmed = true;
	end_delta(shape, shape->calls / runs, ended);
}

/* What was suspected, if it was told, is less likely now. */
static void
report_refuted(HoneShape *shape)
{
	if (shape->told_refuted)
		return;
	shape->told_refuted = true;
	begin_delta(shape, HONE_FINDING_N_PLUS_ONE);
	delta->calls = delta->times = 0;
	delta->cost_ms = delta->gap_ms = delta->saving_ms = 0;
	delta->rows_max = 0;
	delta->refuted = 1;
	delta->sample.queryid = 0;	/* add to what is there, if anything is */
	hone_finding_add(delta);
}

static void
report_repeated(HoneShape *shape, bool ended)
{
	int64		calls = shape->calls;

	if (shape->partial || shape->locks ||
		(!shape->in_block && (calls < 2 * hone_n_plus_one_threshold ||
							  shape->gap_ns > (calls - 1) * (int64) QUICK_GAP_NS)))
		return;
	begin_delta(shape, HONE_FINDING_REPEATED);
	end_delta(shape, calls, ended);
}

/* With the same values each time, and of a query without values. */
static bool
is_repeated(const HoneShape *shape)
{
	const HoneShapeKey *together = hone_shape_together(shape);

	return shape->nkeys == 0 || (hone_key_distinct(together) == 1 &&
								 together->calls == Min(shape->calls, HONE_KEY_CALLS));
}

static bool
is_told(const HoneShape *shape, bool ended)
{
	return shape->told_calls == shape->calls && !ended;
}

void
hone_loop_report(HoneBurst *burst, HoneShape *shape, bool ended)
{
	HoneShape  *parent;
	HoneShape  *suspect;
	HoneOrigin	origin;
	int			key;

	if (shape->calls < hone_n_plus_one_threshold || is_told(shape, ended) ||
		!OidIsValid(shape->relid) || shape->sample == NULL ||
		shape->written * 2 >= shape->calls)
		return;
	if (is_repeated(shape))
	{
		report_repeated(shape, ended);
		return;
	}
	/* a loop with pauses is meant to be one */
	if (shape->gap_ns > (shape->calls - 1) * PAUSE_SHARE * hone_burst_gap())
		return;
	key = shape_key(shape);
	if (key < 0)
		return;
	suspect = suspect_parent(burst, shape);
	switch (hone_provenance_of(shape->links, key, suspect ? suspect->queryid : 0, &origin))
	{
		case HONE_PROVENANCE_CONFIRMED:
			parent = find_parent(burst, origin.parent, shape->nest_level);
			if (parent != NULL && (shape->in_block || origin.ordered) &&
				(shape->calls >= CONFIRMED_CALLS * parent->calls || parent->told_calls > 0))
				report_loop(shape, parent, key, &origin, ended);
			break;
		case HONE_PROVENANCE_REFUTED:
			report_refuted(shape);
			break;
		case HONE_PROVENANCE_UNKNOWN:
			if (suspect != NULL && shape->in_block && hone_key_changes(hone_shape_together(shape), shape->calls))
				report_loop(shape, suspect, key, NULL, ended);
			break;
	}
}
