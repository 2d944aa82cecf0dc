/*-------------------------------------------------------------------------
 *
 * prepared.h
 *	  A batch that is read and encoded, and not yet written.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_PREPARED_H
#define HONE_TIERED_PREPARED_H

#include "tiered/batch.h"

/* A plain row: its place, and who put it there. */
typedef struct HonePlainRow
{
	ItemPointerData tid;
	TransactionId xmin;
} HonePlainRow;

/* A batch that is to be replaced. */
typedef struct HoneReplacedBatch
{
	HoneBatchEntry entry;
	int			ndead;
	uint8	   *dead;			/* HONE_DEAD_BYTES; as they were read */
} HoneReplacedBatch;

typedef struct HonePrepared
{
	MemoryContext context;		/* of its own */
	Oid			file;			/* the table's, when it was read */
	TupleDesc	desc;			/* its columns then */

	HoneBatchEntry entry;		/* no rows: nothing is left to write */
	StringInfoData stream;
	ItemPointerData *origins;	/* where its rows came from */
	const BlockNumber *pages;	/* of the TOAST table, for its chunks; or NULL */
	int			npages;

	/* what it takes the place of */
	HonePlainRow *rows;			/* in the order of their TIDs */
	int			nrows;
	HoneReplacedBatch *replaced;
	int			nreplaced;
} HonePrepared;

/* In a child of parent, which must outlive the transaction. */
extern HonePrepared *hone_prepared_create(MemoryContext parent, Relation rel);
extern void hone_prepared_free(HonePrepared *prepared);

/* Encode the rows of a builder, in their order. */
extern void hone_prepared_encode(HonePrepared *prepared, HoneBatchBuilder *builder, int level);

/* Whether the table still has the files and columns it had then. */
extern bool hone_prepared_fits(const HonePrepared *prepared, Relation rel);

/*
 * With EXCLUSIVE held: whether everything that the batch takes the place of is
 * still as it was read. No snapshot has been kept meanwhile: a row is the one
 * that was read when the same transaction put it there, since no transaction
 * can use a place twice.
 */
extern bool hone_prepared_still_true(const HonePrepared *prepared, Relation rel);

/* Then: put the batch in its place. */
extern void hone_prepared_write(HonePrepared *prepared, Relation rel);

#endif							/* HONE_TIERED_PREPARED_H */
