/*-------------------------------------------------------------------------
 *
 * tiered.h
 *	  What others may ask of the tiered access method.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_H
#define HONE_TIERED_H

#include "utils/relcache.h"

#include "common/hone.h"

/* Defines settings, installs hooks. Called once from _PG_init. */
extern void hone_tiered_init(void);

/*
 * Ends the current transaction and starts the next one, with the caller's
 * role, search_path and security context set up again. Compressing calls it
 * between its steps, holding nothing.
 */
typedef void (*HoneTieredNextTransaction) (void *arg);

/*
 * How fast a run goes. pause is called between steps, holding no lock and no
 * snapshot, with the bytes that were read and written since its last call (of
 * rows as they are uncompressed, of batches as they are stored). It may sleep;
 * an error that it raises ends the run, and what was committed so far stays.
 * It is not to raise one of its own unless may_stop: else hardly more is left
 * than to give space back, for which no later run would come.
 *
 * A table of more than burst bytes is never written anew at once, but always
 * in steps: nothing can pause under the lock that the fast way holds.
 */
typedef struct HoneTieredPace
{
	void		(*pause) (int64 bytes, bool may_stop, void *arg);
	int64		burst;			/* 0: no limit */
} HoneTieredPace;

typedef struct HoneTieredResult
{
	int64		rows;			/* rows moved, also by a run that failed */
	int64		batches;		/* batches written or unfolded */
	int64		rewritten;		/* batches that were compressed again */
	int64		bytes_before;	/* total size with indexes, before */
	int64		bytes_after;	/* and after (space given back included); 0
								 * after an error */
	char	   *vacuum_error;	/* why space was not given back, or NULL;
								 * lives as long as the last transaction */
} HoneTieredResult;

/* How to compress; NULL where the defaults will do. */
typedef struct HoneTieredOptions
{
	int			level;			/* zstd level of new batches; 0 = default.
								 * From 10 (HONE_LEVEL_COLD) on they have
								 * larger frames, and batches of lower levels
								 * are written anew */
	const HoneTieredPace *pace; /* NULL: as fast as it goes */
} HoneTieredOptions;

/*
 * Fold all plain rows of one table or leaf partition into batches, and write
 * batches with dead rows, and small ones, anew: many short transactions, each through next_transaction. Must be called inside a
 * transaction, outside a transaction block, holding no lock on the relation;
 * returns inside a (new) transaction. Locks are waited for lock_timeout_ms
 * at the most.
 *
 * Errors: 42809 wrong kind of relation, 42501 not owner, 0A000 keys or
 * constraints it cannot fold yet, 55P03 lock not available: then everything
 * committed so far stays, each row exactly once, and a later call goes on.
 */
extern void hone_tiered_compress(Oid relid, const HoneTieredOptions *options,
								 int lock_timeout_ms,
								 HoneTieredNextTransaction next_transaction,
								 void *arg, HoneTieredResult *result);

/*
 * Remember with a table in which order its rows, and those of its partitions,
 * are compressed; '' forgets it. Raises 42501, 42601, 42703 or 42883.
 */
extern void hone_tiered_set_order(Oid relid, const char *text);

/* The way back: every compressed row a plain heap row again. */
extern void hone_tiered_decompress(Oid relid, int lock_timeout_ms,
								   HoneTieredNextTransaction next_transaction,
								   void *arg, HoneTieredResult *result);

/* Bytes of a table with all that belongs to it. */
extern int64 hone_total_size(Oid relid);

/*
 * Move one table or leaf partition, its TOAST table and all its indexes to
 * another tablespace, which may be the database's own. Others read and write
 * it meanwhile. Must be called, and returns, as hone_tiered_compress. False:
 * all of it is there.
 *
 * Errors: 42809 wrong kind of relation or a system table, 42501 not owner, or
 * may not create there, 42704 no such tablespace, 22023 pg_global, 0A000
 * temporary table or another access method, 55P03 lock not available: then
 * all of it stays where it is.
 */
extern bool hone_tiered_set_tablespace(Oid relid, Oid tablespace, int lock_timeout_ms,
									   HoneTieredNextTransaction next_transaction,
									   void *arg);

/* OID of the access method "tiered" in this database, or InvalidOid. */
extern Oid	hone_tiered_am_oid(void);

/* Raise the error that hone_tiered_compress would, or return. */
extern void hone_tiered_check_compressible(Relation rel);

#endif							/* HONE_TIERED_H */
