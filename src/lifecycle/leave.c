/*-------------------------------------------------------------------------
 *
 * leave.c
 *	  Partitions that leave their table: archived and dropped, or dropped.
 *
 * In this order, each in transactions of its own, with what was done so far
 * written down in hone._tier_leaving, so that a later try goes on:
 *
 * 1. The rows are written to an archive, which is read back and compared,
 *	  without blocking anybody.
 * 2. The partition is detached: CONCURRENTLY, or where there is a default
 *	  partition under the lock timeout; one that is left pending is finalised.
 * 3. With the detached table locked, so that nobody can write to it any more:
 *	  if it has changed since it was written, it is written anew. Then it is
 *	  dropped, and in the same transaction the archive counts.
 *
 * So each row is in the table or in a verified archive that counts, at any
 * moment. Strong locks are not queued for: only tried.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "common/owner.h"
#include "common/procedure.h"
#include "common/toplevel.h"
#include "lifecycle/archive_file.h"
#include "lifecycle/changes.h"
#include "lifecycle/leave.h"
#include "lifecycle/shared.h"
#include "tiered/progress.h"
#include "tiered/tiered.h"

/* Tries of each step that needs a lock, and the pause between them. */
#define ATTEMPTS		50
#define PAUSE_MS		100

/* Transactions are waited for so long, where that keeps nobody from anything. */
#define PATIENCE_MS		10000
#define POLL_MS			20

/* What hone._tier_leaving and hone._archive know of the partition. */
typedef struct Leaving
{
	bool		known;
	Oid			parent;
	char	   *archive;		/* its name; NULL */
	char	   *unfinished;		/* one that may be there in part; NULL */
	HoneMark	mark;
	HoneArchiveFile file;
	HoneArchiveOrigin origin;
	const HoneTieredPace *pace; /* of writing it, or NULL */
	int64		written;		/* bytes of text that were paused for */
} Leaving;

/* ------------------------------------------------------------------------
 * What is written down
 * ------------------------------------------------------------------------
 */

/* Run one statement as the owner of pg_hone's tables; its rows stay in SPI. */
static uint64
run(const char *sql, int nargs, Oid *types, Datum *values, const char *nulls)
{
	HoneRole	saved;

	hone_become_owner(hone_relation_oid("_tier_leaving"), &saved);
	if (SPI_execute_with_args(sql, nargs, types, values, nulls, false, 0) < 0)
		elog(ERROR, "could not write down a move");
	hone_restore_role(&saved);
	return SPI_processed;
}

static uint64
run_for(const char *sql, Oid partition)
{
	Oid			types[] = {OIDOID};
	Datum		values[1];

	values[0] = ObjectIdGetDatum(partition);
	return run(sql, 1, types, values, NULL);
}

/* A column of the only row, copied to where the procedure's things are. */
static char *
text_of(int column)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column);

	return text ? MemoryContextStrdup(hone_procedure_context(), text) : NULL;
}

static Datum
value_of(int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, column, isnull);
}

static int64
integer_of(int column)
{
	bool		isnull;
	Datum		value = value_of(column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static void
read_leaving(Oid partition, Leaving *leaving)
{
	bool		isnull;
	char	   *sha256;

	memset(leaving, 0, sizeof(*leaving));
	if (run_for("SELECT l.parent, a.name, l.lsn, l.files, a.rows, a.raw_bytes, a.bytes, a.sha256, a.bound, l.archive"
				" FROM hone._tier_leaving l LEFT JOIN hone._archive a ON a.name OPERATOR(pg_catalog.=) l.archive"
				" WHERE l.partition OPERATOR(pg_catalog.=) $1", partition) == 0)
		return;
	leaving->known = true;
	leaving->parent = DatumGetObjectId(value_of(1, &isnull));
	leaving->archive = text_of(2);
	if (leaving->archive == NULL)
		leaving->unfinished = text_of(10);
	else
	{
		leaving->mark.lsn = DatumGetLSN(value_of(3, &isnull));
		leaving->mark.files = text_of(4);
		leaving->file.name = leaving->archive;
		leaving->file.rows = integer_of(5);
		leaving->file.raw_bytes = integer_of(6);
		leaving->file.bytes = integer_of(7);
		sha256 = text_of(8);
		strlcpy(leaving->file.sha256, sha256, sizeof(leaving->file.sha256));
		leaving->origin.bound = text_of(9);
	}
}

static void
note_leaving(const HoneMove *move, const Leaving *leaving)
{
	Oid			types[] = {OIDOID, OIDOID, TEXTOID, TEXTOID, PG_LSNOID, TEXTOID};
	Datum		values[6] = {0};
	char		nulls[6] = {' ', ' ', ' ', 'n', 'n', 'n'};

	values[0] = ObjectIdGetDatum(move->partition);
	values[1] = ObjectIdGetDatum(leaving->parent);
	values[2] = CStringGetTextDatum(hone_tier_name(move->to));
	if (leaving->unfinished != NULL)
	{
		values[3] = CStringGetTextDatum(leaving->unfinished);
		nulls[3] = ' ';
	}
	else if (leaving->archive != NULL)
	{
		values[3] = CStringGetTextDatum(leaving->archive);
		values[4] = LSNGetDatum(leaving->mark.lsn);
		values[5] = CStringGetTextDatum(leaving->mark.files);
		nulls[3] = nulls[4] = nulls[5] = ' ';
	}
	run("INSERT INTO hone._tier_leaving (partition, parent, to_tier, archive, lsn, files)"
		" VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (partition) DO UPDATE SET"
		" parent = excluded.parent, to_tier = excluded.to_tier, archive = excluded.archive,"
		" lsn = excluded.lsn, files = excluded.files",
		6, types, values, nulls);
}

static void
note_archive(const HoneMove *move, const HonePolicy *policy, const Leaving *leaving,
			 int64 heap_bytes)
{
	Oid			types[] = {TEXTOID, OIDOID, OIDOID, TEXTOID, OIDOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID,
	INT8OID, INT8OID, INT8OID, INT8OID, TEXTOID, TEXTOID};
	Datum		values[15] = {0};
	char		nulls[15];
	const HoneArchiveFile *file = &leaving->file;

	memset(nulls, ' ', sizeof(nulls));
	values[0] = CStringGetTextDatum(file->name);
	values[1] = ObjectIdGetDatum(policy->parent);
	nulls[1] = OidIsValid(policy->parent) ? ' ' : 'n';
	values[2] = ObjectIdGetDatum(leaving->parent);
	values[3] = CStringGetTextDatum(hone_qualified_name(leaving->parent));
	values[4] = ObjectIdGetDatum(move->partition);
	values[5] = CStringGetTextDatum(hone_qualified_name(move->partition));
	if (leaving->origin.bound)
		values[6] = CStringGetTextDatum(leaving->origin.bound);
	else
		nulls[6] = 'n';
	values[7] = TimestampTzGetDatum(leaving->origin.range_start);
	values[8] = TimestampTzGetDatum(leaving->origin.range_end);
	nulls[7] = nulls[8] = leaving->origin.ranged ? ' ' : 'n';
	values[9] = Int64GetDatum(file->rows);
	values[10] = Int64GetDatum(file->raw_bytes);
	values[11] = Int64GetDatum(file->bytes);
	values[12] = Int64GetDatum(heap_bytes);
	values[13] = CStringGetTextDatum(file->sha256);
	values[14] = CStringGetTextDatum(file->manifest_sha256);
	run("INSERT INTO hone._archive (name, policy, parent, parent_name, partition_oid, partition_name, bound,"
		" range_start, range_end, rows, raw_bytes, bytes, heap_bytes, sha256, manifest_sha256)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
		15, types, values, nulls);
}

/* What it took hot, with indexes: as it is now, or as tiered/ remembers it. */
static int64
bytes_when_hot(Oid partition)
{
	if (run_for("SELECT coalesce((SELECT CASE WHEN batches > 0 THEN heap_bytes END FROM hone.tiered_stats($1)),"
				" pg_catalog.pg_total_relation_size($1))", partition) == 0)
		return 0;
	return integer_of(1);
}

/* ------------------------------------------------------------------------
 * 1. The archive
 * ------------------------------------------------------------------------
 */

/* Names live as long as the procedure. */
static void
keep_file(Leaving *leaving)
{
	MemoryContext old = MemoryContextSwitchTo(hone_procedure_context());

	leaving->archive = leaving->file.name = pstrdup(leaving->file.name);
	leaving->mark.files = pstrdup(leaving->mark.files);
	if (leaving->origin.bound)
		leaving->origin.bound = pstrdup(leaving->origin.bound);
	MemoryContextSwitchTo(old);
}

/* While rows are written nobody waits for us: sleep as long as it takes. */
static void
archive_progress(int64 rows, int64 raw_bytes, void *arg)
{
	Leaving    *leaving = arg;
	int64		bytes = raw_bytes - leaving->written;

	leaving->written = raw_bytes;
	hone_progress_done(rows, 0, bytes);
	if (leaving->pace)
		leaving->pace->pause(bytes, true, NULL);
}

static void
write_file(Relation rel, Leaving *leaving)
{
	memset(&leaving->file, 0, sizeof(leaving->file));
	leaving->file.name = leaving->unfinished;	/* NULL: a new one */
	leaving->written = 0;
	hone_progress_phase(HONE_PHASE_ARCHIVING);
	PushActiveSnapshot(GetLatestSnapshot());
	hone_archive_write(rel, GetActiveSnapshot(), &leaving->origin, HONE_ARCHIVE_LEVEL,
					   archive_progress, leaving, &leaving->file);
	PopActiveSnapshot();
	leaving->unfinished = NULL;
	keep_file(leaving);
}

/* An archive that is of no use (any more): its row goes with this transaction. */
static void
forget_archive(const char *name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[1];

	values[0] = CStringGetTextDatum(name);
	run("DELETE FROM hone._archive WHERE name OPERATOR(pg_catalog.=) $1", 1, types, values, NULL);
}

static Relation
open_partition(Oid partition)
{
	Relation	rel = try_relation_open(partition, AccessShareLock);

	if (rel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("the partition is gone")));
	return rel;
}

/* Has an archive of an earlier try all rows still? */
static bool
is_archived(HoneMove *move, const Leaving *leaving)
{
	HoneRole	saved;
	Relation	rel;
	bool		unchanged;

	if (leaving->archive == NULL)
		return false;
	hone_procedure_commit();
	hone_move_enter(move, &saved);
	rel = open_partition(move->partition);
	unchanged = hone_unchanged_since(rel, &leaving->mark);
	relation_close(rel, NoLock);
	hone_restore_role(&saved);
	return unchanged;
}

/*
 * Write the archive. Its name is written down before, so that what a crash
 * leaves of it is found and removed.
 */
static void
archive_step(HoneMove *move, const HonePolicy *policy, Leaving *leaving)
{
	char	   *outdated = leaving->archive;
	int64		heap_bytes = bytes_when_hot(move->partition);
	MemoryContext old;
	HoneRole	saved;
	Relation	rel;

	if (is_archived(move, leaving))
		return;
	if (leaving->unfinished)
		hone_archive_remove(leaving->unfinished);
	old = MemoryContextSwitchTo(hone_procedure_context());
	hone_archive_origin(move->partition, policy->epoch, &leaving->origin);
	leaving->unfinished = hone_archive_new_name(get_namespace_name(get_rel_namespace(move->partition)),
												get_rel_name(move->partition), move->partition,
												&leaving->origin);
	MemoryContextSwitchTo(old);
	note_leaving(move, leaving);
	if (outdated)
		forget_archive(outdated);
	hone_procedure_commit();
	if (outdated)
		hone_archive_remove(outdated);

	hone_move_enter(move, &saved);
	rel = open_partition(move->partition);
	hone_mark(rel, &leaving->mark);
	write_file(rel, leaving);
	relation_close(rel, NoLock);
	hone_restore_role(&saved);
	note_archive(move, policy, leaving, heap_bytes);
	note_leaving(move, leaving);
	hone_procedure_commit();
}

/* ------------------------------------------------------------------------
 * 2. Detach
 * ------------------------------------------------------------------------
 */

typedef enum Attachment
{
	ATTACHED,
	PENDING,					/* a detach did not come to its end */
	DETACHED
} Attachment;

static Attachment
attachment(Oid partition, Oid parent)
{
	if (!get_rel_relispartition(partition))
		return DETACHED;
	return PartitionHasPendingDetach(partition) ? PENDING : ATTACHED;
}

/*
 * Wait, without a lock and a snapshot, until these transactions have ended;
 * false when they do not.
 */
static bool
have_ended(const VirtualTransactionId *transactions, int *waited_ms)
{
	InvalidateCatalogSnapshot();
	for (; VirtualTransactionIdIsValid(*transactions); transactions++)
	{
		while (!VirtualXactLock(*transactions, false))
		{
			if (*waited_ms >= PATIENCE_MS)
				return false;
			CHECK_FOR_INTERRUPTS();
			pg_usleep(POLL_MS * 1000L);
			*waited_ms += POLL_MS;
		}
	}
	return true;
}

static bool
users_have_ended(Oid relid, int *waited_ms)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relid);
	return have_ended(GetLockConflicts(&tag, AccessExclusiveLock, NULL), waited_ms);
}

/* As FINALIZE waits for them, but there with the partition locked. */
static bool
snapshots_have_ended(int *waited_ms)
{
	TransactionId xmin = GetLatestSnapshot()->xmin;
	VirtualTransactionId *found;
	VirtualTransactionId *list;
	int			count;

	InvalidateCatalogSnapshot();
	found = GetCurrentVirtualXIDs(xmin, true, false, PROC_IS_AUTOVACUUM | PROC_IN_VACUUM, &count);
	list = palloc0((count + 1) * sizeof(VirtualTransactionId));
	memcpy(list, found, count * sizeof(VirtualTransactionId));
	SetInvalidVirtualTransactionId(list[count]);
	return have_ended(list, waited_ms);
}

typedef struct DetachWay
{
	const char *command;
	int			patience_ms;	/* for transactions, while it queues for no
								 * table */
	bool		hopeless;		/* somebody has been there for long */
} DetachWay;

/*
 * A detach is begun only when those who use the table now have ended: one that
 * is left pending hides its rows, and no other partition of the table can be
 * detached before it is finalised, which waits for every snapshot in the
 * database. CONCURRENTLY then waits patiently for those who came after them,
 * which keeps nobody from the table. With a default partition it is not
 * allowed; then a lock on the whole table is queued for, and the others are
 * asked for with it held.
 */
static void
choose_way(Oid parent, Oid partition, Attachment state, int *waited_ms, DetachWay *way)
{
	char	   *names = psprintf("ALTER TABLE %s DETACH PARTITION %s",
								 hone_qualified_name(parent), hone_qualified_name(partition));
	Oid			rest = get_default_partition_oid(parent);

	memset(way, 0, sizeof(*way));
	if (state == PENDING)
	{
		way->command = psprintf("%s FINALIZE", names);
		way->hopeless = !snapshots_have_ended(waited_ms) || !users_have_ended(partition, waited_ms);
	}
	else if (OidIsValid(rest))
	{
		way->command = names;
		way->hopeless = !users_have_ended(parent, waited_ms) ||
			!users_have_ended(partition, waited_ms) || !users_have_ended(rest, waited_ms);
	}
	else
	{
		way->command = psprintf("%s CONCURRENTLY", names);
		way->patience_ms = PATIENCE_MS;
		way->hopeless = !users_have_ended(parent, waited_ms) || !users_have_ended(partition, waited_ms);
	}
}

static void
pause_in_procedure(void)
{
	CHECK_FOR_INTERRUPTS();
	pg_usleep(PAUSE_MS * 1000L);
}

/*
 * At top level in a worker, as the owner of the parent, with hone.lock_timeout
 * for each lock that others would queue behind.
 */
static void
detach_step(HoneMove *move, Leaving *leaving)
{
	char	   *error = NULL;
	int			sqlstate = 0;
	int			waited_ms = 0;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
	{
		Attachment	state;
		DetachWay	way;

		hone_procedure_commit();
		if (attempt > 0)
			pause_in_procedure();
		if (hone_qualified_name(move->partition) == NULL)
			return;
		state = attachment(move->partition, leaving->parent);
		if (state == DETACHED)
			return;
		if (!move->by_worker)
			hone_require_owner(leaving->parent, move->caller);
		choose_way(leaving->parent, move->partition, state, &waited_ms, &way);
		if (way.hopeless)
		{
			error = psprintf("transactions that use table \"%s\" or its partition do not end",
							 get_rel_name(leaving->parent));
			sqlstate = ERRCODE_LOCK_NOT_AVAILABLE;
			break;
		}
		InvalidateCatalogSnapshot();
		error = hone_toplevel_run(MyDatabaseId, hone_relation_owner(leaving->parent),
								  way.command, Max(hone_lock_timeout, 1), way.patience_ms, &sqlstate);
		if (error != NULL && sqlstate != ERRCODE_LOCK_NOT_AVAILABLE &&
			sqlstate != ERRCODE_QUERY_CANCELED && sqlstate != ERRCODE_T_R_DEADLOCK_DETECTED)
			break;
	}
	ereport(ERROR,
			(errcode(sqlstate ? sqlstate : ERRCODE_OBJECT_IN_USE),
			 errmsg("could not detach the partition: %s", error ? error : "it is attached still"),
			 errdetail("Its rows are where they were; the move is tried again later."),
			 errhint("pg_stat_activity shows the transactions that are open.")));
}

/* ------------------------------------------------------------------------
 * 3. Drop
 * ------------------------------------------------------------------------
 */

/* Try for the lock without queueing for it. False: the table is gone. */
static bool
lock_detached(HoneMove *move, HoneRole *saved)
{
	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
	{
		if (attempt > 0)
			pause_in_procedure();
		hone_procedure_commit();
		if (hone_qualified_name(move->partition) == NULL)
			return false;
		hone_move_enter(move, saved);
		if (ConditionalLockRelationOid(move->partition, AccessExclusiveLock))
		{
			AcceptInvalidationMessages();
			if (get_rel_relkind(move->partition) != '\0')
				return true;
			hone_restore_role(saved);
			return false;
		}
		hone_restore_role(saved);
	}
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not lock the detached partition \"%s\": other sessions are using it",
					get_rel_name(move->partition)),
			 errhint("It is dropped when they have ended; pg_stat_activity shows them.")));
}

/* Somebody put it back, or under another table. */
static void
require_detached(Oid partition)
{
	if (get_rel_relispartition(partition))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" was attached again", get_rel_name(partition)),
				 errhint("It stays where it is.")));
}

/*
 * Drop it; of an archive only if it has all rows, else with one that has. Then
 * the archive counts.
 */
static void
drop_step(HoneMove *move, const HonePolicy *policy, Leaving *leaving)
{
	char	   *outdated = NULL;
	int64		heap_bytes = 0;
	HoneRole	saved;
	Relation	rel;
	int			result;

	if (!lock_detached(move, &saved))
		return;
	require_detached(move->partition);
	rel = table_open(move->partition, NoLock);
	if (move->to == HONE_TIER_ARCHIVE && !hone_unchanged_since(rel, &leaving->mark))
	{
		outdated = leaving->archive;
		hone_mark(rel, &leaving->mark);
		leaving->pace = NULL;	/* not with this lock */
		write_file(rel, leaving);
	}
	table_close(rel, NoLock);
	if (outdated)
	{
		hone_restore_role(&saved);
		heap_bytes = bytes_when_hot(move->partition);
		forget_archive(outdated);
		note_archive(move, policy, leaving, heap_bytes);
		hone_move_enter(move, &saved);
	}
	result = SPI_execute(psprintf("DROP TABLE %s", hone_qualified_name(move->partition)), false, 0);
	if (result != SPI_OK_UTILITY)
		elog(ERROR, "could not drop the partition: SPI result %d", result);
	hone_restore_role(&saved);
	run_for("DELETE FROM hone._tier_leaving WHERE partition OPERATOR(pg_catalog.=) $1", move->partition);
	run_for("UPDATE hone._archive SET dropped_at = pg_catalog.clock_timestamp()"
			" WHERE partition_oid OPERATOR(pg_catalog.=) $1 AND dropped_at IS NULL", move->partition);
	hone_procedure_commit();
	if (outdated)
		hone_archive_remove(outdated);
}

void
hone_leave(HoneMove *move, const HonePolicy *policy, const HoneTieredPace *pace,
		   HoneMoveRecord *record)
{
	Leaving		leaving;

	record->bytes_before = hone_total_size(move->partition);
	hone_progress_begin(move->partition, record->bytes_before);
	read_leaving(move->partition, &leaving);
	leaving.pace = pace;
	if (get_rel_relispartition(move->partition) && !PartitionHasPendingDetach(move->partition))
	{
		leaving.parent = get_partition_parent(move->partition, false);
		if (move->to == HONE_TIER_ARCHIVE)
			archive_step(move, policy, &leaving);
		else
			note_leaving(move, &leaving);
	}
	hone_progress_phase(HONE_PHASE_DETACHING);
	detach_step(move, &leaving);
	drop_step(move, policy, &leaving);
	hone_progress_end();
	record->gone = true;
	record->rows = leaving.file.rows;
	record->bytes_after = leaving.file.bytes;
	record->note = leaving.archive;
}

/* ------------------------------------------------------------------------
 * What is half-way, and what is too old
 * ------------------------------------------------------------------------
 */

List *
hone_leaving_partitions(void)
{
	List	   *result = NIL;
	MemoryContext old;

	run("DELETE FROM hone._tier_leaving l WHERE NOT EXISTS"
		" (SELECT FROM pg_catalog.pg_class c WHERE c.oid OPERATOR(pg_catalog.=) l.partition)",
		0, NULL, NULL, NULL);
	run("SELECT l.partition FROM hone._tier_leaving l JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.partition"
		" LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) l.partition"
		" LEFT JOIN hone._tier_state s ON s.partition OPERATOR(pg_catalog.=) l.partition"
		" WHERE (NOT c.relispartition OR i.inhdetachpending)"
		" AND (s.retry_at OPERATOR(pg_catalog.<=) pg_catalog.now()) IS NOT FALSE ORDER BY l.since, 1",
		0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;

		result = lappend_oid(result,
							 DatumGetObjectId(SPI_getbinval(SPI_tuptable->vals[i],
															SPI_tuptable->tupdesc, 1, &isnull)));
	}
	MemoryContextSwitchTo(old);
	return result;
}

bool
hone_leaving_tier(Oid partition, HoneTier *to)
{
	if (run_for("SELECT l.to_tier FROM hone._tier_leaving l"
				" LEFT JOIN pg_catalog.pg_inherits i ON i.inhrelid OPERATOR(pg_catalog.=) l.partition"
				" WHERE l.partition OPERATOR(pg_catalog.=) $1 AND coalesce(i.inhdetachpending, true)",
				partition) == 0)
		return false;
	return hone_tier_parse(SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1), to);
}

void
hone_expire_archives(void)
{
	List	   *names = NIL;
	MemoryContext old;
	ListCell   *lc;

	run("UPDATE hone._archive a SET expired_at = pg_catalog.now() FROM hone._tier_policy p"
		" WHERE p.parent OPERATOR(pg_catalog.=) a.policy AND a.expired_at IS NULL AND a.dropped_at IS NOT NULL"
		" AND hone._tier_due_at(a.range_end, p.drop_after) OPERATOR(pg_catalog.<=) pg_catalog.now()"
		" RETURNING a.name", 0, NULL, NULL, NULL);
	old = MemoryContextSwitchTo(hone_procedure_context());
	for (uint64 i = 0; i < SPI_processed; i++)
		names = lappend(names, SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1));
	MemoryContextSwitchTo(old);
	hone_procedure_commit();
	foreach(lc, names)
		hone_archive_remove(lfirst(lc));
}
