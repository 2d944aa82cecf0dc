/*-------------------------------------------------------------------------
 *
 * batch.c
 *	  Rows to a batch's stream, and back to vectors of datums.
 *
 * Knows tuple descriptors and datums; how the stream lies in the TOAST table
 * is store.c's, how a column becomes bytes is codec.c's.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/partition.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"

#include "tiered/batch.h"
#include "tiered/defaults.h"
#include "tiered/detail.h"

struct HoneBatchReader
{
	HoneStore  *store;
	Snapshot	snapshot;
	const HoneBatchEntry *entry;
	MemoryContext context;
	HoneColumnDetail *details;
	HoneColumnReader **columns; /* opened on first use */
	HoneDefault *defaults;		/* of all of the table's columns; or NULL */
};

HoneColumnShape
hone_column_shape(Form_pg_attribute attribute)
{
	HoneColumnShape shape;

	shape.typid = getBaseType(attribute->atttypid);
	shape.typlen = attribute->attlen;
	shape.typbyval = attribute->attbyval;
	shape.typalign = attribute->attalign;
	return shape;
}

AttrNumber
hone_key_attribute(Relation rel)
{
	TupleDesc	desc = RelationGetDescr(rel);
	AttrNumber	integer = 0;

	if (rel->rd_rel->relispartition)
	{
		Oid			parent_oid = get_partition_parent(RelationGetRelid(rel), true);
		Relation	parent = try_relation_open(parent_oid, AccessShareLock);

		if (parent != NULL)
		{
			PartitionKey key = RelationGetPartitionKey(parent);
			char	   *name = NULL;

			if (key != NULL && key->partnatts == 1 && key->partattrs[0] > 0)
				name = get_attname(parent_oid, key->partattrs[0], true);
			relation_close(parent, NoLock);
			if (name != NULL)
			{
				AttrNumber	attnum = get_attnum(RelationGetRelid(rel), name);

				if (attnum > 0 &&
					hone_key_type(TupleDescAttr(desc, attnum - 1)->atttypid))
					return attnum;
			}
		}
	}

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (attribute->attisdropped || !hone_key_type(attribute->atttypid))
			continue;
		if (hone_time_type(attribute->atttypid))
			return i + 1;
		if (integer == 0)
			integer = i + 1;
	}
	return integer;
}

HoneBatchBuilder *
hone_builder_create(Relation rel)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "hone batch builder",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HoneBatchBuilder *builder = palloc0(sizeof(HoneBatchBuilder));
	int			natts = RelationGetDescr(rel)->natts;

	builder->rel = rel;
	builder->context = context;
	builder->values = palloc(natts * sizeof(Datum *));
	builder->isnull = palloc(natts * sizeof(bool *));
	for (int i = 0; i < natts; i++)
	{
		builder->values[i] = palloc(HONE_BATCH_ROWS * sizeof(Datum));
		builder->isnull[i] = palloc(HONE_BATCH_ROWS * sizeof(bool));
	}
	builder->tids = palloc(HONE_BATCH_ROWS * sizeof(ItemPointerData));
	MemoryContextSwitchTo(old);
	return builder;
}

bool
hone_builder_full(const HoneBatchBuilder *builder)
{
	return builder->nrows >= HONE_BATCH_ROWS ||
		builder->raw_bytes >= HONE_BATCH_RAW_BYTES;
}

/*
 * Copy the row of slot, detoasted, into the builder.
 */
void
hone_builder_add(HoneBatchBuilder *builder, TupleTableSlot *slot)
{
	TupleDesc	desc = RelationGetDescr(builder->rel);
	MemoryContext old = MemoryContextSwitchTo(builder->context);
	int			row = builder->nrows;

	slot_getallattrs(slot);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Datum		value = slot->tts_values[i];

		builder->isnull[i][row] = slot->tts_isnull[i] || attribute->attisdropped;
		if (builder->isnull[i][row])
			continue;
		if (attribute->attbyval)
			builder->raw_bytes += attribute->attlen;
		else if (attribute->attlen == -1)
		{
			struct varlena *given = (struct varlena *) DatumGetPointer(value);
			struct varlena *plain = pg_detoast_datum_packed(given);

			if (plain == given)
				value = datumCopy(value, false, -1);
			else
				value = PointerGetDatum(plain);
			builder->raw_bytes += VARSIZE_ANY(DatumGetPointer(value));
		}
		else
		{
			value = datumCopy(value, false, attribute->attlen);
			builder->raw_bytes += datumGetSize(value, false, attribute->attlen);
		}
		builder->values[i][row] = value;
	}
	builder->tids[row] = slot->tts_tid;
	builder->nrows++;
	MemoryContextSwitchTo(old);
}

void
hone_builder_free(HoneBatchBuilder *builder)
{
	MemoryContextDelete(builder->context);
}

void
hone_builder_encode(HoneBatchBuilder *builder, int level, StringInfo stream,
					HoneBatchEntry *entry)
{
	TupleDesc	desc = RelationGetDescr(builder->rel);
	AttrNumber	key = hone_key_attribute(builder->rel);
	int32		detail_bytes;
	char	   *detail = hone_detail_create(builder->rel, builder->nrows, builder->values,
											builder->isnull, &detail_bytes);
	HoneColumnDetail *columns = hone_detail_columns(detail);
	Bitmapset  *indexed = hone_detail_indexed(builder->rel);

	memset(entry, 0, sizeof(*entry));
	if (key > 0 && columns[key - 1].has_range)
	{
		entry->key_attnum = key;
		entry->key_type = columns[key - 1].type;
		entry->key_min = columns[key - 1].min;
		entry->key_max = columns[key - 1].max;
	}
	appendBinaryStringInfo(stream, detail, detail_bytes);
	hone_detail_add_filters(detail, indexed,
							hone_time_type(entry->key_type) ? key : 0,
							builder->values, builder->isnull, stream);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		HoneColumnShape shape;

		if (attribute->attisdropped)
			continue;
		shape = hone_column_shape(attribute);
		columns[i].offset = stream->len;
		hone_codec_encode(stream, &shape, builder->nrows, builder->values[i],
						  builder->isnull[i], level);
		columns[i].length = stream->len - columns[i].offset;
		CHECK_FOR_INTERRUPTS();
	}
	entry->detail_crc = hone_detail_finish(detail, detail_bytes);
	memcpy(stream->data, detail, detail_bytes);

	entry->nrows = builder->nrows;
	entry->level = level;
	entry->natts = desc->natts;
	entry->raw_bytes = builder->raw_bytes;
	entry->stored_bytes = stream->len;
	entry->detail_bytes = detail_bytes;
	bms_free(indexed);
	pfree(detail);
}

HoneBatchReader *
hone_reader_open(HoneStore *store, Snapshot snapshot,
				 const HoneBatchEntry *entry)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "hone batch reader",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	HoneBatchReader *reader = palloc0(sizeof(HoneBatchReader));

	reader->store = store;
	reader->snapshot = snapshot;
	reader->entry = entry;
	reader->context = context;
	reader->details = hone_detail_columns(hone_detail_read(store, snapshot, entry));
	reader->columns = palloc0(entry->natts * sizeof(HoneColumnReader *));
	MemoryContextSwitchTo(old);
	return reader;
}

void
hone_reader_attach(HoneBatchReader *reader, HoneStore *store, Snapshot snapshot)
{
	reader->store = store;
	reader->snapshot = snapshot;
}

/* Where a column's blob lies, for the codec to fetch from. */
typedef struct BlobPlace
{
	HoneBatchReader *reader;
	HoneColumnDetail *detail;
} BlobPlace;

static void
fetch_blob(void *arg, Size offset, Size length, char *to)
{
	BlobPlace  *place = arg;
	HoneBatchReader *reader = place->reader;

	hone_store_read_stream(reader->store, reader->snapshot, reader->entry,
						   place->detail->offset + offset, length, to);
}

static HoneColumnReader *
open_column(HoneBatchReader *reader, int attribute)
{
	Form_pg_attribute form = TupleDescAttr(reader->store->desc, attribute);
	HoneColumnDetail *detail = &reader->details[attribute];
	HoneColumnShape shape = hone_column_shape(form);
	BlobPlace  *place = palloc(sizeof(BlobPlace));
	HoneBlobName name;

	if (detail->length <= 0 || detail->offset < reader->entry->detail_bytes ||
		detail->typlen != form->attlen || detail->typbyval != form->attbyval ||
		detail->typalign != form->attalign)
		hone_detail_report_damage(reader->store, reader->entry);

	/* the type of then: another one now is binary compatible with it */
	shape.typid = detail->type;
	name.table = pstrdup(RelationGetRelationName(reader->store->rel));
	name.batch = reader->entry->batch;
	name.column = pstrdup(NameStr(form->attname));
	place->reader = reader;
	place->detail = detail;
	return hone_codec_open_lazy(&name, &shape, reader->entry->nrows,
								detail->length, fetch_blob, place);
}

static HoneDefault *
default_of(HoneBatchReader *reader, int attribute)
{
	MemoryContext old = MemoryContextSwitchTo(reader->context);

	if (reader->defaults == NULL)
		reader->defaults = palloc0(reader->store->desc->natts * sizeof(HoneDefault));
	if (!reader->defaults[attribute].known)
		hone_defaults_read(reader->store, reader->snapshot, attribute, &reader->defaults[attribute]);
	MemoryContextSwitchTo(old);
	return &reader->defaults[attribute];
}

int
hone_reader_vector(HoneBatchReader *reader, int attribute, int vector,
				   Datum *values, bool *isnull)
{
	TupleDesc	desc = reader->store->desc;
	int			nrows = Min(HONE_VECTOR_ROWS,
							reader->entry->nrows - vector * HONE_VECTOR_ROWS);
	MemoryContext old;

	if (TupleDescAttr(desc, attribute)->attisdropped ||
		attribute >= reader->entry->natts)
	{
		HoneDefault none = {.isnull = true};
		HoneDefault *given = &none;

		if (!TupleDescAttr(desc, attribute)->attisdropped)
			given = default_of(reader, attribute);
		for (int i = 0; i < nrows; i++)
		{
			values[i] = given->value;
			isnull[i] = given->isnull;
		}
		return nrows;
	}

	old = MemoryContextSwitchTo(reader->context);
	if (reader->columns[attribute] == NULL)
		reader->columns[attribute] = open_column(reader, attribute);
	nrows = hone_codec_read(reader->columns[attribute], vector, values, isnull);
	MemoryContextSwitchTo(old);
	return nrows;
}

void
hone_reader_close(HoneBatchReader *reader)
{
	for (int i = 0; i < reader->entry->natts; i++)
	{
		if (reader->columns[i] != NULL)
			hone_codec_close(reader->columns[i]);
	}
	MemoryContextDelete(reader->context);
}
