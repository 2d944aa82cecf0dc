/*-------------------------------------------------------------------------
 *
 * sqltext.c
 *	  Cutting SQL text into tokens and taking values and comments out of it.
 *
 * A pure function of its arguments and standard_conforming_strings: no
 * allocation, no catalogs, no errors. Unterminated strings and comments end
 * with the text.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <ctype.h>

#include "mb/pg_wchar.h"
#include "parser/parser.h"
#include "parser/scansup.h"

#include "common/sqltext.h"

/* Where hone_sql_normalise() writes; full once something did not fit. */
typedef struct Sink
{
	char	   *out;
	int			used;
	int			size;			/* without the terminating zero */
	bool		full;
} Sink;

static inline bool
is_word_start(unsigned char c)
{
	return isalpha(c) || c == '_' || c >= 0x80;
}

static inline bool
is_word_part(unsigned char c)
{
	return is_word_start(c) || isdigit(c) || c == '$';
}

static int
skip_space(const char *text, int length, int pos)
{
	while (pos < length && scanner_isspace(text[pos]))
		pos++;
	return pos;
}

static int
skip_block_comment(const char *text, int length, int pos)
{
	int			depth = 0;

	while (pos < length)
	{
		if (pos + 1 < length && text[pos] == '/' && text[pos + 1] == '*')
		{
			depth++;
			pos += 2;
		}
		else if (pos + 1 < length && text[pos] == '*' && text[pos + 1] == '/')
		{
			pos += 2;
			if (--depth == 0)
				return pos;
		}
		else
			pos++;
	}
	return length;
}

static int
skip_line_comment(const char *text, int length, int pos)
{
	while (pos < length && text[pos] != '\n' && text[pos] != '\r')
		pos++;
	return pos;
}

/* From an opening quote to behind the closing one; doubled quotes stay in. */
static int
skip_quoted(const char *text, int length, int pos, bool backslash)
{
	char		quote = text[pos++];

	while (pos < length)
	{
		if (backslash && text[pos] == '\\')
			pos += 2;
		else if (text[pos] != quote)
			pos++;
		else if (pos + 1 < length && text[pos + 1] == quote)
			pos += 2;
		else
			return pos + 1;
	}
	return length;
}

/*
 * A string constant, with the pieces that follow on later lines: 'a' \n 'b'
 * is one constant, also with a comment at the end of the line.
 */
static int
skip_string(const char *text, int length, int pos, bool backslash)
{
	for (;;)
	{
		bool		newline = false;
		int			next;

		pos = skip_quoted(text, length, pos, backslash);
		for (next = pos; next < length;)
		{
			if (text[next] == '-' && next + 1 < length && text[next + 1] == '-')
				next = skip_line_comment(text, length, next);
			else if (scanner_isspace(text[next]))
				newline |= text[next] == '\n' || text[next] == '\r', next++;
			else
				break;
		}
		if (next >= length || text[next] != '\'' || !newline)
			return pos;
		pos = next;
	}
}

/* $tag$ ... $tag$; returns pos when no dollar quote starts there. */
static int
skip_dollar_quoted(const char *text, int length, int pos)
{
	int			tag_end = pos + 1;
	int			tag_length;

	if (tag_end < length && isdigit((unsigned char) text[tag_end]))
		return pos;
	while (tag_end < length && text[tag_end] != '$' &&
		   is_word_part((unsigned char) text[tag_end]))
		tag_end++;
	if (tag_end >= length || text[tag_end] != '$')
		return pos;
	tag_length = tag_end + 1 - pos;
	for (int end = tag_end + 1; end + tag_length <= length; end++)
		if (memcmp(text + end, text + pos, tag_length) == 0)
			return end + tag_length;
	return length;
}

static int
skip_number(const char *text, int length, int pos)
{
	if (text[pos] == '0' && pos + 2 < length &&
		strchr("xXoObB", text[pos + 1]) != NULL &&
		isxdigit((unsigned char) text[pos + 2]))
	{
		pos += 2;
		while (pos < length && (isxdigit((unsigned char) text[pos]) || text[pos] == '_'))
			pos++;
		return pos;
	}
	while (pos < length)
	{
		unsigned char c = text[pos];

		if (isdigit(c) || c == '_')
			pos++;
		else if (c == '.' && !(pos + 1 < length && text[pos + 1] == '.'))
			pos++;
		else if ((c == 'e' || c == 'E') && pos + 1 < length &&
				 (isdigit((unsigned char) text[pos + 1]) ||
				  ((text[pos + 1] == '-' || text[pos + 1] == '+') &&
				   pos + 2 < length && isdigit((unsigned char) text[pos + 2]))))
			pos += 2;
		else
			break;
	}
	return pos;
}

/*
 * A string with a letter in front: E'', B'', X'', U&''. Else pos. (The server
 * reads N'' as the word NCHAR and a plain string.)
 */
static int
skip_prefixed_string(const char *text, int length, int pos)
{
	unsigned char c = text[pos];

	if (pos + 1 < length && text[pos + 1] == '\'' && strchr("eEbBxX", c))
		return skip_string(text, length, pos + 1, c == 'e' || c == 'E');
	if ((c == 'u' || c == 'U') && pos + 2 < length && text[pos + 1] == '&' &&
		text[pos + 2] == '\'')
		return skip_string(text, length, pos + 2, false);
	return pos;
}

HoneSqlToken
hone_sql_token(const char *text, int length, int pos, int *end)
{
	unsigned char c;
	unsigned char next;

	*end = pos;
	if (pos >= length)
		return HONE_SQL_END;
	c = text[pos];
	next = pos + 1 < length ? text[pos + 1] : '\0';

	if (scanner_isspace(c))
	{
		*end = skip_space(text, length, pos);
		return HONE_SQL_SPACE;
	}
	if (c == '-' && next == '-')
	{
		*end = skip_line_comment(text, length, pos);
		return HONE_SQL_COMMENT;
	}
	if (c == '/' && next == '*')
	{
		*end = skip_block_comment(text, length, pos);
		return HONE_SQL_COMMENT;
	}
	if (c == '\'')
	{
		*end = Min(length, skip_string(text, length, pos, !standard_conforming_strings));
		return HONE_SQL_CONSTANT;
	}
	if (c == '"')
	{
		*end = skip_quoted(text, length, pos, false);
		return HONE_SQL_NAME;
	}
	if (isdigit(c) || (c == '.' && isdigit(next)))
	{
		*end = skip_number(text, length, pos);
		return HONE_SQL_CONSTANT;
	}
	if (c == '$')
	{
		*end = pos + 1;
		if (isdigit(next))
		{
			while (*end < length && isdigit((unsigned char) text[*end]))
				(*end)++;
			return HONE_SQL_PARAM;
		}
		*end = skip_dollar_quoted(text, length, pos);
		if (*end > pos)
			return HONE_SQL_CONSTANT;
		*end = pos + 1;
		return HONE_SQL_OTHER;
	}
	if (is_word_start(c))
	{
		*end = Min(length, skip_prefixed_string(text, length, pos));
		if (*end > pos)
			return HONE_SQL_CONSTANT;
		while (*end < length && is_word_part((unsigned char) text[*end]))
			(*end)++;
		return HONE_SQL_WORD;
	}
	*end = pos + 1;
	return HONE_SQL_OTHER;
}

bool
hone_sql_is_word(const char *text, int pos, int end, const char *word)
{
	int			length = strlen(word);

	return end - pos == length && pg_strncasecmp(text + pos, word, length) == 0;
}

bool
hone_sql_mentions(const char *text, int length, const char *word)
{
	int			word_length = strlen(word);

	for (int pos = 0; pos + word_length <= length; pos++)
		if (pg_tolower((unsigned char) text[pos]) == (unsigned char) word[0] &&
			pg_strncasecmp(text + pos, word, word_length) == 0)
			return true;
	return false;
}

/* Next token that is neither space nor comment; *pos moves to its start. */
static HoneSqlToken
next_token(const char *text, int length, int *pos, int *end)
{
	HoneSqlToken token;

	for (;;)
	{
		token = hone_sql_token(text, length, *pos, end);
		if (token != HONE_SQL_SPACE && token != HONE_SQL_COMMENT)
			return token;
		*pos = *end;
	}
}

/* Offset behind the first 'word' outside parentheses, or 0. */
static int
skip_behind_word(const char *text, int length, int pos, const char *word)
{
	int			depth = 0;
	int			end;
	HoneSqlToken token;

	while ((token = next_token(text, length, &pos, &end)) != HONE_SQL_END)
	{
		if (token == HONE_SQL_OTHER && text[pos] == '(')
			depth++;
		else if (token == HONE_SQL_OTHER && text[pos] == ')')
			depth--;
		else if (depth == 0 && token == HONE_SQL_WORD &&
				 hone_sql_is_word(text, pos, end, word))
			return skip_space(text, length, end);
		pos = end;
	}
	return 0;
}

/* Offset behind EXPLAIN's options, of either syntax. */
static int
skip_explain_options(const char *text, int length, int pos)
{
	int			end;
	int			depth = 0;
	HoneSqlToken token = next_token(text, length, &pos, &end);

	if (token == HONE_SQL_OTHER && text[pos] == '(')
	{
		/* Also "EXPLAIN (SELECT ...)": a query there is kept. */
		int			inner = end;
		int			inner_end;

		if (next_token(text, length, &inner, &inner_end) == HONE_SQL_WORD &&
			(hone_sql_is_word(text, inner, inner_end, "select") ||
			 hone_sql_is_word(text, inner, inner_end, "with") ||
			 hone_sql_is_word(text, inner, inner_end, "values")))
			return pos;
		do
		{
			if (token == HONE_SQL_OTHER && text[pos] == '(')
				depth++;
			if (token == HONE_SQL_OTHER && text[pos] == ')')
				depth--;
			pos = end;
			if (depth == 0)
				break;
		} while ((token = next_token(text, length, &pos, &end)) != HONE_SQL_END);
		return skip_space(text, length, pos);
	}
	while (token == HONE_SQL_WORD &&
		   (hone_sql_is_word(text, pos, end, "analyze") ||
			hone_sql_is_word(text, pos, end, "analyse") ||
			hone_sql_is_word(text, pos, end, "verbose")))
	{
		pos = end;
		token = next_token(text, length, &pos, &end);
	}
	return pos;
}

int
hone_sql_skip_prefix(const char *text, int length)
{
	int			pos = 0;
	int			end;

	if (next_token(text, length, &pos, &end) != HONE_SQL_WORD)
		return 0;
	if (hone_sql_is_word(text, pos, end, "prepare"))
		return skip_behind_word(text, length, end, "as");
	if (hone_sql_is_word(text, pos, end, "declare"))
		return skip_behind_word(text, length, end, "for");
	if (hone_sql_is_word(text, pos, end, "explain"))
		return skip_explain_options(text, length, end);
	return 0;
}

static void
put(Sink *sink, const char *bytes, int length)
{
	if (sink->full || length <= 0)
		return;
	if (sink->used + length > sink->size)
	{
		length = pg_mbcliplen(bytes, length, sink->size - sink->used);
		sink->full = true;
	}
	memcpy(sink->out + sink->used, bytes, length);
	sink->used += length;
}

/*
 * One key='value' of a SQLCommenter comment at pos. Returns the offset behind
 * it, or -1; the key is [*key, *key_end).
 */
static int
comment_pair(const char *text, int end, int pos, int *key, int *key_end)
{
	pos = skip_space(text, end, pos);
	*key = pos;
	while (pos < end && (isalnum((unsigned char) text[pos]) ||
						 strchr("_.-%", text[pos]) != NULL) && text[pos] != '\0')
		pos++;
	*key_end = pos;
	if (pos == *key || pos + 1 >= end || text[pos] != '=' || text[pos + 1] != '\'')
		return -1;
	for (pos += 2; pos < end && text[pos] != '\''; pos++)
		if (text[pos] == '\\')
			pos++;
	return pos < end ? skip_space(text, end, pos + 1) : -1;
}

/* The keys of the comment [pos, end) if it is SQLCommenter's, else nothing. */
static void
put_comment_keys(Sink *sink, const char *text, int pos, int end)
{
	int			key;
	int			key_end;

	if (text[pos] != '/' || end - pos < 4 || text[end - 1] != '/')
		return;
	for (int pass = 0; pass < 2; pass++)
	{
		int			at = pos + 2;
		int			last = end - 2;

		for (;;)
		{
			bool		first = at == pos + 2;

			at = comment_pair(text, last, at, &key, &key_end);
			if (at < 0)
				return;
			if (pass == 1)
			{
				put(sink, first ? "/*" : ",", first ? 2 : 1);
				put(sink, text + key, key_end - key);
			}
			if (at >= last)
				break;
			if (text[at++] != ',')
				return;
		}
	}
	put(sink, "*/", 2);
}

/*
 * End of the constant at pos. The jumbled place of a negative number is that
 * of its sign; of a squashed list, that of its first element.
 */
static int
constant_end(const char *text, int length, int pos)
{
	int			end;
	HoneSqlToken token = hone_sql_token(text, length, pos, &end);

	if (token == HONE_SQL_OTHER && text[pos] == '-')
	{
		pos = end;
		next_token(text, length, &pos, &end);
	}
	return end;
}

/* Offset of the parenthesis or bracket that closes the list pos is in. */
static int
list_end(const char *text, int length, int pos)
{
	int			depth = 0;
	int			end;
	HoneSqlToken token;

	while ((token = hone_sql_token(text, length, pos, &end)) != HONE_SQL_END)
	{
		if (token == HONE_SQL_OTHER && strchr("([", text[pos]))
			depth++;
		if (token == HONE_SQL_OTHER && strchr(")]", text[pos]) && depth-- == 0)
			return pos;
		pos = end;
	}
	return length;
}

int
hone_sql_normalise(const char *text, int length,
				   const HoneSqlConstant *constants, int nconstants,
				   int first_param, char *out, int size, int *replaced)
{
	Sink		sink = {out, 0, size - 1, false};
	int			pos = 0;
	int			next = 0;		/* index into constants */

	*replaced = 0;
	while (pos < length && !sink.full)
	{
		int			end;
		HoneSqlToken token = hone_sql_token(text, length, pos, &end);
		bool		take = nconstants < 0 && token == HONE_SQL_CONSTANT;

		while (next < nconstants && constants[next].location < pos)
			next++;
		if (next < nconstants && constants[next].location == pos)
		{
			take = true;
			end = constants[next].squashed ? list_end(text, length, pos)
				: constant_end(text, length, pos);
			end = Max(end, pos + 1);
		}
		if (take)
		{
			char		param[40];

			snprintf(param, sizeof(param), "$%d%s", first_param + (*replaced)++,
					 next < nconstants && constants[next].squashed &&
					 constants[next].location == pos ? " /*, ... */" : "");
			put(&sink, param, strlen(param));
		}
		else if (token == HONE_SQL_COMMENT)
		{
			if (nconstants >= 0)
				put_comment_keys(&sink, text, pos, end);
		}
		else if (token != HONE_SQL_SPACE || sink.used > 0)
			put(&sink, text + pos, end - pos);
		pos = end;
	}
	while (sink.used > 0 && scanner_isspace(out[sink.used - 1]))
		sink.used--;
	out[sink.used] = '\0';
	return sink.used;
}
