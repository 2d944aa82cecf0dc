/*-------------------------------------------------------------------------
 *
 * defaults.c
 *	  Defaults of columns that were added after rows were compressed.
 *
 * ALTER TABLE ADD COLUMN with a default leaves rows as they are; the catalog
 * (pg_attribute.attmissingval) says what they have. VACUUM FULL and CLUSTER
 * make PostgreSQL forget it, since every row then has the column. Batches have
 * not: so each default is put beside them, as a column blob of one row after
 * the type's oid, in chunks as of a batch. Frozen, since older snapshots read
 * it too.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/tupdesc_details.h"
#include "access/xact.h"
#include "miscadmin.h"
#include "utils/rel.h"

#include "tiered/defaults.h"

/* chunk_seq: the attribute (0-based), then the chunk. */
#define CHUNK_BITS		16
#define MAX_CHUNKS		(1 << CHUNK_BITS)

#define ZSTD_LEVEL		3

static void
write_chunks(HoneStore *store, int attribute, const StringInfo bytes)
{
	int			chunk = 0;

	for (int offset = 0; offset < bytes->len; offset += HONE_CHUNK_BYTES)
	{
		ItemPointerData tid;

		CHECK_FOR_INTERRUPTS();
		if (chunk == MAX_CHUNKS)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("the default of column \"%s\" of table \"%s\" is too large to be kept for compressed rows",
							NameStr(TupleDescAttr(store->desc, attribute)->attname),
							RelationGetRelationName(store->rel)),
					 errhint("CALL hone.decompress() first.")));
		hone_store_insert_row(store, HONE_VALUE_DEFAULTS, attribute << CHUNK_BITS | chunk++,
							  bytes->data + offset, Min(HONE_CHUNK_BYTES, bytes->len - offset),
							  GetCurrentCommandId(true), HEAP_INSERT_FROZEN, &tid);
	}
}

void
hone_defaults_keep(HoneStore *store, TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		HoneColumnShape shape;
		StringInfoData bytes;
		Datum		value;
		bool		isnull;

		if (attribute->attisdropped || desc->constr == NULL ||
			desc->constr->missing == NULL || !desc->constr->missing[i].am_present)
			continue;
		value = getmissingattr(desc, i + 1, &isnull);
		if (attribute->attlen == -1)
			value = PointerGetDatum(PG_DETOAST_DATUM_PACKED(value));
		shape = hone_column_shape(attribute);
		initStringInfo(&bytes);
		appendBinaryStringInfo(&bytes, (HONE_STRINGINFO_BYTES *) & shape.typid, sizeof(Oid));
		hone_codec_encode(&bytes, &shape, 1, &value, &isnull, ZSTD_LEVEL);
		write_chunks(store, i, &bytes);
		pfree(bytes.data);
	}
}

static bool
read_chunks(HoneStore *store, Snapshot snapshot, int attribute, StringInfo bytes)
{
	int32		first = attribute << CHUNK_BITS;
	HoneStoreScan *scan = hone_store_begin_scan(store, snapshot, HONE_VALUE_DEFAULTS,
												first, first + MAX_CHUNKS - 1);
	HeapTuple	tuple;
	int			chunk = 0;

	while ((tuple = hone_store_next(scan)) != NULL)
	{
		int32		seq;
		int32		length;
		const char *data = hone_store_row_bytes(store, tuple, &seq, &length);

		CHECK_FOR_INTERRUPTS();
		if (seq != first + chunk++)
			hone_store_report_damage(store, "a column's default");
		appendBinaryStringInfo(bytes, data, length);
	}
	hone_store_end_scan(scan);
	return chunk > 0;
}

void
hone_defaults_read(HoneStore *store, Snapshot snapshot, int attribute,
				   HoneDefault *result)
{
	Form_pg_attribute form = TupleDescAttr(store->desc, attribute);
	HoneColumnShape shape = hone_column_shape(form);
	HoneBlobName name;
	StringInfoData bytes;

	result->known = true;
	result->value = getmissingattr(store->desc, attribute + 1, &result->isnull);
	if (!result->isnull || store->no_defaults)
		return;
	store->no_defaults = !hone_store_holds_any(store, snapshot, HONE_VALUE_DEFAULTS);
	if (store->no_defaults)
		return;
	initStringInfo(&bytes);
	if (!read_chunks(store, snapshot, attribute, &bytes))
	{
		pfree(bytes.data);
		return;
	}
	if (bytes.len <= (int) sizeof(Oid))
		hone_store_report_damage(store, "a column's default");
	memcpy(&shape.typid, bytes.data, sizeof(Oid));
	name.table = pstrdup(RelationGetRelationName(store->rel));
	name.batch = 0;
	name.column = pstrdup(NameStr(form->attname));

	/* stays open for as long as the value is used */
	hone_codec_read(hone_codec_open(&name, &shape, 1, bytes.data + sizeof(Oid), bytes.len - sizeof(Oid)),
					0, &result->value, &result->isnull);
}

void
hone_defaults_forget(HoneStore *store, Snapshot snapshot)
{
	hone_store_delete_rows(store, snapshot, HONE_VALUE_DEFAULTS, 0, PG_INT32_MAX);
}
