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

#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/guc.h"

#include "common/owner.h"

bool
hone_is_owner(Oid relid, Oid role)
{
	Oid			owner = hone_relation_owner(relid);

	return OidIsValid(owner) && has_privs_of_role(role, owner);
}

void
hone_require_owner(Oid relid, Oid role)
{
	char	   *name = hone_require_relation(relid);

	if (!hone_is_owner(relid, role))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of relation \"%s\"", name),
				 errhint("Only the owner of a table may change how it is stored: run it as that role.")));
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
