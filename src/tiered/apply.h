/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  Changes that a subscription applies to a tiered table.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_APPLY_H
#define HONE_TIERED_APPLY_H

#include "utils/relcache.h"

/* Installs get_relation_info_hook. */
extern void hone_apply_init(void);

/*
 * Before a scan of an index of rel: ERRCODE_FEATURE_NOT_SUPPORTED when it is
 * a subscription's that looks for the row to change among plain rows only.
 */
extern void hone_apply_check_index_scan(Relation rel);

#endif							/* HONE_TIERED_APPLY_H */
