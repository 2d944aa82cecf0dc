/*-------------------------------------------------------------------------
 *
 * detail.h
 *	  What a batch says of its columns: the first part of its stream.
 *
 * A header, one HoneColumnDetail an attribute, then for each attribute of a
 * type that orders as integers the least and greatest key of each vector.
 * After the detail come the Bloom filters (bloom.h), then the column blobs.
 *
 * A filter is made for the columns of the table's indexes, which are what rows
 * are looked up by, unless least and greatest key say as much: the column is
 * a dense integer, or a time that is the order key.
 *
 * A session keeps the details that it used last, up to hone.batch_cache: what
 * a batch says never changes. Whether it is there is asked each time.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_DETAIL_H
#define HONE_TIERED_DETAIL_H

#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"

#include "tiered/codec.h"
#include "tiered/condition.h"
#include "tiered/store.h"

/* Setting hone.batch_cache, in kB. */
extern int	hone_batch_cache_kb;

typedef struct HoneDetailHeader
{
	uint32		magic;
	uint32		crc;			/* CRC-32C of the rest of the detail */
	int32		natts;
	int32		nrows;
} HoneDetailHeader;

/* One attribute of the stream; length 0 = no blob (dropped). */
typedef struct HoneColumnDetail
{
	int64		offset;			/* from the start of the stream */
	int64		length;
	int64		min;			/* meaningful when has_range */
	int64		max;
	int64		bloom_offset;	/* from the start of the stream */
	int32		bloom_bytes;	/* 0: no filter */
	uint32		bloom_crc;
	Oid			bloom_hash;		/* the function */
	Oid			type;			/* a domain's base type */
	Oid			collation;
	int32		nulls;
	int32		vectors;		/* where in the detail the HoneKeyRanges are;
								 * 0: none */
	int16		typlen;
	char		typbyval;
	char		typalign;
	char		has_range;
	char		pad[7];
} HoneColumnDetail;

/* Keys of a vector; min > max: it has none. */
typedef struct HoneKeyRange
{
	int64		min;
	int64		max;
} HoneKeyRange;

static inline HoneColumnDetail *
hone_detail_columns(char *detail)
{
	return (HoneColumnDetail *) (detail + sizeof(HoneDetailHeader));
}

/* The columns (from 0) of the table's indexes. */
extern Bitmapset *hone_detail_indexed(Relation rel);

/*
 * A detail, palloc'd, for rows of the relation: types and ranges are filled
 * in, offsets not. Sets *bytes.
 */
extern char *hone_detail_create(Relation rel, int nrows, Datum **values,
								bool **isnull, int32 *bytes);

/*
 * Append the filters of these columns to the stream, whose detail is this.
 * time_key: attribute number of an order key that is a time, else 0.
 */
extern void hone_detail_add_filters(char *detail, const Bitmapset *columns,
									AttrNumber time_key, Datum **values,
									bool **isnull, StringInfo stream);

/* Seal it; returns what the directory row has to say of it. */
extern uint32 hone_detail_finish(char *detail, int32 bytes);

/* A copy, palloc'd and checked, of a batch's detail. */
extern char *hone_detail_read(HoneStore *store, Snapshot snapshot,
							  const HoneBatchEntry *entry);

/* All vectors of a batch; vectors are bits from the lowest on. */
#define HONE_ALL_VECTORS	PG_UINT32_MAX

/*
 * The vectors of the batch that may hold rows which satisfy all of the
 * conditions; 0: the batch holds none.
 */
extern uint32 hone_detail_match(HoneStore *store, Snapshot snapshot,
								const HoneBatchEntry *entry,
								const HoneCondition *conditions,
								int nconditions);

pg_noreturn extern void hone_detail_report_damage(HoneStore *store,
												  const HoneBatchEntry *entry);

#endif							/* HONE_TIERED_DETAIL_H */
