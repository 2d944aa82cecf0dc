/*-------------------------------------------------------------------------
 *
 * detail.c
 *	  What a batch says of its columns (detail.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "port/pg_crc32c.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "tiered/bloom.h"
#include "tiered/detail.h"

#define DETAIL_MAGIC	0x32544E48	/* "HNT2" */

static int
vector_count(int nrows)
{
	return (nrows + HONE_VECTOR_ROWS - 1) / HONE_VECTOR_ROWS;
}

static uint32
checksum(const char *data, Size length)
{
	pg_crc32c	crc;

	INIT_CRC32C(crc);
	COMP_CRC32C(crc, data, length);
	FIN_CRC32C(crc);
	return crc;
}

static uint32
detail_checksum(const char *detail, Size bytes)
{
	Size		skip = offsetof(HoneDetailHeader, natts);

	return checksum(detail + skip, bytes - skip);
}

void
hone_detail_report_damage(HoneStore *store, const HoneBatchEntry *entry)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("batch %d of compressed table \"%s\" is damaged",
					entry->batch, RelationGetRelationName(store->rel)),
			 errhint("Restore the table from a backup.")));
}

/* ------------------------------------------------------------------------
 * Writing
 * ------------------------------------------------------------------------
 */

Bitmapset *
hone_detail_indexed(Relation rel)
{
	Bitmapset  *columns = NULL;
	List	   *indexes = RelationGetIndexList(rel);
	ListCell   *lc;

	foreach(lc, indexes)
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		for (int i = 0; i < index->indnkeyatts; i++)
		{
			if (index->indkey.values[i] > 0)
				columns = bms_add_member(columns, index->indkey.values[i] - 1);
		}
		ReleaseSysCache(tuple);
	}
	list_free(indexes);
	return columns;
}

static void
set_ranges(HoneColumnDetail *column, HoneKeyRange *ranges, int nrows,
		   const Datum *values, const bool *isnull)
{
	for (int vector = 0; ranges != NULL && vector < vector_count(nrows); vector++)
	{
		ranges[vector].min = PG_INT64_MAX;
		ranges[vector].max = PG_INT64_MIN;
	}
	for (int row = 0; row < nrows; row++)
	{
		HoneKeyRange *range;
		int64		key;

		if (isnull[row])
		{
			column->nulls++;
			continue;
		}
		if (ranges == NULL)
			continue;
		key = hone_key_value(column->type, values[row]);
		range = &ranges[row / HONE_VECTOR_ROWS];
		range->min = Min(range->min, key);
		range->max = Max(range->max, key);
		column->min = column->has_range ? Min(column->min, key) : key;
		column->max = column->has_range ? Max(column->max, key) : key;
		column->has_range = true;
	}
}

char *
hone_detail_create(Relation rel, int nrows, Datum **values, bool **isnull,
				   int32 *bytes)
{
	TupleDesc	desc = RelationGetDescr(rel);
	int32		ranges_at = sizeof(HoneDetailHeader) + desc->natts * sizeof(HoneColumnDetail);
	int32		ranges_bytes = vector_count(nrows) * sizeof(HoneKeyRange);
	char	   *detail = palloc0(ranges_at + (Size) desc->natts * ranges_bytes);
	HoneDetailHeader *header = (HoneDetailHeader *) detail;

	header->magic = DETAIL_MAGIC;
	header->natts = desc->natts;
	header->nrows = nrows;
	*bytes = ranges_at;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		HoneColumnDetail *column = &hone_detail_columns(detail)[i];
		HoneKeyRange *ranges = NULL;

		if (attribute->attisdropped)
			continue;
		column->type = getBaseType(attribute->atttypid);
		column->collation = attribute->attcollation;
		column->typlen = attribute->attlen;
		column->typbyval = attribute->attbyval;
		column->typalign = attribute->attalign;
		if (hone_key_type(column->type))
		{
			column->vectors = *bytes;
			ranges = (HoneKeyRange *) (detail + *bytes);
			*bytes += ranges_bytes;
		}
		set_ranges(column, ranges, nrows, values[i], isnull[i]);
	}
	return detail;
}

/*
 * Whether least and greatest key of the batch tell as much as a filter would:
 * almost every key between them is there.
 */
static bool
is_dense(const HoneColumnDetail *column, int nrows)
{
	return column->has_range &&
		(uint64) column->max - (uint64) column->min < (uint64) nrows + nrows / 4;
}

#define ST_SORT sort_hashes
#define ST_ELEMENT_TYPE uint64
#define ST_COMPARE(a, b) (*(a) < *(b) ? -1 : *(a) > *(b))
#define ST_SCOPE static
#define ST_DEFINE
#include "lib/sort_template.h"

/*
 * Hash the values; returns how many different ones there are.
 */
static int
hash_values(HoneColumnDetail *column, int nrows, const Datum *values,
			const bool *isnull, uint64 *hashes)
{
	FmgrInfo	function;
	int			nhashes = 0;
	int			ndistinct = 0;

	fmgr_info(column->bloom_hash, &function);
	for (int row = 0; row < nrows; row++)
	{
		if (!isnull[row])
			hashes[nhashes++] =
				DatumGetUInt64(FunctionCall2Coll(&function, column->collation,
												 values[row], UInt64GetDatum(0)));
	}
	sort_hashes(hashes, nhashes);
	for (int i = 0; i < nhashes; i++)
	{
		if (i == 0 || hashes[i] != hashes[i - 1])
			hashes[ndistinct++] = hashes[i];
	}
	return ndistinct;
}

void
hone_detail_add_filters(char *detail, const Bitmapset *columns,
						AttrNumber time_key, Datum **values, bool **isnull,
						StringInfo stream)
{
	HoneDetailHeader *header = (HoneDetailHeader *) detail;
	uint64	   *hashes = palloc(header->nrows * sizeof(uint64));

	for (int i = 0; i < header->natts; i++)
	{
		HoneColumnDetail *column = &hone_detail_columns(detail)[i];
		int			nhashes;
		char	   *filter;

		if (!bms_is_member(i, columns) || column->nulls == header->nrows ||
			i + 1 == time_key || is_dense(column, header->nrows))
			continue;
		column->bloom_hash = hone_column_hash(column->type, column->collation);
		if (!OidIsValid(column->bloom_hash))
			continue;
		CHECK_FOR_INTERRUPTS();
		nhashes = hash_values(column, header->nrows, values[i], isnull[i], hashes);
		column->bloom_bytes = hone_bloom_bytes(nhashes);
		column->bloom_offset = stream->len;
		filter = palloc0(column->bloom_bytes);
		for (int hash = 0; hash < nhashes; hash++)
			hone_bloom_add(filter, column->bloom_bytes, hashes[hash]);
		column->bloom_crc = checksum(filter, column->bloom_bytes);
		appendBinaryStringInfo(stream, filter, column->bloom_bytes);
		pfree(filter);
	}
	pfree(hashes);
}

uint32
hone_detail_finish(char *detail, int32 bytes)
{
	HoneDetailHeader *header = (HoneDetailHeader *) detail;

	header->crc = detail_checksum(detail, bytes);
	return header->crc;
}

/* ------------------------------------------------------------------------
 * The cache
 * ------------------------------------------------------------------------
 */

/*
 * The checksum of the directory row covers that of the detail, so an entry
 * that is found is what would be read.
 */
typedef struct CacheKey
{
	Oid			toast_file;
	int32		batch;
	uint32		crc;
} CacheKey;

typedef struct CachedDetail
{
	CacheKey	key;			/* must be first */
	dlist_node	node;			/* last used first */
	Size		size;
	int32		natts;
	char	   *detail;
	char	  **filters;		/* one an attribute; NULL: not read yet */
} CachedDetail;

int			hone_batch_cache_kb = 8192;

static MemoryContext cache_context = NULL;
static HTAB *cache = NULL;
static dlist_head cache_used = DLIST_STATIC_INIT(cache_used);
static Size cache_size = 0;

static void
drop_cached(CachedDetail *cached)
{
	cache_size -= cached->size;
	dlist_delete(&cached->node);
	for (int i = 0; i < cached->natts; i++)
	{
		if (cached->filters[i] != NULL)
			pfree(cached->filters[i]);
	}
	pfree(cached->filters);
	pfree(cached->detail);
	hash_search(cache, &cached->key, HASH_REMOVE, NULL);
}

/*
 * Whether there is room for so many bytes more, after dropping what was used
 * longest ago, but not 'keep'.
 */
static bool
make_room(Size size, const CachedDetail *keep)
{
	Size		limit = (Size) hone_batch_cache_kb * 1024;

	while (cache_size + size > limit && !dlist_is_empty(&cache_used))
	{
		CachedDetail *last = dlist_container(CachedDetail, node, dlist_tail_node(&cache_used));

		if (last == keep)
			break;
		drop_cached(last);
	}
	return cache_size + size <= limit;
}

static CacheKey
cache_key(HoneStore *store, const HoneBatchEntry *entry)
{
	CacheKey	key;

	memset(&key, 0, sizeof(key));
	key.toast_file = store->toast->rd_rel->relfilenode;
	key.batch = entry->batch;
	key.crc = entry->crc;
	return key;
}

static CachedDetail *
find_cached(HoneStore *store, const HoneBatchEntry *entry)
{
	CacheKey	key = cache_key(store, entry);
	CachedDetail *cached;

	if (cache == NULL)
		return NULL;
	cached = hash_search(cache, &key, HASH_FIND, NULL);
	if (cached != NULL)
		dlist_move_head(&cache_used, &cached->node);
	return cached;
}

/*
 * Keep a copy of a detail that was just read; NULL when it has no place.
 */
static CachedDetail *
enter_cached(HoneStore *store, const HoneBatchEntry *entry, const char *detail)
{
	CacheKey	key = cache_key(store, entry);
	Size		filters_size = Max(entry->natts, 1) * sizeof(char *);
	Size		size = sizeof(CachedDetail) + entry->detail_bytes + filters_size;
	CachedDetail *cached;
	char	   *copy;
	char	  **filters;

	if (!make_room(size, NULL))
		return NULL;
	if (cache == NULL)
	{
		HASHCTL		control = {
			.keysize = sizeof(CacheKey),
			.entrysize = sizeof(CachedDetail)
		};

		if (cache_context == NULL)
			cache_context = AllocSetContextCreate(CacheMemoryContext, "hone batch cache",
												  ALLOCSET_DEFAULT_SIZES);
		control.hcxt = cache_context;
		cache = hash_create("hone batch cache", 64, &control,
							HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	copy = MemoryContextAlloc(cache_context, entry->detail_bytes);
	filters = MemoryContextAllocZero(cache_context, filters_size);
	memcpy(copy, detail, entry->detail_bytes);

	cached = hash_search(cache, &key, HASH_ENTER, NULL);
	cached->size = size;
	cached->natts = entry->natts;
	cached->detail = copy;
	cached->filters = filters;
	dlist_push_head(&cache_used, &cached->node);
	cache_size += size;
	return cached;
}

/* ------------------------------------------------------------------------
 * Reading
 * ------------------------------------------------------------------------
 */

/* Everything that says where something is. */
static bool
places_are_sound(char *detail, const HoneBatchEntry *entry)
{
	int32		ranges_bytes = vector_count(entry->nrows) * sizeof(HoneKeyRange);
	int32		ranges_at = sizeof(HoneDetailHeader) + entry->natts * sizeof(HoneColumnDetail);

	for (int i = 0; i < entry->natts; i++)
	{
		HoneColumnDetail *column = &hone_detail_columns(detail)[i];

		if (column->vectors != 0 &&
			(column->vectors < ranges_at || column->vectors % sizeof(int64) != 0 ||
			 column->vectors > entry->detail_bytes - ranges_bytes))
			return false;
		if (column->bloom_bytes != 0 &&
			(column->bloom_bytes < 0 || column->bloom_bytes % HONE_BLOOM_BLOCK_BYTES != 0 ||
			 column->bloom_offset < entry->detail_bytes ||
			 column->bloom_offset > entry->stored_bytes - column->bloom_bytes))
			return false;
	}
	return true;
}

static char *
read_detail(HoneStore *store, Snapshot snapshot, const HoneBatchEntry *entry)
{
	char	   *detail;
	HoneDetailHeader *header;

	if (entry->natts > store->desc->natts ||
		entry->detail_bytes < sizeof(HoneDetailHeader) + entry->natts * sizeof(HoneColumnDetail))
		hone_detail_report_damage(store, entry);

	detail = palloc(entry->detail_bytes);
	hone_store_read_stream(store, snapshot, entry, 0, entry->detail_bytes, detail);
	header = (HoneDetailHeader *) detail;
	if (header->magic != DETAIL_MAGIC || header->natts != entry->natts ||
		header->nrows != entry->nrows || header->crc != entry->detail_crc ||
		header->crc != detail_checksum(detail, entry->detail_bytes) ||
		!places_are_sound(detail, entry))
		hone_detail_report_damage(store, entry);
	return detail;
}

char *
hone_detail_read(HoneStore *store, Snapshot snapshot, const HoneBatchEntry *entry)
{
	CachedDetail *cached = find_cached(store, entry);
	char	   *detail;

	if (cached != NULL)
	{
		detail = palloc(entry->detail_bytes);
		memcpy(detail, cached->detail, entry->detail_bytes);
		return detail;
	}
	detail = read_detail(store, snapshot, entry);
	enter_cached(store, entry, detail);
	return detail;
}

/*
 * A column's filter; *temporary says whether the caller has to free it.
 */
static char *
read_filter(HoneStore *store, Snapshot snapshot, const HoneBatchEntry *entry,
			CachedDetail *cached, int attribute, HoneColumnDetail *column,
			bool *temporary)
{
	char	   *filter;

	*temporary = false;
	if (cached != NULL && cached->filters[attribute] != NULL)
		return cached->filters[attribute];

	filter = palloc(column->bloom_bytes);
	hone_store_read_stream(store, snapshot, entry, column->bloom_offset,
						   column->bloom_bytes, filter);
	if (column->bloom_crc != checksum(filter, column->bloom_bytes))
		hone_detail_report_damage(store, entry);
	if (cached != NULL && make_room(column->bloom_bytes, cached))
	{
		char	   *copy = MemoryContextAlloc(cache_context, column->bloom_bytes);

		memcpy(copy, filter, column->bloom_bytes);
		pfree(filter);
		cached->filters[attribute] = copy;
		cached->size += column->bloom_bytes;
		cache_size += column->bloom_bytes;
		return copy;
	}
	*temporary = true;
	return filter;
}

/* ------------------------------------------------------------------------
 * Matching
 * ------------------------------------------------------------------------
 */

/*
 * What the batch says of the condition's column; NULL when that column is
 * younger than the batch, or was another then.
 */
static HoneColumnDetail *
column_of(char *detail, const HoneBatchEntry *entry, const HoneCondition *condition)
{
	HoneColumnDetail *column;

	if (condition->attnum > entry->natts)
		return NULL;
	column = &hone_detail_columns(detail)[condition->attnum - 1];
	return column->type == condition->type ? column : NULL;
}

static uint32
match_ranges(char *detail, const HoneBatchEntry *entry, HoneColumnDetail *column,
			 const HoneCondition *condition)
{
	HoneKeyRange *ranges = (HoneKeyRange *) (detail + column->vectors);
	uint32		vectors = 0;

	switch (condition->kind)
	{
		case HONE_NEVER:
			return 0;
		case HONE_IS_NULL:
			return column->nulls > 0 ? HONE_ALL_VECTORS : 0;
		default:
			if (column->nulls == entry->nrows)
				return 0;
	}
	if (condition->kind == HONE_IS_NOT_NULL || !column->has_range)
		return HONE_ALL_VECTORS;
	if (!hone_condition_meets(condition, column->min, column->max))
		return 0;
	if (column->vectors == 0)
		return HONE_ALL_VECTORS;
	for (int vector = 0; vector < vector_count(entry->nrows); vector++)
	{
		if (hone_condition_meets(condition, ranges[vector].min, ranges[vector].max))
			vectors |= (uint32) 1 << vector;
	}
	return vectors;
}

static bool
match_filter(const char *filter, HoneColumnDetail *column,
			 const HoneCondition *condition)
{
	for (int i = 0; i < condition->nvalues; i++)
	{
		const HoneConditionValue *value = &condition->values[i];

		if (condition->has_keys && column->has_range &&
			(value->key < column->min || value->key > column->max))
			continue;
		if (hone_bloom_may_hold(filter, column->bloom_bytes, value->hash))
			return true;
	}
	return false;
}

/*
 * Of the directory row alone: the order key.
 */
static bool
match_directory(const HoneBatchEntry *entry, const HoneCondition *condition)
{
	if (condition->kind == HONE_NEVER)
		return false;
	if (condition->attnum != entry->key_attnum || condition->type != entry->key_type ||
		condition->kind == HONE_IS_NULL || condition->kind == HONE_IS_NOT_NULL)
		return true;
	return hone_condition_meets(condition, entry->key_min, entry->key_max);
}

uint32
hone_detail_match(HoneStore *store, Snapshot snapshot, const HoneBatchEntry *entry,
				  const HoneCondition *conditions, int nconditions)
{
	CachedDetail *cached;
	char	   *read = NULL;
	char	   *detail;
	uint32		vectors = HONE_ALL_VECTORS;

	if (nconditions == 0)
		return HONE_ALL_VECTORS;
	for (int i = 0; i < nconditions; i++)
	{
		if (!match_directory(entry, &conditions[i]))
			return 0;
	}

	cached = find_cached(store, entry);
	if (cached == NULL)
	{
		read = read_detail(store, snapshot, entry);
		cached = enter_cached(store, entry, read);
	}
	detail = cached != NULL ? cached->detail : read;
	for (int i = 0; i < nconditions && vectors != 0; i++)
	{
		HoneColumnDetail *column = column_of(detail, entry, &conditions[i]);

		if (column != NULL)
			vectors &= match_ranges(detail, entry, column, &conditions[i]);
	}
	for (int i = 0; i < nconditions && vectors != 0; i++)
	{
		HoneColumnDetail *column = column_of(detail, entry, &conditions[i]);
		bool		temporary;
		char	   *filter;

		if (column == NULL || conditions[i].kind != HONE_ONE_OF ||
			!OidIsValid(conditions[i].hash) || column->bloom_bytes == 0 ||
			column->bloom_hash != conditions[i].hash)
			continue;
		filter = read_filter(store, snapshot, entry, cached, conditions[i].attnum - 1,
							 column, &temporary);
		if (!match_filter(filter, column, &conditions[i]))
			vectors = 0;
		if (temporary)
			pfree(filter);
	}
	if (read != NULL)
		pfree(read);
	return vectors;
}
