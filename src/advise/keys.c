/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Hashes of the values that one call of a query was made with.
 *
 * Bound values are read when the executor starts, from ParamListInfo: while
 * it runs, a loop in PL/pgSQL changes its variables. Constants of statements
 * that were sent as text are hashed as text, where the query jumble found
 * them, without walking the tree. Nothing here throws: values are never
 * detoasted, only built-in types are looked at, and at most 64 bytes of each.
 *
 * Runs are remembered under the address of their QueryDesc in a small ring.
 * An aborted run leaves its slot behind; it is overwritten when the address
 * or the slot comes round again.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "nodes/params.h"

#include "advise/detect.h"

#define KEY_BYTES		64		/* of one value that are hashed */
#define RUNS			16		/* runs remembered at a time (nesting,
								 * cursors) */
#define MAX_PARAMS		64		/* parameter numbers looked at */
#define ANALYZED		4		/* analysed statements waiting for their run */

typedef struct RunKeys
{
	QueryDesc  *query_desc;
	HoneCallKeys keys;
} RunKeys;

typedef struct AnalyzedKeys
{
	uint64		queryid;		/* 0 = free */
	int			location;
	HoneCallKeys keys;
} AnalyzedKeys;

static RunKeys runs[RUNS];
static int	next_run = 0;
static AnalyzedKeys analyzed[ANALYZED];
static int	next_analyzed = 0;

/* Hash of a constant as it stands in the text. */
static uint32
hash_constant(const char *text)
{
	int			len = 0;

	if (text[0] == '\'' || (text[0] != '\0' && text[1] == '\''))
	{
		len = text[0] == '\'' ? 1 : 2;

		while (text[len] != '\0' && text[len] != '\'' && len < KEY_BYTES)
			len++;
	}
	else
	{
		if (text[0] == '-')
			len++;
		while (len < KEY_BYTES && (isalnum((unsigned char) text[len]) ||
								   text[len] == '.' || text[len] == '_' ||
								   (len > 0 && text[len] == ' ' && text[len - 1] == '-')))
			len++;
	}
	return hash_bytes((const unsigned char *) text, len);
}

void
hone_keys_analyzed(ParseState *pstate, Query *query, JumbleState *jstate)
{
	AnalyzedKeys *slot;
	const char *source = pstate->p_sourcetext;
	int			start = Max(query->stmt_location, 0);

	if (jstate == NULL || source == NULL || HONE_QUERYID(query) == 0 ||
		query->commandType != CMD_SELECT || jstate->clocations_count == 0)
		return;

	slot = &analyzed[next_analyzed];
	next_analyzed = (next_analyzed + 1) % ANALYZED;
	slot->queryid = HONE_QUERYID(query);
	slot->location = start;
	slot->keys.n = 0;
	for (int i = 0; i < jstate->clocations_count && slot->keys.n < HONE_CALL_KEYS; i++)
	{
		int			location = jstate->clocations[i].location;

		if (location < start || HONE_CONSTANT_IS_PARAM(&jstate->clocations[i]))
			continue;
		slot->keys.id[slot->keys.n] = -1 - (location - start);
		slot->keys.hash[slot->keys.n] = hash_constant(source + location);
		slot->keys.n++;
	}
}

/* Hash of one value; false for types and forms that are not looked at. */
static bool
hash_value(Oid type, Datum value, uint32 *hash)
{
	int64		number;

	switch (type)
	{
		case INT2OID:
			number = DatumGetInt16(value);
			break;
		case INT4OID:
		case DATEOID:
			number = DatumGetInt32(value);
			break;
		case OIDOID:
			number = DatumGetObjectId(value);
			break;
		case INT8OID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			number = DatumGetInt64(value);
			break;
		case FLOAT8OID:
			{
				float8		f = DatumGetFloat8(value);

				memcpy(&number, &f, sizeof(number));
			}
			break;
		case UUIDOID:
			*hash = hash_bytes((unsigned char *) DatumGetPointer(value), 16);
			return true;
		case NAMEOID:
		case UNKNOWNOID:
			{
				const char *str = (const char *) DatumGetPointer(value);

				*hash = hash_bytes((const unsigned char *) str,
								   strnlen(str, KEY_BYTES));
			}
			return true;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
		case BYTEAOID:
		case NUMERICOID:
			{
				struct varlena *v = (struct varlena *) DatumGetPointer(value);

				if (VARATT_IS_EXTERNAL(v) || VARATT_IS_COMPRESSED(v))
					return false;
				*hash = hash_bytes((unsigned char *) VARDATA_ANY(v),
								   Min(VARSIZE_ANY_EXHDR(v), KEY_BYTES));
			}
			return true;
		default:
			return false;
	}
	*hash = hash_bytes((unsigned char *) &number, sizeof(number));
	return true;
}

static void
hash_params(ParamListInfo params, HoneCallKeys *keys)
{
	int			n = Min(params->numParams, MAX_PARAMS);

	for (int i = 0; i < n && keys->n < HONE_CALL_KEYS; i++)
	{
		ParamExternData workspace;
		ParamExternData *param;

		if (params->paramFetch)
			param = params->paramFetch(params, i + 1, true, &workspace);
		else
			param = &params->params[i];
		if (param == NULL || param->isnull || !OidIsValid(param->ptype))
			continue;
		if (!hash_value(param->ptype, param->value, &keys->hash[keys->n]))
			continue;
		keys->id[keys->n++] = i + 1;
	}
}

/* Take over the constants remembered for a statement; false if there are none. */
static bool
take_analyzed(PlannedStmt *stmt, HoneCallKeys *keys)
{
	for (int i = 0; i < ANALYZED; i++)
	{
		AnalyzedKeys *slot = &analyzed[i];

		if (slot->queryid != HONE_QUERYID(stmt) ||
			slot->location != Max(stmt->stmt_location, 0))
			continue;
		*keys = slot->keys;
		slot->queryid = 0;
		return true;
	}
	return false;
}

void
hone_keys_started(QueryDesc *query_desc)
{
	RunKeys    *run = NULL;
	HoneCallKeys keys;

	if (query_desc->operation != CMD_SELECT)
		return;
	keys.n = 0;
	take_analyzed(query_desc->plannedstmt, &keys);
	if (query_desc->params != NULL && query_desc->params->numParams > 0)
	{
		keys.n = 0;
		hash_params(query_desc->params, &keys);
	}
	for (int i = 0; i < RUNS; i++)
	{
		if (runs[i].query_desc == query_desc)
			run = &runs[i];
	}
	if (keys.n == 0)
	{
		/* what an aborted run at this address left is not this one's */
		if (run)
			run->query_desc = NULL;
		return;
	}
	if (run == NULL)
	{
		run = &runs[next_run];
		next_run = (next_run + 1) % RUNS;
	}
	run->query_desc = query_desc;
	run->keys = keys;
}

void
hone_keys_finished(QueryDesc *query_desc, HoneCallKeys *keys)
{
	keys->n = 0;
	for (int i = 0; i < RUNS; i++)
	{
		if (runs[i].query_desc == query_desc)
		{
			*keys = runs[i].keys;
			runs[i].query_desc = NULL;
			return;
		}
	}
}
