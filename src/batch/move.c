/*-------------------------------------------------------------------------
 *
 * move.c
 *	  batch_move: move many rows to another table, a commit per batch.
 *
 * Deleted and inserted by one statement, so a row is in one of the tables at
 * any moment. Columns belong together by their names. What would change a
 * value on the way, or more than the two tables, is refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "nodes/pg_list.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "batch/work.h"
#include "common/own_tables.h"
#include "common/procedure.h"

PG_FUNCTION_INFO_V1(hone_batch_move);

static void
check_target(const HoneBatch *batch)
{
	char	   *name = hone_require_relation(batch->into);
	char		kind = get_rel_relkind(batch->into);

	if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", name),
				 errdetail_relkind_not_supported(kind),
				 errhint("Rows are moved to a table or a partitioned table.")));
	if (list_member_oid(find_all_inheritors(batch->root, AccessShareLock, NULL), batch->into) ||
		list_member_oid(find_all_inheritors(batch->into, AccessShareLock, NULL), batch->root))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("source and target are the same table, or one is a part of the other"),
				 errhint("Rows that go to another partition when their key changes: use hone.batch_update.")));
}

/*
 * What deletes or changes rows of other tables when a row goes would do so
 * though it only moves.
 */
static void
check_references(const HoneBatch *batch)
{
	Oid			types[] = {OIDARRAYOID};
	Datum		values[1];

	/* root comes first; a part may be referred to alone */
	values[0] = hone_batch_oid_array(find_all_inheritors(batch->root, AccessShareLock, NULL));
	if (hone_own_run("SELECT pg_catalog.quote_ident(conname), confrelid FROM pg_catalog.pg_constraint"
					 " WHERE contype = 'f' AND confrelid = ANY ($1) AND confdeltype IN ('c', 'n', 'd')"
					 " ORDER BY pg_catalog.array_position($1, confrelid), 1 LIMIT 1", 1, types, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("rows that refer to \"%s\" would be deleted or changed by foreign key %s",
						get_rel_name(hone_result_oid(0, 2)), hone_result_text(0, 1)),
				 errhint("Drop the constraint, or make it one without ON DELETE CASCADE or SET, until the rows are moved.")));
}

/* Does the same type's other modifier (a length, a precision) take all values? */
static bool
is_as_wide(Oid type, int32 from, int32 to)
{
	return from == to || to < 0 || (type == VARCHAROID && from >= 0 && from < to);
}

/*
 * Does each value of the one type stay what it is in the other? Of PostgreSQL's
 * implicit casts some round, some cut, some depend on the time zone, some look
 * a name up. Those of an array are its elements'.
 */
static bool
keeps_values(Form_pg_attribute from_column, Form_pg_attribute to_column)
{
	int32		from_mod = from_column->atttypmod;
	int32		to_mod = to_column->atttypmod;
	Oid			from = getBaseTypeAndTypmod(from_column->atttypid, &from_mod);
	Oid			to = getBaseTypeAndTypmod(to_column->atttypid, &to_mod);

	if (from == to)
		return is_as_wide(from, from_mod, to_mod);
	if (to_mod >= 0 || from == BPCHAROID ||
		OidIsValid(get_element_type(from)) || OidIsValid(get_element_type(to)))
		return false;
	switch (to)
	{
		case FLOAT4OID:
		case TIMESTAMPTZOID:
		case TIMETZOID:
		case NAMEOID:
		case BPCHAROID:
		case OIDOID:
		case REGCLASSOID:
		case REGCOLLATIONOID:
		case REGCONFIGOID:
		case REGDICTIONARYOID:
		case REGNAMESPACEOID:
		case REGOPEROID:
		case REGOPERATOROID:
		case REGPROCOID:
		case REGPROCEDUREOID:
		case REGROLEOID:
		case REGTYPEOID:
			return false;
		case FLOAT8OID:
			return from == FLOAT4OID;
		default:
			return can_coerce_type(1, &from, &to, COERCION_IMPLICIT);
	}
}

static Form_pg_attribute
find_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(desc, i);

		if (!column->attisdropped && strcmp(NameStr(column->attname), name) == 0)
			return column;
	}
	return NULL;
}

static void
refuse_columns(const HoneBatch *batch, const char *what, const StringInfo names)
{
	if (names->len == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH),
			 errmsg("\"%s\" %s of \"%s\": %s", get_rel_name(batch->into), what,
					get_rel_name(batch->root), names->data),
			 errhint("Add these columns to the target, with the same types, or drop them from the source.")));
}

static void
list_name(StringInfo names, const char *prefix, const char *name)
{
	appendStringInfo(names, "%s%s%s", names->len > 0 ? ", " : "", prefix, quote_identifier(name));
}

/*
 * What a child of inheritance has beside the named table's columns would be
 * lost.
 */
static void
check_children(const HoneBatch *batch)
{
	ListCell   *lc;

	foreach(lc, find_all_inheritors(batch->root, AccessShareLock, NULL))
	{
		Relation	child = table_open(lfirst_oid(lc), AccessShareLock);

		for (int i = 0; i < RelationGetDescr(child)->natts; i++)
		{
			Form_pg_attribute column = TupleDescAttr(RelationGetDescr(child), i);

			if (!column->attisdropped &&
				get_attnum(batch->root, NameStr(column->attname)) == InvalidAttrNumber)
				ereport(ERROR,
						(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
						 errmsg("\"%s\" has a column %s, which \"%s\" does not have and which would be lost",
								RelationGetRelationName(child), quote_identifier(NameStr(column->attname)),
								get_rel_name(batch->root)),
						 errhint("Move the rows of that table by a call of its own, or take it out of the inheritance first.")));
		}
		table_close(child, NoLock);
	}
}

/*
 * Columns that are generated on both sides are left to the target.
 */
static void
match_columns(HoneBatch *batch)
{
	Relation	source = table_open(batch->root, AccessShareLock);
	Relation	target = table_open(batch->into, AccessShareLock);
	char	   *alias = psprintf("%s.", quote_identifier(get_rel_name(batch->root)));
	StringInfoData from;
	StringInfoData into;
	StringInfoData missing;
	StringInfoData other;

	initStringInfo(&from);
	initStringInfo(&into);
	initStringInfo(&missing);
	initStringInfo(&other);
	for (int i = 0; i < RelationGetDescr(source)->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(RelationGetDescr(source), i);
		Form_pg_attribute twin;

		if (column->attisdropped)
			continue;
		twin = find_column(RelationGetDescr(target), NameStr(column->attname));
		if (twin == NULL)
			list_name(&missing, "", NameStr(column->attname));
		else if (twin->attgenerated != '\0' && column->attgenerated != '\0')
			continue;
		else if (twin->attgenerated != '\0' || !keeps_values(column, twin))
			list_name(&other, "", NameStr(column->attname));
		else
		{
			list_name(&from, alias, NameStr(column->attname));
			list_name(&into, "", NameStr(column->attname));
		}
	}
	table_close(target, NoLock);
	table_close(source, NoLock);
	refuse_columns(batch, "lacks columns", &missing);
	refuse_columns(batch, "cannot hold the values of columns", &other);
	if (from.len == 0)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" has no columns to move", get_rel_name(batch->root)),
				 errhint("Name a table with columns that are not generated.")));
	batch->from_columns = from.data;
	batch->into_columns = into.data;
}

static void
prepare_move(HoneBatch *batch)
{
	check_target(batch);
	check_references(batch);
	check_children(batch);
	match_columns(batch);
	batch->into_name = hone_qualified_name(batch->into);
}

/*
 * hone.batch_move(source, target, condition, batch_size, INOUT rows_moved, ...)
 */
Datum
hone_batch_move(PG_FUNCTION_ARGS)
{
	HoneBatch	batch = {.kind = HONE_BATCH_MOVE,.procedure = "hone.batch_move",.prepare = prepare_move};

	hone_require_script();
	hone_procedure_begin(fcinfo, batch.procedure);
	hone_batch_arguments(&batch, fcinfo, 2);
	if (!PG_ARGISNULL(1))
		batch.into = PG_GETARG_OID(1);
	else if (!batch.options.resume)
		ereport(ERROR,
				(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				 errmsg("target must not be null"),
				 errhint("Name the table that the rows are to go to.")));
	batch.privileges = ACL_DELETE | (batch.options.skip_locked ? ACL_UPDATE : 0);
	PG_RETURN_DATUM(hone_batch_call(&batch, fcinfo));
}
