/*-------------------------------------------------------------------------
 *
 * archive_text.h
 *	  Rows as COPY writes them, and the settings that make their text exact.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_ARCHIVE_TEXT_H
#define HONE_LIFECYCLE_ARCHIVE_TEXT_H

#include "access/tupdesc.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"

#include "common/hone.h"

/*
 * lc_monetary while an archive is written: every server has it, and money
 * comes back exactly where it is read under the same.
 */
#define HONE_ARCHIVE_MONETARY	"C"

typedef struct HoneArchiveSetting
{
	const char *name;
	const char *value;
} HoneArchiveSetting;

/* What is pinned, beside lc_monetary; closed by a NULL name. */
extern const HoneArchiveSetting hone_archive_settings[];

/*
 * Pin the settings until AtEOXact_GUC(false, level) or an abort, and return
 * the level. Raises 22023 where the server has no such lc_monetary.
 */
extern int	hone_archive_pin_settings(const char *lc_monetary);

/* Is the column part of an archive: neither dropped nor generated? */
extern bool hone_archive_has_column(Form_pg_attribute column);

typedef struct HoneArchiveText HoneArchiveText;

/*
 * For rows of this descriptor. Lives in the current memory context, with a
 * context of its own for what a row needs. Output functions run as the
 * current user.
 */
extern HoneArchiveText *hone_archive_text_begin(TupleDesc desc);

/*
 * Append one row with its newline, in the server encoding, as COPY ... TO in
 * text format would print it. Raises 54000 where the buffer would pass 1 GB,
 * as COPY does.
 */
extern void hone_archive_text_row(HoneArchiveText *text, TupleTableSlot *slot,
								  StringInfo out);

extern void hone_archive_text_end(HoneArchiveText *text);

#endif							/* HONE_LIFECYCLE_ARCHIVE_TEXT_H */
