/*-------------------------------------------------------------------------
 *
 * target.h
 *	  The physical tables that a table name stands for, and how to reach each
 *	  of them with the rights and triggers of the named one.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_TARGET_H
#define HONE_BATCH_TARGET_H

#include "nodes/pg_list.h"

#include "common/hone.h"

typedef struct HoneBatchTarget
{
	Oid			relid;			/* a plain table that holds rows */
	Oid			named;			/* what 'from' names: relid, or the named
								 * table */
	char	   *named_name;		/* qualified */
	char	   *alias;			/* quoted name of the named table */
	char	   *from;			/* FROM item, with the named table as alias */
	char	   *restriction;	/* "... AND " that limits it to relid */
} HoneBatchTarget;

/*
 * Raise an error unless rows of relid can be changed batch by batch by the
 * current user: a table of its own or partitioned, no system catalog, with
 * SELECT (on ctid) and the given privileges (UPDATE: of some column at least).
 */
extern void hone_batch_check_relation(Oid relid, AclMode privileges);

/*
 * Tables below relid that hold rows, itself included, as a list of OIDs in
 * ascending order, so that what is made later mostly comes last. Takes and
 * keeps AccessShareLock on each. Refuses foreign partitions.
 */
extern List *hone_batch_leaves(Oid relid);

/*
 * How to reach the rows of 'leaf' as a part of 'root'; 'rows_leave': they may go
 * to other parts. Returns false when it is no part of it any more.
 */
extern bool hone_batch_target(Oid root, Oid leaf, AclMode privileges,
							  bool rows_leave, HoneBatchTarget *target);

/* Of a list of OIDs. */
extern Datum hone_batch_oid_array(List *oids);

#endif							/* HONE_BATCH_TARGET_H */
