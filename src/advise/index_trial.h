/*-------------------------------------------------------------------------
 *
 * index_trial.h
 *	  Which index would the planner use for a finding's statement?
 *
 * The statement is planned again with each candidate as a hypothetical index,
 * and with the values that calls of it really had.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_INDEX_TRIAL_H
#define HONE_INDEX_TRIAL_H

#include "nodes/parsenodes.h"

#include "advise/finding.h"

#define HONE_INDEX_KEYS			4	/* columns of an index, at most */
#define HONE_INDEX_ENTRY_WIDTH	500 /* average bytes of a column that is one */

/* One index that might help; all but 'text' is found out. */
typedef struct HoneIndexCandidate
{
	const char *text;			/* what stands behind ON and the table */
	const char *keys;			/* its key columns */
	bool		plain;			/* that is all of it */
	List	   *columns;		/* the first keys, as far as their order is
								 * the default; NIL if not all rows are in it */
	bool		constant;		/* its predicate has a constant */
	const char *what;			/* in a word, for the evidence */
	int			rank;			/* a dearer kind has to be clearly better */
	bool		tiny;			/* of few rows, or of ranges of pages: if it
								 * is that small, it may cost somewhat more */
	bool		used;			/* the planner chose it for some call */
	double		cost;			/* of the plans with it, mean of the calls */
	double		bytes;			/* once built */
	double		entry_cost;		/* of a written row, in the planner's units */
	List	   *attributes;		/* names of the columns it depends on */
	const char *leading;		/* of its first key; NULL: an expression */
} HoneIndexCandidate;

typedef struct HoneIndexTrial
{
	/* in */
	const HoneFinding *finding;
	Oid			relid;			/* the table, or the topmost it is a part of */
	List	   *equal;			/* columns compared with =, first ones first */
	AttrNumber	range;			/* one compared otherwise, or 0 */
	List	   *others;			/* HoneIndexCandidates of other kinds to try */
	bool		given;			/* no others than those */
	bool		order;			/* the order alone may do, whatever is
								 * filtered */
	bool		constants;		/* may constants be in a predicate? */

	/* out */
	bool		known;			/* false: the table was never analyzed */
	List	   *candidates;		/* HoneIndexCandidates */
	double		cost;			/* without any of them */
	int			calls;			/* with how many calls' values; 0: none known */
} HoneIndexTrial;

/* A candidate of which only text and what are known. */
extern HoneIndexCandidate *hone_index_candidate(const char *what, const char *text);

/*
 * Try candidates with the columns of the trial: the plain index, with the
 * statement's order behind it, with the columns it reads included, and only for
 * the rows that a condition without a value leaves. Throws what planning
 * throws. To be called in a subtransaction (hone_advice_try), as the role that
 * ran the statement.
 */
extern void hone_index_trial(void *trial);

/*
 * Only size, cost of an entry and columns of its 'others', without a statement.
 * Under the same conditions.
 */
extern void hone_index_measure(void *trial);

/* Keys of the plain index: what is known before any trial. */
extern char *hone_index_trial_keys(const HoneIndexTrial *trial);

/* Why the planner, or pg_hone, prefers 'best' to a candidate. */
extern const char *hone_index_trial_why_not(const HoneIndexTrial *trial,
											const HoneIndexCandidate *candidate,
											const HoneIndexCandidate *best);

/* The best of them, or NULL: the planner uses none. */
extern HoneIndexCandidate *hone_index_trial_best(const HoneIndexTrial *trial);

/* ---- advice_index.c ---- */

/*
 * hone_index_trial() that never throws: NULL, or why it was not tried, where the reader
 * may know. What is beyond the time for one read is not tried.
 */
struct HoneReader;
extern const char *hone_index_try(HoneIndexTrial *trial, const struct HoneReader *reader);

/*
 * Find out what an index that was not tried takes: its bytes stay 0 where even
 * that fails. Never throws.
 */
extern void hone_index_try_measure(Oid relid, HoneIndexCandidate *index);

/* ---- index_candidates.c ---- */

/* A condition column = constant that holds for all calls that are known. */
typedef struct HoneIndexConstant
{
	AttrNumber	attnum;			/* in the trial's table */
	char	   *text;			/* for a predicate */
} HoneIndexConstant;

/*
 * Such conditions of a query that reads the trial's table as 'rti', of columns
 * with few values. The constants are to be shown only to those who may see them.
 */
extern List *hone_index_constants(const HoneIndexTrial *trial, Query *query, Index rti);

#endif							/* HONE_INDEX_TRIAL_H */
