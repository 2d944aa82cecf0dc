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

/*
 * hone._history_take() works only between these two: what it took goes to the
 * history or, on abort, back.
 */
extern void hone_history_allow_take(bool allow);

/* The first of what this database has counted and not written yet, or now. */
extern TimestampTz hone_history_first_seen(void);

/* How long each level is kept, in minutes; settings. */
extern int	hone_history_keep_minutes;
extern int	hone_history_keep_hours;
extern int	hone_history_keep_days;

extern void hone_history_define_settings(void);

#endif							/* HONE_STATS_HISTORY_H */
