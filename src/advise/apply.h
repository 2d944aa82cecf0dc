/*-------------------------------------------------------------------------
 *
 * apply.h
 *	  Doing what a recommendation says.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_APPLY_H
#define HONE_APPLY_H

#include "common/task.h"

/* Does what hone.apply_recommendation() was called for. */
extern const HoneTask hone_apply_task;

/* ---- between apply.c and apply_tree.c ---- */

/* What is to be done. */
typedef struct HoneDue
{
	int64		id;
	Oid			relid;
	char	   *fix;
	char	   *index;			/* qualified name */
	Oid			index_oid;		/* InvalidOid: it is to be made */
	char	   *definition;		/* of an index on a partitioned table, or NULL */
	Oid			requested_by;
} HoneDue;

/*
 * One command as the owner of relid, by a procedure that holds nothing; NULL or
 * what went wrong. A brief one waits for tables only, several times.
 */
extern char *hone_apply_command(Oid relid, const char *command, int *sqlstate);
extern char *hone_apply_brief(Oid relid, const char *command, int *sqlstate);

/* The names of partitions' indexes begin so. */
extern char *hone_apply_prefix(int64 id);

/* Throws where a partition keeps the index from being made for this role. */
extern void hone_apply_check_tree(Oid relid, Oid role);

/* Makes an index on a partitioned table, or what of it still lacks. */
extern char *hone_apply_tree(const HoneDue *due, int *sqlstate);

#endif							/* HONE_APPLY_H */
