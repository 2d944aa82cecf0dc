/*-------------------------------------------------------------------------
 *
 * json_value.c
 *	  Values of any type from JSON.
 *
 * Each by its type's input function, as if its text stood in the statement; a
 * list or an object for an array or a row type member by member.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "nodes/makefuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "batch/json_value.h"

static Datum
from_text(HoneJsonType *type, char *text, bool *isnull)
{
	*isnull = text == NULL;
	return InputFunctionCall(&type->input, text, type->ioparam, type->typmod);
}

/*
 * Lists and objects, for arrays and row types: as jsonb_populate_record would
 * in a record of this value alone.
 */
static void
prepare_populate(HoneJsonType *type)
{
	TupleDesc	desc = CreateTemplateTupleDesc(1);
	FuncExpr   *expr;
	Datum		values[1] = {(Datum) 0};
	bool		nulls[1] = {true};

	TupleDescInitEntry(desc, 1, type->name, type->type,
					   type->typmod, 0);
	TupleDescInitEntryCollation(desc, 1, type->collation);
	desc = BlessTupleDesc(desc);
	type->empty = HeapTupleGetDatum(heap_form_tuple(desc, values, nulls));
	expr = makeFuncExpr(F_JSONB_POPULATE_RECORD, RECORDOID,
						list_make2(makeNullConst(RECORDOID, -1, InvalidOid),
								   makeNullConst(JSONBOID, -1, InvalidOid)),
						InvalidOid, InvalidOid, COERCE_EXPLICIT_CALL);
	type->populate = palloc(sizeof(FmgrInfo));
	fmgr_info(F_JSONB_POPULATE_RECORD, type->populate);
	fmgr_info_set_expr((Node *) expr, type->populate);
}

static Datum
from_container(HoneJsonType *type, JsonbValue *value, bool *isnull)
{
	JsonbParseState *state = NULL;
	JsonbValue	key;
	JsonbValue *object;
	Datum		record;

	if (type->populate == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(type->context);

		prepare_populate(type);
		MemoryContextSwitchTo(old);
	}
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	key.type = jbvString;
	key.val.string.val = unconstify(char *, type->name);
	key.val.string.len = strlen(type->name);
	(void) pushJsonbValue(&state, WJB_KEY, &key);
	(void) pushJsonbValue(&state, WJB_VALUE, value);
	object = pushJsonbValue(&state, WJB_END_OBJECT, NULL);
	record = FunctionCall2(type->populate, type->empty,
						   JsonbPGetDatum(JsonbValueToJsonb(object)));
	return GetAttributeByNum(DatumGetHeapTupleHeader(record), 1, isnull);
}

Datum
hone_json_value(HoneJsonType *type, JsonbValue *value, bool *isnull)
{
	*isnull = false;
	if (value->type == jbvNull)
		return from_text(type, NULL, isnull);
	if (type->type == JSONBOID)
		return JsonbPGetDatum(JsonbValueToJsonb(value));
	if (type->base == JSONBOID || type->base == JSONOID)
	{
		Jsonb	   *json = JsonbValueToJsonb(value);

		return from_text(type, JsonbToCString(NULL, &json->root, VARSIZE(json)), isnull);
	}
	switch (value->type)
	{
		case jbvString:
			if (type->type == TEXTOID)
				return PointerGetDatum(cstring_to_text_with_len(value->val.string.val,
																value->val.string.len));
			return from_text(type, pnstrdup(value->val.string.val, value->val.string.len), isnull);
		case jbvNumeric:
			return from_text(type,
							 DatumGetCString(DirectFunctionCall1(numeric_out,
																 NumericGetDatum(value->val.numeric))),
							 isnull);
		case jbvBool:
			return from_text(type, value->val.boolean ? "true" : "false", isnull);
		default:
			return from_container(type, value, isnull);
	}
}

Datum
hone_json_null(HoneJsonType *type, bool *isnull)
{
	return from_text(type, NULL, isnull);
}

void
hone_json_type(HoneJsonType *type, const char *name, Oid typid, int32 typmod, Oid collation)
{
	Oid			function;

	memset(type, 0, sizeof(HoneJsonType));
	type->name = name;
	type->type = typid;
	type->base = getBaseType(typid);
	type->typmod = typmod;
	type->collation = collation;
	type->context = CurrentMemoryContext;
	getTypeInputInfo(typid, &function, &type->ioparam);
	fmgr_info(function, &type->input);
}
