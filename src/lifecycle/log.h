/*-------------------------------------------------------------------------
 *
 * log.h
 *	  The log of moves, and the back-off of those that failed.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_LIFECYCLE_LOG_H
#define HONE_LIFECYCLE_LOG_H

#include "datatype/timestamp.h"

#include "common/hone.h"

/* One finished or failed move. */
typedef struct HoneMoveRecord
{
	Oid			partition;
	const char *name;			/* of the partition, qualified */
	const char *to_tier;
	int			wanted;			/* tier that its policy wanted when that was
								 * looked up; -1: was not */
	bool		by_worker;
	bool		unfinished;		/* neither done nor failed: to be gone on with */
	TimestampTz started;
	int64		rows;
	bool		rewritten;		/* also batches that were there */
	bool		gone;			/* the partition is */
	int64		bytes_before;
	int64		bytes_after;
	int			sqlstate;		/* 0 = done */
	const char *error;			/* NULL = done */
	const char *note;			/* what was left undone, or NULL */
} HoneMoveRecord;

/*
 * Write the record, and note or clear the partition's failure. Runs inside
 * the current transaction, with SPI connected; the caller commits.
 */
extern void hone_log_move(const HoneMoveRecord *record);

/*
 * Note that there was nothing to move: the worker leaves the partition alone
 * for a day, as it does after each move. tier: where it was found to be, or
 * NULL. Like above.
 */
extern void hone_log_nothing(const HoneMoveRecord *record, const char *tier);

/*
 * The same for a partition that was made ahead (record->error NULL), or for its
 * parent when it could not be; note or clear the parent's failure.
 */
extern void hone_log_premake(const HoneMoveRecord *record, Oid parent);

/*
 * For all partitions under a policy, notice whether they were read since the
 * last time; drop what is known of relations that are gone. Like above.
 */
extern void hone_refresh_state(void);

#endif							/* HONE_LIFECYCLE_LOG_H */
