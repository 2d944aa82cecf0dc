/*-------------------------------------------------------------------------
 *
 * json_value.h
 *	  Values of any type from JSON.
 *
 *-------------------------------------------------------------------------
 */
#ifndef HONE_BATCH_JSON_VALUE_H
#define HONE_BATCH_JSON_VALUE_H

#include "fmgr.h"
#include "utils/jsonb.h"

#include "common/hone.h"

typedef struct HoneJsonType
{
	const char *name;			/* for errors */
	Oid			type;
	Oid			base;			/* its base type */
	int32		typmod;
	Oid			collation;
	MemoryContext context;		/* of what is below */
	FmgrInfo	input;
	Oid			ioparam;
	FmgrInfo   *populate;		/* for lists and objects; made when needed */
	Datum		empty;			/* a record of this value alone, NULL */
} HoneJsonType;

/* Prepare for values of a type, in the current memory context. */
extern void hone_json_type(HoneJsonType *type, const char *name, Oid typid,
						   int32 typmod, Oid collation);

/* A value; JSON's null is NULL, if a domain does not forbid it. */
extern Datum hone_json_value(HoneJsonType *type, JsonbValue *value, bool *isnull);
extern Datum hone_json_null(HoneJsonType *type, bool *isnull);

#endif							/* HONE_BATCH_JSON_VALUE_H */
