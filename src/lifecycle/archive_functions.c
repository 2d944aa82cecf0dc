/*-------------------------------------------------------------------------
 *
 * archive_functions.c
 *	  The archive file layer as SQL functions, for tests and for repair.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/owner.h"
#include "lifecycle/archive_file.h"

PG_FUNCTION_INFO_V1(hone_archive_write_table);
PG_FUNCTION_INFO_V1(hone_archive_verify_file);
PG_FUNCTION_INFO_V1(hone_archive_load_file);
PG_FUNCTION_INFO_V1(hone_archive_columns_of);
PG_FUNCTION_INFO_V1(hone_archive_remove_file);

/* Opened as the functions here need it: an ordinary table. */
static Relation
open_table(Oid relid, LOCKMODE lock)
{
	Relation	rel = table_open(relid, lock);

	if (rel->rd_rel->relkind != RELKIND_RELATION)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a table", RelationGetRelationName(rel))));
	return rel;
}

static Datum
file_row(FunctionCallInfo fcinfo, const HoneArchiveFile *file)
{
	TupleDesc	desc;
	Datum		values[6];
	bool		nulls[6] = {false};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = CStringGetTextDatum(file->name);
	values[1] = Int64GetDatum(file->rows);
	values[2] = Int64GetDatum(file->raw_bytes);
	values[3] = Int64GetDatum(file->bytes);
	values[4] = CStringGetTextDatum(file->sha256);
	values[5] = CStringGetTextDatum(file->manifest_sha256);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

/*
 * hone._archive_write(relation, level)
 */
Datum
hone_archive_write_table(PG_FUNCTION_ARGS)
{
	HoneArchiveFile file = {NULL};
	HoneArchiveOrigin origin;
	HoneRole	saved;
	Relation	rel;

	hone_require_script();
	rel = open_table(PG_GETARG_OID(0), AccessShareLock);
	hone_archive_origin(RelationGetRelid(rel), InvalidOid, NULL, &origin);
	hone_become_owner(RelationGetRelid(rel), &saved);
	hone_archive_write(rel, GetActiveSnapshot(), &origin, PG_GETARG_INT32(1),
					   NULL, NULL, &file);
	hone_restore_role(&saved);
	table_close(rel, NoLock);
	PG_RETURN_DATUM(file_row(fcinfo, &file));
}

/*
 * hone._archive_verify(file)
 */
Datum
hone_archive_verify_file(PG_FUNCTION_ARGS)
{
	HoneArchiveManifest manifest;
	char	   *name;

	hone_require_script();
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	hone_archive_read_manifest(name, &manifest);
	hone_archive_verify(name, &manifest.file);
	PG_RETURN_DATUM(file_row(fcinfo, &manifest.file));
}

/*
 * hone._archive_load(file, relation)
 */
Datum
hone_archive_load_file(PG_FUNCTION_ARGS)
{
	HoneRole	saved;
	Relation	rel;
	int64		rows;

	hone_require_script();
	rel = open_table(PG_GETARG_OID(1), RowExclusiveLock);
	hone_become_owner(RelationGetRelid(rel), &saved);
	rows = hone_archive_load(text_to_cstring(PG_GETARG_TEXT_PP(0)), rel, NULL, true);
	hone_restore_role(&saved);
	table_close(rel, NoLock);
	PG_RETURN_INT64(rows);
}

/*
 * hone._archive_columns(file)
 */
Datum
hone_archive_columns_of(PG_FUNCTION_ARGS)
{
	HoneArchiveManifest manifest;

	hone_require_script();
	hone_archive_read_manifest(text_to_cstring(PG_GETARG_TEXT_PP(0)), &manifest);
	PG_RETURN_TEXT_P(cstring_to_text(hone_archive_column_list(&manifest)));
}

/*
 * hone._archive_remove(file)
 */
Datum
hone_archive_remove_file(PG_FUNCTION_ARGS)
{
	hone_require_script();
	hone_archive_remove(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	PG_RETURN_VOID();
}
