/*-------------------------------------------------------------------------
 *
 * fetch_keys.h
 *	  Lists of keys, and the columns that they are compared with.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_FETCH_KEYS_H
#define HONE_BATCH_FETCH_KEYS_H

#include "nodes/pg_list.h"
#include "utils/array.h"

#include "common/hone.h"

typedef struct HoneKeyColumn
{
	const char *name;
	AttrNumber	attnum;
	Oid			type;			/* its base type */
	Oid			collation;
	Oid			given;			/* type of the keys */
	bool		read;			/* they are texts, for the type's input
								 * function */
	Oid			cast;			/* type to cast them to, or InvalidOid */
	const char *equals;			/* OPERATOR(...): its default equality */
} HoneKeyColumn;

/* An array of values for each column, as parameters of a statement. */
typedef struct HoneFetchKeys
{
	int			ncolumns;
	HoneKeyColumn columns[INDEX_MAX_KEYS];
	Oid			types[INDEX_MAX_KEYS];
	Datum		values[INDEX_MAX_KEYS];
} HoneFetchKeys;

/*
 * The keys, an array of this type, for these columns of a table, or NULL when
 * there are none. Raises an error unless a unique index has just these
 * columns, and the keys can be compared with them.
 */
extern HoneFetchKeys *hone_fetch_keys(Oid relid, List *names, Oid array_type,
									  ArrayType *keys);

/* The names in a name[]; 'what' is what errors call it. */
extern List *hone_name_list(ArrayType *names, const char *what);

#endif							/* HONE_BATCH_FETCH_KEYS_H */
