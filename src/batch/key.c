/*-------------------------------------------------------------------------
 *
 * key.c
 *	  A key that a table can be walked by (see key.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_am.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/bitmapset.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "batch/key.h"
#include "compat/compat.h"

/*
 * Is this column of the index one by which rows can be compared in SQL as the
 * index has them: in the default order of its type, by PostgreSQL's own
 * operators?
 */
static bool
is_plain_column(Relation index, int i, Form_pg_attribute attribute)
{
	Oid			type = getBaseType(attribute->atttypid);
	Oid			opclass = GetDefaultOpClass(type, BTREE_AM_OID);
	Oid			operator;
	HeapTuple	tuple;
	bool		own;

	if (attribute->attgenerated != '\0' ||
		index->rd_indoption[i] != 0 ||
		index->rd_indcollation[i] != attribute->attcollation ||
		!OidIsValid(opclass) ||
		get_opclass_family(opclass) != index->rd_opfamily[i])
		return false;
	operator = get_opfamily_member(index->rd_opfamily[i], index->rd_opcintype[i],
								   index->rd_opcintype[i], BTGreaterStrategyNumber);
	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(operator));
	if (!HeapTupleIsValid(tuple))
		return false;
	own = ((Form_pg_operator) GETSTRUCT(tuple))->oprnamespace == PG_CATALOG_NAMESPACE;
	ReleaseSysCache(tuple);
	return own;
}

/*
 * Sets *avoided when only the names in 'avoid' are against it.
 */
static bool
is_usable(Relation rel, Relation index, Oid named_as, List *avoid, bool *avoided)
{
	Form_pg_index form = index->rd_index;
	bool		meets = false;

	if (!form->indisunique || !form->indimmediate || !form->indisvalid ||
		!form->indislive || index->rd_rel->relam != BTREE_AM_OID ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < form->indnkeyatts; i++)
	{
		AttrNumber	attnum = form->indkey.values[i];
		Form_pg_attribute attribute;

		if (attnum <= 0)
			return false;
		attribute = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
		if (!HONE_IS_NOT_NULL(RelationGetDescr(rel), attnum - 1) ||
			!is_plain_column(index, i, attribute))
			return false;

		/* a child may have columns of its own */
		if (get_attnum(named_as, NameStr(attribute->attname)) == InvalidAttrNumber)
			return false;
		meets |= hone_has_name(avoid, NameStr(attribute->attname));
	}
	*avoided |= meets;
	return !meets;
}

/*
 * "a type, b type COLLATE name": what the order of the key depends on.
 */
static void
add_identity(StringInfo identity, Form_pg_attribute attribute)
{
	appendStringInfo(identity, "%s%s %s", identity->len > 0 ? ", " : "",
					 quote_identifier(NameStr(attribute->attname)),
					 format_type_extended(attribute->atttypid, attribute->atttypmod,
										  FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	if (OidIsValid(attribute->attcollation) && attribute->attcollation != DEFAULT_COLLATION_OID)
		appendStringInfo(identity, " COLLATE %s", quote_identifier(get_collation_name(attribute->attcollation)));
}

static HoneBatchKey *
make_key(Relation rel, Relation index)
{
	HoneBatchKey *key = palloc0(sizeof(HoneBatchKey));
	StringInfoData list;
	StringInfoData descending;
	StringInfoData identity;

	key->count = index->rd_index->indnkeyatts;
	key->names = palloc(key->count * sizeof(char *));
	key->types = palloc(key->count * sizeof(Oid));
	key->byval = palloc(key->count * sizeof(bool));
	key->length = palloc(key->count * sizeof(int16));
	key->ordered = rel->rd_rel->relam == HEAP_TABLE_AM_OID;
	initStringInfo(&list);
	initStringInfo(&descending);
	initStringInfo(&identity);
	for (int i = 0; i < key->count; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(rel),
													index->rd_index->indkey.values[i] - 1);

		key->names[i] = pstrdup(quote_identifier(NameStr(attribute->attname)));
		key->types[i] = attribute->atttypid;
		key->byval[i] = attribute->attbyval;
		key->length[i] = attribute->attlen;
		appendStringInfo(&list, "%s%s", i > 0 ? ", " : "", key->names[i]);
		appendStringInfo(&descending, "%s%s DESC", i > 0 ? ", " : "", key->names[i]);
		add_identity(&identity, attribute);
	}
	key->identity = identity.data;
	key->list = list.data;
	key->descending = descending.data;
	return key;
}

HoneBatchKey *
hone_batch_key(Oid relid, Oid named_as, List *avoid, bool *avoided)
{
	Relation	rel = table_open(relid, AccessShareLock);
	HoneBatchKey *key = NULL;
	Oid			primary;
	ListCell   *lc;
	List	   *indexes = RelationGetIndexList(rel);

	*avoided = false;
	primary = rel->rd_pkindex;
	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		if ((key == NULL || lfirst_oid(lc) == primary) &&
			is_usable(rel, index, named_as, avoid, avoided))
			key = make_key(rel, index);
		index_close(index, NoLock);
	}
	table_close(rel, NoLock);
	if (key != NULL)
		*avoided = false;
	return key;
}

/*
 * Of several columns the first one's range stands for itself too: statistics,
 * partitions and compressed batches are found by it.
 */
char *
hone_batch_key_bound(const HoneBatchKey *key, const char *comparison, int first)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (key->count > 1)
		appendStringInfo(&buf, "%s OPERATOR(pg_catalog.%c=) $%d AND ",
						 key->names[0], comparison[0], first);
	appendStringInfo(&buf, "ROW(%s) OPERATOR(pg_catalog.%s) ROW(", key->list, comparison);
	for (int i = 0; i < key->count; i++)
		appendStringInfo(&buf, "%s$%d", i > 0 ? ", " : "", first + i);
	appendStringInfoString(&buf, ") AND ");
	return buf.data;
}

ArrayType *
hone_batch_key_out(const HoneBatchKey *key, const Datum *values)
{
	int			level = hone_plain_texts(false);
	Datum	   *texts = palloc(key->count * sizeof(Datum));
	ArrayType  *array;

	for (int i = 0; i < key->count; i++)
	{
		Oid			output;
		bool		is_varlena;
		char	   *text;

		getTypeOutputInfo(key->types[i], &output, &is_varlena);
		text = OidOutputFunctionCall(output, values[i]);
		texts[i] = CStringGetTextDatum(text);
		pfree(text);
	}
	AtEOXact_GUC(true, level);
	array = construct_array(texts, key->count, TEXTOID, -1, false, TYPALIGN_INT);
	/* a long call has one for each batch, in its own memory */
	for (int i = 0; i < key->count; i++)
		pfree(DatumGetPointer(texts[i]));
	pfree(texts);
	return array;
}

static int
split_texts(ArrayType *array, Datum **texts)
{
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, texts, &nulls, &count);
	return count;
}

Datum *
hone_batch_key_in(const HoneBatchKey *key, ArrayType *array)
{
	Datum	   *texts;
	Datum	   *values = palloc(key->count * sizeof(Datum));
	int			level;

	if (split_texts(array, &texts) != key->count)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the table has another key than when the job began"),
				 errhint("The job cannot know which rows it has changed: forget it with hone.forget_batch_job.")));
	level = hone_plain_texts(false);
	for (int i = 0; i < key->count; i++)
	{
		Oid			input;
		Oid			parameter;

		getTypeInputInfo(key->types[i], &input, &parameter);
		values[i] = OidInputFunctionCall(input, TextDatumGetCString(texts[i]), parameter, -1);
	}
	AtEOXact_GUC(true, level);
	return values;
}

Datum *
hone_batch_key_copy(const HoneBatchKey *key, const Datum *values)
{
	Datum	   *copy = palloc(key->count * sizeof(Datum));

	for (int i = 0; i < key->count; i++)
	{
		/* what lies out of line may be gone with the next batch */
		if (key->length[i] == -1)
			copy[i] = PointerGetDatum(PG_DETOAST_DATUM_COPY(values[i]));
		else
			copy[i] = datumCopy(values[i], key->byval[i], key->length[i]);
	}
	return copy;
}

char *
hone_batch_key_show(ArrayType *array)
{
	StringInfoData buf;
	Datum	   *texts;
	int			count = split_texts(array, &texts);

	initStringInfo(&buf);
	appendStringInfoChar(&buf, '(');
	for (int i = 0; i < count; i++)
		appendStringInfo(&buf, "%s%s", i > 0 ? ", " : "", TextDatumGetCString(texts[i]));
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/*
 * Expressions too, for the columns that they are made of.
 */
static List *
key_columns(Relation rel, List *columns)
{
	PartitionKey key = RelationGetPartitionKey(rel);
	Bitmapset  *attnums = NULL;
	int			attnum = -1;

	for (int i = 0; i < key->partnatts; i++)
	{
		if (key->partattrs[i] != 0)
			attnums = bms_add_member(attnums, key->partattrs[i] - FirstLowInvalidHeapAttributeNumber);
	}
	pull_varattnos((Node *) key->partexprs, 1, &attnums);
	while ((attnum = bms_next_member(attnums, attnum)) >= 0)
	{
		AttrNumber	column = attnum + FirstLowInvalidHeapAttributeNumber;

		if (column > 0)
			columns = lappend(columns,
							  pstrdup(NameStr(TupleDescAttr(RelationGetDescr(rel), column - 1)->attname)));
	}
	return columns;
}

List *
hone_batch_partition_columns(Oid relid)
{
	List	   *columns = NIL;
	ListCell   *lc;

	foreach(lc, find_all_inheritors(relid, AccessShareLock, NULL))
	{
		Relation	rel;

		if (get_rel_relkind(lfirst_oid(lc)) != RELKIND_PARTITIONED_TABLE)
			continue;
		rel = table_open(lfirst_oid(lc), NoLock);
		columns = key_columns(rel, columns);
		table_close(rel, NoLock);
	}
	return columns;
}
