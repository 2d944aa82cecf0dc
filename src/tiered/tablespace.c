/*-------------------------------------------------------------------------
 *
 * tablespace.c
 *	  Moving a table, its TOAST table and all indexes to another tablespace
 *	  beside its readers and writers.
 *
 * ALTER TABLE ... SET TABLESPACE keeps everybody away for as long as the copy
 * takes. Here one transaction makes new files (copy.c), follows the WAL to
 * know which pages were changed after they had been copied (wal_changes.c),
 * copies these again until few are left, and then, under ACCESS EXCLUSIVE,
 * copies the rest and points pg_class at the new files.
 *
 * Comparing the LSN of each page with that of the last pass would do too, but
 * means to read the whole table with everybody kept away. And a page can be
 * marked all-visible without a new LSN, where there are no checksums.
 *
 * Locks. While it copies it has SHARE UPDATE EXCLUSIVE on the table, its TOAST
 * table and the indexes: that keeps VACUUM from cutting files short, and who
 * waits for a lock that it stands in the way of can be seen. It then lets go
 * of all of them, waits a little, takes them again and goes on: relations
 * whose files are others by then, or shorter, are copied anew. ACCESS
 * EXCLUSIVE is polled for, by hone_try_lock's rules. It never waits for a
 * lock, so it is never the one that a deadlock waits on.
 *
 * Neither snapshot nor transaction id is held while it copies, so VACUUM of
 * other tables is not kept from removing rows. But files that go with an abort
 * are only taken away from standbys too if the transaction has an id: it gets
 * one when it fails. After a crash files of no table may stay, as after that
 * of an ALTER TABLE.
 *
 * Unlogged tables are not in the WAL: they are moved by ALTER TABLE, under an
 * ACCESS EXCLUSIVE that is polled for. Temporary ones are refused.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_tablespace.h"
#include "catalog/storage.h"
#include "commands/tablecmds.h"
#include "commands/tablespace.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "portability/instr_time.h"
#include "storage/ipc.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "tiered/am.h"
#include "tiered/copy.h"
#include "tiered/run.h"
#include "tiered/switch.h"
#include "tiered/tiered.h"
#include "tiered/wal_changes.h"

/*
 * Tries for a lock before it is an error, if that is not sooner than the copy
 * took. Between them a pause, as long as a try may take but not longer than
 * this.
 */
#define MAX_ATTEMPTS		50
#define RETRY_PAUSE_MS		100

/* Between two tries for the last lock: to find gaps between transactions. */
#define SWAP_POLL_US		300
#define SWAP_LIMIT_MS		50

/* Pages between two looks for waiters, and between two looks into the WAL. */
#define GIVE_WAY_PAGES		256
#define FOLLOW_PAGES		2048

/*
 * So few pages may be left for the last pass; or more, when so many passes did
 * not make them fewer.
 */
#define FEW_PAGES			64
#define MAX_PASSES			20

/* Times that DDL of others may change what is copied. */
#define MAX_RESTARTS		20

typedef struct Move
{
	Oid			relid;
	Oid			tablespace;
	int			lock_timeout_ms;
	MemoryContext context;		/* of copies */
	XLogReaderState *wal;
	List	   *rels;			/* Relations that are held, the table first */
	List	   *copies;			/* HoneCopy, of those to be moved */
	bool		created;		/* files */
	int			pages;			/* since the WAL was looked at */
	int			restarts;
	bool		complete;		/* all was copied once */
	instr_time	started;
	instr_time	completed;
} Move;

static double
ms_since(instr_time start)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, start);
	return INSTR_TIME_GET_MILLISEC(now);
}

/* ------------------------------------------------------------------------
 * What may be moved
 * ------------------------------------------------------------------------
 */

static void
refuse(Relation rel, int code, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(code),
			 errmsg("cannot move \"%s\" to another tablespace: %s",
					RelationGetRelationName(rel), why),
			 errhint("%s", hint)));
}

static void
check_relation(Relation rel)
{
	if (rel->rd_rel->relkind != RELKIND_RELATION)
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is not a table",
			   "Only ordinary tables and partitions of partitioned tables can be moved.");
	if (IsSystemRelation(rel) || IsCatalogNamespace(RelationGetNamespace(rel)))
		refuse(rel, ERRCODE_WRONG_OBJECT_TYPE, "it is a system table",
			   "Only user tables can be moved.");
	if (!HONE_OWNS_RELATION(RelationGetRelid(rel)))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, RelationGetRelationName(rel));
	if (RelationUsesLocalBuffers(rel))
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED, "it is a temporary table",
			   "Only permanent tables are moved.");
	if (!hone_is_tiered(rel) && rel->rd_rel->relam != HEAP_TABLE_AM_OID)
		refuse(rel, ERRCODE_FEATURE_NOT_SUPPORTED,
			   "its access method is neither heap nor tiered",
			   "Use ALTER TABLE ... SET TABLESPACE.");
}

static void
check_tablespace(Oid tablespace)
{
	char	   *name = get_tablespace_name(tablespace);

	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("tablespace with OID %u does not exist", tablespace)));
	if (tablespace == GLOBALTABLESPACE_OID)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("only shared relations can be placed in pg_global tablespace")));
	if (tablespace == MyDatabaseTableSpace)
		return;
	if (!hone_may_create_in_tablespace(tablespace, GetUserId()))
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_TABLESPACE, name);
}

/* Raise an error unless the current role may move rel there. */
static void
check_move(Relation rel, Oid tablespace)
{
	check_relation(rel);
	check_tablespace(tablespace);
}

static bool
is_there(Relation rel, Oid tablespace)
{
	Oid			current = rel->rd_rel->reltablespace;

	return (OidIsValid(current) ? current : MyDatabaseTableSpace) == tablespace;
}

/* ------------------------------------------------------------------------
 * Holding the table with all that belongs to it
 * ------------------------------------------------------------------------
 */

/*
 * Leave it to others for a while. Nothing of it has changed.
 */
static void
let_go(Move *move)
{
	ListCell   *lc;

	foreach(lc, move->rels)
	{
		Relation	rel = lfirst(lc);
		Oid			relid = RelationGetRelid(rel);

		relation_close(rel, NoLock);
		UnlockRelationOid(relid, ShareUpdateExclusiveLock);
	}
	list_free(move->rels);
	move->rels = NIL;
}

static bool
hold_one(Move *move, Oid relid)
{
	Relation	rel;

	if (!ConditionalLockRelationOid(relid, ShareUpdateExclusiveLock))
		return false;
	rel = try_relation_open(relid, NoLock);
	if (rel == NULL)
	{
		UnlockRelationOid(relid, ShareUpdateExclusiveLock);
		return false;
	}
	move->rels = lappend(move->rels, rel);
	return true;
}

static bool
hold_indexes(Move *move, Relation rel)
{
	ListCell   *lc;

	foreach(lc, RelationGetIndexList(rel))
	{
		if (!hold_one(move, lfirst_oid(lc)))
			return false;
	}
	return true;
}

static bool
hold_parts(Move *move)
{
	Relation	rel = linitial(move->rels);
	Oid			toast = rel->rd_rel->reltoastrelid;

	if (OidIsValid(toast) &&
		!(hold_one(move, toast) && hold_indexes(move, llast(move->rels))))
		return false;
	return hold_indexes(move, rel);
}

/*
 * Lock and open all of it. False: something of it is locked by others, and
 * nothing is held.
 */
static bool
hold(Move *move)
{
	MemoryContext old = MemoryContextSwitchTo(move->context);
	bool		held = false;

	if (hone_try_lock(move->relid, ShareUpdateExclusiveLock, move->lock_timeout_ms))
	{
		move->rels = list_make1(hone_reopen(move->relid, NoLock));
		check_move(linitial(move->rels), move->tablespace);
		held = hold_parts(move);
		if (!held)
			let_go(move);
	}
	MemoryContextSwitchTo(old);

	/* of the look into the catalogs: keeps VACUUM from removing rows */
	InvalidateCatalogSnapshot();
	return held;
}

static bool
others_wait(Move *move)
{
	ListCell   *lc;

	foreach(lc, move->rels)
	{
		if (LockHasWaitersRelation(lfirst(lc), ShareUpdateExclusiveLock))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------
 * Copies
 * ------------------------------------------------------------------------
 */

static HoneCopy *
copy_from(Move *move, const RelFileLocator *locator)
{
	ListCell   *lc;

	foreach(lc, move->copies)
	{
		HoneCopy   *copy = lfirst(lc);

		if (RelFileLocatorEquals(copy->from, *locator))
			return copy;
	}
	return NULL;
}

static Relation
original_of(Move *move, HoneCopy *copy)
{
	ListCell   *lc;

	foreach(lc, move->rels)
	{
		Relation	rel = lfirst(lc);

		if (RelationGetRelid(rel) == copy->relid &&
			RelFileLocatorEquals(HONE_LOCATOR(rel), copy->from))
			return rel;
	}
	return NULL;
}

static void
page_changed(void *arg, const RelFileLocator *locator, BlockNumber block)
{
	HoneCopy   *copy = copy_from(arg, locator);

	if (copy != NULL)
		hone_copy_page_changed(copy, block);
}

static void
files_cut(void *arg, const RelFileLocator *locator)
{
	HoneCopy   *copy = copy_from(arg, locator);

	if (copy != NULL)
		hone_copy_cut(copy);
}

static void
follow(Move *move)
{
	hone_wal_follow(move->wal, page_changed, files_cut, move);
	move->pages = 0;
}

/*
 * Throw away copies of what is not there any more, or was moved by somebody
 * else, and begin those that are missing.
 */
static void
match_copies(Move *move)
{
	MemoryContext old = MemoryContextSwitchTo(move->context);
	bool		discarded = false;
	ListCell   *lc;

	follow(move);
	foreach(lc, move->copies)
	{
		HoneCopy   *copy = lfirst(lc);
		Relation	rel = original_of(move, copy);

		if (rel != NULL && !copy->cut && !is_there(rel, move->tablespace))
			continue;
		move->copies = foreach_delete_current(move->copies, lc);
		hone_copy_discard(copy);
		discarded = true;
	}
	if (discarded && ++move->restarts > MAX_RESTARTS)
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not move table \"%s\": other sessions keep changing how it is stored",
						RelationGetRelationName((Relation) linitial(move->rels))),
				 errhint("Try again when the table is less busy.")));
	foreach(lc, move->rels)
	{
		Relation	rel = lfirst(lc);

		if (is_there(rel, move->tablespace) || copy_from(move, &HONE_LOCATOR(rel)) != NULL)
			continue;
		move->created = true;
		move->copies = lappend(move->copies, hone_copy_begin(rel, move->tablespace));
		move->complete = false;
	}
	MemoryContextSwitchTo(old);
}

/*
 * Go once through all copies. False: others wait.
 */
static bool
copy_changes(Move *move, bool give_way, int64 *pages)
{
	ListCell   *lc;

	*pages = 0;
	follow(move);
	foreach(lc, move->copies)
	{
		HoneCopy   *copy = lfirst(lc);
		Relation	rel = original_of(move, copy);
		int			done;

		hone_copy_begin_pass(copy, rel);
		while ((done = hone_copy_some(copy, rel, GIVE_WAY_PAGES)) > 0)
		{
			*pages += done;
			move->pages += done;
			if (give_way && others_wait(move))
				return false;
			if (give_way && move->pages >= FOLLOW_PAGES)
				follow(move);
		}
	}
	return true;
}

/*
 * All but a few pages. False: others wait.
 */
static bool
catch_up(Move *move)
{
	ListCell   *lc;
	int64		pages;

	for (int pass = 0; pass < MAX_PASSES; pass++)
	{
		if (!copy_changes(move, true, &pages))
			return false;
		if (pages <= FEW_PAGES)
			break;
	}
	if (move->complete)
		return true;
	move->complete = true;
	INSTR_TIME_SET_CURRENT(move->completed);
	foreach(lc, move->copies)
	{
		HoneCopy   *copy = lfirst(lc);

		hone_copy_free_space(copy, original_of(move, copy));
		if (!XLogIsNeeded())
			hone_copy_sync(copy);
	}
	return copy_changes(move, true, &pages);
}

/* ------------------------------------------------------------------------
 * The swap
 * ------------------------------------------------------------------------
 */

static bool
nobody_is_there(Move *move)
{
	ListCell   *lc;

	foreach(lc, move->rels)
	{
		if (hone_somebody_is_there(RelationGetRelid((Relation) lfirst(lc))))
			return false;
	}
	return true;
}

/*
 * Standbys keep an ACCESS EXCLUSIVE lock until the transaction ends, also if
 * it is given back here. So it is asked for only when all are free; then it can
 * only be missed by somebody who comes in that moment and has the lock of an
 * index or TOAST table alone.
 */
static bool
lock_free(Move *move)
{
	int			nlocked = 0;
	ListCell   *lc;

	if (!nobody_is_there(move))
		return false;
	foreach(lc, move->rels)
	{
		if (!ConditionalLockRelation(lfirst(lc), AccessExclusiveLock))
			break;
		nlocked++;
	}
	if (nlocked == list_length(move->rels))
		return true;
	while (nlocked > 0)
		UnlockRelation(list_nth(move->rels, --nlocked), AccessExclusiveLock);
	return false;
}

static bool
lock_to_swap(Move *move)
{
	instr_time	start;

	INSTR_TIME_SET_CURRENT(start);
	for (;;)
	{
		if (others_wait(move))
			return false;
		if (lock_free(move))
			return true;
		if (ms_since(start) >= Min(move->lock_timeout_ms, SWAP_LIMIT_MS))
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(SWAP_POLL_US);
	}
}

static void
swap_one(Relation rel, HoneCopy *copy, Oid tablespace)
{
	RelationDropStorage(rel);
	SetRelationTableSpace(rel, tablespace, HONE_FILE_NUMBER(&copy->to));
	InvokeObjectPostAlterHook(RelationRelationId, RelationGetRelid(rel), 0);
	RelationAssumeNewRelfilelocator(rel);
}

/*
 * The few pages that are left, and the new files in place of the old ones. The
 * locks stay until the transaction ends.
 */
static void
swap(Move *move)
{
	instr_time	locked;
	int64		pages;
	ListCell   *lc;

	INSTR_TIME_SET_CURRENT(locked);
	CheckTableNotInUse(linitial(move->rels), "CALL hone.move_partition");
	(void) copy_changes(move, false, &pages);
	foreach(lc, move->copies)
	{
		HoneCopy   *copy = lfirst(lc);

		hone_copy_visibility(copy, original_of(move, copy));
	}
	foreach(lc, move->copies)
	{
		HoneCopy   *copy = lfirst(lc);

		swap_one(original_of(move, copy), copy, move->tablespace);
	}
	foreach(lc, move->rels)
		relation_close(lfirst(lc), NoLock);
	move->rels = NIL;
	CommandCounterIncrement();
	ereport(DEBUG1,
			(errmsg_internal("pg_hone: copied the last " INT64_FORMAT " pages with the table locked, in %.1f ms",
							 pages, ms_since(locked))));
}

/* ------------------------------------------------------------------------
 * The whole
 * ------------------------------------------------------------------------
 */

static void
report_locked(Oid relid)
{
	char	   *name = hone_qualified_name(relid);

	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not lock table %s: other sessions are using it",
					name ? name : "?"),
			 errdetail("It stays where it is; what was copied was thrown away."),
			 errhint("Try again when the table is less busy.")));
}

static void
pause_between_tries(int lock_timeout_ms)
{
	CHECK_FOR_INTERRUPTS();
	pg_usleep(Min(lock_timeout_ms, RETRY_PAUSE_MS) * 1000L);
}

/*
 * Enough of it: as many tries as others get, and as much time as the copy
 * took, which would have to be made again.
 */
static bool
out_of_patience(Move *move, int attempts)
{
	instr_time	took = move->completed;

	if (attempts < MAX_ATTEMPTS)
		return false;
	if (!move->complete)
		return true;
	INSTR_TIME_SUBTRACT(took, move->started);
	return ms_since(move->completed) >= INSTR_TIME_GET_MILLISEC(took);
}

static void
move_files(Move *move)
{
	int			attempts = 0;

	INSTR_TIME_SET_CURRENT(move->started);
	for (;;)
	{
		if (hold(move))
		{
			match_copies(move);
			if (catch_up(move) && lock_to_swap(move))
				break;

			/* to give way in the midst of copying is no failure */
			if (!move->complete)
				attempts = 0;
			let_go(move);
		}
		else
			follow(move);		/* before the server removes it */
		if (out_of_patience(move, ++attempts))
			report_locked(move->relid);
		pause_between_tries(move->lock_timeout_ms);
	}
	swap(move);
}

/*
 * After an error, and where the session ends: what no resource owner knows of,
 * and what standbys must be told of.
 */
static void
clean_up(int code, Datum arg)
{
	Move	   *move = (Move *) DatumGetPointer(arg);

	MyProc	  ->delayChkptFlags &= ~DELAY_CHKPT_START;

	if (move->wal != NULL)
		hone_wal_end(move->wal);
	move->wal = NULL;
	if (move->created)
		(void) GetCurrentTransactionId();
}

static void
move_logged(Move *move)
{
	move->context = AllocSetContextCreate(CurrentMemoryContext, "hone tablespace",
										  ALLOCSET_DEFAULT_SIZES);
	PG_ENSURE_ERROR_CLEANUP(clean_up, PointerGetDatum(move));
	{
		move->wal = hone_wal_begin();
		move_files(move);
	}
	PG_END_ENSURE_ERROR_CLEANUP(clean_up, PointerGetDatum(move));
	hone_wal_end(move->wal);
	move->wal = NULL;
	MemoryContextDelete(move->context);
}

static void
set_tablespace_plainly(Oid relid, const char *tablespace)
{
	AlterTableCmd *command = makeNode(AlterTableCmd);

	command->subtype = AT_SetTableSpace;
	command->name = pstrdup(tablespace);
	AlterTableInternal(relid, list_make1(command), false);
}

/*
 * One try to move an unlogged table.
 */
static bool
move_unlogged(Move *move)
{
	char	   *name = get_tablespace_name(move->tablespace);
	List	   *oids = NIL;
	ListCell   *lc;
	bool		locked;

	move->context = CurrentMemoryContext;
	if (!hold(move))
		return false;
	locked = lock_to_swap(move);
	if (locked)
	{
		Relation	rel = linitial(move->rels);

		CheckTableNotInUse(rel, "CALL hone.move_partition");
		oids = lcons_oid(move->relid, list_copy(RelationGetIndexList(rel)));
	}
	let_go(move);
	foreach(lc, oids)
	{
		PushActiveSnapshot(GetLatestSnapshot());
		set_tablespace_plainly(lfirst_oid(lc), name);
		PopActiveSnapshot();
		CommandCounterIncrement();
	}
	return locked;
}

/*
 * Where all of it is, or what cannot be copied by way of the WAL.
 */
static void
look_at(Move *move, bool *nothing_to_do, bool *logged)
{
	Relation	rel = relation_open(move->relid, AccessShareLock);
	ListCell   *lc;

	check_move(rel, move->tablespace);
	*logged = rel->rd_rel->relpersistence == RELPERSISTENCE_PERMANENT;
	*nothing_to_do = is_there(rel, move->tablespace);
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);

		*nothing_to_do = *nothing_to_do && is_there(index, move->tablespace);
		index_close(index, AccessShareLock);
	}
	relation_close(rel, AccessShareLock);
}

bool
hone_tiered_set_tablespace(Oid relid, Oid tablespace, int lock_timeout_ms,
						   HoneTieredNextTransaction next_transaction, void *arg)
{
	Move		move = {.relid = relid,
		.tablespace = tablespace,
	.lock_timeout_ms = lock_timeout_ms};
	bool		nothing_to_do;
	bool		logged;

	look_at(&move, &nothing_to_do, &logged);
	if (nothing_to_do)
		return false;
	hone_next_step(next_transaction, arg);
	if (logged)
		move_logged(&move);
	else
	{
		for (int attempts = 1; !move_unlogged(&move); attempts++)
		{
			if (attempts >= MAX_ATTEMPTS)
				report_locked(relid);
			hone_next_step(next_transaction, arg);
			pause_between_tries(lock_timeout_ms);
		}
	}
	next_transaction(arg);
	return true;
}
