/*-------------------------------------------------------------------------
 *
 * page_cursor.c
 *	  Cursors of pages: the keys of a row, signed.
 *
 * In letters that a URL may hold (base64url): a version, a mark of the list
 * that the row is in (query, order, parameters, database), the keys' texts,
 * and the first half of HMAC-SHA256 of all that. The secret is a row of
 * hone._page_secret, which only its owner reads. A cursor gives no rights and
 * hides nothing: who has it can read the keys, but not make another one.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "common/hmac.h"
#include "common/sha2.h"
#include "executor/spi.h"
#include "lib/stringinfo.h"

#include "batch/page_cursor.h"
#include "common/own_tables.h"

#define VERSION		1
#define KEY_TEXT	't'			/* and its bytes, closed by 0 */
#define KEY_NULL	'n'
#define LEAST		(1 + 2 * HONE_CURSOR_MARK)	/* bytes */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void
sign(const HoneCursorSeal *seal, const char *bytes, int length, uint8 *mark)
{
	uint8		digest[PG_SHA256_DIGEST_LENGTH];
	pg_hmac_ctx *context = pg_hmac_create(PG_SHA256);

	if (context == NULL ||
		pg_hmac_init(context, seal->secret, seal->secret_length) < 0 ||
		pg_hmac_update(context, (const uint8 *) bytes, length) < 0 ||
		pg_hmac_final(context, digest, sizeof(digest)) < 0)
	{
		pg_hmac_free(context);
		elog(ERROR, "could not sign a cursor");
	}
	pg_hmac_free(context);
	memcpy(mark, digest, HONE_CURSOR_MARK);
}

/* In a time that does not depend on where they differ. */
static bool
is_same_mark(const uint8 *a, const uint8 *b)
{
	uint8		differ = 0;

	for (int i = 0; i < HONE_CURSOR_MARK; i++)
		differ |= a[i] ^ b[i];
	return differ == 0;
}

void
hone_cursor_seal(HoneCursorSeal *seal, const char *bound)
{
	bool		isnull = true;
	Datum		secret = (Datum) 0;
	bytea	   *bytes;

	if (hone_own_run("SELECT secret FROM hone._page_secret", 0, NULL, NULL, NULL) == 1)
		secret = hone_result_value(0, 1, &isnull);
	bytes = isnull ? NULL : DatumGetByteaPP(secret);
	if (bytes == NULL || VARSIZE_ANY_EXHDR(bytes) < 16 ||
		VARSIZE_ANY_EXHDR(bytes) > sizeof(seal->secret))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the secret that signs cursors is missing"),
				 errhint("As the owner of the extension: TRUNCATE hone._page_secret; INSERT INTO hone._page_secret DEFAULT VALUES; cursors of before are refused then.")));
	seal->secret_length = VARSIZE_ANY_EXHDR(bytes);
	memcpy(seal->secret, VARDATA_ANY(bytes), seal->secret_length);
	SPI_freetuptable(SPI_tuptable);
	sign(seal, bound, strlen(bound), seal->list);
}

/* ------------------------------------------------------------------------
 * Bytes and letters
 * ------------------------------------------------------------------------
 */

static char *
to_letters(const char *bytes, int length)
{
	char	   *text = palloc(length * 4 / 3 + 4);
	int			used = 0;

	for (int i = 0; i < length; i += 3)
	{
		uint32		three = (uint8) bytes[i] << 16;

		if (i + 1 < length)
			three |= (uint8) bytes[i + 1] << 8;
		if (i + 2 < length)
			three |= (uint8) bytes[i + 2];
		text[used++] = letters[three >> 18 & 63];
		text[used++] = letters[three >> 12 & 63];
		if (i + 1 < length)
			text[used++] = letters[three >> 6 & 63];
		if (i + 2 < length)
			text[used++] = letters[three & 63];
	}
	text[used] = '\0';
	return text;
}

/*
 * False for anything that to_letters does not write. A last letter may say
 * more than the bytes have room for: that would be a second text for the same
 * bytes.
 */
static bool
from_letters(const char *text, StringInfo bytes)
{
	uint32		bits = 0;
	int			nbits = 0;

	initStringInfo(bytes);
	for (const char *c = text; *c; c++)
	{
		const char *letter = strchr(letters, *c);

		if (letter == NULL)
			return false;
		bits = bits << 6 | (uint32) (letter - letters);
		nbits += 6;
		if (nbits >= 8)
		{
			nbits -= 8;
			appendStringInfoCharMacro(bytes, (char) (bits >> nbits & 255));
		}
	}
	return nbits < 6 && (bits & ((1U << nbits) - 1)) == 0;
}

/* ------------------------------------------------------------------------
 * Cursors
 * ------------------------------------------------------------------------
 */

char *
hone_cursor_write(const HoneCursorSeal *seal, char **keys, int nkeys)
{
	StringInfoData bytes;
	uint8		mark[HONE_CURSOR_MARK];

	initStringInfo(&bytes);
	appendStringInfoChar(&bytes, VERSION);
	appendBinaryStringInfo(&bytes, (const char *) seal->list, HONE_CURSOR_MARK);
	for (int i = 0; i < nkeys; i++)
	{
		appendStringInfoChar(&bytes, keys[i] != NULL ? KEY_TEXT : KEY_NULL);
		if (keys[i] != NULL)
			appendBinaryStringInfo(&bytes, keys[i], strlen(keys[i]) + 1);
	}
	sign(seal, bytes.data, bytes.len, mark);
	appendBinaryStringInfo(&bytes, (const char *) mark, HONE_CURSOR_MARK);
	return to_letters(bytes.data, bytes.len);
}

static void
report_forged(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("this is no cursor of hone.page in this database, or it was changed"),
			 errhint("Pass on what a page gave as \"next\" or \"previous\", as it is. Cursors do not outlive a dump and restore: read the first page again.")));
}

char **
hone_cursor_read(const HoneCursorSeal *seal, const char *cursor, int nkeys)
{
	StringInfoData bytes;
	uint8		mark[HONE_CURSOR_MARK];
	char	  **keys = palloc0(nkeys * sizeof(char *));
	char	   *at;
	char	   *end;

	if (!from_letters(cursor, &bytes) || bytes.len < LEAST)
		report_forged();
	end = bytes.data + bytes.len - HONE_CURSOR_MARK;
	sign(seal, bytes.data, bytes.len - HONE_CURSOR_MARK, mark);
	if (!is_same_mark(mark, (uint8 *) end) || bytes.data[0] != VERSION)
		report_forged();
	if (!is_same_mark(seal->list, (uint8 *) bytes.data + 1))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the cursor belongs to another query, order or parameters"),
				 errhint("A cursor goes on in the list that its page is of: pass the same query, order_by and params.")));
	at = bytes.data + 1 + HONE_CURSOR_MARK;
	for (int i = 0; i < nkeys; i++)
	{
		if (at >= end)
			report_forged();
		if (*at++ == KEY_NULL)
			continue;
		keys[i] = at;
		at += strlen(at) + 1;
	}
	return keys;
}
