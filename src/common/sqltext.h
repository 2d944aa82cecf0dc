/*-------------------------------------------------------------------------
 *
 * sqltext.h
 *	  Cutting SQL text into tokens and taking values and comments out of it.
 *
 * The server's scanner reports errors and depends on settings that may have
 * changed since the text was parsed; these functions never throw, allocate
 * nothing and accept any bytes.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_SQLTEXT_H
#define HONE_SQLTEXT_H

#include "common/hone.h"

typedef enum HoneSqlToken
{
	HONE_SQL_END,
	HONE_SQL_SPACE,
	HONE_SQL_COMMENT,
	HONE_SQL_CONSTANT,			/* number or string, any quoting */
	HONE_SQL_PARAM,				/* $n */
	HONE_SQL_WORD,				/* keyword or plain identifier */
	HONE_SQL_NAME,				/* "quoted identifier" */
	HONE_SQL_OTHER				/* one byte of anything else */
} HoneSqlToken;

/* A constant's place, in bytes from the start of the text. */
typedef struct HoneSqlConstant
{
	int			location;
	bool		squashed;		/* stands for a whole list (18 and later) */
} HoneSqlConstant;

/*
 * Kind of the token at text[pos] (pos < length), and in *end the offset just
 * behind it. HONE_SQL_END when pos >= length.
 */
extern HoneSqlToken hone_sql_token(const char *text, int length, int pos,
								   int *end);

/* True when the token at [pos, end) is this keyword (lower case given). */
extern bool hone_sql_is_word(const char *text, int pos, int end,
							 const char *word);

/* True when the text holds this word (lower case given), in any case. */
extern bool hone_sql_mentions(const char *text, int length, const char *word);

/*
 * Offset at which the statement proper starts in the text of PREPARE ... AS,
 * DECLARE ... FOR or EXPLAIN; 0 for any other statement.
 */
extern int	hone_sql_skip_prefix(const char *text, int length);

/*
 * Copy a statement without its comments (of SQLCommenter comments the keys
 * stay) and with constants replaced by $n, numbered from first_param.
 *
 * constants: their places, sorted ascending; NULL with nconstants = 0 keeps
 * all of them, NULL with nconstants = -1 replaces all of them and leaves no
 * comment key either.
 * Writes at most size bytes with a terminating zero, cut at a whole
 * character; returns the length. *replaced: how many constants went out.
 */
extern int	hone_sql_normalise(const char *text, int length,
							   const HoneSqlConstant *constants,
							   int nconstants, int first_param,
							   char *out, int size, int *replaced);

#endif							/* HONE_SQLTEXT_H */
