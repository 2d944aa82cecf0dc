/*-------------------------------------------------------------------------
 *
 * premake_name.c
 *	  What new partitions are called.
 *
 * As the latest ones are: when the name of one has its lower bound in it, in
 * one of the formats below, the new name has the new bound there. Else
 * parent_pYYYYMMDD. A name is taken only when no relation and no type has it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "lib/stringinfo.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "lifecycle/premake.h"

/* So many of the latest partitions are asked for a pattern. */
#define ASKED_CHILDREN	6

/* Shortest number that is taken for the bound itself. */
#define NUMBER_DIGITS	4

/* What the finest part of a format can tell apart. */
typedef enum Unit
{
	UNIT_NUMBER,				/* the bound itself, an integer */
	UNIT_SECOND,
	UNIT_MINUTE,
	UNIT_HOUR,
	UNIT_DAY,
	UNIT_WEEK,
	UNIT_MONTH,
	UNIT_QUARTER,
	UNIT_YEAR
} Unit;

/*
 * The more precise first. %Y year, %m month, %d day, %H hour, %M minute, %S
 * second, %G and %V year and number of the ISO week, %q quarter, %N the bound.
 */
static const struct
{
	const char *format;
	Unit		unit;
}			formats[] = {
	{"%Y_%m_%d_%H_%M_%S", UNIT_SECOND}, {"%Y_%m_%d_%H%M%S", UNIT_SECOND},
	{"%Y%m%d_%H%M%S", UNIT_SECOND}, {"%Y%m%dt%H%M%S", UNIT_SECOND},
	{"%Y%m%dT%H%M%S", UNIT_SECOND}, {"%Y%m%d%H%M%S", UNIT_SECOND},
	{"%Y_%m_%d_%H_%M", UNIT_MINUTE}, {"%Y_%m_%d_%H%M", UNIT_MINUTE},
	{"%Y-%m-%d-%H-%M", UNIT_MINUTE}, {"%Y-%m-%d_%H%M", UNIT_MINUTE},
	{"%Y%m%d_%H%M", UNIT_MINUTE}, {"%Y%m%dt%H%M", UNIT_MINUTE},
	{"%Y%m%dT%H%M", UNIT_MINUTE}, {"%Y%m%d%H%M", UNIT_MINUTE},
	{"%Y_%m_%d_%H", UNIT_HOUR}, {"%Y-%m-%d-%H", UNIT_HOUR}, {"%Y-%m-%d_%H", UNIT_HOUR},
	{"%Y_%m_%dh%H", UNIT_HOUR}, {"%Y%m%d_%H", UNIT_HOUR}, {"%Y%m%dh%H", UNIT_HOUR},
	{"%Y%m%dt%H", UNIT_HOUR}, {"%Y%m%dT%H", UNIT_HOUR}, {"%Y%m%d%H", UNIT_HOUR},
	{"%Y_%m_%d", UNIT_DAY}, {"%Y-%m-%d", UNIT_DAY}, {"%Ym%md%d", UNIT_DAY},
	{"%Y%m%d", UNIT_DAY}, {"%Y%m_%d", UNIT_DAY},
	{"%G_w%V", UNIT_WEEK}, {"%G-w%V", UNIT_WEEK}, {"%Gw%V", UNIT_WEEK},
	{"%G_W%V", UNIT_WEEK}, {"%G-W%V", UNIT_WEEK}, {"%GW%V", UNIT_WEEK},
	{"%G_%V", UNIT_WEEK},
	{"%Y_q%q", UNIT_QUARTER}, {"%Y-q%q", UNIT_QUARTER}, {"%Yq%q", UNIT_QUARTER},
	{"%Y_Q%q", UNIT_QUARTER}, {"%Y-Q%q", UNIT_QUARTER}, {"%YQ%q", UNIT_QUARTER},
	{"%Y_%m", UNIT_MONTH}, {"%Y-%m", UNIT_MONTH}, {"%Ym%m", UNIT_MONTH}, {"%Y%m", UNIT_MONTH},
	{"%N", UNIT_NUMBER},
	{"%Y", UNIT_YEAR},
};

/* ------------------------------------------------------------------------
 * A bound in a format
 * ------------------------------------------------------------------------
 */

/* Are partitions of this length told apart by such a unit? */
static bool
step_fits(const HoneStep *step, Unit unit)
{
	switch (unit)
	{
		case UNIT_NUMBER:
		case UNIT_SECOND:
		case UNIT_MINUTE:
			return true;
		case UNIT_HOUR:
			return step->months > 0 || step->usecs % USECS_PER_HOUR == 0;
		case UNIT_DAY:
			return step->months > 0 || step->usecs % USECS_PER_DAY == 0;
		case UNIT_WEEK:
			return step->months == 0 && step->usecs % (7 * USECS_PER_DAY) == 0;
		case UNIT_MONTH:
			return step->months > 0;
		case UNIT_QUARTER:
			return step->months > 0 && step->months % 3 == 0;
		default:
			return step->months > 0 && step->months % MONTHS_PER_YEAR == 0;
	}
}

/*
 * The time that a name says of this bound. Partitions by the day or more begin
 * at midnight somewhere, which in UTC may be the evening before: the midnight
 * that is nearest is meant. False where the unit cannot say it.
 */
static bool
named_time(TimestampTz start, Unit unit, struct pg_tm *tm)
{
	fsec_t		fsec;

	if (unit >= UNIT_DAY)
	{
		TimestampTz noon = start + USECS_PER_DAY / 2;
		int64		rest = noon % USECS_PER_DAY;

		start = noon - (rest < 0 ? rest + USECS_PER_DAY : rest);
	}
	if (!IS_VALID_TIMESTAMP(start) || timestamp2tm(start, NULL, tm, &fsec, NULL, NULL) != 0)
		return false;
	if (tm->tm_year < 1 || tm->tm_year > 9999)
		return false;
	switch (unit)
	{
		case UNIT_MINUTE:
			return tm->tm_sec == 0 && fsec == 0;
		case UNIT_HOUR:
			return tm->tm_min == 0 && tm->tm_sec == 0 && fsec == 0;
		case UNIT_WEEK:
			return j2day(date2j(tm->tm_year, tm->tm_mon, tm->tm_mday)) == 1;
		case UNIT_MONTH:
			return tm->tm_mday == 1;
		case UNIT_QUARTER:
			return tm->tm_mday == 1 && tm->tm_mon % 3 == 1;
		case UNIT_YEAR:
			return tm->tm_mday == 1 && tm->tm_mon == 1;
		default:
			return true;
	}
}

static void
append_part(StringInfo buf, char part, const struct pg_tm *tm)
{
	switch (part)
	{
		case 'Y':
			appendStringInfo(buf, "%04d", tm->tm_year);
			break;
		case 'm':
			appendStringInfo(buf, "%02d", tm->tm_mon);
			break;
		case 'd':
			appendStringInfo(buf, "%02d", tm->tm_mday);
			break;
		case 'H':
			appendStringInfo(buf, "%02d", tm->tm_hour);
			break;
		case 'M':
			appendStringInfo(buf, "%02d", tm->tm_min);
			break;
		case 'S':
			appendStringInfo(buf, "%02d", tm->tm_sec);
			break;
		case 'G':
			appendStringInfo(buf, "%04d", date2isoyear(tm->tm_year, tm->tm_mon, tm->tm_mday));
			break;
		case 'V':
			appendStringInfo(buf, "%02d", date2isoweek(tm->tm_year, tm->tm_mon, tm->tm_mday));
			break;
		default:
			appendStringInfo(buf, "%d", (tm->tm_mon + 2) / 3);
			break;
	}
}

/* The bound in that format, or NULL. */
static char *
render(const char *format, Unit unit, TimestampTz start, const char *key, Oid type)
{
	StringInfoData buf;
	struct pg_tm tm;

	if (unit == UNIT_NUMBER)
	{
		if (type != INT4OID && type != INT8OID)
			return NULL;
		return key != NULL && key[0] != '-' && strlen(key) >= NUMBER_DIGITS ? pstrdup(key) : NULL;
	}
	if (!named_time(start, unit, &tm))
		return NULL;
	initStringInfo(&buf);
	for (const char *c = format; *c != '\0'; c++)
	{
		if (*c == '%')
			append_part(&buf, *++c, &tm);
		else
			appendStringInfoChar(&buf, *c);
	}
	return buf.data;
}

/* ------------------------------------------------------------------------
 * Patterns
 * ------------------------------------------------------------------------
 */

/* The last place where it stands without another digit beside it, or NULL. */
static const char *
find_whole(const char *name, const char *part)
{
	const char *found = NULL;
	size_t		len = strlen(part);

	for (const char *c = strstr(name, part); c != NULL; c = strstr(c + 1, part))
	{
		if ((c == name || !isdigit((unsigned char) c[-1])) && !isdigit((unsigned char) c[len]))
			found = c;
	}
	return found;
}

/* The new name after the pattern of this child's, or NULL. */
static char *
name_like(const HonePremakePlan *plan, const HoneChildRange *child,
		  const HonePremakeRange *range)
{
	char	   *name = get_rel_name(child->relid);

	if (name == NULL || TIMESTAMP_NOT_FINITE(child->start))
		return NULL;
	for (int i = 0; i < lengthof(formats); i++)
	{
		Unit		unit = formats[i].unit;
		char	   *old;
		char	   *new;
		const char *place;

		if (!step_fits(&plan->step, unit) ||
			(old = render(formats[i].format, unit, child->start, child->start_key, plan->type)) == NULL ||
			(place = find_whole(name, old)) == NULL)
			continue;
		new = render(formats[i].format, unit, range->start, range->start_key, plan->type);
		if (new == NULL)
			continue;
		return psprintf("%.*s%s%s", (int) (place - name), name, new, place + strlen(old));
	}
	return NULL;
}

/* What to call a partition that is like no other. */
static char *
plain_label(const HonePremakePlan *plan, const HonePremakeRange *range)
{
	const char *format = "p%Y%m%d_%H%M%S";
	Unit		unit = UNIT_SECOND;
	struct pg_tm tm;
	char	   *label;

	if (named_time(range->start, UNIT_MINUTE, &tm))
	{
		bool		midnight = tm.tm_hour == 0 && tm.tm_min == 0;
		bool		days = plan->step.months > 0 || plan->step.usecs % USECS_PER_DAY == 0;

		format = midnight && days ? "p%Y%m%d" : "p%Y%m%d_%H%M";
	}
	label = render(format, unit, range->start, NULL, plan->type);
	return label ? label : pstrdup("p");
}

/* ------------------------------------------------------------------------
 * Names that nobody has
 * ------------------------------------------------------------------------
 */

static bool
is_taken(const HonePremakePlan *plan, const char *name, Oid schema)
{
	ListCell   *lc;

	if (OidIsValid(get_relname_relid(name, schema)) ||
		SearchSysCacheExists2(TYPENAMENSP, CStringGetDatum(name), ObjectIdGetDatum(schema)))
		return true;
	if (plan == NULL)
		return false;
	foreach(lc, plan->ranges)
	{
		HonePremakeRange *range = lfirst(lc);

		if (range->schema == schema && strcmp(range->name, name) == 0)
			return true;
	}
	return false;
}

/* first_label, first_label_1, ... with as much of 'first' as fits. */
static char *
free_name(const HonePremakePlan *plan, const char *first, const char *label, Oid schema)
{
	char	   *name;

	if (first == NULL)			/* dropped meanwhile */
		first = "partition";
	name = makeObjectName(first, NULL, label);
	for (int i = 1; is_taken(plan, name, schema); i++)
		name = makeObjectName(first, NULL, psprintf("%s_%d", label, i));
	return name;
}

void
hone_premake_name(HonePremakePlan *plan, HonePremakeRange *range)
{
	int			n = list_length(plan->children);

	range->schema = get_rel_namespace(OidIsValid(plan->latest) ? plan->latest : plan->parent);
	for (int i = n - 1; i >= Max(0, n - ASKED_CHILDREN); i--)
	{
		char	   *name = name_like(plan, list_nth(plan->children, i), range);

		if (name != NULL && strlen(name) < NAMEDATALEN && !is_taken(plan, name, range->schema))
		{
			range->name = name;
			return;
		}
	}
	range->name = free_name(plan, get_rel_name(plan->parent), plain_label(plan, range), range->schema);
}

char *
hone_premake_part_name(Oid child, Oid old, const char *new_name, Oid schema)
{
	const char *child_name = get_rel_name(child);
	const char *old_name = get_rel_name(old);

	if (child_name != NULL && old_name != NULL)
	{
		const char *place = strstr(child_name, old_name);
		char	   *name;

		if (place != NULL)
		{
			name = psprintf("%.*s%s%s", (int) (place - child_name), child_name, new_name,
							place + strlen(old_name));
			if (strlen(name) < NAMEDATALEN && !is_taken(NULL, name, schema))
				return name;
		}
	}
	return free_name(NULL, new_name, "part", schema);
}
