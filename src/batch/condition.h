/*-------------------------------------------------------------------------
 *
 * condition.h
 *	  SQL conditions that come as text.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_CONDITION_H
#define HONE_BATCH_CONDITION_H

#include "common/hone.h"

/*
 * Raise an error unless the text is one SQL expression, whole and balanced,
 * without parameters, so that it means the same between parentheses. It is
 * parsed only: names and types are checked when it is used. The text may end
 * in a comment: put a newline before the closing parenthesis.
 */
extern void hone_check_condition(const char *condition);

#endif							/* HONE_BATCH_CONDITION_H */
