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

#endif							/* HONE_STATS_TEXTS_H */
