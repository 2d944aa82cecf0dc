/*-------------------------------------------------------------------------
 *
 * fetch_keys.c
 *	  Lists of keys, and the columns that they are compared with.
 *
 * Keys have the column's type, one that its operator family compares with it,
 * or one that is cast to it implicitly. Texts are read as the column's type,
 * because drivers that do not know it send an array of texts. Keys of several
 * columns are a two-dimensional array, or an array of rows; they are taken
 * apart into an array for each column.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "batch/fetch_keys.h"

List *
hone_name_list(ArrayType *names, const char *what)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
	List	   *list = NIL;

	deconstruct_array(names, NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR,
					  &values, &nulls, &count);
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			ereport(ERROR,
					(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					 errmsg("%s must not contain nulls", what)));
		list = lappend(list, pstrdup(NameStr(*DatumGetName(values[i]))));
	}
	return list;
}

/* ------------------------------------------------------------------------
 * The columns, and the index that makes them a key
 * ------------------------------------------------------------------------
 */

static void
find_column(Oid relid, char *name, HoneKeyColumn *column)
{
	HeapTuple	tuple = SearchSysCacheAttName(relid, name);
	Form_pg_attribute att;
	TypeCacheEntry *type;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("column \"%s\" of table \"%s\" does not exist", name,
						get_rel_name(relid)),
				 errhint("Names of columns are taken as they are, without quotes.")));
	att = (Form_pg_attribute) GETSTRUCT(tuple);
	column->name = name;
	column->attnum = att->attnum;
	column->type = getBaseType(att->atttypid);
	column->collation = att->attcollation;
	ReleaseSysCache(tuple);

	type = lookup_type_cache(column->type, TYPECACHE_EQ_OPR | TYPECACHE_BTREE_OPFAMILY);
	if (!OidIsValid(type->eq_opr) || !OidIsValid(type->btree_opf))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("column \"%s\" has type %s, which has no order and can be no key",
						name, format_type_be(column->type))));
	column->equals = hone_operator_text(type->eq_opr);
}

/* Does this column of the index tell values apart as the column itself does? */
static bool
is_same_equality(Relation index, int position, const HoneKeyColumn *column)
{
	TypeCacheEntry *type = lookup_type_cache(column->type, TYPECACHE_EQ_OPR);

	return index->rd_indcollation[position] == column->collation &&
		get_op_opfamily_strategy(type->eq_opr, index->rd_opfamily[position]) == BTEqualStrategyNumber;
}

static bool
is_key_index(Relation index, const HoneFetchKeys *keys)
{
	Form_pg_index form = index->rd_index;

	if (!form->indisunique || !form->indisvalid || !form->indimmediate ||
		form->indnkeyatts != keys->ncolumns ||
		RelationGetIndexPredicate(index) != NIL)
		return false;
	for (int i = 0; i < keys->ncolumns; i++)
	{
		bool		found = false;

		for (int j = 0; j < form->indnkeyatts; j++)
			found |= form->indkey.values[j] == keys->columns[i].attnum &&
				is_same_equality(index, j, &keys->columns[i]);
		if (!found)
			return false;
	}
	return true;
}

static bool
has_key_index(Oid relid, const HoneFetchKeys *keys)
{
	Relation	rel = table_open(relid, AccessShareLock);
	List	   *indexes = RelationGetIndexList(rel);
	bool		found = false;
	ListCell   *lc;

	foreach(lc, indexes)
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		found |= is_key_index(index, keys);
		index_close(index, AccessShareLock);
	}
	table_close(rel, NoLock);
	return found;
}

/* Rows of heirs are not in the table's unique indexes. */
static void
require_unique(Oid relid, const HoneFetchKeys *keys)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < keys->ncolumns; i++)
		appendStringInfo(&names, "%s%s", i ? ", " : "", quote_identifier(keys->columns[i].name));
	if (get_rel_relkind(relid) == RELKIND_RELATION && has_subclass(relid) &&
		find_inheritance_children(relid, NoLock) != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("table \"%s\" has tables that inherit from it, where (%s) may occur again",
						get_rel_name(relid), names.data),
				 errhint("Read the tables that inherit one by one.")));
	if (!has_key_index(relid, keys))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_COLUMN_REFERENCE),
				 errmsg("no unique index of table \"%s\" has just the columns (%s)",
						get_rel_name(relid), names.data),
				 errdetail("Each key must stand for one row: the index must be whole, and not deferrable."),
				 errhint("CREATE UNIQUE INDEX ON %s (%s), or read many rows of a key with = ANY.",
						 hone_qualified_name(relid), names.data)));
}

/* ------------------------------------------------------------------------
 * The keys
 * ------------------------------------------------------------------------
 */

/* How are keys of this type compared with the column? */
static void
choose_comparison(HoneKeyColumn *column, Oid given)
{
	TypeCacheEntry *type = lookup_type_cache(column->type, TYPECACHE_BTREE_OPFAMILY);
	Oid			base = getBaseType(given);

	/* varchar has no operators of its own: those of text compare it */
	if (base == VARCHAROID)
		base = TEXTOID;
	column->given = given;
	column->read = false;
	column->cast = InvalidOid;
	if (base == column->type ||
		OidIsValid(get_opfamily_member(type->btree_opf, type->btree_opintype, base,
									   BTEqualStrategyNumber)))
		return;
	if (can_coerce_type(1, &base, &column->type, COERCION_IMPLICIT))
		column->cast = column->type;
	else if (base == TEXTOID || base == BPCHAROID)
	{
		column->read = true;
		column->given = column->type;
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("keys of type %s cannot be compared with column \"%s\" of type %s",
						format_type_be(given), column->name, format_type_be(column->type)),
				 errhint("Pass an array of the column's type, or of text, which is read as that type.")));
}

typedef struct KeyPlace
{
	ErrorContextCallback callback;
	int			position;
	const char *column;
} KeyPlace;

static void
note_key(void *arg)
{
	KeyPlace   *place = arg;

	errcontext("key %d, column \"%s\"", place->position, place->column);
}

/* Texts to values of the column's type, in place. */
static void
read_values(const HoneKeyColumn *column, Datum *values, bool *nulls, int count)
{
	KeyPlace	place;
	Oid			input;
	Oid			ioparam;
	FmgrInfo	function;

	getTypeInputInfo(column->type, &input, &ioparam);
	fmgr_info(input, &function);
	place.column = column->name;
	place.callback.callback = note_key;
	place.callback.arg = &place;
	place.callback.previous = error_context_stack;
	error_context_stack = &place.callback;
	for (int i = 0; i < count; i++)
	{
		char	   *string;

		CHECK_FOR_INTERRUPTS();
		if (nulls[i])
			continue;
		place.position = i + 1;
		string = TextDatumGetCString(values[i]);
		values[i] = InputFunctionCall(&function, string, ioparam, -1);
		pfree(string);
	}
	error_context_stack = place.callback.previous;
}

/* The values of one column as an array, the parameter of the statement. */
static void
add_values(HoneFetchKeys *keys, int i, Datum *values, bool *nulls, int count)
{
	HoneKeyColumn *column = &keys->columns[i];
	int			lower = 1;
	int16		length;
	bool		by_value;
	char		align;

	keys->types[i] = get_array_type(column->given);
	if (!OidIsValid(keys->types[i]))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" has type %s, of which there are no arrays",
						column->name, format_type_be(column->given))));
	if (column->read)
		read_values(column, values, nulls, count);
	get_typlenbyvalalign(column->given, &length, &by_value, &align);
	keys->values[i] = PointerGetDatum(construct_md_array(values, nulls, 1, &count, &lower,
														 column->given, length, by_value, align));
}

static void
take_apart(ArrayType *array, Datum **values, bool **nulls, int *count)
{
	int16		length;
	bool		by_value;
	char		align;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &length, &by_value, &align);
	deconstruct_array(array, ARR_ELEMTYPE(array), length, by_value, align,
					  values, nulls, count);
}

/* Keys of one column: an array as it is, unless they must be read. */
static void
take_values(HoneFetchKeys *keys, ArrayType *array, Oid array_type)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;

	choose_comparison(&keys->columns[0], ARR_ELEMTYPE(array));
	if (!keys->columns[0].read)
	{
		keys->types[0] = array_type;
		keys->values[0] = PointerGetDatum(array);
		return;
	}
	take_apart(array, &values, &nulls, &count);
	add_values(keys, 0, values, nulls, count);
}

/* ARRAY[[a, b], [a, b], ...] */
static void
take_lists(HoneFetchKeys *keys, ArrayType *array)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
	int			nkeys;

	take_apart(array, &values, &nulls, &count);
	nkeys = count / keys->ncolumns;
	for (int i = 0; i < keys->ncolumns; i++)
	{
		Datum	   *column = palloc_extended(Max(nkeys, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
		bool	   *column_nulls = palloc(Max(nkeys, 1) * sizeof(bool));

		choose_comparison(&keys->columns[i], ARR_ELEMTYPE(array));
		for (int j = 0; j < nkeys; j++)
		{
			column[j] = values[j * keys->ncolumns + i];
			column_nulls[j] = nulls[j * keys->ncolumns + i];
		}
		add_values(keys, i, column, column_nulls, nkeys);
	}
}

/* The type of the i-th field of a row type, counted without dropped ones. */
static Oid
field_type(TupleDesc desc, int i, AttrNumber *attnum)
{
	for (int j = 0; j < desc->natts; j++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, j);

		if (!att->attisdropped && i-- == 0)
		{
			*attnum = j + 1;
			return att->atttypid;
		}
	}
	return InvalidOid;
}

/* ARRAY[ROW(a, b)::keys, ...] */
static void
take_rows(HoneFetchKeys *keys, ArrayType *array)
{
	Oid			row_type = getBaseType(ARR_ELEMTYPE(array));
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(row_type, -1);
	AttrNumber	attnum;
	Datum	   *values;
	bool	   *nulls;
	int			count;

	if (OidIsValid(field_type(desc, keys->ncolumns, &attnum)) ||
		!OidIsValid(field_type(desc, keys->ncolumns - 1, &attnum)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("type %s does not have %d fields, one for each key column",
						format_type_be(row_type), keys->ncolumns)));
	take_apart(array, &values, &nulls, &count);
	for (int i = 0; i < keys->ncolumns; i++)
	{
		Datum	   *column = palloc_extended(Max(count, 1) * sizeof(Datum), MCXT_ALLOC_HUGE);
		bool	   *column_nulls = palloc(Max(count, 1) * sizeof(bool));

		choose_comparison(&keys->columns[i], field_type(desc, i, &attnum));
		for (int j = 0; j < count; j++)
		{
			column_nulls[j] = nulls[j];
			column[j] = nulls[j] ? (Datum) 0 :
				GetAttributeByNum(DatumGetHeapTupleHeader(values[j]), attnum, &column_nulls[j]);
		}
		add_values(keys, i, column, column_nulls, count);
	}
}

static void
report_shape(const HoneFetchKeys *keys)
{
	if (keys->ncolumns == 1)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("keys must be an array of one dimension"),
				 errhint("For keys of several columns name all of them: hone.fetch_batch(NULL::rel, '{a,b}'::name[], $1).")));
	ereport(ERROR,
			(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
			 errmsg("keys must be an array of arrays of %d values, one for each key column", keys->ncolumns),
			 errhint("For example ARRAY[[1,2],[3,4]], '{{1,a},{2,b}}'::text[], or an array of a row type.")));
}

HoneFetchKeys *
hone_fetch_keys(Oid relid, List *names, Oid array_type, ArrayType *array)
{
	HoneFetchKeys *keys = palloc0(sizeof(HoneFetchKeys));
	ListCell   *lc;

	if (names == NIL || list_length(names) > INDEX_MAX_KEYS)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("key_columns must name between 1 and %d columns", INDEX_MAX_KEYS)));
	foreach(lc, names)
	{
		HoneKeyColumn *column = &keys->columns[keys->ncolumns];

		find_column(relid, lfirst(lc), column);
		for (int i = 0; i < keys->ncolumns; i++)
		{
			if (keys->columns[i].attnum == column->attnum)
				ereport(ERROR,
						(errcode(ERRCODE_DUPLICATE_COLUMN),
						 errmsg("key_columns names column \"%s\" more than once", column->name)));
		}
		keys->ncolumns++;
	}
	require_unique(relid, keys);
	if (array == NULL || ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array)) == 0)
		return NULL;

	if (keys->ncolumns > 1 && ARR_NDIM(array) == 1 &&
		type_is_rowtype(ARR_ELEMTYPE(array)) && ARR_ELEMTYPE(array) != RECORDOID)
		take_rows(keys, array);
	else if (keys->ncolumns == 1 && ARR_NDIM(array) == 1)
		take_values(keys, array, array_type);
	else if (ARR_NDIM(array) == 2 &&
			 ARR_DIMS(array)[1] == keys->ncolumns && keys->ncolumns > 1)
		take_lists(keys, array);
	else
		report_shape(keys);
	return keys;
}
