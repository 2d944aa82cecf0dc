/*-------------------------------------------------------------------------
 *
 * history.h
 *	  What the parts of the history share. Private to stats/.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_STATS_HISTORY_H
#define HONE_STATS_HISTORY_H

#include "utils/timestamp.h"

#include "common/hone.h"

/* Columns of history and of hone._history_take(), in this order. */
#define HONE_HISTORY_FIGURES \
	"kind, queryid, userid, toplevel, calls, errors, rows, total_ms, min_ms, max_ms, m2," \
	" plans, plan_ms, reads, writes, shared_blks_hit, shared_blks_read," \
	" shared_blks_dirtied, shared_blks_written, temp_blks_read, temp_blks_written," \
	" blk_read_ms, blk_write_ms, wal_bytes, cpu_user_ms, cpu_sys_ms, waits, histogram"

#define HONE_HOUR_US	(INT64CONST(3600) * USECS_PER_SEC)
#define HONE_DAY_US		(24 * HONE_HOUR_US)

/* Begin of the unit (in us, as counted from 2000-01-01 UTC) in which a time is. */
static inline TimestampTz
hone_floor_time(TimestampTz at, int64 unit)
{
	int64		rest = at % unit;

	return at - (rest < 0 ? rest + unit : rest);
}

/*
 * hone._history_take() works only while it is allowed: what it took goes to
 * the history or, on abort, back. What was counted before 'from' is taken, and
 * left out: it is not of this database's history.
 */
extern void hone_history_allow_take(TimestampTz from);
extern void hone_history_forbid_take(void);

/* The first of what this database has counted and not written yet, or now. */
extern TimestampTz hone_history_first_seen(void);

/*
 * A lock that the writer of the history holds until its transaction is over
 * for everybody, that is also for the numbers in shared memory. begin: to the
 * end of the transaction. is_writing: is anybody? If so, waits for the end.
 */
extern void hone_history_begin_writing(void);
extern bool hone_history_is_writing(void);

/* How long each level is kept, in minutes; settings. */
extern int	hone_history_keep_minutes;
extern int	hone_history_keep_hours;
extern int	hone_history_keep_days;

extern void hone_history_define_settings(void);

#endif							/* HONE_STATS_HISTORY_H */
