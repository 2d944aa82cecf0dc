/*-------------------------------------------------------------------------
 *
 * script.c
 *	  Do the SQL objects in this database belong to this library?
 *
 * The objects of a database are those of the install script that was run
 * there, perhaps long ago and by another version: after a package upgrade or
 * pg_upgrade their parameters and columns may differ from those that the
 * library's functions take and return. So the script and the library carry
 * the same identity, the version and a checksum of the script, which the
 * Makefile writes into both, and the functions compare the two before they
 * look at an argument.
 *
 * In a database the identity is the body of the function hone._script(): it
 * is found through the system caches, so that the comparison is cheap and
 * follows every change by itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "common/hone.h"
#include "common/task.h"

#define HONE_SCRIPT		HONE_VERSION "-" HONE_SCRIPT_SUM

/* Body of hone._script(), as in sql/install/00_schema.sql. */
#define BODY_START		"SELECT '"
#define BODY_END		"'::text"

PG_FUNCTION_INFO_V1(hone_require_library);

/*
 * hone._script() of this database, to be released; NULL where there is none.
 */
static HeapTuple
script_function(void)
{
	Oid			schema = hone_schema_oid();
	oidvector  *no_arguments;
	HeapTuple	tuple;

	if (!OidIsValid(schema))
		return NULL;
	no_arguments = buildoidvector(NULL, 0);
	tuple = SearchSysCache3(PROCNAMEARGSNSP, CStringGetDatum("_script"),
							PointerGetDatum(no_arguments), ObjectIdGetDatum(schema));
	pfree(no_arguments);
	return tuple;
}

static bool
body_is_ours(HeapTuple function)
{
	static const char wanted[] = BODY_START HONE_SCRIPT BODY_END;
	bool		isnull;
	Datum		source = SysCacheGetAttr(PROCNAMEARGSNSP, function,
										 Anum_pg_proc_prosrc, &isnull);
	text	   *body;
	bool		equal;

	if (isnull)
		return false;
	body = DatumGetTextPP(source);
	equal = VARSIZE_ANY_EXHDR(body) == sizeof(wanted) - 1 &&
		memcmp(VARDATA_ANY(body), wanted, sizeof(wanted) - 1) == 0;
	if (PointerGetDatum(body) != source)
		pfree(body);
	return equal;
}

/*
 * The identity in this database, for an error message.
 */
static char *
identity_found(void)
{
	HeapTuple	function = script_function();
	bool		isnull;
	char	   *body;
	char	   *end;

	if (!HeapTupleIsValid(function))
		return NULL;
	body = TextDatumGetCString(SysCacheGetAttr(PROCNAMEARGSNSP, function,
											   Anum_pg_proc_prosrc, &isnull));
	ReleaseSysCache(function);
	if (strncmp(body, BODY_START, strlen(BODY_START)) == 0)
		body += strlen(BODY_START);
	end = strstr(body, BODY_END);
	if (end != NULL)
		*end = '\0';
	return body;
}

/*
 * Is there a script from the version in this database to the library's? To be
 * asked on the way to an error only: one met here is forgotten.
 */
static bool
update_path_exists(void)
{
	volatile bool found = false;
	MemoryContext context = CurrentMemoryContext;
	Oid			types[1] = {TEXTOID};
	Datum		values[1];

	values[0] = CStringGetTextDatum(HONE_VERSION);
	PG_TRY();
	{
		SPI_connect();
		found = SPI_execute_with_args("SELECT FROM pg_catalog.pg_extension e,"
									  " pg_catalog.pg_extension_update_paths(e.extname) p"
									  " WHERE e.extname OPERATOR(pg_catalog.=) '" HONE_EXTENSION "'"
									  " AND p.source OPERATOR(pg_catalog.=) e.extversion"
									  " AND p.target OPERATOR(pg_catalog.=) $1"
									  " AND p.path IS NOT NULL",
									  1, types, values, NULL, true, 1) == SPI_OK_SELECT &&
			SPI_processed > 0;
		SPI_finish();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	return found;
}

static void
report_other_script(void)
{
	char	   *found = identity_found();
	bool		update = update_path_exists();	/* not within ereport */

	if (!OidIsValid(hone_schema_oid()))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("there is no schema \"%s\": pg_hone's own has been renamed", HONE_SCHEMA),
				 errhint("ALTER SCHEMA ... RENAME TO %s;", HONE_SCHEMA)));
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the objects of pg_hone in this database are of another version than its library"),
			 errdetail("They were made by the script %s, the library belongs to %s.",
					   found ? found : "of an older one", HONE_SCRIPT),
			 update ?
			 errhint("ALTER EXTENSION pg_hone UPDATE;") :
			 errhint("CALL hone.decompress_all(); DROP EXTENSION pg_hone; CREATE EXTENSION pg_hone; then set the tier policies again.")));
}

const char *
hone_library_version(void)
{
	return HONE_VERSION;
}

void
hone_require_script(void)
{
	HeapTuple	function = script_function();
	bool		ours = HeapTupleIsValid(function) && body_is_ours(function);

	if (HeapTupleIsValid(function))
		ReleaseSysCache(function);
	if (!ours)
		report_other_script();
}

/*
 * hone._require_library(script): called by the script of this identity before
 * it makes anything else.
 */
Datum
hone_require_library(PG_FUNCTION_ARGS)
{
	char	   *script = text_to_cstring(PG_GETARG_TEXT_PP(0));

	if (strcmp(script, HONE_SCRIPT) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the installed files of pg_hone are of another version than the library that is loaded"),
				 errdetail("The script is %s, the library belongs to %s.", script, HONE_SCRIPT),
				 errhint("Restart the server, so that it loads the installed library; without preloading a new session is enough.")));
	hone_task_database_created();
	PG_RETURN_VOID();
}
