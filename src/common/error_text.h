/*-------------------------------------------------------------------------
 *
 * error_text.h
 *	  Places in errors about a text of its own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_ERROR_TEXT_H
#define HONE_ERROR_TEXT_H

#include "nodes/pg_list.h"
#include "parser/parser.h"

typedef struct HoneErrorText
{
	ErrorContextCallback callback;
	const char *text;
	const char *hint;			/* of each error, or NULL */
	int			skip;			/* characters that were put before it */
} HoneErrorText;

/*
 * From now on the place that an error has is one in this text, which an
 * argument held, and not in the user's statement; to be ended in the same
 * function. An error ends it.
 */
extern void hone_error_text_begin(HoneErrorText *place, const char *text,
								  const char *hint);
extern void hone_error_text_end(HoneErrorText *place);

/* Parse such a text as the server's grammar has it; hint: of each error, or NULL. */
extern List *hone_parse(const char *text, RawParseMode mode, const char *hint);

#endif							/* HONE_ERROR_TEXT_H */
