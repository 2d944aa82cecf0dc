/*-------------------------------------------------------------------------
 *
 * evidence.c
 *	  The evidence of a recommendation, written as JSON text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <math.h>

#include "utils/json.h"
#include "utils/memutils.h"

#include "advise/recommend.h"
#include "advise/rewrite.h"

#define HIDDEN_TEXT	"<insufficient privilege>"

void
hone_advice_set(HoneAdvice *advice, char **member, const char *fmt,...)
{
	MemoryContext old = MemoryContextSwitchTo(advice->context);
	StringInfoData text;

	initStringInfo(&text);
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, fmt);
		needed = appendStringInfoVA(&text, fmt, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&text, needed);
	}
	*member = text.data;

	MemoryContextSwitchTo(old);
}

static void
begin_member(HoneAdvice *advice, const char *name)
{
	if (advice->evidence.len > 0)
		appendStringInfoString(&advice->evidence, ", ");
	escape_json(&advice->evidence, name);
	appendStringInfoString(&advice->evidence, ": ");
}

void
hone_evidence_integer(HoneAdvice *advice, const char *name, int64 value)
{
	begin_member(advice, name);
	appendStringInfo(&advice->evidence, INT64_FORMAT, value);
}

void
hone_evidence_number(HoneAdvice *advice, const char *name, double value)
{
	begin_member(advice, name);
	if (isfinite(value))
		appendStringInfo(&advice->evidence, "%.3f", value);
	else
		appendStringInfoString(&advice->evidence, "null");
}

void
hone_evidence_text(HoneAdvice *advice, const char *name, const char *value)
{
	begin_member(advice, name);
	if (value)
		escape_json(&advice->evidence, value);
	else
		appendStringInfoString(&advice->evidence, "null");
}

void
hone_evidence_json(HoneAdvice *advice, const char *name, const char *json)
{
	begin_member(advice, name);
	appendStringInfoString(&advice->evidence, json);
}

void
hone_evidence_per_hour(HoneAdvice *advice, const HoneFinding *finding)
{
	double		hours = (finding->last_seen - finding->first_seen) / (double) USECS_PER_HOUR;

	hone_evidence_number(advice, "lost_ms_per_hour", finding->saving_ms / Max(hours, 1));
}

/* key='value',key='value' as a JSON object. */
static void
append_tags(StringInfo out, const char *tags)
{
	const char *p = tags;
	bool		first = true;

	appendStringInfoChar(out, '{');
	while (*p)
	{
		const char *equals = strchr(p, '=');
		const char *close;

		if (equals == NULL || equals[1] != '\'')
			break;
		close = strchr(equals + 2, '\'');
		if (close == NULL)
			break;
		if (!first)
			appendStringInfoString(out, ", ");
		first = false;
		escape_json(out, pnstrdup(p, equals - p));
		appendStringInfoString(out, ": ");
		escape_json(out, pnstrdup(equals + 2, close - equals - 2));
		p = close + 1;
		while (*p == ',' || *p == ' ')
			p++;
	}
	appendStringInfoChar(out, '}');
}

void
hone_evidence_sample(HoneAdvice *advice, const char *name,
					 const HoneSample *sample, const HoneReader *reader)
{
	StringInfoData json;
	const char *text = HIDDEN_TEXT;

	if (reader->texts && sample->truncated)
		text = "<too long>";

	else if (reader->texts)
		text = hone_rewrite_plain(sample->text, !reader->constants);

	initStringInfo(&json);
	appendStringInfo(&json, "{\"queryid\": " INT64_FORMAT ", \"query\": ",
					 (int64) sample->queryid);
	escape_json(&json, text);
	if (reader->texts && sample->application[0] != '\0')
	{
		appendStringInfoString(&json, ", \"application_name\": ");
		escape_json(&json, sample->application);
	}
	if (reader->texts && sample->tags[0] != '\0')
	{
		appendStringInfoString(&json, ", \"tags\": ");
		append_tags(&json, sample->tags);
	}
	appendStringInfoChar(&json, '}');
	hone_evidence_json(advice, name, json.data);
}
