/*-------------------------------------------------------------------------
 *
 * texts.h
 *	  Keeping query texts. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_TEXTS_H
#define HONE_STATS_TEXTS_H

#include "common/record.h"
#include "stats/shared.h"

/* After parse analysis: keep the text if this query has none yet. */
extern void hone_texts_analyzed(ParseState *pstate, Query *query,
								JumbleState *jstate);

/*
 * The same before a utility statement, and after any finished call, for what
 * was analysed without being observed.
 */
extern void hone_texts_seen(const HoneRecord *record);

/*
 * Where a record's statement stands in its source, without what else was sent
 * with it and without PREPARE or DECLARE. False when it has no text.
 */
extern bool hone_texts_statement(const HoneRecord *record, const char **text,
								 int *length);

#endif							/* HONE_STATS_TEXTS_H */
