/*-------------------------------------------------------------------------
 *
 * capture.c
 *	  From hooks to records: the parts that all hooks share.
 *
 * executor.c makes one record per executed plan, utility.c one per utility
 * statement, both also for planning and failures; errors.c counts errors that
 * belong to no statement; parallel.c brings the CPU time of parallel workers.
 * Records go to the observers in common/record.h.
 *
 * Nothing here allocates, locks, or throws. Errors of the user's statement
 * pass through: they are noted in PG_CATCH blocks and thrown again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <limits.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"

#include "capture/call.h"
#include "capture/capture.h"

int			hone_track = HONE_TRACK_TOP;
int			hone_rusage_interval_ms = 10;
int			hone_nest_level = 0;

static const struct config_enum_entry track_options[] = {
	{"none", HONE_TRACK_NONE, false},
	{"top", HONE_TRACK_TOP, false},
	{"all", HONE_TRACK_ALL, false},
	{NULL, 0, false}
};

/*
 * Wall clock at a monotonic time. The wall clock is read once a second; in
 * between its distance from the monotonic one is taken as constant.
 */
static inline TimestampTz
wall_clock_at(uint64 ns)
{
	static uint64 anchor_ns = 0;
	static TimestampTz anchor = 0;

	if (unlikely(ns - anchor_ns > UINT64CONST(1000000000) || anchor == 0))
	{
		anchor = GetCurrentTimestamp();
		anchor_ns = ns;
	}
	return anchor + (TimestampTz) ((ns - anchor_ns) / 1000);
}

void
hone_capture_begin(HoneRecord *record, HoneRecordKind kind, uint64 queryid,
				   CmdType cmd, int level,
				   const char *source, int location, int length)
{
	memset(record, 0, sizeof(*record));
	record->kind = kind;
	record->queryid = queryid;
	record->cmd = cmd;
	record->source = source;
	record->location = location;
	record->length = length;
	hone_capture_renew(record, level);
}

/* Zeroes what a call has left in it, which is little. */
void
hone_capture_renew(HoneRecord *record, int level)
{
	record->dbid = MyDatabaseId;

	record->userid = GetUserId();
	record->toplevel = level == 0;
	record->nest_level = level;
	record->sqlstate = 0;
	record->in_abort = false;
	record->lxid = HONE_MY_LXID;
	record->in_xact_block = IsTransactionBlock();
	record->elapsed_ns = 0;
	record->rows = 0;
	record->buffers.shared_blks_hit = 0;
	if (record->has_io)
	{
		memset(&record->buffers, 0, sizeof(record->buffers));
		memset(&record->wal, 0, sizeof(record->wal));
		record->has_io = false;
	}
	record->has_rusage = false;
	record->cpu_user_us = 0;
	record->cpu_sys_us = 0;
	record->query_desc = NULL;
	record->start_ns = hone_clock_ns();
	record->started = wall_clock_at(record->start_ns);
}

/*
 * One call per hone.capture_rusage_interval: a long call always, short ones
 * in proportion to their share of time.
 */
bool
hone_capture_sample_rusage(const HoneRecord *record)
{
	static uint64 last_ns = 0;
	uint64		now_ns = record->start_ns;

	if (hone_rusage_interval_ms < 0 ||
		now_ns - last_ns < (uint64) hone_rusage_interval_ms * 1000000)
		return false;
	last_ns = now_ns;
	return true;
}

void
hone_stretch_begin_cpu(HoneStretch *stretch)
{
	stretch->has_rusage = getrusage(RUSAGE_SELF, &stretch->rusage) == 0;
	hone_parallel_read(&stretch->workers);
}

static uint64
timeval_us(const struct timeval *before, const struct timeval *after)
{
	int64		us = (int64) (after->tv_sec - before->tv_sec) * 1000000 +
	(after->tv_usec - before->tv_usec);

	return us > 0 ? (uint64) us : 0;
}

void
hone_stretch_end_cpu(const HoneStretch *stretch, HoneRecord *record)
{
	struct rusage rusage;
	HoneWorkersCpu workers;

	if (getrusage(RUSAGE_SELF, &rusage) != 0)
		return;
	hone_parallel_read(&workers);
	record->cpu_user_us += timeval_us(&stretch->rusage.ru_utime, &rusage.ru_utime) +
		workers.user_us - stretch->workers.user_us;
	record->cpu_sys_us += timeval_us(&stretch->rusage.ru_stime, &rusage.ru_stime) +
		workers.sys_us - stretch->workers.sys_us;
}

void
hone_stretch_add_io(const HoneStretch *stretch, HoneRecord *record)
{
	record->has_io = true;
	BufferUsageAccumDiff(&record->buffers, &pgBufferUsage, &stretch->buffers);
	WalUsageAccumDiff(&record->wal, &pgWalUsage, &stretch->wal);
}

void
hone_capture_finish(HoneRecord *record)
{
	record->in_abort |= record->sqlstate != 0;
	for (HoneFinished *finished = hone_observers.finished; *finished; finished++)
		(*finished) (record);
	if (record->sqlstate != 0 && record->nest_level == 0)
		hone_error_told = true;
}

static void
define_settings(void)
{
	DefineCustomIntVariable("hone.capture_rusage_interval",
							"Shortest time between two measurements of a statement's CPU time in a session.",
							"0 measures every statement, -1 none.",
							&hone_rusage_interval_ms, 10, -1, INT_MAX,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("hone.enabled",
							 "Observes statements: counts them and looks for what slows them.",
							 "The switch that turns all observation off.",
							 &hone_enabled, true,
							 PGC_SUSET, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("hone.track",
							 "Which statements are observed: the clients' own (top), also those inside them (all), or none.",
							 NULL,
							 &hone_track, HONE_TRACK_TOP, track_options,
							 PGC_SUSET, 0, NULL, NULL, NULL);
}

void
hone_capture_init(void)
{
	define_settings();
	if (!hone_preloaded)
		return;
	EnableQueryId();
	hone_executor_init();
	hone_utility_init();
	hone_errors_init();
	hone_parallel_init();
}
