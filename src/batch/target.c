/*-------------------------------------------------------------------------
 *
 * target.c
 *	  The physical tables that a table name stands for.
 *
 * A partition is read and changed directly (ONLY) when that makes no
 * difference to the caller: the needed privileges on it, no row security, no
 * statement triggers or rules on either. Otherwise every statement names the
 * partitioned table, so that its privileges, policies and triggers apply, and
 * is limited to the partition by its constraint (for pruning). tableoid limits
 * both (for truth): between two batches a name can come to mean another table.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

#include "batch/target.h"

static void
check_kind(Oid relid, const char *name)
{
	char		kind = get_rel_relkind(relid);

	if (IsCatalogRelationOid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is a system catalog", name),
				 errhint("Name a table of your own.")));
	if (kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a table", name),
			 errdetail_relkind_not_supported(kind),
			 errhint("Batches walk the pages of tables and partitions: name the table behind it.")));
}

/* Is any of these privileges, one bit each, missing on the relation? */
static bool
lacks(Oid relid, AclMode privileges)
{
	if (pg_class_aclmask(relid, GetUserId(), privileges, ACLMASK_ALL) == privileges)
		return false;
	/* an update may be allowed of some columns only */
	return (privileges & ACL_UPDATE) == 0 ||
		pg_class_aclmask(relid, GetUserId(), privileges & ~ACL_UPDATE, ACLMASK_ALL) != (privileges & ~ACL_UPDATE) ||
		pg_attribute_aclcheck_all(relid, GetUserId(), ACL_UPDATE, ACLMASK_ANY) != ACLCHECK_OK;
}

void
hone_batch_check_relation(Oid relid, AclMode privileges)
{
	char	   *name = hone_require_relation(relid);

	check_kind(relid, name);
	if (lacks(relid, privileges | ACL_SELECT))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for table \"%s\"", name),
				 errhint("This needs the privileges %s%s%s and SELECT on the table.",
						 (privileges & ACL_DELETE) ? "DELETE" : "",
						 (privileges & ACL_DELETE) && (privileges & ACL_UPDATE) ? ", for skip_locked also " : "",
						 (privileges & ACL_UPDATE) ? "UPDATE" : "")));
}

List *
hone_batch_leaves(Oid relid)
{
	List	   *all = find_all_inheritors(relid, AccessShareLock, NULL);
	List	   *leaves = NIL;
	ListCell   *lc;

	foreach(lc, all)
	{
		Oid			child = lfirst_oid(lc);
		char		kind = get_rel_relkind(child);

		if (kind == RELKIND_FOREIGN_TABLE)
			ereport(ERROR,
					(errcode(ERRCODE_WRONG_OBJECT_TYPE),
					 errmsg("\"%s\" has the foreign partition \"%s\"",
							get_rel_name(relid), get_rel_name(child)),
					 errhint("Name its local partitions one by one.")));
		if (kind == RELKIND_RELATION)
			leaves = lappend_oid(leaves, child);
	}
	list_sort(leaves, list_oid_cmp);
	return leaves;
}

/*
 * Does a statement on the relation do more than act on its rows?
 */
static bool
has_statement_effects(Oid relid)
{
	Relation	rel = table_open(relid, AccessShareLock);
	bool		effects = rel->rd_rel->relhasrules;

	if (rel->trigdesc != NULL)
		effects |= rel->trigdesc->trig_delete_before_statement ||
			rel->trigdesc->trig_delete_after_statement ||
			rel->trigdesc->trig_update_before_statement ||
			rel->trigdesc->trig_update_after_statement;
	table_close(rel, NoLock);
	return effects;
}

static bool
is_transparent(Oid root, Oid leaf, AclMode privileges)
{
	AclMode		needed = privileges | ACL_SELECT;

	return pg_class_aclmask(leaf, GetUserId(), needed, ACLMASK_ALL) == needed &&
		pg_class_aclmask(root, GetUserId(), needed, ACLMASK_ALL) == needed &&
		check_enable_rls(root, InvalidOid, true) == RLS_NONE &&
		check_enable_rls(leaf, InvalidOid, true) == RLS_NONE &&
		!has_statement_effects(root) && !has_statement_effects(leaf);
}

/*
 * Is leaf still below root?
 */
static bool
is_below(Oid root, Oid leaf)
{
	if (root == leaf)
		return true;
	if (get_rel_relispartition(leaf))
		return list_member_oid(get_partition_ancestors(leaf), root);
	return list_member_oid(find_all_inheritors(root, NoLock, NULL), leaf);
}

/*
 * "tableoid = N AND ", and for a partition reached through its parent the
 * partition's constraint in front of it.
 */
static char *
restriction_for(Oid leaf, bool direct)
{
	StringInfoData buf;

	initStringInfo(&buf);
	if (!direct && get_rel_relispartition(leaf))
	{
		LOCAL_FCINFO(fcinfo, 1);
		Datum		constraint;

		InitFunctionCallInfoData(*fcinfo, NULL, 1, InvalidOid, NULL, NULL);
		fcinfo->args[0].value = ObjectIdGetDatum(leaf);
		fcinfo->args[0].isnull = false;
		constraint = pg_get_partition_constraintdef(fcinfo);
		if (!fcinfo->isnull)
			appendStringInfo(&buf, "(%s) AND ", TextDatumGetCString(constraint));
	}
	appendStringInfo(&buf, "tableoid OPERATOR(pg_catalog.=) %u::pg_catalog.oid AND ", leaf);
	return buf.data;
}

bool
hone_batch_target(Oid root, Oid leaf, AclMode privileges, bool rows_leave,
				  HoneBatchTarget *target)
{
	bool		direct;
	char	   *alias = get_rel_name(root);

	if (alias == NULL || get_rel_name(leaf) == NULL || !is_below(root, leaf))
		return false;
	direct = root == leaf || (!rows_leave && is_transparent(root, leaf, privileges));
	target->relid = leaf;
	target->alias = pstrdup(quote_identifier(alias));
	target->named = direct ? leaf : root;
	target->named_name = hone_qualified_name(target->named);
	target->from = psprintf("%s%s AS %s", direct ? "ONLY " : "", target->named_name,
							quote_identifier(alias));
	target->restriction = restriction_for(leaf, direct);
	return true;
}

Datum
hone_batch_oid_array(List *oids)
{
	Datum	   *values = palloc(Max(list_length(oids), 1) * sizeof(Datum));
	ListCell   *lc;

	foreach(lc, oids)
		values[foreach_current_index(lc)] = ObjectIdGetDatum(lfirst_oid(lc));
	return PointerGetDatum(construct_array(values, list_length(oids), OIDOID, sizeof(Oid), true, TYPALIGN_INT));
}
