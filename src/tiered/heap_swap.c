/*-------------------------------------------------------------------------
 *
 * heap_swap.c
 *	  A relation whose routine is heap's for the length of a call.
 *
 * An open relation's cache entry is rebuilt in place when an invalidation
 * comes in, with its own routine. Callbacks are called after that, so that
 * the swap can be made again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/heapam.h"
#include "utils/inval.h"
#include "utils/rel.h"

#include "tiered/heap_swap.h"

static HoneHeapSwap *swaps = NULL;	/* innermost first */

static void
swap_again(Datum arg, Oid relid)
{
	for (HoneHeapSwap *swap = swaps; swap != NULL; swap = swap->outer)
		swap->rel->rd_tableam = GetHeapamTableAmRoutine();
}

void
hone_swap_to_heap(HoneHeapSwap *swap, Relation rel)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(swap_again, (Datum) 0);
		registered = true;
	}
	swap->rel = rel;
	swap->own = rel->rd_tableam;
	swap->outer = swaps;
	swaps = swap;
	rel->rd_tableam = GetHeapamTableAmRoutine();
}

void
hone_swap_back(HoneHeapSwap *swap)
{
	swaps = swap->outer;
	swap->rel->rd_tableam = swap->own;
}
