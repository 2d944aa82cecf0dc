/*-------------------------------------------------------------------------
 *
 * toplevel.h
 *	  Commands that PostgreSQL only allows outside a transaction block
 *	  (VACUUM, DETACH CONCURRENTLY, CREATE INDEX CONCURRENTLY), run in a
 *	  background worker of their own.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TOPLEVEL_H
#define HONE_TOPLEVEL_H

#include "common/hone.h"

#define HONE_TOPLEVEL_SQL_MAX	2048
#define HONE_TOPLEVEL_ERR_MAX	512

/*
 * Run one command in database dbid as role userid, as if that had connected,
 * and wait for its end. What the command calls of the role's code has the
 * role's rights and no way to others. The role need not be able to log in.
 *
 * sql: one command, at most HONE_TOPLEVEL_SQL_MAX - 1 bytes, with every name
 * schema-qualified (search_path is pg_catalog there). lock_timeout_ms: for
 * the command's locks of tables, which others queue behind, 0 = wait;
 * patience_ms: for each transaction whose end it waits for, if that is longer.
 * Returns NULL when it succeeded, else what went wrong (palloc'd), also when
 * no worker slot was free; *sqlstate is that of the command's error, or 0
 * (57014 when a lock of a table took too long and patience_ms is longer).
 * Throws only on query cancel. The caller must hold no lock, and no snapshot,
 * that the command could wait for.
 */
extern char *hone_toplevel_run(Oid dbid, Oid userid, const char *sql,
							   int lock_timeout_ms, int patience_ms, int *sqlstate);

/*
 * Run one command as a client's statement in this background worker, which
 * must be outside a transaction. Throws what the command throws, inside its
 * transaction.
 */
extern void hone_toplevel_execute(const char *sql);

#endif							/* HONE_TOPLEVEL_H */
