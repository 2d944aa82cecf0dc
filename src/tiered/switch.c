/*-------------------------------------------------------------------------
 *
 * switch.c
 *	  heap -> tiered -> heap as a change of the catalog, not a rewrite.
 *
 * A tiered table is "open" from the moment its meta row is written. Plans of
 * an open table always read the batches; those of one that is not open do
 * not. The change from one to the other happens under ACCESS EXCLUSIVE and
 * invalidates the relation's cache entry: whoever planned before has ended
 * its transaction, whoever plans later sees it.
 *
 * Lock order: the table, then its TOAST table, then catalogs.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/toasting.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "common/owner.h"
#include "tiered/am.h"
#include "tiered/defaults.h"
#include "tiered/moves.h"
#include "tiered/store.h"
#include "tiered/switch.h"
#include "tiered/tiered.h"

/*
 * Between two tries for a lock: short, to find the gaps between the
 * transactions of busy writers. And from the first to the last.
 */
#define LOCK_POLL_US	300
#define LOCK_LIMIT_MS	50

Relation
hone_reopen(Oid relid, LOCKMODE mode)
{
	Relation	rel = try_table_open(relid, mode);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the table was dropped meanwhile"),
				 errhint("Nothing is left to do for it.")));
	return rel;
}

bool
hone_try_lock(Oid relid, LOCKMODE mode, int timeout_ms)
{
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		instr_time	now;

		if (ConditionalLockRelationOid(relid, mode))
			return true;
		INSTR_TIME_SET_CURRENT(now);
		INSTR_TIME_SUBTRACT(now, start);
		if (INSTR_TIME_GET_MILLISEC(now) >= Min(timeout_ms, LOCK_LIMIT_MS))
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOCK_POLL_US);
	}
}

bool
hone_somebody_is_there(Oid relid)
{
	LOCKTAG		tag;
	int			count;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	pfree(GetLockConflicts(&tag, AccessExclusiveLock, &count));
	return count > 0;
}

bool
hone_holds_meta(Relation rel)
{
	HoneStore  *store;
	HoneStoreMeta meta;
	bool		found;

	if (!hone_is_tiered(rel))
		return false;
	store = hone_store_open(rel, AccessShareLock);
	if (store == NULL)
		return false;
	PushActiveSnapshot(GetLatestSnapshot());
	found = hone_store_read_meta(store, GetActiveSnapshot(), &meta);
	PopActiveSnapshot();
	hone_store_close(store);
	return found;
}

int64
hone_total_size(Oid relid)
{
	return DatumGetInt64(DirectFunctionCall1(pg_total_relation_size,
											 ObjectIdGetDatum(relid)));
}

Oid
hone_lock_tiered_am(void)
{
	Oid			am = hone_tiered_am_oid();

	if (!OidIsValid(am))
		elog(ERROR, "access method \"tiered\" does not exist");
	LockDatabaseObject(AccessMethodRelationId, am, 0, AccessShareLock);
	return am;
}

/*
 * Point pg_class.relam, and the dependency, at another access method, or at
 * none: a partitioned table without one has the default.
 */
static void
set_access_method(Oid relid, Oid old_am, Oid new_am)
{
	Relation	pg_class = table_open(RelationRelationId, RowExclusiveLock);
	HeapTuple	tuple = SearchSysCacheCopy1(RELOID, ObjectIdGetDatum(relid));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	((Form_pg_class) GETSTRUCT(tuple))->relam = new_am;
	CatalogTupleUpdate(pg_class, &tuple->t_self, tuple);
	heap_freetuple(tuple);
	table_close(pg_class, RowExclusiveLock);

	if ((OidIsValid(new_am) ?
		 changeDependencyFor(RelationRelationId, relid,
							 AccessMethodRelationId, old_am, new_am) :
		 deleteDependencyRecordsForSpecific(RelationRelationId, relid, DEPENDENCY_NORMAL,
											AccessMethodRelationId, old_am)) != 1)
		elog(ERROR, "could not change the access method dependency of relation %u", relid);
	CommandCounterIncrement();
}

static void
write_first_meta(Relation rel, int64 heap_bytes)
{
	HoneStore  *store = hone_store_open(rel, RowExclusiveLock);
	HoneStoreMeta meta;

	memset(&meta, 0, sizeof(meta));
	meta.heap_bytes = heap_bytes;
	PushActiveSnapshot(GetLatestSnapshot());
	hone_store_write_meta(store, GetActiveSnapshot(), &meta);
	PopActiveSnapshot();
	hone_store_close(store);
}

HoneStepResult
hone_switch_open(Oid relid, int lock_timeout_ms)
{
	HoneRole	saved;
	Relation	rel;
	int64		heap_bytes;

	if (!hone_try_lock(relid, AccessExclusiveLock, lock_timeout_ms))
		return HONE_STEP_LOCKED;
	rel = hone_reopen(relid, NoLock);
	hone_tiered_check_compressible(rel);
	CheckTableNotInUse(rel, "CALL hone.compress");
	hone_become_owner(RelationGetRelid(rel), &saved);
	if (!hone_holds_meta(rel))
	{
		heap_bytes = hone_total_size(relid);
		if (!hone_is_tiered(rel))
			set_access_method(relid, rel->rd_rel->relam, hone_lock_tiered_am());
		if (!OidIsValid(rel->rd_rel->reltoastrelid))
		{
			AlterTableCreateToastTable(relid, (Datum) 0, AccessExclusiveLock);
			CommandCounterIncrement();
		}
		write_first_meta(rel, heap_bytes);
		CacheInvalidateRelcache(rel);
	}
	hone_restore_role(&saved);
	table_close(rel, NoLock);
	return HONE_STEP_MORE;
}

HoneStepResult
hone_switch_to_heap(Oid relid, int lock_timeout_ms)
{
	HoneRole	saved;
	Relation	rel;
	HoneStore  *store;
	HoneStepResult result = HONE_STEP_LAST;

	if (!hone_try_lock(relid, AccessExclusiveLock, lock_timeout_ms))
		return HONE_STEP_LOCKED;
	rel = hone_reopen(relid, NoLock);
	CheckTableNotInUse(rel, "CALL hone.decompress");
	hone_become_owner(RelationGetRelid(rel), &saved);
	if (hone_is_tiered(rel))
	{
		store = hone_store_open(rel, RowExclusiveLock);
		if (store != NULL)
		{
			int			nbatches;

			PushActiveSnapshot(GetLatestSnapshot());
			pfree(hone_store_read_directory(store, GetActiveSnapshot(), &nbatches));
			if (nbatches > 0)
				result = HONE_STEP_MORE;
			else if (hone_store_seen_by_anybody(store))
				result = HONE_STEP_SEEN;
			else
			{
				hone_moves_forget(store, GetActiveSnapshot());
				hone_defaults_forget(store, GetActiveSnapshot());
				hone_store_delete_meta(store, GetActiveSnapshot());
			}
			PopActiveSnapshot();
			hone_store_close(store);
		}
		if (result == HONE_STEP_LAST)
		{
			set_access_method(relid, rel->rd_rel->relam, HEAP_TABLE_AM_OID);
			CacheInvalidateRelcache(rel);
		}
	}
	else if (rel->rd_rel->relkind == RELKIND_PARTITIONED_TABLE &&
			 OidIsValid(rel->rd_rel->relam) &&
			 rel->rd_rel->relam == hone_tiered_am_oid())
	{
		set_access_method(relid, rel->rd_rel->relam, InvalidOid);
		CacheInvalidateRelcache(rel);
	}
	hone_restore_role(&saved);
	table_close(rel, NoLock);
	return result;
}
