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
 * Runs are remembered under the address of their QueryDesc in a small ring,
 * which grows and shrinks like a stack: a run mostly ends before the one that
 * it is part of does. An aborted run leaves its slot behind; a later run at its
 * address is found before it, and it is overwritten when the ring comes round.
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
static uint32 next_run = 0;		/* modulo RUNS; behind the latest */
static const HoneCallKeys no_keys = {0};
static AnalyzedKeys analyzed[ANALYZED];
static int	next_analyzed = 0;
static int	waiting = 0;		/* of the analyzed, not free */

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
	if (slot->queryid == 0)
		waiting++;
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

/* The finalizer of MurmurHash3: a change of any bit changes all. */
static inline uint32
hash_bits(uint64 bits)
{
	bits ^= bits >> 33;
	bits *= UINT64CONST(0xff51afd7ed558ccd);
	bits ^= bits >> 33;
	bits *= UINT64CONST(0xc4ceb9fe1a85ec53);
	return (uint32) (bits ^ (bits >> 33));
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
	*hash = hash_bits((uint64) number);
	return true;
}

static void
add_param(HoneCallKeys *keys, int number, const ParamExternData *param)
{
	if (param->isnull ||
		!hash_value(param->ptype, param->value, &keys->hash[keys->n]))
		return;
	keys->id[keys->n++] = number;
}

/* Parameters that are to be asked for: variables of PL/pgSQL. */
static void
fetch_params(ParamListInfo params, HoneCallKeys *keys)
{
	int			n = Min(params->numParams, MAX_PARAMS);

	for (int i = 0; i < n && keys->n < HONE_CALL_KEYS; i++)
	{
		ParamExternData workspace;
		ParamExternData *param = params->paramFetch(params, i + 1, true, &workspace);

		if (param != NULL)
			add_param(keys, i + 1, param);
	}
}

static void
hash_params(ParamListInfo params, HoneCallKeys *keys)
{
	int			n = Min(params->numParams, MAX_PARAMS);

	for (int i = 0; i < n && keys->n < HONE_CALL_KEYS; i++)
		add_param(keys, i + 1, &params->params[i]);
}

/* Take over the constants remembered for a statement, if there are any. */
static pg_noinline void
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
		waiting--;
		return;
	}
}

static pg_noinline void
find_keys(QueryDesc *query_desc, HoneCallKeys *keys)
{
	ParamListInfo params = query_desc->params;

	keys->n = 0;
	if (waiting > 0)
		take_analyzed(query_desc->plannedstmt, keys);
	if (params == NULL || params->numParams == 0)
		return;
	keys->n = 0;
	if (params->paramFetch != NULL)
		fetch_params(params, keys);
	else
		hash_params(params, keys);
}

/*
 * The most frequent case, without a call: one number, and no statement that
 * was analysed waits to be run.
 */
static inline bool
find_one_number(QueryDesc *query_desc, HoneCallKeys *keys)
{
	ParamListInfo params = query_desc->params;
	Datum		value;
	Oid			type;

	if (waiting > 0 || params == NULL || params->numParams != 1 ||
		params->paramFetch != NULL || params->params[0].isnull)
		return false;
	value = params->params[0].value;
	type = params->params[0].ptype;
	if (type != INT4OID && type != INT8OID)
		return false;
	keys->n = 1;
	keys->id[0] = 1;
	keys->hash[0] = hash_bits((uint64) (type == INT4OID ? DatumGetInt32(value) :
										DatumGetInt64(value)));
	return true;
}

void
hone_keys_starting(QueryDesc *query_desc)
{
	RunKeys    *run;

	if (query_desc->operation != CMD_SELECT)
		return;

	/* also without keys: else what an aborted run left would be this one's */
	run = &runs[next_run++ % RUNS];
	run->query_desc = query_desc;
	if (!find_one_number(query_desc, &run->keys))
		find_keys(query_desc, &run->keys);
}

const HoneCallKeys *
hone_keys_finished(QueryDesc *query_desc)
{
	for (uint32 back = 1; back <= RUNS; back++)
	{
		RunKeys    *run = &runs[(next_run - back) % RUNS];

		if (run->query_desc != query_desc)
			continue;
		run->query_desc = NULL;
		if (back == 1)
			next_run--;
		return &run->keys;
	}
	return &no_keys;
}
