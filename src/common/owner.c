/*-------------------------------------------------------------------------
 *
 * owner.c
 *	  Whose table it is, and acting as its owner.
 *
 * Code that a table's owner put into indexes, constraints and defaults must
 * never run with the rights of whoever moves the table. Errors need no undo:
 * aborting a (sub)transaction restores role, security context and settings.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/syscache.h"

#include "common/owner.h"
#include "compat/compat.h"

/* May this role execute the function that stands for it? */
static bool
is_admin(Oid role)
{
	oidvector  *none = buildoidvector(NULL, 0);
	Oid			schema = get_namespace_oid("hone", true);
	Oid			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
										   CStringGetDatum("may_administer"), PointerGetDatum(none),
										   ObjectIdGetDatum(schema));

	pfree(none);
	return OidIsValid(function) && hone_may_execute(function, role);
}

bool
hone_is_owner(Oid relid, Oid role)
{
	Oid			owner = hone_relation_owner(relid);

	return OidIsValid(owner) && (has_privs_of_role(role, owner) || is_admin(role));
}

void
hone_require_owner(Oid relid, Oid role)
{
	char	   *name = hone_require_relation(relid);

	if (!hone_is_owner(relid, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of relation \"%s\"", name),
				 errhint("Only the owner of a table, and who may execute hone.may_administer(), may change how it is stored.")));
}

void
hone_become_owner(Oid relid, HoneRole *saved)
{
	Oid			owner = hone_relation_owner(relid);

	if (!OidIsValid(owner))
		hone_report_missing(relid);
	hone_become_role(owner, saved);
}

void
hone_become_role(Oid role, HoneRole *saved)
{
	GetUserIdAndSecContext(&saved->userid, &saved->sec_context);
	SetUserIdAndSecContext(role,
						   saved->sec_context | SECURITY_RESTRICTED_OPERATION);
	saved->guc_level = NewGUCNestLevel();
	(void) set_config_option("search_path", "pg_catalog, pg_temp",
							 PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
}

void
hone_restore_role(const HoneRole *saved)
{
	AtEOXact_GUC(false, saved->guc_level);
	SetUserIdAndSecContext(saved->userid, saved->sec_context);
}
