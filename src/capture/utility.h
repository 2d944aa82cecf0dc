/*-------------------------------------------------------------------------
 *
 * utility.h
 *	  What the executor's hooks need of the utility hook. Private to capture/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CAPTURE_UTILITY_H
#define HONE_CAPTURE_UTILITY_H

#include "nodes/parsenodes.h"
#include "parser/parse_node.h"

/*
 * A query inside a utility statement (DECLARE, EXPLAIN, ...) does not know
 * where it stands in the source: give it the place of that statement.
 */
extern void hone_utility_locate(ParseState *pstate, Query *query);

#endif							/* HONE_CAPTURE_UTILITY_H */
