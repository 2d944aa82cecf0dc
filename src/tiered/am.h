/*-------------------------------------------------------------------------
 *
 * am.h
 *	  The access method "tiered": what the other files of tiered/ need of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_AM_H
#define HONE_TIERED_AM_H

#include "access/tableam.h"

#include "tiered/cursor.h"

/* True for a relation of access method "tiered". */
extern bool hone_is_tiered(Relation rel);

/* In rd_amcache, which a relcache invalidation clears. */
typedef struct HoneAmCache
{
	bool		open;
	LocalTransactionId attached_by; /* transaction that did (unique.c) */
	uint64		attached;		/* when its unique indexes were attached */
} HoneAmCache;

/*
 * True for a tiered relation that holds batches or may come to hold them
 * without a stronger lock than readers': see switch.c. Cached in rd_amcache.
 */
extern bool hone_is_open(Relation rel);

/* Whether its routine is ours: hone_is_tiered() without a look at catalogs. */
extern bool hone_has_tiered_routine(Relation rel);

/*
 * Index and bitmap scans that begin on this relation find its plain rows for
 * a custom scan, which brings the compressed ones. InvalidOid but for the
 * moment in which such a scan begins.
 */
extern Oid	hone_wrapped_relation;

/* Raise the error for a plan that would miss compressed rows. */
pg_noreturn extern void hone_report_index_scan(Relation rel);

/* Raise the error for a statement that compressed rows do not take yet. */
extern void hone_refuse_compressed(Relation rel, const char *action);

/*
 * False when rel is not open. In a parallel operation as of the active
 * snapshot, else as of now.
 */
extern bool hone_read_totals(Relation rel, HoneStoreMeta *meta);

/* Rows of an open table's batches that are dead; cheap: estimated. */
extern int64 hone_dead_rows(Relation rel, bool cheap);

/* In rs_flags: this scan is a HoneTieredScan. Above all of PostgreSQL's bits. */
#define SO_HONE_TIERED	(1 << 24)

typedef struct HoneTieredScan
{
	TableScanDescData base;		/* must be first */
	TableScanDesc heap;			/* plain rows */
	HoneCursor *cursor;			/* compressed rows; NULL: none */
	bool		started;
	bool		in_batches;
	bool		analyze;
	Snapshot	analyze_snapshot;	/* registered, ANALYZE only */
	MemoryContext context;

	/* TABLESAMPLE: the current block; main blocks when it began */
	bool		sampling;
	BlockNumber sample_block;
	BlockNumber sample_main_blocks;

	/* ANALYZE, TABLESAMPLE: the current block's rows, by global number */
	int64		sample_rows;	/* rows per sample block of ANALYZE */
	int64		sample_next;
	int64		sample_end;
} HoneTieredScan;

static inline bool
hone_is_tiered_scan(TableScanDesc scan)
{
	return (scan->rs_flags & SO_HONE_TIERED) != 0;
}

/*
 * desc: of the slots to be filled. ALTER TABLE scans a table whose catalog
 * entry already says what its columns are going to be.
 */
extern void hone_scan_open_cursor(HoneTieredScan *scan, TupleDesc desc);

/* The cursor's row, as a heap tuple, into a slot of any kind. */
extern void hone_scan_store_compressed(HoneCursor *cursor, TupleTableSlot *slot);

#endif							/* HONE_TIERED_AM_H */
