/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  Where pg_hone's own objects are, and what is preloaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_operator.h"
#include "commands/extension.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "common/hone.h"

#define DEFAULT_LOCK_TIMEOUT_MS	100

bool		hone_preloaded = false;

void
hone_require_preload(const char *what)
{
	if (hone_preloaded)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("%s needs pg_hone to be preloaded", what),
			 errhint("Set shared_preload_libraries = 'pg_hone' in postgresql.conf and restart the server.")));
}

GucContext
hone_server_start_context(void)
{
	return hone_preloaded ? PGC_POSTMASTER : PGC_SIGHUP;
}

Oid
hone_extension_oid(void)
{
	return get_extension_oid(HONE_EXTENSION, true);
}

int
hone_lock_timeout_ms(void)
{
	const char *value = GetConfigOption("hone.lock_timeout", true, false);
	int			timeout;

	if (value == NULL || !parse_int(value, &timeout, GUC_UNIT_MS, NULL))
		return DEFAULT_LOCK_TIMEOUT_MS;
	return timeout;
}

bool
hone_hold_extension(void)
{
	Oid			oid = hone_extension_oid();

	if (!OidIsValid(oid))
		return false;
	/* what DROP EXTENSION locks first */
	LockDatabaseObject(ExtensionRelationId, oid, 0, AccessShareLock);
	return hone_extension_oid() == oid;
}

Oid
hone_schema_oid(void)
{
	return get_namespace_oid(HONE_SCHEMA, true);
}

/* Somebody may have moved a table of his own into our schema. */
bool
hone_is_own_relation(Oid relid, Oid namespace)
{
	return namespace == hone_schema_oid() &&
		getExtensionOfObject(RelationRelationId, relid) == hone_extension_oid();
}

Oid
hone_relation_oid(const char *name)
{
	Oid			schema = hone_schema_oid();

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

Oid
hone_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}

void
hone_report_missing(Oid relid)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("relation with OID %u does not exist", relid),
			 errhint("It may have been dropped in the meantime.")));
}

char *
hone_require_relation(Oid relid)
{
	char	   *name = get_rel_name(relid);

	if (name == NULL)
		hone_report_missing(relid);
	return name;
}

char *
hone_qualified_name(Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema = name ? get_namespace_name(get_rel_namespace(relid)) : NULL;
	char	   *qualified = schema ? quote_qualified_identifier(schema, name) : NULL;

	/* called for each batch of a long call */
	if (schema)
		pfree(schema);
	if (name)
		pfree(name);
	return qualified;
}

bool
hone_has_name(List *names, const char *name)
{
	ListCell   *lc;

	foreach(lc, names)
	{
		if (strcmp(lfirst(lc), name) == 0)
			return true;
	}
	return false;
}

char *
hone_collation_text(Oid collation)
{
	HeapTuple	tuple = SearchSysCache1(COLLOID, ObjectIdGetDatum(collation));
	Form_pg_collation form;
	char	   *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for collation %u", collation);
	form = (Form_pg_collation) GETSTRUCT(tuple);
	text = quote_qualified_identifier(get_namespace_name(form->collnamespace),
									  NameStr(form->collname));
	ReleaseSysCache(tuple);
	return text;
}

char *
hone_operator_text(Oid opno)
{
	HeapTuple	tuple = SearchSysCache1(OPEROID, ObjectIdGetDatum(opno));
	Form_pg_operator form;
	char	   *text;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator %u", opno);
	form = (Form_pg_operator) GETSTRUCT(tuple);
	text = psprintf("OPERATOR(%s.%s)",
					quote_identifier(get_namespace_name(form->oprnamespace)), NameStr(form->oprname));
	ReleaseSysCache(tuple);
	return text;
}

int
hone_plain_texts(bool utc)
{
	static const char *const settings[][2] = {
		{"datestyle", "ISO"}, {"intervalstyle", "postgres"},
		{"extra_float_digits", "3"}, {"lc_monetary", "C"}, {"search_path", "pg_catalog"},
		{"timezone", "GMT"}
	};
	int			level = NewGUCNestLevel();

	for (int i = 0; i < lengthof(settings) - (utc ? 0 : 1); i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}
