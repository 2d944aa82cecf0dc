/*-------------------------------------------------------------------------
 *
 * replicas.c
 *	  How far behind the streaming standbys are (see replicas.h).
 *
 * What PostgreSQL measures, pg_stat_replication's replay_lag, comes with a
 * standby's messages: of one that replays nothing it is what it was before,
 * or unknown. So there is also a mark in shared memory: the end of the WAL at
 * some time. Once every standby has replayed that it is set anew; until then
 * who has not lags at least as long as the mark is old.
 *
 * Logical subscribers do not count: their processes are those that are
 * connected to a database. Nor does what only stores WAL, as pg_receivewal: it
 * never says how far it has replayed.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xlog.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/spin.h"
#include "storage/standby.h"
#include "utils/timestamp.h"

#include "lifecycle/replicas.h"
#include "lifecycle/shared.h"

/* What the standbys have said. */
typedef struct Said
{
	bool		any;
	XLogRecPtr	least_replayed;
	TimeOffset	longest_lag;	/* microseconds, as measured by PostgreSQL */
} Said;

static bool
is_logical(pid_t pid)
{
	PGPROC	   *process = BackendPidGetProc(pid);

	return process != NULL && OidIsValid(process->databaseId);
}

static Said
ask_walsenders(void)
{
	Said		said = {0};

	for (int i = 0; i < max_wal_senders; i++)
	{
		WalSnd	   *walsnd = &WalSndCtl->walsnds[i];
		pid_t		pid;
		XLogRecPtr	replayed;
		TimeOffset	lag;

		SpinLockAcquire(&walsnd->mutex);
		pid = walsnd->pid;
		replayed = walsnd->apply;
		lag = walsnd->applyLag;
		SpinLockRelease(&walsnd->mutex);
		if (pid == 0 || XLogRecPtrIsInvalid(replayed) || is_logical(pid))
			continue;
		if (!said.any || replayed < said.least_replayed)
			said.least_replayed = replayed;
		said.longest_lag = Max(said.longest_lag, lag);
		said.any = true;
	}
	return said;
}

bool
hone_replicas_lag(int ms)
{
	HoneReplicaMark *mark = &hone_lifecycle_shared->mark;
	XLogRecPtr	end = GetFlushRecPtr(NULL);
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz since;
	Said		said = ask_walsenders();

	SpinLockAcquire(&mark->mutex);
	if (!said.any || said.least_replayed >= mark->lsn || mark->set_at > now)
	{
		mark->lsn = end;
		mark->set_at = now;
	}
	since = mark->set_at;
	SpinLockRelease(&mark->mutex);

	if (!said.any || said.least_replayed >= end)
		return false;
	return said.longest_lag > ms * INT64CONST(1000) ||
		TimestampDifferenceExceeds(since, now, ms);
}

void
hone_replicas_ask(void)
{
	if (XLogStandbyInfoActive())
		(void) LogStandbySnapshot();
}
