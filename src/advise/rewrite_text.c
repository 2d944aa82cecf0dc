/*-------------------------------------------------------------------------
 *
 * rewrite_text.c
 *	  Statements as texts: tokens looked for and replaced (see rewrite.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "parser/parser.h"
#include "parser/scanner.h"

#include "advise/rewrite.h"

/* The scanner's own token numbers, fixed for all parsers built on it. */
enum
{
	TOKEN_FCONST = 260,
	TOKEN_SCONST = 261,
	TOKEN_USCONST = 262,
	TOKEN_BCONST = 263,
	TOKEN_XCONST = 264,
	TOKEN_ICONST = 266,
	TOKEN_PARAM = 267
};

typedef struct TokenScan
{
	core_yy_extra_type extra;
	core_yyscan_t scanner;
	core_YYSTYPE value;
	int			location;		/* of the current token */
	int			token;
} TokenScan;

static void
scan_begin(TokenScan *scan, const char *text)
{
	scan->scanner = scanner_init(text, &scan->extra, &ScanKeywords,
								 ScanKeywordTokens);
	scan->extra.escape_string_warning = false;
}

static bool
scan_next(TokenScan *scan)
{
	scan->token = core_yylex(&scan->value, &scan->location, scan->scanner);
	return scan->token != 0;
}

/* Bytes of the current token: the scanner ends it with a zero byte. */
static int
scan_length(TokenScan *scan)
{
	return strlen(scan->extra.scanbuf + scan->location);
}

static bool
is_constant(int token)
{
	return (token >= TOKEN_FCONST && token <= TOKEN_XCONST) || token == TOKEN_ICONST;
}

int
hone_rewrite_last_param(const char *text)
{
	TokenScan	scan;
	int			max = 0;

	scan_begin(&scan, text);
	while (scan_next(&scan))
	{
		if (scan.token == TOKEN_PARAM)
			max = Max(max, scan.value.ival);
	}
	return max;
}

char *
hone_rewrite_plain(const char *text, bool mask)
{
	TokenScan	scan;
	StringInfoData out;
	int			end = 0;
	int			next = mask ? hone_rewrite_last_param(text) + 1 : 0;

	initStringInfo(&out);
	scan_begin(&scan, text);
	while (scan_next(&scan))
	{
		int			length = scan_length(&scan);

		if (scan.location > end && out.len > 0)
			appendStringInfoChar(&out, ' ');
		if (mask && is_constant(scan.token))
			appendStringInfo(&out, "$%d", next++);
		else
			appendBinaryStringInfo(&out, text + scan.location, length);
		end = scan.location + length;
	}
	return out.data;
}

char *
hone_rewrite_replace_param(const char *text, int number, const char *replacement)
{
	TokenScan	scan;
	StringInfoData out;
	int			end = 0;

	initStringInfo(&out);
	scan_begin(&scan, text);
	while (scan_next(&scan))
	{
		if (scan.token != TOKEN_PARAM || scan.value.ival != number)
			continue;
		appendBinaryStringInfo(&out, text + end, scan.location - end);
		appendStringInfoString(&out, replacement);
		end = scan.location + scan_length(&scan);
	}
	appendStringInfoString(&out, text + end);
	return out.data;
}

char *
hone_rewrite_renumber(const char *text)
{
	int			last = hone_rewrite_last_param(text);
	int			next = 1;

	for (int i = 1; i <= last; i++)
	{
		char	   *without = hone_rewrite_replace_param(text, i, "");

		if (strcmp(without, text) == 0)
			continue;			/* a gap */
		if (i != next)
			text = hone_rewrite_replace_param(text, i, psprintf("$%d", next));
		next++;
	}
	return pstrdup(text);
}

const char *
hone_rewrite_free_name(const char *text, const char *name)
{
	while (strstr(text, name) != NULL)
		name = psprintf("%s_", name);
	return name;
}

static bool
is_word(TokenScan *scan, const char *word)
{
	return scan_length(scan) == (int) strlen(word) &&
		pg_strcasecmp(scan->extra.scanbuf + scan->location, word) == 0;
}

int
hone_rewrite_find_word(const char *text, const char *word)
{
	TokenScan	scan;
	int			depth = 0;

	scan_begin(&scan, text);
	while (scan_next(&scan))
	{
		if (scan.token == '(')
			depth++;
		else if (scan.token == ')')
			depth--;
		else if (depth == 0 && is_word(&scan, word))
			return scan.location;
	}
	return -1;
}

int
hone_rewrite_find_closing(const char *text, int from, int *opening)
{
	TokenScan	scan;
	int			depth = 0;

	scan_begin(&scan, text);
	while (scan_next(&scan))
	{
		if (scan.location < from)
			continue;
		if (scan.token == '(' && depth++ == 0)
			*opening = scan.location;
		if (scan.token == ')' && --depth == 0)
			return scan.location;
	}
	return -1;
}
