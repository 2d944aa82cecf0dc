/*-------------------------------------------------------------------------
 *
 * relation.c
 *	  What is to be known of a relation: keys, indexes, widths.
 *
 * Reads the catalogs of a relation that may be dropped at any moment: a row
 * that is not there is an answer ("none"), not an error.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "catalog/index.h"
#include "catalog/partition.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_statistic.h"
#include "commands/defrem.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "common/relation.h"

Relation
hone_relation_open(Oid relid)
{
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("one of its tables is locked"),
				 errhint("Try again when the lock is gone.")));
	return try_relation_open(relid, NoLock);
}

/*
 * The relation's indexes, or NIL if it is gone. Throws
 * ERRCODE_LOCK_NOT_AVAILABLE if it is locked: not knowing is not "none".
 */
static List *
index_list(Oid relid)
{
	Relation	rel;
	List	   *indexes;

	rel = hone_relation_open(relid);
	if (rel == NULL)
		return NIL;
	indexes = RelationGetIndexList(rel);
	relation_close(rel, NoLock);
	return indexes;
}

static bool
is_btree(Oid indexrelid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(indexrelid));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_class) GETSTRUCT(tuple))->relam == BTREE_AM_OID;
	ReleaseSysCache(tuple);
	return result;
}

static bool
is_whole_btree(HeapTuple tuple)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

	return index->indisvalid && index->indislive &&
		heap_attisnull(tuple, Anum_pg_index_indpred, NULL) &&
		is_btree(index->indexrelid);
}

static Datum
index_attribute(HeapTuple tuple, AttrNumber attnum)
{
	bool		isnull;

	return SysCacheGetAttr(INDEXRELID, tuple, attnum, &isnull);
}

AttrNumber
hone_relation_same_column(Oid from, AttrNumber attnum, Oid to)
{
	char	   *name = get_attname(from, attnum, true);

	return name != NULL ? get_attnum(to, name) : InvalidAttrNumber;
}

bool
hone_relation_not_null(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum));
	bool		result;

	if (!HeapTupleIsValid(tuple))
		return false;
	result = ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull &&
		hone_compat_not_null_is_valid(relid, attnum);
	ReleaseSysCache(tuple);
	return result;
}

/*
 * Does the index tell apart all values that are different in the column's own
 * collation and by its type's own equality? Another collation, or another
 * operator class, may find more of them different.
 */
static bool
is_column_unique(HeapTuple tuple, int position)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	Oid			type;
	int32		typmod;
	Oid			collation;
	Oid			family;
	Oid			input;
	TypeCacheEntry *entry;
	oidvector  *collations = (oidvector *) DatumGetPointer(index_attribute(tuple, Anum_pg_index_indcollation));
	oidvector  *classes = (oidvector *) DatumGetPointer(index_attribute(tuple, Anum_pg_index_indclass));

	get_atttypetypmodcoll(index->indrelid, index->indkey.values[position], &type,
						  &typmod, &collation);
	if (OidIsValid(collation) && collations->values[position] != collation &&
		!get_collation_isdeterministic(collation))
		return false;
	if (!get_opclass_opfamily_and_input_type(classes->values[position], &family, &input))
		return false;
	entry = lookup_type_cache(type, TYPECACHE_EQ_OPR);
	return OidIsValid(entry->eq_opr) &&
		get_op_opfamily_strategy(entry->eq_opr, family) == BTEqualStrategyNumber;
}

/* Columns of a unique index if all are plain and not null; else NIL. */
static List *
unique_columns(HeapTuple tuple)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	List	   *columns = NIL;

	if (!index->indisunique || !index->indimmediate || !is_whole_btree(tuple))
		return NIL;
	for (int i = 0; i < index->indnkeyatts; i++)
	{
		AttrNumber	attnum = index->indkey.values[i];

		if (attnum <= 0 || !hone_relation_not_null(index->indrelid, attnum) ||
			!is_column_unique(tuple, i))
			return NIL;
		columns = lappend_int(columns, attnum);
	}
	return columns;
}

List *
hone_relation_keys(Oid relid, List **best)
{
	List	   *keys = NIL;
	bool		has_primary = false;
	ListCell   *lc;

	*best = NIL;
	foreach(lc, index_list(relid))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		List	   *columns;
		bool		primary;

		if (!HeapTupleIsValid(tuple))
			continue;
		columns = unique_columns(tuple);
		primary = ((Form_pg_index) GETSTRUCT(tuple))->indisprimary;
		ReleaseSysCache(tuple);
		if (columns == NIL)
			continue;
		keys = lappend(keys, columns);
		if (primary || (!has_primary && (*best == NIL || list_length(columns) < list_length(*best))))
			*best = columns;
		has_primary |= primary;
	}
	return keys;
}

bool
hone_relation_has_index(Oid relid, List *equal, AttrNumber next)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, index_list(relid))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;
		int			n = list_length(equal);

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (is_whole_btree(tuple) && index->indnkeyatts >= n + (next ? 1 : 0))
		{
			bool		fits = next == 0 || index->indkey.values[n] == next;

			for (int i = 0; i < n; i++)
				fits &= list_member_int(equal, index->indkey.values[i]);
			found |= fits;
		}
		ReleaseSysCache(tuple);
	}
	return found;
}

/*
 * Its key columns, if it is a plain index that another one may take the place
 * of; else NIL.
 */
static List *
replaceable_columns(HeapTuple tuple)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	int2vector *options = (int2vector *) DatumGetPointer(index_attribute(tuple, Anum_pg_index_indoption));
	oidvector  *classes = (oidvector *) DatumGetPointer(index_attribute(tuple, Anum_pg_index_indclass));
	oidvector  *collations = (oidvector *) DatumGetPointer(index_attribute(tuple, Anum_pg_index_indcollation));
	List	   *columns = NIL;

	if (index->indisunique || index->indisexclusion || index->indisclustered ||
		index->indisreplident || index->indnatts != index->indnkeyatts || !is_whole_btree(tuple))
		return NIL;
	for (int i = 0; i < index->indnkeyatts; i++)
	{
		AttrNumber	attnum = index->indkey.values[i];
		Oid			type;
		int32		typmod;
		Oid			collation;

		if (attnum <= 0 || list_member_int(columns, attnum))
			return NIL;
		get_atttypetypmodcoll(index->indrelid, attnum, &type, &typmod, &collation);
		if (options->values[i] != 0 || collations->values[i] != collation ||
			classes->values[i] != GetDefaultOpClass(type, BTREE_AM_OID))
			return NIL;
		columns = lappend_int(columns, attnum);
	}
	return columns;
}

/* Are they the first ones of 'columns', or with any_order among them? */
static bool
begins_with(List *columns, List *first, bool any_order)
{
	if (list_length(first) > list_length(columns))
		return false;
	for (int i = 0; i < list_length(first); i++)
	{
		if (any_order ? !list_member_int(columns, list_nth_int(first, i)) :
			list_nth_int(columns, i) != list_nth_int(first, i))
			return false;
	}
	return true;
}

Oid
hone_relation_narrower_index(Oid relid, List *columns, bool any_order, List **keys)
{
	Oid			index = InvalidOid;
	ListCell   *lc;

	*keys = NIL;
	foreach(lc, index_list(relid))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		List	   *found;

		if (!HeapTupleIsValid(tuple))
			continue;
		found = replaceable_columns(tuple);
		ReleaseSysCache(tuple);
		if (list_length(found) <= list_length(*keys) || !begins_with(columns, found, any_order))
			continue;
		*keys = found;
		index = lfirst_oid(lc);
	}
	return index;
}

/* Does the index, read forwards or backwards, give this order? */
static bool
gives_order(HeapTuple tuple, const HoneOrderColumn *columns, int n, bool backwards)
{
	Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);
	int2vector *options = (int2vector *) DatumGetPointer(index_attribute(tuple, Anum_pg_index_indoption));
	oidvector  *classes = (oidvector *) DatumGetPointer(index_attribute(tuple, Anum_pg_index_indclass));
	oidvector  *collations = (oidvector *) DatumGetPointer(index_attribute(tuple, Anum_pg_index_indcollation));

	if (index->indnkeyatts < n)
		return false;
	for (int i = 0; i < n; i++)
	{
		bool		descending = (options->values[i] & INDOPTION_DESC) != 0;
		bool		nulls_first = (options->values[i] & INDOPTION_NULLS_FIRST) != 0;

		if (index->indkey.values[i] != columns[i].attnum ||
			collations->values[i] != columns[i].collation ||
			get_opclass_family(classes->values[i]) != columns[i].opfamily ||
			(descending != backwards) != columns[i].descending ||
			(nulls_first != backwards) != columns[i].nulls_first)
			return false;
	}
	return true;
}

bool
hone_relation_has_order(Oid relid, const HoneOrderColumn *columns, int n)
{
	bool		found = false;
	ListCell   *lc;

	foreach(lc, index_list(relid))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));

		if (!HeapTupleIsValid(tuple))
			continue;
		found |= is_whole_btree(tuple) &&
			(gives_order(tuple, columns, n, false) || gives_order(tuple, columns, n, true));
		ReleaseSysCache(tuple);
	}
	return found;
}

static bool
has_all_columns(Form_pg_index index, List *columns)
{
	ListCell   *lc;

	foreach(lc, columns)
	{
		bool		found = false;

		for (int i = 0; i < index->indnatts; i++)
			found |= index->indkey.values[i] == lfirst_int(lc);
		if (!found)
			return false;
	}
	return true;
}

char *
hone_relation_covering_index(Oid relid, List *first, List *columns)
{
	char	   *name = NULL;
	ListCell   *lc;

	foreach(lc, index_list(relid))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID,
											ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (name == NULL && is_whole_btree(tuple) &&
			list_member_int(first, index->indkey.values[0]) &&
			has_all_columns(index, columns))
			name = get_rel_name(lfirst_oid(lc));
		ReleaseSysCache(tuple);
	}
	return name;
}

Oid
hone_relation_topmost(Oid relid)
{
	List	   *ancestors;

	if (!get_rel_relispartition(relid))
		return relid;
	ancestors = get_partition_ancestors(relid);
	return ancestors ? llast_oid(ancestors) : relid;
}

/* Statistics row of a column, of the whole tree where there is one. */
static HeapTuple
column_statistics(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum), BoolGetDatum(true));

	if (!HeapTupleIsValid(tuple))
		tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
								Int16GetDatum(attnum), BoolGetDatum(false));
	return tuple;
}

int
hone_relation_column_width(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = column_statistics(relid, attnum);
	Form_pg_statistic stats;
	int			width;

	if (!HeapTupleIsValid(tuple))
		return 0;
	stats = (Form_pg_statistic) GETSTRUCT(tuple);
	width = (int) (stats->stawidth * (1 - stats->stanullfrac));
	ReleaseSysCache(tuple);
	return width;
}

double
hone_relation_column_distinct(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = column_statistics(relid, attnum);
	double		distinct;
	double		rows;
	double		toast_bytes;

	if (!HeapTupleIsValid(tuple))
		return 0;
	distinct = ((Form_pg_statistic) GETSTRUCT(tuple))->stadistinct;
	ReleaseSysCache(tuple);
	if (distinct < 0)
		return -distinct;
	hone_relation_toast(relid, &rows, &toast_bytes);
	return rows > 0 ? Min(distinct / rows, 1) : 0;
}

double
hone_relation_column_correlation(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache3(STATRELATTINH, ObjectIdGetDatum(relid),
										Int16GetDatum(attnum), BoolGetDatum(false));
	AttStatsSlot slot;
	double		correlation = 0;

	if (!HeapTupleIsValid(tuple))
		return 0;
	if (get_attstatsslot(&slot, tuple, STATISTIC_KIND_CORRELATION, InvalidOid, ATTSTATSSLOT_NUMBERS))
	{
		if (slot.nnumbers > 0)
			correlation = slot.numbers[0];
		free_attstatsslot(&slot);
	}
	ReleaseSysCache(tuple);
	return correlation;
}

/* Size of a TOAST table's main fork, 0 if it is gone or locked. */
static double
toast_size(Oid toastrelid)
{
	Relation	rel;
	double		size;

	if (!OidIsValid(toastrelid) ||
		!ConditionalLockRelationOid(toastrelid, AccessShareLock))
		return 0;
	rel = try_relation_open(toastrelid, NoLock);
	if (rel == NULL)
		return 0;
	size = (double) RelationGetNumberOfBlocks(rel) * BLCKSZ;
	/* not kept: there may be thousands of partitions */
	relation_close(rel, AccessShareLock);
	return size;
}

void
hone_relation_toast(Oid relid, double *rows, double *toast_bytes)
{
	List	   *relids = list_make1_oid(relid);
	ListCell   *lc;

	if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
		relids = find_all_inheritors(relid, NoLock, NULL);
	*rows = 0;
	*toast_bytes = 0;
	foreach(lc, relids)
	{
		HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(lfirst_oid(lc)));
		Form_pg_class class;

		CHECK_FOR_INTERRUPTS();
		if (!HeapTupleIsValid(tuple))
			continue;
		class = (Form_pg_class) GETSTRUCT(tuple);
		/* a tiered table's TOAST table holds its rows, not wide values */
		if (class->relkind != RELKIND_PARTITIONED_TABLE && class->reltuples > 0 &&
			class->relam == HEAP_TABLE_AM_OID)
		{
			*rows += class->reltuples;
			*toast_bytes += toast_size(class->reltoastrelid);
		}
		ReleaseSysCache(tuple);
	}
}
