/*-------------------------------------------------------------------------
 *
 * keys.c
 *	  Hashes of the values that one call of a query was made with.
 *
 * Bound values are read when the executor starts, from ParamListInfo: while
 * it runs, a loop in PL/pgSQL changes its variables. Constants of statements
 * that were sent as text are read there, where the query jumble found them,
 * without walking the tree. How a value is hashed is in values.c.
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
#include "nodes/params.h"

#include "advise/detect.h"

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

void
hone_keys_analyzed(ParseState *pstate, Query *query, JumbleState *jstate)
{
	AnalyzedKeys *slot;
	const char *source = pstate->p_sourcetext;
	int			start = Max(query->stmt_location, 0);

	if (jstate == NULL || source == NULL || HONE_QUERYID(query) == 0 ||
		query->commandType == CMD_UTILITY || jstate->clocations_count == 0)
		return;

	slot = &analyzed[next_analyzed];
	next_analyzed = (next_analyzed + 1) % ANALYZED;
	if (slot->queryid == 0)
		waiting++;
	slot->queryid = HONE_QUERYID(query);
	slot->location = start;
	slot->keys.n = 0;
	slot->keys.partial = false;
	for (int i = 0; i < jstate->clocations_count; i++)
	{
		int			location = jstate->clocations[i].location;

		if (location < start || HONE_CONSTANT_IS_PARAM(&jstate->clocations[i]))
			continue;
		if (slot->keys.n == HONE_CALL_KEYS)
		{
			slot->keys.partial = true;
			break;
		}
		slot->keys.partial |= HONE_CONSTANT_SQUASHED(&jstate->clocations[i]);
		slot->keys.id[slot->keys.n] = -1 - (location - start);
		if (!hone_value_hash_constant(source + location, &slot->keys.hash[slot->keys.n]))
		{
			slot->keys.partial = true;
			slot->keys.hash[slot->keys.n] = HONE_NO_VALUE;
		}
		slot->keys.n++;
	}
}

/* A position is kept for each parameter, also if there is nothing to hash. */
static void
add_param(HoneCallKeys *keys, int number, const ParamExternData *param)
{
	uint32		hash = HONE_NO_VALUE;

	if (!OidIsValid(param->ptype))
		return;					/* a variable that the query does not name */
	if (keys->n == HONE_CALL_KEYS)
	{
		keys->partial = true;
		return;
	}
	if (!param->isnull && !hone_value_hash(param->ptype, param->value, &hash))
		keys->partial = true;
	keys->id[keys->n] = number;
	keys->hash[keys->n++] = hash;
}

/* Parameters that are to be asked for: variables of PL/pgSQL. */
static void
fetch_params(ParamListInfo params, HoneCallKeys *keys)
{
	int			n = Min(params->numParams, MAX_PARAMS);

	keys->partial = true;
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

	keys->partial = n < params->numParams;
	for (int i = 0; i < Min(n, HONE_CALL_KEYS + 1); i++)
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
	bool		constants;

	keys->n = 0;
	keys->partial = false;
	if (waiting > 0)
		take_analyzed(query_desc->plannedstmt, keys);
	if (params == NULL || params->numParams == 0)
		return;
	constants = keys->n > 0;
	keys->n = 0;
	if (params->paramFetch != NULL)
		fetch_params(params, keys);
	else
		hash_params(params, keys);
	keys->partial |= constants;
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
	keys->partial = false;
	keys->id[0] = 1;
	keys->hash[0] = hone_value_hash_integer(type == INT4OID ? DatumGetInt32(value) :
											DatumGetInt64(value));
	return true;
}

void
hone_keys_starting(QueryDesc *query_desc)
{
	RunKeys    *run;

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
