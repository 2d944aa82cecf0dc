/*-------------------------------------------------------------------------
 *
 * tablespace.h
 *	  Moving a table to another tablespace beside its readers and writers;
 *	  hone_tiered_set_tablespace is declared in tiered.h.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_TABLESPACE_H
#define HONE_TIERED_TABLESPACE_H

#include "utils/relcache.h"

#include "common/hone.h"

/* Raise an error unless the current role may move rel there. */
extern void hone_check_tablespace_move(Relation rel, Oid tablespace);

#endif							/* HONE_TIERED_TABLESPACE_H */
