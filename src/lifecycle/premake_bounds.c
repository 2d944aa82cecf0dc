/*-------------------------------------------------------------------------
 *
 * premake_bounds.c
 *	  Which partitions are missing.
 *
 * Everything is counted in UTC: a boundary is an instant, the next one is so
 * many microseconds or months later. Months are counted from the day on which
 * the others begin, so that partitions that begin on the 31st begin on the 28th
 * of February and on the 31st of March again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/partition.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "common/int.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"

#include "lifecycle/premake.h"

/* So many of the latest partitions say how long they are. */
#define LATEST_CHILDREN		12

/* Beyond those asked for, gaps of up to so many partitions are filled. */
#define GAP_PIECES			100

/* Never more than this at once. */
#define MOST_RANGES			2000

/* A Monday: where weeks begin. */
#define FIRST_MONDAY		(2 * USECS_PER_DAY)

#define INTERVAL_HINT \
	"Say how long partitions are, for example partition_interval => interval '1 month'."

/* ------------------------------------------------------------------------
 * Steps
 * ------------------------------------------------------------------------
 */

static int
days_in_month(const struct pg_tm *tm)
{
	return day_tab[isleap(tm->tm_year)][tm->tm_mon - 1];
}

/* False for infinite instants. */
static bool
decompose(TimestampTz instant, struct pg_tm *tm, fsec_t * fsec)
{
	return !TIMESTAMP_NOT_FINITE(instant) &&
		timestamp2tm(instant, NULL, tm, fsec, NULL, NULL) == 0;
}

/*
 * So many months later, on this day of the month or its last one. Infinite
 * where there is no such time.
 */
static TimestampTz
add_months(TimestampTz from, int64 months, int last_day)
{
	TimestampTz result;
	struct pg_tm tm;
	fsec_t		fsec;
	int			day;
	int64		count;

	if (!decompose(from, &tm, &fsec))
		return DT_NOEND;
	day = tm.tm_mday;
	if (day == days_in_month(&tm))
		day = Max(day, last_day);
	count = (int64) tm.tm_year * MONTHS_PER_YEAR + tm.tm_mon - 1 + months;
	if (count < (int64) -4713 * MONTHS_PER_YEAR || count > (int64) 294000 * MONTHS_PER_YEAR)
		return months < 0 ? DT_NOBEGIN : DT_NOEND;
	tm.tm_year = count / MONTHS_PER_YEAR;
	tm.tm_mon = count % MONTHS_PER_YEAR;
	if (tm.tm_mon < 0)
	{
		tm.tm_mon += MONTHS_PER_YEAR;
		tm.tm_year--;
	}
	tm.tm_mon++;
	tm.tm_mday = Min(day, days_in_month(&tm));
	if (tm2timestamp(&tm, fsec, NULL, &result) != 0)
		return months < 0 ? DT_NOBEGIN : DT_NOEND;
	return result;
}

/* Boundary number n after (before) this one. */
static TimestampTz
boundary(const HonePremakePlan *plan, TimestampTz from, int64 n)
{
	int64		distance;
	TimestampTz result;

	if (plan->step.months > 0)
		return add_months(from, n * plan->step.months, plan->last_day);
	if (pg_mul_s64_overflow(plan->step.usecs, n, &distance) ||
		pg_add_s64_overflow(from, distance, &result) || !IS_VALID_TIMESTAMP(result))
		return n < 0 ? DT_NOBEGIN : DT_NOEND;
	return result;
}

/* Months from one time to the other, days disregarded. */
static int64
months_between(TimestampTz from, TimestampTz to)
{
	struct pg_tm a,
				b;
	fsec_t		fsec;

	if (!decompose(from, &a, &fsec) || !decompose(to, &b, &fsec))
		return 0;
	return ((int64) b.tm_year - a.tm_year) * MONTHS_PER_YEAR + b.tm_mon - a.tm_mon;
}

/* The latest boundary that is not after 'now', counted from 'base'. */
static TimestampTz
align(const HonePremakePlan *plan, TimestampTz base, TimestampTz now)
{
	int64		n = plan->step.months > 0 ? months_between(base, now) / plan->step.months :
	(now - base) / plan->step.usecs;

	while (boundary(plan, base, n) > now)
		n--;
	while (boundary(plan, base, n + 1) <= now)
		n++;
	return boundary(plan, base, n);
}

/* Where partitions begin when there is none yet. */
static TimestampTz
origin(const HonePremakePlan *plan)
{
	if (plan->step.months == 0 && plan->step.usecs % (7 * USECS_PER_DAY) == 0)
		return FIRST_MONDAY;
	return 0;
}

/* ------------------------------------------------------------------------
 * The length of a partition
 * ------------------------------------------------------------------------
 */

/* As months, or 0 if it is none. */
static int
length_in_months(const HoneChildRange *child)
{
	struct pg_tm a,
				b;
	fsec_t		afsec,
				bfsec;
	int			day;
	int64		months;

	if (!decompose(child->start, &a, &afsec) || !decompose(child->end, &b, &bfsec) ||
		afsec != bfsec || a.tm_hour != b.tm_hour || a.tm_min != b.tm_min || a.tm_sec != b.tm_sec)
		return 0;
	day = Max(a.tm_mday, b.tm_mday);
	if (a.tm_mday != Min(day, days_in_month(&a)) || b.tm_mday != Min(day, days_in_month(&b)))
		return 0;
	months = months_between(child->start, child->end);
	return months > 0 && months <= INT_MAX ? months : 0;
}

static bool
is_finite(const HoneChildRange *child)
{
	return !TIMESTAMP_NOT_FINITE(child->start) && !TIMESTAMP_NOT_FINITE(child->end);
}

static bool
fits_step(const HoneChildRange *child, const HoneStep *step)
{
	if (step->months > 0)
		return length_in_months(child) == step->months;
	return child->end - child->start == step->usecs;
}

/* The latest with both bounds, at most LATEST_CHILDREN. */
static List *
latest_children(const HonePremakePlan *plan)
{
	List	   *latest = NIL;

	for (int i = list_length(plan->children) - 1;
		 i >= 0 && list_length(latest) < LATEST_CHILDREN; i--)
	{
		HoneChildRange *child = list_nth(plan->children, i);

		if (is_finite(child))
			latest = lappend(latest, child);
	}
	return latest;
}

static int
count_fitting(List *children, const HoneStep *step)
{
	int			count = 0;
	ListCell   *lc;

	foreach(lc, children)
	{
		if (fits_step(lfirst(lc), step))
			count++;
	}
	return count;
}

/*
 * The commonest length of the latest partitions. Of months and days that fit as
 * many, months are meant. False where none is commoner than any other.
 */
static bool
infer_step(const HonePremakePlan *plan, HoneStep *step)
{
	List	   *latest = latest_children(plan);
	int			most = 0;
	ListCell   *lc;

	foreach(lc, latest)
	{
		HoneChildRange *child = lfirst(lc);
		HoneStep	months = {.months = length_in_months(child)};
		HoneStep	usecs = {.usecs = child->end - child->start};
		int			fit = months.months > 0 ? count_fitting(latest, &months) : 0;

		if (fit > most)
		{
			most = fit;
			*step = months;
		}
		fit = count_fitting(latest, &usecs);
		if (fit > most)
		{
			most = fit;
			*step = usecs;
		}
	}
	return most > 1 || (most == 1 && list_length(latest) == 1);
}

static void
set_problem(HonePremakePlan *plan, int sqlstate, const char *problem, const char *hint)
{
	plan->sqlstate = sqlstate;
	plan->problem = problem;
	plan->hint = hint;
}

/* The interval as a step; false with a problem. */
static bool
read_interval(HonePremakePlan *plan, const Interval *interval)
{
	int64		usecs;

	if (pg_mul_s64_overflow(interval->day, USECS_PER_DAY, &usecs) ||
		pg_add_s64_overflow(usecs, interval->time, &usecs) ||
		usecs < 0 || interval->month < 0 || (usecs == 0 && interval->month == 0))
		set_problem(plan, ERRCODE_INVALID_PARAMETER_VALUE,
					"partition_interval must be greater than zero", INTERVAL_HINT);
	else if (usecs > 0 && interval->month > 0)
		set_problem(plan, ERRCODE_INVALID_PARAMETER_VALUE,
					"partition_interval must not mix months with days or hours", INTERVAL_HINT);
	else
	{
		plan->step.months = interval->month;
		plan->step.usecs = usecs;
		return true;
	}
	return false;
}

static bool
find_step(HonePremakePlan *plan, const Interval *interval)
{
	if (interval != NULL)
	{
		if (!read_interval(plan, interval))
			return false;
	}
	else if (!infer_step(plan, &plan->step))
	{
		set_problem(plan, ERRCODE_INVALID_PARAMETER_VALUE,
					psprintf(plan->children == NIL ?
							 "table \"%s\" has no partitions to infer the length of new ones from" :
							 "the partitions of \"%s\" have no common length to infer that of new ones from",
							 get_rel_name(plan->parent)), INTERVAL_HINT);
		return false;
	}
	if (plan->step.months > 0)
		return true;
	if (plan->step.usecs % (plan->type == DATEOID ? USECS_PER_DAY : USECS_PER_MINUTE) != 0)
	{
		set_problem(plan, ERRCODE_INVALID_PARAMETER_VALUE,
					plan->type == DATEOID ?
					"partition_interval must be whole days for a partition key of type date" :
					"partition_interval must be whole minutes", INTERVAL_HINT);
		return false;
	}
	return true;
}

/* The day of the month that fitting partitions begin on, if it is a late one. */
static int
find_last_day(const HonePremakePlan *plan)
{
	int			last_day = 0;
	ListCell   *lc;

	if (plan->step.months == 0)
		return 0;
	foreach(lc, latest_children(plan))
	{
		HoneChildRange *child = lfirst(lc);
		struct pg_tm tm;
		fsec_t		fsec;

		if (!fits_step(child, &plan->step))
			continue;
		if (decompose(child->start, &tm, &fsec))
			last_day = Max(last_day, tm.tm_mday);
		if (decompose(child->end, &tm, &fsec))
			last_day = Max(last_day, tm.tm_mday);
	}
	return last_day;
}

/* ------------------------------------------------------------------------
 * What is there
 * ------------------------------------------------------------------------
 */

static int
compare_children(const ListCell *a, const ListCell *b)
{
	const HoneChildRange *x = lfirst(a);
	const HoneChildRange *y = lfirst(b);

	return x->start < y->start ? -1 : x->start > y->start;
}

/*
 * The children by start, without the default. Also when one comes or goes at
 * the same moment: it is there or not.
 */
static List *
read_children(Oid parent, Oid type, const char *epoch)
{
	List	   *children = NIL;
	ListCell   *lc;

	foreach(lc, find_inheritance_children(parent, NoLock))
	{
		HoneChildRange *child = palloc(sizeof(HoneChildRange));

		if (hone_child_range(lfirst_oid(lc), type, epoch, child) && !child->is_default)
			children = lappend(children, child);
	}
	list_sort(children, compare_children);
	return children;
}

/* First child that begins at this time or later, or NULL. */
static HoneChildRange *
next_child(List *children, TimestampTz from)
{
	ListCell   *lc;

	foreach(lc, children)
	{
		HoneChildRange *child = lfirst(lc);

		if (child->start >= from)
			return child;
	}
	return NULL;
}

/* The last child that begins before this time, or NULL. */
static HoneChildRange *
previous_child(List *children, TimestampTz from)
{
	HoneChildRange *found = NULL;
	ListCell   *lc;

	foreach(lc, children)
	{
		HoneChildRange *child = lfirst(lc);

		if (child->start >= from)
			break;
		found = child;
	}
	return found;
}

/* ------------------------------------------------------------------------
 * What is not
 * ------------------------------------------------------------------------
 */

/*
 * A bound as text: as that of the neighbour there, so that nothing lies between
 * them, or else like the latest.
 */
static char *
bound_text(const HonePremakePlan *plan, TimestampTz instant)
{
	const char *like = NULL;
	ListCell   *lc;

	foreach(lc, plan->children)
	{
		HoneChildRange *child = lfirst(lc);

		if (child->end == instant && child->end_key != NULL)
			return child->end_key;
		if (child->start == instant && child->start_key != NULL)
			return child->start_key;
		if (child->end_key != NULL)
			like = child->end_key;
	}
	return hone_instant_key(instant, plan->type, plan->epoch, like);
}

/* False where the key's type has no such bounds. */
static bool
add_range(HonePremakePlan *plan, TimestampTz start, TimestampTz end,
		  HonePremakeReason reason)
{
	HonePremakeRange *range = palloc0(sizeof(HonePremakeRange));

	range->start = start;
	range->end = end;
	range->reason = reason;
	range->start_key = bound_text(plan, start);
	range->end_key = bound_text(plan, end);
	if (range->start_key == NULL || range->end_key == NULL)
	{
		set_problem(plan, ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
					psprintf("the partition key of \"%s\" cannot go further than %s",
							 get_rel_name(plan->parent),
							 range->start_key ? range->start_key : "the partitions it has"),
					"Its type has no value for the next bound: change the type, or lower premake.");
		return false;
	}
	hone_premake_name(plan, range);
	plan->ranges = lappend(plan->ranges, range);
	return true;
}

/* Are there few partitions to fill this gap? */
static bool
is_small_gap(const HonePremakePlan *plan, TimestampTz from, const HoneChildRange *next)
{
	return next != NULL && !TIMESTAMP_NOT_FINITE(next->end) &&
		boundary(plan, from, GAP_PIECES) >= next->start;
}

/*
 * What follows the partition that ends at 'from', which is that of now: as many
 * as are asked for, and gaps between those that are further ahead.
 */
static void
plan_ahead(HonePremakePlan *plan, TimestampTz from, TimestampTz limit, int premake)
{
	int			ahead = 0;

	while (from < limit && list_length(plan->ranges) < MOST_RANGES)
	{
		HoneChildRange *next = next_child(plan->children, from);
		TimestampTz end;

		if (next == NULL && ahead >= premake)
			break;
		if (next != NULL && next->start == from)
		{
			ahead++;
			from = next->end;
			continue;
		}
		if (ahead >= premake && !is_small_gap(plan, from, next))
		{
			from = next->end;
			continue;
		}
		end = Min(boundary(plan, from, 1), limit);
		if (next != NULL)
			end = Min(end, next->start);
		if (!add_range(plan, from, end, next ? HONE_PREMAKE_GAP : HONE_PREMAKE_AHEAD))
			break;
		ahead++;
		from = end;
	}
}

/*
 * A partition itself needs none that its own parent sends no rows to.
 */
static void
own_limits(const HonePremakePlan *plan, TimestampTz *floor, TimestampTz *limit)
{
	HoneTimeRange own;
	Oid			top = InvalidOid;	/* that has the same key */
	ListCell   *lc;

	*floor = DT_NOBEGIN;
	*limit = DT_NOEND;
	foreach(lc, get_partition_ancestors(plan->parent))
	{
		AttrNumber	column;
		Oid			type;
		char	   *key;

		if (hone_time_key(lfirst_oid(lc), plan->epoch, &column, &type) != HONE_KEY_OK)
			continue;
		key = get_attname(lfirst_oid(lc), column, true);
		if (key != NULL && strcmp(key, plan->key) == 0)
			top = lfirst_oid(lc);
	}
	if (!OidIsValid(top) || !hone_partition_range(plan->parent, top, plan->epoch, &own) || !own.bounded)
		return;
	*floor = own.start;
	*limit = own.end;
}

static void
plan_ranges(HonePremakePlan *plan, const HonePremakeOrder *order)
{
	HoneChildRange *before = previous_child(plan->children, order->now + 1);
	HoneChildRange *after = next_child(plan->children, order->now + 1);
	TimestampTz limit;
	TimestampTz floor;
	TimestampTz start;
	TimestampTz end;

	own_limits(plan, &floor, &limit);
	if (before != NULL && before->end > order->now)
	{
		plan_ahead(plan, before->end, limit, order->premake);
		return;
	}
	if (order->now >= limit)
		return;
	if (order->now < floor)
	{
		plan_ahead(plan, floor, limit, order->premake);
		return;
	}

	if (before != NULL)
		floor = Max(floor, before->end);
	if (before != NULL || after != NULL)
		start = align(plan, before ? before->end : after->start, order->now);
	else
		start = align(plan, TIMESTAMP_NOT_FINITE(floor) ? origin(plan) : floor, order->now);
	end = Min(boundary(plan, start, 1), limit);
	start = Max(start, floor);
	if (after != NULL)
		end = Min(end, after->start);
	if (add_range(plan, start, end, HONE_PREMAKE_CURRENT))
		plan_ahead(plan, end, limit, order->premake);
}

/*
 * What the table is; false with a problem.
 */
static bool
read_table(HonePremakePlan *plan)
{
	AttrNumber	column;
	HoneChildRange *last;

	if (hone_time_key(plan->parent, plan->epoch, &column, &plan->type) != HONE_KEY_OK ||
		(plan->key = get_attname(plan->parent, column, true)) == NULL)
	{
		set_problem(plan, ERRCODE_WRONG_OBJECT_TYPE,
					"the table is not partitioned by time (any more)",
					"Change or remove its policy with hone.alter_tier_policy or hone.remove_tier_policy.");
		return false;
	}
	plan->children = read_children(plan->parent, plan->type, plan->epoch);
	plan->default_partition = get_default_partition_oid(plan->parent);
	if (plan->children != NIL)
	{
		last = llast(plan->children);
		plan->latest = last->relid;
	}
	return true;
}

HonePremakePlan *
hone_premake_plan(const HonePremakeOrder *order)
{
	HonePremakePlan *plan = palloc0(sizeof(HonePremakePlan));

	plan->parent = order->parent;
	plan->epoch = order->epoch;
	if (!read_table(plan) || !find_step(plan, order->interval))
		return plan;
	plan->last_day = find_last_day(plan);
	if (!TIMESTAMP_NOT_FINITE(order->now))
		plan_ranges(plan, order);
	return plan;
}

List *
hone_premake_gaps(Oid parent, const char *epoch, TimestampTz now, Oid *default_partition)
{
	HonePremakePlan plan = {.parent = parent,.epoch = epoch};
	List	   *gaps = NIL;
	TimestampTz floor;
	TimestampTz limit;
	TimestampTz from;
	bool		first = true;
	ListCell   *lc;

	*default_partition = InvalidOid;
	if (!read_table(&plan))
		return NIL;
	*default_partition = plan.default_partition;
	own_limits(&plan, &floor, &limit);
	if (now >= limit)
		return NIL;
	from = now = Max(now, floor);
	foreach(lc, plan.children)
	{
		HoneChildRange *child = lfirst(lc);

		if (child->end <= now)
		{
			from = child->end;
			continue;
		}
		if (child->start > (first ? now : from))
		{
			HonePremakeRange *gap = palloc0(sizeof(HonePremakeRange));

			gap->start = from;
			gap->end = child->start;
			gap->reason = first ? HONE_PREMAKE_CURRENT : HONE_PREMAKE_GAP;
			gaps = lappend(gaps, gap);
		}
		from = child->end;
		first = false;
	}
	if (first)
	{
		HonePremakeRange *gap = palloc0(sizeof(HonePremakeRange));

		gap->start = from;
		gap->end = limit;
		gap->reason = HONE_PREMAKE_CURRENT;
		gaps = lappend(gaps, gap);
	}
	return gaps;
}

void
hone_premake_check(const HonePolicy *policy)
{
	HonePremakePlan plan = {.parent = policy->parent,.epoch = policy->epoch};

	if (policy->premake == 0 && policy->partition_interval == NULL)
		return;
	/* that its type does not go further is no fault of the policy */
	if (!read_table(&plan) || !find_step(&plan, policy->partition_interval))
		ereport(ERROR,
				(errcode(plan.sqlstate),
				 errmsg("%s", plan.problem),
				 errhint("%s", plan.hint)));
}
