/*-------------------------------------------------------------------------
 *
 * error_text.c
 *	  Places in errors about a text of its own.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/error_text.h"

static void
note_place(void *arg)
{
	const HoneErrorText *place = arg;
	int			position = geterrposition();

	if (position > 0)
	{
		errposition(0);
		internalerrposition(Max(position - place->skip, 1));
		internalerrquery(place->text);
	}
	if (place->hint != NULL)
		errhint("%s", place->hint);
}

void
hone_error_text_begin(HoneErrorText *place, const char *text, const char *hint)
{
	place->text = text;
	place->hint = hint;
	place->skip = 0;
	place->callback.callback = note_place;
	place->callback.arg = place;
	place->callback.previous = error_context_stack;
	error_context_stack = &place->callback;
}

void
hone_error_text_end(HoneErrorText *place)
{
	error_context_stack = place->callback.previous;
}

List *
hone_parse(const char *text, RawParseMode mode, const char *hint)
{
	HoneErrorText place;
	List	   *parsed;

	hone_error_text_begin(&place, text, hint);
	parsed = raw_parser(text, mode);
	hone_error_text_end(&place);
	return parsed;
}
