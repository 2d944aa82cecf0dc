/*-------------------------------------------------------------------------
 *
 * query.h
 *	  The query of hone.cached_query: may it be cached, and what is its key.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CACHE_QUERY_H
#define HONE_CACHE_QUERY_H

#include "executor/spi.h"

#include "cache/digest.h"

typedef struct HoneCachedQuery
{
	SPIPlanPtr	plan;			/* analysed and rewritten, not planned yet */
	List	   *queries;
	bool		session;		/* its result is this session's alone */
	bool		settings;		/* may ask who the client is */
	bool		clock;			/* asks when the transaction or statement
								 * began */
} HoneCachedQuery;

/*
 * Analyse the text, with SPI connected. Raises the errors that running it
 * would: of syntax, of names, and of privileges of the current role. Raises
 * others where it is no single SELECT that changes and locks nothing, and
 * calls no volatile function.
 */
extern void hone_cached_query_analyse(const char *text, HoneCachedQuery *query);

/*
 * Of this query, asked by the current role with the settings of this session
 * for a result with these tags. False when there is no memory for it.
 */
extern bool hone_cached_query_key(const HoneCachedQuery *query, const char *tags, Size size,
								  uint8 key[HONE_DIGEST_BYTES]);

#endif							/* HONE_CACHE_QUERY_H */
