/*-------------------------------------------------------------------------
 *
 * hypothetical.h
 *	  Indexes that do not exist, for the planner to choose from.
 *
 * They are the backend's own: nobody else sees them, no catalog has them, and
 * only a plan that is not going to run may use them.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_INDEX_HYPOTHETICAL_H
#define HONE_INDEX_HYPOTHETICAL_H

#include "nodes/bitmapset.h"
#include "nodes/params.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "storage/block.h"

/* A column of an index as its definition has it. */
typedef struct HoneIndexColumn
{
	AttrNumber	attnum;			/* 0: the next expression */
	Oid			type;			/* of the column or expression */
	int32		typmod;
	Oid			collation;
	Oid			opfamily;		/* of a key; InvalidOid for included ones */
	Oid			opcintype;
	bool		descending;
	bool		nulls_first;
} HoneIndexColumn;

/* What the size depends on, at the time of its creation. */
typedef struct HoneIndexEstimate
{
	double		fraction;		/* of the table's rows that are in it */
	double		rows;			/* of the table, then */
	BlockNumber pages;
	double		groups;			/* different keys among its rows; 0: all */
	double		entry_bytes;	/* average of one entry, with its header */
	double		items_per_row;	/* entries of a row (gin) */
	bool		deduplicates;	/* equal keys are stored once (btree) */
} HoneIndexEstimate;

/* An index on one table; expressions and predicate have it as relation 1. */
typedef struct HoneHypotheticalIndex
{
	Oid			oid;			/* of no object, but unlike any that is used */
	Oid			relid;
	Oid			am;
	char	   *name;
	char	   *definition;		/* the DDL as it was given */
	bool		unique;
	int			fillfactor;		/* percent */
	int			ncolumns;		/* keys first, included ones after */
	int			nkeys;
	HoneIndexColumn *columns;
	List	   *expressions;
	List	   *predicate;		/* conditions joined by AND */
	HoneIndexEstimate estimate;
} HoneHypotheticalIndex;

/*
 * What CREATE INDEX would make: a list of one HoneHypotheticalIndex, or of one
 * for each leaf of a partitioned table, palloc'd in the current context. Errors
 * are those of CREATE INDEX, and
 *	  42601	the text is not one CREATE INDEX statement
 *	  42501	the user may not read the table
 *	  42501	row security hides rows from him, whose values an estimate would show
 *	  42809	no ordinary table, materialized view or partitioned table
 *	  54000	it has more leaves than that
 * Keeps an ACCESS SHARE lock of the table to the end of the transaction.
 */
extern List *hone_hypothetical_parse(const char *ddl, int most_leaves);

/*
 * The raw statements of a text of its own: the place of a syntax error is in
 * that text, as for a statement that a function runs.
 */
extern List *hone_parse_text(const char *text);

/* Pages, entries and height of a tree of such an index on a table of so many rows. */
typedef struct HoneIndexSize
{
	BlockNumber pages;
	double		tuples;
	int			height;			/* levels above the leaves; -1: no tree */
} HoneIndexSize;

/* Fills in index->estimate from the statistics. */
extern void hone_index_estimate(HoneHypotheticalIndex *index);

/*
 * heap_pages: of the table, for those that have an entry for a range of it.
 */
extern HoneIndexSize hone_index_size(const HoneHypotheticalIndex *index,
									 double table_rows, BlockNumber heap_pages);

/*
 * What one more row of the table costs, in the planner's units: a descent for
 * each of its entries, by btcostestimate (selfuncs.c), and once more as much for
 * the change of the leaf and its WAL; what does not fit into
 * effective_cache_size is read.
 */
extern double hone_index_entry_cost(const HoneHypotheticalIndex *index,
									const HoneIndexSize *size);

/* Columns of the table that it depends on: keys, included ones, predicate. */
extern Bitmapset *hone_index_attributes(const HoneHypotheticalIndex *index);

/*
 * A plan of the query, which is scribbled upon, with these indexes (and not
 * the session's); it must not be run.
 */
extern PlannedStmt *hone_plan_with(Query *query, const char *text, int cursor_options,
								   ParamListInfo params, List *indexes);

/* Does the plan scan one of them? */
extern bool hone_plan_uses(PlannedStmt *plan, List *indexes);

/*
 * Indexes for EXPLAIN to plan with; NULL: the session's own. Returns what it
 * was, to be set back, also after an error.
 */
extern List **hone_hypothetical_use(List **indexes);

/* The session's own: HoneHypotheticalIndexes. */
extern List *hone_hypothetical_session(void);

/*
 * Adds them to the session's. Raises 54000 when there are too many.
 */
extern void hone_hypothetical_keep(List *indexes);

/* Forgets all of the session's; returns how many the user had made. */
extern int	hone_hypothetical_forget(void);

/* For an index that is being made. */
extern Oid	hone_hypothetical_new_oid(void);

/* Installs the hooks. */
extern void hone_hypothetical_init(void);

#endif							/* HONE_INDEX_HYPOTHETICAL_H */
