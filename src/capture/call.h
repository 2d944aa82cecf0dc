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

#include "common/record.h"

typedef enum HoneTrack
{
	HONE_TRACK_NONE,
	HONE_TRACK_TOP,
	HONE_TRACK_ALL
} HoneTrack;

extern bool hone_enabled;
extern int	hone_track;
extern int	hone_rusage_interval_ms;

/* How deep in hooks that run statements we are. */
extern int	hone_nest_level;

/*
 * How deep in statements that run statements we are; 0 = the client's own.
 * Deferred triggers run at commit, in no hook, and are not the client's own.
 */
extern int	hone_capture_level(void);

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
	instr_time	clock;
	BufferUsage buffers;
	WalUsage	wal;
	bool		has_rusage;
	struct rusage rusage;
	HoneWorkersCpu workers;
} HoneStretch;

/* Are statements at the current nest level to be recorded here and now? */
extern bool hone_capture_active(void);

/* Start a record; the clock is read. Every field has a value afterwards. */
extern void hone_capture_begin(HoneRecord *record, HoneRecordKind kind,
							   uint64 queryid, CmdType cmd,
							   const char *source, int location, int length);

/* Is this call's CPU time to be measured? Asked once per call. */
extern bool hone_capture_sample_rusage(const HoneRecord *record);

/*
 * Measure a stretch and add it to the record. Between the two the record is
 * the one to be closed if the session is terminated.
 */
extern void hone_stretch_begin(HoneStretch *stretch, HoneRecord *record);
extern void hone_stretch_end(HoneStretch *stretch, HoneRecord *record);

/* Read this session's cell (parallel.c). */
extern void hone_parallel_read(HoneWorkersCpu *cpu);

/*
 * In a parallel worker, whose part of a plan has ended or failed: add to the
 * leader's cell. Takes no lock.
 */
extern void hone_parallel_tell(void);

/* Tell the observers. A failed one at nest level 0 marks its error as told. */
extern void hone_capture_finish(HoneRecord *record);

/* A new statement of the client begins: no error has been told yet. */
extern void hone_errors_statement(void);

/* The error in flight has been told with its statement. */
extern void hone_errors_told(void);

/*
 * The client's statement now executing begins and ends, on success and on
 * error. Termination of the session (FATAL) closes all that are open.
 */
extern void hone_errors_open(HoneStretch *stretch);
extern void hone_errors_close(HoneStretch *stretch);

extern void hone_executor_init(void);
extern void hone_utility_init(void);
extern void hone_errors_init(void);
extern void hone_parallel_init(void);

#endif							/* HONE_CAPTURE_CALL_H */
