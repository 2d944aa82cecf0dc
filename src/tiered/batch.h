/*-------------------------------------------------------------------------
 *
 * batch.h
 *	  A batch: some thousands of rows turned into columns, as one stream.
 *
 * Stream: what the batch says of its columns, those of the table as it was
 * when the batch was written (detail.h), then the column blobs (codec.h). Both
 * directions are here: rows -> stream and stream -> vectors of datums.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_BATCH_H
#define HONE_TIERED_BATCH_H

#include "access/tupdesc.h"
#include "lib/stringinfo.h"

#include "tiered/codec.h"
#include "tiered/store.h"

/* A batch is closed at the first of these. */
#define HONE_BATCH_ROWS			10000
#define HONE_BATCH_RAW_BYTES	(INT64CONST(32) * 1024 * 1024)

/* Rows on their way into a batch; see hone_builder_create. */
typedef struct HoneBatchBuilder
{
	Relation	rel;
	MemoryContext context;		/* everything below, and the values */
	Datum	  **values;			/* [attribute][row] */
	bool	  **isnull;
	ItemPointerData *tids;		/* where each row came from */
	int			nrows;
	int64		raw_bytes;
} HoneBatchBuilder;

/* Allocates in a child of CurrentMemoryContext. */
extern HoneBatchBuilder *hone_builder_create(Relation rel);
extern void hone_builder_add(HoneBatchBuilder *builder, TupleTableSlot *slot);
extern bool hone_builder_full(const HoneBatchBuilder *builder);
extern void hone_builder_free(HoneBatchBuilder *builder);

/*
 * Append the batch's stream to 'stream' and fill in 'entry' except for what
 * the store assigns. level: zstd level.
 */
extern void hone_builder_encode(HoneBatchBuilder *builder, int level,
								StringInfo stream, HoneBatchEntry *entry);

/* What the codec is told of a column; a domain's values are its base type's. */
extern HoneColumnShape hone_column_shape(Form_pg_attribute attribute);

/* One batch being read; everything in a context of its own. */
typedef struct HoneBatchReader HoneBatchReader;

/* entry must stay valid while the reader is used. */
extern HoneBatchReader *hone_reader_open(HoneStore *store, Snapshot snapshot,
										 const HoneBatchEntry *entry);

/*
 * Let a reader that was kept go on: the store it was opened with is closed,
 * this one is of the same table, whose columns are as they were.
 */
extern void hone_reader_attach(HoneBatchReader *reader, HoneStore *store,
							   Snapshot snapshot);

/*
 * Values of one attribute (0-based) for the rows of a vector; returns how
 * many rows. By-reference datums stay valid until the next call for the same
 * attribute. Attributes younger than the batch have their default, dropped
 * ones are NULL.
 */
extern int	hone_reader_vector(HoneBatchReader *reader, int attribute,
							   int vector, Datum *values, bool *isnull);
extern void hone_reader_close(HoneBatchReader *reader);

/*
 * The attribute by whose range batches are pruned: the partition key, else
 * the first date or time, else the first integer. 0 = none.
 */
extern AttrNumber hone_key_attribute(Relation rel);

#endif							/* HONE_TIERED_BATCH_H */
