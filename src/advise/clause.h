/*-------------------------------------------------------------------------
 *
 * clause.h
 *	  The condition of a finding in its statement's tree: one comparison of
 *	  one column of the finding's table, by the finding's operator.
 *
 * All of these may throw; recommend.c calls them inside a subtransaction.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_CLAUSE_H
#define HONE_CLAUSE_H

#include "nodes/parsenodes.h"
#include "nodes/primnodes.h"

#include "advise/recommend.h"

typedef struct HoneClause
{
	const HoneFinding *finding;
	Query	   *query;			/* that it is in, or that the walker is in */
	Node	   *clause;			/* OpExpr or ScalarArrayOpExpr, NULL: not
								 * found */
	bool		commuted;		/* value op expression */
	Index		rti;			/* of the column's table */
} HoneClause;

/*
 * Parse the finding's statement into *query and look for the condition. Throws
 * if it cannot be parsed; false if the condition is not in it.
 */
extern bool hone_clause_find(const HoneFinding *finding, HoneClause *clause,
							 Query **query);

/* The side with the column, and the other one. */
extern Node *hone_clause_column(HoneClause *clause);
extern Node *hone_clause_value(HoneClause *clause);

/* The column in an expression over one. */
extern Var *hone_clause_var(Node *node);

/*
 * Is a node of clause->query over the finding's column and no other one: a
 * function or cast, or with !finding->inside the column itself? If so,
 * clause->rti is set.
 */
extern bool hone_clause_is_over_column(HoneClause *clause, Node *node);

/* left operator right, whatever the search_path is. */
extern Node *hone_clause_operator(char *operator, Node *left, Node *right);

/* btree strategy of the operator in its own type's default family, or 0. */
extern int	hone_clause_strategy(const HoneQual *qual);

/* What was measured. */
extern void hone_clause_evidence(const HoneFinding *finding,
								 const HoneReader *reader, HoneAdvice *advice);

/*
 * How a summary begins: where other conditions are in the filter they may be
 * what removed the rows.
 */
extern const char *hone_clause_doubt(const HoneFinding *finding);

/* Rows removed by an execution, the median. */
extern int64 hone_clause_removed(const HoneFinding *finding);

#endif							/* HONE_CLAUSE_H */
