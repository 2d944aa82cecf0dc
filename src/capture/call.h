/*-------------------------------------------------------------------------
 *
 * call.h
 *	  What the hooks of capture/ share. Private to capture/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CAPTURE_CALL_H
#define HONE_CAPTURE_CALL_H

#include <sys/resource.h>

#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "common/record.h"

typedef enum HoneTrack
{
	HONE_TRACK_NONE,
	HONE_TRACK_TOP,
	HONE_TRACK_ALL
} HoneTrack;

extern int	hone_track;
extern int	hone_rusage_interval_ms;

/* How deep in hooks that run statements we are. */
extern int	hone_nest_level;

/*
 * How deep in statements that run statements we are; 0 = the client's own.
 * Deferred triggers run at commit, in no hook, and are not the client's own.
 * pg_trigger_depth() has no arguments, and nothing to ask of its caller.
 */
static inline int
hone_capture_level(void)
{
	return hone_nest_level > 0 ? hone_nest_level :
		DatumGetInt32(pg_trigger_depth(NULL));
}

/*
 * Are statements to be recorded here and now? If so, *level is the one that
 * they are at. Only referential integrity triggers run queries in the state
 * that is asked for last.
 */
static inline bool
hone_capture_active(int *level)
{
	if (!hone_enabled || hone_track == HONE_TRACK_NONE ||
		MyBackendType != B_BACKEND)
		return false;
	*level = hone_capture_level();
	return (*level == 0 || hone_track == HONE_TRACK_ALL) && !InNoForceRLSOperation();
}

/* CPU time that parallel workers of this session have used, ever. */
typedef struct HoneWorkersCpu
{
	uint64		user_us;
	uint64		sys_us;
} HoneWorkersCpu;

/*
 * Where a stretch of execution began. A client's statement may run another one
 * of its own: the next FETCH of a cursor, from a function.
 */
typedef struct HoneStretch
{
	HoneRecord *record;
	struct HoneStretch *outer;	/* the client's, in which this one runs */
	uint64		start_ns;
	BufferUsage buffers;
	WalUsage	wal;
	bool		has_rusage;
	struct rusage rusage;
	HoneWorkersCpu workers;
} HoneStretch;

/* Start a record; the clock is read. Every field has a value afterwards. */
extern void hone_capture_begin(HoneRecord *record, HoneRecordKind kind,
							   uint64 queryid, CmdType cmd, int level,
							   const char *source, int location, int length);

/*
 * Start a record in memory that was zeroed once and holds a record since. The
 * fields that hone_capture_begin() is given are the caller's to set.
 */
extern void hone_capture_renew(HoneRecord *record, int level);

/* Is this call's CPU time to be measured? Asked once per call. */
extern bool hone_capture_sample_rusage(const HoneRecord *record);

/* The monotonic clock. */
static inline uint64
hone_clock_ns(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return HONE_INSTR_NS(now);
}

/* Read this session's cell (parallel.c). */
extern void hone_parallel_read(HoneWorkersCpu *cpu);

/*
 * In a parallel worker, whose part of a plan has ended or failed: add to the
 * leader's cell. Takes no lock.
 */
extern void hone_parallel_tell(void);

/* Tell the observers. A failed one at nest level 0 marks its error as told. */
extern void hone_capture_finish(HoneRecord *record);

/*
 * Has the error in flight been told with its statement? Set to false when a
 * new statement of the client begins.
 */
extern bool hone_error_told;

/*
 * The client's statement now executing, the innermost: put here when it
 * begins, its outer one when it ends, on success and on error. Termination of
 * the session (FATAL) closes all that are open.
 */
extern HoneStretch *hone_open_stretch;

/* Parts of what follows that are rarely run. */
extern void hone_stretch_begin_cpu(HoneStretch *stretch);
extern void hone_stretch_end_cpu(const HoneStretch *stretch, HoneRecord *record);
extern void hone_stretch_add_io(const HoneStretch *stretch, HoneRecord *record);

/* The client's statement that runs now; NULL: none does. */
static inline void
hone_tell_running(const HoneRecord *record)
{
	for (HoneRunning *running = hone_observers.running; *running; running++)
		(*running) (record);
}

/*
 * Measure a stretch and add it to the record. Between the two the record is
 * the one to be closed if the session is terminated.
 */
static inline void
hone_stretch_begin(HoneStretch *stretch, HoneRecord *record)
{
	stretch->has_rusage = false;
	if (record->has_rusage)
		hone_stretch_begin_cpu(stretch);
	stretch->buffers = pgBufferUsage;
	stretch->wal = pgWalUsage;
	stretch->record = record;
	stretch->outer = NULL;
	if (record->nest_level == 0)
	{
		stretch->outer = hone_open_stretch;
		hone_open_stretch = stretch;
		hone_tell_running(record);
	}
	stretch->start_ns = hone_clock_ns();
}

/*
 * Has anything been counted but buffers found? All of these only grow, and no
 * WAL is written without a byte.
 */
static inline bool
hone_stretch_did_io(const HoneStretch *stretch)
{
	const BufferUsage *now = &pgBufferUsage;
	const BufferUsage *then = &stretch->buffers;

	StaticAssertStmt(offsetof(BufferUsage, shared_blks_hit) == 0 &&
					 offsetof(BufferUsage, shared_blks_read) == sizeof(now->shared_blks_hit),
					 "buffers found are not the first field");
	return pgWalUsage.wal_bytes != stretch->wal.wal_bytes ||
		memcmp(&now->shared_blks_read, &then->shared_blks_read,
			   sizeof(*now) - offsetof(BufferUsage, shared_blks_read)) != 0;
}

static inline void
hone_stretch_end(HoneStretch *stretch, HoneRecord *record)
{
	record->elapsed_ns += hone_clock_ns() - stretch->start_ns;
	if (unlikely(hone_stretch_did_io(stretch)))
		hone_stretch_add_io(stretch, record);
	else
		record->buffers.shared_blks_hit +=
			pgBufferUsage.shared_blks_hit - stretch->buffers.shared_blks_hit;
	if (stretch->has_rusage)
		hone_stretch_end_cpu(stretch, record);
	if (record->nest_level == 0)
	{
		hone_open_stretch = stretch->outer;
		hone_tell_running(stretch->outer ? stretch->outer->record : NULL);
	}
}

extern void hone_executor_init(void);
extern void hone_utility_init(void);
extern void hone_errors_init(void);
extern void hone_parallel_init(void);

#endif							/* HONE_CAPTURE_CALL_H */
