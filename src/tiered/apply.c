/*-------------------------------------------------------------------------
 *
 * apply.c
 *	  Changes that a subscription applies to a tiered table.
 *
 * To find the row that was changed at the publisher, a subscription scans the
 * table, or an index: that of the replica identity, or from PostgreSQL 16 on
 * any index when the replica identity is FULL. An index holds plain rows only,
 * so a compressed row would not be found and its change be dropped with
 * nothing but a line in the log. So in a process that applies changes no index
 * of an open relation (am.h) is scanned: the scan is refused, for a plain row
 * too, and the subscription stops with an error that says how to go on. The
 * planner's look at the ends of an index, for statements of triggers, is no
 * such scan: there those indexes are hidden from it.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "optimizer/plancat.h"
#include "replication/logicalworker.h"
#include "utils/rel.h"

#include "common/hone.h"
#include "tiered/am.h"
#include "tiered/apply.h"

static get_relation_info_hook_type previous_get_relation_info_hook = NULL;

static void
hide_indexes(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *info)
{
	if (IsLogicalWorker() && info->indexlist != NIL)
	{
		Relation	rel = relation_open(relid, NoLock);

		if (hone_is_tiered(rel) && hone_is_open(rel))
			info->indexlist = NIL;
		relation_close(rel, NoLock);
	}
	if (previous_get_relation_info_hook)
		previous_get_relation_info_hook(root, relid, inhparent, info);
}

void
hone_apply_check_index_scan(Relation rel)
{
	if (IsLogicalWorker() && hone_is_open(rel))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a subscription cannot look for rows of compressed table \"%s\" through an index",
						RelationGetRelationName(rel)),
				 errdetail("An index does not find compressed rows."),
				 errhint("CALL hone.decompress('%s'), or drop the index: then changes to rows that are not compressed are applied.",
						 hone_qualified_name(RelationGetRelid(rel)))));
}

void
hone_apply_init(void)
{
	previous_get_relation_info_hook = get_relation_info_hook;
	get_relation_info_hook = hide_indexes;
}
