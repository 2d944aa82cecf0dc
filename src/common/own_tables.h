/*-------------------------------------------------------------------------
 *
 * own_tables.h
 *	  Statements on pg_hone's own tables, and the rows of a result.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_OWN_TABLES_H
#define HONE_OWN_TABLES_H

#include "common/hone.h"

/*
 * Run one statement as the owner of pg_hone's tables (owner.h), with SPI
 * connected. Returns SPI_processed; rows stay in SPI_tuptable.
 */
extern uint64 hone_own_run(const char *sql, int nargs, Oid *types, Datum *values,
						   const char *nulls);

/* The same with one parameter, an OID or a text. */
extern uint64 hone_own_run_oid(const char *sql, Oid oid);
extern uint64 hone_own_run_text(const char *sql, const char *text);

/*
 * Of the rows in SPI_tuptable, counted from 0, columns from 1. A text is NULL
 * where the value is, and palloc'd; a bigint 0, an OID InvalidOid. A Datum lives
 * as long as SPI's memory does.
 */
extern Datum hone_result_value(uint64 row, int column, bool *isnull);
extern char *hone_result_text(uint64 row, int column);
extern int64 hone_result_integer(uint64 row, int column);
extern Oid	hone_result_oid(uint64 row, int column);

#endif							/* HONE_OWN_TABLES_H */
