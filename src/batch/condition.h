/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  SQL conditions and SET clauses that come as text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_CONDITION_H
#define HONE_BATCH_CONDITION_H

#include "nodes/pg_list.h"

#include "common/hone.h"

/*
 * Raise an error unless the text is one SQL expression, whole and balanced,
 * without parameters, so that it means the same between parentheses. It is
 * parsed only: names and types are checked when it is used. The text may end
 * in a comment: put a newline before the closing parenthesis.
 */
extern void hone_check_condition(const char *condition);

/*
 * The same of what may stand between SET and WHERE in an UPDATE. Returns the
 * names of the columns that it sets.
 */
extern List *hone_check_assignments(const char *assignments);

#endif							/* HONE_BATCH_CONDITION_H */
