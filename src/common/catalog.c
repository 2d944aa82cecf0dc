/*-------------------------------------------------------------------------
 *
 * catalog.c
 *	  Where pg_hone's own objects are, and what is preloaded.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "commands/extension.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "common/hone.h"

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

Oid
hone_extension_oid(void)
{
	return get_extension_oid(HONE_EXTENSION, true);
}

Oid
hone_schema_oid(void)
{
	return get_namespace_oid(HONE_SCHEMA, true);
}

Oid
hone_relation_oid(const char *name)
{
	Oid			schema = hone_schema_oid();

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

char *
hone_qualified_name(Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema = name ? get_namespace_name(get_rel_namespace(relid)) : NULL;

	return schema ? quote_qualified_identifier(schema, name) : NULL;
}
