/*-------------------------------------------------------------------------
 *
 * prune.h
 *	  From the clauses of a query to the conditions by which batches are
 *	  passed over.
 *
 * While planning, a clause becomes a term: what is known of it, as a list that
 * can be part of a plan, and the expression that its column is compared with.
 * While executing, terms and the expressions' values become conditions.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_PRUNE_H
#define HONE_TIERED_PRUNE_H

#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

#include "tiered/condition.h"

/*
 * What a clause wants of a column of relation rti; false when no condition
 * can be made of it. *expression is NULL for IS [NOT] NULL. It holds no column
 * of that relation (but perhaps parameters and columns of others), no volatile
 * function and no subplan.
 */
typedef struct HoneClause
{
	AttrNumber	attnum;
	HoneConditionKind kind;		/* IN_RANGE, ONE_OF, IS_NULL or IS_NOT_NULL */
	bool		is_array;		/* any element of the expression's value */
	HoneComparison comparison;
	Expr	   *expression;
} HoneClause;

extern bool hone_clause_match(PlannerInfo *root, Expr *clause, Index rti,
							  HoneClause *matched);

/* The terms of all clauses that match, and their expressions. */
extern List *hone_prune_terms(PlannerInfo *root, List *clauses, Index rti,
							  List **expressions);

typedef struct HonePruner HonePruner;

/* expressions: of Expr, as the finished plan has them. */
extern HonePruner *hone_pruner_create(List *terms, List *expressions,
									  PlanState *parent);

/*
 * The conditions as of now: the expressions are evaluated. They are valid
 * until the next call.
 */
extern const HoneCondition *hone_pruner_conditions(HonePruner *pruner,
												   ExprContext *econtext,
												   int *nconditions);

#endif							/* HONE_TIERED_PRUNE_H */
