/*-------------------------------------------------------------------------
 *
 * index_writes.h
 *	  What writing to a table would cost if it had one index more.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_INDEX_WRITES_H
#define HONE_INDEX_WRITES_H

#include "nodes/pg_list.h"

#include "advise/index_trial.h"

/* Rows an hour, of a table with its partitions. */
typedef struct HoneTableWrites
{
	bool		known;			/* they were counted for long enough */
	double		inserted;
	double		moved;			/* updates that put entries into all indexes */
	double		hot;			/* updates that put one into none */
	int			indexes;		/* that it has */
	List	   *updates;		/* HoneUpdates of it, where hot ones are known */
} HoneTableWrites;

/* UPDATE statements as they were counted, by the columns that they set. */
typedef struct HoneUpdate
{
	List	   *columns;		/* names */
	double		rows;
} HoneUpdate;

/* Texts of UPDATE statements, for all tables: zero before the first. */
typedef struct HoneUpdateTexts
{
	bool		read;
	List	   *texts;
} HoneUpdateTexts;

/*
 * Palloc'd, as the texts are: in a context that lives as long as both. Throws
 * what reading pg_hone's own tables throws.
 */
extern HoneTableWrites *hone_table_writes(Oid relid, HoneUpdateTexts *texts);

/* What a candidate adds to that, an hour. */
typedef struct HoneIndexWrites
{
	double		entries;		/* rows that get an entry of it */
	double		hot_lost;		/* of these, updates that are HOT without it */
	double		cost;			/* of all that, in the planner's units */
} HoneIndexWrites;

/* replaces: it takes the place of an index that is written to already. */
extern HoneIndexWrites hone_index_writes(const HoneTableWrites *writes,
										 const HoneIndexCandidate *candidate, bool replaces);

#endif							/* HONE_INDEX_WRITES_H */
