/*-------------------------------------------------------------------------
 *
 * key.h
 *	  A key that a table can be walked by.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_KEY_H
#define HONE_BATCH_KEY_H

#include "nodes/pg_list.h"
#include "utils/array.h"

#include "common/hone.h"

typedef struct HoneBatchKey
{
	int			count;
	char	  **names;			/* quoted */
	Oid		   *types;
	bool	   *byval;
	int16	   *length;
	char	   *list;			/* "a, b" */
	char	   *identity;		/* with the types and collations */
	char	   *descending;		/* "a DESC, b DESC" */
	bool		ordered;		/* its index gives all rows in order */
} HoneBatchKey;

/*
 * The primary key of a table, or another key of NOT NULL columns that a btree
 * keeps unique at once, none of which has a name in 'avoid', all of which the
 * table that statements name has too. NULL: there is none; *avoided: only for
 * the names.
 */
extern HoneBatchKey *hone_batch_key(Oid relid, Oid named_as, List *avoid, bool *avoided);

/*
 * "(a, b) OPERATOR (parameters) AND ": the key beside parameters from $first
 * on. 'comparison' is one of < <= > >=.
 */
extern char *hone_batch_key_bound(const HoneBatchKey *key, const char *comparison, int first);

/* A key as texts that do not depend on settings, and back. */
extern ArrayType *hone_batch_key_out(const HoneBatchKey *key, const Datum *values);
extern Datum *hone_batch_key_in(const HoneBatchKey *key, ArrayType *texts);

/* Copy a key into the current context. */
extern Datum *hone_batch_key_copy(const HoneBatchKey *key, const Datum *values);

/* "(1, abc)" for a person. */
extern char *hone_batch_key_show(ArrayType *texts);

/* Names of columns that decide in which partition below relid a row is. */
extern List *hone_batch_partition_columns(Oid relid);

#endif							/* HONE_BATCH_KEY_H */
