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
#include "lifecycle/leaving.h"
#include "lifecycle/shared.h"
#include "tiered/progress.h"
#include "tiered/tiered.h"

/* Tries of each step that needs a lock, and the pause between them. */
#define ATTEMPTS		50
#define PAUSE_MS		100

/* Transactions are waited for so long, where that keeps nobody from anything. */
#define PATIENCE_MS		10000
#define POLL_MS			20

/* A move, with what is written down of it. */
typedef struct Leave
{
	HoneMove   *move;
	HoneLeaving noted;
	bool		verified;		/* the archive was read back by this move */
	const HoneTieredPace *pace; /* of writing it, or NULL */
} Leave;

/* ------------------------------------------------------------------------
 * 1. The archive
 * ------------------------------------------------------------------------
 */

/* While rows are written nobody waits for us: sleep as long as it takes. */
static void
archive_progress(int64 rows, int64 raw_bytes, void *arg)
{
	Leave	   *leave = arg;

	hone_progress_done(rows, 0, raw_bytes);
	if (leave->pace)
		leave->pace->pause(raw_bytes, true, NULL);
}

/* Under the name that is noted. The caller holds the table. */
static void
write_file(Leave *leave, Relation rel)
{
	HoneLeaving *noted = &leave->noted;

	hone_mark(rel, &noted->mark);
	noted->mark.files = MemoryContextStrdup(hone_procedure_context(), noted->mark.files);
	memset(&noted->file, 0, sizeof(noted->file));
	noted->file.name = noted->archive;
	hone_progress_nothing_done();
	hone_progress_phase(HONE_PHASE_ARCHIVING);
	PushActiveSnapshot(GetLatestSnapshot());
	hone_archive_write(rel, GetActiveSnapshot(), &noted->origin, HONE_ARCHIVE_LEVEL,
					   archive_progress, leave, &noted->file);
	PopActiveSnapshot();
	noted->file.name = noted->archive;
	noted->written = leave->verified = true;
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

/* Has it all rows still? */
static bool
has_all_rows(Leave *leave)
{
	HoneRole	saved;
	Relation	rel;
	bool		unchanged;

	hone_procedure_commit();
	hone_move_enter(leave->move, &saved);
	rel = open_partition(leave->move->partition);
	unchanged = hone_unchanged_since(rel, &leave->noted.mark);
	relation_close(rel, NoLock);
	hone_restore_role(&saved);
	hone_procedure_commit();
	return unchanged;
}

/* Is it there still, as it was written? It may have been long ago. */
static bool
is_intact(Leave *leave)
{
	volatile bool intact = true;

	PG_TRY();
	{
		hone_archive_verify(leave->noted.archive, &leave->noted.file);
	}
	PG_CATCH();
	{
		int			sqlstate = geterrcode();

		if (sqlstate != ERRCODE_UNDEFINED_FILE && sqlstate != ERRCODE_DATA_CORRUPTED)
			PG_RE_THROW();
		hone_procedure_report("an archive is written anew");
		intact = false;
	}
	PG_END_TRY();
	return intact;
}

static bool
is_archived(Leave *leave)
{
	if (!leave->noted.written)
		return false;
	if (!leave->verified)
		leave->verified = has_all_rows(leave) && is_intact(leave);
	return leave->verified;
}

/*
 * A policy stands for its table's owner, who may have lost the right to it
 * since.
 */
static void
require_right_to_archive(const Leave *leave)
{
	Oid			table = OidIsValid(leave->noted.policy) ? leave->noted.policy : leave->noted.parent;
	Oid			owner = hone_relation_owner(table);

	if (!leave->move->by_policy)
		return;					/* the caller's was looked at */
	hone_check_may_archive(OidIsValid(owner) ? owner : hone_relation_owner(leave->move->partition));
}

/*
 * The name of a new archive is written down before the first byte, so that
 * what a crash leaves of it is found and removed.
 */
static void
name_archive(Leave *leave)
{
	HoneLeaving *noted = &leave->noted;
	Oid			partition = leave->move->partition;
	MemoryContext old;

	require_right_to_archive(leave);
	if (noted->archive != NULL && !noted->written)
		hone_archive_remove(noted->archive);
	noted->written = leave->verified = false;
	old = MemoryContextSwitchTo(hone_procedure_context());
	noted->archive = hone_archive_new_name(get_namespace_name(get_rel_namespace(partition)),
										   get_rel_name(partition), partition, &noted->origin);
	MemoryContextSwitchTo(old);
	hone_leaving_note(leave->move, noted);
	ForceSyncCommit();
	hone_procedure_commit();
}

static void
archive_step(Leave *leave)
{
	HoneMove   *move = leave->move;
	HoneRole	saved;
	Relation	rel;

	if (is_archived(leave))
		return;
	name_archive(leave);
	hone_move_enter(move, &saved);
	rel = open_partition(move->partition);
	write_file(leave, rel);
	relation_close(rel, NoLock);
	hone_restore_role(&saved);
	hone_leaving_note_archive(move, &leave->noted);
	hone_leaving_note(move, &leave->noted);
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
attachment(Oid partition)
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
	TransactionId xmin;
	VirtualTransactionId *found;
	VirtualTransactionId *list;
	int			count;

	/* only popping it lets go of our own xmin */
	PushActiveSnapshot(GetLatestSnapshot());
	xmin = GetActiveSnapshot()->xmin;
	PopActiveSnapshot();
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

/* It is not attached, or only half. Is that our doing? */
static void
require_ours(const Leave *leave)
{
	if (!leave->noted.detaching)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" was detached by somebody else",
						get_rel_name(leave->move->partition)),
				 errhint("It stays as it is. A detach that did not come to its end is ended by ALTER TABLE ... DETACH PARTITION ... FINALIZE.")));
}

/* Remember, durably, whether it is our doing that it is not attached. */
static void
note_detaching(Leave *leave, bool detaching)
{
	leave->noted.detaching = detaching;
	hone_leaving_note(leave->move, &leave->noted);
	ForceSyncCommit();
	hone_procedure_commit();
}

/* One try, in a transaction of its own; NULL: it is detached. */
static char *
try_to_detach(Leave *leave, Attachment state, int *waited_ms, int *sqlstate, bool *hopeless)
{
	HoneMove   *move = leave->move;
	Oid			parent = leave->noted.parent;
	DetachWay	way;

	choose_way(parent, move->partition, state, waited_ms, &way);
	*hopeless = way.hopeless;
	if (way.hopeless)
	{
		*sqlstate = ERRCODE_LOCK_NOT_AVAILABLE;
		return psprintf("transactions that use table \"%s\" or its partition do not end",
						get_rel_name(parent));
	}
	/* what was waited for may have detached it */
	if (state == ATTACHED && attachment(move->partition) != ATTACHED)
		require_ours(leave);
	if (!leave->noted.detaching)
		note_detaching(leave, true);
	if (!move->by_worker)
		hone_require_owner(parent, move->caller);
	return hone_toplevel_run(MyDatabaseId, hone_relation_owner(parent), way.command,
							 Max(hone_lock_timeout, 1), way.patience_ms, sqlstate);
}

/*
 * At top level in a worker, as the owner of the parent, with hone.lock_timeout
 * for each lock that others would queue behind.
 */
static void
detach_step(Leave *leave)
{
	Oid			partition = leave->move->partition;
	char	   *error = NULL;
	int			sqlstate = 0;
	int			waited_ms = 0;
	bool		hopeless = false;
	Attachment	state = DETACHED;

	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
	{
		hone_procedure_commit();
		if (attempt > 0)
			pause_in_procedure();
		if (hone_qualified_name(partition) == NULL)
			return;
		state = attachment(partition);
		if (state != ATTACHED)
			require_ours(leave);
		if (state == DETACHED)
			return;
		error = try_to_detach(leave, state, &waited_ms, &sqlstate, &hopeless);
		if (hopeless)
			break;
		if (sqlstate == ERRCODE_UNDEFINED_TABLE && state == ATTACHED &&
			attachment(partition) == DETACHED)
		{
			/* not a partition any more: somebody was faster */
			note_detaching(leave, false);
			require_ours(leave);
		}
		if (error != NULL && sqlstate != ERRCODE_LOCK_NOT_AVAILABLE &&
			sqlstate != ERRCODE_QUERY_CANCELED && sqlstate != ERRCODE_T_R_DEADLOCK_DETECTED)
			break;
	}
	hone_procedure_commit();
	if (attachment(partition) == ATTACHED)
		note_detaching(leave, false);
	ereport(ERROR,
			(errcode(sqlstate ? sqlstate : ERRCODE_OBJECT_IN_USE),
			 errmsg("could not detach the partition: %s", error ? error : "it is attached still"),
			 errdetail("Its rows are where they were; the move is tried again later."),
			 sqlstate == ERRCODE_FOREIGN_KEY_VIOLATION ?
			 errhint("It goes when no row refers to its rows any more.") :
			 errhint("pg_stat_activity shows the transactions that are open.")));
}

/* ------------------------------------------------------------------------
 * 3. Drop
 * ------------------------------------------------------------------------
 */

static void
report_gone(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_TABLE),
			 errmsg("the partition was dropped by somebody else")));
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
 * Become its owner, and try for the lock without queueing for it.
 */
static void
lock_detached(HoneMove *move, HoneRole *saved)
{
	for (int attempt = 0; attempt < ATTEMPTS; attempt++)
	{
		if (attempt > 0)
			pause_in_procedure();
		hone_procedure_commit();
		if (hone_qualified_name(move->partition) == NULL)
			report_gone();
		hone_move_enter(move, saved);
		if (ConditionalLockRelationOid(move->partition, AccessExclusiveLock))
		{
			AcceptInvalidationMessages();
			if (get_rel_relkind(move->partition) == '\0')
				report_gone();
			require_detached(move->partition);
			return;
		}
		hone_restore_role(saved);
	}
	ereport(ERROR,
			(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
			 errmsg("could not lock the detached partition \"%s\": other sessions are using it",
					get_rel_name(move->partition)),
			 errhint("It is dropped when they have ended; pg_stat_activity shows them.")));
}

/* Of the table that is locked. */
static bool
is_unchanged(const Leave *leave)
{
	Relation	rel = table_open(leave->move->partition, NoLock);
	bool		unchanged = leave->noted.written && hone_unchanged_since(rel, &leave->noted.mark);

	table_close(rel, NoLock);
	return unchanged;
}

/* It has changed since it was written: once more, now that nobody can write. */
static void
archive_locked(Leave *leave, HoneRole *saved)
{
	HoneMove   *move = leave->move;
	Relation	rel;

	hone_restore_role(saved);
	name_archive(leave);
	lock_detached(move, saved);
	rel = table_open(move->partition, NoLock);
	leave->pace = NULL;			/* not with this lock */
	write_file(leave, rel);
	table_close(rel, NoLock);
	hone_restore_role(saved);
	hone_leaving_note_archive(move, &leave->noted);
	hone_move_enter(move, saved);
}

/*
 * Drop it; of an archive only if it has all rows, else with one that has. Then
 * the archive counts.
 */
static void
drop_step(Leave *leave)
{
	HoneMove   *move = leave->move;
	HoneRole	saved;
	int			result;

	lock_detached(move, &saved);
	if (move->to == HONE_TIER_ARCHIVE && !is_unchanged(leave))
		archive_locked(leave, &saved);
	result = SPI_execute(psprintf("DROP TABLE %s", hone_qualified_name(move->partition)), false, 0);
	if (result != SPI_OK_UTILITY)
		elog(ERROR, "could not drop the partition: SPI result %d", result);
	hone_restore_role(&saved);
	hone_leaving_note_dropped(move->partition, &leave->noted);
	ForceSyncCommit();
	hone_procedure_commit();
}

/* ------------------------------------------------------------------------
 * The whole
 * ------------------------------------------------------------------------
 */

static bool
same_text(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/*
 * It is attached: where it hangs now. An archive of another place does not say
 * where to put it back.
 */
static void
look_where_it_hangs(Leave *leave, const HonePolicy *policy)
{
	HoneLeaving *noted = &leave->noted;
	Oid			parent = get_partition_parent(leave->move->partition, false);
	HoneArchiveOrigin origin;
	MemoryContext old = MemoryContextSwitchTo(hone_procedure_context());

	hone_archive_origin(leave->move->partition, policy->parent, policy->epoch, &origin);
	MemoryContextSwitchTo(old);
	if (parent != noted->parent || !same_text(origin.bound, noted->origin.bound))
		noted->written = false;
	noted->parent = parent;
	noted->policy = policy->parent;
	noted->detaching = false;
	noted->origin = origin;
}

/* Rows that nothing keeps go only while a policy says so. */
static void
require_consent(const Leave *leave)
{
	HonePolicy	policy;

	if (!hone_policy_read(leave->noted.policy, &policy) || policy.drop_after == NULL || !policy.allow_drop_without_archive)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("partition \"%s\" is not dropped: its tier policy does not say so any more",
						get_rel_name(leave->move->partition)),
				 errhint("It is detached. Attach it again with ALTER TABLE ... ATTACH PARTITION, or drop it.")));
}

void
hone_leave(HoneMove *move, const HonePolicy *policy, const HoneTieredPace *pace,
		   HoneMoveRecord *record)
{
	Leave		leave = {.move = move,.pace = pace};

	record->bytes_before = hone_total_size(move->partition);
	hone_progress_begin(move->partition, record->bytes_before);
	hone_leaving_read(move->partition, &leave.noted);
	if (attachment(move->partition) == ATTACHED)
		look_where_it_hangs(&leave, policy);
	else
		require_ours(&leave);
	if (move->to == HONE_TIER_ARCHIVE)
		archive_step(&leave);
	else
		require_consent(&leave);
	hone_leaving_note(move, &leave.noted);
	hone_progress_phase(HONE_PHASE_DETACHING);
	detach_step(&leave);
	drop_step(&leave);
	hone_progress_end();
	record->gone = true;
	record->rows = leave.noted.file.rows;
	record->bytes_after = leave.noted.file.bytes;
	record->note = leave.noted.archive;
}
