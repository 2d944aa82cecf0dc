/*-------------------------------------------------------------------------
 *
 * record.h
 *	  What capture hands to its observers (statistics, detectors).
 *
 * capture/ fills the structures; stats/ and advise/ register an observer and
 * never include capture's headers. Observers run inside the user's statement:
 * they must not throw, must not take locks that another backend can hold
 * while running user code, and must not keep any pointer they are handed
 * beyond the call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_RECORD_H
#define HONE_RECORD_H

#include "executor/execdesc.h"
#include "executor/instrument.h"
#include "parser/parse_node.h"
#include "tcop/dest.h"
#include "utils/timestamp.h"

#include "common/hone.h"

typedef enum HoneRecordKind
{
	HONE_RECORD_PLAN,			/* one planning; elapsed_ns is the planning
								 * time */
	HONE_RECORD_EXEC			/* one finished or failed call */
} HoneRecordKind;

/* One planning or one call of a statement. Times in nanoseconds. */
typedef struct HoneRecord
{
	HoneRecordKind kind;
	Oid			dbid;
	Oid			userid;
	uint64		queryid;		/* 0 where none is known (parse errors) */
	bool		toplevel;
	int			nest_level;		/* 0 = sent by the client */
	CmdType		cmd;			/* CMD_UTILITY for utility statements */
	int			sqlstate;		/* 0 = finished, else the packed SQLSTATE */
	bool		in_abort;		/* an error is in flight or a rollback under
								 * way: no lock, no catalog access */
	uint32		lxid;			/* local transaction id, for grouping */
	bool		in_xact_block;	/* inside BEGIN ... COMMIT */
	TimestampTz started;		/* wall clock at the start of the call */
	uint64		start_ns;		/* monotonic clock at the start */
	uint64		elapsed_ns;		/* execution (or planning) time */
	uint64		rows;			/* rows returned or affected */
	BufferUsage buffers;		/* deltas of this call */
	WalUsage	wal;
	bool		has_io;			/* else buffers has nothing but
								 * shared_blks_hit, and wal nothing */
	bool		has_rusage;		/* cpu_* were sampled for this call */
	uint64		cpu_user_us;
	uint64		cpu_sys_us;
	const char *source;			/* whole source string, may be NULL */
	int			location;		/* of this statement in it; -1 = unknown */
	int			length;			/* 0 = to the end */
	CommandDest dest;			/* where its rows went, by the last run;
								 * query_desc->dest may be gone when it ends */
	QueryDesc  *query_desc;		/* executor state, still readable; NULL for
								 * utility statements, plans and failures */
} HoneRecord;

/*
 * Callbacks, each may be NULL.
 *
 * analyzed: after parse analysis of a statement with a query identifier;
 *		jstate is NULL when nothing was jumbled for this call.
 * identified: before a utility statement runs: its record so far, that is who
 *		and what, without figures.
 * starting: before the executor starts. Returns instrument_options to add
 *		(0 = none): rows only (INSTRUMENT_ROWS), never timers.
 * receiving: before each run of a SELECT: who is to get its rows instead of
 *		'dest' during that run, and hands them on to it; or 'dest' itself. depth:
 *		how deep the run is nested, where a cursor's may be deeper than
 *		record->nest_level. Runs within a run are at greater depths.
 * running: the client's own statement begins to execute, or with NULL has
 *		stopped, be it for good or until a cursor's next FETCH. Also in abort.
 * finished: after a call ended or failed. With in_abort LWLocks may still be
 *		held: the observer then takes none, and reads no catalog.
 */
typedef void (*HoneAnalyzed) (ParseState *pstate, Query *query, JumbleState *jstate);
typedef void (*HoneIdentified) (const HoneRecord *record);
typedef int (*HoneStarting) (QueryDesc *query_desc, int eflags, int nest_level);
typedef DestReceiver *(*HoneReceiving) (const HoneRecord *record,
										QueryDesc *query_desc, DestReceiver *dest,
										int depth);
typedef void (*HoneRunning) (const HoneRecord *record);
typedef void (*HoneFinished) (const HoneRecord *record);

typedef struct HoneObserver
{
	HoneAnalyzed analyzed;
	HoneIdentified identified;
	HoneStarting starting;
	HoneReceiving receiving;
	HoneRunning running;
	HoneFinished finished;
} HoneObserver;

#define HONE_OBSERVERS	4		/* at most */

/*
 * The callbacks of those that are registered, in the order of registration,
 * a list for each event so that nobody is asked who does not want to know. A
 * NULL ends each list.
 */
typedef struct HoneObservers
{
	HoneAnalyzed analyzed[HONE_OBSERVERS + 1];
	HoneIdentified identified[HONE_OBSERVERS + 1];
	HoneStarting starting[HONE_OBSERVERS + 1];
	HoneReceiving receiving[HONE_OBSERVERS + 1];
	HoneRunning running[HONE_OBSERVERS + 1];
	HoneFinished finished[HONE_OBSERVERS + 1];
} HoneObservers;

extern HoneObservers hone_observers;

/* hone.enabled: the switch that turns all observation off. */
extern bool hone_enabled;

/* Add an observer; called from an area's init only. */
extern void hone_observer_register(const HoneObserver *observer);

#endif							/* HONE_RECORD_H */
