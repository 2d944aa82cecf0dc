/*-------------------------------------------------------------------------
 *
 * nodes.h
 *	  What the detectors of plan nodes share: one look at each node of an
 *	  execution that counted its rows (see plans.c).
 *
 * Like all detectors they do not throw, read no catalogs and keep a bounded
 * amount of memory.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_NODES_H
#define HONE_NODES_H

#include "nodes/execnodes.h"

#include "advise/detect.h"

/* Settings (nodes.c). */
extern int	hone_advise_in_list;	/* elements */
extern int	hone_advise_not_in_rows;	/* rows of the subquery read */
extern int	hone_advise_spill;	/* kB */
extern int	hone_advise_misestimate;	/* factor */

#define HONE_LOOK_CONDITIONS	8	/* kept of one execution */
#define HONE_LOOK_SPILLS		4
#define HONE_SMALL_SCAN			200 /* rows that no index is worth, however
									 * often */

/*
 * What was read of one table (all its partitions) in vain, by one set of
 * columns.
 */
typedef struct HoneFilteredTable
{
	Oid			relid;
	NodeTag		node;			/* T_SeqScan, T_IndexScan (bitmap scans too),
								 * T_HashJoin (any join) or T_Sort */
	double		removed;
	double		kept;
	double		removed_scan;	/* by one scan, the most of any partition */
	double		cost;			/* planner's, for the share of the time */
	int			nquals;
	int			norder;			/* the last of them are an order (finding.h) */
	HoneQual	quals[HONE_FINDING_QUALS];
} HoneFilteredTable;

#define HONE_FILTER_TABLES		8	/* kept of one execution */

typedef struct HoneFilterWalk
{
	PlannedStmt *stmt;
	int			ntables;
	HoneFilteredTable tables[HONE_FILTER_TABLES];
} HoneFilterWalk;

/* A clause over one column of a table (all its partitions) that no index serves. */
typedef struct HoneCondition
{
	HoneFindingKind kind;
	Oid			relid;
	HoneQual	qual;			/* of the column inside */
	bool		inside;			/* a function or cast, else the column itself */
	bool		alone;			/* the filter is nothing but this clause */
	double		removed;
	double		kept;
	double		removed_scan;	/* by one scan, the most of any partition */
	double		cost;			/* planner's, for the share of the time */
} HoneCondition;

/* A node that wrote what it could not hold to temporary files. */
typedef struct HoneSpill
{
	NodeTag		node;
	double		spilled_kb;
	double		needed_kb;		/* work_mem that would have held it */
} HoneSpill;

/* A scan whose rows the planner did not expect. */
typedef struct HoneMisestimate
{
	Oid			relid;
	NodeTag		node;
	double		estimated;
	double		actual;
	double		factor;			/* between the two, at least 1 */
	int			nquals;
	HoneQual	quals[HONE_FINDING_QUALS];
} HoneMisestimate;

/* A subquery under NOT IN. */
typedef struct HoneNotIn
{
	bool		hashed;
	double		rows;			/* it gave in all */
} HoneNotIn;

/* A long list of constants. */
typedef struct HoneInList
{
	Oid			relid;
	HoneQual	qual;
	int			elements;
} HoneInList;

/* What one execution had. */
typedef struct HoneNodeLook
{
	const HoneRecord *record;
	PlannedStmt *stmt;
	int			nconditions;
	HoneCondition conditions[HONE_LOOK_CONDITIONS];
	int			nspills;
	HoneSpill	spills[HONE_LOOK_SPILLS];
	HoneMisestimate misestimate;	/* the worst */
	HoneNotIn	not_in;			/* the one with most rows */
	HoneInList	list;			/* the longest */
} HoneNodeLook;

/* ---- nodes.c ---- */

/* Defines the settings above. Called once from hone_advise_init(). */
extern void hone_nodes_init(void);

/*
 * Look at the nodes of a finished execution that counted rows; it stands for
 * 'weight' executions.
 */
extern void hone_nodes_look(const HoneRecord *record, int64 weight);

/* Rows that a node gave, over all its loops, and its loops. */
extern double hone_node_rows(const PlanState *node);
extern double hone_node_loops(const PlanState *node);

/* A user's table that other sessions see? */
extern bool hone_node_is_lasting(Relation rel);

/* ---- conditions.c: clauses of filters, lists ---- */
extern void hone_conditions_look(HoneNodeLook *look, ScanState *scan);
extern void hone_lists_look(HoneNodeLook *look, ScanState *scan);

/*
 * Copy the statement of a record into sample->text with its long lists of
 * constants cut to two elements; false if it has none.
 */
extern bool hone_lists_cut(HoneSample *sample, const HoneRecord *record);

/* ---- spill.c: temporary files ---- */
extern void hone_spill_look(HoneNodeLook *look, PlanState *node);

/* ---- plans.c: what is read in vain ---- */

/* A scan of a table that an index can be made for? */
extern bool hone_filter_is_heap(const ScanState *scan);

/* Add the clauses that compare columns of relation 'rti', as many as fit. */
extern void hone_filter_read(HoneFilteredTable *table, List *clauses, Index rti);

/* Add to what the walk has of the table, whose columns are those of 'rti'. */
extern void hone_filter_add(HoneFilterWalk *walk, Index rti, HoneFilteredTable *table);

/* ---- reads.c: the same by index scans, joins and sorts ---- */
extern void hone_reads_look(HoneFilterWalk *walk, PlanState *node);

/* ---- quals.c: column, operator, value ---- */

/*
 * Parent's RT index and column of a partition's column, as far up as the
 * query names partitioned tables.
 */
extern Index hone_qual_topmost(PlannedStmt *stmt, Index rti, HoneQual *quals,
							   int nquals);

/* What is under casts that change nothing. */
extern Node *hone_qual_strip(Node *node);

/* A built-in function whose result does not change while a scan runs? */
extern bool hone_qual_is_steady(Oid funcid);

/* A value that is known before the scan starts? */
extern bool hone_qual_is_value(Node *node);

/* A flag, or NOT flag: as flag = value. */
extern bool hone_qual_read_flag(Node *clause, Index rti, HoneQual *qual);

/* column IS [NOT] NULL: as a clause without an operator. */
extern bool hone_qual_read_null(Node *clause, Index rti, HoneQual *qual);

/* column op value, value op column, column op ANY (values). */
extern bool hone_qual_read(Node *clause, Index rti, HoneQual *qual);

#endif							/* HONE_NODES_H */
