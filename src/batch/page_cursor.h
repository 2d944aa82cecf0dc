/*-------------------------------------------------------------------------
 *
 * page_cursor.h
 *	  Cursors of pages: the keys of a row, signed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_PAGE_CURSOR_H
#define HONE_BATCH_PAGE_CURSOR_H

#include "common/hone.h"

#define HONE_CURSOR_MARK	16	/* bytes of a signature that are kept */

/* What signs the cursors of one query and order. */
typedef struct HoneCursorSeal
{
	uint8		secret[64];
	int			secret_length;
	uint8		list[HONE_CURSOR_MARK]; /* stands for query and order */
} HoneCursorSeal;

/*
 * Read the secret of this database, with SPI connected, and bind it to what
 * this text says.
 */
extern void hone_cursor_seal(HoneCursorSeal *seal, const char *bound);

/* A cursor of a row's keys, as texts; NULL stands for itself. */
extern char *hone_cursor_write(const HoneCursorSeal *seal, char **keys, int nkeys);

/*
 * And back. Raises an error unless it was written with this seal, for so many
 * keys.
 */
extern char **hone_cursor_read(const HoneCursorSeal *seal, const char *cursor, int nkeys);

#endif							/* HONE_BATCH_PAGE_CURSOR_H */
