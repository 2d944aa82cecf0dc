/*-------------------------------------------------------------------------
 *
 * saved_plan.h
 *	  Statements that a session prepares once.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_SAVED_PLAN_H
#define HONE_BATCH_SAVED_PLAN_H

#include "executor/spi.h"

#include "common/hone.h"

/*
 * The plan of this statement with parameters of these types, with SPI
 * connected. It is kept for the session, or when too many are, for as long as
 * SPI is connected: never to be freed by the caller.
 */
extern SPIPlanPtr hone_saved_plan(const char *sql, int nargs, Oid *types,
								  int cursor_options);

/*
 * The same for one of several plans of this text. A kept plan does not notice
 * that a name in it stands for another table: one that is made later, in a
 * schema that comes first in the search_path. So 'mark' says what it stands for.
 */
extern SPIPlanPtr hone_saved_plan_marked(const char *sql, uint64 mark, int nargs,
										 Oid *types, int cursor_options);

/*
 * Run it until there are 'most' rows (0: all), which go to 'dest', or with NULL
 * to SPI_tuptable. Returns how many rows were processed.
 */
extern uint64 hone_saved_plan_run(SPIPlanPtr plan, int nargs, Oid *types,
								  Datum *values, bool *nulls, bool read_only,
								  uint64 most, DestReceiver *dest);

#endif							/* HONE_BATCH_SAVED_PLAN_H */
