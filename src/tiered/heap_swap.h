/*-------------------------------------------------------------------------
 *
 * heap_swap.h
 *	  A relation whose routine is heap's for the length of a call.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_TIERED_HEAP_SWAP_H
#define HONE_TIERED_HEAP_SWAP_H

#include "access/tableam.h"
#include "utils/relcache.h"

/* The caller's, on its stack. */
typedef struct HoneHeapSwap
{
	Relation	rel;
	const TableAmRoutine *own;
	struct HoneHeapSwap *outer;
} HoneHeapSwap;

/*
 * Give rel, which stays open, heap's routine. To be undone, innermost first,
 * on error too: in PG_FINALLY.
 */
extern void hone_swap_to_heap(HoneHeapSwap *swap, Relation rel);
extern void hone_swap_back(HoneHeapSwap *swap);

#endif							/* HONE_TIERED_HEAP_SWAP_H */
