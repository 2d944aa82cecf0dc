/*-------------------------------------------------------------------------
 *
 * window.c
 *	  Hours of the week (see window.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "lifecycle/window.h"

#define MINUTES_A_WEEK	(7 * HONE_MINUTES_A_DAY)
#define ALL_DAYS		0x7F

PG_FUNCTION_INFO_V1(hone_in_tier_window);

static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};

static void
skip_blanks(const char **text)
{
	while (**text == ' ' || **text == '\t' || **text == '\n' || **text == '\r')
		(*text)++;
}

/* Blanks, this character, blanks. */
static bool
take(const char **text, char c)
{
	const char *at = *text;

	skip_blanks(&at);
	if (*at != c)
		return false;
	at++;
	skip_blanks(&at);
	*text = at;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* 0 is Sunday; -1: no day. */
static int
take_day(const char **text)
{
	for (int day = 0; day < 7; day++)
	{
		if (pg_strncasecmp(*text, day_names[day], 3) == 0 && !is_letter((*text)[3]))
		{
			*text += 3;
			return day;
		}
	}
	return -1;
}

/*
 * Days and ranges of them, as a mask; 0: one is none.
 */
static int
take_days(const char **text)
{
	int			days = 0;

	do
	{
		int			first = take_day(text);
		int			last = first;

		if (first >= 0 && take(text, '-'))
			last = take_day(text);
		if (first < 0 || last < 0)
			return 0;
		days |= 1 << last;
		for (int day = first; day != last; day = (day + 1) % 7)
			days |= 1 << day;
	} while (take(text, ','));
	skip_blanks(text);
	return days;
}

/* HH:MM or H:MM as minutes of the day, up to 24:00; -1: it is none. */
static int
take_time(const char **text)
{
	const char *at = *text;
	int			hours = 0;
	int			minutes;
	int			digits = 0;

	while (digits < 2 && is_digit(*at))
	{
		hours = hours * 10 + (*at++ - '0');
		digits++;
	}
	if (digits == 0 || at[0] != ':' || !is_digit(at[1]) || !is_digit(at[2]) || is_digit(at[3]))
		return -1;
	minutes = (at[1] - '0') * 10 + (at[2] - '0');
	if (minutes > 59 || hours * 60 + minutes > HONE_MINUTES_A_DAY)
		return -1;
	*text = at + 3;
	return hours * 60 + minutes;
}

static void
add_hours(HoneWindow *window, int days, int from, int to)
{
	for (int day = 0; day < 7; day++)
	{
		int			end = to > from ? to : to + HONE_MINUTES_A_DAY;

		if (!(days & (1 << day)))
			continue;
		for (int minute = from; minute < end; minute++)
		{
			int			bit = (day * HONE_MINUTES_A_DAY + minute) % MINUTES_A_WEEK;

			window->minutes[bit / 8] |= 1 << (bit % 8);
		}
	}
}

static const char *
take_part(const char **text, HoneWindow *window)
{
	int			days = ALL_DAYS;

	if (is_letter(**text))
		days = take_days(text);
	if (days == 0)
		return "Days are sun, mon, tue, wed, thu, fri and sat, as in \"sat,sun\" or \"mon-fri\".";
	do
	{
		int			from = take_time(text);
		int			to = from >= 0 && take(text, '-') ? take_time(text) : -1;

		if (from < 0 || to < 0)
			return "Hours are written as \"22:00-06:00\", from 00:00 to 24:00, after the days if there are any.";
		if (from == to || from == HONE_MINUTES_A_DAY)
			return "Hours must not end when they begin; all day is \"00:00-24:00\".";
		add_hours(window, days, from, to);
	} while (take(text, ','));
	return NULL;
}

const char *
hone_window_parse(const char *text, HoneWindow *window)
{
	memset(window, 0, sizeof(*window));
	skip_blanks(&text);
	if (*text == '\0')
	{
		memset(window, 0xFF, sizeof(*window));
		return NULL;
	}
	do
	{
		const char *wrong = take_part(&text, window);

		if (wrong != NULL)
			return wrong;
	} while (take(&text, ';') && *text != '\0');
	skip_blanks(&text);
	return *text == '\0' ? NULL : "Several windows are separated by \";\", as in \"sat,sun 00:00-24:00; mon-fri 22:00-06:00\".";
}

bool
hone_window_contains(const HoneWindow *window, TimestampTz at, const pg_tz * zone)
{
	pg_time_t	seconds = timestamptz_to_time_t(at);
	struct pg_tm *local = pg_localtime(&seconds, zone);
	int			bit;

	if (local == NULL)
		return true;
	bit = local->tm_wday * HONE_MINUTES_A_DAY + local->tm_hour * 60 + local->tm_min;
	return (window->minutes[bit / 8] & (1 << (bit % 8))) != 0;
}

/*
 * hone._in_tier_window(tier_window, at, zone)
 */
Datum
hone_in_tier_window(PG_FUNCTION_ARGS)
{
	HoneWindow	window;
	const char *wrong;
	char	   *zone_name;
	pg_tz	   *zone;

	hone_require_script();
	wrong = hone_window_parse(text_to_cstring(PG_GETARG_TEXT_PP(0)), &window);
	if (wrong != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid window of time"),
				 errhint("%s", wrong)));
	zone_name = text_to_cstring(PG_GETARG_TEXT_PP(2));
	zone = pg_tzset(zone_name);
	if (zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("time zone \"%s\" not recognized", zone_name),
				 errhint("See pg_timezone_names.")));
	PG_RETURN_BOOL(hone_window_contains(&window, PG_GETARG_TIMESTAMPTZ(1), zone));
}
