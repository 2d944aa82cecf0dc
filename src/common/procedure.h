/*-------------------------------------------------------------------------
 *
 * procedure.h
 *	  Procedures in C that commit between their steps.
 *
 * Between hone_procedure_begin and hone_procedure_end SPI is connected and
 * the current memory context survives the end of a transaction. One such
 * procedure runs at a time in a session: they are refused inside functions,
 * and call none of each other.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_PROCEDURE_H
#define HONE_PROCEDURE_H

#include "fmgr.h"

#include "common/hone.h"

/*
 * Connect to SPI for a procedure called with fcinfo. Raises 2D000, with a
 * hint that names 'name', where the caller's transaction cannot be ended.
 * Switches to a memory context that lives until hone_procedure_end.
 */
extern void hone_procedure_begin(FunctionCallInfo fcinfo, const char *name);

/*
 * Commit and start the next transaction, with no snapshot set. A changed role
 * or security context must have been put back.
 */
extern void hone_procedure_commit(void);

/*
 * After an error was caught, copied and flushed: abort and start the next
 * transaction, whatever the code that threw had left open.
 */
extern void hone_procedure_rollback(void);

/*
 * In a PG_CATCH block: write the error to the server log, with 'what' in
 * front, and leave its transaction as hone_procedure_rollback does.
 */
extern void hone_procedure_report(const char *what);

/* Disconnect, back in the memory context of hone_procedure_begin's caller. */
extern void hone_procedure_end(void);

/* The memory context that hone_procedure_begin switched to. */
extern MemoryContext hone_procedure_context(void);

#endif							/* HONE_PROCEDURE_H */
