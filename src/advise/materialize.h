/*-------------------------------------------------------------------------
 *
 * materialize.h
 *	  A statement as a materialized view, and what then reads from it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_MATERIALIZE_H
#define HONE_MATERIALIZE_H

#include "nodes/parsenodes.h"

#include "advise/recommend.h"

typedef struct HoneView
{
	const char *problem;		/* why there can be none, or NULL */
	bool		fleeting;		/* no two executions have the same answer */
	const char *time_zone;		/* function that depends on it, or NULL */
	bool		whole_groups;	/* all groups, where a call returned some */
	List	   *moved;			/* columns of conditions that select from it */
	double		values;			/* of these together, 0 = not known */
	int			width;			/* of a row, an estimate */
	bool		exists;			/* a view that has its rows */
	char	   *name;			/* qualified, */
	char	   *fix;			/* CREATE of it, with its unique index */
	char	   *key;			/* columns of that, or NULL */
	char	   *read;			/* the statement as it selects from it */
} HoneView;

/*
 * The view for a statement. Conditions "column = value" whose value is a
 * parameter, or a constant that differs between calls, are taken out of it:
 * it is grouped by the column too. With mask the constants of 'read' are
 * parameters, and constants of the view are a problem. May throw.
 */
extern HoneView *hone_view_make(const HoneFinding *finding, Query *query, bool mask);

/* ---- materialize_problem.c ---- */

/* Set view->problem, if none is set. */
extern void hone_view_problem(HoneView *view, const char *problem);

/*
 * Set problem for literals of times in the view's query, whose meaning depends
 * on when, and in which TimeZone, they are read. text: that it was parsed from.
 */
extern void hone_view_look_at_times(Query *query, const char *text, HoneView *view);

/* Set problem, fleeting and time_zone for a statement as it is analysed. */
extern void hone_view_look_for_problems(Query *query, HoneView *view);

#endif							/* HONE_MATERIALIZE_H */
