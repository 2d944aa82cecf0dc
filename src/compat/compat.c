/*-------------------------------------------------------------------------
 *
 * compat.c
 *	  Version differences that need a function (see compat.h).
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <fcntl.h>

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/table.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "commands/explain.h"
#include "commands/vacuum.h"
#include "executor/executor.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "tcop/tcopprot.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/rel.h"

#include "compat/compat.h"

bool
hone_compat_last_scan(Oid relid, TimestampTz *at)
{
#if PG_VERSION_NUM >= 160000
	PgStat_StatTabEntry *entry = pgstat_fetch_stat_tabentry(relid);

	if (entry == NULL || entry->lastscan == 0)
		return false;
	*at = entry->lastscan;
	return true;
#else
	return false;
#endif
}

void
hone_compat_add_reltuples(Relation rel, double rows)
{
	Relation	pg_class = table_open(RelationRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	/* not from the cache: VACUUM has just changed the row in place */
	ScanKeyInit(&key, Anum_pg_class_oid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(RelationGetRelid(rel)));
	scan = systable_beginscan(pg_class, ClassOidIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	if (HeapTupleIsValid(tuple))
	{
		FormData_pg_class form = *(Form_pg_class) GETSTRUCT(tuple);

		systable_endscan(scan);
		vac_update_relstats(rel, form.relpages, form.reltuples + rows,
							form.relallvisible,
#if PG_VERSION_NUM >= 180000
							form.relallfrozen,
#endif
							form.relhasindex, InvalidTransactionId,
							InvalidMultiXactId, NULL, NULL, true);
	}
	else
		systable_endscan(scan);
	table_close(pg_class, AccessShareLock);
}

List *
hone_compat_insert_index_tuples(ResultRelInfo *info, TupleTableSlot *slot,
								EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, false);
#else
	return ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL);
#endif
}

void
hone_compat_analyze_heap_block(TableScanDesc scan, BlockNumber block,
							   BufferAccessStrategy strategy)
{
#if PG_VERSION_NUM >= 170000
	HeapScanDesc heap = (HeapScanDesc) scan;

	heap->rs_cblock = block;
	heap->rs_cbuf = ReadBufferExtended(scan->rs_rd, MAIN_FORKNUM, block,
									   RBM_NORMAL, strategy);
	heap->rs_cindex = FirstOffsetNumber;
	LockBuffer(heap->rs_cbuf, BUFFER_LOCK_SHARE);
#else
	(void) GetHeapamTableAmRoutine()->scan_analyze_next_block(scan, block, strategy);
#endif
}

uint64
hone_compat_jumble_utility(Node *statement)
{
#if PG_VERSION_NUM >= 160000
	Query	   *query = makeNode(Query);
	JumbleState *jstate;
	uint64		queryid;

	query->commandType = CMD_UTILITY;
	query->utilityStmt = statement;
	jstate = JumbleQuery(query);
	queryid = HONE_QUERYID(query);
	pfree(jstate->jumble);
	pfree(jstate->clocations);
	pfree(jstate);
	pfree(query);
	return queryid;
#else
	return 0;
#endif
}

bool
hone_compat_not_null_is_valid(Oid relid, AttrNumber attnum)
{
#if PG_VERSION_NUM >= 180000
	HeapTuple	tuple = findNotNullConstraintAttnum(relid, attnum);
	Form_pg_constraint constraint;

	if (!HeapTupleIsValid(tuple))
		return false;
	constraint = (Form_pg_constraint) GETSTRUCT(tuple);
	return constraint->convalidated && !constraint->connoinherit;
#else
	return true;
#endif
}

void
hone_compat_forget_pages(int fd)
{
#if defined(USE_POSIX_FADVISE) && defined(POSIX_FADV_DONTNEED)
	(void) posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
#endif
}

struct config_generic **
hone_compat_settings(int *count)
{
#if PG_VERSION_NUM >= 160000
	return get_guc_variables(count);
#else
	*count = GetNumConfigOptions();
	return get_guc_variables();
#endif
}

void
hone_compat_check_permissions(Query *query)
{
#if PG_VERSION_NUM >= 160000
	(void) ExecCheckPermissions(query->rtable, query->rteperminfos, true);
#else
	(void) ExecCheckRTPerms(query->rtable, true);
#endif
}

void
hone_compat_freeze_setting(const char *name)
{
	int			count;
	struct config_generic **settings = hone_compat_settings(&count);

	for (int i = 0; i < count; i++)
	{
		if (strcmp(settings[i]->name, name) == 0)
		{
			settings[i]->context = PGC_INTERNAL;
			return;
		}
	}
	elog(ERROR, "there is no setting \"%s\"", name);
}

const char *
hone_compat_server_version(void)
{
	return GetConfigOption("server_version", false, false);
}

RelFileLocator
hone_compat_new_locator(Relation rel, Oid tablespace)
{
	RelFileLocator locator = HONE_LOCATOR(rel);

#if PG_VERSION_NUM >= 160000
	locator.spcOid = tablespace;
	locator.relNumber = GetNewRelFileNumber(tablespace, NULL, rel->rd_rel->relpersistence);
#else
	locator.spcNode = tablespace;
	locator.relNode = GetNewRelFileNode(tablespace, NULL, rel->rd_rel->relpersistence);
#endif
	return locator;
}

void
hone_compat_explain_one_query(Query *query, int cursor_options, IntoClause *into,
							  struct ExplainState *es, const char *text,
							  ParamListInfo params, QueryEnvironment *environment)
{
#if PG_VERSION_NUM >= 170000
	standard_ExplainOneQuery(query, cursor_options, into, es, text, params, environment);
#else
	instr_time	start;
	instr_time	duration;
	BufferUsage before = pgBufferUsage;
	BufferUsage usage = {0};
	PlannedStmt *plan;

	INSTR_TIME_SET_CURRENT(start);
	plan = pg_plan_query(query, text, cursor_options, params);
	INSTR_TIME_SET_CURRENT(duration);
	INSTR_TIME_SUBTRACT(duration, start);
	if (es->buffers)
		BufferUsageAccumDiff(&usage, &pgBufferUsage, &before);
	ExplainOnePlan(plan, into, es, text, params, environment, &duration,
				   es->buffers ? &usage : NULL);
#endif
}
