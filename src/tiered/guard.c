/*-------------------------------------------------------------------------
 *
 * guard.c
 *	  Nobody loses data to an uninstall.
 *
 * An event trigger on ddl_command_start, a member of the extension, refuses
 * DROP EXTENSION pg_hone (CASCADE too) and DROP OWNED BY its owner while
 * tables are tiered. It works without preloading; DROP ACCESS METHOD and DROP
 * SCHEMA of members are refused by PostgreSQL itself.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "commands/event_trigger.h"
#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "tiered/tiered.h"

PG_FUNCTION_INFO_V1(hone_guard_drop);

static bool
names_extension(List *objects)
{
	ListCell   *lc;

	foreach(lc, objects)
	{
		if (IsA(lfirst(lc), String) && strcmp(strVal(lfirst(lc)), HONE_EXTENSION) == 0)
			return true;
	}
	return false;
}

static Oid
extension_owner(void)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	Oid			owner = InvalidOid;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber,
				F_NAMEEQ, CStringGetDatum(HONE_EXTENSION));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
		owner = ((Form_pg_extension) GETSTRUCT(tuple))->extowner;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return owner;
}

static bool
names_extension_owner(List *roles)
{
	Oid			owner = extension_owner();
	ListCell   *lc;

	foreach(lc, roles)
	{
		if (get_rolespec_oid(lfirst_node(RoleSpec, lc), true) == owner)
			return true;
	}
	return false;
}

/*
 * Name of some tiered relation and how many there are. Temporary ones do not
 * count: they cannot be compressed, and end with their sessions.
 *
 * The access method is
 * locked first, as dropping it does: a table whose switch to it is not yet
 * committed is waited for and counted, and none follows.
 */
static int
count_tiered(char **example)
{
	Oid			am = hone_tiered_am_oid();
	Relation	rel;
	SysScanDesc scan;
	HeapTuple	tuple;
	int			count = 0;

	if (OidIsValid(am))
		LockDatabaseObject(AccessMethodRelationId, am, 0, AccessExclusiveLock);
	rel = table_open(RelationRelationId, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);

		/* pg_hone's own go with it */
		if (!OidIsValid(am) || form->relam != am ||
			form->relpersistence == RELPERSISTENCE_TEMP ||
			hone_is_own_relation(form->oid, form->relnamespace))
			continue;
		if (count++ == 0)
			*example = hone_qualified_name(form->oid);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return count;
}

Datum
hone_guard_drop(PG_FUNCTION_ARGS)
{
	EventTriggerData *data;
	bool		concerned = false;
	char	   *example = NULL;
	int			count;

	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_EVENT_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hone._guard_drop is an event trigger function"),
				 errhint("It cannot be called directly.")));

	data = (EventTriggerData *) fcinfo->context;
	if (IsA(data->parsetree, DropStmt))
	{
		DropStmt   *drop = (DropStmt *) data->parsetree;

		concerned = drop->removeType == OBJECT_EXTENSION && names_extension(drop->objects);
	}
	else if (IsA(data->parsetree, DropOwnedStmt))
		concerned = names_extension_owner(((DropOwnedStmt *) data->parsetree)->roles);

	if (concerned && (count = count_tiered(&example)) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_DEPENDENT_OBJECTS_STILL_EXIST),
				 errmsg("cannot drop extension pg_hone: %d tables are tiered, %s among them",
						count, example ? example : "?"),
				 errdetail("Their compressed rows can only be read with pg_hone."),
				 errhint("CALL hone.decompress_all() first.")));
	PG_RETURN_NULL();
}
