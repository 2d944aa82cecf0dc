/*-------------------------------------------------------------------------
 *
 * spill.c
 *	  Nodes that wrote to temporary files what work_mem had no room for.
 *
 * Everything is in the executor's state when the statement ends, without
 * timers; of parallel workers it is there when the rows of nodes were counted.
 * How much memory would have done is worked out from the rows that went in:
 * on disk rows take less than in memory.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "executor/executor.h"
#include "executor/hashjoin.h"
#include "executor/nodeHash.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "utils/tuplesort.h"
#include "utils/tuplestore.h"

#include "advise/nodes.h"
#include "compat/compat.h"

/*
 * Bytes of a row in memory beside its data: the allocator's and the row's
 * header, the rounding, and twice the sort's or table's own entry, because
 * their arrays grow by doubling.
 */
#define ROW_OVERHEAD	80
#define STORE_CHUNK_MAX	8192
#define STORE_OVERHEAD	40
#define MARGIN			1.1		/* over what was worked out */

static void
note(HoneNodeLook *look, NodeTag node, double spilled_kb, double needed_kb)
{
	HoneSpill  *into = NULL;

	for (int i = 0; i < look->nspills; i++)
	{
		if (look->spills[i].node == node)
			into = &look->spills[i];
	}
	if (into == NULL)
	{
		if (look->nspills == HONE_LOOK_SPILLS)
			return;
		into = &look->spills[look->nspills++];
		memset(into, 0, sizeof(HoneSpill));
		into->node = node;
	}
	into->spilled_kb += spilled_kb;
	/* it did not fit into what there was, whatever was worked out */
	needed_kb = Max(needed_kb * MARGIN, 2.0 * work_mem);
	into->needed_kb = Max(into->needed_kb, needed_kb);
}

/* Rows that the node below gave in one loop. */
static double
rows_below(PlanState *node)
{
	PlanState  *below = outerPlanState(node);

	if (below == NULL || below->instrument == NULL)
		return 0;
	return hone_node_rows(below) / Max(hone_node_loops(below), 1);
}

static void
note_sort(HoneNodeLook *look, SortState *sort, const TuplesortInstrumentation *stats)
{
	if (stats->spaceType != SORT_SPACE_TYPE_DISK)
		return;
	note(look, T_Sort, stats->spaceUsed,
		 stats->spaceUsed + rows_below(&sort->ss.ps) * ROW_OVERHEAD / 1024);
}

static void
look_at_sort(HoneNodeLook *look, SortState *sort)
{
	TuplesortInstrumentation stats;

	if (sort->sort_Done && sort->tuplesortstate != NULL)
	{
		tuplesort_get_stats(sort->tuplesortstate, &stats);
		note_sort(look, sort, &stats);
	}
	for (int i = 0; sort->shared_info && i < sort->shared_info->num_workers; i++)
	{
		if (sort->shared_info->sinstrument[i].sortMethod != SORT_TYPE_STILL_IN_PROGRESS)
			note_sort(look, sort, &sort->shared_info->sinstrument[i]);
	}
}

/* What is read of a hash table: the most that any process had of it. */
static void
read_hash(HashState *hash, HashInstrumentation *figures)
{
	memset(figures, 0, sizeof(HashInstrumentation));
	if (hash->hinstrument)
		*figures = *hash->hinstrument;
	else if (hash->hashtable)
		ExecHashAccumInstrumentation(figures, hash->hashtable);
	for (int i = 0; hash->shared_info && i < hash->shared_info->num_workers; i++)
	{
		HashInstrumentation *worker = &hash->shared_info->hinstrument[i];

		figures->nbatch = Max(figures->nbatch, worker->nbatch);
		figures->space_peak = Max(figures->space_peak, worker->space_peak);
	}
}

/*
 * Batches are of about one size, but for values that are very frequent. All
 * processes of a parallel hash put their memory together.
 */
static void
look_at_hash(HoneNodeLook *look, HashState *hash)
{
	HashInstrumentation figures;
	double		kb;
	double		share = hash_mem_multiplier;

	read_hash(hash, &figures);
	if (figures.nbatch <= 1)
		return;
	kb = (double) figures.space_peak / 1024 * figures.nbatch;
	if (hash->ps.plan->parallel_aware && hash->shared_info)
		share *= hash->shared_info->num_workers + 1;
	note(look, T_Hash, kb - figures.space_peak / 1024.0, kb / share);
}

static void
look_at_agg(HoneNodeLook *look, AggState *agg)
{
	double		disk = 0;
	double		peak = 0;
	double		groups = hone_node_rows(&agg->ss.ps) + agg->ss.ps.instrument->nfiltered1;
	double		loops = Max(hone_node_loops(&agg->ss.ps), 1);
	double		needed;

	if (agg->aggstrategy != AGG_HASHED && agg->aggstrategy != AGG_MIXED)
		return;
	if (agg->hash_batches_used > 1)
	{
		disk = agg->hash_disk_used;
		peak = agg->hash_mem_peak / 1024.0;
	}
	for (int i = 0; agg->shared_info && i < agg->shared_info->num_workers; i++)
	{
		AggregateInstrumentation *worker = &agg->shared_info->sinstrument[i];

		if (worker->hash_batches_used <= 1)
			continue;
		disk += worker->hash_disk_used;
		peak = Max(peak, worker->hash_mem_peak / 1024.0);
	}
	if (disk == 0)
		return;
	needed = groups / loops * (agg->hashentrysize + ROW_OVERHEAD) / 1024;
	note(look, T_Agg, disk, Max(needed, 2 * peak) / hash_mem_multiplier);
}

/*
 * Memory of a row in a store: before PostgreSQL 17 in a chunk whose size is a
 * power of two, up to a limit; with the chunk's header and twice its pointer.
 */
static double
stored_size(double width)
{
	double		size = width + SizeofMinimalTupleHeader;

	if (HONE_STORE_ROUNDS_UP && size <= STORE_CHUNK_MAX)
		size = pg_nextpower2_32((uint32) size);
	return size + STORE_OVERHEAD;
}

/*
 * A store does not say how large it is, so the width counts that the planner
 * took for the rows of the node that fills it.
 */
static void
look_at_store(HoneNodeLook *look, NodeTag node, Tuplestorestate *store,
			  PlanState *filler)
{
	double		width;
	double		rows;

	if (store == NULL || filler == NULL || filler->instrument == NULL ||
		tuplestore_in_memory(store))
		return;
	width = MAXALIGN(filler->plan->plan_width);
	rows = hone_node_rows(filler) / Max(hone_node_loops(filler), 1);
	note(look, node, rows * width / 1024, rows * stored_size(width) / 1024);
}

void
hone_spill_look(HoneNodeLook *look, PlanState *node)
{
	switch (nodeTag(node))
	{
		case T_SortState:
			look_at_sort(look, (SortState *) node);
			break;
		case T_HashState:
			look_at_hash(look, (HashState *) node);
			break;
		case T_AggState:
			look_at_agg(look, (AggState *) node);
			break;
		case T_MaterialState:
			look_at_store(look, T_Material, ((MaterialState *) node)->tuplestorestate,
						  outerPlanState(node));
			break;
		case T_CteScanState:
			/* one of its readers keeps the rows of all */
			if (((CteScanState *) node)->leader == (CteScanState *) node)
				look_at_store(look, T_CteScan, ((CteScanState *) node)->cte_table,
							  ((CteScanState *) node)->cteplanstate);
			break;
		default:
			break;
	}
}
