/*-------------------------------------------------------------------------
 *
 * am.h
 *	  The access method "tiered": what the other files of tiered/ need of it.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_AM_H
#define HONE_TIERED_AM_H

#include "access/tableam.h"

#include "common/hone.h"

/* True for a relation of access method "tiered". */
extern bool hone_is_tiered(Relation rel);

/*
 * True for a tiered relation that holds batches or may come to hold them
 * without a stronger lock than readers': see switch.c. Cached in rd_amcache,
 * which a relcache invalidation clears.
 */
extern bool hone_is_open(Relation rel);

/* Raise the error for a statement that compressed rows do not take yet. */
extern void hone_refuse_compressed(Relation rel, const char *action);

#endif							/* HONE_TIERED_AM_H */
