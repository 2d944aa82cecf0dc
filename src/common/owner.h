/*-------------------------------------------------------------------------
 *
 * owner.h
 *	  Whose table it is, and acting as its owner.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_OWNER_H
#define HONE_OWNER_H

#include "common/hone.h"

/* The role and settings to go back to. */
typedef struct HoneRole
{
	Oid			userid;
	int			sec_context;
	int			guc_level;
} HoneRole;

/*
 * Raise 42501 unless role may do what the relation's owner may, or may execute
 * hone.may_administer().
 */
extern void hone_require_owner(Oid relid, Oid role);

/* The same as a question; false also when the relation is gone. */
extern bool hone_is_owner(Oid relid, Oid role);

/*
 * Act as the owner of relid in a security-restricted context with search_path
 * pinned, until hone_restore_role or an abort. Raises 42P01 when the relation
 * is gone. Must be undone before the transaction commits.
 */
extern void hone_become_owner(Oid relid, HoneRole *saved);

/* The same with a role. */
extern void hone_become_role(Oid role, HoneRole *saved);

extern void hone_restore_role(const HoneRole *saved);

#endif							/* HONE_OWNER_H */
